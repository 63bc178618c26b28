/* attention.h: fused softmax(q k^T * scale + mask) v, no L x L matrix.
 *
 * Online softmax over key tiles (Milakov, Gimelshein 2018; Dao 2022), sums in
 * f32 in a fixed order: independent of the number of threads.
 */
#ifndef MM_KERNEL_ATTENTION_H
#define MM_KERNEL_ATTENTION_H

#include "base/dtype.h"
#include "base/err.h"
#include "base/pool.h"

struct mm_attn {
    size_t nq, nk;          /* query rows, key rows */
    size_t heads, kv_heads; /* heads % kv_heads == 0; head h uses kv head h / (heads/kv_heads) */
    size_t dim;             /* head_dim of q, k and v */
    float scale;            /* usually 1/sqrt(dim) */
    bool many;              /* few query rows are rounded as many are */
    bool causal;            /* query i sees keys j <= i + (nk - nq) */
    size_t window;          /* 0: none; else only keys j > i + (nk - nq) - window */
    enum mm_dtype kv;       /* MM_F32 or MM_F16 */
    /* element strides: row t, head h of q is q + t*q_row + h*q_head, ... */
    size_t q_row, q_head, k_row, k_head, v_row, v_head, o_row, o_head;
    const float *alibi; /* slopes[heads]: adds slope*(j - i - (nk - nq)), or NULL */
    const float *bias;  /* additive [heads or 1][nq][nk], or NULL; -INFINITY masks */
    size_t bias_head;   /* stride between heads of bias, 0: shared */
};

/* mm_attention: o[nq][heads][dim] from q and k, v of type a->kv.  A row whose
 * keys are all masked gives zeros.  lse [heads][nq] receives log-sum-exp for a
 * backward pass, or is NULL.  Returns 0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_attention(float *o, float *lse, const float *q, const void *k, const void *v,
                               const struct mm_attn *a, struct mm_pool *p);

/* mm_attention_grad: gradients dq, dk, dv (written, laid out as q, k, v) of
 * the output o whose gradient is dO, from the lse of the forward pass (Dao
 * 2022, appendix B).  a->kv is MM_F32; dO is laid out as o.  alibi and bias
 * take part but get no gradient.  Returns 0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_attention_grad(float *dq, float *dk, float *dv, const float *dO,
                                    const float *q, const float *k, const float *v, const float *o,
                                    const float *lse, const struct mm_attn *a, struct mm_pool *p);

#endif
