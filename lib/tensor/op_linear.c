/* op_linear.c: products with weights, and of two activations.
 *
 * y = x W^T + b:  dx = dy W,  dW = dy^T x,  db = column sums of dy.
 */
#include "tensor/op.h"

#include <assert.h>
#include <string.h>

#include "kernel/gemm.h"
#include "tensor/range.h"
#include "tensor/tape.h"

static size_t last_axis(const struct mm_tensor *t)
{
    return t->ndim ? (size_t)t->shape[t->ndim - 1] : 1;
}

/* The sticky error of a product that could not allocate. */
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
    if (mm_wmat_new(own, &w->t, MM_WMAT_BORROW, c->pool, &c->err) < 0)
        return NULL;
    return *own;
}

/* --- linear -------------------------------------------------------------------- */

/* Is w's product that of its f32 rows?  A weight that is trained has a wmat over them
 * too, whose products take any type and are slower. */
static bool is_plain(const struct mm_var *w)
{
    return !w->w || (w->needs_grad && w->t.data);
}

/* dx of rows of dy: f32 weights are added to what is there, others go through scratch. */
static void linear_back_x(struct mm_ctx *c, struct mm_var *x, const float *dy, size_t rows,
                          const struct mm_var *w)
{
    const size_t out = (size_t)w->t.shape[0], in = (size_t)w->t.shape[1];
    float beta, *dx;

    if (!is_plain(w)) {
        dx = mm_grad_open(c, x);
        if (dx)
            check(c, mm_wmat_mul_t(dx, dy, rows, w->w, c->pool));
        mm_grad_close(c, x, dx);
        return;
    }
    dx = mm_grad_sum(c, x, &beta);
    if (dx)
        check(c, mm_gemm(MM_NOTRANS, MM_NOTRANS, rows, in, out, 1, dy, out, mm_f32(w), in, beta, dx,
                         in, c->pool));
}

static void linear_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct mm_var *const w = n->x[1];
    const size_t out = last_axis(&n->y->t), in = last_axis(&n->x[0]->t);
    const size_t rows = out ? mm_tensor_count(&n->y->t) / out : 0;
    float *db = mm_grad(c, n->x[2]), *dw, beta;

    if (!rows)
        return;
    dw = mm_grad_sum(c, n->x[1], &beta);
    if (dw)
        check(c, mm_gemm(MM_TRANS, MM_NOTRANS, out, in, rows, 1, n->y->grad, out, mm_f32(n->x[0]),
                         in, beta, dw, in, c->pool));
    if (db)
        mm_range_add_rows(c, db, n->y->grad, rows, out);
    linear_back_x(c, n->x[0], n->y->grad, rows, w);
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

/* y and what the adapter of w, if it has one, adds to it. */
static struct mm_var *with_lora(struct mm_ctx *c, struct mm_var *y, const struct mm_var *x,
                                const struct mm_var *w)
{
    const struct mm_lora *l = w->lora;

    if (!l || !y)
        return y;
    return mm_add(c, y,
                  mm_linear(c, mm_scale(c, mm_linear(c, x, l->a, NULL), l->scale), l->b, NULL));
}

struct rows {
    float *y;
    const float *b;
    size_t width;
};

static void repeat_row(void *arg, size_t from, size_t to)
{
    const struct rows *s = arg;

    for (size_t r = from; r < to; r++)
        memcpy(s->y + r * s->width, s->b, s->width * sizeof(float));
}

/* y = x W^T + b with a weight that is plain f32. */
static int product(struct mm_ctx *c, const struct mm_var *y, const struct mm_var *x, size_t rows,
                   const struct mm_var *w, const struct mm_var *b)
{
    const size_t out = (size_t)w->t.shape[0], in = (size_t)w->t.shape[1];

    if (b)
        mm_range_run(c, rows, out, repeat_row, &(struct rows){ mm_f32(y), mm_f32(b), out });
    return mm_gemm(MM_NOTRANS, MM_TRANS, rows, out, in, 1, mm_f32(x), in, mm_f32(w), in,
                   b ? 1 : 0, mm_f32(y), out, c->pool);
}

struct mm_var *mm_linear(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                         const struct mm_var *b)
{
    struct mm_var *y;
    size_t rows;

    if (!x || !w)
        return NULL;
    y = linear_result(c, x, w, b);
    if (!y)
        return NULL;
    rows = mm_tensor_count(&x->t) / last_axis(&x->t);
    if (is_plain(w))
        check(c, product(c, y, x, rows, w, b));
    else
        check(c, mm_wmat_mul(mm_f32(y), mm_f32(x), rows, w->w, b ? mm_f32(b) : NULL, c->arith,
                             c->pool));
    linear_record(c, y, x, w, b);
    return c->err.code ? NULL : with_lora(c, y, x, w);
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
        packed = packed && w[i] && !is_plain(w[i]);
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
    for (int i = 0; i < n; i++) {
        linear_record(c, y[i], x, w[i], b ? b[i] : NULL);
        y[i] = with_lora(c, y[i], x, w[i]);
    }
}

/* --- embedding ------------------------------------------------------------------- */

struct embed {
    const struct mm_wmat *w;
    const int32_t *ids;
    size_t n, width;
    float *y; /* [n, width] */
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
    struct embed s = { .ids = n->saved,
                       .n = (size_t)n->y->t.shape[0],
                       .width = (size_t)n->y->t.shape[1] };

    s.dy = n->y->grad;
    s.dw = mm_grad(c, n->x[0]);
    if (s.dw)
        mm_range_columns(c, s.width, s.n, embed_back_columns, &s);
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

/* --- matmul ------------------------------------------------------------------------- */

struct matmul {
    enum mm_matmul_kind kind;
    size_t batch, m, n, k;
    size_t a_step, b_step; /* elements from one batch to the next */
};

static bool turned_a(enum mm_matmul_kind kind)
{
    return kind == MM_MATMUL_TN || kind == MM_MATMUL_TT;
}

static bool turned_b(enum mm_matmul_kind kind)
{
    return kind == MM_MATMUL_NT || kind == MM_MATMUL_TT;
}

/* da and db of one batch, added. */
static void matmul_back_one(struct mm_ctx *c, const struct matmul *s, const float *a,
                            const float *b, const float *dy, float *da, float *db)
{
    const bool ta = turned_a(s->kind), tb = turned_b(s->kind);
    const size_t lda = ta ? s->m : s->k, ldb = tb ? s->k : s->n;

    if (da && !ta) /* dA = dY op(B)^T */
        check(c, mm_gemm(MM_NOTRANS, tb ? MM_NOTRANS : MM_TRANS, s->m, s->k, s->n, 1, dy, s->n, b,
                         ldb, 1, da, lda, c->pool));
    else if (da) /* its transpose */
        check(c, mm_gemm(tb ? MM_TRANS : MM_NOTRANS, MM_TRANS, s->k, s->m, s->n, 1, b, ldb, dy,
                         s->n, 1, da, lda, c->pool));
    if (db && !tb) /* dB = op(A)^T dY */
        check(c, mm_gemm(ta ? MM_NOTRANS : MM_TRANS, MM_NOTRANS, s->k, s->n, s->m, 1, a, lda, dy,
                         s->n, 1, db, ldb, c->pool));
    else if (db)
        check(c, mm_gemm(MM_TRANS, ta ? MM_TRANS : MM_NOTRANS, s->n, s->k, s->m, 1, dy, s->n, a,
                         lda, 1, db, ldb, c->pool));
}

static void matmul_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct matmul *s = n->saved;
    float *da = mm_grad(c, n->x[0]), *db = mm_grad(c, n->x[1]);

    for (size_t i = 0; i < s->batch; i++)
        matmul_back_one(c, s, mm_f32(n->x[0]) + i * s->a_step, mm_f32(n->x[1]) + i * s->b_step,
                        n->y->grad + i * s->m * s->n, da ? da + i * s->a_step : NULL,
                        db ? db + i * s->b_step : NULL);
}

static struct matmul matmul_shape(enum mm_matmul_kind kind, const struct mm_tensor *a,
                                  const struct mm_tensor *b)
{
    const bool ta = turned_a(kind), tb = turned_b(kind);
    struct matmul s = { .kind = kind, .batch = 1 };

    assert(a->ndim >= 2 && b->ndim >= 2);
    for (int i = 0; i < a->ndim - 2; i++)
        s.batch *= (size_t)a->shape[i];
    s.m = (size_t)a->shape[a->ndim - (ta ? 1 : 2)];
    s.k = (size_t)a->shape[a->ndim - (ta ? 2 : 1)];
    s.n = (size_t)b->shape[b->ndim - (tb ? 2 : 1)];
    assert((size_t)b->shape[b->ndim - (tb ? 1 : 2)] == s.k);
    s.a_step = s.m * s.k;
    if (b->ndim > 2) {
        assert(b->ndim == a->ndim);
        for (int i = 0; i < a->ndim - 2; i++)
            assert(a->shape[i] == b->shape[i]);
        s.b_step = s.k * s.n;
    }
    return s;
}

struct mm_var *mm_matmul(struct mm_ctx *c, enum mm_matmul_kind kind, const struct mm_var *a,
                         const struct mm_var *b)
{
    int64_t shape[MM_MAX_DIMS];
    struct matmul s, *saved;
    struct mm_var *y;

    if (!a || !b)
        return NULL;
    s = matmul_shape(kind, &a->t, &b->t);
    memcpy(shape, a->t.shape, sizeof(shape));
    shape[a->t.ndim - 2] = (int64_t)s.m;
    shape[a->t.ndim - 1] = (int64_t)s.n;
    y = mm_var_new(c, a->t.ndim, shape);
    if (!y)
        return NULL;
    for (size_t i = 0; i < s.batch; i++)
        check(c, mm_gemm(turned_a(kind) ? MM_TRANS : MM_NOTRANS,
                         turned_b(kind) ? MM_TRANS : MM_NOTRANS, s.m, s.n, s.k, 1,
                         mm_f32(a) + i * s.a_step, turned_a(kind) ? s.m : s.k,
                         mm_f32(b) + i * s.b_step, turned_b(kind) ? s.k : s.n, 0,
                         mm_f32(y) + i * s.m * s.n, s.n, c->pool));
    saved =
        mm_tape_push(c, y, matmul_back, (const struct mm_var *const[]){ a, b }, 2, sizeof(*saved));
    if (saved)
        *saved = s;
    return c->err.code ? NULL : y;
}
