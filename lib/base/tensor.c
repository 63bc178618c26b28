/* tensor.c: shapes, sizes and widening of plain tensors. */
#include "base/tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/panel.h"
#include "base/quant.h"
#include "base/size.h"

bool mm_shape_count(const int64_t *shape, int ndim, size_t *count)
{
    size_t n = 1;

    if (ndim < 0 || ndim > MM_MAX_DIMS)
        return false;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0)
            return false;
        /* [2^40, 2^40, 0] overflows too: strides must be computable */
        if (shape[i] > 0 && !mm_size_mul(n, (size_t)shape[i], &n))
            return false;
    }
    for (int i = 0; i < ndim; i++)
        if (shape[i] == 0)
            n = 0;
    *count = n;
    return true;
}

bool mm_shape_bytes(enum mm_dtype d, const int64_t *shape, int ndim, size_t *bytes)
{
    size_t n, padded, cols;

    if (!mm_shape_count(shape, ndim, &n))
        return false;
    if (!mm_dtype_packed(d))
        return mm_dtype_bytes(d, n, bytes);
    return ndim == 2 && mm_size_align((size_t)shape[0], MM_PANEL_ROWS, &padded) &&
           mm_dtype_bytes(mm_dtype_rows(d), (size_t)shape[1], &cols) &&
           mm_size_mul(padded, cols, bytes);
}

size_t mm_tensor_count(const struct mm_tensor *t)
{
    size_t n = 0;
    const bool ok = mm_shape_count(t->shape, t->ndim, &n);

    assert(ok);
    (void)ok;
    return n;
}

size_t mm_tensor_bytes(const struct mm_tensor *t)
{
    size_t bytes = 0;
    const bool ok = mm_shape_bytes(t->dtype, t->shape, t->ndim, &bytes);

    assert(ok);
    (void)ok;
    return bytes;
}

char *mm_shape_str(char *buf, size_t size, const int64_t *shape, int ndim)
{
    size_t n = 0;

    if (size == 0)
        return buf;
    n = (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < ndim && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRId64, i > 0 ? "," : "", shape[i]);
    if (n < size)
        snprintf(buf + n, size - n, "]");
    return buf;
}

bool mm_shape_eq(const struct mm_tensor *a, const struct mm_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static float widen(enum mm_dtype d, const unsigned char *p)
{
    double f64;

    switch (d) {
    case MM_F64:
        memcpy(&f64, p, sizeof(f64));
        return (float)f64;
    case MM_F16:
        return mm_f16_to_f32(mm_get_u16(p));
    case MM_BF16:
        return mm_bf16_to_f32(mm_get_u16(p));
    case MM_I64:
        return (float)(int64_t)mm_get_u64(p);
    case MM_I32:
        return (float)(int32_t)mm_get_u32(p);
    case MM_I16:
        return (float)(int16_t)mm_get_u16(p);
    case MM_I8:
        return (float)(int8_t)*p;
    case MM_U64:
        return (float)mm_get_u64(p);
    case MM_U32:
        return (float)mm_get_u32(p);
    case MM_U16:
        return (float)mm_get_u16(p);
    case MM_U8:
        return (float)*p;
    case MM_BOOL:
        return *p != 0 ? 1.0F : 0.0F;
    case MM_F8_E4M3:
        return mm_f8_e4m3_to_f32(*p);
    case MM_F8_E5M2:
        return mm_f8_e5m2_to_f32(*p);
    default:
        assert(!"a type that widens to f32");
        return 0.0F;
    }
}

void mm_tensor_to_f32(float *out, const struct mm_tensor *t)
{
    const size_t n = mm_tensor_count(t);
    const size_t size = mm_dtype_block_bytes(t->dtype);
    const unsigned char *p = t->data;

    if (n == 0)
        return;
    if (mm_dtype_packed(t->dtype)) {
        mm_panel_read(out, t, 0, n);
        return;
    }
    if (mm_dtype_quantised(t->dtype)) {
        mm_dequant_row(out, t->dtype, p, n);
        return;
    }
    switch (t->dtype) { /* the common ones with the choice outside the loop */
    case MM_F32:
        memcpy(out, p, n * sizeof(*out));
        break;
    case MM_BF16:
        for (size_t i = 0; i < n; i++)
            out[i] = mm_bf16_to_f32(mm_get_u16(p + 2 * i));
        break;
    case MM_C64: /* the real part */
        for (size_t i = 0; i < n; i++)
            memcpy(&out[i], p + 8 * i, sizeof(*out));
        break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = widen(t->dtype, p + size * i);
    }
}
