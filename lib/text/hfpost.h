/* hfpost.h: the post-processors of tokenizer.json: special tokens around one
 * text or a pair of them.
 *
 * Reference: tokenizers 0.20.3, src/processors.
 */
#ifndef MM_TEXT_HFPOST_H
#define MM_TEXT_HFPOST_H

#include <jansson.h>

#include "text/impl.h"

struct mm_hfpost;

/* mm_hfpost_new: from the member "post_processor" (NULL or null: nothing is
 * added, a pair is put together).  Ids are checked against t->vocab and its
 * added tokens.  MM_EDATA, MM_EMISSING (a kind that is not known), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfpost_new(struct mm_hfpost **p, const struct mm_tok *t, const json_t *j,
                                struct mm_err *e);
void mm_hfpost_free(struct mm_hfpost *p); /* takes NULL */

/* mm_hfpost_marks: first (before) and last (behind) around a single text, -1
 * for none; in a pair both are around each text. */
MM_MUST_CHECK int mm_hfpost_marks(struct mm_hfpost **p, int32_t first, int32_t last,
                                  struct mm_err *e);

/* mm_hfpost_first, mm_hfpost_last: the special token that a single text begins
 * or ends with, -1 if none. */
int32_t mm_hfpost_first(const struct mm_hfpost *p);
int32_t mm_hfpost_last(const struct mm_hfpost *p);

/* mm_hfpost_wrap: append to out: text a, and with b != NULL the pair, with
 * their special tokens.  MM_ENOMEM. */
MM_MUST_CHECK int mm_hfpost_wrap(const struct mm_hfpost *p, struct mm_ids *out,
                                 const struct mm_ids *a, const struct mm_ids *b, struct mm_err *e);

#endif
