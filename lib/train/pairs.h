/* pairs.h: pictures and texts that belong together, for contrastive training.
 *
 * From LLaVA JSON (picture, first answer) with a directory of pictures, or from
 * streams: `pixels` records, prepared ([..., 3, S, S]), and as many texts as pictures,
 * `tokens` ([..., T]) or `text` records; the i-th of one belongs to the i-th of the other.
 */
#ifndef MM_TRAIN_PAIRS_H
#define MM_TRAIN_PAIRS_H

#include "text/tokenizer.h"

struct mm_pairs;

struct mm_pairs_spec {
    char *const *path;        /* JSON files, or streams; "-" is standard input (a stream) */
    int n;
    const char *images;       /* directory of JSON's pictures */
    int64_t side;             /* of prepared pictures */
    const struct mm_tok *tok; /* NULL: tokens records only */
    int64_t context, vocab;   /* ids of a text; below this */
};

/* mm_pairs_open: what s points to must outlive it.  MM_ENOENT, MM_EDATA. */
MM_MUST_CHECK int mm_pairs_open(struct mm_pairs **p, const struct mm_pairs_spec *s,
                                struct mm_err *e);
void mm_pairs_free(struct mm_pairs *p); /* takes NULL */
size_t mm_pairs_count(const struct mm_pairs *p);
uint64_t mm_pairs_hash(const struct mm_pairs *p); /* of what was read */

/* mm_pairs_ids: ids of text i [context], zeros behind its end. */
const int32_t *mm_pairs_ids(const struct mm_pairs *p, size_t i);

/* mm_pairs_image: name of picture i, below images; NULL: mm_pairs_pixels has it
 * [3, side, side]. */
const char *mm_pairs_image(const struct mm_pairs *p, size_t i);
const float *mm_pairs_pixels(const struct mm_pairs *p, size_t i);

#endif
