/* tile_avx2.c: panels and micro-kernels, AVX2 with FMA.
 *
 * Sixteen registers hold 6 x 16 sums of f32, so a 12 x 32 tile is done in quarters;
 * 2 x 16 of int8, sums of 16 bits, of 32 bits and of f32.
 */
#include "kernel/tile.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum {
    HALF = MM_MR / 2,
    AHEAD = 4096 /* bytes prefetched ahead: the hardware stops at a page */
};

/* 8 x 8 words in place. */
INLINE void transpose8(__m256 v[8])
{
    __m256 t[8];

#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
    }
    memcpy(v, t, sizeof(t));
}

INLINE __m256i first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* to[i][step] lanes at..at+8 = words 0..n of rows stride bytes apart (at most 8; missing
 * ones zero). */
INLINE void turn(float *to, size_t step, const char *x, size_t stride, size_t n, int rows)
{
    const __m256i keep = first(rows > 0 ? (size_t)rows : 0);

    for (size_t i = 0; i < n; i += 8) {
        __m256 v[8];
#pragma GCC unroll 8
        for (int r = 0; r < 8; r++)
            v[r] = r < rows ? _mm256_maskload_ps(
                                  (const float *)(const void *)(x + 4 * i + (size_t)r * stride),
                                  first(n - i))
                            : _mm256_setzero_ps();
        transpose8(v);
        for (size_t c = 0; c < 8 && i + c < n; c++)
            if (step == MM_NR)
                _mm256_storeu_ps(to + (i + c) * step, v[c]);
            else
                _mm256_maskstore_ps(to + (i + c) * step, keep, v[c]);
    }
}

static void pack_a(void *a, const void *x, size_t ld, size_t n, int mr)
{
    for (int r = 0; r < mr; r += 8)
        turn((float *)a + r, (size_t)mr, (const char *)x + 4 * (size_t)r * ld, 4 * ld, n, mr - r);
}

static void pack_words(void *to, const void *w, size_t stride, size_t n, int nr)
{
    for (int r = 0; r < MM_NR; r += 8)
        turn((float *)to + r, MM_NR, (const char *)w + (size_t)r * stride, stride, n, nr - r);
}

static void pack_b(void *b, const void *w, size_t ld, size_t n, int nr)
{
    pack_words(b, w, 4 * ld, n, nr);
}

/* Eight weights of a panel. */
INLINE __m256 weights(const void *b, enum mm_dtype t)
{
    if (t == MM_F32)
        return _mm256_loadu_ps(b);
    const __m128i h = _mm_loadu_si128(b);
    return t == MM_F16 ? _mm256_cvtph_ps(h)
                       : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* c[rows][8 across] += a b; a has mr rows interleaved. */
INLINE void mul_part(float *c, size_t ldc, const float *a, const char *b, size_t k, size_t mr,
                     const int rows, const int across, enum mm_dtype t)
{
    const size_t size = t == MM_F32 ? 4 : 2;
    __m256 s[HALF][4];

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < across; v++)
            s[r][v] = _mm256_setzero_ps();
    for (; k; k--, a += mr, b += MM_NR * size) {
        if (t != MM_F32)
            _mm_prefetch(b + AHEAD, _MM_HINT_T0);
        __m256 w[4];
#pragma GCC unroll 4
        for (int v = 0; v < across; v++)
            w[v] = weights(b + 8 * (size_t)v * size, t);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const __m256 x = _mm256_broadcast_ss(a + r);
#pragma GCC unroll 4
            for (int v = 0; v < across; v++)
                s[r][v] = _mm256_fmadd_ps(x, w[v], s[r][v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++, c += ldc)
#pragma GCC unroll 4
        for (int v = 0; v < across; v++)
            _mm256_storeu_ps(c + 8 * v, _mm256_add_ps(_mm256_loadu_ps(c + 8 * v), s[r][v]));
}

#define MUL(n) \
    case n: mul_part(c + v, ldc, a, b + v * size, k, mr, n, 2, t); break;

INLINE void mul_rows(float *c, size_t ldc, const float *a, const char *b, size_t k, size_t mr,
                     int rows, enum mm_dtype t)
{
    const size_t size = t == MM_F32 ? 4 : 2;

    if (rows == 1)
        mul_part(c, ldc, a, b, k, mr, 1, 4, t);
    else if (rows == 2)
        mul_part(c, ldc, a, b, k, mr, 2, 4, t);
    else
        for (size_t v = 0; v < MM_NR; v += 16)
            switch (rows) {
                MUL(3)
                MUL(4)
                MUL(5)
            default: mul_part(c + v, ldc, a, b + v * size, k, mr, 6, 2, t); break;
            }
}

INLINE void mul_panel(float *c, size_t ldc, const float *a, const void *b, size_t k, int mr,
                      enum mm_dtype t)
{
    for (int r = 0; r < mr; r += HALF)
        mul_rows(c + (size_t)r * ldc, ldc, a + r, b, k, (size_t)mr, mr - r < HALF ? mr - r : HALF,
                 t);
}

static void mul_f32(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr)
{
    mul_panel(c, ldc, a, b, k, mr, MM_F32);
}

static void mul_f16(float *c, size_t ldc, const float *a, const void *packed, size_t k, int mr)
{
    mul_panel(c, ldc, a, packed, k, mr, MM_F16);
}

static void mul_bf16(float *c, size_t ldc, const float *a, const void *packed, size_t k, int mr)
{
    mul_panel(c, ldc, a, packed, k, mr, MM_BF16);
}

INLINE __m256i four(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm256_set1_epi32(w);
}

/* Products of four codes with x, by pairs.  Signed codes (zero 128) would saturate as
 * unsigned ones: |w| times sign(w) x. */
INLINE __m256i pairs(__m256i q, __m256i x, const int wide)
{
    if (!wide)
        return _mm256_maddubs_epi16(q, x);
    const __m256i w = _mm256_xor_si256(q, _mm256_set1_epi8((char)128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

/* Integer products of a sub-block: n[rows][2] += over 4 run codes at a time, so many that
 * 16 bits hold their sums: codes below 32 four times, below 64 twice, signed bytes once. */
INLINE void sub_dot(__m256i n[2][2], const int8_t *x, const uint8_t *q, size_t mr, const int rows,
                    const int words, const int run, const int wide)
{
#pragma GCC unroll 8
    for (int i = 0; i < words; i += run) {
        __m256i p[2][2];
#pragma GCC unroll 4
        for (int j = i; j < i + run; j++)
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) {
                const __m256i b =
                    _mm256_loadu_si256((const void *)(q + (size_t)j * 4 * MM_NR + 32 * (size_t)v));
#pragma GCC unroll 2
                for (int r = 0; r < rows; r++) {
                    const __m256i y = pairs(b, four(x + 4 * ((size_t)j * mr + (size_t)r)), wide);
                    p[r][v] = j == i ? y : _mm256_add_epi16(p[r][v], y);
                }
            }
#pragma GCC unroll 2
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++)
                n[r][v] =
                    _mm256_add_epi32(n[r][v], _mm256_madd_epi16(p[r][v], _mm256_set1_epi16(1)));
    }
}

/* Rows r0.. (rows of them) and 16 columns from col on. */
INLINE void mul_q8_part(float *c, size_t ldc, const struct mm_q8_rows *a,
                        const struct mm_q8_panel *b, size_t k, size_t mr, size_t r0, size_t col,
                        const int rows, const int sub, const int min, const int wide)
{
    const __m128i shift = _mm_cvtsi32_si128(b->kind.zero ? __builtin_ctz(b->kind.zero) : 0);
    const int run = wide ? 1 : sub == 16 ? 2 : 4;
    __m256 s[2][2];

    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            s[r][v] = _mm256_loadu_ps(c + (r0 + (size_t)r) * ldc + col + 8 * (size_t)v);
    for (size_t t = 0; t < k / (size_t)sub; t++) {
        const size_t at = t * mr + r0, at32 = t * (size_t)sub / 32 * mr + r0;
        __m256i n[2][2];
        for (int r = 0; r < rows; r++)
            n[r][0] = n[r][1] =
                min || wide
                    ? _mm256_setzero_si256()
                    : _mm256_sll_epi32(
                          _mm256_set1_epi32((sub == 32 ? a->neg32 : a->neg16)[at + (size_t)r]),
                          shift);
        sub_dot(n, a->q + t * (size_t)sub * mr + 4 * r0, b->q + t * (size_t)sub * MM_NR + 4 * col,
                mr, rows, sub / 4, run, wide);
        for (int v = 0; v < 2; v++) {
            const __m256 d = _mm256_loadu_ps(b->d + t * MM_NR + col + 8 * (size_t)v);
            for (int r = 0; r < rows; r++) {
                s[r][v] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(n[r][v]), d),
                                          _mm256_set1_ps(a->d[at32 + (size_t)r]), s[r][v]);
                if (min)
                    s[r][v] = _mm256_fmadd_ps(
                        _mm256_set1_ps((sub == 32 ? a->sum32 : a->sum16)[at + (size_t)r]),
                        _mm256_loadu_ps(b->m + t * MM_NR + col + 8 * (size_t)v), s[r][v]);
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            _mm256_storeu_ps(c + (r0 + (size_t)r) * ldc + col + 8 * (size_t)v, s[r][v]);
}

INLINE void mul_q8(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                   size_t k, size_t mr, const int sub, const int min, const int wide)
{
    for (size_t col = 0; col < MM_NR; col += 16) {
        size_t r = 0;
        for (; r + 1 < mr; r += 2)
            mul_q8_part(c, ldc, a, b, k, mr, r, col, 2, sub, min, wide);
        if (r < mr)
            mul_q8_part(c, ldc, a, b, k, mr, r, col, 1, sub, min, wide);
    }
}

static void mul_q8_32(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                      size_t k, int mr)
{
    if (b->kind.zero == 128)
        mul_q8(c, ldc, a, b, k, (size_t)mr, 32, 0, 1);
    else
        mul_q8(c, ldc, a, b, k, (size_t)mr, 32, 0, 0);
}

#define MUL_Q8(name, sub, min) \
    static void name(float *c, size_t ldc, const struct mm_q8_rows *a, \
                     const struct mm_q8_panel *b, size_t k, int mr) \
    { \
        mul_q8(c, ldc, a, b, k, (size_t)mr, sub, min, 0); \
    }
MUL_Q8(mul_q8_32m, 32, 1)
MUL_Q8(mul_q8_16, 16, 0)
MUL_Q8(mul_q8_16m, 16, 1)

void mm_tile_init_avx2(struct mm_kern *k)
{
    k->pack_a = pack_a;
    k->pack_b = pack_b;
    k->pack_words = pack_words;
    k->mul_f32 = mul_f32;
    k->mul_half[MM_F16] = mul_f16;
    k->mul_half[MM_BF16] = mul_bf16;
    k->mul_q8[0][0] = mul_q8_32;
    k->mul_q8[0][1] = mul_q8_32m;
    k->mul_q8[1][0] = mul_q8_16;
    k->mul_q8[1][1] = mul_q8_16m;
    k->int8 = true;
}
