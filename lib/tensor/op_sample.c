/* op_sample.c: bilinear sampling at given places: of pictures by a grid
 * (Jaderberg 2015), and multi-scale deformable attention (Zhu 2021, eq. 3).
 * What lies outside is 0.
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

/* A picture of n channels: pixel (y, x) channel k is v[(y w + x) pixel + k channel]. */
struct plane {
    const float *v;
    float *dv; /* or NULL */
    size_t h, w, n, pixel, channel;
};

/* The up to four pixels around a place. */
struct corner {
    size_t at;            /* offset in v */
    float weight, dy, dx; /* and its derivatives by the place */
};

static int corners(struct corner k[4], const struct plane *p, float y, float x)
{
    const float y0 = floorf(y), x0 = floorf(x);
    int n = 0;

    if (!(y > -1 && y < (float)p->h && x > -1 && x < (float)p->w)) /* NaN too */
        return 0;
    for (int i = 0; i < 4; i++) {
        const float cy = y0 + (float)(i / 2), cx = x0 + (float)(i % 2);
        const float wy = i / 2 ? y - y0 : 1 - (y - y0), wx = i % 2 ? x - x0 : 1 - (x - x0);

        if (cy < 0 || cx < 0 || cy > (float)p->h - 1 || cx > (float)p->w - 1)
            continue;
        k[n].at = ((size_t)cy * p->w + (size_t)cx) * p->pixel;
        k[n].weight = wy * wx;
        k[n].dy = i / 2 ? wx : -wx;
        k[n++].dx = i % 2 ? wy : -wy;
    }
    return n;
}

/* out[k * step] += scale * value at (y, x) */
static void sample(float *out, size_t step, const struct plane *p, float y, float x, float scale)
{
    struct corner k[4];
    const int n = corners(k, p, y, x);

    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < p->n; j++)
            out[j * step] += scale * k[i].weight * p->v[k[i].at + j * p->channel];
}

/* Derivatives of <dout, scale * value>: by the picture (added to dv), and by
 * y, x and scale. */
struct sample_grad {
    float y, x, scale;
};

static struct sample_grad sample_back(const float *dout, size_t step, const struct plane *p,
                                      float y, float x, float scale)
{
    struct sample_grad g = { 0, 0, 0 };
    struct corner k[4];
    const int n = corners(k, p, y, x);

    for (int i = 0; i < n; i++) {
        float s = 0;

        for (size_t j = 0; j < p->n; j++) {
            s += dout[j * step] * p->v[k[i].at + j * p->channel];
            if (p->dv)
                p->dv[k[i].at + j * p->channel] += scale * k[i].weight * dout[j * step];
        }
        g.y += scale * k[i].dy * s;
        g.x += scale * k[i].dx * s;
        g.scale += k[i].weight * s;
    }
    return g;
}

/* --- grid_sample ----------------------------------------------------------------------- */

struct grid {
    size_t places;  /* of one picture */
    struct plane p; /* of the first picture */
    enum mm_corners corners;
    const float *at; /* [B, places, 2]: x, y in -1..1 */
    float *y;
    const float *dy;
    float *dat;
};

/* -1..1 to pixels; *slope is the derivative */
static float pixel_of(enum mm_corners corners, float g, size_t n, float *slope)
{
    *slope = corners == MM_CORNERS_CENTRED ? (float)(n - 1) / 2 : (float)n / 2;
    return corners == MM_CORNERS_CENTRED ? (g + 1) * *slope : (g + 1) * *slope - 0.5f;
}

/* Pictures from..to-1. */
static void grid_range(void *arg, size_t from, size_t to)
{
    const struct grid *s = arg;
    const size_t size = s->p.n * s->p.h * s->p.w;

    for (size_t b = from; b < to; b++) {
        struct plane p = s->p;

        p.v += b * size;
        p.dv = p.dv ? p.dv + b * size : NULL;
        for (size_t i = 0; i < s->places; i++) {
            const size_t at = 2 * (b * s->places + i), out = b * s->p.n * s->places + i;
            float sx, sy;
            const float x = pixel_of(s->corners, s->at[at], p.w, &sx);
            const float y = pixel_of(s->corners, s->at[at + 1], p.h, &sy);
            struct sample_grad g;

            if (!s->dy) {
                sample(s->y + out, s->places, &p, y, x, 1);
                continue;
            }
            g = sample_back(s->dy + out, s->places, &p, y, x, 1);
            if (s->dat) {
                s->dat[at] += g.x * sx;
                s->dat[at + 1] += g.y * sy;
            }
        }
    }
}

static void grid_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct grid s = *(const struct grid *)n->saved;

    s.dy = n->y->grad;
    s.p.dv = mm_grad(c, n->x[0]);
    s.dat = mm_grad(c, n->x[1]);
    mm_range_run(c, (size_t)n->y->t.shape[0], s.places * s.p.n * 8, grid_range, &s);
}

struct mm_var *mm_grid_sample(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *grid,
                              enum mm_corners corner)
{
    struct grid s, *saved;
    struct mm_var *y;

    if (!x || !grid)
        return NULL;
    assert(x->t.ndim == 4 && grid->t.ndim == 4 && grid->t.shape[3] == 2);
    assert(grid->t.shape[0] == x->t.shape[0]);
    y = mm_var_new(
        c, 4,
        (const int64_t[]){ x->t.shape[0], x->t.shape[1], grid->t.shape[1], grid->t.shape[2] });
    if (!y)
        return NULL;
    s = (struct grid){
        .places = (size_t)(grid->t.shape[1] * grid->t.shape[2]),
        .p = { .v = mm_f32(x),
               .n = (size_t)x->t.shape[1],
               .h = (size_t)x->t.shape[2],
               .w = (size_t)x->t.shape[3],
               .pixel = 1 },
        .corners = corner,
        .at = mm_f32(grid),
        .y = mm_f32(y),
    };
    s.p.channel = s.p.h * s.p.w;
    memset(s.y, 0, mm_tensor_bytes(&y->t));
    mm_range_run(c, (size_t)x->t.shape[0], s.places * s.p.n * 4, grid_range, &s);
    saved =
        mm_tape_push(c, y, grid_back, (const struct mm_var *const[]){ x, grid }, 2, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

/* --- multi-scale deformable attention ----------------------------------------------------- */

struct deform {
    size_t batch, rows, heads, dim, queries, levels, points;
    size_t size[8][2], start[8]; /* of each level: height, width, first row */
    const float *value;          /* [batch, rows, heads, dim] */
    const float *place;          /* [batch, queries, heads, levels, points, 2]: x, y in 0..1 */
    const float *weight;         /* [batch, queries, heads, levels, points] */
    float *y;                    /* [batch, queries, heads, dim] */
    const float *dy;
    float *dvalue, *dplace, *dweight;
};

/* Level l of batch b, head h as a picture. */
static struct plane level(const struct deform *s, size_t b, size_t h, size_t l)
{
    const size_t at = ((b * s->rows + s->start[l]) * s->heads + h) * s->dim;

    return (struct plane){ s->value + at,
                           s->dvalue ? s->dvalue + at : NULL,
                           s->size[l][0],
                           s->size[l][1],
                           s->dim,
                           s->heads * s->dim,
                           1 };
}

/* Point i (flat index of a weight) of one level and query. */
static void deform_point(const struct deform *s, const struct plane *p, size_t i, size_t out)
{
    const float x = s->place[2 * i] * (float)p->w - 0.5f;
    const float y = s->place[2 * i + 1] * (float)p->h - 0.5f;
    struct sample_grad g;

    if (!s->dy) {
        sample(s->y + out, 1, p, y, x, s->weight[i]);
        return;
    }
    g = sample_back(s->dy + out, 1, p, y, x, s->weight[i]);
    if (s->dplace) {
        s->dplace[2 * i] += g.x * (float)p->w;
        s->dplace[2 * i + 1] += g.y * (float)p->h;
    }
    if (s->dweight)
        s->dweight[i] += g.scale;
}

/* Pairs of batch and head from..to-1: no two share an element. */
static void deform_range(void *arg, size_t from, size_t to)
{
    const struct deform *s = arg;

    for (size_t t = from; t < to; t++)
        for (size_t l = 0; l < s->levels; l++) {
            const size_t b = t / s->heads, h = t % s->heads;
            const struct plane p = level(s, b, h, l);

            for (size_t q = 0; q < s->queries; q++) {
                const size_t row = (b * s->queries + q) * s->heads + h;

                for (size_t i = 0; i < s->points; i++)
                    deform_point(s, &p, (row * s->levels + l) * s->points + i, row * s->dim);
            }
        }
}

static size_t deform_cost(const struct deform *s)
{
    return s->queries * s->levels * s->points * s->dim * 8;
}

static void deform_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct deform s = *(const struct deform *)n->saved;

    s.dy = n->y->grad;
    s.dvalue = mm_grad(c, n->x[0]);
    s.dplace = mm_grad(c, n->x[1]);
    s.dweight = mm_grad(c, n->x[2]);
    mm_range_run(c, s.batch * s.heads, deform_cost(&s), deform_range, &s);
}

static struct deform deform_shape(const struct mm_var *value, const struct mm_var *place,
                                  const struct mm_var *weight, const int64_t (*levels)[2], int n)
{
    const int64_t *v = value->t.shape, *p = place->t.shape;
    struct deform s = { .value = mm_f32(value), .place = mm_f32(place), .weight = mm_f32(weight) };

    assert(value->t.ndim == 4 && place->t.ndim == 6 && weight->t.ndim == 5);
    assert(p[0] == v[0] && p[2] == v[2] && p[3] == n && p[5] == 2 && n <= 8);
    for (int i = 0; i < 5; i++)
        assert(weight->t.shape[i] == p[i]);
    s.batch = (size_t)v[0];
    s.rows = (size_t)v[1];
    s.heads = (size_t)v[2];
    s.dim = (size_t)v[3];
    s.queries = (size_t)p[1];
    s.levels = (size_t)n;
    s.points = (size_t)p[4];
    for (int l = 0; l < n; l++) {
        s.size[l][0] = (size_t)levels[l][0];
        s.size[l][1] = (size_t)levels[l][1];
        s.start[l] = l ? s.start[l - 1] + s.size[l - 1][0] * s.size[l - 1][1] : 0;
    }
    assert(n > 0 && s.start[n - 1] + s.size[n - 1][0] * s.size[n - 1][1] == s.rows);
    return s;
}

struct mm_var *mm_deform_attend(struct mm_ctx *c, const struct mm_var *value,
                                const struct mm_var *place, const struct mm_var *weight,
                                const int64_t (*levels)[2], int n)
{
    struct deform s, *saved;
    struct mm_var *y;

    if (!value || !place || !weight)
        return NULL;
    s = deform_shape(value, place, weight, levels, n);
    y = mm_var_new(c, 3,
                   (const int64_t[]){ value->t.shape[0], place->t.shape[1],
                                      value->t.shape[2] * value->t.shape[3] });
    if (!y)
        return NULL;
    s.y = mm_f32(y);
    memset(s.y, 0, mm_tensor_bytes(&y->t));
    mm_range_run(c, s.batch * s.heads, deform_cost(&s), deform_range, &s);
    saved = mm_tape_push(c, y, deform_back, (const struct mm_var *const[]){ value, place, weight },
                         3, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}
