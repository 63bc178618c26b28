/* kv.c: one growing buffer of keys and one of values per layer. */
#include "nn/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

enum { GROW = 256 }; /* positions */

struct mm_kv {
    size_t layers, heads, dim, n;
    enum mm_dtype dtype;
    size_t esize;
    size_t *cap;         /* positions a layer's buffers hold */
    unsigned char **k, **v;
};

int mm_kv_new(struct mm_kv **out, size_t layers, size_t heads, size_t dim, enum mm_dtype dtype,
              struct mm_err *e)
{
    struct mm_kv *kv = calloc(1, sizeof(*kv));

    assert(dtype == MM_F32 || dtype == MM_F16);
    if (!kv)
        return mm_err_set(e, MM_ENOMEM, "key/value cache: out of memory");
    *kv = (struct mm_kv){ .layers = layers, .heads = heads, .dim = dim, .dtype = dtype,
                          .esize = mm_dtype_block_bytes(dtype) };
    kv->cap = calloc(layers, sizeof(*kv->cap));
    kv->k = calloc(layers, sizeof(*kv->k));
    kv->v = calloc(layers, sizeof(*kv->v));
    if (!kv->cap || !kv->k || !kv->v) {
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

void mm_kv_truncate(struct mm_kv *kv, size_t n)
{
    assert(n <= kv->n);
    kv->n = n;
}

/* Moves the first `keep` positions of each head into a buffer of cap positions. */
static unsigned char *regrow(const struct mm_kv *kv, const unsigned char *old, size_t old_cap,
                             size_t cap, size_t keep)
{
    size_t bytes;
    unsigned char *p;

    if (!mm_size_mul(kv->heads * kv->dim * kv->esize, cap, &bytes) || !(p = malloc(bytes)))
        return NULL;
    for (size_t h = 0; old && h < kv->heads; h++)
        memcpy(p + h * cap * kv->dim * kv->esize, old + h * old_cap * kv->dim * kv->esize,
               keep * kv->dim * kv->esize);
    return p;
}

static int reserve(struct mm_kv *kv, size_t layer, size_t need)
{
    const size_t old = kv->cap[layer];
    size_t cap = old;
    unsigned char *k, *v;

    if (need <= old)
        return 0;
    while (cap < need)
        cap = cap < 2 * GROW ? cap + GROW : cap + cap / 2;
    k = regrow(kv, kv->k[layer], old, cap, kv->n < old ? kv->n : old);
    v = regrow(kv, kv->v[layer], old, cap, kv->n < old ? kv->n : old);
    if (!k || !v) {
        free(k);
        free(v);
        return MM_ENOMEM;
    }
    free(kv->k[layer]);
    free(kv->v[layer]);
    kv->k[layer] = k;
    kv->v[layer] = v;
    kv->cap[layer] = cap;
    return 0;
}

int mm_kv_copy(struct mm_kv *dst, const struct mm_kv *src, size_t n, struct mm_err *e)
{
    const size_t row = src->dim * src->esize;

    assert(dst->layers == src->layers && dst->heads == src->heads && dst->dim == src->dim &&
           dst->dtype == src->dtype && n <= src->n);
    dst->n = 0;
    for (size_t l = 0; l < src->layers; l++) {
        if (reserve(dst, l, n) < 0)
            return mm_err_set(e, MM_ENOMEM, "key/value cache of %zu positions: out of memory", n);
        for (size_t h = 0; h < src->heads && n; h++) {
            memcpy(dst->k[l] + h * dst->cap[l] * row, src->k[l] + h * src->cap[l] * row,
                   n * row);
            memcpy(dst->v[l] + h * dst->cap[l] * row, src->v[l] + h * src->cap[l] * row,
                   n * row);
        }
    }
    dst->n = n;
    return 0;
}

/* x [n][heads][dim] f32 into positions from `at` of buf [heads][cap][dim] */
static void store(const struct mm_kv *kv, unsigned char *buf, size_t cap, size_t at,
                  const float *x, size_t n)
{
    const size_t d = kv->dim;

    for (size_t t = 0; t < n; t++)
        for (size_t h = 0; h < kv->heads; h++) {
            unsigned char *to = buf + (h * cap + at + t) * d * kv->esize;
            const float *from = x + (t * kv->heads + h) * d;

            if (kv->dtype == MM_F32)
                memcpy(to, from, d * sizeof(*from));
            else
                mm_kern()->to_f16((uint16_t *)(void *)to, from, d);
        }
}

int mm_kv_append(struct mm_kv *kv, size_t layer, const float *k, const float *v, size_t n)
{
    if (reserve(kv, layer, kv->n + n) < 0)
        return MM_ENOMEM;
    store(kv, kv->k[layer], kv->cap[layer], kv->n, k, n);
    store(kv, kv->v[layer], kv->cap[layer], kv->n, v, n);
    return 0;
}

void mm_kv_advance(struct mm_kv *kv, size_t n)
{
    kv->n += n;
}

const void *mm_kv_keys(const struct mm_kv *kv, size_t layer, size_t *head_stride)
{
    *head_stride = kv->cap[layer] * kv->dim;
    return kv->k[layer];
}

const void *mm_kv_values(const struct mm_kv *kv, size_t layer, size_t *head_stride)
{
    *head_stride = kv->cap[layer] * kv->dim;
    return kv->v[layer];
}

void mm_kv_export(const struct mm_kv *kv, size_t layer, void *k, void *v)
{
    const size_t row = kv->dim * kv->esize;

    for (size_t h = 0; h < kv->heads && kv->n; h++) {
        memcpy((unsigned char *)k + h * kv->n * row, kv->k[layer] + h * kv->cap[layer] * row,
               kv->n * row);
        memcpy((unsigned char *)v + h * kv->n * row, kv->v[layer] + h * kv->cap[layer] * row,
               kv->n * row);
    }
}

int mm_kv_import(struct mm_kv *kv, size_t n, size_t layer, const void *k, const void *v)
{
    const size_t row = kv->dim * kv->esize;

    kv->n = 0;
    if (reserve(kv, layer, n) < 0)
        return MM_ENOMEM;
    for (size_t h = 0; h < kv->heads && n; h++) {
        memcpy(kv->k[layer] + h * kv->cap[layer] * row, (const unsigned char *)k + h * n * row,
               n * row);
        memcpy(kv->v[layer] + h * kv->cap[layer] * row, (const unsigned char *)v + h * n * row,
               n * row);
    }
    kv->n = n;
    return 0;
}
