/* grammar.h: hold generation to a context-free grammar (llava.md 9.6).
 *
 * A pushdown automaton over bytes: character classes are compiled to byte
 * sequences, so a token that ends inside a UTF-8 character needs nothing
 * special.  A state is the set of stacks that are possible; states and the
 * transitions between them are remembered, stacks share their tails.  Nothing
 * recurses; stacks, states and rules are bounded.
 *
 *   bytes of text -> mm_gram_walk -> state -> mm_gram_mask -> banned tokens
 */
#ifndef MM_NN_GRAMMAR_H
#define MM_NN_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

/* --- the rules -------------------------------------------------------------- */

struct mm_gram;

/* Code points lo..hi. */
struct mm_range {
    uint32_t lo, hi;
};

MM_MUST_CHECK int mm_gram_new(struct mm_gram **g, struct mm_err *e);
void mm_gram_free(struct mm_gram *g); /* takes NULL */

/* Building.  mm_gram_rule: a new rule without alternatives; its number, or a
 * negative code.  mm_gram_byte and mm_gram_class make the symbol of one byte, or
 * of one character that is in the union of ranges (not in it, if negated);
 * mm_gram_ref that of a rule.  mm_gram_add gives rule one more alternative, the
 * sequence sym[n].  Errors: MM_EDATA (too many rules or symbols), MM_ENOMEM. */
MM_MUST_CHECK int mm_gram_rule(struct mm_gram *g, struct mm_err *e);
MM_MUST_CHECK int mm_gram_byte(uint32_t *sym, struct mm_gram *g, unsigned char b,
                               struct mm_err *e);
MM_MUST_CHECK int mm_gram_class(uint32_t *sym, struct mm_gram *g, const struct mm_range *r,
                                size_t n, bool negated, struct mm_err *e);
uint32_t mm_gram_ref(int rule);
MM_MUST_CHECK int mm_gram_add(struct mm_gram *g, int rule, const uint32_t *sym, size_t n,
                              struct mm_err *e);

/* mm_gram_done: check and freeze; generation begins in rule root.  MM_EDATA for
 * left recursion; *cycle is then a rule that takes part in it, else -1. */
MM_MUST_CHECK int mm_gram_done(struct mm_gram *g, int root, int *cycle, struct mm_err *e);

/* --- the automaton ---------------------------------------------------------- */

/* One text being generated under a grammar.  The grammar must outlive it. */
struct mm_gstate;

MM_MUST_CHECK int mm_gstate_new(struct mm_gstate **s, const struct mm_gram *g, struct mm_err *e);
void mm_gstate_free(struct mm_gstate *s); /* takes NULL */

/* mm_gstate_accepts: may s[n] come next?  1, 0, or MM_EDATA when the grammar is
 * so ambiguous that its states exceed the bounds.  mm_gstate_advance takes it
 * (it must be acceptable: MM_EDATA otherwise). */
MM_MUST_CHECK int mm_gstate_accepts(struct mm_gstate *s, const void *p, size_t n,
                                    struct mm_err *e);
MM_MUST_CHECK int mm_gstate_advance(struct mm_gstate *s, const void *p, size_t n,
                                    struct mm_err *e);
bool mm_gstate_complete(const struct mm_gstate *s); /* may the text end here? */

/* --- tokens ----------------------------------------------------------------- */

/* The vocabulary sorted by its bytes, with common prefix lengths: one walk
 * visits each shared prefix once. */
struct mm_gvocab;

MM_MUST_CHECK int mm_gvocab_new(struct mm_gvocab **v, const struct mm_tok *t, struct mm_err *e);
void mm_gvocab_free(struct mm_gvocab *v); /* takes NULL */

/* mm_gvocab_bytes: what id contributes to the text, count in *n; NULL for a
 * token without text (special, or outside the vocabulary). */
const char *mm_gvocab_bytes(const struct mm_gvocab *v, int32_t id, size_t *n);

/* mm_gstate_mask: -INFINITY for each l[0..vocab-1] whose token cannot come
 * next; tokens without text and those that begin with NUL are banned, the end
 * tokens eos[neos] are banned unless the text may end here. */
MM_MUST_CHECK int mm_gstate_mask(struct mm_gstate *s, const struct mm_gvocab *v, float *l,
                                 size_t vocab, const int32_t *eos, size_t neos, struct mm_err *e);

#endif
