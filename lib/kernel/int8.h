/* int8.h: products of int8 activations in 256-bit registers; one initialiser per ISA. */
#ifndef MM_KERNEL_INT8_H
#define MM_KERNEL_INT8_H

#include "kernel/kernel.h"

void mm_int8_init_avx2(struct mm_kern *k);
void mm_int8_init_avxvnni(struct mm_kern *k);

#endif
