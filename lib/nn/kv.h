/* kv.h: the keys and values of one sequence: what decoding needs of its past.
 *
 * Keys are stored after RoPE, f16 or f32, per layer and head in the panels that
 * attention reads (MM_ATTN_PANELS of kernel/attention.h): keys
 * [position / 32][head_dim][32], values [head_dim / 32][position][32].  It grows
 * by the half, in whole panels; positions 0..n-1 are filled.
 */
#ifndef MM_NN_KV_H
#define MM_NN_KV_H

#include "base/err.h"
#include "base/tensor.h"
#include "kernel/attention.h"

struct mm_kv;

MM_MUST_CHECK int mm_kv_new(struct mm_kv **kv, size_t layers, size_t heads, size_t dim,
                            enum mm_dtype dtype, struct mm_err *e);
void mm_kv_free(struct mm_kv *kv); /* takes NULL */
size_t mm_kv_len(const struct mm_kv *kv);
enum mm_dtype mm_kv_dtype(const struct mm_kv *kv);

/* mm_kv_expect: n positions are to come in all: as soon as it grows, it has room for them,
 * and until there are more for no others.  Growing moves what it holds. */
void mm_kv_expect(struct mm_kv *kv, size_t n);

/* mm_kv_truncate: forget positions n and above; n <= length. */
void mm_kv_truncate(struct mm_kv *kv, size_t n);

/* mm_kv_copy: dst becomes the first n positions of src (same model and dtype), n <= its
 * length.  MM_ENOMEM: dst is empty. */
MM_MUST_CHECK int mm_kv_copy(struct mm_kv *dst, const struct mm_kv *src, size_t n,
                             struct mm_err *e);

/* mm_kv_append: rows of one layer, k and v [n][heads][dim] f32, go to positions
 * length .. length + n - 1; the length itself moves at mm_kv_advance, once all
 * layers have theirs. */
MM_MUST_CHECK int mm_kv_append(struct mm_kv *kv, size_t layer, const float *k, const float *v,
                               size_t n);
void mm_kv_advance(struct mm_kv *kv, size_t n);

/* mm_kv_view: layer's keys and values, and how they lie, for attention: sets k,
 * v of *it and of it->a what describes them.  Valid until the next append. */
void mm_kv_view(const struct mm_kv *kv, size_t layer, struct mm_attn_item *it);

/* mm_kv_export: the filled part of a layer as [heads][n][dim] into k and v, in
 * the cache's dtype; mm_kv_import: the reverse, all layers must bring the same n. */
void mm_kv_export(const struct mm_kv *kv, size_t layer, void *k, void *v);
MM_MUST_CHECK int mm_kv_import(struct mm_kv *kv, size_t n, size_t layer, const void *k,
                               const void *v);

#endif
