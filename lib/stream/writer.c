/* writer.c: mmts 1, record by record, to a descriptor.
 *
 * The header is put together in a buffer with its padding; a small payload
 * joins it there, a large one is written from where it lies.
 */
#include "stream/stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/io.h"
#include "base/utf8.h"
#include "stream/format.h"

enum { SMALL = 1 << 16, CHUNK = 1 << 18, FLUSH = 1 << 20 };

struct mm_writer {
    int fd;
    int level;
    bool regular;         /* need not be flushed after each record */
    uint64_t records;
    struct mm_buf out;    /* not yet written */
    unsigned char *coded; /* compressed payload */
    size_t coded_cap;
};

int mm_writer_open(struct mm_writer **out, int fd, int compress, struct mm_err *e)
{
    struct mm_writer *w = calloc(1, sizeof(*w));
    struct stat st;

    if (w == NULL)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    w->fd = fd;
    w->level = compress;
    w->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    *out = w;
    return 0;
}

static int flush(struct mm_writer *w, struct mm_err *e)
{
    int rc;

    if (w->out.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    rc = w->out.n > 0 ? mm_io_write(w->fd, w->out.p, w->out.n, e) : 0;
    mm_buf_reset(&w->out);
    return rc;
}

void mm_writer_close(struct mm_writer *w)
{
    struct mm_err ignored = { 0 };

    if (w == NULL)
        return;
    if (flush(w, &ignored) < 0)
        mm_err_clear(&ignored); /* without an end the stream is a failure already */
    mm_buf_free(&w->out);
    free(w->coded);
    free(w);
}

static void pad(struct mm_buf *b, size_t written)
{
    static const char zero[MM_FORMAT_ALIGN];

    mm_buf_add(b, zero, -written % MM_FORMAT_ALIGN);
}

/* What keeps rec from being written.  NULL if nothing. */
static const char *check(const struct mm_rec *rec, const void *data, size_t size)
{
    const char *item = mm_rec_attr(rec, "item");
    uint64_t v;

    if (rec->type == MM_REC_END)
        return "an end record is written by mm_writer_end";
    if (item != NULL && !mm_format_number(item, strlen(item), &v))
        return "item is no number";
    if (rec->type == MM_REC_BYTES && mm_rec_attr(rec, "content-type") == NULL)
        return "bytes without content-type";
    if ((rec->type == MM_REC_TEXT || rec->type == MM_REC_JSON)
        && mm_utf8_valid(data, size) != size)
        return "text is not UTF-8";
    if (rec->type == MM_REC_TENSOR && rec->t.dtype >= MM_NSTREAM)
        return "a dtype the stream does not have";
    if (rec->nattr > MM_FORMAT_LINES - 6) /* the format's own keys need six */
        return "too many attributes";
    return NULL;
}

/* Compresses data[*size] if that makes it smaller; where the stored bytes are, NULL if
 * out of memory. */
static const void *encode(struct mm_writer *w, const void *data, size_t *size, bool *coded)
{
    uLongf n = compressBound((uLong)*size);

    *coded = false;
    if (w->level == 0 || *size == 0)
        return data;
    if (!mm_grow(&w->coded, &w->coded_cap, n, 1) ||
        compress2(w->coded, &n, data, (uLong)*size, w->level) != Z_OK)
        return NULL;
    if (n >= *size)
        return data;
    *size = n;
    *coded = true;
    return w->coded;
}

static void add_header(struct mm_buf *b, const struct mm_rec *rec, size_t size, size_t length,
                       bool coded)
{
    char shape[MM_MAX_DIMS * 21 + 3];

    mm_buf_printf(b, MM_FORMAT_MAGIC "%s\n", mm_rec_type_name(rec->type));
    if (rec->type == MM_REC_TENSOR)
        mm_buf_printf(b, "dtype: %s\nshape: %s\n", mm_dtype_name(rec->t.dtype),
                      mm_shape_str(shape, sizeof(shape), rec->t.shape, rec->t.ndim));
    if (coded)
        mm_buf_printf(b, "encoding: zlib\nsize: %zu\n", size);
    mm_buf_printf(b, "length: %zu\n", length);
    for (size_t i = 0; i < rec->nattr; i++) {
        mm_buf_printf(b, "%s: ", rec->attr[i].key);
        mm_format_escape(b, rec->attr[i].value);
        mm_buf_char(b, '\n');
    }
    mm_buf_char(b, '\n');
}

/* A large payload from where it lies, in pieces that the write finds in the cache
 * after the checksum. */
static int write_payload(struct mm_writer *w, const unsigned char *p, size_t n, uint32_t *crc,
                         struct mm_err *e)
{
    int rc = flush(w, e);

    while (n > 0 && rc == 0) {
        const size_t k = n < CHUNK ? n : CHUNK;

        *crc = mm_crc32(*crc, p, k);
        rc = mm_io_write(w->fd, p, k, e);
        p += k;
        n -= k;
    }
    return rc;
}

static int put_payload(struct mm_writer *w, const void *p, size_t n, struct mm_err *e)
{
    char trailer[MM_FORMAT_TRAILER + 1];
    uint32_t crc = 0;
    int rc = 0;

    if (n <= SMALL) {
        crc = mm_crc32(0, p, n);
        mm_buf_add(&w->out, p, n);
    } else {
        rc = write_payload(w, p, n, &crc, e);
    }
    mm_format_trailer(trailer, crc);
    mm_buf_add(&w->out, trailer, MM_FORMAT_TRAILER);
    pad(&w->out, n + MM_FORMAT_TRAILER);
    return rc;
}

int mm_writer_put(struct mm_writer *w, const struct mm_rec *rec, struct mm_err *e)
{
    const bool tensor = rec->type == MM_REC_TENSOR;
    const void *data = tensor ? rec->t.data : rec->data;
    const size_t size = tensor ? mm_tensor_bytes(&rec->t) : rec->size;
    const size_t start = w->out.n;
    size_t length = size;
    const char *wrong = check(rec, data, size);
    bool coded = false;
    int rc;

    if (wrong == NULL) {
        if (size > 0 && (data = encode(w, data, &length, &coded)) == NULL)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        add_header(&w->out, rec, size, length, coded);
        if (w->out.n - start > MM_FORMAT_HEADER)
            wrong = "attributes longer than 65536 bytes";
    }
    if (wrong != NULL) {
        w->out.n = start;
        return mm_err_set(e, MM_EDATA, "record cannot be written: %s", wrong);
    }
    pad(&w->out, w->out.n - start);
    rc = put_payload(w, data, length, e);
    if (rc < 0)
        return rc;
    w->records++;
    return w->regular && w->out.n < FLUSH && !w->out.failed ? 0 : flush(w, e);
}

int mm_writer_end(struct mm_writer *w, struct mm_err *e)
{
    const size_t start = w->out.n;

    mm_buf_printf(&w->out, MM_FORMAT_MAGIC "end\nrecords: %" PRIu64 "\n\n", w->records);
    pad(&w->out, w->out.n - start);
    w->records = 0;
    return flush(w, e);
}

int mm_writer_tensor(struct mm_writer *w, const struct mm_tensor *t, const char *kind,
                     const char *name, int64_t item, struct mm_err *e)
{
    struct mm_rec rec;
    int rc = 0;

    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = *t;
    rec.data = t->data;
    if (item >= 0)
        rc = mm_rec_setf(&rec, "item", "%" PRId64, item);
    if (rc == 0 && kind != NULL)
        rc = mm_rec_set(&rec, "kind", kind);
    if (rc == 0 && name != NULL)
        rc = mm_rec_set(&rec, "name", name);
    if (rc == 0)
        rc = mm_writer_put(w, &rec, e);
    else
        mm_err_set(e, rc, "out of memory");
    mm_rec_free(&rec);
    return rc;
}
