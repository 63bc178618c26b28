/* tile_blas.c: f32 products by OpenBLAS, for machines that have none of our vector
 * kernels (another architecture, an x86 without AVX2).
 *
 * Where AVX2 is, our own panels are used: they multiply 16-bit and quantised weights
 * unpacked tile by tile without packing anew, and OpenBLAS 0.3.21 takes newer CPUs for
 * the oldest it knows (25 GFLOP/s where ours reach 107, one thread, 512 rows).
 */
#include <cblas.h>

#include "kernel/kernel.h"
#include "kernel/tile.h"

/* The panels a [k][mr] and b [k][MM_NR] are matrices as they lie. */
static void mul_f32(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, mr, MM_NR, (int)k, 1.0f, a, mr, b, MM_NR,
                1.0f, c, (int)ldc);
}

void mm_tile_init_blas(struct mm_kern *k)
{
    openblas_set_num_threads(1); /* ours share the tiles out */
    k->mul_f32 = mul_f32;
}
