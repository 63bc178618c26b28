/* audio.h: sound as f32 samples: read any file libsndfile knows, write WAV.
 *
 * Samples are planar, [channels][frames], in -1..1 (integer formats divided by
 * 2^(bits-1), float formats as stored).
 */
#ifndef MM_MEDIA_AUDIO_H
#define MM_MEDIA_AUDIO_H

#include <stddef.h>

#include "base/err.h"

struct mm_audio {
    int rate;      /* frames a second */
    int channels;
    size_t frames; /* in each channel */
    float *x;      /* [channels][frames], malloc'd */
};

enum mm_wav { MM_WAV_S16, MM_WAV_F32 };

void mm_audio_free(struct mm_audio *a); /* takes a zeroed one */

/* mm_audio_decode: data[n] in WAV, FLAC, Ogg, AIFF, ...  what names it in
 * messages.  At most max_samples (frames x channels; 0: 2^28) are allocated.
 * MM_EDATA (also when the file holds fewer frames than it says), MM_EMISSING (MPEG
 * audio), MM_ENOMEM. */
MM_MUST_CHECK int mm_audio_decode(struct mm_audio *a, const void *data, size_t n,
                                  const char *what, size_t max_samples, struct mm_err *e);

/* mm_audio_load: the same from a file, "-" is standard input; MM_ENOENT. */
MM_MUST_CHECK int mm_audio_load(struct mm_audio *a, const char *path, struct mm_err *e);

/* mm_audio_wav: the bytes of a WAV file with a's samples into malloc'd *data;
 * the caller frees it.  MM_WAV_S16 rounds x * 32767 to nearest even and clips to
 * -32768..32767 (NaN is 0); MM_WAV_F32 keeps every bit.  MM_EDATA if no channel,
 * rate < 1, or longer than a WAV file can be (4 GiB). */
MM_MUST_CHECK int mm_audio_wav(unsigned char **data, size_t *n, const struct mm_audio *a,
                               enum mm_wav format, struct mm_err *e);

#endif
