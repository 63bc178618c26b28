/* unpack.h: packed panels of quantised weights to codes, scales and minima, and
 * to f32; one initialiser per ISA. */
#ifndef MM_KERNEL_UNPACK_H
#define MM_KERNEL_UNPACK_H

#include "kernel/kernel.h"

void mm_unpack_init_c(struct mm_kern *k);
void mm_unpack_init_avx2(struct mm_kern *k);
void mm_unpack_init_avx512(struct mm_kern *k);
void mm_pairs_init_avx512(struct mm_kern *k);

#endif
