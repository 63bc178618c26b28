/* tile_avx2.c: panels and micro-kernels, AVX2 with FMA.
 *
 * Sixteen registers hold 6 x 16 sums, so a 12 x 32 tile is done in quarters.
 */
#include "kernel/tile.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/ahead.h"

#define INLINE static inline __attribute__((always_inline))

enum { HALF = MM_MR / 2 };

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
            mm_fetch_ahead(b);
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

void mm_tile_init_avx2(struct mm_kern *k)
{
    k->pack_a = pack_a;
    k->pack_b = pack_b;
    k->pack_words = pack_words;
    k->mul_f32 = mul_f32;
    k->mul_half[MM_F16] = mul_f16;
    k->mul_half[MM_BF16] = mul_bf16;
}
