/* operand.h: an operand that is either a stream or a file of other bytes: the
 * first bytes tell.  For programs that take both (mm-encode p.jpg pixels.mmt).
 */
#ifndef MM_STREAM_OPERAND_H
#define MM_STREAM_OPERAND_H

#include "base/buf.h"
#include "stream/stream.h"

struct mm_operand {
    const char *what;          /* names it in messages */
    struct mm_reader *reader;  /* a stream; NULL: not one, then bytes holds it all */
    struct mm_buf bytes;
    int fd;
};

/* mm_operand_open: path, or standard input for "-".  max bounds a record, or the
 * bytes.  MM_ENOENT (a directory too), MM_EDATA (empty, too large), MM_EIO, MM_ENOMEM. */
MM_MUST_CHECK int mm_operand_open(struct mm_operand *op, const char *path, size_t max,
                                  struct mm_err *e);
void mm_operand_close(struct mm_operand *op); /* takes a zeroed one */

#endif
