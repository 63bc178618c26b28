/* strings.h: a growing list of strings, and the escapes of an option's text. */
#ifndef MM_BASE_STRINGS_H
#define MM_BASE_STRINGS_H

#include "base/buf.h"

struct mm_strings {
    char **v; /* [n] owned, NUL-terminated */
    size_t n, cap;
};

void mm_strings_free(struct mm_strings *s); /* takes a zeroed one */

/* mm_strings_add: append a copy of p[n].  False when out of memory. */
bool mm_strings_add(struct mm_strings *s, const char *p, size_t n);

/* mm_unescape: append s with \n, \t and \\ as the character; all else is literal. */
void mm_unescape(struct mm_buf *b, const char *s);

#endif
