/* attention_tile_avx512.c: products of attention, AVX-512. */
#include "kernel/attention_tile.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { VW = 16, TILE_ROWS = 12 };
typedef __m512 vec;

INLINE vec v_set(float f)
{
    return _mm512_set1_ps(f);
}
INLINE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void v_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}
INLINE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vec v_widen(const char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

#include "kernel/attention_tile.inc"

void mm_attention_tile_init_avx512(struct mm_kern *k)
{
    tile_init(k);
}
