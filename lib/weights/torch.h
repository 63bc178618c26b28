/* torch.h: reader of PyTorch zip archives (torch.save since 1.6, TorchScript).
 *
 * P/data.pkl is a pickle, P/data/KEY are the storages, P is the archive's own
 * prefix whatever the file is called.
 */
#ifndef MM_WEIGHTS_TORCH_H
#define MM_WEIGHTS_TORCH_H

#include "weights/entries.h"
#include "weights/zip.h"

/* mm_torch_read: append the tensors of an archive.  MM_EDATA, MM_EMISSING. */
MM_MUST_CHECK int mm_torch_read(struct mm_entries *en, const struct mm_zip *z, const char *file,
                                struct mm_err *e);

#endif
