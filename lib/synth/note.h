/* note.h: notes of real instruments, of a General MIDI soundfont.
 */
#ifndef MM_SYNTH_NOTE_H
#define MM_SYNTH_NOTE_H

#include "base/err.h"
#include "synth/scene.h"

struct mm_notes;

/* mm_notes_open: path: a soundfont (SF2), borrowed; its programs 0 to 127 of bank 0 are to be
 * those of General MIDI.  Notes are rendered when they are first heard.  Fluidsynth and GLib,
 * which print, are silenced for the whole process.  MM_ENOENT, MM_EDATA (not a soundfont),
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_notes_open(struct mm_notes **n, const char *path, struct mm_err *e);
void mm_notes_close(struct mm_notes *n); /* takes NULL */

/* mm_notes_play: x [2][MM_SOUND_SAMPLES], left and right, of a scene of tier notes.  Safe from
 * several threads; the same whatever was played before.  MM_EDATA (the soundfont lacks the
 * instrument, or it is silent), MM_ENOMEM. */
MM_MUST_CHECK int mm_notes_play(float *x, struct mm_notes *n, const struct mm_scene *s,
                                struct mm_err *e);

#endif
