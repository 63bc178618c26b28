/* bench_stream.c: what the stream costs beside the same pipe carrying raw bytes.
 *
 * A child writes, the parent reads: 64 MiB f32 records through the library, then
 * the same bytes by plain write and read.  The pipe holds 1 MiB both times.  Best of
 * several rounds each, taken in turn.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/io.h"
#include "base/progress.h"
#include "stream/stream.h"

enum { RECORD = 64 << 20, COUNT = 8, ROUNDS = 7 };

typedef int transfer_fn(int fd, void *data);

static int write_stream(int fd, void *data)
{
    struct mm_tensor t = { .dtype = MM_F32, .ndim = 1, .shape = { RECORD / 4 }, .data = data };
    struct mm_writer *w;
    int rc = mm_writer_open(&w, fd, 0, NULL);

    for (int i = 0; i < COUNT && rc == 0; i++)
        rc = mm_writer_tensor(w, &t, "bench", NULL, i, NULL);
    if (rc == 0)
        rc = mm_writer_end(w, NULL);
    mm_writer_close(w);
    return rc;
}

static int read_stream(int fd, void *data)
{
    struct mm_reader *r;
    struct mm_rec rec;
    int n = 0;
    int rc = mm_reader_open(&r, fd, "pipe", 0, NULL);

    (void)data;
    if (rc < 0)
        return rc;
    while ((rc = mm_reader_get(r, &rec, NULL)) > 0)
        n += rec.size == RECORD;
    mm_reader_close(r);
    return rc == 0 && n == COUNT ? 0 : -1;
}

static int write_raw(int fd, void *data)
{
    int rc = 0;

    for (int i = 0; i < COUNT && rc == 0; i++)
        rc = mm_io_write(fd, data, RECORD, NULL);
    return rc;
}

static int read_raw(int fd, void *data)
{
    void *p = malloc(RECORD); /* fresh, as the library's is */
    int rc = p != NULL ? 0 : -1;

    (void)data;
    for (int i = 0; i < COUNT && rc == 0; i++)
        if (mm_io_read(fd, p, RECORD, NULL, NULL) != MM_READ_ALL)
            rc = -1;
    free(p);
    return rc;
}

/* GB/s of one transfer; ends the program when it fails. */
static double once(transfer_fn *writer, transfer_fn *reader, void *data)
{
    const double start = mm_now();
    int fd[2];
    int status = -1;
    pid_t pid;

    if (pipe(fd) < 0 || fcntl(fd[1], F_SETPIPE_SZ, 1 << 20) < 0 || (pid = fork()) < 0) {
        perror("bench_stream");
        exit(1);
    }
    if (pid == 0) {
        close(fd[0]);
        _exit(writer(fd[1], data) == 0 ? 0 : 1);
    }
    close(fd[1]);
    if (reader(fd[0], data) < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "bench_stream: transfer failed\n");
        exit(1);
    }
    close(fd[0]);
    return (double)COUNT * RECORD / (mm_now() - start) * 1e-9;
}

static double checksum_speed(const void *data)
{
    double best = 0.0;
    uint32_t crc = 0;

    for (int i = 0; i < 5; i++) { /* a piece that stays in the cache, many times */
        const double start = mm_now();
        double speed;

        for (int k = 0; k < 256; k++)
            crc = mm_crc32(crc, data, 256 << 10);
        speed = 256.0 * (256 << 10) / (mm_now() - start) * 1e-9;
        if (speed > best)
            best = speed;
    }
    return crc != 1 ? best : 0.0;
}

int main(void)
{
    unsigned char *data = aligned_alloc(64, RECORD);
    double raw = 0.0;
    double stream = 0.0;

    if (data == NULL)
        return 1;
    for (size_t i = 0; i < RECORD; i++)
        data[i] = (unsigned char)(i * 2654435761U >> 7);
    for (int i = 0; i < ROUNDS; i++) {
        const double a = once(write_raw, read_raw, data);
        const double b = once(write_stream, read_stream, data);

        raw = a > raw ? a : raw;
        stream = b > stream ? b : stream;
    }
    printf("crc32 %.1f GB/s\n", checksum_speed(data));
    printf("raw pipe %.2f GB/s, stream %.2f GB/s, ratio %.2f (at least 0.80)\n", raw, stream,
           stream / raw);
    free(data);
    return stream >= 0.8 * raw ? 0 : 1;
}
