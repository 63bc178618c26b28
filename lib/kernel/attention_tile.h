/* attention_tile.h: products of attention, one initialiser per ISA. */
#ifndef MM_KERNEL_ATTENTION_TILE_H
#define MM_KERNEL_ATTENTION_TILE_H

#include "kernel/kernel.h"

void mm_attention_tile_init_c(struct mm_kern *k);
void mm_attention_tile_init_avx2(struct mm_kern *k);
void mm_attention_tile_init_avx512(struct mm_kern *k);

#endif
