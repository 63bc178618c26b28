/* pages.h: memory for what is large and read from end to end again and again. */
#ifndef MM_BASE_PAGES_H
#define MM_BASE_PAGES_H

#include <stddef.h>

/* mm_pages_alloc: n bytes, aligned to 64 at least, undefined; in huge pages where
 * they fill some and the system gives them: 512 times fewer faults and misses of
 * the translation cache.  NULL if memory cannot be had.  free() takes it. */
void *mm_pages_alloc(size_t n);

#endif
