/* qrow.h: functions on rows of weights (widen, dot, codes) and on activations
 * quantised to bytes, one initialiser per ISA. */
#ifndef MM_KERNEL_QROW_H
#define MM_KERNEL_QROW_H

#include "kernel/kernel.h"

void mm_qrow_init_c(struct mm_kern *k);
void mm_qrow_init_avx2(struct mm_kern *k);
void mm_qrow_init_avx512(struct mm_kern *k);

#endif
