/* attention_grad.c: gradients of attention without keeping probabilities.
 *
 * p = exp(s - lse) is computed again block by block (Dao 2022, appendix B.2,
 * alg. 4):  D = rowsum(dO o), dS = p (dO v^T - D), dq = dS k scale,
 * dk = dS^T q scale, dv = p^T dO.  A tile is one kv head: it owns its rows of
 * dk, dv and all rows of dq that share it, so sums have a fixed order.
 */
#include "kernel/attention.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/attention_int.h"

enum {
    ROWS = 48, /* query rows of a tile: a multiple of MM_MR */
    KEYS = 64  /* keys of a block: a multiple of MM_NR */
};

struct job {
    const struct mm_kern *k;
    float *dq, *dk, *dv;
    const float *dO, *q, *key, *value, *o, *lse;
    const struct mm_attn *a;
    float *work; /* per thread */
    size_t work_floats;
};

/* Scratch of one thread; pdim is dim in whole panels. */
struct work {
    float *qa, *doa;       /* [ROWS][dim], interleaved; q is scaled */
    float *qp, *dop;       /* the same rows as panels [pdim / MM_NR][ROWS][MM_NR] */
    float *p, *ds;         /* [ROWS][KEYS] */
    float *dq;             /* [ROWS][pdim] */
    float *dkv;            /* [KEYS][pdim] */
    float *panel, *values; /* [dim][MM_NR], [pdim / MM_NR][KEYS][MM_NR] */
    float *wide;           /* [MM_NR][pdim] */
    float *t;              /* an A panel [KEYS][MM_MR] */
    float D[ROWS];
};

/* Carves f into the arrays of *w; returns the number of floats.  f may be NULL. */
static size_t work_init(struct work *w, float *f, size_t dim, size_t pdim)
{
    const struct {
        float **array;
        size_t n;
    } parts[] = {
        { &w->qp, ROWS * pdim },        { &w->dop, ROWS * pdim },
        { &w->dq, ROWS * pdim },        { &w->dkv, KEYS * pdim },
        { &w->values, KEYS * pdim },    { &w->wide, MM_NR * pdim },
        { &w->p, ROWS * KEYS }, { &w->ds, ROWS * KEYS },
        { &w->t, KEYS * MM_MR },        { &w->panel, dim * MM_NR },
        { &w->qa, ROWS * dim },         { &w->doa, ROWS * dim },
    };
    size_t used = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); used += parts[i++].n)
        *parts[i].array = f ? f + used : NULL;
    return used;
}

/* Rows r0.. times scale as B panels. */
static void row_panels(const struct job *j, float *panels, const float *x, size_t row, size_t head,
                       float scale, size_t kv, size_t r0, size_t rows, float *wide)
{
    const struct mm_attn *a = j->a;
    const size_t pdim = mm_attn_dim(a);

    memset(wide, 0, pdim * sizeof(*wide));
    for (size_t r = 0; r < rows; r++) {
        j->k->scale(wide, scale, x + mm_attn_at(a, kv, r0 + r, row, head), a->dim);
        for (size_t c = 0; c < pdim; c += MM_NR)
            memcpy(panels + c * ROWS + r * MM_NR, wide + c, MM_NR * sizeof(*wide));
    }
}

/* s[rows][KEYS] = xa (groups of MM_MR rows, [dim][mr]) times keys rows of x. */
static void product(const struct job *j, struct work *w, float *s, const float *xa, size_t rows,
                    const float *x, size_t row, size_t keys)
{
    const size_t dim = j->a->dim;

    memset(s, 0, rows * KEYS * sizeof(*s));
    for (size_t c = 0; c < keys; c += MM_NR) {
        j->k->pack_b(w->panel, x + c * row, row, dim, (int)mm_attn_min(MM_NR, keys - c));
        for (size_t r = 0; r < rows; r += MM_MR)
            j->k->mul_f32(s + r * KEYS + c, KEYS, xa + r * dim, w->panel, dim,
                          (int)mm_attn_min(MM_MR, rows - r));
    }
}

/* p and dS of rows r0.. and keys j0.. */
static void probabilities(const struct job *j, struct work *w, size_t kv, size_t r0, size_t rows,
                          size_t j0, size_t keys)
{
    const struct mm_attn *a = j->a;

    product(j, w, w->p, w->qa, rows, j->key + j0 * a->k_row + kv * a->k_head, a->k_row, keys);
    mm_attn_mask(w->p, KEYS, 1, kv, r0, rows, j0, KEYS, a);
    product(j, w, w->ds, w->doa, rows, j->value + j0 * a->v_row + kv * a->v_head, a->v_row, keys);
    for (size_t r = 0; r < rows; r++) {
        const float lse = j->lse[mm_attn_at(a, kv, r0 + r, 1, a->nq)];
        float *p = w->p + r * KEYS, *ds = w->ds + r * KEYS;
        if (lse == -INFINITY)
            memset(p, 0, KEYS * sizeof(*p));
        else
            j->k->exp_sum(p, p, lse, KEYS);
        for (size_t i = 0; i < KEYS; i++)
            ds[i] = p[i] * (ds[i] - w->D[r]);
    }
}

/* dx[j0..j0+keys] += s^T x over rows; xp are the panels of x. */
static void add_keys(const struct job *j, struct work *w, float *dx, size_t row, const float *s,
                     const float *xp, size_t rows, size_t keys)
{
    const size_t pdim = mm_attn_dim(j->a);

    memset(w->dkv, 0, keys * pdim * sizeof(*w->dkv));
    for (size_t i = 0; i < keys; i += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, keys - i);
        for (size_t r = 0; r < rows; r++)
            memcpy(w->t + r * mr, s + r * KEYS + i, mr * sizeof(*s));
        for (size_t c = 0; c < pdim; c += MM_NR)
            j->k->mul_f32(w->dkv + i * pdim + c, pdim, w->t, xp + c * ROWS, rows, (int)mr);
    }
    for (size_t i = 0; i < keys; i++)
        j->k->add(dx + i * row, dx + i * row, w->dkv + i * pdim, j->a->dim);
}

/* w->dq += dS k */
static void add_queries(const struct job *j, struct work *w, size_t kv, size_t rows, size_t j0,
                        size_t keys)
{
    const struct mm_attn *a = j->a;
    const size_t pdim = mm_attn_dim(a);

    memset(w->values, 0, KEYS * pdim * sizeof(*w->values));
    mm_attn_rows_to_panels(w->values, KEYS, j->key + j0 * a->k_row + kv * a->k_head, a->k_row,
                           keys, a->dim);
    for (size_t r = 0; r < rows; r += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, rows - r);
        j->k->pack_a(w->t, w->ds + r * KEYS, KEYS, KEYS, (int)mr);
        for (size_t c = 0; c < pdim; c += MM_NR)
            j->k->mul_f32(w->dq + r * pdim + c, pdim, w->t, w->values + c * KEYS,
                          KEYS, (int)mr);
    }
}

static void grad_rows(const struct job *j, struct work *w, size_t kv, size_t r0, size_t rows)
{
    const struct mm_attn *a = j->a;
    const size_t pdim = mm_attn_dim(a), group = mm_attn_group(a);
    const size_t j1 = mm_attn_span(a, (r0 + rows - 1) / group).hi;

    mm_attn_pack_rows(w->qa, j->q, a->q_row, a->q_head, a->scale, kv, r0, rows, a, w->wide);
    mm_attn_pack_rows(w->doa, j->dO, a->o_row, a->o_head, 1, kv, r0, rows, a, w->wide);
    row_panels(j, w->qp, j->q, a->q_row, a->q_head, a->scale, kv, r0, rows, w->wide);
    row_panels(j, w->dop, j->dO, a->o_row, a->o_head, 1, kv, r0, rows, w->wide);
    for (size_t r = 0; r < rows; r++) {
        const size_t at = mm_attn_at(a, kv, r0 + r, a->o_row, a->o_head);
        w->D[r] = j->k->dot(j->dO + at, j->o + at, a->dim);
    }
    memset(w->dq, 0, rows * pdim * sizeof(*w->dq));
    for (size_t j0 = mm_attn_span(a, r0 / group).lo; j0 < j1; j0 += KEYS) {
        const size_t keys = mm_attn_min(KEYS, j1 - j0);
        probabilities(j, w, kv, r0, rows, j0, keys);
        add_queries(j, w, kv, rows, j0, keys);
        add_keys(j, w, j->dk + j0 * a->k_row + kv * a->k_head, a->k_row, w->ds, w->qp, rows, keys);
        add_keys(j, w, j->dv + j0 * a->v_row + kv * a->v_head, a->v_row, w->p, w->dop, rows, keys);
    }
    for (size_t r = 0; r < rows; r++)
        j->k->scale(j->dq + mm_attn_at(a, kv, r0 + r, a->q_row, a->q_head), a->scale, w->dq + r * pdim,
                    a->dim);
}

static void grad_tile(void *arg, size_t kv, int thread)
{
    const struct job *j = arg;
    const struct mm_attn *a = j->a;
    const size_t n = a->nq * mm_attn_group(a);
    struct work w;

    work_init(&w, j->work + (size_t)thread * j->work_floats, a->dim, mm_attn_dim(a));
    for (size_t i = 0; i < a->nk; i++) {
        memset(j->dk + i * a->k_row + kv * a->k_head, 0, a->dim * sizeof(float));
        memset(j->dv + i * a->v_row + kv * a->v_head, 0, a->dim * sizeof(float));
    }
    for (size_t r = 0; r < n; r += ROWS)
        grad_rows(j, &w, kv, r, mm_attn_min(ROWS, n - r));
}

int mm_attention_grad(float *dq, float *dk, float *dv, const float *dO, const float *q,
                      const float *k, const float *v, const float *o, const float *lse,
                      const struct mm_attn *a, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct work layout;
    const size_t each = work_init(&layout, NULL, a->dim, mm_attn_dim(a));
    struct job j = { mm_kern(), dq, dk, dv, dO, q, k, v, o, lse, a, NULL, each };
    size_t bytes;

    assert(a->kv == MM_F32 && a->layout == MM_ATTN_ROWS);
    if (!mm_size_mul(each, threads * sizeof(float), &bytes) || !mm_size_align(bytes, 64, &bytes))
        return MM_ENOMEM;
    j.work = aligned_alloc(64, bytes);
    if (!j.work)
        return MM_ENOMEM;
    mm_pool_run(p, a->kv_heads, grad_tile, &j);
    free(j.work);
    return 0;
}
