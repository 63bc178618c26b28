/* outfile.h: output files appear complete or not at all.
 *
 * The bytes go to a temporary beside the final name; commit flushes, fsyncs
 * and renames.  Temporaries of open files are removed on abort, and by
 * mm_outfile_cleanup, which base/cmd calls from its signal handler.
 */
#ifndef MM_BASE_OUTFILE_H
#define MM_BASE_OUTFILE_H

#include <stdio.h>

#include "base/err.h"

struct mm_outfile;

/* mm_outfile_open: path "-" writes to standard output (commit then flushes).
 * A symbolic link stays, and what it names is written.
 * A path that is no regular file (a device, a fifo) is written in place. */
MM_MUST_CHECK int mm_outfile_open(struct mm_outfile **f, const char *path,
                                  struct mm_err *e);

/* mm_outfile_fp: the stream to write to; owned by f. */
FILE *mm_outfile_fp(struct mm_outfile *f);
/* mm_outfile_write: n bytes to that stream; commit tells of a failure, with its reason. */
void mm_outfile_write(struct mm_outfile *f, const void *p, size_t n);
int mm_outfile_fd(struct mm_outfile *f); /* same file, unbuffered: do not mix */

/* mm_outfile_commit: flush, check, fsync, close, rename; frees f whatever
 * happens.  On failure the temporary is removed.  f must not be NULL. */
MM_MUST_CHECK int mm_outfile_commit(struct mm_outfile *f, struct mm_err *e);

/* mm_outfile_abort: close and remove the temporary; frees f; takes NULL. */
void mm_outfile_abort(struct mm_outfile *f);

/* mm_outfile_cleanup: unlink all open temporaries; async-signal-safe. */
void mm_outfile_cleanup(void);

#endif
