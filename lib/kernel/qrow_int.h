/* qrow_int.h: constants of the quantised types, for code that is specialised on
 * the type at compile time. */
#ifndef MM_KERNEL_QROW_INT_H
#define MM_KERNEL_QROW_INT_H

#include <stddef.h>

#include "base/dtype.h"

static inline size_t mm_qrow_bytes(enum mm_dtype t)
{
    switch (t) {
    case MM_Q4_0: return 18;
    case MM_Q4_1: return 20;
    case MM_Q5_0: return 22;
    case MM_Q5_1: return 24;
    case MM_Q8_0: return 34;
    case MM_Q2_K: return 84;
    case MM_Q3_K: return 110;
    case MM_Q4_K: return 144;
    case MM_Q5_K: return 176;
    default: return 210; /* MM_Q6_K */
    }
}

/* What to take from an unsigned code; types with a minimum have none.  Q8_0 is
 * stored signed and made unsigned. */
static inline int mm_qrow_zero(enum mm_dtype t)
{
    switch (t) {
    case MM_Q4_0: return 8;
    case MM_Q8_0: return 128;
    case MM_Q5_0: return 16;
    case MM_Q3_K: return 4;
    case MM_Q6_K: return 32;
    default: return 0;
    }
}

static inline bool mm_qrow_min(enum mm_dtype t)
{
    return t == MM_Q4_1 || t == MM_Q5_1 || t == MM_Q2_K || t == MM_Q4_K || t == MM_Q5_K;
}

/* Does a scale hold for 16 elements, not 32? */
static inline bool mm_qrow_sub16(enum mm_dtype t)
{
    return t == MM_Q2_K || t == MM_Q3_K || t == MM_Q6_K;
}

/* Are the scales of two sub-blocks applied to integer sums?  See struct mm_q8_panel. */
static inline bool mm_qrow_pairs(enum mm_dtype t)
{
    return t == MM_Q2_K || t == MM_Q3_K;
}

/* Of a code. */
static inline int mm_qrow_bits(enum mm_dtype t)
{
    switch (t) {
    case MM_Q2_K: return 2;
    case MM_Q3_K: return 3;
    case MM_Q4_0:
    case MM_Q4_1:
    case MM_Q4_K: return 4;
    case MM_Q5_0:
    case MM_Q5_1:
    case MM_Q5_K: return 5;
    case MM_Q6_K: return 6;
    default: return 8; /* MM_Q8_0 */
    }
}

static inline bool mm_qrow_super(enum mm_dtype t)
{
    return t >= MM_Q2_K && t <= MM_Q6_K;
}

#endif
