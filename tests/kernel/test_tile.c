/* test_tile.c: panels and micro-kernels of every table. */
#include "q8_test.h"

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

/* Rows of words or halves at odd addresses, an odd stride apart. */
static void check_pack_rows(const struct mm_kern *k, size_t size, size_t n, int nr,
                            struct mm_rng *r)
{
    const size_t stride = n * size + 3, len = (size_t)(nr - 1) * stride + n * size;
    struct kt_buf bw, bb;
    unsigned char *w = kt_alloc(&bw, len), *b = kt_alloc(&bb, n * MM_NR * size);
    static const unsigned char zero[4] = { 0 };

    for (size_t i = 0; i < len; i++)
        w[i] = (unsigned char)mm_rng_u64(r);
    (size == 4 ? k->pack_words : k->pack_halves)(b, w, stride, n, nr);
    for (size_t i = 0; i < n * MM_NR; i++) {
        const size_t row = i % MM_NR;
        assert_memory_equal(b + i * size,
                            row < (size_t)nr ? w + row * stride + i / MM_NR * size : zero, size);
    }
    kt_free(&bw);
    kt_free(&bb);
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
            for (int nr = 1; nr <= MM_NR; nr++) {
                check_pack_b(&k, &c, n, nr, &r);
                check_pack_rows(&k, 4, n, nr, &r);
                check_pack_rows(&k, 2, n, nr, &r);
            }
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

/* Codes over their whole range, or all at its ends. */
static void fill_panel(struct q8_panel *s, size_t n, bool worst, struct mm_rng *r)
{
    const unsigned top = (1U << s->p.kind.bits) - 1;

    for (size_t i = 0; i < n * MM_NR; i++)
        s->p.q[i] = (uint8_t)(worst ? (i & 64 ? 0 : top) : mm_rng_below(r, top + 1));
    kt_fill(s->p.d, s->b[1].n / 4, r, false);
    for (size_t i = 0; i < s->b[1].n / 4; i++) { /* a half, or one times a scale: few bits */
        uint32_t bits;
        memcpy(&bits, &s->p.d[i], sizeof(bits));
        bits &= ~(s->p.kind.pairs ? UINT32_C(0x1fff) : UINT32_C(0x1f));
        memcpy(&s->p.d[i], &bits, sizeof(bits));
    }
    kt_fill(s->p.m, s->b[2].n / 4, r, false);
    for (size_t i = 0; i < s->b[3].n / 4; i++) {
        const int scale = s->p.kind.min ? (worst ? 15 : (int)mm_rng_below(r, 16))
                                        : (worst ? -32 : (int)mm_rng_below(r, 64) - 32);
        s->p.scale[i] = scale & 0xffff;
    }
    for (size_t i = 0; i < s->b[4].n; i++)
        s->p.min[i] = (uint8_t)(worst ? 15 : mm_rng_below(r, 16));
}

/* What column col of sub-block t is times, and gets for a unit of the sum of activations. */
static void scale_of(double *d, double *m, const struct mm_q8_panel *b, size_t t, size_t col)
{
    const size_t at = t * MM_NR + col, super = t / 16 * MM_NR + col;

    *d = b->kind.pairs ? (double)b->d[super] * (int16_t)b->scale[at] : (double)b->d[at];
    *m = !b->kind.min    ? 0
         : b->kind.pairs ? -(double)b->m[super] * b->min[(t / 4 * MM_NR + col) * 4 + t % 4]
                         : (double)b->m[at];
}

/* The sum of activations of sub-block t that minima meet; of pairs only if there are any. */
static double sum_of(const struct mm_q8_rows *a, const struct mm_q8_kind *kind, size_t t, size_t m,
                     size_t row)
{
    const size_t at = (t / 4 * m + row) * 4 + t % 4;

    if (!kind->pairs)
        return (double)(kind->sub == 32 ? a->sum32 : a->sum16)[t * m + row];
    return a->fix[0] ? (256 * a->fix[0][at] + a->fix[1][at]) * (double)a->step[t / 16 * m + row]
                     : 0;
}

/* Pairs are the same bits as c makes. */
static void check_mul_q8(const struct mm_kern *k, const struct mm_kern *plain, size_t n, int mr,
                         struct mm_q8_kind kind, bool worst, struct mm_rng *r)
{
    const size_t m = (size_t)mr, ld = MM_NR + 3, len = (m - 1) * ld + MM_NR, sub = kind.sub;
    struct q8_rows s;
    struct q8_panel b;
    struct kt_buf bc;
    float *c = kt_alloc(&bc, len * 4), *want = malloc(len * 4);

    q8_rows_new(&s, n, m);
    q8_rows_fill(&s, m, worst, r);
    q8_panel_new(&b, kind, n);
    fill_panel(&b, n, worst, r);
    if (n % 256)
        s.a.fix[0] = s.a.fix[1] = NULL;
    for (size_t i = 0; i < len; i++)
        c[i] = want[i] = 1;
    k->mul_q8[sub == 16][kind.min](c, ld, &s.a, &b.p, n, mr);
    plain->mul_q8[sub == 16][kind.min](want, ld, &s.a, &b.p, n, mr);
    for (size_t i = 0; kind.pairs && i < len; i++)
        KT_CHECK(kt_same(c[i], want[i]), "pairs, k %zu mr %d: [%zu] = %g, want %g", n, mr, i,
                 (double)c[i], (double)want[i]);
    free(want);
    for (size_t i = 0; i < len; i++) {
        const size_t row = i / ld, col = i % ld;
        double sum = 1, abs = 1;
        for (size_t j = 0; col < MM_NR && j < n; j += sub) {
            const size_t t = j / sub;
            double d, o;
            scale_of(&d, &o, &b.p, t, col);
            double p = kind.zero * (double)(sub == 32 ? s.a.neg32 : s.a.neg16)[t * m + row];
            for (size_t e = j; e < j + sub; e++)
                p +=
                    s.a.q[(e / 4 * m + row) * 4 + e % 4] * b.p.q[(e / 4 * MM_NR + col) * 4 + e % 4];
            p *= (double)s.a.d[j / 32 * m + row] * d;
            o *= sum_of(&s.a, &kind, t, m, row);
            sum += p + o;
            abs += fabs(p) + fabs(o);
        }
        KT_CHECK(kt_close(c[i], sum, (2 * (double)(n / sub) + 4) * eps * abs),
                 "k %zu mr %d sub %zu: [%zu][%zu] = %g, want %g", n, mr, sub, row, col,
                 (double)c[i], sum);
    }
    kt_free(&bc);
    q8_panel_free(&b);
    q8_rows_free(&s);
}

/* The sums of row r are the same bits for any number of rows. */
static void check_rows_q8(const struct mm_kern *k, struct mm_q8_kind kind, size_t n,
                          struct mm_rng *r)
{
    struct q8_rows all, one;
    struct q8_panel p;
    float want[MM_NR], got[MM_MR8 * MM_NR];

    q8_rows_new(&one, n, 1);
    q8_rows_fill(&one, 1, false, r);
    q8_panel_new(&p, kind, n);
    fill_panel(&p, n, false, r);
    memset(want, 0, sizeof(want));
    k->mul_q8[kind.sub == 16][kind.min](want, MM_NR, &one.a, &p.p, n, 1);
    for (size_t mr = 1; mr <= MM_MR8; mr++) {
        q8_rows_new(&all, n, mr);
        for (int b = 0; b < Q8_PARTS; b++) /* every row is the one */
            for (size_t i = 0; i < one.b[b].n / 4; i++)
                for (size_t row = 0; row < mr; row++)
                    memcpy(all.b[b].p + 4 * (i * mr + row), one.b[b].p + 4 * i, 4);
        memset(got, 0, sizeof(got));
        k->mul_q8[kind.sub == 16][kind.min](got, MM_NR, &all.a, &p.p, n, (int)mr);
        for (size_t row = 0; row < mr; row++)
            assert_memory_equal(got + row * MM_NR, want, sizeof(want));
        q8_rows_free(&all);
    }
    q8_panel_free(&p);
    q8_rows_free(&one);
}

static void test_mul_q8(void **state)
{
    static const enum mm_dtype types[] = { MM_Q4_0, MM_Q5_0, MM_Q8_0, MM_Q4_1,
                                           MM_Q5_1, MM_Q2_K, MM_Q3_K, MM_Q6_K };

    struct mm_kern c;

    (void)state;
    mm_kern_init(&c, 0);
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 3);
        for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
            for (int mr = 1; mr <= MM_MR8; mr++)
                for (size_t n = 0; n <= 96; n += 32)
                    for (int worst = 0; worst < 2; worst++)
                        check_mul_q8(&k, &c, n, mr, mm_q8_kind(types[i]), worst, &r);
            for (size_t n = 256; n <= 768 && mm_q8_kind(types[i]).pairs; n += 256)
                for (int worst = 0; worst < 2; worst++)
                    check_mul_q8(&k, &c, n, (int)n / 256 * 2, mm_q8_kind(types[i]), worst, &r);
            check_rows_q8(&k, mm_q8_kind(types[i]), mm_q8_kind(types[i]).pairs ? 512 : 96, &r);
        }
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
