/* torch_tar.h: reader of torch.save files before 0.2: a tar archive with the
 * members storages, tensors and pickle.
 */
#ifndef MM_WEIGHTS_TORCH_TAR_H
#define MM_WEIGHTS_TORCH_TAR_H

#include <stdbool.h>

#include "weights/entries.h"

/* mm_torch_tar_is: "ustar" at offset 257? */
bool mm_torch_tar_is(const unsigned char *data, size_t size);

/* mm_torch_tar_read: append the tensors.  MM_EDATA, MM_EMISSING. */
MM_MUST_CHECK int mm_torch_tar_read(struct mm_entries *en, const unsigned char *data,
                                    size_t size, const char *file, struct mm_err *e);

#endif
