/* wmat_int.h: what wmat.c and wmat_panel.c share. */
#ifndef MM_KERNEL_WMAT_INT_H
#define MM_KERNEL_WMAT_INT_H

#include "kernel/wmat.h"

struct mm_wmat {
    enum mm_dtype dtype;
    size_t out, in;
    size_t stride;       /* bytes of a row */
    const uint8_t *data; /* [out] rows */
    void *own;           /* data, if it is ours */
};

/* mm_wmat_panel: the products with many rows, on panels.  int8: with
 * quantised activations for quantised types.  MM_ENOMEM. */
MM_MUST_CHECK int mm_wmat_panel(float *const *y, const float *x, size_t rows,
                                const struct mm_wmat *const *m, const float *const *b, int n,
                                bool int8, struct mm_pool *p);

#endif
