/* int8_avxvnni.c: products of int8 activations and codes, AVX-VNNI, which Intel CPUs without
 * AVX-512 have from Alder Lake on. */
#include "kernel/int8.h"

#include "kernel/ymm.h"

#include "kernel/unpack_tmpl.inc"

INLINE bool whole(enum mm_dtype t)
{
    (void)t;
    return false;
}

INLINE int run_of(enum mm_dtype t)
{
    (void)t;
    return 1;
}

INLINE ivec dots(ivec n, const ivec *q, const int8_t *x, const int mr, const int run,
                 enum mm_dtype t)
{
    (void)mr, (void)run, (void)t;
    return _mm256_dpbusd_avx_epi32(n, q[0], i_four(x));
}

#include "kernel/int8_tmpl.inc"

void mm_int8_init_avxvnni(struct mm_kern *k)
{
    int8_init(k);
}
