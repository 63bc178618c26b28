/* runner.h: jobs through the engine and out by the sink: answers, beams or
 * scores, several jobs together, faults in their place.
 */
#ifndef MM_MODEL_RUNNER_H
#define MM_MODEL_RUNNER_H

#include "model/sink.h"

struct mm_runner {
    const struct mm_llm *llm;
    struct mm_gen *gen;
    struct mm_sink *sink;
    char *const *score;         /* [nscore] continuations to score in place of answers */
    size_t nscore;
    struct mm_beam_spec beam;   /* beams 0: none */
    size_t num_return;          /* of the beams' answers */
    size_t batch;               /* jobs together */
    const char *save_state;     /* file, or NULL */
    int64_t *item;              /* number of the job being run, for traces */
    /* print: text that is ready.  fault: a job failed; 0 goes on with the others,
     * a negative code ends the run (and is in *err). */
    int (*print)(void *arg, const char *s, size_t n);
    int (*fault)(void *arg, const struct mm_job *j);
    void *arg;
    struct mm_err *err;
};

/* mm_runner_run: all jobs.  When the input itself fails, complete items before it
 * are answered first. */
MM_MUST_CHECK int mm_runner_run(struct mm_runner *r, const struct mm_jobs_spec *spec);

/* mm_runner_perplexity: of the text file at path, as a line in sink->out: how many
 * tokens, their mean negative log-probability, the exponential of that.
 * MM_EMISSING without a tokenizer. */
MM_MUST_CHECK int mm_runner_perplexity(struct mm_gen *g, const struct mm_tok *tok,
                                       const char *path, struct mm_sink *sink, struct mm_err *e);

#endif
