/* generate.c: prefill with reuse of the past, and log-probabilities of given
 * tokens.  See generate.h. */
#include "model/generate_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "model/textout.h"
#include "tensor/op.h"

enum { CHUNK = 512, LOGIT_CHUNK = 64 }; /* rows of a step; with logits of each */

const char *mm_stop_name(enum mm_stop s)
{
    static const char *const name[] = { "eos", "stop", "length", "context" };

    return name[s];
}

void mm_answer_free(struct mm_answer *a)
{
    free(a->ids);
    free(a->logprobs);
    free(a->logits);
    mm_buf_free(&a->text);
    mm_buf_free(&a->printed);
    *a = (struct mm_answer){ 0 };
}

double mm_gen_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "generation: out of memory");
}

/* Without -c: what the model was made for; a dynamic RoPE knows no end. */
static size_t default_context(const struct mm_llama_config *c)
{
    if (c->rope.kind == MM_ROPE_DYNAMIC || c->context <= 0)
        return SIZE_MAX;
    if (c->rope.kind == MM_ROPE_LINEAR)
        return (size_t)((double)c->context * c->rope.factor);
    return (size_t)c->context;
}

int mm_gen_new(struct mm_gen **out, const struct mm_llama *m, const struct mm_tok *tok,
               struct mm_ctx *ctx, const struct mm_gen_spec *spec, struct mm_err *e)
{
    struct mm_gen *g = calloc(1, sizeof(*g));

    if (!g)
        return no_memory(e);
    g->m = m;
    g->c = mm_llama_config(m);
    g->tok = tok;
    g->ctx = ctx;
    g->o = *spec;
    g->vocab = (size_t)g->c->vocab;
    g->context = spec->context ? spec->context : default_context(g->c);
    g->past.logits = calloc(g->vocab, sizeof(*g->past.logits));
    int rc = g->past.logits ? 0 : no_memory(e);
    if (rc == 0)
        rc = mm_sampler_new(&g->sampler, &spec->sample, g->vocab, e);
    if (rc < 0)
        mm_gen_free(g);
    else
        *out = g;
    return rc;
}

void mm_gen_free(struct mm_gen *g)
{
    if (!g)
        return;
    mm_sampler_free(g->sampler);
    mm_kv_free(g->past.kv);
    mm_prompt_free(&g->past.seq);
    free(g->past.logits);
    free(g);
}

const struct mm_gen_stats *mm_gen_stats(const struct mm_gen *g)
{
    return &g->stats;
}

/* What of b is shown: stops and white space cut. */
static int cut_text(const struct mm_gen *g, struct mm_buf *out, const struct mm_buf *b, bool trim,
                    struct mm_err *e)
{
    struct mm_textout t = { .stop = g->o.stop, .nstop = g->o.nstop, .trim = trim };
    size_t len;

    mm_textout_put(&t, b->p, b->n);
    mm_textout_end(&t);
    const char *p = mm_textout_take(&t, &len);
    mm_buf_reset(out);
    mm_buf_add(out, p, len);
    const bool failed = b->failed || t.held.failed || t.out.failed || out->failed;
    mm_textout_free(&t);
    return failed ? no_memory(e) : 0;
}

/* The ids one by one, as they are printed. */
static int stream_text(const struct mm_gen *g, struct mm_buf *b, const int32_t *ids, size_t n,
                       bool trim, struct mm_err *e)
{
    struct mm_tok_stream *s = NULL;
    int rc = mm_tok_stream_new(&s, g->tok, g->o.continues && !trim, e);

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = mm_tok_stream_put(s, b, ids[i], e);
    if (rc == 0)
        rc = mm_tok_stream_end(s, b, e);
    mm_tok_stream_free(s);
    return rc;
}

int mm_gen_text(const struct mm_gen *g, struct mm_answer *a, size_t n, bool trim, struct mm_err *e)
{
    struct mm_buf b = { 0 };

    if (!g->tok)
        return 0;
    int rc = mm_tok_decode(g->tok, &b, a->ids, n, false, e);
    if (rc == 0)
        rc = cut_text(g, &a->text, &b, trim, e);
    mm_buf_reset(&b);
    if (rc == 0)
        rc = stream_text(g, &b, a->ids, n, trim, e);
    if (rc == 0)
        rc = cut_text(g, &a->printed, &b, trim, e);
    mm_buf_free(&b);
    return rc;
}

/* --- feeding ------------------------------------------------------------------------ */

/* The sticky error of the context, moved out. */
static int context_error(struct mm_gen *g, struct mm_err *e)
{
    const int code = g->ctx->err.code ? g->ctx->err.code : MM_ENOMEM;

    mm_err_set(e, code, "%s", g->ctx->err.code ? g->ctx->err.msg : "out of memory");
    mm_err_clear(&g->ctx->err);
    return code;
}

/* Input rows of positions from..from+n of p into x. */
static int input_rows(struct mm_gen *g, float *x, const struct mm_prompt *p, size_t from, size_t n,
                      struct mm_err *e)
{
    const size_t dim = (size_t)g->c->dim;
    int32_t *ids = mm_arena_alloc(g->ctx->arena, n * sizeof(*ids));

    if (!ids)
        return no_memory(e);
    for (size_t i = 0; i < n; i++)
        ids[i] = p->id[from + i] < 0 ? 0 : p->id[from + i];
    const struct mm_var *v = mm_llama_embed(g->ctx, g->m, ids, n);
    if (!v)
        return context_error(g, e);
    memcpy(x, mm_f32(v), n * dim * sizeof(*x));
    for (size_t i = 0; i < n; i++) {
        const int32_t id = p->id[from + i];
        if (id >= 0)
            continue;
        if (!p->row[~id])
            return mm_err_set(e, MM_EDATA, "position %zu: the embeddings are not at hand, only "
                              "their cached keys and values", from + i);
        memcpy(x + i * dim, p->row[~id], dim * sizeof(*x));
    }
    return 0;
}

/* Logits of rows [first, first + n) of h. */
static struct mm_var *logits_of(struct mm_gen *g, const struct mm_var *h, size_t first, size_t n)
{
    const size_t dim = (size_t)g->c->dim;
    struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { (int64_t)n, g->c->dim },
                           .data = mm_f32(h) + first * dim };

    return mm_llama_logits(g->ctx, g->m, mm_var_of(g->ctx, &t));
}

struct chunk {
    struct mm_seq seq;
    struct mm_feed *f;
    size_t row, n;
};

/* One forward pass over the rows of k stretches. */
static int feed_chunk(struct mm_gen *g, const struct chunk *c, const struct mm_seq *seqs, size_t k,
                      size_t rows, bool all, mm_row_fn *each, void *arg, struct mm_err *e)
{
    const size_t dim = (size_t)g->c->dim;
    struct mm_var *x = mm_var_new(g->ctx, 2, (int64_t[]){ (int64_t)rows, g->c->dim });
    int rc = x ? 0 : context_error(g, e);

    for (size_t i = 0; i < k && rc == 0; i++)
        rc = input_rows(g, mm_f32(x) + c[i].row * dim, c[i].f->p, c[i].f->from, c[i].n, e);
    if (rc < 0)
        return rc;
    const enum mm_arith arith = g->ctx->arith;
    g->ctx->arith |= MM_ARITH_MANY; /* a prompt gives the same in one piece or several */
    const struct mm_var *h = mm_llama_hidden(g->ctx, g->m, x, seqs, k);
    g->ctx->arith = arith;
    if (!h)
        return context_error(g, e);
    if (all) {
        const struct mm_var *l = logits_of(g, h, 0, rows);
        if (!l)
            return context_error(g, e);
        mm_trace_stage(g->ctx, l, "logits");
        for (size_t r = 0; each && r < rows; r++)
            each(arg, c[0].f->from + r, mm_f32(l) + r * g->vocab);
    }
    for (size_t i = 0; i < k; i++) {
        c[i].f->from += c[i].n;
        if (c[i].f->from < c[i].f->to || !c[i].f->logits)
            continue;
        const struct mm_var *l = logits_of(g, h, c[i].row + c[i].n - 1, 1);
        if (!l)
            return context_error(g, e);
        memcpy(c[i].f->logits, mm_f32(l), g->vocab * sizeof(float));
    }
    return 0;
}

int mm_gen_feed(struct mm_gen *g, struct mm_feed *f, size_t n, mm_row_fn *each, void *arg,
                struct mm_err *e)
{
    const bool whole = g->ctx->trace != NULL;
    const size_t most = whole ? SIZE_MAX : each ? LOGIT_CHUNK : CHUNK;
    struct chunk *c = calloc(n, sizeof(*c));
    struct mm_seq *seqs = calloc(n, sizeof(*seqs));
    int rc = c && seqs ? 0 : no_memory(e);

    while (rc == 0) {
        const struct mm_arena_mark mark = mm_arena_mark(g->ctx->arena);
        size_t rows = 0;
        size_t k = 0;
        for (size_t i = 0; i < n && rows < most; i++) {
            const size_t left = f[i].to - f[i].from;
            const size_t take = left < most - rows ? left : most - rows;
            if (take == 0)
                continue;
            c[k] = (struct chunk){ .f = &f[i], .row = rows, .n = take };
            seqs[k++] = (struct mm_seq){ .kv = f[i].kv, .n = take, .rope_len = f[i].to };
            rows += take;
        }
        if (rows == 0)
            break;
        rc = feed_chunk(g, c, seqs, k, rows, whole || each, each, arg, e);
        mm_arena_release(g->ctx->arena, mark);
    }
    free(c);
    free(seqs);
    return rc;
}

int mm_gen_step(struct mm_gen *g, struct mm_kv *const *kv, const int32_t *ids,
                float *const *logits, size_t n, struct mm_err *e)
{
    const struct mm_arena_mark mark = mm_arena_mark(g->ctx->arena);
    struct mm_seq *seqs = mm_arena_zalloc(g->ctx->arena, n * sizeof(*seqs));

    if (!seqs)
        return no_memory(e);
    for (size_t i = 0; i < n; i++)
        seqs[i] = (struct mm_seq){ .kv = kv[i], .n = 1 };
    struct mm_var *x = mm_llama_embed(g->ctx, g->m, ids, n);
    const struct mm_var *h = mm_llama_hidden(g->ctx, g->m, x, seqs, n);
    const struct mm_var *l = mm_llama_logits(g->ctx, g->m, h);
    const int rc = l ? 0 : context_error(g, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        memcpy(logits[i], mm_f32(l) + i * g->vocab, g->vocab * sizeof(float));
    mm_arena_release(g->ctx->arena, mark);
    g->stats.decoded += n;
    return rc;
}

/* --- the past ------------------------------------------------------------------------ */

int mm_gen_check(const struct mm_gen *g, const struct mm_prompt *p, struct mm_err *e)
{
    if (p->n == 0)
        return mm_err_set(e, MM_EDATA, "the prompt is empty");
    if (p->n > g->context)
        return mm_err_set(e, MM_EDATA, "the prompt has %zu positions, the context %zu (-c)", p->n,
                          g->context);
    return 0;
}

bool mm_gen_may_share(const struct mm_gen *g, size_t a, size_t b)
{
    const size_t longer = a > b ? a : b;

    if (g->ctx->trace)
        return false;
    return g->c->rope.kind != MM_ROPE_DYNAMIC || longer <= (size_t)g->c->rope.original;
}

size_t mm_gen_reusable(const struct mm_gen *g, const struct mm_prompt *p)
{
    const struct mm_past *past = &g->past;

    if (!past->kv || g->ctx->trace)
        return 0;
    const size_t n = mm_prompt_common(&past->seq, p);
    if (n == p->n && n == past->seq.n && past->have_logits)
        return n;
    if (!mm_gen_may_share(g, past->seq.n, p->n))
        return 0;
    return n < p->n ? n : p->n - 1;
}

int mm_gen_prefill(struct mm_gen *g, const struct mm_prompt *p, struct mm_err *e)
{
    struct mm_past *past = &g->past;
    const double start = mm_gen_now();
    int rc = mm_gen_check(g, p, e);

    if (rc == 0 && !past->kv)
        rc = mm_llama_kv(&past->kv, g->m, g->o.kv, e);
    if (rc < 0)
        return rc;
    const size_t have = mm_gen_reusable(g, p);
    mm_kv_truncate(past->kv, have);
    g->stats.reused += past->fresh && have == p->n ? 0 : have;
    past->fresh = false;
    if (have < p->n) {
        struct mm_feed f = { past->kv, p, have, p->n, past->logits };
        past->seq.n = have; /* a failure leaves a valid, shorter past */
        past->have_logits = false;
        rc = mm_gen_feed(g, &f, 1, NULL, NULL, e);
        if (rc < 0)
            mm_kv_truncate(past->kv, have);
    }
    if (rc == 0 && mm_prompt_copy(&past->seq, p) < 0)
        rc = no_memory(e);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < past->seq.nrows; i++)
        past->seq.row[i] = NULL; /* the rows are the caller's and may go */
    past->have_logits = true;
    past->fresh = have < p->n;
    g->stats.computed += p->n - have;
    g->stats.prefill_s += mm_gen_now() - start;
    return 0;
}

/* --- given tokens ---------------------------------------------------------------------- */

struct given {
    const int32_t *ids;
    float *logprobs;
    size_t n, vocab, first; /* position of ids[0] */
};

static float logprob(const float *logits, size_t vocab, int32_t id)
{
    return (float)(logits[id] - mm_logsumexp(logits, vocab));
}

static void next_logprob(void *arg, size_t row, const float *logits)
{
    const struct given *v = arg;
    const size_t next = row + 1 - v->first;

    if (next < v->n)
        v->logprobs[next] = logprob(logits, v->vocab, v->ids[next]);
}

int mm_gen_continue(struct mm_gen *g, const int32_t *ids, size_t n, float *logprobs,
                    struct mm_err *e)
{
    struct mm_past *past = &g->past;
    const size_t have = past->seq.n;
    struct given v = { ids, logprobs, n, g->vocab, have };
    struct mm_prompt p = { 0 };
    int rc = 0;

    if (n == 0)
        return 0;
    if (n > g->context - have)
        return mm_err_set(e, MM_EDATA, "%zu positions and %zu to score exceed the context of %zu",
                          have, n, g->context);
    logprobs[0] = logprob(past->logits, g->vocab, ids[0]);
    if (mm_prompt_copy(&p, &past->seq) < 0)
        rc = no_memory(e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (mm_prompt_add(&p, ids[i]) < 0)
            rc = no_memory(e);
    if (rc == 0 && n > 1) {
        void (*const trace)(void *, const char *, const struct mm_tensor *) = g->ctx->trace;
        struct mm_feed f = { past->kv, &p, have, have + n - 1, NULL };
        g->ctx->trace = NULL;
        rc = mm_gen_feed(g, &f, 1, next_logprob, &v, e);
        g->ctx->trace = trace;
        mm_kv_truncate(past->kv, have);
    }
    mm_prompt_free(&p);
    return rc;
}

int mm_gen_perplexity(struct mm_gen *g, const int32_t *ids, size_t n, double *mean, size_t *count,
                      struct mm_err *e)
{
    const size_t window = g->context < 4096 ? g->context : 4096;
    float *lp = calloc(window, sizeof(*lp));
    double sum = 0;
    int rc = lp ? 0 : no_memory(e);

    *count = 0;
    if (rc == 0 && window < 2)
        rc = mm_err_set(e, MM_EDATA, "a context of %zu predicts nothing", window);
    for (size_t at = 0; at + 1 < n && rc == 0;) {
        const size_t len = n - at < window ? n - at : window;
        struct mm_prompt first = { 0 };
        rc = mm_prompt_add(&first, ids[at]) < 0 ? no_memory(e) : mm_gen_prefill(g, &first, e);
        if (rc == 0)
            rc = mm_gen_continue(g, ids + at + 1, len - 1, lp, e);
        for (size_t i = 0; i + 1 < len && rc == 0; i++)
            sum -= lp[i];
        *count += len - 1;
        at += len - 1; /* the last token of a window is the first of the next */
        mm_prompt_free(&first);
    }
    free(lp);
    *mean = *count ? sum / (double)*count : 0;
    if (rc == 0 && *count == 0)
        rc = mm_err_set(e, MM_EDATA, "the text has %zu tokens: nothing to predict", n);
    return rc;
}
