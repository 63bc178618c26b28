/* grammar_impl.h: what grammar.c (rules) and grammar_state.c (automaton) share. */
#ifndef MM_NN_GRAMMAR_IMPL_H
#define MM_NN_GRAMMAR_IMPL_H

#include "nn/grammar.h"

/* A symbol: two bits of kind, 30 of index. */
#define SYM_END 0u
#define SYM_SET (1u << 30)
#define SYM_RULE (2u << 30)
#define SYM_KIND(s) ((s) & (3u << 30))
#define SYM_INDEX(s) ((s) & ((1u << 30) - 1))

#define NO_ALT UINT32_MAX

struct mm_byteset {
    uint64_t bits[4];
};

struct mm_gram_alt {
    uint32_t start; /* first symbol */
    uint32_t next;  /* next alternative of the rule, or NO_ALT */
};

struct mm_gram_rule {
    uint32_t first, last; /* alternatives */
};

struct mm_gram {
    uint32_t *sym;
    size_t nsym, sym_cap;
    struct mm_gram_alt *alt;
    size_t nalt, alt_cap;
    struct mm_gram_rule *rule;
    size_t nrule, rule_cap;
    struct mm_byteset *set;
    size_t nset, set_cap;
    int root;
};

#endif
