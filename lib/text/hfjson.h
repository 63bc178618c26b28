/* hfjson.h: a tokenizer as the tokenizers library composes it.
 *
 *   text -> added tokens cut out -> normalizer -> more added tokens cut out
 *        -> pre-tokenizer -> model -> ids -> post-processor
 *   ids  -> spellings -> decoder -> text
 *
 * tokenizer.json says which parts; GPT-2, CLIP, BERT and GGUF's gpt2 kind are
 * put together from the same parts.  Only lib/text and its tests include this.
 */
#ifndef MM_TEXT_HFJSON_H
#define MM_TEXT_HFJSON_H

#include "text/hfdec.h"
#include "text/hfmodel.h"
#include "text/hfnorm.h"
#include "text/hfpost.h"
#include "text/hfpre.h"
#include "text/impl.h"

struct mm_hf {
    struct mm_hfnorm *norm;
    struct mm_hfpre *pre;
    struct mm_hfmodel *model;
    struct mm_hfpost *post;      /* NULL: BOS and EOS as struct mm_tok says */
    struct mm_hfdec *dec;
    struct mm_trie *raw, *normed; /* added tokens matched before and after norm */
    bool class_adds_marks;        /* tokenizer_config.json may change post */
};

/* mm_hf_new: an empty one, t->impl and t->ops set; mm_tok_free frees it.  NULL
 * if out of memory. */
struct mm_hf *mm_hf_new(struct mm_tok *t);

/* mm_hf_fill: the parts of an object like tokenizer.json that are not made yet.
 * MM_EDATA, MM_EMISSING, MM_ENOMEM. */
MM_MUST_CHECK int mm_hf_fill(struct mm_tok *t, const json_t *root, struct mm_err *e);

/* mm_hf_open: all of tokenizer.json; e is not NULL, c may be. */
MM_MUST_CHECK int mm_hf_open(struct mm_tok *t, const json_t *root, const struct mm_conf *c,
                             struct mm_err *e);

/* For tests: t must be made of these parts.  mm_hf_normalize: s[n] through the
 * normalizer; mm_hf_words: through the pre-tokenizer; mm_hf_tokens: the
 * spellings of its tokens (an added one as it stands in the text), special ones
 * parsed, none added; mm_hf_pair: the ids of a pair of texts. */
MM_MUST_CHECK int mm_hf_normalize(const struct mm_tok *t, struct mm_buf *out, const char *s,
                                  size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_hf_words(const struct mm_tok *t, struct mm_words *out, const char *s, size_t n,
                              struct mm_err *e);
MM_MUST_CHECK int mm_hf_tokens(const struct mm_tok *t, struct mm_words *out, const char *s,
                               size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_hf_pair(const struct mm_tok *t, struct mm_ids *out, const struct mm_str *a,
                             const struct mm_str *b, struct mm_err *e);

#endif
