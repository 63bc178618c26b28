/* test_ops_grad.c: backward steps proved without a reference.
 *
 * For a result y(x) and random weights u, L(x) = sum u y(x) and g = dL/dx:
 *   - where y is affine in x:  L(x) - L(0) = <x, g>  (the adjoint test);
 *   - everywhere:  (L(x + h d) - L(x - h d)) / 2h = <g, d> for random d.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <float.h>

#include <cmocka.h>

#include "base/rng.h"
#include "opcases.h"

static struct mm_ckpt *inputs;
static json_t *conf;
static const json_t *ops;

/* L, and the sum of |u y|: what its rounding is proportional to. */
static double weighed(struct oc *o, const float *u, double *size)
{
    struct mm_ctx c;
    struct mm_var *y;
    double sum = 0;

    *size = 0;
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, NULL), 0);
    y = oc_run(o, &c);
    assert_non_null(y);
    assert_false(y->needs_grad); /* without a tape nothing is recorded */
    for (size_t i = 0; i < mm_tensor_count(&y->t); i++) {
        sum += (double)u[i] * (double)mm_f32(y)[i];
        *size += fabs((double)u[i] * (double)mm_f32(y)[i]);
    }
    mm_ctx_free(&c);
    return sum;
}

static double dot(const float *a, const float *b, size_t n)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)a[i] * (double)b[i];
    return s;
}

/* L at x + h d, where keep holds x. */
static double moved(struct oc *o, int arg, const float *keep, const float *d, double h,
                    const float *u, double *size)
{
    const size_t n = mm_tensor_count(&o->arg[arg].t);
    float *x = o->arg[arg].t.data;
    double value;

    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)keep[i] + h * (double)d[i]);
    value = weighed(o, u, size);
    memcpy(x, keep, n * sizeof(*x));
    return value;
}

/* A difference quotient and a bound of its error.  Halving h shows the
 * truncation: that of the finer quotient is a third of the difference for a
 * smooth function, so the whole difference bounds it.  Rounding: four roundings
 * an element, over h. */
static double quotient(struct oc *o, int arg, const float *keep, const float *d, double h,
                       const float *u, double *bound)
{
    double q[2], size[2];

    for (int i = 0; i < 2; i++) {
        const double step = i ? h / 2 : h;

        q[i] = (moved(o, arg, keep, d, step, u, &size[0]) -
                moved(o, arg, keep, d, -step, u, &size[1])) /
               (2 * step);
    }
    *bound = fabs(q[0] - q[1]) + 4 * (double)FLT_EPSILON * fmax(size[0], size[1]) / (h / 2);
    return q[1];
}

/* Of several steps the one with the least bound counts.  The largest is where
 * the error still falls with h^2, and a kink is not stepped over. */
static void check_differences(struct oc *o, int arg, const float *g, const float *u,
                              struct mm_rng *rng)
{
    const size_t n = mm_tensor_count(&o->arg[arg].t);
    float *keep = oc_zalloc(n, sizeof(*keep)), *d = oc_zalloc(n, sizeof(*d));
    const bool kinks = oc_op(o->name)->kinks;
    const bool affine = strchr(oc_op(o->name)->linear, o->arg[arg].role[0]);
    double scale, best = 0, tol = HUGE_VAL;

    memcpy(keep, o->arg[arg].t.data, n * sizeof(*keep));
    scale = fmin(1, sqrt(dot(keep, keep, n) / (double)n));
    for (size_t i = 0; i < n; i++)
        d[i] = (float)(scale * mm_rng_normal(rng));
    for (double h = affine ? 1 : kinks ? 1 / 1024.0 : 1 / 16.0; h >= 1 / 1024.0; h /= 4) {
        double bound;
        const double q = quotient(o, arg, keep, d, h, u, &bound);

        if (bound < tol) {
            tol = bound;
            best = q;
        }
    }
    if (!(fabs(best - dot(g, d, n)) <= tol))
        fail_msg("%s: by %s: difference quotient %.6g, gradient %.6g, tolerance %.2g", o->name,
                 o->arg[arg].role, best, dot(g, d, n), tol);
    if (tol > 0.1 * scale * sqrt(dot(g, g, n)))
        fail_msg("%s: by %s: tolerance %.2g would hide a wrong gradient of size %.2g", o->name,
                 o->arg[arg].role, tol, scale * sqrt(dot(g, g, n)));
    free(keep);
    free(d);
}

/* Sums of at most N terms, N the size of the largest tensor: an error of N
 * epsilon times the sum of absolute values bounds every order (Higham 2002). */
static void check_adjoint(struct oc *o, int arg, const float *g, const float *u, size_t largest)
{
    const size_t n = mm_tensor_count(&o->arg[arg].t);
    float *x = o->arg[arg].t.data;
    float *keep = oc_zalloc(n, sizeof(*keep));
    double size[2], abs_sum = 0, left, right, tol;

    memcpy(keep, x, n * sizeof(*keep));
    left = weighed(o, u, &size[0]);
    memset(x, 0, n * sizeof(*x));
    left -= weighed(o, u, &size[1]);
    memcpy(x, keep, n * sizeof(*x));
    right = dot(x, g, n);
    for (size_t i = 0; i < n; i++)
        abs_sum += fabs((double)x[i] * (double)g[i]);
    tol = (double)largest * (double)FLT_EPSILON * (size[0] + size[1] + abs_sum);
    if (!(fabs(left - right) <= tol))
        fail_msg("%s: by %s: <Ax,u> = %.8g, <x,A'u> = %.8g, tolerance %.2g", o->name,
                 o->arg[arg].role, left, right, tol);
    free(keep);
}

/* An argument's gradient is the same, to the bit, while the others are frozen. */
static void check_alone(struct oc *o, int arg, const float *g, const float *u)
{
    struct oc alone = *o;
    struct mm_ctx c;

    for (int i = 0; i < o->n; i++)
        alone.arg[i].differentiable = i == arg;
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, NULL), 0);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    mm_backward_from(&c, oc_run(&alone, &c), u);
    assert_int_equal(c.err.code, 0);
    assert_memory_equal(alone.var[arg]->grad, g, mm_tensor_bytes(&o->arg[arg].t));
    for (int i = 0; i < o->n; i++)
        assert_true(i == arg || !alone.var[i]->grad);
    mm_tape_free(&c);
    mm_ctx_free(&c);
}

/* A tape records nothing where nothing needs a gradient. */
static void check_frozen(struct oc *o)
{
    struct mm_ctx c;

    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, NULL), 0);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    for (int i = 0; i < o->n; i++)
        o->arg[i].differentiable = false;
    assert_non_null(oc_run(o, &c));
    assert_int_equal(mm_tape_count(&c), 0);
    mm_tape_free(&c);
    mm_ctx_free(&c);
}

static void one_case(void **state)
{
    const char *name = *state;
    struct mm_ctx c;
    struct mm_rng rng;
    struct oc o;
    const struct mm_var *y;
    float *u, *g[OC_ARGS] = { 0 };
    size_t n, largest;

    mm_rng_seed(&rng, 1);
    if (!oc_op(name))
        fail_msg("%s: opcases.h has no such operation", name);
    oc_load(&o, inputs, name, json_object_get(ops, name));
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, NULL), 0);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    y = oc_run(&o, &c);
    assert_non_null(y);
    largest = n = mm_tensor_count(&y->t);
    u = oc_zalloc(n, sizeof(*u));
    for (size_t i = 0; i < n; i++)
        u[i] = (float)mm_rng_normal(&rng);
    mm_backward_from(&c, (struct mm_var *)y, u);
    assert_int_equal(c.err.code, 0);
    for (int i = 0; i < o.n; i++) {
        const size_t m = mm_tensor_count(&o.arg[i].t);

        largest = m > largest ? m : largest;
        if (!o.arg[i].differentiable)
            continue;
        g[i] = oc_zalloc(m, sizeof(float));
        memcpy(g[i], o.var[i]->grad, m * sizeof(float));
    }
    mm_tape_free(&c);
    mm_ctx_free(&c);
    for (int i = 0; i < o.n; i++) {
        if (!g[i])
            continue;
        check_differences(&o, i, g[i], u, &rng);
        check_alone(&o, i, g[i], u);
        if (strchr(oc_op(name)->linear, o.arg[i].role[0]))
            check_adjoint(&o, i, g[i], u, largest);
    }
    check_frozen(&o);
    for (int i = 0; i < o.n; i++)
        free(g[i]);
    free(u);
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
    if (mm_json_file(&conf, golden_path(path, sizeof(path), "train/ops/case.json"), &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    ops = json_object_get(json_object_get(conf, "config"), "ops");
    tests = oc_zalloc(json_object_size(ops), sizeof(*tests));
    json_object_foreach((json_t *)ops, name, v)
    {
        tests[n].name = name;
        tests[n].test_func = one_case;
        tests[n++].initial_state = (void *)name;
    }
    failed = _cmocka_run_group_tests("ops_grad", tests, n, NULL, NULL);
    free(tests);
    json_decref(conf);
    mm_ckpt_close(inputs);
    return failed;
}
