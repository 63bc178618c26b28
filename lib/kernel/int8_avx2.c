/* int8_avx2.c: products of int8 activations and codes, AVX2: bytes to pairs of 16 bits, as
 * many of those as cannot overflow, then to 32. */
#include "kernel/int8.h"

#include "kernel/ymm.h"

#include "kernel/unpack_tmpl.inc"

INLINE bool whole(enum mm_dtype t)
{
    return t == MM_Q8_0;
}

/* So many that 16 bits hold the sums of their pairs. */
INLINE int run_of(enum mm_dtype t)
{
    switch (t) {
    case MM_Q8_0: return 1;
    case MM_Q6_K: return 2;
    case MM_Q4_0:
    case MM_Q4_1:
    case MM_Q4_K: return 8;
    default: return 4;
    }
}

/* Unsigned codes of eight bits would saturate: |w| times sign(w) x. */
INLINE ivec pairs(ivec q, ivec x, enum mm_dtype t)
{
    if (!whole(t))
        return _mm256_maddubs_epi16(q, x);
    const ivec w = i_xor(q, i_set8(mm_qrow_zero(t)));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

INLINE ivec dots(ivec n, const ivec *q, const int8_t *x, const int mr, const int run,
                 enum mm_dtype t)
{
    ivec p = pairs(q[0], i_four(x), t);

#pragma GCC unroll 8
    for (int e = 1; e < run; e++)
        p = _mm256_add_epi16(p, pairs(q[e], i_four(x + 4 * e * mr), t));
    return _mm256_add_epi32(n, _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
}

#include "kernel/int8_tmpl.inc"

void mm_int8_init_avx2(struct mm_kern *k)
{
    int8_init(k);
}
