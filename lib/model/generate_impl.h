/* generate_impl.h: what generate.c (prefill, scoring), generate_token.c (one token),
 * generate_batch.c (sequences together) and generate_beam.c share.
 */
#ifndef MM_MODEL_GENERATE_IMPL_H
#define MM_MODEL_GENERATE_IMPL_H

#include "base/progress.h"
#include "model/generate.h"
#include "model/textout.h"

struct mm_gen {
    const struct mm_llama *m;
    const struct mm_llama_config *c;
    const struct mm_tok *tok;
    struct mm_ctx *ctx;
    struct mm_gen_spec o;
    size_t vocab, context; /* context SIZE_MAX: unbounded */
    struct mm_sampler *sampler;
    float *work, *spare;   /* [vocab] logits being processed; spare with a grammar only */
    struct mm_buf piece;   /* text of a token */
    struct mm_past past;
    struct mm_gen_stats stats;
};

enum { MM_GEN_CHUNK = 512 }; /* rows of prompts in a pass */

/* A stretch of one sequence to be fed: positions from..to of p, next in kv. */
struct mm_feed {
    struct mm_kv *kv;
    const struct mm_prompt *p;
    size_t from, to;
    size_t whole;     /* length that a dynamic RoPE counts with; 0: to */
    bool step;        /* a token that was generated: counted as decoding */
    float *logits;    /* [vocab] after position to - 1, or NULL */
};

/* mm_gen_pass: all stretches in one pass over the weights.  `each`, if given, sees the
 * logits of every row in order. */
typedef void mm_row_fn(void *arg, size_t row, const float *logits);
MM_MUST_CHECK int mm_gen_pass(struct mm_gen *g, const struct mm_feed *f, size_t n, mm_row_fn *each,
                              void *arg, struct mm_err *e);

/* mm_gen_step: one token for each of n sequences; logits[i][vocab]. */
MM_MUST_CHECK int mm_gen_step(struct mm_gen *g, struct mm_kv *const *kv, const int32_t *ids,
                              float *const *logits, size_t n, struct mm_err *e);

/* mm_gen_may_share: may caches of these lengths share a prefix?  (A dynamic RoPE
 * beyond its original length depends on the whole length.) */
bool mm_gen_may_share(const struct mm_gen *g, size_t a, size_t b);

/* mm_gen_text: text and printed of an answer's first n ids (without its end token).
 * Empty without a tokenizer. */
MM_MUST_CHECK int mm_gen_text(const struct mm_gen *g, struct mm_answer *a, size_t n, bool trim,
                              struct mm_err *e);

/* mm_gen_clock: seconds, while weights are packed it stands still: what a position
 * costs is not what opening does. */
double mm_gen_clock(const struct mm_gen *g);

/* --- a sequence and its next token (generate_token.c) -------------------------------- */

enum mm_place_state {
    MM_PLACE_FREE,    /* kv and seq are what the last request left */
    MM_PLACE_NEW,     /* a request, not yet matched with what others computed */
    MM_PLACE_PREFILL, /* kv holds some of the prompt */
    MM_PLACE_READY,   /* logits are those of the next token */
    MM_PLACE_STEP     /* a token was chosen and is to be fed */
};

struct mm_place {
    enum mm_place_state state;
    struct mm_request *r;     /* NULL when free */
    struct mm_kv *kv;
    struct mm_prompt seq;     /* prompt and what was generated; kv holds its first positions */
    float *logits;            /* [vocab] raw, after the last position of kv */
    bool have_logits;
    bool fresh;               /* computed by mm_gen_prefill: taking it over is no reuse */
    struct mm_rng rng;
    struct mm_gstate *gstate;
    struct mm_tok_stream *stream;
    struct mm_textout text;
    double start;
};

/* mm_place_begin: everything but the cache made ready for r. */
MM_MUST_CHECK int mm_place_begin(struct mm_gen *g, struct mm_place *l, struct mm_request *r,
                                 struct mm_err *e);

/* mm_place_next: choose the token after the place's logits: STEP, or the answer is
 * complete and the place FREE.  Errors: of this request, in its fault. */
MM_MUST_CHECK int mm_place_next(struct mm_gen *g, struct mm_place *l);

/* mm_place_end: free what belongs to its request; the place is FREE and remembers. */
void mm_place_end(struct mm_place *l);

#endif
