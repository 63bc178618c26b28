/* unpack_avx512.c: packed panels of quantised weights, AVX-512 with VBMI and VNNI.
 *
 * Codes go to scratch, for many rows of activations (unpack_tmpl.inc), or are
 * multiplied as they come, for few: with the same sums in the same order.
 */
#include "kernel/unpack.h"

#include <string.h>

#include "kernel/zmm.h"

#include "kernel/unpack_tmpl.inc"

/* --- multiplied at once -------------------------------------------------------------------- */

INLINE __m512i four(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm512_set1_epi32(w);
}

/* Activations at the start of a block: mr rows. */
struct acts {
    const int8_t *q;
    const float *d, *sum;
    const int32_t *neg;
};

/* One pass for 16 columns: c += its product, d, m [sub-blocks][16]. */
INLINE void mul_pass(float *c, size_t ldc, const struct acts *a, const float *d, const float *m,
                     const uint8_t *w, size_t g, const int mr, enum mm_dtype t)
{
    const int sub = mm_qrow_sub16(t) ? 16 : 32, pass = (int)pass_of(t);
    const int shift = mm_qrow_zero(t) ? __builtin_ctz((unsigned)mm_qrow_zero(t)) : 0;
    __m512 s[MM_MR_FEW];

#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        s[r] = _mm512_loadu_ps(c + (size_t)r * ldc);
#pragma GCC unroll 8
    for (int j = 0; j < pass / sub; j++) {
        __m512i n[MM_MR_FEW];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            n[r] = mm_qrow_min(t)
                       ? _mm512_setzero_si512()
                       : _mm512_slli_epi32(_mm512_set1_epi32(a->neg[j * mr + r]), (unsigned)shift);
#pragma GCC unroll 8
        for (int i = 0; i < sub / 4; i++) {
            const __m512i q = code(w, g, j * sub / 4 + i, t);
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++)
                n[r] = _mm512_dpbusd_epi32(n[r], q, four(a->q + 4 * ((j * sub / 4 + i) * mr + r)));
        }
        const __m512 dj = _mm512_loadu_ps(d + 16 * j);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            s[r] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(n[r]), dj),
                                   _mm512_set1_ps(a->d[j * sub / 32 * mr + r]), s[r]);
            if (mm_qrow_min(t))
                s[r] = _mm512_fmadd_ps(_mm512_set1_ps(a->sum[j * mr + r]),
                                       _mm512_loadu_ps(m + 16 * j), s[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        _mm512_storeu_ps(c + (size_t)r * ldc, s[r]);
}

/* The sums stay in memory from pass to pass: half the code, and as fast. */
INLINE void mul_few_mr(float *c, size_t ldc, const struct mm_q8_rows *rows, const uint8_t *p,
                       size_t k, const int mr, enum mm_dtype t)
{
    const size_t m = (size_t)mr, sub = mm_qrow_sub16(t) ? 16 : 32, pass = pass_of(t);
    struct acts a = { rows->q, rows->d, sub == 32 ? rows->sum32 : rows->sum16,
                      sub == 32 ? rows->neg32 : rows->neg16 };
    _Alignas(64) float d[2][SUPER], min[2][SUPER];

    for (; k; k -= block_size(t), p += mm_qrow_bytes(t) * MM_NR) {
        for (size_t v = 0; v < 2; v++)
            scales(&(struct scales){ d[v], min[v], 16 }, block_of(p, v, t).p, block_of(p, v, t).w,
                   t);
        for (size_t g = 0; g < block_size(t) / pass; g++) {
            for (size_t v = 0; v < 2; v++) {
                prefetch(p, 2 * g + v, block_size(t) / pass * 2, t);
                mul_pass(c + 16 * v, ldc, &a, d[v] + g * pass / sub * 16,
                         min[v] + g * pass / sub * 16, block_of(p, v, t).w, g, mr, t);
            }
            a.q += pass * m;
            a.d += pass / 32 * m;
            a.sum += pass / sub * m;
            a.neg += pass / sub * m;
        }
    }
}

INLINE void mul_few(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed, size_t k,
                    int mr, enum mm_dtype t)
{
    switch (mr) {
    case 1: mul_few_mr(c, ldc, a, packed, k, 1, t); break;
    case 2: mul_few_mr(c, ldc, a, packed, k, 2, t); break;
    case 4: mul_few_mr(c, ldc, a, packed, k, 4, t); break;
    default: mul_few_mr(c, ldc, a, packed, k, 8, t); break;
    }
}

#define ENTRIES(type, T) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T); \
    } \
    static void mul_##type(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed, \
                           size_t k, int mr) \
    { \
        mul_few(c, ldc, a, packed, k, mr, T); \
    }
ENTRIES(q4_0, MM_Q4_0)
ENTRIES(q4_1, MM_Q4_1)
ENTRIES(q5_0, MM_Q5_0)
ENTRIES(q5_1, MM_Q5_1)
ENTRIES(q8_0, MM_Q8_0)
ENTRIES(q2_k, MM_Q2_K)
ENTRIES(q3_k, MM_Q3_K)
ENTRIES(q4_k, MM_Q4_K)
ENTRIES(q5_k, MM_Q5_K)
ENTRIES(q6_k, MM_Q6_K)

#define SET(k, type, T) \
    do { \
        (k)->unpack[T] = unpack_##type; \
        (k)->mul_packed[T] = mul_##type; \
    } while (0)

void mm_unpack_init_avx512(struct mm_kern *k)
{
    SET(k, q4_0, MM_Q4_0);
    SET(k, q4_1, MM_Q4_1);
    SET(k, q5_0, MM_Q5_0);
    SET(k, q5_1, MM_Q5_1);
    SET(k, q8_0, MM_Q8_0);
    SET(k, q2_k, MM_Q2_K);
    SET(k, q3_k, MM_Q3_K);
    SET(k, q4_k, MM_Q4_K);
    SET(k, q5_k, MM_Q5_K);
    SET(k, q6_k, MM_Q6_K);
    k->codes_f32 = codes_f32;
}
