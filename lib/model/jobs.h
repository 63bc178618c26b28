/* jobs.h: what a run is to answer, one prompt after another: the items of a
 * stream, the text of -p, the lines of --prompts, the prefix of a saved state.
 */
#ifndef MM_MODEL_JOBS_H
#define MM_MODEL_JOBS_H

#include <jansson.h>

#include "model/generate.h"
#include "model/items.h"
#include "model/llm.h"

struct mm_jobs_spec {
    const struct mm_llm *llm;
    struct mm_input *in;          /* records; NULL: none, one job without an item */
    const char *text;             /* template text [n], or NULL */
    size_t n;
    const json_t *prompts;        /* array of { source, prompt }, or NULL */
    const struct mm_template *wrap; /* NULL, or texts are user turns of this template */
    const char *system;           /* system text of it; NULL: its own */
    const struct mm_parts *state; /* prefix, or NULL; a text that begins with its spelling
                                     stands for the whole */
};

struct mm_shared_item; /* an item that several jobs ask about */

struct mm_job {
    size_t number;                /* from 0 */
    struct mm_item *item;         /* its records; never NULL; owned by several jobs together */
    struct mm_shared_item *shared;
    struct mm_parts parts;
    struct mm_prompt prompt;
    bool asked;                   /* mm_job_asked was called */
    struct mm_err fault;          /* why it cannot be answered */
};
void mm_job_free(struct mm_job *j); /* takes a zeroed one */

/* mm_job_asked: the prompt will not be needed any more: its parts go, the item's
 * embeddings too once no job needs them. */
void mm_job_asked(struct mm_job *j);

struct mm_jobs;

MM_MUST_CHECK int mm_jobs_new(struct mm_jobs **js, const struct mm_jobs_spec *spec,
                              struct mm_err *e);
void mm_jobs_free(struct mm_jobs *js); /* takes NULL */

/* mm_jobs_next: 1, 0 when there are no more, or an error of the input, or of lines of
 * --prompts that were about no item.  What is wrong with one job alone is its fault. */
MM_MUST_CHECK int mm_jobs_next(struct mm_jobs *js, struct mm_job *j, struct mm_err *e);

/* mm_jobs_read: the lines of a --prompts file (JSON objects) as an array.
 * MM_EDATA naming the line. */
MM_MUST_CHECK int mm_jobs_read(json_t **prompts, const char *path, struct mm_err *e);

/* mm_jobs_want_records: does any text hold a marker that the state does not fill? */
bool mm_jobs_want_records(const struct mm_jobs_spec *spec);

#endif
