/* finish.c: what is behind the objects and what spoils the picture. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "synth/picture.h"

enum { LATTICE = 9 };

const char *mm_ground_name(enum mm_ground ground)
{
    static const char *const names[MM_NGROUNDS] = { "plain",   "gradient", "striped",
                                                    "checked", "cloudy",   "dotted" };

    return names[ground];
}

static float between(struct mm_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * (float)mm_rng_uniform(r);
}

/* How far a colour is from the nearest object's: 0..1. */
static float contrast(const float *rgb, const struct mm_scene *s)
{
    float best = 1;

    for (int k = 0; k < s->n; k++) {
        float d = 0;

        for (int i = 0; i < 3; i++)
            d += (rgb[i] - s->obj[k].rgb[i]) * (rgb[i] - s->obj[k].rgb[i]);
        best = fminf(best, sqrtf(d) / 442);
    }
    return best;
}

/* A muted colour that no object has: the first of some tries that is far enough, or the
 * farthest. */
static void pick_ground(float *rgb, const struct mm_scene *s, struct mm_rng *r)
{
    float best = -1;

    for (int i = 0; i < 24 && best < 0.28f; i++) {
        const float grey = between(r, 30, 225);
        float c[3], far;

        for (int k = 0; k < 3; k++)
            c[k] = fminf(fmaxf(grey + between(r, -45, 45), 0), 255);
        far = contrast(c, s);
        if (far > best) {
            best = far;
            memcpy(rgb, c, sizeof(c));
        }
    }
}

/* The other colour: lighter or darker, as is farther from the objects. */
static void pick_second(struct mm_finish *f, const struct mm_scene *s, struct mm_rng *r)
{
    const float step = between(r, 12, 34);
    float tint[3], c[2][3];

    for (int k = 0; k < 3; k++) {
        tint[k] = between(r, -8, 8);
        c[0][k] = fminf(fmaxf(f->rgb[0][k] - step + tint[k], 0), 255);
        c[1][k] = fminf(fmaxf(f->rgb[0][k] + step + tint[k], 0), 255);
    }
    memcpy(f->rgb[1], c[contrast(c[1], s) > contrast(c[0], s)], sizeof(c[0]));
}

void mm_finish_of(struct mm_finish *f, const struct mm_scene *s, int plain)
{
    struct mm_rng r;

    mm_rng_seed(&r, s->paint);
    memset(f, 0, sizeof(*f));
    f->ground = (enum mm_ground)mm_rng_below(&r, MM_NGROUNDS);
    pick_ground(f->rgb[0], s, &r);
    pick_second(f, s, &r);
    f->angle = between(&r, 0, 6.2831853f);
    f->period = between(&r, 0.08f, 0.3f);
    if (mm_rng_below(&r, 4) == 0)
        f->blur = 1 + (int)mm_rng_below(&r, 2);
    if (mm_rng_below(&r, 5) == 0)
        f->coding = 1 + (int)mm_rng_below(&r, 3);
    if (mm_rng_below(&r, 2) == 0)
        f->noise = between(&r, 2, 14);
    if (plain) {
        f->ground = MM_PLAIN;
        f->blur = f->coding = 0;
        f->noise = 0;
    }
}

/* Value noise: random numbers on a lattice, smoothly between them. */
struct lattice {
    float v[LATTICE][LATTICE];
};

static void fill_lattice(struct lattice *l, struct mm_rng *r)
{
    for (int i = 0; i < LATTICE * LATTICE; i++)
        l->v[i / LATTICE][i % LATTICE] = between(r, 0, 1);
}

static float smooth(float t)
{
    return t * t * (3 - 2 * t);
}

static float in_lattice(const struct lattice *l, float x, float y)
{
    const int i = (int)(x * (LATTICE - 1)), j = (int)(y * (LATTICE - 1));
    const float u = smooth(x * (LATTICE - 1) - (float)i), v = smooth(y * (LATTICE - 1) - (float)j);
    const float a = l->v[j][i] + (l->v[j][i + 1] - l->v[j][i]) * u;
    const float b = l->v[j + 1][i] + (l->v[j + 1][i + 1] - l->v[j + 1][i]) * u;

    return a + (b - a) * v;
}

/* A wave of period 1 between 0 and 1 with edges that are not jagged; soft: their width. */
static float band(float t, float soft)
{
    const float d = fabsf(t - floorf(t) - 0.5f) - 0.25f;

    return fminf(fmaxf(d / soft + 0.5f, 0), 1);
}

/* 0..1: how much of the second colour there is at (x, y), both 0..1. */
static float blend(const struct mm_finish *f, const struct lattice *l, float x, float y, float cosine,
                   float sine, float soft)
{
    const float u = (x - 0.5f) * cosine + (y - 0.5f) * sine;
    const float v = (y - 0.5f) * cosine - (x - 0.5f) * sine;
    float a, b;

    switch (f->ground) {
    case MM_GRADIENT:
        return fminf(fmaxf(u + 0.5f, 0), 1);
    case MM_STRIPED:
        return band(u / f->period, soft);
    case MM_CHECKED:
        a = band(u / f->period, soft);
        b = band(v / f->period, soft);
        return a + b - 2 * a * b;
    case MM_CLOUDY:
        return in_lattice(l, x, y);
    case MM_DOTTED:
        a = u / f->period - floorf(u / f->period) - 0.5f;
        b = v / f->period - floorf(v / f->period) - 0.5f;
        return fminf(fmaxf((0.3f - sqrtf(a * a + b * b)) / soft + 0.5f, 0), 1);
    default:
        return 0;
    }
}

void mm_finish_ground(float *canvas, int side, const struct mm_finish *f, uint64_t seed)
{
    const float cosine = cosf(f->angle), sine = sinf(f->angle), pixel = 1 / (float)side;
    const float soft = pixel / f->period, wide = f->ground == MM_GRADIENT ? 1.6f : 1;
    struct lattice l;
    struct mm_rng r;

    mm_rng_seed(&r, seed);
    if (f->ground == MM_CLOUDY)
        fill_lattice(&l, &r);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++, canvas += 3) {
            const float t = wide * blend(f, &l, ((float)x + 0.5f) * pixel, ((float)y + 0.5f) * pixel,
                                         cosine, sine, soft);

            for (int k = 0; k < 3; k++)
                canvas[k] = f->rgb[0][k] + (f->rgb[1][k] - f->rgb[0][k]) * t;
        }
}

/* 1-2-1 along one axis; the border repeats. */
static void blur_axis(float *to, const float *from, int side, size_t step, size_t line)
{
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            const size_t at = (size_t)i * line + (size_t)j * step;
            const size_t before = j > 0 ? at - step : at, after = j + 1 < side ? at + step : at;

            for (size_t k = 0; k < 3; k++)
                to[at + k] = 0.25f * (from[before + k] + from[after + k]) + 0.5f * from[at + k];
        }
}

/* The type II cosine transform of 8 values: c[frequency][place], t its transpose. */
struct cosines {
    float c[8][8], t[8][8];
};

/* out = a b */
static void multiply(float (*restrict out)[8], const float (*a)[8], const float (*restrict b)[8])
{
    for (int i = 0; i < 8; i++) {
        float row[8] = { 0 };

        for (int k = 0; k < 8; k++)
            for (int j = 0; j < 8; j++)
                row[j] += a[i][k] * b[k][j];
        memcpy(out[i], row, sizeof(row));
    }
}

/* What a JPEG does to a block: frequency (u, v) in steps that grow with u + v. */
static void code_block(float (*block)[8], const struct cosines *c, float step)
{
    float half[8][8];

    multiply(half, (const float (*)[8])c->c, (const float (*)[8])block);
    multiply(block, (const float (*)[8])half, (const float (*)[8])c->t);
    for (int u = 0; u < 8; u++)
        for (int v = 0; v < 8; v++) {
            const float q = step * (1 + 0.6f * (float)(u + v));

            block[u][v] = q * (float)(int)(block[u][v] / q + (block[u][v] < 0 ? -0.5f : 0.5f));
        }
    multiply(half, (const float (*)[8])c->t, (const float (*)[8])block);
    multiply(block, (const float (*)[8])half, (const float (*)[8])c->c);
}

static void code(float *canvas, int side, int coarse)
{
    struct cosines c;
    float block[8][8];

    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            c.c[i][j] = c.t[j][i] = (i == 0 ? sqrtf(0.125f) : 0.5f)
                                    * cosf((2 * (float)j + 1) * (float)i * 0.19634954f);
    for (int y = 0; y + 8 <= side; y += 8)
        for (int x = 0; x + 8 <= side; x += 8)
            for (int k = 0; k < 3; k++) {
                float *at = canvas + 3 * (y * side + x) + k;

                for (int i = 0; i < 8; i++)
                    for (int j = 0; j < 8; j++)
                        block[i][j] = at[3 * (i * side + j)];
                code_block(block, &c, 6 * (float)coarse);
                for (int i = 0; i < 8; i++)
                    for (int j = 0; j < 8; j++)
                        at[3 * (i * side + j)] = block[i][j];
            }
}

/* Sums of two random bytes: a triangle, near enough to a bell. */
static void add_noise(float *v, size_t n, float deviation, struct mm_rng *r)
{
    const float scale = deviation / 104.5f; /* sd of such a sum: 256 / sqrt(6) */

    for (size_t i = 0; i < n; i += 4) {
        const uint64_t bits = mm_rng_u64(r);

        for (size_t k = 0; k < 4 && i + k < n; k++)
            v[i + k] += scale * ((float)(bits >> 16 * k & 255) + (float)(bits >> (16 * k + 8) & 255) - 255);
    }
}

void mm_finish_spoil(unsigned char *px, float *canvas, float *scratch, int side,
                     const struct mm_finish *f, uint64_t seed)
{
    const size_t line = 3 * (size_t)side, n = line * (size_t)side;
    struct mm_rng r;

    mm_rng_seed(&r, seed);
    for (int i = 0; i < f->blur; i++) {
        blur_axis(scratch, canvas, side, 3, line);
        blur_axis(canvas, scratch, side, line, 3);
    }
    if (f->coding > 0)
        code(canvas, side, f->coding);
    if (f->noise > 0)
        add_noise(canvas, n, f->noise, &r);
    for (size_t i = 0; i < n; i++) {
        const float v = canvas[i] + 0.5f;

        px[i] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}
