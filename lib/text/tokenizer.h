/* tokenizer.h: any model's tokenizer behind one interface.
 *
 * SentencePiece (BPE, unigram), tokenizer.json, vocab.json + merges.txt (CLIP,
 * GPT-2, OPT), vocab.txt (BERT) and the vocabularies inside GGUF.
 */
#ifndef MM_TEXT_TOKENIZER_H
#define MM_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct mm_tok;

struct mm_ids {
    int32_t *v;
    size_t n, cap;
};
void mm_ids_free(struct mm_ids *ids);
MM_MUST_CHECK int mm_ids_add(struct mm_ids *ids, int32_t id); /* MM_ENOMEM */

/* mm_tok_open: path is a tokenizer file (tokenizer.model, tokenizer.json, ...),
 * a GGUF, or a model directory: tokenizer.json first where it is there, then
 * tokenizer.model, vocab.json + merges.txt, vocab.txt; tokenizer_config.json,
 * added_tokens.json and special_tokens_map.json are honoured.
 * MM_ENOENT when a directory holds no tokenizer. */
MM_MUST_CHECK int mm_tok_open(struct mm_tok **t, const char *path, struct mm_err *e);
void mm_tok_free(struct mm_tok *t); /* takes NULL */

enum mm_tok_add_flags {
    MM_TOK_ADD_SPECIAL = 1, /* left out of decoded text, parsed only with MM_TOK_PARSE */
    MM_TOK_ADD_STRIP = 2    /* white space on both sides belongs to it (transformers < 4.34) */
};

/* mm_tok_add: one more token, cut out of the text before all else; its id is
 * the next free one, or that of a piece spelled so.  MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_tok_add(struct mm_tok *t, const char *piece, unsigned flags, int32_t *id,
                             struct mm_err *e);

/* mm_tok_set_marks: what MM_TOK_SPECIAL adds, where the checkpoint does not
 * say it or says it wrong (a bare tokenizer.model: BOS if it has one, else
 * EOS).  Ignored by a tokenizer.json, whose post-processor decides. */
void mm_tok_set_marks(struct mm_tok *t, bool add_bos, bool add_eos);

enum mm_tok_flags {
    MM_TOK_PARSE = 1,   /* spellings of special tokens in the text become those tokens */
    MM_TOK_SPECIAL = 2  /* add BOS/EOS as the tokenizer does by itself */
};

/* mm_tok_default_parse: does this tokenizer's reference parse special tokens in
 * text by default (INTERFACE: all but bare SentencePiece and SPM GGUF)? */
bool mm_tok_default_parse(const struct mm_tok *t);

/* mm_tok_encode: append the ids of s[n].  MM_EDATA if s is not UTF-8 (offset
 * in the message), MM_ENOMEM.  Linear time (n log n at worst). */
MM_MUST_CHECK int mm_tok_encode(const struct mm_tok *t, struct mm_ids *ids, const char *s,
                                size_t n, unsigned flags, struct mm_err *e);

/* mm_tok_decode: append the text of ids, as the reference decodes them;
 * keep_special shows special tokens.  An id outside the vocabulary: MM_EDATA. */
MM_MUST_CHECK int mm_tok_decode(const struct mm_tok *t, struct mm_buf *out, const int32_t *ids,
                                size_t n, bool keep_special, struct mm_err *e);

/* Streaming decode: feed one id at a time, get the text that is now certain,
 * never half a character.  `after_prompt`: ids continue a text, so no leading
 * space is dropped. */
struct mm_tok_stream;
MM_MUST_CHECK int mm_tok_stream_new(struct mm_tok_stream **s, const struct mm_tok *t,
                                    bool after_prompt, struct mm_err *e);
MM_MUST_CHECK int mm_tok_stream_put(struct mm_tok_stream *s, struct mm_buf *out, int32_t id,
                                    struct mm_err *e);
/* mm_tok_stream_end: what was held back (incomplete bytes as U+FFFD). */
MM_MUST_CHECK int mm_tok_stream_end(struct mm_tok_stream *s, struct mm_buf *out, struct mm_err *e);
void mm_tok_stream_free(struct mm_tok_stream *s); /* takes NULL */

/* mm_tok_bytes: append the raw bytes that id contributes in mid-text (for a
 * grammar, stop strings, JSON pieces): byte tokens are one byte, "▁" a space,
 * special tokens nothing.  MM_EDATA outside the vocabulary. */
MM_MUST_CHECK int mm_tok_bytes(const struct mm_tok *t, struct mm_buf *out, int32_t id);

const char *mm_tok_piece(const struct mm_tok *t, int32_t id); /* stored spelling; NULL outside */
int32_t mm_tok_id(const struct mm_tok *t, const char *piece); /* exact spelling; -1 if none */
bool mm_tok_is_special(const struct mm_tok *t, int32_t id);
size_t mm_tok_size(const struct mm_tok *t); /* ids are 0..size-1 (holes possible) */

/* Marks, -1 where the tokenizer has none.  mm_tok_eog: the ids that end a
 * generation (eos and what 10.5 of the weights reference lists), count in *n. */
int32_t mm_tok_bos(const struct mm_tok *t);
int32_t mm_tok_eos(const struct mm_tok *t);
int32_t mm_tok_unk(const struct mm_tok *t);
int32_t mm_tok_pad(const struct mm_tok *t);
const int32_t *mm_tok_eog(const struct mm_tok *t, size_t *n);
bool mm_tok_adds_bos(const struct mm_tok *t);

/* mm_tok_chat_template: the Jinja text of the checkpoint's chat_template, or NULL. */
const char *mm_tok_chat_template(const struct mm_tok *t);

#endif
