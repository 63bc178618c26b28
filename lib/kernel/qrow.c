/* qrow.c: rows of weights and of activations in plain C. */
#include "kernel/qrow.h"

#include <math.h>
#include <string.h>

#include "base/quant.h"

static float half(const uint8_t *p)
{
    return mm_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
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

/* d = max |x| / 127 per 32.  A block with a NaN or an infinity gets d = NaN;
 * one too small for 1 / d gets zero. */
static void quant_block(const struct mm_q8_rows *a, const float *x, size_t n, size_t i, size_t mr,
                        size_t r)
{
    const size_t m = n - i < MM_QBLOCK ? n - i : MM_QBLOCK;
    const size_t at32 = i / 32 * mr + r, at16 = i / 16 * mr + r;
    int32_t sum[2] = { 0, 0 };
    float top = 0;
    bool finite = true;

    for (size_t j = 0; j < m; j++) {
        top = fabsf(x[i + j]) > top ? fabsf(x[i + j]) : top;
        finite = finite && isfinite(x[i + j]);
    }
    const bool zero = !finite || top < 1e-30f;
    const float d = finite ? (zero ? 0 : top / 127) : NAN;
    const float id = zero ? 0 : 1 / d;
    for (size_t j = 0; j < MM_QBLOCK; j++) {
        const int q = j < m && !zero ? (int)rintf(x[i + j] * id) : 0;
        a->q[((i + j) / 4 * mr + r) * 4 + j % 4] = (int8_t)q;
        sum[j / 16] += q;
    }
    a->d[at32] = d;
    a->neg32[at32] = -sum[0] - sum[1];
    a->neg16[at16] = -sum[0];
    a->neg16[at16 + mr] = -sum[1];
    a->sum32[at32] = d * (float)(sum[0] + sum[1]);
    a->sum16[at16] = d * (float)sum[0];
    a->sum16[at16 + mr] = d * (float)sum[1];
}

static void quant_q8(const struct mm_q8_rows *a, const float *x, size_t n, int mr, int r)
{
    for (size_t i = 0; i < n; i += MM_QBLOCK)
        quant_block(a, x, n, i, (size_t)mr, (size_t)r);
}

/* The largest of 16 sums becomes 127 * 256. */
static void fix_16(const struct mm_q8_rows *a, size_t g, size_t mr, size_t r)
{
    const float *const s = a->sum16 + g * 16 * mr + r;
    float top = 0;
    bool finite = true;

    for (size_t i = 0; i < 16; i++) {
        top = fabsf(s[i * mr]) > top ? fabsf(s[i * mr]) : top;
        finite = finite && isfinite(s[i * mr]);
    }
    const bool zero = !finite || top < 1e-30f;
    const float step = finite ? (zero ? 0 : top / 32512) : NAN;
    const float id = zero ? 0 : 1 / step;
    for (size_t i = 0; i < 16; i++) {
        const int v = zero ? 0 : (int)rintf(s[i * mr] * id), high = (v + 128 + 32768) / 256 - 128;
        const size_t at = ((g * 4 + i / 4) * mr + r) * 4 + i % 4;
        a->fix[0][at] = (int8_t)high;
        a->fix[1][at] = (int8_t)(v - 256 * high);
    }
    a->step[g * mr + r] = step;
}

static void fix_sums(const struct mm_q8_rows *a, size_t n, int mr)
{
    for (size_t g = 0; g < n / 256; g++)
        for (size_t r = 0; r < (size_t)mr; r++)
            fix_16(a, g, (size_t)mr, r);
}

#define WIDEN(type, T) \
    static void widen_##type(float *y, const void *w, size_t n) \
    { \
        mm_dequant_row(y, T, w, n); \
    }
WIDEN(q4_0, MM_Q4_0)
WIDEN(q4_1, MM_Q4_1)
WIDEN(q5_0, MM_Q5_0)
WIDEN(q5_1, MM_Q5_1)
WIDEN(q8_0, MM_Q8_0)
WIDEN(q2_k, MM_Q2_K)
WIDEN(q3_k, MM_Q3_K)
WIDEN(q4_k, MM_Q4_K)
WIDEN(q5_k, MM_Q5_K)
WIDEN(q6_k, MM_Q6_K)

void mm_qrow_init_c(struct mm_kern *k)
{
    k->widen[MM_F32] = widen_f32;
    k->widen[MM_F16] = widen_f16;
    k->widen[MM_BF16] = widen_bf16;
    k->widen[MM_Q4_0] = widen_q4_0;
    k->widen[MM_Q4_1] = widen_q4_1;
    k->widen[MM_Q5_0] = widen_q5_0;
    k->widen[MM_Q5_1] = widen_q5_1;
    k->widen[MM_Q8_0] = widen_q8_0;
    k->widen[MM_Q2_K] = widen_q2_k;
    k->widen[MM_Q3_K] = widen_q3_k;
    k->widen[MM_Q4_K] = widen_q4_k;
    k->widen[MM_Q5_K] = widen_q5_k;
    k->widen[MM_Q6_K] = widen_q6_k;
    k->quant_q8 = quant_q8;
    k->fix_sums = fix_sums;
}
