/* objectives.h: the list of objectives: a new one adds its file and a line here. */
#ifndef MM_TRAIN_OBJECTIVES_H
#define MM_TRAIN_OBJECTIVES_H

#include "train/job.h"

extern const struct mm_objective mm_objective_lm;
extern const struct mm_objective mm_objective_contrastive;
extern const struct mm_objective mm_objective_regions;
extern const struct mm_objective mm_objective_llava_align;
extern const struct mm_objective mm_objective_llava_instruct;

#define MM_OBJECTIVES \
    &mm_objective_lm, &mm_objective_contrastive, &mm_objective_regions, \
        &mm_objective_llava_align, &mm_objective_llava_instruct

#endif
