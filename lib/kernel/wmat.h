/* wmat.h: the one linear-layer interface: y = x W^T (+ b), W of any dtype.
 *
 * A weight matrix W [out, in] keeps its stored precision; it may be packed at
 * load into an order the kernels read fast.  Inference products of every model
 * come through here; so do the products of frozen weights in training.
 */
#ifndef MM_KERNEL_WMAT_H
#define MM_KERNEL_WMAT_H

#include "base/err.h"
#include "base/pool.h"
#include "base/tensor.h"
#include "kernel/kernel.h"
#include "kernel/packed.h"

struct mm_wmat;

enum mm_arith {
    MM_ARITH_EXACT, /* f32 products and sums of the widened weights: --exact */
    MM_ARITH_FAST   /* the fastest this machine has: int8 activations */
};

enum mm_wmat_pack {
    MM_WMAT_BORROW, /* use w->data, rows as they lie; it must outlive the wmat */
    MM_WMAT_PACK    /* copy it, packed, into memory of the wmat: w->data is not kept */
};

/* mm_wmat_new: wrap w [out, in] (ndim 2, any dtype that mm_tensor_to_f32
 * takes; rows of quantised types are whole blocks).  Packed and borrowed give
 * the same results; a borrowed one is packed again by each product, so it is
 * for look-ups, and for weights that change.  p: packs with its threads; may be
 * NULL.  MM_ENOMEM. */
MM_MUST_CHECK int mm_wmat_new(struct mm_wmat **m, const struct mm_tensor *w, enum mm_wmat_pack pack,
                              struct mm_pool *p, struct mm_err *e);

/* mm_wmat_borrow_packed: wrap a matrix that lies packed (packed.h) at data, mapped
 * from a file say: mm_packed_bytes of it, 64-byte aligned; it must outlive the
 * wmat.  MM_ENOMEM. */
MM_MUST_CHECK int mm_wmat_borrow_packed(struct mm_wmat **m, enum mm_dtype t, size_t out, size_t in,
                                        const void *data, struct mm_err *e);

/* mm_wmat_packed: the packed bytes of the wmat's matrix; NULL if its rows are
 * borrowed as they lie. */
const void *mm_wmat_packed(const struct mm_wmat *m, size_t *bytes);

void mm_wmat_free(struct mm_wmat *m); /* takes NULL */

size_t mm_wmat_out(const struct mm_wmat *m);
size_t mm_wmat_in(const struct mm_wmat *m);
enum mm_dtype mm_wmat_dtype(const struct mm_wmat *m);

/* mm_wmat_row: widen row r (0 <= r < out) into y[in]: embedding look-up. */
void mm_wmat_row(float *y, const struct mm_wmat *m, size_t r);

/* mm_wmat_mul: y[rows][out] = x[rows][in] W^T + b.  b [out] or NULL.  y does
 * not overlap x.  Work is cut into tiles fixed by the shapes; p may be NULL.
 * scratch is kept with the pool.  The result of a row depends neither on the
 * number of threads, nor on the other rows or how many they are.
 * Returns 0, or MM_ENOMEM. */
MM_MUST_CHECK int mm_wmat_mul(float *y, const float *x, size_t rows, const struct mm_wmat *m,
                              const float *b, enum mm_arith arith, struct mm_pool *p);

/* mm_wmat_mul_group: several products of the same x at once (q, k, v; gate,
 * up): one sharing of work, activations quantised once.  y[i], b[i] (b or b[i]
 * may be NULL) belong to m[i]; all m[i] have the same in. */
MM_MUST_CHECK int mm_wmat_mul_group(float *const *y, const float *x, size_t rows,
                                    const struct mm_wmat *const *m, const float *const *b, int n,
                                    enum mm_arith arith, struct mm_pool *p);

/* mm_wmat_mul_t: dx[rows][in] = dy[rows][out] W, exact arithmetic: the
 * gradient through a frozen layer.  dx does not overlap dy.  MM_ENOMEM. */
MM_MUST_CHECK int mm_wmat_mul_t(float *dx, const float *dy, size_t rows, const struct mm_wmat *m,
                                struct mm_pool *p);

#endif
