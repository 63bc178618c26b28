/* attention_tile_avx2.c: products of attention, AVX2 with FMA and F16C. */
#include "kernel/attention_tile.h"

#include "kernel/ymm.h"

enum { TILE_ROWS = 6 };

#include "kernel/attention_tile.inc"

void mm_attention_tile_init_avx2(struct mm_kern *k)
{
    tile_init(k);
}
