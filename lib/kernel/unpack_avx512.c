/* unpack_avx512.c: packed panels of quantised weights, AVX-512 with VBMI.
 *
 * A register holds one word of 16 rows, so four codes of each; every step works
 * on all rows at once.  See unpack.c for what the fields mean.
 */
#include "kernel/unpack.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

enum { WORD = 4 * MM_NR, HALF = 2 * MM_NR, SUPER = 256 };

/* Where the codes, scales and minima of 16 of the rows go. */
struct to {
    uint8_t *q;
    float *d, *m;
};

/* Words and halves of 16 rows of a block. */
INLINE __m512i word(const uint8_t *p, size_t i)
{
    return _mm512_loadu_si512(p + WORD * i);
}

INLINE __m512 half(const uint8_t *p, size_t i)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(p + HALF * i)));
}

/* Codes 4 i .. 4 i + 3. */
INLINE void put(const struct to *to, size_t i, __m512i q)
{
    _mm512_storeu_si512(to->q + WORD * i, q);
}

INLINE __m512i bytes(int b)
{
    return _mm512_set1_epi8((char)b);
}

/* (x >> s) & mask in each byte; s < 0 shifts left. */
INLINE __m512i field(__m512i x, int s, int mask)
{
    const __m512i y =
        s < 0 ? _mm512_slli_epi32(x, (unsigned)-s) : _mm512_srli_epi32(x, (unsigned)s);
    return _mm512_and_si512(y, bytes(mask));
}

/* a | (b & mask) */
INLINE __m512i or_and(__m512i a, __m512i b, __m512i mask)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}

/* Byte j of each word. */
INLINE __m512i byte_of(__m512i x, int j)
{
    const __m512i first =
        _mm512_set4_epi32((int)0x8080800c, (int)0x80808008, (int)0x80808004, (int)0x80808000);
    return _mm512_shuffle_epi8(x, _mm512_add_epi32(first, _mm512_set1_epi32(j)));
}

INLINE __m512 byte_ps(__m512i x, int j)
{
    return _mm512_cvtepi32_ps(byte_of(x, j));
}

INLINE __m512 signed_byte_ps(__m512i x, int j)
{
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(x, (unsigned)(24 - 8 * j)), 24));
}

INLINE __m512 negated(__m512 x)
{
    return _mm512_xor_ps(x, _mm512_set1_ps(-0.0F));
}

/* --- blocks of 32: p points at the halves, w at the words of 16 rows ------------------ */

INLINE void codes_q4(const struct to *to, const uint8_t *w)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m512i x = word(w, i);
        put(to, i, field(x, 0, 15));
        put(to, i + 4, field(x, 4, 15));
    }
}

/* Bits 4 i .. 4 i + 3 of each row's word as bit 4 of four bytes, in a pair of rows: a
 * byte takes eight bits from its offset in the pair on, the offset modulo 64. */
INLINE __m512i fifth_bits(__m512i high, int i)
{
    const __m512i first = _mm512_set1_epi64(0x1f1e1d1cfffefdfc);
    return _mm512_multishift_epi64_epi8(_mm512_add_epi8(first, bytes(4 * i)), high);
}

INLINE void codes_q5(const struct to *to, const uint8_t *w)
{
    const __m512i high = word(w, 0);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        const __m512i x = word(w, i + 1);
        put(to, i, or_and(field(x, 0, 15), fifth_bits(high, (int)i), bytes(16)));
        put(to, i + 4, or_and(field(x, 4, 15), fifth_bits(high, (int)i + 4), bytes(16)));
    }
}

INLINE void codes_q8(const struct to *to, const uint8_t *w)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++)
        put(to, i, _mm512_xor_si512(word(w, i), bytes(128)));
}

/* --- blocks of 256 --------------------------------------------------------------------- */

INLINE void block_q2_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    const __m512 d = half(p, 0), dmin = negated(half(p, 1));

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i s = field(word(w, (size_t)i), 0, 15), m = field(word(w, (size_t)i), 4, 15);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            _mm512_storeu_ps(to->d + (4 * i + j) * MM_NR, _mm512_mul_ps(d, byte_ps(s, j)));
            _mm512_storeu_ps(to->m + (4 * i + j) * MM_NR, _mm512_mul_ps(dmin, byte_ps(m, j)));
        }
    }
    for (size_t h = 0; h < 2; h++)
        for (size_t i = 0; i < 8; i++) {
            const __m512i x = word(w, 4 + 8 * h + i);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                put(to, 32 * h + 8 * (size_t)s + i, field(x, 2 * s, 3));
        }
}

INLINE void scales_q3_k(const struct to *to, __m512 d, const uint8_t *w)
{
    const __m512i a = word(w, 24), b = word(w, 25), c = word(w, 26);
    const __m512i s[4] = { _mm512_or_si512(field(a, 0, 15), field(c, -4, 0x30)),
                           _mm512_or_si512(field(b, 0, 15), field(c, -2, 0x30)),
                           _mm512_or_si512(field(a, 4, 15), field(c, 0, 0x30)),
                           _mm512_or_si512(field(b, 4, 15), field(c, 2, 0x30)) };

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(to->d + (4 * i + j) * MM_NR,
                             _mm512_mul_ps(d, signed_byte_ps(_mm512_sub_epi8(s[i], bytes(32)), j)));
}

INLINE void block_q3_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    scales_q3_k(to, half(p, 0), w);
    for (size_t i = 0; i < 8; i++) {
        const __m512i high = word(w, i);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const __m512i x = word(w, 8 + 8 * (size_t)h + i);
#pragma GCC unroll 4
            for (int s = 0; s < 4; s++)
                put(to, 32 * (size_t)h + 8 * (size_t)s + i,
                    _mm512_or_si512(field(x, 2 * s, 3), field(high, 4 * h + s - 2, 4)));
        }
    }
}

/* The eight 6-bit scales and minima of Q4_K and Q5_K, from three words. */
INLINE void scales_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    const __m512i a = word(w, 0), b = word(w, 1), c = word(w, 2);
    const __m512i s[2] = { field(a, 0, 63), _mm512_or_si512(field(c, 0, 15), field(a, 2, 0x30)) };
    const __m512i m[2] = { field(b, 0, 63), _mm512_or_si512(field(c, 4, 15), field(b, 2, 0x30)) };
    const __m512 d = half(p, 0), dmin = negated(half(p, 1));

#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            _mm512_storeu_ps(to->d + (4 * i + j) * MM_NR, _mm512_mul_ps(d, byte_ps(s[i], j)));
            _mm512_storeu_ps(to->m + (4 * i + j) * MM_NR, _mm512_mul_ps(dmin, byte_ps(m[i], j)));
        }
}

INLINE void block_q4_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    scales_k(to, p, w);
    for (size_t g = 0; g < 4; g++)
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            const __m512i x = word(w, 3 + 8 * g + i);
            put(to, 16 * g + i, field(x, 0, 15));
            put(to, 16 * g + 8 + i, field(x, 4, 15));
        }
}

INLINE void block_q5_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    scales_k(to, p, w);
    for (size_t i = 0; i < 8; i++) {
        const __m512i high = word(w, 3 + i);
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            const __m512i x = word(w, 11 + 8 * (size_t)g + i);
            const size_t at = 16 * (size_t)g + i;
            put(to, at, _mm512_or_si512(field(x, 0, 15), field(high, 2 * g - 4, 16)));
            put(to, at + 8, _mm512_or_si512(field(x, 4, 15), field(high, 2 * g - 3, 16)));
        }
    }
}

INLINE void block_q6_k(const struct to *to, const uint8_t *p, const uint8_t *w)
{
    const __m512 d = half(p, 0);

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(to->d + (4 * i + j) * MM_NR,
                             _mm512_mul_ps(d, signed_byte_ps(word(w, 48 + (size_t)i), j)));
    for (size_t h = 0; h < 2; h++)
        for (size_t i = 0; i < 8; i++) {
            const __m512i a = word(w, 16 * h + i), b = word(w, 16 * h + 8 + i);
            const __m512i high = word(w, 32 + 8 * h + i);
            const size_t at = 32 * h + i;
            put(to, at, _mm512_or_si512(field(a, 0, 15), field(high, -4, 0x30)));
            put(to, at + 8, _mm512_or_si512(field(b, 0, 15), field(high, -2, 0x30)));
            put(to, at + 16, _mm512_or_si512(field(a, 4, 15), field(high, 0, 0x30)));
            put(to, at + 24, _mm512_or_si512(field(b, 4, 15), field(high, 2, 0x30)));
        }
}

/* One block of 16 rows. */
INLINE void unpack_block(const struct to *to, const uint8_t *p, const uint8_t *w, enum mm_dtype t)
{
    switch (t) {
    case MM_Q2_K: block_q2_k(to, p, w); return;
    case MM_Q3_K: block_q3_k(to, p, w); return;
    case MM_Q4_K: block_q4_k(to, p, w); return;
    case MM_Q5_K: block_q5_k(to, p, w); return;
    case MM_Q6_K: block_q6_k(to, p, w); return;
    default: break;
    }
    _mm512_storeu_ps(to->d, half(p, 0));
    if (t == MM_Q4_1 || t == MM_Q5_1)
        _mm512_storeu_ps(to->m, half(p, 1));
    if (t == MM_Q8_0)
        codes_q8(to, w);
    else if (t == MM_Q5_0 || t == MM_Q5_1)
        codes_q5(to, w);
    else
        codes_q4(to, w);
}

INLINE void unpack(const struct mm_q8_panel *b, const uint8_t *p, size_t k, enum mm_dtype t,
                   size_t block, size_t bytes, size_t halves)
{
    const size_t sub = b->kind.sub;

    for (size_t k0 = 0; k0 < k; k0 += block, p += bytes * MM_NR)
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++) { /* rows 0..15, 16..31 */
            const struct to to = { b->q + k0 * MM_NR + 64 * v, b->d + k0 / sub * MM_NR + 16 * v,
                                   b->kind.min ? b->m + k0 / sub * MM_NR + 16 * v : NULL };
            unpack_block(&to, p + 32 * v, p + HALF * halves + 64 * v, t);
        }
}

/* Four rows of weights of each group of codes. */
static void codes_f32(float *w, const struct mm_q8_panel *b, size_t k)
{
    const __m512i zero = _mm512_set1_epi32(b->kind.zero);

    for (size_t i = 0; i < k; i += 4)
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++) {
            const size_t s = i / b->kind.sub * MM_NR + 16 * v;
            const __m512i q = _mm512_loadu_si512(b->q + i * MM_NR + 64 * v);
            const __m512 d = _mm512_loadu_ps(b->d + s);
#pragma GCC unroll 4
            for (size_t j = 0; j < 4; j++) {
                const __m512 f = _mm512_cvtepi32_ps(_mm512_sub_epi32(byte_of(q, (int)j), zero));
                _mm512_storeu_ps(w + (i + j) * MM_NR + 16 * v,
                                 b->kind.min ? _mm512_fmadd_ps(d, f, _mm512_loadu_ps(b->m + s))
                                             : _mm512_mul_ps(d, f));
            }
        }
}

#define UNPACK(type, T, block, bytes, halves) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T, block, bytes, halves); \
    }
UNPACK(q4_0, MM_Q4_0, 32, 18, 1)
UNPACK(q4_1, MM_Q4_1, 32, 20, 2)
UNPACK(q5_0, MM_Q5_0, 32, 22, 1)
UNPACK(q5_1, MM_Q5_1, 32, 24, 2)
UNPACK(q8_0, MM_Q8_0, 32, 34, 1)
UNPACK(q2_k, MM_Q2_K, SUPER, 84, 2)
UNPACK(q3_k, MM_Q3_K, SUPER, 110, 1)
UNPACK(q4_k, MM_Q4_K, SUPER, 144, 2)
UNPACK(q5_k, MM_Q5_K, SUPER, 176, 2)
UNPACK(q6_k, MM_Q6_K, SUPER, 210, 1)

void mm_unpack_init_avx512(struct mm_kern *k)
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
}
