/* preconf.h: how to prepare a picture, read from what a checkpoint ships.
 *
 * Each function fills *p (or changes what it knows of) from one parsed JSON
 * object.  MM_EDATA for a value of the wrong type or out of range, MM_EMISSING
 * for a setting that is known but not done here; the message names the key,
 * the caller puts the file before it (mm_err_prefix).
 */
#ifndef MM_MEDIA_PRECONF_H
#define MM_MEDIA_PRECONF_H

#include <jansson.h>

#include "media/preprocess.h"

/* mm_preprocess_from_hf: preprocessor_config.json of transformers (CLIP, ViT,
 * SigLIP, LLaVA, LLaVA-NeXT; size and crop_size as number or object).  What is
 * absent has the default of CLIPImageProcessor. */
MM_MUST_CHECK int mm_preprocess_from_hf(struct mm_preprocess *p, const json_t *config,
                                        struct mm_err *e);

/* mm_preprocess_from_open_clip: open_clip_config.json: preprocess_cfg, and
 * model_cfg.vision_cfg.image_size where that has no size. */
MM_MUST_CHECK int mm_preprocess_from_open_clip(struct mm_preprocess *p, const json_t *config,
                                               struct mm_err *e);

/* mm_preprocess_from_timm: timm's config.json: pretrained_cfg, test settings
 * before training ones; resize to floor(size / crop_pct). */
MM_MUST_CHECK int mm_preprocess_from_timm(struct mm_preprocess *p, const json_t *config,
                                          struct mm_err *e);

/* mm_preprocess_from_llava: image_aspect_ratio and image_grid_pinpoints
 * ((width, height) pairs, a list or a string) of an original LLaVA config.json,
 * over what *p already holds; absent: crop. */
MM_MUST_CHECK int mm_preprocess_from_llava(struct mm_preprocess *p, const json_t *config,
                                           struct mm_err *e);

/* mm_preprocess_from_gguf: clip.vision.* metadata of an mmproj file.  One that
 * does not say how to pad: with pinpoints anyres, else pad. */
MM_MUST_CHECK int mm_preprocess_from_gguf(struct mm_preprocess *p, const json_t *meta,
                                          struct mm_err *e);

#endif
