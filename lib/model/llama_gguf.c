/* llama_gguf.c: from Hugging Face and Meta names to GGUF's.
 *
 * q and k rows of Hugging Face go from pairs (i, i + d/2) to (2i, 2i + 1);
 * Meta's are stored so already (llava.md 7.3).  Llama 3's scaling becomes
 * divisors, the others are keys.
 */
#include "model/llama_gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/llama.h"
#include "weights/load.h"

/* Where each role is stored; %d is the layer. */
struct role {
    const char *gguf, *hf, *meta;
    enum mm_convert_role as;
    char rows, cols; /* shape, cols 0 for a vector: D model, F ffn, Q all heads,
                        K all kv heads, V vocabulary */
    bool rope;       /* its rows are heads that RoPE turns */
    bool optional;
};

static const struct role layer_roles[] = {
    { "attn_norm.weight", "input_layernorm.weight", "attention_norm.weight", MM_CONVERT_FLOAT,
      'D', 0, false, false },
    { "attn_q.weight", "self_attn.q_proj.weight", "attention.wq.weight", MM_CONVERT_MATRIX,
      'Q', 'D', true, false },
    { "attn_q.bias", "self_attn.q_proj.bias", "attention.wq.bias", MM_CONVERT_FLOAT,
      'Q', 0, true, true },
    { "attn_k.weight", "self_attn.k_proj.weight", "attention.wk.weight", MM_CONVERT_MATRIX,
      'K', 'D', true, false },
    { "attn_k.bias", "self_attn.k_proj.bias", "attention.wk.bias", MM_CONVERT_FLOAT,
      'K', 0, true, true },
    { "attn_v.weight", "self_attn.v_proj.weight", "attention.wv.weight", MM_CONVERT_MATRIX,
      'K', 'D', false, false },
    { "attn_v.bias", "self_attn.v_proj.bias", "attention.wv.bias", MM_CONVERT_FLOAT,
      'K', 0, false, true },
    { "attn_output.weight", "self_attn.o_proj.weight", "attention.wo.weight", MM_CONVERT_MATRIX,
      'D', 'Q', false, false },
    { "attn_output.bias", "self_attn.o_proj.bias", "attention.wo.bias", MM_CONVERT_FLOAT,
      'D', 0, false, true },
    { "ffn_norm.weight", "post_attention_layernorm.weight", "ffn_norm.weight", MM_CONVERT_FLOAT,
      'D', 0, false, false },
    { "ffn_gate.weight", "mlp.gate_proj.weight", "feed_forward.w1.weight", MM_CONVERT_MATRIX,
      'F', 'D', false, false },
    { "ffn_gate.bias", "mlp.gate_proj.bias", "feed_forward.w1.bias", MM_CONVERT_FLOAT,
      'F', 0, false, true },
    { "ffn_up.weight", "mlp.up_proj.weight", "feed_forward.w3.weight", MM_CONVERT_MATRIX,
      'F', 'D', false, false },
    { "ffn_up.bias", "mlp.up_proj.bias", "feed_forward.w3.bias", MM_CONVERT_FLOAT,
      'F', 0, false, true },
    { "ffn_down.weight", "mlp.down_proj.weight", "feed_forward.w2.weight", MM_CONVERT_MATRIX,
      'D', 'F', false, false },
    { "ffn_down.bias", "mlp.down_proj.bias", "feed_forward.w2.bias", MM_CONVERT_FLOAT,
      'D', 0, false, true },
};

static const struct role embedding = { "token_embd.weight", "embed_tokens.weight",
                                       "tok_embeddings.weight", MM_CONVERT_MATRIX, 'V', 'D',
                                       false, false };
static const struct role norm = { "output_norm.weight", "norm.weight", "norm.weight",
                                  MM_CONVERT_FLOAT, 'D', 0, false, false };
static const struct role head = { "output.weight", "lm_head.weight", "output.weight",
                                  MM_CONVERT_MATRIX, 'V', 'D', false, false };

static const char *const bodies[] = { "model.", "language_model.model.", "model.language_model.",
                                      "base_model.model.model.", "", NULL };
static const char *const heads[] = { "", "language_model.", "model.language_model.",
                                     "base_model.model.", NULL };

struct plan {
    struct mm_convert *c;
    const struct mm_ckpt *ck;
    struct mm_load *load;
    struct mm_llama_config conf;
    bool meta;
    struct mm_err *e;
};

static int64_t size_of(struct plan *p, char what)
{
    switch (what) {
    case 'D': return p->conf.dim;
    case 'F': return p->conf.ffn;
    case 'Q': return p->conf.heads * p->conf.head_dim;
    case 'K': return p->conf.kv_heads * p->conf.head_dim;
    case 'V': return p->conf.vocab;
    default:  return 0;
    }
}

/* Add the tensor of a role: as `gguf` with the layer before it, if layer >= 0. */
static int add(struct plan *p, const struct role *r, int layer)
{
    const char *const stored = p->meta ? r->meta : r->hf;
    int64_t want[2] = { size_of(p, r->rows), size_of(p, r->cols) };
    const int ndim = r->cols ? 2 : 1;
    char from[200], to[200];

    if (layer < 0) {
        snprintf(from, sizeof from, "%s", stored);
        snprintf(to, sizeof to, "%s", r->gguf);
    } else {
        snprintf(from, sizeof from, "layers.%d.%s", layer, stored);
        snprintf(to, sizeof to, "blk.%d.%s", layer, r->gguf);
    }
    const struct mm_tensor *const t = r->optional ? mm_load_opt(p->load, want, ndim, "%s", from)
                                                  : mm_load_get(p->load, want, ndim, "%s", from);
    if (!t)
        return 0; /* mm_load_done tells */
    if (r->rows == 'F')
        p->conf.ffn = want[0];
    if (r->rows == 'V')
        p->conf.vocab = want[0];
    struct mm_tensor shaped = *t;
    shaped.ndim = ndim;
    memcpy(shaped.shape, want, sizeof want);
    const int64_t n = r->rows == 'Q' ? p->conf.heads : p->conf.kv_heads;
    const struct mm_convert_spec s = { .role = r->as, .heads = r->rope && !p->meta ? n : 0 };
    return mm_convert_add(p->c, to, &shaped, &s, p->e);
}

/* Is the head a tensor of its own? */
static bool has_head(const struct plan *p)
{
    char name[200];

    for (int i = 0; heads[i]; i++) {
        snprintf(name, sizeof name, "%s%s", heads[i], p->meta ? head.meta : head.hf);
        if (mm_ckpt_lookup(p->ck, name))
            return true;
    }
    return false;
}

static int plan_tensors(struct plan *p)
{
    char glob[200];
    int rc = 0;

    p->conf.vocab = -1;
    for (int i = 0; bodies[i]; i++) {
        snprintf(glob, sizeof glob, "%slayers.*", bodies[i]);
        mm_load_strict(p->load, glob);
    }
    const bool tied = p->conf.tied && !has_head(p);
    struct role table = embedding;
    table.as = tied ? MM_CONVERT_MATRIX : MM_CONVERT_LOOKUP;
    mm_load_prefix(p->load, bodies);
    if ((rc = add(p, &table, -1)) < 0)
        return rc;
    for (int i = 0; i < p->conf.layers && rc == 0; i++)
        for (size_t k = 0; k < sizeof layer_roles / sizeof *layer_roles && rc == 0; k++)
            rc = add(p, &layer_roles[k], i);
    if (rc == 0)
        rc = add(p, &norm, -1);
    mm_load_prefix(p->load, heads);
    if (rc == 0 && !tied)
        rc = add(p, &head, -1);
    return rc < 0 ? rc : mm_load_done(p->load, p->e);
}

/* Llama 3.1: what each frequency is divided by (llava.md 7.6). */
static int plan_divisors(struct mm_llama_gguf *m, struct plan *p)
{
    const struct mm_rope_spec *const s = &p->conf.rope;
    const size_t n = s->dim / 2;

    if (s->kind != MM_ROPE_LLAMA3)
        return 0;
    m->divisors = malloc(n * sizeof *m->divisors);
    if (!m->divisors)
        return mm_err_set(p->e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const double wave = 2 * acos(-1.0) * pow(s->theta, 2.0 * (double)i / (double)s->dim);
        const double old = (double)s->original;
        const double smooth = (old / wave - s->low) / (s->high - s->low);
        m->divisors[i] = (float)(wave < old / s->high ? 1
                                 : wave > old / s->low ? s->factor
                                 : 1 / ((1 - smooth) / s->factor + smooth));
    }
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 1, .shape = { (int64_t)n },
                                 .data = m->divisors };
    const struct mm_convert_spec spec = { .role = MM_CONVERT_FLOAT };
    return mm_convert_add(p->c, "rope_freqs.weight", &t, &spec, p->e);
}

/* ---- keys ---- */

static void write_str(struct mm_ggufw *w, const char *key, const char *s)
{
    mm_ggufw_str(w, key, s, strlen(s));
}

static void write_rope(struct mm_ggufw *w, const struct mm_rope_spec *s)
{
    static const char *const names[] = { [MM_ROPE_LINEAR] = "linear",
                                         [MM_ROPE_DYNAMIC] = "dynamic", [MM_ROPE_YARN] = "yarn" };

    mm_ggufw_u32(w, "llama.rope.dimension_count", (uint32_t)s->dim);
    mm_ggufw_f32(w, "llama.rope.freq_base", (float)s->theta);
    if (s->kind == MM_ROPE_PLAIN || s->kind == MM_ROPE_LLAMA3)
        return;
    write_str(w, "llama.rope.scaling.type", names[s->kind]);
    mm_ggufw_f32(w, "llama.rope.scaling.factor", (float)s->factor);
    mm_ggufw_u32(w, "llama.rope.scaling.original_context_length", (uint32_t)s->original);
    if (s->kind != MM_ROPE_YARN)
        return;
    mm_ggufw_f32(w, "llama.rope.scaling.yarn_beta_fast", (float)s->beta_fast);
    mm_ggufw_f32(w, "llama.rope.scaling.yarn_beta_slow", (float)s->beta_slow);
    if (s->attention_factor > 0) /* a multiple of the usual factor in GGUF */
        mm_ggufw_f32(w, "llama.rope.scaling.attn_factor",
                     (float)(s->attention_factor / (0.1 * log(s->factor) + 1)));
}

static void write_keys(struct mm_ggufw *w, const struct plan *p, const char *name)
{
    const struct mm_llama_config *const c = &p->conf;

    write_str(w, "general.architecture", "llama");
    write_str(w, "general.type", "model");
    write_str(w, "general.name", name);
    mm_ggufw_u32(w, "general.file_type", mm_convert_file_type(p->c));
    mm_ggufw_u32(w, "general.quantization_version", 2);
    mm_ggufw_u32(w, "llama.vocab_size", (uint32_t)c->vocab);
    mm_ggufw_u32(w, "llama.context_length", (uint32_t)c->context);
    mm_ggufw_u32(w, "llama.embedding_length", (uint32_t)c->dim);
    mm_ggufw_u32(w, "llama.block_count", (uint32_t)c->layers);
    mm_ggufw_u32(w, "llama.feed_forward_length", (uint32_t)c->ffn);
    mm_ggufw_u32(w, "llama.attention.head_count", (uint32_t)c->heads);
    mm_ggufw_u32(w, "llama.attention.head_count_kv", (uint32_t)c->kv_heads);
    mm_ggufw_f32(w, "llama.attention.layer_norm_rms_epsilon", c->eps);
    if (c->head_dim * c->heads != c->dim) {
        mm_ggufw_u32(w, "llama.attention.key_length", (uint32_t)c->head_dim);
        mm_ggufw_u32(w, "llama.attention.value_length", (uint32_t)c->head_dim);
    }
    if (c->window)
        mm_ggufw_u32(w, "llama.attention.sliding_window", (uint32_t)c->window);
    write_rope(w, &c->rope);
}

void mm_llama_gguf_free(struct mm_llama_gguf *m)
{
    free(m->divisors);
    *m = (struct mm_llama_gguf){ 0 };
}

int mm_llama_gguf_plan(struct mm_llama_gguf *m, struct mm_convert *c, struct mm_ggufw *w,
                       const struct mm_ckpt *ck, const char *name, struct mm_err *e)
{
    struct plan p = { .c = c, .ck = ck, .e = e };
    int rc = mm_llama_configure(&p.conf, ck, e);

    *m = (struct mm_llama_gguf){ 0 };
    if (rc < 0 || (rc = mm_load_new(&p.load, ck, e)) < 0)
        return rc;
    p.meta = mm_ckpt_lookup(ck, embedding.meta) != NULL;
    if ((rc = plan_tensors(&p)) == 0 && (rc = plan_divisors(m, &p)) == 0) {
        m->vocab = (size_t)p.conf.vocab;
        m->bos = p.conf.bos;
        m->eos = p.conf.neos ? p.conf.eos[0] : -1;
        write_keys(w, &p, name);
    }
    mm_load_free(p.load);
    if (rc < 0)
        mm_llama_gguf_free(m);
    return rc;
}
