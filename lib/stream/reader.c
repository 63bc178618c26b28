/* reader.c: mmts 1, record by record, from a descriptor.
 *
 *   bytes -> buffer in -> header lines -> own fields and attributes
 *                     \-> payload (read straight into place, inflated if coded)
 *
 * Memory grows with the bytes that have arrived, never with a number that a
 * header states.
 */
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/io.h"
#include "base/size.h"
#include "base/utf8.h"
#include "stream/format.h"

enum { IN_SIZE = 1 << 17, FIRST = 1 << 20, CHUNK = 1 << 18, DEFAULT_MAX = 1 << 30 };

struct payload {
    void *block;
    unsigned char *p; /* in block, aligned to MM_FORMAT_ALIGN */
    size_t n, cap;    /* bytes at p: used, there */
};

struct mm_reader {
    int fd;
    char *what;
    size_t max;
    unsigned char *in;        /* IN_SIZE bytes, [pos, end) not yet taken */
    size_t pos, end;
    uint64_t taken;           /* bytes of the input before in[pos] */
    uint64_t start;           /* offset of the current record */
    uint64_t payload_at;
    uint64_t in_section;      /* records since the last end */
    bool ended;               /* the last record was an end */
    uint64_t sections;        /* that have ended */
    struct payload data;
    struct mm_arena *arena;
    struct mm_arena_mark mark;
};

/* The header keys that the format keeps for itself. */
struct own {
    bool has_dtype, has_shape, has_length, has_encoding, has_size, has_records;
    uint64_t length, size, records;
};

/* An error at the record, or (at the payload) where it says. */
static int bad(const struct mm_reader *r, struct mm_err *e, const char *reason)
{
    return mm_err_set(e, MM_EDATA, "%s: record at offset %llu: %s", r->what,
                      (unsigned long long)r->start, reason);
}

static int no_memory(const struct mm_reader *r, struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "%s: out of memory", r->what);
}

int mm_reader_open(struct mm_reader **out, int fd, const char *what, size_t max_record,
                   struct mm_err *e)
{
    struct mm_reader *r = calloc(1, sizeof(*r));

    if (r != NULL) {
        r->fd = fd;
        r->max = max_record != 0 ? max_record : DEFAULT_MAX;
        r->what = strdup(what);
        r->in = malloc(IN_SIZE);
        r->arena = mm_arena_new();
    }
    if (r == NULL || r->what == NULL || r->in == NULL || r->arena == NULL) {
        mm_reader_close(r);
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", what);
    }
    r->mark = mm_arena_mark(r->arena);
    *out = r;
    return 0;
}

void mm_reader_close(struct mm_reader *r)
{
    if (r == NULL)
        return;
    mm_arena_free(r->arena);
    free(r->data.block);
    free(r->what);
    free(r->in);
    free(r);
}

void mm_reader_prefix(struct mm_reader *r, const void *p, size_t n)
{
    memcpy(r->in, p, n);
    r->end = n;
}

uint64_t mm_reader_offset(const struct mm_reader *r)
{
    return r->taken;
}

uint64_t mm_reader_section(const struct mm_reader *r)
{
    return r->sections;
}

uint64_t mm_reader_payload(const struct mm_reader *r)
{
    return r->payload_at;
}

/* More bytes into in; what is not yet taken moves to the front.  1, 0 at end. */
static int fill(struct mm_reader *r, struct mm_err *e)
{
    ssize_t n;

    if (r->pos > 0) {
        memmove(r->in, r->in + r->pos, r->end - r->pos);
        r->end -= r->pos;
        r->pos = 0;
    }
    n = mm_io_read_some(r->fd, r->in + r->end, IN_SIZE - r->end, e);
    if (n < 0)
        return mm_err_prefix(e, "%s", r->what);
    r->end += (size_t)n;
    return n > 0;
}

static void take(struct mm_reader *r, size_t n)
{
    r->pos += n;
    r->taken += n;
}

/* Bytes of the header at in[pos], its empty line included; 0 if not all there. */
static size_t header_length(const struct mm_reader *r, size_t from)
{
    const unsigned char *h = r->in + r->pos;
    const size_t n = r->end - r->pos;

    for (size_t i = from; i + 1 < n; i++) {
        const unsigned char *nl = memchr(h + i, '\n', n - 1 - i);

        if (nl == NULL)
            return 0;
        i = (size_t)(nl - h);
        if (h[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static int end_of_input(const struct mm_reader *r, struct mm_err *e)
{
    if (r->end > r->pos)
        return bad(r, e, "truncated in its header");
    if (r->ended)
        return 0;
    return mm_err_set(e, MM_EDATA, "%s: truncated at offset %llu: no end record after %llu records",
                      r->what, (unsigned long long)r->taken, (unsigned long long)r->in_section);
}

static int check_magic(const struct mm_reader *r, struct mm_err *e)
{
    static const char magic[] = MM_FORMAT_MAGIC;
    const char *h = (const char *)r->in + r->pos;
    const size_t have = r->end - r->pos;
    const size_t n = have < sizeof(magic) - 1 ? have : sizeof(magic) - 1;

    if (memcmp(h, magic, n) == 0)
        return 0;
    if (have >= 6 && memcmp(h, "mmts ", 5) == 0)
        return bad(r, e, "a version of mmts other than 1");
    return bad(r, e, "does not begin with 'mmts 1'");
}

/* Reads until a whole header is at in[pos]; its length, 0 at the end of input. */
static int get_header(struct mm_reader *r, size_t *len, struct mm_err *e)
{
    size_t seen = 0;

    for (;;) {
        size_t have = r->end - r->pos;
        int rc = have > 0 ? check_magic(r, e) : 0;

        if (rc < 0)
            return rc;
        *len = header_length(r, seen);
        if (*len > MM_FORMAT_HEADER || (*len == 0 && have >= MM_FORMAT_HEADER))
            return bad(r, e, "header longer than 65536 bytes");
        if (*len > 0)
            return 1;
        seen = have > 1 ? have - 1 : 0;
        rc = fill(r, e);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return end_of_input(r, e);
        have = r->end - r->pos;
    }
}

static int parse_type(struct mm_rec *rec, const char *s, size_t n)
{
    for (int t = MM_REC_TENSOR; t <= MM_REC_END; t++) {
        const char *name = mm_rec_type_name((enum mm_rec_type)t);

        if (strlen(name) == n && memcmp(name, s, n) == 0) {
            rec->type = (enum mm_rec_type)t;
            return 0;
        }
    }
    return -1;
}

static const char *parse_shape(struct mm_tensor *t, const char *s, size_t n)
{
    size_t i = 1;

    t->ndim = 0;
    if (n < 2 || s[0] != '[' || s[n - 1] != ']')
        return "shape is not [N,N,...]";
    while (i < n - 1) {
        const char *comma = memchr(s + i, ',', n - 1 - i);
        const size_t len = comma != NULL ? (size_t)(comma - s) - i : n - 1 - i;
        uint64_t v;

        if (t->ndim == MM_MAX_DIMS)
            return "more than 8 dimensions";
        if (!mm_format_number(s + i, len, &v))
            return "shape is not [N,N,...]";
        t->shape[t->ndim++] = (int64_t)v;
        i += len + 1;
        if (comma != NULL && i == n - 1)
            return "shape is not [N,N,...]";
    }
    return NULL;
}

static bool once(bool *seen)
{
    const bool first = !*seen;

    *seen = true;
    return first;
}

/* One of the format's own keys.  NULL, or what is wrong. */
static const char *parse_own(struct own *o, struct mm_tensor *t, const char *key, const char *s,
                             size_t n)
{
    if (strcmp(key, "dtype") == 0) {
        t->dtype = mm_dtype_parse(s);
        if (t->dtype >= MM_NSTREAM || strcmp(mm_dtype_name(t->dtype), s) != 0)
            return "unknown dtype";
        return once(&o->has_dtype) ? NULL : "dtype twice";
    }
    if (strcmp(key, "shape") == 0)
        return once(&o->has_shape) ? parse_shape(t, s, n) : "shape twice";
    if (strcmp(key, "length") == 0) {
        if (!mm_format_number(s, n, &o->length))
            return "length is no number";
        return once(&o->has_length) ? NULL : "length twice";
    }
    if (strcmp(key, "encoding") == 0) {
        if (strcmp(s, "zlib") != 0)
            return "unknown encoding";
        return once(&o->has_encoding) ? NULL : "encoding twice";
    }
    if (strcmp(key, "size") == 0) {
        if (!mm_format_number(s, n, &o->size))
            return "size is no number";
        return once(&o->has_size) ? NULL : "size twice";
    }
    if (!mm_format_number(s, n, &o->records))
        return "records is no number";
    return once(&o->has_records) ? NULL : "records twice";
}

/* One line key ": " value, NUL-terminated in place.  NULL, or what is wrong. */
static const char *parse_line(struct mm_rec *rec, struct own *o, char *line, size_t n)
{
    char *colon = memchr(line, ':', n);
    char *value;
    size_t key_len, len;
    uint64_t item;

    if (colon == NULL || colon + 1 == line + n || colon[1] != ' ')
        return "header line is not 'key: value'";
    key_len = (size_t)(colon - line);
    if (!mm_format_key(line, key_len))
        return "key of other than a-z, 0-9 and '-', or too long";
    value = colon + 2;
    *colon = '\0';
    if (!mm_format_unescape(value, &len, value, n - key_len - 2))
        return "value with a control character, bad UTF-8 or an unknown escape";
    value[len] = '\0';
    if (mm_format_own(line))
        return parse_own(o, &rec->t, line, value, len);
    if (strcmp(line, "item") == 0 && !mm_format_number(value, len, &item))
        return "item is no number";
    for (size_t i = 0; i < rec->nattr; i++)
        if (strcmp(rec->attr[i].key, line) == 0)
            return "attribute twice";
    rec->attr[rec->nattr++] = (struct mm_attr){ line, value };
    return NULL;
}

/* The rules that tie the fields together.  NULL, or what is wrong. */
static const char *check_own(const struct mm_rec *rec, const struct own *o)
{
    const bool tensor = rec->type == MM_REC_TENSOR;

    if (rec->type == MM_REC_END) {
        if (!o->has_records)
            return "end without records";
        if (o->has_dtype || o->has_shape || o->has_length || o->has_encoding
            || o->has_size || rec->nattr > 0)
            return "end with other keys than records";
        return NULL;
    }
    if (o->has_records)
        return "records outside an end";
    if (!o->has_length)
        return "no length";
    if (tensor != o->has_dtype || tensor != o->has_shape)
        return tensor ? "tensor without dtype or shape" : "dtype or shape outside a tensor";
    if (o->has_encoding != o->has_size)
        return "encoding and size belong together";
    if (rec->type == MM_REC_BYTES && mm_rec_attr(rec, "content-type") == NULL)
        return "bytes without content-type";
    return NULL;
}

/* Do the sizes that are not 0, times the element, stay below 2^63? */
static bool shape_fits(const struct mm_tensor *t)
{
    size_t n = mm_dtype_block_bytes(t->dtype);

    for (int i = 0; i < t->ndim; i++)
        if (t->shape[i] > 0 && (!mm_size_mul(n, (size_t)t->shape[i], &n) || n > INT64_MAX))
            return false;
    return true;
}

static int check_sizes(const struct mm_reader *r, struct mm_rec *rec, struct own *o,
                       struct mm_err *e)
{
    if (!o->has_size)
        o->size = o->length;
    if (rec->type == MM_REC_TENSOR) {
        if (!shape_fits(&rec->t))
            return bad(r, e, "shape too large");
        if (mm_tensor_bytes(&rec->t) != o->size)
            return bad(r, e, "length or size is not that of dtype and shape");
    }
    if (o->length > r->max || o->size > r->max)
        return mm_err_set(e, MM_EDATA, "%s: record at offset %llu: payload of %llu bytes, "
                          "--max-record is %zu", r->what, (unsigned long long)r->start,
                          (unsigned long long)(o->size > o->length ? o->size : o->length), r->max);
    rec->size = (size_t)o->size;
    return 0;
}

/* Parses the header in[pos .. pos+len) and takes it. */
static int parse_header(struct mm_reader *r, struct mm_rec *rec, struct own *o, size_t len,
                        struct mm_err *e)
{
    const size_t magic = sizeof(MM_FORMAT_MAGIC) - 1;
    char *h = mm_arena_strdup(r->arena, (const char *)r->in + r->pos, len);
    const char *wrong = NULL;
    size_t lines = 0;
    char *p;

    if (h == NULL)
        return no_memory(r, e);
    p = memchr(h, '\n', len);
    if (parse_type(rec, h + magic, (size_t)(p - h) - magic) < 0)
        return bad(r, e, "unknown record type");
    for (const char *q = p + 1; q < h + len - 1; q++)
        lines += *q == '\n';
    if (lines > MM_FORMAT_LINES)
        return bad(r, e, "more than 1024 header lines");
    rec->attr = mm_arena_alloc(r->arena, lines * sizeof(*rec->attr));
    if (rec->attr == NULL)
        return no_memory(r, e);
    rec->cap = lines;
    for (p++; *p != '\n' && wrong == NULL;) {
        char *end = memchr(p, '\n', (size_t)(h + len - p));

        wrong = parse_line(rec, o, p, (size_t)(end - p));
        p = end + 1;
    }
    if (wrong == NULL)
        wrong = check_own(rec, o);
    if (wrong != NULL)
        return bad(r, e, wrong);
    take(r, len);
    return check_sizes(r, rec, o, e);
}

/* Makes n bytes of the input lie at in[pos]. */
static int need(struct mm_reader *r, size_t n, const char *truncated, struct mm_err *e)
{
    while (r->end - r->pos < n) {
        const int rc = fill(r, e);

        if (rc < 0)
            return rc;
        if (rc == 0)
            return bad(r, e, truncated);
    }
    return 0;
}

/* Takes the zero bytes up to the next multiple of 64 from the record's start. */
static int take_padding(struct mm_reader *r, struct mm_err *e)
{
    const size_t n = (size_t)(-(r->taken - r->start) % MM_FORMAT_ALIGN);
    const int rc = need(r, n, "truncated in its padding", e);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        if (r->in[r->pos + i] != 0)
            return bad(r, e, "padding is not zero");
    take(r, n);
    return 0;
}

/* Takes the line behind a payload, which states the checksum of its bytes. */
static int take_trailer(struct mm_reader *r, uint32_t crc, struct mm_err *e)
{
    char want[MM_FORMAT_TRAILER + 1];
    const int rc = need(r, MM_FORMAT_TRAILER, "truncated before its crc", e);

    if (rc < 0)
        return rc;
    mm_format_trailer(want, crc);
    if (memcmp(r->in + r->pos, want, 4) != 0 || r->in[r->pos + MM_FORMAT_TRAILER - 1] != '\n')
        return bad(r, e, "no crc line behind the payload");
    if (memcmp(r->in + r->pos, want, MM_FORMAT_TRAILER) != 0)
        return bad(r, e, "crc of the payload differs");
    take(r, MM_FORMAT_TRAILER);
    return take_padding(r, e);
}

/* Room for at least one byte more than n, at most for limit and the NUL.  realloc
 * moves pages, not bytes, when the block is large: what was read is not copied. */
static bool grow(struct payload *d, size_t limit)
{
    size_t cap = d->cap == 0 ? FIRST : d->cap * 2;
    const size_t old = d->cap == 0 ? 0 : (size_t)(d->p - (unsigned char *)d->block);
    size_t shift;
    void *block;

    if (cap > limit + 1)
        cap = limit + 1;
    if (cap > SIZE_MAX - MM_FORMAT_ALIGN)
        return false;
    block = realloc(d->block, cap + MM_FORMAT_ALIGN);
    if (block == NULL)
        return false;
    shift = -(uintptr_t)block % MM_FORMAT_ALIGN;
    if (shift != old && d->n > 0)
        memmove((unsigned char *)block + shift, (unsigned char *)block + old, d->n);
    d->block = block;
    d->p = (unsigned char *)block + shift;
    d->cap = cap;
    return true;
}

/* Up to n stored bytes into p from in, or straight from the descriptor when in is
 * empty and n is large, so many at a time that the checksum finds them in the
 * cache; their number, 0 at the end of input. */
static ssize_t get_some(struct mm_reader *r, unsigned char *p, size_t n, struct mm_err *e)
{
    ssize_t got;

    if (r->pos == r->end && n < IN_SIZE / 2) {
        const int rc = fill(r, e);

        if (rc <= 0)
            return rc;
    }
    if (r->pos < r->end) {
        if (n > r->end - r->pos)
            n = r->end - r->pos;
        memcpy(p, r->in + r->pos, n);
        take(r, n);
        return (ssize_t)n;
    }
    got = mm_io_read_some(r->fd, p, n < CHUNK ? n : CHUNK, e);
    if (got < 0)
        return mm_err_prefix(e, "%s", r->what);
    r->taken += (size_t)got;
    return got;
}

static int get_plain(struct mm_reader *r, const struct own *o, uint32_t *crc, struct mm_err *e)
{
    struct payload *d = &r->data;
    const size_t length = (size_t)o->length;

    d->n = 0;
    while (d->n < length || d->cap < length + 1) {
        ssize_t got;

        if (d->n + 1 >= d->cap && d->cap < length + 1 && !grow(d, length))
            return no_memory(r, e);
        if (d->n == length)
            break;
        got = d->cap - 1 - d->n < length - d->n ? (ssize_t)(d->cap - 1 - d->n)
                                                : (ssize_t)(length - d->n);
        got = get_some(r, d->p + d->n, (size_t)got, e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return bad(r, e, "truncated in its payload");
        *crc = mm_crc32(*crc, d->p + d->n, (size_t)got);
        d->n += (size_t)got;
    }
    return 0;
}

static const char too_large[] = "out of memory";

/* Inflates what z holds of the input into data, at most size bytes in all: what is
 * wrong, or NULL. */
static const char *inflate_some(struct payload *d, z_stream *z, size_t size, bool *done)
{
    do {
        unsigned char extra;
        size_t room;
        int rc;

        if (*done)
            return "bytes after the end of the compressed payload";
        if (d->n + 1 >= d->cap && d->cap < size + 1 && !grow(d, size))
            return too_large;
        room = d->cap - 1 - d->n < size - d->n ? d->cap - 1 - d->n : size - d->n;
        if (room > FIRST)
            room = FIRST;
        z->next_out = room > 0 ? d->p + d->n : &extra; /* full: only the trailer may follow */
        z->avail_out = room > 0 ? (uInt)room : 1;
        rc = inflate(z, Z_NO_FLUSH);
        if (room > 0)
            d->n += room - z->avail_out;
        else if (z->avail_out == 0)
            return "inflates to more than size";
        if (rc == Z_STREAM_END)
            *done = true;
        else if (rc == Z_BUF_ERROR && z->avail_in == 0)
            break;
        else if (rc != Z_OK)
            return rc == Z_MEM_ERROR ? too_large : "compressed payload is malformed";
    } while (z->avail_in > 0 || (z->avail_out == 0 && !*done));
    return NULL;
}

static int get_zlib(struct mm_reader *r, const struct own *o, uint32_t *crc, struct mm_err *e)
{
    unsigned char chunk[16384];
    const char *wrong = NULL;
    z_stream z = { 0 };
    uint64_t left = o->length;
    bool done = false;
    int rc = 0;

    r->data.n = 0;
    if (inflateInit(&z) != Z_OK)
        return no_memory(r, e);
    while (left > 0 && wrong == NULL) {
        const ssize_t got = get_some(r, chunk, left < sizeof(chunk) ? (size_t)left : sizeof(chunk),
                                     e);

        if (got <= 0) {
            rc = got < 0 ? (int)got : bad(r, e, "truncated in its payload");
            break;
        }
        *crc = mm_crc32(*crc, chunk, (size_t)got);
        left -= (uint64_t)got;
        z.next_in = chunk;
        z.avail_in = (uInt)got;
        wrong = inflate_some(&r->data, &z, (size_t)o->size, &done);
    }
    inflateEnd(&z);
    if (rc < 0)
        return rc;
    if (wrong == NULL && !done)
        wrong = "compressed payload ends early";
    if (wrong == NULL && r->data.n != o->size)
        wrong = "inflates to less than size";
    if (wrong == NULL && r->data.cap == 0 && !grow(&r->data, 0))
        wrong = too_large;
    if (wrong == too_large)
        return no_memory(r, e);
    return wrong == NULL ? 0 : bad(r, e, wrong);
}

static int check_payload(const struct mm_reader *r, const struct mm_rec *rec, struct mm_err *e)
{
    const unsigned char *p = rec->data;

    if (rec->type == MM_REC_TEXT || rec->type == MM_REC_JSON) {
        if (mm_utf8_valid(rec->data, rec->size) != rec->size)
            return bad(r, e, "payload is not UTF-8");
    } else if (rec->type == MM_REC_TENSOR && rec->t.dtype == MM_BOOL) {
        for (size_t i = 0; i < rec->size; i++)
            if (p[i] > 1)
                return bad(r, e, "bool other than 0 or 1");
    }
    return 0;
}

static int get_payload(struct mm_reader *r, struct mm_rec *rec, const struct own *o,
                       struct mm_err *e)
{
    int rc = take_padding(r, e);
    uint32_t crc = 0;

    if (rc < 0 || rec->type == MM_REC_END)
        return rc;
    r->payload_at = r->taken;
    rc = o->has_encoding ? get_zlib(r, o, &crc, e) : get_plain(r, o, &crc, e);
    if (rc == 0)
        rc = take_trailer(r, crc, e);
    if (rc < 0)
        return rc;
    r->data.p[rec->size] = '\0';
    rec->data = rec->t.data = r->data.p;
    return check_payload(r, rec, e);
}

int mm_reader_get(struct mm_reader *r, struct mm_rec *rec, struct mm_err *e)
{
    for (;;) {
        struct own o = { 0 };
        size_t len;
        int rc;

        mm_arena_release(r->arena, r->mark);
        mm_rec_init(rec, MM_REC_END);
        rec->arena = r->arena;
        r->start = r->taken;
        rc = get_header(r, &len, e);
        if (rc <= 0)
            return rc;
        rc = parse_header(r, rec, &o, len, e);
        if (rc == 0)
            rc = get_payload(r, rec, &o, e);
        if (rc < 0)
            return rc;
        r->ended = rec->type == MM_REC_END;
        if (!r->ended) {
            r->in_section++;
            return 1;
        }
        if (o.records != r->in_section)
            return mm_err_set(e, MM_EDATA, "%s: record at offset %llu: end counts %llu records, "
                              "there are %llu", r->what, (unsigned long long)r->start,
                              (unsigned long long)o.records, (unsigned long long)r->in_section);
        r->in_section = 0;
        r->sections++;
    }
}
