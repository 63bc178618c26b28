/* compare.h: how far one tensor is from another: the numbers mm-diff prints. */
#ifndef MM_BASE_COMPARE_H
#define MM_BASE_COMPARE_H

#include "base/tensor.h"

struct mm_compare {
    double rel;      /* ||b - a|| / ||a||; ||b - a|| when a is zero */
    double max_abs;  /* largest |b - a|; infinite where a NaN is on one side only */
    size_t worst;    /* index of that element in a, SIZE_MAX if none differs */
    const char *why; /* NULL: b passes; else a static string */
};

/* mm_compare: b against the reference a, computed in double.  Axes of length 1 do
 * not count.  Two NaN, and two equal infinities, are equal.  Integers (and
 * booleans) are equal or not; all else passes when rel <= tolerance. */
struct mm_compare mm_compare(const struct mm_tensor *a, const struct mm_tensor *b,
                             double tolerance);

/* mm_compare_shape: equal shapes when axes of length 1 do not count? */
bool mm_compare_shape(const struct mm_tensor *a, const struct mm_tensor *b);

#endif
