/* lines.c: files of JSON objects, one a line. */
#include "net/lines.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum { MAX_FILE = 1 << 30 };

int mm_lines_each(const char *path, mm_lines_fn fn, void *user, size_t *good, struct mm_err *e)
{
    char *text;
    size_t n, at = 0;
    json_t *o = NULL;
    int rc = mm_io_slurp(path, MAX_FILE, &text, &n, e);

    if (rc < 0)
        return rc;
    if (text[strspn(text, " \t\r\n")] == '[') {
        rc = mm_json_load(&o, text, n, path, e);
        for (size_t i = 0; rc == 0 && i < json_array_size(o); i++)
            rc = fn(user, json_array_get(o, i), path, e);
        at = rc == 0 ? n : 0;
        json_decref(o);
    }
    while (rc == 0 && at < n) {
        const char *eol = memchr(text + at, '\n', n - at);

        if (eol == NULL && text[at] == '{')
            break;
        const size_t len = eol != NULL ? (size_t)(eol - text) - at : n - at;
        rc = mm_json_load(&o, text + at, len, path, e);
        if (rc == 0)
            rc = fn(user, o, path, e);
        json_decref(o);
        o = NULL;
        at += len + 1;
    }
    if (good != NULL)
        *good = at < n ? at : n;
    free(text);
    return rc;
}

int mm_lines_open(int *fd, const char *path, mm_lines_fn fn, void *user, bool *cut, struct mm_err *e)
{
    struct stat st;
    size_t good = 0;
    int rc = 0;

    *cut = false;
    *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (*fd < 0 || fstat(*fd, &st) < 0)
        rc = mm_err_set(e, MM_EIO, "%s:", path);
    else if (!S_ISREG(st.st_mode)) /* a device or a pipe has nothing to go on from */
        return 0;
    else if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
        rc = mm_err_set(e, MM_EIO, "%s: another run writes it", path);
    else if ((rc = mm_lines_each(path, fn, user, &good, e)) == 0 && (off_t)good < st.st_size) {
        *cut = true;
        if (ftruncate(*fd, (off_t)good) < 0)
            rc = mm_err_set(e, MM_EIO, "%s:", path);
    }
    if (rc < 0 && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int mm_lines_put(int fd, json_t *o, const char *path, struct mm_err *e)
{
    char *s = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    int rc = s != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    const size_t n = s != NULL ? strlen(s) : 0;

    if (rc == 0) {
        s[n] = '\n'; /* the NUL is not needed any more */
        rc = mm_io_write(fd, s, n + 1, e);
        if (rc < 0)
            mm_err_prefix(e, "%s", path);
    }
    free(s);
    json_decref(o);
    return rc;
}
