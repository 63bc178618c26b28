/* test_qrow.c: rows of weights and int8 activations, every table against the
 * scalar one. */
#include "q8_test.h"

static const enum mm_dtype types[] = { MM_F32,  MM_F16,  MM_BF16, MM_Q4_0, MM_Q4_1,
                                       MM_Q5_0, MM_Q5_1, MM_Q8_0, MM_Q2_K, MM_Q3_K,
                                       MM_Q4_K, MM_Q5_K, MM_Q6_K };
enum { TYPES = sizeof(types) / sizeof(*types), MOST = 9 };

/* n elements of random bytes; the scales are finite but for odd rows.  Floats
 * lie at an odd address. */
static void *random_row(struct kt_buf *b, enum mm_dtype t, size_t n, struct mm_rng *r, bool odd)
{
    static const int halves[MM_NDTYPE][2] = {
        [MM_Q4_0] = { 0, -1 },   [MM_Q4_1] = { 0, 2 },  [MM_Q5_0] = { 0, -1 },
        [MM_Q5_1] = { 0, 2 },    [MM_Q8_0] = { 0, -1 }, [MM_Q2_K] = { 80, 82 },
        [MM_Q3_K] = { 108, -1 }, [MM_Q4_K] = { 0, 2 },  [MM_Q5_K] = { 0, 2 },
        [MM_Q6_K] = { 208, -1 },
    };
    size_t bytes;

    assert_true(mm_dtype_bytes(t, n, &bytes));
    unsigned char *p = kt_alloc(b, bytes + (t == MM_F32));
    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)mm_rng_u64(r);
    for (size_t i = 0; t == MM_F32 && i < n; i++) {
        float f;
        kt_fill(&f, 1, r, odd);
        memcpy(p + 4 * i, &f, sizeof(f));
    }
    for (size_t at = 0; !odd && t != MM_F32 && at < bytes; at += mm_dtype_block_bytes(t))
        for (int i = 0; i < 2; i++) {
            if (halves[t][i] < 0)
                continue;
            const float f = (float)mm_rng_normal(r);
            const uint16_t h = t == MM_BF16 ? mm_f32_to_bf16(f) : mm_f32_to_f16(f);
            memcpy(p + at + halves[t][i], &h, 2);
            if (!mm_dtype_quantised(t))
                break;
        }
    return p;
}

/* Number of elements of the i-th length: plain types have every tail. */
static size_t row_length(enum mm_dtype t, size_t i)
{
    return mm_dtype_quantised(t) ? i * mm_dtype_block(t) : i * 11;
}

static void check_widen(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t, size_t n,
                        struct mm_rng *r, bool odd)
{
    struct kt_buf bw, by, bz;
    const void *w = random_row(&bw, t, n, r, odd);
    float *y = kt_alloc(&by, n * 4), *z = kt_alloc(&bz, n * 4);

    k->widen[t](y, w, n);
    c->widen[t](z, w, n);
    for (size_t i = 0; i < n; i++)
        KT_CHECK(kt_same(y[i], z[i]), "%s: element %zu of %zu: %g, want %g", mm_dtype_name(t), i, n,
                 (double)y[i], (double)z[i]);
    kt_free(&bw);
    kt_free(&by);
    kt_free(&bz);
}

static void test_rows(void **state)
{
    struct mm_kern c;

    (void)state;
    mm_kern_init(&c, 0);
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 5);
        for (size_t i = 0; i < TYPES; i++)
            for (size_t l = 0; l <= MOST; l++) {
                check_widen(&k, &c, types[i], row_length(types[i], l), &r, false);
                check_widen(&k, &c, types[i], row_length(types[i], l), &r, true);
            }
    }
}

/* The guards show that only these rows were written. */
static void same_rows(const struct q8_rows *a, const struct q8_rows *b)
{
    for (int i = 0; i < 6; i++) {
        const bool floats = i == 1 || i >= 4;
        for (size_t j = 0; j < a->b[i].n; j += 4) {
            float x, y;
            memcpy(&x, a->b[i].p + j, 4);
            memcpy(&y, b->b[i].p + j, 4);
            assert_true(floats ? kt_same(x, y) : memcmp(a->b[i].p + j, b->b[i].p + j, 4) == 0);
        }
    }
}

/* What was quantised is the row, to half a step; and its sums. */
static void check_values(const struct mm_q8_rows *a, const float *x, size_t n, size_t mr, size_t r)
{
    for (size_t i = 0; i < n; i += 16) {
        const float d = a->d[i / 32 * mr + r];
        int sum = 0, half = 0;
        for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; j++) {
            const int q = a->q[(j / 4 * mr + r) * 4 + j % 4];
            sum += q;
            half += j / 16 == i / 16 ? q : 0;
            if (j < n && !isnan(d))
                assert_true(fabs((double)d * q - (double)x[j]) <= 0.5001 * (double)d + 1e-30);
            else
                assert_true(q == 0);
        }
        assert_int_equal(a->neg32[i / 32 * mr + r], -sum);
        assert_int_equal(a->neg16[i / 16 * mr + r], -half);
        assert_true(kt_same(a->sum32[i / 32 * mr + r], d * (float)sum));
        assert_true(kt_same(a->sum16[i / 16 * mr + r], d * (float)half));
    }
}

static void check_quant(const struct mm_kern *k, const struct mm_kern *c, size_t n, int mr,
                        struct mm_rng *rng)
{
    struct kt_buf bx;
    struct q8_rows a, b;
    float *x = kt_alloc(&bx, n * 4);

    q8_rows_new(&a, n, (size_t)mr);
    q8_rows_new(&b, n, (size_t)mr);
    for (int r = 0; r < mr; r++) {
        kt_fill(x, n, rng, r % 2);
        k->quant_q8(&a.a, x, n, mr, r);
        c->quant_q8(&b.a, x, n, mr, r);
        same_rows(&a, &b);
        check_values(&a.a, x, n, (size_t)mr, (size_t)r);
    }
    kt_free(&bx);
    q8_rows_free(&a);
    q8_rows_free(&b);
}

static void test_quant(void **state)
{
    struct mm_kern c;

    (void)state;
    mm_kern_init(&c, 0);
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 7);
        for (size_t n = 0; n < 140; n++)
            check_quant(&k, &c, n, (int)(n % MM_MR8) + 1, &r);
    }
}

/* Sums are whole steps, rounded; a step is the largest's by 127 * 256. */
static void check_fixed(const struct mm_q8_rows *a, size_t n, size_t m)
{
    for (size_t i = 0; i < n / 16 * m; i++) {
        const size_t r = i % m, t = i / m, at = (t / 4 * m + r) * 4 + t % 4;
        const float step = a->step[t / 16 * m + r], s = a->sum16[i];
        const int v = 256 * a->fix[0][at] + a->fix[1][at];
        float top = 0;
        bool finite = true;
        for (size_t j = t / 16 * 16; j < t / 16 * 16 + 16; j++) {
            finite = finite && isfinite(a->sum16[j * m + r]);
            top = fmaxf(top, fabsf(a->sum16[j * m + r]));
        }
        assert_true(finite ? step == (top < 1e-30f ? 0 : top / (127 * 256)) : isnan(step));
        if (finite)
            assert_true(fabs((double)step * v - (double)s) <= 0.503 * (double)step + 1e-30);
        else
            assert_true(v == 0);
    }
}

static void check_fix(const struct mm_kern *k, const struct mm_kern *c, size_t n, int mr,
                      struct mm_rng *rng)
{
    struct q8_rows a, b;

    q8_rows_new(&a, n, (size_t)mr);
    q8_rows_new(&b, n, (size_t)mr);
    kt_fill(a.a.sum16, a.b[5].n / 4, rng, false);
    for (size_t i = 0; i < a.b[5].n / 4 && mr % 3 == 2; i += 5) /* odd ones here and there */
        kt_fill(a.a.sum16 + i, 1, rng, true);
    memset(a.a.sum16, 0, mr % 3 == 1 ? a.b[5].n : 0);
    memcpy(b.a.sum16, a.a.sum16, a.b[5].n);
    k->fix_sums(&a.a, n, mr);
    c->fix_sums(&b.a, n, mr);
    check_fixed(&a.a, n, (size_t)mr);
    for (int i = 6; i < 8; i++)
        assert_true(!a.b[i].n || memcmp(a.b[i].p, b.b[i].p, a.b[i].n) == 0);
    for (size_t i = 0; i < a.b[8].n / 4; i++)
        assert_true(kt_same(a.a.step[i], b.a.step[i]));
    q8_rows_free(&a);
    q8_rows_free(&b);
}

static void test_fix(void **state)
{
    struct mm_kern c;

    (void)state;
    mm_kern_init(&c, 0);
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 9);
        for (size_t n = 0; n <= 1024; n += 256)
            for (int mr = 1; mr <= MM_MR_FEW; mr++)
                check_fix(&k, &c, n, mr, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_quant),
        cmocka_unit_test(test_fix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
