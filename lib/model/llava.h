/* llava.h: what a LLaVA checkpoint says about itself (Liu et al. 2023, 2024): how
 * pictures are cut, which features are taken, how they are projected and packed,
 * and how the prompt marks them.  Four layouts: Hugging Face (llava, llava_next),
 * the original repository's, the first one of April 2023 (v0) and GGUF pairs.
 */
#ifndef MM_MODEL_LLAVA_H
#define MM_MODEL_LLAVA_H

#include "media/preprocess.h"
#include "model/clip.h"

enum mm_llava_layout {
    MM_LLAVA_NONE,     /* no picture part: a plain tower or language model */
    MM_LLAVA_HF,       /* config.json with vision_config */
    MM_LLAVA_ORIGINAL, /* mm_vision_tower */
    MM_LLAVA_V0,       /* original of April 2023: picture tokens in the vocabulary */
    MM_LLAVA_GGUF
};

enum mm_merge { MM_MERGE_FLAT, MM_MERGE_SPATIAL, MM_MERGE_SPATIAL_UNPAD };

struct mm_llava_config {
    enum mm_llava_layout layout;
    struct mm_clip_select select;  /* feature layers; pooled false */
    enum mm_aspect aspect;         /* original and GGUF layouts; HF: preprocessor_config.json */
    bool has_aspect;               /* the checkpoint says it */
    bool anyres;                   /* llava_next, image_aspect_ratio anyres */
    enum mm_merge merge;
    bool round7;                   /* HF rounds the unpadded size to 7 decimals first */
    const char *tower;             /* mm_vision_tower as written, or NULL */
    bool start_end;                /* mm_use_im_start_end: prompt has <im_start><image><im_end> */
    int64_t image_token;           /* HF image_token_index, -1 if none */
};

/* mm_llava_configure: strings are borrowed from ck's configuration. MM_EDATA. */
MM_MUST_CHECK int mm_llava_configure(struct mm_llava_config *c, const struct mm_ckpt *ck,
                                     struct mm_err *e);

/* mm_llava_tower: open the checkpoint that mm_vision_tower names: a path
 * relative to ck's directory, a name in $MM_MODELS, or the last part of a hub
 * name there.  path overrides it (NULL: none).  MM_EMISSING names --vision-tower. */
MM_MUST_CHECK int mm_llava_tower(struct mm_ckpt **tower, const struct mm_llava_config *c,
                                 const struct mm_ckpt *ck, const char *path, struct mm_err *e);

#endif
