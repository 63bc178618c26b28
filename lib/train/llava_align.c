/* llava_align.c: objective `llava-align`, LLaVA's stage 1: the projector alone learns to
 * put pictures where captions follow (Liu et al. 2023, sec. 4.2).
 */
#include "train/llava.h"
#include "train/objectives.h"

static int align_open(struct mm_job *j, struct mm_err *e)
{
    static const char *const all[] = { "*", NULL };
    static const struct mm_llava_stage stage = { .template = "plain", .projector = all };

    return mm_llava_open(j, &stage, e);
}

const struct mm_objective mm_objective_llava_align = {
    .name = "llava-align", .what = "LLaVA stage 1: captions, the projector alone", .lr = 1e-3,
    .takes = MM_TAKES_PICTURES | MM_TAKES_TALKS,
    .open = align_open, .close = mm_llava_close, .count = mm_llava_count,
    .loss = mm_llava_loss, .export = mm_llava_export
};
