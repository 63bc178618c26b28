/* resize_avx512.c: the horizontal pass of resize.c by byte products, equal bytes.
 *
 * A weight is three signed digits of base 256, so that vpdpbusd (four products of
 * bytes and their sum) does the work on 16 pixels at a time.  A 128-bit lane holds
 * one channel: lane c, byte t is channel c of pixel t.  All arithmetic is modulo
 * 2^32, and the true sum fits.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "media/resize.h"

#define ALWAYS __attribute__((always_inline))

enum {
    GROUP = 16,           /* pixels at a time */
    ROWS = MM_RESIZE_ROWS /* rows */
};

/* Where lane c, byte t comes from in 16 interleaved pixels. */
static __m512i by_channel(int ch)
{
    unsigned char from[64];

    for (int c = 0; c < 4; c++)
        for (int t = 0; t < GROUP; t++)
            from[c * GROUP + t] = (unsigned char)(c < ch ? t * ch + c : 0);
    return _mm512_loadu_si512(from);
}

/* 64 bytes from s on, inside the row, or zeros behind its end. */
static inline ALWAYS __m512i load(const unsigned char *s, const unsigned char *end, bool inside)
{
    const ptrdiff_t left = end - s;

    if (inside)
        return _mm512_loadu_si512(s);
    return _mm512_maskz_loadu_epi8(left >= 64  ? ~(uint64_t)0
                                   : left > 0 ? ~(uint64_t)0 >> (64 - left)
                                              : 0, s);
}

static __m512i digit(const signed char *d)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)d));
}

/* Four rows' sums: their parts added (a 4 x 4 transposition in each lane), rounded,
 * and as bytes: dword r holds the channels of row r. */
static inline ALWAYS __m128i round4(const __m512i s[ROWS])
{
    const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]),
                                       _mm512_unpackhi_epi32(s[0], s[1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]),
                                       _mm512_unpackhi_epi32(s[2], s[3]));
    __m512i v = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));

    v = _mm512_add_epi32(v, _mm512_set1_epi32(1 << (MM_RESIZE_BITS - 1)));
    v = _mm512_max_epi32(_mm512_srai_epi32(v, MM_RESIZE_BITS), _mm512_setzero_si512());
    return _mm_shuffle_epi8(_mm512_cvtusepi32_epi8(v), order);
}

/* The digits' sums of one output: dword j of lane c is a part of channel c. */
struct sums {
    __m512i low, middle, high;
};

static inline ALWAYS struct sums add16(struct sums t, __m512i px, __m512i order,
                                       const __m512i d[3])
{
    px = _mm512_permutexvar_epi8(order, px);
    t.low = _mm512_dpbusd_epi32(t.low, px, d[0]);
    t.middle = _mm512_dpbusd_epi32(t.middle, px, d[1]);
    t.high = _mm512_dpbusd_epi32(t.high, px, d[2]);
    return t;
}

static inline ALWAYS __m512i joined(struct sums t)
{
    return _mm512_add_epi32(t.low, _mm512_add_epi32(_mm512_slli_epi32(t.middle, 8),
                                                    _mm512_slli_epi32(t.high, 16)));
}

/* One output of four rows: they share the digits, and twelve sums are on their way at a
 * time.  left: bytes from s on in each row; inside: no load passes them. */
static inline ALWAYS __m128i output4(const unsigned char *s, ptrdiff_t row, size_t rows,
                                     const signed char *d, ptrdiff_t left, const int groups,
                                     int ch, __m512i order, bool inside)
{
    const __m512i zero = _mm512_setzero_si512();
    const unsigned char *s1 = rows > 1 ? s + row : s, *s2 = rows > 2 ? s1 + row : s1;
    const unsigned char *s3 = rows > 3 ? s2 + row : s2;
    struct sums t0 = { zero, zero, zero }, t1 = t0, t2 = t0, t3 = t0;

#pragma GCC unroll 4
    for (int g = 0; g < groups; g++, d += 3 * GROUP) {
        const __m512i digits[3] = { digit(d), digit(d + GROUP), digit(d + 2 * GROUP) };
        const ptrdiff_t at = (ptrdiff_t)g * GROUP * ch;
        t0 = add16(t0, load(s + at, s + left, inside), order, digits);
        t1 = add16(t1, load(s1 + at, s1 + left, inside), order, digits);
        t2 = add16(t2, load(s2 + at, s2 + left, inside), order, digits);
        t3 = add16(t3, load(s3 + at, s3 + left, inside), order, digits);
    }
    return round4((const __m512i[]){ joined(t0), joined(t1), joined(t2), joined(t3) });
}

/* Rows at dst get the next output: whole dwords, whose fourth byte the next output
 * writes again; of the last one only its channels. */
static inline ALWAYS void store_rows(unsigned char *dst, size_t row, __m128i v, size_t rows, int ch,
                                     bool last)
{
    uint32_t px[ROWS];

    _mm_storeu_si128((__m128i *)px, v);
    for (size_t r = 0; r < rows; r++)
        if (last)
            memcpy(dst + r * row, &px[r], (size_t)ch);
        else
            memcpy(dst + r * row, &px[r], 4);
}

/* At most four rows: in place of missing ones the last is computed again. */
static inline ALWAYS void rows4(unsigned char *dst, const unsigned char *src, size_t rows, int ch,
                                const struct mm_resize_axis *a)
{
    const __m512i order = by_channel(ch);
    const ptrdiff_t row = (ptrdiff_t)a->in * ch;

    for (int i = 0; i < a->out; i++, dst += ch) {
        const ptrdiff_t at = (ptrdiff_t)a->first[i] * ch, left = row - at;
        const int groups = (a->count[i] + GROUP - 1) / GROUP;
        const signed char *d = a->digit + (size_t)i * a->groups * 3 * GROUP;
        const bool inside = left >= (ptrdiff_t)(groups - 1) * GROUP * ch + 64;
        const unsigned char *const s = src + at;
        __m128i v;

        switch (inside ? groups : 0) { /* unrolled where it pays */
        case 1: v = output4(s, row, rows, d, left, 1, ch, order, true); break;
        case 2: v = output4(s, row, rows, d, left, 2, ch, order, true); break;
        case 3: v = output4(s, row, rows, d, left, 3, ch, order, true); break;
        case 0: v = output4(s, row, rows, d, left, groups, ch, order, false); break;
        default: v = output4(s, row, rows, d, left, groups, ch, order, true);
        }
        store_rows(dst, (size_t)(a->out * ch), v, rows, ch, i + 1 == a->out);
    }
}

void mm_resize_h_avx512(unsigned char *dst, const unsigned char *src, size_t rows, int ch,
                        const struct mm_resize_axis *a)
{
    if (ch != 3 && ch != 4) {
        mm_resize_h_c(dst, src, rows, ch, a);
        return;
    }
    for (size_t n; rows; rows -= n, dst += n * (size_t)(a->out * ch),
                         src += n * (size_t)(a->in * ch)) {
        n = rows < ROWS ? rows : ROWS;
        if (ch == 3)
            rows4(dst, src, n, 3, a);
        else
            rows4(dst, src, n, 4, a);
    }
}
