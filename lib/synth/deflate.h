/* deflate.h: PNG files made fast: one filter for all rows, a light compression. */
#ifndef MM_SYNTH_DEFLATE_H
#define MM_SYNTH_DEFLATE_H

#include "base/buf.h"
#include "base/err.h"

struct mm_deflater;

/* mm_deflater_new: scratch for one thread. */
MM_MUST_CHECK int mm_deflater_new(struct mm_deflater **d, struct mm_err *e);
void mm_deflater_free(struct mm_deflater *d); /* takes NULL */

/* mm_deflater_png: out becomes the PNG of RGB bytes px [h][w][3].  MM_ENOMEM. */
MM_MUST_CHECK int mm_deflater_png(struct mm_buf *out, struct mm_deflater *d,
                                  const unsigned char *px, int w, int h, struct mm_err *e);

#endif
