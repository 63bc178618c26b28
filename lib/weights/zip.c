/* zip.c: central directory, local headers, raw inflate by zlib. */
#include "weights/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/crc.h"
#include "base/io.h"

#define EOCD_BYTES 22
#define EOCD64_BYTES 56
#define LOCATOR_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define SATURATED 0xffffffffu
#define CRC_AT_OPEN 65536    /* larger members are not read just to be checked */
#define DEFLATE_RATIO 1032   /* no deflate stream expands more */

struct mm_zip {
    const unsigned char *data;
    size_t size;
    struct mm_zip_member *m;
    size_t n;
    const struct mm_zip_member **sorted; /* by name */
    struct mm_arena *text;
};

/* Where the central directory lies. */
struct directory {
    uint64_t entries, size, offset;
};

/* The end record: the last one whose comment reaches exactly to the end. */
static const unsigned char *find_eocd(const unsigned char *data, size_t size)
{
    if (size < EOCD_BYTES)
        return NULL;
    const size_t most = size - EOCD_BYTES < 65535 ? size - EOCD_BYTES : 65535;
    for (size_t comment = 0; comment <= most; comment++) {
        const unsigned char *const p = data + size - EOCD_BYTES - comment;
        if (memcmp(p, "PK\5\6", 4) == 0 && mm_get_u16(p + 20) == comment)
            return p;
    }
    return NULL;
}

static int find_directory(struct directory *d, const unsigned char *data, size_t size,
                          struct mm_err *e)
{
    const unsigned char *const end = find_eocd(data, size);

    if (!end)
        return mm_err_set(e, MM_EDATA, "no end record of a zip archive: truncated");
    size_t limit = (size_t)(end - data);
    *d = (struct directory){ .entries = mm_get_u16(end + 10), .size = mm_get_u32(end + 12),
                             .offset = mm_get_u32(end + 16) };
    if (limit >= LOCATOR_BYTES && memcmp(end - LOCATOR_BYTES, "PK\6\7", 4) == 0) {
        const uint64_t at = mm_get_u64(end - LOCATOR_BYTES + 8);
        limit -= LOCATOR_BYTES;
        if (limit < EOCD64_BYTES || at > limit - EOCD64_BYTES ||
            memcmp(data + at, "PK\6\6", 4) != 0)
            return mm_err_set(e, MM_EDATA, "offset %zu: zip64 end record is not at %llu", limit,
                              (unsigned long long)at);
        *d = (struct directory){ .entries = mm_get_u64(data + at + 32),
                                 .size = mm_get_u64(data + at + 40),
                                 .offset = mm_get_u64(data + at + 48) };
        limit = (size_t)at;
    }
    if (d->offset > limit || d->size > limit - d->offset)
        return mm_err_set(e, MM_EDATA, "zip directory [%llu, +%llu] is outside of the file",
                          (unsigned long long)d->offset, (unsigned long long)d->size);
    if (d->entries > d->size / CENTRAL_BYTES)
        return mm_err_set(e, MM_EDATA, "zip directory of %llu bytes cannot hold %llu members",
                          (unsigned long long)d->size, (unsigned long long)d->entries);
    return 0;
}

/* The 64-bit values of extra field 1, for those that are saturated: size,
 * stored size, header offset, in this order. */
static bool read_zip64(uint64_t *v[3], const unsigned char *x, size_t n)
{
    for (size_t at = 0; at + 4 <= n;) {
        const size_t len = mm_get_u16(x + at + 2);
        if (len > n - at - 4)
            return false;
        if (mm_get_u16(x + at) == 1) {
            size_t p = at + 4;
            for (int i = 0; i < 3; i++)
                if (*v[i] == SATURATED) {
                    if (p + 8 > at + 4 + len)
                        return false;
                    *v[i] = mm_get_u64(x + p);
                    p += 8;
                }
            return true;
        }
        at += 4 + len;
    }
    return true;
}

/* One central header at p, with left bytes to the end of the directory; sets
 * *used. */
static int read_central(struct mm_zip *z, struct mm_zip_member *m, const unsigned char *p,
                        size_t left, size_t *used, struct mm_err *e)
{
    if (left < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4) != 0)
        return mm_err_set(e, MM_EDATA, "offset %zu: no zip directory entry",
                          (size_t)(p - z->data));
    const size_t name = mm_get_u16(p + 28), extra = mm_get_u16(p + 30);
    const size_t comment = mm_get_u16(p + 32);
    if (name + extra + comment > left - CENTRAL_BYTES)
        return mm_err_set(e, MM_EDATA, "offset %zu: zip directory entry is cut",
                          (size_t)(p - z->data));

    uint64_t csize = mm_get_u32(p + 20), size = mm_get_u32(p + 24), at = mm_get_u32(p + 42);
    uint64_t *v[3] = { &size, &csize, &at };
    const char *const text = (const char *)p + CENTRAL_BYTES;
    if (!read_zip64(v, p + CENTRAL_BYTES + name, extra))
        return mm_err_set(e, MM_EDATA, "member '%.*s': bad zip64 field", (int)name, text);
    if (memchr(text, '\0', name))
        return mm_err_set(e, MM_EDATA, "offset %zu: NUL in a member's name",
                          (size_t)(p - z->data));
    if (at > z->size || csize > z->size - at || size > SIZE_MAX / 2)
        return mm_err_set(e, MM_EDATA, "member '%.*s' [%llu, +%llu] is outside of the file",
                          (int)name, text, (unsigned long long)at, (unsigned long long)csize);
    *m = (struct mm_zip_member){
        .name = mm_arena_strdup(z->text, text, name), .size = (size_t)size,
        .csize = (size_t)csize, .header = (size_t)at, .crc = mm_get_u32(p + 16),
        .method = mm_get_u16(p + 10), .encrypted = mm_get_u16(p + 8) & 1 };
    *used = CENTRAL_BYTES + name + extra + comment;
    return m->name ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct mm_zip_member *const *)a)->name,
                  (*(const struct mm_zip_member *const *)b)->name);
}

static int read_directory(struct mm_zip *z, const struct directory *d, struct mm_err *e)
{
    size_t at = (size_t)d->offset, used = 0;
    const size_t end = at + (size_t)d->size;

    z->m = calloc((size_t)d->entries + 1, sizeof *z->m);
    z->sorted = calloc((size_t)d->entries + 1, sizeof *z->sorted);
    if (!z->m || !z->sorted)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (; z->n < d->entries; z->n++, at += used) {
        const int rc = read_central(z, &z->m[z->n], z->data + at, end - at, &used, e);
        if (rc < 0)
            return rc;
        z->sorted[z->n] = &z->m[z->n];
    }
    qsort(z->sorted, z->n, sizeof *z->sorted, by_name);
    for (size_t i = 1; i < z->n; i++)
        if (strcmp(z->sorted[i - 1]->name, z->sorted[i]->name) == 0)
            return mm_err_set(e, MM_EDATA, "member '%.200s' appears twice", z->sorted[i]->name);
    return 0;
}

int mm_zip_open(struct mm_zip **zp, const unsigned char *data, size_t size, struct mm_err *e)
{
    struct directory d = { 0 };
    int rc = find_directory(&d, data, size, e);

    *zp = NULL;
    if (rc < 0)
        return rc;
    struct mm_zip *const z = calloc(1, sizeof *z);
    if (!z || !(z->text = mm_arena_new())) {
        free(z);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    z->data = data;
    z->size = size;
    if ((rc = read_directory(z, &d, e)) < 0)
        mm_zip_close(z);
    else
        *zp = z;
    return rc;
}

void mm_zip_close(struct mm_zip *z)
{
    if (!z)
        return;
    mm_arena_free(z->text);
    free(z->m);
    free(z->sorted);
    free(z);
}

size_t mm_zip_count(const struct mm_zip *z)
{
    return z->n;
}

const struct mm_zip_member *mm_zip_at(const struct mm_zip *z, size_t i)
{
    return &z->m[i];
}

const struct mm_zip_member *mm_zip_find(const struct mm_zip *z, const char *name)
{
    for (size_t lo = 0, hi = z->n; lo < hi;) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(name, z->sorted[mid]->name);
        if (c == 0)
            return z->sorted[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static int inflate_raw(unsigned char *out, size_t n, const unsigned char *in, size_t left,
                       struct mm_err *e)
{
    z_stream s = { 0 };
    size_t done = 0;
    int rc = inflateInit2(&s, -MAX_WBITS);

    if (rc != Z_OK)
        return mm_err_set(e, MM_ENOMEM, "zlib: %s", s.msg ? s.msg : "cannot start");
    while (rc == Z_OK) { /* zlib counts in 32 bits */
        const size_t room = n - done < (1u << 30) ? n - done : 1u << 30;
        const size_t give = left < (1u << 30) ? left : 1u << 30;
        s.next_out = out + done;
        s.avail_out = (uInt)room;
        s.next_in = (Bytef *)in;
        s.avail_in = (uInt)give;
        rc = inflate(&s, Z_NO_FLUSH);
        done += room - s.avail_out;
        in += give - s.avail_in;
        left -= give - s.avail_in;
    }
    inflateEnd(&s);
    if (rc != Z_STREAM_END || done != n)
        return mm_err_set(e, MM_EDATA, "deflated data does not give the %zu bytes promised", n);
    return 0;
}

/* Where the stored bytes of m begin, by its local header. */
static int locate(const unsigned char **p, const struct mm_zip *z, const struct mm_zip_member *m,
                  struct mm_err *e)
{
    const size_t left = z->size - m->header;
    const unsigned char *const h = z->data + m->header;

    if (left < LOCAL_BYTES || memcmp(h, "PK\3\4", 4) != 0)
        return mm_err_set(e, MM_EDATA, "offset %zu: no local header", m->header);
    const size_t skip = LOCAL_BYTES + (size_t)mm_get_u16(h + 26) + mm_get_u16(h + 28);
    if (skip > left || m->csize > left - skip)
        return mm_err_set(e, MM_EDATA, "offset %zu: %zu bytes are beyond the end", m->header,
                          m->csize);
    *p = h + skip;
    return 0;
}

static int read_member(const unsigned char **p, const struct mm_zip *z,
                       const struct mm_zip_member *m, struct mm_entries *en, struct mm_err *e)
{
    const unsigned char *raw = NULL;
    void *out;
    int rc = locate(&raw, z, m, e);

    if (rc < 0)
        return rc;
    if (m->encrypted)
        return mm_err_set(e, MM_EDATA, "is encrypted");
    if (m->method == 0) {
        if (m->size != m->csize)
            return mm_err_set(e, MM_EDATA, "stored, yet %zu and %zu bytes", m->size, m->csize);
        *p = raw;
        return 0;
    }
    if (m->method != 8)
        return mm_err_set(e, MM_EDATA, "compression method %u is not supported", m->method);
    if (m->size / DEFLATE_RATIO > m->csize)
        return mm_err_set(e, MM_EDATA, "%zu bytes cannot inflate to %zu", m->csize, m->size);
    if ((rc = mm_entries_alloc(&out, en, m->size, e)) < 0)
        return rc;
    *p = out;
    return inflate_raw(out, m->size, raw, m->csize, e);
}

int mm_zip_read(const unsigned char **p, const struct mm_zip *z, const struct mm_zip_member *m,
                struct mm_entries *en, struct mm_err *e)
{
    const int rc = read_member(p, z, m, en, e);

    if (rc < 0)
        return mm_err_prefix(e, "member '%.200s'", m->name);
    if (m->size <= CRC_AT_OPEN && mm_crc32(0, *p, m->size) != m->crc)
        mm_entries_warn(en, "member '%s': CRC differs, its bytes are taken as they are", m->name);
    return 0;
}
