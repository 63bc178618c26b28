/* test_gemm.c: dense products with every kernel table, against double. */
#include "kern_test.h"

#include "kernel/gemm.h"

static const double eps = FLT_EPSILON;

struct shape {
    size_t M, N, K;
};

/* Strides leave gaps; those of C are watched. */
static void check(enum mm_trans ta, enum mm_trans tb, struct shape s, float alpha, float beta,
                  struct mm_pool *p, struct mm_rng *r)
{
    const size_t lda = (ta ? s.M : s.K) + 2, ldb = (tb ? s.K : s.N) + 1, ldc = s.N + 3;
    const size_t na = (ta ? s.K : s.M) * lda, nb = (tb ? s.N : s.K) * ldb, nc = s.M * ldc;
    float *a = malloc(na * 4 + 4), *b = malloc(nb * 4 + 4), *c = malloc(nc * 4),
          *c0 = malloc(nc * 4);
    float *c1 = malloc(nc * 4);

    kt_fill(a, na, r, false);
    kt_fill(b, nb, r, false);
    kt_fill(c0, nc, r, false);
    if (beta == 0)
        for (size_t i = 0; i < nc; i++)
            c0[i] = i % ldc < s.N ? NAN : c0[i];
    memcpy(c, c0, nc * 4);
    memcpy(c1, c0, nc * 4);
    assert_int_equal(mm_gemm(ta, tb, s.M, s.N, s.K, alpha, a, lda, b, ldb, beta, c, ldc, p), 0);
    assert_int_equal(mm_gemm(ta, tb, s.M, s.N, s.K, alpha, a, lda, b, ldb, beta, c1, ldc, NULL), 0);
    assert_memory_equal(c, c1, nc * 4);
    for (size_t i = 0; i < nc; i++) {
        const size_t m = i / ldc, n = i % ldc;
        double sum = beta == 0 ? 0 : (double)beta * (double)c0[i], abs = fabs(sum);
        if (n >= s.N) {
            assert_true(c[i] == c0[i]);
            continue;
        }
        for (size_t k = 0; k < s.K; k++) {
            const double v = (double)alpha * (double)a[ta ? k * lda + m : m * lda + k] *
                             (double)b[tb ? n * ldb + k : k * ldb + n];
            sum += v;
            abs += fabs(v);
        }
        KT_CHECK(kt_close(c[i], sum, ((double)s.K + 4) * eps * abs),
                 "%d%d %zux%zux%zu [%zu][%zu] = %g, want %g", ta, tb, s.M, s.N, s.K, m, n,
                 (double)c[i], sum);
    }
    free(a);
    free(b);
    free(c);
    free(c0);
    free(c1);
}

static void test_gemm(void **state)
{
    static const struct shape shapes[] = { { 1, 1, 1 },    { 1, 300, 40 }, { 2, 33, 7 },
                                           { 12, 32, 16 }, { 13, 31, 5 },  { 5, 100, 600 },
                                           { 200, 3, 9 },  { 3, 4, 0 },    { 50, 70, 33 },
                                           { 98, 300, 258 }, { 1600, 40, 20 },
                                           { 300, 40, 1100 } };
    static const struct {
        float alpha, beta;
    } scales[] = { { 1, 0 }, { 1, 1 }, { 0.5F, -2 } };
    struct mm_pool *p = mm_pool_new(3);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 1);
    for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
        for (int t = 0; t < 4; t++)
            for (int i = 0; i < 3; i++)
                check(t & 1 ? MM_TRANS : MM_NOTRANS, t & 2 ? MM_TRANS : MM_NOTRANS, shapes[s],
                      scales[i].alpha, scales[i].beta, p, &r);
    mm_pool_free(p);
}

static int run(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gemm) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kt_run_tables(run);
}
