/* op_head.c: the head of a language model and its cross-entropy as one operation.
 *
 *   L = scale sum_i (lse_i - x_i[t_i]),  x = h W^T;   dx = scale (p - onehot(t))
 *
 * The loss is linear in itself, so dx, and with it dh = dx W and dW = dx^T h, can be
 * had while a chunk of logits is still in the cache.  Rows without a target cost
 * nothing.
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/gemm.h"
#include "tensor/range.h"
#include "tensor/tape.h"

enum { LOGITS = 4 << 20, LEAST = 64, MOST = 1024 }; /* numbers of a chunk; its rows */

struct head {
    const struct mm_wmat *w; /* or NULL: */
    const float *plain;      /* [vocab, dim] */
    size_t vocab, dim, rows; /* rows: with a target */
    const int32_t *target;   /* [rows] */
    float scale;
    float *x;                /* [chunk, vocab]: logits, then their gradient */
    float *h;                /* [rows, dim] */
    float *dh;               /* [rows, dim], or NULL */
    float *dw;               /* [vocab, dim], or NULL */
    float beta;              /* what is in dw counts: 1, or 0 */
    float *loss;             /* [rows] */
    size_t first;            /* row of x[0] */
};

/* What backward needs. */
struct saved {
    float *dh;
    size_t rows;
    int32_t *row; /* [rows] of h */
};

/* exp in place is allowed by the kernel's contract: y may be x. */
static void loss_range(void *arg, size_t from, size_t to)
{
    const struct head *s = arg;

    for (size_t r = from; r < to; r++) {
        float *x = s->x + r * s->vocab;
        const int32_t t = s->target[s->first + r];
        const float m = mm_kern()->max(x, s->vocab), own = x[t];
        const float sum = mm_kern()->exp_sum(x, x, m, s->vocab);

        s->loss[s->first + r] = m + logf(sum) - own;
        mm_kern()->scale(x, s->scale / sum, x, s->vocab);
        x[t] -= s->scale;
    }
}

static int logits(struct mm_ctx *c, struct head *s, const float *h, size_t n)
{
    if (s->w)
        return mm_wmat_mul(s->x, h, n, s->w, NULL, c->arith, c->pool);
    return mm_gemm(MM_NOTRANS, MM_TRANS, n, s->vocab, s->dim, 1, h, s->dim, s->plain, s->dim, 0,
                   s->x, s->vocab, c->pool);
}

static int back_h(struct mm_ctx *c, struct head *s, size_t n)
{
    float *dh = s->dh + s->first * s->dim;

    if (s->w)
        return mm_wmat_mul_t(dh, s->x, n, s->w, c->pool);
    return mm_gemm(MM_NOTRANS, MM_NOTRANS, n, s->dim, s->vocab, 1, s->x, s->vocab, s->plain,
                   s->dim, 0, dh, s->dim, c->pool);
}

static bool chunk(struct mm_ctx *c, struct head *s, size_t n)
{
    const float *h = s->h + s->first * s->dim;
    int rc = logits(c, s, h, n);

    if (rc == 0) {
        mm_range_run(c, n, 4 * s->vocab, loss_range, s);
        if (s->dh)
            rc = back_h(c, s, n);
    }
    if (rc == 0 && s->dw)
        rc = mm_gemm(MM_TRANS, MM_NOTRANS, s->vocab, s->dim, n, 1, s->x, s->vocab, h, s->dim,
                     s->first ? 1 : s->beta, s->dw, s->dim, c->pool);
    if (rc < 0)
        mm_err_set(&c->err, rc, "out of memory");
    return rc == 0;
}

static void head_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct saved *s = n->saved;
    const size_t dim = (size_t)n->x[0]->t.shape[1];
    float *dx = mm_grad(c, n->x[0]);

    assert(*n->y->grad == 1);
    for (size_t r = 0; dx && r < s->rows; r++) {
        float *to = dx + (size_t)s->row[r] * dim;

        mm_kern()->add(to, to, s->dh + r * dim, dim);
    }
}

/* The rows of h that have a target, one after another, and their targets. */
static size_t gather(struct mm_ctx *c, struct head *s, int32_t **row, const struct mm_var *h,
                     const int32_t *target)
{
    const size_t all = (size_t)h->t.shape[0];
    int32_t *t = mm_ctx_alloc(c, all, sizeof(*t));
    size_t n = 0;

    *row = mm_ctx_alloc(c, all, sizeof(**row));
    s->h = mm_ctx_alloc(c, all * s->dim, sizeof(float));
    if (!t || !*row || !s->h)
        return 0;
    for (size_t i = 0; i < all; i++) {
        if (target[i] < 0)
            continue;
        assert((size_t)target[i] < s->vocab);
        memcpy(s->h + n * s->dim, mm_f32(h) + i * s->dim, s->dim * sizeof(float));
        t[n] = target[i];
        (*row)[n++] = (int32_t)i;
    }
    s->target = t;
    return n;
}

/* Everything in the scratch above dh; the sum of losses. */
static double run(struct mm_ctx *c, struct head *s)
{
    size_t step = LOGITS / (s->vocab ? s->vocab : 1);
    double sum = 0;

    step = step < LEAST ? LEAST : step > MOST ? MOST : step;
    step = step < s->rows ? step : s->rows;
    s->x = mm_ctx_alloc(c, step * s->vocab, sizeof(float));
    s->loss = mm_ctx_alloc(c, s->rows, sizeof(float));
    for (s->first = 0; !c->err.code && s->first < s->rows; s->first += step)
        if (!chunk(c, s, s->rows - s->first < step ? s->rows - s->first : step))
            break;
    for (size_t r = 0; !c->err.code && r < s->rows; r++)
        sum += (double)s->loss[r];
    return sum;
}

struct mm_var *mm_head_loss(struct mm_ctx *c, const struct mm_var *h, const struct mm_var *w,
                            const int32_t *target, float scale)
{
    const struct mm_var *const in[] = { h, w };
    int32_t *row = NULL;

    if (!h || !w)
        return NULL;
    assert(h->t.ndim == 2 && w->t.ndim == 2 && w->t.shape[1] == h->t.shape[1]);
    struct head s = { .vocab = (size_t)w->t.shape[0], .dim = (size_t)w->t.shape[1],
                      .scale = scale, .w = w->needs_grad ? NULL : w->w,
                      .plain = w->t.data };
    const bool records = mm_tape_records(c, in, 2);
    struct mm_var *y = mm_var_new(c, 0, NULL);
    if (!y)
        return NULL;
    /* dh first: what lies behind it goes with the scope */
    if (records && h->needs_grad)
        s.dh = mm_ctx_alloc(c, mm_tensor_count(&h->t), sizeof(float));
    struct mm_var *const trained = (struct mm_var *)w; /* its gradient is made here */
    if (records)
        s.dw = mm_grad_sum(c, trained, &s.beta);
    int32_t *kept = mm_ctx_alloc(c, (size_t)h->t.shape[0], sizeof(*kept));
    const struct mm_arena_mark mark = mm_arena_mark(c->arena);
    s.rows = kept ? gather(c, &s, &row, h, target) : 0;
    if (s.dw && !s.rows && s.beta == 0)
        trained->fresh = true; /* nothing will be written */
    *mm_f32(y) = (float)((double)scale * run(c, &s));
    if (!c->err.code)
        memcpy(kept, row, s.rows * sizeof(*kept));
    mm_arena_release(c->arena, mark);
    struct saved *saved = mm_tape_push(c, y, head_back, in, 2, sizeof(*saved));
    if (saved)
        *saved = (struct saved){ .dh = s.dh, .rows = s.rows, .row = kept };
    return c->err.code ? NULL : y;
}
