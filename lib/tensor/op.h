/* op.h: operations on variables, each with its backward step beside it.
 *
 * Conventions: "rows" means all axes but the last taken together.  Shapes are
 * asserted.  Every function returns a new variable in the context's arena, or
 * NULL with ctx->err set.  NULL inputs that are not documented as optional
 * give NULL.  Files: op_linear.c op_norm.c op_act.c op_attention.c op_shape.c
 * op_loss.c op_conv.c.
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

/* Rows of W [vocab, D] (plain or packed) at ids[n] -> [n, D]. */
struct mm_var *mm_embedding(struct mm_ctx *c, const struct mm_var *w, const int32_t *ids, size_t n);

/* --- normalisation (eps inside the root) ---------------------------------- */
struct mm_var *mm_rms_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                           float eps);
/* w and b [D]; either may be NULL */
struct mm_var *mm_layer_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                             const struct mm_var *b, float eps);

/* --- element by element ---------------------------------------------------- */
enum mm_act { MM_ACT_NONE, MM_ACT_GELU, MM_ACT_GELU_TANH, MM_ACT_QUICK_GELU, MM_ACT_SILU,
              MM_ACT_RELU, MM_ACT_SQUARED_RELU, MM_ACT_SIGMOID, MM_ACT_TANH, MM_ACT_EXP };
struct mm_var *mm_activate(struct mm_ctx *c, const struct mm_var *x, enum mm_act a);
struct mm_var *mm_swiglu(struct mm_ctx *c, const struct mm_var *gate, const struct mm_var *up);
struct mm_var *mm_add(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b); /* broadcasts b */
struct mm_var *mm_mul(struct mm_ctx *c, const struct mm_var *a, const struct mm_var *b); /* broadcasts b */
struct mm_var *mm_scale(struct mm_ctx *c, const struct mm_var *x, float s);
struct mm_var *mm_l2_normalize(struct mm_ctx *c, const struct mm_var *x, float eps); /* rows */

/* --- attention -------------------------------------------------------------- */

/* mm_rope: x [T, heads, dim] rotated; cos, sin [T, dim/2] (tables of the
 * model); halves: pairs (i, i+dim/2), else (2i, 2i+1). */
struct mm_var *mm_rope(struct mm_ctx *c, const struct mm_var *x, const float *cos,
                       const float *sin, bool halves);

struct mm_attention_spec {
    float scale;       /* 0: 1/sqrt(dim) */
    bool causal;       /* aligned to the last key */
    size_t window;     /* 0: none */
    const float *alibi;/* slopes[heads] or NULL */
};
/* q [B,Tq,heads,dim], k and v [B,Tk,kv_heads,dim] -> [B,Tq,heads,dim]; B may be
 * missing (ndim 3). bias: additive [heads|1,Tq,Tk] or NULL. */
struct mm_var *mm_attend(struct mm_ctx *c, const struct mm_var *q, const struct mm_var *k,
                         const struct mm_var *v, const struct mm_var *bias,
                         const struct mm_attention_spec *s);

/* --- shapes ------------------------------------------------------------------ */
struct mm_var *mm_reshape(struct mm_ctx *c, const struct mm_var *x, int ndim, const int64_t *shape);
struct mm_var *mm_concat(struct mm_ctx *c, struct mm_var *const *x, int n, int axis);
struct mm_var *mm_slice(struct mm_ctx *c, const struct mm_var *x, int axis, int64_t from, int64_t to);
struct mm_var *mm_permute(struct mm_ctx *c, const struct mm_var *x, const int *perm);
/* rows of src [n, D] replace rows at[i] of x [T, D] */
struct mm_var *mm_scatter_rows(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *src,
                               const int32_t *at);
/* patches of x [B,C,H,W] of side p in raster order -> [B, (H/p)*(W/p), C*p*p] */
struct mm_var *mm_patches(struct mm_ctx *c, const struct mm_var *x, int p);

#endif
