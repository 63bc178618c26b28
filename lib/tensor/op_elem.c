/* op_elem.c: sums, products and scaling, element by element, with broadcast.
 *
 * In mm_add and mm_mul the result has a's shape; b's axes are aligned to the
 * right and each is a's length or 1.
 */
#include "tensor/op.h"

#include <assert.h>

#include "tensor/range.h"
#include "tensor/tape.h"

enum binary { ADD, MUL };

/* Rows of a: all axes but the last.  b moves by bstride[i] elements along axis
 * i of a, 0 where it is broadcast. */
struct bcast {
    enum binary op;
    size_t rows, width;
    int ndim;
    size_t shape[MM_MAX_DIMS], bstride[MM_MAX_DIMS];
    const float *a, *b, *dy;
    float *y, *da, *db;
};

static void bcast_init(struct bcast *s, enum binary op, const struct mm_tensor *a,
                       const struct mm_tensor *b)
{
    size_t stride = 1;

    *s = (struct bcast){ .op = op, .ndim = a->ndim, .a = a->data, .b = b->data };
    assert(b->ndim <= a->ndim);
    for (int i = a->ndim - 1, j = b->ndim - 1; i >= 0; i--, j--) {
        const int64_t len = j >= 0 ? b->shape[j] : 1;

        assert(len == a->shape[i] || len == 1);
        s->shape[i] = (size_t)a->shape[i];
        s->bstride[i] = len == 1 ? 0 : stride;
        stride *= (size_t)len;
    }
    s->width = a->ndim ? s->shape[a->ndim - 1] : 1;
    s->rows = s->width ? mm_tensor_count(a) / s->width : 0;
}

/* Where row r of a meets b. */
static size_t b_at(const struct bcast *s, size_t r)
{
    size_t at = 0;

    for (int i = s->ndim - 2; i >= 0; i--) {
        at += r % s->shape[i] * s->bstride[i];
        r /= s->shape[i];
    }
    return at;
}

static size_t b_step(const struct bcast *s)
{
    return s->ndim ? s->bstride[s->ndim - 1] : 0;
}

static void bcast_row(enum binary op, float *y, const float *a, const float *b, size_t step,
                      size_t n)
{
    const float b0 = *b;

    if (step && op == ADD)
        mm_kern()->add(y, a, b, n);
    else if (step)
        mm_kern()->mul(y, a, b, n);
    else if (op == MUL)
        mm_kern()->scale(y, b0, a, n);
    else
        for (size_t i = 0; i < n; i++)
            y[i] = a[i] + b0;
}

static void bcast_range(void *arg, size_t from, size_t to)
{
    const struct bcast *s = arg;

    for (size_t r = from; r < to; r++)
        bcast_row(s->op, s->y + r * s->width, s->a + r * s->width, s->b + b_at(s, r), b_step(s),
                  s->width);
}

static void back_a_range(void *arg, size_t from, size_t to)
{
    const struct bcast *s = arg;
    const size_t step = b_step(s);

    for (size_t r = from; r < to; r++) {
        const float *dy = s->dy + r * s->width;
        const float *b = s->b + b_at(s, r);
        float *da = s->da + r * s->width;

        for (size_t i = 0; i < s->width; i++)
            da[i] += s->op == ADD ? dy[i] : dy[i] * b[i * step];
    }
}

/* Columns from..to-1 of b: each is summed by one thread, over the rows in order. */
static void back_b_columns(void *arg, size_t from, size_t to)
{
    const struct bcast *s = arg;

    for (size_t r = 0; r < s->rows; r++) {
        const float *dy = s->dy + r * s->width;
        const float *a = s->a + r * s->width;
        float *db = s->db + b_at(s, r);

        for (size_t i = from; i < to; i++)
            db[i] += s->op == ADD ? dy[i] : dy[i] * a[i];
    }
}

/* b is one number per row: a row's sum is taken first. */
static void back_b_rows(const struct bcast *s)
{
    for (size_t r = 0; r < s->rows; r++) {
        const float *dy = s->dy + r * s->width;
        const float *a = s->a + r * s->width;
        double sum = 0;

        for (size_t i = 0; i < s->width; i++)
            sum += s->op == ADD ? (double)dy[i] : (double)dy[i] * (double)a[i];
        s->db[b_at(s, r)] += (float)sum;
    }
}

/* y = a + b of one shape: both gradients are dy. */
static void sum_back(struct mm_ctx *c, const struct mm_node *n)
{
    mm_grad_copy(c, n->x[1], n->y->grad);
    mm_grad_move(c, n->x[0], n->y);
}

static void bcast_back(struct mm_ctx *c, const struct mm_node *n)
{
    const enum binary *op = n->saved;
    struct bcast s;

    if (*op == ADD && mm_shape_eq(&n->x[0]->t, &n->x[1]->t)) {
        sum_back(c, n);
        return;
    }
    bcast_init(&s, *op, &n->x[0]->t, &n->x[1]->t);
    s.dy = n->y->grad;
    s.da = mm_grad(c, n->x[0]);
    s.db = mm_grad(c, n->x[1]);
    if (s.da)
        mm_range_run(c, s.rows, s.width, back_a_range, &s);
    if (s.db && b_step(&s))
        mm_range_columns(c, s.width, s.rows, back_b_columns, &s);
    else if (s.db)
        back_b_rows(&s);
}

/* y = a op b; y may be a if nothing is recorded; NULL: a new variable. */
static struct mm_var *bcast(struct mm_ctx *c, enum binary op, struct mm_var *y,
                            const struct mm_var *a, const struct mm_var *b)
{
    enum binary *saved;
    struct bcast s;

    if (!a || !b)
        return NULL;
    bcast_init(&s, op, &a->t, &b->t);
    y = y ? y : mm_var_new(c, a->t.ndim, a->t.shape);
    if (!y)
        return NULL;
    s.y = mm_f32(y);
    mm_range_run(c, s.rows, s.width, bcast_range, &s);
    saved =
        mm_tape_push(c, y, bcast_back, (const struct mm_var *const[]){ a, b }, 2, sizeof(*saved));
    if (saved)
        *saved = op;
    return y;
}

struct mm_var *mm_add(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b)
{
    return bcast(c, ADD, NULL, a, b);
}

struct mm_var *mm_add_over(struct mm_ctx *c, struct mm_var *a, const struct mm_var *b)
{
    return bcast(c, ADD, c->tape ? NULL : a, a, b);
}

struct mm_var *mm_mul(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b)
{
    return bcast(c, MUL, NULL, a, b);
}

/* --- y = s x, kept or not by a mask ------------------------------------------ */

struct scale {
    float s;
    const uint8_t *keep; /* or NULL */
    const float *x;
    float *y;
    bool add; /* to y */
};

static void scale_range(void *arg, size_t from, size_t to)
{
    const struct scale *s = arg;

    for (size_t i = from; i < to; i++) {
        const float v = s->keep && !s->keep[i] ? 0 : s->s * s->x[i];

        s->y[i] = s->add ? s->y[i] + v : v;
    }
}

static void scale_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct scale s = *(const struct scale *)n->saved;

    s.x = n->y->grad;
    s.y = mm_grad(c, n->x[0]);
    s.add = true;
    if (s.y)
        mm_range_run(c, mm_tensor_count(&n->y->t), 1, scale_range, &s);
}

static struct mm_var *scaled(struct mm_ctx *c, const struct mm_var *x, float k, const uint8_t *keep)
{
    struct mm_var *y = x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL;
    struct scale s = { .s = k, .keep = keep }, *saved;

    if (!y)
        return NULL;
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, mm_tensor_count(&x->t), 1, scale_range, &s);
    saved = mm_tape_push(c, y, scale_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

struct mm_var *mm_scale(struct mm_ctx *c, const struct mm_var *x, float s)
{
    return scaled(c, x, s, NULL);
}

struct mm_var *mm_dropout(struct mm_ctx *c, const struct mm_var *x, const uint8_t *keep, float p)
{
    assert(p >= 0 && p < 1);
    return scaled(c, x, 1 / (1 - p), keep);
}
