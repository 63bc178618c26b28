/* encoder.h: the pre-norm transformer block (Vaswani 2017; Radford et al. 2019)
 * of both towers of CLIP:
 *
 *   x += out_proj(attention(q, k, v of LN1(x)));  x += fc2(act(fc1(LN2(x))))
 */
#ifndef MM_NN_ENCODER_H
#define MM_NN_ENCODER_H

#include "tensor/op.h"
#include "tensor/times.h"

struct mm_encoder_layer {
    struct mm_var *ln1_w, *ln1_b, *ln2_w, *ln2_b;           /* [D] */
    struct mm_var *q, *k, *v, *o, *q_b, *k_b, *v_b, *o_b;   /* [D, D], [D] */
    struct mm_var *fc1, *fc1_b, *fc2, *fc2_b;               /* [F, D] [F] [D, F] [D] */
};

struct mm_encoder_spec {
    int64_t heads;
    float eps;
    enum mm_act act;
    bool causal;
    const char *trace; /* prefix of stage names: PREFIX.layers.N.attn, PREFIX.layers.N */
};

/* Stages of a tower that it laps (tensor/times.h): norms, activations and sums count to
 * the product beside them. */
enum mm_encoder_stage {
    MM_ENCODER_EMBED,
    MM_ENCODER_QKV,
    MM_ENCODER_ATTENTION,
    MM_ENCODER_O,
    MM_ENCODER_MLP,
    MM_ENCODER_SELECT, /* what is taken of the hidden states, pooled, projected */
    MM_ENCODER_STAGES
};

/* mm_encoder_times: a line for each (mm_times_line): embed, qkv, attention, o, mlp, select. */
void mm_encoder_times(struct mm_buf *out, const struct mm_times *t);

/* mm_encoder_forward: x [B, T, D] through layer number i of the trace.  If nothing is
 * recorded the result is x, changed. */
struct mm_var *mm_encoder_forward(struct mm_ctx *c, const struct mm_encoder_layer *y,
                                  struct mm_var *x, const struct mm_encoder_spec *s, size_t i);

#endif
