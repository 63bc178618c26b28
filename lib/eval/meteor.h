/* meteor.h: METEOR (Denkowski, Lavie 2014): exact, stem and synonym matches.
 *
 * English settings of version 1.5: alpha 0.85, beta 0.2, gamma 0.6, delta 0.75; an exact
 * match weighs 1, a stem 0.6 (Snowball's english stemmer), a synonym 0.8 (two words that
 * share a synset of WordNet 3.0).  There is no paraphrase table and the list of
 * function words is our own, so numbers are near the published tool's, not equal.
 */
#ifndef MM_EVAL_METEOR_H
#define MM_EVAL_METEOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct mm_eval_meteor;

/* mm_eval_meteor_open: wordnet is the folder of index.noun and its like; without them
 * there are no synonyms.  MM_EDATA, MM_ENOMEM.  Close takes NULL. */
MM_MUST_CHECK int mm_eval_meteor_open(struct mm_eval_meteor **m, const char *wordnet,
                                      struct mm_err *e);
void mm_eval_meteor_close(struct mm_eval_meteor *m);
bool mm_eval_meteor_synonyms(const struct mm_eval_meteor *m);

/* What is counted: content and function words [0] [1] of both sides, the weights of
 * those that match, matches and the chunks that they form. */
struct mm_eval_meteor_stats {
    double hyp[2], ref[2], hyp_match[2], ref_match[2], matches, chunks;
};

/* mm_eval_meteor_pair: align hyp[n] with ref[m], words in lower case: most matches, then
 * fewest chunks, then nearest places, by a beam of 40.  MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_meteor_pair(struct mm_eval_meteor_stats *s, struct mm_eval_meteor *t,
                                      const char *const *hyp, size_t n, const char *const *ref,
                                      size_t m, struct mm_err *e);

double mm_eval_meteor_score(const struct mm_eval_meteor_stats *s);

/* mm_eval_meteor_corpus: the score of summed counts, a mm_eval_stat of an array of them. */
double mm_eval_meteor_corpus(const size_t *pick, size_t n, const void *ctx);

#endif
