/* kv.c: one growing buffer of keys and one of values per layer.
 *
 * Of cap positions a head's keys take cap * dim elements, in panels of MM_NR
 * positions, its values cap * pdim, in panels of MM_NR columns (pdim: dim in
 * whole panels; the columns beyond dim are zero).
 */
#include "nn/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/size.h"
#include "kernel/kernel.h"

enum { GROW = 256 }; /* positions: a multiple of MM_NR */

struct mm_kv {
    size_t layers, heads, dim, n;
    size_t pdim;         /* dim in whole panels */
    enum mm_dtype dtype;
    size_t esize;
    size_t *cap;         /* positions a layer's buffers hold */
    size_t expect;       /* positions that will be needed, as far as is known */
    unsigned char **k, **v;
    unsigned char *tmp;  /* one key and one value */
};

int mm_kv_new(struct mm_kv **out, size_t layers, size_t heads, size_t dim, enum mm_dtype dtype,
              struct mm_err *e)
{
    struct mm_kv *kv = calloc(1, sizeof(*kv));

    assert(dtype == MM_F32 || dtype == MM_F16);
    if (!kv)
        return mm_err_set(e, MM_ENOMEM, "key/value cache: out of memory");
    *kv = (struct mm_kv){ .layers = layers, .heads = heads, .dim = dim, .dtype = dtype,
                          .pdim = (dim + MM_NR - 1) / MM_NR * MM_NR,
                          .esize = mm_dtype_block_bytes(dtype) };
    kv->cap = calloc(layers, sizeof(*kv->cap));
    kv->k = calloc(layers, sizeof(*kv->k));
    kv->v = calloc(layers, sizeof(*kv->v));
    kv->tmp = malloc(2 * dim * kv->esize);
    if (!kv->cap || !kv->k || !kv->v || !kv->tmp) {
        mm_kv_free(kv);
        return mm_err_set(e, MM_ENOMEM, "key/value cache: out of memory");
    }
    *out = kv;
    return 0;
}

void mm_kv_free(struct mm_kv *kv)
{
    if (!kv)
        return;
    for (size_t l = 0; l < kv->layers; l++) {
        if (kv->k)
            free(kv->k[l]);
        if (kv->v)
            free(kv->v[l]);
    }
    free(kv->cap);
    free(kv->k);
    free(kv->v);
    free(kv->tmp);
    free(kv);
}

size_t mm_kv_len(const struct mm_kv *kv)
{
    return kv->n;
}

enum mm_dtype mm_kv_dtype(const struct mm_kv *kv)
{
    return kv->dtype;
}

void mm_kv_expect(struct mm_kv *kv, size_t n)
{
    kv->expect = n;
}

void mm_kv_truncate(struct mm_kv *kv, size_t n)
{
    assert(n <= kv->n);
    kv->n = n;
}

/* The filled part of n positions of one head, from a buffer of one capacity to
 * another's. */
static void move_keys(const struct mm_kv *kv, unsigned char *to, size_t to_cap,
                      const unsigned char *from, size_t from_cap, size_t n)
{
    const size_t row = kv->dim * kv->esize;

    for (size_t h = 0; h < kv->heads && n; h++)
        memcpy(to + h * to_cap * row, from + h * from_cap * row, (n + MM_NR - 1) / MM_NR * MM_NR * row);
}

static void move_values(const struct mm_kv *kv, unsigned char *to, size_t to_cap,
                        const unsigned char *from, size_t from_cap, size_t n)
{
    const size_t row = MM_NR * kv->esize;

    for (size_t p = 0; p < kv->heads * kv->pdim / MM_NR && n; p++)
        memcpy(to + p * to_cap * row, from + p * from_cap * row, n * row);
}

static int reserve(struct mm_kv *kv, size_t layer, size_t need)
{
    const size_t old = kv->cap[layer], keep = kv->n < old ? kv->n : old;
    size_t cap = old, bytes;
    unsigned char *k, *v;

    if (need <= old)
        return 0;
    if (need <= kv->expect)
        cap = (kv->expect + MM_NR - 1) / MM_NR * MM_NR;
    while (cap < need)
        cap = cap < 2 * GROW ? cap + GROW : cap + cap / 2 / MM_NR * MM_NR;
    if (!mm_size_mul(kv->heads * kv->pdim * kv->esize, cap, &bytes))
        return MM_ENOMEM;
    k = mm_pages_alloc(bytes / kv->pdim * kv->dim);
    v = mm_pages_alloc(bytes);
    if (!k || !v) {
        free(k);
        free(v);
        return MM_ENOMEM;
    }
    move_keys(kv, k, cap, kv->k[layer], old, keep);
    move_values(kv, v, cap, kv->v[layer], old, keep);
    free(kv->k[layer]);
    free(kv->v[layer]);
    kv->k[layer] = k;
    kv->v[layer] = v;
    kv->cap[layer] = cap;
    return 0;
}

int mm_kv_copy(struct mm_kv *dst, const struct mm_kv *src, size_t n, struct mm_err *e)
{
    assert(dst->layers == src->layers && dst->heads == src->heads && dst->dim == src->dim &&
           dst->dtype == src->dtype && n <= src->n);
    dst->n = 0;
    for (size_t l = 0; l < src->layers; l++) {
        if (reserve(dst, l, n) < 0)
            return mm_err_set(e, MM_ENOMEM, "key/value cache of %zu positions: out of memory", n);
        move_keys(src, dst->k[l], dst->cap[l], src->k[l], src->cap[l], n);
        move_values(src, dst->v[l], dst->cap[l], src->v[l], src->cap[l], n);
    }
    dst->n = n;
    return 0;
}

/* n floats in the cache's dtype. */
static void narrow(const struct mm_kv *kv, void *to, const float *x, size_t n)
{
    if (kv->dtype == MM_F32)
        memcpy(to, x, n * sizeof(*x));
    else
        mm_kern()->to_f16(to, x, n);
}

/* n elements, to_step and from_step apart. */
static void copy_strided(void *to, size_t to_step, const void *from, size_t from_step, size_t n,
                         size_t esize)
{
    if (esize == sizeof(uint16_t))
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)to)[i * to_step] = ((const uint16_t *)from)[i * from_step];
    else
        for (size_t i = 0; i < n; i++)
            ((uint32_t *)to)[i * to_step] = ((const uint32_t *)from)[i * from_step];
}

/* Column at % MM_NR of a head's panel; a new panel starts as zeros. */
static unsigned char *key_column(const struct mm_kv *kv, size_t layer, size_t head, size_t at)
{
    const size_t panel = kv->dim * MM_NR * kv->esize;
    unsigned char *p = kv->k[layer] + (head * kv->cap[layer] + at / MM_NR * MM_NR) * kv->dim * kv->esize;

    if (at % MM_NR == 0)
        memset(p, 0, panel);
    return p + at % MM_NR * kv->esize;
}

static unsigned char *value_row(const struct mm_kv *kv, size_t layer, size_t head, size_t panel,
                                size_t at)
{
    return kv->v[layer] + ((head * kv->pdim / MM_NR + panel) * kv->cap[layer] + at) * MM_NR * kv->esize;
}

/* One position of one head: k, v [dim] in the cache's dtype. */
static void store(const struct mm_kv *kv, size_t layer, size_t head, size_t at, const void *k,
                  const unsigned char *v)
{
    copy_strided(key_column(kv, layer, head, at), MM_NR, k, 1, kv->dim, kv->esize);
    for (size_t c = 0; c < kv->dim; c += MM_NR) {
        const size_t n = kv->dim - c < MM_NR ? kv->dim - c : MM_NR;
        unsigned char *to = value_row(kv, layer, head, c / MM_NR, at);
        memcpy(to, v + c * kv->esize, n * kv->esize);
        memset(to + n * kv->esize, 0, (MM_NR - n) * kv->esize);
    }
}

int mm_kv_append(struct mm_kv *kv, size_t layer, const float *k, const float *v, size_t n)
{
    const size_t d = kv->dim;

    if (reserve(kv, layer, kv->n + n) < 0)
        return MM_ENOMEM;
    for (size_t h = 0; h < kv->heads; h++)
        for (size_t t = 0; t < n; t++) {
            const size_t at = (t * kv->heads + h) * d;
            narrow(kv, kv->tmp, k + at, d);
            narrow(kv, kv->tmp + d * kv->esize, v + at, d);
            store(kv, layer, h, kv->n + t, kv->tmp, kv->tmp + d * kv->esize);
        }
    return 0;
}

void mm_kv_advance(struct mm_kv *kv, size_t n)
{
    kv->n += n;
}

void mm_kv_view(const struct mm_kv *kv, size_t layer, struct mm_attn_item *it)
{
    it->k = kv->k[layer];
    it->v = kv->v[layer];
    it->a.layout = MM_ATTN_PANELS;
    it->a.kv = kv->dtype;
    it->a.k_head = kv->cap[layer] * kv->dim;
    it->a.v_head = kv->cap[layer] * kv->pdim;
    it->a.v_panel = kv->cap[layer] * MM_NR;
}

void mm_kv_export(const struct mm_kv *kv, size_t layer, void *k, void *v)
{
    const size_t d = kv->dim, e = kv->esize;
    unsigned char *to_k = k, *to_v = v;

    for (size_t h = 0; h < kv->heads; h++)
        for (size_t t = 0; t < kv->n; t++, to_k += d * e, to_v += d * e) {
            const unsigned char *key = kv->k[layer] + (h * kv->cap[layer] + t / MM_NR * MM_NR) * d * e;
            copy_strided(to_k, 1, key + t % MM_NR * e, MM_NR, d, e);
            for (size_t c = 0; c < d; c += MM_NR)
                memcpy(to_v + c * e, value_row(kv, layer, h, c / MM_NR, t),
                       (d - c < MM_NR ? d - c : MM_NR) * e);
        }
}

int mm_kv_import(struct mm_kv *kv, size_t n, size_t layer, const void *k, const void *v)
{
    const size_t row = kv->dim * kv->esize;

    kv->n = 0;
    if (reserve(kv, layer, n) < 0)
        return MM_ENOMEM;
    for (size_t h = 0; h < kv->heads; h++)
        for (size_t t = 0; t < n; t++)
            store(kv, layer, h, t, (const unsigned char *)k + (h * n + t) * row,
                  (const unsigned char *)v + (h * n + t) * row);
    kv->n = n;
    return 0;
}
