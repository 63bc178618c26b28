/* unpack_avx512.c: packed panels of quantised weights, AVX-512 with VBMI and VNNI.
 *
 * Codes go to scratch, for many rows of activations (unpack_tmpl.inc), or are
 * multiplied as they come, for few: with the same sums in the same order.  Pairs are in
 * pairs_avx512.c.
 */
#include "kernel/unpack.h"

#include "kernel/zmm.h"

#include "kernel/unpack_tmpl.inc"

/* --- multiplied at once -------------------------------------------------------------------- */

/* Codes of Q4_K are used where they lie in their byte, times a power of two: that of block b
 * of 32, which the scales of its activations make good. */
INLINE int lift(int b, enum mm_dtype t)
{
    return t == MM_Q4_K ? b % 2 * 4 : 0;
}

INLINE __m512i lifted_code(const uint8_t *w, size_t g, int i, enum mm_dtype t)
{
    const size_t at = (size_t)(i % 8);

    return t == MM_Q4_K ? i_and(word(w, 3 + 8 * g + at), i_set8(15 << lift(i / 8, t)))
                        : code(w, g, i, t);
}

/* Activations at the start of a block: mr rows. */
struct acts {
    const int8_t *q;
    const float *d, *sum;
    const int32_t *start;
};

/* What the blocks of 32 of n elements (SUPER, or fewer where codes are not lifted) begin with:
 * sums' starts, written in whole registers, and scales for lifted codes. */
struct ready {
    int32_t start[SUPER / 16 * MM_MR_FEW + 16];
    float d[SUPER / 32 * MM_MR_FEW];
};

INLINE void make_ready(struct ready *to, const float *d, const int32_t *neg, size_t n,
                       const int mr, enum mm_dtype t)
{
    const int zero = mm_qrow_zero(t), shift = zero ? __builtin_ctz((unsigned)zero) : 0;
    const size_t m = (size_t)mr, starts = (mm_qrow_sub16(t) ? 2 : 1) * m;

    if (!lift(1, t)) {
        if (!mm_qrow_min(t))
            sub_starts(to->start, neg, n / 32 * starts, shift, FLOAT_BITS);
        return;
    }
    for (size_t b = 0; b < SUPER / 32; b++)
        for (size_t r = 0; r < m; r++)
            to->d[b * m + r] = d[b * m + r] / (float)(1 << lift((int)b, t));
}

/* Sums of mr rows and 32 columns: few are held in registers. */
enum { HELD = 4 };
struct sums {
    float *c;
    size_t ldc;
    __m512 held[HELD][2];
};

/* Sums += n as numbers times d and the scales of the rows, and their sums times m. */
INLINE void add_sums(struct sums *s, size_t v, const __m512i n[MM_MR_FEW], const float *d,
                     const float *m, const float *ad, const float *sum, const int mr,
                     enum mm_dtype t)
{
    const __m512 dj = _mm512_loadu_ps(d), base = _mm512_mul_ps(dj, _mm512_set1_ps(-FLOAT_BASE));

#pragma GCC unroll 8
    for (int r = 0; r < mr; r++) {
        float *const c = s->c + (size_t)r * s->ldc + 16 * v;
        const __m512 nd = _mm512_fmadd_ps(_mm512_castsi512_ps(n[r]), dj, base);
        __m512 x = mr <= HELD ? s->held[r][v] : _mm512_loadu_ps(c);
        x = _mm512_fmadd_ps(nd, _mm512_set1_ps(ad[r]), x);
        if (mm_qrow_min(t))
            x = _mm512_fmadd_ps(_mm512_set1_ps(sum[r]), _mm512_loadu_ps(m), x);
        if (mr <= HELD)
            s->held[r][v] = x;
        else
            _mm512_storeu_ps(c, x);
    }
}

/* One pass; d, m [2][SUPER / 16][16]. */
INLINE void mul_pass(struct sums *s, const struct acts *a, const float *d, const float *m,
                     const uint8_t *p, size_t g, const int mr, enum mm_dtype t)
{
    const int sub = mm_qrow_sub16(t) ? 16 : 32, subs = (int)pass_of(t) / sub;
    const uint8_t *w0 = block_of(p, 0, t).w, *w1 = block_of(p, 1, t).w;

#pragma GCC unroll 8
    for (int j = 0; j < subs; j++) {
        __m512i n[2][MM_MR_FEW];
        prefetch(p, g * (size_t)subs + (size_t)j, block_size(t) / (size_t)sub, t);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
            n[0][r] = n[1][r] =
                _mm512_set1_epi32(mm_qrow_min(t) ? FLOAT_BITS : a->start[j * mr + r]);
#pragma GCC unroll 8
        for (int i = j * sub / 4; i < (j + 1) * sub / 4; i++) {
            const __m512i q0 = lifted_code(w0, g, i, t), q1 = lifted_code(w1, g, i, t);
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                const __m512i x = i_four(a->q + 4 * (i * mr + r));
                n[0][r] = _mm512_dpbusd_epi32(n[0][r], q0, x);
                n[1][r] = _mm512_dpbusd_epi32(n[1][r], q1, x);
            }
        }
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++)
            add_sums(s, v, n[v], d + v * SUPER + 16 * j, m + v * SUPER + 16 * j,
                     a->d + j * sub / 32 * mr, a->sum + j * mr, mr, t);
    }
}

INLINE void mul_block(struct sums *s, struct acts *a, const uint8_t *p, const int mr,
                      enum mm_dtype t)
{
    const size_t m = (size_t)mr, sub = mm_qrow_sub16(t) ? 16 : 32, pass = pass_of(t);
    _Alignas(64) float d[2][SUPER], min[2][SUPER];

    for (size_t v = 0; v < 2; v++)
        scales(&(struct scales){ d[v], min[v], 16 }, block_of(p, v, t).p, block_of(p, v, t).w, t);
    for (size_t g = 0; g < block_size(t) / pass; g++) {
        mul_pass(s, a, d[0] + g * pass / sub * 16, min[0] + g * pass / sub * 16, p, g, mr, t);
        a->q += pass * m;
        a->d += pass / 32 * m;
        a->sum += pass / sub * m;
        a->start += pass / sub * m;
    }
}

INLINE void mul_few_mr(float *c, size_t ldc, const struct mm_q8_rows *rows, const uint8_t *p,
                       size_t k, const int mr, enum mm_dtype t)
{
    const size_t m = (size_t)mr, sub = mm_qrow_sub16(t) ? 16 : 32;
    struct sums s = { .c = c, .ldc = ldc };
    struct acts a = { .q = rows->q, .sum = sub == 32 ? rows->sum32 : rows->sum16 };
    const int32_t *neg = sub == 32 ? rows->neg32 : rows->neg16;
    struct ready ready;

#pragma GCC unroll 4
    for (int r = 0; mr <= HELD && r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            s.held[r][v] = _mm512_loadu_ps(c + (size_t)r * ldc + 16 * v);
    for (size_t k0 = 0; k0 < k; k0 += SUPER) {
        const size_t n = k - k0 < SUPER ? k - k0 : SUPER;
        make_ready(&ready, rows->d + k0 / 32 * m, neg + k0 / sub * m, n, mr, t);
        a.d = lift(1, t) ? ready.d : rows->d + k0 / 32 * m;
        a.start = ready.start;
        for (size_t at = 0; at < n; at += block_size(t), p += mm_qrow_bytes(t) * MM_NR)
            mul_block(&s, &a, p, mr, t);
    }
#pragma GCC unroll 4
    for (int r = 0; mr <= HELD && r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < 2; v++)
            _mm512_storeu_ps(c + (size_t)r * ldc + 16 * v, s.held[r][v]);
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

#define UNPACK(type, T) \
    static void unpack_##type(const struct mm_q8_panel *b, const void *packed, size_t k) \
    { \
        unpack(b, packed, k, T); \
    }
#define ENTRIES(type, T) \
    UNPACK(type, T) \
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
UNPACK(q2_k, MM_Q2_K)
UNPACK(q3_k, MM_Q3_K)
ENTRIES(q4_k, MM_Q4_K)
ENTRIES(q5_k, MM_Q5_K)
ENTRIES(q6_k, MM_Q6_K)

#define SET(k, type, T) \
    do { \
        (k)->unpack[T] = unpack_##type; \
        (k)->mul_packed[T] = mul_##type; \
    } while (0)

static void turn_q3_k(void *words)
{
    turn(words);
}

void mm_unpack_init_avx512(struct mm_kern *k)
{
    SET(k, q4_0, MM_Q4_0);
    SET(k, q4_1, MM_Q4_1);
    SET(k, q5_0, MM_Q5_0);
    SET(k, q5_1, MM_Q5_1);
    SET(k, q8_0, MM_Q8_0);
    k->unpack[MM_Q2_K] = unpack_q2_k;
    k->unpack[MM_Q3_K] = unpack_q3_k;
    SET(k, q4_k, MM_Q4_K);
    SET(k, q5_k, MM_Q5_K);
    SET(k, q6_k, MM_Q6_K);
    k->codes_f32 = codes_f32;
    k->turn_q3_k = turn_q3_k;
}
