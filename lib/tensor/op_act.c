/* op_act.c: activations and gated activations, element by element.
 *
 * GELU: Hendrycks, Gimpel 2016; SiLU: Elfwing 2017; SwiGLU, GEGLU: Shazeer
 * 2020; squared ReLU: So 2021.  Quick GELU is x sigmoid(1.702 x).
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

/* An exp of libm, and one of the kernel table, against one addition. */
enum { ACT_COST = 16, FAST_COST = 2 };

static const float gelu_c = 0.7978845608f; /* sqrt(2/pi) */
static const float gelu_k = 0.044715f;

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* What the kernel table has no entry for. */
static float value(enum mm_act a, float x)
{
    switch (a) {
    case MM_ACT_RELU:
        return x > 0 ? x : 0;
    case MM_ACT_SQUARED_RELU:
        return x > 0 ? x * x : 0;
    case MM_ACT_SIGMOID:
        return sigmoid(x);
    case MM_ACT_TANH:
        return tanhf(x);
    case MM_ACT_EXP:
        return expf(x);
    default:
        return x;
    }
}

static float gelu_tanh_slope(float x)
{
    const float t = tanhf(gelu_c * (x + gelu_k * x * x * x));

    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * gelu_c * (1 + 3 * gelu_k * x * x);
}

/* d value / d x at x, where the value was y: of those without an entry in the table. */
static float slope(enum mm_act a, float x, float y)
{
    switch (a) {
    case MM_ACT_GELU_TANH:
        return gelu_tanh_slope(x);
    case MM_ACT_RELU:
        return x > 0 ? 1 : 0;
    case MM_ACT_SQUARED_RELU:
        return x > 0 ? 2 * x : 0;
    case MM_ACT_SIGMOID:
        return y * (1 - y);
    case MM_ACT_TANH:
        return 1 - y * y;
    case MM_ACT_EXP:
        return y;
    default:
        return 1;
    }
}

struct act {
    enum mm_act a;
    float *out; /* y or dx */
    const float *x, *y, *dy;
    bool add; /* to what dx is */
};

static mm_map_fn *table_entry(enum mm_act a)
{
    switch (a) {
    case MM_ACT_GELU:
        return mm_kern()->gelu;
    case MM_ACT_GELU_TANH:
        return mm_kern()->gelu_tanh;
    case MM_ACT_QUICK_GELU:
        return mm_kern()->quick_gelu;
    case MM_ACT_SILU:
        return mm_kern()->silu;
    default:
        return NULL;
    }
}

static void act_range(void *arg, size_t from, size_t to)
{
    const struct act *s = arg;
    mm_map_fn *const fn = table_entry(s->a);

    if (fn)
        fn(s->out + from, s->x + from, to - from);
    else
        for (size_t i = from; i < to; i++)
            s->out[i] = value(s->a, s->x[i]);
}

static mm_map_fn *slope_entry(enum mm_act a)
{
    switch (a) {
    case MM_ACT_GELU:
        return mm_kern()->gelu_slope;
    case MM_ACT_QUICK_GELU:
        return mm_kern()->quick_gelu_slope;
    case MM_ACT_SILU:
        return mm_kern()->silu_slope;
    default:
        return NULL;
    }
}

enum { PIECE = 256 }; /* elements whose slopes stay in L1 */

static void act_back_range(void *arg, size_t from, size_t to)
{
    const struct act *s = arg;
    const struct mm_kern *k = mm_kern();
    mm_map_fn *const fn = slope_entry(s->a);
    float e[PIECE];

    for (size_t at = from; at < to; at += PIECE) {
        const size_t n = to - at < PIECE ? to - at : PIECE;

        if (fn)
            fn(e, s->x + at, n);
        else
            for (size_t i = 0; i < n; i++)
                e[i] = slope(s->a, s->x[at + i], s->y[at + i]);
        k->mul(e, e, s->dy + at, n);
        if (s->add)
            k->add(s->out + at, s->out + at, e, n);
        else
            memcpy(s->out + at, e, n * sizeof(*e));
    }
}

static void act_back(struct mm_ctx *c, const struct mm_node *n)
{
    const enum mm_act *a = n->saved;
    float beta = 0;
    struct act s = { *a, mm_grad_sum(c, n->x[0], &beta), mm_f32(n->x[0]), mm_f32(n->y), n->y->grad,
                     beta != 0 };

    if (s.out)
        mm_range_run(c, mm_tensor_count(&n->y->t), slope_entry(*a) ? FAST_COST : ACT_COST,
                     act_back_range, &s);
}

/* y = a(x); y may be x if nothing is recorded. */
static struct mm_var *activate(struct mm_ctx *c, struct mm_var *y, const struct mm_var *x,
                               enum mm_act a)
{
    enum mm_act *saved;

    if (!y)
        return NULL;
    mm_range_run(c, mm_tensor_count(&x->t), table_entry(a) ? FAST_COST : ACT_COST, act_range,
                 &(struct act){ .a = a, .out = mm_f32(y), .x = mm_f32(x) });
    saved = mm_tape_push(c, y, act_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = a;
    return y;
}

struct mm_var *mm_activate(struct mm_ctx *c, const struct mm_var *x, enum mm_act a)
{
    return activate(c, x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL, x, a);
}

struct mm_var *mm_activate_over(struct mm_ctx *c, struct mm_var *x, enum mm_act a)
{
    return c->tape ? mm_activate(c, x, a) : activate(c, x, x, a);
}

struct leaky {
    float k;
    float *out;
    const float *x, *dy;
};

static void leaky_range(void *arg, size_t from, size_t to)
{
    const struct leaky *s = arg;

    for (size_t i = from; i < to; i++)
        s->out[i] = s->x[i] > 0 ? s->x[i] : s->k * s->x[i];
}

static void leaky_back_range(void *arg, size_t from, size_t to)
{
    const struct leaky *s = arg;

    for (size_t i = from; i < to; i++)
        s->out[i] += s->x[i] > 0 ? s->dy[i] : s->k * s->dy[i];
}

static void leaky_back(struct mm_ctx *c, const struct mm_node *n)
{
    const float *k = n->saved;
    struct leaky s = { *k, mm_grad(c, n->x[0]), mm_f32(n->x[0]), n->y->grad };

    if (s.out)
        mm_range_run(c, mm_tensor_count(&n->y->t), 1, leaky_back_range, &s);
}

struct mm_var *mm_leaky_relu(struct mm_ctx *c, const struct mm_var *x, float k)
{
    struct mm_var *y = x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL;
    float *saved;

    if (!y)
        return NULL;
    mm_range_run(c, mm_tensor_count(&x->t), 1, leaky_range,
                 &(struct leaky){ k, mm_f32(y), mm_f32(x), NULL });
    saved = mm_tape_push(c, y, leaky_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = k;
    return y;
}

/* --- gated ----------------------------------------------------------------------- */

struct swiglu {
    float *y;
    const float *gate, *up, *dy;
    float *dgate, *dup; /* either may be NULL */
};

static void swiglu_range(void *arg, size_t from, size_t to)
{
    const struct swiglu *s = arg;

    mm_kern()->silu_mul(s->y + from, s->gate + from, s->up + from, to - from);
}

/* dgate = dy up silu'(gate), dup = dy silu(gate) */
static void swiglu_back_range(void *arg, size_t from, size_t to)
{
    const struct swiglu *s = arg;
    const struct mm_kern *k = mm_kern();

    for (size_t at = from; at < to; at += PIECE) {
        const size_t n = to - at < PIECE ? to - at : PIECE;
        float e[PIECE];

        if (s->dup)
            k->silu_mul(s->dup + at, s->gate + at, s->dy + at, n);
        if (!s->dgate)
            continue;
        k->silu_slope(e, s->gate + at, n);
        k->mul(e, e, s->up + at, n);
        k->mul(s->dgate + at, e, s->dy + at, n);
    }
}

static void swiglu_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct swiglu s = { NULL,       mm_f32(n->x[0]),     mm_f32(n->x[1]),
                        n->y->grad, mm_grad_open(c, n->x[0]), mm_grad_open(c, n->x[1]) };

    mm_range_run(c, mm_tensor_count(&n->y->t), 2 * FAST_COST, swiglu_back_range, &s);
    mm_grad_close(c, n->x[0], s.dgate);
    mm_grad_close(c, n->x[1], s.dup);
}

/* y may be gate if nothing is recorded; NULL: a new variable. */
static struct mm_var *swiglu(struct mm_ctx *c, struct mm_var *y, const struct mm_var *gate,
                             const struct mm_var *up)
{
    if (!gate || !up)
        return NULL;
    assert(mm_shape_eq(&gate->t, &up->t));
    y = y ? y : mm_var_new(c, gate->t.ndim, gate->t.shape);
    if (!y)
        return NULL;
    mm_range_run(c, mm_tensor_count(&y->t), FAST_COST, swiglu_range,
                 &(struct swiglu){ .y = mm_f32(y), .gate = mm_f32(gate), .up = mm_f32(up) });
    mm_tape_push(c, y, swiglu_back, (const struct mm_var *const[]){ gate, up }, 2, 0);
    return y;
}

struct mm_var *mm_swiglu(struct mm_ctx *c, const struct mm_var *gate, const struct mm_var *up)
{
    return swiglu(c, NULL, gate, up);
}

struct mm_var *mm_swiglu_over(struct mm_ctx *c, struct mm_var *gate, const struct mm_var *up)
{
    return swiglu(c, c->tape ? NULL : gate, gate, up);
}

struct mm_var *mm_geglu(struct mm_ctx *c, const struct mm_var *x)
{
    int64_t half;

    if (!x)
        return NULL;
    assert(x->t.ndim > 0 && x->t.shape[x->t.ndim - 1] % 2 == 0);
    half = x->t.shape[x->t.ndim - 1] / 2;
    return mm_mul(c, mm_slice(c, x, -1, 0, half),
                  mm_activate(c, mm_slice(c, x, -1, half, 2 * half), MM_ACT_GELU));
}
