/* packed.h: weights put into panels (base/panel.h says how they lie there).
 *
 * f32 becomes f32[in][32], f16 u16[in][32]; a panel is exactly as large as its
 * MM_NR = 32 source rows.
 */
#ifndef MM_KERNEL_PACKED_H
#define MM_KERNEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

/* mm_packed_can: is there a packed order of this type?  f32 f16 bf16 and every
 * quantised type. */
bool mm_packed_can(enum mm_dtype t);

/* mm_packed_bytes: size of a packed matrix; false if the type has no packed
 * order, in is not whole blocks, or the size overflows. */
bool mm_packed_bytes(enum mm_dtype t, size_t out, size_t in, size_t *bytes);

/* mm_pack_rows: n elements (whole blocks) of nr <= 32 rows, stride bytes apart
 * at any address, to n / block blocks of a panel at to. */
void mm_pack_rows(void *to, enum mm_dtype t, const void *rows, size_t stride, size_t n, int nr);

#endif
