/* test_adapt.c: merged tensors against W + s B A in double; whole modules,
 * biases, LLaVA's trainables, GGUF adapters, deltas.  The logits of the merged
 * models are in the tests of the models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "golden.h"
#include "weights/adapt.h"
#include "weights/gguf_write.h"
#include "weights/peft.h"
#include "weights/write.h"

static char dir[100];

static const char *in_dir(const char *name)
{
    static char path[4][200];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static int make_dir(void **state)
{
    const char *const tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof dir, "%s/mm-adapt-XXXXXX", tmp ? tmp : P_tmpdir);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const files[] = { "base.safetensors", "delta.safetensors", "a.gguf",
                                         "adapter_config.json", "adapter_model.safetensors",
                                         "non_lora_trainables.bin" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_dir(files[i]));
    return rmdir(dir);
}

static float at(const struct mm_tensor *t, int64_t row, int64_t col)
{
    return ((const float *)t->data)[row * t->shape[1] + col];
}

/* One adapted weight: rank and scale as the case says them in words. */
struct adapted {
    const char *lora, *module;
    int rank;
    double scale;
};

static void check_adapted(const struct adapted *x, enum mm_adapt_store store)
{
    char rel[200], name[200];
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    snprintf(rel, sizeof rel, "llama/%s/model", x->lora);
    struct mm_ckpt *const base = golden_open(rel);
    ck = golden_open(rel);
    snprintf(rel, sizeof rel, "llama/%s/adapter", x->lora);
    char path[500];
    if (mm_adapt_lora(ck, golden_path(path, sizeof path, rel), store, NULL, &e) < 0)
        fail_msg("%s", e.msg);
    snprintf(rel, sizeof rel, "llama/%s/adapter/adapter_model.%s", x->lora,
             strcmp(x->lora, "lora-bin") ? "safetensors" : "bin");
    struct mm_ckpt *const adapter = golden_open(rel);
    snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", x->module);
    const struct mm_tensor *const A = golden_tensor(adapter, name);
    snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", x->module);
    const struct mm_tensor *const B = golden_tensor(adapter, name);
    snprintf(name, sizeof name, "%s.weight", x->module);
    const struct mm_tensor *const W = golden_tensor(base, name), *const M = golden_tensor(ck, name);
    assert_int_equal(A->shape[0], x->rank);
    assert_true(mm_shape_eq(W, M));
    for (int64_t r = 0; r < W->shape[0]; r++)
        for (int64_t c = 0; c < W->shape[1]; c++) {
            double sum = 0, size = fabs((double)at(W, r, c));
            for (int64_t k = 0; k < x->rank; k++) {
                sum += (double)at(B, r, k) * (double)at(A, k, c);
                size += fabs(x->scale * (double)at(B, r, k) * (double)at(A, k, c));
            }
            const double want = (double)at(W, r, c) + x->scale * sum;
            /* every order of summation of rank + 1 terms, and the products' rounding */
            const double bound = (x->rank + 3) * 1.2e-7 * size;
            if (fabs((double)at(M, r, c) - want) > bound)
                fail_msg("%s: %s[%d,%d] is %g, want %g", x->lora, name, (int)r, (int)c,
                         (double)at(M, r, c), want);
        }
    mm_ckpt_close(adapter);
    mm_ckpt_close(base);
    mm_ckpt_close(ck);
}

static void test_golden(void **state)
{
    static const struct adapted t[] = {
        { "lora", "model.layers.0.self_attn.q_proj", 5, 7.0 / 5 },
        { "lora", "model.layers.1.mlp.down_proj", 5, 7.0 / 5 },
        { "lora", "model.layers.1.self_attn.v_proj", 5, 7.0 / 5 },
        { "lora-rslora", "lm_head", 5, 7 / 2.2360679774997896964 },
        { "lora-rslora", "model.layers.0.self_attn.k_proj", 5, 7 / 2.2360679774997896964 },
        { "lora-resized", "model.layers.1.mlp.gate_proj", 3, 2 },
        { "lora-bin", "model.layers.0.self_attn.v_proj", 4, 2.5 },
        { "lora-bin", "model.layers.1.mlp.down_proj", 4, 2.5 },
        { "lora-pattern", "model.layers.0.self_attn.q_proj", 7, 3.0 / 7 },
        { "lora-pattern", "model.layers.1.self_attn.v_proj", 2, 3 },
        { "lora-pattern", "model.layers.0.self_attn.v_proj", 4, 1.5 },
        { "lora-pattern", "model.layers.1.self_attn.o_proj", 4, 11.0 / 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        check_adapted(&t[i], MM_ADAPT_F32);
        check_adapted(&t[i], MM_ADAPT_STORED); /* the bases are f32 */
    }
}

static void test_whole(void **state)
{
    char path[500];
    struct mm_err e = { 0 };

    (void)state;
    /* resized embedding and head */
    struct mm_ckpt *ck = golden_open("llama/lora-resized/model");
    struct mm_ckpt *ad = golden_open("llama/lora-resized/adapter/adapter_model.safetensors");
    golden_path(path, sizeof path, "llama/lora-resized/adapter");
    assert_int_equal(mm_adapt_lora(ck, path, MM_ADAPT_F32, NULL, &e), 0);
    const struct mm_tensor *got = golden_tensor(ck, "model.embed_tokens.weight");
    const struct mm_tensor *want = golden_tensor(ad, "base_model.model.model.embed_tokens.weight");
    assert_true(got->shape[0] == 128 && mm_shape_eq(got, want));
    assert_memory_equal(got->data, want->data, mm_tensor_bytes(got));
    assert_true(golden_tensor(ck, "lm_head.weight")->shape[0] == 128);
    assert_int_equal(mm_json_int(mm_ckpt_config(ck), "vocab_size", 0, &e), 128);
    mm_ckpt_close(ck);
    mm_ckpt_close(ad);
    /* biases of targets and of others */
    ck = golden_open("llama/lora-bin/model");
    ad = golden_open("llama/lora-bin/adapter/adapter_model.bin");
    golden_path(path, sizeof path, "llama/lora-bin/adapter");
    assert_int_equal(mm_adapt_lora(ck, path, MM_ADAPT_F32, NULL, &e), 0);
    const size_t n = mm_ckpt_count(ck);
    size_t biases = 0;
    for (size_t i = 0; i < mm_ckpt_count(ad); i++) {
        char name[200];
        const char *const stored = mm_ckpt_at(ad, i)->name;
        const char *const dot = strstr(stored, ".base_layer.bias");
        if (!strstr(stored, ".bias"))
            continue;
        biases++;
        snprintf(name, sizeof name, "%.*s.bias",
                 (int)(dot ? (size_t)(dot - stored) : strlen(stored) - 5) - 17, stored + 17);
        got = golden_tensor(ck, name);
        want = &mm_ckpt_at(ad, i)->t;
        assert_true(mm_shape_eq(got, want));
        assert_memory_equal(got->data, want->data, mm_tensor_bytes(got));
    }
    assert_true(biases > 4);
    mm_ckpt_close(ck);
    ck = golden_open("llama/lora-bin/model");
    assert_int_equal(mm_ckpt_count(ck), n); /* nothing was added, only replaced */
    mm_ckpt_close(ck);
    mm_ckpt_close(ad);
}

static void write_text(const char *path, const char *text)
{
    FILE *const f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static float base_w[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
static float lora_a[1][3] = { { 1, 0, -1 } }, lora_b[2][1] = { { 2 }, { 3 } };

static void write_base(enum mm_dtype d)
{
    uint16_t half[6];
    struct mm_err e = { 0 };

    for (int i = 0; i < 6; i++)
        half[i] = mm_f32_to_f16((&base_w[0][0])[i]);
    const struct mm_named v[] = {
        { "model.l.weight", { d, 2, { 2, 3 }, d == MM_F16 ? (void *)half : base_w } },
    };
    assert_int_equal(mm_write_safetensors(in_dir("base.safetensors"), v, 1, NULL, &e), 0);
}

/* peft over a base of f16; the projector beside it in LLaVA's naming. */
static void test_llava(void **state)
{
    float proj[2] = { 7, 8 };
    const struct mm_named pair[] = {
        { "base_model.model.model.l.lora_A.default.weight", { MM_F32, 2, { 1, 3 }, lora_a } },
        { "base_model.model.model.l.lora_B.default.weight", { MM_F32, 2, { 2, 1 }, lora_b } },
    };
    const struct mm_named rest[] = {
        { "base_model.model.model.mm_projector.weight", { MM_F32, 1, { 2 }, proj } },
    };
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    (void)state;
    write_base(MM_F16);
    write_text(in_dir("adapter_config.json"), "{\"r\": 1, \"lora_alpha\": 2}");
    assert_int_equal(mm_write_safetensors(in_dir("adapter_model.safetensors"), pair, 2, NULL, &e),
                     0);
    assert_int_equal(mm_write_safetensors(in_dir("non_lora_trainables.bin"), rest, 1, NULL, &e),
                     0);
    const char *const path = in_dir("base.safetensors");
    const struct mm_adapt_spec s = { .path = dir, .base = path, .store = MM_ADAPT_STORED };
    if (mm_adapt_open(&ck, &s, &e) < 0)
        fail_msg("%s", e.msg);
    const struct mm_tensor *t = golden_tensor(ck, "model.l.weight");
    assert_int_equal(t->dtype, MM_F16);
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            assert_true(mm_f16_to_f32(((const uint16_t *)t->data)[3 * r + c]) ==
                        base_w[r][c] + 2 * lora_b[r][0] * lora_a[0][c]);
    t = golden_tensor(ck, "model.mm_projector.weight");
    assert_memory_equal(t->data, proj, sizeof proj);
    mm_ckpt_close(ck);
    /* refusals */
    static const struct { const char *conf; int code; } bad[] = {
        { "{\"r\": 2, \"lora_alpha\": 2}", MM_EDATA },
        { "{\"r\": 1, \"lora_alpha\": 2, \"use_dora\": true}", MM_EMISSING },
        { "{\"r\": 1, \"peft_type\": \"IA3\"}", MM_EMISSING },
        { "{\"r\": 1, \"rank_pattern\": {\"(\": 3}}", MM_EDATA },
        { "{\"r\": \"x\"}", MM_EDATA }, { "[]", MM_EDATA }, { "{", MM_EDATA },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(in_dir("adapter_config.json"), bad[i].conf);
        mm_err_clear(&e);
        if (mm_adapt_open(&ck, &s, &e) != bad[i].code)
            fail_msg("%s: code %d: %s", bad[i].conf, e.code, e.msg);
    }
    const char *const alone = in_dir("adapter_model.safetensors");
    const struct mm_adapt_spec no_conf = { .path = path, .lora = alone };
    mm_err_clear(&e);
    assert_int_equal(mm_adapt_open(&ck, &no_conf, &e), MM_EDATA);
}

static void write_gguf(bool both)
{
    const struct mm_tensor a = { MM_F32, 2, { 1, 3 }, lora_a }, b = { MM_F32, 2, { 2, 1 }, lora_b };
    struct mm_ggufw *const w = mm_ggufw_new();
    struct mm_err e = { 0 };

    mm_ggufw_str(w, "general.type", "adapter", 7);
    mm_ggufw_str(w, "adapter.type", "lora", 4);
    mm_ggufw_f32(w, "adapter.lora.alpha", 0.5F);
    mm_ggufw_tensor(w, "model.l.weight.lora_a", &a);
    if (both)
        mm_ggufw_tensor(w, "model.l.weight.lora_b", &b);
    assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), 0);
    assert_int_equal(mm_ggufw_data(w, lora_a, sizeof lora_a, &e), 0);
    if (both)
        assert_int_equal(mm_ggufw_data(w, lora_b, sizeof lora_b, &e), 0);
    assert_int_equal(mm_ggufw_commit(w, &e), 0);
    mm_ggufw_free(w);
}

static void test_gguf(void **state)
{
    const struct mm_adapt_spec s = { .path = in_dir("base.safetensors"), .lora = in_dir("a.gguf") };
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    (void)state;
    write_base(MM_F32);
    write_gguf(true);
    if (mm_adapt_open(&ck, &s, &e) < 0)
        fail_msg("%s", e.msg);
    const struct mm_tensor *const t = golden_tensor(ck, "model.l.weight");
    for (int r = 0; r < 2; r++)
        for (int c = 0; c < 3; c++)
            assert_true(at(t, r, c) == base_w[r][c] + 0.5F * lora_b[r][0] * lora_a[0][c]);
    mm_ckpt_close(ck);
    write_gguf(false);
    assert_int_equal(mm_adapt_open(&ck, &s, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "no counterpart"));
}

static void test_delta(void **state)
{
    float d[3][3] = { { 1, 1, 1 }, { 2, 2, 2 }, { 9, 9, 9 } }, p[2] = { 1, 2 };
    int64_t ids[2] = { 5, 6 };
    const struct mm_named v[] = {
        { "model.l.weight", { MM_F32, 2, { 3, 3 }, d } },
        { "model.mm_projector.bias", { MM_F32, 1, { 2 }, p } },
        { "ids", { MM_I64, 1, { 2 }, ids } },
    };
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    (void)state;
    write_base(MM_F16);
    assert_int_equal(mm_write_safetensors(in_dir("delta.safetensors"), v, 3, NULL, &e), 0);
    const struct mm_adapt_spec s = { .path = in_dir("delta.safetensors"),
                                     .base = in_dir("base.safetensors") };
    if (mm_adapt_open(&ck, &s, &e) < 0)
        fail_msg("%s", e.msg);
    const struct mm_tensor *const t = golden_tensor(ck, "model.l.weight");
    for (int r = 0; r < 3; r++) /* the third row has no counterpart */
        for (int c = 0; c < 3; c++)
            assert_true(at(t, r, c) == d[r][c] + (r < 2 ? base_w[r][c] : 0));
    assert_memory_equal(golden_tensor(ck, "model.mm_projector.bias")->data, p, sizeof p);
    mm_ckpt_close(ck);
    /* nothing in common; fewer rows than the base */
    assert_int_equal(mm_write_safetensors(in_dir("delta.safetensors"), v + 1, 1, NULL, &e), 0);
    assert_int_equal(mm_adapt_open(&ck, &s, &e), MM_EDATA);
    mm_err_clear(&e);
    const struct mm_named few[] = { { "model.l.weight", { MM_F32, 2, { 1, 3 }, d } } };
    assert_int_equal(mm_write_safetensors(in_dir("delta.safetensors"), few, 1, NULL, &e), 0);
    assert_int_equal(mm_adapt_open(&ck, &s, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "[1,3]"));
}

/* Names there and back; what is none. */
static void test_peft_names(void **state)
{
    static const struct { const char *gguf, *hf, *llava; enum mm_peft_rows rows; } t[] = {
        { "blk.0.attn_q", "model.layers.0.self_attn.q_proj",
          "language_model.model.layers.0.self_attn.q_proj", MM_PEFT_QUERY_ROWS },
        { "blk.31.attn_k", "model.layers.31.self_attn.k_proj",
          "model.language_model.layers.31.self_attn.k_proj", MM_PEFT_KEY_ROWS },
        { "blk.7.attn_v", "model.layers.7.self_attn.v_proj",
          "language_model.model.layers.7.self_attn.v_proj", MM_PEFT_ANY_ROWS },
        { "blk.7.attn_output", "model.layers.7.self_attn.o_proj",
          "language_model.model.layers.7.self_attn.o_proj", MM_PEFT_ANY_ROWS },
        { "blk.7.ffn_gate", "model.layers.7.mlp.gate_proj",
          "language_model.model.layers.7.mlp.gate_proj", MM_PEFT_ANY_ROWS },
        { "blk.7.ffn_up", "model.layers.7.mlp.up_proj",
          "language_model.model.layers.7.mlp.up_proj", MM_PEFT_ANY_ROWS },
        { "blk.7.ffn_down", "model.layers.7.mlp.down_proj",
          "language_model.model.layers.7.mlp.down_proj", MM_PEFT_ANY_ROWS },
        { "token_embd", "model.embed_tokens", "language_model.model.embed_tokens",
          MM_PEFT_ANY_ROWS },
        { "output", "lm_head", "language_model.lm_head", MM_PEFT_ANY_ROWS },
    };
    static const char *const none[] = { "", "blk", "blk.", "blk.x.attn_q", "blk.1", "blk.1.",
                                        "blk.-1.attn_q", "blk.1attn_q", "blk.1.attn_norm", "v.blk.1.attn_q",
                                        "model.layers.1.mlp", "model.layers.self_attn.q_proj",
                                        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj",
                                        "model.norm", "model.layers.9999999999.mlp.up_proj" };
    struct mm_peft_module m;

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        assert_true(mm_peft_from_gguf(&m, t[i].gguf));
        assert_string_equal(m.name, t[i].hf);
        assert_int_equal(m.rows, t[i].rows);
        assert_true(mm_peft_to_gguf(&m, t[i].hf));
        assert_string_equal(m.name, t[i].gguf);
        assert_int_equal(m.rows, t[i].rows);
        assert_true(mm_peft_to_gguf(&m, t[i].llava));
        assert_string_equal(m.name, t[i].gguf);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(mm_peft_from_gguf(&m, none[i]));
        assert_false(mm_peft_to_gguf(&m, none[i]));
    }
}

/* Two heads of six rows: GGUF's pairs (2i, 2i + 1) are Hugging Face's (i, i + 3). */
static void test_peft_rows(void **state)
{
    static const float hf[12][1] = { { 0 }, { 1 }, { 2 }, { 3 }, { 4 }, { 5 },
                                     { 6 }, { 7 }, { 8 }, { 9 }, { 10 }, { 11 } };
    static const float gguf[12] = { 0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11 };
    float there[12], back[12];

    (void)state;
    mm_peft_turn(there, hf[0], 12, 1, 2, MM_PEFT_TO_GGUF);
    assert_memory_equal(there, gguf, sizeof gguf);
    mm_peft_turn(back, there, 12, 1, 2, MM_PEFT_FROM_GGUF);
    assert_memory_equal(back, hf, sizeof hf);
    mm_peft_turn(there, hf[0], 6, 2, 1, MM_PEFT_TO_GGUF); /* rows of two */
    for (int i = 0; i < 12; i++)
        assert_true(there[i] == 2 * gguf[i / 2] + (float)(i % 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_whole), cmocka_unit_test(test_llava),
        cmocka_unit_test(test_gguf),   cmocka_unit_test(test_delta),
        cmocka_unit_test(test_peft_names), cmocka_unit_test(test_peft_rows),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
