/* cmdio.c: what filter programs repeat. */
#include "stream/cmdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

enum { MAX_LIST = 256 << 20 };

struct mm_input {
    char *const *paths;
    int n;              /* operands; 0: standard input alone */
    int next;           /* first operand not yet opened */
    int fd;             /* of the open one, or -1 */
    size_t max_record;
    const char *name;
    struct mm_reader *reader;
    bool renumber;
    uint64_t sections;  /* of the files before this one */
    struct mm_numbering numbering;
};

static void close_file(struct mm_input *in)
{
    if (in->reader != NULL)
        in->sections += mm_reader_section(in->reader);
    mm_reader_close(in->reader);
    in->reader = NULL;
    if (in->fd > 0)
        close(in->fd);
    in->fd = -1;
}

static int open_next(struct mm_input *in, struct mm_err *e)
{
    const char *path = in->n > 0 ? in->paths[in->next] : "-";
    struct stat st;

    in->next++;
    in->name = path;
    in->fd = strcmp(path, "-") == 0 ? 0 : open(path, O_RDONLY | O_CLOEXEC);
    if (in->fd == 0)
        in->name = "standard input";
    if (in->fd < 0 || (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode))) {
        if (in->fd >= 0)
            errno = EISDIR;
        return mm_err_set(e, MM_ENOENT, "%s:", in->name);
    }
    return mm_reader_open(&in->reader, in->fd, in->name, in->max_record, e);
}

int mm_input_open(struct mm_input **out, char *const *paths, int n, size_t max_record,
                  struct mm_err *e)
{
    struct mm_input *in = calloc(1, sizeof(*in));
    int rc;

    if (in == NULL)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    in->paths = paths;
    in->n = n;
    in->fd = -1;
    in->numbering.last = -1;
    in->max_record = max_record;
    rc = open_next(in, e);
    if (rc < 0) {
        mm_input_close(in);
        return rc;
    }
    *out = in;
    return 0;
}

void mm_input_close(struct mm_input *in)
{
    if (in == NULL)
        return;
    close_file(in);
    free(in);
}

void mm_input_renumber(struct mm_input *in)
{
    in->renumber = true;
}

int mm_number(struct mm_numbering *n, struct mm_rec *rec, uint64_t section, struct mm_err *e)
{
    int64_t item = mm_rec_int(rec, "item", -1);

    if (item < 0)
        return 0;
    if (!n->started || section != n->section) {
        n->started = true;
        n->section = section;
        n->offset = item <= n->last ? n->last + 1 - item : 0;
    }
    if (__builtin_add_overflow(item, n->offset, &item))
        return mm_err_set(e, MM_EDATA, "item %" PRId64 " is too large", item);
    if (item > n->last)
        n->last = item;
    if (n->offset && mm_rec_setf(rec, "item", "%" PRId64, item) < 0)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

int mm_input_get(struct mm_input *in, struct mm_rec *rec, struct mm_err *e)
{
    for (;;) {
        int rc = mm_reader_get(in->reader, rec, e);

        if (rc > 0 && in->renumber &&
            mm_number(&in->numbering, rec, in->sections + mm_reader_section(in->reader), e) < 0)
            return mm_err_prefix(e, "%s", in->name);
        if (rc != 0 || in->next >= in->n)
            return rc;
        close_file(in);
        rc = open_next(in, e);
        if (rc < 0)
            return rc;
    }
}

const char *mm_input_name(const struct mm_input *in)
{
    return in->name;
}

bool mm_input_is_stream(const char *path)
{
    const char *dot = strrchr(path, '.');
    unsigned char head[16];
    struct stat st;
    size_t got = 0;
    int fd;

    if (strcmp(path, "-") == 0 || (dot != NULL && strcmp(dot, ".mmt") == 0))
        return true;
    if (stat(path, &st) < 0)
        return false; /* a name in the models folders, or an error that names it */
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return !S_ISDIR(st.st_mode);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    if (mm_io_read(fd, head, sizeof(head), &got, NULL) == MM_EIO)
        got = 0;
    close(fd);
    return mm_stream_magic(head, got);
}

int mm_output_open(struct mm_writer **w, struct mm_err *e)
{
    if (isatty(1))
        return mm_err_set(e, MM_EUSAGE, "standard output is a terminal: a tensor stream is "
                          "binary, send it to a file or a pipe");
    return mm_writer_open(w, 1, 0, e);
}

int mm_writer_error(struct mm_writer *w, int64_t item, const char *source, const char *reason,
                    struct mm_err *e)
{
    struct mm_buf text = { 0 };
    struct mm_rec rec;
    int rc;

    mm_rec_init(&rec, MM_REC_TEXT);
    rc = mm_rec_set(&rec, "kind", "error");
    if (rc == 0 && item >= 0)
        rc = mm_rec_setf(&rec, "item", "%" PRId64, item);
    if (rc == 0 && source != NULL)
        rc = mm_rec_set(&rec, "source", source);
    if (rc == 0)
        rc = mm_rec_set(&rec, "reason", reason);
    if (rc == 0) {
        const char *clean = mm_rec_attr(&rec, "reason"); /* valid UTF-8 */

        mm_buf_str(&text, clean);
        rec.data = text.p;
        rec.size = text.n;
        rc = text.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : mm_writer_put(w, &rec, e);
    } else {
        mm_err_set(e, rc, "out of memory");
    }
    mm_buf_free(&text);
    mm_rec_free(&rec);
    return rc;
}

bool mm_rec_is_error(const struct mm_rec *rec)
{
    return rec->type == MM_REC_TEXT && mm_rec_is(rec, "error");
}

int mm_files_from(struct mm_files *f, const char *path, char sep, struct mm_err *e)
{
    size_t n, i;
    int rc;

    memset(f, 0, sizeof(*f));
    rc = mm_io_slurp(path, MAX_LIST, &f->text, &n, e);
    if (rc < 0)
        return rc;
    for (i = 0; i < n;) {
        char *p = f->text + i;
        char *end = memchr(p, sep, n - i);
        const size_t len = end != NULL ? (size_t)(end - p) : n - i;

        p[len] = '\0';
        i += len + 1;
        if (len == 0)
            continue;
        if (memchr(p, '\0', len) != NULL)
            rc = mm_err_set(e, MM_EDATA, "%s: a NUL in a line (a list for -0?)", path);
        else if (!mm_grow(&f->path, &f->cap, f->n + 1, sizeof(*f->path)))
            rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
        if (rc < 0) {
            mm_files_free(f);
            return rc;
        }
        f->path[f->n++] = p;
    }
    return 0;
}

void mm_files_free(struct mm_files *f)
{
    free(f->path);
    free(f->text);
    memset(f, 0, sizeof(*f));
}
