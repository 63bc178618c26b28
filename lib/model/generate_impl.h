/* generate_impl.h: what generate.c (prefill, scoring), generate_run.c (sampling)
 * and generate_beam.c share.
 */
#ifndef MM_MODEL_GENERATE_IMPL_H
#define MM_MODEL_GENERATE_IMPL_H

#include "model/generate.h"

struct mm_gen {
    const struct mm_llama *m;
    const struct mm_llama_config *c;
    const struct mm_tok *tok;
    struct mm_ctx *ctx;
    struct mm_gen_spec o;
    size_t vocab, context; /* context SIZE_MAX: unbounded */
    struct mm_sampler *sampler;
    struct mm_past past;
    struct mm_gen_stats stats;
};

/* A stretch of one sequence to be fed: positions from..to of p into kv. */
struct mm_feed {
    struct mm_kv *kv;
    const struct mm_prompt *p;
    size_t from, to;
    float *logits;    /* [vocab] after position to - 1, or NULL */
};

/* mm_gen_feed: all stretches, in chunks of rows.  `each`, if given, sees the
 * logits of every row in order. */
typedef void mm_row_fn(void *arg, size_t row, const float *logits);
MM_MUST_CHECK int mm_gen_feed(struct mm_gen *g, struct mm_feed *f, size_t n, mm_row_fn *each,
                              void *arg, struct mm_err *e);

/* mm_gen_step: one token for each of n sequences; logits[i][vocab]. */
MM_MUST_CHECK int mm_gen_step(struct mm_gen *g, struct mm_kv *const *kv, const int32_t *ids,
                              float *const *logits, size_t n, struct mm_err *e);

/* mm_gen_reusable: how many positions of p the past already holds (all of them only
 * if it has the logits after p). */
size_t mm_gen_reusable(const struct mm_gen *g, const struct mm_prompt *p);

/* mm_gen_may_share: may caches of these lengths share a prefix?  (A dynamic RoPE
 * beyond its original length depends on the whole length.) */
bool mm_gen_may_share(const struct mm_gen *g, size_t a, size_t b);

/* mm_gen_text: text and printed of an answer's first n ids (without its end token).
 * Empty without a tokenizer. */
MM_MUST_CHECK int mm_gen_text(const struct mm_gen *g, struct mm_answer *a, size_t n, bool trim,
                              struct mm_err *e);

double mm_gen_now(void); /* seconds */

#endif
