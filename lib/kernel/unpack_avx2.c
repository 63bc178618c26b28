/* unpack_avx2.c: packed panels of quantised weights to scratch, AVX2. */
#include "kernel/unpack.h"

#include <immintrin.h>

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
INLINE ivec i_sub8(ivec a, ivec b)
{
    return _mm256_sub_epi8(a, b);
}
INLINE ivec i_shift(ivec x, int s)
{
    return s < 0 ? _mm256_slli_epi32(x, -s) : _mm256_srli_epi32(x, s);
}
INLINE ivec i_srl(ivec x, size_t s)
{
    return _mm256_srlv_epi32(x, _mm256_set1_epi32((int)s));
}
INLINE ivec i_sra24(ivec x)
{
    return _mm256_srai_epi32(x, 24);
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
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
INLINE fvec i_to_f(ivec x)
{
    return _mm256_cvtepi32_ps(x);
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

#include "kernel/unpack_tmpl.inc"

#define UNPACK(type, T) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T); \
    }
UNPACK(q4_0, MM_Q4_0)
UNPACK(q4_1, MM_Q4_1)
UNPACK(q5_0, MM_Q5_0)
UNPACK(q5_1, MM_Q5_1)
UNPACK(q8_0, MM_Q8_0)
UNPACK(q2_k, MM_Q2_K)
UNPACK(q3_k, MM_Q3_K)
UNPACK(q4_k, MM_Q4_K)
UNPACK(q5_k, MM_Q5_K)
UNPACK(q6_k, MM_Q6_K)

void mm_unpack_init_avx2(struct mm_kern *k)
{
    k->unpack[MM_Q4_0] = unpack_q4_0;
    k->unpack[MM_Q4_1] = unpack_q4_1;
    k->unpack[MM_Q5_0] = unpack_q5_0;
    k->unpack[MM_Q5_1] = unpack_q5_1;
    k->unpack[MM_Q8_0] = unpack_q8_0;
    k->unpack[MM_Q2_K] = unpack_q2_k;
    k->unpack[MM_Q3_K] = unpack_q3_k;
    k->unpack[MM_Q4_K] = unpack_q4_k;
    k->unpack[MM_Q5_K] = unpack_q5_k;
    k->unpack[MM_Q6_K] = unpack_q6_k;
    k->codes_f32 = codes_f32;
}
