/* npy.h: readers of NumPy's .npy and .npz.
 *
 * Format: numpy/lib/format.py, versions 1 to 3.  Fortran order and big-endian
 * data are rearranged; structured and object arrays are refused.
 */
#ifndef MM_WEIGHTS_NPY_H
#define MM_WEIGHTS_NPY_H

#include "weights/entries.h"
#include "weights/zip.h"

/* mm_npy_read: append the array of data[size] under name ("" for a file of its
 * own).  MM_EDATA, MM_EMISSING for a dtype we do not hold. */
MM_MUST_CHECK int mm_npy_read(struct mm_entries *en, const char *name, const unsigned char *data,
                              size_t size, const char *file, struct mm_err *e);

/* mm_npz_is: are the members of the archive NAME.npy? */
bool mm_npz_is(const struct mm_zip *z);

/* mm_npz_read: append the member NAME.npy as NAME, in archive order. */
MM_MUST_CHECK int mm_npz_read(struct mm_entries *en, const struct mm_zip *z, const char *file,
                              struct mm_err *e);

#endif
