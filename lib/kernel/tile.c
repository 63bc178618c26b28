/* tile.c: panels and micro-kernels in plain C. */
#include "kernel/tile.h"

#include <math.h>
#include <string.h>

static void pack_a(void *a, const void *x, size_t ld, size_t n, int mr)
{
    const size_t m = (size_t)mr;
    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < n; i++)
            memcpy((char *)a + 4 * (i * m + r), (const char *)x + 4 * (r * ld + i), 4);
}

static void pack_b(void *b, const void *w, size_t ld, size_t n, int nr)
{
    if (nr < MM_NR)
        memset(b, 0, n * MM_NR * 4);
    for (size_t r = 0; r < (size_t)nr; r++)
        for (size_t i = 0; i < n; i++)
            memcpy((char *)b + 4 * (i * MM_NR + r), (const char *)w + 4 * (r * ld + i), 4);
}

static void pack_words(void *to, const void *w, size_t stride, size_t n, int nr)
{
    if (nr < MM_NR)
        memset(to, 0, n * MM_NR * 4);
    for (size_t r = 0; r < (size_t)nr; r++)
        for (size_t i = 0; i < n; i++)
            memcpy((char *)to + 4 * (i * MM_NR + r), (const char *)w + r * stride + 4 * i, 4);
}

static void pack_halves(void *to, const void *w, size_t stride, size_t n, int nr)
{
    if (nr < MM_NR)
        memset(to, 0, n * MM_NR * 2);
    for (size_t r = 0; r < (size_t)nr; r++)
        for (size_t i = 0; i < n; i++)
            memcpy((char *)to + 2 * (i * MM_NR + r), (const char *)w + r * stride + 2 * i, 2);
}

static void mul_f32(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr)
{
    float s[MM_MR][MM_NR] = { { 0 } };

    for (size_t i = 0; i < k; i++)
        for (int r = 0; r < mr; r++)
            for (int j = 0; j < MM_NR; j++)
                s[r][j] += a[i * (size_t)mr + (size_t)r] * b[i * MM_NR + (size_t)j];
    for (int r = 0; r < mr; r++)
        for (int j = 0; j < MM_NR; j++)
            c[(size_t)r * ldc + (size_t)j] += s[r][j];
}

/* The integer product of sub-block t: row r of a, column j of b. */
static int32_t sub_dot(const struct mm_q8_rows *a, const struct mm_q8_panel *b, size_t t,
                       size_t sub, size_t mr, size_t r, size_t j)
{
    int32_t s = (sub == 32 ? a->neg32 : a->neg16)[t * mr + r] * b->kind.zero;

    for (size_t k = t * sub / 4; k < (t + 1) * sub / 4; k++)
        for (size_t i = 0; i < 4; i++)
            s += a->q[(k * mr + r) * 4 + i] * b->q[(k * MM_NR + j) * 4 + i];
    return s;
}

/* What the minima of 256 elements from i on add, negated, to row r, column j. */
static int32_t minima(const struct mm_q8_rows *a, const struct mm_q8_panel *b, size_t i, size_t mr,
                      size_t r, size_t j)
{
    int32_t s = 0;

    for (size_t t = i / 64; t < i / 64 + 4; t++)
        for (size_t e = 0; e < 4; e++) {
            const size_t at = (t * mr + r) * 4 + e;
            s += (256 * a->fix[0][at] + a->fix[1][at]) * b->min[(t * MM_NR + j) * 4 + e];
        }
    return s;
}

/* The order of sums is that of struct mm_q8_panel. */
static void mul_pairs(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                      size_t k, size_t m)
{
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < MM_NR; j++) {
            float s = c[r * ldc + j];
            for (size_t i = 0; i < k; i += 32) {
                const size_t super = i / 256;
                const int32_t *scale = b->scale + i / 16 * MM_NR + j;
                const int32_t n = (int16_t)scale[0] * sub_dot(a, b, i / 16, 16, m, r, j) +
                                  (int16_t)scale[MM_NR] * sub_dot(a, b, i / 16 + 1, 16, m, r, j);
                if (b->kind.min && a->fix[0] && i % 256 == 0)
                    s = fmaf(-b->m[super * MM_NR + j] * (float)minima(a, b, i, m, r, j),
                             a->step[super * m + r], s);
                s = fmaf(b->d[super * MM_NR + j] * (float)n, a->d[i / 32 * m + r], s);
            }
            c[r * ldc + j] = s;
        }
}

static void mul_q8(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                   size_t k, int mr)
{
    const size_t m = (size_t)mr, sub = b->kind.sub;
    const float *sum = sub == 32 ? a->sum32 : a->sum16;

    if (b->kind.pairs) {
        mul_pairs(c, ldc, a, b, k, m);
        return;
    }
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < MM_NR; j++) {
            float s = c[r * ldc + j];
            for (size_t t = 0; t < k / sub; t++) {
                const float n = (float)sub_dot(a, b, t, sub, m, r, j);
                s += n * b->d[t * MM_NR + j] * a->d[t * sub / MM_QBLOCK * m + r];
                if (b->kind.min)
                    s += sum[t * m + r] * b->m[t * MM_NR + j];
            }
            c[r * ldc + j] = s;
        }
}

void mm_tile_init_c(struct mm_kern *k)
{
    k->pack_a = pack_a;
    k->pack_b = pack_b;
    k->pack_words = pack_words;
    k->pack_halves = pack_halves;
    k->mul_f32 = mul_f32;
    k->mul_q8[0][0] = k->mul_q8[0][1] = k->mul_q8[1][0] = k->mul_q8[1][1] = mul_q8;
}
