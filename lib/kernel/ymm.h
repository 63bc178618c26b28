/* ymm.h: eight words or floats in a register, as the templates of the kernels name
 * what they do with them.  For files that are compiled with AVX2. */
#ifndef MM_KERNEL_YMM_H
#define MM_KERNEL_YMM_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 8 };
typedef __m256i ivec;
typedef __m256 fvec;

INLINE ivec i_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
INLINE ivec i_set(int w)
{
    return _mm256_set1_epi32(w);
}
INLINE ivec i_set8(int b)
{
    return _mm256_set1_epi8((char)b);
}
INLINE ivec i_and(ivec a, ivec b)
{
    return _mm256_and_si256(a, b);
}
INLINE ivec i_xor(ivec a, ivec b)
{
    return _mm256_xor_si256(a, b);
}
INLINE ivec i_or(ivec a, ivec b)
{
    return _mm256_or_si256(a, b);
}
INLINE ivec i_sub(ivec a, ivec b)
{
    return _mm256_sub_epi32(a, b);
}
INLINE ivec i_shift(ivec x, int s)
{
    return s < 0 ? _mm256_slli_epi32(x, -s) : _mm256_srli_epi32(x, s);
}
INLINE ivec i_srl(ivec x, size_t s)
{
    return _mm256_srlv_epi32(x, _mm256_set1_epi32((int)s));
}
INLINE ivec i_sra(ivec x, int s)
{
    return _mm256_srai_epi32(x, s);
}
INLINE ivec i_sll16(ivec x, int s)
{
    return _mm256_slli_epi16(x, s);
}
INLINE ivec i_sra16(ivec x, int s)
{
    return _mm256_srai_epi16(x, s);
}
INLINE ivec or_and(ivec a, ivec b, ivec m)
{
    return _mm256_or_si256(a, _mm256_and_si256(b, m));
}
INLINE fvec f_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE fvec f_mul(fvec a, fvec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE fvec f_negated(fvec x)
{
    return _mm256_xor_ps(x, _mm256_set1_ps(-0.0F));
}
INLINE fvec f_half(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}
INLINE fvec i_to_f(ivec x)
{
    return _mm256_cvtepi32_ps(x);
}
INLINE fvec f_set(float f)
{
    return _mm256_set1_ps(f);
}
INLINE void i_store(void *p, ivec x)
{
    _mm256_storeu_si256((__m256i *)p, x);
}
INLINE void f_store(float *p, fvec x)
{
    _mm256_storeu_ps(p, x);
}
INLINE ivec byte_of(ivec x, int j)
{
    const ivec first =
        _mm256_setr_epi32((int)0x80808000, (int)0x80808004, (int)0x80808008, (int)0x8080800c,
                          (int)0x80808000, (int)0x80808004, (int)0x80808008, (int)0x8080800c);
    return _mm256_shuffle_epi8(x, _mm256_add_epi32(first, i_set(j)));
}
/* The byte that holds the four bits in every byte; then one of them in each. */
INLINE ivec fifth_bits(ivec x, int i)
{
    const ivec first = _mm256_setr_epi32(0x00000000, 0x04040404, 0x08080808, 0x0c0c0c0c, 0x00000000,
                                         0x04040404, 0x08080808, 0x0c0c0c0c);
    const ivec bit = i_set(i % 2 ? (int)0x80402010 : 0x08040201);
    const ivec y = _mm256_shuffle_epi8(x, _mm256_add_epi8(first, i_set8(i / 2)));
    return _mm256_cmpeq_epi8(_mm256_and_si256(y, bit), bit);
}
/* n + the products of both halves. */
INLINE ivec i_madd(ivec n, ivec a, ivec b)
{
    return _mm256_add_epi32(n, _mm256_madd_epi16(a, b));
}
/* Four activations, in every word. */
INLINE ivec i_four(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm256_set1_epi32(w);
}

#endif
