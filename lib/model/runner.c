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

static int emit(void *arg, size_t which, const char *s, size_t n)
{
    const struct mm_runner *a = arg;

    (void)which;
    return a->print(a->arg, s, n);
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

/* One job by itself: text appears as it is generated. */
static int run_one(struct mm_runner *a, struct mm_job *j)
{
    const struct mm_prompt *p = &j->prompt;
    const bool live = !a->sink->json && !a->sink->records && a->llm->tok;
    struct mm_answer ans = { 0 };
    int rc = 0;

    *a->item = mm_sink_number(j);
    if (a->save_state) {
        if (j->number > 0)
            return mm_err_set(&j->fault, MM_EDATA, "--save-state: more than one item");
        rc = mm_gen_prefill(a->gen, p, &j->fault);
        if (rc == 0)
            rc = mm_state_save(a->save_state, a->gen, &j->parts, a->llm->fingerprint, &j->fault);
    }
    if (rc == 0 && a->nscore)
        return run_scores(a, j);
    if (rc == 0 && a->beam.beams)
        return run_beams(a, j);
    if (rc == 0)
        rc = mm_gen_run(a->gen, &p, 1, j->number, &ans, live ? emit : NULL, a, &j->fault);
    if (rc == 0)
        rc = mm_sink_answer(a->sink, j, &ans, live, &j->fault);
    mm_answer_free(&ans);
    return rc < 0 ? rc : print_out(a);
}

/* Several jobs together; their answers in order. */
static int run_together(struct mm_runner *a, struct mm_job *const *j, size_t n)
{
    const struct mm_prompt **p = calloc(n, sizeof(*p));
    struct mm_answer *ans = calloc(n, sizeof(*ans));
    int rc = p && ans ? 0 : MM_ENOMEM;

    for (size_t i = 0; i < n && rc == 0; i++)
        p[i] = &j[i]->prompt;
    if (rc == 0)
        rc = mm_gen_run(a->gen, p, n, j[0]->number, ans, NULL, NULL, &j[0]->fault);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = mm_sink_answer(a->sink, j[i], &ans[i], false, &j[0]->fault);
    for (size_t i = 0; i < n && ans; i++)
        mm_answer_free(&ans[i]);
    free(p);
    free(ans);
    return rc < 0 ? rc : print_out(a);
}

/* The jobs gathered: those that are sound, one by one or in one go; faults in
 * their place.  A batch that fails as a whole is done one by one. */
static int run_jobs(struct mm_runner *a, struct mm_job *jobs, size_t n)
{
    struct mm_job **good = calloc(n + 1, sizeof(*good));
    size_t k = 0;
    int rc = good ? 0 : mm_err_set(a->err, MM_ENOMEM, "out of memory");

    for (size_t i = 0; i < n && good; i++)
        if (!jobs[i].fault.code && mm_gen_check(a->gen, &jobs[i].prompt, &jobs[i].fault) == 0)
            good[k++] = &jobs[i];
    const bool together = k == n && n > 1 && run_together(a, good, n) == 0;
    if (a->err->code)
        rc = a->err->code;
    for (size_t i = 0; i < n && rc == 0 && !together; i++) {
        if (k == n && i == 0 && n > 1)
            mm_err_clear(&jobs[0].fault);
        if (jobs[i].fault.code || run_one(a, &jobs[i]) < 0)
            rc = a->err->code ? a->err->code : a->fault(a->arg, &jobs[i]);
    }
    for (size_t i = 0; i < n; i++)
        mm_job_free(&jobs[i]);
    free(good);
    return rc;
}

int mm_runner_run(struct mm_runner *a, const struct mm_jobs_spec *spec)
{
    const bool alone = a->sink->trace || a->nscore || a->beam.beams || a->save_state;
    const size_t most = alone ? 1 : a->batch;
    struct mm_job *jobs = calloc(most, sizeof(*jobs));
    struct mm_jobs *js = NULL;
    struct mm_err *e = a->err;
    struct mm_err read = { 0 };
    int rc = jobs ? mm_jobs_new(&js, spec, e) : mm_err_set(e, MM_ENOMEM, "out of memory");
    int more = 1;

    while (rc == 0 && more > 0) {
        size_t n = 0;
        while (n < most && (more = mm_jobs_next(js, &jobs[n], &read)) > 0)
            n++;
        if (n)
            rc = run_jobs(a, jobs, n); /* complete items are answered, then the input's end */
    }
    if (rc == 0 && more < 0)
        rc = mm_err_set(e, more, "%s", read.msg);
    mm_jobs_free(js);
    free(jobs);
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
