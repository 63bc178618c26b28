/* hfmodel.h: the models of tokenizer.json: a word -> ids.
 *
 * BPE, WordPiece (Wu 2016; longest match first), WordLevel, Unigram.
 * Reference: tokenizers 0.20.3, src/models.
 */
#ifndef MM_TEXT_HFMODEL_H
#define MM_TEXT_HFMODEL_H

#include <jansson.h>

#include "text/bpe.h"
#include "text/impl.h"

struct mm_hfmodel;

/* mm_hfmodel_new: from the member "model"; its vocabulary goes into t->vocab
 * (t must outlive it) and its unknown token into t->unk.  MM_EDATA, MM_EMISSING
 * (a kind that is not known: named), MM_ENOMEM. */
MM_MUST_CHECK int mm_hfmodel_new(struct mm_hfmodel **m, struct mm_tok *t, const json_t *j,
                                 struct mm_err *e);
void mm_hfmodel_free(struct mm_hfmodel *m); /* takes NULL */

/* mm_hfmodel_bpe: takes b over, also when it fails.  mm_hfmodel_wordpiece: of
 * the vocabulary in t; words of more than max characters are unknown. */
MM_MUST_CHECK int mm_hfmodel_bpe(struct mm_hfmodel **m, struct mm_bpe *b, struct mm_err *e);
MM_MUST_CHECK int mm_hfmodel_wordpiece(struct mm_hfmodel **m, struct mm_tok *t,
                                       const char *prefix, size_t max, struct mm_err *e);

/* mm_hfmodel_word: append the ids of one word, valid UTF-8.  MM_EDATA if it is
 * unknown and there is no token for that; MM_ENOMEM. */
MM_MUST_CHECK int mm_hfmodel_word(const struct mm_hfmodel *m, const struct mm_tok *t,
                                  struct mm_ids *ids, const char *s, size_t n, struct mm_err *e);

/* mm_hf_vocab: a JSON object {spelling: id} into t->vocab. */
MM_MUST_CHECK int mm_hf_vocab(struct mm_tok *t, const json_t *vocab, struct mm_err *e);

#endif
