/* clip_load.h: finding CLIP's sizes and tensors in four layouts; for clip.c. */
#ifndef MM_MODEL_CLIP_LOAD_H
#define MM_MODEL_CLIP_LOAD_H

#include "model/clip.h"

struct mm_clip_tower {
    struct mm_clip_config c;
    struct mm_params *params;
    struct mm_encoder_layer *layers;
    struct mm_var *patch;            /* vision: [D, 3 * p * p] */
    struct mm_var *cls;              /* vision: [D] */
    struct mm_var *token;            /* text: [vocab, D] */
    struct mm_var *position;         /* [1 + grid^2 | positions, D] */
    struct mm_var *pre_w, *pre_b;    /* vision: pre_layrnorm (HF's spelling) */
    struct mm_var *post_w, *post_b;  /* post_layernorm | final_layer_norm, or NULL */
    struct mm_var *proj;             /* [projection, D], or NULL */
    bool original;                   /* OpenAI or open_clip: has clip.tokens */
};

MM_MUST_CHECK int mm_clip_load(struct mm_clip_tower *t, const struct mm_ckpt *ck,
                               const json_t *config, bool vision, struct mm_err *e);
void mm_clip_unload(struct mm_clip_tower *t);

#endif
