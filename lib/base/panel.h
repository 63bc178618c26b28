/* panel.h: matrices packed for products: "panel32", version 2 (formats/gguf.md).
 *
 *   W [out, in] = panels of 32 rows, the last one filled up with zero bytes
 *   panel       = its blocks along in (plain types: of one element)
 *   block       = each 16-bit field (d, then m or dmin) as u16[32], then each
 *                 32-bit word of the rest, in the order of the source, as u32[32];
 *                 row r of the panel has index r.  q3_k: its words are written anew,
 *                 mm_panel_turn()
 *
 * The bits are those of the rows in another order.  Products and packing are
 * in kernel/wmat.h; this is how anything else reads such a matrix.
 */
#ifndef MM_BASE_PANEL_H
#define MM_BASE_PANEL_H

#include "base/tensor.h"

enum { MM_PANEL_ROWS = 32, MM_PANEL_VERSION = 2, MM_PANEL_ALIGN = 64 };

/* What a source block of a row type is made of; both 0: it cannot be packed. */
struct mm_panel_fields {
    unsigned char half0, halves; /* offset of the first 16-bit field; how many side by side */
    unsigned char word0, words;  /* the same of 32-bit words */
};
const struct mm_panel_fields *mm_panel_fields(enum mm_dtype d);

/* mm_panel_since: the version from which on type d lies as it does now. */
int mm_panel_since(enum mm_dtype d);

/* mm_panel_turn: the words of a block of 32 rows, word i of row r at [i][r], from the order of
 * the source to that of a panel, in place.  Only q3_k has one of its own: of its 3-bit codes
 * two lie in a byte as they are, and two bits of a third. */
void mm_panel_turn(void *words, enum mm_dtype d);

/* mm_panel_row: n elements (whole blocks) of row r < 32 of the packed blocks at
 * packed, as row type d has them, into row. */
void mm_panel_row(void *row, enum mm_dtype d, const void *packed, size_t n, size_t r);

/* mm_panel_tensor_row: row r of t (packed, [out, in]) whole, into
 * row[bytes of in elements]. */
void mm_panel_tensor_row(void *row, const struct mm_tensor *t, size_t r);

/* mm_panel_read: n elements from first on, in row-major order, widened.  Both
 * are multiples of the block. */
void mm_panel_read(float *out, const struct mm_tensor *t, size_t first, size_t n);

/* mm_panel_write: the first n <= 32 rows of a panel, of row type d and cols
 * elements each, at rows; zero bytes for those that are missing.  panel holds 32
 * rows.  The reference of kernel/packed.h. */
void mm_panel_write(void *panel, enum mm_dtype d, const void *rows, size_t n, size_t cols);

#endif
