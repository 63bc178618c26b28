/* qrow_avx2.c: rows of weights and of activations, AVX2 with FMA and F16C.
 *
 * 32 codes to a register: a block of 32 or an eighth of a K block.
 */
#include "kernel/qrow.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernel/qrow_int.h"

#define INLINE static inline __attribute__((always_inline))

/* A block: parts of 32 codes; scales and minima of 32 or 16. */
struct codes {
    __m256i q[8];
    float d[16], m[16];
};

INLINE uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

INLINE float half(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return _cvtsh_ss(v);
}

INLINE __m256i load32(const uint8_t *p)
{
    return _mm256_loadu_si256((const void *)p);
}

INLINE __m256i nibbles(const uint8_t *p)
{
    const __m128i x = _mm_loadu_si128((const void *)p);
    const __m256i xx = _mm256_inserti128_si256(_mm256_castsi128_si256(x), _mm_srli_epi16(x, 4), 1);
    return _mm256_and_si256(xx, _mm256_set1_epi8(15));
}

/* 32 bits to 32 bytes 0 or 16. */
INLINE __m256i fifth_bits(const uint8_t *p)
{
    const __m256i byte = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                          2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i x = _mm256_shuffle_epi8(_mm256_set1_epi32((int)get32(p)), byte);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(x, bit), bit);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

/* (x >> s) & mask in each byte */
INLINE __m256i field(__m256i x, int s, int mask)
{
    return _mm256_and_si256(_mm256_srl_epi16(x, _mm_cvtsi32_si128(s)),
                            _mm256_set1_epi8((char)mask));
}

INLINE void scales_q2_k(struct codes *u, const uint8_t *p)
{
    for (int s = 0; s < 16; s++) {
        u->d[s] = half(p + 80) * (float)(p[s] & 15);
        u->m[s] = -half(p + 82) * (float)(p[s] >> 4);
    }
}

INLINE void scales_q3_k(struct codes *u, const uint8_t *p)
{
    const uint8_t *c = p + 96;
    for (int s = 0; s < 16; s++) {
        const int lo = s < 8 ? c[s] & 15 : c[s - 8] >> 4;
        const int hi = c[8 + s % 4] >> s / 4 * 2 & 3;
        u->d[s] = half(p + 108) * (float)((hi << 4 | lo) - 32);
    }
}

INLINE void scales_k(struct codes *u, const uint8_t *p)
{
    const uint8_t *c = p + 4;
    for (int s = 0; s < 8; s++) {
        const int S = s < 4 ? c[s] & 63 : (c[s + 4] & 15) | c[s - 4] >> 6 << 4;
        const int M = s < 4 ? c[s + 4] & 63 : c[s + 4] >> 4 | c[s] >> 6 << 4;
        u->d[s] = half(p) * (float)S;
        u->m[s] = -half(p + 2) * (float)M;
    }
}

INLINE void scales_q6_k(struct codes *u, const uint8_t *p)
{
    for (int s = 0; s < 16; s++)
        u->d[s] = half(p + 208) * (float)(int8_t)p[192 + s];
}

INLINE __m256i part_k(const uint8_t *p, int i, enum mm_dtype t)
{
    if (t == MM_Q2_K)
        return field(load32(p + 16 + i / 4 * 32), i % 4 * 2, 3);
    if (t == MM_Q3_K)
        return _mm256_or_si256(field(load32(p + 32 + i / 4 * 32), i % 4 * 2, 3),
                               _mm256_slli_epi16(field(load32(p), i, 1), 2));
    if (t == MM_Q4_K)
        return field(load32(p + 16 + i / 2 * 32), i % 2 * 4, 15);
    if (t == MM_Q5_K)
        return _mm256_or_si256(field(load32(p + 48 + i / 2 * 32), i % 2 * 4, 15),
                               _mm256_slli_epi16(field(load32(p + 16), i, 1), 4));
    const __m256i low = field(load32(p + i / 4 * 64 + i % 2 * 32), i % 4 / 2 * 4, 15);
    const __m256i high = field(load32(p + 128 + i / 4 * 32), i % 4 * 2, 3);
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
}

INLINE void unpack(struct codes *u, const uint8_t *p, enum mm_dtype t)
{
    if (!mm_qrow_super(t)) {
        u->d[0] = half(p);
        u->m[0] = mm_qrow_min(t) ? half(p + 2) : 0;
    }
    switch (t) {
    case MM_Q4_0: u->q[0] = nibbles(p + 2); return;
    case MM_Q4_1: u->q[0] = nibbles(p + 4); return;
    case MM_Q5_0: u->q[0] = _mm256_or_si256(nibbles(p + 6), fifth_bits(p + 2)); return;
    case MM_Q5_1: u->q[0] = _mm256_or_si256(nibbles(p + 8), fifth_bits(p + 4)); return;
    case MM_Q8_0: u->q[0] = _mm256_xor_si256(load32(p + 2), _mm256_set1_epi8((char)128)); return;
    case MM_Q2_K: scales_q2_k(u, p); break;
    case MM_Q3_K: scales_q3_k(u, p); break;
    case MM_Q6_K: scales_q6_k(u, p); break;
    default: scales_k(u, p); break;
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        u->q[i] = part_k(p, i, t);
}

/* Codes 8v..8v+7 of part i as weights. */
INLINE __m256 weights8(const struct codes *u, int i, int v, enum mm_dtype t)
{
    const __m128i h =
        v < 2 ? _mm256_castsi256_si128(u->q[i]) : _mm256_extracti128_si256(u->q[i], 1);
    const __m128i b = v % 2 ? _mm_srli_si128(h, 8) : h;
    const __m256i q = _mm256_cvtepu8_epi32(b);
    const __m256 f = _mm256_cvtepi32_ps(_mm256_sub_epi32(q, _mm256_set1_epi32(mm_qrow_zero(t))));
    const int at = mm_qrow_sub16(t) ? 2 * i + v / 2 : i;
    if (mm_qrow_min(t))
        return _mm256_fmadd_ps(_mm256_set1_ps(u->d[at]), f, _mm256_set1_ps(u->m[at]));
    return _mm256_mul_ps(_mm256_set1_ps(u->d[at]), f);
}

INLINE void widen(float *y, const uint8_t *w, size_t n, enum mm_dtype t)
{
    const int parts = mm_qrow_super(t) ? 8 : 1;

    for (; n; n -= 32 * (size_t)parts, w += mm_qrow_bytes(t)) {
        struct codes u;
        unpack(&u, w, t);
#pragma GCC unroll 8
        for (int i = 0; i < parts; i++)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++, y += 8)
                _mm256_storeu_ps(y, weights8(&u, i, v, t));
    }
}

/* Eight elements of a plain type. */
INLINE __m256 plain8(const void *w, size_t i, enum mm_dtype t)
{
    if (t == MM_F32)
        return _mm256_loadu_ps((const float *)w + i);
    const __m128i h = _mm_loadu_si128((const void *)((const uint16_t *)w + i));
    if (t == MM_F16)
        return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* The last n < 8 elements, zero filled. */
INLINE __m256 plain_tail(const void *w, size_t i, size_t n, enum mm_dtype t)
{
    const size_t size = t == MM_F32 ? 4 : 2;
    char b[8 * sizeof(float)] = { 0 };
    memcpy(b, (const char *)w + i * size, n * size);
    return plain8(b, 0, t);
}

INLINE void widen_plain(float *y, const void *w, size_t n, enum mm_dtype t)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, plain8(w, i, t));
    if (i < n) {
        float b[8];
        _mm256_storeu_ps(b, plain_tail(w, i, n - i, t));
        memcpy(y + i, b, (n - i) * sizeof(*y));
    }
}

static void widen_f16(float *y, const void *w, size_t n)
{
    widen_plain(y, w, n, MM_F16);
}

static void widen_bf16(float *y, const void *w, size_t n)
{
    widen_plain(y, w, n, MM_BF16);
}

/* See qrow.c.  Bits of |x| compare as integers, infinities and NaN on top. */
INLINE uint32_t top_bits(const __m256 x[4])
{
    const __m256i abs = _mm256_set1_epi32(0x7fffffff);
    __m256i t = _mm256_and_si256(_mm256_castps_si256(x[0]), abs);

    for (int v = 1; v < 4; v++)
        t = _mm256_max_epu32(t, _mm256_and_si256(_mm256_castps_si256(x[v]), abs));
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

INLINE int sum16(__m256i a, __m256i b)
{
    const __m256i t = _mm256_add_epi32(a, b);
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

INLINE void quant_block(const struct mm_q8_rows *a, const __m256 x[4], size_t i, size_t mr,
                        size_t r)
{
    const uint32_t bits = top_bits(x);
    const size_t at32 = i / 32 * mr + r, at16 = i / 16 * mr + r;
    __m256i q[4];
    uint32_t word[8];
    float top;

    memcpy(&top, &bits, sizeof(top));
    const bool finite = bits < 0x7f800000, zero = !finite || top < 1e-30f;
    const float d = finite ? (zero ? 0 : top / 127) : NAN;
    const __m256 id = _mm256_set1_ps(zero ? 0 : 1 / d);
    const __m256i keep = _mm256_set1_epi32(zero ? 0 : -1);
    for (int v = 0; v < 4; v++)
        q[v] = _mm256_and_si256(keep, _mm256_cvtps_epi32(_mm256_mul_ps(x[v], id)));
    /* packs interleaves by lanes of 128 bits; the permutation undoes it */
    const __m256i bytes = _mm256_permutevar8x32_epi32(
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3])),
        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)word, bytes);
    for (size_t w = 0; w < 8; w++)
        memcpy(a->q + ((i / 4 + w) * mr + r) * 4, &word[w], sizeof(*word));
    const int s0 = sum16(q[0], q[1]), s1 = sum16(q[2], q[3]);
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
        __m256 v[4];
        float b[MM_QBLOCK] = { 0 };
        const float *p = x + i;

        if (n - i < MM_QBLOCK)
            p = memcpy(b, p, (n - i) * sizeof(*b));
        for (int j = 0; j < 4; j++)
            v[j] = _mm256_loadu_ps(p + 8 * j);
        quant_block(a, v, i, (size_t)mr, (size_t)r);
    }
}

/* 16 words as bytes, four words of them mr apart. */
INLINE void put_bytes(int8_t *to, __m256i a, __m256i b, size_t mr)
{
    const __m256i two = _mm256_packs_epi32(a, b); /* 0 .. 3 of a, of b, then 4 .. 7 */
    uint32_t word[8];

    _mm256_storeu_si256((void *)word, _mm256_packs_epi16(two, two));
    for (size_t i = 0; i < 4; i++)
        memcpy(to + 4 * i * mr, &word[i / 2 + i % 2 * 4], 4);
}

/* See qrow.c. */
INLINE void fix_16(const struct mm_q8_rows *a, size_t g, size_t mr, size_t r)
{
    const float *const s = a->sum16 + g * 16 * mr + r;
    const __m256i at =
        _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32((int)mr));
    const __m256 x[2] = { _mm256_i32gather_ps(s, at, 4), _mm256_i32gather_ps(s + 8 * mr, at, 4) };
    const uint32_t bits = top_bits((const __m256[4]){ x[0], x[1], x[0], x[1] });
    __m256i high[2], low[2];
    float top;

    memcpy(&top, &bits, sizeof(top));
    const bool finite = bits < 0x7f800000, zero = !finite || top < 1e-30f;
    const float step = finite ? (zero ? 0 : top / 32512) : NAN;
    const __m256 id = _mm256_set1_ps(zero ? 0 : 1 / step);
    const __m256i keep = _mm256_set1_epi32(zero ? 0 : -1);
    for (int i = 0; i < 2; i++) {
        const __m256i v = _mm256_and_si256(keep, _mm256_cvtps_epi32(_mm256_mul_ps(x[i], id)));
        high[i] = _mm256_srai_epi32(_mm256_add_epi32(v, _mm256_set1_epi32(128)), 8);
        low[i] = _mm256_sub_epi32(v, _mm256_slli_epi32(high[i], 8));
    }
    put_bytes(a->fix[0] + (g * 4 * mr + r) * 4, high[0], high[1], mr);
    put_bytes(a->fix[1] + (g * 4 * mr + r) * 4, low[0], low[1], mr);
    a->step[g * mr + r] = step;
}

static void fix_sums(const struct mm_q8_rows *a, size_t n, int mr)
{
    for (size_t g = 0; g < n / 256; g++)
        for (size_t r = 0; r < (size_t)mr; r++)
            fix_16(a, g, (size_t)mr, r);
}

/* One entry per block type. */
#define WIDEN(type, T) \
    static void widen_##type(float *y, const void *w, size_t n) \
    { \
        widen(y, w, n, T); \
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

void mm_qrow_init_avx2(struct mm_kern *k)
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
    k->fix_sums = fix_sums;
}
