/* resize.h: the two passes of mm_image_resize, scalar and vector, for tests.
 *
 * A pass is a table of windows and fixed-point weights (22 bits) applied along
 * one axis of 8-bit rows.  All variants give equal bytes.
 */
#ifndef MM_MEDIA_RESIZE_H
#define MM_MEDIA_RESIZE_H

#include <stddef.h>
#include <stdint.h>

#include "media/image.h"

enum { MM_RESIZE_BITS = 22 };

/* Output i is the sum over k of src[first[i] + k] * weight[i * taps + k],
 * k < count[i]; weights behind count[i] are zero. taps is a multiple of 4. */
struct mm_resize_axis {
    int in, out;
    size_t taps;
    int *first, *count;
    int32_t *weight;
    size_t groups;       /* of 16 taps */
    signed char *digit;  /* [out][groups][3][16] weight in base 256, lowest digit first */
};

/* Of `all` samples an axis is resized to, those that are made: from .. from + n. */
struct mm_resize_part {
    int all, from, n;
};

/* mm_resize_axis_new: windows of in -> part->all samples with filter f (not
 * MM_NEAREST); output i of the axis is sample part->from + i, out is part->n.  MM_ENOMEM. */
MM_MUST_CHECK int mm_resize_axis_new(struct mm_resize_axis *a, int in,
                                     const struct mm_resize_part *part, enum mm_filter f,
                                     struct mm_err *e);
void mm_resize_axis_free(struct mm_resize_axis *a); /* takes a zeroed one */

/* The horizontal pass: dst[rows][out][ch] from src[rows][in][ch].  Not a byte outside
 * either is touched. */
typedef void mm_resize_h_fn(unsigned char *dst, const unsigned char *src, size_t rows, int ch,
                            const struct mm_resize_axis *a);

/* Output row y of the vertical pass: dst[n] from rows of n bytes at src. */
typedef void mm_resize_v_fn(unsigned char *dst, const unsigned char *src, size_t n, int y,
                            const struct mm_resize_axis *a);

mm_resize_h_fn mm_resize_h_c;
mm_resize_v_fn mm_resize_v_c;
#if defined(__x86_64__)
mm_resize_h_fn mm_resize_h_avx2; /* ch 3 or 4; else the scalar one */
mm_resize_v_fn mm_resize_v_avx2;
mm_resize_h_fn mm_resize_h_avx512; /* VNNI and VBMI; ch 3 or 4, else the scalar one */
#endif

/* The resize of an RGB picture whose rows come one after the other, src pasted into the
 * middle of a canvas of one colour.  Of the result a window is made: what a crop keeps. */
struct mm_resize_rows {
    struct mm_image mid;   /* [canvas height][x.n] RGB, resized horizontally */
    struct mm_resize_axis x, y;
    mm_resize_h_fn *h;
    mm_resize_v_fn *v;
    unsigned char *canvas; /* MM_RESIZE_ROWS rows of it, NULL: src is as wide */
    unsigned char colour[3];
    size_t wide, left;     /* bytes of a row of src, and before it */
    int top, next;         /* row of mid that is next */
    int lo, hi;            /* rows of mid that the window needs */
};

enum { MM_RESIZE_ROWS = 4 }; /* rows that are best put together */

struct mm_resize_canvas {
    int w, h;         /* of the canvas; src lies in its middle */
    int src_w, src_h;
    unsigned char colour[3];
    struct mm_resize_part x, y;
};

/* mm_resize_rows_new: to c->x.all columns and c->y.all rows, f not MM_NEAREST.  MM_EDATA,
 * MM_ENOMEM.
 * mm_resize_rows_put: the next n rows of src, at px.
 * mm_resize_rows_end: when all have come: the window, in *dst.  MM_ENOMEM. */
MM_MUST_CHECK int mm_resize_rows_new(struct mm_resize_rows *r, const struct mm_resize_canvas *c,
                                     enum mm_filter f, struct mm_err *e);
void mm_resize_rows_put(struct mm_resize_rows *r, const unsigned char *px, size_t n);
MM_MUST_CHECK int mm_resize_rows_end(struct mm_resize_rows *r, struct mm_image *dst,
                                     struct mm_err *e);
void mm_resize_rows_free(struct mm_resize_rows *r); /* takes a zeroed one */

/* mm_resize_with: mm_image_resize with the variants of these enum mm_cpu flags. */
MM_MUST_CHECK int mm_resize_with(unsigned cpu, struct mm_image *dst, const struct mm_image *src,
                                 int w, int h, enum mm_filter f, struct mm_err *e);

#endif
