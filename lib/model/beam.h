/* beam.h: beam search as the transformers library does it (llava.md 9.3), apart
 * from the model: it takes log-probabilities and says which beams go on with
 * which token.
 *
 *   rows [beams, vocab] of log-probabilities -> parent[beams], token[beams]
 */
#ifndef MM_MODEL_BEAM_H
#define MM_MODEL_BEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum mm_early_stop { MM_EARLY_FALSE, MM_EARLY_TRUE, MM_EARLY_NEVER };

struct mm_beam_spec {
    size_t beams;           /* 1..256 */
    size_t max_new;         /* tokens of an answer, the end token counted; >= 1 */
    double length_penalty;  /* score = sum of log-probabilities / length^length_penalty */
    enum mm_early_stop early;
    const int32_t *eos;     /* borrowed; whichever ends an answer, the first is written */
    size_t neos;
};

/* A finished answer; ids and logprobs belong to the search. */
struct mm_hyp {
    const int32_t *ids;     /* the end token, if it ended so, is the last one */
    const float *logprobs;  /* of each id: what `raw` said when it was chosen */
    size_t n;
    double score;
    bool ended;             /* by an end token */
};

struct mm_beams; /* the search for one prompt */

MM_MUST_CHECK int mm_beams_new(struct mm_beams **b, const struct mm_beam_spec *spec, size_t vocab,
                               struct mm_err *e);
void mm_beams_free(struct mm_beams *b); /* takes NULL */

/* mm_beams_rows: how many rows the next step takes: 1 at first, then beams. */
size_t mm_beams_rows(const struct mm_beams *b);

/* mm_beams_tokens: what beam i has generated so far, count in *n. */
const int32_t *mm_beams_tokens(const struct mm_beams *b, size_t i, size_t *n);

/* mm_beams_step: score[rows][vocab] are processed log-probabilities, raw the
 * unprocessed ones (for the report; may be score).  Row i of the next step
 * continues beam parent[i] (of this step) with token[i]; both have `beams` places.
 * Returns 1 to go on, 0 when the search is done (finished, or max_new reached). */
MM_MUST_CHECK int mm_beams_step(struct mm_beams *b, const float *score, const float *raw,
                                size_t *parent, int32_t *token, struct mm_err *e);

/* mm_beams_stop: end a search early (context full): running beams join. */
void mm_beams_stop(struct mm_beams *b);

/* After the search: answers, best first. */
size_t mm_beams_count(const struct mm_beams *b);
struct mm_hyp mm_beams_hyp(const struct mm_beams *b, size_t i);

#endif
