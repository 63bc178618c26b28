/* test_packed.c: the packed order, by hand and back; and panels unpacked by
 * every table: the same bits as the scalar code, and as the rows before. */
#include "q8_test.h"

#include "base/panel.h"
#include "base/quant.h"
#include "kernel/packed.h"

static const enum mm_dtype types[] = { MM_F32,  MM_F16,  MM_BF16, MM_Q4_0, MM_Q4_1,
                                       MM_Q5_0, MM_Q5_1, MM_Q8_0, MM_Q2_K, MM_Q3_K,
                                       MM_Q4_K, MM_Q5_K, MM_Q6_K };
enum { TYPES = sizeof(types) / sizeof(*types), PLAIN = 3 };

/* Bytes of the fields: halves, then words, as offsets in a source block. */
static void test_order(void **state)
{
    static const struct {
        enum mm_dtype t;
        int half[2], word0;
    } want[] = { { MM_Q4_0, { 0, -1 }, 2 },   { MM_Q4_1, { 0, 2 }, 4 },  { MM_Q5_0, { 0, -1 }, 2 },
                 { MM_Q5_1, { 0, 2 }, 4 },    { MM_Q8_0, { 0, -1 }, 2 }, { MM_Q2_K, { 80, 82 }, 0 },
                 { MM_Q3_K, { 108, -1 }, 0 }, { MM_Q4_K, { 0, 2 }, 4 },  { MM_Q5_K, { 0, 2 }, 4 },
                 { MM_Q6_K, { 208, -1 }, 0 }, { MM_F16, { 0, -1 }, -1 }, { MM_BF16, { 0, -1 }, -1 },
                 { MM_F32, { -1, -1 }, 0 } };
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 1);
    assert_false(mm_packed_can(MM_F64));
    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
        const size_t bytes = mm_dtype_block_bytes(want[i].t), n = mm_dtype_block(want[i].t);
        unsigned char w[210 * MM_NR], to[210 * MM_NR], *p = to;
        size_t size;

        assert_true(mm_packed_can(want[i].t));
        assert_true(mm_packed_bytes(want[i].t, 33, 2 * n, &size) && size == 4 * bytes * MM_NR);
        assert_false(n > 1 && mm_packed_bytes(want[i].t, 33, n + 1, &size));
        for (size_t j = 0; j < bytes * MM_NR; j++)
            w[j] = (unsigned char)mm_rng_u64(&r);
        mm_pack_rows(to, want[i].t, w, bytes, n, MM_NR);
        for (int h = 0; h < 2 && want[i].half[h] >= 0; h++)
            for (size_t row = 0; row < MM_NR; row++, p += 2)
                assert_memory_equal(p, w + row * bytes + want[i].half[h], 2);
        for (size_t o = (size_t)want[i].word0; want[i].t != MM_Q3_K && p < to + bytes * MM_NR;
             o += 4)
            for (size_t row = 0; row < MM_NR; row++, p += 4)
                assert_memory_equal(p, w + row * bytes + o, 4);
    }
}

/* Scales are any half but NaN, whose sign no kernel has to keep. */
static void random_rows(unsigned char *w, enum mm_dtype t, size_t bytes, struct mm_rng *r)
{
    const size_t block = mm_dtype_block_bytes(t);
    const size_t at = t == MM_Q2_K ? 80 : t == MM_Q3_K ? 108 : t == MM_Q6_K ? 208 : 0;

    for (size_t i = 0; i < bytes; i++)
        w[i] = (unsigned char)mm_rng_u64(r);
    for (size_t i = 0; t != MM_F32 && i < bytes; i += block) {
        w[i + at + 1] &= 0xbf;
        if (mm_dtype_quantised(t) && mm_q8_kind(t).min)
            w[i + at + 3] &= 0xbf;
    }
}

static void check_unpack(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t,
                         size_t n, const void *packed)
{
    struct q8_panel a, b;
    struct kt_buf bf, bg;
    float *f = kt_alloc(&bf, n * MM_NR * 4), *g = kt_alloc(&bg, n * MM_NR * 4);

    q8_panel_new(&a, mm_q8_kind(t), n);
    q8_panel_new(&b, mm_q8_kind(t), n);
    k->unpack[t](&a.p, packed, n);
    c->unpack[t](&b.p, packed, n);
    for (int i = 0; i < Q8_FIELDS; i++)
        if (a.b[i].n)
            assert_memory_equal(a.b[i].p, b.b[i].p, a.b[i].n);
    k->codes_f32(f, &a.p, n);
    c->codes_f32(g, &a.p, n);
    if (n)
        assert_memory_equal(f, g, n * MM_NR * 4);
    q8_panel_free(&a);
    q8_panel_free(&b);
    kt_free(&bf);
    kt_free(&bg);
}

/* The f32 panel of the scalar table holds the dequantised rows. */
static void check_weights(const struct mm_kern *c, enum mm_dtype t, size_t n, const void *packed,
                          const unsigned char *w, size_t stride, size_t nr)
{
    struct q8_panel a;
    float *f = malloc(n * MM_NR * 4 + 1), *y = malloc(n * 4 + 1);

    q8_panel_new(&a, mm_q8_kind(t), n);
    c->unpack[t](&a.p, packed, n);
    c->codes_f32(f, &a.p, n);
    for (size_t r = 0; r < nr; r++) {
        mm_dequant_row(y, t, w + r * stride, n);
        for (size_t i = 0; i < n; i++)
            assert_true(f[i * MM_NR + r] == y[i]);
    }
    q8_panel_free(&a);
    free(f);
    free(y);
}

static void check_type(const struct mm_kern *k, const struct mm_kern *c, enum mm_dtype t, size_t n,
                       size_t nr, struct mm_rng *r)
{
    const size_t stride = n / mm_dtype_block(t) * mm_dtype_block_bytes(t), bytes = stride * nr;
    struct kt_buf bw, bp, bz, by;
    unsigned char *w = kt_alloc(&bw, bytes), *p = kt_alloc(&bp, stride * MM_NR);
    unsigned char *row = kt_alloc(&bz, stride), *plain = kt_alloc(&by, stride * MM_NR);
    static const unsigned char zero[2048];

    random_rows(w, t, bytes, r);
    mm_pack_rows(p, t, w, stride, n, (int)nr);
    mm_panel_write(plain, t, w, nr, n);
    assert_memory_equal(p, plain, stride * MM_NR);
    for (size_t i = 0; i < MM_NR && n; i++) {
        mm_panel_row(row, t, p, n, i);
        assert_memory_equal(row, i < nr ? w + i * stride : zero, stride);
    }
    if (mm_dtype_quantised(t)) {
        check_unpack(k, c, t, n, p);
        check_weights(c, t, n, p, w, stride, nr);
    }
    kt_free(&bw);
    kt_free(&bp);
    kt_free(&bz);
    kt_free(&by);
}

static void test_unpack(void **state)
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
        mm_rng_seed(&r, 2);
        for (size_t i = 0; i < TYPES; i++)
            for (size_t blocks = 0; blocks < 4; blocks++)
                for (size_t nr = 1; nr <= MM_NR; nr += blocks ? 31 : 7)
                    check_type(&k, &c, types[i],
                               blocks * (i < PLAIN ? 11 : mm_dtype_block(types[i])), nr, &r);
    }
}

/* What random_rows gives, but the largest codes, and scales near 1. */
static void worst_rows(unsigned char *w, enum mm_dtype t, size_t bytes)
{
    const size_t block = mm_dtype_block_bytes(t);
    const size_t at = t == MM_Q2_K ? 80 : t == MM_Q3_K ? 108 : t == MM_Q6_K ? 208 : 0;

    memset(w, t == MM_Q8_0 ? 0x80 : t == MM_Q3_K ? 0 : 0xff, bytes); /* as far as they get */
    for (size_t i = 0; i < bytes; i += block) {
        w[i + at + 1] = 0x3b;
        if (mm_q8_kind(t).min)
            w[i + at + 3] = 0x3b;
    }
}

/* mul_q8, row by row: it takes fewer at once. */
static void many_rows(const struct mm_kern *k, float *c, size_t ldc, const struct mm_q8_rows *a,
                      const struct mm_q8_panel *b, size_t n, size_t m)
{
    for (size_t r = 0; r < m; r++) {
        struct q8_rows one;
        q8_rows_new(&one, n, 1);
        for (size_t i = 0; i < n / 4; i++)
            memcpy(one.a.q + 4 * i, a->q + 4 * (i * m + r), 4);
        for (size_t i = 0; i < n / 32; i++) {
            one.a.d[i] = a->d[i * m + r];
            one.a.neg32[i] = a->neg32[i * m + r];
            one.a.sum32[i] = a->sum32[i * m + r];
        }
        for (size_t i = 0; i < n / 16; i++) {
            one.a.neg16[i] = a->neg16[i * m + r];
            one.a.sum16[i] = a->sum16[i * m + r];
        }
        for (size_t i = 0; i < n / 64; i++)
            for (size_t h = 0; h < 2 && a->fix[0]; h++)
                memcpy(one.a.fix[h] + 4 * i, a->fix[h] + 4 * (i * m + r), 4);
        for (size_t i = 0; i < n / 256; i++)
            one.a.step[i] = a->step[i * m + r];
        for (size_t h = 0; h < 2 && !a->fix[0]; h++)
            one.a.fix[h] = NULL;
        k->mul_q8[b->kind.sub == 16][b->kind.min](c + r * ldc, ldc, &one.a, b, n, 1);
        q8_rows_free(&one);
    }
}

/* Multiplied as they come or by way of scratch: the same bits. */
static void check_few(const struct mm_kern *k, enum mm_dtype t, size_t n, int mr, bool worst,
                      bool minima, struct mm_rng *r)
{
    enum { LD = MM_NR + 3 };
    const size_t stride = n / mm_dtype_block(t) * mm_dtype_block_bytes(t), m = (size_t)mr;
    struct q8_rows a;
    struct q8_panel b;
    struct kt_buf bc, bp;
    unsigned char *w = malloc(stride * MM_NR + 1), *p = kt_alloc(&bp, stride * MM_NR);
    float *c = kt_alloc(&bc, ((m - 1) * LD + MM_NR) * 4);
    float want[MM_MR_FEW * LD];

    random_rows(w, t, stride * MM_NR, r);
    if (worst)
        worst_rows(w, t, stride * MM_NR);
    mm_pack_rows(p, t, w, stride, n, MM_NR);
    q8_rows_new(&a, n, m);
    q8_rows_fill(&a, m, worst, r);
    for (int h = 0; h < 2 && !minima; h++)
        a.a.fix[h] = NULL;
    q8_panel_new(&b, mm_q8_kind(t), n);
    for (size_t i = 0; i < m * LD; i++)
        want[i] = (float)(i % 5);
    memcpy(c, want, bc.n);
    k->mul_packed[t](c, LD, &a.a, p, n, mr);
    k->unpack[t](&b.p, p, n);
    many_rows(k, want, LD, &a.a, &b.p, n, m);
    for (size_t i = 0; i < bc.n / 4; i++)
        KT_CHECK(kt_same(c[i], want[i]), "%s %d rows of %zu: [%zu] = %g, want %g",
                 mm_dtype_name(t), mr, n, i, (double)c[i], (double)want[i]);
    q8_panel_free(&b);
    q8_rows_free(&a);
    kt_free(&bc);
    kt_free(&bp);
    free(w);
}

static void test_few(void **state)
{
    (void)state;
    for (size_t t = 0; t < KT_TABLES; t++) {
        struct mm_kern k;
        struct mm_rng r;
        if (!kt_can(t))
            continue;
        mm_kern_init(&k, kt_tables[t].cpu);
        mm_rng_seed(&r, 3);
        for (size_t i = PLAIN; i < TYPES && k.mul_packed[types[i]]; i++)
            for (int mr = 1; mr <= MM_MR_FEW; mr *= 2)
                for (size_t blocks = 0; blocks < 4; blocks++)
                    for (int worst = 0; worst < 2; worst++)
                        for (int min = 0; min < (types[i] == MM_Q2_K ? 2 : 1); min++)
                            check_few(&k, types[i], blocks * mm_dtype_block(types[i]), mr, worst,
                                      !min, &r);
    }
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_unpack),
        cmocka_unit_test(test_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Packing uses the table of the process. */
int main(void)
{
    return kt_run_tables(run);
}
