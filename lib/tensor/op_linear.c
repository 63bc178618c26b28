/* op_linear.c: products with weights, and of two activations.
 *
 * y = x W^T + b:  dx = dy W,  dW = dy^T x,  db = column sums of dy.
 */
#include "tensor/op.h"

#include <assert.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

static size_t last_axis(const struct mm_tensor *t)
{
    return t->ndim ? (size_t)t->shape[t->ndim - 1] : 1;
}

/* Product with W of a failed allocation: the sticky error. */
static void check(struct mm_ctx *c, int code)
{
    if (code < 0)
        mm_err_set(&c->err, code, "out of memory");
}

/* The matrix of w; *own is what to free afterwards. */
static const struct mm_wmat *matrix(struct mm_ctx *c, const struct mm_var *w, struct mm_wmat **own)
{
    *own = NULL;
    if (w->w)
        return w->w;
    if (mm_wmat_new(own, &w->t, MM_WMAT_BORROW, &c->err) < 0)
        return NULL;
    return *own;
}

/* --- linear -------------------------------------------------------------------- */

struct columns {
    size_t rows, width;
    const float *dy;
    float *db;
};

static void column_sums(void *arg, size_t from, size_t to)
{
    const struct columns *s = arg;

    for (size_t r = 0; r < s->rows; r++)
        for (size_t i = from; i < to; i++)
            s->db[i] += s->dy[r * s->width + i];
}

static void linear_back(struct mm_ctx *c, const struct mm_node *n)
{
    const size_t out = last_axis(&n->y->t);
    const size_t rows = out ? mm_tensor_count(&n->y->t) / out : 0;
    float *db = mm_grad(c, n->x[2]);

    if (!rows)
        return;
    if (db)
        mm_range_run(c, out, rows, column_sums, &(struct columns){ rows, out, n->y->grad, db });
}

static struct mm_var *linear_result(struct mm_ctx *c, const struct mm_var *x,
                                    const struct mm_var *w, const struct mm_var *b)
{
    int64_t shape[MM_MAX_DIMS];

    assert(x->t.ndim > 0 && w->t.ndim == 2 && w->t.shape[1] == x->t.shape[x->t.ndim - 1]);
    assert(!b || mm_tensor_count(&b->t) == (size_t)w->t.shape[0]);
    memcpy(shape, x->t.shape, sizeof(shape));
    shape[x->t.ndim - 1] = w->t.shape[0];
    return mm_var_new(c, x->t.ndim, shape);
}

static void linear_record(struct mm_ctx *c, struct mm_var *y, const struct mm_var *x,
                          const struct mm_var *w, const struct mm_var *b)
{
    assert(!w->needs_grad || w->t.data); /* a packed weight is frozen */
    mm_tape_push(c, y, linear_back, (const struct mm_var *const[]){ x, w, b }, 3, 0);
}

struct mm_var *mm_linear(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                         const struct mm_var *b)
{
    struct mm_wmat *own;
    const struct mm_wmat *m;
    struct mm_var *y;
    size_t rows;

    if (!x || !w)
        return NULL;
    y = linear_result(c, x, w, b);
    m = y ? matrix(c, w, &own) : NULL;
    if (!m)
        return NULL;
    rows = mm_tensor_count(&x->t) / last_axis(&x->t);
    check(c, mm_wmat_mul(mm_f32(y), mm_f32(x), rows, m, b ? mm_f32(b) : NULL, c->arith, c->pool));
    mm_wmat_free(own);
    linear_record(c, y, x, w, b);
    return c->err.code ? NULL : y;
}

void mm_linear_group(struct mm_ctx *c, struct mm_var **y, const struct mm_var *x,
                     const struct mm_var *const *w, const struct mm_var *const *b, int n)
{
    enum { MAX = 8 };
    const struct mm_wmat *m[MAX];
    const float *bias[MAX];
    float *out[MAX];
    bool packed = x != NULL && n <= MAX;

    for (int i = 0; i < n; i++) {
        y[i] = NULL;
        packed = packed && w[i] && w[i]->w;
    }
    if (!packed) {
        for (int i = 0; i < n; i++)
            y[i] = mm_linear(c, x, w[i], b ? b[i] : NULL);
        return;
    }
    for (int i = 0; i < n; i++) {
        y[i] = linear_result(c, x, w[i], b ? b[i] : NULL);
        if (!y[i])
            return;
        m[i] = w[i]->w;
        bias[i] = b && b[i] ? mm_f32(b[i]) : NULL;
        out[i] = mm_f32(y[i]);
    }
    check(c, mm_wmat_mul_group(out, mm_f32(x), mm_tensor_count(&x->t) / last_axis(&x->t), m, bias,
                               n, c->arith, c->pool));
    for (int i = 0; i < n; i++)
        linear_record(c, y[i], x, w[i], b ? b[i] : NULL);
}

/* --- embedding ------------------------------------------------------------------- */

struct embed {
    const struct mm_wmat *w;
    const int32_t *ids;
    size_t n, width;
    float *y;          /* [n, width] */
    const float *dy;
    float *dw;
};

static void embed_range(void *arg, size_t from, size_t to)
{
    const struct embed *s = arg;

    for (size_t i = from; i < to; i++)
        mm_wmat_row(s->y + i * s->width, s->w, (size_t)s->ids[i]);
}

/* Columns from..to-1 of the table: an id may come twice. */
static void embed_back_columns(void *arg, size_t from, size_t to)
{
    const struct embed *s = arg;

    for (size_t r = 0; r < s->n; r++) {
        const float *dy = s->dy + r * s->width;
        float *dw = s->dw + (size_t)s->ids[r] * s->width;

        for (size_t i = from; i < to; i++)
            dw[i] += dy[i];
    }
}

static void embed_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct embed s = { .ids = n->saved, .n = (size_t)n->y->t.shape[0],
                       .width = (size_t)n->y->t.shape[1] };

    s.dy = n->y->grad;
    s.dw = mm_grad(c, n->x[0]);
    if (s.dw)
        mm_range_run(c, s.width, s.n, embed_back_columns, &s);
}

struct mm_var *mm_embedding(struct mm_ctx *c, const struct mm_var *w, const int32_t *ids, size_t n)
{
    struct embed s = { .ids = ids, .n = n };
    struct mm_wmat *own;
    struct mm_var *y;
    int32_t *saved;

    if (!w)
        return NULL;
    assert(w->t.ndim == 2);
    for (size_t i = 0; i < n; i++)
        assert(ids[i] >= 0 && ids[i] < w->t.shape[0]);
    y = mm_var_new(c, 2, (const int64_t[]){ (int64_t)n, w->t.shape[1] });
    s.w = y ? matrix(c, w, &own) : NULL;
    if (!s.w)
        return NULL;
    s.width = (size_t)w->t.shape[1];
    s.y = mm_f32(y);
    mm_range_run(c, n, s.width, embed_range, &s);
    mm_wmat_free(own);
    assert(!w->needs_grad || w->t.data);
    saved = mm_tape_push(c, y, embed_back, &w, 1, n * sizeof(*ids));
    if (saved && n)
        memcpy(saved, ids, n * sizeof(*ids));
    return y;
}
