/* unpack_avx512.c: packed panels of quantised weights, AVX-512 with VBMI and VNNI.
 *
 * A register holds one word of 16 rows, so four codes of each; every step works
 * on all rows at once.  See unpack.c for what the fields mean.  Codes go to
 * scratch, for many rows of activations, or are multiplied as they come, for few:
 * with the same sums in the same order.
 */
#include "kernel/unpack.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/qrow_int.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    WORD = 4 * MM_NR,
    HALF = 2 * MM_NR,
    SUPER = 256,
    AHEAD = 4096 /* bytes prefetched ahead: the hardware stops at a page */
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

INLINE __m512i bytes(int b)
{
    return _mm512_set1_epi8((char)b);
}

/* x >> s, bits of other bytes included; s < 0 shifts left. */
INLINE __m512i field_bits(__m512i x, int s)
{
    return s < 0 ? _mm512_slli_epi32(x, (unsigned)-s) : _mm512_srli_epi32(x, (unsigned)s);
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

/* --- codes ------------------------------------------------------------------------------
 *
 * A block falls into passes of PASS elements in which only the place of the words
 * changes.  code(): codes 4 i .. 4 i + 3 of pass g, from the words at w.
 */

INLINE size_t pass_of(enum mm_dtype t)
{
    return !mm_qrow_super(t) ? 32 : t == MM_Q4_K || t == MM_Q5_K ? 64 : 128;
}

/* Bits 4 i .. 4 i + 3 of each row's word as bit 4 of four bytes, in a pair of rows: a
 * byte takes eight bits from its offset in the pair on, the offset modulo 64. */
INLINE __m512i fifth_bits(__m512i high, int i)
{
    const __m512i first = _mm512_set1_epi64(0x1f1e1d1cfffefdfc);
    return _mm512_multishift_epi64_epi8(_mm512_add_epi8(first, bytes(4 * i)), high);
}

INLINE __m512i shifted(__m512i x, size_t by)
{
    return _mm512_srlv_epi32(x, _mm512_set1_epi32((int)by));
}

INLINE __m512i code(const uint8_t *w, size_t g, int i, enum mm_dtype t)
{
    const size_t at = (size_t)(i % 8);
    const int s = i / 8;

    switch (t) {
    case MM_Q4_0:
    case MM_Q4_1: return field(word(w, at % 4), i / 4 * 4, 15);
    case MM_Q5_0:
    case MM_Q5_1:
        return or_and(field(word(w, 1 + at % 4), i / 4 * 4, 15), fifth_bits(word(w, 0), i),
                      bytes(16));
    case MM_Q8_0: return _mm512_xor_si512(word(w, at), bytes(128));
    case MM_Q2_K: return field(word(w, 4 + 8 * g + at), 2 * s, 3);
    case MM_Q3_K:
        return or_and(field(word(w, 8 + 8 * g + at), 2 * s, 3),
                      field_bits(shifted(word(w, at), 4 * g), s - 2), bytes(4));
    case MM_Q4_K: return field(word(w, 3 + 8 * g + at), 4 * s, 15);
    case MM_Q5_K:
        return or_and(field(word(w, 11 + 8 * g + at), 4 * s, 15),
                      field_bits(shifted(word(w, 3 + at), 2 * g), s - 4), bytes(16));
    default: /* MM_Q6_K */
        return or_and(field(word(w, 16 * g + 8 * (size_t)(s % 2) + at), s / 2 * 4, 15),
                      field_bits(word(w, 32 + 8 * g + at), 2 * s - 4), bytes(0x30));
    }
}

/* --- scales and minima of a block, ld floats apart ------------------------------------- */

struct scales {
    float *d, *m;
    size_t ld;
};

INLINE void put_d(const struct scales *to, int i, __m512 d)
{
    _mm512_storeu_ps(to->d + (size_t)i * to->ld, d);
}

INLINE void put_m(const struct scales *to, int i, __m512 m)
{
    _mm512_storeu_ps(to->m + (size_t)i * to->ld, m);
}

INLINE void scales_q2_k(const struct scales *to, const uint8_t *p, const uint8_t *w)
{
    const __m512 d = half(p, 0), dmin = negated(half(p, 1));

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i s = field(word(w, (size_t)i), 0, 15), m = field(word(w, (size_t)i), 4, 15);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            put_d(to, 4 * i + j, _mm512_mul_ps(d, byte_ps(s, j)));
            put_m(to, 4 * i + j, _mm512_mul_ps(dmin, byte_ps(m, j)));
        }
    }
}

INLINE void scales_q3_k(const struct scales *to, __m512 d, const uint8_t *w)
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
            put_d(to, 4 * i + j,
                  _mm512_mul_ps(d, signed_byte_ps(_mm512_sub_epi8(s[i], bytes(32)), j)));
}

/* The eight 6-bit scales and minima of Q4_K and Q5_K, from three words. */
INLINE void scales_k(const struct scales *to, const uint8_t *p, const uint8_t *w)
{
    const __m512i a = word(w, 0), b = word(w, 1), c = word(w, 2);
    const __m512i s[2] = { field(a, 0, 63), _mm512_or_si512(field(c, 0, 15), field(a, 2, 0x30)) };
    const __m512i m[2] = { field(b, 0, 63), _mm512_or_si512(field(c, 4, 15), field(b, 2, 0x30)) };
    const __m512 d = half(p, 0), dmin = negated(half(p, 1));

#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            put_d(to, 4 * i + j, _mm512_mul_ps(d, byte_ps(s[i], j)));
            put_m(to, 4 * i + j, _mm512_mul_ps(dmin, byte_ps(m[i], j)));
        }
}

INLINE void scales_q6_k(const struct scales *to, __m512 d, const uint8_t *w)
{
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            put_d(to, 4 * i + j, _mm512_mul_ps(d, signed_byte_ps(word(w, 48 + (size_t)i), j)));
}

/* p points at the halves of 16 rows, w at their words. */
INLINE void scales(const struct scales *to, const uint8_t *p, const uint8_t *w, enum mm_dtype t)
{
    switch (t) {
    case MM_Q2_K: scales_q2_k(to, p, w); return;
    case MM_Q3_K: scales_q3_k(to, half(p, 0), w); return;
    case MM_Q4_K:
    case MM_Q5_K: scales_k(to, p, w); return;
    case MM_Q6_K: scales_q6_k(to, half(p, 0), w); return;
    default: break;
    }
    put_d(to, 0, half(p, 0));
    if (mm_qrow_min(t))
        put_m(to, 0, half(p, 1));
}

/* --- to scratch -------------------------------------------------------------------------- */

/* Where a block and its words are: rows 0..15 or 16..31. */
struct block {
    const uint8_t *p, *w;
};

INLINE struct block block_of(const uint8_t *p, size_t v, enum mm_dtype t)
{
    const size_t halves = t == MM_Q2_K || mm_qrow_min(t) ? 2 : 1;

    return (struct block){ p + 32 * v, p + HALF * halves + 64 * v };
}

INLINE size_t block_size(enum mm_dtype t)
{
    return mm_qrow_super(t) ? SUPER : 32;
}

INLINE void prefetch(const uint8_t *p, size_t bytes)
{
    for (size_t l = 0; l < bytes; l += 64)
        _mm_prefetch(p + AHEAD + l, _MM_HINT_T0);
}

INLINE void unpack(const struct mm_q8_panel *b, const uint8_t *p, size_t k, enum mm_dtype t)
{
    const size_t sub = mm_qrow_sub16(t) ? 16 : 32, pass = pass_of(t), bytes = mm_qrow_bytes(t);

    for (size_t k0 = 0; k0 < k; k0 += block_size(t), p += bytes * MM_NR) {
        prefetch(p, bytes * MM_NR);
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++) {
            const struct block x = block_of(p, v, t);
            const size_t s = k0 / sub * MM_NR + 16 * v;
            uint8_t *q = b->q + k0 * MM_NR + 64 * v;
            scales(&(struct scales){ b->d + s, b->m + s, MM_NR }, x.p, x.w, t);
            for (size_t g = 0; g < block_size(t) / pass; g++, q += pass * MM_NR)
#pragma GCC unroll 32
                for (int i = 0; i < (int)pass / 4; i++)
                    _mm512_storeu_si512(q + WORD * i, code(x.w, g, i, t));
        }
    }
}

/* --- multiplied at once -------------------------------------------------------------------- */

INLINE __m512i four(const int8_t *p)
{
    int32_t w;
    memcpy(&w, p, sizeof(w));
    return _mm512_set1_epi32(w);
}

/* Activations at the start of a block: mr rows. */
struct acts {
    const int8_t *q;
    const float *d, *sum;
    const int32_t *neg;
};

/* One pass for 16 columns: c += its product, d, m [sub-blocks][16]. */
INLINE void mul_pass(float *c, size_t ldc, const struct acts *a, const float *d, const float *m,
                     const uint8_t *w, size_t g, const int mr, enum mm_dtype t)
{
    const int sub = mm_qrow_sub16(t) ? 16 : 32, pass = (int)pass_of(t);
    const int shift = mm_qrow_zero(t) ? __builtin_ctz((unsigned)mm_qrow_zero(t)) : 0;
    __m512 s[MM_MR_FEW];

#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        s[r] = _mm512_loadu_ps(c + (size_t)r * ldc);
#pragma GCC unroll 8
    for (int j = 0; j < pass / sub; j++) {
        __m512i n[MM_MR_FEW];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            n[r] = mm_qrow_min(t)
                       ? _mm512_setzero_si512()
                       : _mm512_slli_epi32(_mm512_set1_epi32(a->neg[j * mr + r]), (unsigned)shift);
#pragma GCC unroll 8
        for (int i = 0; i < sub / 4; i++) {
            const __m512i q = code(w, g, j * sub / 4 + i, t);
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++)
                n[r] = _mm512_dpbusd_epi32(n[r], q, four(a->q + 4 * ((j * sub / 4 + i) * mr + r)));
        }
        const __m512 dj = _mm512_loadu_ps(d + 16 * j);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            s[r] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(n[r]), dj),
                                   _mm512_set1_ps(a->d[j * sub / 32 * mr + r]), s[r]);
            if (mm_qrow_min(t))
                s[r] = _mm512_fmadd_ps(_mm512_set1_ps(a->sum[j * mr + r]),
                                       _mm512_loadu_ps(m + 16 * j), s[r]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
        _mm512_storeu_ps(c + (size_t)r * ldc, s[r]);
}

/* The sums stay in memory from pass to pass: half the code, and as fast. */
INLINE void mul_few_mr(float *c, size_t ldc, const struct mm_q8_rows *rows, const uint8_t *p,
                       size_t k, const int mr, enum mm_dtype t)
{
    const size_t m = (size_t)mr, sub = mm_qrow_sub16(t) ? 16 : 32, pass = pass_of(t);
    struct acts a = { rows->q, rows->d, sub == 32 ? rows->sum32 : rows->sum16,
                      sub == 32 ? rows->neg32 : rows->neg16 };
    _Alignas(64) float d[2][SUPER], min[2][SUPER];

    for (; k; k -= block_size(t), p += mm_qrow_bytes(t) * MM_NR) {
        prefetch(p, mm_qrow_bytes(t) * MM_NR);
        for (size_t v = 0; v < 2; v++)
            scales(&(struct scales){ d[v], min[v], 16 }, block_of(p, v, t).p, block_of(p, v, t).w,
                   t);
        for (size_t g = 0; g < block_size(t) / pass; g++) {
            for (size_t v = 0; v < 2; v++)
                mul_pass(c + 16 * v, ldc, &a, d[v] + g * pass / sub * 16,
                         min[v] + g * pass / sub * 16, block_of(p, v, t).w, g, mr, t);
            a.q += pass * m;
            a.d += pass / 32 * m;
            a.sum += pass / sub * m;
            a.neg += pass / sub * m;
        }
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

INLINE void mul_few(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed, size_t k,
                    int mr, enum mm_dtype t)
{
    switch (mr) {
    case 1: mul_few_mr(c, ldc, a, packed, k, 1, t); break;
    case 2: mul_few_mr(c, ldc, a, packed, k, 2, t); break;
    case 4: mul_few_mr(c, ldc, a, packed, k, 4, t); break;
    default: mul_few_mr(c, ldc, a, packed, k, 8, t); break;
    }
}

#define ENTRIES(type, T) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T); \
    } \
    static void mul_##type(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed, \
                           size_t k, int mr) \
    { \
        mul_few(c, ldc, a, packed, k, mr, T); \
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

#define SET(k, type, T) \
    do { \
        (k)->unpack[T] = unpack_##type; \
        (k)->mul_packed[T] = mul_##type; \
    } while (0)

void mm_unpack_init_avx512(struct mm_kern *k)
{
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
    k->codes_f32 = codes_f32;
}
