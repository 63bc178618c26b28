/* hfdec.h: the decoders of tokenizer.json: tokens -> text.
 *
 * Reference: tokenizers 0.20.3, src/decoders.
 */
#ifndef MM_TEXT_HFDEC_H
#define MM_TEXT_HFDEC_H

#include <jansson.h>

#include "base/err.h"
#include "text/words.h"

struct mm_hfdec;

/* mm_hfdec_new: from the member "decoder" (NULL or null: tokens are joined by
 * spaces).  MM_EDATA, MM_EMISSING (a kind that is not known), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfdec_new(struct mm_hfdec **d, const json_t *j, struct mm_err *e);
void mm_hfdec_free(struct mm_hfdec *d); /* takes NULL */

/* mm_hfdec_clip: at last, "</w>" becomes a space and white space goes from both
 * ends, as transformers does for CLIP. */
MM_MUST_CHECK int mm_hfdec_clip(struct mm_hfdec *d, struct mm_err *e);

/* mm_hfdec_run: append the text of the tokens in w, which is used up.
 * MM_EDATA (a pattern needs too many steps), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfdec_run(const struct mm_hfdec *d, struct mm_words *w, struct mm_buf *out,
                               struct mm_err *e);

/* mm_hfdec_streams: is the text of a list the concatenation of what
 * mm_hfdec_put gives for each token (broken UTF-8 aside)? */
bool mm_hfdec_streams(const struct mm_hfdec *d);

/* mm_hfdec_put: append the raw bytes that token s[n] adds; first: none was
 * before it.  MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_hfdec_put(const struct mm_hfdec *d, struct mm_buf *out, const char *s,
                               size_t n, bool first, struct mm_err *e);

#endif
