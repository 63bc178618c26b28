/* zmm.h: sixteen words or floats in a register, as the templates of the kernels name
 * what they do with them.  For files that are compiled with AVX-512. */
#ifndef MM_KERNEL_ZMM_H
#define MM_KERNEL_ZMM_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 16 };
typedef __m512i ivec;
typedef __m512 fvec;

INLINE ivec i_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
INLINE ivec i_set(int w)
{
    return _mm512_set1_epi32(w);
}
INLINE ivec i_set8(int b)
{
    return _mm512_set1_epi8((char)b);
}
INLINE ivec i_and(ivec a, ivec b)
{
    return _mm512_and_si512(a, b);
}
INLINE ivec i_xor(ivec a, ivec b)
{
    return _mm512_xor_si512(a, b);
}
INLINE ivec i_or(ivec a, ivec b)
{
    return _mm512_or_si512(a, b);
}
INLINE ivec i_sub(ivec a, ivec b)
{
    return _mm512_sub_epi32(a, b);
}
INLINE ivec i_shift(ivec x, int s)
{
    return s < 0 ? _mm512_slli_epi32(x, (unsigned)-s) : _mm512_srli_epi32(x, (unsigned)s);
}
INLINE ivec i_srl(ivec x, size_t s)
{
    return _mm512_srlv_epi32(x, _mm512_set1_epi32((int)s));
}
INLINE ivec i_sra(ivec x, int s)
{
    return _mm512_srai_epi32(x, (unsigned)s);
}
INLINE ivec i_sll16(ivec x, int s)
{
    return _mm512_slli_epi16(x, s);
}
INLINE ivec i_sra16(ivec x, int s)
{
    return _mm512_srai_epi16(x, s);
}
INLINE ivec or_and(ivec a, ivec b, ivec m)
{
    return _mm512_ternarylogic_epi32(a, b, m, 0xf8);
}
INLINE fvec f_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE fvec f_mul(fvec a, fvec b)
{
    return _mm512_mul_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE fvec f_negated(fvec x)
{
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0F));
}
INLINE fvec f_half(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}
INLINE fvec i_to_f(ivec x)
{
    return _mm512_cvtepi32_ps(x);
}
INLINE fvec f_set(float f)
{
    return _mm512_set1_ps(f);
}
INLINE void i_store(void *p, ivec x)
{
    _mm512_storeu_si512(p, x);
}
INLINE void f_store(float *p, fvec x)
{
    _mm512_storeu_ps(p, x);
}
INLINE ivec byte_of(ivec x, int j)
{
    const ivec first =
        _mm512_set4_epi32((int)0x8080800c, (int)0x80808008, (int)0x80808004, (int)0x80808000);
    return _mm512_shuffle_epi8(x, _mm512_add_epi32(first, i_set(j)));
}
/* In a pair of rows a byte takes eight bits from its offset on, the offset modulo 64. */
INLINE ivec fifth_bits(ivec x, int i)
{
    const ivec first = _mm512_set1_epi64(0x1f1e1d1cfffefdfc);
    return _mm512_multishift_epi64_epi8(_mm512_add_epi8(first, i_set8(4 * i)), x);
}

/* Four activations, in every word. */
INLINE ivec i_four(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm512_set1_epi32(w);
}

/* Integer sums start at the bits of 1.5 * 2^23, so that, read as a float, a sum n below
 * 2^22 is exactly 1.5 * 2^23 + n: one fma with minus that much of d, which is exact too, gives
 * n * d rounded once, as a conversion and a product would. */
enum { FLOAT_BITS = 0x4b400000 };
static const float FLOAT_BASE = 12582912.0F;

/* What n sums start from: bits, less what the zero point, 1 << shift, adds; neg as in mm_q8_rows.
 * Whole registers are written, which loads need not wait for as for masked ones. */
INLINE void sub_starts(int32_t *to, const int32_t *neg, size_t n, int shift, int bits)
{
    const __m512i by = _mm512_set1_epi32(shift);

    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 m = (__mmask16)(n - i >= 16 ? 0xffffU : (1U << (n - i)) - 1U);
        const __m512i x = _mm512_sllv_epi32(_mm512_maskz_loadu_epi32(m, neg + i), by);
        _mm512_storeu_si512(to + i, _mm512_add_epi32(x, _mm512_set1_epi32(bits)));
    }
}

#endif
