/* optim.c: see optim.h. */
#include "train/optim.h"

#include <math.h>

/* The numbers of one update that are the same for all weights. */
struct rates {
    float lr, decay, b1, b2, eps, step, root, gscale;
};

/* Kept apart from errno and from branches so that the compiler can use vectors:
 * a block of a fixed size, the tail through the same code. */
enum { BLOCK = 64 };

static void adam_block(float *restrict w, const float *restrict g, float *restrict m,
                       float *restrict v, const struct rates *r)
{
    for (int i = 0; i < BLOCK; i++) {
        const float x = g[i] * r->gscale;

        m[i] += (x - m[i]) * (1 - r->b1);
        v[i] = v[i] * r->b2 + x * x * (1 - r->b2);
        w[i] -= r->step * (m[i] / (sqrtf(v[i]) * r->root + r->eps));
    }
}

static void scale_block(float *w, float s)
{
    for (int i = 0; i < BLOCK; i++)
        w[i] *= s;
}

/* w' = w (1 - lr decay), then w -= lr mhat / (sqrt(vhat) + eps) */
static void adamw(float *w, const float *g, float *m, float *v, const struct rates *r)
{
    if (r->decay != 0)
        scale_block(w, 1 - r->lr * r->decay);
    adam_block(w, g, m, v, r);
}

/* the decay is part of the gradient */
static void adam_l2(float *w, const float *g, float *m, float *v, const struct rates *r)
{
    struct rates plain = *r;
    float x[BLOCK];

    for (int i = 0; i < BLOCK; i++)
        x[i] = g[i] * r->gscale + r->decay * w[i];
    plain.gscale = 1;
    adam_block(w, x, m, v, &plain);
}

static void sgd(float *w, const float *g, float *m, const struct rates *r, bool first,
                bool nesterov)
{
    for (int i = 0; i < BLOCK; i++) {
        const float x = g[i] * r->gscale + r->decay * w[i];

        m[i] = first ? x : r->b1 * m[i] + x;
        w[i] -= r->lr * (nesterov ? x + r->b1 * m[i] : m[i]);
    }
}

static void block(const struct mm_optim *o, float *w, const float *g, float *m, float *v,
                  const struct rates *r, int64_t t)
{
    switch (o->kind) {
    case MM_OPTIM_ADAMW: adamw(w, g, m, v, r); break;
    case MM_OPTIM_ADAM: adam_l2(w, g, m, v, r); break;
    case MM_OPTIM_SGD: sgd(w, g, m, r, t == 0, o->nesterov); break;
    }
}

static void copy(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

void mm_optim_update(const struct mm_optim *o, float *w, const float *g, float *m, float *v,
                     size_t n, int64_t t, double lr, double decay, float gscale)
{
    const double c1 = 1 - pow(o->beta1, (double)t + 1), c2 = 1 - pow(o->beta2, (double)t + 1);
    struct rates r = { .lr = (float)lr, .decay = (float)decay, .b1 = (float)o->beta1,
                       .b2 = (float)o->beta2, .eps = (float)o->eps, .gscale = gscale };
    float tail[4][BLOCK] = { { 0 } };
    size_t i = 0;

    r.root = (float)(1 / sqrt(c2));
    r.step = (float)(lr / c1);
    for (; i + BLOCK <= n; i += BLOCK)
        block(o, w + i, g + i, m + i, v + i, &r, t);
    if (i == n)
        return;
    copy(tail[0], w + i, n - i);
    copy(tail[1], g + i, n - i);
    copy(tail[2], m + i, n - i);
    copy(tail[3], v + i, n - i);
    block(o, tail[0], tail[1], tail[2], tail[3], &r, t);
    copy(w + i, tail[0], n - i);
    copy(m + i, tail[2], n - i);
    copy(v + i, tail[3], n - i);
}

double mm_optim_square(const float *x, size_t n)
{
    enum { LANES = 8 };
    double s[LANES] = { 0 };
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            s[k] += (double)x[i + (size_t)k] * (double)x[i + (size_t)k];
    for (; i < n; i++)
        s[0] += (double)x[i] * (double)x[i];
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

double mm_optim_clip(double norm, double max)
{
    const double k = max / (norm + 1e-6);

    return max > 0 && k < 1 ? k : 1;
}

void mm_optim_agc(float *g, const float *w, size_t n, size_t width, double limit)
{
    for (size_t r = 0; r < n; r += width) {
        const double gn = sqrt(mm_optim_square(g + r, width));
        const double wn = sqrt(mm_optim_square(w + r, width));
        const double most = limit * (wn > 1e-3 ? wn : 1e-3);

        for (size_t i = 0; gn > most && i < width; i++)
            g[r + i] = (float)((double)g[r + i] * (most / gn));
    }
}

void mm_optim_average(float *average, const float *w, size_t n, double d)
{
    const float keep = (float)d, add = (float)(1 - d);

    for (size_t i = 0; i < n; i++)
        average[i] = keep * average[i] + add * w[i];
}
