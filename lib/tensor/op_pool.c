/* op_pool.c: average and maximum over windows of the last two axes. */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>

#include "tensor/range.h"
#include "tensor/tape.h"

struct pool {
    struct mm_pool2d p;
    size_t planes, h, w, oh, ow;
    const float *x;
    float *y;
    int32_t *best; /* MM_POOL_MAX: where each maximum stands in its plane */
    const float *dy;
    float *dx;
};

/* The part of window o that lies in an axis of length n; returns how much of it
 * lies in the axis with its padding. */
static int window(const struct mm_pool2d *p, size_t o, size_t n, size_t *from, size_t *to)
{
    const int lo = (int)o * p->stride - p->padding;
    const int end = lo + p->kernel < (int)n + p->padding ? lo + p->kernel : (int)n + p->padding;

    *from = lo > 0 ? (size_t)lo : 0;
    *to = end < (int)n ? (size_t)end : n;
    return end - lo;
}

/* y, or (back) the gradient, of window (oy, ox) of an average over a plane. */
static void average(const struct pool *s, size_t plane, size_t oy, size_t ox)
{
    const size_t out = (plane * s->oh + oy) * s->ow + ox, in = plane * s->h * s->w;
    size_t y0, y1, x0, x1;
    const int tall = window(&s->p, oy, s->h, &y0, &y1), wide = window(&s->p, ox, s->w, &x0, &x1);
    const double n = s->p.count_padding ? (double)tall * wide : (double)((y1 - y0) * (x1 - x0));
    double sum = 0;

    for (size_t y = y0; y < y1; y++)
        for (size_t x = x0; x < x1; x++)
            if (s->dx)
                s->dx[in + y * s->w + x] += (float)((double)s->dy[out] / n);
            else
                sum += (double)s->x[in + y * s->w + x];
    if (!s->dx)
        s->y[out] = (float)(sum / n);
}

static void maximum(const struct pool *s, size_t plane, size_t oy, size_t ox)
{
    const size_t out = (plane * s->oh + oy) * s->ow + ox, in = plane * s->h * s->w;
    size_t y0, y1, x0, x1;
    float best = -INFINITY;

    if (s->dx) {
        s->dx[in + (size_t)s->best[out]] += s->dy[out];
        return;
    }
    window(&s->p, oy, s->h, &y0, &y1);
    window(&s->p, ox, s->w, &x0, &x1);
    s->best[out] = (int32_t)(y0 * s->w + x0);
    for (size_t y = y0; y < y1; y++)
        for (size_t x = x0; x < x1; x++)
            if (s->x[in + y * s->w + x] > best) {
                best = s->x[in + y * s->w + x];
                s->best[out] = (int32_t)(y * s->w + x);
            }
    s->y[out] = s->x[in + (size_t)s->best[out]];
}

static void pool_range(void *arg, size_t from, size_t to)
{
    const struct pool *s = arg;

    for (size_t i = from; i < to; i++)
        for (size_t oy = 0; oy < s->oh; oy++)
            for (size_t ox = 0; ox < s->ow; ox++)
                if (s->p.kind == MM_POOL_MAX)
                    maximum(s, i, oy, ox);
                else
                    average(s, i, oy, ox);
}

static size_t cost(const struct pool *s)
{
    return s->oh * s->ow * (size_t)s->p.kernel * (size_t)s->p.kernel;
}

static void pool_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct pool s = *(const struct pool *)n->saved;

    s.dy = n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx)
        mm_range_run(c, s.planes, cost(&s), pool_range, &s);
}

struct mm_var *mm_pool2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_pool2d *p)
{
    struct pool s = { .p = *p, .planes = 1 }, *saved;
    int64_t shape[MM_MAX_DIMS];
    struct mm_var *y;

    if (!x)
        return NULL;
    assert(x->t.ndim >= 2 && p->stride > 0 && p->padding >= 0 && p->padding <= p->kernel / 2);
    for (int i = 0; i < x->t.ndim; i++) {
        const bool plane = i >= x->t.ndim - 2;

        assert(!plane || x->t.shape[i] + 2 * p->padding >= p->kernel);
        shape[i] =
            plane ? (x->t.shape[i] + 2 * p->padding - p->kernel) / p->stride + 1 : x->t.shape[i];
        s.planes *= plane ? 1 : (size_t)shape[i];
    }
    y = mm_var_new(c, x->t.ndim, shape);
    s.best = y ? mm_ctx_alloc(c, mm_tensor_count(&y->t), sizeof(*s.best)) : NULL;
    if (!s.best)
        return NULL;
    s.h = (size_t)x->t.shape[x->t.ndim - 2];
    s.w = (size_t)x->t.shape[x->t.ndim - 1];
    s.oh = (size_t)shape[x->t.ndim - 2];
    s.ow = (size_t)shape[x->t.ndim - 1];
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, s.planes, cost(&s), pool_range, &s);
    saved = mm_tape_push(c, y, pool_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}
