/* attention_tile_avx2.c: products of attention, AVX2 with FMA and F16C. */
#include "kernel/attention_tile.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 8, TILE_ROWS = 6 };
typedef __m256 vec;

INLINE vec v_set(float f)
{
    return _mm256_set1_ps(f);
}
INLINE vec v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void v_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vec v_widen(const char *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}

#include "kernel/attention_tile.inc"

void mm_attention_tile_init_avx2(struct mm_kern *k)
{
    tile_init(k);
}
