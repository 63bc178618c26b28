/* resize_avx512.c: the horizontal pass of resize.c by byte products, equal bytes.
 *
 * A weight is three signed digits of base 256, so that vpdpbusd (four products of
 * bytes and their sum) does the work on 16 pixels at a time.  A 128-bit lane holds
 * one channel: lane c, byte t is channel c of pixel t.  All arithmetic is modulo
 * 2^32, and the true sum fits.
 */
#include <immintrin.h>
#include <stdbool.h>

#include "media/resize.h"

#define ALWAYS __attribute__((always_inline))

enum { GROUP = 16 }; /* pixels at a time */

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

/* The digits' sums of one output: dword j of lane c is a part of channel c. */
struct sums {
    __m512i low, middle, high;
};

static __m512i digit(const signed char *d)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)d));
}

static inline ALWAYS void add16(struct sums *t, __m512i px, __m512i order, const signed char *d)
{
    px = _mm512_permutexvar_epi8(order, px);
    t->low = _mm512_dpbusd_epi32(t->low, px, digit(d));
    t->middle = _mm512_dpbusd_epi32(t->middle, px, digit(d + GROUP));
    t->high = _mm512_dpbusd_epi32(t->high, px, digit(d + 2 * GROUP));
}

static __m512i joined(const struct sums *t)
{
    return _mm512_add_epi32(t->low, _mm512_add_epi32(_mm512_slli_epi32(t->middle, 8),
                                                     _mm512_slli_epi32(t->high, 16)));
}

/* Four outputs: their parts added (a 4 x 4 transposition in each lane), rounded
 * and written [output][ch]. */
static void store4(unsigned char *dst, __m512i s0, __m512i s1, __m512i s2, __m512i s3, int ch,
                   int n)
{
    const __m128i order = ch == 3
        ? _mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1)
        : _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(s0, s1),
                                       _mm512_unpackhi_epi32(s0, s1));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(s2, s3),
                                       _mm512_unpackhi_epi32(s2, s3));
    __m512i v = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));

    v = _mm512_add_epi32(v, _mm512_set1_epi32(1 << (MM_RESIZE_BITS - 1)));
    v = _mm512_max_epi32(_mm512_srai_epi32(v, MM_RESIZE_BITS), _mm512_setzero_si512());
    const __m128i out = _mm_shuffle_epi8(_mm512_cvtusepi32_epi8(v), order);
    _mm_mask_storeu_epi8(dst, (__mmask16)((1u << (n * ch)) - 1), out);
}

/* Four outputs: they share nothing but the instructions, so that twelve sums are on
 * their way at a time.  inside: no load passes the row's end. */
static inline ALWAYS void outputs4(unsigned char *dst, const unsigned char *const s[4],
                                   const signed char *const d[4], const unsigned char *end, int ch,
                                   size_t groups, int n, __m512i order, bool inside)
{
    const unsigned char *s0 = s[0], *s1 = s[1], *s2 = s[2], *s3 = s[3];
    const signed char *d0 = d[0], *d1 = d[1], *d2 = d[2], *d3 = d[3];
    struct sums t0 = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    struct sums t1 = t0, t2 = t0, t3 = t0;
    const size_t step = (size_t)(GROUP * ch);
    size_t px = 0, at = 0;

    for (size_t g = 0; g < groups; g++, px += step, at += 3 * GROUP) {
        add16(&t0, load(s0 + px, end, inside), order, d0 + at);
        add16(&t1, load(s1 + px, end, inside), order, d1 + at);
        add16(&t2, load(s2 + px, end, inside), order, d2 + at);
        add16(&t3, load(s3 + px, end, inside), order, d3 + at);
    }
    store4(dst, joined(&t0), joined(&t1), joined(&t2), joined(&t3), ch, n);
}

void mm_resize_h_avx512(unsigned char *dst, const unsigned char *src, int ch,
                        const struct mm_resize_axis *a)
{
    if (ch != 3 && ch != 4) {
        mm_resize_h_c(dst, src, ch, a);
        return;
    }
    const __m512i order = by_channel(ch);
    const unsigned char *const end = src + (size_t)a->in * (size_t)ch;
    const ptrdiff_t reach = (ptrdiff_t)(a->groups - 1) * GROUP * ch + 64;
    for (int i = 0; i < a->out; i += 4, dst += 4 * ch) {
        const int n = a->out - i < 4 ? a->out - i : 4;
        const unsigned char *s[4];
        const signed char *d[4];

        for (int j = 0; j < 4; j++) { /* the last one again where there are no four */
            const int o = j < n ? i + j : a->out - 1;

            s[j] = src + (size_t)a->first[o] * (size_t)ch;
            d[j] = a->digit + (size_t)o * a->groups * 3 * GROUP;
        }
        if (end - s[3] >= reach && ch == 3)
            outputs4(dst, s, d, end, 3, a->groups, n, order, true);
        else
            outputs4(dst, s, d, end, ch, a->groups, n, order, false);
    }
}
