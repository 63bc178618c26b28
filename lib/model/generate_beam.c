/* generate_beam.c: beam search with a cache per beam.  See generate.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/generate_impl.h"

struct search {
    struct mm_gen *g;
    const struct mm_prompt *prompt;
    size_t beams;
    struct mm_beams *b;
    struct mm_kv **kv, **old; /* [beams] */
    float *logits;            /* [beams, vocab] */
    float *raw, *score;       /* [beams, vocab] log-probabilities, and processed */
    float **row;              /* [beams] rows of logits */
    size_t *parent;
    int32_t *token, *history;
    struct mm_err *e;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "beam search: out of memory");
}

static void search_free(struct search *s)
{
    for (size_t i = 0; i < s->beams && s->kv; i++)
        mm_kv_free(s->kv[i]);
    mm_beams_free(s->b);
    free(s->kv);
    free(s->old);
    free(s->logits);
    free(s->raw);
    free(s->score);
    free(s->row);
    free(s->parent);
    free(s->token);
    free(s->history);
}

static int search_alloc(struct search *s, const struct mm_beam_spec *spec)
{
    const size_t v = s->g->vocab;
    int rc = mm_beams_new(&s->b, spec, v, s->e);

    s->kv = calloc(s->beams, sizeof(*s->kv));
    s->old = calloc(s->beams, sizeof(*s->old));
    s->logits = calloc(s->beams * v, sizeof(*s->logits));
    s->raw = calloc(s->beams * v, sizeof(*s->raw));
    s->score = calloc(s->beams * v, sizeof(*s->score));
    s->row = calloc(s->beams, sizeof(*s->row));
    s->parent = calloc(s->beams, sizeof(*s->parent));
    s->token = calloc(s->beams, sizeof(*s->token));
    s->history = calloc(s->prompt->n + spec->max_new + 1, sizeof(*s->history));
    if (rc == 0 && (!s->kv || !s->old || !s->logits || !s->raw || !s->score || !s->row ||
                    !s->parent || !s->token || !s->history))
        rc = no_memory(s->e);
    for (size_t i = 0; i < s->beams && rc == 0; i++) {
        s->row[i] = s->logits + i * v;
        rc = mm_llama_kv(&s->kv[i], s->g->m, s->g->o.kv, s->e);
        if (rc == 0)
            rc = mm_kv_copy(s->kv[i], s->g->past.kv, s->prompt->n, s->e);
    }
    return rc;
}

/* Log-probabilities of each row, and what the processors make of them. */
static void score_rows(struct search *s)
{
    const size_t v = s->g->vocab;
    const struct mm_prompt *p = s->prompt;
    const size_t skip = p->nrows ? p->n : 0; /* begun with embeddings: generated ids only */

    for (size_t i = 0; i < mm_beams_rows(s->b); i++) {
        const double lse = mm_logsumexp(s->row[i], v);
        for (size_t k = 0; k < v; k++)
            s->raw[i * v + k] = s->score[i * v + k] = (float)(s->row[i][k] - lse);
        size_t n;
        const int32_t *ids = mm_beams_tokens(s->b, i, &n);
        const size_t from = p->n - skip;
        if (from)
            memcpy(s->history, p->id, from * sizeof(*ids));
        if (n)
            memcpy(s->history + from, ids, n * sizeof(*ids));
        mm_sampler_penalise(s->g->sampler, s->score + i * v, s->history, from + n, n);
    }
}

/* Caches follow their beams: the first child takes its parent's, others copy. */
static int reorder(struct search *s)
{
    int rc = 0;

    memcpy(s->old, s->kv, s->beams * sizeof(*s->kv));
    memset(s->kv, 0, s->beams * sizeof(*s->kv));
    struct mm_kv **spare = malloc(s->beams * sizeof(*spare));
    size_t nspare = 0;
    if (!spare) {
        memcpy(s->kv, s->old, s->beams * sizeof(*s->kv));
        return no_memory(s->e);
    }
    for (size_t i = 0; i < s->beams; i++) { /* first children */
        bool taken = false;
        for (size_t k = 0; k < i; k++)
            taken |= s->parent[k] == s->parent[i];
        if (!taken)
            s->kv[i] = s->old[s->parent[i]];
    }
    for (size_t i = 0; i < s->beams; i++) { /* caches nobody continues */
        bool used = false;
        for (size_t k = 0; k < s->beams; k++)
            used |= s->kv[k] == s->old[i];
        if (!used)
            spare[nspare++] = s->old[i];
    }
    for (size_t i = 0; i < s->beams; i++)
        if (!s->kv[i]) {
            s->kv[i] = spare[--nspare];
            if (rc == 0)
                rc = mm_kv_copy(s->kv[i], s->old[s->parent[i]],
                                mm_kv_len(s->old[s->parent[i]]), s->e);
        }
    free(spare);
    return rc;
}

static int search_run(struct search *s, size_t room)
{
    const size_t v = s->g->vocab;

    memcpy(s->row[0], s->g->past.logits, v * sizeof(float));
    for (size_t step = 0;; step++) {
        score_rows(s);
        int rc = mm_beams_step(s->b, s->score, s->raw, s->parent, s->token, s->e);
        if (rc <= 0)
            return rc;
        if (step + 1 >= room || (s->g->o.interrupt && *s->g->o.interrupt)) {
            mm_beams_stop(s->b);
            return 0;
        }
        rc = reorder(s);
        if (rc == 0)
            rc = mm_gen_step(s->g, s->kv, s->token, s->row, s->beams, s->e);
        if (rc < 0)
            return rc;
    }
}

static int answer_of(struct search *s, const struct mm_hyp *h, size_t max_new, double start,
                     struct mm_answer *a)
{
    if (!mm_grow(&a->ids, &a->id_cap, h->n + 1, sizeof(*a->ids)) ||
        !mm_grow(&a->logprobs, &a->lp_cap, h->n + 1, sizeof(*a->logprobs)))
        return no_memory(s->e);
    if (h->n) {
        memcpy(a->ids, h->ids, h->n * sizeof(*a->ids));
        memcpy(a->logprobs, h->logprobs, h->n * sizeof(*a->logprobs));
    }
    a->n = h->n;
    a->prompt = s->prompt->n;
    a->score = h->score;
    a->stop = h->ended ? MM_STOP_EOS : h->n >= max_new ? MM_STOP_LENGTH : MM_STOP_CONTEXT;
    a->ms = 1e3 * (mm_now() - start);
    return mm_gen_text(s->g, a, h->n - h->ended, s->g->o.trim || s->prompt->nrows > 0, s->e);
}

int mm_gen_beam(struct mm_gen *g, const struct mm_prompt *p, const struct mm_beam_spec *spec,
                struct mm_answer *answers, size_t *n, struct mm_err *e)
{
    const double start = mm_now();
    const size_t before = g->stats.computed;
    struct search s = { .g = g, .prompt = p, .beams = spec->beams, .e = e };
    void (*const trace)(void *, const char *, const struct mm_tensor *) = g->ctx->trace;
    int rc = mm_gen_prefill(g, p, e);

    *n = 0;
    const double decode = mm_gen_clock(g);
    g->ctx->trace = NULL;
    if (rc == 0)
        rc = search_alloc(&s, spec);
    if (rc == 0)
        rc = search_run(&s, g->context - p->n);
    g->ctx->trace = trace;
    for (size_t i = 0; rc == 0 && i < mm_beams_count(s.b); i++) {
        const struct mm_hyp h = mm_beams_hyp(s.b, i);
        rc = answer_of(&s, &h, spec->max_new, start, &answers[i]);
        answers[i].computed = g->stats.computed - before;
        *n = i + 1;
    }
    g->stats.decode_s += mm_gen_clock(g) - decode;
    search_free(&s);
    return rc;
}
