/* hfnorm.h: the normalizers of tokenizer.json: text -> text.
 *
 * Reference: tokenizers 0.20.3, src/normalizers.
 */
#ifndef MM_TEXT_HFNORM_H
#define MM_TEXT_HFNORM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct mm_hfnorm;

/* mm_hfnorm_new: from the member "normalizer" (NULL or null: nothing is done).
 * MM_EDATA, MM_EMISSING (a kind that is not known: named), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfnorm_new(struct mm_hfnorm **n, const json_t *j, struct mm_err *e);
void mm_hfnorm_free(struct mm_hfnorm *n); /* takes NULL */

/* mm_hfnorm_bert: BERT's as its own Python tokenizer does it: all of category C
 * is dropped, tables are of Unicode 14. */
MM_MUST_CHECK int mm_hfnorm_bert(struct mm_hfnorm **n, bool lower, bool strip_accents,
                                 bool chinese, struct mm_err *e);

/* mm_hfnorm_run: append the normalised s[len] to out.  *moved (may be NULL) is
 * set if characters at the front were left out, so that the result no longer
 * begins where s does.  MM_EDATA (a pattern needs too many steps), MM_ENOMEM.
 * Safe from several threads. */
MM_MUST_CHECK int mm_hfnorm_run(const struct mm_hfnorm *n, struct mm_buf *out, bool *moved,
                                const char *s, size_t len, struct mm_err *e);

#endif
