/* buf.h: a growing byte string. */
#ifndef MM_BASE_BUF_H
#define MM_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct mm_buf {
    char *p;     /* NUL-terminated when non-NULL */
    size_t n;    /* bytes used, the NUL not counted */
    size_t cap;
    bool failed; /* an append ran out of memory: sticky, later appends do nothing */
};

/* Zero-initialise to start; mm_buf_free undoes and takes an empty one. */
void mm_buf_free(struct mm_buf *b);
void mm_buf_reset(struct mm_buf *b); /* n = 0; memory and `failed` are kept */
void mm_buf_add(struct mm_buf *b, const void *p, size_t n);
void mm_buf_str(struct mm_buf *b, const char *s);
void mm_buf_char(struct mm_buf *b, char c);
void mm_buf_printf(struct mm_buf *b, const char *fmt, ...) MM_PRINTF(2, 3);

/* mm_grow: make *p hold at least need elements of size elem, doubling *cap.
 * Returns false, *p unchanged, when out of memory or on overflow. */
bool mm_grow(void *p, size_t *cap, size_t need, size_t elem);

#endif
