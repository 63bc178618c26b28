/* kernel.h: the table of computing functions, chosen once at start.
 *
 * Every function has a scalar reference (the _c file) and optional variants,
 * one file per ISA.  All are single-threaded, allocate nothing, and accept
 * any alignment.  Outputs come first and may not overlap inputs unless said.
 * Reductions run in a fixed order, so equal tables give equal bytes.
 */
#ifndef MM_KERNEL_KERNEL_H
#define MM_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mm_cpu {
    MM_CPU_AVX2 = 1,   /* AVX2 + FMA + F16C */
    MM_CPU_AVX512 = 2, /* F BW VL DQ */
    MM_CPU_VNNI = 4,   /* AVX512_VNNI and VBMI */
    MM_CPU_BF16 = 8,   /* AVX512_BF16; no kernel: slower than f32 where measured */
    MM_CPU_BLAS = 16,  /* none of these: f32 products by OpenBLAS */
    MM_CPU_AVXVNNI = 32 /* AVX-VNNI, beside AVX2 */
};

/* mm_cpu_detect: flags of this machine (CPUID and XGETBV), masked by
 * MM_CPU=scalar|blas|avx2|avxvnni|avx512 in the environment. */
unsigned mm_cpu_detect(void);

#include "kernel/kernel_table.h" /* struct mm_kern */

/* mm_kern_init: fill the table for the given flags (0: all scalar). */
void mm_kern_init(struct mm_kern *k, unsigned cpu);

/* mm_kern: the table of this process, filled at first use from mm_cpu_detect;
 * safe from several threads. */
const struct mm_kern *mm_kern(void);

#endif
