/* op_attention.c: rotary positions (Su 2021) and scaled dot-product attention
 * (Vaswani 2017, eq. 1).
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>

#include "kernel/attention.h"
#include "tensor/range.h"
#include "tensor/tape.h"

/* --- rope ---------------------------------------------------------------------- */

struct rope {
    size_t heads, dim;
    const float *cos, *sin; /* [rows, dim/2] */
    bool halves;
    float sign; /* +1 rotates, -1 rotates back */
    const float *x;
    float *y;
};

/* The pairs of a head are step elements apart, the two of one pair elements. */
static inline void rotate(float *restrict y, const float *restrict x, const float *restrict co,
                          const float *restrict si, float sign, size_t half, size_t step,
                          size_t pair)
{
    for (size_t i = 0; i < half; i++) {
        const size_t j = i * step;
        const float a = x[j], b = x[j + pair];

        y[j] = a * co[i] - b * (sign * si[i]);
        y[j + pair] = b * co[i] + a * (sign * si[i]);
    }
}

static void rope_range(void *arg, size_t from, size_t to)
{
    const struct rope *s = arg;

    for (size_t r = from; r < to; r++)
        for (size_t h = 0; h < s->heads; h++) {
            const size_t at = (r * s->heads + h) * s->dim, half = s->dim / 2;
            const float *co = s->cos + r * half, *si = s->sin + r * half;

            if (s->halves) /* apart: so the compiler can use vectors */
                rotate(s->y + at, s->x + at, co, si, s->sign, half, 1, half);
            else
                rotate(s->y + at, s->x + at, co, si, s->sign, half, 2, 1);
        }
}

static size_t rope_rows(const struct mm_tensor *t)
{
    size_t n = 1;

    for (int i = 0; i < t->ndim - 2; i++)
        n *= (size_t)t->shape[i];
    return n;
}

static void rope_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct rope s = *(const struct rope *)n->saved;

    s.sign = -1;
    s.x = n->y->grad;
    s.y = mm_grad_open(c, n->x[0]);
    if (!s.y)
        return;
    mm_range_run(c, rope_rows(&n->y->t), s.heads * s.dim, rope_range, &s);
    mm_grad_close(c, n->x[0], s.y);
}

struct mm_var *mm_rope(struct mm_ctx *c, const struct mm_var *x, const float *cos, const float *sin,
                       bool halves)
{
    struct mm_var *y = x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL;
    struct rope s = { .cos = cos, .sin = sin, .halves = halves, .sign = 1 }, *saved;

    if (!y)
        return NULL;
    assert(x->t.ndim >= 3 && x->t.shape[x->t.ndim - 1] % 2 == 0);
    s.heads = (size_t)x->t.shape[x->t.ndim - 2];
    s.dim = (size_t)x->t.shape[x->t.ndim - 1];
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    mm_range_run(c, rope_rows(&x->t), s.heads * s.dim, rope_range, &s);
    saved = mm_tape_push(c, y, rope_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

/* --- attention -------------------------------------------------------------------- */

struct attend {
    struct mm_attn a;
    size_t batch;
    size_t bias_batch; /* elements from one batch's bias to the next, 0: shared */
    float *lse;        /* [batch, heads, nq] */
};

/* The axes of q and k, v after the optional batch. */
static struct attend attend_shape(const struct mm_var *q, const struct mm_var *k,
                                  const struct mm_var *v, const struct mm_attention_spec *spec)
{
    const int b = q->t.ndim == 4;
    const int64_t *qs = q->t.shape + b, *ks = k->t.shape + b;
    struct attend s = { .batch = b ? (size_t)q->t.shape[0] : 1 };

    assert((q->t.ndim == 3 || b) && k->t.ndim == q->t.ndim && mm_shape_eq(&k->t, &v->t));
    assert(qs[2] == ks[2] && (!b || q->t.shape[0] == k->t.shape[0]));
    assert(ks[1] > 0 && qs[1] % ks[1] == 0);
    s.a = (struct mm_attn){
        .nq = (size_t)qs[0],
        .nk = (size_t)ks[0],
        .heads = (size_t)qs[1],
        .kv_heads = (size_t)ks[1],
        .dim = (size_t)qs[2],
        .scale = spec->scale,
        .causal = spec->causal,
        .window = spec->window,
        .kv = MM_F32,
        .alibi = spec->alibi,
    };
    if (s.a.scale == 0)
        s.a.scale = 1 / sqrtf((float)s.a.dim);
    s.a.q_head = s.a.k_head = s.a.v_head = s.a.o_head = s.a.dim;
    s.a.q_row = s.a.o_row = s.a.heads * s.a.dim;
    s.a.k_row = s.a.v_row = s.a.kv_heads * s.a.dim;
    return s;
}

static void attend_bias(struct attend *s, const struct mm_var *bias)
{
    const int b = bias->t.ndim == 4;
    const int64_t *shape = bias->t.shape + b;
    const size_t plane = s->a.nq * s->a.nk;

    assert(bias->t.ndim == 3 || (b && (size_t)bias->t.shape[0] == s->batch));
    assert(shape[0] == 1 || (size_t)shape[0] == s->a.heads);
    assert((size_t)shape[1] == s->a.nq && (size_t)shape[2] == s->a.nk);
    s->a.bias = mm_f32(bias);
    s->a.bias_head = shape[0] == 1 ? 0 : plane;
    s->bias_batch = b ? (size_t)shape[0] * plane : 0;
}

/* Elements of one batch's q (and output), and of its k (and v). */
static size_t q_size(const struct attend *s)
{
    return s->a.nq * s->a.heads * s->a.dim;
}

static size_t k_size(const struct attend *s)
{
    return s->a.nk * s->a.kv_heads * s->a.dim;
}

/* --- gradient of a bias: dB = P (dP - rowsum(P dP)) --- */

struct bias_back {
    const struct attend *s;
    const float *q, *k, *v, *o, *dy;
    float *db;
};

static bool sees(const struct mm_attn *a, size_t i, size_t j)
{
    const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)a->nk - (ptrdiff_t)a->nq;

    return (!a->causal || (ptrdiff_t)j <= last) &&
           (!a->window || (ptrdiff_t)j > last - (ptrdiff_t)a->window);
}

/* Row i of batch b, head h. */
static void bias_back_row(const struct bias_back *w, size_t b, size_t h, size_t i)
{
    const struct mm_attn *a = &w->s->a;
    const size_t q0 = b * q_size(w->s) + i * a->q_row + h * a->q_head;
    const size_t k0 = b * k_size(w->s) + h / (a->heads / a->kv_heads) * a->k_head;
    const size_t b0 = b * w->s->bias_batch + h * a->bias_head + i * a->nk;
    const float lse = w->s->lse[(b * a->heads + h) * a->nq + i];
    const float delta = mm_kern()->dot(w->dy + q0, w->o + q0, a->dim);
    const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)a->nk - (ptrdiff_t)a->nq;

    for (size_t j = 0; lse > -INFINITY && j < a->nk; j++) {
        float score;

        if (!sees(a, i, j))
            continue;
        score = a->scale * mm_kern()->dot(w->q + q0, w->k + k0 + j * a->k_row, a->dim) +
                a->bias[b0 + j];
        if (a->alibi)
            score += a->alibi[h] * (float)((ptrdiff_t)j - last);
        w->db[b0 + j] += expf(score - lse) *
                         (mm_kern()->dot(w->dy + q0, w->v + k0 + j * a->v_row, a->dim) - delta);
    }
}

/* Queries from..to-1: a row of the bias belongs to one thread. */
static void bias_back_range(void *arg, size_t from, size_t to)
{
    const struct bias_back *w = arg;

    for (size_t i = from; i < to; i++)
        for (size_t b = 0; b < w->s->batch; b++)
            for (size_t h = 0; h < w->s->a.heads; h++)
                bias_back_row(w, b, h, i);
}

/* Gradients of q, k, v go through scratch where they are added to others, or
 * are not wanted. */
static float *grad_or_scratch(struct mm_ctx *c, struct mm_var *x)
{
    return x->needs_grad ? mm_grad_open(c, x)
                         : mm_ctx_alloc(c, mm_tensor_count(&x->t), sizeof(float));
}

static void attend_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct attend *s = n->saved;
    const float *q = mm_f32(n->x[0]), *k = mm_f32(n->x[1]), *v = mm_f32(n->x[2]);
    float *dq = grad_or_scratch(c, n->x[0]), *dk = grad_or_scratch(c, n->x[1]);
    float *dv = grad_or_scratch(c, n->x[2]), *db = mm_grad(c, n->x[3]);

    struct mm_attn_grad_item *it = mm_ctx_alloc(c, s->batch, sizeof(*it));
    if (!dq || !dk || !dv || !it)
        return;
    for (size_t b = 0; b < s->batch; b++) {
        const size_t at = b * q_size(s), kt = b * k_size(s);

        it[b] = (struct mm_attn_grad_item){ s->a, dq + at, dk + kt, dv + kt, n->y->grad + at,
                                            q + at, k + kt, v + kt, mm_f32(n->y) + at,
                                            s->lse + b * s->a.heads * s->a.nq };
        it[b].a.bias = s->a.bias ? s->a.bias + b * s->bias_batch : NULL;
    }
    if (mm_attention_grad_many(it, s->batch, c->pool) < 0)
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    mm_grad_close(c, n->x[0], n->x[0]->needs_grad ? dq : NULL);
    mm_grad_close(c, n->x[1], n->x[1]->needs_grad ? dk : NULL);
    mm_grad_close(c, n->x[2], n->x[2]->needs_grad ? dv : NULL);
    if (db)
        mm_range_run(c, s->a.nq, s->batch * s->a.heads * s->a.nk * s->a.dim, bias_back_range,
                     &(struct bias_back){ s, q, k, v, mm_f32(n->y), n->y->grad, db });
}

struct mm_var *mm_attend(struct mm_ctx *c, const struct mm_var *q, const struct mm_var *k,
                         const struct mm_var *v, const struct mm_var *bias,
                         const struct mm_attention_spec *spec)
{
    const struct mm_var *const in[] = { q, k, v, bias };
    struct attend s, *saved;
    struct mm_var *y;

    if (!q || !k || !v)
        return NULL;
    s = attend_shape(q, k, v, spec);
    if (bias)
        attend_bias(&s, bias);
    y = mm_var_new(c, q->t.ndim, q->t.shape);
    if (!y)
        return NULL;
    if (mm_tape_records(c, in, 4)) {
        s.lse = mm_ctx_alloc(c, s.batch * s.a.heads * s.a.nq, sizeof(float));
        if (!s.lse)
            return NULL;
    }
    struct mm_attn_item *it = mm_ctx_alloc(c, s.batch, sizeof(*it));
    if (!it)
        return NULL;
    for (size_t b = 0; b < s.batch; b++) {
        it[b] = (struct mm_attn_item){ s.a, mm_f32(y) + b * q_size(&s), NULL,
                                       mm_f32(q) + b * q_size(&s), mm_f32(k) + b * k_size(&s),
                                       mm_f32(v) + b * k_size(&s) };
        it[b].lse = s.lse ? s.lse + b * s.a.heads * s.a.nq : NULL;
        it[b].a.bias = bias ? s.a.bias + b * s.bias_batch : NULL;
    }
    if (mm_attention_many(it, s.batch, c->pool) < 0) {
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
        return NULL;
    }
    saved = mm_tape_push(c, y, attend_back, in, 4, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}
