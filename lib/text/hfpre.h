/* hfpre.h: the pre-tokenizers of tokenizer.json: a text -> its words.
 *
 * Reference: tokenizers 0.20.3, src/pre_tokenizers.
 */
#ifndef MM_TEXT_HFPRE_H
#define MM_TEXT_HFPRE_H

#include <jansson.h>

#include "base/err.h"
#include "text/words.h"

struct mm_hfpre;

/* mm_hfpre_new: from the member "pre_tokenizer" (NULL or null: one word stays
 * one).  MM_EDATA, MM_EMISSING (a kind that is not known: named), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfpre_new(struct mm_hfpre **p, const json_t *j, struct mm_err *e);
void mm_hfpre_free(struct mm_hfpre *p); /* takes NULL */

/* mm_hfpre_bert: BertPreTokenizer with punctuation of Unicode 14, as BERT's
 * Python tokenizer has it. */
MM_MUST_CHECK int mm_hfpre_bert(struct mm_hfpre **p, struct mm_err *e);

/* mm_hfpre_patterns: the pieces of each pattern in turn (what no pattern
 * matches stays a piece), then the characters of bytes, as GGUF's gpt2 kind. */
MM_MUST_CHECK int mm_hfpre_patterns(struct mm_hfpre **p, const char *const *patterns, size_t n,
                                    struct mm_err *e);

/* mm_hfpre_run: cut the words in w further, in place.  MM_EDATA (a pattern
 * needs too many steps), MM_ENOMEM.  Safe from several threads. */
MM_MUST_CHECK int mm_hfpre_run(const struct mm_hfpre *p, struct mm_words *w, struct mm_err *e);

#endif
