/* arena.h: memory for transient data, freed all at once.
 *
 * Grows by blocks, never moves what it handed out.  Not thread-safe: each
 * context has its own.  An arena may have a limit in bytes.
 */
#ifndef MM_BASE_ARENA_H
#define MM_BASE_ARENA_H

#include <stddef.h>

struct mm_arena;

struct mm_arena_mark {
    void *block;
    size_t used;
};

/* mm_arena_new: NULL if out of memory. */
struct mm_arena *mm_arena_new(void);
void mm_arena_free(struct mm_arena *a); /* takes NULL */

/* mm_arena_alloc: n bytes aligned to 64, not zeroed; NULL if out of memory.
 * n = 0 gives a valid pointer.  mm_arena_zalloc zeroes. */
void *mm_arena_alloc(struct mm_arena *a, size_t n);
void *mm_arena_zalloc(struct mm_arena *a, size_t n);

/* mm_arena_strdup: copy of n bytes of s, NUL added; NULL if out of memory. */
char *mm_arena_strdup(struct mm_arena *a, const char *s, size_t n);

/* mm_arena_mark / mm_arena_release: everything allocated since the mark is
 * given back; blocks are kept for reuse, so a steady loop allocates nothing. */
struct mm_arena_mark mm_arena_mark(struct mm_arena *a);
void mm_arena_release(struct mm_arena *a, struct mm_arena_mark m);

/* mm_arena_peak: most bytes ever in use at once. */
size_t mm_arena_peak(const struct mm_arena *a);

#endif
