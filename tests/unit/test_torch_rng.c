/* test_torch_rng.c: every draw of golden family rng. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/torch_rng.h"
#include "golden.h"

enum { MAX_DRAW = 4096 };

struct draw {
    const char *op;
    size_t n;
    int64_t low, high;
};

/* What a draw gave: f for floats, d for doubles, i for integers. */
struct drawn {
    float f[MAX_DRAW];
    double d[MAX_DRAW];
    int64_t i[MAX_DRAW];
};

static void draw(struct mm_torch_rng *r, struct drawn *out, size_t at, const struct draw *d)
{
    if (strcmp(d->op, "rand") == 0)
        mm_torch_rng_rand(r, out->f + at, d->n);
    else if (strcmp(d->op, "randn") == 0)
        mm_torch_rng_randn(r, out->f + at, d->n);
    else if (strcmp(d->op, "rand_f64") == 0)
        mm_torch_rng_rand_f64(r, out->d + at, d->n);
    else if (strcmp(d->op, "randn_f64") == 0)
        mm_torch_rng_randn_f64(r, out->d + at, d->n);
    else if (strcmp(d->op, "randn_f16") == 0)
        mm_torch_rng_randn_half(r, MM_F16, out->f + at, d->n);
    else if (strcmp(d->op, "randn_bf16") == 0)
        mm_torch_rng_randn_half(r, MM_BF16, out->f + at, d->n);
    else if (strcmp(d->op, "randint") == 0)
        mm_torch_rng_randint(r, out->i + at, d->n, d->low, d->high);
    else if (strcmp(d->op, "randperm") == 0)
        mm_torch_rng_randperm(r, out->i + at, d->n);
    else
        fail_msg("unknown op %s", d->op);
}

static double stage_rtol(const json_t *cs, const char *name)
{
    size_t i;
    json_t *s;

    json_array_foreach (json_object_get(cs, "stages"), i, s)
        if (strcmp(mm_json_str(s, "name", "", NULL), name) == 0)
            return mm_json_num(s, "rtol", 0.0, NULL);
    fail_msg("no stage %s", name);
    return 0.0;
}

static void compare(const struct drawn *got, size_t n, const char *stage, const json_t *cs,
                    const struct mm_ckpt *want, const json_t *want_f64)
{
    const json_t *list = json_object_get(want_f64, stage);
    const struct mm_tensor *t;

    if (list != NULL) {
        assert_int_equal(json_array_size(list), n);
        for (size_t i = 0; i < n; i++) {
            const double w = json_number_value(json_array_get(list, i));

            assert_true(fabs(got->d[i] - w) <= 1e-12 * fmax(1.0, fabs(w)));
        }
        return;
    }
    t = golden_tensor(want, stage);
    assert_int_equal(mm_tensor_count(t), n);
    if (t->dtype == MM_I64) {
        assert_memory_equal(got->i, t->data, n * sizeof(int64_t));
    } else {
        float *w = malloc(n * sizeof(*w));
        double d;

        assert_non_null(w);
        mm_tensor_to_f32(w, t);
        d = golden_rel_l2(got->f, w, n);
        free(w);
        if (d > stage_rtol(cs, stage))
            fail_msg("%s: relative error %g, allowed %g", stage, d, stage_rtol(cs, stage));
    }
}

/* With several seeds each draw is made from every seed's own generator. */
static size_t run_draw(struct mm_torch_rng *rng, size_t nseeds, struct drawn *got,
                       const json_t *spec)
{
    struct draw d = { .op = mm_json_str(spec, "op", "", NULL), .n = 1 };
    const json_t *shape = json_object_get(spec, "shape");

    for (size_t i = 0; i < json_array_size(shape); i++)
        d.n *= (size_t)json_integer_value(json_array_get(shape, i));
    d.low = mm_json_int(spec, "low", 0, NULL);
    d.high = mm_json_int(spec, "high", 0, NULL);
    assert_true(d.n * nseeds <= MAX_DRAW);
    for (size_t s = 0; s < nseeds; s++)
        draw(&rng[s], got, s * d.n, &d);
    return d.n * nseeds;
}

static void test_golden(void **state)
{
    struct mm_ckpt *want = golden_open("rng/torch-cpu/expected.safetensors");
    static struct mm_torch_rng rng[8];
    static struct drawn got;
    struct mm_err e = { 0 };
    char path[500], stage[200];
    json_t *cs, *f64, *run, *spec;
    size_t i, k, stages = 0;

    (void)state;
    assert_int_equal(mm_json_file(&cs, golden_path(path, sizeof(path), "rng/torch-cpu/case.json"),
                                  &e), 0);
    assert_int_equal(mm_json_file(&f64, golden_path(path, sizeof(path),
                                                    "rng/torch-cpu/expected.json"), &e), 0);
    json_array_foreach (json_object_get(json_object_get(cs, "config"), "runs"), i, run) {
        const json_t *seeds = json_object_get(run, "seeds");
        const size_t nseeds = json_array_size(seeds);

        assert_true(nseeds >= 1 && nseeds <= 8);
        for (k = 0; k < nseeds; k++)
            mm_torch_rng_seed(&rng[k], json_integer_value(json_array_get(seeds, k)));
        json_array_foreach (json_object_get(run, "draws"), k, spec) {
            const size_t n = run_draw(rng, nseeds, &got, spec);

            snprintf(stage, sizeof(stage), "%s.%zu", mm_json_str(run, "name", "", NULL), k);
            compare(&got, n, stage, cs, want, f64);
            stages++;
        }
    }
    assert_int_equal(stages, json_array_size(json_object_get(cs, "stages"))
                                 + json_object_size(f64));
    json_decref(cs);
    json_decref(f64);
    mm_ckpt_close(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
