/* image.c: the picture itself: memory, choice of decoder, conversion, cutting. */
#include "media/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/size.h"
#include "media/codec.h"

static const size_t default_max_pixels = (size_t)1 << 28;
static const size_t max_file = (size_t)1 << 30;

void mm_image_free(struct mm_image *im)
{
    free(im->px);
    free(im->palette);
    *im = (struct mm_image){ 0 };
}

int mm_image_channels(enum mm_image_mode mode)
{
    switch (mode) {
    case MM_IMG_LA:
        return 2;
    case MM_IMG_RGB:
        return 3;
    case MM_IMG_RGBA:
    case MM_IMG_CMYK:
        return 4;
    default:
        return 1;
    }
}

static size_t row_bytes(const struct mm_image *im)
{
    return (size_t)im->w * (size_t)mm_image_channels(im->mode);
}

static int check_size(int w, int h, size_t max_pixels, size_t *pixels, struct mm_err *e)
{
    const size_t limit = max_pixels ? max_pixels : default_max_pixels;

    if (w < 1 || h < 1 || !mm_size_mul((size_t)w, (size_t)h, pixels) || *pixels > limit)
        return mm_err_set(e, MM_EDATA, "picture of %d x %d, want 1 to %zu pixels", w, h, limit);
    return 0;
}

int mm_image_new(struct mm_image *im, enum mm_image_mode mode, int w, int h, size_t max_pixels,
                 struct mm_err *e)
{
    size_t n = 0;

    *im = (struct mm_image){ 0 };
    if (check_size(w, h, max_pixels, &n, e) < 0)
        return e->code;
    *im = (struct mm_image){ .mode = mode, .w = w, .h = h, .orientation = 1 };
    if (mm_size_mul(n, (size_t)mm_image_channels(mode), &n))
        im->px = malloc(n);
    if (mode == MM_IMG_P)
        im->palette = calloc(256, 3);
    if (!im->px || (mode == MM_IMG_P && !im->palette)) {
        mm_image_free(im);
        return mm_err_set(e, MM_ENOMEM, "picture of %d x %d: out of memory", w, h);
    }
    return 0;
}

int mm_codec_new(struct mm_image *im, enum mm_image_mode mode, int w, int h,
                 const struct mm_codec_src *s, struct mm_err *e)
{
    const int rc = mm_image_new(im, mode, w, h, s->max_pixels, e);

    return rc ? mm_err_prefix(e, "%s", s->what) : 0;
}

int mm_codec_size_ok(int w, int h, const struct mm_codec_src *s, struct mm_err *e)
{
    size_t n;

    return check_size(w, h, s->max_pixels, &n, e);
}

int mm_image_decode(struct mm_image *im, const void *data, size_t n, const char *what,
                    size_t max_pixels, struct mm_err *e)
{
    return mm_codec_decode(im, &(struct mm_codec_src){ data, n, what, max_pixels, NULL }, e);
}

int mm_codec_decode(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    struct mm_err own = { 0 };
    int rc;

    *im = (struct mm_image){ 0 };
    if (s->n == 0)
        return mm_err_set(e, MM_EDATA, "%s: empty, want a picture", s->what);
    if (s->n >= 8 && memcmp(s->data, "\x89PNG\r\n\x1a\n", 8) == 0)
        rc = mm_codec_png(im, s, &own);
    else if (s->n >= 3 && memcmp(s->data, "\xff\xd8\xff", 3) == 0)
        rc = mm_codec_jpeg(im, s, &own);
    else if (s->n >= 12 && memcmp(s->data, "RIFF", 4) == 0 && memcmp(s->data + 8, "WEBP", 4) == 0)
        rc = mm_codec_webp(im, s, &own);
    else
        rc = mm_codec_libav(im, s, &own);
    if (rc) {
        mm_image_free(im);
        return mm_err_set(e, rc, "%s", own.msg);
    }
    return 0;
}

int mm_image_load(struct mm_image *im, const char *path, struct mm_err *e)
{
    struct mm_map map;
    int rc;

    *im = (struct mm_image){ 0 };
    if ((rc = mm_map_open(&map, path, max_file, e)) != 0)
        return rc;
    rc = mm_image_decode(im, map.data, map.size, path, 0, e);
    mm_map_close(&map);
    return rc;
}

/* Pillow's MULDIV255: a * b / 255, rounded. */
static unsigned muldiv255(unsigned a, unsigned b)
{
    const unsigned t = a * b + 128;

    return ((t >> 8) + t) >> 8;
}

static void pixel_rgb(unsigned char *restrict d, const unsigned char *restrict s,
                      const struct mm_image *im)
{
    switch (im->mode) {
    case MM_IMG_RGB:
    case MM_IMG_RGBA:
        memcpy(d, s, 3);
        break;
    case MM_IMG_P:
        memcpy(d, im->palette + 3 * (size_t)*s, 3);
        break;
    case MM_IMG_CMYK:
        for (int c = 0; c < 3; c++)
            d[c] = (unsigned char)(255u - s[3] - muldiv255(s[c], 255u - s[3]));
        break;
    default: /* L, LA, BIT */
        d[0] = d[1] = d[2] = *s;
        break;
    }
}

int mm_image_rgb(struct mm_image *im, struct mm_err *e)
{
    const size_t step = (size_t)mm_image_channels(im->mode);
    const size_t n = (size_t)im->w * (size_t)im->h;
    struct mm_image out;
    int rc;

    if (im->mode == MM_IMG_RGB)
        return 0;
    if ((rc = mm_image_new(&out, MM_IMG_RGB, im->w, im->h, n, e)) != 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        pixel_rgb(out.px + 3 * i, im->px + step * i, im);
    out.orientation = im->orientation;
    mm_image_free(im);
    *im = out;
    return 0;
}

/* Where the pixel (x, y) of the upright picture lies in the w x h one as stored. */
static void stored_at(int *sx, int *sy, int x, int y, const struct mm_image *im)
{
    const int o = im->orientation;
    const bool swap = o >= 5;
    const int u = swap ? y : x, v = swap ? x : y;

    *sx = o == 2 || o == 3 || o == 7 || o == 8 ? im->w - 1 - u : u;
    *sy = o == 3 || o == 4 || o == 6 || o == 7 ? im->h - 1 - v : v;
}

int mm_image_upright(struct mm_image *im, struct mm_err *e)
{
    const size_t step = (size_t)mm_image_channels(im->mode);
    const bool swap = im->orientation >= 5;
    struct mm_image out;
    int rc, sx, sy;

    if (im->orientation <= 1 || im->orientation > 8)
        return 0;
    if ((rc = mm_image_new(&out, im->mode, swap ? im->h : im->w, swap ? im->w : im->h,
                           (size_t)im->w * (size_t)im->h, e)) != 0)
        return rc;
    unsigned char *d = out.px;
    for (int y = 0; y < out.h; y++)
        for (int x = 0; x < out.w; x++, d += step) {
            stored_at(&sx, &sy, x, y, im);
            memcpy(d, im->px + ((size_t)sy * (size_t)im->w + (size_t)sx) * step, step);
        }
    if (out.palette)
        memcpy(out.palette, im->palette, 768);
    mm_image_free(im);
    *im = out;
    return 0;
}

/* Copy the part of src, put at (x, y), that falls inside dst; same mode. */
static void paste(struct mm_image *dst, const struct mm_image *src, int x, int y)
{
    const size_t step = (size_t)mm_image_channels(dst->mode);
    const int64_t x0 = x > 0 ? x : 0, y0 = y > 0 ? y : 0;
    int64_t x1 = (int64_t)x + src->w, y1 = (int64_t)y + src->h;

    x1 = x1 < dst->w ? x1 : dst->w;
    y1 = y1 < dst->h ? y1 : dst->h;
    if (x1 <= x0)
        return;
    for (int64_t r = y0; r < y1; r++)
        memcpy(dst->px + (size_t)r * row_bytes(dst) + (size_t)x0 * step,
               src->px + (size_t)(r - y) * row_bytes(src) + (size_t)(x0 - x) * step,
               (size_t)(x1 - x0) * step);
}

int mm_image_canvas(struct mm_image *dst, const struct mm_image *src, int w, int h, int x, int y,
                    const unsigned char colour[3], struct mm_err *e)
{
    int rc;

    if (src->mode != MM_IMG_RGB)
        return mm_err_set(e, MM_EBUG, "canvas for a picture of mode %d", (int)src->mode);
    if ((rc = mm_image_new(dst, MM_IMG_RGB, w, h, 0, e)) != 0)
        return rc;
    const size_t row = row_bytes(dst);
    for (size_t i = 0; i < row; i++)
        dst->px[i] = colour[i % 3];
    for (int r = 1; r < h; r++)
        memcpy(dst->px + (size_t)r * row, dst->px, row);
    paste(dst, src, x, y);
    return 0;
}

int mm_image_crop(struct mm_image *dst, const struct mm_image *src, int x, int y, int w, int h,
                  struct mm_err *e)
{
    int rc;

    if (x == INT32_MIN || y == INT32_MIN)
        return mm_err_set(e, MM_EBUG, "crop at (%d, %d)", x, y);
    if ((rc = mm_image_new(dst, src->mode, w, h, 0, e)) != 0)
        return rc;
    memset(dst->px, 0, row_bytes(dst) * (size_t)h);
    if (dst->palette)
        memcpy(dst->palette, src->palette, 768);
    paste(dst, src, -x, -y);
    return 0;
}
