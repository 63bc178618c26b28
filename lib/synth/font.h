/* font.h: words printed in real fonts, through FreeType; pictures that fonts hold. */
#ifndef MM_SYNTH_FONT_H
#define MM_SYNTH_FONT_H

#include "base/err.h"
#include "base/strings.h"
#include "media/image.h"
#include "synth/raster.h"

struct mm_fonts;

/* mm_fonts_open: outlines of letters a-z and A-Z of the font files, kept.  MM_ENOENT,
 * MM_EDATA (no font, a letter missing), MM_ENOMEM. */
MM_MUST_CHECK int mm_fonts_open(struct mm_fonts **f, const struct mm_strings *files,
                                struct mm_err *e);
void mm_fonts_close(struct mm_fonts *f); /* takes NULL */
int mm_fonts_count(const struct mm_fonts *f);

/* mm_fonts_cover: coverage of a word of letters a-z on a canvas of side x side.
 * look: font * 2 + (1: in capitals); p->r is half the height of a capital, narrowed
 * so that the word is at most 2 * p->r * letters wide.  Read-only: safe from several threads. */
void mm_fonts_cover(struct mm_cover *c, const struct mm_fonts *f, const char *word, int look,
                    const struct mm_pose *p, int side);

/* mm_fonts_boxes: where the letters of a word lie that mm_fonts_cover draws so.
 *
 *   box    [strlen(word)]: left, top, right, bottom of each letter's outline in pixels, turned
 *          with the word and not cut to the picture; right < left: the letter is blank
 */
void mm_fonts_boxes(float (*box)[4], const struct mm_fonts *f, const char *word, int look,
                    const struct mm_pose *p);

/* mm_strikes_get: the colour picture that a font has for a character, RGBA, as large as
 * the font has it.  MM_ENOKEY when it has none, MM_ENOENT, MM_EDATA, MM_ENOMEM. */
struct mm_strikes;
MM_MUST_CHECK int mm_strikes_open(struct mm_strikes **s, const char *file, struct mm_err *e);
void mm_strikes_close(struct mm_strikes *s); /* takes NULL */
MM_MUST_CHECK int mm_strikes_get(struct mm_image *im, struct mm_strikes *s, uint32_t ch,
                                 struct mm_err *e);

#endif
