/* gbnf.h: grammars in the notation of llama.cpp.
 *
 *   name ::= sequence | sequence      one rule; `root` is where generation begins
 *   "text" [a-z] [^"] . name ( ... )  items;  \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH
 *   item * + ? {m} {m,} {m,n}         repetition
 *   # to the end of the line          comment
 *
 * A rule ends at the end of its line, except within parentheses, after `|` and
 * before a line that begins with `|`.
 */
#ifndef MM_NN_GBNF_H
#define MM_NN_GBNF_H

#include "nn/grammar.h"

/* mm_gbnf_parse: s[n] is UTF-8.  MM_EDATA with line and column, for an
 * undefined or repeated rule, for left recursion and for a grammar too large. */
MM_MUST_CHECK int mm_gbnf_parse(struct mm_gram **g, const char *s, size_t n, struct mm_err *e);

#endif
