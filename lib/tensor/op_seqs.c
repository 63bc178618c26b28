/* op_seqs.c: attention within each of several sequences of different lengths that
 * lie one after another (a training batch without padding).
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/attention.h"
#include "tensor/tape.h"

struct seqs {
    struct mm_attn a; /* nq and nk are each sequence's length */
    const size_t *len;
    size_t n;
    float *lse; /* [rows * heads], a sequence after the other */
};

static struct mm_attn spec_of(const struct mm_var *q, const struct mm_var *k,
                              const struct mm_attention_spec *s)
{
    struct mm_attn a = { .heads = (size_t)q->t.shape[1],
                         .kv_heads = (size_t)k->t.shape[1],
                         .dim = (size_t)q->t.shape[2],
                         .scale = s->scale,
                         .causal = s->causal,
                         .window = s->window,
                         .alibi = s->alibi,
                         .kv = MM_F32 };

    if (a.scale == 0)
        a.scale = 1 / sqrtf((float)a.dim);
    a.q_head = a.k_head = a.v_head = a.o_head = a.dim;
    a.q_row = a.o_row = a.heads * a.dim;
    a.k_row = a.v_row = a.kv_heads * a.dim;
    return a;
}

/* A gradient that is not wanted goes to scratch. */
static float *room(struct mm_ctx *c, struct mm_var *x)
{
    return x->needs_grad ? mm_grad_open(c, x)
                         : mm_ctx_alloc(c, mm_tensor_count(&x->t), sizeof(float));
}

static void seqs_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct seqs *s = n->saved;
    struct mm_var *const *x = n->x;
    float *g[3] = { room(c, x[0]), room(c, x[1]), room(c, x[2]) };
    struct mm_attn_grad_item *it = mm_ctx_alloc(c, s->n, sizeof(*it));
    size_t row = 0;

    if (!g[0] || !g[1] || !g[2] || !it)
        return;
    for (size_t i = 0; i < s->n; row += s->len[i++]) {
        const size_t qa = row * s->a.q_row, ka = row * s->a.k_row;

        it[i] = (struct mm_attn_grad_item){ s->a, g[0] + qa, g[1] + ka, g[2] + ka,
                                            n->y->grad + qa, mm_f32(x[0]) + qa,
                                            mm_f32(x[1]) + ka, mm_f32(x[2]) + ka,
                                            mm_f32(n->y) + qa, s->lse + row * s->a.heads };
        it[i].a.nq = it[i].a.nk = s->len[i];
    }
    if (mm_attention_grad_many(it, s->n, c->pool) < 0)
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    for (int i = 0; i < 3; i++)
        if (x[i]->needs_grad)
            mm_grad_close(c, x[i], g[i]);
}

struct mm_var *mm_attend_seqs(struct mm_ctx *c, const struct mm_var *q, const struct mm_var *k,
                              const struct mm_var *v, const size_t *len, size_t nseq,
                              const struct mm_attention_spec *spec)
{
    const struct mm_var *const in[] = { q, k, v };
    struct seqs s = { .n = nseq, .len = len }, *saved;
    size_t row = 0;

    if (!q || !k || !v)
        return NULL;
    assert(q->t.ndim == 3 && k->t.ndim == 3 && mm_shape_eq(&k->t, &v->t));
    assert(q->t.shape[0] == k->t.shape[0] && q->t.shape[2] == k->t.shape[2]);
    s.a = spec_of(q, k, spec);
    struct mm_var *y = mm_var_new(c, 3, q->t.shape);
    if (y && mm_tape_records(c, in, 3))
        s.lse = mm_ctx_alloc(c, (size_t)q->t.shape[0] * s.a.heads, sizeof(float));
    if (!y || c->err.code)
        return NULL;
    struct mm_attn_item *it = mm_ctx_alloc(c, nseq, sizeof(*it));
    for (size_t i = 0; it && i < nseq; row += len[i++]) {
        it[i] = (struct mm_attn_item){ .a = s.a, .o = mm_f32(y) + row * s.a.o_row,
                                       .lse = s.lse ? s.lse + row * s.a.heads : NULL,
                                       .q = mm_f32(q) + row * s.a.q_row,
                                       .k = mm_f32(k) + row * s.a.k_row,
                                       .v = mm_f32(v) + row * s.a.v_row };
        it[i].a.nq = it[i].a.nk = len[i];
    }
    if (!it)
        return NULL;
    assert(row == (size_t)q->t.shape[0]);
    if (mm_attention_many(it, nseq, c->pool) < 0) {
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
        return NULL;
    }
    saved = mm_tape_push(c, y, seqs_back, in, 3, sizeof(s) + nseq * sizeof(*len));
    if (saved) {
        *saved = s;
        saved->len = memcpy(saved + 1, len, nseq * sizeof(*len));
    }
    return y;
}
