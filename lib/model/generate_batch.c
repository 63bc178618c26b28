/* generate_batch.c: sequences answered together, each coming and going by itself.
 * See generate.h.
 *
 * A step is one pass over the weights: a row for each running sequence and rows of new
 * prompts beside them, up to MM_GEN_CHUNK.  A new prompt is matched with every place: it
 * goes on from its own place's past or copies the keys and values of another's.  While
 * one before it is still computing what both share it waits.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/generate_impl.h"
#include "tensor/times.h"

struct mm_batch {
    struct mm_gen *g;
    struct mm_place *place;  /* [n] */
    struct mm_feed *feed;    /* [n] of a pass */
    size_t *fed;             /* [n] the place of each feed */
    size_t *wait;            /* [nwait] places NEW or in PREFILL, in the order they came */
    size_t n, nwait, nfree;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "generation: out of memory");
}

int mm_batch_new(struct mm_batch **out, struct mm_gen *g, size_t places, struct mm_err *e)
{
    struct mm_batch *b = calloc(1, sizeof(*b));

    assert(places > 0 && (places == 1 || !g->ctx->trace));
    if (!b)
        return no_memory(e);
    b->g = g;
    b->n = places;
    b->nfree = places;
    b->place = calloc(places, sizeof(*b->place));
    b->feed = calloc(places, sizeof(*b->feed));
    b->fed = calloc(places, sizeof(*b->fed));
    b->wait = calloc(places, sizeof(*b->wait));
    if (!b->place || !b->feed || !b->fed || !b->wait) {
        free(b->place);
        b->place = NULL;
        mm_batch_free(b);
        return no_memory(e);
    }
    struct mm_place *l = &b->place[0]; /* takes the past over */
    l->kv = g->past.kv;
    l->seq = g->past.seq;
    l->logits = g->past.logits;
    l->have_logits = g->past.have_logits;
    l->fresh = g->past.fresh;
    g->past = (struct mm_past){ 0 };
    *out = b;
    return 0;
}

void mm_batch_free(struct mm_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n && b->place; i++) {
        struct mm_place *l = &b->place[i];
        mm_place_end(l);
        if (i == 0) {
            b->g->past = (struct mm_past){ .kv = l->kv, .seq = l->seq, .logits = l->logits,
                                           .have_logits = l->have_logits };
            continue;
        }
        mm_kv_free(l->kv);
        mm_prompt_free(&l->seq);
        free(l->logits);
    }
    free(b->place);
    free(b->feed);
    free(b->fed);
    free(b->wait);
    free(b);
}

size_t mm_batch_room(const struct mm_batch *b)
{
    return b->nfree;
}

/* A request ends: the place is free and remembers what its cache holds. */
static void leave(struct mm_batch *b, struct mm_place *l)
{
    l->r->done = true;
    mm_place_end(l);
    b->nfree++;
}

/* --- what is computed already --------------------------------------------------------------- */

/* Positions of p, all but its last, that place l shares from the start: of those its cache
 * holds, or of those it will hold. */
static size_t shared(const struct mm_batch *b, const struct mm_prompt *p, const struct mm_place *l,
                     bool later)
{
    const size_t have = l->kv ? mm_kv_len(l->kv) : 0;
    size_t n;

    if ((!have && !later) || !mm_gen_may_share(b->g, l->seq.n, p->n))
        return 0;
    n = mm_prompt_common(p, &l->seq);
    if (!later && n > have)
        n = have;
    return n < p->n ? n : p->n - 1;
}

/* Does the place's past end just where p does, with the logits after it?  (What is
 * traced is computed again, unless that was just now.) */
static bool whole(const struct mm_batch *b, const struct mm_prompt *p, const struct mm_place *l)
{
    return l->kv && l->have_logits && mm_kv_len(l->kv) == p->n && l->seq.n == p->n &&
           mm_prompt_common(p, &l->seq) == p->n && (l->fresh || !b->g->ctx->trace);
}

/* The free place that holds most of p. */
static struct mm_place *choose(struct mm_batch *b, const struct mm_prompt *p)
{
    struct mm_place *best = NULL;
    size_t most = 0;

    for (size_t i = 0; i < b->n; i++) {
        struct mm_place *l = &b->place[i];
        if (l->state != MM_PLACE_FREE)
            continue;
        const size_t n = whole(b, p, l) ? p->n : shared(b, p, l, false);
        if (!best || n > most) {
            best = l;
            most = n;
        }
    }
    return best;
}

int mm_batch_add(struct mm_batch *b, struct mm_request *r, struct mm_err *e)
{
    struct mm_gen *g = b->g;

    assert(b->nfree > 0);
    r->done = false;
    if (mm_gen_check(g, r->prompt, &r->fault) < 0) {
        r->done = true;
        return 0;
    }
    struct mm_place *l = choose(b, r->prompt);
    const bool all = whole(b, r->prompt, l);
    const size_t keep = all ? r->prompt->n : shared(b, r->prompt, l, false);
    int rc = l->kv ? 0 : mm_llama_kv(&l->kv, g->m, g->o.kv, e);
    if (rc == 0 && !l->logits && !(l->logits = calloc(g->vocab, sizeof(*l->logits))))
        rc = no_memory(e);
    if (rc < 0)
        return rc;
    mm_kv_truncate(l->kv, keep);
    if ((rc = mm_place_begin(g, l, r, e)) < 0) {
        l->have_logits = false;
        mm_place_end(l);
        return rc;
    }
    b->nfree--;
    l->have_logits = all;
    if (all) {
        g->stats.reused += l->fresh ? 0 : keep;
        l->state = MM_PLACE_READY;
    } else {
        b->wait[b->nwait++] = (size_t)(l - b->place);
    }
    l->fresh = false;
    return 0;
}

/* The embeddings that are still to be fed must be at hand. */
static int check_rows(const struct mm_place *l, size_t from)
{
    const struct mm_prompt *p = l->r->prompt;

    for (size_t i = from; i < p->n; i++)
        if (p->id[i] < 0 && !p->row[~p->id[i]])
            return mm_err_set(&l->r->fault, MM_EDATA, "position %zu: the embeddings are not at "
                              "hand, only their cached keys and values", i);
    return 0;
}

/* The new prompt of wait[k] takes what others computed, unless one that is being computed,
 * or came before it, is to compute more of it: then it waits. */
static int match(struct mm_batch *b, size_t k, struct mm_err *e)
{
    struct mm_place *l = &b->place[b->wait[k]];
    const struct mm_prompt *p = l->r->prompt;
    size_t have = mm_kv_len(l->kv);
    const struct mm_place *from = NULL;
    size_t later = 0;
    int rc = 0;

    for (size_t i = 0; i < b->n; i++) {
        const struct mm_place *o = &b->place[i];
        if (o == l)
            continue;
        const size_t n = shared(b, p, o, false);
        if (n > have) {
            have = n;
            from = o;
        }
    }
    for (size_t i = 0; i < b->nwait; i++) {
        const struct mm_place *o = &b->place[b->wait[i]];
        const size_t n = i < k || o->state == MM_PLACE_PREFILL ? shared(b, p, o, true) : 0;
        later = n > later ? n : later;
    }
    if (later > have)
        return 0;
    if (from)
        rc = mm_kv_copy(l->kv, from->kv, have, e);
    if (rc < 0)
        return rc;
    l->state = MM_PLACE_PREFILL;
    l->r->answer->computed = p->n - have;
    b->g->stats.computed += p->n - have;
    b->g->stats.reused += have;
    if (check_rows(l, have) < 0)
        leave(b, l);
    return 0;
}

static int match_all(struct mm_batch *b, struct mm_err *e)
{
    int rc = 0;

    for (size_t i = 0; i < b->nwait && rc == 0; i++)
        if (b->place[b->wait[i]].state == MM_PLACE_NEW)
            rc = match(b, i, e);
    return rc;
}

/* Those whose prompts are computed, or failed, wait no longer. */
static void tidy(struct mm_batch *b)
{
    size_t still = 0;

    for (size_t i = 0; i < b->nwait; i++) {
        const enum mm_place_state s = b->place[b->wait[i]].state;
        if (s == MM_PLACE_NEW || s == MM_PLACE_PREFILL)
            b->wait[still++] = b->wait[i];
    }
    b->nwait = still;
}

/* --- a step ------------------------------------------------------------------------------------ */

/* What the pass is fed: a row of each running sequence, then rows of prompts as they came. */
static size_t gather(struct mm_batch *b, size_t *rows, size_t *steps)
{
    const size_t most = b->g->ctx->trace ? SIZE_MAX : MM_GEN_CHUNK;
    size_t k = 0;

    for (size_t i = 0; i < b->n; i++) {
        struct mm_place *l = &b->place[i];
        if (l->state != MM_PLACE_STEP)
            continue;
        b->fed[k] = i;
        b->feed[k++] = (struct mm_feed){ .kv = l->kv, .p = &l->seq, .from = l->seq.n - 1,
                                         .to = l->seq.n, .step = true, .logits = l->logits };
    }
    *steps = *rows = k;
    for (size_t i = 0; i < b->nwait && *rows < most; i++) {
        struct mm_place *l = &b->place[b->wait[i]];
        if (l->state != MM_PLACE_PREFILL)
            continue;
        const size_t from = mm_kv_len(l->kv), left = l->seq.n - from;
        const size_t take = left < most - *rows ? left : most - *rows;
        b->fed[k] = b->wait[i];
        b->feed[k++] = (struct mm_feed){ .kv = l->kv, .p = &l->seq, .from = from,
                                         .to = from + take, .whole = l->seq.n,
                                         .logits = take == left ? l->logits : NULL };
        *rows += take;
    }
    return k;
}

/* One pass; the stages traced are those of prompts. */
static int pass(struct mm_batch *b, size_t k, bool prompts, struct mm_err *e)
{
    struct mm_ctx *c = b->g->ctx;
    void (*const trace)(void *, const char *, const struct mm_tensor *) = c->trace;

    if (!prompts)
        c->trace = NULL;
    const int rc = k ? mm_gen_pass(b->g, b->feed, k, NULL, NULL, e) : 0;
    c->trace = trace;
    for (size_t i = 0; i < k && rc == 0; i++) {
        struct mm_place *l = &b->place[b->fed[i]];
        l->have_logits = b->feed[i].logits != NULL;
        if (l->have_logits)
            l->state = MM_PLACE_READY;
    }
    tidy(b);
    return rc;
}

/* The next token of every sequence that has logits. */
static int choose_tokens(struct mm_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct mm_place *l = &b->place[i];
        if (l->state != MM_PLACE_READY)
            continue;
        const int rc = mm_place_next(b->g, l);
        if (rc < 0 && !l->r->fault.code)
            return rc; /* emit's */
        if (rc < 0)
            leave(b, l);
        else
            b->nfree += l->state == MM_PLACE_FREE;
    }
    return 0;
}

int mm_batch_step(struct mm_batch *b, struct mm_err *e)
{
    const double start = mm_gen_clock(b->g);
    size_t rows = 0;
    size_t steps = 0;
    int rc = match_all(b, e);
    const size_t k = rc < 0 ? 0 : gather(b, &rows, &steps);

    if (rc == 0)
        rc = pass(b, k, rows > steps, e);
    if (rc == 0) /* before a short answer's place, and what it computed, goes to the next */
        rc = match_all(b, e);
    if (k == 0)
        mm_times_start(b->g->ctx, 0, 0);
    if (rc == 0)
        rc = choose_tokens(b);
    mm_times_lap(b->g->ctx, MM_LLAMA_SAMPLING, 0, 0);
    const double s = mm_gen_clock(b->g) - start;
    const double share = rows ? (double)steps / (double)rows : 1;
    b->g->stats.decode_s += share * s;
    b->g->stats.prefill_s += (1 - share) * s;
    return rc;
}

int mm_gen_run(struct mm_gen *g, struct mm_request *r, size_t n, struct mm_err *e)
{
    struct mm_batch *b = NULL;
    int rc = mm_batch_new(&b, g, n, e);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = mm_batch_add(b, &r[i], e);
    while (rc == 0 && mm_batch_room(b) < n)
        rc = mm_batch_step(b, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (r[i].fault.code)
            rc = mm_err_set(e, r[i].fault.code, "%s", r[i].fault.msg);
    mm_batch_free(b);
    return rc;
}
