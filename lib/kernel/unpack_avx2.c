/* unpack_avx2.c: packed panels of quantised weights, AVX2: to scratch, for many rows of
 * activations (unpack_tmpl.inc), or multiplied as they come, for few (few_tmpl.inc).
 */
#include "kernel/unpack.h"

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

INLINE ivec dots(ivec n, const ivec q[8], const int8_t *x, const int mr, const int run,
                 enum mm_dtype t)
{
    ivec p = pairs(q[0], i_four(x), t);

#pragma GCC unroll 8
    for (int e = 1; e < run; e++)
        p = _mm256_add_epi16(p, pairs(q[e], i_four(x + 4 * e * mr), t));
    return _mm256_add_epi32(n, _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
}

#include "kernel/few_tmpl.inc"

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
    few_init(k);
}
