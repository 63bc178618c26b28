/* tokexport.h: a model directory's tokenizer as the tokenizer.* keys of a GGUF.
 *
 *   tokenizer.model (BPE)                  -> kind "llama": tokens, scores, types
 *   tokenizer.json, BPE with byte_fallback -> "llama"; scores from the order of
 *                                             the merges, so that both agree
 *   tokenizer.json, byte-level BPE         -> "gpt2": tokens, types, merges, pre
 */
#ifndef MM_TEXT_TOKEXPORT_H
#define MM_TEXT_TOKEXPORT_H

#include <stddef.h>
#include <stdint.h>

#include "weights/gguf_write.h"

/* What the model knows of its tokens. */
struct mm_tokexport_spec {
    size_t rows;      /* of the embedding table; 0: as many as there are tokens */
    int32_t bos, eos; /* where the tokenizer's files do not say; -1: none */
};

/* mm_tokexport_gguf: declare the keys to w.  Tokens up to s->rows that the
 * tokenizer lacks become unused "[PAD%d]".  MM_ENOENT: no tokenizer in
 * dir; MM_EMISSING: one of a kind that GGUF has no name for; MM_EDATA. */
MM_MUST_CHECK int mm_tokexport_gguf(struct mm_ggufw *w, const char *dir,
                                    const struct mm_tokexport_spec *s, struct mm_err *e);

#endif
