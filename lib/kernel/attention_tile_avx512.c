/* attention_tile_avx512.c: products of attention, AVX-512. */
#include "kernel/attention_tile.h"

#include "kernel/zmm.h"

enum { TILE_ROWS = 12 };

#include "kernel/attention_tile.inc"

void mm_attention_tile_init_avx512(struct mm_kern *k)
{
    tile_init(k);
}
