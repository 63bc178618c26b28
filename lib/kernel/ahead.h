/* ahead.h: memory fetched before kernels that read it once come to it. */
#ifndef MM_KERNEL_AHEAD_H
#define MM_KERNEL_AHEAD_H

#include <stdint.h>

/* Bytes ahead.  The hardware stops at the end of a page, and a core has more lines under way
 * between memory and L2 than buffers of L1, which loads need too: so from far into L2, and
 * from there, near, into L1. */
enum { MM_FAR = 16384, MM_NEAR = 4096 };

/* mm_fetch_ahead: of a line; best spread evenly over the work on what is at p. */
static inline __attribute__((always_inline)) void mm_fetch_ahead(const void *p)
{
    __builtin_prefetch((const void *)((uintptr_t)p + MM_FAR), 0, 2);
    __builtin_prefetch((const void *)((uintptr_t)p + MM_NEAR));
}

#endif
