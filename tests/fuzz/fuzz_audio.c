/* fuzz_audio: any bytes as a sound file; what was read is written and read again.
 *
 * covers: lib/media/audio.c
 * seeds: tests/fuzz/seeds/audio
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct mm_audio *a)
{
    struct mm_err e = { 0 };
    struct mm_audio b;
    unsigned char *wav;
    size_t n;

    const enum mm_wav format = a->frames % 2 ? MM_WAV_S16 : MM_WAV_F32;

    if (a->frames == 0 || mm_audio_wav(&wav, &n, a, format, &e) != 0)
        return;
    if (mm_audio_decode(&b, wav, n, "again", 0, &e) != 0 || b.frames != a->frames)
        abort();
    if (format == MM_WAV_F32 &&
        memcmp(a->x, b.x, a->frames * (size_t)a->channels * sizeof(*a->x)) != 0)
        abort();
    mm_audio_free(&b);
    free(wav);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_audio a;

    if (mm_audio_decode(&a, data, size, "fuzz", 1 << 20, &e) != 0) {
        if (e.code == 0 || e.msg[0] == '\0' || a.x)
            abort();
        return 0;
    }
    round_trip(&a);
    mm_audio_free(&a);
    return 0;
}
