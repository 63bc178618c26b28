/* encoder.h: the pre-norm transformer block (Vaswani 2017; Radford et al. 2019)
 * of both towers of CLIP:
 *
 *   x += out_proj(attention(q, k, v of LN1(x)));  x += fc2(act(fc1(LN2(x))))
 */
#ifndef MM_NN_ENCODER_H
#define MM_NN_ENCODER_H

#include "tensor/op.h"

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

/* mm_encoder_forward: x [B, T, D] through layer number i of the trace. */
struct mm_var *mm_encoder_forward(struct mm_ctx *c, const struct mm_encoder_layer *y,
                                  struct mm_var *x, const struct mm_encoder_spec *s, size_t i);

#endif
