/* io.h: the only place that calls read(2) and write(2).
 *
 * EINTR and EAGAIN are retried, partial transfers completed, one transfer is
 * at most some MiB.
 */
#ifndef MM_BASE_IO_H
#define MM_BASE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

enum mm_read { MM_READ_ALL = 1, MM_READ_NONE = 0 };

/* mm_io_read: exactly n bytes.  MM_READ_ALL, MM_READ_NONE (end of input before
 * the first byte), MM_EDATA (truncated: *got says how many came), MM_EIO. */
MM_MUST_CHECK int mm_io_read(int fd, void *p, size_t n, size_t *got, struct mm_err *e);

/* mm_io_read_some: up to n bytes, one successful read; 0 at end, or MM_EIO. */
MM_MUST_CHECK ssize_t mm_io_read_some(int fd, void *p, size_t n, struct mm_err *e);

/* mm_io_write: all n bytes or MM_EIO.  EPIPE (SIGPIPE ignored) is MM_EIO with
 * errno kept. */
MM_MUST_CHECK int mm_io_write(int fd, const void *p, size_t n, struct mm_err *e);

/* mm_io_slurp: a whole file ("-" is standard input) of at most max bytes into
 * malloc'd *data, a NUL added that *n does not count; the caller frees it.
 * MM_ENOENT if it cannot be opened, MM_EDATA if larger than max. */
MM_MUST_CHECK int mm_io_slurp(const char *path, size_t max, char **data, size_t *n,
                              struct mm_err *e);

/* mm_io_stem: the last part of path without its suffix ("a/b.npy": "b"): malloc'd,
 * NULL if out of memory. */
char *mm_io_stem(const char *path);

/* A file mapped read-only.  A regular file is mapped; anything else (a pipe)
 * is read into memory up to max bytes. */
struct mm_map {
    const unsigned char *data;
    size_t size;
    int mapped; /* 1: munmap, 0: free */
};

MM_MUST_CHECK int mm_map_open(struct mm_map *m, const char *path, size_t max,
                              struct mm_err *e);
void mm_map_close(struct mm_map *m); /* takes a zeroed one */

/* mm_map_release: the bytes p[0..n) of m will hardly be read again: their whole
 * pages leave this process's memory, and come back from the file if they are.
 * Nothing happens to what was read from a pipe.  False: p is not in m. */
bool mm_map_release(const struct mm_map *m, const void *p, size_t n);

/* Little-endian getters and setters over bytes: no alignment needed. */
static inline uint16_t mm_get_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | (p[1] << 8));
}

static inline uint32_t mm_get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t mm_get_u64(const unsigned char *p)
{
    return (uint64_t)mm_get_u32(p) | (uint64_t)mm_get_u32(p + 4) << 32;
}

static inline void mm_put_u16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static inline void mm_put_u32(unsigned char *p, uint32_t v)
{
    mm_put_u16(p, (uint16_t)v);
    mm_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void mm_put_u64(unsigned char *p, uint64_t v)
{
    mm_put_u32(p, (uint32_t)v);
    mm_put_u32(p + 4, (uint32_t)(v >> 32));
}

#endif
