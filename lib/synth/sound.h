/* sound.h: the sound of a scene: tones, chords, chirps, noises, drums, one after another.
 */
#ifndef MM_SYNTH_SOUND_H
#define MM_SYNTH_SOUND_H

#include "synth/scene.h"

enum { MM_SOUND_RATE = 16000, MM_SOUND_SAMPLES = 2 * MM_SOUND_RATE };

/* mm_sound_channels: of a tier's sounds: 2 of notes, left and right; else 1. */
int mm_sound_channels(enum mm_tier tier);

/* mm_sound_play: x [MM_SOUND_SAMPLES], -1..1, of a scene of tier sounds; plain: without
 * the hiss that others have. */
void mm_sound_play(float *x, const struct mm_scene *s, bool plain);

/* mm_sound_hiss: add the noise of scene s to x [mm_sound_channels][MM_SOUND_SAMPLES], half of
 * the scenes have some; cut to -1..1. */
void mm_sound_hiss(float *x, const struct mm_scene *s);

#endif
