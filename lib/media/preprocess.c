/* preprocess.c: decoded picture -> RGB -> resized -> cropped -> [3][size][size] f32.
 *
 * The 8-bit steps are those of Pillow, transformers (the slow processors),
 * torchvision and haotian-liu/LLaVA (mm_utils.py), byte for byte.
 */
#include "media/preprocess.h"

#include <math.h>
#include <stdlib.h>

#include "base/size.h"
#include "media/codec.h"
#include "media/resize.h"

void mm_preprocess_clip(struct mm_preprocess *p, int size)
{
    *p = (struct mm_preprocess){
        .aspect = MM_ASPECT_CROP,
        .size = size,
        .do_resize = true,
        .do_crop = true,
        .do_rescale = true,
        .do_normalise = true,
        .do_rgb = true,
        .filter = MM_BICUBIC,
        .mean = { 0.48145466f, 0.4578275f, 0.40821073f },
        .std = { 0.26862954f, 0.26130258f, 0.27577711f },
        .rescale = 1.0 / 255,
    };
}

void mm_pixels_free(struct mm_pixels *p)
{
    free(p->px);
    *p = (struct mm_pixels){ 0 };
}

/* The size of src when its shorter side is p->size. */
static int resized(int *w, int *h, const struct mm_image *src, const struct mm_preprocess *p,
                   struct mm_err *e)
{
    const int shorter = src->w < src->h ? src->w : src->h;
    const int longer = src->w < src->h ? src->h : src->w;
    const int64_t to = (int64_t)p->size * longer / shorter;

    if (to > INT32_MAX)
        return mm_err_set(e, MM_EDATA, "picture of %d x %d is too long to resize", src->w, src->h);
    *w = src->w < src->h ? p->size : (int)to;
    *h = src->w < src->h ? (int)to : p->size;
    return 0;
}

int mm_preprocess_resize(struct mm_image *dst, const struct mm_image *src,
                         const struct mm_preprocess *p, struct mm_err *e)
{
    int w = 0, h = 0;

    if (resized(&w, &h, src, p, e) < 0)
        return e->code;
    return mm_image_resize(dst, src, w, h, p->filter, e);
}

static int floor_half(int v)
{
    return v >= 0 ? v / 2 : -((1 - v) / 2);
}

/* Where a crop of `want` begins in n samples. */
static int crop_start(int n, int want, bool torchvision)
{
    if (!torchvision) /* the odd pixel of a border comes first */
        return floor_half(n - want);
    if (want > n) /* ... last */
        return -((want - n) / 2);
    return (int)rint((n - want) / 2.0); /* half to even, as Python's round */
}

int mm_preprocess_crop(struct mm_image *dst, const struct mm_image *src, int w, int h,
                       bool torchvision, struct mm_err *e)
{
    return mm_image_crop(dst, src, crop_start(src->w, w, torchvision),
                         crop_start(src->h, h, torchvision), w, h, e);
}

static void mean_colour(unsigned char colour[3], const struct mm_preprocess *p)
{
    for (int c = 0; c < 3; c++)
        colour[c] = (unsigned char)(fminf(fmaxf(p->mean[c], 0.0f), 1.0f) * 255.0f);
}

int mm_preprocess_square(struct mm_image *dst, const struct mm_image *src,
                         const struct mm_preprocess *p, struct mm_err *e)
{
    const int side = src->w > src->h ? src->w : src->h;
    unsigned char colour[3];

    mean_colour(colour, p);
    return mm_image_canvas(dst, src, side, side, (side - src->w) / 2, (side - src->h) / 2, colour,
                           e);
}

void mm_anyres_size(int *w, int *h, const struct mm_preprocess *p, int pin)
{
    *w = p->pin[pin][p->pin_hw ? 1 : 0];
    *h = p->pin[pin][p->pin_hw ? 0 : 1];
}

int mm_anyres_best(const struct mm_preprocess *p, int w, int h)
{
    int64_t best_use = -1, best_waste = 0;
    int best = 0;

    for (int i = 0; i < p->npin; i++) {
        int cw, ch;
        mm_anyres_size(&cw, &ch, p, i);
        const double s = fmin((double)cw / w, (double)ch / h);
        const int64_t fit = (int64_t)(w * s) * (int64_t)(h * s), all = (int64_t)w * h;
        const int64_t use = fit < all ? fit : all;
        const int64_t waste = (int64_t)cw * ch - use;
        if (use > best_use || (use == best_use && waste < best_waste)) {
            best = i;
            best_use = use;
            best_waste = waste;
        }
    }
    return best;
}

static int at_least_1(double v)
{
    return v < 1 ? 1 : (int)v;
}

int mm_anyres_canvas(struct mm_image *dst, const struct mm_image *src, int w, int h,
                     enum mm_filter f, struct mm_err *e)
{
    static const unsigned char black[3] = { 0, 0, 0 };
    const double sw = (double)w / src->w, sh = (double)h / src->h;
    int nw = w, nh = h, rc;
    struct mm_image fit;

    if (sw < sh)
        nh = at_least_1(fmin(ceil(src->h * sw), h));
    else
        nw = at_least_1(fmin(ceil(src->w * sh), w));
    if ((rc = mm_image_resize(&fit, src, nw, nh, f, e)) != 0)
        return rc;
    rc = mm_image_canvas(dst, &fit, w, h, (w - nw) / 2, (h - nh) / 2, black, e);
    mm_image_free(&fit);
    return rc;
}

void mm_preprocess_place(const struct mm_preprocess *p, int w, int h, double scale[2],
                         double shift[2])
{
    const int longer = w > h ? w : h, shorter = w > h ? h : w;
    const int n[2] = { w, h }, want = p->crop ? p->crop : p->size;

    for (int i = 0; i < 2; i++) {
        const bool pad = p->aspect == MM_ASPECT_PAD;
        const int from = p->aspect == MM_ASPECT_SQUEEZE ? n[i] : pad ? longer : shorter;
        const double by = p->do_resize ? (double)p->size / from : 1;
        const int to = (int)((pad ? longer : n[i]) * by + 1e-9); /* truncated, as resized() */

        scale[i] = pad ? by : (double)to / n[i];
        shift[i] = pad ? (longer - n[i]) / 2 * by : 0; /* whole pixels on either side */
        if (p->do_crop)
            shift[i] -= crop_start(to, want, p->torchvision);
    }
}

/* The picture on its way: at first the caller's, then our own. */
struct work {
    const struct mm_image *im;
    struct mm_image own;
};

/* Take over the result of a step. */
static int take(struct work *w, int rc, struct mm_image *next)
{
    if (rc)
        return rc;
    mm_image_free(&w->own);
    w->own = *next;
    w->im = &w->own;
    return 0;
}

static int to_rgb(struct work *w, struct mm_err *e)
{
    struct mm_image next;
    int rc;

    if (w->im->mode == MM_IMG_RGB)
        return 0;
    if (w->im == &w->own)
        return mm_image_rgb(&w->own, e);
    if ((rc = mm_image_crop(&next, w->im, 0, 0, w->im->w, w->im->h, e)) != 0)
        return rc;
    if ((rc = mm_image_rgb(&next, e)) != 0)
        mm_image_free(&next);
    return take(w, rc, &next);
}

static int squeeze(struct work *w, const struct mm_preprocess *p, struct mm_err *e)
{
    struct mm_image next;

    return take(w, mm_image_resize(&next, w->im, p->size, p->size, p->filter, e), &next);
}

/* To a square of the mean colour and its size. */
static int pad(struct work *w, const struct mm_preprocess *p, struct mm_err *e)
{
    unsigned char colour[3];
    struct mm_image next;
    int rc;

    if ((rc = to_rgb(w, e)) != 0)
        return rc;
    if (!p->do_resize)
        return take(w, mm_preprocess_square(&next, w->im, p, e), &next);
    mean_colour(colour, p);
    return take(w, mm_image_resize_on_square(&next, w->im, p->size, colour, p->filter, e), &next);
}

static int fit_size(struct work *w, const struct mm_preprocess *p, struct mm_err *e)
{
    struct mm_image next;
    int rc = 0;

    if (p->aspect == MM_ASPECT_PAD)
        rc = pad(w, p, e);
    else if (p->do_resize && p->aspect == MM_ASPECT_SQUEEZE)
        rc = squeeze(w, p, e);
    else if (p->do_resize)
        rc = take(w, mm_preprocess_resize(&next, w->im, p, e), &next);
    return rc;
}

/* One picture of h x w as [3][h][w]; grey and alpha are gone by now. */
static void normalise(float *out, const struct mm_image *im, const struct mm_preprocess *p)
{
    const size_t n = (size_t)im->w * (size_t)im->h;
    float table[3][256];

    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float f = (float)v;
            if (p->do_rescale)
                f = p->torchvision ? f / 255.0f : (float)(v * p->rescale);
            table[c][v] = p->do_normalise ? (f - p->mean[c]) / p->std[c] : f;
        }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            out[c * n + i] = table[c][im->px[3 * i + c]];
}

static int alloc_pixels(struct mm_pixels *out, int tiles, const struct mm_image *im,
                        struct mm_err *e)
{
    size_t n;

    out->tiles = tiles;
    out->size_h = im->h;
    out->size_w = im->w;
    if (mm_size_mul((size_t)im->w * (size_t)im->h, 3 * sizeof(float), &n) &&
        mm_size_mul(n, (size_t)tiles, &n))
        out->px = malloc(n);
    return out->px ? 0 : mm_err_set(e, MM_ENOMEM, "%d x %d pixels: out of memory", im->w, im->h);
}

/* From the picture at its size to out. */
static int finish(struct mm_pixels *out, struct work *w, const struct mm_preprocess *p,
                  struct mm_err *e)
{
    const int crop = p->crop ? p->crop : p->size;
    struct mm_image next;
    int rc = 0;

    if (p->do_crop)
        rc = take(w, mm_preprocess_crop(&next, w->im, crop, crop, p->torchvision, e), &next);
    if (rc < 0 || (rc = to_rgb(w, e)) < 0)
        return rc;
    if ((rc = alloc_pixels(out, 1, w->im, e)) == 0)
        normalise(out->px, w->im, p);
    return rc;
}

static int run_one(struct mm_pixels *out, struct work *w, const struct mm_preprocess *p,
                   struct mm_err *e)
{
    const int rc = fit_size(w, p, e);

    return rc < 0 ? rc : finish(out, w, p, e);
}

/* Base view, then the tiles of the canvas in raster order. */
static int run_tiles(struct mm_pixels *out, const struct mm_image *canvas, struct work *base,
                     const struct mm_preprocess *p, struct mm_err *e)
{
    const size_t one = (size_t)p->size * (size_t)p->size * 3;
    struct mm_image tile;
    int rc;

    if ((rc = squeeze(base, p, e)) != 0 ||
        (rc = alloc_pixels(out, 1 + out->grid_w * out->grid_h, base->im, e)) != 0)
        return rc;
    normalise(out->px, base->im, p);
    for (int t = 0; t < out->grid_w * out->grid_h; t++) {
        if ((rc = mm_image_crop(&tile, canvas, t % out->grid_w * p->size,
                                t / out->grid_w * p->size, p->size, p->size, e)) != 0)
            return rc;
        normalise(out->px + (size_t)(t + 1) * one, &tile, p);
        mm_image_free(&tile);
    }
    return 0;
}

static int run_anyres(struct mm_pixels *out, struct work *w, const struct mm_preprocess *p,
                      struct mm_err *e)
{
    struct mm_image canvas;
    int cw, ch, rc;

    if (p->npin < 1)
        return mm_err_set(e, MM_EDATA, "no image_grid_pinpoints to choose tiles from");
    if ((rc = to_rgb(w, e)) != 0)
        return rc;
    mm_anyres_size(&cw, &ch, p, mm_anyres_best(p, w->im->w, w->im->h));
    if (cw < p->size || ch < p->size || cw % p->size || ch % p->size)
        return mm_err_set(e, MM_EDATA, "resolution %d x %d is no whole number of %d x %d tiles",
                          cw, ch, p->size, p->size);
    if ((rc = mm_anyres_canvas(&canvas, w->im, cw, ch, p->filter, e)) != 0)
        return rc;
    out->grid_w = cw / p->size;
    out->grid_h = ch / p->size;
    rc = run_tiles(out, &canvas, w, p, e);
    mm_image_free(&canvas);
    return rc;
}

int mm_preprocess_run(struct mm_pixels *out, const struct mm_image *im,
                      const struct mm_preprocess *p, struct mm_err *e)
{
    struct work w = { .im = im };
    int rc = 0;

    *out = (struct mm_pixels){ .orig_w = im->w, .orig_h = im->h };
    if (p->size < 1 || p->crop < 0)
        return mm_err_set(e, MM_EDATA, "picture size %d, crop %d", p->size, p->crop);
    if (p->do_rgb && !p->rgb_last)
        rc = to_rgb(&w, e);
    if (rc == 0)
        rc = p->aspect == MM_ASPECT_ANYRES ? run_anyres(out, &w, p, e) : run_one(out, &w, p, e);
    mm_image_free(&w.own);
    if (rc)
        mm_pixels_free(out);
    return rc;
}

/* --- while decoding ----------------------------------------------------------------- */

/* The resize of a picture whose rows come from the decoder. */
struct rows {
    const struct mm_preprocess *p;
    bool upright, on;
    struct mm_resize_rows r;
};

/* What of n samples a crop will keep; all if it reaches past them. */
static struct mm_resize_part kept(int n, const struct mm_preprocess *p)
{
    const int want = p->crop ? p->crop : p->size;

    if (!p->do_crop || want > n)
        return (struct mm_resize_part){ n, 0, n };
    return (struct mm_resize_part){ n, crop_start(n, want, p->torchvision), want };
}

/* Not for what needs the picture whole: a turn, tiles, no resize at all. */
static int rows_start(void *arg, const struct mm_image *head, bool *wanted, struct mm_err *e)
{
    struct rows *s = arg;
    const struct mm_preprocess *p = s->p;
    const bool pad = p->aspect == MM_ASPECT_PAD;
    const int side = head->w > head->h ? head->w : head->h;
    struct mm_resize_canvas c = { .w = pad ? side : head->w, .h = pad ? side : head->h,
                                  .src_w = head->w, .src_h = head->h };
    int w = p->size, h = p->size, rc = 0;

    *wanted = p->do_resize && p->filter != MM_NEAREST && p->aspect != MM_ASPECT_ANYRES &&
              p->size > 0 && p->crop >= 0 && (head->orientation == 1 || !s->upright);
    if (*wanted && p->aspect == MM_ASPECT_CROP)
        rc = resized(&w, &h, head, p, e);
    *wanted = *wanted && rc == 0 && w != c.w && h != c.h;
    if (!*wanted)
        return rc;
    c.x = kept(w, p);
    c.y = kept(h, p);
    mean_colour(c.colour, p);
    rc = mm_resize_rows_new(&s->r, &c, p->filter, e);
    s->on = rc == 0;
    return rc;
}

static void rows_put(void *arg, const unsigned char *px, size_t n)
{
    struct rows *s = arg;

    mm_resize_rows_put(&s->r, px, n);
}

/* The vertical pass and what comes after it. */
static int rows_finish(struct mm_pixels *out, struct rows *s, struct mm_err *e)
{
    struct work w = { .im = NULL };
    struct mm_image next;

    int rc = take(&w, mm_resize_rows_end(&s->r, &next, e), &next);
    if (rc == 0)
        rc = finish(out, &w, s->p, e);
    mm_image_free(&w.own);
    return rc;
}

int mm_preprocess_decode(struct mm_pixels *out, const void *data, size_t n, const char *what,
                         bool upright, const struct mm_preprocess *p, struct mm_err *e)
{
    struct rows s = { .p = p, .upright = upright };
    const struct mm_codec_sink sink = { rows_start, rows_put, &s };
    struct mm_image im;
    int rc;

    *out = (struct mm_pixels){ 0 };
    if ((rc = mm_codec_decode(&im, &(struct mm_codec_src){ data, n, what, 0, &sink }, e)) == 0) {
        if (s.on) {
            out->orig_w = im.w;
            out->orig_h = im.h;
            rc = rows_finish(out, &s, e);
        } else if (!upright || (rc = mm_image_upright(&im, e)) == 0) {
            rc = mm_preprocess_run(out, &im, p, e);
        }
        if (rc < 0)
            mm_err_prefix(e, "%s", what);
    }
    mm_resize_rows_free(&s.r);
    mm_image_free(&im);
    if (rc < 0)
        mm_pixels_free(out);
    return rc;
}
