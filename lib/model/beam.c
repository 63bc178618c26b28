/* beam.c: beam search.  See beam.h. */
#include "model/beam.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

struct text { /* a row of generated tokens */
    int32_t *ids;
    float *logprobs;
    size_t n;
    double score; /* running: sum of log-probabilities; finished: with the length */
    bool ended;
    size_t order; /* finished: when */
};

struct cand {
    double score;
    size_t row;
    int32_t id;
};

struct mm_beams {
    struct mm_beam_spec o;
    size_t vocab, step;
    struct text *run, *next; /* [beams] */
    struct text *done;       /* [beams + 1], in the order in which they came */
    size_t ndone, norder;
    double worst;
    bool finished;
    struct cand *cand;       /* [max(2, 1 + neos) * beams] */
    size_t ncand;
    int32_t *ids;            /* memory of all texts */
    float *logprobs;
};

int mm_beams_new(struct mm_beams **out, const struct mm_beam_spec *spec, size_t vocab,
                 struct mm_err *e)
{
    const size_t texts = 3 * spec->beams + 1;
    struct mm_beams *b = calloc(1, sizeof(*b));
    size_t cells;

    assert(spec->beams >= 1 && spec->max_new >= 1);
    if (!b || !mm_size_mul(texts, spec->max_new, &cells))
        goto fail;
    b->o = *spec;
    b->vocab = vocab;
    b->worst = 1e9;
    b->ncand = (spec->neos > 1 ? 1 + spec->neos : 2) * spec->beams;
    b->cand = calloc(b->ncand, sizeof(*b->cand));
    b->run = calloc(texts, sizeof(*b->run));
    b->ids = calloc(cells, sizeof(*b->ids));
    b->logprobs = calloc(cells, sizeof(*b->logprobs));
    if (!b->cand || !b->run || !b->ids || !b->logprobs)
        goto fail;
    b->next = b->run + spec->beams;
    b->done = b->next + spec->beams;
    for (size_t i = 0; i < texts; i++) {
        b->run[i].ids = b->ids + i * spec->max_new;
        b->run[i].logprobs = b->logprobs + i * spec->max_new;
    }
    *out = b;
    return 0;
fail:
    mm_beams_free(b);
    return mm_err_set(e, MM_ENOMEM, "beam search: out of memory");
}

void mm_beams_free(struct mm_beams *b)
{
    if (!b)
        return;
    free(b->cand);
    free(b->run);
    free(b->ids);
    free(b->logprobs);
    free(b);
}

size_t mm_beams_rows(const struct mm_beams *b)
{
    return b->step == 0 ? 1 : b->o.beams;
}

const int32_t *mm_beams_tokens(const struct mm_beams *b, size_t i, size_t *n)
{
    *n = b->run[i].n;
    return b->run[i].ids;
}

/* --- finished answers -------------------------------------------------------------- */

static void copy_text(struct text *dst, const struct text *src)
{
    memcpy(dst->ids, src->ids, src->n * sizeof(*dst->ids));
    memcpy(dst->logprobs, src->logprobs, src->n * sizeof(*dst->logprobs));
    dst->n = src->n;
}

static double normalised(const struct mm_beams *b, double sum, size_t length)
{
    return sum / pow((double)length, b->o.length_penalty);
}

/* The place of the worst finished answer, the earliest on ties. */
static size_t worst_at(const struct mm_beams *b)
{
    size_t at = 0;

    for (size_t i = 1; i < b->ndone; i++)
        if (b->done[i].score < b->done[at].score)
            at = i;
    return at;
}

static void finish(struct mm_beams *b, const struct text *t, double sum, size_t length, bool ended,
                   float logprob)
{
    const double score = normalised(b, sum, length);

    if (b->ndone >= b->o.beams && score <= b->worst)
        return;
    struct text *d = &b->done[b->ndone++];
    copy_text(d, t);
    d->score = score;
    d->ended = ended;
    d->order = b->norder++;
    if (ended) {
        d->ids[d->n] = b->o.eos[0];
        d->logprobs[d->n++] = logprob;
    }
    if (b->ndone <= b->o.beams) {
        b->worst = score < b->worst ? score : b->worst;
        return;
    }
    const size_t at = worst_at(b);
    const struct text gone = b->done[at]; /* its memory goes to the free place at the end */
    memmove(&b->done[at], &b->done[at + 1], (b->ndone - at - 1) * sizeof(*b->done));
    b->done[--b->ndone] = gone;
    b->worst = b->done[worst_at(b)].score;
}

static bool is_done(const struct mm_beams *b, double best, size_t length)
{
    if (b->ndone < b->o.beams)
        return false;
    if (b->o.early == MM_EARLY_TRUE)
        return true;
    if (b->o.early == MM_EARLY_NEVER && b->o.length_penalty > 0)
        length = b->o.max_new;
    return b->worst >= normalised(b, best, length);
}

/* --- a step -------------------------------------------------------------------------- */

static bool better(const struct cand *a, const struct cand *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    return a->row != b->row ? a->row < b->row : a->id < b->id;
}

/* The best candidates over all rows, best first (insertion: few are kept). */
static size_t best_candidates(struct mm_beams *b, const float *score, size_t rows)
{
    size_t n = 0;

    for (size_t r = 0; r < rows; r++)
        for (size_t id = 0; id < b->vocab; id++) {
            const struct cand c = { score[r * b->vocab + id] + b->run[r].score, r, (int32_t)id };
            if (!(c.score > -INFINITY) || (n == b->ncand && !better(&c, &b->cand[n - 1])))
                continue;
            size_t at = n < b->ncand ? n++ : n - 1;
            for (; at > 0 && better(&c, &b->cand[at - 1]); at--)
                b->cand[at] = b->cand[at - 1];
            b->cand[at] = c;
        }
    return n;
}

static bool is_eos(const struct mm_beams *b, int32_t id)
{
    for (size_t i = 0; i < b->o.neos; i++)
        if (b->o.eos[i] == id)
            return true;
    return false;
}

static void extend(struct mm_beams *b, size_t to, const struct cand *c, float logprob)
{
    struct text *t = &b->next[to];

    copy_text(t, &b->run[c->row]);
    t->ids[t->n] = c->id;
    t->logprobs[t->n++] = logprob;
    t->score = c->score;
}

/* Best first; of equal ones the last that came (as a stable sort popped from the end). */
static int by_score(const void *pa, const void *pb)
{
    const struct text *a = pa;
    const struct text *b = pb;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->order > b->order ? -1 : 1;
}

void mm_beams_stop(struct mm_beams *b)
{
    if (!b->finished && b->step)
        for (size_t i = 0; i < b->o.beams; i++)
            if (b->run[i].score > -INFINITY)
                finish(b, &b->run[i], b->run[i].score, b->run[i].n, false, 0);
    b->finished = true;
    if (b->ndone)
        qsort(b->done, b->ndone, sizeof(*b->done), by_score);
}

int mm_beams_step(struct mm_beams *b, const float *score, const float *raw, size_t *parent,
                  int32_t *token, struct mm_err *e)
{
    const size_t length = b->step + 1;
    const size_t n = best_candidates(b, score, mm_beams_rows(b));
    size_t filled = 0;

    assert(!b->finished);
    if (n == 0)
        return mm_err_set(e, MM_EDATA, "beam search: no token is possible");
    for (size_t i = 0; i < n && filled < b->o.beams; i++) {
        const struct cand *c = &b->cand[i];
        const float lp = raw[c->row * b->vocab + (size_t)c->id];
        if (!is_eos(b, c->id)) {
            parent[filled] = c->row;
            token[filled] = c->id;
            extend(b, filled++, c, lp);
        } else if (i < b->o.beams) {
            finish(b, &b->run[c->row], c->score, length, true, lp);
        }
    }
    for (; filled < b->o.beams; filled++) { /* fewer possible tokens than beams */
        parent[filled] = 0;
        token[filled] = b->cand[0].id;
        extend(b, filled, &b->cand[0], 0);
        b->next[filled].score = -INFINITY;
    }
    struct text *const old = b->run;
    for (size_t i = 0; i < b->o.beams; i++) {
        const struct text t = old[i];
        old[i] = b->next[i];
        b->next[i] = t;
    }
    b->step++;
    b->finished = is_done(b, b->cand[0].score, length);
    if (b->finished || b->step >= b->o.max_new)
        mm_beams_stop(b);
    return !b->finished;
}

size_t mm_beams_count(const struct mm_beams *b)
{
    return b->ndone;
}

struct mm_hyp mm_beams_hyp(const struct mm_beams *b, size_t i)
{
    const struct text *t = &b->done[i];

    return (struct mm_hyp){ t->ids, t->logprobs, t->n, t->score, t->ended };
}
