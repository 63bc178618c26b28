/* answers.h: short answers: normalised text, VQA accuracy (Antol 2015), exact match.
 *
 * An answer is normalised as the VQA challenge's scorer does it: punctuation to
 * nothing or a space, number words to digits, articles out, apostrophes of
 * contractions back; as TextVQA's scorer does it: commas and question marks out
 * and "'s" apart first.
 */
#ifndef MM_EVAL_ANSWERS_H
#define MM_EVAL_ANSWERS_H

#include "base/buf.h"
#include "eval/boot.h"
#include "eval/items.h"

/* mm_eval_normal: text of an answer, normalised, into b (which is reset first).
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_normal(struct mm_buf *b, const char *text, struct mm_err *e);
MM_MUST_CHECK int mm_eval_normal_textvqa(struct mm_buf *b, const char *text, struct mm_err *e);

/* mm_eval_vqa: VQA accuracy of pairs, percent, into out: `official` (normalises only
 * where the answers differ), `openflamingo` (always), both rounded to two decimals
 * like the scorers they are, `textvqa_llava`; overall, per question, and by question
 * and answer type; exact_match_any_reference.  References hold `answers`,
 * `gt_answers`, `answer`, `text`, or LLaVA's `conversations` (the first reply).
 * Each of several answers is left out in turn and a third is given for each match of
 * the rest; of fewer than four, one match is enough.  MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_vqa(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                              const struct mm_eval_boot *b, struct mm_err *e);

/* mm_eval_exact: exact_match (the same bytes but for white space at the ends) and
 * exact_match_normalized with any reference, percent. */
MM_MUST_CHECK int mm_eval_exact(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                                const struct mm_eval_boot *b, struct mm_err *e);

#endif
