/* tile.c: panels and micro-kernels in plain C. */
#include "kernel/tile.h"

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

static void comp(int32_t *c, const int8_t *q, size_t k, size_t sub)
{
    memset(c, 0, k / sub * MM_NR * sizeof(*c));
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < MM_NR; j++)
            c[i / sub * MM_NR + j] -= 128 * q[i / 4 * 4 * MM_NR + j * 4 + i % 4];
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

/* The integer product of one sub-block: row r of a, column j of b. */
static int32_t sub_dot(const struct mm_q8_rows *a, const struct mm_q8_panel *b, size_t k0,
                       size_t sub, size_t mr, size_t r, size_t j)
{
    int32_t s = b->comp[k0 / sub * MM_NR + j];
    for (size_t k = k0 / 4; k < (k0 + sub) / 4; k++)
        for (size_t i = 0; i < 4; i++)
            s += a->q[(k * mr + r) * 4 + i] * b->q[(k * MM_NR + j) * 4 + i];
    return s;
}

static void mul_q8(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                   size_t k, int mr, size_t sub)
{
    const size_t m = (size_t)mr;
    const float *as = sub == 32 ? a->s32 : a->s16;

    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < MM_NR; j++) {
            float s = 0;
            for (size_t i = 0; i < k; i += sub) {
                const size_t t = i / sub;
                s += (float)sub_dot(a, b, i, sub, m, r, j) *
                     (a->d[i / MM_QBLOCK * m + r] * b->d[t * MM_NR + j]);
                if (b->m)
                    s += as[t * m + r] * b->m[t * MM_NR + j];
            }
            c[r * ldc + j] += s;
        }
}

static void mul_q8_32(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                      size_t k, int mr)
{
    mul_q8(c, ldc, a, b, k, mr, 32);
}

static void mul_q8_16(float *c, size_t ldc, const struct mm_q8_rows *a, const struct mm_q8_panel *b,
                      size_t k, int mr)
{
    mul_q8(c, ldc, a, b, k, mr, 16);
}

void mm_tile_init_c(struct mm_kern *k)
{
    k->pack_a = pack_a;
    k->pack_b = pack_b;
    k->comp = comp;
    k->mul_f32 = mul_f32;
    k->mul_q8[0][0] = k->mul_q8[0][1] = mul_q8_32;
    k->mul_q8[1][0] = k->mul_q8[1][1] = mul_q8_16;
}
