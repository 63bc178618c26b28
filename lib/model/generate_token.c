/* generate_token.c: one sequence and its next token: logits -> processors -> choice ->
 * text -> does it end?  See generate_impl.h.
 */
#include <string.h>

#include "model/generate_impl.h"

enum {
    RESERVE = 4096,   /* tokens an answer has room for from the start, */
    TOKEN_BYTES = 16, /*   its text, so many bytes a token, */
    KV_RESERVE = 256  /* and tokens its cache has room for: memory that may not be needed */
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "generation: out of memory");
}

/* --- begin and end -------------------------------------------------------------------- */

/* Room for the answer, so that no token allocates. */
static int reserve(const struct mm_gen *g, struct mm_place *l)
{
    struct mm_answer *a = l->r->answer;
    size_t n = g->context - l->r->prompt->n;

    n = n < g->o.max_new ? n : g->o.max_new;
    n = n < RESERVE ? n : RESERVE;
    mm_kv_expect(l->kv, l->r->prompt->n + (n < KV_RESERVE ? n : KV_RESERVE));
    if (!mm_grow(&a->ids, &a->id_cap, n + 1, sizeof(*a->ids)) ||
        !mm_grow(&a->logprobs, &a->lp_cap, n + 1, sizeof(*a->logprobs)) ||
        !mm_grow(&l->seq.id, &l->seq.cap, l->seq.n + n + 1, sizeof(*l->seq.id)) ||
        !mm_grow(&l->text.out.p, &l->text.out.cap, TOKEN_BYTES * n + 1, 1) ||
        !mm_grow(&l->text.held.p, &l->text.held.cap, TOKEN_BYTES * TOKEN_BYTES, 1))
        return MM_ENOMEM;
    return 0;
}

int mm_place_begin(struct mm_gen *g, struct mm_place *l, struct mm_request *r, struct mm_err *e)
{
    const bool media = r->prompt->nrows > 0;
    int rc = 0;

    l->r = r;
    l->state = MM_PLACE_NEW;
    l->start = mm_now();
    l->text = (struct mm_textout){ .stop = g->o.stop, .nstop = g->o.nstop,
                                   .trim = g->o.trim || media };
    mm_rng_seed(&l->rng, g->o.seed + r->number);
    r->answer->prompt = r->prompt->n;
    if (mm_prompt_copy(&l->seq, r->prompt) < 0 || reserve(g, l) < 0)
        rc = no_memory(e);
    if (rc == 0 && g->o.gram)
        rc = mm_gstate_new(&l->gstate, g->o.gram, e);
    if (rc == 0 && g->tok)
        rc = mm_tok_stream_new(&l->stream, g->tok, g->o.continues && !l->text.trim, e);
    return rc;
}

void mm_place_end(struct mm_place *l)
{
    const size_t have = l->kv ? mm_kv_len(l->kv) : 0;

    if (l->seq.n > have)
        l->seq.n = have;
    for (size_t k = 0; k < l->seq.nrows; k++)
        l->seq.row[k] = NULL; /* the rows are the caller's and may go */
    mm_gstate_free(l->gstate);
    mm_tok_stream_free(l->stream);
    mm_textout_free(&l->text);
    l->gstate = NULL;
    l->stream = NULL;
    l->r = NULL;
    l->state = MM_PLACE_FREE;
}

/* --- the choice ------------------------------------------------------------------------- */

/* Pick under a grammar: try one token, and only if it does not fit mask all
 * (the same distribution: what is rejected is drawn again among what fits). */
static int pick_grammar(struct mm_gen *g, struct mm_place *l, int32_t *id)
{
    const struct mm_sample_spec *o = &g->o.sample;
    struct mm_err *e = &l->r->fault;
    size_t n;

    memcpy(g->spare, g->work, g->vocab * sizeof(*g->spare));
    mm_sampler_warp(g->sampler, g->work);
    *id = mm_sampler_pick(g->sampler, g->work, &l->rng);
    bool end = false;
    for (size_t i = 0; i < o->neos; i++)
        end |= o->eos[i] == *id;
    const char *s = mm_gvocab_bytes(g->o.gvocab, *id, &n);
    int rc = end ? mm_gstate_complete(l->gstate)
                 : s && *s ? mm_gstate_accepts(l->gstate, s, n, e) : 0;
    if (rc == 0) {
        rc = mm_gstate_mask(l->gstate, g->o.gvocab, g->spare, g->vocab, o->eos, o->neos, e);
        mm_sampler_warp(g->sampler, g->spare);
        *id = rc < 0 ? -1 : mm_sampler_pick(g->sampler, g->spare, &l->rng);
    }
    return rc < 0 ? rc : 0;
}

static int pick(struct mm_gen *g, struct mm_place *l, int32_t *id)
{
    /* begun with embeddings: penalties see generated ids only */
    const size_t skip = l->r->prompt->nrows ? l->r->prompt->n : 0;

    memcpy(g->work, l->logits, g->vocab * sizeof(*g->work));
    mm_sampler_penalise(g->sampler, g->work, l->seq.id + skip, l->seq.n - skip, l->r->answer->n);
    if (g->o.gram)
        return pick_grammar(g, l, id);
    mm_sampler_warp(g->sampler, g->work);
    *id = mm_sampler_pick(g->sampler, g->work, &l->rng);
    return 0;
}

static int keep_logits(struct mm_gen *g, struct mm_place *l)
{
    struct mm_answer *a = l->r->answer;
    const size_t v = g->vocab;

    if (!g->o.keep_logits)
        return 0;
    if (!mm_grow(&a->logits, &a->logit_cap, (a->n + 1) * v, sizeof(*a->logits)))
        return no_memory(&l->r->fault);
    memcpy(a->logits + a->n * v, l->logits, v * sizeof(*a->logits));
    return 0;
}

static int record(struct mm_gen *g, struct mm_place *l, int32_t id)
{
    struct mm_answer *a = l->r->answer;
    const double lse = g->o.logprobs ? mm_logsumexp(l->logits, g->vocab) : l->logits[id];

    if (!mm_grow(&a->ids, &a->id_cap, a->n + 1, sizeof(*a->ids)) ||
        !mm_grow(&a->logprobs, &a->lp_cap, a->n + 1, sizeof(*a->logprobs)) ||
        mm_prompt_add(&l->seq, id) < 0)
        return no_memory(&l->r->fault);
    a->ids[a->n] = id;
    a->logprobs[a->n++] = (float)(l->logits[id] - lse);
    return 0;
}

/* --- the text ----------------------------------------------------------------------------- */

/* What the token adds to the text; true in *hit when a stop string is complete. */
static int add_text(struct mm_gen *g, struct mm_place *l, int32_t id, bool *hit)
{
    int rc = 0;

    mm_buf_reset(&g->piece);
    if (l->stream)
        rc = mm_tok_stream_put(l->stream, &g->piece, id, &l->r->fault);
    if (rc == 0)
        *hit = mm_textout_put(&l->text, g->piece.p, g->piece.n);
    return rc < 0 ? rc : g->piece.failed ? no_memory(&l->r->fault) : 0;
}

static int show(struct mm_place *l)
{
    size_t n;
    const char *s = mm_textout_take(&l->text, &n);

    if (l->text.out.failed || l->text.held.failed)
        return no_memory(&l->r->fault);
    return n && l->r->emit ? l->r->emit(l->r->arg, s, n) : 0;
}

/* The answer is complete. */
static int stop(struct mm_gen *g, struct mm_place *l, enum mm_stop why)
{
    struct mm_answer *a = l->r->answer;
    struct mm_err *e = &l->r->fault;
    int rc = 0;

    a->stop = why;
    a->ms = 1e3 * (mm_now() - l->start);
    mm_buf_reset(&g->piece);
    if (l->stream && !l->text.stopped)
        rc = mm_tok_stream_end(l->stream, &g->piece, e);
    if (g->piece.n && mm_textout_put(&l->text, g->piece.p, g->piece.n))
        a->stop = MM_STOP_STOP;
    mm_textout_end(&l->text);
    if (rc == 0)
        rc = show(l);
    if (rc == 0)
        rc = mm_gen_text(g, a, a->n - (a->stop == MM_STOP_EOS), l->text.trim, e);
    l->r->done = rc == 0;
    if (rc == 0)
        mm_place_end(l);
    return rc;
}

/* --- one token ------------------------------------------------------------------------------ */

/* The token was chosen: what it does to text, grammar and the end. */
static int take(struct mm_gen *g, struct mm_place *l, int32_t id)
{
    struct mm_answer *a = l->r->answer;
    bool hit = false;
    int rc = record(g, l, id);

    for (size_t i = 0; i < g->o.sample.neos && rc == 0; i++)
        if (g->o.sample.eos[i] == id)
            return stop(g, l, MM_STOP_EOS);
    if (rc == 0 && l->gstate) {
        size_t n;
        const char *s = mm_gvocab_bytes(g->o.gvocab, id, &n);
        rc = s ? mm_gstate_advance(l->gstate, s, n, &l->r->fault) : 0;
    }
    if (rc == 0)
        rc = add_text(g, l, id, &hit);
    if (rc < 0)
        return rc;
    if (hit || (g->o.interrupt && *g->o.interrupt))
        return stop(g, l, MM_STOP_STOP);
    if (a->n >= g->o.max_new)
        return stop(g, l, MM_STOP_LENGTH);
    if (l->seq.n >= g->context)
        return stop(g, l, MM_STOP_CONTEXT);
    l->state = MM_PLACE_STEP;
    return show(l);
}

int mm_place_next(struct mm_gen *g, struct mm_place *l)
{
    int32_t id = -1;
    int rc = keep_logits(g, l);

    if (rc == 0 && (g->o.max_new == 0 || l->seq.n >= g->context)) /* of the prompt alone */
        return stop(g, l, g->o.max_new ? MM_STOP_CONTEXT : MM_STOP_LENGTH);
    if (rc == 0)
        rc = pick(g, l, &id);
    if (rc < 0)
        return rc;
    if (id >= 0)
        return take(g, l, id);
    if (l->gstate && mm_gstate_complete(l->gstate)) /* nothing may follow */
        return stop(g, l, MM_STOP_STOP);
    return mm_err_set(&l->r->fault, MM_EDATA, "token %zu: every token is ruled out, or the logits "
                      "are not numbers", l->r->answer->n);
}
