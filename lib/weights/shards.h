/* shards.h: Meta's model-parallel checkpoints, consolidated.NN.pth, joined.
 *
 * wq wk wv w1 w3 output are cut along their rows, wo w2 along their columns,
 * tok_embeddings along columns (LLaMA 1, 2) or rows (Llama 3); the rest is
 * the same in every shard.
 */
#ifndef MM_WEIGHTS_SHARDS_H
#define MM_WEIGHTS_SHARDS_H

#include "weights/ckpt_impl.h"

/* mm_shards_join: append the joined tensors of the n files names[] of ck->dir,
 * in order; with n = 1 they are borrowed from the mapped file. */
MM_MUST_CHECK int mm_shards_join(struct mm_ckpt *ck, const char *const *names, size_t n,
                                 struct mm_err *e);

#endif
