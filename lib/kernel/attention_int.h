/* attention_int.h: what the forward and backward passes of attention share.
 *
 * All query rows that share a kv head are numbered together, query-major:
 * row r is query r / group, head kv * group + r % group.  A tile of them meets
 * the keys a block at a time.
 */
#ifndef MM_KERNEL_ATTENTION_INT_H
#define MM_KERNEL_ATTENTION_INT_H

#include "kernel/attention.h"
#include "kernel/kernel.h"

enum {
    MM_ATTN_ROWS = 48, /* query rows of a tile: a multiple of MM_MR */
    MM_ATTN_KEYS = 64  /* keys of a block: a multiple of MM_NR */
};

/* Keys that a query row may see: [lo, hi). */
struct mm_attn_span {
    size_t lo, hi;
};

static inline size_t mm_attn_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t mm_attn_div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Elements of a head in whole panels. */
static inline size_t mm_attn_dim(const struct mm_attn *a)
{
    return mm_attn_div_up(a->dim, MM_NR) * MM_NR;
}

static inline size_t mm_attn_group(const struct mm_attn *a)
{
    return a->heads / a->kv_heads;
}

struct mm_attn_span mm_attn_span(const struct mm_attn *a, size_t query);

/* mm_attn_product: s[rows][MM_ATTN_KEYS] = rows of xa times rows j0..j0+keys of
 * x, keys or values of kv head kv with strides row, head.  xa is in groups of
 * MM_MR rows, [dim][mr] each; panel is scratch [dim][MM_NR], wide [MM_NR][dim]. */
void mm_attn_product(float *s, const float *xa, size_t rows, const void *x, size_t row, size_t head,
                     size_t kv, size_t j0, size_t keys, const struct mm_attn *a, float *panel,
                     float *wide);

/* mm_attn_mask: alibi, bias and mask added to the scores of rows r0..; columns
 * from keys on become -INFINITY. */
void mm_attn_mask(float *s, size_t kv, size_t r0, size_t rows, size_t j0, size_t keys,
                  const struct mm_attn *a);

/* mm_attn_pack_rows: rows r0.. of kv head kv of x (laid out as q) to groups of
 * MM_MR, times scale; tmp is scratch [MM_MR][dim]. */
void mm_attn_pack_rows(float *qa, const float *x, size_t row, size_t head, float scale, size_t kv,
                       size_t r0, size_t rows, const struct mm_attn *a, float *tmp);

/* mm_attn_value_panels: rows j0.. of x (keys or values of kv head kv) to
 * panels [dim / MM_NR][MM_ATTN_KEYS][MM_NR]; missing rows are zero. */
void mm_attn_value_panels(float *panels, const void *x, size_t row, size_t head, size_t kv,
                          size_t j0, size_t keys, const struct mm_attn *a, float *wide);

#endif
