/* sample.h: from the logits of one position to the next token.
 *
 * The processors of the transformers library in its order (llava.md 9.2): bias,
 * repetition, frequency and presence penalties, no_repeat_ngram, minimum length
 * | grammar (nn/grammar.h, by the caller) | temperature, top-k, top-p, min-p,
 * typical-p.  Then the largest, or a draw in f64.  A filtered entry is -INFINITY.
 */
#ifndef MM_NN_SAMPLE_H
#define MM_NN_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

enum mm_sample_order {
    MM_SAMPLE_HF,       /* temperature, top-k, top-p, min-p, typical-p */
    MM_SAMPLE_LLAMACPP  /* top-k, typical-p, top-p, min-p, temperature */
};

struct mm_bias {
    int32_t id;
    float add; /* to the logit; -INFINITY bans the token */
};

/* Settings; mm_sample_defaults has everything off. Arrays are borrowed. */
struct mm_sample_spec {
    double temperature;     /* <= 0: greedy, the five filters below do nothing */
    size_t top_k;           /* 0: off */
    double top_p;           /* >= 1: off */
    double min_p;           /* 0: off */
    double typical_p;       /* >= 1: off */
    double repeat_penalty;  /* 1: off */
    double frequency_penalty, presence_penalty; /* 0: off */
    size_t repeat_window;   /* last tokens the penalties look at; 0: all */
    size_t no_repeat_ngram; /* 0: off */
    size_t min_tokens;      /* no end token before so many are generated */
    bool ignore_eos;
    enum mm_sample_order order;
    const struct mm_bias *bias;
    size_t nbias;
    const int32_t *eos;
    size_t neos;
    const int32_t *never;   /* ids never generated (media placeholders) */
    size_t nnever;
    size_t limit;           /* ids >= limit are padding rows of the head; 0: none */
};

extern const struct mm_sample_spec mm_sample_defaults;

struct mm_sampler; /* the settings and scratch for one vocabulary size; one thread at a time */

/* mm_sampler_new: spec is copied (its arrays are not); vocab > 0 rows.  MM_ENOMEM. */
MM_MUST_CHECK int mm_sampler_new(struct mm_sampler **s, const struct mm_sample_spec *spec,
                                 size_t vocab, struct mm_err *e);
void mm_sampler_free(struct mm_sampler *s); /* takes NULL */

/* mm_sampler_penalise: what comes before the grammar, in place on l[vocab]
 * (raw logits, or log-probabilities in a beam search).  history[n]: the tokens
 * penalties look at (ids outside the vocabulary are ignored); generated: how
 * many tokens this answer has so far. */
void mm_sampler_penalise(struct mm_sampler *s, float *l, const int32_t *history, size_t n,
                         size_t generated);

/* mm_sampler_warp: temperature and filters, in place on l[vocab]; nothing when greedy. */
void mm_sampler_warp(struct mm_sampler *s, float *l);

/* mm_sampler_pick: the largest entry (lowest id on ties) when greedy, else a
 * draw with the inverse distribution function over descending probability, ties by
 * id.  -1 when every entry is -INFINITY or NaN. */
int32_t mm_sampler_pick(struct mm_sampler *s, const float *l, struct mm_rng *rng);

/* mm_argmax: index of the largest of l[n], the lowest on ties; -1 if none is
 * above -INFINITY. */
int32_t mm_argmax(const float *l, size_t n);

/* mm_logsumexp: log of the sum of exponentials of l[n] (exponentials in f32, their sum in
 * f64); the natural log of a probability is l[i] minus it. */
double mm_logsumexp(const float *l, size_t n);

#endif
