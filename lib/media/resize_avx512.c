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

/* 64 bytes from s on, of a row that ends at end; zeros behind it. */
static __m512i load_edge(const unsigned char *s, const unsigned char *end)
{
    const ptrdiff_t left = end - s;

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

static inline __attribute__((always_inline)) void add16(struct sums *t, __m512i px, __m512i order,
                                                        const signed char *d)
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

/* Outputs i..i+3 (the last one again where there are no four).  They share nothing
 * but the instructions: twelve sums are on their way at a time. */
static void outputs4(unsigned char *dst, const unsigned char *src, int ch,
                     const struct mm_resize_axis *a, int i, __m512i order)
{
    const int last = a->out - 1, n = last - i < 3 ? last - i + 1 : 4;
    const int i1 = i + 1 < last ? i + 1 : last, i2 = i + 2 < last ? i + 2 : last;
    const int i3 = i + 3 < last ? i + 3 : last;
    const size_t step = a->groups * 3 * GROUP, c = (size_t)ch;
    const unsigned char *const end = src + (size_t)a->in * c;
    const unsigned char *s0 = src + (size_t)a->first[i] * c, *s1 = src + (size_t)a->first[i1] * c;
    const unsigned char *s2 = src + (size_t)a->first[i2] * c, *s3 = src + (size_t)a->first[i3] * c;
    const signed char *d = a->digit;
    struct sums t0 = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    struct sums t1 = t0, t2 = t0, t3 = t0;

    for (size_t g = 0; g < a->groups; g++, d += 3 * GROUP) {
        const bool inside = end - s3 >= 64; /* s3 is the last of them */

        add16(&t0, inside ? _mm512_loadu_si512(s0) : load_edge(s0, end), order, d + (size_t)i * step);
        add16(&t1, inside ? _mm512_loadu_si512(s1) : load_edge(s1, end), order, d + (size_t)i1 * step);
        add16(&t2, inside ? _mm512_loadu_si512(s2) : load_edge(s2, end), order, d + (size_t)i2 * step);
        add16(&t3, inside ? _mm512_loadu_si512(s3) : load_edge(s3, end), order, d + (size_t)i3 * step);
        s0 += GROUP * ch;
        s1 += GROUP * ch;
        s2 += GROUP * ch;
        s3 += GROUP * ch;
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
    for (int i = 0; i < a->out; i += 4, dst += 4 * ch)
        outputs4(dst, src, ch, a, i, order);
}
