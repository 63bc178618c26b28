/* vocab.h: the pieces of a tokenizer by id, and the ids by piece. */
#ifndef MM_TEXT_VOCAB_H
#define MM_TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* The types of SentencePiece (and GGUF), used for every tokenizer. */
enum mm_ptype {
    MM_P_HOLE = 0,    /* no such id */
    MM_P_NORMAL = 1,
    MM_P_UNKNOWN = 2,
    MM_P_CONTROL = 3, /* special: never text, shown only on demand */
    MM_P_USER = 4,    /* matched in text before anything else */
    MM_P_UNUSED = 5,
    MM_P_BYTE = 6     /* "<0x0A>": one byte */
};

struct mm_vpiece {
    const char *s; /* NUL-terminated, may hold NULs within n; NULL for a hole */
    uint32_t n;
    float score;   /* 0 where the tokenizer has none */
    uint8_t type;  /* enum mm_ptype */
};

struct mm_vocab {
    struct mm_vpiece *v;
    size_t n, cap;         /* ids are 0..n-1 */
    size_t maxlen;         /* bytes of the longest piece */
    struct mm_arena *mem;  /* the spellings */
    int32_t *hash;         /* open addressing, -1 is free */
    size_t nhash, used;
};

#define MM_VOCAB_MAX (1 << 22) /* ids at or above this are refused */

/* mm_vocab_set: give id a spelling (copied).  Of two ids with one spelling the
 * first set is found by mm_vocab_find.  MM_EDATA: id negative, too large or
 * taken, piece of 64 KiB or more (message without file name); MM_ENOMEM. */
MM_MUST_CHECK int mm_vocab_set(struct mm_vocab *v, int32_t id, const char *s, size_t n,
                               enum mm_ptype type, float score, struct mm_err *e);

/* mm_vocab_find: id of a spelling, -1 if none. */
int32_t mm_vocab_find(const struct mm_vocab *v, const char *s, size_t n);

void mm_vocab_free(struct mm_vocab *v); /* takes a zeroed one */

#endif
