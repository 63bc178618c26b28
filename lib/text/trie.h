/* trie.h: a set of byte strings, matched as prefixes of a text. */
#ifndef MM_TEXT_TRIE_H
#define MM_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct mm_trie;

struct mm_trie *mm_trie_new(void); /* NULL if out of memory */
void mm_trie_free(struct mm_trie *t); /* takes NULL */

/* mm_trie_add: s[n] (nothing if n = 0) stands for val >= 0; the first value of a string
 * stays.  MM_ENOMEM. */
MM_MUST_CHECK int mm_trie_add(struct mm_trie *t, const char *s, size_t n, int32_t val);

/* mm_trie_longest: length of the longest member that begins s[n] (0 if none),
 * its value in *val.  t may be NULL (nothing matches). */
size_t mm_trie_longest(const struct mm_trie *t, const char *s, size_t n, int32_t *val);

/* mm_trie_step: walk by hand: from node (0 to start) by byte c to the next
 * node, or 0 when no member goes on.  mm_trie_value: -1 if no member ends here. */
uint32_t mm_trie_step(const struct mm_trie *t, uint32_t node, unsigned char c);
int32_t mm_trie_value(const struct mm_trie *t, uint32_t node);

#endif
