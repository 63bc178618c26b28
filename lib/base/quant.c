/* quant.c: block types of GGUF to and from f32: the scalar reference.
 *
 * 32-element blocks keep elements 0..15 in the low nibbles, 16..31 in the high
 * ones.  Super-blocks of 256 have 6-bit (or 4-bit) scales of 16 or 32 elements
 * under one f16 scale.  A block's fields are read as bytes: no struct is cast.
 */
#include "base/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/io.h"

typedef void dequant_fn(float *y, const unsigned char *b);
typedef void quant_fn(unsigned char *b, const float *x);

static float half_at(const unsigned char *p)
{
    return mm_f16_to_f32(mm_get_u16(p));
}

/* Nibble j of 32 in split-half order. */
static int nibble(const unsigned char *qs, int j)
{
    return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
}

static void dequant_q4_0(float *y, const unsigned char *b)
{
    const float d = half_at(b);

    for (int j = 0; j < 32; j++)
        y[j] = d * (float)(nibble(b + 2, j) - 8);
}

static void dequant_q4_1(float *y, const unsigned char *b)
{
    const float d = half_at(b);
    const float m = half_at(b + 2);

    for (int j = 0; j < 32; j++)
        y[j] = d * (float)nibble(b + 4, j) + m;
}

static int q5(const unsigned char *qs, uint32_t qh, int j)
{
    return nibble(qs, j) | (int)((qh >> j) & 1) << 4;
}

static void dequant_q5_0(float *y, const unsigned char *b)
{
    const float d = half_at(b);
    const uint32_t qh = mm_get_u32(b + 2);

    for (int j = 0; j < 32; j++)
        y[j] = d * (float)(q5(b + 6, qh, j) - 16);
}

static void dequant_q5_1(float *y, const unsigned char *b)
{
    const float d = half_at(b);
    const float m = half_at(b + 2);
    const uint32_t qh = mm_get_u32(b + 4);

    for (int j = 0; j < 32; j++)
        y[j] = d * (float)q5(b + 8, qh, j) + m;
}

static void dequant_q8_0(float *y, const unsigned char *b)
{
    const float d = half_at(b);

    for (int j = 0; j < 32; j++)
        y[j] = d * (float)(int8_t)b[2 + j];
}

static void dequant_q2_k(float *y, const unsigned char *b)
{
    const unsigned char *scales = b;
    const unsigned char *qs = b + 16;
    const float d = half_at(b + 80);
    const float dmin = half_at(b + 82);

    for (int e = 0; e < 256; e++) {
        const int n = e / 128;
        const int j = e % 128 / 32;
        const int l = e % 32;
        const int s = scales[8 * n + 2 * j + l / 16];
        const int q = (qs[32 * n + l] >> (2 * j)) & 3;

        y[e] = d * (float)(s & 15) * (float)q - dmin * (float)(s >> 4);
    }
}

static void dequant_q3_k(float *y, const unsigned char *b)
{
    const unsigned char *hmask = b;
    const unsigned char *qs = b + 32;
    const unsigned char *scales = b + 96;
    const float d = half_at(b + 108);
    int scale[16];

    for (int k = 0; k < 16; k++) { /* 6 bits: a nibble, and two bits elsewhere */
        const int low = k < 8 ? scales[k] & 15 : scales[k - 8] >> 4;
        const int high = (scales[8 + k % 4] >> (2 * (k / 4))) & 3;

        scale[k] = (high << 4 | low) - 32;
    }
    for (int e = 0; e < 256; e++) {
        const int n = e / 128;
        const int j = e % 128 / 32;
        const int l = e % 32;
        const int h = (hmask[l] >> (4 * n + j)) & 1;
        const int q = ((qs[32 * n + l] >> (2 * j)) & 3) - (h != 0 ? 0 : 4);

        y[e] = d * (float)scale[8 * n + 2 * j + l / 16] * (float)q;
    }
}

/* The 8 pairs of 6-bit scale and minimum that Q4_K and Q5_K keep in 12 bytes. */
static void scale_min(int *scale, int *min, const unsigned char *c)
{
    for (int s = 0; s < 4; s++) {
        scale[s] = c[s] & 63;
        min[s] = c[s + 4] & 63;
    }
    for (int s = 4; s < 8; s++) {
        scale[s] = (c[s + 4] & 15) | (c[s - 4] >> 6) << 4;
        min[s] = c[s + 4] >> 4 | (c[s] >> 6) << 4;
    }
}

static void dequant_q45_k(float *y, const unsigned char *b, const unsigned char *qs,
                          const unsigned char *qh)
{
    const float d = half_at(b);
    const float dmin = half_at(b + 2);
    int scale[8], min[8];

    scale_min(scale, min, b + 4);
    for (int e = 0; e < 256; e++) {
        const int r = e % 64;
        const int s = 2 * (e / 64) + (r >= 32);
        const int x = qs[32 * (e / 64) + r % 32];
        int q = r < 32 ? x & 15 : x >> 4;

        if (qh != NULL)
            q |= ((qh[r % 32] >> s) & 1) << 4;
        y[e] = d * (float)scale[s] * (float)q - dmin * (float)min[s];
    }
}

static void dequant_q4_k(float *y, const unsigned char *b)
{
    dequant_q45_k(y, b, b + 16, NULL);
}

static void dequant_q5_k(float *y, const unsigned char *b)
{
    dequant_q45_k(y, b, b + 48, b + 16);
}

static void dequant_q6_k(float *y, const unsigned char *b)
{
    const unsigned char *ql = b;
    const unsigned char *qh = b + 128;
    const unsigned char *scales = b + 192;
    const float d = half_at(b + 208);

    for (int e = 0; e < 256; e++) {
        const int n = e / 128;
        const int k = e % 128 / 32;
        const int l = e % 32;
        const int x = ql[64 * n + l + 32 * (k & 1)];
        const int low = k < 2 ? x & 15 : x >> 4;
        const int q = (low | ((qh[32 * n + l] >> (2 * k)) & 3) << 4) - 32;

        y[e] = d * (float)(int8_t)scales[8 * n + 2 * k + l / 16] * (float)q;
    }
}

/* The value of largest magnitude, with its sign; the first one wins. */
static float signed_max(const float *x)
{
    float amax = 0.0F;
    float max = 0.0F;

    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > amax) {
            amax = fabsf(x[j]);
            max = x[j];
        }
    return max;
}

static void min_max(float *min, float *max, const float *x)
{
    *min = *max = x[0];
    for (int j = 1; j < 32; j++) {
        if (x[j] < *min)
            *min = x[j];
        if (x[j] > *max)
            *max = x[j];
    }
}

static float inverse(float d)
{
    return d != 0.0F ? 1.0F / d : 0.0F;
}

/* x cut to 0..cap: the reference casts, which is undefined for NaN and beyond. */
static int cut(float x, int cap)
{
    if (!(x > 0.0F))
        return 0;
    return x >= (float)cap ? cap : (int)x;
}

static void put_nibble(unsigned char *qs, int j, int q)
{
    if (j < 16)
        qs[j] = (unsigned char)((qs[j] & 0xF0) | (q & 15));
    else
        qs[j - 16] = (unsigned char)((qs[j - 16] & 0x0F) | (q & 15) << 4);
}

static void quant_q4_0(unsigned char *b, const float *x)
{
    const float d = signed_max(x) / -8.0F;
    const float id = inverse(d);

    mm_put_u16(b, mm_f32_to_f16(d));
    for (int j = 0; j < 32; j++)
        put_nibble(b + 2, j, cut(x[j] * id + 8.5F, 15));
}

static void quant_q4_1(unsigned char *b, const float *x)
{
    float min, max, d, id;

    min_max(&min, &max, x);
    d = (max - min) / 15.0F;
    id = inverse(d);
    mm_put_u16(b, mm_f32_to_f16(d));
    mm_put_u16(b + 2, mm_f32_to_f16(min));
    for (int j = 0; j < 32; j++)
        put_nibble(b + 4, j, cut((x[j] - min) * id + 0.5F, 15));
}

static void quant_q5_0(unsigned char *b, const float *x)
{
    const float d = signed_max(x) / -16.0F;
    const float id = inverse(d);
    uint32_t qh = 0;

    mm_put_u16(b, mm_f32_to_f16(d));
    for (int j = 0; j < 32; j++) {
        const int q = cut(x[j] * id + 16.5F, 31);

        put_nibble(b + 6, j, q);
        qh |= (uint32_t)(q >> 4) << j;
    }
    mm_put_u32(b + 2, qh);
}

static void quant_q5_1(unsigned char *b, const float *x)
{
    float min, max, d, id;
    uint32_t qh = 0;

    min_max(&min, &max, x);
    d = (max - min) / 31.0F;
    id = inverse(d);
    mm_put_u16(b, mm_f32_to_f16(d));
    mm_put_u16(b + 2, mm_f32_to_f16(min));
    for (int j = 0; j < 32; j++) {
        const int q = cut((x[j] - min) * id + 0.5F, 31);

        put_nibble(b + 8, j, q);
        qh |= (uint32_t)(q >> 4) << j;
    }
    mm_put_u32(b + 4, qh);
}

static void quant_q8_0(unsigned char *b, const float *x)
{
    const float d = fabsf(signed_max(x)) / 127.0F;
    const float id = inverse(d);

    mm_put_u16(b, mm_f32_to_f16(d));
    for (int j = 0; j < 32; j++) {
        const float q = roundf(x[j] * id);

        b[2 + j] = (unsigned char)(int8_t)(q >= 127.0F ? 127 : q > -127.0F ? (int)q : -127);
    }
}

static const struct {
    dequant_fn *dequant;
    quant_fn *quant;
} table[MM_NDTYPE] = {
    [MM_Q4_0] = { dequant_q4_0, quant_q4_0 },
    [MM_Q4_1] = { dequant_q4_1, quant_q4_1 },
    [MM_Q5_0] = { dequant_q5_0, quant_q5_0 },
    [MM_Q5_1] = { dequant_q5_1, quant_q5_1 },
    [MM_Q8_0] = { dequant_q8_0, quant_q8_0 },
    [MM_Q2_K] = { dequant_q2_k, NULL },
    [MM_Q3_K] = { dequant_q3_k, NULL },
    [MM_Q4_K] = { dequant_q4_k, NULL },
    [MM_Q5_K] = { dequant_q5_k, NULL },
    [MM_Q6_K] = { dequant_q6_k, NULL },
};

void mm_dequant_row(float *out, enum mm_dtype type, const void *blocks, size_t n)
{
    const size_t block = mm_dtype_block(type);
    const size_t bytes = mm_dtype_block_bytes(type);
    const unsigned char *b = blocks;

    assert(table[type].dequant != NULL && n % block == 0);
    for (; n > 0; n -= block, out += block, b += bytes)
        table[type].dequant(out, b);
}

bool mm_quant_can(enum mm_dtype type)
{
    return type == MM_F32 || type == MM_F16 || type == MM_BF16 || table[type].quant != NULL;
}

void mm_quant_row(void *blocks, enum mm_dtype type, const float *x, size_t n)
{
    const size_t block = mm_dtype_block(type);
    const size_t bytes = mm_dtype_block_bytes(type);
    unsigned char *b = blocks;

    assert(mm_quant_can(type) && n % block == 0);
    switch (type) {
    case MM_F32:
        memcpy(b, x, n * sizeof(*x));
        break;
    case MM_F16:
        for (size_t i = 0; i < n; i++)
            mm_put_u16(b + 2 * i, mm_f32_to_f16(x[i]));
        break;
    case MM_BF16:
        for (size_t i = 0; i < n; i++)
            mm_put_u16(b + 2 * i, mm_f32_to_bf16(x[i]));
        break;
    default:
        for (size_t i = 0; i < n; i += block)
            table[type].quant(b + i / block * bytes, x + i);
    }
}
