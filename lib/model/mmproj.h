/* mmproj.h: LLaVA's vision tower and projector as a GGUF ("mmproj"): the names
 * of the newer converter, and clip.vision.feature_layer, so that loaders of both
 * generations run the same blocks.
 */
#ifndef MM_MODEL_MMPROJ_H
#define MM_MODEL_MMPROJ_H

#include "model/vision.h"
#include "weights/convert.h"

/* mm_mmproj_plan: tower of v (in ck or in the checkpoint v opened for it) and
 * projector of ck: declare the key-values to w, the tensors to c.  ck and v
 * must stay until these are written.  MM_EDATA lists the faults; MM_EMISSING:
 * no projector, a tower that is not in Hugging Face's layout, or a setting that
 * GGUF has no key for. */
MM_MUST_CHECK int mm_mmproj_plan(struct mm_convert *c, struct mm_ggufw *w,
                                 const struct mm_vision *v, const struct mm_ckpt *ck,
                                 const char *name, struct mm_err *e);

#endif
