/* choice.h: answers that choose: ScienceQA, POPE, ranks, judged pairs.
 *
 * Each function adds its numbers to out, named as the benchmarks' tables name them.
 */
#ifndef MM_EVAL_CHOICE_H
#define MM_EVAL_CHOICE_H

#include "eval/boot.h"
#include "eval/items.h"

/* mm_eval_letter: the choice that text names among n (at most 5: A-E), -1 if none:
 * the letter alone, the letter and ". " first, or "The answer is X" and one more
 * character, exactly once. */
int mm_eval_letter(const char *text, size_t n);

/* What ScienceQA's table is made from; answers may be NULL where there are none. */
struct mm_eval_sqa {
    const struct mm_eval_pairs *model; /* answers, with their prompt */
    const struct mm_eval_pairs *gpt4;  /* of another model, same references; or NULL */
    const struct mm_eval_pairs *judge; /* its second opinion where the two differ; or NULL */
};

/* mm_eval_scienceqa: percent: scienceqa_accuracy, scienceqa_image_accuracy (prompts with
 * <image>), scienceqa_breakdown, scienceqa_choice; with gpt4, the same breakdown for
 * gpt4, complement (the other model's answer unless it has none) and, with judge,
 * judge (its last word where the two differ, if it has one).  A missing answer is
 * wrong.  MM_EDATA: a problem without choices, answer or grade. */
MM_MUST_CHECK int mm_eval_scienceqa(json_t *out, const struct mm_eval_sqa *q, struct mm_arena *a,
                                    const struct mm_eval_boot *b, struct mm_err *e);

/* mm_eval_no: whether POPE takes text for a no: its first sentence, without commas,
 * has the word No, no or not. */
bool mm_eval_no(const char *text);

/* mm_eval_pope: accuracy, precision, recall, f1_score, yes_ratio, tp_fp_tn_fn of pairs whose
 * references have a label (no, or else yes). */
MM_MUST_CHECK int mm_eval_pope(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                               const struct mm_eval_boot *b, struct mm_err *e);

/* mm_eval_auc: roc_auc, the chance that a positive has a larger score than a negative,
 * ties half: score[n], label[n] (0 or 1).  NaN if one class is absent. */
double mm_eval_auc(const double *score, const double *label, size_t n);

/* mm_eval_roc: the same of pairs: prediction's `score`, reference's `label` (a number, a
 * boolean, yes or no), else its `answer`. */
MM_MUST_CHECK int mm_eval_roc(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                              const struct mm_eval_boot *b, struct mm_err *e);

/* mm_eval_top: how often the label is among the k largest of a row: logits[n][classes],
 * label[n] in 0..classes-1; an equal logit before it counts against it. */
double mm_eval_top(const float *logits, const int64_t *label, size_t n, size_t classes, size_t k);

/* mm_eval_scores: the two numbers in the first line of a judge's review, as LLaVA-Bench
 * parses it: commas are spaces, cut at single spaces into exactly two numbers; else
 * both -1 and false. */
bool mm_eval_scores(double pair[2], const char *review);

/* mm_eval_bench: LLaVA-Bench of reviews (objects with content, or tuple, and category):
 * for `all` and each category [relative score, reference, candidate] as the published
 * summary rounds them, failures counted in as it does; `all_without_failures`,
 * failures, parsed. */
MM_MUST_CHECK int mm_eval_bench(json_t *out, const json_t *reviews, struct mm_arena *a,
                                const struct mm_eval_boot *b, struct mm_err *e);

#endif
