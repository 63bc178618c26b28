/* pairs_avx512.c: few rows of activations times packed Q2_K and Q3_K, AVX-512 with VBMI and
 * VNNI: the sums of struct mm_q8_panel.
 *
 * What counts with one row is the number of vector instructions.  Codes are used where they
 * lie in their byte, times a power of two.  A sum of 16 products fits 16 bits, so those of both
 * sub-blocks of a block of 32 go into one word, which one vpdpwssd multiplies with both scales.
 */
#include "kernel/unpack.h"

#include "kernel/zmm.h"

#include "kernel/unpack_tmpl.inc"

enum {
    LIFTED = 32 /* sub-blocks whose sums' starts are made at once */
};

/* The power of two that the codes of block b are multiplied with. */
INLINE int lift(int b, enum mm_dtype t)
{
    return t == MM_Q2_K ? b % 4 * 2 : b < 6 ? b % 2 * 3 : 5;
}

/* Codes 4 i .. 4 i + 3 of block b of pass g, lifted. */
INLINE __m512i lifted_code(const uint8_t *w, size_t g, int b, size_t i, enum mm_dtype t)
{
    const __m512i mask = i_set8((t == MM_Q2_K ? 3 : 7) << lift(b, t));

    if (t == MM_Q2_K)
        return i_and(word(w, 4 + 8 * g + i), mask);
    if (b < 6)
        return i_and(word(w, i + 8 * (size_t)(b / 2)), mask);
    return or_and(i_and(word(w, i + 16 * (size_t)(b - 6)), i_set8(0xc0)),
                  i_shift(word(w, 8 + i), b - 5), i_set8(0x20));
}

/* Word by word, sums a and b, lifted, as halves. */
INLINE __m512i halves_of(__m512i a, __m512i b, const int up)
{
    const char lo = (char)up, hi = (char)(up + 8), lo1 = (char)(up + 32), hi1 = (char)(up + 40);
    const __m512i from = _mm512_broadcast_i32x4(
        _mm_setr_epi8(lo, hi, lo, hi, lo1, hi1, lo1, hi1, lo, hi, lo, hi, lo1, hi1, lo1, hi1));
    if (!up)
        return _mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16));
    return _mm512_mask_multishift_epi64_epi8(_mm512_multishift_epi64_epi8(from, a),
                                             0xcccccccccccccccc, from, b);
}

/* Both scales of block b of pass g as halves. */
INLINE __m512i scale_pair(const uint8_t *w, size_t g, int b, enum mm_dtype t)
{
    const char j = (char)(b % 2 * 2), k = (char)(j + 1), no = -128;
    const __m512i from = _mm512_broadcast_i32x4(
        _mm_setr_epi8(j, no, k, no, (char)(j + 4), no, (char)(k + 4), no, (char)(j + 8), no,
                      (char)(k + 8), no, (char)(j + 12), no, (char)(k + 12), no));
    if (t == MM_Q3_K)
        return scale_pair_q3_k(w, b);
    return _mm512_shuffle_epi8(field(word(w, 2 * g + (size_t)b / 2), 0, 15), from);
}

/* Activations at the start of a pass: mr rows. */
struct acts {
    const int8_t *q, *fix[2];
    const float *d, *step;
    const int32_t *start;
};

/* Sums of mr rows and 32 columns, and the scales of the columns. */
struct sums {
    __m512 x[MM_MR_FEW][2], d[2], base[2];
};

#define UP(l) (2 + lift((16 * i + (l)) / mr / 2, MM_Q3_K))

/* Starts of the sums of n elements of Q3_K: what the zero point takes, lifted as the codes are. */
INLINE void make_starts(int32_t *to, const int32_t *neg, size_t n, const int mr)
{
    for (; n; n -= SUPER, to += 16 * mr, neg += 16 * mr)
#pragma GCC unroll 8
        for (int i = 0; i < mr; i++) {
            const __m512i up =
                _mm512_setr_epi32(UP(0), UP(1), UP(2), UP(3), UP(4), UP(5), UP(6), UP(7), UP(8),
                                  UP(9), UP(10), UP(11), UP(12), UP(13), UP(14), UP(15));
            i_store(to + 16 * i, _mm512_sllv_epi32(i_load(neg + 16 * i), up));
        }
}

/* Less what the minima of a block of 256 add, which are used where they lie, times 16. */
INLINE void sub_minima(struct sums *s, const struct acts *a, const uint8_t *p, const int mr)
{
#pragma GCC unroll 2
    for (size_t v = 0; v < 2; v++) {
        const struct block x = block_of(p, v, MM_Q2_K);
        const fvec m = half(x.p, 1);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            __m512i n = i_set(0);
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                n = i_shift(n, -8);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++)
                    n = _mm512_dpbusd_epi32(n, i_and(word(x.w, (size_t)i), i_set8(0xf0)),
                                            i_four(a->fix[h] + 4 * (i * mr + r)));
            }
            s->x[r][v] =
                _mm512_fnmadd_ps(f_mul(i_to_f(i_sra(n, 4)), m), f_set(a->step[r]), s->x[r][v]);
        }
    }
}

/* Block b of pass g. */
INLINE void mul_32(struct sums *s, const struct acts *a, const uint8_t *p, size_t g, const int b,
                   const int mr, enum mm_dtype t)
{
    const uint8_t *w[2] = { block_of(p, 0, t).w, block_of(p, 1, t).w };
    __m512i n[2][2][MM_MR_FEW];

#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            n[h][0][r] = n[h][1][r] = i_set(mm_qrow_min(t) ? 0 : a->start[(2 * b + h) * mr + r]);
#pragma GCC unroll 4
        for (int i = 4 * h; i < 4 * h + 4; i++) {
            const __m512i q0 = lifted_code(w[0], g, b, (size_t)i, t);
            const __m512i q1 = lifted_code(w[1], g, b, (size_t)i, t);
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                const __m512i x = i_four(a->q + 4 * ((8 * b + i) * mr + r));
                n[h][0][r] = _mm512_dpbusd_epi32(n[h][0][r], q0, x);
                n[h][1][r] = _mm512_dpbusd_epi32(n[h][1][r], q1, x);
            }
        }
    }
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
        const __m512i scale = scale_pair(w[v], g, b, t);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            const __m512i both = halves_of(n[0][v][r], n[1][v][r], lift(b, t));
            const __m512i sum = _mm512_dpwssd_epi32(i_set(FLOAT_BITS), both, scale);
            const fvec nd = f_fma(_mm512_castsi512_ps(sum), s->d[v], s->base[v]);
            s->x[r][v] = f_fma(nd, f_set(a->d[b * mr + r]), s->x[r][v]);
        }
    }
}

/* Lines from .. to of what a block at p is ahead. */
INLINE void fetch_lines(const uint8_t *p, size_t from, size_t to)
{
#pragma GCC unroll 8
    for (; from < to; from++)
        mm_fetch_ahead(p + 64 * from);
}

INLINE void mul_256(struct sums *s, struct acts *a, const uint8_t *p, const int mr, enum mm_dtype t)
{
    const size_t m = (size_t)mr, pass = pass_of(t), blocks = pass / 32;
    const size_t lines = mm_qrow_bytes(t) * MM_NR / 64 / (SUPER / pass);

#pragma GCC unroll 2
    for (size_t v = 0; v < 2; v++) {
        s->d[v] = half(block_of(p, v, t).p, 0);
        s->base[v] = f_mul(s->d[v], f_set(-FLOAT_BASE));
    }
    for (size_t g = 0; g < SUPER / pass; g++) {
#pragma GCC unroll 8
        for (size_t b = 0; b < blocks; b++) {
            fetch_lines(p + 64 * lines * g, lines * b / blocks, lines * (b + 1) / blocks);
            mul_32(s, a, p, g, (int)b, mr, t);
        }
        a->q += pass * m;
        a->d += blocks * m;
    }
    a->start += SUPER / 16 * m;
}

INLINE void mul_few_mr(float *c, size_t ldc, const struct mm_q8_rows *rows, const uint8_t *p,
                       size_t k, const int mr, enum mm_dtype t)
{
    const size_t m = (size_t)mr;
    struct acts a = { rows->q, { rows->fix[0], rows->fix[1] }, rows->d, rows->step, NULL };
    int32_t start[LIFTED * MM_MR_FEW];
    struct sums s;

#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            s.x[r][v] = f_load(c + (size_t)r * ldc + 16 * v);
    for (size_t k0 = 0; k0 < k; k0 += SUPER, p += mm_qrow_bytes(t) * MM_NR) {
        if (k0 % (16 * LIFTED) == 0) {
            if (!mm_qrow_min(t))
                make_starts(start, rows->neg16 + k0 / 16 * m,
                            k - k0 < 16 * LIFTED ? k - k0 : 16 * LIFTED, mr);
            a.start = start;
        }
        if (mm_qrow_min(t) && a.fix[0]) {
            sub_minima(&s, &a, p, mr);
            a.fix[0] += SUPER / 16 * m;
            a.fix[1] += SUPER / 16 * m;
            a.step += m;
        }
        mul_256(&s, &a, p, mr, t);
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            f_store(c + (size_t)r * ldc + 16 * v, s.x[r][v]);
}

#define ENTRY(type, T) \
    static void mul_##type(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed, \
                           size_t k, int mr) \
    { \
        switch (mr) { \
        case 1: mul_few_mr(c, ldc, a, packed, k, 1, T); break; \
        case 2: mul_few_mr(c, ldc, a, packed, k, 2, T); break; \
        case 4: mul_few_mr(c, ldc, a, packed, k, 4, T); break; \
        default: mul_few_mr(c, ldc, a, packed, k, 8, T); break; \
        } \
    }
ENTRY(q2_k, MM_Q2_K)
ENTRY(q3_k, MM_Q3_K)

void mm_pairs_init_avx512(struct mm_kern *k)
{
    k->mul_packed[MM_Q2_K] = mul_q2_k;
    k->mul_packed[MM_Q3_K] = mul_q3_k;
}
