/* quant.h: block types of GGUF to and from f32: the scalar reference.
 *
 * Layouts and the order of float operations are ggml's.  The quantisers give
 * the bytes of ggml's reference quantisers; they need -ffp-contract=off.
 */
#ifndef MM_BASE_QUANT_H
#define MM_BASE_QUANT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

/* mm_dequant_row: n elements (a multiple of the block) of any quantised type
 * into out[n].  blocks needs no alignment. */
void mm_dequant_row(float *out, enum mm_dtype type, const void *blocks, size_t n);

/* mm_quant_can: does mm_quant_row write this type?  f32 f16 bf16 q4_0 q4_1
 * q5_0 q5_1 q8_0. */
bool mm_quant_can(enum mm_dtype type);

/* mm_quant_row: x[n] (n a multiple of the block) as type (one that
 * mm_quant_can) into blocks, which holds mm_dtype_bytes(type, n) bytes. */
void mm_quant_row(void *blocks, enum mm_dtype type, const float *x, size_t n);

#endif
