/* torch_legacy.h: reader of torch.save files of 0.1.10 to 1.5: five pickles
 * (magic, protocol, system, object, storage keys) and then the storages.
 */
#ifndef MM_WEIGHTS_TORCH_LEGACY_H
#define MM_WEIGHTS_TORCH_LEGACY_H

#include <stdbool.h>

#include "weights/entries.h"

/* mm_torch_legacy_is: does data begin with the magic number's pickle? */
bool mm_torch_legacy_is(const unsigned char *data, size_t size);

/* mm_torch_legacy_read: append the tensors.  MM_EDATA, MM_EMISSING. */
MM_MUST_CHECK int mm_torch_legacy_read(struct mm_entries *en, const unsigned char *data,
                                       size_t size, const char *file, struct mm_err *e);

#endif
