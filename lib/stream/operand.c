/* operand.c: see operand.h. */
#include "stream/operand.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum { HEAD = 16 };

/* The rest of the file behind the n bytes in head. */
static int slurp(struct mm_operand *op, const char *head, size_t n, size_t max, struct mm_err *e)
{
    char chunk[65536];
    ssize_t got;

    mm_buf_add(&op->bytes, head, n);
    while ((got = mm_io_read_some(op->fd, chunk, sizeof(chunk), e)) > 0) {
        mm_buf_add(&op->bytes, chunk, (size_t)got);
        if (op->bytes.n > max)
            return mm_err_set(e, MM_EDATA, "%s: more than %zu bytes", op->what, max);
    }
    if (op->bytes.failed)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", op->what);
    return got < 0 ? mm_err_prefix(e, "%s", op->what) : 0;
}

int mm_operand_open(struct mm_operand *op, const char *path, size_t max, struct mm_err *e)
{
    const bool standard = !strcmp(path, "-");
    struct mm_err head_err = { 0 };
    char head[HEAD];
    struct stat st;
    size_t n = 0;
    int rc;

    *op = (struct mm_operand){ .what = standard ? "standard input" : path };
    op->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (op->fd < 0 || (fstat(op->fd, &st) == 0 && S_ISDIR(st.st_mode))) {
        if (op->fd >= 0)
            errno = EISDIR;
        mm_err_set(e, MM_ENOENT, "%s:", op->what);
        mm_operand_close(op);
        return e->code;
    }
    rc = mm_io_read(op->fd, head, sizeof(head), &n, &head_err);
    if (rc < 0 && rc != MM_EDATA) { /* MM_EDATA: shorter than a head, which is no fault yet */
        *e = head_err;
        rc = mm_err_prefix(e, "%s", op->what);
    } else if (n == 0) {
        rc = mm_err_set(e, MM_EDATA, "%s: empty: neither a stream nor a file", op->what);
    } else if (mm_stream_magic(head, n)) {
        if ((rc = mm_reader_open(&op->reader, op->fd, op->what, max, e)) == 0)
            mm_reader_prefix(op->reader, head, n);
    } else {
        rc = slurp(op, head, n, max, e);
    }
    if (rc < 0)
        mm_operand_close(op);
    return rc;
}

void mm_operand_close(struct mm_operand *op)
{
    mm_reader_close(op->reader);
    mm_buf_free(&op->bytes);
    if (op->fd > STDERR_FILENO)
        close(op->fd);
    *op = (struct mm_operand){ 0 };
}
