/* attention.h: fused softmax(q k^T * scale + mask) v, no L x L matrix.
 *
 * Keys are taken MM_ATTN_CHUNK at a time, at multiples of it: maximum, sum and
 * output of each chunk are merged in the order of the keys (Milakov,
 * Gimelshein 2018; Dao 2022).  So a row of the output has the same bytes
 * whatever other rows and sequences are computed with it, on any number of
 * threads.
 */
#ifndef MM_KERNEL_ATTENTION_H
#define MM_KERNEL_ATTENTION_H

#include "base/dtype.h"
#include "base/err.h"
#include "base/pool.h"

enum mm_attn_layout {
    MM_ATTN_ROWS,  /* f32: row t of kv head h at t*k_row + h*k_head; v likewise */
    MM_ATTN_PANELS /* blocks of 32 positions (MM_NR), as lib/nn/kv holds them:
                      keys   [position / 32][dim][32] at h*k_head,
                      values [dim / 32, rounded up][position][32] at h*v_head, v_panel apart;
                      keys of a begun block and columns of values from dim on are finite */
};

struct mm_attn {
    size_t nq, nk;          /* query rows, key rows */
    size_t heads, kv_heads; /* heads % kv_heads == 0; head h uses kv head h / (heads/kv_heads) */
    size_t dim;             /* head_dim of q, k and v */
    float scale;            /* usually 1/sqrt(dim) */
    bool causal;            /* query i sees keys j <= i + (nk - nq) */
    size_t window;          /* 0: none; else only keys j > i + (nk - nq) - window */
    enum mm_attn_layout layout; /* of k and v */
    enum mm_dtype kv;           /* MM_F32, or MM_F16 in panels */
    /* element strides: row t, head h of q is q + t*q_row + h*q_head, ... */
    size_t q_row, q_head, k_row, k_head, v_row, v_head, v_panel, o_row, o_head;
    const float *alibi; /* slopes[heads]: adds slope*(j - i - (nk - nq)), or NULL */
    const float *bias;  /* additive [heads or 1][nq][nk], or NULL; -INFINITY masks */
    size_t bias_head;   /* stride between heads of bias, 0: shared */
};

/* mm_attention: o[nq][heads][dim] from q and k, v of type a->kv.  A row whose
 * keys are all masked gives zeros.  lse [heads][nq] receives log-sum-exp for a
 * backward pass, or is NULL.  Returns 0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_attention(float *o, float *lse, const float *q, const void *k, const void *v,
                               const struct mm_attn *a, struct mm_pool *p);

/* One sequence: what mm_attention takes. */
struct mm_attn_item {
    struct mm_attn a;
    float *o, *lse;
    const float *q;
    const void *k, *v;
};

/* mm_attention_many: n sequences, each with its own lengths and cache, in one
 * sharing of work; every output is what mm_attention gives.  0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_attention_many(const struct mm_attn_item *items, size_t n, struct mm_pool *p);

/* One sequence's gradients dq, dk, dv (written, laid out as q, k, v) and what they are
 * computed from: dO (laid out as o), the inputs, and o and lse of the forward pass. */
struct mm_attn_grad_item {
    struct mm_attn a;
    float *dq, *dk, *dv;
    const float *dO, *q, *k, *v, *o, *lse;
};

/* mm_attention_grad_many: gradients of n sequences of one shape (heads, kv_heads, dim) and
 * of any lengths, in one sharing of work (Dao 2022, appendix B).  k and v are rows of
 * f32; alibi and bias take part but get no gradient.  Returns 0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_attention_grad_many(const struct mm_attn_grad_item *items, size_t n,
                                         struct mm_pool *p);

#endif
