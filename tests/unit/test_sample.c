/* Logits processors against the golden case llama/processors; the draw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"

#include "base/json.h"
#include "nn/sample.h"

enum { V = 97, B = 3 };

static struct mm_sample_spec setting(const json_t *s)
{
    struct mm_sample_spec o = mm_sample_defaults;
    struct mm_err e = { 0 };

    o.temperature = mm_json_num(s, "temperature", 1, &e);
    o.top_k = (size_t)mm_json_int(s, "top_k", 0, &e);
    o.top_p = mm_json_num(s, "top_p", 1, &e);
    o.min_p = mm_json_num(s, "min_p", 0, &e);
    o.typical_p = mm_json_num(s, "typical_p", 1, &e);
    o.repeat_penalty = mm_json_num(s, "repetition_penalty", 1, &e);
    o.no_repeat_ngram = (size_t)mm_json_int(s, "no_repeat_ngram_size", 0, &e);
    return o;
}

static void softmax(float *p, const float *l)
{
    const double lse = mm_logsumexp(l, V);

    for (size_t i = 0; i < V; i++)
        p[i] = (float)exp(l[i] - lse);
}

static void processors(void **state)
{
    struct mm_ckpt *in = golden_open("llama/processors/inputs.safetensors");
    struct mm_ckpt *want = golden_open("llama/processors/expected.safetensors");
    const struct mm_tensor *logits = golden_tensor(in, "logits");
    const struct mm_tensor *ids = golden_tensor(in, "input_ids");
    const size_t n = (size_t)ids->shape[1];
    struct mm_err e = { 0 };
    char path[500];
    json_t *c;
    json_t *s;
    size_t i;

    (void)state;
    assert_int_equal(mm_json_file(&c, golden_path(path, sizeof(path),
                                                  "llama/processors/case.json"), &e), 0);
    const json_t *settings = json_object_get(json_object_get(c, "config"), "settings");
    assert_int_equal(json_array_size(settings), 20);
    assert_int_equal(logits->shape[0], B);
    assert_int_equal(logits->shape[1], V);
    json_array_foreach(settings, i, s) {
        const struct mm_sample_spec o = setting(s);
        struct mm_sampler *sp;
        float l[B * V];
        float p[B * V];
        float w[B * V];
        char name[40];
        assert_int_equal(mm_sampler_new(&sp, &o, V, &e), 0);
        mm_tensor_to_f32(l, logits);
        for (size_t b = 0; b < B; b++) {
            int32_t history[200];
            assert_true(n < 200);
            for (size_t k = 0; k < n; k++) {
                int64_t v;
                memcpy(&v, (const char *)ids->data + 8 * (b * n + k), 8);
                history[k] = (int32_t)v;
            }
            mm_sampler_penalise(sp, l + b * V, history, n, 0);
            mm_sampler_warp(sp, l + b * V);
            softmax(p + b * V, l + b * V);
        }
        for (size_t k = 0; k < B * V; k++)
            l[k] = l[k] == -INFINITY ? -1e30f : l[k];
        snprintf(name, sizeof(name), "scores.%zu", i);
        mm_tensor_to_f32(w, golden_tensor(want, name));
        for (size_t k = 0; k < B * V; k++)
            if ((l[k] < -1e29f) != (w[k] < -1e29f))
                fail_msg("setting %zu, element %zu: %g, want %g", i, k, l[k], w[k]);
        assert_true(golden_rel_l2(l, w, B * V) <= 1e-4);
        snprintf(name, sizeof(name), "probs.%zu", i);
        mm_tensor_to_f32(w, golden_tensor(want, name));
        const double d = golden_rel_l2(p, w, B * V);
        if (!(d <= 1e-5))
            fail_msg("%s: %g", name, d);
        mm_sampler_free(sp);
    }
    json_decref(c);
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

/* The draw follows the distribution, and the seed alone decides it. */
static void draw(void **state)
{
    static const float l[5] = { 0.0f, 1.0f, -INFINITY, 1.0f, -2.0f };
    struct mm_sample_spec o = mm_sample_defaults;
    struct mm_sampler *s;
    struct mm_err e = { 0 };
    struct mm_rng a;
    struct mm_rng b;
    size_t count[5] = { 0 };
    const size_t n = 100000;

    (void)state;
    o.temperature = 1;
    assert_int_equal(mm_sampler_new(&s, &o, 5, &e), 0);
    mm_rng_seed(&a, 7);
    mm_rng_seed(&b, 7);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = mm_sampler_pick(s, l, &a);
        assert_int_equal(id, mm_sampler_pick(s, l, &b));
        count[id]++;
    }
    const double lse = mm_logsumexp(l, 5);
    for (size_t i = 0; i < 5; i++) {
        const double p = exp(l[i] - lse);
        assert_true(fabs((double)count[i] / (double)n - p) < 5 * sqrt(p / (double)n) + 1e-9);
    }
    mm_sampler_free(s);
}

static void rules(void **state)
{
    static const int32_t eos[] = { 2 };
    static const int32_t never[] = { 3 };
    static const int32_t history[] = { 5, 5, 6 };
    const struct mm_bias bias[] = { { 1, 10.0f } };
    struct mm_sample_spec o = mm_sample_defaults;
    struct mm_sampler *s;
    struct mm_err e = { 0 };
    float l[8] = { 0, 1, 9, 9, 4, 4, 4, 20 };

    (void)state;
    o.bias = bias;
    o.nbias = 1;
    o.eos = eos;
    o.neos = 1;
    o.never = never;
    o.nnever = 1;
    o.min_tokens = 4;
    o.limit = 7;
    o.frequency_penalty = 0.5;
    o.presence_penalty = 1;
    assert_int_equal(mm_sampler_new(&s, &o, 8, &e), 0);
    mm_sampler_penalise(s, l, history, 3, 3);
    const float want[8] = { 0, 11, -INFINITY, -INFINITY, 4, 2, 2.5f, -INFINITY };
    for (size_t i = 0; i < 8; i++)
        assert_true(l[i] == want[i]);
    assert_int_equal(mm_sampler_pick(s, l, NULL), 1); /* greedy needs no generator */
    const float tie[8] = { 1, 3, 3, 3, NAN, 0, 0, 0 };
    assert_int_equal(mm_argmax(tie, 8), 1);
    for (size_t i = 0; i < 8; i++)
        l[i] = NAN;
    assert_int_equal(mm_sampler_pick(s, l, NULL), -1);
    mm_sampler_free(s);
}

/* Flat distributions take the path that sorts everything. */
static void flat(void **state)
{
    enum { N = 50000 };
    struct mm_sample_spec o = mm_sample_defaults;
    struct mm_sampler *s;
    struct mm_err e = { 0 };
    struct mm_rng r;
    float *l = calloc(N, sizeof(*l));

    (void)state;
    o.temperature = 1;
    o.top_p = 0.5;
    assert_int_equal(mm_sampler_new(&s, &o, N, &e), 0);
    l[0] = 9; /* all others lie beyond the narrow band */
    mm_sampler_warp(s, l);
    size_t kept = 0;
    for (size_t i = 0; i < N; i++)
        kept += l[i] > -INFINITY;
    const double mass = exp(9) + N - 1; /* exp(9) + k - 1 >= mass / 2 */
    assert_int_equal(kept, (size_t)ceil(mass / 2 - exp(9)) + 1);
    mm_rng_seed(&r, 1);
    assert_true(mm_sampler_pick(s, l, &r) >= 0);
    mm_sampler_free(s);
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processors),
        cmocka_unit_test(draw),
        cmocka_unit_test(rules),
        cmocka_unit_test(flat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
