/* textout.h: the text of an answer as it may be shown: up to a stop string,
 * trimmed if asked, nothing that a later token could still take back.
 *
 * Stop strings are matched on the bytes of the text, across tokens; a suffix
 * that may become one is held back (llava.md 9.4).
 */
#ifndef MM_MODEL_TEXTOUT_H
#define MM_MODEL_TEXTOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct mm_textout {
    const char *const *stop; /* borrowed; empty strings never match */
    size_t nstop;
    bool trim;               /* drop white space around the whole text */
    bool stopped;            /* a stop string was found */
    bool begun;              /* something other than white space went out */
    struct mm_buf held;      /* text not yet certain */
    struct mm_buf out;       /* the text so far */
    size_t shown;            /* bytes of out taken by mm_textout_take */
};

/* Zero-initialise and set stop, nstop, trim. */
void mm_textout_free(struct mm_textout *t);

/* mm_textout_put: s[n] comes next.  Returns true when a stop string is complete:
 * what follows it is dropped. */
bool mm_textout_put(struct mm_textout *t, const char *s, size_t n);

/* mm_textout_end: no more text: what was held back goes out. */
void mm_textout_end(struct mm_textout *t);

/* mm_textout_take: the certain text not yet taken, count in *n. */
const char *mm_textout_take(struct mm_textout *t, size_t *n);

#endif
