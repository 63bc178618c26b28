/* texts.h: texts as rows of ids for a text tower.
 */
#ifndef MM_TRAIN_TEXTS_H
#define MM_TRAIN_TEXTS_H

#include "text/tokenizer.h"

/* Zero but for what is borrowed and the numbers. */
struct mm_texts {
    const struct mm_tok *tok; /* NULL: ids only; borrowed */
    int64_t context, vocab;   /* ids of a text; below this */
    int32_t *ids;             /* [n][context], zeros behind a text's end */
    int64_t *length;          /* [n] ids without those zeros */
    size_t n, cap, length_cap;
};

void mm_texts_free(struct mm_texts *t);

/* mm_texts_add_ids: one more, cut so that its end stays.  MM_EDATA: an id outside the
 * vocabulary.  mm_texts_add: of s[n]; MM_EDATA: it is empty; MM_EMISSING: no tokenizer. */
MM_MUST_CHECK int mm_texts_add_ids(struct mm_texts *t, const int32_t *v, size_t n,
                                   struct mm_err *e);
MM_MUST_CHECK int mm_texts_add(struct mm_texts *t, const char *s, size_t n, struct mm_err *e);

static inline const int32_t *mm_texts_ids(const struct mm_texts *t, size_t i)
{
    return t->ids + i * (size_t)t->context;
}

#endif
