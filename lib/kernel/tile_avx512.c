/* tile_avx512.c: panels and micro-kernels, AVX-512 with VNNI.
 *
 * A micro-kernel keeps mr x 32 sums in registers: 24 vectors of f32 for 12
 * rows; 12 of integers and 12 of f32 for 6 rows of int8.
 */
#include "kernel/tile.h"

#include <string.h>

#include "kernel/ahead.h"
#include "kernel/zmm.h"

enum {
    VNR = MM_NR / 16, /* vectors across a panel */
    STARTS = 32       /* sub-blocks whose sums' starts are made at once */
};

/* 16 x 16 words in place: v[i] lane j becomes v[j] lane i. */
INLINE void transpose16(__m512i v[16])
{
    __m512i t[16];

#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* Words 0..15 under mask of rows stride bytes apart (missing ones zero), transposed. */
INLINE void load16(__m512i v[16], const char *x, size_t stride, int rows, __mmask16 mask)
{
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++)
        v[r] = r < rows ? _mm512_maskz_loadu_epi32(mask, x + (size_t)r * stride)
                        : _mm512_setzero_si512();
    transpose16(v);
}

INLINE __mmask16 tail_mask(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffffu);
}

static void pack_a(void *a, const void *x, size_t ld, size_t n, int mr)
{
    const __mmask16 store = tail_mask((size_t)mr);
    uint32_t *to = a;

    if (mr == 1) {
        memcpy(a, x, 4 * n);
        return;
    }
    for (size_t i = 0; i < n; i += 16) {
        __m512i v[16];
        load16(v, (const char *)x + 4 * i, 4 * ld, mr, tail_mask(n - i));
        for (size_t c = 0; c < 16 && i + c < n; c++)
            _mm512_mask_storeu_epi32(to + (i + c) * (size_t)mr, store, v[c]);
    }
}

/* Words 0..3 under mask of 16 rows, transposed: a quarter of the shuffles of load16. */
INLINE void load4(__m512i v[4], const char *x, size_t stride, int rows, __mmask8 mask)
{
    __m512i t[4];

#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) { /* lane i: row 4 i + j */
        __m128i r[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            r[i] = 4 * i + j < rows
                       ? _mm_maskz_loadu_epi32(mask, x + (size_t)(4 * i + j) * stride)
                       : _mm_setzero_si128();
        t[j] = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(r[0]), r[1], 1)),
            _mm256_inserti128_si256(_mm256_castsi128_si256(r[2]), r[3], 1), 1);
    }
    v[0] = _mm512_unpacklo_epi32(t[0], t[1]);
    v[1] = _mm512_unpackhi_epi32(t[0], t[1]);
    v[2] = _mm512_unpacklo_epi32(t[2], t[3]);
    v[3] = _mm512_unpackhi_epi32(t[2], t[3]);
    t[0] = _mm512_unpacklo_epi64(v[0], v[2]);
    t[1] = _mm512_unpackhi_epi64(v[0], v[2]);
    t[2] = _mm512_unpacklo_epi64(v[1], v[3]);
    t[3] = _mm512_unpackhi_epi64(v[1], v[3]);
    memcpy(v, t, sizeof(t));
}

/* n words of 16 rows into columns of a panel. */
INLINE void pack_words16(uint32_t *p, const char *w, size_t stride, size_t n, int rows)
{
    size_t i = 0;

    for (; n - i > 8; i += 16) {
        __m512i v[16];
        load16(v, w + 4 * i, stride, rows, tail_mask(n - i));
        for (size_t c = 0; c < 16 && i + c < n; c++)
            _mm512_storeu_si512(p + (i + c) * MM_NR, v[c]);
        if (n - i <= 16)
            return;
    }
    for (; i < n; i += 4) {
        __m512i v[4];
        load4(v, w + 4 * i, stride, rows, (__mmask8)(tail_mask(n - i) & 15));
        for (size_t c = 0; c < 4 && i + c < n; c++)
            _mm512_storeu_si512(p + (i + c) * MM_NR, v[c]);
    }
}

static void pack_words(void *to, const void *w, size_t stride, size_t n, int nr)
{
    for (int h = 0; h < VNR; h++) {
        const char *const rows = (const char *)w + 16 * (size_t)h * stride;
        uint32_t *const p = (uint32_t *)to + 16 * h;

        if (nr >= 16 * (h + 1))
            pack_words16(p, rows, stride, n, 16);
        else
            pack_words16(p, rows, stride, n, nr - 16 * h);
    }
}

static void pack_b(void *b, const void *w, size_t ld, size_t n, int nr)
{
    pack_words(b, w, 4 * ld, n, nr);
}

/* Halves 0 and 1 of the words of 32 rows. */
INLINE void split_halves(uint16_t *to, __m512i a, __m512i b)
{
    const __m512i even =
        _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                         24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, even, b));
    _mm512_storeu_si512(
        to + MM_NR, _mm512_permutex2var_epi16(a, _mm512_add_epi16(even, _mm512_set1_epi16(1)), b));
}

/* Half i of all rows. */
INLINE void pack_half(uint16_t *p, const char *from, size_t stride, int nr)
{
    for (int r = 0; r < MM_NR; r++, from += stride) {
        uint16_t half = 0;
        if (r < nr)
            memcpy(&half, from, sizeof(half));
        p[r] = half;
    }
}

/* Whole words are turned as such; an odd half is left. */
static void pack_halves(void *to, const void *w, size_t stride, size_t n, int nr)
{
    const char *from = w;
    uint16_t *p = to;
    size_t i = 0;

    for (; i + 1 < n && n > 2; i += 32) {
        const size_t words = n / 2 - i / 2;
        __m512i a[16], b[16];
        load16(a, from + 2 * i, stride, nr, tail_mask(words));
        load16(b, from + 2 * i + 16 * stride, stride, nr - 16, tail_mask(words));
        for (size_t c = 0; c < 16 && c < words; c++)
            split_halves(p + (i + 2 * c) * MM_NR, a[c], b[c]);
    }
    for (i = n > 2 ? n & ~(size_t)1 : 0; i < n; i++)
        if (nr == MM_NR)
            pack_half(p + i * MM_NR, from + 2 * i, stride, MM_NR);
        else
            pack_half(p + i * MM_NR, from + 2 * i, stride, nr);
}

/* 16 weights of a panel. */
INLINE __m512 weights(const void *b, enum mm_dtype t)
{
    if (t == MM_F32)
        return _mm512_loadu_ps(b);
    const __m256i h = _mm256_loadu_si256(b);
    return t == MM_F16 ? _mm512_cvtph_ps(h)
                       : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

INLINE void mul_mr(float *c, size_t ldc, const float *a, const char *b, size_t k, const int mr,
                   enum mm_dtype t)
{
    const size_t size = t == MM_F32 ? 4 : 2;
    __m512 s[MM_MR][VNR];

#pragma GCC unroll 12
    for (int r = 0; r < mr; r++)
        s[r][0] = s[r][1] = _mm512_setzero_ps();
    for (; k; k--, a += mr, b += MM_NR * size) {
        if (t != MM_F32)
            mm_fetch_ahead(b);
        const __m512 b0 = weights(b, t), b1 = weights(b + 16 * size, t);
#pragma GCC unroll 12
        for (int r = 0; r < mr; r++) {
            const __m512 x = _mm512_set1_ps(a[r]);
            s[r][0] = _mm512_fmadd_ps(x, b0, s[r][0]);
            s[r][1] = _mm512_fmadd_ps(x, b1, s[r][1]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < mr; r++, c += ldc) {
        _mm512_storeu_ps(c, _mm512_add_ps(_mm512_loadu_ps(c), s[r][0]));
        _mm512_storeu_ps(c + 16, _mm512_add_ps(_mm512_loadu_ps(c + 16), s[r][1]));
    }
}

#define MUL(n) \
    case n: mul_mr(c, ldc, a, b, k, n, t); break;

INLINE void mul_rows(float *c, size_t ldc, const float *a, const void *b, size_t k, int mr,
                     enum mm_dtype t)
{
    switch (mr) {
        MUL(1)
        MUL(2)
        MUL(3)
        MUL(4)
        MUL(5)
        MUL(6)
        MUL(7)
        MUL(8)
        MUL(9)
        MUL(10)
        MUL(11)
    default: mul_mr(c, ldc, a, b, k, 12, t); break;
    }
}

static void mul_f32(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr)
{
    mul_rows(c, ldc, a, b, k, mr, MM_F32);
}

static void mul_f16(float *c, size_t ldc, const float *a, const void *packed, size_t k, int mr)
{
    mul_rows(c, ldc, a, packed, k, mr, MM_F16);
}

static void mul_bf16(float *c, size_t ldc, const float *a, const void *packed, size_t k, int mr)
{
    mul_rows(c, ldc, a, packed, k, mr, MM_BF16);
}

INLINE __m512i word(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm512_set1_epi32(w);
}

INLINE void mul_q8_mr(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                      size_t k, const int mr, const size_t sub, const int min)
{
    const int shift = b->kind.zero ? __builtin_ctz(b->kind.zero) : 0;
    const int32_t *neg = sub == 32 ? a->neg32 : a->neg16;
    const int8_t *aq = a->q;
    const uint8_t *bq = b->q;
    int32_t start[STARTS * MM_MR8 / 16 * 16];
    __m512 s[MM_MR8][VNR];

#pragma GCC unroll 6
    for (int r = 0; r < mr; r++) {
        s[r][0] = _mm512_loadu_ps(c + (size_t)r * ldc);
        s[r][1] = _mm512_loadu_ps(c + (size_t)r * ldc + 16);
    }
    for (size_t t = 0; t < k / sub; t++) {
        const float *ad = a->d + t * sub / MM_QBLOCK * (size_t)mr;
        const float *as = (sub == 32 ? a->sum32 : a->sum16) + t * (size_t)mr;
        const int32_t *from = start + t % STARTS * (size_t)mr;
        __m512i n[MM_MR8][VNR];

        if (!min && t % STARTS == 0)
            sub_starts(start, neg + t * (size_t)mr,
                       (k / sub - t < STARTS ? k / sub - t : STARTS) * (size_t)mr, shift,
                       FLOAT_BITS);
#pragma GCC unroll 6
        for (int r = 0; r < mr; r++)
            n[r][0] = n[r][1] = _mm512_set1_epi32(min ? FLOAT_BITS : from[r]);
#pragma GCC unroll 8
        for (size_t i = 0; i < sub / 4; i++, aq += 4 * mr, bq += 4 * MM_NR) {
            const __m512i b0 = _mm512_loadu_si512(bq), b1 = _mm512_loadu_si512(bq + 64);
#pragma GCC unroll 6
            for (int r = 0; r < mr; r++) {
                const __m512i x = word(aq + 4 * r);
                n[r][0] = _mm512_dpbusd_epi32(n[r][0], b0, x);
                n[r][1] = _mm512_dpbusd_epi32(n[r][1], b1, x);
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < VNR; v++) {
            const __m512 d = _mm512_loadu_ps(b->d + t * MM_NR + 16 * v);
            const __m512 base = _mm512_mul_ps(d, _mm512_set1_ps(-FLOAT_BASE));
            const __m512 m = min ? _mm512_loadu_ps(b->m + t * MM_NR + 16 * v) : d;
#pragma GCC unroll 6
            for (int r = 0; r < mr; r++) {
                const __m512 nd = _mm512_fmadd_ps(_mm512_castsi512_ps(n[r][v]), d, base);
                s[r][v] = _mm512_fmadd_ps(nd, _mm512_set1_ps(ad[r]), s[r][v]);
                if (min)
                    s[r][v] = _mm512_fmadd_ps(_mm512_set1_ps(as[r]), m, s[r][v]);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < mr; r++, c += ldc) {
        _mm512_storeu_ps(c, s[r][0]);
        _mm512_storeu_ps(c + 16, s[r][1]);
    }
}

/* c -= what the minima of 256 elements add; b->min, b->m, a->fix, a->step begin there. */
INLINE void sub_minima(float *c, size_t ldc, const uint8_t *min, const float *m,
                       const int8_t *const fix[2], const float *step, const int mr)
{
    __m512i n[MM_MR8][VNR];

#pragma GCC unroll 6
    for (int r = 0; r < mr; r++)
        n[r][0] = n[r][1] = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
#pragma GCC unroll 6
        for (int r = 0; r < mr; r++)
            for (int v = 0; v < VNR; v++)
                n[r][v] = _mm512_slli_epi32(n[r][v], 8);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const uint8_t *w = min + 4 * MM_NR * i;
            const __m512i b0 = _mm512_loadu_si512(w), b1 = _mm512_loadu_si512(w + 64);
#pragma GCC unroll 6
            for (int r = 0; r < mr; r++) {
                const __m512i x = word(fix[h] + 4 * (i * mr + r));
                n[r][0] = _mm512_dpbusd_epi32(n[r][0], b0, x);
                n[r][1] = _mm512_dpbusd_epi32(n[r][1], b1, x);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < mr; r++, c += ldc)
#pragma GCC unroll 2
        for (int v = 0; v < VNR; v++) {
            float *const x = c + 16 * v;
            const __m512 t =
                _mm512_mul_ps(_mm512_loadu_ps(m + 16 * v), _mm512_cvtepi32_ps(n[r][v]));
            _mm512_storeu_ps(x, _mm512_fnmadd_ps(t, _mm512_set1_ps(step[r]), _mm512_loadu_ps(x)));
        }
}

/* n: sums of the 16 elements of one sub-block, from the codes at q; start as sub_starts(). */
INLINE void mul_16(__m512i n[MM_MR8][VNR], const int32_t *start, const int8_t *aq, const uint8_t *q,
                   const int mr)
{
#pragma GCC unroll 6
    for (int r = 0; r < mr; r++)
        n[r][0] = n[r][1] = start ? _mm512_set1_epi32(start[r]) : _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, aq += 4 * mr, q += 4 * MM_NR) {
        const __m512i b0 = _mm512_loadu_si512(q), b1 = _mm512_loadu_si512(q + 64);
#pragma GCC unroll 6
        for (int r = 0; r < mr; r++) {
            const __m512i x = word(aq + 4 * r);
            n[r][0] = _mm512_dpbusd_epi32(n[r][0], b0, x);
            n[r][1] = _mm512_dpbusd_epi32(n[r][1], b1, x);
        }
    }
}

/* Sums of both sub-blocks are held, so those of floats are not. */
INLINE void mul_pairs_mr(float *c, size_t ldc, const struct mm_q8_rows *a,
                         const struct mm_q8_panel *b, size_t k, const int mr, const int min)
{
    const size_t m = (size_t)mr;
    const int shift = b->kind.zero ? __builtin_ctz(b->kind.zero) : 0;
    int32_t start[STARTS * MM_MR8 / 16 * 16];

    for (size_t t = 0; t < k / 32; t++) {
        const int32_t *scale = b->scale + 2 * t * MM_NR;
        const float *const ad = a->d + t * m, *const d = b->d + t / 8 * MM_NR;
        __m512i n[MM_MR8][VNR], n1[MM_MR8][VNR];

        if (min && a->fix[0] && t % 8 == 0) {
            const int8_t *const fix[2] = { a->fix[0] + 2 * t * m, a->fix[1] + 2 * t * m };
            sub_minima(c, ldc, b->min + t / 2 * 4 * MM_NR, b->m + t / 8 * MM_NR, fix,
                       a->step + t / 8 * m, mr);
        }
        if (!min && 2 * t % STARTS == 0)
            sub_starts(start, a->neg16 + 2 * t * m,
                       (k / 16 - 2 * t < STARTS ? k / 16 - 2 * t : STARTS) * m, shift, 0);
        const int32_t *const from = min ? NULL : start + 2 * t % STARTS * m;
        mul_16(n, from, a->q + 32 * t * m, b->q + 32 * t * MM_NR, mr);
#pragma GCC unroll 6
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < VNR; v++)
                n[r][v] = _mm512_dpwssd_epi32(_mm512_set1_epi32(FLOAT_BITS), n[r][v],
                                              _mm512_loadu_si512(scale + 16 * v));
        mul_16(n1, from ? from + m : NULL, a->q + (32 * t + 16) * m, b->q + (32 * t + 16) * MM_NR,
               mr);
#pragma GCC unroll 2
        for (int v = 0; v < VNR; v++) {
            const __m512i s1 = _mm512_loadu_si512(scale + MM_NR + 16 * v);
            const __m512 dv = _mm512_loadu_ps(d + 16 * v);
            const __m512 base = _mm512_mul_ps(dv, _mm512_set1_ps(-FLOAT_BASE));
#pragma GCC unroll 6
            for (int r = 0; r < mr; r++) {
                float *const x = c + (size_t)r * ldc + 16 * v;
                const __m512i sum = _mm512_dpwssd_epi32(n[r][v], n1[r][v], s1);
                const __m512 nd = _mm512_fmadd_ps(_mm512_castsi512_ps(sum), dv, base);
                _mm512_storeu_ps(x, _mm512_fmadd_ps(nd, _mm512_set1_ps(ad[r]), _mm512_loadu_ps(x)));
            }
        }
    }
}

#define MUL_PAIRS(name, min) \
    static void name(float *c, size_t ldc, const struct mm_q8_rows *a, \
                     const struct mm_q8_panel *b, size_t k, int mr) \
    { \
        switch (mr) { \
        case 1: mul_pairs_mr(c, ldc, a, b, k, 1, min); break; \
        case 2: mul_pairs_mr(c, ldc, a, b, k, 2, min); break; \
        case 3: mul_pairs_mr(c, ldc, a, b, k, 3, min); break; \
        case 4: mul_pairs_mr(c, ldc, a, b, k, 4, min); break; \
        case 5: mul_pairs_mr(c, ldc, a, b, k, 5, min); break; \
        default: mul_pairs_mr(c, ldc, a, b, k, 6, min); break; \
        } \
    }
MUL_PAIRS(mul_q8_pairs, 0)
MUL_PAIRS(mul_q8_pairs_min, 1)

#define MUL_Q8(name, sub, min) \
    static void name(float *c, size_t ldc, const struct mm_q8_rows *a, \
                     const struct mm_q8_panel *b, size_t k, int mr) \
    { \
        switch (mr) { \
        case 1: mul_q8_mr(c, ldc, a, b, k, 1, sub, min); break; \
        case 2: mul_q8_mr(c, ldc, a, b, k, 2, sub, min); break; \
        case 3: mul_q8_mr(c, ldc, a, b, k, 3, sub, min); break; \
        case 4: mul_q8_mr(c, ldc, a, b, k, 4, sub, min); break; \
        case 5: mul_q8_mr(c, ldc, a, b, k, 5, sub, min); break; \
        default: mul_q8_mr(c, ldc, a, b, k, 6, sub, min); break; \
        } \
    }
MUL_Q8(mul_q8_32, 32, 0)
MUL_Q8(mul_q8_32m, 32, 1)
MUL_Q8(mul_q8_16, 16, 0)

/* Sub-blocks of 16 without a minimum are of Q3_K or Q6_K. */
static void mul_q8_16_any(float *c, size_t ldc, const struct mm_q8_rows *a,
                          const struct mm_q8_panel *b, size_t k, int mr)
{
    (b->kind.pairs ? mul_q8_pairs : mul_q8_16)(c, ldc, a, b, k, mr);
}

void mm_tile_init_avx512(struct mm_kern *k)
{
    k->pack_a = pack_a;
    k->pack_b = pack_b;
    k->pack_words = pack_words;
    k->pack_halves = pack_halves;
    k->mul_f32 = mul_f32;
    k->mul_half[MM_F16] = mul_f16;
    k->mul_half[MM_BF16] = mul_bf16;
    k->mul_q8[0][0] = mul_q8_32;
    k->mul_q8[0][1] = mul_q8_32m;
    k->mul_q8[1][0] = mul_q8_16_any;
    k->mul_q8[1][1] = mul_q8_pairs_min;
    k->int8 = true;
}
