/* voice.h: the sounds that things of a sprite folder make: animals, instruments.
 */
#ifndef MM_SYNTH_VOICE_H
#define MM_SYNTH_VOICE_H

#include "base/err.h"
#include "synth/scene.h"
#include "synth/sprite.h"

struct mm_voices;

/* mm_voices_open: files are read when they are first heard.  dir, s: the sprites', borrowed.
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_voices_open(struct mm_voices **v, const char *dir, const struct mm_sprites *s,
                                 struct mm_err *e);
void mm_voices_close(struct mm_voices *v); /* takes NULL */

/* mm_voices_play: x [MM_SOUND_SAMPLES] of a scene of tier cries: the loudest part of the
 * file, faster or slower, later or sooner, as the scene has it.  Safe from several threads.
 * MM_ENOENT, MM_EDATA (no sound, or silence), MM_ENOMEM. */
MM_MUST_CHECK int mm_voices_play(float *x, struct mm_voices *v, const struct mm_scene *s,
                                 struct mm_err *e);

#endif
