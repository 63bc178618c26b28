/* test_convert.c: GGUF files that mm-quantize's parts write: the models give the
 * golden logits and features through them, the tokenizer gives the same ids,
 * the blocks are the quantiser's whatever the number of threads.
 */
#include "stages.h"

#include <unistd.h>
#include <zlib.h>

#include "base/io.h"
#include "base/quant.h"
#include "model/llama.h"
#include "model/llama_gguf.h"
#include "model/mmproj.h"
#include "model/projector.h"
#include "text/tokenizer.h"
#include "text/tokexport.h"

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
    snprintf(dir, sizeof dir, "%s/mm-convert-XXXXXX", tmp ? tmp : P_tmpdir);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const files[] = { "a.gguf", "b.gguf", "tokenizer.json" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_dir(files[i]));
    return rmdir(dir);
}

static void write_all(struct mm_convert *c, struct mm_ggufw *w, const char *path,
                      struct mm_pool *pool)
{
    struct mm_err e = { 0 };

    assert_int_equal(mm_convert_begin(c, w, path, &e), 0);
    for (size_t i = 0; i < mm_convert_count(c); i++)
        assert_int_equal(mm_convert_tensor(c, i, w, pool, &e), 0);
    assert_int_equal(mm_ggufw_commit(w, &e), 0);
}

/* The language model of CASE/model as dir/file. */
static void write_language(const char *name, enum mm_dtype type, const char *file,
                           struct mm_pool *pool)
{
    char path[1200];
    struct mm_err e = { 0 };
    struct mm_llama_gguf lm;

    snprintf(path, sizeof path, "%s/%s", golden_dir(), name);
    struct mm_ckpt *const ck = golden_open(path, "model");
    struct mm_ggufw *const w = mm_ggufw_new();
    struct mm_convert *const c = mm_convert_new(type);
    if (mm_llama_gguf_plan(&lm, c, w, ck, "test", &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    const struct mm_tokexport_spec ts = { .rows = lm.vocab, .bos = lm.bos, .eos = lm.eos };
    if (mm_tokexport_gguf(w, mm_ckpt_dir(ck), &ts, &e) < 0 && e.code != MM_ENOENT)
        fail_msg("%s: %s", name, e.msg);
    write_all(c, w, in_dir(file), pool);
    mm_llama_gguf_free(&lm);
    mm_convert_free(c);
    mm_ggufw_free(w);
    mm_ckpt_close(ck);
}

/* Logits of the prompt, through the GGUF. */
static void check_logits(const char *name)
{
    struct stages s;
    struct mm_err e = { 0 };
    struct mm_llama *m;
    struct mm_kv *kv;
    struct mm_ctx c;
    int32_t ids[200];

    write_language(name, MM_F32, "a.gguf", NULL);
    stages_open(&s, name);
    struct mm_ckpt *const ck = golden_open(dir, "a.gguf");
    struct mm_ckpt *const in = golden_open(s.dir, "inputs.safetensors");
    const struct mm_tensor *const t = &mm_ckpt_lookup(in, "input_ids")->t;
    const size_t n = mm_tensor_count(t);
    assert_true(n <= 200);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)mm_get_u64((const unsigned char *)t->data + 8 * i);
    if (mm_llama_open(&m, ck, &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    assert_int_equal(mm_llama_kv(&kv, m, MM_F32, &e), 0);
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, &e), 0);
    const struct mm_seq seq = { .kv = kv, .n = n };
    struct mm_var *const h = mm_llama_hidden(&c, m, mm_llama_embed(&c, m, ids, n), &seq, 1);
    struct mm_var *const l = mm_llama_logits(&c, m, h);
    assert_non_null(l);
    stages_check(&s, "logits", mm_f32(l), mm_tensor_count(&l->t));
    stages_done(&s, "logits", NULL);
    mm_ctx_free(&c);
    mm_kv_free(kv);
    mm_llama_free(m);
    mm_ckpt_close(in);
    mm_ckpt_close(ck);
    stages_close(&s);
}

static void test_language(void **state)
{
    static const char *const cases[] = {
        "llama/mha", "llama/gqa", "llama/tied", "llama/theta", "llama/rope-linear",
        "llama/rope-dynamic", "llama/rope-llama3", "llama/rope-yarn", "llama/mistral-window",
        "llama/bias-headdim", "llama/vicuna",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_logits(cases[i]);
}

static struct mm_var *var_of(struct mm_ctx *c, const struct mm_ckpt *ck, const char *name)
{
    const struct mm_ckpt_entry *const x = mm_ckpt_lookup(ck, name);

    assert_non_null(x);
    return mm_var_of(c, &x->t);
}

/* Pictures already cut, through tower and projector of the mmproj file. */
static void check_mmproj(const char *name, const char *prompt, const char *last)
{
    struct stages s;
    struct mm_err e = { 0 };
    struct mm_vision v, from;
    struct mm_projector *p;
    struct mm_clip_out out;
    struct mm_ctx c;
    char stage[100];

    stages_open(&s, name);
    struct mm_ckpt *const ck = golden_open(s.dir, "model");
    const struct mm_vision_opts o = { 0 };
    if (mm_vision_open(&from, ck, &o, &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    struct mm_ggufw *const w = mm_ggufw_new();
    struct mm_convert *const cv = mm_convert_new(MM_F32);
    if (mm_mmproj_plan(cv, w, &from, ck, "test", &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    write_all(cv, w, in_dir("a.gguf"), NULL);
    mm_convert_free(cv);
    mm_ggufw_free(w);

    struct mm_ckpt *const got = golden_open(dir, "a.gguf");
    if (mm_vision_open(&v, got, &o, &e) < 0 || mm_projector_open(&p, got, &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    assert_int_equal(v.pre.aspect, from.pre.aspect);
    assert_int_equal(v.pre.npin, from.pre.npin);
    for (int i = 0; i < v.pre.npin; i++) /* (width, height) in the file */
        assert_int_equal(v.pre.pin[i][0], from.pre.pin[i][from.pre.pin_hw ? 1 : 0]);
    assert_int_equal(v.pre.size, from.pre.size);
    assert_memory_equal(v.pre.mean, from.pre.mean, sizeof v.pre.mean);
    assert_int_equal(v.llava.merge, from.llava.merge);
    assert_int_equal(mm_projector_newline(p) != NULL, from.pre.npin > 0);
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, &e), 0);
    snprintf(stage, sizeof stage, "%s.pixel_values", prompt);
    mm_clip_see(&c, v.tower, var_of(&c, s.expected, stage), &v.select, &out);
    snprintf(stage, sizeof stage, "%s.features", prompt);
    stages_check(&s, stage, mm_f32(out.features), mm_tensor_count(&out.features->t));
    stages_done(&s, stage, NULL);
    struct mm_var *const y = mm_project(&c, p, var_of(&c, s.expected, stage));
    snprintf(stage, sizeof stage, "%s.%s", prompt, last);
    stages_check(&s, stage, mm_f32(y), mm_tensor_count(&y->t));
    stages_done(&s, stage, NULL);
    mm_ctx_free(&c);
    mm_projector_free(p);
    mm_vision_close(&v);
    mm_vision_close(&from);
    mm_ckpt_close(got);
    mm_ckpt_close(ck);
    stages_close(&s);
}

static void test_mmproj(void **state)
{
    (void)state;
    check_mmproj("llava/v15_hf", "one", "proj.2");
    check_mmproj("llava/v15_orig", "one", "proj.2");
    check_mmproj("llava/v16_mistral", "wide", "proj.2");
    check_mmproj("llava/v16_orig", "wide", "proj.2");
    check_mmproj("llava/v1_linear", "one", "proj.1");
    check_mmproj("llava/v0_patches", "one", "proj.1");
}

/* Ids of the texts of the tokenizer family from a and from b, with the marks.
 * Where spellings of special tokens stand in the text, GGUF's "llama" kind has
 * rules of its own (a dummy prefix after each, <unk> is text): those texts are
 * left out for it. */
static void same_ids(const char *what, const struct mm_tok *a, const struct mm_tok *b, bool spm)
{
    char path[1200];
    struct mm_err e = { 0 };
    size_t i, differ = 0;
    json_t *x;

    snprintf(path, sizeof path, "%s/tokenizer/texts.json", golden_dir());
    json_t *const texts = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_non_null(texts);
    json_array_foreach (texts, i, x) {
        const json_t *const t = json_object_get(x, "text");
        struct mm_ids u = { 0 }, v = { 0 };
        const char *const kind = json_string_value(json_object_get(x, "kind"));
        if (!t || (spm && strcmp(kind, "special") == 0))
            continue;
        const char *const s = json_string_value(t);
        const size_t n = json_string_length(t);
        const int ra = mm_tok_encode(a, &u, s, n, MM_TOK_SPECIAL | MM_TOK_PARSE, &e);
        mm_err_clear(&e);
        const int rb = mm_tok_encode(b, &v, s, n, MM_TOK_SPECIAL | MM_TOK_PARSE, &e);
        mm_err_clear(&e);
        if (ra != rb || u.n != v.n || (u.n && memcmp(u.v, v.v, u.n * sizeof *u.v) != 0)) {
            print_message("%s: text %s differs\n", what,
                          json_string_value(json_object_get(x, "id")));
            differ++;
        }
        mm_ids_free(&u);
        mm_ids_free(&v);
    }
    json_decref(texts);
    if (differ)
        fail_msg("%s: %zu texts differ", what, differ);
    assert_int_equal(mm_tok_eos(b), mm_tok_eos(a) < 0 ? 2 : mm_tok_eos(a));
    if (mm_tok_bos(a) >= 0)
        assert_int_equal(mm_tok_bos(b), mm_tok_bos(a));
}

static void check_tokenizer(const char *what, const char *path, bool spm)
{
    struct mm_err e = { 0 };
    struct mm_tok *a, *b;
    struct mm_ggufw *const w = mm_ggufw_new();

    mm_ggufw_str(w, "general.architecture", "llama", 5);
    const struct mm_tokexport_spec ts = { .bos = -1, .eos = 2 };
    if (mm_tokexport_gguf(w, path, &ts, &e) < 0)
        fail_msg("%s: %s", what, e.msg);
    assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), 0);
    assert_int_equal(mm_ggufw_commit(w, &e), 0);
    mm_ggufw_free(w);
    if (mm_tok_open(&a, path, &e) < 0 || mm_tok_open(&b, in_dir("a.gguf"), &e) < 0)
        fail_msg("%s: %s", what, e.msg);
    assert_int_equal(mm_tok_size(a), mm_tok_size(b));
    same_ids(what, a, b, spm);
    mm_tok_free(a);
    mm_tok_free(b);
}

/* tokenizer.json of a golden case, alone and unpacked, in dir. */
static void place_json(const char *name, const char *suffix)
{
    char path[1200], buf[65536];
    int n;

    snprintf(path, sizeof path, "%s/tokenizer/%s/model/tokenizer.json%s", golden_dir(), name,
             suffix);
    const gzFile in = gzopen(path, "rb");
    FILE *const out = fopen(in_dir("tokenizer.json"), "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((n = gzread(in, buf, sizeof buf)) > 0)
        assert_int_equal(fwrite(buf, 1, (size_t)n, out), n);
    gzclose(in);
    assert_int_equal(fclose(out), 0);
}

static void test_tokenizer(void **state)
{
    static const char *const dirs[] = { "llava/v15_orig/model", "llama/vicuna/model" };
    static const struct { const char *name, *suffix; } files[] = {
        { "json_llama_prepend", ".gz" }, { "json_llama3", "" }, { "json_gpt2", ".gz" },
    };
    char path[1200];

    (void)state;
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, "%s/%s", golden_dir(), dirs[i]);
        check_tokenizer(dirs[i], path, true);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        place_json(files[i].name, files[i].suffix);
        check_tokenizer(files[i].name, dir, i == 0);
    }
}

/* Row r of a GGUF's q or k is row `from` of the checkpoint's. */
static size_t hf_row(size_t r, size_t head_dim)
{
    const size_t head = r / head_dim, in = r % head_dim;
    return head * head_dim + (in % 2) * (head_dim / 2) + in / 2;
}

static void check_rows(const struct mm_ckpt *src, const struct mm_ckpt *dst, const char *from,
                       const char *to, enum mm_dtype type, size_t head_dim)
{
    const struct mm_tensor *const a = &mm_ckpt_lookup(src, from)->t;
    const struct mm_tensor *const b = &mm_ckpt_lookup(dst, to)->t;
    const size_t rows = (size_t)a->shape[0], cols = (size_t)a->shape[1];
    size_t bytes;
    unsigned char want[4096];
    float x[1024];

    assert_int_equal(b->dtype, type);
    assert_true(mm_shape_eq(a, b) && cols <= 1024 && mm_dtype_bytes(type, cols, &bytes));
    for (size_t r = 0; r < rows; r++) {
        const size_t q = head_dim ? hf_row(r, head_dim) : r;
        const struct mm_tensor row = { .dtype = a->dtype, .ndim = 1, .shape = { a->shape[1] },
                                       .data = (char *)a->data + q * cols *
                                               mm_dtype_block_bytes(a->dtype) };
        mm_tensor_to_f32(x, &row);
        mm_quant_row(want, type, x, cols);
        assert_memory_equal((char *)b->data + r * bytes, want, bytes);
    }
}

static void test_types(void **state)
{
    static const enum mm_dtype types[] = { MM_F32, MM_F16, MM_BF16, MM_Q4_0, MM_Q4_1, MM_Q5_0,
                                           MM_Q5_1, MM_Q8_0 };
    struct mm_pool *const pool = mm_pool_new(3);
    struct mm_err e = { 0 };
    char path[1200], *a, *b;
    size_t na, nb;

    (void)state;
    snprintf(path, sizeof path, "%s/llama/rope-llama3", golden_dir());
    struct mm_ckpt *const src = golden_open(path, "model"); /* rows of 64 and 136 */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const enum mm_dtype odd = mm_dtype_quantised(types[i]) ? MM_F16 : types[i];
        write_language("llama/rope-llama3", types[i], "a.gguf", NULL);
        write_language("llama/rope-llama3", types[i], "b.gguf", pool);
        assert_int_equal(mm_io_slurp(in_dir("a.gguf"), 1 << 24, &a, &na, &e), 0);
        assert_int_equal(mm_io_slurp(in_dir("b.gguf"), 1 << 24, &b, &nb, &e), 0);
        assert_int_equal(na, nb);
        assert_memory_equal(a, b, na);
        free(a);
        free(b);
        struct mm_ckpt *const dst = golden_open(dir, "a.gguf");
        check_rows(src, dst, "model.embed_tokens.weight", "token_embd.weight", types[i], 0);
        check_rows(src, dst, "model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight",
                   types[i], 16);
        check_rows(src, dst, "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight",
                   types[i], 16);
        check_rows(src, dst, "model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight",
                   types[i], 0);
        check_rows(src, dst, "model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", odd,
                   0);
        assert_int_equal(mm_ckpt_lookup(dst, "output_norm.weight")->t.dtype, MM_F32);
        mm_ckpt_close(dst);
    }
    mm_ckpt_close(src);
    mm_pool_free(pool);
}

static void test_refused(void **state)
{
    float x[6] = { 0 };
    const struct mm_tensor odd = { MM_F32, 2, { 3, 2 }, x }, c64 = { MM_C64, 1, { 3 }, x };
    const struct mm_convert_spec rope = { .heads = 1 }, plain = { .heads = 0 };
    struct mm_convert *const c = mm_convert_new(MM_F32);
    struct mm_ggufw *const w = mm_ggufw_new();
    struct mm_llama_gguf lm;
    struct mm_err e = { 0 };
    char path[1200];

    (void)state;
    assert_int_equal(mm_convert_add(c, "t", &odd, &rope, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_convert_add(c, "t", &c64, &plain, &e), MM_EDATA);
    mm_err_clear(&e);
    /* another architecture; no projector */
    snprintf(path, sizeof path, "%s/clip/text-eos", golden_dir());
    struct mm_ckpt *const clip = golden_open(path, "model");
    assert_int_equal(mm_llama_gguf_plan(&lm, c, w, clip, "x", &e), MM_EMISSING);
    mm_ckpt_close(clip);
    mm_convert_free(c);
    mm_ggufw_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language),  cmocka_unit_test(test_mmproj),
        cmocka_unit_test(test_tokenizer), cmocka_unit_test(test_types),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
