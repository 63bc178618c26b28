/* outfile.c: output files appear complete or not at all. */
#include "base/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

struct mm_outfile {
    FILE *fp;
    char *path; /* final name */
    char *tmp;  /* NULL: written in place */
    int slot;   /* in open_tmp, or -1 */
    int sys;    /* errno of the first write that failed, or 0 */
};

/* Names of open temporaries: the one thing a signal handler can reach. */
enum { NSLOT = 64 };
static _Atomic(const char *) open_tmp[NSLOT];

static int take_slot(const char *tmp)
{
    for (int i = 0; i < NSLOT; i++) {
        const char *none = NULL;

        if (atomic_compare_exchange_strong(&open_tmp[i], &none, tmp))
            return i;
    }
    return -1;
}

void mm_outfile_cleanup(void)
{
    for (int i = 0; i < NSLOT; i++) {
        const char *p = atomic_load(&open_tmp[i]);

        if (p != NULL)
            unlink(p);
    }
}

static void release(struct mm_outfile *f)
{
    if (f->slot >= 0)
        atomic_store(&open_tmp[f->slot], NULL);
    free(f->path);
    free(f->tmp);
    free(f);
}

/* Permissions of the new file: those of the one it replaces, else the umask's. */
static void set_mode(int fd, const struct stat *old)
{
    mode_t mode;

    if (old != NULL) {
        mode = old->st_mode & 07777;
    } else {
        mode = umask(0);
        umask(mode);
        mode = 0666 & ~mode;
    }
    if (fchmod(fd, mode) < 0)
        return; /* some file systems have no modes; the content is what matters */
}

/* Makes the temporary beside f->path; returns its descriptor. */
static int open_temp(struct mm_outfile *f, const struct stat *old)
{
    struct mm_buf b = { 0 };
    int fd;

    mm_buf_printf(&b, "%s.XXXXXX", f->path);
    if (b.failed) {
        mm_buf_free(&b);
        errno = ENOMEM;
        return -1;
    }
    f->tmp = b.p;
    fd = mkstemp(f->tmp);
    if (fd < 0) {
        free(f->tmp);
        f->tmp = NULL;
        return -1;
    }
    f->slot = take_slot(f->tmp);
    set_mode(fd, old);
    return fd;
}

/* Through symbolic links, dangling ones too: what they name is replaced, not they. */
static int follow_links(struct mm_outfile *f)
{
    enum { MAX_LINKS = 16, MAX_NAME = 4096 };
    char to[MAX_NAME];

    for (int i = 0; i < MAX_LINKS; i++) {
        const ssize_t n = readlink(f->path, to, sizeof(to));
        const char *slash = strrchr(f->path, '/');
        struct mm_buf b = { 0 };

        if (n <= 0 || n == (ssize_t)sizeof(to))
            return 0;
        if (to[0] != '/' && slash != NULL)
            mm_buf_add(&b, f->path, (size_t)(slash - f->path) + 1);
        mm_buf_add(&b, to, (size_t)n);
        mm_buf_char(&b, '\0');
        if (b.failed) {
            mm_buf_free(&b);
            errno = ENOMEM;
            return -1;
        }
        free(f->path);
        f->path = b.p;
    }
    return 0;
}

static int open_fd(struct mm_outfile *f, const char *path)
{
    struct stat st;
    const bool exists = stat(path, &st) == 0;

    if (strcmp(path, "-") == 0)
        return dup(1);
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    if (exists && !S_ISREG(st.st_mode))
        return open(path, O_WRONLY | O_CLOEXEC);
    if (follow_links(f) < 0)
        return -1;
    return open_temp(f, exists ? &st : NULL);
}

int mm_outfile_open(struct mm_outfile **out, const char *path, struct mm_err *e)
{
    struct mm_outfile *f = calloc(1, sizeof(*f));
    char *copy = strdup(path);
    int fd;

    if (f == NULL || copy == NULL) {
        free(f);
        free(copy);
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    }
    f->slot = -1;
    f->path = copy;
    fd = open_fd(f, path);
    f->fp = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (f->fp == NULL) {
        const int code = errno == ENOMEM ? MM_ENOMEM : MM_EIO;

        mm_err_set(e, code, "%s:", path);
        if (fd >= 0)
            close(fd);
        if (f->tmp != NULL)
            unlink(f->tmp);
        release(f);
        return code;
    }
    *out = f;
    return 0;
}

FILE *mm_outfile_fp(struct mm_outfile *f)
{
    return f->fp;
}

void mm_outfile_write(struct mm_outfile *f, const void *p, size_t n)
{
    if (n > 0 && fwrite(p, 1, n, f->fp) != n && f->sys == 0)
        f->sys = errno;
}

int mm_outfile_fd(struct mm_outfile *f)
{
    return fileno(f->fp);
}

/* The rename is durable once the directory is synced; not all can be. */
static void sync_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? strdup(".")
                              : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    const int fd = dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

int mm_outfile_commit(struct mm_outfile *f, struct mm_err *e)
{
    bool ok = !ferror(f->fp);

    errno = 0;
    if (fflush(f->fp) != 0)
        ok = false;
    if (f->sys != 0 || (!ok && errno == 0))
        errno = f->sys != 0 ? f->sys : EIO;
    if (ok && f->tmp != NULL && fsync(fileno(f->fp)) < 0)
        ok = errno == EINVAL || errno == ENOTSUP;
    if (!ok) {
        mm_err_set(e, MM_EIO, "%s:", strcmp(f->path, "-") == 0 ? "standard output" : f->path);
        mm_outfile_abort(f);
        return MM_EIO;
    }
    ok = fclose(f->fp) == 0;
    if (ok && f->tmp != NULL)
        ok = rename(f->tmp, f->path) == 0;
    if (!ok) {
        mm_err_set(e, MM_EIO, "%s:", f->path);
        if (f->tmp != NULL)
            unlink(f->tmp);
    } else if (f->tmp != NULL) {
        sync_dir(f->path);
    }
    release(f);
    return ok ? 0 : MM_EIO;
}

void mm_outfile_abort(struct mm_outfile *f)
{
    if (f == NULL)
        return;
    fclose(f->fp);
    if (f->tmp != NULL)
        unlink(f->tmp);
    release(f);
}
