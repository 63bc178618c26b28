/* qrow.c: rows of weights in plain C.
 *
 * Each block type is decoded to codes, scales and minima, w = d * code + m,
 * with the zero point already taken from the code.  Block layouts: ggml's
 * ggml-common.h.  d * code is exact in f32 (at most 22 bits).
 */
#include "kernel/qrow.h"

#include <math.h>
#include <string.h>

#include "base/quant.h"
#include "kernel/qrow_int.h"

enum { SUPER = 256 }; /* elements of a K block */

struct mm_q8_kind mm_q8_kind(enum mm_dtype d)
{
    return (struct mm_q8_kind){ mm_qrow_sub16(d) ? 16 : 32, mm_qrow_min(d) };
}

static float half(const uint8_t *p)
{
    return mm_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static void codes_q4(int8_t *q, const uint8_t *qs, int zero)
{
    for (int j = 0; j < 16; j++) {
        q[j] = (int8_t)((qs[j] & 15) - zero);
        q[j + 16] = (int8_t)((qs[j] >> 4) - zero);
    }
}

static void codes_q5(int8_t *q, const uint8_t *qh, const uint8_t *qs, int zero)
{
    codes_q4(q, qs, zero);
    for (int j = 0; j < 32; j++)
        q[j] = (int8_t)(q[j] + ((qh[j / 8] >> j % 8 & 1) << 4));
}

static void codes_q4_0(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    (void)m;
    for (const uint8_t *p = w; n; n -= 32, p += 18, q += 32) {
        *d++ = half(p);
        codes_q4(q, p + 2, 8);
    }
}

static void codes_q4_1(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    for (const uint8_t *p = w; n; n -= 32, p += 20, q += 32) {
        *d++ = half(p);
        *m++ = half(p + 2);
        codes_q4(q, p + 4, 0);
    }
}

static void codes_q5_0(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    (void)m;
    for (const uint8_t *p = w; n; n -= 32, p += 22, q += 32) {
        *d++ = half(p);
        codes_q5(q, p + 2, p + 6, 16);
    }
}

static void codes_q5_1(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    for (const uint8_t *p = w; n; n -= 32, p += 24, q += 32) {
        *d++ = half(p);
        *m++ = half(p + 2);
        codes_q5(q, p + 4, p + 8, 0);
    }
}

static void codes_q8_0(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    (void)m;
    for (const uint8_t *p = w; n; n -= 32, p += 34, q += 32) {
        *d++ = half(p);
        memcpy(q, p + 2, 32);
    }
}

static void codes_q2_k(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    for (const uint8_t *p = w; n; n -= SUPER, p += 84, q += SUPER) {
        for (int s = 0; s < 16; s++) {
            *d++ = half(p + 80) * (float)(p[s] & 15);
            *m++ = -half(p + 82) * (float)(p[s] >> 4);
        }
        for (int e = 0; e < SUPER; e++)
            q[e] = (int8_t)(p[16 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3);
    }
}

static void codes_q3_k(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    (void)m;
    for (const uint8_t *p = w; n; n -= SUPER, p += 110, q += SUPER) {
        const uint8_t *c = p + 96;
        for (int s = 0; s < 16; s++) {
            const int lo = s < 8 ? c[s] & 15 : c[s - 8] >> 4;
            const int hi = c[8 + s % 4] >> s / 4 * 2 & 3;
            *d++ = half(p + 108) * (float)((hi << 4 | lo) - 32);
        }
        for (int e = 0; e < SUPER; e++) {
            const int low = p[32 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3;
            const int high = p[e % 32] >> e / 32 & 1;
            q[e] = (int8_t)(low - (high ? 0 : 4));
        }
    }
}

/* The 6-bit scale and minimum of the eight sub-blocks of Q4_K and Q5_K. */
static void scales_k(float *d, float *m, const uint8_t *p)
{
    const uint8_t *c = p + 4;
    const float scale = half(p), min = half(p + 2);

    for (int s = 0; s < 8; s++) {
        const int S = s < 4 ? c[s] & 63 : (c[s + 4] & 15) | c[s - 4] >> 6 << 4;
        const int M = s < 4 ? c[s + 4] & 63 : c[s + 4] >> 4 | c[s] >> 6 << 4;
        d[s] = scale * (float)S;
        m[s] = -min * (float)M;
    }
}

static void codes_q4_k(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    for (const uint8_t *p = w; n; n -= SUPER, p += 144, q += SUPER, d += 8, m += 8) {
        scales_k(d, m, p);
        for (int e = 0; e < SUPER; e++)
            q[e] = (int8_t)(p[16 + e / 64 * 32 + e % 32] >> (e % 64 < 32 ? 0 : 4) & 15);
    }
}

static void codes_q5_k(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    for (const uint8_t *p = w; n; n -= SUPER, p += 176, q += SUPER, d += 8, m += 8) {
        scales_k(d, m, p);
        for (int e = 0; e < SUPER; e++) {
            const int low = p[48 + e / 64 * 32 + e % 32] >> (e % 64 < 32 ? 0 : 4) & 15;
            q[e] = (int8_t)(low | (p[16 + e % 32] >> e / 32 & 1) << 4);
        }
    }
}

static void codes_q6_k(int8_t *q, float *d, float *m, const void *w, size_t n)
{
    (void)m;
    for (const uint8_t *p = w; n; n -= SUPER, p += 210, q += SUPER) {
        for (int s = 0; s < 16; s++)
            *d++ = half(p + 208) * (float)(int8_t)p[192 + s];
        for (int e = 0; e < SUPER; e++) {
            const int h = e / 128, r = e % 128 / 32, l = e % 32;
            const int low = p[64 * h + l + 32 * (r & 1)] >> (r < 2 ? 0 : 4) & 15;
            q[e] = (int8_t)((low | (p[128 + 32 * h + l] >> 2 * r & 3) << 4) - 32);
        }
    }
}

static const struct {
    mm_codes_fn *codes;
    size_t block, bytes;
} types[MM_NDTYPE] = {
    [MM_Q4_0] = { codes_q4_0, 32, 18 },     [MM_Q4_1] = { codes_q4_1, 32, 20 },
    [MM_Q5_0] = { codes_q5_0, 32, 22 },     [MM_Q5_1] = { codes_q5_1, 32, 24 },
    [MM_Q8_0] = { codes_q8_0, 32, 34 },     [MM_Q2_K] = { codes_q2_k, SUPER, 84 },
    [MM_Q3_K] = { codes_q3_k, SUPER, 110 }, [MM_Q4_K] = { codes_q4_k, SUPER, 144 },
    [MM_Q5_K] = { codes_q5_k, SUPER, 176 }, [MM_Q6_K] = { codes_q6_k, SUPER, 210 },
};

static float dot_w_q(const uint8_t *w, const float *x, size_t n, enum mm_dtype t)
{
    float y[SUPER], s = 0;

    for (size_t i = 0; i < n; i += types[t].block, w += types[t].bytes) {
        mm_dequant_row(y, t, w, types[t].block);
        for (size_t j = 0; j < types[t].block; j++)
            s += y[j] * x[i + j];
    }
    return s;
}

static float dot_q8(const uint8_t *w, const struct mm_q8_row *x, size_t n, enum mm_dtype t)
{
    const struct mm_q8_kind kind = mm_q8_kind(t);
    const float *xs = kind.sub == 32 ? x->s32 : x->s16;
    int8_t q[SUPER];
    float d[16], m[16], y = 0;

    for (size_t i = 0; i < n; i += types[t].block, w += types[t].bytes) {
        types[t].codes(q, d, m, w, types[t].block);
        for (size_t j = 0; j < types[t].block; j += kind.sub) {
            int32_t s = 0;
            for (size_t l = j; l < j + kind.sub; l++)
                s += q[l] * x->q[i + l];
            y += (float)s * (d[j / kind.sub] * x->d[(i + j) / MM_QBLOCK]);
            if (kind.min)
                y += m[j / kind.sub] * xs[(i + j) / kind.sub];
        }
    }
    return y;
}

static void widen_f32(float *y, const void *w, size_t n)
{
    memcpy(y, w, n * sizeof(*y));
}

static void widen_f16(float *y, const void *w, size_t n)
{
    const uint8_t *p = w;
    for (size_t i = 0; i < n; i++)
        y[i] = half(p + 2 * i);
}

static void widen_bf16(float *y, const void *w, size_t n)
{
    const uint8_t *p = w;
    for (size_t i = 0; i < n; i++)
        y[i] = mm_bf16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8));
}

static float dot_f32(const void *w, const float *x, size_t n)
{
    const uint8_t *p = w;
    float s = 0, v;
    for (size_t i = 0; i < n; i++) {
        memcpy(&v, p + 4 * i, sizeof(v));
        s += v * x[i];
    }
    return s;
}

static float dot_f16(const void *w, const float *x, size_t n)
{
    const uint8_t *p = w;
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += half(p + 2 * i) * x[i];
    return s;
}

static float dot_bf16(const void *w, const float *x, size_t n)
{
    const uint8_t *p = w;
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += mm_bf16_to_f32((uint16_t)(p[2 * i] | p[2 * i + 1] << 8)) * x[i];
    return s;
}

/* d = max |x| / 127 per 32.  A block with a NaN or an infinity gets d = NaN;
 * one too small for 1 / d gets zero. */
static void quant_q8(const struct mm_q8_row *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += MM_QBLOCK) {
        const size_t m = n - i < MM_QBLOCK ? n - i : MM_QBLOCK;
        int32_t sum[2] = { 0, 0 };
        float a = 0;
        bool finite = true;
        for (size_t j = 0; j < m; j++) {
            a = fabsf(x[i + j]) > a ? fabsf(x[i + j]) : a;
            finite = finite && isfinite(x[i + j]);
        }
        const bool zero = !finite || a < 1e-30f;
        const float d = finite ? (zero ? 0 : a / 127) : NAN;
        const float id = zero ? 0 : 1 / d;
        for (size_t j = 0; j < MM_QBLOCK; j++) {
            const int q = j < m && !zero ? (int)rintf(x[i + j] * id) : 0;
            y->q[i + j] = (int8_t)q;
            sum[j / 16] += q;
        }
        y->d[i / 32] = d;
        y->s16[i / 16] = d * (float)sum[0];
        y->s16[i / 16 + 1] = d * (float)sum[1];
        y->s32[i / 32] = d * (float)(sum[0] + sum[1]);
    }
}

/* One set of entries per block type. */
#define ENTRIES(type, T)                                                                           \
    static void widen_##type(float *y, const void *w, size_t n)                                    \
    {                                                                                              \
        mm_dequant_row(y, T, w, n);                                                                \
    }                                                                                              \
    static float dot_##type(const void *w, const float *x, size_t n)                               \
    {                                                                                              \
        return dot_w_q(w, x, n, T);                                                                \
    }                                                                                              \
    static float dot_q8_##type(const void *w, const struct mm_q8_row *x, size_t n)                 \
    {                                                                                              \
        return dot_q8(w, x, n, T);                                                                 \
    }
ENTRIES(q4_0, MM_Q4_0)
ENTRIES(q4_1, MM_Q4_1)
ENTRIES(q5_0, MM_Q5_0)
ENTRIES(q5_1, MM_Q5_1)
ENTRIES(q8_0, MM_Q8_0)
ENTRIES(q2_k, MM_Q2_K)
ENTRIES(q3_k, MM_Q3_K)
ENTRIES(q4_k, MM_Q4_K)
ENTRIES(q5_k, MM_Q5_K)
ENTRIES(q6_k, MM_Q6_K)

#define SET(k, type, T)                                                                            \
    do {                                                                                           \
        (k)->widen[T] = widen_##type;                                                              \
        (k)->dot_w[T] = dot_##type;                                                                \
        (k)->dot_q8[T] = dot_q8_##type;                                                            \
        (k)->codes[T] = types[T].codes;                                                            \
    } while (0)

void mm_qrow_init_c(struct mm_kern *k)
{
    k->widen[MM_F32] = widen_f32;
    k->widen[MM_F16] = widen_f16;
    k->widen[MM_BF16] = widen_bf16;
    k->dot_w[MM_F32] = dot_f32;
    k->dot_w[MM_F16] = dot_f16;
    k->dot_w[MM_BF16] = dot_bf16;
    SET(k, q4_0, MM_Q4_0);
    SET(k, q4_1, MM_Q4_1);
    SET(k, q5_0, MM_Q5_0);
    SET(k, q5_1, MM_Q5_1);
    SET(k, q8_0, MM_Q8_0);
    SET(k, q2_k, MM_Q2_K);
    SET(k, q3_k, MM_Q3_K);
    SET(k, q4_k, MM_Q4_K);
    SET(k, q5_k, MM_Q5_K);
    SET(k, q6_k, MM_Q6_K);
    k->quant_q8 = quant_q8;
}
