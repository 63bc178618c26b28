/* vec_avx2.c: vector functions, AVX2 with FMA and F16C. */
#include "kernel/vec.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 8 };
typedef __m256 vec;

/* The first n lanes. */
INLINE __m256i first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec v_set(float f)
{
    return _mm256_set1_ps(f);
}
INLINE vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE vec v_loadn(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first(n));
}
INLINE void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
INLINE void v_storen(float *p, vec v, size_t n)
{
    _mm256_maskstore_ps(p, first(n), v);
}
INLINE vec v_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
INLINE vec v_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
INLINE vec v_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vec v_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vec v_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
INLINE vec v_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

INLINE float v_sum(vec v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

INLINE float v_top(vec v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

INLINE vec v_round(vec v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* In two steps: 2^128 is no float.  The clamp keeps what is dropped normal. */
INLINE vec v_pow2(vec p, vec n, vec t, float lo)
{
    const __m256i i = _mm256_cvtps_epi32(_mm256_max_ps(n, v_set(-126)));
    const __m256i half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    const vec y = _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
    return _mm256_and_ps(_mm256_cmp_ps(t, v_set(lo), _CMP_NLT_UQ), y);
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(y + i),
                         _mm256_cvtps_ph(v_load(x + i), _MM_FROUND_TO_NEAREST_INT));
    if (i < n) {
        uint16_t t[8];
        _mm_storeu_si128((void *)t,
                         _mm256_cvtps_ph(v_loadn(x + i, n - i), _MM_FROUND_TO_NEAREST_INT));
        memcpy(y + i, t, (n - i) * sizeof(*y));
    }
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        v_store(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(x + i))));
    if (i < n) {
        uint16_t t[8] = { 0 };
        memcpy(t, x + i, (n - i) * sizeof(*x));
        v_storen(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)t)), n - i);
    }
}

/* Round to nearest even by adding half a unit, and the odd bit, to the integer. */
INLINE __m128i bf16(vec v)
{
    const __m256i u = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const vec nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    const __m256i h = _mm256_srli_epi32(_mm256_blendv_epi8(r, quiet, _mm256_castps_si256(nan)), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(y + i), bf16(v_load(x + i)));
    if (i < n) {
        uint16_t t[8];
        _mm_storeu_si128((void *)t, bf16(v_loadn(x + i, n - i)));
        memcpy(y + i, t, (n - i) * sizeof(*y));
    }
}

#include "kernel/vec_tmpl.inc"

void mm_vec_init_avx2(struct mm_kern *k)
{
    vec_init(k);
}
