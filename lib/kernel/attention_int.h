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

/* Element of row r of a kv head in an array laid out with strides row, head. */
static inline size_t mm_attn_at(const struct mm_attn *a, size_t kv, size_t r, size_t row,
                                size_t head)
{
    const size_t group = mm_attn_group(a);
    return r / group * row + (kv * group + r % group) * head;
}

struct mm_attn_span mm_attn_span(const struct mm_attn *a, size_t query);

/* mm_attn_pack_rows: rows r0.. of kv head kv of x (laid out as q), times scale,
 * to groups of MM_MR rows, [dim][mr] each; tmp is scratch [MM_MR][dim]. */
void mm_attn_pack_rows(float *qa, const float *x, size_t row, size_t head, float scale, size_t kv,
                       size_t r0, size_t rows, const struct mm_attn *a, float *tmp);

/* mm_attn_mask: alibi and bias, times unit, and the mask on the scores s (rows
 * ld apart) of rows r0.. with keys j0..j0+n; what no row sees is -INFINITY. */
void mm_attn_mask(float *s, size_t ld, float unit, size_t kv, size_t r0, size_t rows, size_t j0,
                  size_t n, const struct mm_attn *a);

/* mm_attn_rows_to_panels: keys rows of x (floats, row apart) to values panels
 * [pdim / MM_NR][ld][MM_NR]; columns from dim on are zero. */
void mm_attn_rows_to_panels(float *panels, size_t ld, const float *x, size_t row, size_t keys,
                            size_t dim);

#endif
