/* raster.h: outlines of the shapes, and how much of each pixel they cover.
 *
 * Coverage is the exact area of the polygon within a pixel, so edges are
 * anti-aliased without samples.
 */
#ifndef MM_SYNTH_RASTER_H
#define MM_SYNTH_RASTER_H

#include <stddef.h>

#include "base/err.h"

enum { MM_OUTLINE_MAX = 80 };

/* A shape as at most two closed contours, the second a hole (opposite turn). */
struct mm_outline {
    float xy[MM_OUTLINE_MAX][2];
    int n;    /* points in all */
    int hole; /* where the hole begins; n: none */
};

/* How to lay an outline on a picture: centre, half extent, clockwise turn. */
struct mm_pose {
    float x, y, r; /* pixels */
    float angle;   /* radians */
};

/* mm_outline_shape: enum mm_shape at pose. */
void mm_outline_shape(struct mm_outline *o, int shape, const struct mm_pose *p);

/* Coverage of a rectangle of the picture, 0..1. */
struct mm_cover {
    int x, y, w, h; /* w = 0: nothing lies in the picture */
    float *a;       /* [h][w] */
};

/* mm_cover_new: room for a picture of side x side.  MM_ENOMEM.  mm_cover_free takes a
 * zeroed one. */
MM_MUST_CHECK int mm_cover_new(struct mm_cover *c, int side, struct mm_err *e);
void mm_cover_free(struct mm_cover *c);

/* mm_cover_box: the rectangle that holds these corners, cut to the picture.
 * mm_cover_start: the same, nothing covered; then any number of closed contours of n
 * points each, holes turning the other way; mm_cover_end makes them coverage. */
void mm_cover_box(struct mm_cover *c, int side, float x0, float y0, float x1, float y1);
void mm_cover_start(struct mm_cover *c, int side, float x0, float y0, float x1, float y1);
void mm_cover_contour(struct mm_cover *c, const float (*xy)[2], int n);
void mm_cover_end(struct mm_cover *c);

/* mm_cover_outline: coverage of o on a picture of side x side, in the smallest rectangle. */
void mm_cover_outline(struct mm_cover *c, const struct mm_outline *o, int side);

#endif
