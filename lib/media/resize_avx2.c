/* resize_avx2.c: the passes of resize.c eight sums at a time, equal bytes.
 *
 * A 23-bit weight is split as high * 4096 + low, so that pmaddwd (two 16-bit
 * products and their sum) does the work; the two sums are joined at the end.
 * All arithmetic is modulo 2^32, and the true sum fits.
 */
#include <immintrin.h>
#include <string.h>

#include "media/resize.h"

enum { low_bits = 12, low_mask = (1 << low_bits) - 1 };

static __m256i join(__m256i lo, __m256i hi)
{
    return _mm256_add_epi32(lo, _mm256_slli_epi32(hi, low_bits));
}

/* Words (k, k + 1) of four weights as pairs: low halves of the first, high of the second. */
static __m128i split_low(__m128i w)
{
    return _mm_and_si128(w, _mm_set1_epi32(low_mask));
}

static __m128i split_high(__m128i w)
{
    return _mm_srai_epi32(w, low_bits);
}

/* Lane 0 gets the pair of weights (0, 1) four times, lane 1 the pair (2, 3). */
static __m256i spread(__m128i v)
{
    const __m128i pairs = _mm_packs_epi32(v, v); /* w0 w1 w2 w3 w0 .. as words */
    const __m256i order = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);

    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(pairs), order);
}

/* Pixels (0, 1) in lane 0 and (2, 3) in lane 1 as words: r0 r1 g0 g1 b0 b1 (a0 a1). */
static __m256i pixel_pairs(int ch)
{
    const char z = -1;

    if (ch == 3)
        return _mm256_setr_epi8(0, z, 3, z, 1, z, 4, z, 2, z, 5, z, z, z, z, z, 6, z, 9, z, 7, z,
                                10, z, 8, z, 11, z, z, z, z, z);
    return _mm256_setr_epi8(0, z, 4, z, 1, z, 5, z, 2, z, 6, z, 3, z, 7, z, 8, z, 12, z, 9, z, 13,
                            z, 10, z, 14, z, 11, z, 15, z);
}

static void store_pixel(unsigned char *dst, __m256i acc, size_t ch)
{
    __m128i v = _mm_add_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));

    v = _mm_add_epi32(v, _mm_set1_epi32(1 << (MM_RESIZE_BITS - 1)));
    v = _mm_srai_epi32(v, MM_RESIZE_BITS);
    v = _mm_packs_epi32(v, v);
    const uint32_t out = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(v, v));
    memcpy(dst, &out, ch);
}

/* The last pixels of a row, from a copy with zeros behind them, so that no
 * load of 16 bytes passes the row's end. */
struct tail {
    unsigned char px[16];
};

static __m128i load4(const unsigned char *s, const unsigned char *end)
{
    struct tail t = { { 0 } };
    const ptrdiff_t left = end - s;

    if (left >= 16)
        return _mm_loadu_si128((const __m128i *)s);
    if (left > 0)
        memcpy(t.px, s, (size_t)left);
    return _mm_loadu_si128((const __m128i *)t.px);
}

static void row_h(unsigned char *dst, const unsigned char *src, int ch,
                  const struct mm_resize_axis *a)
{
    const __m256i shuffle = pixel_pairs(ch);
    const unsigned char *const end = src + (size_t)a->in * (size_t)ch;
    for (int i = 0; i < a->out; i++, dst += ch) {
        const int32_t *w = a->weight + (size_t)i * a->taps;
        const unsigned char *s = src + (size_t)a->first[i] * (size_t)ch;
        __m256i lo = _mm256_setzero_si256(), hi = lo;
        for (int k = 0; k < a->count[i]; k += 4, w += 4, s += 4 * ch) {
            const __m256i raw = _mm256_broadcastsi128_si256(load4(s, end));
            const __m256i px = _mm256_shuffle_epi8(raw, shuffle);
            const __m128i wk = _mm_loadu_si128((const __m128i *)w);
            lo = _mm256_add_epi32(lo, _mm256_madd_epi16(px, spread(split_low(wk))));
            hi = _mm256_add_epi32(hi, _mm256_madd_epi16(px, spread(split_high(wk))));
        }
        store_pixel(dst, join(lo, hi), (size_t)ch);
    }
}

void mm_resize_h_avx2(unsigned char *dst, const unsigned char *src, size_t rows, int ch,
                      const struct mm_resize_axis *a)
{
    if (ch != 3 && ch != 4) {
        mm_resize_h_c(dst, src, rows, ch, a);
        return;
    }
    for (; rows; rows--, dst += a->out * ch, src += a->in * ch)
        row_h(dst, src, ch, a);
}

/* 16 bytes of two rows as 16 pairs of words in two registers. */
static void column_pairs(__m256i pair[2], const unsigned char *a, const unsigned char *b)
{
    const __m128i ra = _mm_loadu_si128((const __m128i *)a);
    const __m128i rb = _mm_loadu_si128((const __m128i *)b);

    pair[0] = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(ra, rb));
    pair[1] = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(ra, rb));
}

static __m256i weight_pair(int32_t a, int32_t b)
{
    return _mm256_set1_epi32((int32_t)(((uint32_t)a & 0xffff) | (uint32_t)b << 16));
}

static void store16(unsigned char *dst, const __m256i lo[2], const __m256i hi[2])
{
    const __m256i half = _mm256_set1_epi32(1 << (MM_RESIZE_BITS - 1));
    __m256i v[2];

    for (int j = 0; j < 2; j++)
        v[j] = _mm256_srai_epi32(_mm256_add_epi32(join(lo[j], hi[j]), half), MM_RESIZE_BITS);
    const __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(v[0], v[1]), 0xd8);
    const __m128i b = _mm_packus_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
    _mm_storeu_si128((__m128i *)dst, b);
}

static void columns16(unsigned char *dst, const unsigned char *s, size_t n, const int32_t *w,
                      int count)
{
    __m256i lo[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() };
    __m256i hi[2] = { lo[0], lo[0] };
    __m256i pair[2];

    for (int k = 0; k < count; k += 2, s += 2 * n) {
        const int32_t second = k + 1 < count ? w[k + 1] : 0;
        const __m256i wl = weight_pair(w[k] & low_mask, second & low_mask);
        const __m256i wh = weight_pair(w[k] >> low_bits, second >> low_bits);
        column_pairs(pair, s, k + 1 < count ? s + n : s);
        for (int j = 0; j < 2; j++) {
            lo[j] = _mm256_add_epi32(lo[j], _mm256_madd_epi16(pair[j], wl));
            hi[j] = _mm256_add_epi32(hi[j], _mm256_madd_epi16(pair[j], wh));
        }
    }
    store16(dst, lo, hi);
}

void mm_resize_v_avx2(unsigned char *dst, const unsigned char *src, size_t n, int y,
                      const struct mm_resize_axis *a)
{
    const int32_t *w = a->weight + (size_t)y * a->taps;
    size_t x = 0;

    if (n < 16) {
        mm_resize_v_c(dst, src, n, y, a);
        return;
    }
    src += (size_t)a->first[y] * n;
    for (; x + 16 <= n; x += 16)
        columns16(dst + x, src + x, n, w, a->count[y]);
    if (x < n)
        columns16(dst + n - 16, src + n - 16, n, w, a->count[y]);
}
