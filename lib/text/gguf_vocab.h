/* gguf_vocab.h: the tokenizer inside a GGUF file (llava reference, 10.5). */
#ifndef MM_TEXT_GGUF_VOCAB_H
#define MM_TEXT_GGUF_VOCAB_H

#include "text/impl.h"

/* mm_gguf_vocab_open: fill t, as the constructors of impl.h do.  MM_EDATA
 * (names file and key), MM_EMISSING for other kinds of tokenizer. */
MM_MUST_CHECK int mm_gguf_vocab_open(struct mm_tok *t, const char *path, struct mm_err *e);

#endif
