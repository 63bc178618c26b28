/* tile_blas.c: f32 products by OpenBLAS, for machines that have none of our vector
 * kernels (another architecture, an x86 without AVX2).
 *
 * Where AVX2 is, our own panels are used: they multiply 16-bit and quantised weights
 * unpacked tile by tile without packing anew, and OpenBLAS 0.3.21 takes newer CPUs for
 * the oldest it knows (25 GFLOP/s where ours reach 107, one thread, 512 rows).
 */
#include <cblas.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/tile.h"

enum { KC = 256 };

/* The panels a [k][mr] and b [k][MM_NR] are matrices as they lie.  The library rounds by
 * the shape of a product, and a row must not depend on how many others there are: so a
 * is filled up to MM_MR rows, and k is cut into steps of KC. */
static void mul_f32(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr)
{
    float t[MM_MR * MM_NR] = { 0 }, full[KC * MM_MR] = { 0 };

    for (size_t k0 = 0; k0 < k; k0 += KC) {
        const size_t n = k - k0 < KC ? k - k0 : KC;

        for (size_t i = 0; i < n; i++)
            memcpy(full + i * MM_MR, a + (k0 + i) * (size_t)mr, (size_t)mr * sizeof(*a));
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, MM_MR, MM_NR, (int)n, 1.0f, full,
                    MM_MR, b + k0 * MM_NR, MM_NR, 1.0f, t, MM_NR);
    }
    for (int r = 0; r < mr; r++)
        for (int j = 0; j < MM_NR; j++)
            c[(size_t)r * ldc + (size_t)j] += t[r * MM_NR + j];
}

void mm_tile_init_blas(struct mm_kern *k)
{
    openblas_set_num_threads(1); /* ours share the tiles out */
    k->mul_f32 = mul_f32;
}
