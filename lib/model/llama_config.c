/* llama_config.c: hyper-parameters of the LLaMA family from the three layouts
 * it is published in: config.json (Hugging Face and LLaVA), params.json (Meta)
 * and GGUF keys.  A key that is absent has the published default.
 */
#include "model/llama.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

static bool is_mistral(const json_t *text)
{
    const char *type = json_string_value(json_object_get(text, "model_type"));

    return type && strstr(type, "mistral");
}

/* Is this model_type a decoder we know?  Absent: judged by the tensors later. */
static bool known_type(const char *type)
{
    static const char *const known[] = { "llama", "mistral", "llava", "llava_llama",
                                         "llava_mistral", "llava_next", "vicuna" };

    for (size_t i = 0; type && i < sizeof(known) / sizeof(*known); i++)
        if (!strcmp(type, known[i]))
            return true;
    return !type;
}

static int rope_kind(enum mm_rope_kind *kind, const char *type, struct mm_err *e)
{
    static const struct {
        const char *name;
        enum mm_rope_kind kind;
    } kinds[] = { { "default", MM_ROPE_PLAIN },  { "none", MM_ROPE_PLAIN },
                  { "linear", MM_ROPE_LINEAR },  { "dynamic", MM_ROPE_DYNAMIC },
                  { "llama3", MM_ROPE_LLAMA3 },  { "yarn", MM_ROPE_YARN } };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (!strcmp(type, kinds[i].name)) {
            *kind = kinds[i].kind;
            return 0;
        }
    return mm_err_set(e, MM_EMISSING, "config.json: rope_scaling of type '%s' is not supported",
                      type);
}

/* rope_scaling, or the rope_parameters that newer configurations nest */
static int hf_rope(struct mm_llama_config *c, const json_t *text, struct mm_err *e)
{
    struct mm_rope_spec *r = &c->rope;
    const json_t *s = json_object_get(text, "rope_parameters");

    r->theta = mm_json_num(text, "rope_theta", 10000.0, e);
    r->original = c->context;
    if (!json_is_object(s))
        s = json_object_get(text, "rope_scaling");
    if (!json_is_object(s))
        return e->code;
    r->theta = mm_json_num(s, "rope_theta", r->theta, e);
    const char *type = mm_json_str(s, "rope_type", mm_json_str(s, "type", "default", e), e);
    if (rope_kind(&r->kind, type, e) < 0)
        return e->code;
    r->factor = mm_json_num(s, "factor", 1.0, e);
    r->low = mm_json_num(s, "low_freq_factor", 1.0, e);
    r->high = mm_json_num(s, "high_freq_factor", 4.0, e);
    r->beta_fast = mm_json_num(s, "beta_fast", 32.0, e);
    r->beta_slow = mm_json_num(s, "beta_slow", 1.0, e);
    r->attention_factor = mm_json_num(s, "attention_factor", 0.0, e);
    r->original = mm_json_int(s, "original_max_position_embeddings", r->original, e);
    if (r->kind != MM_ROPE_PLAIN && !(r->factor > 0))
        return mm_err_set(e, MM_EDATA, "config.json: rope_scaling factor %g is not positive",
                          r->factor);
    return e->code;
}

static void add_eos(struct mm_llama_config *c, const json_t *v)
{
    const json_t *item;
    size_t i;

    if (json_is_integer(v) && c->neos < MM_MAX_EOS)
        c->eos[c->neos++] = (int32_t)json_integer_value(v);
    json_array_foreach(v, i, item)
        if (json_is_integer(item) && c->neos < MM_MAX_EOS)
            c->eos[c->neos++] = (int32_t)json_integer_value(item);
}

static int hf_ends(struct mm_llama_config *c, const struct mm_ckpt *ck, const json_t *text,
                   const json_t *top, struct mm_err *e)
{
    json_t *gen = NULL;

    if (mm_ckpt_json(&gen, ck, "generation_config.json", e) < 0)
        return e->code;
    add_eos(c, json_object_get(gen, "eos_token_id"));
    if (!c->neos)
        add_eos(c, json_object_get(text, "eos_token_id"));
    if (!c->neos)
        add_eos(c, json_object_get(top, "eos_token_id"));
    c->bos = (int32_t)mm_json_int(gen, "bos_token_id", mm_json_int(text, "bos_token_id", -1, e), e);
    json_decref(gen);
    return e->code;
}

static int from_hf(struct mm_llama_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    const json_t *top = mm_ckpt_config(ck);
    const json_t *text = json_object_get(top, "text_config");

    if (!json_is_object(text))
        text = top;
    const char *type = mm_json_str(text, "model_type", NULL, e);
    if (!known_type(type))
        return mm_err_set(e, MM_EMISSING, "config.json: model_type '%s' is not of the LLaMA family",
                          type);
    const bool mistral = is_mistral(text);
    c->dim = mm_json_int(text, "hidden_size", 4096, e);
    c->ffn = mm_json_int(text, "intermediate_size", mistral ? 14336 : 11008, e);
    c->layers = mm_json_int(text, "num_hidden_layers", 32, e);
    c->heads = mm_json_int(text, "num_attention_heads", 32, e);
    c->kv_heads = mm_json_int(text, "num_key_value_heads", mistral ? 8 : c->heads, e);
    c->head_dim = mm_json_int(text, "head_dim", 0, e);
    c->context = mm_json_int(text, "max_position_embeddings", mistral ? 131072 : 2048, e);
    c->eps = (float)mm_json_num(text, "rms_norm_eps", 1e-6, e);
    c->tied = mm_json_bool(top, "tie_word_embeddings",
                           mm_json_bool(text, "tie_word_embeddings", false, e), e);
    /* Mistral's published default is a window of 4096; an explicit null is none */
    if (mistral)
        c->window = json_is_null(json_object_get(text, "sliding_window"))
                        ? 0 : mm_json_int(text, "sliding_window", 4096, e);
    c->halves = true;
    const char *act = mm_json_str(text, "hidden_act", "silu", e);
    if (strcmp(act, "silu"))
        return mm_err_set(e, MM_EMISSING, "config.json: hidden_act '%s' is not supported", act);
    if (hf_rope(c, text, e) < 0)
        return e->code;
    return hf_ends(c, ck, text, top, e);
}

static int from_meta(struct mm_llama_config *c, const json_t *p, struct mm_err *e)
{
    c->dim = mm_json_int(p, "dim", 4096, e);
    c->layers = mm_json_int(p, "n_layers", 32, e);
    c->heads = mm_json_int(p, "n_heads", 32, e);
    c->kv_heads = mm_json_int(p, "n_kv_heads", c->heads, e);
    c->eps = (float)mm_json_num(p, "norm_eps", 1e-5, e);
    c->ffn = -1; /* by the shape of w1 */
    c->context = 2048;
    c->rope.theta = mm_json_num(p, "rope_theta", 10000.0, e);
    c->rope.original = c->context;
    return e->code;
}

/* One key of the architecture: ARCH.suffix */
static const char *arch_key(char *buf, size_t n, const char *arch, const char *suffix)
{
    snprintf(buf, n, "%s.%s", arch, suffix);
    return buf;
}

static int gguf_rope(struct mm_llama_config *c, const struct mm_ckpt *ck, const char *arch,
                     struct mm_err *e)
{
    const json_t *m = mm_ckpt_meta(ck);
    struct mm_rope_spec *r = &c->rope;
    char k[128];

    r->theta = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.freq_base"), 10000.0, e);
    r->original = c->context;
    const char *type = mm_json_str(m, arch_key(k, sizeof(k), arch, "rope.scaling.type"), "none", e);
    if (rope_kind(&r->kind, type, e) < 0)
        return e->code;
    r->factor = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.scaling.factor"), 1.0, e);
    r->original = mm_json_int(m, arch_key(k, sizeof(k), arch,
                                          "rope.scaling.original_context_length"), r->original, e);
    r->beta_fast = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.scaling.yarn_beta_fast"), 32.0,
                               e);
    r->beta_slow = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.scaling.yarn_beta_slow"), 1.0,
                               e);
    /* a multiple of the usual factor here, the factor itself in config.json */
    r->attention_factor = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.scaling.attn_factor"),
                                      0.0, e) * (0.1 * log(r->factor > 1 ? r->factor : 1) + 1);
    const double legacy = mm_json_num(m, arch_key(k, sizeof(k), arch, "rope.scale_linear"), 0, e);
    if (legacy > 0 && r->kind == MM_ROPE_PLAIN) {
        r->kind = MM_ROPE_LINEAR;
        r->factor = legacy;
    }
    if (r->kind != MM_ROPE_PLAIN && !(r->factor > 0))
        return mm_err_set(e, MM_EDATA, "%s: rope.scaling.factor %g is not positive",
                          mm_ckpt_path(ck), r->factor);
    return e->code;
}

static int from_gguf(struct mm_llama_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    const json_t *m = mm_ckpt_meta(ck);
    const char *arch = mm_json_str(m, "general.architecture", "?", e);
    char k[128];

    if (strcmp(arch, "llama") && strcmp(arch, "mistral"))
        return mm_err_set(e, MM_EMISSING, "%s: architecture '%s' is not of the LLaMA family",
                          mm_ckpt_path(ck), arch);
    c->dim = mm_json_int(m, arch_key(k, sizeof(k), arch, "embedding_length"), 0, e);
    c->ffn = mm_json_int(m, arch_key(k, sizeof(k), arch, "feed_forward_length"), 0, e);
    c->layers = mm_json_int(m, arch_key(k, sizeof(k), arch, "block_count"), 0, e);
    c->heads = mm_json_int(m, arch_key(k, sizeof(k), arch, "attention.head_count"), 0, e);
    c->kv_heads = mm_json_int(m, arch_key(k, sizeof(k), arch, "attention.head_count_kv"),
                              c->heads, e);
    c->head_dim = mm_json_int(m, arch_key(k, sizeof(k), arch, "attention.key_length"), 0, e);
    c->context = mm_json_int(m, arch_key(k, sizeof(k), arch, "context_length"), 2048, e);
    c->window = mm_json_int(m, arch_key(k, sizeof(k), arch, "attention.sliding_window"), 0, e);
    c->eps = (float)mm_json_num(m, arch_key(k, sizeof(k), arch,
                                            "attention.layer_norm_rms_epsilon"), 1e-5, e);
    c->bos = (int32_t)mm_json_int(m, "tokenizer.ggml.bos_token_id", -1, e);
    add_eos(c, json_object_get(m, "tokenizer.ggml.eos_token_id"));
    return gguf_rope(c, ck, arch, e);
}

static int check(const struct mm_llama_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    const int64_t most = 1 << 20;

    if (c->dim < 1 || c->dim > most || c->layers < 1 || c->layers > 4096 || c->heads < 1 ||
        c->heads > 65536 || c->kv_heads < 1 || c->heads % c->kv_heads || c->head_dim < 2 ||
        c->head_dim > 65536 || c->head_dim % 2 || (c->ffn < 1 && c->ffn != -1) ||
        c->ffn > 16 * most || c->window < 0 || c->context < 1)
        return mm_err_set(e, MM_EDATA, "%s: impossible sizes: hidden %lld, layers %lld, heads %lld, "
                          "kv heads %lld, head size %lld, ffn %lld, context %lld",
                          mm_ckpt_path(ck), (long long)c->dim, (long long)c->layers,
                          (long long)c->heads, (long long)c->kv_heads, (long long)c->head_dim,
                          (long long)c->ffn, (long long)c->context);
    return 0;
}

int mm_llama_configure(struct mm_llama_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    json_t *params = NULL;

    *c = (struct mm_llama_config){ .bos = -1 };
    if (mm_ckpt_is_gguf(ck)) {
        if (from_gguf(c, ck, e) < 0)
            return e->code;
    } else if (mm_ckpt_config(ck)) {
        if (from_hf(c, ck, e) < 0)
            return mm_err_prefix(e, "%s", mm_ckpt_dir(ck));
    } else {
        if (mm_ckpt_json(&params, ck, "params.json", e) < 0)
            return e->code;
        if (!params)
            return mm_err_set(e, MM_EMISSING, "%s: no config.json, params.json or GGUF keys beside "
                              "the weights", mm_ckpt_path(ck));
        const int rc = from_meta(c, params, e);
        json_decref(params);
        if (rc < 0)
            return mm_err_prefix(e, "%s/params.json", mm_ckpt_dir(ck));
    }
    if (!c->head_dim && c->heads > 0)
        c->head_dim = c->dim / c->heads;
    c->rope.dim = (size_t)c->head_dim;
    return check(c, ck, e);
}
