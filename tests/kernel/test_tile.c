/* test_tile.c: panels and micro-kernels of every table. */
#include "kern_test.h"

static const double eps = FLT_EPSILON;

static void check_pack_a(const struct mm_kern *k, const struct mm_kern *c, size_t n, int mr,
                         struct mm_rng *r)
{
    const size_t ld = n + 3, len = (size_t)(mr - 1) * ld + n;
    struct kt_buf bx, ba, bz;
    float *x = kt_alloc(&bx, len * 4), *a = kt_alloc(&ba, n * (size_t)mr * 4);
    float *z = kt_alloc(&bz, n * (size_t)mr * 4);

    kt_fill(x, len, r, true);
    k->pack_a(a, x, ld, n, mr);
    c->pack_a(z, x, ld, n, mr);
    assert_true(n == 0 || memcmp(a, z, n * (size_t)mr * 4) == 0);
    kt_free(&bx);
    kt_free(&ba);
    kt_free(&bz);
}

static void check_pack_b(const struct mm_kern *k, const struct mm_kern *c, size_t n, int nr,
                         struct mm_rng *r)
{
    const size_t ld = n + 1, len = (size_t)(nr - 1) * ld + n;
    struct kt_buf bx, ba, bz;
    float *x = kt_alloc(&bx, len * 4), *b = kt_alloc(&ba, n * MM_NR * 4);
    float *z = kt_alloc(&bz, n * MM_NR * 4);

    kt_fill(x, len, r, true);
    k->pack_b(b, x, ld, n, nr);
    c->pack_b(z, x, ld, n, nr);
    assert_true(n == 0 || memcmp(b, z, n * MM_NR * 4) == 0);
    kt_free(&bx);
    kt_free(&ba);
    kt_free(&bz);
}

static void test_pack(void **state)
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
        mm_rng_seed(&r, 1);
        for (size_t n = 0; n < 36; n++) {
            for (int mr = 1; mr <= MM_MR; mr++)
                check_pack_a(&k, &c, n, mr, &r);
            for (int nr = 1; nr <= MM_NR; nr++)
                check_pack_b(&k, &c, n, nr, &r);
        }
    }
}

/* C has rows of MM_NR + 5 floats; what lies between the tiles stays. */
static void check_mul_f32(const struct mm_kern *k, size_t n, int mr, struct mm_rng *r, bool odd)
{
    const size_t m = (size_t)mr, ld = MM_NR + 5, len = (m - 1) * ld + MM_NR;
    struct kt_buf ba, bb, bc;
    float *a = kt_alloc(&ba, n * m * 4), *b = kt_alloc(&bb, n * MM_NR * 4);
    float *c = kt_alloc(&bc, len * 4);

    kt_fill(a, n * m, r, odd);
    kt_fill(b, n * MM_NR, r, false);
    for (size_t i = 0; i < len; i++)
        c[i] = (float)(i % 7);
    k->mul_f32(c, ld, a, b, n, mr);
    for (size_t i = 0; i < len; i++) {
        const size_t row = i / ld, col = i % ld;
        double sum = (double)(i % 7), abs = sum;
        for (size_t j = 0; col < MM_NR && j < n; j++) {
            const double p = (double)a[j * m + row] * (double)b[j * MM_NR + col];
            sum += p;
            abs += fabs(p);
        }
        if (abs < (double)FLT_MAX)
            KT_CHECK(kt_close(c[i], sum, ((double)n + 2) * eps * abs + (double)n * FLT_MIN),
                     "k %zu mr %d: [%zu][%zu] = %g, want %g", n, mr, row, col, (double)c[i], sum);
        else if (!isfinite(abs)) /* a NaN or an infinity went in */
            assert_true(!isfinite(c[i]));
    }
    kt_free(&ba);
    kt_free(&bb);
    kt_free(&bc);
}

static void test_mul_f32(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 2);
        for (int mr = 1; mr <= MM_MR; mr++)
            for (size_t n = 0; n < 20; n += n < 5 ? 1 : 7) {
                check_mul_f32(&k, n, mr, &r, false);
                check_mul_f32(&k, n, mr, &r, true);
            }
        check_mul_f32(&k, 1000, MM_MR, &r, false);
    }
}

struct int8_case {
    struct kt_buf b[8];
    struct mm_q8_rows a;
    struct mm_q8_panel p;
};

/* Codes over the whole range of a signed byte, or all at its ends. */
static void int8_new(struct int8_case *s, size_t n, size_t m, size_t sub, bool min, bool worst,
                     struct mm_rng *r)
{
    const size_t subs = n / sub;

    s->a = (struct mm_q8_rows){ kt_alloc(&s->b[0], n * m), kt_alloc(&s->b[1], n / 32 * m * 4),
                                kt_alloc(&s->b[2], n / 32 * m * 4),
                                kt_alloc(&s->b[3], n / 16 * m * 4) };
    s->p =
        (struct mm_q8_panel){ kt_alloc(&s->b[4], n * MM_NR), kt_alloc(&s->b[5], subs * MM_NR * 4),
                              kt_alloc(&s->b[6], subs * MM_NR * 4),
                              kt_alloc(&s->b[7], subs * MM_NR * 4) };
    for (size_t i = 0; i < n * m; i++)
        s->a.q[i] = worst ? 255 : (uint8_t)(1 + mm_rng_below(r, 255));
    for (size_t i = 0; i < n * MM_NR; i++)
        s->p.q[i] = worst ? (i % 2 ? -128 : -127) : (int8_t)mm_rng_u64(r);
    kt_fill(s->a.d, n / 32 * m, r, false);
    kt_fill(s->a.s32, n / 32 * m, r, false);
    kt_fill(s->a.s16, n / 16 * m, r, false);
    kt_fill(s->p.d, subs * MM_NR, r, false);
    kt_fill(s->p.m, subs * MM_NR, r, false);
    if (!min)
        s->p.m = NULL;
}

static void check_mul_q8(const struct mm_kern *k, size_t n, int mr, size_t sub, bool min,
                         bool worst, struct mm_rng *r)
{
    const size_t m = (size_t)mr, ld = MM_NR + 3, len = (m - 1) * ld + MM_NR;
    struct int8_case s;
    struct kt_buf bc;
    float *c = kt_alloc(&bc, len * 4);

    int8_new(&s, n, m, sub, min, worst, r);
    k->comp(s.p.comp, s.p.q, n, sub);
    for (size_t i = 0; i < len; i++)
        c[i] = 1;
    k->mul_q8[sub == 16][min](c, ld, &s.a, &s.p, n, mr);
    for (size_t i = 0; i < len; i++) {
        const size_t row = i / ld, col = i % ld;
        double sum = 1, abs = 1;
        for (size_t j = 0; col < MM_NR && j < n; j += sub) {
            const float *as = sub == 32 ? s.a.s32 : s.a.s16;
            double p = 0;
            for (size_t e = j; e < j + sub; e++)
                p += (s.a.q[(e / 4 * m + row) * 4 + e % 4] - 128) *
                     s.p.q[(e / 4 * MM_NR + col) * 4 + e % 4];
            p *= (double)s.a.d[j / 32 * m + row] * (double)s.p.d[j / sub * MM_NR + col];
            const double o =
                min ? (double)as[j / sub * m + row] * (double)s.p.m[j / sub * MM_NR + col] : 0;
            sum += p + o;
            abs += fabs(p) + fabs(o);
        }
        KT_CHECK(kt_close(c[i], sum, (2 * (double)(n / sub) + 4) * eps * abs),
                 "k %zu mr %d sub %zu: [%zu][%zu] = %g, want %g", n, mr, sub, row, col,
                 (double)c[i], sum);
    }
    kt_free(&bc);
    for (int i = 0; i < 8; i++)
        kt_free(&s.b[i]);
}

static void test_mul_q8(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 3);
        for (int mr = 1; mr <= MM_MR8; mr++)
            for (size_t n = 0; n <= 96; n += 32)
                for (int kind = 0; kind < 8; kind++)
                    check_mul_q8(&k, n, mr, kind & 1 ? 16 : 32, kind & 2, kind & 4, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_mul_f32),
        cmocka_unit_test(test_mul_q8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
