/* test_ops_golden.c: every operation of golden train/ops: result and gradients
 * against the reference, each within its tolerance, and the same bytes for one
 * thread and three.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "opcases.h"

static struct mm_ckpt *inputs, *expected;
static json_t *conf;
static const json_t *ops, *stages;

static double tolerance(const char *stage)
{
    const json_t *s;
    size_t i;

    json_array_foreach(stages, i,
                       s) if (strcmp(json_string_value(json_object_get(s, "name")), stage) ==
                              0) return json_number_value(json_object_get(s, "rtol"));
    fail_msg("case.json has no stage %s", stage);
    return 0;
}

/* Compare one tensor with its stage. */
static void check_stage(const char *name, const char *kind, const char *role,
                        const struct mm_tensor *t, const float *got)
{
    char stage[200];
    const struct mm_tensor *want;
    const size_t n = mm_tensor_count(t);
    float *w = oc_zalloc(n, sizeof(*w));
    double err;

    snprintf(stage, sizeof(stage), "%s/%s%s", name, kind, role);
    want = golden_tensor(expected, stage);
    assert_int_equal(mm_tensor_count(want), n);
    if (!mm_shape_eq(want, t))
        fail_msg("%s: other shape", stage);
    mm_tensor_to_f32(w, want);
    err = golden_rel_l2(got, w, n);
    free(w);
    if (!(err <= tolerance(stage)))
        fail_msg("%s: relative L2 distance %.3g, allowed %.3g", stage, err, tolerance(stage));
}

static struct mm_var *forward_backward(struct oc *o, struct mm_ctx *c)
{
    struct mm_var *y;

    assert_int_equal(mm_tape_new(c, NULL), 0);
    y = oc_run(o, c);
    assert_int_equal(c->err.code, 0);
    assert_non_null(y);
    assert_true(y->needs_grad);
    mm_backward_from(c, y, o->arg[oc_find(o, "upstream")].t.data);
    assert_int_equal(c->err.code, 0);
    return y;
}

static void one_case(void **state)
{
    const char *name = *state;
    struct mm_pool *pool = mm_pool_new(3);
    struct mm_ctx one, three;
    struct mm_var *y1, *y3;
    struct oc o, p;

    assert_non_null(pool);
    if (!oc_op(name))
        fail_msg("%s: opcases.h has no such operation", name);
    oc_load(&o, inputs, name, json_object_get(ops, name));
    p = o;
    assert_int_equal(mm_ctx_init(&one, NULL, MM_ARITH_EXACT, NULL), 0);
    assert_int_equal(mm_ctx_init(&three, pool, MM_ARITH_EXACT, NULL), 0);
    y1 = forward_backward(&o, &one);
    y3 = forward_backward(&p, &three);
    check_stage(name, "out", "", &y1->t, mm_f32(y1));
    assert_memory_equal(mm_f32(y1), mm_f32(y3), mm_tensor_bytes(&y1->t));
    for (int i = 0; i < o.n; i++) {
        if (!o.arg[i].differentiable)
            continue;
        assert_non_null(o.var[i]->grad);
        check_stage(name, "grad.", o.arg[i].role, &o.arg[i].t, o.var[i]->grad);
        assert_memory_equal(o.var[i]->grad, p.var[i]->grad, mm_tensor_bytes(&o.arg[i].t));
    }
    mm_tape_free(&one);
    mm_tape_free(&three);
    mm_ctx_free(&one);
    mm_ctx_free(&three);
    mm_pool_free(pool);
    oc_free(&o);
}

int main(void)
{
    struct mm_err e = { 0 };
    struct CMUnitTest *tests;
    char path[500];
    const char *name;
    json_t *v;
    size_t n = 0;
    int failed;

    inputs = golden_open("train/ops/inputs.safetensors");
    expected = golden_open("train/ops/expected.safetensors");
    if (mm_json_file(&conf, golden_path(path, sizeof(path), "train/ops/case.json"), &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    ops = json_object_get(json_object_get(conf, "config"), "ops");
    stages = json_object_get(conf, "stages");
    tests = oc_zalloc(json_object_size(ops), sizeof(*tests));
    json_object_foreach((json_t *)ops, name, v)
    {
        tests[n].name = name;
        tests[n].test_func = one_case;
        tests[n++].initial_state = (void *)name;
    }
    failed = _cmocka_run_group_tests("ops_golden", tests, n, NULL, NULL);
    free(tests);
    json_decref(conf);
    mm_ckpt_close(inputs);
    mm_ckpt_close(expected);
    return failed;
}
