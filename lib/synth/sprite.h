/* sprite.h: pictures of things: a folder with a table of names.
 *
 *   DIR/sprites.tsv    a line each: file TAB noun TAB plural TAB artist [TAB sound]
 *   DIR/file           PNG with alpha
 */
#ifndef MM_SYNTH_SPRITE_H
#define MM_SYNTH_SPRITE_H

#include <stdbool.h>

#include "base/err.h"
#include "synth/raster.h"

struct mm_sprites;

/* mm_sprites_open: reads the table; pictures are read when they are first drawn.
 * hold: the artist (NULL: none) whose pictures of a noun that another one drew too are
 * looks of their own, see mm_sprites_looks; MM_EDATA if it drew none.  MM_ENOENT, MM_EDATA
 * (a line without file, noun, plural or artist, or not UTF-8), MM_ENOMEM. */
MM_MUST_CHECK int mm_sprites_open(struct mm_sprites **s, const char *dir, const char *hold,
                                  struct mm_err *e);
void mm_sprites_close(struct mm_sprites *s); /* takes NULL */

/* Nouns in alphabetical order. */
int mm_sprites_count(const struct mm_sprites *s);
const char *mm_sprites_noun(const struct mm_sprites *s, int noun);
const char *mm_sprites_plural(const struct mm_sprites *s, int noun);

/* mm_sprites_looks: pictures of a noun that training sees, or (held) the held-back ones;
 * 0 of those for most nouns.  mm_sprites_look: the picture's number, for drawing. */
int mm_sprites_looks(const struct mm_sprites *s, int noun, bool held);
int mm_sprites_look(const struct mm_sprites *s, int noun, bool held, int i);
int mm_sprites_all(const struct mm_sprites *s);              /* pictures in all */
int mm_sprites_noun_of(const struct mm_sprites *s, int look); /* what picture look shows */
bool mm_sprites_pairs(const struct mm_sprites *s);           /* two nouns are a held-out pair */
int mm_sprites_sounds(const struct mm_sprites *s);           /* pictures that have a sound */
const char *mm_sprites_artist(const struct mm_sprites *s, int look);
const char *mm_sprites_sound(const struct mm_sprites *s, int look); /* file or NULL */

/* mm_sprites_colour: the mean colour of a picture, 0..255; errors as mm_sprites_cover. */
MM_MUST_CHECK int mm_sprites_colour(float *rgb, struct mm_sprites *s, int look, struct mm_err *e);

/* mm_sprites_cover: coverage of picture look on a canvas of side x side; rgb, if not
 * NULL, gets the colour of each pixel of c (premultiplied, 0..255), [h][w][3].  Safe
 * from several threads.  MM_ENOENT, MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_sprites_cover(struct mm_cover *c, float *rgb, struct mm_sprites *s,
                                   int look, const struct mm_pose *p, int side,
                                   struct mm_err *e);

#endif
