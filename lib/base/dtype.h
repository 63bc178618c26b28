/* dtype.h: element types of tensors in memory, in weights and on the stream.
 *
 * Stream dtypes (formats/mmts.md) come first; the quantised block types of
 * GGUF (32 or 256 elements a block, see formats of ggml) follow and never
 * appear on the stream.  Nor do the packed ones, p32_X: a matrix of type X in
 * panels of 32 rows (base/panel.h), whose rows are nowhere in one piece.
 */
#ifndef MM_BASE_DTYPE_H
#define MM_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mm_dtype {
    MM_F64, MM_F32, MM_F16, MM_BF16,
    MM_I64, MM_I32, MM_I16, MM_I8,
    MM_U64, MM_U32, MM_U16, MM_U8,
    MM_BOOL, MM_C64,
    MM_NSTREAM,                 /* dtypes below this one exist on the stream */
    MM_F8_E4M3 = MM_NSTREAM, MM_F8_E5M2,
    MM_Q4_0, MM_Q4_1, MM_Q5_0, MM_Q5_1, MM_Q8_0,
    MM_Q2_K, MM_Q3_K, MM_Q4_K, MM_Q5_K, MM_Q6_K,
    MM_P32_F32, MM_P32_F16, MM_P32_BF16,
    MM_P32_Q4_0, MM_P32_Q4_1, MM_P32_Q5_0, MM_P32_Q5_1, MM_P32_Q8_0,
    MM_P32_Q2_K, MM_P32_Q3_K, MM_P32_Q4_K, MM_P32_Q5_K, MM_P32_Q6_K,
    MM_NDTYPE
};

/* mm_dtype_name: "f32", "q4_0", ...: static string. */
const char *mm_dtype_name(enum mm_dtype d);

/* mm_dtype_parse: the dtype of a name (case ignored); MM_NDTYPE if none. */
enum mm_dtype mm_dtype_parse(const char *name);

/* mm_dtype_block: elements per block: 1, 32 or 256. */
size_t mm_dtype_block(enum mm_dtype d);

/* mm_dtype_block_bytes: bytes per block (per element for plain types). */
size_t mm_dtype_block_bytes(enum mm_dtype d);

/* mm_dtype_quantised: does a block hold more than one element?  True of every
 * packed type: none of its elements lies by itself. */
bool mm_dtype_quantised(enum mm_dtype d);

/* mm_dtype_packed: is d one of p32_X?  mm_dtype_rows: X of p32_X, else d.
 * mm_dtype_panels: p32_X of X; MM_NDTYPE if there is none. */
bool mm_dtype_packed(enum mm_dtype d);
enum mm_dtype mm_dtype_rows(enum mm_dtype d);
enum mm_dtype mm_dtype_panels(enum mm_dtype d);

/* mm_dtype_bytes: bytes of n elements; false if n is no multiple of the block,
 * the size overflows or d is packed (ask mm_shape_bytes of base/tensor.h). */
bool mm_dtype_bytes(enum mm_dtype d, size_t n, size_t *bytes);

/* Scalar conversions, all round to nearest even; NaN stays a quiet NaN. */
float mm_f16_to_f32(uint16_t h);
uint16_t mm_f32_to_f16(float f);
uint16_t mm_f32_to_bf16(float f);
float mm_f8_e4m3_to_f32(uint8_t b);
float mm_f8_e5m2_to_f32(uint8_t b);

static inline float mm_bf16_to_f32(uint16_t h)
{
    union { uint32_t u; float f; } v = { .u = (uint32_t)h << 16 };
    return v.f;
}

#endif
