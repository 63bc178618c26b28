/* dual.h: what the objectives of CLIP's two towers share: the towers, and the scale of
 * their cosines, whose log is learned and kept in [0, ln 100]; like all of fewer than two
 * dimensions it does not decay (open_clip).
 */
#ifndef MM_TRAIN_DUAL_H
#define MM_TRAIN_DUAL_H

#include "model/towers.h"
#include "train/job.h"

struct mm_dual {
    const struct mm_job_spec *spec;
    struct mm_towers t;
    struct mm_params *scale_of; /* owns the next */
    struct mm_var *scale;       /* [] log */
};

/* mm_dual_open: d of the job's model, its weights that the job names (all) added to its set.
 * MM_EMISSING: no two towers and scale; MM_EDATA: the towers do not end in one space. */
MM_MUST_CHECK int mm_dual_open(struct mm_dual *d, struct mm_job *j, struct mm_err *e);
void mm_dual_close(struct mm_dual *d); /* takes a zeroed one */

int64_t mm_dual_side(const struct mm_dual *d); /* of a prepared picture */

/* mm_dual_moved: the scale, and the f32 number that it is the bf16 of, back in its range. */
void mm_dual_moved(const struct mm_dual *d, struct mm_job *j);

MM_MUST_CHECK int mm_dual_export(const struct mm_dual *d, struct mm_job *j, struct mm_err *e);

#endif
