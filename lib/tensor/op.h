/* op.h: operations on variables, each with its backward step beside it.
 *
 * Conventions: "rows" means all axes but the last taken together.  Shapes are
 * asserted.  Every function returns a new variable in the context's arena, or
 * NULL with ctx->err set.  NULL inputs that are not documented as optional
 * give NULL.  Ids, indices, targets and masks of rows are copied where backward
 * needs them; tables (rope, alibi) and dropout masks are borrowed until it is over.
 *
 * Sizes and axes are `int`: they are small; axis -1 is the last.
 */
#ifndef MM_TENSOR_OP_H
#define MM_TENSOR_OP_H

#include "tensor/ctx.h"

/* --- products ------------------------------------------------------------ */

/* y[...][out] = x[...][in] W^T + b; W [out, in] plain or packed; b [out] or NULL. */
struct mm_var *mm_linear(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                         const struct mm_var *b);

/* mm_linear_group: n products of the same x into y[0..n-1] (q, k, v). b may be NULL. */
void mm_linear_group(struct mm_ctx *c, struct mm_var **y, const struct mm_var *x,
                     const struct mm_var *const *w, const struct mm_var *const *b, int n);

/* a x b of the last two axes, each taken as it lies (N) or transposed (T); the
 * axes before are a batch: equal in a and b, or b has none and serves all. */
enum mm_matmul_kind { MM_MATMUL_NN, MM_MATMUL_NT, MM_MATMUL_TN, MM_MATMUL_TT };
struct mm_var *mm_matmul(struct mm_ctx *c, enum mm_matmul_kind kind, const struct mm_var *a,
                         const struct mm_var *b);

/* Rows of W [vocab, D] (plain or packed) at ids[n] -> [n, D]. */
struct mm_var *mm_embedding(struct mm_ctx *c, const struct mm_var *w, const int32_t *ids, size_t n);

/* --- normalisation (eps inside the root) ---------------------------------- */
struct mm_var *mm_rms_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                           float eps);
/* w and b [D]; either may be NULL */
struct mm_var *mm_layer_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                             const struct mm_var *b, float eps);
/* x [B, C, ...], C in groups; w, b [C] or NULL */
struct mm_var *mm_group_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                             const struct mm_var *b, int groups, float eps);
/* rows / max(their L2 norm, eps) */
struct mm_var *mm_l2_normalize(struct mm_ctx *c, const struct mm_var *x, float eps);

/* --- softmax and sums -------------------------------------------------------- */
struct mm_var *mm_softmax(struct mm_ctx *c, const struct mm_var *x, int axis);
struct mm_var *mm_log_softmax(struct mm_ctx *c, const struct mm_var *x); /* last axis */
/* x [..., Tq, Tk]: query i sees the keys j <= i + Tk - Tq; the others get 0 */
struct mm_var *mm_softmax_causal(struct mm_ctx *c, const struct mm_var *x);

enum mm_reduction { MM_REDUCE_MEAN, MM_REDUCE_SUM };
/* over the last naxes axes, which go; naxes = ndim gives a scalar (ndim 0) */
struct mm_var *mm_reduce(struct mm_ctx *c, const struct mm_var *x, int naxes,
                         enum mm_reduction reduction);
/* x [B, T, D] -> [B, D]: mean of the rows whose mask [B, T] is not 0; 0 if none */
struct mm_var *mm_masked_mean(struct mm_ctx *c, const struct mm_var *x, const int32_t *mask);

/* --- element by element ---------------------------------------------------- */
enum mm_act {
    MM_ACT_NONE,
    MM_ACT_GELU,
    MM_ACT_GELU_TANH,
    MM_ACT_QUICK_GELU,
    MM_ACT_SILU,
    MM_ACT_RELU,
    MM_ACT_SQUARED_RELU,
    MM_ACT_SIGMOID,
    MM_ACT_TANH,
    MM_ACT_EXP
};
struct mm_var *mm_activate(struct mm_ctx *c, const struct mm_var *x, enum mm_act a);
/* mm_activate_over: the same, for an x that nothing else reads: if nothing is recorded, the
 * result is x, changed.  mm_add_over likewise: a, and mm_swiglu_over: gate, changed. */
struct mm_var *mm_activate_over(struct mm_ctx *c, struct mm_var *x, enum mm_act a);
struct mm_var *mm_leaky_relu(struct mm_ctx *c, const struct mm_var *x, float slope);
/* silu(gate) * up */
struct mm_var *mm_swiglu(struct mm_ctx *c, const struct mm_var *gate, const struct mm_var *up);
struct mm_var *mm_swiglu_over(struct mm_ctx *c, struct mm_var *gate, const struct mm_var *up);
/* x [..., 2D], the value first and then the gate: value * gelu(gate) -> [..., D] */
struct mm_var *mm_geglu(struct mm_ctx *c, const struct mm_var *x);
/* The result has a's shape; b's axes, aligned to the right, are a's or 1. */
struct mm_var *mm_add(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b);
struct mm_var *mm_add_over(struct mm_ctx *c, struct mm_var *a, const struct mm_var *b);
struct mm_var *mm_mul(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b);
struct mm_var *mm_scale(struct mm_ctx *c, const struct mm_var *x, float s);
/* keep: one byte per element of x; what is kept is divided by 1 - p, 0 <= p < 1 */
struct mm_var *mm_dropout(struct mm_ctx *c, const struct mm_var *x, const uint8_t *keep, float p);

/* --- attention -------------------------------------------------------------- */

/* mm_rope: x [T, heads, dim] rotated; cos, sin [T, dim/2] (tables of the
 * model); halves: pairs (i, i+dim/2), else (2i, 2i+1).  With more axes in
 * front, T is all of them together. */
struct mm_var *mm_rope(struct mm_ctx *c, const struct mm_var *x, const float *cos, const float *sin,
                       bool halves);

struct mm_attention_spec {
    float scale;        /* 0: 1/sqrt(dim) */
    bool causal;        /* aligned to the last key */
    size_t window;      /* 0: none */
    const float *alibi; /* slopes[heads] or NULL */
};
/* q [B,Tq,heads,dim], k and v [B,Tk,kv_heads,dim] -> [B,Tq,heads,dim]; B may be
 * missing (ndim 3).  bias: additive [heads|1,Tq,Tk], or [B,heads|1,Tq,Tk], or
 * NULL.  A query that sees no key gives zeros. */
struct mm_var *mm_attend(struct mm_ctx *c, const struct mm_var *q, const struct mm_var *k,
                         const struct mm_var *v, const struct mm_var *bias,
                         const struct mm_attention_spec *s);

/* mm_attend_seqs: the same over nseq sequences that lie one after another: q
 * [sum of len, heads, dim], k and v [sum of len, kv_heads, dim]; a row sees its
 * own sequence alone.  No bias. */
struct mm_var *mm_attend_seqs(struct mm_ctx *c, const struct mm_var *q, const struct mm_var *k,
                              const struct mm_var *v, const size_t *len, size_t nseq,
                              const struct mm_attention_spec *s);

/* --- shapes ------------------------------------------------------------------ */

/* mm_reshape: the same data seen otherwise: not copied. */
struct mm_var *mm_reshape(struct mm_ctx *c, const struct mm_var *x, int ndim, const int64_t *shape);
struct mm_var *mm_concat(struct mm_ctx *c, struct mm_var *const *x, int n, int axis);
/* elements from..to-1 along axis; of these every step-th */
struct mm_var *mm_slice(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t from,
                        int64_t to);
struct mm_var *mm_slice_step(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t from,
                             int64_t to, int64_t step);
/* y[.., i, ..] = x[.., index[i], ..] */
struct mm_var *mm_select(struct mm_ctx *c, const struct mm_var *x, int axis, const int32_t *index,
                         size_t m);
/* a b c -> a b c a b c;  interleaved: a a b b c c */
struct mm_var *mm_repeat(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t times);
struct mm_var *mm_repeat_interleave(struct mm_ctx *c, const struct mm_var *x, int axis,
                                    int64_t times);
/* axis i of the result is axis perm[i] of x */
struct mm_var *mm_permute(struct mm_ctx *c, const struct mm_var *x, const int *perm);
/* rows of src [n, D] replace rows at[i] of x [T, D]; of equal at[] the last wins */
struct mm_var *mm_scatter_rows(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *src,
                               const int32_t *at);
/* patches of x [B,C,H,W] of side p in raster order -> [B, (H/p)*(W/p), C*p*p] */
struct mm_var *mm_patches(struct mm_ctx *c, const struct mm_var *x, int p);
/* the last two axes to height x width: source = floor(i * in / out) */
struct mm_var *mm_upsample_nearest(struct mm_ctx *c, const struct mm_var *x, int64_t height,
                                   int64_t width);

/* --- pictures ------------------------------------------------------------------ */

struct mm_conv {
    int stride[2], padding[2], dilation[2]; /* down, across */
    int groups;
};
/* x [B, C, H, W], w [O, C/groups, kh, kw] plain, b [O] or NULL -> [B, O, H', W'].
 * One axis less: H = kh = 1.  A third: join it with one where the kernel is 1. */
struct mm_var *mm_conv2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                         const struct mm_var *b, const struct mm_conv *v);
/* x [B, C, H, W], w [C, O/groups, kh, kw] -> [B, O, (H-1) stride - 2 padding +
 * dilation (kh-1) + output_padding + 1, ..] */
struct mm_var *mm_conv_transpose2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                                   const struct mm_var *b, const struct mm_conv *v,
                                   const int *output_padding);

enum mm_pool_kind { MM_POOL_AVERAGE, MM_POOL_MAX };
struct mm_pool2d {
    enum mm_pool_kind kind;
    int kernel, stride, padding; /* padding <= kernel / 2 */
    bool count_padding;          /* in the divisor of an average */
};
struct mm_var *mm_pool2d(struct mm_ctx *c, const struct mm_var *x, const struct mm_pool2d *p);

/* Where -1 and 1 lie: on the borders of the outer pixels, or their centres
 * (align_corners). */
enum mm_corners { MM_CORNERS_BORDERS, MM_CORNERS_CENTRED };
/* x [B, C, H, W] at grid [B, H', W', 2] (x, y in -1..1), bilinear, 0 outside ->
 * [B, C, H', W'] */
struct mm_var *mm_grid_sample(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *grid,
                              enum mm_corners corners);
/* Multi-scale deformable attention (Zhu 2021): value [B, sum of h w, heads, dim]
 * of n <= 8 levels of h x w; place [B, Q, heads, n, P, 2] (x, y in 0..1), weight
 * [B, Q, heads, n, P] -> [B, Q, heads * dim] */
struct mm_var *mm_deform_attend(struct mm_ctx *c, const struct mm_var *value,
                                const struct mm_var *place, const struct mm_var *weight,
                                const int64_t (*levels)[2], int n);

/* --- losses: scalars (ndim 0) -------------------------------------------------- */

/* logits [N, V]; target[N], negative: the row is left out, of the mean too (a
 * mean of no rows is 0).  smoothing s: q = (1-s) onehot + s/V. */
struct mm_var *mm_cross_entropy(struct mm_ctx *c, const struct mm_var *logits,
                                const int32_t *target, float smoothing,
                                enum mm_reduction reduction);

/* Of x and y, equal shapes, element by element.  beta: where smooth L1 and Huber
 * go from square to straight; unused by the others.  MM_LOSS_BCE_LOGITS: x are
 * logits, y constant probabilities. */
enum mm_pair_loss { MM_LOSS_MSE, MM_LOSS_L1, MM_LOSS_SMOOTH_L1, MM_LOSS_HUBER, MM_LOSS_BCE_LOGITS };
struct mm_var *mm_pair_loss(struct mm_ctx *c, enum mm_pair_loss kind, const struct mm_var *x,
                            const struct mm_var *y, float beta, enum mm_reduction reduction);

/* mean over rows of |x - y| (not squared: NExT-GPT's alignment loss) */
struct mm_var *mm_row_l2(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *y);

/* rows of x and y [..., D] -> [...] */
struct mm_var *mm_cosine_similarity(struct mm_ctx *c, const struct mm_var *x,
                                    const struct mm_var *y);

/* Symmetric InfoNCE (Radford 2021, fig. 3): image, text [N, D], whose rows are
 * first brought to length 1; row i of one belongs to row i of the other;
 * log_scale a scalar. */
struct mm_var *mm_infonce(struct mm_ctx *c, const struct mm_var *image, const struct mm_var *text,
                          const struct mm_var *log_scale);

/* mm_head_loss: scale * sum of cross-entropies of the logits h W^T, h [N, D], W [V, D];
 * target[N], negative: the row is not computed at all.  Logits exist for a few rows at
 * a time, and their gradients with them, so backward costs nothing more: the result
 * must be the loss itself (its upstream gradient is 1). */
struct mm_var *mm_head_loss(struct mm_ctx *c, const struct mm_var *h, const struct mm_var *w,
                            const int32_t *target, float scale);

/* Of detection, as DETR: sums over all elements (masks, boxes) / boxes; targets
 * are constant.  Focal: sigmoid, any shape.  Dice: masks [N, P] of logits.  GIoU:
 * boxes [N, 4] as cx cy w h. */
struct mm_var *mm_focal_loss(struct mm_ctx *c, const struct mm_var *logits,
                             const struct mm_var *target, float alpha, float gamma, float boxes);
struct mm_var *mm_dice_loss(struct mm_ctx *c, const struct mm_var *logits,
                            const struct mm_var *target, float boxes);
struct mm_var *mm_giou_loss(struct mm_ctx *c, const struct mm_var *pred,
                            const struct mm_var *target, float boxes);

#endif
