/* ahead.h: pictures read, decoded and prepared on a thread of their own while the
 * ones before them go through the tower.  The order, and what is taken, are those of
 * reading each when it is wanted.  A caller that has to wait prepares one itself.
 */
#ifndef MM_MODEL_AHEAD_H
#define MM_MODEL_AHEAD_H

#include "media/preprocess.h"

struct mm_ahead;

struct mm_ahead_conf {
    char *const *paths;              /* these two are borrowed until mm_ahead_free */
    const struct mm_preprocess *pre;
    size_t n;
    bool upright;
    size_t max_bytes;                /* of a file */
    size_t depth;                    /* pictures that may wait, at least 1 */
};

/* mm_ahead_new: starts the thread.  MM_ENOMEM. */
MM_MUST_CHECK int mm_ahead_new(struct mm_ahead **a, const struct mm_ahead_conf *conf,
                               struct mm_err *e);
void mm_ahead_free(struct mm_ahead *a); /* takes NULL; ends the picture at hand first */

/* mm_ahead_take: what became of path i; i = 0, 1, 2, ... and each once.  1: *px, to be
 * freed; 0: not for this thread (a stream of records, or what may block: standard
 * input, a pipe, a device), nothing of it has been consumed; else the error of
 * mm_operand_open or mm_preprocess_decode.  Waits. */
MM_MUST_CHECK int mm_ahead_take(struct mm_ahead *a, size_t i, struct mm_pixels *px,
                                struct mm_err *e);

/* mm_ahead_seconds: spent in decoding and preparing so far; takes NULL. */
double mm_ahead_seconds(struct mm_ahead *a);

#endif
