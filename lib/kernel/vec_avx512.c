/* vec_avx512.c: vector functions, AVX-512. */
#include "kernel/vec.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 16 };
typedef __m512 vec;

INLINE __mmask16 first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}
INLINE vec v_set(float f)
{
    return _mm512_set1_ps(f);
}
INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE vec v_loadn(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first(n), p);
}
INLINE void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
INLINE void v_storen(float *p, vec v, size_t n)
{
    _mm512_mask_storeu_ps(p, first(n), v);
}
INLINE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
INLINE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
INLINE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
INLINE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
INLINE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
INLINE float v_sum(vec v)
{
    return _mm512_reduce_add_ps(v);
}
INLINE float v_top(vec v)
{
    return _mm512_reduce_max_ps(v);
}
INLINE vec v_round(vec v)
{
    return _mm512_roundscale_ps(v, 0x08);
}
INLINE vec v_pow2(vec p, vec n, vec t, float lo)
{
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(t, v_set(lo), _CMP_NLT_UQ), p, n);
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((void *)(y + i),
                            _mm512_cvtps_ph(v_load(x + i), _MM_FROUND_TO_NEAREST_INT));
    if (i < n)
        _mm256_mask_storeu_epi16(y + i, first(n - i),
                                 _mm512_cvtps_ph(v_loadn(x + i, n - i), _MM_FROUND_TO_NEAREST_INT));
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v_store(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(x + i))));
    if (i < n)
        v_storen(y + i, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n - i), x + i)), n - i);
}

/* Round to nearest even by adding half a unit, and the odd bit, to the integer. */
INLINE __m256i bf16(vec v)
{
    const __m512i u = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(r, nan, quiet), 16));
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((void *)(y + i), bf16(v_load(x + i)));
    if (i < n)
        _mm256_mask_storeu_epi16(y + i, first(n - i), bf16(v_loadn(x + i, n - i)));
}

#include "kernel/vec_tmpl.inc"

void mm_vec_init_avx512(struct mm_kern *k)
{
    vec_init(k);
}
