/* llama.c: the LLaMA decoder (Touvron et al. 2023), x [T, dim]:
 *
 *   x += o_proj(attention(rope(q_proj(n)), rope(k_proj(n)), v_proj(n))),  n = rms_norm(x)
 *   x += down_proj(silu(gate_proj(n)) * up_proj(n)),                      n = rms_norm(x)
 *
 * What has caused bugs: query head h uses kv head h / (heads / kv_heads); GGUF
 * and Meta rows of q and k are interleaved (pairs 2i, 2i+1), Hugging Face's are
 * halves; heads * head_dim need not be dim; a missing head is the embedding.
 */
#include "model/llama.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attention.h"
#include "tensor/op.h"
#include "tensor/recompute.h"
#include "tensor/times.h"

struct layer {
    struct mm_var *attn_norm;               /* [dim] */
    struct mm_var *q, *k, *v;               /* [heads|kv_heads * head_dim, dim] */
    struct mm_var *o;                       /* [dim, heads * head_dim] */
    struct mm_var *q_b, *k_b, *v_b, *o_b;   /* biases or NULL */
    struct mm_var *mlp_norm;                /* [dim] */
    struct mm_var *gate, *up, *down;        /* [ffn, dim] [ffn, dim] [dim, ffn] */
    struct mm_var *gate_b, *up_b, *down_b;  /* biases or NULL */
};

struct mm_llama {
    struct mm_llama_config c;
    struct mm_params *params;
    struct mm_var *embed;   /* [vocab, dim] */
    struct mm_var *norm;    /* [dim] */
    struct mm_var *head;    /* [vocab, dim], embed when tied */
    float *divisors;        /* rope_freqs.weight of a GGUF */
    struct layer *layers;
};

/* Where each role is stored; %s is the prefix of the body, %d the layer. */
struct names {
    const char *embed, *norm, *head;
    const char *attn_norm, *q, *k, *v, *o, *mlp_norm, *gate, *up, *down;
};

static const struct names hf_names = {
    "embed_tokens.weight", "norm.weight", "lm_head.weight",
    "layers.%d.input_layernorm", "layers.%d.self_attn.q_proj", "layers.%d.self_attn.k_proj",
    "layers.%d.self_attn.v_proj", "layers.%d.self_attn.o_proj",
    "layers.%d.post_attention_layernorm", "layers.%d.mlp.gate_proj", "layers.%d.mlp.up_proj",
    "layers.%d.mlp.down_proj"
};
static const struct names meta_names = {
    "tok_embeddings.weight", "norm.weight", "output.weight",
    "layers.%d.attention_norm", "layers.%d.attention.wq", "layers.%d.attention.wk",
    "layers.%d.attention.wv", "layers.%d.attention.wo", "layers.%d.ffn_norm",
    "layers.%d.feed_forward.w1", "layers.%d.feed_forward.w3", "layers.%d.feed_forward.w2"
};
static const struct names gguf_names = {
    "token_embd.weight", "output_norm.weight", "output.weight",
    "blk.%d.attn_norm", "blk.%d.attn_q", "blk.%d.attn_k", "blk.%d.attn_v", "blk.%d.attn_output",
    "blk.%d.ffn_norm", "blk.%d.ffn_gate", "blk.%d.ffn_up", "blk.%d.ffn_down"
};

static const char *const bodies[] = { "model.", "language_model.model.", "model.language_model.",
                                      "base_model.model.model.", "base_model.model.", "" };
static const char *const heads[] = { "", "language_model.", "model.language_model.",
                                     "base_model.model.", NULL };

/* The table and prefix under which the embedding is stored. */
static const struct names *find_names(const struct mm_ckpt *ck, const char **body)
{
    static const struct names *const tables[] = { &hf_names, &gguf_names, &meta_names };
    char name[256];

    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (size_t b = 0; b < sizeof(bodies) / sizeof(*bodies); b++) {
            snprintf(name, sizeof(name), "%s%s", bodies[b], tables[t]->embed);
            if (mm_ckpt_lookup(ck, name)) {
                *body = bodies[b];
                return tables[t];
            }
        }
    *body = mm_ckpt_is_gguf(ck) ? "" : "model.";
    return mm_ckpt_is_gguf(ck) ? &gguf_names : &hf_names;
}

struct loader {
    const struct mm_ckpt *ck;
    struct mm_load *load;
    struct mm_params *params;
    const char *body;
    int layer;
};

/* %d of pattern filled in, prefix before, suffix after */
static void full_name(char *buf, size_t n, const struct loader *l, const char *pattern,
                      const char *suffix)
{
    char role[160];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(role, sizeof(role), pattern, l->layer);
#pragma GCC diagnostic pop
    snprintf(buf, n, "%s%s%s", l->body, role, suffix);
}

static struct mm_var *matrix(const struct loader *l, const char *pattern, int64_t *out, int64_t in)
{
    char name[256];
    int64_t want[2] = { *out, in };

    full_name(name, sizeof(name), l, pattern, ".weight");
    const struct mm_tensor *t = mm_load_get(l->load, want, 2, "%s", name);
    *out = want[0];
    return mm_param_matrix(l->params, t, "%s", name);
}

static struct mm_var *norm_weight(const struct loader *l, const char *pattern, int64_t dim)
{
    char name[256];
    int64_t want[1] = { dim };

    full_name(name, sizeof(name), l, pattern, ".weight");
    return mm_param_f32(l->params, mm_load_get(l->load, want, 1, "%s", name), "%s", name);
}

static struct mm_var *bias(const struct loader *l, const char *pattern, int64_t dim)
{
    char name[256];
    int64_t want[1] = { dim };

    full_name(name, sizeof(name), l, pattern, ".bias");
    return mm_param_f32(l->params, mm_load_opt(l->load, want, 1, "%s", name), "%s", name);
}

static void load_layer(struct layer *y, const struct loader *l, const struct names *n,
                       struct mm_llama_config *c)
{
    int64_t qd = c->heads * c->head_dim;
    int64_t kd = c->kv_heads * c->head_dim;
    int64_t dim = c->dim;

    y->attn_norm = norm_weight(l, n->attn_norm, dim);
    y->q = matrix(l, n->q, &qd, dim);
    y->k = matrix(l, n->k, &kd, dim);
    y->v = matrix(l, n->v, &kd, dim);
    y->o = matrix(l, n->o, &dim, qd);
    y->q_b = bias(l, n->q, qd);
    y->k_b = bias(l, n->k, kd);
    y->v_b = bias(l, n->v, kd);
    y->o_b = bias(l, n->o, dim);
    y->mlp_norm = norm_weight(l, n->mlp_norm, dim);
    y->gate = matrix(l, n->gate, &c->ffn, dim);
    y->up = matrix(l, n->up, &c->ffn, dim);
    y->down = matrix(l, n->down, &dim, c->ffn);
    y->gate_b = bias(l, n->gate, c->ffn);
    y->up_b = bias(l, n->up, c->ffn);
    y->down_b = bias(l, n->down, dim);
}

/* The name of a head of its own; false, and the plain name, if there is none. */
static bool head_name(char *buf, size_t n, const struct mm_ckpt *ck, const struct names *names)
{
    for (int i = 0; heads[i]; i++) {
        snprintf(buf, n, "%s%s", heads[i], names->head);
        if (mm_ckpt_lookup(ck, buf))
            return true;
    }
    snprintf(buf, n, "%s", names->head);
    return false;
}

/* Embedding, final norm and head; the vocabulary is what the table holds. */
static void load_ends(struct mm_llama *m, const struct loader *l, const struct names *n)
{
    int64_t want[2] = { -1, m->c.dim };
    char name[256], head[256];

    const bool own_head = head_name(head, sizeof(head), l->ck, n);
    const bool tied = !own_head && (m->c.tied || n == &gguf_names);
    snprintf(name, sizeof(name), "%s%s", l->body, n->embed);
    const struct mm_tensor *const table = mm_load_get(l->load, want, 2, "%s", name);
    m->embed = tied ? mm_param_matrix(l->params, table, "%s", name)
                    : mm_param_table(l->params, table, "%s", name);
    m->c.vocab = want[0];
    snprintf(name, sizeof(name), "%s%s", l->body, n->norm);
    m->norm = mm_param_f32(l->params, mm_load_get(l->load, (int64_t[]){ m->c.dim }, 1, "%s", name),
                           "%s", name);
    m->head = tied ? m->embed
                   : mm_param_matrix(l->params, mm_load_get(l->load, want, 2, "%s", head), "%s",
                                     head);
}

/* rope_freqs.weight: [head_dim / 2] divisors of Llama 3.1 in GGUF */
static int load_divisors(struct mm_llama *m, struct mm_load *load)
{
    int64_t want[1] = { m->c.head_dim / 2 };
    const struct mm_tensor *t = mm_load_opt(load, want, 1, "rope_freqs.weight");

    if (!t)
        return 0;
    m->divisors = malloc((size_t)want[0] * sizeof(*m->divisors));
    if (!m->divisors)
        return MM_ENOMEM;
    mm_tensor_to_f32(m->divisors, t);
    m->c.rope.divisors = m->divisors;
    return 0;
}

/* What other components of the same checkpoint own; anything else is surplus. */
static const char *const others[] = { "*vision_tower.*", "*vision_model.*", "*multi_modal_projector.*",
                                      "*mm_projector*", "*image_newline", "v.*", "mm.*",
                                      "rope_freqs.weight", NULL };

static int load_all(struct mm_llama *m, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct loader l = { .ck = ck, .params = m->params };
    const struct names *n = find_names(ck, &l.body);
    int rc;

    if ((rc = mm_load_new(&l.load, ck, e)) < 0)
        return rc;
    m->c.halves = n == &hf_names;
    for (int i = 0; others[i]; i++)
        mm_load_ignore(l.load, others[i]);
    mm_load_strict(l.load, "*");
    load_ends(m, &l, n);
    if (n == &gguf_names && load_divisors(m, l.load) < 0)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    for (l.layer = 0; rc == 0 && l.layer < m->c.layers; l.layer++)
        load_layer(&m->layers[l.layer], &l, n, &m->c);
    if (rc == 0)
        rc = mm_load_done(l.load, e);
    if (rc == 0 && mm_params_failed(m->params))
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    mm_load_free(l.load);
    return rc;
}

int mm_llama_open(struct mm_llama **out, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_llama *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    if ((rc = mm_llama_configure(&m->c, ck, e)) < 0 || (rc = mm_params_new(&m->params, e)) < 0)
        goto fail;
    m->layers = calloc((size_t)m->c.layers, sizeof(*m->layers));
    if (!m->layers) {
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
        goto fail;
    }
    if ((rc = load_all(m, ck, e)) < 0)
        goto fail;
    *out = m;
    return 0;
fail:
    mm_llama_free(m);
    return rc;
}

void mm_llama_free(struct mm_llama *m)
{
    if (!m)
        return;
    mm_params_free(m->params);
    free(m->divisors);
    free(m->layers);
    free(m);
}

const struct mm_llama_config *mm_llama_config(const struct mm_llama *m)
{
    return &m->c;
}

struct mm_params *mm_llama_params(struct mm_llama *m)
{
    return m->params;
}

double mm_llama_packing(const struct mm_llama *m)
{
    return mm_params_packing(m->params);
}

int mm_llama_kv(struct mm_kv **kv, const struct mm_llama *m, enum mm_dtype dtype, struct mm_err *e)
{
    return mm_kv_new(kv, (size_t)m->c.layers, (size_t)m->c.kv_heads, (size_t)m->c.head_dim, dtype,
                     e);
}

/* --- forward ----------------------------------------------------------------- */

const char *mm_llama_stage_name(enum mm_llama_stage s)
{
    static const char *const name[] = { "pack", "embed", "qkv", "attention", "o", "mlp", "head",
                                        "sampling" };

    return name[s];
}

struct mm_var *mm_llama_embed(struct mm_ctx *c, const struct mm_llama *m, const int32_t *ids,
                              size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= m->c.vocab) {
            mm_err_set(&c->err, MM_EDATA, "token id %d is outside the vocabulary of %lld",
                       (int)ids[i], (long long)m->c.vocab);
            return NULL;
        }
    return mm_embedding(c, m->embed, ids, n);
}

/* cos and sin [T][head_dim/2] of every row's position in its sequence */
struct tables {
    float *cos, *sin;
};

static bool rope_tables(struct mm_ctx *c, struct tables *t, const struct mm_llama *m, size_t rows,
                        const struct mm_seq *seqs, size_t nseq)
{
    const size_t half = (size_t)m->c.head_dim / 2;
    float *freq = mm_arena_alloc(c->arena, half * sizeof(float));
    size_t row = 0;

    t->cos = mm_arena_alloc(c->arena, rows * half * sizeof(float));
    t->sin = mm_arena_alloc(c->arena, rows * half * sizeof(float));
    if (!freq || !t->cos || !t->sin) {
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
        return false;
    }
    for (size_t s = 0; s < nseq; s++) {
        const size_t past = seqs[s].kv ? mm_kv_len(seqs[s].kv) : 0;
        const size_t length = seqs[s].rope_len ? seqs[s].rope_len : past + seqs[s].n;
        const float mult = mm_rope_frequencies(freq, &m->c.rope, length);

        mm_rope_table(t->cos + row * half, t->sin + row * half, freq, m->c.rope.dim, mult, past,
                      seqs[s].n);
        row += seqs[s].n;
    }
    assert(row == rows);
    return true;
}

/* Each sequence's rows of q, k, v over its cache, which they extend. */
static bool cached_attention(struct mm_ctx *c, const struct mm_llama *m, size_t layer, float *o,
                             const float *q, const float *k, const float *v,
                             const struct mm_seq *seqs, size_t nseq)
{
    const size_t h = (size_t)m->c.heads, kh = (size_t)m->c.kv_heads, d = (size_t)m->c.head_dim;
    struct mm_attn_item *it = mm_ctx_alloc(c, nseq, sizeof(*it));

    for (size_t s = 0; it && s < nseq; s++) {
        const size_t n = seqs[s].n;

        assert(seqs[s].kv); /* all with a cache, or none */
        it[s] = (struct mm_attn_item){
            .a = { .nq = n, .nk = mm_kv_len(seqs[s].kv) + n, .heads = h, .kv_heads = kh, .dim = d,
                   .scale = 1.0f / sqrtf((float)d), .causal = true, .window = (size_t)m->c.window,
                   .q_row = h * d, .q_head = d, .o_row = h * d, .o_head = d },
            .o = o, .q = q
        };
        if (mm_kv_append(seqs[s].kv, layer, k, v, n) < 0)
            goto nomem;
        mm_kv_view(seqs[s].kv, layer, &it[s]);
        o += n * h * d;
        q += n * h * d;
        k += n * kh * d;
        v += n * kh * d;
    }
    if (!it)
        return false;
    if (mm_attention_many(it, nseq, c->pool) == 0)
        return true;
nomem:
    mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    return false;
}

/* Products with the keys and values each row sees; the cache is read once a sequence. */
static void lap_attention(struct mm_ctx *c, const struct mm_llama *m, const struct mm_seq *seqs,
                          size_t nseq)
{
    const double d = (double)m->c.head_dim;
    double pairs = 0;
    double bytes = 0;

    for (size_t s = 0; c->times && s < nseq; s++) {
        const size_t past = seqs[s].kv ? mm_kv_len(seqs[s].kv) : 0;
        const size_t e = seqs[s].kv ? mm_dtype_block_bytes(mm_kv_dtype(seqs[s].kv)) : 4;
        pairs += (double)seqs[s].n * ((double)past + ((double)seqs[s].n + 1) / 2);
        bytes += 2 * (double)(m->c.kv_heads) * d * (double)(e * (past + seqs[s].n));
    }
    mm_times_lap(c, MM_LLAMA_ATTENTION, 4 * (double)m->c.heads * d * pairs, bytes);
}

/* q [T, heads, d], k and v [T, kv_heads, d] -> [T, heads * d] */
static struct mm_var *self_attention(struct mm_ctx *c, const struct mm_llama *m, size_t layer,
                                     const struct mm_var *q, const struct mm_var *k,
                                     const struct mm_var *v, const struct mm_seq *seqs,
                                     size_t nseq)
{
    const int64_t flat[2] = { q ? q->t.shape[0] : 0, m->c.heads * m->c.head_dim };
    const struct mm_attention_spec spec = { .causal = true, .window = (size_t)m->c.window };

    if (!q || !k || !v)
        return NULL;
    if (!seqs[0].kv) { /* training */
        size_t *len = mm_ctx_alloc(c, nseq, sizeof(*len));

        for (size_t s = 0; len && s < nseq; s++)
            len[s] = seqs[s].n;
        return len ? mm_reshape(c, mm_attend_seqs(c, q, k, v, len, nseq, &spec), 2, flat) : NULL;
    }
    struct mm_var *o = mm_var_new(c, 2, flat);
    if (!o || !cached_attention(c, m, layer, mm_f32(o), mm_f32(q), mm_f32(k), mm_f32(v), seqs, nseq))
        return NULL;
    return o;
}

/* Traced as [heads, T, d], the reference's order. */
static void trace_heads(struct mm_ctx *c, const struct mm_var *x, const char *what, size_t layer)
{
    static const int heads_first[3] = { 1, 0, 2 };

    if (c->trace && x)
        mm_trace_stage(c, mm_permute(c, x, heads_first), "layers.%zu.%s", layer, what);
}

/* Rows of x that are needed; at NULL: all. */
struct wanted {
    const int32_t *at;
    size_t n;
};

/* What attention adds to x: to the rows that are wanted. */
static struct mm_var *attention_block(struct mm_ctx *c, const struct mm_llama *m, size_t i,
                                      struct mm_var *x, const struct tables *t,
                                      const struct mm_seq *seqs, size_t nseq,
                                      const struct wanted *want)
{
    const struct layer *y = &m->layers[i];
    const int64_t qs[3] = { x->t.shape[0], m->c.heads, m->c.head_dim };
    const int64_t ks[3] = { x->t.shape[0], m->c.kv_heads, m->c.head_dim };
    const struct mm_var *w[3] = { y->q, y->k, y->v }, *b[3] = { y->q_b, y->k_b, y->v_b };
    const size_t rows = (size_t)x->t.shape[0];
    struct mm_var *p[3];
    struct mm_var *n = mm_rms_norm(c, x, y->attn_norm, m->c.eps);

    mm_trace_stage(c, n, "layers.%zu.attn_norm", i);
    mm_linear_group(c, p, n, w, b, 3);
    struct mm_var *q = mm_rope(c, mm_reshape(c, p[0], 3, qs), t->cos, t->sin, m->c.halves);
    struct mm_var *k = mm_rope(c, mm_reshape(c, p[1], 3, ks), t->cos, t->sin, m->c.halves);
    struct mm_var *v = mm_reshape(c, p[2], 3, ks);
    trace_heads(c, q, "q_rope", i);
    trace_heads(c, k, "k_rope", i);
    mm_times_lap_linear(c, MM_LLAMA_QKV, rows, w, 3);
    struct mm_var *a = self_attention(c, m, i, q, k, v, seqs, nseq);
    lap_attention(c, m, seqs, nseq);
    if (want->at)
        a = mm_select(c, a, 0, want->at, want->n);
    a = mm_linear(c, a, y->o, y->o_b);
    mm_trace_stage(c, a, "layers.%zu.attn", i);
    mm_times_lap_linear(c, MM_LLAMA_O, rows, (const struct mm_var *[]){ y->o }, 1);
    return a;
}

/* x and what the MLP adds to it */
static struct mm_var *mlp_block(struct mm_ctx *c, const struct mm_llama *m, size_t i,
                                struct mm_var *x)
{
    const struct layer *y = &m->layers[i];
    const struct mm_var *w[2] = { y->gate, y->up }, *b[2] = { y->gate_b, y->up_b };
    const size_t rows = (size_t)x->t.shape[0];
    struct mm_var *p[2];
    struct mm_var *n = mm_rms_norm(c, x, y->mlp_norm, m->c.eps);

    mm_trace_stage(c, n, "layers.%zu.mlp_norm", i);
    mm_linear_group(c, p, n, w, b, 2);
    struct mm_var *f = mm_linear(c, mm_swiglu_over(c, p[0], p[1]), y->down, y->down_b);
    mm_trace_stage(c, f, "layers.%zu.mlp", i);
    x = mm_add_over(c, x, f);
    mm_times_lap_linear(c, MM_LLAMA_MLP, rows, (const struct mm_var *[]){ y->gate, y->up, y->down },
                        3);
    return x;
}

/* A layer and all it reads, for mm_recompute. */
struct layer_args {
    const struct mm_llama *m;
    const struct mm_seq *seqs;
    size_t nseq, i;
    struct tables t;
    struct wanted rows; /* of the result */
};

/* y is x, or its wanted rows, in memory of its own unless all is recorded: what attention
 * used is given back before the MLP needs some. */
static struct mm_var *layer_forward(struct mm_ctx *c, const void *arg, struct mm_var *x)
{
    const struct layer_args *a = arg;
    const struct wanted *want = &a->rows;
    struct mm_var *y = want->at ? mm_select(c, x, 0, want->at, want->n)
                       : c->tape ? x : mm_scale(c, x, 1);
    const struct mm_scope scope = mm_scope_open(c);

    if (!y)
        return NULL;
    y = mm_add_over(c, y, attention_block(c, a->m, a->i, x, &a->t, a->seqs, a->nseq, want));
    mm_scope_close(c, scope, NULL);
    return y ? mlp_block(c, a->m, a->i, y) : NULL;
}

/* The second pass packs the weights, which is a stage of its own. */
static bool begin_pass(struct mm_ctx *c, const struct mm_llama *m)
{
    const double packing = mm_params_packing(m->params);

    mm_times_lap(c, MM_LLAMA_EMBED, 0, 0);
    if (mm_params_pass(m->params, c->pool, &c->err) < 0)
        return false;
    if (mm_params_packing(m->params) > packing)
        mm_times_lap(c, MM_LLAMA_PACK, 0, 0);
    return true;
}

/* The wanted rows alone, which are all that the last layer computes after attention. */
static struct mm_var *hidden(struct mm_ctx *c, const struct mm_llama *m, struct mm_var *x,
                             const struct mm_seq *seqs, size_t nseq, struct wanted want)
{
    struct tables t;

    if (!x || !begin_pass(c, m) || !rope_tables(c, &t, m, (size_t)x->t.shape[0], seqs, nseq))
        return NULL;
    mm_trace_stage(c, x, "embeddings");
    mm_times_lap(c, MM_LLAMA_EMBED, 0, 0);
    const struct mm_scope scope = mm_scope_open(c); /* a layer's result replaces the one before */
    for (size_t i = 0; x && i < (size_t)m->c.layers; i++) {
        const bool last = i + 1 == (size_t)m->c.layers;
        const struct layer_args a = { m, seqs, nseq, i, t, last ? want : (struct wanted){ 0 } };

        x = mm_recompute(c, layer_forward, &a, sizeof(a), x);
        x = mm_scope_close(c, scope, x);
        mm_trace_stage(c, x, "layers.%zu", i);
    }
    for (size_t s = 0; x && s < nseq; s++)
        if (seqs[s].kv)
            mm_kv_advance(seqs[s].kv, seqs[s].n);
    x = mm_rms_norm(c, x, m->norm, m->c.eps);
    mm_trace_stage(c, x, "norm");
    return x;
}

struct mm_var *mm_llama_hidden(struct mm_ctx *c, const struct mm_llama *m, struct mm_var *x,
                               const struct mm_seq *seqs, size_t nseq)
{
    return hidden(c, m, x, seqs, nseq, (struct wanted){ 0 });
}

struct mm_var *mm_llama_logits(struct mm_ctx *c, const struct mm_llama *m, const struct mm_var *h)
{
    struct mm_var *l = mm_linear(c, h, m->head, NULL);

    if (l)
        mm_times_lap_linear(c, MM_LLAMA_HEAD, (size_t)h->t.shape[0],
                            (const struct mm_var *[]){ m->head }, 1);
    return l;
}

/* Rows with a target and their targets. */
static bool with_target(struct mm_ctx *c, struct wanted *want, int32_t **own,
                        const int32_t *target, size_t rows)
{
    int32_t *at = mm_ctx_alloc(c, rows, sizeof(*at));

    *own = mm_ctx_alloc(c, rows, sizeof(**own));
    if (!at || !*own)
        return false;
    *want = (struct wanted){ .at = at };
    for (size_t r = 0; r < rows; r++)
        if (target[r] >= 0) {
            (*own)[want->n] = target[r];
            at[want->n++] = (int32_t)r;
        }
    return true;
}

struct mm_var *mm_llama_loss(struct mm_ctx *c, const struct mm_llama *m, struct mm_var *x,
                             const struct mm_seq *seqs, size_t nseq, const int32_t *target,
                             float scale)
{
    const size_t rows = x ? (size_t)x->t.shape[0] : 0;
    struct wanted want;
    int32_t *own;

    if (!x || !with_target(c, &want, &own, target, rows))
        return NULL;
    if (want.n > rows / 8 * 7 || !want.n) /* there is little to save */
        want.at = NULL;
    return mm_head_loss(c, hidden(c, m, x, seqs, nseq, want), m->head, want.at ? own : target,
                        scale);
}
