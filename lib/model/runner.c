/* runner.c: see runner.h. */
#include "model/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "model/state.h"

static int print_out(struct mm_runner *a)
{
    const int rc = a->sink->out.n ? a->print(a->arg, a->sink->out.p, a->sink->out.n) : 0;

    mm_buf_reset(&a->sink->out);
    return rc;
}

static int run_scores(struct mm_runner *a, struct mm_job *j)
{
    struct mm_err *e = &j->fault;
    int rc = mm_gen_prefill(a->gen, &j->prompt, e);

    for (size_t i = 0; i < a->nscore && rc == 0; i++) {
        const char *text = a->score[i];
        const char *bare = text + (*text == ' '); /* the tokenizer puts one there */
        struct mm_ids ids = { 0 };
        rc = a->llm->tok ? mm_tok_encode(a->llm->tok, &ids, bare, strlen(bare), 0, e)
                        : mm_err_set(e, MM_EMISSING, "--score: the model has no tokenizer");
        float *lp = calloc(ids.n + 1, sizeof(*lp));
        if (rc == 0 && !lp)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        if (rc == 0)
            rc = mm_gen_continue(a->gen, ids.v, ids.n, lp, e);
        if (rc == 0)
            rc = mm_sink_score(a->sink, j, text, &ids, lp, e);
        free(lp);
        mm_ids_free(&ids);
    }
    return rc < 0 ? rc : print_out(a);
}

static int run_beams(struct mm_runner *a, struct mm_job *j)
{
    const struct mm_beam_spec b = a->beam;
    struct mm_answer *ans = calloc(b.beams, sizeof(*ans));
    size_t n = 0;

    int rc = ans ? mm_gen_beam(a->gen, &j->prompt, &b, ans, &n, &j->fault)
                 : mm_err_set(&j->fault, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n && i < a->num_return && rc == 0; i++)
        rc = mm_sink_answer(a->sink, j, &ans[i], false, &j->fault);
    for (size_t i = 0; i < b.beams && ans; i++)
        mm_answer_free(&ans[i]);
    free(ans);
    return rc < 0 ? rc : print_out(a);
}

/* Is text printed as it is generated, when it is one answer's? */
static bool shows(const struct mm_runner *a)
{
    return !a->sink->json && !a->sink->records && a->llm->tok;
}

/* --- one job after the other -------------------------------------------------------- */

static int run_one(struct mm_runner *a, struct mm_job *j)
{
    struct mm_answer ans = { 0 };
    const bool live = shows(a);
    struct mm_request q = { .prompt = &j->prompt, .number = j->number, .answer = &ans,
                            .emit = live ? a->print : NULL, .arg = a->arg };
    int rc = mm_gen_check(a->gen, &j->prompt, &j->fault);

    *a->item = mm_sink_number(j);
    if (rc == 0 && a->save_state) {
        if (j->number > 0)
            return mm_err_set(&j->fault, MM_EDATA, "--save-state: more than one item");
        rc = mm_gen_prefill(a->gen, &j->prompt, &j->fault);
        if (rc == 0)
            rc = mm_state_save(a->save_state, a->gen, &j->parts, a->llm->fingerprint, &j->fault);
    }
    if (rc == 0 && a->nscore)
        return run_scores(a, j);
    if (rc == 0 && a->beam.beams)
        return run_beams(a, j);
    if (rc == 0)
        rc = mm_gen_run(a->gen, &q, 1, &j->fault);
    if (rc == 0)
        rc = mm_sink_answer(a->sink, j, &ans, live, &j->fault);
    mm_answer_free(&ans);
    return rc < 0 ? rc : print_out(a);
}

static int run_alone(struct mm_runner *a, struct mm_jobs *js, struct mm_err *read)
{
    struct mm_job j = { 0 };
    int rc = 0;

    while (rc == 0 && (rc = mm_jobs_next(js, &j, read)) > 0) {
        rc = 0;
        if (j.fault.code || run_one(a, &j) < 0)
            rc = a->err->code ? a->err->code : a->fault(a->arg, &j);
        mm_job_free(&j);
    }
    mm_job_free(&j);
    return read->code ? 0 : rc;
}

/* --- several together ------------------------------------------------------------------ */

enum { AHEAD = 16 }; /* jobs done or being done, for each place, while an earlier one runs */

/* A job taken up: being answered, or waiting for those before it to be printed. */
struct flight {
    struct mm_job job;
    struct mm_request q;
    struct mm_answer answer;
};

struct queue {
    struct flight *v;        /* [cap] a ring */
    size_t cap, first, n;
    struct mm_batch *batch;
    bool live;               /* text is printed as it is generated */
};

static struct flight *flight_at(const struct queue *q, size_t i)
{
    return &q->v[(q->first + i) % q->cap];
}

static void drop(struct queue *q)
{
    struct flight *f = flight_at(q, 0);

    mm_answer_free(&f->answer);
    mm_job_free(&f->job);
    q->first = (q->first + 1) % q->cap;
    q->n--;
}

/* The next job, if there is one, to a place: as mm_jobs_next. */
static int take_up(struct mm_runner *a, struct queue *q, struct mm_jobs *js, struct mm_err *read)
{
    struct flight *f = flight_at(q, q->n);

    *f = (struct flight){ .answer = { 0 } };
    const int more = mm_jobs_next(js, &f->job, read);
    if (more <= 0) {
        mm_job_free(&f->job);
        return more;
    }
    q->n++;
    f->q = (struct mm_request){ .prompt = &f->job.prompt, .number = f->job.number,
                                .answer = &f->answer, .emit = q->live ? a->print : NULL,
                                .arg = a->arg };
    f->q.done = f->job.fault.code != 0;
    if (!f->q.done && mm_batch_add(q->batch, &f->q, a->err) < 0)
        return a->err->code;
    return 1;
}

/* What is done is printed, in order. */
static int put_done(struct mm_runner *a, struct queue *q)
{
    int rc = 0;

    for (size_t i = 0; i < q->n; i++)
        if (flight_at(q, i)->q.done && !flight_at(q, i)->job.fault.code)
            mm_job_asked(&flight_at(q, i)->job);
    while (rc == 0 && q->n && flight_at(q, 0)->q.done) {
        struct flight *f = flight_at(q, 0);
        if (f->q.fault.code)
            f->job.fault = f->q.fault;
        if (!f->job.fault.code)
            rc = mm_sink_answer(a->sink, &f->job, &f->answer, q->live, &f->job.fault);
        if (rc == 0 && !f->job.fault.code)
            rc = print_out(a);
        if (f->job.fault.code)
            rc = a->fault(a->arg, &f->job);
        drop(q);
    }
    return rc;
}

static int run_batch(struct mm_runner *a, struct mm_jobs *js, struct mm_err *read)
{
    struct queue q = { .cap = (a->sink->logits ? 1 : AHEAD) * a->batch,
                       .live = a->batch == 1 && shows(a) };
    int more = 1;
    int rc = mm_batch_new(&q.batch, a->gen, a->batch, a->err);

    q.v = calloc(q.cap, sizeof(*q.v));
    if (rc == 0 && !q.v)
        rc = mm_err_set(a->err, MM_ENOMEM, "out of memory");
    while (rc == 0 && (more > 0 || q.n)) {
        while (more > 0 && rc == 0 && q.n < q.cap && mm_batch_room(q.batch)) {
            more = take_up(a, &q, js, read);
            rc = a->err->code;
        }
        if (rc == 0 && mm_batch_room(q.batch) < a->batch)
            rc = mm_batch_step(q.batch, a->err);
        if (rc == 0)
            rc = put_done(a, &q);
    }
    while (q.n)
        drop(&q);
    mm_batch_free(q.batch);
    free(q.v);
    return rc;
}

int mm_runner_run(struct mm_runner *a, const struct mm_jobs_spec *spec)
{
    const bool alone = a->sink->trace || a->nscore || a->beam.beams || a->save_state;
    struct mm_jobs *js = NULL;
    struct mm_err read = { 0 };
    int rc = mm_jobs_new(&js, spec, a->err);

    if (rc == 0)
        rc = alone ? run_alone(a, js, &read) : run_batch(a, js, &read);
    if (rc == 0 && read.code) /* complete items were answered, then the input's end */
        rc = mm_err_set(a->err, read.code, "%s", read.msg);
    mm_jobs_free(js);
    return rc;
}

int mm_runner_perplexity(struct mm_gen *g, const struct mm_tok *tok, const char *path,
                         struct mm_sink *sink, struct mm_err *e)
{
    struct mm_ids ids = { 0 };
    double mean = 0;
    size_t count = 0;
    char *text;
    size_t n;

    if (!tok)
        return mm_err_set(e, MM_EMISSING, "the model has no tokenizer: no text to read");
    int rc = mm_io_slurp(path, (size_t)1 << 30, &text, &n, e);
    if (rc < 0)
        return rc;
    rc = mm_tok_encode(tok, &ids, text, n, MM_TOK_SPECIAL, e);
    if (rc == 0)
        rc = mm_gen_perplexity(g, ids.v, ids.n, &mean, &count, e);
    if (rc < 0)
        mm_err_prefix(e, "%s", path);
    else
        mm_buf_printf(&sink->out, sink->json ? "{\"tokens\": %zu, \"loss\": %.9g, \"perplexity\": "
                                               "%.9g}\n"
                                             : "tokens %zu, loss %.6f, perplexity %.6f\n",
                      count, mean, exp(mean));
    mm_ids_free(&ids);
    free(text);
    return rc;
}
