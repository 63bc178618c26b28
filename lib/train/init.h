/* init.h: a new model from its configuration: random weights as the reference
 * implementations draw them, in Hugging Face layout.
 *
 * LLaMA: normal of initializer_range, norms 1 (Touvron 2023).  CLIP: Radford 2021,
 * by width and depth; "initializer": "neighbours" in its vision_config: as near.h has it.  A projector: normal of initializer_range, biases 0.
 */
#ifndef MM_TRAIN_INIT_H
#define MM_TRAIN_INIT_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "weights/ckpt.h"

/* mm_init_model: directory dir gets config.json, model.safetensors and the tokenizer's
 * files.  config: path of a config.json of a LLaMA, CLIP or LLaVA model; tokenizer: file
 * or directory, or NULL; a vocab_size that the configuration lacks is the
 * tokenizer's.  Each tensor depends on seed and its own name alone.
 * MM_EMISSING: another kind of model. */
MM_MUST_CHECK int mm_init_model(const char *dir, const char *config, const char *tokenizer,
                                uint64_t seed, struct mm_err *e);

/* mm_init_llava: directory dir gets a LLaVA model (Hugging Face layout) of a language
 * model and a CLIP vision tower, both in that layout, and a new two-layer projector. */
MM_MUST_CHECK int mm_init_llava(const char *dir, const struct mm_ckpt *llm,
                                const struct mm_ckpt *vision, uint64_t seed, struct mm_err *e);

/* mm_init_connector: the same projector alone, for a language model in a GGUF: in the original
 * LLaVA layout (mm_projector, config.json with mm_vision_tower: tower as given). */
MM_MUST_CHECK int mm_init_connector(const char *dir, const struct mm_ckpt *llm,
                                    const struct mm_ckpt *vision, const char *tower,
                                    uint64_t seed, struct mm_err *e);

#endif
