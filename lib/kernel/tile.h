/* tile.h: panels and micro-kernels of the kernel table, one initialiser per ISA. */
#ifndef MM_KERNEL_TILE_H
#define MM_KERNEL_TILE_H

#include "kernel/kernel.h"

void mm_tile_init_c(struct mm_kern *k);
void mm_tile_init_blas(struct mm_kern *k);
void mm_tile_init_avx2(struct mm_kern *k);
void mm_tile_init_avx512(struct mm_kern *k);

#endif
