/* lines.h: files of JSON objects, one a line, that grow by whole lines. */
#ifndef MM_NET_LINES_H
#define MM_NET_LINES_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"

typedef int (*mm_lines_fn)(void *user, const json_t *o, const char *path, struct mm_err *e);

/* mm_lines_each: call fn for the objects of a file of at most 1 GiB: JSON lines, or one
 * array.  A last line without a newline (a run that was killed) is passed over; *good,
 * unless NULL, becomes the bytes before it.  MM_ENOENT, MM_EDATA, MM_ENOMEM, what fn
 * returns. */
MM_MUST_CHECK int mm_lines_each(const char *path, mm_lines_fn fn, void *user, size_t *good,
                                struct mm_err *e);

/* mm_lines_open: open a file to append to, made if absent, for this process alone (flock);
 * fn sees what is there, and a half line at its end is cut off (*cut).  *fd is the
 * caller's, -1 on failure.  MM_EIO too when another process has it. */
MM_MUST_CHECK int mm_lines_open(int *fd, const char *path, mm_lines_fn fn, void *user, bool *cut,
                                struct mm_err *e);

/* mm_lines_put: append o as one line by one write.  Takes o over, which may be NULL
 * (MM_ENOMEM: what made it ran out of memory). */
MM_MUST_CHECK int mm_lines_put(int fd, json_t *o, const char *path, struct mm_err *e);

#endif
