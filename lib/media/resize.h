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
};

/* mm_resize_axis_new: windows of in -> out samples with filter f (not
 * MM_NEAREST).  MM_ENOMEM. */
MM_MUST_CHECK int mm_resize_axis_new(struct mm_resize_axis *a, int in, int out, enum mm_filter f,
                                     struct mm_err *e);
void mm_resize_axis_free(struct mm_resize_axis *a); /* takes a zeroed one */

/* One row of the horizontal pass: dst[out][ch] from src[in][ch].  Not a byte
 * outside either row is touched. */
typedef void mm_resize_h_fn(unsigned char *dst, const unsigned char *src, int ch,
                            const struct mm_resize_axis *a);

/* Output row y of the vertical pass: dst[n] from rows of n bytes at src. */
typedef void mm_resize_v_fn(unsigned char *dst, const unsigned char *src, size_t n, int y,
                            const struct mm_resize_axis *a);

mm_resize_h_fn mm_resize_h_c;
mm_resize_v_fn mm_resize_v_c;
#if defined(__x86_64__)
mm_resize_h_fn mm_resize_h_avx2; /* ch 3 or 4; else the scalar one */
mm_resize_v_fn mm_resize_v_avx2;
#endif

/* mm_resize_with: mm_image_resize with the variants of these enum mm_cpu flags. */
MM_MUST_CHECK int mm_resize_with(unsigned cpu, struct mm_image *dst, const struct mm_image *src,
                                 int w, int h, enum mm_filter f, struct mm_err *e);

#endif
