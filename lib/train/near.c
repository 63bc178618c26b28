/* near.c: see near.h. */
#include "train/near.h"

#include <math.h>
#include <string.h>

#define GAIN 1.5 /* so sharp that a neighbour stands out and others are seen */

static int64_t frequencies(const struct mm_near *n)
{
    const int64_t most = n->width / n->heads / 4;

    return most < 8 ? most : 8;
}

bool mm_near_ok(const struct mm_near *n)
{
    return frequencies(n) > 0;
}

static double frequency(int64_t i, int64_t F)
{
    return acos(-1) * pow(2, -4 * (double)i / (double)F);
}

void mm_near_place(const struct mm_near *n, float *patch, float *position)
{
    const int64_t F = frequencies(n);

    memset(patch, 0, (size_t)(4 * F * n->in) * sizeof(*patch));
    memset(position, 0, (size_t)((1 + n->grid * n->grid) * n->width) * sizeof(*position));
    for (int64_t at = 0; at < n->grid * n->grid; at++)
        for (int64_t i = 0; i < F; i++) {
            const double y = frequency(i, F) * (double)(at / n->grid);
            const double x = frequency(i, F) * (double)(at % n->grid);
            float *row = position + (1 + at) * n->width + i;

            row[0] = (float)sin(y);
            row[F] = (float)cos(y);
            row[2 * F] = (float)sin(x);
            row[3 * F] = (float)cos(x);
        }
}

/* The sine and cosine of one frequency, channels s and c, turned by angle. */
static void turn(const struct mm_near *n, float *q, float *k, int64_t first, int64_t s, int64_t c,
                 double angle)
{
    float *const qs = q + (first + s) * n->width, *const qc = q + (first + c) * n->width;

    qs[s] += (float)(GAIN * cos(angle));
    qs[c] += (float)(GAIN * sin(angle));
    qc[c] += (float)(GAIN * cos(angle));
    qc[s] -= (float)(GAIN * sin(angle));
    k[(first + s) * n->width + s] += (float)GAIN;
    k[(first + c) * n->width + c] += (float)GAIN;
}

void mm_near_attend(const struct mm_near *n, float *q, float *k, int reach)
{
    static const int around[8][2] = { { -1, -1 }, { -1, 0 }, { -1, 1 }, { 0, -1 },
                                      { 0, 1 },   { 1, -1 }, { 1, 0 },  { 1, 1 } };
    const int64_t F = frequencies(n);

    for (int64_t h = 0; h < n->heads; h++)
        for (int64_t axis = 0; axis < 2; axis++)
            for (int64_t i = 0; i < F; i++)
                turn(n, q, k, h * (n->width / n->heads), 2 * F * axis + i, 2 * F * axis + F + i,
                     frequency(i, F) * around[h % 8][axis] * reach);
}
