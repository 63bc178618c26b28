/* generate.c: prefill with reuse of the past, and log-probabilities of given
 * tokens.  See generate.h. */
#include "model/generate_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "model/textout.h"
#include "tensor/op.h"
#include "tensor/times.h"

enum {
    LOGIT_CHUNK = 64, /* rows of a pass with the logits of each */
    PIECE = 256       /* bytes of text of a token, at first */
};

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
    g->work = calloc(g->vocab, sizeof(*g->work));
    g->spare = spec->gram ? calloc(g->vocab, sizeof(*g->spare)) : NULL;
    const bool room = mm_grow(&g->piece.p, &g->piece.cap, PIECE, 1);
    int rc = g->past.logits && g->work && (g->spare || !spec->gram) && room ? 0 : no_memory(e);
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
    free(g->work);
    free(g->spare);
    mm_buf_free(&g->piece);
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

/* The input of all rows: the embedding table's, and the prompts' own. */
static struct mm_var *input(struct mm_gen *g, const struct mm_feed *f, size_t n, size_t rows)
{
    const size_t dim = (size_t)g->c->dim;
    int32_t *ids = mm_ctx_alloc(g->ctx, rows, sizeof(*ids));
    size_t r = 0;

    for (size_t i = 0; i < n && ids; i++)
        for (size_t at = f[i].from; at < f[i].to; at++)
            ids[r++] = f[i].p->id[at] < 0 ? 0 : f[i].p->id[at];
    struct mm_var *x = ids ? mm_llama_embed(g->ctx, g->m, ids, rows) : NULL;
    float *to = x ? mm_f32(x) : NULL;
    for (size_t i = 0; i < n && x; i++)
        for (size_t at = f[i].from; at < f[i].to; at++, to += dim) {
            const int32_t id = f[i].p->id[at];
            if (id < 0 && f[i].p->row[~id]) {
                memcpy(to, f[i].p->row[~id], dim * sizeof(*to));
            } else if (id < 0) {
                mm_err_set(&g->ctx->err, MM_EDATA, "position %zu: the embeddings are not at hand, "
                           "only their cached keys and values", at);
                return NULL;
            }
        }
    return x;
}

/* The rows of h whose logits are wanted, one of each stretch that asks. */
static struct mm_var *last_rows(struct mm_gen *g, struct mm_var *h, const struct mm_feed *f,
                                size_t n, size_t want)
{
    const size_t dim = (size_t)g->c->dim;
    size_t row = 0;

    if (want == (size_t)h->t.shape[0])
        return h;
    struct mm_var *x = mm_var_new(g->ctx, 2, (int64_t[]){ (int64_t)want, g->c->dim });
    float *to = x ? mm_f32(x) : NULL;
    for (size_t i = 0; i < n && x; i++) {
        row += f[i].to - f[i].from;
        if (!f[i].logits)
            continue;
        memcpy(to, mm_f32(h) + (row - 1) * dim, dim * sizeof(*to));
        to += dim;
    }
    return x;
}

/* Logits to those who asked for them. */
static int give_logits(struct mm_gen *g, struct mm_var *h, const struct mm_feed *f, size_t n,
                       mm_row_fn *each, void *arg, struct mm_err *e)
{
    const bool all = each || g->ctx->trace;
    size_t want = 0;
    size_t row = 0;

    for (size_t i = 0; i < n; i++)
        want += f[i].logits != NULL;
    if (!want && !all)
        return 0;
    const struct mm_var *l =
        mm_llama_logits(g->ctx, g->m, all ? h : last_rows(g, h, f, n, want));
    if (!l)
        return context_error(g, e);
    if (all)
        mm_trace_stage(g->ctx, l, "logits");
    for (size_t r = 0; each && r < (size_t)h->t.shape[0]; r++)
        each(arg, f[0].from + r, mm_f32(l) + r * g->vocab);
    for (size_t i = 0; i < n; i++) {
        row += all ? f[i].to - f[i].from : f[i].logits != NULL;
        if (f[i].logits)
            memcpy(f[i].logits, mm_f32(l) + (row - 1) * g->vocab, g->vocab * sizeof(float));
    }
    mm_times_lap(g->ctx, MM_LLAMA_HEAD, 0, 0);
    return 0;
}

int mm_gen_pass(struct mm_gen *g, const struct mm_feed *f, size_t n, mm_row_fn *each, void *arg,
                struct mm_err *e)
{
    const struct mm_arena_mark mark = mm_arena_mark(g->ctx->arena);
    struct mm_seq *seqs = mm_ctx_alloc(g->ctx, n, sizeof(*seqs));
    size_t rows = 0;
    size_t steps = 0;

    for (size_t i = 0; i < n && seqs; i++) {
        seqs[i] = (struct mm_seq){ .kv = f[i].kv, .n = f[i].to - f[i].from,
                                   .rope_len = f[i].whole };
        rows += seqs[i].n;
        steps += f[i].step;
    }
    mm_times_start(g->ctx, rows, steps);
    struct mm_var *x = seqs ? input(g, f, n, rows) : NULL;
    struct mm_var *h = mm_llama_hidden(g->ctx, g->m, x, seqs, n);
    const int rc = h ? give_logits(g, h, f, n, each, arg, e) : context_error(g, e);
    mm_arena_release(g->ctx->arena, mark);
    g->stats.decoded += steps;
    return rc;
}

/* One stretch in passes of so many rows; with a trace in one. */
static int feed(struct mm_gen *g, struct mm_feed f, size_t most, mm_row_fn *each, void *arg,
                struct mm_err *e)
{
    const size_t end = f.to;
    float *logits = f.logits;
    int rc = 0;

    if (g->ctx->trace)
        most = SIZE_MAX;
    f.whole = end;
    for (; f.from < end && rc == 0; f.from = f.to) {
        f.to = end - f.from < most ? end : f.from + most;
        f.logits = f.to == end ? logits : NULL;
        rc = mm_gen_pass(g, &f, 1, each, arg, e);
    }
    return rc;
}

int mm_gen_step(struct mm_gen *g, struct mm_kv *const *kv, const int32_t *ids,
                float *const *logits, size_t n, struct mm_err *e)
{
    const struct mm_arena_mark mark = mm_arena_mark(g->ctx->arena);
    struct mm_feed *f = mm_arena_zalloc(g->ctx->arena, n * sizeof(*f));
    struct mm_prompt *p = mm_arena_zalloc(g->ctx->arena, n * sizeof(*p));
    int32_t *id = mm_arena_alloc(g->ctx->arena, n * sizeof(*id));
    int rc = f && p && id ? 0 : no_memory(e);

    for (size_t i = 0; i < n && rc == 0; i++) {
        id[i] = ids[i];
        p[i] = (struct mm_prompt){ .id = &id[i], .n = 1 };
        f[i] = (struct mm_feed){ .kv = kv[i], .p = &p[i], .to = 1, .step = true,
                                 .logits = logits[i] };
    }
    if (rc == 0)
        rc = mm_gen_pass(g, f, n, NULL, NULL, e);
    mm_arena_release(g->ctx->arena, mark);
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

/* How many positions of p the past already holds: all of them only with the logits after. */
static size_t reusable(const struct mm_gen *g, const struct mm_prompt *p)
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

double mm_gen_clock(const struct mm_gen *g)
{
    return mm_now() - mm_llama_packing(g->m);
}

int mm_gen_prefill(struct mm_gen *g, const struct mm_prompt *p, struct mm_err *e)
{
    struct mm_past *past = &g->past;
    const double start = mm_gen_clock(g);
    int rc = mm_gen_check(g, p, e);

    if (rc == 0 && !past->kv)
        rc = mm_llama_kv(&past->kv, g->m, g->o.kv, e);
    if (rc < 0)
        return rc;
    const size_t have = reusable(g, p);
    mm_kv_truncate(past->kv, have);
    g->stats.reused += past->fresh && have == p->n ? 0 : have;
    past->fresh = false;
    if (have < p->n) {
        const struct mm_feed f = { .kv = past->kv, .p = p, .from = have, .to = p->n,
                                   .logits = past->logits };
        past->seq.n = have; /* a failure leaves a valid, shorter past */
        past->have_logits = false;
        rc = feed(g, f, MM_GEN_CHUNK, NULL, NULL, e);
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
    g->stats.prefill_s += mm_gen_clock(g) - start;
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
        const struct mm_feed f = { .kv = past->kv, .p = &p, .from = have, .to = have + n - 1 };
        g->ctx->trace = NULL;
        rc = feed(g, f, LOGIT_CHUNK, next_logprob, &v, e);
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
