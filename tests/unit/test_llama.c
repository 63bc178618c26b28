/* LLaMA against the golden family llama: every stage, greedy ids, batches with and
 * without a cache, both cache types, any split of the prompt.
 */
#include "stages.h"

#include "model/llama.h"

static struct mm_pool *pool;

static struct mm_llama *open_llama(struct mm_ckpt *ck)
{
    struct mm_err e = { 0 };
    struct mm_llama *m = NULL;

    if (mm_llama_open(&m, ck, &e) < 0)
        fail_msg("%s", e.msg);
    return m;
}

static int32_t *ids_of(struct mm_ckpt *in, const char *name, size_t *n)
{
    const struct mm_ckpt_entry *en = mm_ckpt_lookup(in, name);

    assert_non_null(en);
    *n = mm_tensor_count(&en->t);
    int32_t *ids = malloc((*n + 1) * sizeof(*ids));
    for (size_t i = 0; i < *n; i++) {
        int64_t v;

        assert_int_equal(en->t.dtype, MM_I64);
        memcpy(&v, (const char *)en->t.data + 8 * i, 8);
        ids[i] = (int32_t)v;
    }
    return ids;
}

static void init(struct mm_ctx *c)
{
    struct mm_err e = { 0 };

    assert_int_equal(mm_ctx_init(c, pool, MM_ARITH_EXACT, &e), 0);
}

/* Feeds n ids at the cache's end; logits of the last row (or of all, *rows). */
static struct mm_var *step(struct mm_ctx *c, const struct mm_llama *m, struct mm_kv *kv,
                           const int32_t *ids, size_t n)
{
    const struct mm_seq seq = { .kv = kv, .n = n };
    struct mm_var *h = mm_llama_hidden(c, m, mm_llama_embed(c, m, ids, n), &seq, 1);
    struct mm_var *l = mm_llama_logits(c, m, h);

    if (!l)
        fail_msg("%s", c->err.msg);
    return l;
}

static int32_t argmax(const float *x, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return (int32_t)best;
}

static void one_case(const char *name, const char *model)
{
    struct stages s;
    char dir[1200];
    struct mm_err e = { 0 };
    struct mm_kv *kv;
    struct mm_ctx c;
    size_t n;

    stages_open(&s, name);
    snprintf(dir, sizeof(dir), "%s/%s", s.dir, model);
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    struct mm_ckpt *ck = golden_open(dir, "");
    struct mm_llama *m = open_llama(ck);
    int32_t *ids = ids_of(in, "input_ids", &n);
    json_t *expected = NULL;

    snprintf(dir, sizeof(dir), "%s/expected.json", s.dir);
    assert_int_equal(mm_json_file(&expected, dir, &e), 0);
    init(&c);
    c.trace = stages_trace;
    c.trace_arg = &s;
    assert_int_equal(mm_llama_kv(&kv, m, MM_F32, &e), 0);
    struct mm_var *l = step(&c, m, kv, ids, n);
    stages_trace(&s, "logits", &l->t);
    c.trace = NULL;
    /* greedy */
    const size_t V = (size_t)mm_llama_config(m)->vocab;
    const json_t *greedy = json_object_get(expected, "greedy");
    const size_t steps = json_array_size(greedy);
    const float *last = mm_f32(l) + (n - 1) * V;
    float *all = malloc((steps + 1) * V * sizeof(float));
    for (size_t i = 0; i < steps; i++) {
        const int32_t id = argmax(last, V);

        memcpy(all + i * V, last, V * sizeof(float));
        assert_int_equal(id, json_integer_value(json_array_get(greedy, i)));
        last = mm_f32(step(&c, m, kv, &id, 1));
    }
    stages_check(&s, "greedy.logits", all, steps * V);
    stages_done(&s, "greedy.logits", NULL);
    stages_done(&s, "*", "[bg][a-z_]*.*"); /* greedy was checked above */
    print_message("%s: worst %.3f of its tolerance\n", name, s.worst);
    free(all);
    free(ids);
    json_decref(expected);
    mm_kv_free(kv);
    mm_ctx_free(&c);
    mm_llama_free(m);
    mm_ckpt_close(ck);
    mm_ckpt_close(in);
    stages_close(&s);
}

#define CASE(id, path) \
    static void test_##id(void **state) \
    { \
        (void)state; \
        one_case(path, "model"); \
    }
CASE(mha, "llama/mha")
CASE(gqa, "llama/gqa")
CASE(tied, "llama/tied")
CASE(theta, "llama/theta")
CASE(linear, "llama/rope-linear")
CASE(dynamic, "llama/rope-dynamic")
CASE(llama3, "llama/rope-llama3")
CASE(yarn, "llama/rope-yarn")
CASE(window, "llama/mistral-window")
CASE(bias, "llama/bias-headdim")
CASE(vicuna, "llama/vicuna")
CASE(gguf_f32, "weights/gguf-llama-f32")
CASE(gguf_f16, "weights/gguf-llama-f16")
CASE(gguf_bf16, "weights/gguf-llama-bf16")
CASE(gguf_q8_0, "weights/gguf-llama-q8_0")
CASE(gguf_q4_0, "weights/gguf-llama-q4_0")
CASE(gguf_kmix, "weights/gguf-llama-kmix")

/* Two rows of unlike length together give what each gives alone. */
static void ragged(const char *name)
{
    struct stages s;
    struct mm_err e = { 0 };
    struct mm_kv *kv[2];
    struct mm_ctx c;
    size_t n, nm, at = 0;
    char dir[1200];

    stages_open(&s, name);
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    snprintf(dir, sizeof(dir), "%s/model", s.dir);
    struct mm_ckpt *ck = golden_open(dir, "");
    struct mm_llama *m = open_llama(ck);
    int32_t *ids = ids_of(in, "batch_ids", &n), *mask = ids_of(in, "batch_mask", &nm);
    struct mm_seq seqs[2] = { { 0 }, { 0 } };

    assert_int_equal(n, nm);
    for (size_t i = 0; i < n; i++)
        if (mask[i]) {
            ids[at++] = ids[i];
            seqs[i / (n / 2)].n++;
        }
    init(&c);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mm_llama_kv(&kv[i], m, MM_F32, &e), 0);
        seqs[i].kv = kv[i];
    }
    struct mm_var *l = mm_llama_logits(
        &c, m, mm_llama_hidden(&c, m, mm_llama_embed(&c, m, ids, at), seqs, 2));
    assert_non_null(l);
    const size_t V = (size_t)mm_llama_config(m)->vocab;
    stages_check(&s, "batch.0.logits", mm_f32(l), seqs[0].n * V);
    stages_check(&s, "batch.1.logits", mm_f32(l) + seqs[0].n * V, seqs[1].n * V);
    stages_done(&s, "batch.?.logits", NULL);
    for (int i = 0; i < 2; i++)
        mm_kv_free(kv[i]);
    free(ids);
    free(mask);
    mm_ctx_free(&c);
    mm_llama_free(m);
    mm_ckpt_close(ck);
    mm_ckpt_close(in);
    stages_close(&s);
}

static void test_ragged(void **state)
{
    (void)state;
    ragged("llama/gqa");
    ragged("llama/mistral-window");
}

/* No cache, a cache filled in pieces, truncated and filled again: one result. */
static void test_pieces(void **state)
{
    struct stages s;
    struct mm_err e = { 0 };
    struct mm_kv *kv, *copy;
    struct mm_ctx c;
    size_t n;
    char dir[1200];

    (void)state;
    stages_open(&s, "llama/gqa");
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    snprintf(dir, sizeof(dir), "%s/model", s.dir);
    struct mm_ckpt *ck = golden_open(dir, "");
    struct mm_llama *m = open_llama(ck);
    int32_t *ids = ids_of(in, "input_ids", &n);
    const size_t V = (size_t)mm_llama_config(m)->vocab;

    init(&c);
    stages_trace(&s, "logits", &step(&c, m, NULL, ids, n)->t);
    stages_done(&s, "logits", NULL);
    assert_int_equal(mm_llama_kv(&kv, m, MM_F32, &e), 0);
    assert_int_equal(mm_llama_kv(&copy, m, MM_F32, &e), 0);
    float *all = malloc(n * V * sizeof(float));
    memcpy(all, mm_f32(step(&c, m, kv, ids, 5)), 5 * V * sizeof(float));
    (void)step(&c, m, kv, ids, 3); /* a wrong turn: one place taken back, two not copied */
    mm_kv_truncate(kv, 6);
    assert_int_equal(mm_kv_copy(copy, kv, 5, &e), 0);
    for (size_t i = 5; i < n; i++)
        memcpy(all + i * V, mm_f32(step(&c, m, copy, ids + i, 1)), V * sizeof(float));
    stages_check(&s, "logits", all, n * V);
    assert_int_equal(mm_kv_len(copy), n);
    free(all);
    free(ids);
    mm_kv_free(kv);
    mm_kv_free(copy);
    mm_ctx_free(&c);
    mm_llama_free(m);
    mm_ckpt_close(ck);
    mm_ckpt_close(in);
    stages_close(&s);
}

/* dynamic RoPE without a cache: the base moves with the length for all keys */
static void test_dynamic_no_cache(void **state)
{
    struct stages s;
    struct mm_err e = { 0 };
    struct mm_ctx c;
    size_t n;
    char dir[1200];
    json_t *expected = NULL;

    (void)state;
    stages_open(&s, "llama/rope-dynamic");
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    snprintf(dir, sizeof(dir), "%s/model", s.dir);
    struct mm_ckpt *ck = golden_open(dir, "");
    struct mm_llama *m = open_llama(ck);
    int32_t *ids = ids_of(in, "input_ids", &n);

    snprintf(dir, sizeof(dir), "%s/expected.json", s.dir);
    assert_int_equal(mm_json_file(&expected, dir, &e), 0);
    const json_t *greedy = json_object_get(expected, "greedy_without_cache");
    const size_t V = (size_t)mm_llama_config(m)->vocab, steps = json_array_size(greedy);
    float *all = malloc((steps + 1) * V * sizeof(float));
    assert_true(steps > 0);
    ids = realloc(ids, (n + steps) * sizeof(*ids));
    init(&c);
    for (size_t i = 0; i < steps; i++) {
        const float *last = mm_f32(step(&c, m, NULL, ids, n)) + (n - 1) * V;

        memcpy(all + i * V, last, V * sizeof(float));
        ids[n++] = argmax(last, V);
        assert_int_equal(ids[n - 1], json_integer_value(json_array_get(greedy, i)));
    }
    stages_check(&s, "greedy_without_cache.logits", all, steps * V);
    stages_done(&s, "greedy_without_cache.logits", NULL);
    free(all);
    free(ids);
    json_decref(expected);
    mm_ctx_free(&c);
    mm_llama_free(m);
    mm_ckpt_close(ck);
    mm_ckpt_close(in);
    stages_close(&s);
}

/* An id outside the vocabulary is an error, not a read past the table. */
static void test_bad_id(void **state)
{
    const int32_t ids[2] = { 1, 1 << 20 };
    struct mm_ctx c;
    char dir[1200];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/llama/mha/model", golden_dir());
    struct mm_ckpt *ck = golden_open(dir, "");
    struct mm_llama *m = open_llama(ck);
    init(&c);
    assert_null(mm_llama_embed(&c, m, ids, 2));
    assert_int_equal(c.err.code, MM_EDATA);
    mm_ctx_free(&c);
    mm_llama_free(m);
    mm_ckpt_close(ck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mha),       cmocka_unit_test(test_gqa),
        cmocka_unit_test(test_tied),      cmocka_unit_test(test_theta),
        cmocka_unit_test(test_linear),    cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_llama3),    cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_window),    cmocka_unit_test(test_bias),
        cmocka_unit_test(test_vicuna),    cmocka_unit_test(test_gguf_f32),
        cmocka_unit_test(test_gguf_f16),  cmocka_unit_test(test_gguf_bf16),
        cmocka_unit_test(test_gguf_q8_0), cmocka_unit_test(test_gguf_q4_0),
        cmocka_unit_test(test_gguf_kmix), cmocka_unit_test(test_ragged),
        cmocka_unit_test(test_pieces),    cmocka_unit_test(test_bad_id),
        cmocka_unit_test(test_dynamic_no_cache),
    };

    pool = mm_pool_new(2);
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    mm_pool_free(pool);
    return rc;
}
