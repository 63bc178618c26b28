/* png.c: PNG through libpng, as Pillow sees it: tRNS, gAMA and iCCP have no
 * effect, 16-bit samples keep their high byte, and 16-bit grey without alpha is
 * clipped at 255, not scaled.
 */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"
#include "media/codec.h"

/* What libpng's callbacks see, and what must survive a longjmp. */
struct reader {
    const struct mm_codec_src *src;
    size_t at;
    struct mm_image *im;
    unsigned char *wide; /* 16-bit grey: rows as stored, big-endian */
    struct mm_err *e;
};

static void on_error(png_structp png, png_const_charp msg)
{
    const struct reader *r = png_get_error_ptr(png);

    mm_err_set(r->e, MM_EDATA, "%s: PNG, byte %zu: %s", r->src->what, r->at, msg);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp msg)
{
    (void)png;
    (void)msg;
}

static void on_read(png_structp png, png_bytep p, size_t n)
{
    struct reader *r = png_get_io_ptr(png);

    if (n > r->src->n - r->at)
        png_error(png, "truncated");
    memcpy(p, r->src->data + r->at, n);
    r->at += n;
}

static enum mm_image_mode mode_of(int colour, int depth)
{
    switch (colour) {
    case PNG_COLOR_TYPE_PALETTE:
        return MM_IMG_P;
    case PNG_COLOR_TYPE_GRAY:
        return depth == 1 ? MM_IMG_BIT : MM_IMG_L;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return MM_IMG_LA;
    case PNG_COLOR_TYPE_RGB:
        return MM_IMG_RGB;
    default:
        return MM_IMG_RGBA;
    }
}

static void read_palette(struct mm_image *im, png_structp png, png_infop info)
{
    png_colorp pal;
    int n = 0;

    if (!png_get_PLTE(png, info, &pal, &n))
        return;
    for (int i = 0; i < n && i < 256; i++) {
        im->palette[3 * i] = pal[i].red;
        im->palette[3 * i + 1] = pal[i].green;
        im->palette[3 * i + 2] = pal[i].blue;
    }
}

static void read_rows(struct reader *r, png_structp png, int passes, size_t row)
{
    unsigned char *const base = r->wide ? r->wide : r->im->px;

    for (int p = 0; p < passes; p++)
        for (int y = 0; y < r->im->h; y++)
            png_read_row(png, base + (size_t)y * row, NULL);
}

static void clip_wide(const struct reader *r)
{
    const size_t n = (size_t)r->im->w * (size_t)r->im->h;

    for (size_t i = 0; i < n; i++)
        r->im->px[i] = r->wide[2 * i] ? 255 : r->wide[2 * i + 1];
}

/* Everything that may longjmp; locals here die with it. */
static int read_png(struct reader *r, png_structp png, png_infop info)
{
    png_set_read_fn(png, r, on_read);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_read_info(png, info);

    const int w = (int)png_get_image_width(png, info), h = (int)png_get_image_height(png, info);
    const int depth = png_get_bit_depth(png, info), colour = png_get_color_type(png, info);
    const bool wide = colour == PNG_COLOR_TYPE_GRAY && depth == 16;
    int rc;

    if ((rc = mm_codec_new(r->im, mode_of(colour, depth), w, h, r->src, r->e)) != 0)
        return rc;
    if (wide && (r->wide = calloc((size_t)w * (size_t)h, 2)) == NULL)
        return mm_err_set(r->e, MM_ENOMEM, "%s: out of memory", r->src->what);
    if (colour == PNG_COLOR_TYPE_PALETTE)
        png_set_packing(png);
    else if (colour == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    else if (depth == 16 && !wide)
        png_set_strip_16(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (r->im->palette)
        read_palette(r->im, png, info);
    read_rows(r, png, passes, png_get_rowbytes(png, info));
    png_read_end(png, info);
    if (wide)
        clip_wide(r);

    png_uint_32 n = 0;
    png_bytep exif = NULL;
    if (png_get_eXIf_1(png, info, &n, &exif))
        r->im->orientation = mm_exif_orientation(exif, n);
    return 0;
}

int mm_codec_png(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    struct reader r = { .src = s, .im = im, .e = e };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int rc;

    if (!info)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", s->what);
    else if (setjmp(png_jmpbuf(png)))
        rc = MM_EDATA;
    else
        rc = read_png(&r, png, info);
    png_destroy_read_struct(&png, &info, NULL);
    free(r.wide);
    return rc;
}

struct writer {
    struct mm_buf buf;
    struct mm_err *e;
};

static void on_write_error(png_structp png, png_const_charp msg)
{
    const struct writer *w = png_get_error_ptr(png);

    mm_err_set(w->e, MM_EBUG, "writing PNG: %s", msg);
    png_longjmp(png, 1);
}

static void on_write(png_structp png, png_bytep p, size_t n)
{
    struct writer *w = png_get_io_ptr(png);

    mm_buf_add(&w->buf, p, n);
}

static void on_flush(png_structp png)
{
    (void)png;
}

static int write_png(struct writer *w, png_structp png, png_infop info, const struct mm_image *im)
{
    static const int colour[] = { [MM_IMG_L] = PNG_COLOR_TYPE_GRAY,
                                  [MM_IMG_LA] = PNG_COLOR_TYPE_GRAY_ALPHA,
                                  [MM_IMG_RGB] = PNG_COLOR_TYPE_RGB,
                                  [MM_IMG_RGBA] = PNG_COLOR_TYPE_RGB_ALPHA };
    const size_t row = (size_t)im->w * (size_t)mm_image_channels(im->mode);

    if (setjmp(png_jmpbuf(png)))
        return MM_EBUG;
    png_set_write_fn(png, w, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)im->w, (png_uint_32)im->h, 8, colour[im->mode],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < im->h; y++)
        png_write_row(png, im->px + (size_t)y * row);
    png_write_end(png, NULL);
    return 0;
}

int mm_image_png(unsigned char **data, size_t *n, const struct mm_image *im, struct mm_err *e)
{
    struct writer w = { .e = e };
    int rc;

    *data = NULL;
    *n = 0;
    if (im->mode < MM_IMG_L || im->mode > MM_IMG_RGBA)
        return mm_err_set(e, MM_EBUG, "writing PNG: picture of mode %d", (int)im->mode);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, on_write_error,
                                              on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    rc = info ? write_png(&w, png, info, im) : MM_ENOMEM;
    png_destroy_write_struct(&png, &info);
    if (rc == 0 && !w.buf.failed) {
        *data = (unsigned char *)w.buf.p;
        *n = w.buf.n;
        return 0;
    }
    mm_buf_free(&w.buf);
    return mm_err_set(e, MM_ENOMEM, "writing PNG: out of memory");
}
