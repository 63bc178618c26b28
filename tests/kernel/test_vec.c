/* test_vec.c: vector functions of every table against C in double. */
#include "kern_test.h"

static const double eps = FLT_EPSILON;

enum { LONG = 1027 };

static size_t length(int i)
{
    return i <= 70 ? (size_t)i : LONG;
}

#define FOR_LENGTHS(n)                                                                             \
    for (int li_ = 0; li_ <= 71; li_++)                                                            \
        for (size_t n = length(li_), once_ = 1; once_; once_ = 0)

static double silu_ref(double x)
{
    return x / (1 + exp(-x));
}

static double quick_gelu_ref(double x)
{
    return x / (1 + exp(-1.702 * x));
}

static double gelu_ref(double x)
{
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

static double gelu_tanh_ref(double x)
{
    return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* y = x s(a x): the relative error of exp is that of its argument, so |a x| eps
 * and a few roundings.  1 + erf and 1 + tanh cancel below 0: an absolute error. */
static double swish_tol(double x, double y)
{
    return (12 + 6 * fabs(x)) * eps * fabs(y) + FLT_MIN;
}

static double gelu_tanh_tol(double x, double y)
{
    return (12 + 8 * (fabs(x) + fabs(x * x * x))) * eps * fabs(y) + 4 * eps * fabs(x) + FLT_MIN;
}

static double gelu_tol(double x, double y)
{
    (void)y;
    return 8 * eps * fabs(x) + FLT_MIN;
}

static void check_map(mm_map_fn *f, double (*ref)(double), double (*tol)(double, double),
                      const char *name)
{
    struct mm_rng r;
    mm_rng_seed(&r, 1);

    FOR_LENGTHS(n)
    {
        struct kt_buf bx, by;
        float *x = kt_alloc(&bx, n * 4), *y = kt_alloc(&by, n * 4);
        kt_fill(x, n, &r, false);
        for (size_t i = 0; i < n; i++)
            x[i] *= 4;
        f(y, x, n);
        for (size_t i = 0; i < n; i++) {
            const double want = ref((double)x[i]);
            KT_CHECK(kt_close(y[i], want, tol((double)x[i], want)), "%s(%g) = %g, want %g", name,
                     (double)x[i], (double)y[i], want);
        }
        kt_free(&bx);
        kt_free(&by);
    }
    const float odd[4] = { NAN, INFINITY, 1e-40F, 0 };
    float y[4];
    f(y, odd, 4);
    assert_true(isnan(y[0]));
    assert_true(y[1] == INFINITY);
    assert_true(fabsf(y[2]) <= 1e-40F);
    assert_true(y[3] == 0);
}

static double swish_slope_ref(double x, double a)
{
    const double s = 1 / (1 + exp(-a * x));

    return s * (1 + a * x * (1 - s));
}

/* The error of exp's argument once more, and of 1 - s, which cancels: an absolute one. */
static double slope_tol(double x)
{
    return (24 + 8 * fabs(x)) * eps * (1 + fabs(x));
}

static void check_slopes(const struct mm_kern *k, size_t n, struct mm_rng *r)
{
    struct kt_buf bx, by;
    float *x = kt_alloc(&bx, n * 4), *y = kt_alloc(&by, n * 4);

    kt_fill(x, n, r, false);
    for (size_t i = 0; i < n; i++)
        x[i] *= i % 5 ? 4 : 40;
    k->silu_slope(y, x, n);
    for (size_t i = 0; i < n; i++)
        assert_true(kt_close(y[i], swish_slope_ref((double)x[i], 1), slope_tol((double)x[i])));
    k->quick_gelu_slope(y, x, n);
    for (size_t i = 0; i < n; i++)
        assert_true(
            kt_close(y[i], swish_slope_ref((double)x[i], (double)1.702F), slope_tol((double)x[i])));
    k->gelu_slope(y, x, n);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i];
        const double want = 0.5 * (1 + erf(v * M_SQRT1_2)) +
                            v * exp(-0.5 * v * v) / sqrt(2 * M_PI);
        assert_true(kt_close(y[i], want, slope_tol(v)));
    }
    kt_free(&bx);
    kt_free(&by);
}

/* Sums of n are off by n eps of their parts: the root r, the mean (which layernorm takes
 * away: abs r), the means of g and of g xh; each gradient is at most r G (1 + X + X^2) with G
 * and X the largest of dy, dy w and of xh. */
static double norm_back_tol(const float *dy, const float *x, const float *w, size_t n, bool layer)
{
    double mean = 0, abs = 0, var = 0, G = 0, X = 0;

    for (size_t i = 0; i < n; i++) {
        mean += layer ? (double)x[i] / (double)n : 0;
        abs += layer ? fabs((double)x[i]) / (double)n : 0;
    }
    for (size_t i = 0; i < n; i++)
        var += pow((double)x[i] - mean, 2) / (double)n;
    const double r = 1 / sqrt(var + 1e-3);
    for (size_t i = 0; i < n; i++) {
        G = fmax(G, fabs((double)dy[i]) * fmax(1, w ? fabs((double)w[i]) : 1));
        X = fmax(X, fabs((double)x[i] - mean) * r);
    }
    return 2 * ((double)n + 16) * eps * fmax(r, 1) * G * (1 + X + X * X) * (1 + abs * r) + 4 * eps;
}

/* Against C's, whose sums are in double. */
static void check_norm_back(const struct mm_kern *k, const struct mm_kern *ref, size_t n,
                            struct mm_rng *r, int how)
{
    struct kt_buf b[9];
    float *v[9]; /* dy, x, w, then dx, dw, db of both */
    const bool add = how & 1, weights = how & 2, layer = how & 4;

    for (int i = 0; i < 9; i++) {
        v[i] = kt_alloc(&b[i], n * 4);
        kt_fill(v[i], n, r, false);
    }
    for (int i = 3; i < 6; i++)
        memcpy(v[i + 3], v[i], n * 4);
    for (int i = 0; i < 2; i++) {
        const struct mm_kern *const t = i ? ref : k;
        float **const out = v + 3 + 3 * i;
        (layer ? t->layernorm_back : t->rmsnorm_back)(out[0], weights ? out[1] : NULL,
                                                      layer && weights ? out[2] : NULL, v[0], v[1],
                                                      weights ? v[2] : NULL, 1e-3F, n, add);
    }
    const double tol = norm_back_tol(v[0], v[1], weights ? v[2] : NULL, n, layer);
    for (int j = 3; j < 6; j++)
        for (size_t i = 0; i < n; i++)
            KT_CHECK(kt_close(v[j][i], (double)v[j + 3][i], tol), "norm_back %d of %zu: %g, want %g",
                     how, n, (double)v[j][i], (double)v[j + 3][i]);
    for (int i = 0; i < 9; i++)
        kt_free(&b[i]);
}

static void test_back(void **state)
{
    struct mm_kern ref;

    (void)state;
    mm_kern_init(&ref, 0);
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 5);
        FOR_LENGTHS(n)
        {
            check_slopes(&k, n, &r);
            for (int how = 0; n && how < 8; how++)
                check_norm_back(&k, &ref, n, &r, how);
        }
    }
}

static void test_maps(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        check_map(k.silu, silu_ref, swish_tol, "silu");
        check_map(k.quick_gelu, quick_gelu_ref, swish_tol, "quick_gelu");
        check_map(k.gelu, gelu_ref, gelu_tol, "gelu");
        check_map(k.gelu_tanh, gelu_tanh_ref, gelu_tanh_tol, "gelu_tanh");
    }
}

/* One operation each: the same bits; a b + y may be fused. */
static void check_zips(const struct mm_kern *k, const float *a, const float *b, size_t n)
{
    struct kt_buf by;
    float *y = kt_alloc(&by, n * 4);

    k->add(y, a, b, n);
    for (size_t i = 0; i < n; i++)
        assert_true(kt_same(y[i], a[i] + b[i]));
    k->mul(y, a, b, n);
    for (size_t i = 0; i < n; i++)
        assert_true(kt_same(y[i], a[i] * b[i]));
    k->scale(y, 0.3F, a, n);
    for (size_t i = 0; i < n; i++)
        assert_true(kt_same(y[i], 0.3F * a[i]));
    if (n)
        memcpy(y, b, n * 4);
    k->axpy(y, 0.3F, a, n);
    for (size_t i = 0; i < n; i++) {
        const double want = 0.3F * (double)a[i] + (double)b[i];
        const double tol = 2 * eps * (fabs(0.3 * (double)a[i]) + fabs((double)b[i])) + FLT_MIN;
        assert_true(kt_close(y[i], want, tol) || !isfinite(a[i]) || !isfinite(b[i]) ||
                    fabs(want) > 0.9 * (double)FLT_MAX);
    }
    k->silu_mul(y, a, b, n);
    for (size_t i = 0; i < n; i++) {
        const double want = silu_ref((double)a[i]) * (double)b[i];
        assert_true(
            kt_close(y[i], want, swish_tol((double)a[i], want) + fabs((double)b[i]) * FLT_MIN) ||
            !(fabsf(a[i]) < 80) || !isfinite(b[i]));
    }
    kt_free(&by);
}

static void check_dot(const struct mm_kern *k, const float *a, const float *b, size_t n)
{
    double sum = 0, abs = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
        abs += fabs((double)a[i] * (double)b[i]);
    }
    const float got = k->dot(a, b, n);
    if (isnan(sum) || isinf(abs))
        assert_true(isnan(got) || isinf(got));
    else if (abs < FLT_MAX)
        KT_CHECK(kt_close(got, sum, (double)(n + 1) * eps * abs + (double)n * FLT_MIN),
                 "dot of %zu: %g, want %g", n, (double)got, sum);
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = a[i] > m ? a[i] : m;
    assert_true(k->max(a, n) == m);
}

static void test_zips(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 2);
        for (int odd = 0; odd < 2; odd++)
            FOR_LENGTHS(n)
            {
                struct kt_buf ba, bb;
                float *a = kt_alloc(&ba, n * 4), *b = kt_alloc(&bb, n * 4);
                kt_fill(a, n, &r, odd);
                kt_fill(b, n, &r, odd);
                check_zips(&k, a, b, n);
                check_dot(&k, a, b, n);
                kt_free(&ba);
                kt_free(&bb);
            }
    }
}

static void check_exp_sum(const struct mm_kern *k, size_t n, struct mm_rng *r)
{
    struct kt_buf bx, by;
    float *x = kt_alloc(&bx, n * 4), *y = kt_alloc(&by, n * 4);
    double sum = 0;

    kt_fill(x, n, r, false);
    for (size_t i = 0; i < n; i++)
        x[i] = i % 9 == 8 ? -INFINITY : x[i] * 20;
    const float m = 3;
    const float got = k->exp_sum(y, x, m, n);
    for (size_t i = 0; i < n; i++) {
        const double want = exp((double)(x[i] - m));
        sum += want;
        KT_CHECK(kt_close(y[i], want, 4 * eps * want + FLT_MIN), "exp(%g) = %g, want %g",
                 (double)(x[i] - m), (double)y[i], want);
    }
    KT_CHECK(kt_close(got, sum, ((double)n + 4) * eps * sum + (double)n * FLT_MIN),
             "sum of %zu: %g, want %g", n, (double)got, sum);
    const float got2 = k->exp2_sum(y, x, m, n);
    sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double want = exp2((double)(x[i] - m));
        sum += want;
        KT_CHECK(kt_close(y[i], want, 4 * eps * want + FLT_MIN), "exp2(%g) = %g, want %g",
                 (double)(x[i] - m), (double)y[i], want);
    }
    KT_CHECK(kt_close(got2, sum, ((double)n + 4) * eps * sum + (double)n * FLT_MIN),
             "sum of %zu: %g, want %g", n, (double)got2, sum);
    kt_free(&bx);
    kt_free(&by);
}

/* mean and variance are sums of n: n eps each, then a few roundings. */
static void check_norms(const struct mm_kern *k, size_t n, struct mm_rng *r)
{
    struct kt_buf b[4];
    float *v[4];
    double mean = 0, abs = 0, sq = 0, var = 0;

    for (int i = 0; i < 4; i++) {
        v[i] = kt_alloc(&b[i], n * 4);
        kt_fill(v[i], n, r, false);
    }
    float *y = v[0];
    const float *x = v[1], *w = v[2], *bias = v[3];
    for (size_t i = 0; i < n; i++) {
        mean += (double)x[i] / (double)n;
        abs += fabs((double)x[i]) / (double)n;
        sq += (double)x[i] * (double)x[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        var += pow((double)x[i] - mean, 2) / (double)n;
    const double rms = 1 / sqrt(sq + 1e-5), sd = 1 / sqrt(var + 1e-5);
    const double rel = ((double)n + 8) * eps;
    for (int weights = 0; weights < 2; weights++) {
        k->rmsnorm(y, x, weights ? w : NULL, 1e-5F, n);
        for (size_t i = 0; i < n; i++) {
            const double want = (double)x[i] * rms * (weights ? (double)w[i] : 1);
            assert_true(kt_close(y[i], want, rel * fabs(want)));
        }
        k->layernorm(y, x, weights ? w : NULL, weights ? bias : NULL, 1e-5F, n);
        for (size_t i = 0; i < n; i++) {
            const double f = sd * (weights ? (double)w[i] : 1), add = weights ? (double)bias[i] : 0;
            const double want = ((double)x[i] - mean) * f + add;
            assert_true(kt_close(y[i], want, /* the variance sees the error of the mean too */
                                 2 * rel * (fabs((double)x[i]) + abs) * fabs(f) + eps * fabs(want) +
                                     rel * abs * abs * sd * sd * fabs(want - add)));
        }
    }
    for (int i = 0; i < 4; i++)
        kt_free(&b[i]);
}

static void test_softmax_norms(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 3);
        FOR_LENGTHS(n)
        {
            check_exp_sum(&k, n, &r);
            if (n)
                check_norms(&k, n, &r);
        }
    }
}

static void test_narrow(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 4);
        FOR_LENGTHS(n)
        {
            struct kt_buf bx, by;
            float *x = kt_alloc(&bx, n * 4);
            uint16_t *y = kt_alloc(&by, n * 2);
            for (size_t i = 0; i < n; i++) {
                const uint32_t u = (uint32_t)mm_rng_u64(&r) & (i % 3 ? 0xffffffff : 0xfffff000);
                memcpy(&x[i], &u, 4);
            }
            k.to_f16(y, x, n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(y[i], mm_f32_to_f16(x[i]));
            k.from_f16(x, y, n);
            for (size_t i = 0; i < n; i++)
                assert_true(kt_same(x[i], mm_f16_to_f32(y[i])));
            k.to_bf16(y, x, n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(y[i], mm_f32_to_bf16(x[i]));
            kt_free(&bx);
            kt_free(&by);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_zips),
        cmocka_unit_test(test_softmax_norms),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
