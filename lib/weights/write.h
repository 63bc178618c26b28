/* write.h: writers of safetensors, npy, npz and GGUF.
 *
 * All write through base/outfile: the file appears complete or not at all, "-"
 * is standard output.  The same tensors give the same bytes: no time stamps.
 */
#ifndef MM_WEIGHTS_WRITE_H
#define MM_WEIGHTS_WRITE_H

#include <jansson.h>

#include "base/err.h"
#include "base/tensor.h"

struct mm_named {
    const char *name; /* UTF-8, NUL-terminated */
    struct mm_tensor t;
};

/* mm_write_safetensors: any order of v; stored by descending element type, then
 * name, as the reference writer does; the data begins at a multiple of 64.
 * meta: object of strings for __metadata__, or NULL.  MM_EDATA: a name twice,
 * no UTF-8, "__metadata__", or a quantised dtype. */
MM_MUST_CHECK int mm_write_safetensors(const char *path, const struct mm_named *v, size_t n,
                                       const json_t *meta, struct mm_err *e);

/* mm_write_npy: one array, version 1.0, C order.  bf16 and f8 become f32;
 * MM_EDATA for quantised dtypes. */
MM_MUST_CHECK int mm_write_npy(const char *path, const struct mm_tensor *t, struct mm_err *e);

/* mm_write_npz: stored (not deflated) members NAME.npy in the order of v, zip64
 * where needed.  MM_EDATA for a name twice. */
MM_MUST_CHECK int mm_write_npz(const char *path, const struct mm_named *v, size_t n,
                               struct mm_err *e);

#endif
