/* bpetrain.h: a byte-level BPE vocabulary from text (Sennrich 2016; Radford 2019), as a
 * tokenizer.json that any reader of that format opens.
 *
 * Text is cut as GPT-2 cuts it; the most frequent pair within the pieces is merged,
 * of equal ones that of the lower ids, until the vocabulary is full.
 */
#ifndef MM_TEXT_BPETRAIN_H
#define MM_TEXT_BPETRAIN_H

#include "base/buf.h"
#include "base/err.h"

enum mm_bpetrain_style {
    MM_BPETRAIN_LLAMA, /* <unk> <s> </s> <pad> <image> are ids 0 to 4; a text gets <s> before */
    MM_BPETRAIN_CLIP   /* <|startoftext|> and <|endoftext|> are the last two ids and stand
                          around a text */
};

struct mm_bpetrain_spec {
    enum mm_bpetrain_style style;
    size_t vocab;       /* tokens in all: at least 256 and the special ones */
    size_t least;       /* a pair that occurs more rarely is not merged; at least 1 */
};

/* mm_bpetrain: tokenizer.json to json and tokenizer_config.json to config (both appended),
 * from text[n].  Fewer tokens than asked for if the text has no more pairs.
 * MM_EDATA: no UTF-8, a vocabulary that is too small; MM_ENOMEM. */
MM_MUST_CHECK int mm_bpetrain(struct mm_buf *json, struct mm_buf *config, const char *text,
                              size_t n, const struct mm_bpetrain_spec *s, struct mm_err *e);

#endif
