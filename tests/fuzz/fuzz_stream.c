/* fuzz_stream: any bytes through mm_reader_get; what was read is written again and
 * must then read as the same records.
 *
 * covers: lib/stream/reader.c lib/stream/record.c
 * seeds: formats/vectors/good formats/vectors/bad
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "stream/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 24 };

static void require(int ok)
{
    if (!ok)
        abort();
}

/* A descriptor that gives data[size] from its start. */
static int memory_file(const void *data, size_t size)
{
    const int fd = memfd_create("fuzz", 0);

    require(fd >= 0 && mm_io_write(fd, data, size, NULL) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void same_attributes(const struct mm_rec *a, const struct mm_rec *b)
{
    require(a->nattr == b->nattr);
    for (size_t i = 0; i < a->nattr; i++)
        require(strcmp(a->attr[i].key, b->attr[i].key) == 0
                && strcmp(a->attr[i].value, b->attr[i].value) == 0);
}

/* A copy of rec with attributes that its payload gives. */
static void copy_record(struct mm_rec *copy, const struct mm_rec *rec)
{
    char key[8];

    mm_rec_init(copy, rec->type);
    copy->t = rec->t;
    copy->data = rec->data;
    copy->size = rec->size;
    require(mm_rec_copy_attrs(copy, rec) == 0);
    same_attributes(copy, rec);
    if (strlen(rec->data) < 1000)
        require(mm_rec_set(copy, "x-payload", rec->data) == 0);
    require(mm_rec_setf(copy, "x-long", "%0*d", (int)(rec->size % 400) + 1, 5) == 0);
    require(mm_rec_set(copy, "x-long", "replaced") == 0);
    memcpy(key, rec->data, rec->size < 7 ? rec->size : 7);
    key[rec->size < 7 ? rec->size : 7] = '\0';
    if (mm_rec_set(copy, key, "any") == 0 && strcmp(key, "content-type") != 0)
        require(mm_rec_set(copy, key, NULL) == 0 && mm_rec_attr(copy, key) == NULL);
    (void)mm_rec_is(copy, "any");
    (void)mm_rec_int(copy, "item", 0);
}

/* Writes a copy of rec, reads it back, compares. */
static void again(const struct mm_rec *rec)
{
    struct mm_writer *w = NULL;
    struct mm_reader *r = NULL;
    struct mm_rec copy, back;
    const int fd = memory_file("", 0);

    copy_record(&copy, rec);
    require(mm_writer_open(&w, fd, (int)(rec->size % 3), NULL) == 0);
    if (mm_writer_put(w, &copy, NULL) == 0) { /* too long, or an item that is none: refused */
        require(mm_writer_end(w, NULL) == 0);
        require(lseek(fd, 0, SEEK_SET) == 0);
        require(mm_reader_open(&r, fd, "again", LIMIT, NULL) == 0);
        require(mm_reader_get(r, &back, NULL) == 1);
        require(back.type == rec->type && back.size == rec->size);
        require(memcmp(back.data, rec->data, rec->size) == 0);
        same_attributes(&copy, &back);
        require(mm_reader_get(r, &back, NULL) == 0);
    }
    mm_rec_free(&copy);
    mm_reader_close(r);
    mm_writer_close(w);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_reader *r = NULL;
    struct mm_rec rec;
    const int fd = memory_file(data, size);
    int rc;

    require(mm_reader_open(&r, fd, "fuzz", LIMIT, &e) == 0);
    while ((rc = mm_reader_get(r, &rec, &e)) > 0) {
        require(rec.type != MM_REC_END && rec.size <= LIMIT);
        again(&rec);
    }
    require(rc == 0 || (rc == MM_EDATA && e.msg[0] != '\0'));
    mm_reader_close(r);
    close(fd);
    return 0;
}
