/* resize.c: Pillow's ImagingResample for 8-bit samples, byte for byte.
 *
 * Horizontal pass first, rounded to 8 bits, then vertical; a pass that changes
 * nothing is skipped.  Weights are computed in double, divided by their sum and
 * rounded to 22 bits.  Shrinking widens the filter, so it is antialiased.
 */
#include "media/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0)
        return 1.0;
    if (x >= 1.0)
        return 0.0;
    x *= M_PI;
    return sin(x) / x * (0.54 + 0.46 * cos(x));
}

static double bicubic(double x) /* Keys 1981 with a = -0.5 */
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x)
{
    if (x == 0.0)
        return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct {
    double (*fn)(double);
    double support;
} filters[] = {
    [MM_BOX] = { box, 0.5 },         [MM_BILINEAR] = { bilinear, 1.0 },
    [MM_HAMMING] = { hamming, 1.0 }, [MM_BICUBIC] = { bicubic, 2.0 },
    [MM_LANCZOS] = { lanczos, 3.0 },
};

void mm_resize_axis_free(struct mm_resize_axis *a)
{
    free(a->first);
    free(a->count);
    free(a->weight);
    free(a->digit);
    *a = (struct mm_resize_axis){ 0 };
}

static int32_t to_fixed(double w)
{
    const double one = 1 << MM_RESIZE_BITS;

    return (int32_t)(w < 0 ? w * one - 0.5 : w * one + 0.5);
}

/* Window and weights of output i; tmp[taps]. */
static void axis_sample(struct mm_resize_axis *a, const struct mm_resize_part *part, int i,
                        double *tmp, enum mm_filter f)
{
    const double scale = (double)a->in / part->all;
    const double stretch = scale < 1.0 ? 1.0 : scale;
    const double support = filters[f].support * stretch;
    const double centre = (part->from + i + 0.5) * scale, inv = 1.0 / stretch;
    int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
    double sum = 0.0;

    lo = lo < 0 ? 0 : lo;
    hi = hi > a->in ? a->in : hi;
    a->first[i] = lo;
    a->count[i] = hi - lo;
    for (int k = 0; k < hi - lo; k++) {
        tmp[k] = filters[f].fn((k + lo - centre + 0.5) * inv);
        sum += tmp[k];
    }
    for (int k = 0; k < hi - lo; k++)
        a->weight[(size_t)i * a->taps + (size_t)k] = to_fixed(sum != 0.0 ? tmp[k] / sum : tmp[k]);
}

/* The weights of output sample i in signed digits of base 256, for byte products. */
static void axis_digits(struct mm_resize_axis *a, int i)
{
    const int32_t *w = a->weight + (size_t)i * a->taps;
    signed char *d = a->digit + (size_t)i * a->groups * 48;

    for (int k = 0; k < a->count[i]; k++) {
        signed char *to = d + k / 16 * 48 + k % 16;
        const int32_t low = (int32_t)(((uint32_t)w[k] + 128) & 255) - 128;
        const int32_t rest = (w[k] - low) / 256;
        const int32_t middle = (int32_t)(((uint32_t)rest + 128) & 255) - 128;

        to[0] = (signed char)low;
        to[16] = (signed char)middle;
        to[32] = (signed char)((rest - middle) / 256);
    }
}

int mm_resize_axis_new(struct mm_resize_axis *a, int in, const struct mm_resize_part *part,
                       enum mm_filter f, struct mm_err *e)
{
    const double scale = (double)in / part->all;
    const int out = part->n;
    const double support = filters[f].support * (scale < 1.0 ? 1.0 : scale);
    double *tmp = NULL;
    size_t n;

    *a = (struct mm_resize_axis){ .in = in, .out = out };
    a->taps = ((size_t)ceil(support) * 2 + 1 + 3) & ~(size_t)3;
    a->groups = (a->taps + 15) / 16;
    if (mm_size_mul(a->taps, (size_t)out, &n) && n < SIZE_MAX / 48) {
        a->first = calloc((size_t)out, sizeof(*a->first));
        a->count = calloc((size_t)out, sizeof(*a->count));
        a->weight = calloc(n, sizeof(*a->weight));
        a->digit = calloc((size_t)out, a->groups * 48);
        tmp = calloc(a->taps, sizeof(*tmp));
    }
    if (!a->first || !a->count || !a->weight || !a->digit || !tmp) {
        free(tmp);
        mm_resize_axis_free(a);
        return mm_err_set(e, MM_ENOMEM, "resizing %d samples to %d: out of memory", in,
                          part->all);
    }
    for (int i = 0; i < out; i++) {
        axis_sample(a, part, i, tmp, f);
        axis_digits(a, i);
    }
    free(tmp);
    return 0;
}

static unsigned char to_u8(int32_t acc)
{
    const int32_t v = acc >> MM_RESIZE_BITS;

    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void row_h(unsigned char *dst, const unsigned char *src, int ch,
                  const struct mm_resize_axis *a)
{
    for (int i = 0; i < a->out; i++) {
        const int32_t *w = a->weight + (size_t)i * a->taps;
        const unsigned char *s = src + (size_t)a->first[i] * (size_t)ch;
        for (int c = 0; c < ch; c++) {
            int32_t acc = 1 << (MM_RESIZE_BITS - 1);
            for (int k = 0; k < a->count[i]; k++)
                acc += s[(size_t)k * (size_t)ch + (size_t)c] * w[k];
            *dst++ = to_u8(acc);
        }
    }
}

void mm_resize_h_c(unsigned char *dst, const unsigned char *src, size_t rows, int ch,
                   const struct mm_resize_axis *a)
{
    for (; rows; rows--, dst += a->out * ch, src += a->in * ch)
        row_h(dst, src, ch, a);
}

void mm_resize_v_c(unsigned char *dst, const unsigned char *src, size_t n, int y,
                   const struct mm_resize_axis *a)
{
    const int32_t *w = a->weight + (size_t)y * a->taps;

    src += (size_t)a->first[y] * n;
    for (size_t x = 0; x < n; x++) {
        int32_t acc = 1 << (MM_RESIZE_BITS - 1);
        for (int k = 0; k < a->count[y]; k++)
            acc += src[(size_t)k * n + x] * w[k];
        dst[x] = to_u8(acc);
    }
}

struct passes {
    mm_resize_h_fn *h;
    mm_resize_v_fn *v;
};

static struct passes choose(unsigned cpu)
{
    struct passes p = { mm_resize_h_c, mm_resize_v_c };

#if defined(__x86_64__)
    if (cpu & MM_CPU_AVX2)
        p = (struct passes){ mm_resize_h_avx2, mm_resize_v_avx2 };
    if ((cpu & MM_CPU_AVX512) && (cpu & MM_CPU_VNNI))
        p.h = mm_resize_h_avx512;
#else
    (void)cpu;
#endif
    return p;
}

static int pass_h(struct mm_image *dst, const struct mm_image *src, int w, enum mm_filter f,
                  const struct passes *p, struct mm_err *e)
{
    const int ch = mm_image_channels(src->mode);
    struct mm_resize_axis a;
    int rc;

    if ((rc = mm_resize_axis_new(&a, src->w, &(struct mm_resize_part){ w, 0, w }, f, e)) != 0)
        return rc;
    if ((rc = mm_image_new(dst, src->mode, w, src->h, 0, e)) == 0)
        p->h(dst->px, src->px, (size_t)src->h, ch, &a);
    mm_resize_axis_free(&a);
    return rc;
}

static int pass_v(struct mm_image *dst, const struct mm_image *src, int h, enum mm_filter f,
                  const struct passes *p, struct mm_err *e)
{
    const size_t n = (size_t)src->w * (size_t)mm_image_channels(src->mode);
    struct mm_resize_axis a;
    int rc;

    if ((rc = mm_resize_axis_new(&a, src->h, &(struct mm_resize_part){ h, 0, h }, f, e)) != 0)
        return rc;
    if ((rc = mm_image_new(dst, src->mode, src->w, h, 0, e)) == 0)
        for (int y = 0; y < h; y++)
            p->v(dst->px + (size_t)y * n, src->px, n, y, &a);
    mm_resize_axis_free(&a);
    return rc;
}

static int copy(struct mm_image *dst, const struct mm_image *src, struct mm_err *e)
{
    const int rc = mm_image_crop(dst, src, 0, 0, src->w, src->h, e);

    dst->orientation = src->orientation;
    return rc;
}

static int filtered(struct mm_image *dst, const struct mm_image *src, int w, int h,
                    enum mm_filter f, const struct passes *p, struct mm_err *e)
{
    struct mm_image mid = { 0 };
    const struct mm_image *from = src;
    int rc;

    if (w != src->w) {
        if ((rc = pass_h(&mid, src, w, f, p, e)) != 0)
            return rc;
        from = &mid;
    }
    if (h != from->h) {
        rc = pass_v(dst, from, h, f, p, e);
        mm_image_free(&mid);
        return rc;
    }
    *dst = mid;
    return 0;
}

static int nearest(struct mm_image *dst, const struct mm_image *src, int w, int h,
                   struct mm_err *e)
{
    const size_t ch = (size_t)mm_image_channels(src->mode);
    const double sx = (double)src->w / w, sy = (double)src->h / h;
    double fy = sy * 0.5;
    int rc;

    if ((rc = mm_image_new(dst, src->mode, w, h, 0, e)) != 0)
        return rc;
    unsigned char *d = dst->px;
    for (int y = 0; y < h; y++, fy += sy) {
        const int iy = (int)fy < src->h ? (int)fy : src->h - 1;
        const unsigned char *row = src->px + (size_t)iy * (size_t)src->w * ch;
        double fx = sx * 0.5;
        for (int x = 0; x < w; x++, fx += sx, d += ch) {
            const int ix = (int)fx < src->w ? (int)fx : src->w - 1;
            memcpy(d, row + (size_t)ix * ch, ch);
        }
    }
    if (dst->palette)
        memcpy(dst->palette, src->palette, 768);
    return 0;
}

/* Colours times alpha / 255, rounded as Pillow's MULDIV255. */
static void premultiply(struct mm_image *im)
{
    const size_t ch = (size_t)mm_image_channels(im->mode);
    const size_t n = (size_t)im->w * (size_t)im->h;

    for (size_t i = 0; i < n; i++) {
        unsigned char *p = im->px + i * ch;
        for (size_t c = 0; c < ch - 1; c++) {
            const unsigned t = (unsigned)p[c] * p[ch - 1] + 128;
            p[c] = (unsigned char)(((t >> 8) + t) >> 8);
        }
    }
}

static void unpremultiply(struct mm_image *im)
{
    const size_t ch = (size_t)mm_image_channels(im->mode);
    const size_t n = (size_t)im->w * (size_t)im->h;

    for (size_t i = 0; i < n; i++) {
        unsigned char *p = im->px + i * ch;
        const unsigned a = p[ch - 1];
        for (size_t c = 0; a != 0 && a != 255 && c < ch - 1; c++) {
            const unsigned v = 255u * p[c] / a;
            p[c] = (unsigned char)(v > 255 ? 255 : v);
        }
    }
}

int mm_resize_with(unsigned cpu, struct mm_image *dst, const struct mm_image *src, int w, int h,
                   enum mm_filter f, struct mm_err *e)
{
    const struct passes p = choose(cpu);
    struct mm_image pre = { 0 };
    int rc;

    *dst = (struct mm_image){ 0 };
    if (w < 1 || h < 1)
        return mm_err_set(e, MM_EDATA, "resizing %d x %d to %d x %d", src->w, src->h, w, h);
    if (w == src->w && h == src->h)
        return copy(dst, src, e);
    if (f == MM_NEAREST || src->mode == MM_IMG_P || src->mode == MM_IMG_BIT) {
        rc = nearest(dst, src, w, h, e);
    } else if (src->mode == MM_IMG_LA || src->mode == MM_IMG_RGBA) {
        if ((rc = copy(&pre, src, e)) != 0)
            return rc;
        premultiply(&pre);
        if ((rc = filtered(dst, &pre, w, h, f, &p, e)) == 0)
            unpremultiply(dst);
        mm_image_free(&pre);
    } else {
        rc = filtered(dst, src, w, h, f, &p, e);
    }
    dst->orientation = src->orientation;
    return rc;
}

int mm_image_resize(struct mm_image *dst, const struct mm_image *src, int w, int h,
                    enum mm_filter f, struct mm_err *e)
{
    return mm_resize_with(mm_cpu_detect(), dst, src, w, h, f, e);
}

/* --- row by row ------------------------------------------------------------------- */

int mm_resize_rows_new(struct mm_resize_rows *r, const struct mm_resize_canvas *c,
                       enum mm_filter f, struct mm_err *e)
{
    const struct passes p = choose(mm_cpu_detect());
    const size_t row = (size_t)c->w * 3;
    int rc;

    *r = (struct mm_resize_rows){ .h = p.h, .v = p.v, .wide = (size_t)c->src_w * 3,
                                  .left = (size_t)((c->w - c->src_w) / 2) * 3,
                                  .top = (c->h - c->src_h) / 2 };
    memcpy(r->colour, c->colour, 3);
    if (c->w != c->src_w && !(r->canvas = malloc(MM_RESIZE_ROWS * row)))
        return mm_err_set(e, MM_ENOMEM, "padding to %d x %d: out of memory", c->w, c->h);
    if ((rc = mm_resize_axis_new(&r->x, c->w, &c->x, f, e)) < 0 ||
        (rc = mm_resize_axis_new(&r->y, c->h, &c->y, f, e)) < 0 ||
        (rc = mm_image_new(&r->mid, MM_IMG_RGB, c->x.n, c->h, 0, e)) < 0) {
        mm_resize_rows_free(r);
        return rc;
    }
    r->lo = r->y.first[0];
    r->hi = r->y.first[c->y.n - 1] + r->y.count[c->y.n - 1];
    for (size_t i = 0; r->canvas && i < MM_RESIZE_ROWS * row; i++)
        r->canvas[i] = r->colour[i % 3];
    return 0;
}

void mm_resize_rows_free(struct mm_resize_rows *r)
{
    mm_image_free(&r->mid);
    mm_resize_axis_free(&r->x);
    mm_resize_axis_free(&r->y);
    free(r->canvas);
    *r = (struct mm_resize_rows){ 0 };
}

static unsigned char *next_rows(struct mm_resize_rows *r, size_t n)
{
    unsigned char *at = r->mid.px + (size_t)r->next * (size_t)r->mid.w * 3;

    r->next += (int)n;
    return at;
}

/* Rows of the canvas alone, up to row `end` of mid: the weights' sum is not exactly 1,
 * so they too go through the pass. */
static void blank_rows(struct mm_resize_rows *r, int end)
{
    const size_t out = (size_t)r->mid.w * 3;

    if (r->next >= end)
        return;
    unsigned char *first = next_rows(r, 1);
    for (int i = 0; i < r->mid.w; i++) {
        const int32_t *w = r->x.weight + (size_t)i * r->x.taps;
        for (int c = 0; c < 3; c++) {
            int32_t acc = 1 << (MM_RESIZE_BITS - 1);
            for (int k = 0; k < r->x.count[i]; k++)
                acc += r->colour[c] * w[k];
            first[3 * i + c] = to_u8(acc);
        }
    }
    while (r->next < end)
        memcpy(next_rows(r, 1), first, out);
}

/* n rows at px, at most MM_RESIZE_ROWS where there is a canvas about them. */
static void put_some(struct mm_resize_rows *r, const unsigned char *px, size_t n)
{
    const size_t row = (size_t)r->x.in * 3;

    if (r->next + (int)n <= r->lo || r->next >= r->hi) { /* a crop drops them */
        next_rows(r, n);
        return;
    }
    for (size_t i = 0; r->canvas && i < n; i++)
        memcpy(r->canvas + i * row + r->left, px + i * r->wide, r->wide);
    r->h(next_rows(r, n), r->canvas ? r->canvas : px, n, 3, &r->x);
}

void mm_resize_rows_put(struct mm_resize_rows *r, const unsigned char *px, size_t n)
{
    blank_rows(r, r->top);
    for (size_t some; n; n -= some, px += some * r->wide) {
        some = n < MM_RESIZE_ROWS ? n : MM_RESIZE_ROWS;
        put_some(r, px, some);
    }
}

int mm_resize_rows_end(struct mm_resize_rows *r, struct mm_image *dst, struct mm_err *e)
{
    const size_t row = (size_t)r->mid.w * 3;
    int rc;

    blank_rows(r, r->mid.h);
    if ((rc = mm_image_new(dst, MM_IMG_RGB, r->mid.w, r->y.out, 0, e)) < 0)
        return rc;
    for (int y = 0; y < r->y.out; y++)
        r->v(dst->px + (size_t)y * row, r->mid.px, row, y, &r->y);
    return 0;
}

int mm_image_resize_on_square(struct mm_image *dst, const struct mm_image *src, int size,
                              const unsigned char colour[3], enum mm_filter f, struct mm_err *e)
{
    const int side = src->w > src->h ? src->w : src->h;
    struct mm_image mid = { 0 };
    int rc;

    *dst = mid;
    if (f == MM_NEAREST || side == size) {
        if ((rc = mm_image_canvas(&mid, src, side, side, (side - src->w) / 2, (side - src->h) / 2,
                                  colour, e)) == 0)
            rc = mm_image_resize(dst, &mid, size, size, f, e);
        mm_image_free(&mid);
        return rc;
    }
    const struct mm_resize_part all = { size, 0, size };
    const struct mm_resize_canvas c = { side, side, src->w, src->h,
                                        { colour[0], colour[1], colour[2] }, all, all };
    struct mm_resize_rows r;
    if ((rc = mm_resize_rows_new(&r, &c, f, e)) < 0)
        return rc;
    mm_resize_rows_put(&r, src->px, (size_t)src->h);
    rc = mm_resize_rows_end(&r, dst, e);
    mm_resize_rows_free(&r);
    return rc;
}
