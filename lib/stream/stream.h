/* stream.h: the tensor stream, mmts 1 (formats/mmts.md), read and written
 * record by record: memory is bounded by one record.
 */
#ifndef MM_STREAM_STREAM_H
#define MM_STREAM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tensor.h"

enum mm_rec_type { MM_REC_TENSOR, MM_REC_TEXT, MM_REC_JSON, MM_REC_BYTES, MM_REC_END };

struct mm_attr {
    char *key, *value; /* unescaped UTF-8 */
};

struct mm_arena;

/* A record.  Filled by mm_reader_get: everything belongs to the reader and is
 * valid until its next call; setting attributes of such a record is allowed and
 * needs no mm_rec_free.  To build one, use mm_rec_init and mm_rec_set. */
struct mm_rec {
    enum mm_rec_type type;
    struct mm_tensor t;    /* type tensor: t.data == data */
    void *data;            /* payload, uncompressed, aligned to 64, a NUL after it when it
                            * comes from a reader; text and json are UTF-8 */
    size_t size;           /* its bytes */
    struct mm_attr *attr;  /* in stream order; dtype, shape, length are not among them */
    size_t nattr, cap;
    struct mm_arena *arena; /* the reader's, which owns attr; NULL: malloc'd */
};

/* mm_rec_init: a record without attributes and data; type bytes needs the
 * attribute content-type before it is written. */
void mm_rec_init(struct mm_rec *r, enum mm_rec_type type);
void mm_rec_free(struct mm_rec *r); /* attributes only; data is the maker's */

/* mm_rec_type_name: "tensor", "text", "json", "bytes", "end". */
const char *mm_rec_type_name(enum mm_rec_type type);

/* mm_rec_attr: value of key, or NULL.  mm_rec_int: as integer, or dflt. */
const char *mm_rec_attr(const struct mm_rec *r, const char *key);
int64_t mm_rec_int(const struct mm_rec *r, const char *key, int64_t dflt);
bool mm_rec_is(const struct mm_rec *r, const char *kind); /* attribute kind == kind */

/* mm_rec_set: set key to value (replaces; NULL removes).  Bytes of value that
 * are no UTF-8 become U+FFFD.  MM_ENOMEM, or MM_EDATA for a key the format does
 * not allow or keeps for itself (dtype, shape, length, encoding, size, records).
 * mm_rec_setf: formatted.
 * mm_rec_copy_attrs: all of src's attributes that dst does not have. */
MM_MUST_CHECK int mm_rec_set(struct mm_rec *r, const char *key, const char *value);
MM_MUST_CHECK int mm_rec_setf(struct mm_rec *r, const char *key, const char *fmt, ...)
    MM_PRINTF(3, 4);
MM_MUST_CHECK int mm_rec_copy_attrs(struct mm_rec *dst, const struct mm_rec *src);

/* mm_rec_copy: dst (uninitialised) becomes a copy of src and its payload, both malloc'd:
 * free(dst->data) and mm_rec_free.  MM_ENOMEM. */
MM_MUST_CHECK int mm_rec_copy(struct mm_rec *dst, const struct mm_rec *src);

struct mm_reader;
struct mm_writer;

/* mm_reader_open: fd is not closed by mm_reader_close; what names it in
 * messages; max_record bounds one payload (0: the default, 1 GiB). */
MM_MUST_CHECK int mm_reader_open(struct mm_reader **r, int fd, const char *what,
                                 size_t max_record, struct mm_err *e);
void mm_reader_close(struct mm_reader *r);

/* mm_reader_prefix: the first n bytes (n <= 64) were already read from fd, to tell what it
 * holds; they come first.  Before the first get only. */
void mm_reader_prefix(struct mm_reader *r, const void *p, size_t n);

/* mm_reader_get: next record that is no `end`: 1; 0 after the last section's
 * end at end of input; or MM_EDATA (malformed, truncated: file and offset are in the
 * message), MM_EIO, MM_ENOMEM. */
MM_MUST_CHECK int mm_reader_get(struct mm_reader *r, struct mm_rec *rec, struct mm_err *e);

/* mm_reader_offset: bytes of the input taken so far: after a get, the end of the
 * record; mm_reader_payload: offset of the last record's payload. */
uint64_t mm_reader_offset(const struct mm_reader *r);
uint64_t mm_reader_payload(const struct mm_reader *r);

/* mm_reader_section: sections that ended before the last record. */
uint64_t mm_reader_section(const struct mm_reader *r);

/* mm_writer_open: records go to fd; flush after each record unless fd is a
 * regular file.  compress: 0, or a zlib level 1..9 for payloads that shrink. */
MM_MUST_CHECK int mm_writer_open(struct mm_writer **w, int fd, int compress, struct mm_err *e);

/* mm_writer_put: MM_EDATA when the record breaks a rule of the format (text that
 * is no UTF-8, bytes without content-type, item that is no number, a header too
 * long); then nothing of it is written. */
MM_MUST_CHECK int mm_writer_put(struct mm_writer *w, const struct mm_rec *rec, struct mm_err *e);
/* mm_writer_end: the end record with the count, flush; then only close. */
MM_MUST_CHECK int mm_writer_end(struct mm_writer *w, struct mm_err *e);
/* mm_writer_close: takes NULL.  Without mm_writer_end before it the records put so far are
 * written if they can be, and no end. */
void mm_writer_close(struct mm_writer *w);

/* mm_writer_tensor: build and put a tensor record in one call; kind, name and
 * item (< 0: none) may be absent (NULL). */
MM_MUST_CHECK int mm_writer_tensor(struct mm_writer *w, const struct mm_tensor *t,
                                   const char *kind, const char *name, int64_t item,
                                   struct mm_err *e);

/* mm_stream_magic: do these first n bytes begin a stream?  (n >= 7) */
bool mm_stream_magic(const void *p, size_t n);

#endif
