/* movie.h: MP4 files of clips, MPEG-4 part 2 through libav. */
#ifndef MM_SYNTH_MOVIE_H
#define MM_SYNTH_MOVIE_H

#include "base/buf.h"
#include "base/err.h"

/* mm_movie_mp4: out becomes the file of frames of RGB bytes px [frames][h][w][3]; w and h even.
 * The same bytes for the same pictures and the same libav.  MM_EMISSING when it has
 * no encoder, MM_ENOMEM, MM_EBUG. */
MM_MUST_CHECK int mm_movie_mp4(struct mm_buf *out, const unsigned char *px, int frames, int w,
                               int h, int fps, struct mm_err *e);

#endif
