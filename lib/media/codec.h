/* codec.h: the decoders behind mm_image_decode, one file each.
 *
 * Each decodes data[n] into *im (zeroed before), names the picture `what` in
 * messages, and gives up before allocating more than max_pixels (0: the
 * default of mm_image_new).  After an error *im holds nothing.
 */
#ifndef MM_MEDIA_CODEC_H
#define MM_MEDIA_CODEC_H

#include "media/image.h"

/* Where rows go as they are decoded, so that the picture is never whole in memory.
 * start gets mode, size and orientation (px is NULL); *wanted false: the picture is
 * decoded as without a sink.  Its errors are the decoder's.  Rows come in order, n at a time. */
struct mm_codec_sink {
    int (*start)(void *arg, const struct mm_image *head, bool *wanted, struct mm_err *e);
    void (*rows)(void *arg, const unsigned char *px, size_t n);
    void *arg;
};

/* One encoded picture, borrowed. */
struct mm_codec_src {
    const unsigned char *data;
    size_t n;
    const char *what;
    size_t max_pixels;
    const struct mm_codec_sink *sink; /* or NULL; only JPEG asks it */
};

/* mm_codec_decode: mm_image_decode of s.  Where a sink took the rows *im has no px. */
MM_MUST_CHECK int mm_codec_decode(struct mm_image *im, const struct mm_codec_src *s,
                                  struct mm_err *e);

MM_MUST_CHECK int mm_codec_png(struct mm_image *im, const struct mm_codec_src *s,
                               struct mm_err *e);
MM_MUST_CHECK int mm_codec_jpeg(struct mm_image *im, const struct mm_codec_src *s,
                                struct mm_err *e);
MM_MUST_CHECK int mm_codec_webp(struct mm_image *im, const struct mm_codec_src *s,
                                struct mm_err *e);

/* mm_codec_libav: first frame of anything else; MM_EMISSING for a video. */
MM_MUST_CHECK int mm_codec_libav(struct mm_image *im, const struct mm_codec_src *s,
                                 struct mm_err *e);

/* mm_codec_new: mm_image_new with the source's limit, its name put before the message. */
MM_MUST_CHECK int mm_codec_new(struct mm_image *im, enum mm_image_mode mode, int w, int h,
                               const struct mm_codec_src *s, struct mm_err *e);

/* mm_codec_size_ok: the check of mm_codec_new without its memory; the message lacks the name. */
MM_MUST_CHECK int mm_codec_size_ok(int w, int h, const struct mm_codec_src *s, struct mm_err *e);

/* mm_codec_is_whole: false for a GIF, BMP or ISO media file (AVIF) that ends before it says. */
bool mm_codec_is_whole(const unsigned char *p, size_t n);

/* mm_exif_orientation: 1..8 from EXIF (with or without the leading "Exif\0\0");
 * 1 when there is none or it cannot be read. */
int mm_exif_orientation(const unsigned char *p, size_t n);

#endif
