/* caption.h: captions beside several references: BLEU (Papineni 2002), ROUGE-L (Lin 2004),
 * CIDEr and CIDEr-D (Vedantam 2015), METEOR (Denkowski, Lavie 2014).
 *
 * Equal to coco-caption's scorers over its tokenizer (ptb.h), but for METEOR, which
 * has other tables here (meteor.h).
 */
#ifndef MM_EVAL_CAPTION_H
#define MM_EVAL_CAPTION_H

#include "eval/boot.h"
#include "eval/items.h"

struct mm_eval_caption_opts {
    const char *wordnet; /* folder of WordNet's index files, for METEOR */
    bool partial;        /* leave out images without prediction */
    const struct mm_eval_boot *boot;
};

/* mm_eval_captions: bleu (1-4), rouge_l, cider_d, cider, meteor of preds beside refs, each
 * per image too (in the order of refs), tokenized_results and tokenized_references
 * by image, meteor_synonyms: whether WordNet was there.  Several references are
 * objects of the same image_id, or one object's list `captions` or `references`.
 * Intervals resample images; document frequencies stay those of the whole set.
 * MM_EDATA as mm_eval_pair, and for a caption of more than 5000 words. */
MM_MUST_CHECK int mm_eval_captions(json_t *out, const json_t *refs, const json_t *preds,
                                   struct mm_arena *a, const struct mm_eval_caption_opts *o,
                                   struct mm_err *e);

#endif
