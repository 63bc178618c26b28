/* vec.h: vector functions of the kernel table, one initialiser per ISA. */
#ifndef MM_KERNEL_VEC_H
#define MM_KERNEL_VEC_H

#include "kernel/kernel.h"

void mm_vec_init_c(struct mm_kern *k);
void mm_vec_init_avx2(struct mm_kern *k);
void mm_vec_init_avx512(struct mm_kern *k);

#endif
