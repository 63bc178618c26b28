/* qrow.h: rows of weights to f32, rows of activations to bytes; one initialiser
 * per ISA. */
#ifndef MM_KERNEL_QROW_H
#define MM_KERNEL_QROW_H

#include "kernel/kernel.h"

void mm_qrow_init_c(struct mm_kern *k);
void mm_qrow_init_avx2(struct mm_kern *k);
void mm_qrow_init_avx512(struct mm_kern *k);

#endif
