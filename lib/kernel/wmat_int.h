/* wmat_int.h: what the files of wmat.h share. */
#ifndef MM_KERNEL_WMAT_INT_H
#define MM_KERNEL_WMAT_INT_H

#include "kernel/wmat.h"

struct mm_wmat {
    enum mm_dtype dtype;
    bool packed;
    size_t out, in;
    size_t stride;       /* bytes of a row */
    const uint8_t *data; /* [out] rows, or panels */
    void *own;           /* data, if it is ours */
};

static inline size_t mm_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t mm_div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Bytes of n elements of a row, n whole blocks. */
static inline size_t mm_wmat_bytes(const struct mm_wmat *m, size_t n)
{
    return n / mm_dtype_block(m->dtype) * mm_dtype_block_bytes(m->dtype);
}

/* mm_wmat_chunk: columns k0 .. k0 + kc (whole blocks) of a panel, packed: where
 * they lie, or at tmp (mm_wmat_bytes(kc) * MM_NR bytes). */
const void *mm_wmat_chunk(const struct mm_wmat *m, size_t panel, size_t k0, size_t kc, void *tmp);

/* mm_wmat_panel_f32: the same as weights [kc][MM_NR]: where they lie, or at
 * w->f32.  kc is at most MM_WMAT_K. */
enum { MM_WMAT_K = 256 };
struct mm_wmat_f32 {
    float f32[MM_WMAT_K * MM_NR];
    uint8_t q[MM_WMAT_K * MM_NR];
    float d[MM_WMAT_K / 16 * MM_NR], m[MM_WMAT_K / 16 * MM_NR];
    int32_t scale[MM_WMAT_K / 16 * MM_NR];
    uint8_t min[MM_WMAT_K / 16 * MM_NR];
    float packed[MM_WMAT_K * MM_NR]; /* of F32 and smaller types */
};
const float *mm_wmat_panel_f32(const struct mm_wmat *m, size_t panel, size_t k0, size_t kc,
                               struct mm_wmat_f32 *w);

#endif
