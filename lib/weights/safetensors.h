/* safetensors.h: reader of one .safetensors file.
 *
 * Layout: u64 N, N bytes of JSON, the data.  All rules of the reference reader
 * are enforced: the tensors cover the data exactly, in any header order.
 */
#ifndef MM_WEIGHTS_SAFETENSORS_H
#define MM_WEIGHTS_SAFETENSORS_H

#include "weights/entries.h"

/* mm_safetensors_read: append the tensors of data[size], in the order of their
 * data, borrowed from it.  *meta (may be NULL) is set to a new reference of
 * __metadata__, or NULL if there is none.  MM_EDATA (the message names tensor
 * and offset, not the file), MM_EMISSING for a dtype we do not hold. */
MM_MUST_CHECK int mm_safetensors_read(struct mm_entries *en, json_t **meta,
                                      const unsigned char *data, size_t size,
                                      const char *file, struct mm_err *e);

/* mm_safetensors_dtype: "F32" etc. of a dtype; NULL if the format has none. */
const char *mm_safetensors_dtype(enum mm_dtype d);

#endif
