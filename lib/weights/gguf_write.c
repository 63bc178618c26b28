/* gguf_write.c: header in memory, tensor data streamed. */
#include "weights/gguf_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/outfile.h"
#include "base/panel.h"
#include "base/size.h"
#include "weights/gguf.h"

enum { ALIGN = 32 }; /* without packed tensors */
#define MAX_DIMS 4

struct mm_ggufw {
    struct mm_buf kv, info; /* encoded */
    uint64_t nkv;
    size_t align;
    uint64_t *size; /* bytes of each tensor's data */
    size_t nt, size_cap;
    uint64_t offset;      /* of the next tensor in the data section */
    char **names;         /* keys and tensor names, to find doubles */
    size_t nnames, names_cap;
    bool nomem, odd;      /* odd: a declaration GGUF cannot hold */
    struct mm_outfile *f;
    size_t cur;           /* tensor being written */
    uint64_t done;        /* its bytes so far */
};

struct mm_ggufw *mm_ggufw_new(void)
{
    struct mm_ggufw *const w = calloc(1, sizeof *w);

    if (w)
        w->align = ALIGN;
    return w;
}

void mm_ggufw_free(struct mm_ggufw *w)
{
    if (!w)
        return;
    mm_outfile_abort(w->f);
    for (size_t i = 0; i < w->nnames; i++)
        free(w->names[i]);
    free(w->names);
    free(w->size);
    mm_buf_free(&w->kv);
    mm_buf_free(&w->info);
    free(w);
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

static void put_str(struct mm_buf *b, const char *s, size_t n)
{
    put64(b, n);
    mm_buf_add(b, s, n);
}

/* Remember a name, with a letter before it that keeps keys and tensors apart. */
static void note(struct mm_ggufw *w, char kind, const char *name)
{
    const size_t n = strlen(name);
    char *const copy = malloc(n + 2);

    if (!copy || !mm_grow(&w->names, &w->names_cap, w->nnames + 1, sizeof *w->names)) {
        free(copy);
        w->nomem = true;
        return;
    }
    copy[0] = kind;
    memcpy(copy + 1, name, n + 1);
    w->names[w->nnames++] = copy;
}

static void begin_kv(struct mm_ggufw *w, const char *key, enum mm_gguf_type type)
{
    note(w, 'k', key);
    put_str(&w->kv, key, strlen(key));
    put32(&w->kv, type);
    w->nkv++;
}

static void begin_array(struct mm_ggufw *w, const char *key, enum mm_gguf_type type, uint64_t n)
{
    begin_kv(w, key, MM_GGUF_ARRAY);
    put32(&w->kv, type);
    put64(&w->kv, n);
}

static uint32_t bits(float v)
{
    uint32_t u;

    memcpy(&u, &v, sizeof u);
    return u;
}

void mm_ggufw_u8(struct mm_ggufw *w, const char *key, uint8_t v)
{
    begin_kv(w, key, MM_GGUF_U8);
    mm_buf_add(&w->kv, &v, 1);
}

void mm_ggufw_u32(struct mm_ggufw *w, const char *key, uint32_t v)
{
    begin_kv(w, key, MM_GGUF_U32);
    put32(&w->kv, v);
}

void mm_ggufw_i32(struct mm_ggufw *w, const char *key, int32_t v)
{
    begin_kv(w, key, MM_GGUF_I32);
    put32(&w->kv, (uint32_t)v);
}

void mm_ggufw_u64(struct mm_ggufw *w, const char *key, uint64_t v)
{
    begin_kv(w, key, MM_GGUF_U64);
    put64(&w->kv, v);
}

void mm_ggufw_f32(struct mm_ggufw *w, const char *key, float v)
{
    begin_kv(w, key, MM_GGUF_F32);
    put32(&w->kv, bits(v));
}

void mm_ggufw_bool(struct mm_ggufw *w, const char *key, bool v)
{
    begin_kv(w, key, MM_GGUF_BOOL);
    mm_buf_char(&w->kv, v ? 1 : 0);
}

void mm_ggufw_str(struct mm_ggufw *w, const char *key, const char *s, size_t n)
{
    begin_kv(w, key, MM_GGUF_STRING);
    put_str(&w->kv, s, n);
}

void mm_ggufw_i32s(struct mm_ggufw *w, const char *key, const int32_t *v, size_t n)
{
    begin_array(w, key, MM_GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        put32(&w->kv, (uint32_t)v[i]);
}

void mm_ggufw_u32s(struct mm_ggufw *w, const char *key, const uint32_t *v, size_t n)
{
    begin_array(w, key, MM_GGUF_U32, n);
    for (size_t i = 0; i < n; i++)
        put32(&w->kv, v[i]);
}

void mm_ggufw_f32s(struct mm_ggufw *w, const char *key, const float *v, size_t n)
{
    begin_array(w, key, MM_GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        put32(&w->kv, bits(v[i]));
}

void mm_ggufw_u8s(struct mm_ggufw *w, const char *key, const unsigned char *v, size_t n)
{
    begin_array(w, key, MM_GGUF_U8, n);
    mm_buf_add(&w->kv, v, n);
}

void mm_ggufw_strs(struct mm_ggufw *w, const char *key, size_t n)
{
    begin_array(w, key, MM_GGUF_STRING, n);
}

void mm_ggufw_item(struct mm_ggufw *w, const char *s, size_t n)
{
    put_str(&w->kv, s, n);
}

void mm_ggufw_kv(struct mm_ggufw *w, const struct mm_gguf_kv *kv)
{
    if (kv->is_array)
        begin_array(w, kv->key, kv->type, kv->count);
    else
        begin_kv(w, kv->key, kv->type);
    mm_buf_add(&w->kv, kv->data, kv->bytes);
}

void mm_ggufw_panels(struct mm_ggufw *w)
{
    w->align = MM_PANEL_ALIGN;
    mm_ggufw_u32(w, "general.alignment", MM_PANEL_ALIGN);
    mm_ggufw_u32(w, MM_GGUF_PANEL_KEY, MM_PANEL_VERSION);
}

void mm_ggufw_tensor(struct mm_ggufw *w, const char *name, const struct mm_tensor *t)
{
    const int id = mm_gguf_dtype_id(t->dtype);
    const int ndim = t->ndim ? t->ndim : 1; /* a scalar has one axis of length 1 */

    note(w, 't', name);
    if (id < 0 || ndim > MAX_DIMS ||
        !mm_grow(&w->size, &w->size_cap, w->nt + 1, sizeof *w->size)) {
        w->odd = w->odd || id < 0 || ndim > MAX_DIMS;
        w->nomem = w->nomem || !w->odd;
        return;
    }
    put_str(&w->info, name, strlen(name));
    put32(&w->info, (uint32_t)ndim);
    for (int i = ndim - 1; i >= 0; i--)
        put64(&w->info, t->ndim ? (uint64_t)t->shape[i] : 1);
    put32(&w->info, (uint32_t)id);
    put64(&w->info, w->offset);
    w->size[w->nt] = mm_tensor_bytes(t);
    w->offset += (w->size[w->nt] + w->align - 1) / w->align * w->align;
    w->nt++;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check(const struct mm_ggufw *w, struct mm_err *e)
{
    if (w->nomem || w->kv.failed || w->info.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (w->odd)
        return mm_err_set(e, MM_EBUG, "a tensor that GGUF cannot hold");
    if (w->nnames)
        qsort(w->names, w->nnames, sizeof *w->names, by_string);
    for (size_t i = 1; i < w->nnames; i++)
        if (strcmp(w->names[i - 1], w->names[i]) == 0)
            return mm_err_set(e, MM_EBUG, "'%s' is declared twice", w->names[i] + 1);
    return 0;
}

static void put(struct mm_ggufw *w, const void *p, size_t n)
{
    mm_outfile_write(w->f, p, n); /* commit tells of a failure */
}

/* Zeros up to the next multiple of the alignment; n bytes came before. */
static void pad(struct mm_ggufw *w, uint64_t n)
{
    static const char zero[MM_PANEL_ALIGN];

    put(w, zero, (size_t)(n % w->align ? w->align - n % w->align : 0));
}

/* Tensors without a byte are complete before any data comes. */
static void skip_empty(struct mm_ggufw *w)
{
    while (w->cur < w->nt && w->size[w->cur] == w->done) {
        pad(w, w->done);
        w->cur++;
        w->done = 0;
    }
}

int mm_ggufw_begin(struct mm_ggufw *w, const char *path, struct mm_err *e)
{
    struct mm_buf head = { 0 };
    int rc = check(w, e);

    if (rc < 0 || (rc = mm_outfile_open(&w->f, path, e)) < 0)
        return rc;
    mm_buf_str(&head, "GGUF");
    put32(&head, 3);
    put64(&head, w->nt);
    put64(&head, w->nkv);
    if (head.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else {
        put(w, head.p, head.n);
        put(w, w->kv.p, w->kv.n);
        put(w, w->info.p, w->info.n);
        pad(w, head.n + w->kv.n + w->info.n);
        skip_empty(w);
    }
    mm_buf_free(&head);
    return rc;
}

int mm_ggufw_data(struct mm_ggufw *w, const void *p, size_t n, struct mm_err *e)
{
    if (n == 0)
        return 0;
    if (w->cur == w->nt || n > w->size[w->cur] - w->done)
        return mm_err_set(e, MM_EBUG, "tensor %zu: more data than was declared", w->cur);
    if (fwrite(p, 1, n, mm_outfile_fp(w->f)) != n)
        return mm_err_set(e, MM_EIO, "write:");
    w->done += n;
    skip_empty(w);
    return 0;
}

int mm_ggufw_commit(struct mm_ggufw *w, struct mm_err *e)
{
    struct mm_outfile *const f = w->f;

    if (w->cur != w->nt)
        return mm_err_set(e, MM_EBUG, "tensor %zu of %zu: %llu bytes missing", w->cur, w->nt,
                          (unsigned long long)(w->size[w->cur] - w->done));
    w->f = NULL;
    return mm_outfile_commit(f, e);
}
