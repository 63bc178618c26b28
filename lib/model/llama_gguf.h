/* llama_gguf.h: a language model of the LLaMA family as a GGUF: names, order of
 * the RoPE pairs, hyper-parameters (llama.cpp's architecture "llama").
 */
#ifndef MM_MODEL_LLAMA_GGUF_H
#define MM_MODEL_LLAMA_GGUF_H

#include "weights/ckpt.h"
#include "weights/convert.h"

/* What must stay until the tensors are written. */
struct mm_llama_gguf {
    float *divisors; /* rope_freqs.weight, malloc'd; NULL: none */
    size_t vocab;    /* rows of the embedding */
    int32_t bos, eos; /* of the configuration, -1: none */
};
void mm_llama_gguf_free(struct mm_llama_gguf *m); /* takes a zeroed one */

/* mm_llama_gguf_plan: from ck in Hugging Face's or Meta's layout: declare the
 * key-values to w (general.* too, name as general.name), the tensors to c.
 * MM_EDATA lists every tensor that is missing or odd; MM_EMISSING: not of this
 * family. */
MM_MUST_CHECK int mm_llama_gguf_plan(struct mm_llama_gguf *m, struct mm_convert *c,
                                     struct mm_ggufw *w, const struct mm_ckpt *ck,
                                     const char *name, struct mm_err *e);

#endif
