/* trace.c: --trace FILE: a writer into an output file. */
#include "stream/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/outfile.h"
#include "stream/stream.h"

struct mm_trace {
    struct mm_outfile *file;
    struct mm_writer *w;
    char *path;
    struct mm_err err; /* first failure, told at close */
};

int mm_trace_open(struct mm_trace **out, const char *path, struct mm_err *e)
{
    struct mm_trace *tr;
    int rc;

    *out = NULL;
    if (path == NULL)
        return 0;
    if (strcmp(path, "-") == 0)
        return mm_err_set(e, MM_EUSAGE, "--trace: standard output carries the result, name a file");
    tr = calloc(1, sizeof(*tr));
    if (tr == NULL)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    tr->path = strdup(path);
    rc = tr->path != NULL ? mm_outfile_open(&tr->file, path, e)
                          : mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc == 0)
        rc = mm_writer_open(&tr->w, mm_outfile_fd(tr->file), 0, e);
    if (rc < 0) {
        mm_trace_abort(tr);
        return rc;
    }
    *out = tr;
    return 0;
}

int mm_trace_put(struct mm_trace *tr, int64_t item, const struct mm_tensor *t, const char *fmt,
                 ...)
{
    char name[200];
    va_list ap;

    if (tr == NULL)
        return 0;
    if (tr->err.code != MM_OK)
        return tr->err.code;
    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    return mm_writer_tensor(tr->w, t, "trace", name, item, &tr->err);
}

int mm_trace_close(struct mm_trace *tr, struct mm_err *e)
{
    int rc;

    if (tr == NULL)
        return 0;
    rc = tr->err.code;
    if (rc == 0)
        rc = mm_writer_end(tr->w, &tr->err);
    if (rc < 0) {
        mm_err_prefix(&tr->err, "%s", tr->path);
        if (e != NULL && e->code == MM_OK)
            *e = tr->err;
    } else {
        rc = mm_outfile_commit(tr->file, e);
        tr->file = NULL;
    }
    mm_trace_abort(tr);
    return rc;
}

void mm_trace_abort(struct mm_trace *tr)
{
    if (tr == NULL)
        return;
    mm_writer_close(tr->w);
    mm_outfile_abort(tr->file);
    free(tr->path);
    free(tr);
}
