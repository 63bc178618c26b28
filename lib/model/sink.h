/* sink.h: answers in the form that is asked for: plain text, lines of JSON, or
 * records of a stream.  Text and JSON are gathered in `out`, which the caller
 * prints and resets; records are written.
 */
#ifndef MM_MODEL_SINK_H
#define MM_MODEL_SINK_H

#include "model/jobs.h"
#include "stream/trace.h"

struct mm_sink {
    bool json;
    struct mm_writer *records; /* NULL: text or JSON */
    struct mm_trace *trace;    /* gets greedy.logits; may be NULL */
    bool logits;               /* records of them too */
    bool has_text;             /* the model has a tokenizer */
    bool beams;                /* answers have scores */
    int64_t vocab;
    uint64_t model;            /* fingerprint */
    struct mm_buf out;
};

/* mm_sink_number: the item number a job is reported under. */
int64_t mm_sink_number(const struct mm_job *j);

/* mm_sink_answer: shown: the text itself is out already (streamed), only its end is
 * missing.  Records: what the item held that was no part of the prompt, then text,
 * tokens [n] i32, logits [steps, vocab].  JSON: as INTERFACE of mm-llm(1). */
MM_MUST_CHECK int mm_sink_answer(struct mm_sink *s, const struct mm_job *j, struct mm_answer *a,
                                 bool shown, struct mm_err *e);

/* mm_sink_score: one line of JSON; plain: sum and text. */
MM_MUST_CHECK int mm_sink_score(struct mm_sink *s, const struct mm_job *j, const char *text,
                                const struct mm_ids *ids, const float *logprobs, struct mm_err *e);

/* mm_sink_fault: that the job failed (nothing in plain text). */
MM_MUST_CHECK int mm_sink_fault(struct mm_sink *s, const struct mm_job *j, struct mm_err *e);

#endif
