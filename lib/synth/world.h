/* world.h: the vocabulary of the synthetic world: what there is and how it is called.
 *
 * Shapes, colours, sizes, places and the printed words are closed lists, so that a
 * small model can know all of them.
 */
#ifndef MM_SYNTH_WORLD_H
#define MM_SYNTH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

struct mm_rng;

enum mm_shape {
    MM_CIRCLE, MM_SQUARE, MM_TRIANGLE, MM_STAR, MM_HEART, MM_CROSS, MM_RING, MM_DIAMOND,
    MM_CRESCENT, MM_ARROW, MM_NSHAPES
};

enum mm_sound { MM_TONE, MM_CHORD, MM_CHIRP, MM_NOISE, MM_DRUM, MM_NSOUNDS };

enum mm_instrument {
    MM_PIANO, MM_XYLOPHONE, MM_BELL, MM_ORGAN, MM_ACCORDION, MM_GUITAR, MM_VIOLIN, MM_CELLO,
    MM_HARP, MM_CHOIR, MM_TRUMPET, MM_SAXOPHONE, MM_CLARINET, MM_FLUTE, MM_BANJO, MM_TOM,
    MM_NINSTRUMENTS
};

enum { MM_NCOLOURS = 10, MM_NSIZES = 2, MM_NWORDS = 200, MM_NWORDS_HELD = 50 };

/* Train and val see the same world; test also what is held out. */
enum mm_split { MM_TRAIN, MM_VAL, MM_TEST };

/* Names are static, lower case; the plural of a shape is its name and "s" or "es". */
const char *mm_shape_name(int shape);
const char *mm_shape_plural(int shape);
const char *mm_colour_name(int colour);
const unsigned char *mm_colour_rgb(int colour); /* [3] */
const char *mm_size_name(int size);             /* 0 small, 1 large */
const char *mm_sound_name(int sound);
const char *mm_sound_plural(int sound);
const char *mm_pitch_name(int pitch);           /* 0 low, 1 high */
const char *mm_glide_name(int glide);           /* 0 rising, 1 falling */
const char *mm_instrument_name(int instrument);
bool mm_instrument_chords(int instrument);      /* plays chords, not notes alone */
const char *mm_voicing_name(int voicing);       /* 0 note, 1 chord */

/* mm_world_word: 0..199 the stated list, 200..249 those that only test shows, from
 * MM_INVENTED on the letters that mm_word_invent drew, spelled into buf; the result is
 * static or buf. */
enum { MM_INVENTED = MM_NWORDS + MM_NWORDS_HELD, MM_WORD_LEN = 6 };
const char *mm_world_word(int word, char buf[MM_WORD_LEN]);

/* mm_word_invent: 3 to 5 letters, most of them in syllables, that are no word of the
 * lists; as a number for mm_world_word. */
int mm_word_invent(struct mm_rng *r);

/* The picture's thirds: column 0 left, 1 centre, 2 right; row 0 top, 1 middle, 2 bottom.
 * mm_cell_name: "top left", "center"; mm_cell_phrase: "at the top left", "in the center". */
const char *mm_cell_name(int col, int row);
const char *mm_cell_phrase(int col, int row);
const char *mm_col_name(int col); /* left center right */
const char *mm_row_name(int row); /* top middle bottom */

/* mm_shape_held: does only test show this shape in this colour?  One shape of each
 * colour, and each shape once. */
bool mm_shape_held(int shape, int colour);

/* mm_pair_held: do these two names stand together in one picture only in test?  About
 * one pair in sixteen; symmetric; never a name with itself. */
bool mm_pair_held(const char *a, const char *b);

/* mm_split_of: the split that a description of a scene (any hash of it) belongs to:
 * 80% train, 10% val, 10% test. */
enum mm_split mm_split_of(uint64_t hash);
const char *mm_split_name(enum mm_split split);

#endif
