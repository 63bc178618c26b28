/* tensor.h: dtype, shape and a pointer: the plain data everything passes on.
 *
 * Row-major, contiguous, little-endian.  The struct never owns its data: who
 * made it says how long data lives.  ndim 0 is a scalar (one element).
 */
#ifndef MM_BASE_TENSOR_H
#define MM_BASE_TENSOR_H

#include "base/dtype.h"

#define MM_MAX_DIMS 8

struct mm_tensor {
    enum mm_dtype dtype;
    int ndim;
    int64_t shape[MM_MAX_DIMS]; /* outermost first, each >= 0 */
    void *data;                 /* may be unaligned when it points into a file */
};

/* mm_tensor_count: number of elements; the product was checked on entry, so a
 * product that overflows asserts. */
size_t mm_tensor_count(const struct mm_tensor *t);

/* mm_tensor_bytes: size of the data; asserts like mm_tensor_count. */
size_t mm_tensor_bytes(const struct mm_tensor *t);

/* mm_shape_count: checked product of a shape that came from outside; false on
 * a negative dimension, ndim outside 0..8 or overflow. */
bool mm_shape_count(const int64_t *shape, int ndim, size_t *count);

/* mm_shape_bytes: checked size of the data: whole blocks (MM_F32 and the like
 * have blocks of one element); a packed type has two axes, its rows are
 * counted up to a multiple of 32. */
bool mm_shape_bytes(enum mm_dtype d, const int64_t *shape, int ndim, size_t *bytes);

/* mm_shape_str: "[2,3]" into buf; returns buf. */
char *mm_shape_str(char *buf, size_t size, const int64_t *shape, int ndim);

/* mm_tensor_to_f32: widen any dtype (quantised and packed ones too) into out[count].
 * Integers and f64 are rounded to nearest.  out must not overlap t->data. */
void mm_tensor_to_f32(float *out, const struct mm_tensor *t);

/* mm_shape_eq: same number of dimensions and same sizes. */
bool mm_shape_eq(const struct mm_tensor *a, const struct mm_tensor *b);

#endif
