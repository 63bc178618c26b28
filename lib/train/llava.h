/* llava.h: what LLaVA's two stages share: pictures through the frozen tower (or
 * features from a file), through the projector, into the language model's rows
 * (Liu et al. 2023).
 */
#ifndef MM_TRAIN_LLAVA_H
#define MM_TRAIN_LLAVA_H

#include "train/job.h"

/* What a stage trains by itself, the options saying nothing else. */
struct mm_llava_stage {
    const char *template;              /* of conversations; NULL: the checkpoint's, else vicuna_v1 */
    const char *const *projector, *const *llm; /* globs, or NULL */
};

/* mm_llava_open: as mm_objective's open. */
MM_MUST_CHECK int mm_llava_open(struct mm_job *j, const struct mm_llava_stage *s,
                                struct mm_err *e);
void mm_llava_close(void *own);
int64_t mm_llava_count(void *own, struct mm_ctx *c, const size_t *sample, size_t n);
struct mm_var *mm_llava_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                             float scale);
MM_MUST_CHECK int mm_llava_export(struct mm_job *j, struct mm_err *e);

#endif
