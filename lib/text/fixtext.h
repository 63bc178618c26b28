/* fixtext.h: the cleaning of text before CLIP's tokenizer as open_clip does it.
 *
 * The steps are those that the documentation of ftfy's fix_text lists: HTML
 * references where there is no "<", misread encodings, C1 controls, Latin
 * ligatures, full and half width, straight quotes, line breaks, terminal
 * escapes, control characters, NFC.  ftfy guesses misread text by other rules
 * (mojibake.h): rare texts can differ.
 */
#ifndef MM_TEXT_FIXTEXT_H
#define MM_TEXT_FIXTEXT_H

#include <stddef.h>

#include "base/buf.h"

/* mm_fix_text: append s[n], valid UTF-8, cleaned line by line. */
void mm_fix_text(struct mm_buf *out, const char *s, size_t n);

/* mm_clean_clip: mm_fix_text, HTML unescaped twice, runs of white space one
 * space and none at the ends, lower case. */
void mm_clean_clip(struct mm_buf *out, const char *s, size_t n);

#endif
