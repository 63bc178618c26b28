/* op_softmax.c: softmax of rows, its logarithm, and with a causal mask.
 *
 * softmax:     dx = y (dy - <dy, y>);   log: dx = dy - exp(y) sum(dy)
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

enum kind { PLAIN, LOG, CAUSAL };

struct softmax {
    enum kind kind;
    size_t rows, width;
    size_t nq; /* CAUSAL: row r is query r % nq of nq, and the last sees all */
    const float *x, *dy;
    float *y, *dx;
};

/* How many elements of row r are seen. */
static size_t visible(const struct softmax *s, size_t r)
{
    const size_t after = s->kind == CAUSAL ? s->nq - 1 - r % s->nq : 0;

    return after < s->width ? s->width - after : 0;
}

static void softmax_row(float *y, const float *x, size_t n)
{
    const float m = mm_kern()->max(x, n);

    if (m == -INFINITY) /* nothing to choose from */
        memset(y, 0, n * sizeof(*y));
    else
        mm_kern()->scale(y, 1 / mm_kern()->exp_sum(y, x, m, n), y, n);
}

static void log_softmax_row(float *y, const float *x, size_t n)
{
    const float m = mm_kern()->max(x, n);
    const float lse = logf(mm_kern()->exp_sum(y, x, m, n));

    for (size_t i = 0; i < n; i++)
        y[i] = x[i] - m - lse;
}

static void softmax_range(void *arg, size_t from, size_t to)
{
    const struct softmax *s = arg;

    for (size_t r = from; r < to; r++) {
        float *y = s->y + r * s->width;
        const size_t n = visible(s, r);

        if (s->kind == LOG)
            log_softmax_row(y, s->x + r * s->width, n);
        else
            softmax_row(y, s->x + r * s->width, n);
        memset(y + n, 0, (s->width - n) * sizeof(*y));
    }
}

static void softmax_back_range(void *arg, size_t from, size_t to)
{
    const struct softmax *s = arg;

    for (size_t r = from; r < to; r++) {
        const float *y = s->y + r * s->width, *dy = s->dy + r * s->width;
        float *dx = s->dx + r * s->width;
        double acc = 0;
        float sum;

        for (size_t i = 0; i < s->width; i++)
            acc += s->kind == LOG ? (double)dy[i] : (double)dy[i] * (double)y[i];
        sum = (float)acc;
        for (size_t i = 0; i < s->width; i++)
            dx[i] += s->kind == LOG ? dy[i] - expf(y[i]) * sum : y[i] * (dy[i] - sum);
    }
}

static void softmax_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct softmax s = *(const struct softmax *)n->saved;

    s.dy = n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx)
        mm_range_run(c, s.rows, 4 * s.width, softmax_back_range, &s);
}

static struct mm_var *softmax(struct mm_ctx *c, const struct mm_var *x, enum kind kind)
{
    struct mm_var *y = x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL;
    struct softmax s = { .kind = kind }, *saved;

    if (!y)
        return NULL;
    assert(x->t.ndim > (kind == CAUSAL));
    s.width = (size_t)x->t.shape[x->t.ndim - 1];
    s.rows = s.width ? mm_tensor_count(&x->t) / s.width : 0;
    s.nq = kind == CAUSAL ? (size_t)x->t.shape[x->t.ndim - 2] : 1;
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, s.rows, 4 * s.width, softmax_range, &s);
    saved = mm_tape_push(c, y, softmax_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

struct mm_var *mm_softmax(struct mm_ctx *c, const struct mm_var *x, int axis)
{
    int perm[MM_MAX_DIMS];
    const int last = x ? x->t.ndim - 1 : 0;

    if (!x)
        return NULL;
    assert(axis >= -x->t.ndim && axis < x->t.ndim);
    axis = axis < 0 ? axis + x->t.ndim : axis;
    if (axis == last)
        return softmax(c, x, PLAIN);
    for (int i = 0; i <= last; i++)
        perm[i] = i == axis ? last : i == last ? axis : i; /* its own inverse */
    return mm_permute(c, softmax(c, mm_permute(c, x, perm), PLAIN), perm);
}

struct mm_var *mm_log_softmax(struct mm_ctx *c, const struct mm_var *x)
{
    return softmax(c, x, LOG);
}

struct mm_var *mm_softmax_causal(struct mm_ctx *c, const struct mm_var *x)
{
    return softmax(c, x, CAUSAL);
}
