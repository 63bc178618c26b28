/* op_reduce.c: sums and means.  Sums run in double, in order. */
#include "tensor/op.h"

#include <assert.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

struct reduce {
    size_t rows, width;
    float scale;
    const float *x;
    float *y;
    const float *dy;
    float *dx;
};

static void reduce_range(void *arg, size_t from, size_t to)
{
    const struct reduce *s = arg;

    for (size_t r = from; r < to; r++) {
        double sum = 0;

        for (size_t i = 0; i < s->width; i++)
            sum += (double)s->x[r * s->width + i];
        s->y[r] = (float)(sum * (double)s->scale);
    }
}

static void reduce_back_range(void *arg, size_t from, size_t to)
{
    const struct reduce *s = arg;

    for (size_t r = from; r < to; r++)
        for (size_t i = 0; i < s->width; i++)
            s->dx[r * s->width + i] += s->dy[r] * s->scale;
}

static void reduce_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct reduce s = *(const struct reduce *)n->saved;

    s.dy = n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx)
        mm_range_run(c, s.rows, s.width, reduce_back_range, &s);
}

struct mm_var *mm_reduce(struct mm_ctx *c, const struct mm_var *x, int naxes,
                         enum mm_reduction reduction)
{
    struct reduce s = { .rows = 1, .width = 1, .scale = 1 }, *saved;
    struct mm_var *y;

    if (!x)
        return NULL;
    assert(naxes >= 0 && naxes <= x->t.ndim);
    y = mm_var_new(c, x->t.ndim - naxes, x->t.shape);
    if (!y)
        return NULL;
    for (int i = x->t.ndim - naxes; i < x->t.ndim; i++)
        s.width *= (size_t)x->t.shape[i];
    s.rows = mm_tensor_count(&y->t);
    if (reduction == MM_REDUCE_MEAN)
        s.scale = 1 / (float)s.width;
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, s.rows, s.width, reduce_range, &s);
    saved = mm_tape_push(c, y, reduce_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

/* --- mean of some rows -------------------------------------------------------------- */

struct masked {
    size_t batch, rows, width; /* x [batch, rows, width], y [batch, width] */
    const int32_t *mask;       /* [batch, rows] */
};

/* 1 / number of rows that batch b has; 0 if none */
static float share(const struct masked *s, size_t b)
{
    size_t n = 0;

    for (size_t r = 0; r < s->rows; r++)
        n += s->mask[b * s->rows + r] != 0;
    return n ? 1 / (float)n : 0;
}

static void masked_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct masked *s = n->saved;
    float *dx = mm_grad(c, n->x[0]);

    for (size_t b = 0; dx && b < s->batch; b++) {
        const float k = share(s, b);

        for (size_t r = 0; r < s->rows; r++)
            for (size_t i = 0; s->mask[b * s->rows + r] && i < s->width; i++)
                dx[(b * s->rows + r) * s->width + i] += k * n->y->grad[b * s->width + i];
    }
}

struct mm_var *mm_masked_mean(struct mm_ctx *c, const struct mm_var *x, const int32_t *mask)
{
    struct masked s, *saved;
    struct mm_var *y;

    if (!x)
        return NULL;
    assert(x->t.ndim == 3);
    s = (struct masked){ (size_t)x->t.shape[0], (size_t)x->t.shape[1], (size_t)x->t.shape[2],
                         mask };
    y = mm_var_new(c, 2, (const int64_t[]){ x->t.shape[0], x->t.shape[2] });
    if (!y)
        return NULL;
    for (size_t b = 0; b < s.batch; b++) {
        const double k = (double)share(&s, b);

        for (size_t i = 0; i < s.width; i++) {
            double sum = 0;

            for (size_t r = 0; r < s.rows; r++)
                if (mask[b * s.rows + r])
                    sum += (double)mm_f32(x)[(b * s.rows + r) * s.width + i];
            mm_f32(y)[b * s.width + i] = (float)(sum * k);
        }
    }
    saved =
        mm_tape_push(c, y, masked_back, &x, 1, sizeof(*saved) + s.batch * s.rows * sizeof(*mask));
    if (saved) {
        *saved = s;
        saved->mask = memcpy(saved + 1, mask, s.batch * s.rows * sizeof(*mask));
    }
    return y;
}
