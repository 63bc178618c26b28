/* test_qrow.c: rows of weights and int8 activations, every table against the
 * scalar one or double. */
#include "kern_test.h"

#include "base/quant.h"

static const double eps = FLT_EPSILON;

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

static void check_dot(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t, size_t n,
                      struct mm_rng *r)
{
    struct kt_buf bw, bx, by;
    const void *w = random_row(&bw, t, n, r, false);
    float *x = kt_alloc(&bx, n * 4), *y = kt_alloc(&by, n * 4);
    double sum = 0, abs = 0;

    kt_fill(x, n, r, false);
    c->widen[t](y, w, n);
    for (size_t i = 0; i < n; i++) {
        sum += (double)y[i] * (double)x[i];
        abs += fabs((double)y[i] * (double)x[i]);
    }
    const float got = k->dot_w[t](w, x, n);
    KT_CHECK(kt_close(got, sum, ((double)n + 1) * eps * abs + (double)n * FLT_MIN),
             "%s: %zu: %g, want %g", mm_dtype_name(t), n, (double)got, sum);
    kt_free(&bw);
    kt_free(&bx);
    kt_free(&by);
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
                check_dot(&k, &c, types[i], row_length(types[i], l), &r);
            }
    }
}

/* codes: the same integers and scales; and they make the widened row. */
static void check_codes(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t, size_t n,
                        struct mm_rng *r)
{
    const struct mm_q8_kind kind = mm_q8_kind(t);
    const size_t subs = n / kind.sub;
    struct kt_buf bw, bq, bd, bm, bz, by;
    const void *w = random_row(&bw, t, n, r, false);
    int8_t *q = kt_alloc(&bq, n);
    float *d = kt_alloc(&bd, subs * 4), *m = kt_alloc(&bm, subs * 4);
    float *y = kt_alloc(&by, n * 4);
    int8_t *z = kt_alloc(&bz, n);
    float d2[MOST * 16], m2[MOST * 16];

    k->codes[t](q, d, m, w, n);
    c->codes[t](z, d2, m2, w, n);
    assert_true(n == 0 || memcmp(q, z, n) == 0);
    for (size_t i = 0; i < subs; i++) {
        assert_true(kt_same(d[i], d2[i]));
        if (kind.min)
            assert_true(m[i] == m2[i]);
    }
    mm_dequant_row(y, t, w, n);
    for (size_t i = 0; i < n; i++) {
        const float min = kind.min ? m[i / kind.sub] : 0;
        assert_true(y[i] == d[i / kind.sub] * (float)q[i] + min);
    }
    kt_free(&bw);
    kt_free(&bq);
    kt_free(&bd);
    kt_free(&bm);
    kt_free(&bz);
    kt_free(&by);
}

static struct mm_q8_row new_row(struct kt_buf b[4], size_t n)
{
    const size_t nb = (n + 31) / 32;
    int8_t *q = kt_alloc(&b[0], nb * 32);
    float *d = kt_alloc(&b[1], nb * 4), *s32 = kt_alloc(&b[2], nb * 4);
    return (struct mm_q8_row){ q, d, s32, kt_alloc(&b[3], nb * 8) };
}

static void free_row(struct kt_buf b[4])
{
    for (int i = 0; i < 4; i++)
        kt_free(&b[i]);
}

/* The product in double of the same codes: what is left is the order of sums. */
static void check_dot_q8(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t,
                         size_t n, struct mm_rng *r)
{
    const struct mm_q8_kind kind = mm_q8_kind(t);
    struct kt_buf bw, bx, bq[4];
    const void *w = random_row(&bw, t, n, r, false);
    float *x = kt_alloc(&bx, n * 4), d[MOST * 16], m[MOST * 16];
    int8_t q[MOST * 256];
    const struct mm_q8_row row = new_row(bq, n);
    double sum = 0, abs = 0;

    kt_fill(x, n, r, false);
    c->quant_q8(&row, x, n);
    c->codes[t](q, d, m, w, n);
    for (size_t i = 0; i < n; i += kind.sub) {
        const size_t s = i / kind.sub;
        double p = 0;
        for (size_t j = i; j < i + kind.sub; j++)
            p += q[j] * row.q[j];
        p *= (double)d[s] * (double)row.d[i / 32];
        const double o =
            kind.min ? (double)m[s] * (double)(kind.sub == 32 ? row.s32[s] : row.s16[s]) : 0;
        sum += p + o;
        abs += fabs(p) + fabs(o);
        for (size_t j = i; j < i + kind.sub; j++) /* lanes are summed apart */
            abs += fabs(q[j] * row.q[j] * (double)d[s] * (double)row.d[i / 32]);
    }
    const float got = k->dot_q8[t](w, &row, n);
    KT_CHECK(kt_close(got, sum, ((double)n / 4 + 4) * eps * abs), "%s: %zu: %g, want %g",
             mm_dtype_name(t), n, (double)got, sum);
    kt_free(&bw);
    kt_free(&bx);
    free_row(bq);
}

static void test_int8(void **state)
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
        mm_rng_seed(&r, 6);
        for (size_t i = 3; i < TYPES; i++)
            for (size_t l = 0; l <= MOST; l++) {
                check_codes(&k, &c, types[i], row_length(types[i], l), &r);
                check_dot_q8(&k, &c, types[i], row_length(types[i], l), &r);
            }
    }
}

/* Largest codes on both sides: the integer sums may not saturate. */
static void test_worst(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        for (size_t i = 3; i < TYPES; i++)
            for (int sign = -1; sign <= 1; sign += 2) {
                unsigned char w[256];
                float x[256], y[256], d = 0;
                struct kt_buf bq[4];
                const size_t n = mm_dtype_block(types[i]);
                const struct mm_q8_row row = new_row(bq, n);
                for (size_t j = 0; j < n; j++)
                    x[j] = (float)sign;
                memset(w, sign > 0 ? 0xff : 0x80, sizeof(w)); /* d = NaN or -0: replaced */
                const uint16_t one = mm_f32_to_f16(1);
                static const int at[] = { [MM_Q2_K] = 80, [MM_Q3_K] = 108, [MM_Q6_K] = 208 };
                const int o = types[i] == MM_Q2_K || types[i] == MM_Q3_K || types[i] == MM_Q6_K
                                  ? at[types[i]]
                                  : 0;
                memcpy(w + o, &one, 2);
                if (mm_q8_kind(types[i]).min)
                    memcpy(w + o + 2, &one, 2);
                mm_dequant_row(y, types[i], w, n);
                for (size_t j = 0; j < n; j++)
                    d += y[j] * x[j];
                k.quant_q8(&row, x, n);
                const float got = k.dot_q8[types[i]](w, &row, n);
                KT_CHECK(fabsf(got - d) <= 1e-4F * fabsf(d) + 1e-2F, "%s: %g, want %g",
                         mm_dtype_name(types[i]), (double)got, (double)d);
                free_row(bq);
            }
    }
}

/* Activations: every tail, odd values; the same bytes as the scalar code. */
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
        for (size_t n = 0; n < 200; n++) {
            const size_t nb = (n + 31) / 32;
            struct kt_buf bx, ba[4], bb[4];
            float *x = kt_alloc(&bx, n * 4);
            const struct mm_q8_row a = new_row(ba, n), b = new_row(bb, n);
            kt_fill(x, n, &r, n % 2);
            k.quant_q8(&a, x, n);
            c.quant_q8(&b, x, n);
            assert_true(n == 0 || memcmp(a.q, b.q, nb * 32) == 0);
            for (size_t i = 0; i < nb; i++)
                assert_true(kt_same(a.d[i], b.d[i]) && kt_same(a.s32[i], b.s32[i]));
            for (size_t i = 0; i < 2 * nb; i++)
                assert_true(kt_same(a.s16[i], b.s16[i]));
            for (size_t i = 0; i < n; i++) {
                const float d = a.d[i / 32];
                if (isnan(d))
                    continue;
                assert_true(fabs((double)d * a.q[i] - (double)x[i]) <= 0.5001 * (double)d + 1e-30);
            }
            kt_free(&bx);
            free_row(ba);
            free_row(bb);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_worst),
        cmocka_unit_test(test_quant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
