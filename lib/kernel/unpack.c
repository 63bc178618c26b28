/* unpack.c: packed panels of quantised weights in plain C.
 *
 * Each row of a packed block is put together as it was in the file and decoded
 * there (Block layouts: ggml's ggml-common.h).  d * code is exact in f32 (at
 * most 22 bits).
 */
#include "kernel/unpack.h"

#include <string.h>

#include "base/panel.h"
#include "kernel/qrow_int.h"

enum { SUPER = 256 }; /* elements of a K block */

struct mm_q8_kind mm_q8_kind(enum mm_dtype d)
{
    return (struct mm_q8_kind){ mm_qrow_sub16(d) ? 16 : 32, (unsigned char)mm_qrow_zero(d),
                                mm_qrow_min(d), (unsigned char)mm_qrow_bits(d), mm_qrow_pairs(d) };
}

static float half(const uint8_t *p)
{
    return mm_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static void codes_q4(uint8_t *q, const uint8_t *qs)
{
    for (int j = 0; j < 16; j++) {
        q[j] = qs[j] & 15;
        q[j + 16] = qs[j] >> 4;
    }
}

static void codes_q5(uint8_t *q, const uint8_t *qh, const uint8_t *qs)
{
    codes_q4(q, qs);
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)(q[j] | (qh[j / 8] >> j % 8 & 1) << 4);
}

static void decode_q4_0(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    (void)m;
    *d = half(p);
    codes_q4(q, p + 2);
}

static void decode_q4_1(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    *d = half(p);
    *m = half(p + 2);
    codes_q4(q, p + 4);
}

static void decode_q5_0(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    (void)m;
    *d = half(p);
    codes_q5(q, p + 2, p + 6);
}

static void decode_q5_1(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    *d = half(p);
    *m = half(p + 2);
    codes_q5(q, p + 4, p + 8);
}

static void decode_q8_0(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    (void)m;
    *d = half(p);
    for (int j = 0; j < 32; j++)
        q[j] = p[2 + j] ^ 128;
}

/* Scales and minima of a block of pairs. */
struct pairs {
    float d, m;
    int scale[SUPER / 16], min[SUPER / 16];
};

static void decode_q2_k(uint8_t *q, struct pairs *b, const uint8_t *p)
{
    b->d = half(p + 80);
    b->m = half(p + 82);
    for (int s = 0; s < 16; s++) {
        b->scale[s] = p[s] & 15;
        b->min[s] = p[s] >> 4;
    }
    for (int e = 0; e < SUPER; e++)
        q[e] = p[16 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3;
}

static void decode_q3_k(uint8_t *q, struct pairs *b, const uint8_t *p)
{
    const uint8_t *c = p + 96;

    b->d = half(p + 108);
    for (int s = 0; s < 16; s++) {
        const int lo = s < 8 ? c[s] & 15 : c[s - 8] >> 4;
        const int hi = c[8 + s % 4] >> s / 4 * 2 & 3;
        b->scale[s] = (hi << 4 | lo) - 32;
    }
    for (int e = 0; e < SUPER; e++) {
        const int low = p[32 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3;
        q[e] = (uint8_t)(low | (p[e % 32] >> e / 32 & 1) << 2);
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

static void decode_q4_k(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    scales_k(d, m, p);
    for (int e = 0; e < SUPER; e++)
        q[e] = p[16 + e / 64 * 32 + e % 32] >> (e % 64 < 32 ? 0 : 4) & 15;
}

static void decode_q5_k(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    scales_k(d, m, p);
    for (int e = 0; e < SUPER; e++) {
        const int low = p[48 + e / 64 * 32 + e % 32] >> (e % 64 < 32 ? 0 : 4) & 15;
        q[e] = (uint8_t)(low | (p[16 + e % 32] >> e / 32 & 1) << 4);
    }
}

static void decode_q6_k(uint8_t *q, float *d, float *m, const uint8_t *p)
{
    (void)m;
    for (int s = 0; s < 16; s++)
        d[s] = half(p + 208) * (float)(int8_t)p[192 + s];
    for (int e = 0; e < SUPER; e++) {
        const int h = e / 128, r = e % 128 / 32, l = e % 32;
        const int low = p[64 * h + l + 32 * (r & 1)] >> (r < 2 ? 0 : 4) & 15;
        q[e] = (uint8_t)(low | (p[128 + 32 * h + l] >> 2 * r & 3) << 4);
    }
}

typedef void decode_fn(uint8_t *q, float *d, float *m, const uint8_t *block);

static void unpack(const struct mm_q8_panel *b, const uint8_t *p, size_t k, enum mm_dtype t,
                   decode_fn *decode)
{
    const size_t block = mm_dtype_block(t), bytes = mm_dtype_block_bytes(t);
    const size_t sub = b->kind.sub;
    uint8_t source[SUPER], q[SUPER];
    float d[SUPER / 16], m[SUPER / 16];

    for (size_t k0 = 0; k0 < k; k0 += block, p += bytes * MM_NR)
        for (size_t r = 0; r < MM_NR; r++) {
            mm_panel_row(source, t, p, block, r);
            decode(q, d, m, source);
            for (size_t e = 0; e < block; e++)
                b->q[((k0 + e) / 4 * MM_NR + r) * 4 + e % 4] = q[e];
            for (size_t s = 0; s < block / sub; s++) {
                b->d[(k0 / sub + s) * MM_NR + r] = d[s];
                if (b->kind.min)
                    b->m[(k0 / sub + s) * MM_NR + r] = m[s];
            }
        }
}

static void unpack_pairs(const struct mm_q8_panel *b, const uint8_t *p, size_t k, enum mm_dtype t)
{
    uint8_t source[SUPER], q[SUPER];
    struct pairs x;

    for (size_t k0 = 0; k0 < k; k0 += SUPER, p += mm_dtype_block_bytes(t) * MM_NR)
        for (size_t r = 0; r < MM_NR; r++) {
            mm_panel_row(source, t, p, SUPER, r);
            (t == MM_Q2_K ? decode_q2_k : decode_q3_k)(q, &x, source);
            for (size_t e = 0; e < SUPER; e++)
                b->q[((k0 + e) / 4 * MM_NR + r) * 4 + e % 4] = q[e];
            b->d[k0 / SUPER * MM_NR + r] = x.d;
            for (size_t s = 0; s < SUPER / 16; s++)
                b->scale[(k0 / 16 + s) * MM_NR + r] = x.scale[s] & 0xffff;
            if (!b->kind.min)
                continue;
            b->m[k0 / SUPER * MM_NR + r] = x.m;
            for (size_t s = 0; s < SUPER / 16; s++)
                b->min[((k0 / 16 + s) / 4 * MM_NR + r) * 4 + s % 4] = (uint8_t)x.min[s];
        }
}

/* d and m of the sub-block of element i, column r. */
static void scale_of(float *d, float *m, const struct mm_q8_panel *b, size_t i, size_t r)
{
    const size_t s = i / b->kind.sub * MM_NR + r, super = i / SUPER * MM_NR + r;

    *d = b->kind.pairs ? b->d[super] * (float)(int16_t)b->scale[s] : b->d[s];
    if (b->kind.min)
        *m = b->kind.pairs ? -b->m[super] * (float)b->min[(i / 64 * MM_NR + r) * 4 + i / 16 % 4]
                           : b->m[s];
}

static void codes_f32(float *w, const struct mm_q8_panel *b, size_t k)
{
    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < MM_NR; r++) {
            float d, m = 0;
            scale_of(&d, &m, b, i, r);
            const float f = d * (float)(b->q[(i / 4 * MM_NR + r) * 4 + i % 4] - b->kind.zero);
            w[i * MM_NR + r] = b->kind.min ? f + m : f;
        }
}

#define UNPACK(type, T) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T, decode_##type); \
    }
UNPACK(q4_0, MM_Q4_0)
UNPACK(q4_1, MM_Q4_1)
UNPACK(q5_0, MM_Q5_0)
UNPACK(q5_1, MM_Q5_1)
UNPACK(q8_0, MM_Q8_0)
UNPACK(q4_k, MM_Q4_K)
UNPACK(q5_k, MM_Q5_K)
UNPACK(q6_k, MM_Q6_K)

static void unpack_q2_k(const struct mm_q8_panel *b, const void *packed, size_t k)
{
    unpack_pairs(b, packed, k, MM_Q2_K);
}

static void unpack_q3_k(const struct mm_q8_panel *b, const void *packed, size_t k)
{
    unpack_pairs(b, packed, k, MM_Q3_K);
}

static void turn_q3_k(void *words)
{
    mm_panel_turn(words, MM_Q3_K);
}

void mm_unpack_init_c(struct mm_kern *k)
{
    k->unpack[MM_Q4_0] = unpack_q4_0;
    k->unpack[MM_Q4_1] = unpack_q4_1;
    k->unpack[MM_Q5_0] = unpack_q5_0;
    k->unpack[MM_Q5_1] = unpack_q5_1;
    k->unpack[MM_Q8_0] = unpack_q8_0;
    k->unpack[MM_Q2_K] = unpack_q2_k;
    k->unpack[MM_Q3_K] = unpack_q3_k;
    k->unpack[MM_Q4_K] = unpack_q4_k;
    k->unpack[MM_Q5_K] = unpack_q5_k;
    k->unpack[MM_Q6_K] = unpack_q6_k;
    k->codes_f32 = codes_f32;
    k->turn_q3_k = turn_q3_k;
}
