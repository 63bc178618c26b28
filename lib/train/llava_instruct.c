/* llava_instruct.c: objective `llava-instruct`, LLaVA's stage 2: conversations; projector
 * and language model, or adapters beside it (Liu et al. 2023, sec. 4.2).
 */
#include "train/llava.h"
#include "train/objectives.h"

static int instruct_open(struct mm_job *j, struct mm_err *e)
{
    static const char *const all[] = { "*", NULL };
    static const struct mm_llava_stage stage = { .projector = all, .llm = all };

    return mm_llava_open(j, &stage, e);
}

const struct mm_objective mm_objective_llava_instruct = {
    .name = "llava-instruct", .what = "LLaVA stage 2: conversations, projector and LM or LoRA",
    .lr = 2e-5, .takes = MM_TAKES_PICTURES | MM_TAKES_TALKS,
    .open = instruct_open, .close = mm_llava_close, .count = mm_llava_count,
    .loss = mm_llava_loss, .export = mm_llava_export
};
