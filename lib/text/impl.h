/* impl.h: what the tokenizers share behind tokenizer.h; only lib/text includes it.
 *
 * mm_tok_open picks a constructor, which fills vocab, impl and ops; then
 * mm_conf_apply adds what tokenizer_config.json, added_tokens.json and
 * special_tokens_map.json say; then ops->ready builds the matchers.
 *
 *   text -> (UTF-8 checked) -> ops->encode -> ids -> ops->wrap (BOS/EOS)
 *   ids  -> ops->decode -> text;   one id at a time -> ops->put -> stream
 */
#ifndef MM_TEXT_IMPL_H
#define MM_TEXT_IMPL_H

#include <jansson.h>

#include "text/tokenizer.h"
#include "text/trie.h"
#include "text/vocab.h"

struct mm_str {
    const char *s;
    size_t n;
};

/* A token that is cut out of the text before the model sees it. */
struct mm_added {
    int32_t id; /* its spelling is vocab.v[id] */
    bool special;        /* left out of decoded text; matched only if specials are parsed */
    bool normalized;     /* matched after the normaliser (tokenizer.json), else before */
    bool lstrip, rstrip; /* takes the white space on that side with it */
    bool single_word;    /* only where no word character is beside it */
    bool named;          /* bos, eos, ... or listed in special_tokens_map.json */
};

/* What decoding one id at a time remembers. */
struct mm_tok_state {
    size_t n;          /* ids put so far that were not left out */
    int32_t prev;      /* the last of them, -1 at the start */
    size_t bytes;      /* raw bytes they gave */
    bool after_prompt; /* the ids continue a text: no leading space is dropped */
    bool keep_special;
    bool mark;         /* for put: false at the start, the rest is its business */
};

struct mm_tok;

struct mm_tok_ops {
    /* ready: all added tokens are known; build what encode needs.  NULL:
     * t->trie is made from all added tokens (mm_tok_make_trie). */
    int (*ready)(struct mm_tok *t, struct mm_err *e);

    /* encode: append the ids of s[n], valid UTF-8, without BOS and EOS.  parse:
     * special tokens too are cut out of the text; others always are. */
    int (*encode)(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                  bool parse, struct mm_err *e);

    /* wrap: add special tokens around ids->v[start..].  NULL: BOS before if
     * add_bos, EOS after if add_eos. */
    int (*wrap)(const struct mm_tok *t, struct mm_ids *ids, size_t start, struct mm_err *e);

    /* put: append the raw bytes that id adds to the text of the ids before it;
     * st (but mark) is kept by the caller, id is in the vocabulary, special
     * ids come only with keep_special.  Where the text
     * cannot grow at its end only (CTC, clean-up over two tokens), put is NULL
     * and streaming decodes a sliding window of ids with decode. */
    int (*put)(const struct mm_tok *t, struct mm_tok_state *st, struct mm_buf *raw,
               int32_t id, struct mm_err *e);

    /* decode: the text of a whole list, ids checked.  NULL: put for each id,
     * bad bytes replaced. */
    int (*decode)(const struct mm_tok *t, struct mm_buf *out, const int32_t *ids, size_t n,
                  bool keep_special, struct mm_err *e);

    /* bytes: as mm_tok_bytes, special and unknown ids are dealt with already. */
    int (*bytes)(const struct mm_tok *t, struct mm_buf *out, int32_t id);

    void (*free)(void *impl); /* takes NULL */
};

struct mm_tok {
    const struct mm_tok_ops *ops;
    void *impl;

    struct mm_vocab vocab;
    struct mm_added *added; /* in the order they were added */
    size_t nadded, cap_added;
    uint32_t *added_at;     /* by id: 1 + index in added, 0 if it is none */
    size_t added_at_n, added_at_used;
    struct mm_trie *trie;   /* spelling -> index in added */

    int32_t bos, eos, unk, pad; /* -1: none */
    struct mm_ids eog;          /* filled by mm_tok_open from eos and known names */
    bool add_bos, add_eos;
    bool default_parse;         /* true unless the constructor clears it */
    bool python_space;          /* lstrip/rstrip also take U+001C..001F, as str.strip does */
    bool sentencepiece;         /* decoded as it does: U+FFFD per bad byte (else per maximal bad
                                 * part), control symbols break byte runs, unk is shown */
    char *chat_template;        /* malloc'd or NULL */
};

/* The small JSON files beside a tokenizer; each NULL where it is absent. */
struct mm_conf {
    const char *dir;    /* NULL for a bare file */
    json_t *config;     /* tokenizer_config.json */
    json_t *added;      /* added_tokens.json: spelling -> id */
    json_t *special;    /* special_tokens_map.json */
};

/* mm_conf_load: the files of dir that are there (dir is kept, not copied).
 * mm_conf_apply: added tokens, marks and the chat template into t; what the
 * tokenizer file said of an added token wins. */
MM_MUST_CHECK int mm_conf_load(struct mm_conf *c, const char *dir, struct mm_err *e);
MM_MUST_CHECK int mm_conf_apply(struct mm_tok *t, const struct mm_conf *c, struct mm_err *e);
void mm_conf_free(struct mm_conf *c); /* takes a zeroed one */

/* mm_tok_add_at: make id (new, or already in the vocabulary) an added token
 * with these properties (a->id); s is used when id is new.  A second call for
 * one id replaces the properties. */
MM_MUST_CHECK int mm_tok_add_at(struct mm_tok *t, const struct mm_added *a, const char *s,
                                size_t n, struct mm_err *e);

/* mm_tok_added: the properties if id is an added token, else NULL. */
const struct mm_added *mm_tok_added(const struct mm_tok *t, int32_t id);

/* mm_tok_make_trie: t->trie from all added tokens. */
MM_MUST_CHECK int mm_tok_make_trie(struct mm_tok *t, struct mm_err *e);

/* One step of cutting text at added tokens. */
struct mm_cut {
    const char *s;    /* the text */
    size_t n;
    size_t pos;       /* how far it has been cut */
    size_t scan;      /* where the next token is looked for, >= pos */
    int32_t held;     /* token found behind a piece already given, -1 */
    size_t held_end;
};
struct mm_frag {
    const char *s; /* NULL-free text, or the token's spelling in the text */
    size_t n;
    int32_t id;    /* -1: plain text, never empty */
};

/* mm_cut_start, mm_cut_next: fragments of s[n] in order, leftmost-longest
 * matches of trie (values index t->added); lstrip, rstrip and single_word are
 * honoured as tokenizers does; special tokens only if parse.  false at the end. */
void mm_cut_start(struct mm_cut *c, const char *s, size_t n);
bool mm_cut_next(struct mm_cut *c, const struct mm_tok *t, const struct mm_trie *trie,
                 bool parse, struct mm_frag *f);

/* mm_utf8_repair: append s[n], bad bytes as U+FFFD: one per byte, or one per
 * maximal part (WHATWG). */
void mm_utf8_repair(struct mm_buf *out, const char *s, size_t n, bool per_byte);

/* Constructors: t is zeroed but for bos = eos = unk = pad = -1, default_parse
 * = true; on failure mm_tok_open frees t.  Each sets add_bos/add_eos from its
 * own file; tokenizer_config.json (c) overrides them afterwards. */
MM_MUST_CHECK int mm_tok_spm_open(struct mm_tok *t, const char *path, const struct mm_conf *c,
                                  struct mm_err *e);
MM_MUST_CHECK int mm_tok_hfjson_open(struct mm_tok *t, const char *path,
                                     const struct mm_conf *c, struct mm_err *e);
MM_MUST_CHECK int mm_tok_gpt2_open(struct mm_tok *t, const char *vocab, const char *merges,
                                   const struct mm_conf *c, struct mm_err *e);
MM_MUST_CHECK int mm_tok_clip_open(struct mm_tok *t, const char *vocab, const char *merges,
                                   const struct mm_conf *c, struct mm_err *e); /* transformers' */
MM_MUST_CHECK int mm_tok_openclip_open(struct mm_tok *t, const char *path, /* bpe_simple_vocab_*.txt.gz */
                                       const struct mm_conf *c, struct mm_err *e);
MM_MUST_CHECK int mm_tok_bert_open(struct mm_tok *t, const char *vocab, const struct mm_conf *c,
                                   struct mm_err *e);

/* mm_tok_gguf_bpe_open: model "gpt2"; vocabulary (spelled in byte-level
 * characters), types, added tokens and marks are in t already. pre: the value
 * of tokenizer.ggml.pre or NULL.  merges: "a b", valid during the call. */
MM_MUST_CHECK int mm_tok_gguf_bpe_open(struct mm_tok *t, const struct mm_str *merges,
                                       size_t nmerges, const char *pre, struct mm_err *e);

/* mm_tok_gguf_spm_open: model "llama": scores and types are in t->vocab. */
MM_MUST_CHECK int mm_tok_gguf_spm_open(struct mm_tok *t, bool add_space_prefix,
                                       bool remove_extra_spaces, struct mm_err *e);

#endif
