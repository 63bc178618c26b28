/* preprocess.h: from a picture to normalised pixels, as each checkpoint's own
 * processor does it (CLIPImageProcessor, LLaVA pad and anyres, open_clip, timm).
 */
#ifndef MM_MEDIA_PREPROCESS_H
#define MM_MEDIA_PREPROCESS_H

#include "media/image.h"

enum mm_aspect {
    MM_ASPECT_CROP,   /* shorter side to size, centre crop (CLIP's default; LLaVA's "square") */
    MM_ASPECT_PAD,    /* pad to a square of the mean colour, then as CROP */
    MM_ASPECT_ANYRES, /* LLaVA 1.6: tiles of the best resolution, base view first */
    MM_ASPECT_SQUEEZE /* resize to size x size, aspect ignored */
};

#define MM_MAX_PINPOINTS 64

struct mm_preprocess {
    enum mm_aspect aspect;
    int size;                /* side of the square the tower takes; shorter side when cropping */
    int crop;                /* side of the centre crop, 0: size */
    bool do_resize, do_crop, do_rescale, do_normalise, do_rgb;
    enum mm_filter filter;
    float mean[3], std[3];
    double rescale;          /* 1/255 */
    bool torchvision;        /* crop and scale as torchvision (round half to even, v/255 in f32) */
    bool rgb_last;           /* open_clip: resize and crop in the picture's own mode, then RGB */
    int npin;
    int pin[MM_MAX_PINPOINTS][2]; /* anyres resolutions as stored: (first, second) */
    bool pin_hw;             /* pairs are (height, width): Hugging Face; else (width, height) */
};

/* mm_preprocess_clip: CLIP's defaults for a square of this size. */
void mm_preprocess_clip(struct mm_preprocess *p, int size);

/* Normalised pixels of one picture: [tiles][3][size_h][size_w] f32. */
struct mm_pixels {
    float *px;        /* malloc'd */
    int tiles;        /* 1 unless anyres: base view, then tiles in raster order */
    int size_h, size_w; /* equal unless do_crop is false */
    int grid_w, grid_h; /* anyres: tiles across and down; else 0 */
    int orig_w, orig_h; /* of the picture before anything */
};
void mm_pixels_free(struct mm_pixels *p);

/* mm_preprocess_run: all steps.  im is any mode and left unchanged.  MM_ENOMEM;
 * MM_EDATA for a picture so long that it cannot be resized. */
MM_MUST_CHECK int mm_preprocess_run(struct mm_pixels *out, const struct mm_image *im,
                                    const struct mm_preprocess *p, struct mm_err *e);

/* mm_preprocess_decode: mm_image_decode of data[n], mm_image_upright if asked for, and
 * mm_preprocess_run: equal bytes, in less time and memory for a JPEG, whose rows are
 * resized as they are decoded.  Errors of all three, with what before them.  Safe
 * from several threads. */
MM_MUST_CHECK int mm_preprocess_decode(struct mm_pixels *out, const void *data, size_t n,
                                       const char *what, bool upright,
                                       const struct mm_preprocess *p, struct mm_err *e);

/* mm_preprocess_place: where a point of a w x h picture lies in what is made of it: at
 * v * scale[i] + shift[i] pixels from the left (i = 0) and the top (1).  Not of anyres' tiles. */
void mm_preprocess_place(const struct mm_preprocess *p, int w, int h, double scale[2],
                         double shift[2]);

/* The steps, each into *dst, for tests and for programs that show them.
 *
 * mm_preprocess_resize: shorter side to p->size, the longer one in proportion,
 * truncated.  mm_preprocess_crop: w x h from the middle; zeros where it is larger than
 * src.  mm_preprocess_square: RGB src in the middle of a square of the mean colour,
 * trunc(255 mean).  mm_anyres_canvas: src fitted into w x h and centred on black.
 */
MM_MUST_CHECK int mm_preprocess_resize(struct mm_image *dst, const struct mm_image *src,
                                       const struct mm_preprocess *p, struct mm_err *e);
MM_MUST_CHECK int mm_preprocess_crop(struct mm_image *dst, const struct mm_image *src, int w,
                                     int h, bool torchvision, struct mm_err *e);
MM_MUST_CHECK int mm_preprocess_square(struct mm_image *dst, const struct mm_image *src,
                                       const struct mm_preprocess *p, struct mm_err *e);
MM_MUST_CHECK int mm_anyres_canvas(struct mm_image *dst, const struct mm_image *src, int w, int h,
                                   enum mm_filter f, struct mm_err *e);

/* mm_anyres_best: index of the best resolution for a w x h picture (llava.md 5.1);
 * mm_anyres_size: its width and height.  p->npin > 0. */
int mm_anyres_best(const struct mm_preprocess *p, int w, int h);
void mm_anyres_size(int *w, int *h, const struct mm_preprocess *p, int pin);

#endif
