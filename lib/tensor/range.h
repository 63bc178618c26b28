/* range.h: work on n items, cut in ranges of a fixed size for the threads.
 *
 * The cut depends on n and the cost alone, never on the number of threads.
 */
#ifndef MM_TENSOR_RANGE_H
#define MM_TENSOR_RANGE_H

#include "tensor/ctx.h"

typedef void mm_range_fn(void *arg, size_t from, size_t to);

/* mm_range_run: fn over 0..n-1; an item costs about `cost` simple element
 * operations.  Little work is done at once by the caller. */
void mm_range_run(const struct mm_ctx *c, size_t n, size_t cost, mm_range_fn *fn, void *arg);

/* mm_range_columns: the same over the n columns of a table, at least 64 neighbours at a
 * time, so that each row is read by the cache line. */
void mm_range_columns(const struct mm_ctx *c, size_t n, size_t cost, mm_range_fn *fn, void *arg);

/* mm_range_add_rows: y[width] += the sum of the rows of x [rows, width], in their order. */
void mm_range_add_rows(const struct mm_ctx *c, float *y, const float *x, size_t rows,
                       size_t width);

#endif
