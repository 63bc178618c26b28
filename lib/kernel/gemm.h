/* gemm.h: dense products of f32 matrices, row-major.
 *
 * Tiles are fixed by the shapes and sums over k run in a fixed order: the
 * result does not depend on the number of threads.
 */
#ifndef MM_KERNEL_GEMM_H
#define MM_KERNEL_GEMM_H

#include <stddef.h>

#include "base/err.h"
#include "base/pool.h"

enum mm_trans { MM_NOTRANS, MM_TRANS };

/* mm_gemm: C[M][N] = alpha op(A)[M][K] op(B)[K][N] + beta C.
 *
 *   ta, tb  op(X) = X or X^T: A is stored [M][K] or [K][M], B [K][N] or [N][K]
 *   lda...  elements from one stored row to the next, at least its length
 *   beta    0: C is only written (NaN there does not matter)
 *   p       may be NULL
 *
 * C overlaps neither A nor B.  Returns 0 or MM_ENOMEM. */
MM_MUST_CHECK int mm_gemm(enum mm_trans ta, enum mm_trans tb, size_t M, size_t N, size_t K,
                          float alpha, const float *A, size_t lda, const float *B, size_t ldb,
                          float beta, float *C, size_t ldc, struct mm_pool *p);

#endif
