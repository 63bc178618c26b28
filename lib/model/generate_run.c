/* generate_run.c: several prompts answered together.  See generate.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/generate_impl.h"
#include "model/textout.h"

/* One sequence being generated. */
struct live {
    struct mm_kv *kv;
    const struct mm_prompt *prompt;
    struct mm_prompt seq;     /* prompt and what was generated */
    bool media;               /* begun with embeddings: penalties see generated ids only */
    float *logits;            /* [vocab] raw, of the next token */
    struct mm_rng rng;
    struct mm_gstate *gstate;
    struct mm_tok_stream *stream;
    struct mm_textout text;
    struct mm_answer *answer;
    bool done;
};

struct run {
    struct mm_gen *g;
    struct live *live;
    size_t n;
    float *work;              /* [vocab] logits being processed */
    mm_emit_fn *emit;
    void *arg;
    double start;
    struct mm_err *e;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "generation: out of memory");
}

/* --- begin and end -------------------------------------------------------------------- */

static int begin(struct run *r, size_t i, const struct mm_prompt *p, uint64_t number,
                 struct mm_answer *a)
{
    struct mm_gen *g = r->g;
    struct live *l = &r->live[i];
    int rc = mm_gen_check(g, p, r->e);

    l->prompt = p;
    l->answer = a;
    l->media = p->nrows > 0;
    l->text.stop = g->o.stop;
    l->text.nstop = g->o.nstop;
    l->text.trim = g->o.trim || l->media;
    mm_rng_seed(&l->rng, g->o.seed + number);
    a->prompt = p->n;
    l->logits = calloc(g->vocab, sizeof(*l->logits));
    if (rc == 0 && (!l->logits || mm_prompt_copy(&l->seq, p) < 0))
        rc = no_memory(r->e);
    if (rc == 0 && g->o.gram)
        rc = mm_gstate_new(&l->gstate, g->o.gram, r->e);
    if (rc == 0 && g->tok)
        rc = mm_tok_stream_new(&l->stream, g->tok, g->o.continues && !l->text.trim, r->e);
    if (rc == 0 && i > 0)
        rc = mm_llama_kv(&l->kv, g->m, g->o.kv, r->e);
    return rc;
}

/* The first sequence becomes the past; the others go. */
static void finish(struct run *r)
{
    struct mm_past *past = &r->g->past;

    for (size_t i = 0; i < r->n; i++) {
        struct live *l = &r->live[i];
        if (i == 0 && l->kv) {
            l->seq.n = mm_kv_len(l->kv);
            for (size_t k = 0; k < l->seq.nrows; k++)
                l->seq.row[k] = NULL;
            mm_prompt_free(&past->seq);
            past->seq = l->seq;
            past->kv = l->kv;
            past->have_logits = false;
        } else {
            mm_prompt_free(&l->seq);
            mm_kv_free(l->kv);
        }
        free(l->logits);
        mm_gstate_free(l->gstate);
        mm_tok_stream_free(l->stream);
        mm_textout_free(&l->text);
    }
    free(r->live);
    free(r->work);
}

/* --- prefill ---------------------------------------------------------------------------- */

/* How many positions all prompts share from the start; each keeps one of its own. */
static size_t shared(const struct run *r)
{
    const struct mm_prompt *a = r->live[0].prompt;
    size_t n = a->n - 1;

    for (size_t i = 1; i < r->n; i++) {
        const struct mm_prompt *b = r->live[i].prompt;
        const size_t common = mm_prompt_common(a, b);
        n = common < n ? common : n;
        n = b->n - 1 < n ? b->n - 1 : n;
        if (!mm_gen_may_share(r->g, a->n, b->n))
            n = 0;
    }
    return n;
}

static int prefill_batch(struct run *r)
{
    struct mm_gen *g = r->g;
    const double start = mm_gen_now();
    struct live *first = &r->live[0];
    size_t have = mm_gen_reusable(g, first->prompt);
    const size_t prefix = shared(r);
    struct mm_feed *f = calloc(r->n, sizeof(*f));
    int rc = f ? 0 : no_memory(r->e);

    if (have == first->prompt->n)
        have--; /* the last position again: its logits go to its own place */
    if (rc == 0 && !g->past.kv)
        rc = mm_llama_kv(&g->past.kv, g->m, g->o.kv, r->e);
    if (rc == 0) {
        first->kv = g->past.kv; /* taken over; finish gives it back */
        g->past.kv = NULL;
        g->past.have_logits = false;
        mm_kv_truncate(first->kv, have);
        first->answer->computed = first->prompt->n - have;
    }
    if (rc == 0 && have < prefix) {
        f[0] = (struct mm_feed){ first->kv, first->prompt, have, prefix, NULL };
        rc = mm_gen_feed(g, f, 1, NULL, NULL, r->e);
        have = prefix;
    }
    for (size_t i = 0; i < r->n && rc == 0; i++) {
        struct live *l = &r->live[i];
        size_t from = have;
        if (i > 0) {
            from = prefix;
            rc = prefix ? mm_kv_copy(l->kv, first->kv, prefix, r->e) : 0;
            if (rc < 0)
                break;
            l->answer->computed = l->prompt->n - prefix;
        }
        f[i] = (struct mm_feed){ l->kv, l->prompt, from, l->prompt->n, l->logits };
    }
    if (rc == 0)
        rc = mm_gen_feed(g, f, r->n, NULL, NULL, r->e);
    for (size_t i = 0; i < r->n && rc == 0; i++) {
        g->stats.computed += r->live[i].answer->computed;
        g->stats.reused += r->live[i].prompt->n - r->live[i].answer->computed;
    }
    free(f);
    g->stats.prefill_s += mm_gen_now() - start;
    return rc;
}

static int prefill(struct run *r)
{
    struct mm_gen *g = r->g;
    struct live *first = &r->live[0];
    const size_t before = g->stats.computed;

    if (r->n > 1)
        return prefill_batch(r);
    const int rc = mm_gen_prefill(g, first->prompt, r->e);
    if (rc < 0)
        return rc;
    first->answer->computed = g->stats.computed - before;
    memcpy(first->logits, g->past.logits, g->vocab * sizeof(*first->logits));
    first->kv = g->past.kv;
    g->past.kv = NULL;
    return 0;
}

/* --- one token --------------------------------------------------------------------------- */

/* Pick under a grammar: try one token, and only if it does not fit mask all
 * (the same distribution: what is rejected is drawn again among what fits). */
static int pick_grammar(struct run *r, struct live *l, int32_t *id)
{
    struct mm_gen *g = r->g;
    const struct mm_sample_spec *o = &g->o.sample;
    size_t n;
    float *all = malloc(g->vocab * sizeof(*all));

    if (!all)
        return no_memory(r->e);
    memcpy(all, r->work, g->vocab * sizeof(*all));
    mm_sampler_warp(g->sampler, r->work);
    *id = mm_sampler_pick(g->sampler, r->work, &l->rng);
    bool end = false;
    for (size_t i = 0; i < o->neos; i++)
        end |= o->eos[i] == *id;
    const char *s = mm_gvocab_bytes(g->o.gvocab, *id, &n);
    int rc = end ? mm_gstate_complete(l->gstate)
                 : s && *s ? mm_gstate_accepts(l->gstate, s, n, r->e) : 0;
    if (rc == 0) {
        rc = mm_gstate_mask(l->gstate, g->o.gvocab, all, g->vocab, o->eos, o->neos, r->e);
        memcpy(r->work, all, g->vocab * sizeof(*all));
        mm_sampler_warp(g->sampler, r->work);
        *id = rc < 0 ? -1 : mm_sampler_pick(g->sampler, r->work, &l->rng);
    }
    free(all);
    return rc < 0 ? rc : 0;
}

static int pick(struct run *r, struct live *l, int32_t *id)
{
    struct mm_gen *g = r->g;
    const size_t skip = l->media ? l->prompt->n : 0;

    memcpy(r->work, l->logits, g->vocab * sizeof(*r->work));
    mm_sampler_penalise(g->sampler, r->work, l->seq.id + skip, l->seq.n - skip, l->answer->n);
    if (g->o.gram)
        return pick_grammar(r, l, id);
    mm_sampler_warp(g->sampler, r->work);
    *id = mm_sampler_pick(g->sampler, r->work, &l->rng);
    return 0;
}

static int keep_logits(struct run *r, struct live *l, size_t row)
{
    struct mm_answer *a = l->answer;
    const size_t v = r->g->vocab;

    if (!r->g->o.keep_logits)
        return 0;
    if (!mm_grow(&a->logits, &a->logit_cap, (row + 1) * v, sizeof(*a->logits)))
        return no_memory(r->e);
    memcpy(a->logits + row * v, l->logits, v * sizeof(*a->logits));
    return 0;
}

static int record(struct run *r, struct live *l, int32_t id)
{
    struct mm_answer *a = l->answer;
    const double lse = r->g->o.logprobs ? mm_logsumexp(l->logits, r->g->vocab) : l->logits[id];

    if (!mm_grow(&a->ids, &a->id_cap, a->n + 1, sizeof(*a->ids)) ||
        !mm_grow(&a->logprobs, &a->lp_cap, a->n + 1, sizeof(*a->logprobs)))
        return no_memory(r->e);
    a->ids[a->n] = id;
    a->logprobs[a->n++] = (float)(l->logits[id] - lse);
    return mm_prompt_add(&l->seq, id) < 0 ? no_memory(r->e) : 0;
}

static void stop(struct run *r, struct live *l, enum mm_stop why)
{
    l->answer->stop = why;
    l->answer->ms = 1e3 * (mm_gen_now() - r->start);
    l->done = true;
}

/* What the token adds to the text; true in *hit when a stop string is complete. */
static int add_text(struct run *r, struct live *l, int32_t id, bool *hit)
{
    struct mm_buf b = { 0 };
    int rc = 0;

    *hit = false;
    if (l->stream)
        rc = mm_tok_stream_put(l->stream, &b, id, r->e);
    if (rc == 0)
        *hit = mm_textout_put(&l->text, b.p, b.n);
    mm_buf_free(&b);
    return rc;
}

static int show(struct run *r, struct live *l)
{
    size_t n;
    const char *s = mm_textout_take(&l->text, &n);

    if (l->text.out.failed || l->text.held.failed)
        return no_memory(r->e);
    return n && r->emit ? r->emit(r->arg, (size_t)(l - r->live), s, n) : 0;
}

static int end_text(struct run *r, struct live *l)
{
    struct mm_buf b = { 0 };
    int rc = 0;

    if (l->stream && !l->text.stopped)
        rc = mm_tok_stream_end(l->stream, &b, r->e);
    if (b.n && mm_textout_put(&l->text, b.p, b.n))
        l->answer->stop = MM_STOP_STOP;
    mm_buf_free(&b);
    mm_textout_end(&l->text);
    if (rc == 0)
        rc = show(r, l);
    const struct mm_answer *a = l->answer;
    return rc < 0 ? rc : mm_gen_text(r->g, l->answer, a->n - (a->stop == MM_STOP_EOS),
                                     l->text.trim, r->e);
}

/* Choose the next token of one sequence and see whether it ends the answer. */
static int next_token(struct run *r, struct live *l)
{
    struct mm_gen *g = r->g;
    struct mm_answer *a = l->answer;
    int32_t id = -1;
    bool hit = false;
    int rc = keep_logits(r, l, a->n);

    if (rc == 0 && (g->o.max_new == 0 || l->seq.n >= g->context)) { /* of the prompt alone */
        stop(r, l, g->o.max_new ? MM_STOP_CONTEXT : MM_STOP_LENGTH);
        return end_text(r, l);
    }
    if (rc == 0)
        rc = pick(r, l, &id);
    if (rc < 0)
        return rc;
    if (id < 0) { /* nothing may follow: a grammar is at its end */
        if (!l->gstate || !mm_gstate_complete(l->gstate))
            return mm_err_set(r->e, MM_EDATA, "token %zu: every token is ruled out, or the logits "
                              "are not numbers", a->n);
        stop(r, l, MM_STOP_STOP);
        return end_text(r, l);
    }
    rc = record(r, l, id);
    for (size_t i = 0; i < g->o.sample.neos && rc == 0; i++)
        if (g->o.sample.eos[i] == id) {
            stop(r, l, MM_STOP_EOS);
            return end_text(r, l);
        }
    if (rc == 0 && l->gstate) {
        size_t n;
        const char *s = mm_gvocab_bytes(g->o.gvocab, id, &n);
        rc = s ? mm_gstate_advance(l->gstate, s, n, r->e) : 0;
    }
    if (rc == 0)
        rc = add_text(r, l, id, &hit);
    if (rc < 0)
        return rc;
    if (hit || (g->o.interrupt && *g->o.interrupt))
        stop(r, l, MM_STOP_STOP);
    else if (a->n >= g->o.max_new)
        stop(r, l, MM_STOP_LENGTH);
    else if (l->seq.n >= g->context)
        stop(r, l, MM_STOP_CONTEXT);
    return l->done ? end_text(r, l) : show(r, l);
}

/* --- the loop ------------------------------------------------------------------------------ */

static int decode(struct run *r)
{
    struct mm_kv **kv = calloc(r->n, sizeof(*kv));
    int32_t *ids = calloc(r->n, sizeof(*ids));
    float **logits = calloc(r->n, sizeof(*logits));
    int rc = kv && ids && logits ? 0 : no_memory(r->e);

    while (rc == 0) {
        size_t k = 0;
        for (size_t i = 0; i < r->n && rc == 0; i++) {
            struct live *l = &r->live[i];
            if (!l->done)
                rc = next_token(r, l);
            if (l->done || rc < 0)
                continue;
            kv[k] = l->kv;
            ids[k] = l->answer->ids[l->answer->n - 1];
            logits[k++] = l->logits;
        }
        if (rc < 0 || k == 0)
            break;
        rc = mm_gen_step(r->g, kv, ids, logits, k, r->e);
    }
    free(kv);
    free(ids);
    free(logits);
    return rc;
}

int mm_gen_run(struct mm_gen *g, const struct mm_prompt *const *p, size_t n, uint64_t first,
               struct mm_answer *answers, mm_emit_fn *emit, void *arg, struct mm_err *e)
{
    struct run r = { .g = g, .n = n, .emit = emit, .arg = arg, .start = mm_gen_now(), .e = e };
    void (*const trace)(void *, const char *, const struct mm_tensor *) = g->ctx->trace;
    int rc = 0;

    assert(n > 0 && (n == 1 || !trace));
    r.live = calloc(n, sizeof(*r.live));
    r.work = calloc(g->vocab, sizeof(*r.work));
    if (!r.live || !r.work) {
        free(r.live);
        free(r.work);
        return no_memory(e);
    }
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = begin(&r, i, p[i], first + i, &answers[i]);
    if (rc == 0)
        rc = prefill(&r);
    const double start = mm_gen_now();
    g->ctx->trace = NULL; /* stages are those of the prompt */
    if (rc == 0)
        rc = decode(&r);
    g->ctx->trace = trace;
    g->stats.decode_s += mm_gen_now() - start;
    finish(&r);
    return rc;
}
