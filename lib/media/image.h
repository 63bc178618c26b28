/* image.h: pictures as 8-bit pixels: decode, convert, resize, crop, encode.
 *
 * Everything is exact to the byte against Pillow <= 12 and the reference
 * processors (spec llava.md 2, golden family image).
 */
#ifndef MM_MEDIA_IMAGE_H
#define MM_MEDIA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum mm_image_mode {
    MM_IMG_L = 1,
    MM_IMG_LA = 2,
    MM_IMG_RGB = 3,
    MM_IMG_RGBA = 4,
    MM_IMG_P = 5,    /* palette index */
    MM_IMG_CMYK = 6, /* 0 is no ink */
    MM_IMG_BIT = 7   /* black 0 or white 255: resized by nearest, as Pillow's mode 1 */
};

struct mm_image {
    enum mm_image_mode mode;
    int w, h;
    unsigned char *px;      /* h rows of w pixels, samples interleaved, no padding; malloc'd */
    unsigned char *palette; /* mode P: 256 x RGB, malloc'd; else NULL */
    int orientation;        /* EXIF 1..8 (1 if none) */
};

void mm_image_free(struct mm_image *im); /* takes a zeroed one */

/* mm_image_channels: bytes of a pixel: 1 to 4. */
int mm_image_channels(enum mm_image_mode mode);

/* mm_image_new: pixels not set (the palette of mode P is black).  MM_EDATA when
 * w or h is below 1 or the picture has more than max_pixels (0: 2^28) pixels;
 * MM_ENOMEM.  *im holds nothing after an error. */
MM_MUST_CHECK int mm_image_new(struct mm_image *im, enum mm_image_mode mode, int w, int h,
                               size_t max_pixels, struct mm_err *e);

/* mm_image_decode: data[n] in PNG (libpng), JPEG (libjpeg-turbo), WebP
 * (libwebp), anything else through libav; of an animation the first frame.
 * what names it in messages.  A picture that ends early is refused, not
 * completed.  At most max_pixels (0: 2^28) are allocated.  MM_EDATA; MM_EMISSING
 * for a video; MM_ENOMEM.  Safe from several threads. */
MM_MUST_CHECK int mm_image_decode(struct mm_image *im, const void *data, size_t n,
                                  const char *what, size_t max_pixels, struct mm_err *e);

/* mm_image_load: the same from a file, "-" is standard input; MM_ENOENT. */
MM_MUST_CHECK int mm_image_load(struct mm_image *im, const char *path, struct mm_err *e);

/* In place.  mm_image_rgb: to RGB as Pillow's convert("RGB"): alpha is dropped,
 * nothing is composited.  mm_image_upright: apply and reset the EXIF orientation. */
MM_MUST_CHECK int mm_image_rgb(struct mm_image *im, struct mm_err *e);
MM_MUST_CHECK int mm_image_upright(struct mm_image *im, struct mm_err *e);

enum mm_filter { MM_NEAREST, MM_BOX, MM_BILINEAR, MM_HAMMING, MM_BICUBIC, MM_LANCZOS };

/* mm_image_resize: Pillow's resize of src to w x h into *dst.  Alpha is
 * premultiplied and divided again; modes P and BIT always use nearest. */
MM_MUST_CHECK int mm_image_resize(struct mm_image *dst, const struct mm_image *src, int w, int h,
                                  enum mm_filter f, struct mm_err *e);

/* mm_image_canvas: a w x h canvas filled with colour[3] (RGB only), src pasted at (x, y),
 * what falls outside cut off. */
MM_MUST_CHECK int mm_image_canvas(struct mm_image *dst, const struct mm_image *src, int w, int h,
                                  int x, int y, const unsigned char colour[3], struct mm_err *e);

/* mm_image_resize_on_square: mm_image_canvas of RGB src in the middle of a square of
 * its longer side, resized to size x size, without making the square. */
MM_MUST_CHECK int mm_image_resize_on_square(struct mm_image *dst, const struct mm_image *src,
                                            int size, const unsigned char colour[3],
                                            enum mm_filter f, struct mm_err *e);

/* mm_image_crop: the w x h rectangle at (x, y); outside src is zero.  x and y may be
 * negative. */
MM_MUST_CHECK int mm_image_crop(struct mm_image *dst, const struct mm_image *src, int x, int y,
                                int w, int h, struct mm_err *e);

/* mm_image_png: encode (L, LA, RGB, RGBA) into malloc'd *data. */
MM_MUST_CHECK int mm_image_png(unsigned char **data, size_t *n, const struct mm_image *im,
                               struct mm_err *e);

#endif
