/* unpack_avx2.c: packed panels of quantised weights to scratch, AVX2. */
#include "kernel/unpack.h"

#include "kernel/ymm.h"

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

static void turn_q3_k(void *words)
{
    turn(words);
}

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
    k->turn_q3_k = turn_q3_k;
}
