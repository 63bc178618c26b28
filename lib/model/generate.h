/* generate.h: a language model at work: prompts in, tokens and text out.
 *
 *   prompts -> prefill (chunks of rows, the shared prefix once) -> one token a
 *   sequence and step, all sequences together -> answers
 *
 * A struct mm_gen remembers the positions and keys/values of the last sequence
 * it worked on (its past): whatever a next prompt shares with it from the start is
 * not computed again.  One thread at a time.
 */
#ifndef MM_MODEL_GENERATE_H
#define MM_MODEL_GENERATE_H

#include <signal.h>

#include "base/buf.h"
#include "model/beam.h"
#include "model/llama.h"
#include "model/prompt.h"
#include "nn/grammar.h"
#include "nn/sample.h"
#include "tensor/ctx.h"

enum mm_stop { MM_STOP_EOS, MM_STOP_STOP, MM_STOP_LENGTH, MM_STOP_CONTEXT };
const char *mm_stop_name(enum mm_stop s); /* "eos", "stop", "length", "context" */

/* Settings, all borrowed. */
struct mm_gen_spec {
    struct mm_sample_spec sample;  /* its eos end answers */
    uint64_t seed;
    size_t max_new;                /* tokens of an answer */
    size_t context;                /* positions of a sequence; 0: what the model was made for */
    const char *const *stop;       /* [nstop] */
    size_t nstop;
    bool trim;                     /* no white space around an answer; always so after
                                      embeddings */
    bool continues;                /* answers go on the prompt's text: a first space is printed */
    bool logprobs;                 /* answers have them; costs a pass over the vocabulary */
    bool keep_logits;              /* answers keep the raw logits of each step */
    const struct mm_gram *gram;    /* NULL: free text */
    const struct mm_gvocab *gvocab;
    enum mm_dtype kv;              /* MM_F16, MM_F32 */
    const volatile sig_atomic_t *interrupt; /* NULL, or ends answers when it becomes 1 */
};

struct mm_answer {
    int32_t *ids;        /* [n] generated, the end token included */
    float *logprobs;     /* [n] natural, from raw logits over all rows; 0 if not asked for */
    float *logits;       /* [n, vocab] with keep_logits (at least one row), else NULL */
    size_t n, id_cap, lp_cap, logit_cap;
    /* Without the end token; empty without a tokenizer.  text: as the reference decodes
     * all ids at once; printed: as emit got it, which differs by the first space of what
     * continues a prompt and where bytes are no characters. */
    struct mm_buf text, printed;
    size_t prompt;       /* positions of the prompt */
    size_t computed;     /* of them, not found in the past or another item's prefix */
    enum mm_stop stop;
    double score;        /* beams */
    double ms;           /* from when it was taken up to its last token */
};
void mm_answer_free(struct mm_answer *a); /* takes a zeroed one */

/* What was done since the engine was made.  Time of a pass that holds both is shared
 * out by rows; packing of weights is in neither. */
struct mm_gen_stats {
    size_t computed, reused;  /* prompt positions */
    size_t decoded;           /* tokens fed one by one */
    double prefill_s, decode_s;
};

/* What an engine remembers: a sequence, its cache, and the logits after it. */
struct mm_past {
    struct mm_kv *kv;      /* NULL: nothing yet */
    struct mm_prompt seq;  /* positions in kv; rows by their hashes alone */
    float *logits;         /* [vocab] after the last position */
    bool have_logits;
    bool fresh;            /* just computed by mm_gen_prefill: using it is no reuse */
};

struct mm_gen;

/* mm_gen_new: model and tok (NULL: ids only) must outlive it; ctx is the caller's
 * and carries threads, arithmetic and trace.  MM_ENOMEM. */
MM_MUST_CHECK int mm_gen_new(struct mm_gen **g, const struct mm_llama *m, const struct mm_tok *tok,
                             struct mm_ctx *ctx, const struct mm_gen_spec *spec, struct mm_err *e);
void mm_gen_free(struct mm_gen *g); /* takes NULL */
const struct mm_gen_stats *mm_gen_stats(const struct mm_gen *g);

/* mm_gen_check: is the prompt neither empty nor too long? */
MM_MUST_CHECK int mm_gen_check(const struct mm_gen *g, const struct mm_prompt *p, struct mm_err *e);

/* mm_gen_prefill: make the past exactly this prompt, with logits after it.  With
 * ctx->trace nothing is reused, the prompt is computed as one and `logits` of all its
 * positions are traced too.  MM_EDATA: empty, or longer than the context. */
MM_MUST_CHECK int mm_gen_prefill(struct mm_gen *g, const struct mm_prompt *p, struct mm_err *e);

/* --- answers --------------------------------------------------------------------- */

/* Text as it becomes certain; what it returns, if negative, ends the run. */
typedef int mm_emit_fn(void *arg, const char *s, size_t n);

/* A prompt to be answered.  All pointers are borrowed until done is set. */
struct mm_request {
    const struct mm_prompt *prompt;
    uint64_t number;          /* it draws from the seed and this */
    mm_emit_fn *emit;         /* NULL: the text comes with the answer alone */
    void *arg;
    struct mm_answer *answer; /* zeroed; on a fault it holds what was generated */
    struct mm_err fault;      /* why this one alone failed; code MM_OK: it did not */
    bool done;
};

/* A batch: places for sequences that are answered together, each request at the next
 * free one.  A step is one pass over the weights, for the next token of every running
 * sequence and for some hundred rows of new prompts beside them.  What a prompt shares
 * from its start with any sequence that a place holds or held is taken from there; of
 * new prompts that share a prefix the first computes it.  Answers depend neither on the
 * number of places nor on the neighbours.
 *
 * mm_batch_new: the first place begins with the engine's past, and gives it back at
 * mm_batch_free; the engine must not be used otherwise in between.  With ctx->trace:
 * one place.  MM_ENOMEM. */
struct mm_batch;
MM_MUST_CHECK int mm_batch_new(struct mm_batch **b, struct mm_gen *g, size_t places,
                               struct mm_err *e);
void mm_batch_free(struct mm_batch *b); /* takes NULL; running requests are dropped */
size_t mm_batch_room(const struct mm_batch *b); /* free places */

/* mm_batch_add: there must be room.  A prompt that cannot be answered is done at
 * once, with its fault.  MM_ENOMEM. */
MM_MUST_CHECK int mm_batch_add(struct mm_batch *b, struct mm_request *r, struct mm_err *e);

/* mm_batch_step: one token further.  An error is of the batch as a whole (or of emit,
 * which then says what it was). */
MM_MUST_CHECK int mm_batch_step(struct mm_batch *b, struct mm_err *e);

/* mm_gen_run: n requests, all together, to their end.  The first fault is returned. */
MM_MUST_CHECK int mm_gen_run(struct mm_gen *g, struct mm_request *r, size_t n, struct mm_err *e);

/* mm_gen_beam: beam search; spec->max_new and its end tokens hold.  answers has
 * spec->beams places, best first; *n of them are filled. */
MM_MUST_CHECK int mm_gen_beam(struct mm_gen *g, const struct mm_prompt *p,
                              const struct mm_beam_spec *spec, struct mm_answer *answers,
                              size_t *n, struct mm_err *e);

/* mm_gen_continue: natural log-probabilities of ids[n] coming after the past
 * (which must have logits); the past stays as it is. */
MM_MUST_CHECK int mm_gen_continue(struct mm_gen *g, const int32_t *ids, size_t n, float *logprobs,
                                  struct mm_err *e);

/* mm_gen_perplexity: the mean negative log-probability of ids[1..n-1], each
 * predicted within its window of the context's length; *count of them. */
MM_MUST_CHECK int mm_gen_perplexity(struct mm_gen *g, const int32_t *ids, size_t n, double *mean,
                                    size_t *count, struct mm_err *e);

#endif
