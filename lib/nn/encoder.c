/* encoder.c: one pre-norm transformer block. */
#include "nn/encoder.h"

void mm_encoder_times(struct mm_buf *out, const struct mm_times *t)
{
    static const char *const name[] = { "embed", "qkv", "attention", "o", "mlp", "select" };

    for (int i = 0; i < MM_ENCODER_STAGES; i++)
        mm_times_line(out, name[i], &t->at[MM_TIMES_PREFILL][i]);
}

/* Each of B T rows of D with T keys; keys and values are read once. */
static void lap_attention(struct mm_ctx *c, double B, double T, double D)
{
    mm_times_lap(c, MM_ENCODER_ATTENTION, 4 * B * T * T * D, 2 * B * T * D * sizeof(float));
}

/* x + out_proj(attention(q, k, v of LN1(x))) */
static struct mm_var *attention_half(struct mm_ctx *c, const struct mm_encoder_layer *y,
                                     struct mm_var *x, const struct mm_encoder_spec *s, size_t i)
{
    const struct mm_var *w[3] = { y->q, y->k, y->v }, *b[3] = { y->q_b, y->k_b, y->v_b };
    const struct mm_attention_spec spec = { .causal = s->causal };
    struct mm_var *p[3];
    const int64_t B = x->t.shape[0], T = x->t.shape[1], D = x->t.shape[2];
    const int64_t split[4] = { B, T, s->heads, D / s->heads }, flat[3] = { B, T, D };

    mm_linear_group(c, p, mm_layer_norm(c, x, y->ln1_w, y->ln1_b, s->eps), w, b, 3);
    for (int j = 0; j < 3; j++)
        p[j] = mm_reshape(c, p[j], 4, split);
    mm_times_lap_linear(c, MM_ENCODER_QKV, (size_t)(B * T), w, 3);
    struct mm_var *a = mm_reshape(c, mm_attend(c, p[0], p[1], p[2], NULL, &spec), 3, flat);
    lap_attention(c, (double)B, (double)T, (double)D);
    a = mm_linear(c, a, y->o, y->o_b);
    mm_trace_stage(c, a, "%s.layers.%zu.attn", s->trace, i);
    x = mm_add_over(c, x, a);
    mm_times_lap_linear(c, MM_ENCODER_O, (size_t)(B * T), (const struct mm_var *[]){ y->o }, 1);
    return x;
}

/* x + fc2(act(fc1(LN2(x)))) */
static struct mm_var *mlp_half(struct mm_ctx *c, const struct mm_encoder_layer *y,
                               struct mm_var *x, const struct mm_encoder_spec *s, size_t i)
{
    const size_t rows = (size_t)(x->t.shape[0] * x->t.shape[1]);
    struct mm_var *f = mm_linear(c, mm_layer_norm(c, x, y->ln2_w, y->ln2_b, s->eps), y->fc1,
                                 y->fc1_b);

    x = mm_add_over(c, x, mm_linear(c, mm_activate_over(c, f, s->act), y->fc2, y->fc2_b));
    mm_trace_stage(c, x, "%s.layers.%zu", s->trace, i);
    mm_times_lap_linear(c, MM_ENCODER_MLP, rows, (const struct mm_var *[]){ y->fc1, y->fc2 }, 2);
    return x;
}

/* Each half gives back its memory: fresh memory costs more than the sums in it. */
struct mm_var *mm_encoder_forward(struct mm_ctx *c, const struct mm_encoder_layer *y,
                                  struct mm_var *x, const struct mm_encoder_spec *s, size_t i)
{
    const struct mm_scope scope = mm_scope_open(c);

    x = x ? attention_half(c, y, x, s, i) : NULL;
    mm_scope_close(c, scope, NULL);
    x = x ? mlp_half(c, y, x, s, i) : NULL;
    mm_scope_close(c, scope, NULL);
    return x;
}
