/* packed.h: the order in which packed weights lie: "panel32 version 1".
 *
 * A matrix [out, in] is cut into panels of MM_NR = 32 rows, the last padded
 * with rows of zero bytes.  A panel holds its blocks along in, in order (a
 * block is 32 or 256 elements of each row; one element of a plain type).  A
 * block is first each 16-bit field of the source block (d, then dmin or m) as
 * u16[32], then each 32-bit word of its other bytes, in source order, as
 * u32[32]: index = row of the panel.  So F32 is f32[in][32], F16 u16[in][32],
 * and a panel is exactly as large as 32 source rows.  All little-endian.
 */
#ifndef MM_KERNEL_PACKED_H
#define MM_KERNEL_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

enum { MM_PACKED_VERSION = 1 };

/* mm_packed_can: is there a packed order of this type?  f32 f16 bf16 and every
 * quantised type. */
bool mm_packed_can(enum mm_dtype t);

/* mm_packed_bytes: size of a packed matrix; false if the type has no packed
 * order, in is not whole blocks, or the size overflows. */
bool mm_packed_bytes(enum mm_dtype t, size_t out, size_t in, size_t *bytes);

/* mm_pack_rows: n elements (whole blocks) of nr <= 32 rows, stride bytes apart
 * at any address, to n / block blocks of a panel at to. */
void mm_pack_rows(void *to, enum mm_dtype t, const void *rows, size_t stride, size_t n, int nr);

/* mm_packed_row: n elements of row r of the blocks at packed, as they were
 * before packing, to row. */
void mm_packed_row(void *row, enum mm_dtype t, const void *packed, size_t n, int r);

#endif
