/* io.c: the only place that calls read(2) and write(2). */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

enum { CHUNK = 8 << 20 };

/* A descriptor set non-blocking by whoever made it: wait instead of spinning. */
static int again(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    if (errno == EINTR)
        return 1;
    if (errno != EAGAIN)
        return 0;
    poll(&p, 1, -1);
    return 1;
}

ssize_t mm_io_read_some(int fd, void *p, size_t n, struct mm_err *e)
{
    ssize_t r;

    do
        r = read(fd, p, n < CHUNK ? n : CHUNK);
    while (r < 0 && again(fd, POLLIN));
    if (r < 0)
        return mm_err_set(e, MM_EIO, "read:");
    return r;
}

int mm_io_read(int fd, void *p, size_t n, size_t *got, struct mm_err *e)
{
    size_t done = 0;

    while (done < n) {
        const ssize_t r = mm_io_read_some(fd, (char *)p + done, n - done, e);

        if (r < 0) {
            if (got != NULL)
                *got = done;
            return (int)r;
        }
        if (r == 0)
            break;
        done += (size_t)r;
    }
    if (got != NULL)
        *got = done;
    if (done == n)
        return MM_READ_ALL;
    if (done == 0)
        return MM_READ_NONE;
    return mm_err_set(e, MM_EDATA, "truncated: %zu bytes of %zu", done, n);
}

int mm_io_write(int fd, const void *p, size_t n, struct mm_err *e)
{
    size_t done = 0;

    while (done < n) {
        const size_t left = n - done;
        const ssize_t r = write(fd, (const char *)p + done, left < CHUNK ? left : CHUNK);

        if (r >= 0)
            done += (size_t)r;
        else if (!again(fd, POLLOUT))
            return mm_err_set(e, MM_EIO, "write:");
    }
    return 0;
}

/* Opens path for reading, "-" is standard input; a directory is no input. */
static int open_input(const char *path, struct stat *st, struct mm_err *e)
{
    const int fd = strcmp(path, "-") == 0 ? 0 : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return mm_err_set(e, MM_ENOENT, "%s:", path);
    if (fstat(fd, st) == 0 && !S_ISDIR(st->st_mode))
        return fd;
    if (S_ISDIR(st->st_mode))
        errno = EISDIR;
    mm_err_set(e, MM_ENOENT, "%s:", path);
    if (fd > 0)
        close(fd);
    return MM_ENOENT;
}

static int slurp_fd(int fd, const char *path, size_t hint, size_t max, struct mm_buf *b,
                    struct mm_err *e)
{
    size_t want = hint < max ? hint : max;

    for (;;) {
        ssize_t r;

        if (want < 65536)
            want = 65536;
        if (!mm_grow(&b->p, &b->cap, b->n + want + 1, 1))
            return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
        r = mm_io_read_some(fd, b->p + b->n, b->cap - b->n - 1, e);
        if (r < 0)
            return mm_err_prefix(e, "%s", path);
        if (r == 0)
            break;
        b->n += (size_t)r;
        if (b->n > max)
            return mm_err_set(e, MM_EDATA, "%s: larger than %zu bytes", path, max);
        want = 0;
    }
    b->p[b->n] = '\0';
    return 0;
}

int mm_io_slurp(const char *path, size_t max, char **data, size_t *n, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    struct stat st;
    const int fd = open_input(path, &st, e);
    int rc;

    if (fd < 0)
        return fd;
    /* st_size is only a hint: it may be wrong, and is never above max + 1 */
    rc = slurp_fd(fd, path, S_ISREG(st.st_mode) ? (size_t)st.st_size : 0, max, &b, e);
    if (fd > 0)
        close(fd);
    if (rc < 0) {
        mm_buf_free(&b);
        return rc;
    }
    *data = b.p;
    *n = b.n;
    return 0;
}

char *mm_io_stem(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(base, '.');

    return strndup(base, dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base));
}

int mm_map_open(struct mm_map *m, const char *path, size_t max, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    struct stat st;
    const int fd = open_input(path, &st, e);
    int rc = 0;

    memset(m, 0, sizeof(*m));
    if (fd < 0)
        return fd;
    if (S_ISREG(st.st_mode) && st.st_size > 0 && lseek(fd, 0, SEEK_CUR) == 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

        if (p == MAP_FAILED)
            rc = mm_err_set(e, errno == ENOMEM ? MM_ENOMEM : MM_EIO, "%s: mmap:", path);
        else
            *m = (struct mm_map){ p, (size_t)st.st_size, 1 };
    } else {
        rc = slurp_fd(fd, path, 0, max, &b, e);
        if (rc == 0)
            *m = (struct mm_map){ (unsigned char *)b.p, b.n, 0 };
        else
            mm_buf_free(&b);
    }
    if (fd > 0)
        close(fd);
    return rc;
}

bool mm_map_release(const struct mm_map *m, const void *p, size_t n)
{
    const uintptr_t from = (uintptr_t)p, base = (uintptr_t)m->data;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    if (from < base || from - base > m->size || n > m->size - (from - base))
        return false;
    const uintptr_t begin = (from + page - 1) / page * page, end = (from + n) / page * page;

    if (m->mapped && begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED); /* advice: may fail */
    return true;
}

void mm_map_close(struct mm_map *m)
{
    if (m->mapped)
        munmap((void *)(uintptr_t)m->data, m->size);
    else
        free((void *)(uintptr_t)m->data);
    memset(m, 0, sizeof(*m));
}
