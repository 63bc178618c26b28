/* recompute.h: a part of a model that keeps its input alone and is computed again
 * in backward (Chen et al. 2016): memory for time.
 */
#ifndef MM_TENSOR_RECOMPUTE_H
#define MM_TENSOR_RECOMPUTE_H

#include "tensor/ctx.h"

/* A part: x -> y, the same each time it is called with the same arg. */
typedef struct mm_var *mm_part_fn(struct mm_ctx *c, const void *arg, struct mm_var *x);

/* mm_recompute: fn(c, arg, x).  With a tape and c->recompute what fn allocates is released
 * at once and backward calls fn again; arg[size] is copied, what it points to must
 * stay until then.  Parameters in fn may need gradients. */
struct mm_var *mm_recompute(struct mm_ctx *c, mm_part_fn *fn, const void *arg, size_t size,
                            struct mm_var *x);

#endif
