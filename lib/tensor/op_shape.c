/* op_shape.c: operations that move elements and compute nothing.
 *
 * Seen from one axis, a tensor is [outer, n, inner].  Where rows of `inner`
 * elements go is a list of indices along the axis.
 */
#include "tensor/op.h"

#include <assert.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

static int axis_of(const struct mm_var *x, int axis)
{
    assert(axis >= -x->t.ndim && axis < x->t.ndim);
    return axis < 0 ? axis + x->t.ndim : axis;
}

static size_t product(const int64_t *shape, int from, int to)
{
    size_t n = 1;

    for (int i = from; i < to; i++)
        n *= (size_t)shape[i];
    return n;
}

static void add_to(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* --- reshape ------------------------------------------------------------------- */

static void reshape_back(struct mm_ctx *c, const struct mm_node *n)
{
    mm_grad_move(c, n->x[0], n->y);
}

struct mm_var *mm_reshape(struct mm_ctx *c, const struct mm_var *x, int ndim, const int64_t *shape)
{
    struct mm_tensor t;
    struct mm_var *y;

    if (!x)
        return NULL;
    assert(ndim >= 0 && ndim <= MM_MAX_DIMS);
    t = (struct mm_tensor){ .dtype = x->t.dtype, .ndim = ndim, .data = x->t.data };
    for (int i = 0; i < ndim; i++)
        t.shape[i] = shape[i];
    assert(mm_tensor_count(&t) == mm_tensor_count(&x->t));
    y = mm_var_of(c, &t);
    mm_tape_push(c, y, reshape_back, &x, 1, 0);
    return y;
}

/* --- pieces along an axis --------------------------------------------------------- */

static void concat_back(struct mm_ctx *c, const struct mm_node *n)
{
    const int axis = *(const int *)n->saved;
    const struct mm_tensor *y = &n->y->t;
    const size_t outer = product(y->shape, 0, axis);
    const size_t row = product(y->shape, axis, y->ndim);
    size_t at = 0;

    for (int i = 0; i < n->nx; i++) {
        const size_t len = product(n->x[i]->t.shape, axis, y->ndim);
        float *dx = mm_grad(c, n->x[i]);

        for (size_t o = 0; dx && o < outer; o++)
            add_to(dx + o * len, n->y->grad + o * row + at, len);
        at += len;
    }
}

struct mm_var *mm_concat(struct mm_ctx *c, struct mm_var *const *x, int n, int axis)
{
    int64_t shape[MM_MAX_DIMS];
    struct mm_var *y;
    size_t outer, row, at = 0;
    int *saved;

    assert(n > 0);
    for (int i = 0; i < n; i++)
        if (!x[i])
            return NULL;
    axis = axis_of(x[0], axis);
    memcpy(shape, x[0]->t.shape, sizeof(shape));
    for (int i = 1; i < n; i++) {
        assert(x[i]->t.ndim == x[0]->t.ndim);
        for (int d = 0; d < x[0]->t.ndim; d++)
            assert(d == axis || x[i]->t.shape[d] == shape[d]);
        shape[axis] += x[i]->t.shape[axis];
    }
    y = mm_var_new(c, x[0]->t.ndim, shape);
    if (!y)
        return NULL;
    outer = product(shape, 0, axis);
    row = product(shape, axis, y->t.ndim);
    for (int i = 0; i < n; i++) {
        const size_t len = product(x[i]->t.shape, axis, y->t.ndim);

        for (size_t o = 0; o < outer; o++)
            memcpy(mm_f32(y) + o * row + at, mm_f32(x[i]) + o * len, len * sizeof(float));
        at += len;
    }
    saved = mm_tape_push(c, y, concat_back, (const struct mm_var *const *)x, n, sizeof(*saved));
    if (saved)
        *saved = axis;
    return y;
}

struct slice {
    size_t outer, row, at, len; /* len of each row of x, from element at */
};

static void slice_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct slice *s = n->saved;
    float *dx = mm_grad(c, n->x[0]);

    for (size_t o = 0; dx && o < s->outer; o++)
        add_to(dx + o * s->row + s->at, n->y->grad + o * s->len, s->len);
}

struct mm_var *mm_slice(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t from,
                        int64_t to)
{
    int64_t shape[MM_MAX_DIMS];
    struct slice s, *saved;
    struct mm_var *y;
    size_t inner;

    if (!x)
        return NULL;
    axis = axis_of(x, axis);
    assert(from >= 0 && from <= to && to <= x->t.shape[axis]);
    memcpy(shape, x->t.shape, sizeof(shape));
    shape[axis] = to - from;
    y = mm_var_new(c, x->t.ndim, shape);
    if (!y)
        return NULL;
    inner = product(shape, axis + 1, x->t.ndim);
    s = (struct slice){ product(shape, 0, axis), (size_t)x->t.shape[axis] * inner,
                        (size_t)from * inner, (size_t)(to - from) * inner };
    for (size_t o = 0; o < s.outer; o++)
        memcpy(mm_f32(y) + o * s.len, mm_f32(x) + o * s.row + s.at, s.len * sizeof(float));
    saved = mm_tape_push(c, y, slice_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

/* --- by index ------------------------------------------------------------------------ */

struct select {
    size_t outer, n, m, inner; /* x [outer, n, inner], y [outer, m, inner] */
    const int32_t *index;      /* [m] */
    const float *x, *dy;
    float *y, *dx;
};

static void select_range(void *arg, size_t from, size_t to)
{
    const struct select *s = arg;

    for (size_t o = from; o < to; o++)
        for (size_t i = 0; i < s->m; i++) {
            const float *x = s->x + (o * s->n + (size_t)s->index[i]) * s->inner;
            float *y = s->y + (o * s->m + i) * s->inner;

            if (s->inner == 1)
                *y = *x;
            else
                memcpy(y, x, s->inner * sizeof(float));
        }
}

static void select_back_range(void *arg, size_t from, size_t to)
{
    const struct select *s = arg;

    for (size_t o = from; o < to; o++)
        for (size_t i = 0; i < s->m; i++)
            add_to(s->dx + (o * s->n + (size_t)s->index[i]) * s->inner,
                   s->dy + (o * s->m + i) * s->inner, s->inner);
}

static void select_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct select s = *(const struct select *)n->saved;

    s.dy = n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx)
        mm_range_run(c, s.outer, s.m * s.inner, select_back_range, &s);
}

struct mm_var *mm_select(struct mm_ctx *c, const struct mm_var *x, int axis, const int32_t *index,
                         size_t m)
{
    int64_t shape[MM_MAX_DIMS];
    struct select s = { .m = m }, *saved;
    struct mm_var *y;

    if (!x)
        return NULL;
    axis = axis_of(x, axis);
    for (size_t i = 0; i < m; i++)
        assert(index[i] >= 0 && index[i] < x->t.shape[axis]);
    memcpy(shape, x->t.shape, sizeof(shape));
    shape[axis] = (int64_t)m;
    y = mm_var_new(c, x->t.ndim, shape);
    if (!y)
        return NULL;
    s.outer = product(shape, 0, axis);
    s.n = (size_t)x->t.shape[axis];
    s.inner = product(shape, axis + 1, x->t.ndim);
    s.index = index;
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, s.outer, s.m * s.inner, select_range, &s);
    saved = mm_tape_push(c, y, select_back, &x, 1, sizeof(*saved) + m * sizeof(*index));
    if (saved) {
        *saved = s;
        saved->index = (const int32_t *)(saved + 1);
        if (m)
            memcpy(saved + 1, index, m * sizeof(*index));
    }
    return y;
}

/* mm_select with the index of element i of y given by the rule below. */
enum rule { STEP, TILE, REPEAT, NEAREST };

static struct mm_var *select_by(struct mm_ctx *c, const struct mm_var *x, int axis, enum rule rule,
                                int64_t m, int64_t k, int64_t from)
{
    int32_t *index = x ? mm_ctx_alloc(c, (size_t)m, sizeof(*index)) : NULL;
    int64_t n;

    if (!index)
        return NULL;
    n = x->t.shape[axis_of(x, axis)];
    for (int64_t i = 0; i < m; i++)
        index[i] = (int32_t)(rule == STEP     ? from + i * k
                             : rule == TILE   ? i % n
                             : rule == REPEAT ? i / k
                                              : i * n / m);
    return mm_select(c, x, axis, index, (size_t)m);
}

struct mm_var *mm_slice_step(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t from,
                             int64_t to, int64_t step)
{
    assert(step > 0 && from <= to);
    return select_by(c, x, axis, STEP, (to - from + step - 1) / step, step, from);
}

struct mm_var *mm_repeat(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t times)
{
    return x ? select_by(c, x, axis, TILE, x->t.shape[axis_of(x, axis)] * times, times, 0) : NULL;
}

struct mm_var *mm_repeat_interleave(struct mm_ctx *c, const struct mm_var *x, int axis,
                                    int64_t times)
{
    return x ? select_by(c, x, axis, REPEAT, x->t.shape[axis_of(x, axis)] * times, times, 0) : NULL;
}

struct mm_var *mm_upsample_nearest(struct mm_ctx *c, const struct mm_var *x, int64_t height,
                                   int64_t width)
{
    assert(!x || x->t.ndim >= 2);
    return select_by(c, select_by(c, x, -2, NEAREST, height, 0, 0), -1, NEAREST, width, 0, 0);
}

/* --- permute --------------------------------------------------------------------------- */

/* The last axis of y is strided in x; the others are walked row by row. */
struct permute {
    int ndim;
    size_t shape[MM_MAX_DIMS];  /* of y */
    size_t stride[MM_MAX_DIMS]; /* in x, of y's axes */
    const float *from;
    float *to;
    bool back; /* from is dy, to is dx */
};

static void permute_range(void *arg, size_t from, size_t to)
{
    const struct permute *s = arg;
    const size_t width = s->shape[s->ndim - 1], step = s->stride[s->ndim - 1];

    for (size_t r = from; r < to; r++) {
        size_t at = 0, left = r;

        for (int i = s->ndim - 2; i >= 0; i--) {
            at += left % s->shape[i] * s->stride[i];
            left /= s->shape[i];
        }
        if (s->back)
            for (size_t i = 0; i < width; i++)
                s->to[at + i * step] += s->from[r * width + i];
        else if (step == 1)
            memcpy(s->to + r * width, s->from + at, width * sizeof(float));
        else
            for (size_t i = 0; i < width; i++)
                s->to[r * width + i] = s->from[at + i * step];
    }
}

static void permute_run(const struct mm_ctx *c, struct permute *s)
{
    size_t rows = 1;

    for (int i = 0; i < s->ndim - 1; i++)
        rows *= s->shape[i];
    mm_range_run(c, rows, s->shape[s->ndim - 1], permute_range, s);
}

static void permute_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct permute s = *(const struct permute *)n->saved;

    s.back = true;
    s.from = n->y->grad;
    s.to = mm_grad(c, n->x[0]);
    if (s.to)
        permute_run(c, &s);
}

struct mm_var *mm_permute(struct mm_ctx *c, const struct mm_var *x, const int *perm)
{
    int64_t shape[MM_MAX_DIMS];
    struct permute s = { 0 }, *saved;
    unsigned seen = 0;
    struct mm_var *y;

    if (!x)
        return NULL;
    assert(x->t.ndim > 0);
    s.ndim = x->t.ndim;
    for (int i = 0; i < s.ndim; i++) {
        assert(perm[i] >= 0 && perm[i] < s.ndim && !(seen & 1U << perm[i]));
        seen |= 1U << perm[i];
        shape[i] = x->t.shape[perm[i]];
        s.shape[i] = (size_t)shape[i];
        s.stride[i] = product(x->t.shape, perm[i] + 1, s.ndim);
    }
    y = mm_var_new(c, s.ndim, shape);
    if (!y)
        return NULL;
    s.from = mm_f32(x);
    s.to = mm_f32(y);
    permute_run(c, &s);
    saved = mm_tape_push(c, y, permute_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

/* --- scatter ----------------------------------------------------------------------------- */

/* owner[r]: which row of src stands in row r of y, -1: x's own. */
static void scatter_back(struct mm_ctx *c, const struct mm_node *n)
{
    const int32_t *owner = n->saved;
    const size_t width = (size_t)n->y->t.shape[1], rows = (size_t)n->y->t.shape[0];
    float *dx = mm_grad(c, n->x[0]), *dsrc = mm_grad(c, n->x[1]);

    for (size_t r = 0; r < rows; r++) {
        const float *dy = n->y->grad + r * width;

        if (owner[r] >= 0 && dsrc)
            add_to(dsrc + (size_t)owner[r] * width, dy, width);
        else if (owner[r] < 0 && dx)
            add_to(dx + r * width, dy, width);
    }
}

struct mm_var *mm_scatter_rows(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *src,
                               const int32_t *at)
{
    struct mm_var *y;
    size_t width, rows;
    int32_t *owner;

    if (!x || !src)
        return NULL;
    assert(x->t.ndim == 2 && src->t.ndim == 2 && x->t.shape[1] == src->t.shape[1]);
    y = mm_var_new(c, 2, x->t.shape);
    if (!y)
        return NULL;
    rows = (size_t)x->t.shape[0];
    width = (size_t)x->t.shape[1];
    memcpy(mm_f32(y), mm_f32(x), mm_tensor_bytes(&x->t));
    owner = mm_tape_push(c, y, scatter_back, (const struct mm_var *const[]){ x, src }, 2,
                         rows * sizeof(*owner));
    for (size_t r = 0; owner && r < rows; r++)
        owner[r] = -1;
    for (int32_t i = 0; i < src->t.shape[0]; i++) {
        assert(at[i] >= 0 && at[i] < x->t.shape[0]);
        memcpy(mm_f32(y) + (size_t)at[i] * width, mm_f32(src) + (size_t)i * width,
               width * sizeof(float));
        if (owner)
            owner[at[i]] = i;
    }
    return y;
}

/* --- patches --------------------------------------------------------------------------------- */

struct mm_var *mm_patches(struct mm_ctx *c, const struct mm_var *x, int p)
{
    const int perm[] = { 0, 2, 4, 1, 3, 5 };
    int64_t b, ch, h, w;

    if (!x)
        return NULL;
    assert(x->t.ndim == 4 && p > 0 && x->t.shape[2] % p == 0 && x->t.shape[3] % p == 0);
    b = x->t.shape[0];
    ch = x->t.shape[1];
    h = x->t.shape[2] / p;
    w = x->t.shape[3] / p;
    x = mm_reshape(c, x, 6, (const int64_t[]){ b, ch, h, p, w, p });
    x = mm_permute(c, x, perm);
    return mm_reshape(c, x, 3, (const int64_t[]){ b, h * w, ch * p * p });
}
