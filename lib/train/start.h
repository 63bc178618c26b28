/* start.h: what a run starts from when no checkpoint holds it: a new model of a
 * configuration, a LLaVA put together from a language model and a vision tower.
 */
#ifndef MM_TRAIN_START_H
#define MM_TRAIN_START_H

#include "train/job.h"

/* mm_start: with s->config a new model is made in directory dir, with s->vision and no
 * projector to be had a LLaVA, or for a language model in a GGUF a projector alone; s
 * then names dir, which must stay.  make false: leaves the writing to another process.
 * Returns 1 if dir is used, 0 if not, or an error of train/init.h. */
MM_MUST_CHECK int mm_start(struct mm_job_spec *s, const char *dir, bool make, struct mm_err *e);

#endif
