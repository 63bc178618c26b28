/* spm.h: a SentencePiece model in memory (llava reference, section 10).
 *
 *   text -> mm_spm_normalize -> mm_spm_bpe or mm_spm_unigram -> segments
 *
 * Only lib/text includes this.
 */
#ifndef MM_TEXT_SPM_H
#define MM_TEXT_SPM_H

#include "text/impl.h"

enum mm_spm_type { MM_SPM_UNIGRAM = 1, MM_SPM_BPE = 2 };

/* How text around added tokens is treated. */
enum mm_spm_style {
    MM_SPM_BARE,     /* SentencePiece itself, GGUF: each fragment is a text of its own */
    MM_SPM_LEGACY,   /* transformers, legacy = true: the same; added tokens can be shown */
    MM_SPM_NONLEGACY /* legacy = false: one prefix, at the start of the text */
};

struct mm_spm {
    enum mm_spm_type type;
    enum mm_spm_style style;
    bool suffix;            /* treat_whitespace_as_suffix: the dummy mark goes to the end */
    bool byte_fallback;
    bool dummy_prefix;
    bool remove_extra;      /* spaces: none at the ends, one in between */
    bool escape;            /* a space becomes U+2581 */
    bool by_words;          /* BPE: no piece has a mark behind another character, and none
                             * is UNUSED, so words can be encoded one by one */
    int32_t byte_id[256];   /* -1: no byte piece */
    int32_t unk;
    char *unk_surface;      /* what unk decodes to */

    unsigned char *charsmap; /* the whole precompiled_charsmap, or NULL */
    size_t nunits;           /* u32 units of the Darts double array at charsmap + 4 */
    const char *pool;        /* NUL-terminated replacement strings */
    size_t npool;

    struct mm_trie *user;   /* USER_DEFINED pieces -> id */
    struct mm_trie *pieces; /* unigram: all pieces that can be chosen -> id */
    float min_score;        /* of NORMAL pieces */
};

/* mm_spm_parse: fill t->vocab, the marks of t and m from a model file
 * (protobuf wire format).  MM_EDATA with the offset, MM_EMISSING for model
 * types other than BPE and unigram. */
MM_MUST_CHECK int mm_spm_parse(struct mm_tok *t, struct mm_spm *m, const unsigned char *data,
                               size_t n, struct mm_err *e);

/* mm_spm_set_charsmap: take a copy of a precompiled_charsmap and check it. */
MM_MUST_CHECK int mm_spm_set_charsmap(struct mm_spm *m, const unsigned char *p, size_t n,
                                      struct mm_err *e);

/* mm_spm_rule: the longest or shortest rule of the charsmap that applies at
 * s[n]: bytes it replaces (0: none) and what with. */
enum mm_spm_match { MM_SPM_LONGEST, MM_SPM_SHORTEST };
size_t mm_spm_rule(const struct mm_spm *m, enum mm_spm_match which, const char *s, size_t n,
                   struct mm_str *to);

/* mm_spm_normalize: append the normalised form of s[n].  prefix: add the dummy
 * mark if the model says so; keep_lead: do not strip leading spaces. */
void mm_spm_normalize(const struct mm_spm *m, struct mm_buf *out, const char *s, size_t n,
                      bool prefix, bool keep_lead);

/* mm_spm_bpe, mm_spm_unigram: the pieces of normalised text as ids, appended.
 * mm_spm_emit: one segment: id, or bytes or a fused unk if id is unk;
 * *unk_before carries over from segment to segment. */
MM_MUST_CHECK int mm_spm_bpe(const struct mm_tok *t, const struct mm_spm *m, struct mm_ids *ids,
                             const char *s, size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_spm_unigram(const struct mm_tok *t, const struct mm_spm *m,
                                 struct mm_ids *ids, const char *s, size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_spm_emit(const struct mm_spm *m, struct mm_ids *ids, int32_t id,
                              const char *s, size_t n, bool *unk_before);

/* mm_spm_char: length of the character at s (n > 0), by its lead byte only. */
size_t mm_spm_char(const char *s, size_t n);

#endif
