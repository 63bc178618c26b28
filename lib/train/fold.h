/* fold.h: the gradients of an update's micro-batches, added in a fixed tree.
 *
 * The sum over micro-batches a..b-1 is that of the first half, rounded up, plus that
 * of the rest.  So 2 or 4 processes that take equal runs of micro-batches and
 * add pairwise (train/exchange.h) get the bytes that one gets.
 */
#ifndef MM_TRAIN_FOLD_H
#define MM_TRAIN_FOLD_H

#include <stddef.h>

#include "base/err.h"
#include "base/pool.h"

struct mm_fold;

/* mm_fold_new: for n numbers and `count` micro-batches of this process; keeps
 * ceil(log2(count)) copies.  grad[n], the caller's, is where each arrives. */
MM_MUST_CHECK int mm_fold_new(struct mm_fold **f, float *grad, size_t n, size_t count,
                              struct mm_err *e);
void mm_fold_free(struct mm_fold *f); /* takes NULL */

/* mm_fold_add: micro-batch i = 0, 1, ..., count - 1 has come into grad.  After the last one
 * grad holds the sum, before that what it holds may be overwritten. */
void mm_fold_add(struct mm_fold *f, size_t i, struct mm_pool *p);

#endif
