/* attention_grad.c: gradients of attention without keeping probabilities.
 *
 * p = exp(s - lse) is computed again block by block (Dao 2022, appendix B.2,
 * alg. 4):  D = rowsum(dO o), dS = p (dO v^T - D), dq = dS k scale,
 * dk = dS^T q scale, dv = p^T dO.  Scores are computed transposed, twelve keys
 * by a block of rows: p^T and dS^T are then what dv and dk multiply.  A tile is
 * one kv head of a sequence: it owns its rows of dk, dv and all rows of dq that share it, so
 * sums have a fixed order.
 */
#include "kernel/attention.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/attention_int.h"

enum {
    ROWS = 192, /* query rows of a block: a multiple of MM_NR, at most MM_ATTN_LD */
    KEYS = 96   /* keys of a block: a multiple of MM_MR */
};

struct job {
    const struct mm_attn_grad_item *items;
    float *work; /* per thread */
    size_t work_floats;
};

/* Scratch of one thread; pdim is dim in whole panels. */
struct work {
    const struct mm_kern *k;
    float *x;          /* [ROWS][dim] rows of q or dO together */
    float *qp, *dop;   /* the rows as keys lie: [ROWS / MM_NR][dim][MM_NR]; q is scaled */
    float *qv, *dov;   /* the rows as values lie: [pdim / MM_NR][ROWS][MM_NR] */
    float *dq;         /* [ROWS][pdim] */
    float *lse, *D;    /* [ROWS], negated */
    float *ka, *va;    /* [KEYS][dim], in groups of MM_MR interleaved */
    float *kv;         /* keys as values lie: [pdim / MM_NR][keys][MM_NR] */
    float *p;          /* [MM_MR][MM_ATTN_LD] p^T */
    float *ds;         /* [KEYS][MM_ATTN_LD] dS^T */
    float *c;          /* [MM_MR][pdim or MM_ATTN_LD] a product */
};

/* Rows of a block that some of a number of keys are seen by. */
struct rows {
    size_t lo, hi;
};

/* Carves f into the arrays of *w; returns the number of floats.  f may be NULL. */
static size_t work_init(struct work *w, float *f, size_t dim, size_t pdim)
{
    const struct {
        float **array;
        size_t n;
    } parts[] = {
        { &w->x, ROWS * dim },    { &w->qp, ROWS * dim },       { &w->dop, ROWS * dim },
        { &w->qv, ROWS * pdim },  { &w->dov, ROWS * pdim },     { &w->dq, ROWS * pdim },
        { &w->lse, ROWS },        { &w->D, ROWS },              { &w->ka, KEYS * dim },
        { &w->va, KEYS * dim },   { &w->kv, KEYS * pdim },      { &w->p, MM_MR * MM_ATTN_LD },
        { &w->ds, KEYS * MM_ATTN_LD },
        { &w->c, MM_MR * (pdim > MM_ATTN_LD ? pdim : MM_ATTN_LD) },
    };
    size_t used = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); used += (parts[i++].n + 15) / 16 * 16)
        *parts[i].array = f ? f + used : NULL;
    return used;
}

/* Rows r0.. times scale, as keys lie and as values lie. */
static void pack_rows(const struct mm_attn *a, struct work *w, float *p, float *v, const float *x,
                      size_t row, size_t head, float scale, size_t kv, size_t r0, size_t rows)
{
    const float *from = x + mm_attn_at(a, kv, r0, row, head);
    size_t ld = row;

    if (scale != 1 || mm_attn_group(a) > 1) {
        for (size_t r = 0; r < rows; r++)
            w->k->scale(w->x + r * a->dim, scale, x + mm_attn_at(a, kv, r0 + r, row, head),
                        a->dim);
        from = w->x;
        ld = a->dim;
    }
    for (size_t r = 0; r < rows; r += MM_NR)
        w->k->pack_b(p + r * a->dim, from + r * ld, ld, a->dim, (int)mm_attn_min(MM_NR, rows - r));
    mm_attn_rows_to_panels(v, ROWS, from, ld, rows, a->dim);
}

/* Everything of rows r0.. that the keys will meet. */
static void load_rows(const struct mm_attn_grad_item *it, struct work *w, size_t kv, size_t r0, size_t rows)
{
    const struct mm_attn *a = &it->a;

    pack_rows(a, w, w->qp, w->qv, it->q, a->q_row, a->q_head, a->scale, kv, r0, rows);
    pack_rows(a, w, w->dop, w->dov, it->dO, a->o_row, a->o_head, 1, kv, r0, rows);
    memset(w->dq, 0, rows * mm_attn_dim(a) * sizeof(*w->dq));
    for (size_t r = 0; r < ROWS; r++) {
        const size_t at = mm_attn_at(a, kv, r0 + r, a->o_row, a->o_head);
        const float lse = r < rows ? it->lse[mm_attn_at(a, kv, r0 + r, 1, a->nq)] : -INFINITY;
        w->D[r] = r < rows ? -w->k->dot(it->dO + at, it->o + at, a->dim) : 0;
        w->lse[r] = lse > -INFINITY ? -lse : -INFINITY; /* sees no key: p = 0 */
    }
}

/* Keys j0.. and their values. */
static void load_keys(const struct mm_attn_grad_item *it, struct work *w, size_t kv, size_t j0, size_t keys)
{
    const struct mm_attn *a = &it->a;
    const float *key = it->k + j0 * a->k_row + kv * a->k_head;
    const float *value = it->v + j0 * a->v_row + kv * a->v_head;

    for (size_t i = 0; i < keys; i += MM_MR) {
        const int mr = (int)mm_attn_min(MM_MR, keys - i);
        w->k->pack_a(w->ka + i * a->dim, key + i * a->k_row, a->k_row, a->dim, mr);
        w->k->pack_a(w->va + i * a->dim, value + i * a->v_row, a->v_row, a->dim, mr);
    }
    mm_attn_rows_to_panels(w->kv, keys, key, a->k_row, keys, a->dim);
}

/* Of the rows r0..r0+rows those that see keys j0..j0+n, from r0 on. */
static struct rows seen_by(const struct mm_attn *a, size_t r0, size_t rows, size_t j0, size_t n)
{
    const size_t group = mm_attn_group(a);
    struct rows s = { 0, rows };

    /* causal: i >= j + nq - nk; window: i < j + nq - nk + window */
    if (a->causal && j0 + a->nq > a->nk) {
        const size_t first = (j0 + a->nq - a->nk) * group;
        s.lo = first > r0 ? mm_attn_min(first - r0, rows) : 0;
    }
    if (a->window) {
        const size_t past = j0 + n - 1 + a->nq + a->window;
        const size_t end = past > a->nk ? (past - a->nk) * group : 0;
        s.hi = end > r0 ? mm_attn_min(end - r0, rows) : 0;
    }
    s.hi = s.hi > s.lo ? s.hi : s.lo;
    return s;
}

/* Alibi, bias and mask of key j in rows r0 + s.lo.. of its scores. */
static void mask_key(float *x, size_t kv, size_t r0, struct rows s, size_t j, size_t rows,
                     const struct mm_attn *a)
{
    const size_t group = mm_attn_group(a);
    const struct rows own = seen_by(a, r0, rows, j, 1);

    for (size_t r = s.lo; r < s.hi && (a->alibi || a->bias); r++) {
        const size_t query = (r0 + r) / group, head = kv * group + (r0 + r) % group;
        if (a->alibi)
            x[r] += a->alibi[head] * ((float)(j + a->nq) - (float)(query + a->nk));
        if (a->bias)
            x[r] += a->bias[head * a->bias_head + query * a->nk + j];
    }
    for (size_t r = s.lo; r < s.hi && r < own.lo; r++)
        x[r] = -INFINITY;
    for (size_t r = own.hi > s.lo ? own.hi : s.lo; r < s.hi; r++)
        x[r] = -INFINITY;
}

/* p^T and dS^T of mr keys from j, number i of the block, with rows s. */
static void probabilities(const struct mm_attn_grad_item *it, struct work *w, size_t kv, size_t r0, size_t rows,
                          struct rows s, size_t key, size_t i, size_t mr)
{
    const struct mm_attn *a = &it->a;
    const size_t n = s.hi - s.lo, from = s.lo / MM_NR * MM_NR;
    const size_t panels = mm_attn_div_up(s.hi - from, MM_NR);
    float *ds = w->ds + i * MM_ATTN_LD;

    w->k->attn_scores[0](w->p + from, w->ka + i * a->dim, mr, w->qp + from * a->dim, a->dim,
                         panels, (int)mr);
    w->k->attn_scores[0](ds + from, w->va + i * a->dim, mr, w->dop + from * a->dim, a->dim,
                         panels, (int)mr);
    for (size_t t = 0; t < mr; t++) {
        float *p = w->p + t * MM_ATTN_LD + s.lo, *d = ds + t * MM_ATTN_LD + s.lo;
        mask_key(p - s.lo, kv, r0, s, key + t, rows, a);
        w->k->add(p, p, w->lse + s.lo, n);
        (void)w->k->exp_sum(p, p, 0, n);
        w->k->add(d, d, w->D + s.lo, n);
        w->k->mul(d, d, p, n);
    }
}

/* dx[mr rows] += s^T x: s [mr][MM_ATTN_LD], x as values lie. */
static void add_keys(const struct mm_attn_grad_item *it, struct work *w, float *dx, size_t row, const float *s,
                     const float *xv, struct rows r, size_t mr)
{
    const size_t pdim = mm_attn_dim(&it->a);

    w->k->attn_values[0](w->c, s + r.lo, xv + r.lo * MM_NR, ROWS * MM_NR, r.hi - r.lo,
                         pdim / MM_NR, (int)mr);
    for (size_t t = 0; t < mr; t++)
        w->k->add(dx + t * row, dx + t * row, w->c + t * pdim, it->a.dim);
}

/* dq[rows r] += dS k */
static void add_queries(const struct mm_attn_grad_item *it, struct work *w, struct rows r, size_t keys)
{
    const size_t pdim = mm_attn_dim(&it->a);

    for (size_t i = r.lo; i < r.hi; i += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, r.hi - i);
        for (size_t c = 0; c < pdim; c += MM_NR) {
            w->k->attn_scores[0](w->c, w->ds + i, MM_ATTN_LD, w->kv + c * keys, keys, 1, (int)mr);
            for (size_t t = 0; t < mr; t++) {
                float *dq = w->dq + (i + t) * pdim + c;
                w->k->add(dq, dq, w->c + t * MM_ATTN_LD, MM_NR);
            }
        }
    }
}

/* Rows r0.. with keys j0..: all three gradients. */
static void grad_block(const struct mm_attn_grad_item *it, struct work *w, size_t kv, size_t r0, size_t rows,
                       size_t j0, size_t keys)
{
    const struct mm_attn *a = &it->a;
    const struct rows all = seen_by(a, r0, rows, j0, keys);
    float *dk = it->dk + j0 * a->k_row + kv * a->k_head;
    float *dv = it->dv + j0 * a->v_row + kv * a->v_head;

    if (all.lo == all.hi)
        return;
    load_keys(it, w, kv, j0, keys);
    for (size_t i = 0; i < keys; i += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, keys - i);
        const struct rows s = seen_by(a, r0, rows, j0 + i, mr);

        if (s.lo < s.hi) {
            probabilities(it, w, kv, r0, rows, s, j0 + i, i, mr);
            add_keys(it, w, dv + i * a->v_row, a->v_row, w->p, w->dov, s, mr);
            add_keys(it, w, dk + i * a->k_row, a->k_row, w->ds + i * MM_ATTN_LD, w->qv, s, mr);
        }
        for (size_t t = i; t < i + mr; t++) { /* rows that other keys of the block are seen by */
            float *ds = w->ds + t * MM_ATTN_LD;
            const size_t lo = mm_attn_min(s.lo, all.hi), hi = s.hi > all.lo ? s.hi : all.lo;
            memset(ds + all.lo, 0, (lo - all.lo) * sizeof(*ds));
            memset(ds + hi, 0, (all.hi > hi ? all.hi - hi : 0) * sizeof(*ds));
        }
    }
    add_queries(it, w, all, keys);
}

static void grad_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t heads = j->items->a.kv_heads, kv = tile % heads;
    const struct mm_attn_grad_item *it = &j->items[tile / heads];
    const struct mm_attn *a = &it->a;
    const size_t n = a->nq * mm_attn_group(a);
    struct work w = { .k = mm_kern() };

    work_init(&w, j->work + (size_t)thread * j->work_floats, a->dim, mm_attn_dim(a));
    for (size_t i = 0; i < a->nk; i++) {
        memset(it->dk + i * a->k_row + kv * a->k_head, 0, a->dim * sizeof(float));
        memset(it->dv + i * a->v_row + kv * a->v_head, 0, a->dim * sizeof(float));
    }
    for (size_t r0 = 0; r0 < n; r0 += ROWS) {
        const size_t rows = mm_attn_min(ROWS, n - r0);

        load_rows(it, &w, kv, r0, rows);
        for (size_t i = 0; i < a->nk; i += KEYS)
            grad_block(it, &w, kv, r0, rows, i, mm_attn_min(KEYS, a->nk - i));
        for (size_t r = 0; r < rows; r++)
            w.k->scale(it->dq + mm_attn_at(a, kv, r0 + r, a->q_row, a->q_head), a->scale,
                        w.dq + r * mm_attn_dim(a), a->dim);
    }
}

int mm_attention_grad_many(const struct mm_attn_grad_item *items, size_t n, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job j = { .items = items };
    struct work layout;
    void *own = NULL;
    size_t bytes;

    for (size_t i = 0; i < n; i++) {
        const struct mm_attn *a = &items[i].a;

        assert(a->kv == MM_F32 && a->layout == MM_ATTN_ROWS);
        assert(a->heads == items->a.heads && a->kv_heads == items->a.kv_heads &&
               a->dim == items->a.dim);
    }
    if (!n)
        return 0;
    j.work_floats = work_init(&layout, NULL, items->a.dim, mm_attn_dim(&items->a));
    if (!mm_size_mul(j.work_floats, threads * sizeof(float), &bytes) ||
        !mm_size_align(bytes, 64, &bytes))
        return MM_ENOMEM;
    j.work = p ? mm_pool_scratch(p, bytes) : (own = aligned_alloc(64, bytes));
    if (!j.work)
        return MM_ENOMEM;
    mm_pool_run(p, n * items->a.kv_heads, grad_tile, &j);
    free(own);
    return 0;
}
