/* adapt.h: adapters and deltas over a checkpoint: LoRA (peft and GGUF), what
 * LLaVA trains beside it, delta weights.
 *
 *   W' = W + s B A     A [r, in], B [out, r]; s = alpha / r, alpha / sqrt(r)
 *                      with use_rslora
 *
 * The products are made in f32.  Touched tensors are replaced in the opened
 * checkpoint, so that models load it as any other.
 * Hu 2021 (LoRA), Kalajdzievski 2023 (rsLoRA); layouts: huggingface/peft.
 */
#ifndef MM_WEIGHTS_ADAPT_H
#define MM_WEIGHTS_ADAPT_H

#include "base/pool.h"
#include "weights/ckpt.h"

enum mm_adapt_store {
    MM_ADAPT_F32,   /* merged tensors are f32, whatever the base holds */
    MM_ADAPT_STORED /* rounded to the base's f16 or bf16 (f16 if it is quantised):
                       no more memory than the base takes */
};

/* mm_adapt_lora: merge the adapter at path into ck.  path: a directory with
 * adapter_config.json and adapter_model.safetensors or .bin, and, in LLaVA's
 * layout, non_lora_trainables.bin; or a GGUF adapter.  Hugging Face's names also find the
 * linear layers of a GGUF (peft.h).  Modules and biases
 * stored whole replace the base's; a resized embedding also changes vocab_size
 * of the configuration.  May be called again for a second adapter.  p may be
 * NULL.
 * MM_ENOENT; MM_EDATA naming a tensor the base lacks or of another shape;
 * MM_EMISSING for kinds of adapter we do not merge (DoRA, convolutions). */
MM_MUST_CHECK int mm_adapt_lora(struct mm_ckpt *ck, const char *path, enum mm_adapt_store store,
                                struct mm_pool *p, struct mm_err *e);

/* mm_adapt_unmerge: the same with W' = W - s B A: what mm_adapt_lora added is taken out again.
 * MM_EDATA for an adapter that replaced tensors whole. */
MM_MUST_CHECK int mm_adapt_unmerge(struct mm_ckpt *ck, const char *path, enum mm_adapt_store store,
                                   struct mm_pool *p, struct mm_err *e);

/* mm_adapt_delta: ck holds deltas (LLaVA v0, Vicuna v0 and v1.1): add base's
 * tensors of the same name, rounded to ck's dtype.  An embedding or head with
 * more rows than the base's gets the overlap.  base may be closed afterwards.
 * MM_EDATA for other shapes, or when base shares no name. */
MM_MUST_CHECK int mm_adapt_delta(struct mm_ckpt *ck, const struct mm_ckpt *base,
                                 struct mm_err *e);

/* mm_adapt_open: what -m PATH --base BASE --lora LORA mean together (base and
 * lora may be NULL): with base, PATH is an adapter directory over it (whose
 * config.json, if any, is then used) or a checkpoint of deltas; an adapter
 * directory without base is over the one its configuration names
 * (base_model_name_or_path, as mm_ckpt_find_named finds it); lora is merged last.
 * MM_EMISSING: that base is not here, the message says how to get it. */
struct mm_adapt_spec {
    const char *path, *base, *lora;
    enum mm_adapt_store store;
    struct mm_pool *pool;
};
MM_MUST_CHECK int mm_adapt_open(struct mm_ckpt **ck, const struct mm_adapt_spec *s,
                                struct mm_err *e);

#endif
