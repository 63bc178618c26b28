/* param.h: weights of a model as variables, from a checkpoint.
 *
 * A matrix becomes a weight (mm_wmat) in its stored precision, over the rows of
 * the checkpoint; vectors and small tables are widened to f32.  Then one of two:
 * for inference mm_params_pack (or _later) gives the matrices of products the order that
 * products read fast; for training mm_params_train turns the named ones into
 * plain f32 variables with needs_grad.
 */
#ifndef MM_NN_PARAM_H
#define MM_NN_PARAM_H

#include "tensor/ctx.h"
#include "weights/load.h"

struct mm_params; /* owns every variable of a model, with its canonical name */

MM_MUST_CHECK int mm_params_new(struct mm_params **p, struct mm_err *e);
void mm_params_free(struct mm_params *p); /* takes NULL */

/* Each takes the tensor that mm_load_get found (NULL gives NULL: the fault is
 * already noted) and the canonical name to keep it under (printf).
 *
 *   matrix  of products: [out, all the rest]
 *   table   of which rows are looked up, and that multiplies nothing: never packed
 *   f32     anything else, widened */
struct mm_var *mm_param_matrix(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
    MM_PRINTF(3, 4);
struct mm_var *mm_param_table(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
    MM_PRINTF(3, 4);
struct mm_var *mm_param_f32(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
    MM_PRINTF(3, 4);

/* mm_param_transposed: t is stored [in, out]; kept as an f32 matrix [out, in]. */
struct mm_var *mm_param_transposed(struct mm_params *p, const struct mm_tensor *t, const char *fmt,
                                   ...) MM_PRINTF(3, 4);

/* mm_params_failed: did an allocation fail?  Check once after loading. */
bool mm_params_failed(const struct mm_params *p);

/* mm_params_pack: pack each matrix that is neither trained nor packed already in
 * its file, one after another, with pool's threads (NULL: this one).  The pages
 * of ck (NULL: none) that hold what was packed are released: memory stays near
 * the size of the file, and ck must stay open as before.  MM_ENOMEM. */
MM_MUST_CHECK int mm_params_pack(struct mm_params *p, const struct mm_ckpt *ck,
                                 struct mm_pool *pool, struct mm_err *e);

/* mm_params_pack_later: pack when a second pass over the weights begins: a job of
 * one pass never pays for it, and products of rows give the same bytes.  ck must
 * stay open.  mm_params_pass: one begins (MM_ENOMEM). */
void mm_params_pack_later(struct mm_params *p, const struct mm_ckpt *ck);
MM_MUST_CHECK int mm_params_pass(struct mm_params *p, struct mm_pool *pool, struct mm_err *e);

/* mm_params_packing: seconds that packing took up to now. */
double mm_params_packing(const struct mm_params *p);

/* In order of loading. */
size_t mm_params_count(const struct mm_params *p);
struct mm_var *mm_params_at(struct mm_params *p, size_t i, const char **name);

/* mm_params_train: variables whose canonical name matches glob (fnmatch) become
 * plain f32 with needs_grad; returns how many, or MM_ENOMEM. */
MM_MUST_CHECK int mm_params_train(struct mm_params *p, const char *glob, struct mm_err *e);

/* mm_params_train_one: the same for the i-th alone.  MM_ENOMEM. */
MM_MUST_CHECK int mm_params_train_one(struct mm_params *p, size_t i, struct mm_err *e);

#endif
