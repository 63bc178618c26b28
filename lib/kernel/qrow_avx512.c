/* qrow_avx512.c: rows of weights and of activations, AVX-512.
 *
 * 64 codes to a register: two blocks of 32, or a quarter of a K block.
 */
#include "kernel/qrow.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernel/qrow_int.h"

#define INLINE static inline __attribute__((always_inline))

/* Two blocks of 32, the second may be missing (its scale is then 0). */
struct pair {
    __m512i q;
    __m128 d, m; /* lanes 0, 1 */
};

/* A K block: 16 sub-blocks of 16, or 8 of 32 in the low lanes. */
struct super {
    __m512i q[4];
    __m512 d, m;
};

INLINE uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

INLINE uint32_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Nibbles of two blocks: low halves are elements 0..15, high ones 16..31. */
INLINE __m512i nibbles(const uint8_t *a, const uint8_t *b)
{
    const __m512i aaaa = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)a));
    const __m512i aabb =
        _mm512_mask_broadcast_i32x4(aaaa, 0xff00, _mm_loadu_si128((const void *)b));
    return _mm512_and_si512(_mm512_srlv_epi64(aabb, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4)),
                            _mm512_set1_epi8(15));
}

INLINE __m512i fifth_bits(__m512i q, const uint8_t *a, const uint8_t *b)
{
    const __mmask64 high = (__mmask64)get32(a) | (__mmask64)get32(b) << 32;
    return _mm512_mask_add_epi8(q, high, q, _mm512_set1_epi8(16));
}

INLINE __m512i halves(const void *a, const void *b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(a)), _mm256_loadu_si256(b),
                              1);
}

/* d (and m) of two blocks; blocks is 1 or 2. */
INLINE void pair_scales(struct pair *u, const uint8_t *a, const uint8_t *b, int blocks,
                        enum mm_dtype t)
{
    if (!mm_qrow_min(t)) {
        const uint32_t h = get16(a) | (blocks == 2 ? get16(b) << 16 : 0);
        u->d = _mm_cvtph_ps(_mm_cvtsi32_si128((int)h));
        u->m = _mm_setzero_ps();
        return;
    }
    const __m128 dm =
        _mm_cvtph_ps(_mm_set_epi32(0, 0, blocks == 2 ? (int)get32(b) : 0, (int)get32(a)));
    u->d = _mm_shuffle_ps(dm, dm, _MM_SHUFFLE(3, 3, 2, 0));
    u->m = _mm_shuffle_ps(dm, dm, _MM_SHUFFLE(3, 3, 3, 1));
}

INLINE void unpack_pair(struct pair *u, const uint8_t *a, int blocks, enum mm_dtype t)
{
    const uint8_t *b = blocks == 2 ? a + mm_qrow_bytes(t) : a;

    pair_scales(u, a, b, blocks, t);
    switch (t) {
    case MM_Q4_0: u->q = nibbles(a + 2, b + 2); break;
    case MM_Q4_1: u->q = nibbles(a + 4, b + 4); break;
    case MM_Q5_0: u->q = fifth_bits(nibbles(a + 6, b + 6), a + 2, b + 2); break;
    case MM_Q5_1: u->q = fifth_bits(nibbles(a + 8, b + 8), a + 4, b + 4); break;
    default: /* MM_Q8_0 */
        u->q = _mm512_xor_si512(halves(a + 2, b + 2), _mm512_set1_epi8((char)128));
    }
}

INLINE __m512 half_all(const uint8_t *p)
{
    return _mm512_set1_ps(_cvtsh_ss((unsigned short)get16(p)));
}

/* 64 bits of two-bit codes: bytes of 32 elements at shift s and s + 2. */
INLINE __m512i crumbs(const uint8_t *p, int shift)
{
    const __m512i x = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)p));
    const __m512i by =
        _mm512_add_epi64(_mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2), _mm512_set1_epi64(shift));
    return _mm512_and_si512(_mm512_srlv_epi64(x, by), _mm512_set1_epi8(3));
}

/* Bits b and b + 1 of 32 bytes, as 64 bytes 0 or one. */
INLINE __m512i bits(const uint8_t *p, int b, char one)
{
    const __m512i x = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)p));
    const __m512i t =
        _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << b)), _mm256_set1_epi8((char)(2 << b)), 1);
    return _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(x, t), _mm512_set1_epi8(one));
}

INLINE void unpack_q2_k(struct super *u, const uint8_t *p)
{
    const __m128i s = _mm_loadu_si128((const void *)p);
    const __m128i low = _mm_set1_epi8(15);
    const __m512i S = _mm512_cvtepu8_epi32(_mm_and_si128(s, low));
    const __m512i M = _mm512_cvtepu8_epi32(_mm_and_si128(_mm_srli_epi16(s, 4), low));

    u->d = _mm512_mul_ps(half_all(p + 80), _mm512_cvtepi32_ps(S));
    u->m =
        _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), half_all(p + 82)), _mm512_cvtepi32_ps(M));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        u->q[i] = crumbs(p + 16 + i / 2 * 32, i % 2 * 4);
}

INLINE void unpack_q3_k(struct super *u, const uint8_t *p)
{
    const uint32_t a = get32(p + 96), b = get32(p + 100), c = get32(p + 104);
    const uint32_t k1 = 0x03030303, k2 = 0x0f0f0f0f;
    const __m128i s = _mm_setr_epi32(
        (int)((a & k2) | (c & k1) << 4), (int)((b & k2) | (c >> 2 & k1) << 4),
        (int)((a >> 4 & k2) | (c >> 4 & k1) << 4), (int)((b >> 4 & k2) | (c >> 6 & k1) << 4));
    const __m512i S = _mm512_cvtepi8_epi32(_mm_sub_epi8(s, _mm_set1_epi8(32)));

    u->d = _mm512_mul_ps(half_all(p + 108), _mm512_cvtepi32_ps(S));
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        u->q[i] = _mm512_or_si512(crumbs(p + 32 + i / 2 * 32, i % 2 * 4), bits(p, 2 * i, 4));
}

/* The eight 6-bit scales and minima of Q4_K and Q5_K. */
INLINE void scales_k(struct super *u, const uint8_t *p)
{
    const uint32_t a = get32(p + 4), b = get32(p + 8), c = get32(p + 12);
    const uint32_t k1 = 0x03030303, k2 = 0x0f0f0f0f, k3 = 0x3f3f3f3f;
    const __m128i s = _mm_setr_epi32((int)(a & k3), (int)((c & k2) | (a >> 6 & k1) << 4),
                                     (int)(b & k3), (int)((c >> 4 & k2) | (b >> 6 & k1) << 4));
    const __m512i SM = _mm512_cvtepu8_epi32(s);
    const __m512 f = _mm512_cvtepi32_ps(SM);

    u->d = _mm512_mul_ps(half_all(p), f);
    u->m = _mm512_mul_ps(_mm512_sub_ps(_mm512_setzero_ps(), half_all(p + 2)),
                         _mm512_shuffle_f32x4(f, f, 0xee));
}

INLINE __m512i nibbles_k(const uint8_t *p)
{
    const __m512i x = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)p));
    return _mm512_and_si512(_mm512_srlv_epi64(x, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4)),
                            _mm512_set1_epi8(15));
}

INLINE void unpack_q6_k(struct super *u, const uint8_t *p)
{
    const __m512i S = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(p + 192)));

    u->d = _mm512_mul_ps(half_all(p + 208), _mm512_cvtepi32_ps(S));
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        const __m512i low = _mm512_loadu_si512(p + 64 * h);
        const __m512i high = _mm512_srli_epi16(low, 4);
        const __m512i nib = _mm512_set1_epi8(15);
        const uint8_t *qh = p + 128 + 32 * h;
        u->q[2 * h] =
            _mm512_or_si512(_mm512_and_si512(low, nib), _mm512_slli_epi16(crumbs(qh, 0), 4));
        u->q[2 * h + 1] =
            _mm512_or_si512(_mm512_and_si512(high, nib), _mm512_slli_epi16(crumbs(qh, 4), 4));
    }
}

INLINE void unpack_super(struct super *u, const uint8_t *p, enum mm_dtype t)
{
    u->m = _mm512_setzero_ps();
    switch (t) {
    case MM_Q2_K: unpack_q2_k(u, p); return;
    case MM_Q3_K: unpack_q3_k(u, p); return;
    case MM_Q6_K: unpack_q6_k(u, p); return;
    default: break;
    }
    scales_k(u, p);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        if (t == MM_Q4_K)
            u->q[i] = nibbles_k(p + 16 + 32 * i);
        else
            u->q[i] = _mm512_or_si512(nibbles_k(p + 48 + 32 * i), bits(p + 16, 2 * i, 16));
}

/* 16 codes to weights; d and m broadcast. */
INLINE __m512 weights16(__m128i q, __m512 d, __m512 m, enum mm_dtype t)
{
    const __m512 f = _mm512_cvtepi32_ps(
        _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), _mm512_set1_epi32(mm_qrow_zero(t))));
    return mm_qrow_min(t) ? _mm512_fmadd_ps(d, f, m) : _mm512_mul_ps(d, f);
}

INLINE __m512 lane(__m512 v, int i)
{
    return _mm512_permutexvar_ps(_mm512_set1_epi32(i), v);
}

/* The 64 weights of a register, to be stored or multiplied by x. */
INLINE void weights64(__m512 w[4], __m512i q, __m512 d, __m512 m, int first, int per,
                      enum mm_dtype t)
{
    const __m128i part[4] = { _mm512_castsi512_si128(q), _mm512_extracti32x4_epi32(q, 1),
                              _mm512_extracti32x4_epi32(q, 2), _mm512_extracti32x4_epi32(q, 3) };
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const int at = first + (per == 16 ? i : i / 2);
        w[i] = weights16(part[i], lane(d, at), lane(m, at), t);
    }
}

INLINE void widen_pairs(float *y, const uint8_t *p, size_t n, enum mm_dtype t)
{
    for (size_t i = 0; i < n; i += 64, p += 2 * mm_qrow_bytes(t)) {
        const int blocks = n - i >= 64 ? 2 : 1;
        struct pair u;
        __m512 w[4];
        if (blocks == 2)
            unpack_pair(&u, p, 2, t);
        else
            unpack_pair(&u, p, 1, t);
        weights64(w, u.q, _mm512_castps128_ps512(u.d), _mm512_castps128_ps512(u.m), 0, 32, t);
        for (int j = 0; j < 2 * blocks; j++)
            _mm512_storeu_ps(y + i + 16 * (size_t)j, w[j]);
    }
}

INLINE void widen_super(float *y, const uint8_t *p, size_t n, enum mm_dtype t)
{
    for (size_t i = 0; i < n; i += 256, p += mm_qrow_bytes(t)) {
        struct super u;
        unpack_super(&u, p, t);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512 w[4];
            weights64(w, u.q[j], u.d, u.m, mm_qrow_sub16(t) ? 4 * j : 2 * j,
                      mm_qrow_sub16(t) ? 16 : 32, t);
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                _mm512_storeu_ps(y + i + 64 * (size_t)j + 16 * (size_t)v, w[v]);
        }
    }
}

static void widen_f16(float *y, const void *w, size_t n)
{
    const uint16_t *p = w;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(p + i))));
    const __mmask16 k = (__mmask16)((1u << (n - i)) - 1);
    _mm512_mask_storeu_ps(y + i, k, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(k, p + i)));
}

INLINE __m512 bf16_ps(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

static void widen_bf16(float *y, const void *w, size_t n)
{
    const uint16_t *p = w;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, bf16_ps(_mm256_loadu_si256((const void *)(p + i))));
    const __mmask16 k = (__mmask16)((1u << (n - i)) - 1);
    _mm512_mask_storeu_ps(y + i, k, bf16_ps(_mm256_maskz_loadu_epi16(k, p + i)));
}

/* See qrow.c.  Bits of |x| compare as integers, infinities and NaN on top. */
INLINE void quant_block(const struct mm_q8_rows *a, __m512 x0, __m512 x1, size_t i, size_t mr,
                        size_t r)
{
    const __m512i abs = _mm512_set1_epi32(0x7fffffff);
    const uint32_t bits =
        _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x0), abs),
                                                 _mm512_and_si512(_mm512_castps_si512(x1), abs)));
    const size_t at32 = i / 32 * mr + r, at16 = i / 16 * mr + r;
    float top;
    uint32_t word[8];

    memcpy(&top, &bits, sizeof(top));
    const bool finite = bits < 0x7f800000, zero = !finite || top < 1e-30f;
    const float d = finite ? (zero ? 0 : top / 127) : NAN;
    const __m512 id = _mm512_set1_ps(zero ? 0 : 1 / d);
    const __mmask16 keep = zero ? 0 : 0xffff;
    const __m512i q0 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x0, id));
    const __m512i q1 = _mm512_maskz_cvtps_epi32(keep, _mm512_mul_ps(x1, id));
    const __m256i q =
        _mm256_set_m128i(_mm512_cvtepi32_epi8(q1), _mm512_cvtepi32_epi8(q0));
    _mm256_storeu_si256((void *)word, q);
    for (size_t w = 0; w < 8; w++)
        memcpy(a->q + ((i / 4 + w) * mr + r) * 4, &word[w], sizeof(*word));
    /* sums of eight bytes, made unsigned by 128 each */
    const __m256i sum = _mm256_sad_epu8(_mm256_xor_si256(q, _mm256_set1_epi8((char)128)),
                                        _mm256_setzero_si256());
    const __m256i pair = _mm256_add_epi64(sum, _mm256_unpackhi_epi64(sum, sum));
    const int s0 = _mm_cvtsi128_si32(_mm256_castsi256_si128(pair)) - 16 * 128;
    const int s1 = _mm_cvtsi128_si32(_mm256_extracti128_si256(pair, 1)) - 16 * 128;
    a->d[at32] = d;
    a->neg32[at32] = -s0 - s1;
    a->neg16[at16] = -s0;
    a->neg16[at16 + mr] = -s1;
    a->sum32[at32] = d * (float)(s0 + s1);
    a->sum16[at16] = d * (float)s0;
    a->sum16[at16 + mr] = d * (float)s1;
}

static void quant_q8(const struct mm_q8_rows *a, const float *x, size_t n, int mr, int r)
{
    for (size_t i = 0; i < n; i += MM_QBLOCK) {
        const __mmask32 k = n - i < 32 ? (1u << (n - i)) - 1 : 0xffffffff;
        quant_block(a, _mm512_maskz_loadu_ps((__mmask16)k, x + i),
                    _mm512_maskz_loadu_ps((__mmask16)(k >> 16), x + i + 16), i, (size_t)mr,
                    (size_t)r);
    }
}

/* One entry per block type; form is pairs or super. */
#define WIDEN(type, T, form) \
    static void widen_##type(float *y, const void *w, size_t n) \
    { \
        widen_##form(y, w, n, T); \
    }
WIDEN(q4_0, MM_Q4_0, pairs)
WIDEN(q4_1, MM_Q4_1, pairs)
WIDEN(q5_0, MM_Q5_0, pairs)
WIDEN(q5_1, MM_Q5_1, pairs)
WIDEN(q8_0, MM_Q8_0, pairs)
WIDEN(q2_k, MM_Q2_K, super)
WIDEN(q3_k, MM_Q3_K, super)
WIDEN(q4_k, MM_Q4_K, super)
WIDEN(q5_k, MM_Q5_K, super)
WIDEN(q6_k, MM_Q6_K, super)

void mm_qrow_init_avx512(struct mm_kern *k)
{
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
}
