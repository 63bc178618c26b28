/* judge.h: LLaVA-Bench's reviews from a judge at an endpoint. */
#ifndef MM_EVAL_JUDGE_H
#define MM_EVAL_JUDGE_H

#include "eval/items.h"
#include "net/remote.h"

struct mm_eval_judge {
    struct mm_remote_opts remote;
    const json_t *questions; /* question_id, image, category, text */
    const json_t *refs;      /* answers of the reference, shown first, as the benchmark does */
    const json_t *preds;     /* answers to judge */
    const json_t *context;   /* of each image: caption, or captions; NULL: none is shown */
    const json_t *rules;     /* one object, category: { prompt }; NULL: our own prompt */
    const char *reviews;     /* file of JSON lines that reviews are appended to as they come,
                              * and that need not be asked for; NULL: none */
};

/* mm_eval_review: ask for every question; append {question_id, category, content, asked} to
 * reviews in the order of questions; asked is a checksum of what was asked.  MM_EDATA as
 * mm_eval_pair, a category without a rule, a file with reviews of anything else; what
 * mm_remote says of a reply that did not come, after all that did. */
MM_MUST_CHECK int mm_eval_review(json_t *reviews, const struct mm_eval_judge *j,
                                 struct mm_arena *a, struct mm_err *e);

#endif
