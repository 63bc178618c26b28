/* vision.h: the picture side of a checkpoint, ready to use: the vision tower,
 * wherever it is stored, the preparation of pictures it was trained with, and
 * the layers LLaVA takes.
 */
#ifndef MM_MODEL_VISION_H
#define MM_MODEL_VISION_H

#include "media/preprocess.h"
#include "model/clip.h"
#include "model/llava.h"

struct mm_vision {
    struct mm_llava_config llava;
    struct mm_clip_select select;
    struct mm_preprocess pre;
    struct mm_clip_vision *tower;
    struct mm_ckpt *tower_ck;  /* the tower's own checkpoint, or NULL */
    uint64_t fingerprint;      /* of the weights that make features */
};

/* What the command line overrides; zero or NULL: as the checkpoint says. */
struct mm_vision_opts {
    const char *tower;         /* --vision-tower */
    bool has_aspect, has_layer;
    enum mm_aspect aspect;     /* --aspect */
    int layer;                 /* --layer */
};

/* mm_vision_open: ck must outlive it.  MM_EMISSING: no tower is to be had;
 * MM_EDATA: faults of checkpoint or configuration. */
MM_MUST_CHECK int mm_vision_open(struct mm_vision *v, const struct mm_ckpt *ck,
                                 const struct mm_vision_opts *o, struct mm_err *e);

void mm_vision_close(struct mm_vision *v); /* takes a zeroed one */

#endif
