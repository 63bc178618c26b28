/* strided.h: a view of a storage, by offset and strides, as a tensor. */
#ifndef MM_WEIGHTS_STRIDED_H
#define MM_WEIGHTS_STRIDED_H

#include "weights/entries.h"

struct mm_strided {
    enum mm_dtype dtype;
    int ndim;
    int64_t size[MM_MAX_DIMS], stride[MM_MAX_DIMS]; /* strides in elements */
    int64_t offset;                                 /* of element 0, in elements */
    bool swap;                                      /* the bytes are big-endian */
};

/* mm_strided_view: the elements of v in data[bytes] as a row-major tensor:
 * borrowed when they lie so, else gathered into memory of en.  MM_EDATA for a
 * negative offset, size or stride, an overflow, or an element outside. */
MM_MUST_CHECK int mm_strided_view(struct mm_tensor *t, const struct mm_strided *v,
                                  const unsigned char *data, size_t bytes,
                                  struct mm_entries *en, struct mm_err *e);

#endif
