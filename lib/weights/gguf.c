/* gguf.c: GGUF header to key-values and tensors that point into the file.
 *
 * Specification: ggml-org/ggml docs/gguf.md; limits as src/gguf.cpp has them.
 * Order in the file: magic, version, counts, key-values, tensor infos,
 * padding, data.
 */
#include "weights/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/panel.h"
#include "base/size.h"
#include "base/utf8.h"

#define MAX_DIMS 4
#define MAX_KEY 65535u
#define MAX_COUNT ((uint64_t)1 << 30) /* strings and arrays, as the reference has it */
#define MIN_KV (8 + 1 + 4 + 1)        /* bytes of the smallest key-value */
#define MIN_INFO (8 + 4 + 8 + 4 + 8)  /* and of the smallest tensor info */

struct mm_gguf {
    struct mm_gguf_kv *kv; /* file order */
    size_t n;
    const struct mm_gguf_kv **sorted; /* by key */
    struct mm_arena *text;            /* keys */
    uint32_t version;
    size_t alignment;
};

struct cursor {
    const unsigned char *data;
    size_t size, at;
};

struct info {
    size_t begin, end; /* relative to the data section */
    const char *name;
};

static const struct { int id; enum mm_dtype d; } dtypes[] = {
    { 0, MM_F32 }, { 1, MM_F16 }, { 30, MM_BF16 }, { 28, MM_F64 },
    { 24, MM_I8 }, { 25, MM_I16 }, { 26, MM_I32 }, { 27, MM_I64 },
    { 2, MM_Q4_0 }, { 3, MM_Q4_1 }, { 6, MM_Q5_0 }, { 7, MM_Q5_1 }, { 8, MM_Q8_0 },
    { 10, MM_Q2_K }, { 11, MM_Q3_K }, { 12, MM_Q4_K }, { 13, MM_Q5_K }, { 14, MM_Q6_K },
};

/* Block types that exist but that no kernel here reads. */
static const struct { int id; const char *name; } unread[] = {
    { 9, "Q8_1" }, { 15, "Q8_K" }, { 16, "IQ2_XXS" }, { 17, "IQ2_XS" }, { 18, "IQ3_XXS" },
    { 19, "IQ1_S" }, { 20, "IQ4_NL" }, { 21, "IQ3_S" }, { 22, "IQ2_S" }, { 23, "IQ4_XS" },
    { 29, "IQ1_M" }, { 34, "TQ1_0" }, { 35, "TQ2_0" }, { 39, "MXFP4" }, { 40, "NVFP4" },
    { 41, "Q1_0" }, { 42, "Q2_0" },
};

static const unsigned char elem_size[MM_GGUF_NTYPE] = {
    [MM_GGUF_U8] = 1, [MM_GGUF_I8] = 1, [MM_GGUF_U16] = 2, [MM_GGUF_I16] = 2,
    [MM_GGUF_U32] = 4, [MM_GGUF_I32] = 4, [MM_GGUF_F32] = 4, [MM_GGUF_BOOL] = 1,
    [MM_GGUF_U64] = 8, [MM_GGUF_I64] = 8, [MM_GGUF_F64] = 8,
};

int mm_gguf_dtype_id(enum mm_dtype d)
{
    const int packed = mm_dtype_packed(d) ? MM_GGUF_PANEL_ID : 0;

    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].d == mm_dtype_rows(d))
            return packed + dtypes[i].id;
    return -1;
}

/* The next n bytes, or NULL at the end of the file. */
static const unsigned char *take(struct cursor *c, size_t n)
{
    if (n > c->size - c->at)
        return NULL;
    c->at += n;
    return c->data + c->at - n;
}

static int truncated(const struct cursor *c, const char *what, struct mm_err *e)
{
    return mm_err_set(e, MM_EDATA, "offset %zu: truncated in %s", c->at, what);
}

static int get_u32(struct cursor *c, uint32_t *v, const char *what, struct mm_err *e)
{
    const unsigned char *const p = take(c, 4);

    if (!p)
        return truncated(c, what, e);
    *v = mm_get_u32(p);
    return 0;
}

static int get_u64(struct cursor *c, uint64_t *v, const char *what, struct mm_err *e)
{
    const unsigned char *const p = take(c, 8);

    if (!p)
        return truncated(c, what, e);
    *v = mm_get_u64(p);
    return 0;
}

/* A key or tensor name: non-empty UTF-8 without NUL, copied to the arena. */
static int get_name(struct cursor *c, struct mm_arena *text, const char **s, const char *what,
                    struct mm_err *e)
{
    uint64_t n;
    const unsigned char *p;
    const int rc = get_u64(c, &n, what, e);

    if (rc < 0)
        return rc;
    if (n == 0 || n > MAX_KEY)
        return mm_err_set(e, MM_EDATA, "offset %zu: %s of %llu bytes", c->at - 8, what,
                          (unsigned long long)n);
    if (!(p = take(c, (size_t)n)))
        return truncated(c, what, e);
    if (memchr(p, '\0', (size_t)n) || mm_utf8_valid((const char *)p, (size_t)n) != n)
        return mm_err_set(e, MM_EDATA, "offset %zu: %s is no UTF-8 text", c->at - (size_t)n, what);
    *s = mm_arena_strdup(text, (const char *)p, (size_t)n);
    return *s ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* Walk kv->count strings to find where they end. */
static int skip_strings(struct cursor *c, struct mm_gguf_kv *kv, struct mm_err *e)
{
    const size_t begin = c->at;

    for (size_t i = 0; i < kv->count; i++) {
        uint64_t n;
        const int rc = get_u64(c, &n, kv->key, e);
        if (rc < 0)
            return rc;
        if (n > MAX_COUNT || !take(c, (size_t)n))
            return mm_err_set(e, MM_EDATA, "offset %zu: string of %llu bytes in '%s'", c->at - 8,
                              (unsigned long long)n, kv->key);
    }
    kv->bytes = c->at - begin;
    return 0;
}

static int read_kv(struct cursor *c, struct mm_gguf *g, struct mm_gguf_kv *kv, struct mm_err *e)
{
    uint32_t type;
    uint64_t count = 1;
    int rc;

    if ((rc = get_name(c, g->text, &kv->key, "key", e)) < 0 ||
        (rc = get_u32(c, &type, kv->key, e)) < 0)
        return rc;
    kv->is_array = type == MM_GGUF_ARRAY;
    if (kv->is_array && ((rc = get_u32(c, &type, kv->key, e)) < 0 ||
                         (rc = get_u64(c, &count, kv->key, e)) < 0))
        return rc;
    if (type == MM_GGUF_ARRAY)
        return mm_err_set(e, MM_EDATA, "offset %zu: '%s' is an array of arrays", c->at, kv->key);
    if (type >= MM_GGUF_NTYPE)
        return mm_err_set(e, MM_EDATA, "offset %zu: '%s' has unknown type %u", c->at, kv->key,
                          type);

    const size_t size = elem_size[type], least = size ? size : 8;
    if (count > MAX_COUNT || count > (c->size - c->at) / least)
        return mm_err_set(e, MM_EDATA, "offset %zu: '%s': %llu elements, %zu bytes left", c->at,
                          kv->key, (unsigned long long)count, c->size - c->at);
    kv->type = (enum mm_gguf_type)type;
    kv->count = (size_t)count;
    kv->data = c->data + c->at;
    if (kv->type == MM_GGUF_STRING)
        return skip_strings(c, kv, e);
    kv->bytes = kv->count * size;
    c->at += kv->bytes;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct mm_gguf_kv *const *)a)->key,
                  (*(const struct mm_gguf_kv *const *)b)->key);
}

static int read_kvs(struct cursor *c, struct mm_gguf *g, uint64_t n, struct mm_err *e)
{
    if (n > (c->size - c->at) / MIN_KV)
        return mm_err_set(e, MM_EDATA, "%llu key-values in a file of %zu bytes",
                          (unsigned long long)n, c->size);
    g->kv = calloc((size_t)n + 1, sizeof *g->kv);
    g->sorted = calloc((size_t)n + 1, sizeof *g->sorted);
    if (!g->kv || !g->sorted)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (; g->n < n; g->n++) {
        const int rc = read_kv(c, g, &g->kv[g->n], e);
        if (rc < 0)
            return rc;
        g->sorted[g->n] = &g->kv[g->n];
    }
    qsort(g->sorted, g->n, sizeof *g->sorted, by_key);
    for (size_t i = 1; i < g->n; i++)
        if (strcmp(g->sorted[i - 1]->key, g->sorted[i]->key) == 0)
            return mm_err_set(e, MM_EDATA, "key '%.200s' appears twice", g->sorted[i]->key);
    return 0;
}

static int read_alignment(struct mm_gguf *g, struct mm_err *e)
{
    const int64_t a = mm_gguf_get_int(g, "general.alignment", 32);

    if (a <= 0 || a > (1 << 30) || (a & (a - 1)) != 0)
        return mm_err_set(e, MM_EDATA, "general.alignment is %lld, want a power of two",
                          (long long)a);
    g->alignment = (size_t)a;
    return 0;
}

/* Packed matrices have numbers of our own, far above ggml's: who does not know
 * them refuses the file.  The layout's version must be one that has this type as we know it. */
static int find_packed(enum mm_dtype *d, uint32_t id, const struct mm_gguf *g, struct mm_err *e)
{
    const int64_t version = mm_gguf_get_int(g, MM_GGUF_PANEL_KEY, 0);

    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if ((uint32_t)dtypes[i].id == id - MM_GGUF_PANEL_ID)
            *d = mm_dtype_panels(dtypes[i].d);
    if (*d == MM_NDTYPE)
        return mm_err_set(e, MM_EDATA, "unknown packed type %u", id - MM_GGUF_PANEL_ID);
    if (version > MM_PANEL_VERSION || version < mm_panel_since(mm_dtype_rows(*d)))
        return mm_err_set(e, MM_EDATA, "packed, and " MM_GGUF_PANEL_KEY " is %lld, want %d: "
                          "pack the model again", (long long)version, MM_PANEL_VERSION);
    if (g->alignment % MM_PANEL_ALIGN != 0)
        return mm_err_set(e, MM_EDATA, "packed, and general.alignment is %zu, want a multiple "
                          "of %d", g->alignment, MM_PANEL_ALIGN);
    return 0;
}

static int find_dtype(enum mm_dtype *d, uint32_t id, const struct mm_gguf *g, struct mm_err *e)
{
    *d = MM_NDTYPE;
    if (id >= MM_GGUF_PANEL_ID && id - MM_GGUF_PANEL_ID < MM_GGUF_PANEL_IDS)
        return find_packed(d, id, g, e);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if ((uint32_t)dtypes[i].id == id) {
            *d = dtypes[i].d;
            return 0;
        }
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if ((uint32_t)unread[i].id == id)
            return mm_err_set(e, MM_EMISSING, "type %s is not supported", unread[i].name);
    return mm_err_set(e, MM_EDATA, "unknown type %u", id);
}

static int read_shape(struct cursor *c, struct mm_tensor *t, const char *name, struct mm_err *e)
{
    uint32_t ndim;
    uint64_t ne = 0;
    int rc = get_u32(c, &ndim, name, e);

    if (rc < 0)
        return rc;
    if (ndim < 1 || ndim > MAX_DIMS)
        return mm_err_set(e, MM_EDATA, "offset %zu: %u dimensions, want 1 to %d", c->at - 4, ndim,
                          MAX_DIMS);
    t->ndim = (int)ndim;
    for (int i = t->ndim - 1; i >= 0; i--) { /* ne[0] is the fastest: the last of the shape */
        if ((rc = get_u64(c, &ne, name, e)) < 0)
            return rc;
        if (ne > INT64_MAX)
            return mm_err_set(e, MM_EDATA, "offset %zu: negative dimension", c->at - 8);
        t->shape[i] = (int64_t)ne;
    }
    return 0;
}

/* Dtype, offset and their agreement with the shape. */
static int read_place(struct cursor *c, struct mm_tensor *t, struct info *x,
                      const struct mm_gguf *g, struct mm_err *e)
{
    uint32_t id;
    uint64_t offset;
    size_t bytes;
    char shape[200];
    int rc;

    if ((rc = get_u32(c, &id, "type", e)) < 0 || (rc = get_u64(c, &offset, "offset", e)) < 0 ||
        (rc = find_dtype(&t->dtype, id, g, e)) < 0)
        return rc;
    mm_shape_str(shape, sizeof shape, t->shape, t->ndim);
    if (t->shape[t->ndim - 1] % (int64_t)mm_dtype_block(t->dtype) != 0)
        return mm_err_set(e, MM_EDATA, "shape %s: rows are no multiple of the %zu elements of a "
                          "%s block", shape, mm_dtype_block(t->dtype), mm_dtype_name(t->dtype));
    if (mm_dtype_packed(t->dtype) && t->ndim != 2)
        return mm_err_set(e, MM_EDATA, "shape %s: only matrices are packed", shape);
    if (!mm_shape_bytes(t->dtype, t->shape, t->ndim, &bytes))
        return mm_err_set(e, MM_EDATA, "shape %s overflows", shape);
    if (offset % g->alignment != 0)
        return mm_err_set(e, MM_EDATA, "data offset %llu is no multiple of %zu",
                          (unsigned long long)offset, g->alignment);
    if (offset > SIZE_MAX - bytes)
        return mm_err_set(e, MM_EDATA, "data offset %llu overflows", (unsigned long long)offset);
    x->begin = (size_t)offset;
    x->end = (size_t)offset + bytes;
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct info *const x = a, *const y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int check_overlap(struct info *x, size_t n, struct mm_err *e)
{
    qsort(x, n, sizeof *x, by_begin);
    for (size_t i = 1; i < n; i++)
        if (x[i].begin < x[i - 1].end)
            return mm_err_set(e, MM_EDATA, "tensors '%.100s' and '%.100s' overlap", x[i - 1].name,
                              x[i].name);
    return 0;
}

/* Place the tensors of en from entry first on in the data section at offset d. */
static int place_tensors(struct mm_entries *en, size_t first, struct info *x, size_t n,
                         const struct cursor *c, size_t d, size_t alignment, struct mm_err *e)
{
    size_t at = 0;
    bool packed = true;

    for (size_t i = 0; i < n; i++) {
        struct mm_ckpt_entry *const t = &en->v[first + i];
        x[i].name = t->name;
        packed = packed && x[i].begin == at;
        if (d > c->size || x[i].end > c->size - d)
            return mm_err_set(e, MM_EDATA, "tensor '%s': ends at %zu of the data, the file holds "
                              "%zu: truncated", t->name, x[i].end, d > c->size ? 0 : c->size - d);
        t->t.data = (void *)(c->data + d + x[i].begin);
        if (!mm_size_align(x[i].end, alignment, &at))
            at = SIZE_MAX;
    }
    if (!packed)
        mm_entries_warn(en, "%s: tensors do not follow each other", en->v[first].file);
    return check_overlap(x, n, e);
}

static int read_infos(struct cursor *c, struct mm_gguf *g, struct mm_entries *en, uint64_t n,
                      const char *file, struct mm_err *e)
{
    const size_t first = en->n;
    size_t d;
    int rc = 0;

    if (n > (c->size - c->at) / MIN_INFO)
        return mm_err_set(e, MM_EDATA, "%llu tensors in a file of %zu bytes",
                          (unsigned long long)n, c->size);
    struct info *const x = calloc((size_t)n + 1, sizeof *x);
    if (!x)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct mm_tensor t = { 0 };
        const char *name;
        if ((rc = get_name(c, g->text, &name, "tensor name", e)) < 0)
            break;
        if ((rc = read_shape(c, &t, name, e)) < 0 ||
            (rc = read_place(c, &t, &x[i], g, e)) < 0) {
            mm_err_prefix(e, "tensor '%.200s'", name);
            break;
        }
        rc = mm_entries_add(en, name, strlen(name), &t, file, e);
    }
    if (rc == 0 && en->n - first == n) {
        if (!mm_size_align(c->at, g->alignment, &d))
            d = SIZE_MAX;
        rc = place_tensors(en, first, x, (size_t)n, c, d, g->alignment, e);
    } else if (rc == 0) { /* a list that skips names it has cannot be placed */
        rc = mm_err_set(e, MM_EDATA, "a tensor of this file is in another one too");
    }
    free(x);
    return rc;
}

static int read_head(struct cursor *c, struct mm_gguf *g, uint64_t *ntensors, uint64_t *nkv,
                     struct mm_err *e)
{
    int rc;

    if (c->size < 4 || memcmp(c->data, "GGUF", 4) != 0)
        return mm_err_set(e, MM_EDATA, "no GGUF magic");
    c->at = 4;
    if ((rc = get_u32(c, &g->version, "version", e)) < 0)
        return rc;
    if ((g->version & 0xffff) == 0)
        return mm_err_set(e, MM_EDATA, "a big-endian GGUF, which is not supported");
    if (g->version != 2 && g->version != 3)
        return mm_err_set(e, MM_EDATA, "GGUF version %u, want 2 or 3", g->version);
    if ((rc = get_u64(c, ntensors, "tensor count", e)) < 0)
        return rc;
    return get_u64(c, nkv, "key-value count", e);
}

int mm_gguf_open(struct mm_gguf **gp, struct mm_entries *en, const unsigned char *data,
                 size_t size, const char *file, struct mm_err *e)
{
    struct cursor c = { .data = data, .size = size };
    struct mm_gguf *const g = calloc(1, sizeof *g);
    uint64_t ntensors, nkv;
    int rc;

    *gp = NULL;
    if (!g || !(g->text = mm_arena_new()))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if ((rc = read_head(&c, g, &ntensors, &nkv, e)) == 0 &&
             (rc = read_kvs(&c, g, nkv, e)) == 0 && (rc = read_alignment(g, e)) == 0)
        rc = read_infos(&c, g, en, ntensors, file, e);
    if (rc < 0)
        mm_gguf_close(g);
    else
        *gp = g;
    return rc;
}

void mm_gguf_close(struct mm_gguf *g)
{
    if (!g)
        return;
    if (g->text)
        mm_arena_free(g->text);
    free(g->kv);
    free(g->sorted);
    free(g);
}

size_t mm_gguf_count(const struct mm_gguf *g)
{
    return g->n;
}

const struct mm_gguf_kv *mm_gguf_at(const struct mm_gguf *g, size_t i)
{
    return &g->kv[i];
}

const struct mm_gguf_kv *mm_gguf_find(const struct mm_gguf *g, const char *key)
{
    if (!g)
        return NULL;
    for (size_t lo = 0, hi = g->n; lo < hi;) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = strcmp(key, g->sorted[mid]->key);
        if (c == 0)
            return g->sorted[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static float get_f32(const unsigned char *p)
{
    const uint32_t u = mm_get_u32(p);
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static double get_f64(const unsigned char *p)
{
    const uint64_t u = mm_get_u64(p);
    double f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static int64_t real_to_int(double x)
{
    if (!(x > -9.2e18))
        return x < 0 ? INT64_MIN : 0; /* 0 for NaN */
    return x < 9.2e18 ? (int64_t)x : INT64_MAX;
}

int64_t mm_gguf_int(const struct mm_gguf_kv *kv, size_t i)
{
    const unsigned char *const p = kv->data + i * elem_size[kv->type];

    switch (kv->type) {
    case MM_GGUF_U8:
    case MM_GGUF_BOOL: return *p;
    case MM_GGUF_I8:   return (int8_t)*p;
    case MM_GGUF_U16:  return mm_get_u16(p);
    case MM_GGUF_I16:  return (int16_t)mm_get_u16(p);
    case MM_GGUF_U32:  return mm_get_u32(p);
    case MM_GGUF_I32:  return (int32_t)mm_get_u32(p);
    case MM_GGUF_U64:  return mm_get_u64(p) > INT64_MAX ? INT64_MAX : (int64_t)mm_get_u64(p);
    case MM_GGUF_I64:  return (int64_t)mm_get_u64(p);
    case MM_GGUF_F32:  return real_to_int(get_f32(p));
    case MM_GGUF_F64:  return real_to_int(get_f64(p));
    default:           return 0;
    }
}

double mm_gguf_num(const struct mm_gguf_kv *kv, size_t i)
{
    const unsigned char *const p = kv->data + i * elem_size[kv->type];

    switch (kv->type) {
    case MM_GGUF_F32: return get_f32(p);
    case MM_GGUF_F64: return get_f64(p);
    case MM_GGUF_U64: return (double)mm_get_u64(p);
    default:          return (double)mm_gguf_int(kv, i);
    }
}

struct mm_gguf_str_iter mm_gguf_strs(const struct mm_gguf_kv *kv)
{
    if (!kv || kv->type != MM_GGUF_STRING)
        return (struct mm_gguf_str_iter){ 0 };
    return (struct mm_gguf_str_iter){ .p = kv->data, .left = kv->count };
}

bool mm_gguf_next_str(struct mm_gguf_str_iter *it, const char **s, size_t *n)
{
    if (it->left == 0)
        return false;
    *n = (size_t)mm_get_u64(it->p);
    *s = (const char *)it->p + 8;
    it->p += 8 + *n;
    it->left--;
    return true;
}

static const struct mm_gguf_kv *find_number(const struct mm_gguf *g, const char *key)
{
    const struct mm_gguf_kv *const kv = mm_gguf_find(g, key);
    return kv && !kv->is_array && kv->type != MM_GGUF_STRING ? kv : NULL;
}

int64_t mm_gguf_get_int(const struct mm_gguf *g, const char *key, int64_t dflt)
{
    const struct mm_gguf_kv *const kv = find_number(g, key);
    return kv ? mm_gguf_int(kv, 0) : dflt;
}

double mm_gguf_get_num(const struct mm_gguf *g, const char *key, double dflt)
{
    const struct mm_gguf_kv *const kv = find_number(g, key);
    return kv ? mm_gguf_num(kv, 0) : dflt;
}

uint32_t mm_gguf_version(const struct mm_gguf *g)
{
    return g->version;
}

size_t mm_gguf_alignment(const struct mm_gguf *g)
{
    return g->alignment;
}

/* A JSON string; bad bytes become U+FFFD. */
static json_t *json_text(const char *s, size_t n)
{
    struct mm_buf b = { 0 };
    json_t *v = NULL;

    if (mm_utf8_valid(s, n) == n)
        return json_stringn(s, n);
    while (n > 0) {
        const size_t good = mm_utf8_valid(s, n);
        mm_buf_add(&b, s, good);
        s += good;
        n -= good;
        if (n > 0) {
            mm_buf_str(&b, "\xef\xbf\xbd");
            s++;
            n--;
        }
    }
    if (!b.failed)
        v = json_stringn(b.p, b.n);
    mm_buf_free(&b);
    return v;
}

static json_t *json_number(const struct mm_gguf_kv *kv, size_t i)
{
    switch (kv->type) {
    case MM_GGUF_F32:
    case MM_GGUF_F64: {
        const double x = mm_gguf_num(kv, i);
        return x - x == 0 ? json_real(x) : json_null(); /* JSON has no NaN, no infinity */
    }
    case MM_GGUF_BOOL: return json_boolean(mm_gguf_int(kv, i));
    case MM_GGUF_U64:
        if (mm_get_u64(kv->data + 8 * i) > INT64_MAX)
            return json_real(mm_gguf_num(kv, i));
        return json_integer(mm_gguf_int(kv, i));
    default: return json_integer(mm_gguf_int(kv, i));
    }
}

static json_t *json_value(const struct mm_gguf_kv *kv)
{
    struct mm_gguf_str_iter it = mm_gguf_strs(kv);
    json_t *const list = kv->is_array ? json_array() : NULL;
    json_t *v = NULL;
    const char *s;
    size_t n;

    for (size_t i = 0; i < kv->count; i++) {
        v = mm_gguf_next_str(&it, &s, &n) ? json_text(s, n) : json_number(kv, i);
        if (!list)
            return v;
        if (json_array_append_new(list, v) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *mm_gguf_json(const struct mm_gguf *g)
{
    json_t *const o = json_object();

    for (size_t i = 0; o && i < g->n; i++)
        if (g->kv[i].count <= MM_GGUF_JSON_MAX &&
            json_object_set_new(o, g->kv[i].key, json_value(&g->kv[i])) < 0) {
            json_decref(o);
            return NULL;
        }
    return o;
}
