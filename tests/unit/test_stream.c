/* test_stream.c: records through writer and reader, the conformance vectors, traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "stream/cmdio.h"
#include "stream/format.h"
#include "stream/trace.h"

static int temp_file(void)
{
    char path[] = "/tmp/test_stream.XXXXXX";
    const int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

/* Reads all of fd from its start; the number of records, or a negative code. */
static int count_records(int fd, size_t max, struct mm_err *e)
{
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    int n = 0;
    int rc;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(mm_reader_open(&r, fd, "test", max, e), 0);
    while ((rc = mm_reader_get(r, &rec, e)) > 0)
        n++;
    mm_reader_close(r);
    return rc < 0 ? rc : n;
}

static void put_text(struct mm_writer *w, const char *text, const char *name)
{
    struct mm_err e = { 0 };
    struct mm_rec rec;

    mm_rec_init(&rec, MM_REC_TEXT);
    rec.data = (char *)(uintptr_t)text;
    rec.size = strlen(text);
    assert_int_equal(mm_rec_set(&rec, "name", name), 0);
    assert_int_equal(mm_writer_put(w, &rec, &e), 0);
    mm_rec_free(&rec);
}

static void round_trip(int level)
{
    static const char odd[] = "\\ \n\r\t\x01\x1f\x7f \xC3\xA9 :=x ";
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    const int fd = temp_file();
    const size_t n = 3000000;
    float *x = malloc(n * sizeof(*x));
    struct mm_tensor t = { .dtype = MM_F32, .ndim = 3, .shape = { 1000, 3, 1000 }, .data = x };
    struct mm_tensor scalar = { .dtype = MM_F32, .data = x };

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(i % 1000);
    assert_int_equal(mm_writer_open(&w, fd, level, &e), 0);
    put_text(w, "hello", odd);
    assert_int_equal(mm_writer_tensor(w, &t, "features", "big", 7, &e), 0);
    assert_int_equal(mm_writer_tensor(w, &scalar, NULL, NULL, -1, &e), 0);
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(mm_reader_open(&r, fd, "test", 0, &e), 0);
    assert_int_equal(mm_reader_get(r, &rec, &e), 1);
    assert_int_equal(rec.type, MM_REC_TEXT);
    assert_string_equal(rec.data, "hello");
    assert_string_equal(mm_rec_attr(&rec, "name"), odd);
    assert_null(mm_rec_attr(&rec, "length"));
    assert_int_equal(mm_reader_get(r, &rec, &e), 1);
    assert_true(rec.t.dtype == MM_F32 && mm_shape_eq(&rec.t, &t) && rec.t.data == rec.data);
    assert_memory_equal(rec.data, x, n * sizeof(*x));
    assert_int_equal((uintptr_t)rec.data % 64, 0);
    assert_int_equal(mm_reader_payload(r) % 64, 0);
    assert_int_equal(mm_reader_offset(r) % 64, 0);
    assert_true(mm_rec_is(&rec, "features") && mm_rec_int(&rec, "item", -1) == 7);
    /* a filter may change what it got, as often as it likes */
    for (int i = 0; i < 40; i++)
        assert_int_equal(mm_rec_setf(&rec, "name", "n%d", i), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(mm_rec_setf(&rec, i % 2 != 0 ? "x-a" : "x-b", "%0300d", i), 0);
    assert_string_equal(mm_rec_attr(&rec, "name"), "n39");
    assert_int_equal(mm_rec_set(&rec, "x-a", NULL), 0);
    assert_null(mm_rec_attr(&rec, "x-a"));
    assert_int_equal(mm_reader_get(r, &rec, &e), 1);
    assert_int_equal(rec.t.ndim, 0);
    assert_int_equal(rec.nattr, 0);
    assert_int_equal(mm_reader_get(r, &rec, &e), 0);
    mm_reader_close(r);
    close(fd);
    free(x);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(0);
    round_trip(1);
}

static void test_attributes(void **state)
{
    struct mm_rec a, b;

    (void)state;
    mm_rec_init(&a, MM_REC_TEXT);
    mm_rec_init(&b, MM_REC_TEXT);
    assert_int_equal(mm_rec_set(&a, "Bad", "x"), MM_EDATA);
    assert_int_equal(mm_rec_set(&a, "", "x"), MM_EDATA);
    assert_int_equal(mm_rec_set(&a, "shape", "[1]"), MM_EDATA);
    assert_int_equal(mm_rec_set(&a, "name", "caf\xE9"), 0); /* Latin-1: not UTF-8 */
    assert_string_equal(mm_rec_attr(&a, "name"), "caf\xEF\xBF\xBD");
    assert_int_equal(mm_rec_set(&a, "layer", "-2"), 0);
    assert_int_equal(mm_rec_int(&a, "layer", 9), -2);
    assert_int_equal(mm_rec_int(&a, "name", 9), 9);
    assert_int_equal(mm_rec_int(&a, "none", 9), 9);
    assert_int_equal(mm_rec_set(&b, "layer", "5"), 0);
    assert_int_equal(mm_rec_copy_attrs(&b, &a), 0);
    assert_int_equal(mm_rec_int(&b, "layer", 9), 5);
    assert_non_null(mm_rec_attr(&b, "name"));
    mm_rec_free(&a);
    mm_rec_free(&b);
}

/* The writer refuses what a reader would, and stays usable. */
static void test_writer_refuses(void **state)
{
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;
    struct mm_rec rec;
    const int fd = temp_file();
    char *big = malloc(70000);

    (void)state;
    assert_non_null(big);
    assert_int_equal(mm_writer_open(&w, fd, 0, &e), 0);
    mm_rec_init(&rec, MM_REC_BYTES);
    assert_int_equal(mm_writer_put(w, &rec, &e), MM_EDATA); /* no content-type */
    rec.type = MM_REC_TEXT;
    rec.data = big;
    rec.size = 1;
    big[0] = '\xFF';
    mm_err_clear(&e);
    assert_int_equal(mm_writer_put(w, &rec, &e), MM_EDATA);
    memset(big, 'a', 69999);
    big[69999] = '\0';
    assert_int_equal(mm_rec_set(&rec, "source", big), 0);
    mm_err_clear(&e);
    assert_int_equal(mm_writer_put(w, &rec, &e), MM_EDATA);
    assert_int_equal(mm_rec_set(&rec, "source", NULL), 0);
    assert_int_equal(mm_rec_set(&rec, "item", "one"), 0);
    mm_err_clear(&e);
    assert_int_equal(mm_writer_put(w, &rec, &e), MM_EDATA);
    mm_rec_free(&rec);
    put_text(w, "ok", "n");
    mm_err_clear(&e);
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);
    assert_int_equal(count_records(fd, 0, &e), 1);
    close(fd);
    free(big);
}

static void test_limits(void **state)
{
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;
    const int fd = temp_file();

    (void)state;
    assert_int_equal(mm_writer_open(&w, fd, 0, &e), 0);
    put_text(w, "0123456789", "n");
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);
    assert_int_equal(count_records(fd, 10, &e), 1);
    assert_int_equal(count_records(fd, 9, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "payload of 10 bytes, --max-record is 9"));
    close(fd);
}

/* Every prefix of a stream but the whole sections is an error. */
static void test_every_cut(void **state)
{
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;
    const int fd = temp_file();
    off_t n, section;

    (void)state;
    assert_int_equal(mm_writer_open(&w, fd, 0, &e), 0);
    put_text(w, "first", "a");
    assert_int_equal(mm_writer_end(w, &e), 0);
    section = lseek(fd, 0, SEEK_CUR);
    put_text(w, "second", "b");
    put_text(w, "third", "c");
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);
    assert_int_equal(count_records(fd, 0, &e), 3);
    for (n = lseek(fd, 0, SEEK_END) - 1; n >= 0; n--) {
        assert_int_equal(ftruncate(fd, n), 0);
        mm_err_clear(&e);
        assert_int_equal(count_records(fd, 0, &e), n == section ? 1 : MM_EDATA);
    }
    close(fd);
}

struct feed {
    int fd;
    const unsigned char *p;
    size_t n;
};

static void *dribble(void *arg)
{
    const struct feed *f = arg;

    for (size_t i = 0; i < f->n; i++)
        if (mm_io_write(f->fd, f->p + i, 1, NULL) < 0)
            break;
    close(f->fd);
    return NULL;
}

/* Status of reading data through a pipe that gives single bytes. */
static int read_dribbled(const unsigned char *p, size_t n, struct mm_err *e)
{
    struct feed feed = { .p = p, .n = n };
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    pthread_t t;
    int fd[2];
    int rc;

    assert_int_equal(pipe(fd), 0);
    feed.fd = fd[1];
    assert_int_equal(pthread_create(&t, NULL, dribble, &feed), 0);
    assert_int_equal(mm_reader_open(&r, fd[0], "pipe", 0, e), 0);
    do
        rc = mm_reader_get(r, &rec, e);
    while (rc > 0);
    mm_reader_close(r);
    while (mm_io_read_some(fd[0], (char[4096]){ 0 }, 4096, NULL) > 0)
        continue; /* let the writer finish */
    pthread_join(t, NULL);
    close(fd[0]);
    return rc;
}

static int run_vectors(const char *folder, int want)
{
    char path[600];
    DIR *d;
    struct dirent *de;
    int count = 0;

    snprintf(path, sizeof(path), "formats/vectors/%s", folder);
    d = opendir(path);
    assert_non_null(d);
    while ((de = readdir(d)) != NULL) {
        struct mm_err e = { 0 };
        char *data = NULL;
        size_t n = 0;
        int fd, rc;

        if (strstr(de->d_name, ".mmt") == NULL)
            continue;
        snprintf(path, sizeof(path), "formats/vectors/%s/%s", folder, de->d_name);
        fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        rc = count_records(fd, 0, &e);
        close(fd);
        if ((rc < 0 ? rc : 0) != want)
            fail_msg("%s: %d %s", path, rc, e.msg);
        mm_err_clear(&e);
        assert_int_equal(mm_io_slurp(path, 1 << 20, &data, &n, &e), 0);
        if (n < 2000 && read_dribbled((unsigned char *)data, n, &e) != want)
            fail_msg("%s, byte by byte: %s", path, e.msg);
        free(data);
        count++;
    }
    closedir(d);
    return count;
}

static void test_vectors(void **state)
{
    (void)state;
    assert_true(run_vectors("good", 0) >= 50);
    assert_true(run_vectors("bad", MM_EDATA) >= 120);
}

/* Text behind good records is not lost: they come before the error does. */
static void test_records_before_error(void **state)
{
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    int fd[2];

    (void)state;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(mm_writer_open(&w, fd[1], 0, &e), 0);
    put_text(w, "one", "a"); /* flushed though no end follows */
    mm_writer_close(w);
    close(fd[1]);
    assert_int_equal(mm_reader_open(&r, fd[0], "pipe", 0, &e), 0);
    assert_int_equal(mm_reader_get(r, &rec, &e), 1);
    assert_string_equal(rec.data, "one");
    assert_int_equal(mm_reader_get(r, &rec, &e), MM_EDATA);
    assert_string_equal(e.msg, "pipe: truncated at offset 128: no end record after 1 records");
    mm_reader_close(r);
    close(fd[0]);
}

static void test_trace(void **state)
{
    char dir[] = "/tmp/test_stream.XXXXXX";
    char path[64];
    char *paths[2] = { path, path };
    float x[6] = { 1, 2, 3, 4, 5, 6 };
    struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { 2, 3 }, .data = x };
    struct mm_err e = { 0 };
    struct mm_trace *tr = NULL;
    struct mm_input *in = NULL;
    struct mm_rec rec;
    int n = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/t.mmt", dir);
    assert_int_equal(mm_trace_open(&tr, path, &e), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(mm_trace_put(tr, 0, &t, "layers.%d", i), 0);
    assert_int_equal(access(path, F_OK), -1); /* not before it is complete */
    assert_int_equal(mm_trace_close(tr, &e), 0);
    assert_int_equal(mm_input_open(&in, paths, 2, 0, &e), 0); /* twice: two sections */
    while (mm_input_get(in, &rec, &e) > 0) {
        char want[20];

        snprintf(want, sizeof(want), "layers.%d", n++ % 3);
        assert_string_equal(mm_rec_attr(&rec, "name"), want);
    }
    assert_int_equal(e.code, MM_OK);
    assert_int_equal(n, 6);
    mm_input_close(in);
    unlink(path);

    t.dtype = MM_Q4_0; /* not of the stream: the first error is told at close */
    t.ndim = 1;
    t.shape[0] = 32;
    assert_int_equal(mm_trace_open(&tr, path, &e), 0);
    assert_int_equal(mm_trace_put(tr, 0, &t, "q"), MM_EDATA);
    assert_int_equal(mm_trace_close(tr, &e), MM_EDATA);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(mm_trace_open(&tr, NULL, &e), 0);
    assert_int_equal(mm_trace_put(tr, 0, &t, "q"), 0);
    mm_err_clear(&e);
    assert_int_equal(mm_trace_close(tr, &e), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_files_from(void **state)
{
    char path[] = "/tmp/test_stream.XXXXXX";
    const int fd = mkstemp(path);
    struct mm_err e = { 0 };
    struct mm_files f;

    (void)state;
    assert_int_equal(mm_io_write(fd, "a\n\nb c\nlast", 11, &e), 0);
    assert_int_equal(mm_files_from(&f, path, '\n', &e), 0);
    assert_int_equal(f.n, 3);
    assert_string_equal(f.path[1], "b c");
    assert_string_equal(f.path[2], "last");
    mm_files_free(&f);
    assert_int_equal(mm_io_write(fd, "\0x\0", 3, &e), 0);
    assert_int_equal(mm_files_from(&f, path, '\n', &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_files_from(&f, path, '\0', &e), 0);
    assert_int_equal(f.n, 2);
    mm_files_free(&f);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_writer_refuses), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_cut),      cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_records_before_error), cmocka_unit_test(test_trace),
        cmocka_unit_test(test_files_from),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
