/* test_io.c: complete reads and writes, mapped files, output files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/outfile.h"

static char dir[] = "/tmp/test_io.XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    unlink("a");
    unlink("link");
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1; /* nothing may be left */
}

/* Writes 10 bytes in pieces, so that reads come up short. */
static void *dribble(void *arg)
{
    const int fd = *(int *)arg;

    for (int i = 0; i < 10; i++) {
        const char c = (char)('0' + i);

        if (mm_io_write(fd, &c, 1, NULL) < 0)
            break;
        usleep(1000);
    }
    close(fd);
    return NULL;
}

static void test_read(void **state)
{
    struct mm_err e = { 0 };
    char b[16] = "";
    pthread_t t;
    size_t got;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0); /* EAGAIN must be waited out */
    assert_int_equal(pthread_create(&t, NULL, dribble, &fd[1]), 0);
    assert_int_equal(mm_io_read(fd[0], b, 6, &got, &e), MM_READ_ALL);
    assert_memory_equal(b, "012345", 6);
    assert_int_equal(mm_io_read(fd[0], b, 6, &got, &e), MM_EDATA);
    assert_int_equal(got, 4);
    assert_string_equal(e.msg, "truncated: 4 bytes of 6");
    mm_err_clear(&e);
    assert_int_equal(mm_io_read(fd[0], b, 6, &got, &e), MM_READ_NONE);
    pthread_join(t, NULL);
    close(fd[0]);
    assert_int_equal(mm_io_read(-1, b, 6, &got, &e), MM_EIO);
    assert_int_equal(e.sys, EBADF);
}

static void test_broken_pipe(void **state)
{
    struct mm_err e = { 0 };
    int fd[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    assert_int_equal(mm_io_write(fd[1], "x", 1, &e), MM_EIO);
    assert_int_equal(e.sys, EPIPE);
    close(fd[1]);
    signal(SIGPIPE, SIG_DFL);
}

static void put(const char *path, const char *text)
{
    struct mm_outfile *f = NULL;
    struct mm_err e = { 0 };

    assert_int_equal(mm_outfile_open(&f, path, &e), 0);
    assert_true(fputs(text, mm_outfile_fp(f)) >= 0);
    assert_int_equal(mm_outfile_commit(f, &e), 0);
}

static void expect(const char *path, const char *text)
{
    struct mm_err e = { 0 };
    char *data = NULL;
    size_t n;

    assert_int_equal(mm_io_slurp(path, 1000, &data, &n, &e), 0);
    assert_int_equal(n, strlen(text));
    assert_string_equal(data, text);
    free(data);
}

/* Names in the directory, "." and ".." not counted. */
static int count_files(void)
{
    DIR *d = opendir(".");
    int n = -2;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void test_outfile(void **state)
{
    struct mm_outfile *f = NULL;
    struct mm_err e = { 0 };
    struct stat st;

    (void)state;
    put("a", "one");
    expect("a", "one");
    assert_int_equal(chmod("a", 0640), 0);
    assert_int_equal(symlink("a", "link"), 0);
    put("link", "two"); /* through the link, permissions kept */
    expect("a", "two");
    assert_true(lstat("link", &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(stat("a", &st) == 0 && (st.st_mode & 0777) == 0640);

    assert_int_equal(mm_outfile_open(&f, "a", &e), 0);
    assert_true(fputs("half", mm_outfile_fp(f)) >= 0);
    assert_int_equal(count_files(), 3);
    mm_outfile_abort(f);
    expect("a", "two");
    assert_int_equal(count_files(), 2);

    assert_int_equal(mm_outfile_open(&f, "b", &e), 0);
    mm_outfile_cleanup(); /* what the signal handler does */
    assert_int_equal(count_files(), 2);
    mm_outfile_abort(f);
    mm_outfile_abort(NULL);

    assert_int_equal(mm_outfile_open(&f, "no/such/dir", &e), MM_EIO);
    assert_non_null(strstr(e.msg, "no/such/dir: "));
    mm_err_clear(&e);
    assert_int_equal(mm_outfile_open(&f, ".", &e), MM_EIO);
}

static void test_full_disk(void **state)
{
    struct mm_outfile *f = NULL;
    struct mm_err e = { 0 };

    (void)state;
    assert_int_equal(mm_outfile_open(&f, "/dev/full", &e), 0);
    assert_true(fputs("text", mm_outfile_fp(f)) >= 0);
    assert_int_equal(mm_outfile_commit(f, &e), MM_EIO);
    assert_int_equal(e.sys, ENOSPC);
}

static void test_slurp_map(void **state)
{
    struct mm_err e = { 0 };
    struct mm_map m;
    char *data = NULL;
    size_t n;

    (void)state;
    put("a", "0123456789");
    assert_int_equal(mm_io_slurp("a", 9, &data, &n, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_io_slurp("none", 9, &data, &n, &e), MM_ENOENT);
    mm_err_clear(&e);
    assert_int_equal(mm_io_slurp(".", 9, &data, &n, &e), MM_ENOENT);
    mm_err_clear(&e);
    assert_int_equal(mm_map_open(&m, "a", 9, &e), 0); /* mapped: the bound is for pipes */
    assert_true(m.mapped && m.size == 10 && m.data[9] == '9');
    mm_map_close(&m);
    mm_map_close(&m);
    put("a", "");
    assert_int_equal(mm_map_open(&m, "a", 9, &e), 0);
    assert_true(m.data != NULL && m.size == 0);
    mm_map_close(&m);
    assert_int_equal(mm_map_open(&m, "/dev/zero", 100000, &e), MM_EDATA);
    assert_int_equal(mm_map_open(&m, "none", 9, &e), MM_ENOENT);
}

/* Pages of p[0..n) that are in this process's memory. */
static size_t resident(const unsigned char *p, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = 0;
    char line[256];
    FILE *const f = fopen("/proc/self/smaps", "r");
    bool inside = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to, kib;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)p && (uintptr_t)p + n <= to;
        else if (inside && sscanf(line, "Rss: %lu kB", &kib) == 1)
            count = kib * 1024 / page;
    }
    fclose(f);
    return count;
}

static void test_map_release(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 64 * page;
    unsigned char *const b = malloc(n);
    struct mm_map m, heap = { b, n, 0 };
    struct mm_err e = { 0 };
    size_t sum = 0;

    (void)state;
    for (size_t i = 0; i < n; i++)
        b[i] = (unsigned char)(i / page + 1);
    FILE *const f = fopen("pages", "w");
    assert_true(fwrite(b, 1, n, f) == n && fclose(f) == 0);
    assert_int_equal(mm_map_open(&m, "pages", 9, &e), 0);
    for (size_t i = 0; i < n; i++)
        sum += m.data[i];
    assert_int_equal(resident(m.data, n), 64);
    assert_true(mm_map_release(&m, m.data + 1, 10 * page)); /* 9 whole pages */
    assert_int_equal(resident(m.data, n), 55);
    for (size_t i = 0; i < n; i++)
        sum -= m.data[i]; /* they come back */
    assert_int_equal(sum, 0);
    assert_true(mm_map_release(&m, m.data + n, 0));
    assert_false(mm_map_release(&m, m.data + 1, n));
    assert_false(mm_map_release(&m, b, 1));
    assert_true(mm_map_release(&heap, b, n)); /* left alone */
    assert_int_equal(b[n - 1], 64);
    mm_map_close(&m);
    unlink("pages");
    free(b);
}

static void test_little_endian(void **state)
{
    unsigned char b[8];

    (void)state;
    mm_put_u64(b, UINT64_C(0x0807060504030201));
    for (int i = 0; i < 8; i++)
        assert_int_equal(b[i], i + 1);
    assert_true(mm_get_u64(b) == UINT64_C(0x0807060504030201));
    assert_int_equal(mm_get_u32(b + 1), 0x05040302);
    assert_int_equal(mm_get_u16(b + 3), 0x0504);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),      cmocka_unit_test(test_broken_pipe),
        cmocka_unit_test(test_outfile),   cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_slurp_map), cmocka_unit_test(test_map_release),
        cmocka_unit_test(test_little_endian),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
