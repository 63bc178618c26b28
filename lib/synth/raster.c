/* raster.c: coverage by signed areas.
 *
 * Each edge adds to every pixel of its rows the area between it and the right
 * border of the pixel; the rest of the row to its right is covered whole, which a
 * running sum adds up (as scan converters of fonts do).
 */
#include "synth/raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "synth/world.h"

static const float tau = 6.2831853f;

static void point(struct mm_outline *o, float x, float y)
{
    o->xy[o->n][0] = x;
    o->xy[o->n][1] = y;
    o->n++;
}

/* n points of an arc around (x, y), both ends included. */
static void arc(struct mm_outline *o, float x, float y, float r, float from, float to, int n)
{
    for (int i = 0; i < n; i++) {
        const float t = from + (to - from) * (float)i / (float)(n - 1);

        point(o, x + r * cosf(t), y + r * sinf(t));
    }
}

/* A whole circle; turn < 0 goes the other way. */
static void circle(struct mm_outline *o, float r, int n, float turn)
{
    for (int i = 0; i < n; i++) {
        const float t = turn * tau * (float)i / (float)n;

        point(o, r * cosf(t), r * sinf(t));
    }
}

static void polygon(struct mm_outline *o, const float (*xy)[2], int n)
{
    for (int i = 0; i < n; i++)
        point(o, xy[i][0], xy[i][1]);
}

static void star(struct mm_outline *o)
{
    for (int i = 0; i < 10; i++) {
        const float t = tau * ((float)i / 10.0f - 0.25f), r = i % 2 == 0 ? 1.05f : 0.45f;

        point(o, r * cosf(t), r * sinf(t) + 0.05f);
    }
}

/* The curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t. */
static void heart(struct mm_outline *o)
{
    for (int i = 0; i < 30; i++) {
        const float t = tau * (float)i / 30.0f, s = sinf(t);

        point(o, s * s * s,
              -(13 * cosf(t) - 5 * cosf(2 * t) - 2 * cosf(3 * t) - cosf(4 * t)) / 16 - 0.12f);
    }
}

/* The outline within -1..1, y down. */
static void unit(struct mm_outline *o, int shape)
{
    static const float square[][2] = { { -.82f, -.82f }, { .82f, -.82f }, { .82f, .82f }, { -.82f, .82f } };
    static const float triangle[][2] = { { 0, -.92f }, { .98f, .8f }, { -.98f, .8f } };
    static const float cross[][2] = { { -.33f, -1 }, { .33f, -1 }, { .33f, -.33f }, { 1, -.33f },
                                      { 1, .33f },   { .33f, .33f }, { .33f, 1 },   { -.33f, 1 },
                                      { -.33f, .33f }, { -1, .33f }, { -1, -.33f }, { -.33f, -.33f } };
    static const float diamond[][2] = { { 0, -1.05f }, { .62f, 0 }, { 0, 1.05f }, { -.62f, 0 } };
    static const float arrow[][2] = { { -1, -.3f }, { .1f, -.3f }, { .1f, -.85f }, { 1, 0 },
                                      { .1f, .85f }, { .1f, .3f }, { -1, .3f } };

    switch (shape) {
    case MM_CIRCLE: circle(o, 0.95f, 36, 1); break;
    case MM_SQUARE: polygon(o, square, 4); break;
    case MM_TRIANGLE: polygon(o, triangle, 3); break;
    case MM_STAR: star(o); break;
    case MM_HEART: heart(o); break;
    case MM_CROSS: polygon(o, cross, 12); break;
    case MM_DIAMOND: polygon(o, diamond, 4); break;
    case MM_ARROW: polygon(o, arrow, 7); break;
    case MM_RING:
        circle(o, 0.98f, 36, 1);
        o->hole = o->n;
        circle(o, 0.55f, 28, -1);
        break;
    default: /* crescent: a circle less another one, whose arc meets it at 0.85 rad */
        arc(o, 0.15f, 0, 1, 0.85f, tau - 0.85f, 28);
        arc(o, 0.70f, 0, 0.7593f, -1.4254f, -tau + 1.4254f, 20);
    }
}

void mm_outline_shape(struct mm_outline *o, int shape, const struct mm_pose *p)
{
    const float c = p->r * cosf(p->angle), s = p->r * sinf(p->angle);

    o->n = 0;
    o->hole = MM_OUTLINE_MAX;
    unit(o, shape);
    if (o->hole > o->n)
        o->hole = o->n;
    for (int i = 0; i < o->n; i++) {
        const float x = o->xy[i][0], y = o->xy[i][1];

        o->xy[i][0] = p->x + c * x - s * y;
        o->xy[i][1] = p->y + s * x + c * y;
    }
}

int mm_cover_new(struct mm_cover *c, int side, struct mm_err *e)
{
    /* two pixels more in each row and a row more: where sums run to */
    const size_t n = (size_t)(side + 2) * (size_t)(side + 1);

    memset(c, 0, sizeof(*c));
    c->a = malloc(n * sizeof(*c->a));
    return c->a != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "drawing: out of memory");
}

void mm_cover_free(struct mm_cover *c)
{
    free(c->a);
    memset(c, 0, sizeof(*c));
}

static int between(float v, int lo, int hi)
{
    return v < (float)lo ? lo : v > (float)hi ? hi : (int)v;
}

void mm_cover_box(struct mm_cover *c, int side, float x0, float y0, float x1, float y1)
{
    c->x = between(floorf(x0), 0, side);
    c->y = between(floorf(y0), 0, side);
    c->w = between(ceilf(x1), 0, side) - c->x;
    c->h = between(ceilf(y1), 0, side) - c->y;
    if (c->w <= 0 || c->h <= 0)
        c->w = c->h = 0;
}

/* The part of an edge that lies in one row: from xa to xb (in pixels of the row), d its
 * height, signed by its direction. */
static void in_row(float *row, float xa, float xb, float d)
{
    float x = xa < xb ? xa : xb;
    const float end = xa < xb ? xb : xa, slope = d / (end - x);

    if ((int)x == (int)end) {
        const float right = 0.5f * (x + end) - (float)(int)x;

        row[(int)x] += d * (1 - right);
        row[(int)x + 1] += d * right;
        return;
    }
    while (x < end) {
        const int i = (int)x;
        const float next = (float)(i + 1) < end ? (float)(i + 1) : end;
        const float part = (next - x) * slope, right = 0.5f * (x + next) - (float)i;

        row[i] += part * (1 - right);
        row[i + 1] += part * right;
        x = next;
    }
}

/* Adds the edge p-q, both in pixels of the rectangle; rows are w + 2 apart. */
static void edge(const struct mm_cover *c, const float *p, const float *q)
{
    const float *top = p[1] < q[1] ? p : q, *low = p[1] < q[1] ? q : p;
    const float sign = p[1] < q[1] ? 1 : -1, slope = (low[0] - top[0]) / (low[1] - top[1]);
    const float wide = (float)c->w, end = low[1] < (float)c->h ? low[1] : (float)c->h;

    if (p[1] == q[1])
        return;
    for (float y = top[1] > 0 ? top[1] : 0; y < end;) {
        const int row = (int)y;
        const float next = (float)(row + 1) < end ? (float)(row + 1) : end;
        const float xa = top[0] + (y - top[1]) * slope, xb = top[0] + (next - top[1]) * slope;

        in_row(c->a + (size_t)row * (size_t)(c->w + 2), fminf(fmaxf(xa, 0), wide),
               fminf(fmaxf(xb, 0), wide), sign * (next - y));
        y = next;
    }
}

void mm_cover_start(struct mm_cover *c, int side, float x0, float y0, float x1, float y1)
{
    mm_cover_box(c, side, x0, y0, x1, y1);
    memset(c->a, 0, (size_t)(c->w + 2) * (size_t)c->h * sizeof(*c->a));
}

void mm_cover_contour(struct mm_cover *c, const float (*xy)[2], int n)
{
    for (int i = 0; i < n; i++) {
        const float *a = xy[i], *b = xy[i + 1 < n ? i + 1 : 0];
        const float p[2] = { a[0] - (float)c->x, a[1] - (float)c->y };
        const float q[2] = { b[0] - (float)c->x, b[1] - (float)c->y };

        edge(c, p, q);
    }
}

/* Running sums of the rows, packed to w a row. */
void mm_cover_end(struct mm_cover *c)
{
    for (int y = 0; y < c->h; y++) {
        const float *from = c->a + (size_t)y * (size_t)(c->w + 2);
        float *to = c->a + (size_t)y * (size_t)c->w;
        float sum = 0;

        for (int x = 0; x < c->w; x++) {
            sum += from[x];
            to[x] = fminf(fabsf(sum), 1);
        }
    }
}

void mm_cover_outline(struct mm_cover *c, const struct mm_outline *o, int side)
{
    float lo[2] = { INFINITY, INFINITY }, hi[2] = { -INFINITY, -INFINITY };

    for (int i = 0; i < o->n; i++)
        for (int k = 0; k < 2; k++) {
            lo[k] = fminf(lo[k], o->xy[i][k]);
            hi[k] = fmaxf(hi[k], o->xy[i][k]);
        }
    mm_cover_start(c, side, lo[0], lo[1], hi[0], hi[1]);
    mm_cover_contour(c, o->xy, o->hole);
    mm_cover_contour(c, o->xy + o->hole, o->n - o->hole);
    mm_cover_end(c);
}
