/* words.h: a text cut into words, and the five ways to cut it at delimiters.
 *
 * Pre-tokenizers turn one list of words into the next; decoders do the same
 * with tokens.
 */
#ifndef MM_TEXT_WORDS_H
#define MM_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct mm_word {
    size_t at, n; /* text.p[at .. at+n) */
    bool first;   /* begins where the original text begins */
};

struct mm_words {
    struct mm_buf text;
    struct mm_word *v;
    size_t n, cap;
    bool failed; /* out of memory: sticky, like that of text */
};

void mm_words_free(struct mm_words *w);  /* takes a zeroed one */
void mm_words_reset(struct mm_words *w); /* empty, memory kept */

/* mm_words_add: one more word of text; an empty one is left out. */
void mm_words_add(struct mm_words *w, size_t at, size_t n, bool first);

/* mm_words_push: append s[n] to text as one more word, empty or not. */
void mm_words_push(struct mm_words *w, const char *s, size_t n);

/* mm_words_check: MM_ENOMEM if anything failed. */
MM_MUST_CHECK int mm_words_check(const struct mm_words *w, struct mm_err *e);

/* What becomes of the delimiters that a pattern matches. */
enum mm_cutting {
    MM_CUT_REMOVED,
    MM_CUT_ISOLATED,             /* each a word */
    MM_CUT_MERGED_WITH_PREVIOUS, /* the end of the word before it */
    MM_CUT_MERGED_WITH_NEXT,
    MM_CUT_CONTIGUOUS            /* adjacent ones are one word */
};

/* mm_cutting_named: "Removed", ... or snake_case; -1 if there is none. */
int mm_cutting_named(const char *name);

struct mm_splitter {
    struct mm_words *out;
    enum mm_cutting how;
    bool invert;         /* what does not match is the delimiter */
    struct mm_word of;   /* the word that is cut */
    size_t end;          /* how far it has been cut */
    struct mm_word wait; /* may still grow */
    bool waiting, match; /* match: the wait is a delimiter */
};

/* mm_split_start: cut word `of` of out->text; then mm_split_match for each
 * match in order (offsets in the word), mm_split_end for the rest. */
void mm_split_start(struct mm_splitter *sp, struct mm_words *out, enum mm_cutting how, bool invert,
                    const struct mm_word *of);
void mm_split_match(struct mm_splitter *sp, size_t from, size_t to);
void mm_split_end(struct mm_splitter *sp);

#endif
