/* ids.h: token ids from records and for CLIP's text tower. */
#ifndef MM_MODEL_IDS_H
#define MM_MODEL_IDS_H

#include "model/clip.h"
#include "stream/stream.h"
#include "text/tokenizer.h"

/* mm_ids_from_record: append the ids of a `tokens` record, i32 or i64 of one or two
 * dimensions.  MM_EDATA (shape, dtype, an id beyond 32 bits), MM_ENOMEM. */
MM_MUST_CHECK int mm_ids_from_record(struct mm_ids *ids, const struct mm_rec *rec,
                                     struct mm_err *e);

/* mm_ids_for_clip: append the ids of a text, cut to the tower's positions with the
 * end token kept.  MM_EDATA (no UTF-8, no tokens), MM_ENOMEM. */
MM_MUST_CHECK int mm_ids_for_clip(struct mm_ids *ids, const struct mm_clip_text *m,
                                  const struct mm_tok *tok, const char *s, size_t n,
                                  struct mm_err *e);

#endif
