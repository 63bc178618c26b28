/* tokexport.h: a model directory's tokenizer as the tokenizer.* keys of a GGUF.
 *
 *   tokenizer.model (BPE)                  -> kind "llama": tokens, scores, types
 *   tokenizer.json, BPE with byte_fallback -> "llama"; scores from the order of
 *                                             the merges, so that both agree
 *   tokenizer.json, byte-level BPE         -> "gpt2": tokens, types, merges, pre
 */
#ifndef MM_TEXT_TOKEXPORT_H
#define MM_TEXT_TOKEXPORT_H

#include "weights/gguf_write.h"

/* mm_tokexport_gguf: declare the keys to w.  rows: of the embedding table;
 * tokens up to there that the tokenizer lacks become unused "[PAD%d]".
 * MM_ENOENT: no tokenizer in dir; MM_EMISSING: one of a kind that GGUF has no
 * name for; MM_EDATA. */
MM_MUST_CHECK int mm_tokexport_gguf(struct mm_ggufw *w, const char *dir, size_t rows,
                                    struct mm_err *e);

#endif
