/* pages.c: see pages.h. */
#include "base/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/size.h"

enum { LINE = 64, HUGE_PAGE = 2 << 20 };

void *mm_pages_alloc(size_t n)
{
    const size_t align = n < HUGE_PAGE ? LINE : HUGE_PAGE;
    size_t padded;

    if (!mm_size_align(n ? n : 1, align, &padded))
        return NULL;
    void *const p = aligned_alloc(align, padded);
    /* whole ones only: what is behind n is never touched and takes no memory */
    if (p && align == HUGE_PAGE)
        (void)madvise(p, n / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* advice: may fail */
    return p;
}
