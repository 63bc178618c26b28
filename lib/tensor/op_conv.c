/* op_conv.c: convolutions as products with unfolded patches ("im2col").
 *
 * Per picture and group, with P output places, R = C/g * kh * kw:
 *   cols [R, P] = unfold(x);  y [O/g, P] = W [O/g, R] cols
 *   dW = dy cols^T;  dx = fold(W^T dy)
 * The transposed convolution is the same read backwards.  As in the field, the
 * kernel is not flipped (cross-correlation).
 */
#include "tensor/op.h"

#include <assert.h>
#include <string.h>

#include "kernel/gemm.h"
#include "tensor/range.h"
#include "tensor/tape.h"

/* The "image" side [c, h, w] and the "places" side [ph, pw] of an unfolding. */
struct unfold {
    struct mm_conv conv;
    size_t c, h, w; /* c: channels of one group */
    size_t kh, kw, ph, pw;
};

struct unfold_job {
    const struct unfold *u;
    const float *from;
    float *to;
};

/* Where place p of tap k meets an axis of length n; false outside. */
static bool meets(size_t p, size_t k, int stride, int padding, int dilation, size_t n, size_t *at)
{
    const ptrdiff_t i = (ptrdiff_t)p * stride - padding + (ptrdiff_t)k * dilation;

    *at = (size_t)i;
    return i >= 0 && (size_t)i < n;
}

/* Rows of cols from..to-1; row (c, ky, kx). */
static void unfold_range(void *arg, size_t from, size_t to)
{
    const struct unfold_job *job = arg;
    const struct unfold *u = job->u;
    const struct mm_conv *v = &u->conv;

    for (size_t r = from; r < to; r++) {
        const float *x = job->from + r / (u->kh * u->kw) * u->h * u->w;
        float *row = job->to + r * u->ph * u->pw;
        size_t iy, ix;

        for (size_t p = 0; p < u->ph; p++) {
            const bool in =
                meets(p, r / u->kw % u->kh, v->stride[0], v->padding[0], v->dilation[0], u->h, &iy);

            for (size_t q = 0; q < u->pw; q++)
                row[p * u->pw + q] = in && meets(q, r % u->kw, v->stride[1], v->padding[1],
                                                 v->dilation[1], u->w, &ix)
                                         ? x[iy * u->w + ix]
                                         : 0;
        }
    }
}

/* Channels from..to-1 of x, to which their rows of cols are added. */
static void fold_range(void *arg, size_t from, size_t to)
{
    const struct unfold_job *job = arg;
    const struct unfold *u = job->u;
    const struct mm_conv *v = &u->conv;

    for (size_t r = from * u->kh * u->kw; r < to * u->kh * u->kw; r++) {
        float *x = job->to + r / (u->kh * u->kw) * u->h * u->w;
        const float *row = job->from + r * u->ph * u->pw;
        size_t iy, ix;

        for (size_t p = 0; p < u->ph; p++) {
            if (!meets(p, r / u->kw % u->kh, v->stride[0], v->padding[0], v->dilation[0], u->h,
                       &iy))
                continue;
            for (size_t q = 0; q < u->pw; q++)
                if (meets(q, r % u->kw, v->stride[1], v->padding[1], v->dilation[1], u->w, &ix))
                    x[iy * u->w + ix] += row[p * u->pw + q];
        }
    }
}

static size_t col_rows(const struct unfold *u)
{
    return u->c * u->kh * u->kw;
}

static size_t places(const struct unfold *u)
{
    return u->ph * u->pw;
}

static void unfold(struct mm_ctx *c, const struct unfold *u, float *cols, const float *x)
{
    mm_range_run(c, col_rows(u), places(u), unfold_range, &(struct unfold_job){ u, x, cols });
}

static void fold_add(struct mm_ctx *c, const struct unfold *u, float *x, const float *cols)
{
    mm_range_run(c, u->c, u->kh * u->kw * places(u), fold_range,
                 &(struct unfold_job){ u, cols, x });
}

static void gemm(struct mm_ctx *c, enum mm_trans ta, enum mm_trans tb, size_t m, size_t n, size_t k,
                 const float *a, const float *b, float beta, float *out)
{
    const size_t lda = ta == MM_TRANS ? m : k, ldb = tb == MM_TRANS ? k : n;

    if (mm_gemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, out, n, c->pool) < 0)
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
}

static void add_bias(float *y, const float *b, size_t batch, size_t channels, size_t n)
{
    for (size_t i = 0; b && i < batch * channels; i++)
        for (size_t j = 0; j < n; j++)
            y[i * n + j] += b[i % channels];
}

static void bias_back(float *db, const float *dy, size_t batch, size_t channels, size_t n)
{
    for (size_t i = 0; db && i < batch * channels; i++) {
        double sum = 0;

        for (size_t j = 0; j < n; j++)
            sum += (double)dy[i * n + j];
        db[i % channels] += (float)sum;
    }
}

/* --- conv2d ------------------------------------------------------------------------ */

/* One picture and one group: pointers to its part of each tensor. */
struct part {
    const float *x, *w, *dy;
    float *y, *dx, *dw;
};

struct conv {
    struct unfold u;
    size_t batch, groups, out; /* out: channels of one group of y */
};

static void conv_part(struct mm_ctx *c, const struct conv *s, const struct part *p, float *cols)
{
    unfold(c, &s->u, cols, p->x);
    gemm(c, MM_NOTRANS, MM_NOTRANS, s->out, places(&s->u), col_rows(&s->u), p->w, cols, 0, p->y);
}

static void conv_part_back(struct mm_ctx *c, const struct conv *s, const struct part *p,
                           float *cols)
{
    const size_t rows = col_rows(&s->u), n = places(&s->u);

    if (p->dw) {
        unfold(c, &s->u, cols, p->x);
        gemm(c, MM_NOTRANS, MM_TRANS, s->out, rows, n, p->dy, cols, 1, p->dw);
    }
    if (p->dx) {
        gemm(c, MM_TRANS, MM_NOTRANS, rows, n, s->out, p->w, p->dy, 0, cols);
        fold_add(c, &s->u, p->dx, cols);
    }
}

/* Part g of picture b; the tensors that are NULL stay so. */
static struct part part_of(const struct conv *s, const struct part *all, size_t b, size_t g)
{
    const size_t i = b * s->groups + g;
    const size_t xs = i * s->u.c * s->u.h * s->u.w, ys = i * s->out * places(&s->u);
    const size_t ws = g * s->out * col_rows(&s->u);

    return (struct part){
        .x = all->x + xs,
        .w = all->w + ws,
        .dy = all->dy ? all->dy + ys : NULL,
        .y = all->y ? all->y + ys : NULL,
        .dx = all->dx ? all->dx + xs : NULL,
        .dw = all->dw ? all->dw + ws : NULL,
    };
}

static void conv_run(struct mm_ctx *c, const struct conv *s, const struct part *all,
                     void (*fn)(struct mm_ctx *c, const struct conv *s, const struct part *p,
                                float *cols))
{
    const struct mm_arena_mark mark = mm_arena_mark(c->arena);
    float *cols = mm_ctx_alloc(c, col_rows(&s->u) * places(&s->u), sizeof(*cols));

    for (size_t b = 0; cols && b < s->batch; b++)
        for (size_t g = 0; g < s->groups; g++) {
            const struct part p = part_of(s, all, b, g);

            fn(c, s, &p, cols);
        }
    mm_arena_release(c->arena, mark);
}

static void conv_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct conv *s = n->saved;
    const struct part all = { .x = mm_f32(n->x[0]),
                              .w = mm_f32(n->x[1]),
                              .dy = n->y->grad,
                              .dx = mm_grad(c, n->x[0]),
                              .dw = mm_grad(c, n->x[1]) };

    conv_run(c, s, &all, conv_part_back);
    bias_back(mm_grad(c, n->x[2]), n->y->grad, s->batch, s->groups * s->out, places(&s->u));
}

/* Length of an axis after a convolution. */
static int64_t conv_len(const struct mm_conv *v, int axis, int64_t n, int64_t k)
{
    const int64_t span = n + 2 * v->padding[axis] - v->dilation[axis] * (k - 1) - 1;

    assert(v->stride[axis] > 0 && v->dilation[axis] > 0 && v->padding[axis] >= 0 && span >= 0);
    return span / v->stride[axis] + 1;
}

struct mm_var *mm_conv2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                         const struct mm_var *b, const struct mm_conv *v)
{
    struct conv s, *saved;
    struct mm_var *y;
    int64_t ph, pw;

    if (!x || !w)
        return NULL;
    assert(x->t.ndim == 4 && w->t.ndim == 4 && mm_f32(w) && v->groups > 0);
    assert(x->t.shape[1] == w->t.shape[1] * v->groups && w->t.shape[0] % v->groups == 0);
    assert(!b || mm_tensor_count(&b->t) == (size_t)w->t.shape[0]);
    ph = conv_len(v, 0, x->t.shape[2], w->t.shape[2]);
    pw = conv_len(v, 1, x->t.shape[3], w->t.shape[3]);
    y = mm_var_new(c, 4, (const int64_t[]){ x->t.shape[0], w->t.shape[0], ph, pw });
    if (!y)
        return NULL;
    s = (struct conv){
        .u = { *v, (size_t)w->t.shape[1], (size_t)x->t.shape[2], (size_t)x->t.shape[3],
               (size_t)w->t.shape[2], (size_t)w->t.shape[3], (size_t)ph, (size_t)pw },
        .batch = (size_t)x->t.shape[0],
        .groups = (size_t)v->groups,
        .out = (size_t)(w->t.shape[0] / v->groups),
    };
    conv_run(c, &s, &(struct part){ .x = mm_f32(x), .w = mm_f32(w), .y = mm_f32(y) }, conv_part);
    add_bias(mm_f32(y), b ? mm_f32(b) : NULL, s.batch, s.groups * s.out, places(&s.u));
    saved =
        mm_tape_push(c, y, conv_back, (const struct mm_var *const[]){ x, w, b }, 3, sizeof(*saved));
    if (saved)
        *saved = s;
    return c->err.code ? NULL : y;
}

/* --- transposed: x takes the places of an unfolding of y ------------------------------ */

static void transposed_part(struct mm_ctx *c, const struct conv *s, const struct part *p,
                            float *cols)
{
    gemm(c, MM_TRANS, MM_NOTRANS, col_rows(&s->u), places(&s->u), s->out, p->w, p->dy, 0, cols);
    fold_add(c, &s->u, p->dx, cols);
}

/* p->x is the gradient of y, p->dy is x and p->y where its gradient is added. */
static void transposed_part_back(struct mm_ctx *c, const struct conv *s, const struct part *p,
                                 float *cols)
{
    const size_t rows = col_rows(&s->u), n = places(&s->u);

    unfold(c, &s->u, cols, p->x);
    if (p->y)
        gemm(c, MM_NOTRANS, MM_NOTRANS, s->out, n, rows, p->w, cols, 1, p->y);
    if (p->dw)
        gemm(c, MM_NOTRANS, MM_TRANS, s->out, rows, n, p->dy, cols, 1, p->dw);
}

static void transposed_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct conv *s = n->saved;
    const struct part all = { .x = n->y->grad,
                              .w = mm_f32(n->x[1]),
                              .dy = mm_f32(n->x[0]),
                              .y = mm_grad(c, n->x[0]),
                              .dw = mm_grad(c, n->x[1]) };

    conv_run(c, s, &all, transposed_part_back);
    bias_back(mm_grad(c, n->x[2]), n->y->grad, s->batch, s->groups * s->u.c, s->u.h * s->u.w);
}

struct mm_var *mm_conv_transpose2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                                   const struct mm_var *b, const struct mm_conv *v,
                                   const int *output_padding)
{
    struct conv s, *saved;
    struct mm_var *y;
    int64_t len[2];

    if (!x || !w)
        return NULL;
    assert(x->t.ndim == 4 && w->t.ndim == 4 && mm_f32(w) && x->t.shape[1] == w->t.shape[0]);
    assert(v->groups > 0 && x->t.shape[1] % v->groups == 0);
    for (int i = 0; i < 2; i++) {
        len[i] = (x->t.shape[2 + i] - 1) * v->stride[i] - 2 * v->padding[i] +
                 v->dilation[i] * (w->t.shape[2 + i] - 1) + output_padding[i] + 1;
        assert(len[i] > 0);
    }
    y = mm_var_new(c, 4,
                   (const int64_t[]){ x->t.shape[0], w->t.shape[1] * v->groups, len[0], len[1] });
    if (!y)
        return NULL;
    s = (struct conv){
        .u = { *v, (size_t)w->t.shape[1], (size_t)len[0], (size_t)len[1], (size_t)w->t.shape[2],
               (size_t)w->t.shape[3], (size_t)x->t.shape[2], (size_t)x->t.shape[3] },
        .batch = (size_t)x->t.shape[0],
        .groups = (size_t)v->groups,
        .out = (size_t)(x->t.shape[1] / v->groups),
    };
    memset(mm_f32(y), 0, mm_tensor_bytes(&y->t));
    conv_run(c, &s,
             &(struct part){ .x = mm_f32(y), .w = mm_f32(w), .dy = mm_f32(x), .dx = mm_f32(y) },
             transposed_part);
    add_bias(mm_f32(y), b ? mm_f32(b) : NULL, s.batch, s.groups * s.u.c, s.u.h * s.u.w);
    saved = mm_tape_push(c, y, transposed_back, (const struct mm_var *const[]){ x, w, b }, 3,
                         sizeof(*saved));
    if (saved)
        *saved = s;
    return c->err.code ? NULL : y;
}
