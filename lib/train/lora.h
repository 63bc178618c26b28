/* lora.h: low-rank adapters beside frozen weights (Hu et al. 2021), in the layout of
 * the peft package.
 *
 *   W x + alpha/r B A x     A [r, in] uniform of 1/sqrt(in) (Kaiming, a = sqrt 5), B [out, r] 0
 */
#ifndef MM_TRAIN_LORA_H
#define MM_TRAIN_LORA_H

#include "model/llama.h"
#include "train/set.h"

struct mm_loras;

struct mm_lora_spec {
    int64_t rank;        /* 0: none, or as the adapter that is loaded */
    double alpha;
    const char *targets; /* regular expression that the whole name of a module must match
                            (peft's), or an alternative for its end; of a GGUF's modules its
                            own name or Hugging Face's (peft.h); NULL: every linear layer
                            of attention and MLP */
    const char *from;    /* directory of an adapter to go on from, or NULL */
};

/* mm_loras_new: an adapter beside every matching matrix of m; A from seed and name, B zero,
 * or both from s->from, whose configuration then gives rank, alpha and targets.  m must
 * outlive it.  MM_EDATA: nothing matches, the adapter does not fit; MM_ENOENT. */
MM_MUST_CHECK int mm_loras_new(struct mm_loras **l, struct mm_llama *m,
                               const struct mm_lora_spec *s, uint64_t seed, struct mm_err *e);
void mm_loras_free(struct mm_loras *l); /* takes NULL; the weights lose their adapters */

/* mm_loras_add: all of them to the set, named as peft stores them
 * (base_model.model.MODULE.lora_A.weight), MODULE as in the model's own file. */
MM_MUST_CHECK int mm_loras_add(struct mm_set *s, struct mm_loras *l, double decay, double rate,
                               struct mm_err *e);

/* mm_loras_export: directory dir gets adapter_config.json and adapter_model.safetensors; base
 * is written down as what they belong to.  Those of a GGUF fit Hugging Face's model:
 * its names, its order of rows; mm_adapt_lora puts them on either.  dtype as mm_export_model's. */
MM_MUST_CHECK int mm_loras_export(const char *dir, const struct mm_loras *l,
                                  const struct mm_set *s, const char *base, enum mm_dtype dtype,
                                  struct mm_err *e);

#endif
