/* size.h: sizes that cannot overflow silently. */
#ifndef MM_BASE_SIZE_H
#define MM_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns true and sets *out, or returns false when the exact result
 * does not fit (then *out is unspecified). */
static inline bool mm_size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool mm_size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* mm_size_align: n rounded up to a multiple of a (a power of two). */
static inline bool mm_size_align(size_t n, size_t a, size_t *out)
{
    if (!mm_size_add(n, a - 1, out))
        return false;
    *out &= ~(a - 1);
    return true;
}

#endif
