/* dtype.c: names, sizes and scalar conversions of element types. */
#include "base/dtype.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"

static const struct {
    const char *name;
    unsigned short block, bytes;
    enum mm_dtype rows; /* of a packed type, else 0 */
} types[MM_NDTYPE] = {
    [MM_F64] = { "f64", 1, 8 },         [MM_F32] = { "f32", 1, 4 },
    [MM_F16] = { "f16", 1, 2 },         [MM_BF16] = { "bf16", 1, 2 },
    [MM_I64] = { "i64", 1, 8 },         [MM_I32] = { "i32", 1, 4 },
    [MM_I16] = { "i16", 1, 2 },         [MM_I8] = { "i8", 1, 1 },
    [MM_U64] = { "u64", 1, 8 },         [MM_U32] = { "u32", 1, 4 },
    [MM_U16] = { "u16", 1, 2 },         [MM_U8] = { "u8", 1, 1 },
    [MM_BOOL] = { "bool", 1, 1 },       [MM_C64] = { "c64", 1, 8 },
    [MM_F8_E4M3] = { "f8_e4m3", 1, 1 }, [MM_F8_E5M2] = { "f8_e5m2", 1, 1 },
    [MM_Q4_0] = { "q4_0", 32, 18 },     [MM_Q4_1] = { "q4_1", 32, 20 },
    [MM_Q5_0] = { "q5_0", 32, 22 },     [MM_Q5_1] = { "q5_1", 32, 24 },
    [MM_Q8_0] = { "q8_0", 32, 34 },     [MM_Q2_K] = { "q2_k", 256, 84 },
    [MM_Q3_K] = { "q3_k", 256, 110 },   [MM_Q4_K] = { "q4_k", 256, 144 },
    [MM_Q5_K] = { "q5_k", 256, 176 },   [MM_Q6_K] = { "q6_k", 256, 210 },
    [MM_P32_F32] = { "p32_f32", 1, 4, MM_F32 },
    [MM_P32_F16] = { "p32_f16", 1, 2, MM_F16 },
    [MM_P32_BF16] = { "p32_bf16", 1, 2, MM_BF16 },
    [MM_P32_Q4_0] = { "p32_q4_0", 32, 18, MM_Q4_0 },
    [MM_P32_Q4_1] = { "p32_q4_1", 32, 20, MM_Q4_1 },
    [MM_P32_Q5_0] = { "p32_q5_0", 32, 22, MM_Q5_0 },
    [MM_P32_Q5_1] = { "p32_q5_1", 32, 24, MM_Q5_1 },
    [MM_P32_Q8_0] = { "p32_q8_0", 32, 34, MM_Q8_0 },
    [MM_P32_Q2_K] = { "p32_q2_k", 256, 84, MM_Q2_K },
    [MM_P32_Q3_K] = { "p32_q3_k", 256, 110, MM_Q3_K },
    [MM_P32_Q4_K] = { "p32_q4_k", 256, 144, MM_Q4_K },
    [MM_P32_Q5_K] = { "p32_q5_k", 256, 176, MM_Q5_K },
    [MM_P32_Q6_K] = { "p32_q6_k", 256, 210, MM_Q6_K },
};

const char *mm_dtype_name(enum mm_dtype d)
{
    assert((unsigned)d < MM_NDTYPE);
    return types[d].name;
}

enum mm_dtype mm_dtype_parse(const char *name)
{
    unsigned d;

    for (d = 0; d < MM_NDTYPE; d++)
        if (strcasecmp(types[d].name, name) == 0)
            break;
    return (enum mm_dtype)d;
}

size_t mm_dtype_block(enum mm_dtype d)
{
    assert((unsigned)d < MM_NDTYPE);
    return types[d].block;
}

size_t mm_dtype_block_bytes(enum mm_dtype d)
{
    assert((unsigned)d < MM_NDTYPE);
    return types[d].bytes;
}

bool mm_dtype_quantised(enum mm_dtype d)
{
    return mm_dtype_block(d) > 1 || mm_dtype_packed(d);
}

bool mm_dtype_packed(enum mm_dtype d)
{
    assert((unsigned)d < MM_NDTYPE);
    return d >= MM_P32_F32;
}

enum mm_dtype mm_dtype_rows(enum mm_dtype d)
{
    return mm_dtype_packed(d) ? types[d].rows : d;
}

enum mm_dtype mm_dtype_panels(enum mm_dtype d)
{
    unsigned p = MM_P32_F32;

    while (p < MM_NDTYPE && types[p].rows != d)
        p++;
    return (enum mm_dtype)p;
}

bool mm_dtype_bytes(enum mm_dtype d, size_t n, size_t *bytes)
{
    const size_t block = mm_dtype_block(d);

    if (n % block != 0 || mm_dtype_packed(d))
        return false;
    return mm_size_mul(n / block, types[d].bytes, bytes);
}

static float from_bits(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof(f));
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof(u));
    return u;
}

float mm_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t e = (h >> 10) & 31;
    const uint32_t m = h & 0x3FF;

    if (e == 31) /* infinity, or a NaN made quiet */
        return from_bits(sign | 0x7F800000 | (m << 13) | (m != 0 ? 0x400000 : 0));
    if (e == 0) { /* zero or subnormal: m * 2^-24 is exact */
        const float f = (float)m * 0x1p-24F;

        return sign != 0 ? -f : f;
    }
    return from_bits(sign | ((e + 112) << 23) | (m << 13));
}

uint16_t mm_f32_to_f16(float f)
{
    const uint32_t u = to_bits(f);
    const uint16_t sign = (uint16_t)((u >> 16) & 0x8000);
    const uint32_t a = u & 0x7FFFFFFF;

    if (a > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | ((a >> 13) & 0x1FF));
    if (a >= 0x477FF000) /* from 65520 on it rounds to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (a >= 0x38800000) /* normal: round the 13 bits that go, to even */
        return (uint16_t)(sign | ((a - 0x38000000 + 0xFFF + ((a >> 13) & 1)) >> 13));
    if (a < 0x33000000)
        return sign; /* below half the smallest subnormal */

    const uint32_t m = (a & 0x7FFFFF) | 0x800000;
    const uint32_t shift = 126 - (a >> 23); /* 14..24 */
    const uint32_t half = UINT32_C(1) << (shift - 1);
    const uint32_t q = m >> shift;
    const uint32_t rest = m & ((half << 1) - 1);

    return (uint16_t)(sign | (q + (rest > half || (rest == half && (q & 1) != 0))));
}

uint16_t mm_f32_to_bf16(float f)
{
    const uint32_t u = to_bits(f);

    if ((u & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7FFF + ((u >> 16) & 1)) >> 16);
}

/* OCP 8-bit formats; e4m3 is the "fn" one: no infinity, NaN is S.1111.111. */
float mm_f8_e4m3_to_f32(uint8_t b)
{
    const uint32_t sign = (uint32_t)(b & 0x80) << 24;
    const uint32_t e = (b >> 3) & 15;
    const uint32_t m = b & 7;

    if ((b & 0x7F) == 0x7F)
        return from_bits(sign | 0x7FC00000);
    if (e == 0) {
        const float f = (float)m * 0x1p-9F;

        return sign != 0 ? -f : f;
    }
    return from_bits(sign | ((e + 120) << 23) | (m << 20));
}

float mm_f8_e5m2_to_f32(uint8_t b)
{
    return mm_f16_to_f32((uint16_t)(b << 8)); /* the upper half of an f16 */
}
