/* write.c: safetensors, npy and npz.
 *
 * Formats: huggingface/safetensors README; numpy/lib/format.py version 1.0;
 * PKWARE APPNOTE 6.3 (stored members, zip64 where a number needs it).
 */
#include "weights/write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/io.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/size.h"
#include "base/utf8.h"
#include "weights/safetensors.h"

#define ALIGN 64
#define CHUNK 16384 /* elements widened at a time */
#define SATURATED 0xffffffffu

/* ---- bytes to a file, or to a checksum first ---- */

struct sink {
    struct mm_outfile *f; /* NULL: only count and sum */
    uint64_t n;
    uint32_t crc;
};

static void emit(struct sink *s, const void *p, size_t n)
{
    s->n += n;
    if (!s->f)
        s->crc = mm_crc32(s->crc, p, n);
    else
        mm_outfile_write(s->f, p, n); /* commit tells of a failure */
}

static bool is_widened(enum mm_dtype d)
{
    return d == MM_BF16 || d == MM_F8_E4M3 || d == MM_F8_E5M2;
}

/* The data of t, bf16 and f8 as f32. */
static void emit_widened(struct sink *s, const struct mm_tensor *t)
{
    const size_t count = mm_tensor_count(t), elem = mm_dtype_block_bytes(t->dtype);
    float out[CHUNK / 4];
    const size_t most = sizeof out / sizeof *out;

    if (!is_widened(t->dtype)) {
        emit(s, t->data, mm_tensor_bytes(t));
        return;
    }
    for (size_t i = 0; i < count; i += most) {
        const size_t n = count - i < most ? count - i : most;
        const struct mm_tensor part = { .dtype = t->dtype, .ndim = 1, .shape = { (int64_t)n },
                                        .data = (char *)t->data + i * elem };
        mm_tensor_to_f32(out, &part);
        emit(s, out, n * sizeof *out);
    }
}

static int finish(struct mm_outfile *f, const char *path, int rc, struct mm_err *e)
{
    if (rc < 0) {
        mm_outfile_abort(f);
        return mm_err_prefix(e, "%s", path);
    }
    return mm_outfile_commit(f, e);
}

/* ---- safetensors ---- */

/* The reference writer's order: wider and later types first. */
static const enum mm_dtype order[] = {
    MM_U64, MM_I64, MM_F64, MM_C64, MM_F32, MM_U32, MM_I32, MM_BF16, MM_F16, MM_U16, MM_I16,
    MM_F8_E4M3, MM_F8_E5M2, MM_I8, MM_U8, MM_BOOL,
};

static size_t rank(enum mm_dtype d)
{
    size_t i = 0;

    while (i < sizeof order / sizeof *order && order[i] != d)
        i++;
    return i;
}

static int by_rank(const void *pa, const void *pb)
{
    const struct mm_named *const a = *(const struct mm_named *const *)pa;
    const struct mm_named *const b = *(const struct mm_named *const *)pb;
    const size_t ra = rank(a->t.dtype), rb = rank(b->t.dtype);

    if (ra != rb)
        return ra < rb ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int by_name(const void *pa, const void *pb)
{
    return strcmp((*(const struct mm_named *const *)pa)->name,
                  (*(const struct mm_named *const *)pb)->name);
}

/* Pointers to v in sorted order; names are valid and appear once. */
static int sorted(const struct mm_named ***out, const struct mm_named *v, size_t n,
                  int (*compare)(const void *, const void *), struct mm_err *e)
{
    const struct mm_named **const s = calloc(n + 1, sizeof *s);

    *out = s;
    if (!s)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(v[i].name);
        if (mm_utf8_valid(v[i].name, len) != len)
            return mm_err_set(e, MM_EDATA, "tensor %zu: its name is no UTF-8", i);
        if (mm_dtype_quantised(v[i].t.dtype))
            return mm_err_set(e, MM_EDATA, "tensor '%.200s': %s cannot be stored in this format",
                              v[i].name, mm_dtype_name(v[i].t.dtype));
        s[i] = &v[i];
    }
    qsort(s, n, sizeof *s, by_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(s[i - 1]->name, s[i]->name) == 0)
            return mm_err_set(e, MM_EDATA, "tensor '%.200s' is given twice", s[i]->name);
    qsort(s, n, sizeof *s, compare);
    return 0;
}

static void add_item(struct mm_buf *b, const struct mm_named *x, size_t begin, size_t end)
{
    mm_buf_str(b, b->n > 1 ? "," : "");
    mm_json_quote(b, x->name, strlen(x->name));
    mm_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", mm_safetensors_dtype(x->t.dtype));
    for (int i = 0; i < x->t.ndim; i++)
        mm_buf_printf(b, "%s%lld", i ? "," : "", (long long)x->t.shape[i]);
    mm_buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

static int make_header(struct mm_buf *b, const struct mm_named *const *s, size_t n,
                       const json_t *meta, struct mm_err *e)
{
    size_t at = 0;

    mm_buf_str(b, "{");
    if (meta) {
        char *const text = json_dumps(meta, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        mm_buf_printf(b, "\"__metadata__\":%s", text);
        free(text);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t bytes = mm_tensor_bytes(&s[i]->t);
        if (strcmp(s[i]->name, "__metadata__") == 0)
            return mm_err_set(e, MM_EDATA, "a tensor cannot be called '__metadata__'");
        add_item(b, s[i], at, at + bytes);
        at += bytes;
    }
    mm_buf_str(b, "}");
    while ((b->n + 8) % ALIGN && !b->failed)
        mm_buf_char(b, ' ');
    return b->failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

int mm_write_safetensors(const char *path, const struct mm_named *v, size_t n, const json_t *meta,
                         struct mm_err *e)
{
    const struct mm_named **s = NULL;
    struct mm_outfile *f = NULL;
    struct mm_buf head = { 0 };
    unsigned char len[8];
    int rc;

    if ((rc = sorted(&s, v, n, by_rank, e)) < 0 || (rc = make_header(&head, s, n, meta, e)) < 0)
        mm_err_prefix(e, "%s", path);
    else if ((rc = mm_outfile_open(&f, path, e)) == 0) {
        struct sink out = { .f = f };
        mm_put_u64(len, head.n);
        emit(&out, len, sizeof len);
        emit(&out, head.p, head.n);
        for (size_t i = 0; i < n; i++)
            emit(&out, s[i]->t.data, mm_tensor_bytes(&s[i]->t));
        rc = finish(f, path, 0, e);
    }
    mm_buf_free(&head);
    free(s);
    return rc;
}

/* ---- npy ---- */

static const char *npy_descr(enum mm_dtype d)
{
    switch (d) {
    case MM_F64:  return "<f8";
    case MM_F16:  return "<f2";
    case MM_I64:  return "<i8";
    case MM_I32:  return "<i4";
    case MM_I16:  return "<i2";
    case MM_I8:   return "|i1";
    case MM_U64:  return "<u8";
    case MM_U32:  return "<u4";
    case MM_U16:  return "<u2";
    case MM_U8:   return "|u1";
    case MM_BOOL: return "|b1";
    case MM_C64:  return "<c8";
    default:      return "<f4"; /* f32 and what is widened to it */
    }
}

/* Magic, version 1.0 and header of an array. */
static int npy_header(struct mm_buf *b, const struct mm_tensor *t, struct mm_err *e)
{
    mm_buf_reset(b);
    mm_buf_add(b, "\x93NUMPY\1\0\0\0", 10);
    mm_buf_printf(b, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_descr(t->dtype));
    for (int i = 0; i < t->ndim; i++)
        mm_buf_printf(b, "%s%lld%s", i ? " " : "", (long long)t->shape[i],
                      i + 1 < t->ndim || t->ndim == 1 ? "," : "");
    mm_buf_str(b, "), }");
    while ((b->n + 1) % ALIGN && !b->failed)
        mm_buf_char(b, ' ');
    mm_buf_char(b, '\n');
    if (b->failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_put_u16((unsigned char *)b->p + 8, (uint16_t)(b->n - 10)); /* 8 dimensions: < 300 */
    return 0;
}

int mm_write_npy(const char *path, const struct mm_tensor *t, struct mm_err *e)
{
    struct mm_outfile *f = NULL;
    struct mm_buf head = { 0 };
    int rc;

    if (mm_dtype_quantised(t->dtype))
        return mm_err_set(e, MM_EDATA, "%s: %s cannot be stored in .npy", path,
                          mm_dtype_name(t->dtype));
    if ((rc = npy_header(&head, t, e)) == 0 && (rc = mm_outfile_open(&f, path, e)) == 0) {
        struct sink out = { .f = f };
        emit(&out, head.p, head.n);
        emit_widened(&out, t);
        rc = finish(f, path, 0, e);
    }
    mm_buf_free(&head);
    return rc;
}

/* ---- npz ---- */

struct member {
    uint64_t size, offset;
    uint32_t crc;
};

static void put16(struct mm_buf *b, unsigned v)
{
    unsigned char p[2];

    mm_put_u16(p, (uint16_t)v);
    mm_buf_add(b, p, sizeof p);
}

static void put32(struct mm_buf *b, uint32_t v)
{
    unsigned char p[4];

    mm_put_u32(p, v);
    mm_buf_add(b, p, sizeof p);
}

static void put64(struct mm_buf *b, uint64_t v)
{
    unsigned char p[8];

    mm_put_u64(p, v);
    mm_buf_add(b, p, sizeof p);
}

static uint32_t saturate(uint64_t v)
{
    return v >= SATURATED ? SATURATED : (uint32_t)v;
}

/* The fields that local and central header share, from "version needed" on:
 * UTF-8 names, stored, 1980-01-01. */
static void put_common(struct mm_buf *b, const struct member *m, size_t name, unsigned extra)
{
    put16(b, extra ? 45 : 20);
    put16(b, 0x0800);
    put16(b, 0);
    put16(b, 0);
    put16(b, 0x0021);
    put32(b, m->crc);
    put32(b, saturate(m->size));
    put32(b, saturate(m->size));
    put16(b, (unsigned)name);
    put16(b, extra);
}

static void put_local(struct mm_buf *b, const struct member *m, const char *name)
{
    const bool big = m->size >= SATURATED;

    mm_buf_str(b, "PK\3\4");
    put_common(b, m, strlen(name) + 4, big ? 20 : 0);
    mm_buf_printf(b, "%s.npy", name);
    if (big) {
        put16(b, 1);
        put16(b, 16);
        put64(b, m->size);
        put64(b, m->size);
    }
}

static void put_central(struct mm_buf *b, const struct member *m, const char *name)
{
    const bool big = m->size >= SATURATED, far = m->offset >= SATURATED;
    const unsigned extra = (big ? 16u : 0) + (far ? 8u : 0);

    mm_buf_str(b, "PK\1\2");
    put16(b, 0x0300 | 45);
    put_common(b, m, strlen(name) + 4, extra ? extra + 4 : 0);
    put16(b, 0);
    put16(b, 0);
    put16(b, 0);
    put32(b, 0x81a40000u); /* -rw-r--r-- */
    put32(b, saturate(m->offset));
    mm_buf_printf(b, "%s.npy", name);
    if (extra) {
        put16(b, 1);
        put16(b, extra);
        if (big) {
            put64(b, m->size);
            put64(b, m->size);
        }
        if (far)
            put64(b, m->offset);
    }
}

static void put_end(struct mm_buf *b, uint64_t n, uint64_t size, uint64_t offset)
{
    if (n >= 0xffff || size >= SATURATED || offset >= SATURATED) {
        mm_buf_add(b, "PK\6\6", 4);
        put64(b, 44);
        put16(b, 45);
        put16(b, 45);
        put32(b, 0);
        put32(b, 0);
        put64(b, n);
        put64(b, n);
        put64(b, size);
        put64(b, offset);
        mm_buf_add(b, "PK\6\7", 4);
        put32(b, 0);
        put64(b, offset + size);
        put32(b, 1);
    }
    mm_buf_add(b, "PK\5\6\0\0\0\0", 8);
    put16(b, n >= 0xffff ? 0xffff : (unsigned)n);
    put16(b, n >= 0xffff ? 0xffff : (unsigned)n);
    put32(b, saturate(size));
    put32(b, saturate(offset));
    put16(b, 0);
}

static int write_members(struct sink *out, struct member *m, const struct mm_named *v, size_t n,
                         struct mm_err *e)
{
    struct mm_buf head = { 0 }, npy = { 0 };
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++) {
        struct sink sum = { 0 };
        if ((rc = npy_header(&npy, &v[i].t, e)) < 0)
            break;
        emit(&sum, npy.p, npy.n);
        emit_widened(&sum, &v[i].t);
        m[i] = (struct member){ .size = sum.n, .crc = sum.crc, .offset = out->n };
        mm_buf_reset(&head);
        put_local(&head, &m[i], v[i].name);
        emit(out, head.p, head.n);
        emit(out, npy.p, npy.n);
        emit_widened(out, &v[i].t);
    }
    mm_buf_reset(&head);
    const uint64_t offset = out->n;
    for (size_t i = 0; i < n; i++)
        put_central(&head, &m[i], v[i].name);
    put_end(&head, n, head.n, offset);
    emit(out, head.p, head.n);
    if (rc == 0 && (head.failed || npy.failed))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&head);
    mm_buf_free(&npy);
    return rc;
}

int mm_write_npz(const char *path, const struct mm_named *v, size_t n, struct mm_err *e)
{
    const struct mm_named **s = NULL;
    struct member *const m = calloc(n + 1, sizeof *m);
    struct mm_outfile *f = NULL;
    int rc = m ? sorted(&s, v, n, by_name, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    for (size_t i = 0; i < n && rc == 0; i++)
        if (strlen(v[i].name) > 60000)
            rc = mm_err_set(e, MM_EDATA, "tensor %zu: its name is too long", i);
    if (rc < 0)
        mm_err_prefix(e, "%s", path);
    else if ((rc = mm_outfile_open(&f, path, e)) == 0) {
        struct sink out = { .f = f };
        rc = write_members(&out, m, v, n, e);
        rc = finish(f, path, rc, e);
    }
    free(m);
    free(s);
    return rc;
}
