/* bpe.h: byte pair encoding (Sennrich 2016): merges by rank within one word.
 *
 * word -> one symbol per character (with prefix, suffix, byte fallback, unk)
 *      -> merge the pair of lowest rank, leftmost first, until none is left
 * Time n log n in the length of the word.
 */
#ifndef MM_TEXT_BPE_H
#define MM_TEXT_BPE_H

#include <stdbool.h>

#include "base/err.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

struct mm_bpe_conf {
    const struct mm_vocab *vocab; /* outlives the mm_bpe; what is added later is not used */
    const char *prefix;           /* of every character but a word's first; NULL: none */
    const char *suffix;           /* of a word's last character; NULL: none */
    int32_t unk;                  /* what stands for an unknown character; -1: it is dropped */
    bool fuse_unk;                /* adjacent unknown characters are one token */
    bool byte_fallback;           /* try "<0x0A>" for each byte of an unknown character */
    bool ignore_merges;           /* a word that is in the vocabulary is one token */
    bool skip_unknown;            /* a merge of tokens not in the vocabulary is skipped */
};

struct mm_bpe;

/* mm_bpe_new: MM_ENOMEM; c is copied, prefix and suffix are too. */
MM_MUST_CHECK int mm_bpe_new(struct mm_bpe **b, const struct mm_bpe_conf *c, struct mm_err *e);
void mm_bpe_free(struct mm_bpe *b); /* takes NULL */

/* mm_bpe_merge: the merge of next higher rank.  Of two with one pair the later
 * counts.  MM_EDATA (names the part that is not in the vocabulary), MM_ENOMEM. */
MM_MUST_CHECK int mm_bpe_merge(struct mm_bpe *b, const char *left, size_t nleft,
                               const char *right, size_t nright, struct mm_err *e);

/* mm_bpe_merge_line: the same from "left right", cut at the first space that
 * has something on both sides. */
MM_MUST_CHECK int mm_bpe_merge_line(struct mm_bpe *b, const char *s, size_t n, struct mm_err *e);

/* mm_bpe_word: append the ids of one word, valid UTF-8.  MM_ENOMEM.  Safe from
 * several threads. */
MM_MUST_CHECK int mm_bpe_word(const struct mm_bpe *b, struct mm_ids *ids, const char *s, size_t n,
                              struct mm_err *e);

#endif
