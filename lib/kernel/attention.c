/* attention.c: softmax(q k^T) v with an online softmax.
 *
 * A tile is up to 48 query rows of one kv head.  For each block of 64 keys:
 * scores [48][64] = q k^T + mask, running maximum and sum per row, p = exp of
 * the scores, o = o * correction + p v (Milakov, Gimelshein 2018, alg. 3).
 * Both products run on the f32 micro-kernel.  Few rows against many keys
 * (decoding) are cut along the keys too; the parts are merged in order.
 */
#include "kernel/attention.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/attention_int.h"

enum { CHUNK = 512 }; /* keys of a part when decoding: a multiple of MM_ATTN_KEYS */

struct job {
    const struct mm_kern *k;
    float *o, *lse;
    const float *q;
    const void *key, *value;
    const struct mm_attn *a;
    size_t tiles;  /* of rows, per kv head */
    size_t chunks; /* of keys, per tile */
    float *part;   /* [kv_heads][chunks][MM_ATTN_ROWS][2 + dim]: max, sum, o; or NULL */
    char *work;    /* per thread */
    size_t work_size;
};

/* Scratch of one thread, carved out of one block of floats. */
struct work {
    float *qa;     /* [MM_ATTN_ROWS][dim], interleaved */
    float *s;      /* [MM_ATTN_ROWS][MM_ATTN_KEYS] scores, then probabilities */
    float *pa;     /* [MM_ATTN_KEYS][mr] */
    float *o;      /* [MM_ATTN_ROWS][dim in panels] */
    float *panel;  /* [dim][MM_NR] keys */
    float *values; /* [dim / MM_NR][MM_ATTN_KEYS][MM_NR] */
    float *wide;   /* [MM_NR][dim in panels] */
    float m[MM_ATTN_ROWS], l[MM_ATTN_ROWS];
};

/* Carves f into the arrays of *w; returns the number of floats.  f may be NULL. */
static size_t work_init(struct work *w, float *f, size_t dim, size_t pdim)
{
    const struct {
        float **array;
        size_t n;
    } parts[] = {
        { &w->values, MM_ATTN_KEYS * pdim },
        { &w->panel, dim * MM_NR },
        { &w->s, MM_ATTN_ROWS * MM_ATTN_KEYS },
        { &w->o, MM_ATTN_ROWS * pdim },
        { &w->wide, MM_NR * pdim },
        { &w->pa, MM_ATTN_KEYS * MM_MR },
        { &w->qa, MM_ATTN_ROWS * dim },
    };
    size_t used = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); used += parts[i++].n)
        *parts[i].array = f ? f + used : NULL;
    return used;
}

struct mm_attn_span mm_attn_span(const struct mm_attn *a, size_t query)
{
    /* causal: j <= i + nk - nq; window: j > i + nk - nq - window */
    const size_t past = query + a->nk; /* i + nk, at least nq if any key is seen */
    const size_t end = past + 1 > a->nq ? past + 1 - a->nq : 0;
    struct mm_attn_span s = { 0, a->nk };

    if (a->causal && end < s.hi)
        s.hi = end;
    if (a->window && end > a->window)
        s.lo = end - a->window;
    if (s.lo > s.hi)
        s.lo = s.hi;
    return s;
}

void mm_attn_pack_rows(float *qa, const float *x, size_t row, size_t head, float scale, size_t kv,
                       size_t r0, size_t rows, const struct mm_attn *a, float *tmp)
{
    const struct mm_kern *k = mm_kern();
    const size_t group = mm_attn_group(a);

    for (size_t r = 0; r < rows; r += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, rows - r);
        for (size_t i = 0; i < mr; i++) {
            const size_t n = r0 + r + i;
            k->scale(tmp + i * a->dim, scale, x + n / group * row + (kv * group + n % group) * head,
                     a->dim);
        }
        k->pack_a(qa + r * a->dim, tmp, a->dim, a->dim, (int)mr);
    }
}

static const void *kv_row(const void *x, size_t row, size_t head, size_t kv, size_t j,
                          const struct mm_attn *a)
{
    return (const char *)x + (j * row + kv * head) * mm_dtype_block_bytes(a->kv);
}

void mm_attn_value_panels(float *panels, const void *x, size_t row, size_t head, size_t kv,
                          size_t j0, size_t keys, const struct mm_attn *a, float *wide)
{
    const struct mm_kern *k = mm_kern();
    const size_t pdim = mm_attn_dim(a);

    memset(wide, 0, pdim * sizeof(*wide));
    for (size_t j = 0; j < MM_ATTN_KEYS; j++) {
        if (j < keys)
            k->widen[a->kv](wide, kv_row(x, row, head, kv, j0 + j, a), a->dim);
        else
            memset(wide, 0, a->dim * sizeof(*wide));
        for (size_t c = 0; c < pdim; c += MM_NR)
            memcpy(panels + c * MM_ATTN_KEYS + j * MM_NR, wide + c, MM_NR * sizeof(*wide));
    }
}

/* MM_NR rows of x to a panel [dim][MM_NR]. */
static void key_panel(float *panel, const void *x, size_t row, size_t head, size_t kv, size_t j0,
                      size_t keys, const struct mm_attn *a, float *wide)
{
    const struct mm_kern *k = mm_kern();

    if (a->kv == MM_F32) {
        k->pack_b(panel, kv_row(x, row, head, kv, j0, a), row, a->dim, (int)keys);
        return;
    }
    for (size_t j = 0; j < keys; j++)
        k->widen[a->kv](wide + j * a->dim, kv_row(x, row, head, kv, j0 + j, a), a->dim);
    k->pack_b(panel, wide, a->dim, a->dim, (int)keys);
}

void mm_attn_product(float *s, const float *xa, size_t rows, const void *x, size_t row, size_t head,
                     size_t kv, size_t j0, size_t keys, const struct mm_attn *a, float *panel,
                     float *wide)
{
    memset(s, 0, rows * MM_ATTN_KEYS * sizeof(*s));
    for (size_t c = 0; c < keys; c += MM_NR) {
        key_panel(panel, x, row, head, kv, j0 + c, mm_attn_min(MM_NR, keys - c), a, wide);
        for (size_t r = 0; r < rows; r += MM_MR)
            mm_kern()->mul_f32(s + r * MM_ATTN_KEYS + c, MM_ATTN_KEYS, xa + r * a->dim, panel,
                               a->dim, (int)mm_attn_min(MM_MR, rows - r));
    }
}

/* Mask, alibi and bias of one row of scores; keys j0..j0+keys. */
static void mask_row(float *s, size_t n, size_t kv, size_t j0, size_t keys, const struct mm_attn *a)
{
    const size_t query = n / mm_attn_group(a), head = kv * mm_attn_group(a) + n % mm_attn_group(a);
    const struct mm_attn_span span = mm_attn_span(a, query);

    if (a->alibi) /* Press 2022 */
        for (size_t j = 0; j < keys; j++)
            s[j] += a->alibi[head] * ((float)(j0 + j + a->nq) - (float)(query + a->nk));
    if (a->bias)
        for (size_t j = 0; j < keys; j++)
            s[j] += a->bias[head * a->bias_head + query * a->nk + j0 + j];
    for (size_t j = 0; j < keys && j0 + j < span.lo; j++)
        s[j] = -INFINITY;
    for (size_t j = span.hi > j0 ? span.hi - j0 : 0; j < keys; j++)
        s[j] = -INFINITY;
    for (size_t j = keys; j < MM_ATTN_KEYS; j++)
        s[j] = -INFINITY;
}

void mm_attn_mask(float *s, size_t kv, size_t r0, size_t rows, size_t j0, size_t keys,
                  const struct mm_attn *a)
{
    for (size_t r = 0; r < rows; r++)
        mask_row(s + r * MM_ATTN_KEYS, r0 + r, kv, j0, keys, a);
}

/* Scores of one row to probabilities; o is brought to the new maximum. */
static void softmax_row(float *s, float *o, float *m, float *l, size_t dim)
{
    const struct mm_kern *k = mm_kern();
    const float top = k->max(s, MM_ATTN_KEYS);
    const float m1 = top > *m ? top : *m;

    if (m1 == -INFINITY) {
        memset(s, 0, MM_ATTN_KEYS * sizeof(*s));
        return;
    }
    if (m1 > *m) {
        const float fix = expf(*m - m1);
        *l *= fix;
        k->scale(o, fix, o, dim);
        *m = m1;
    }
    *l += k->exp_sum(s, s, m1, MM_ATTN_KEYS);
}

/* Rows r0..r0+rows of a kv head against keys j0..j1: w->o, w->m, w->l. */
static void attend(const struct job *j, struct work *w, size_t kv, size_t r0, size_t rows,
                   size_t j0, size_t j1)
{
    const struct mm_attn *a = j->a;
    const size_t pdim = mm_attn_dim(a);

    mm_attn_pack_rows(w->qa, j->q, a->q_row, a->q_head, a->scale, kv, r0, rows, a, w->wide);
    memset(w->o, 0, rows * pdim * sizeof(*w->o));
    for (size_t r = 0; r < rows; r++) {
        w->m[r] = -INFINITY;
        w->l[r] = 0;
    }
    for (; j0 < j1; j0 += MM_ATTN_KEYS) {
        const size_t keys = mm_attn_min(MM_ATTN_KEYS, j1 - j0);
        mm_attn_product(w->s, w->qa, rows, j->key, a->k_row, a->k_head, kv, j0, keys, a, w->panel,
                        w->wide);
        mm_attn_mask(w->s, kv, r0, rows, j0, keys, a);
        for (size_t r = 0; r < rows; r++)
            softmax_row(w->s + r * MM_ATTN_KEYS, w->o + r * pdim, &w->m[r], &w->l[r], a->dim);
        mm_attn_value_panels(w->values, j->value, a->v_row, a->v_head, kv, j0, keys, a, w->wide);
        for (size_t r = 0; r < rows; r += MM_MR) {
            const size_t mr = mm_attn_min(MM_MR, rows - r);
            j->k->pack_a(w->pa, w->s + r * MM_ATTN_KEYS, MM_ATTN_KEYS, MM_ATTN_KEYS, (int)mr);
            for (size_t c = 0; c < pdim; c += MM_NR)
                j->k->mul_f32(w->o + r * pdim + c, pdim, w->pa, w->values + c * MM_ATTN_KEYS,
                              MM_ATTN_KEYS, (int)mr);
        }
    }
}

/* Row n of a kv head is done: o = sum / l. */
static void finish_row(const struct job *j, size_t kv, size_t n, const float *o, float m, float l)
{
    const struct mm_attn *a = j->a;
    const size_t query = n / mm_attn_group(a), head = kv * mm_attn_group(a) + n % mm_attn_group(a);

    j->k->scale(j->o + query * a->o_row + head * a->o_head, l > 0 || isnan(l) ? 1 / l : 0, o,
                a->dim);
    if (j->lse)
        j->lse[head * a->nq + query] = m == -INFINITY ? -INFINITY : m + logf(l);
}

static void attend_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const struct mm_attn *a = j->a;
    const size_t group = mm_attn_group(a), pdim = mm_attn_dim(a);
    const size_t chunk = tile % j->chunks, kv = tile / j->chunks / j->tiles;
    /* last tiles first: with a causal mask they are the longest */
    const size_t r0 = (j->tiles - 1 - tile / j->chunks % j->tiles) * MM_ATTN_ROWS;
    const size_t rows = mm_attn_min(MM_ATTN_ROWS, a->nq * group - r0);
    size_t j0 = mm_attn_span(a, r0 / group).lo / MM_ATTN_KEYS * MM_ATTN_KEYS;
    size_t j1 = mm_attn_span(a, (r0 + rows - 1) / group).hi;
    struct work w;

    work_init(&w, (float *)(void *)(j->work + (size_t)thread * j->work_size), a->dim, pdim);
    if (j->part) {
        j0 = j0 > chunk * CHUNK ? j0 : chunk * CHUNK;
        j1 = mm_attn_min(j1, (chunk + 1) * CHUNK);
    }
    attend(j, &w, kv, r0, rows, j0, j1);
    for (size_t r = 0; r < rows; r++) {
        const float *o = w.o + r * pdim;
        if (!j->part) {
            finish_row(j, kv, r0 + r, o, w.m[r], w.l[r]);
            continue;
        }
        float *part = j->part + (tile * MM_ATTN_ROWS + r) * (2 + a->dim);
        part[0] = w.m[r];
        part[1] = w.l[r];
        memcpy(part + 2, o, a->dim * sizeof(*o));
    }
}

/* The parts of one kv head, merged in the order of the keys. */
static void merge_tile(void *arg, size_t kv, int thread)
{
    const struct job *j = arg;
    const struct mm_attn *a = j->a;
    const size_t rows = a->nq * mm_attn_group(a), step = MM_ATTN_ROWS * (2 + a->dim);
    float *o = (float *)(void *)(j->work + (size_t)thread * j->work_size);

    for (size_t r = 0; r < rows; r++) {
        const float *part = j->part + kv * j->chunks * step + r * (2 + a->dim);
        float m = -INFINITY, l = 0;
        for (size_t c = 0; c < j->chunks; c++)
            m = part[c * step] > m ? part[c * step] : m;
        memset(o, 0, a->dim * sizeof(*o));
        for (size_t c = 0; c < j->chunks && m > -INFINITY; c++) {
            const float fix = expf(part[c * step] - m);
            l += fix * part[c * step + 1];
            j->k->axpy(o, fix, part + c * step + 2, a->dim);
        }
        finish_row(j, kv, r, o, m, l);
    }
}

int mm_attention(float *o, float *lse, const float *q, const void *k, const void *v,
                 const struct mm_attn *a, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job j = { .k = mm_kern(), .o = o, .lse = lse, .q = q, .key = k, .value = v, .a = a };
    struct work layout;
    size_t each, parts = 0, bytes;

    assert(a->kv == MM_F32 || a->kv == MM_F16);
    if (!a->nq || !a->heads)
        return 0;
    j.tiles = mm_attn_div_up(a->nq * mm_attn_group(a), MM_ATTN_ROWS);
    j.chunks = !a->many && j.tiles == 1 && a->nk > CHUNK ? mm_attn_div_up(a->nk, CHUNK) : 1;
    if (!mm_size_align(work_init(&layout, NULL, a->dim, mm_attn_dim(a)) * sizeof(float), 64,
                       &each) ||
        !mm_size_mul(each, threads, &bytes))
        return MM_ENOMEM;
    if (j.chunks > 1 && (!mm_size_mul(a->kv_heads, j.chunks, &parts) ||
                         !mm_size_mul(parts, MM_ATTN_ROWS * (2 + a->dim) * sizeof(float), &parts)))
        return MM_ENOMEM;
    if (!mm_size_add(bytes, parts, &bytes) || !mm_size_align(bytes, 64, &bytes))
        return MM_ENOMEM;
    j.work = aligned_alloc(64, bytes);
    if (!j.work)
        return MM_ENOMEM;
    j.work_size = each;
    if (j.chunks > 1)
        j.part = (float *)(void *)(j.work + each * threads);
    mm_pool_run(p, a->kv_heads * j.tiles * j.chunks, attend_tile, &j);
    if (j.part)
        mm_pool_run(p, a->kv_heads, merge_tile, &j);
    free(j.work);
    return 0;
}
