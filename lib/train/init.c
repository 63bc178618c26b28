/* init.c: see init.h. */
#include "train/init.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"
#include "model/llama.h"
#include "text/tokenizer.h"
#include "train/export.h"
#include "train/near.h"

/* The tensors of a new model. */
struct fresh {
    struct mm_arena *arena; /* names and data */
    struct mm_named *v;
    size_t n, cap;
    uint64_t seed;
    const char *prefix; /* before every name */
    struct mm_err *e;
};

/* Shapes of up to four axes; 0 ends. */
struct dims {
    int64_t d[4];
};
#define DIMS(...) (struct dims){ { __VA_ARGS__ } }

MM_PRINTF(3, 0)
static struct mm_tensor *tensor(struct fresh *f, struct dims dims, const char *fmt, va_list ap)
{
    struct mm_tensor t = { .dtype = MM_F32 };
    char name[256];

    const int k = snprintf(name, sizeof(name), "%s", f->prefix);
    vsnprintf(name + k, sizeof(name) - (size_t)k, fmt, ap);
    for (int i = 0; i < 4 && dims.d[i]; i++)
        t.shape[t.ndim++] = dims.d[i];
    t.data = mm_arena_alloc(f->arena, mm_tensor_count(&t) * sizeof(float));
    char *copy = mm_arena_strdup(f->arena, name, strlen(name));
    if (!t.data || !copy || !mm_grow(&f->v, &f->cap, f->n + 1, sizeof(*f->v))) {
        mm_err_set(f->e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    f->v[f->n] = (struct mm_named){ copy, t };
    return &f->v[f->n++].t;
}

/* Normal of mean 0. */
MM_PRINTF(4, 5) static void normal(struct fresh *f, double std, struct dims dims, const char *fmt, ...)
{
    struct mm_rng r;
    va_list ap;

    va_start(ap, fmt);
    const struct mm_tensor *t = tensor(f, dims, fmt, ap);
    va_end(ap);
    if (!t)
        return;
    const char *name = f->v[f->n - 1].name;
    mm_rng_seed(&r, mm_hash64_add(mm_hash64(&f->seed, sizeof(f->seed)), name, strlen(name)));
    for (size_t i = 0; i < mm_tensor_count(t); i++)
        ((float *)t->data)[i] = (float)(std * mm_rng_normal(&r));
}

MM_PRINTF(4, 5) static void fill(struct fresh *f, float value, struct dims dims, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    const struct mm_tensor *t = tensor(f, dims, fmt, ap);
    va_end(ap);
    for (size_t i = 0; t && i < mm_tensor_count(t); i++)
        ((float *)t->data)[i] = value;
}

/* --- LLaMA -------------------------------------------------------------------------- */

static void llama(struct fresh *f, const json_t *c)
{
    const int64_t D = mm_json_int(c, "hidden_size", 4096, f->e);
    const int64_t F = mm_json_int(c, "intermediate_size", 11008, f->e);
    const int64_t L = mm_json_int(c, "num_hidden_layers", 32, f->e);
    const int64_t H = mm_json_int(c, "num_attention_heads", 32, f->e);
    const int64_t K = mm_json_int(c, "num_key_value_heads", H, f->e);
    const int64_t V = mm_json_int(c, "vocab_size", 32000, f->e);
    const double std = mm_json_num(c, "initializer_range", 0.02, f->e);
    const int64_t d = mm_json_int(c, "head_dim", H > 0 ? D / H : 0, f->e);

    if (D < 1 || F < 1 || L < 1 || H < 1 || K < 1 || V < 1 || d < 1)
        mm_err_set(f->e, MM_EDATA, "config.json: a size of the language model is not positive");
    if (f->e->code)
        return;
    normal(f, std, DIMS(V, D), "model.embed_tokens.weight");
    for (int64_t i = 0; i < L; i++) {
        const long long l = i;

        normal(f, std, DIMS(H * d, D), "model.layers.%lld.self_attn.q_proj.weight", l);
        normal(f, std, DIMS(K * d, D), "model.layers.%lld.self_attn.k_proj.weight", l);
        normal(f, std, DIMS(K * d, D), "model.layers.%lld.self_attn.v_proj.weight", l);
        normal(f, std, DIMS(D, H * d), "model.layers.%lld.self_attn.o_proj.weight", l);
        normal(f, std, DIMS(F, D), "model.layers.%lld.mlp.gate_proj.weight", l);
        normal(f, std, DIMS(F, D), "model.layers.%lld.mlp.up_proj.weight", l);
        normal(f, std, DIMS(D, F), "model.layers.%lld.mlp.down_proj.weight", l);
        fill(f, 1, DIMS(D), "model.layers.%lld.input_layernorm.weight", l);
        fill(f, 1, DIMS(D), "model.layers.%lld.post_attention_layernorm.weight", l);
    }
    fill(f, 1, DIMS(D), "model.norm.weight");
    if (!mm_json_bool(c, "tie_word_embeddings", false, f->e))
        normal(f, std, DIMS(V, D), "lm_head.weight");
}

/* --- CLIP --------------------------------------------------------------------------- */

static void norm(struct fresh *f, int64_t D, const char *name)
{
    fill(f, 1, DIMS(D), "%s.weight", name);
    fill(f, 0, DIMS(D), "%s.bias", name);
}

static void linear(struct fresh *f, double std, int64_t out, int64_t in, const char *block,
                   const char *name)
{
    normal(f, std, DIMS(out, in), "%s%s.weight", block, name);
    fill(f, 0, DIMS(out), "%s%s.bias", block, name);
}

static void blocks(struct fresh *f, int64_t D, int64_t F, int64_t L, const char *tower)
{
    const double depth = pow(2 * (double)L, -0.5), wide = pow((double)D, -0.5);
    char block[128], name[160];

    for (int64_t i = 0; i < L; i++) {
        snprintf(block, sizeof(block), "%s.encoder.layers.%lld.", tower, (long long)i);
        linear(f, wide * depth, D, D, block, "self_attn.q_proj");
        linear(f, wide * depth, D, D, block, "self_attn.k_proj");
        linear(f, wide * depth, D, D, block, "self_attn.v_proj");
        linear(f, wide, D, D, block, "self_attn.out_proj");
        linear(f, pow(2 * (double)D, -0.5), F, D, block, "mlp.fc1");
        linear(f, wide * depth, D, F, block, "mlp.fc2");
        snprintf(name, sizeof(name), "%slayer_norm1", block);
        norm(f, D, name);
        snprintf(name, sizeof(name), "%slayer_norm2", block);
        norm(f, D, name);
    }
}

/* The numbers of a tensor that was made before. */
MM_PRINTF(2, 3) static float *made(struct fresh *f, const char *fmt, ...)
{
    char name[256];
    va_list ap;

    const int k = snprintf(name, sizeof(name), "%s", f->prefix);
    va_start(ap, fmt);
    vsnprintf(name + k, sizeof(name) - (size_t)k, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < f->n; i++)
        if (!strcmp(f->v[i].name, name))
            return f->v[i].t.data;
    return NULL;
}

/* The heads of the first half of the blocks look at the next patches, then at the next but one. */
static void look_near(struct fresh *f, const struct mm_near *n, int64_t L)
{
    if (!mm_near_ok(n)) {
        mm_err_set(f->e, MM_EDATA, "config.json: initializer neighbours: the heads are too narrow");
        return;
    }
    mm_near_place(n, made(f, "vision_model.embeddings.patch_embedding.weight"),
                  made(f, "vision_model.embeddings.position_embedding.weight"));
    for (long long i = 0; i < L; i++)
        mm_near_attend(n, made(f, "vision_model.encoder.layers.%lld.self_attn.q_proj.weight", i),
                       made(f, "vision_model.encoder.layers.%lld.self_attn.k_proj.weight", i),
                       2 * i < L ? 1 : 2);
}

static void clip_vision(struct fresh *f, const json_t *c)
{
    const int64_t D = mm_json_int(c, "hidden_size", 768, f->e);
    const int64_t F = mm_json_int(c, "intermediate_size", 3072, f->e);
    const int64_t L = mm_json_int(c, "num_hidden_layers", 12, f->e);
    const int64_t p = mm_json_int(c, "patch_size", 32, f->e);
    const int64_t side = p > 0 ? mm_json_int(c, "image_size", 224, f->e) / p : 0;
    const int64_t H = mm_json_int(c, "num_attention_heads", 12, f->e);
    const char *const how = mm_json_str(c, "initializer", "", f->e);
    const bool near = !strcmp(how, "neighbours");

    if (*how && !near)
        mm_err_set(f->e, MM_EDATA, "config.json: no initializer %s", how);
    if (H < 1 || D < 1 || F < 1 || L < 1 || side < 1)
        mm_err_set(f->e, MM_EDATA, "config.json: a size of the vision tower is not positive");
    if (f->e->code)
        return;
    normal(f, pow((double)D, -0.5), DIMS(D), "vision_model.embeddings.class_embedding");
    normal(f, near ? 0.05 : 0.02, DIMS(D, 3, p, p), "vision_model.embeddings.patch_embedding.weight");
    normal(f, 0.02, DIMS(side * side + 1, D), "vision_model.embeddings.position_embedding.weight");
    norm(f, D, "vision_model.pre_layrnorm");
    norm(f, D, "vision_model.post_layernorm");
    blocks(f, D, F, L, "vision_model");
    if (near && !f->e->code)
        look_near(f, &(struct mm_near){ D, H, side, 3 * p * p }, L);
}

static void clip(struct fresh *f, const json_t *c)
{
    const json_t *t = json_object_get(c, "text_config"), *v = json_object_get(c, "vision_config");
    const int64_t D = mm_json_int(t, "hidden_size", 512, f->e);
    const int64_t P = mm_json_int(c, "projection_dim", 512, f->e);
    const int64_t F = mm_json_int(t, "intermediate_size", 2048, f->e);
    const int64_t L = mm_json_int(t, "num_hidden_layers", 12, f->e);
    const int64_t V = mm_json_int(t, "vocab_size", 49408, f->e);
    const int64_t T = mm_json_int(t, "max_position_embeddings", 77, f->e);
    const int64_t vision = mm_json_int(v, "hidden_size", 768, f->e);

    if (D < 1 || F < 1 || L < 1 || P < 1 || V < 1 || T < 1)
        mm_err_set(f->e, MM_EDATA, "config.json: a size of the text tower is not positive");
    if (f->e->code)
        return;
    normal(f, 0.02, DIMS(V, D), "text_model.embeddings.token_embedding.weight");
    normal(f, 0.02, DIMS(T, D), "text_model.embeddings.position_embedding.weight");
    norm(f, D, "text_model.final_layer_norm");
    blocks(f, D, F, L, "text_model");
    clip_vision(f, v);
    normal(f, pow((double)D, -0.5), DIMS(P, D), "text_projection.weight");
    if (!f->e->code)
        normal(f, pow((double)vision, -0.5), DIMS(P, vision), "visual_projection.weight");
    fill(f, (float)mm_json_num(c, "logit_scale_init_value", 2.6592, f->e), DIMS(0), "logit_scale");
}

/* --- LLaVA -------------------------------------------------------------------------- */

static void projector(struct fresh *f, int64_t in, int64_t out, double std)
{
    normal(f, std, DIMS(out, in), "multi_modal_projector.linear_1.weight");
    fill(f, 0, DIMS(out), "multi_modal_projector.linear_1.bias");
    normal(f, std, DIMS(out, out), "multi_modal_projector.linear_2.weight");
    fill(f, 0, DIMS(out), "multi_modal_projector.linear_2.bias");
}

static void llava(struct fresh *f, const json_t *c)
{
    const json_t *t = json_object_get(c, "text_config"), *v = json_object_get(c, "vision_config");

    f->prefix = "language_model.";
    llama(f, t);
    f->prefix = "vision_tower.";
    clip_vision(f, v);
    f->prefix = "";
    if (!f->e->code)
        projector(f, mm_json_int(v, "hidden_size", 1024, f->e),
                  mm_json_int(t, "hidden_size", 4096, f->e), 0.02);
}

/* --- to a directory ------------------------------------------------------------------- */

static int write_fresh(const char *dir, const struct fresh *f, const json_t *config,
                       struct mm_err *e)
{
    json_t *meta = json_pack("{s:s}", "format", "pt");
    struct mm_buf path = { 0 };
    int rc;

    mm_buf_printf(&path, "%s/model.safetensors", dir);
    if (!meta || path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if ((rc = mm_export_config(dir, config, MM_F32, e)) == 0)
        rc = mm_write_safetensors(path.p, f->v, f->n, meta, e);
    json_decref(meta);
    mm_buf_free(&path);
    return rc;
}

static bool starts(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

/* vocab_size of the text part, where the configuration leaves it to the tokenizer */
static int set_vocab(json_t *config, const char *tokenizer, struct mm_err *e)
{
    json_t *text = json_object_get(config, "text_config");
    struct mm_tok *tok = NULL;
    int rc;

    text = json_is_object(text) ? text : config;
    if (!tokenizer || json_object_get(text, "vocab_size"))
        return 0;
    if ((rc = mm_tok_open(&tok, tokenizer, e)) < 0)
        return rc;
    json_object_set_new(text, "vocab_size", json_integer((json_int_t)mm_tok_size(tok)));
    if (mm_tok_bos(tok) >= 0)
        json_object_set_new(text, "bos_token_id", json_integer(mm_tok_bos(tok)));
    if (mm_tok_eos(tok) >= 0)
        json_object_set_new(text, "eos_token_id", json_integer(mm_tok_eos(tok)));
    mm_tok_free(tok);
    return 0;
}

int mm_init_model(const char *dir, const char *config, const char *tokenizer, uint64_t seed,
                  struct mm_err *e)
{
    struct fresh f = { .arena = mm_arena_new(), .seed = seed, .prefix = "", .e = e };
    json_t *c = NULL;
    int rc = f.arena ? mm_json_file(&c, config, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc == 0)
        rc = set_vocab(c, tokenizer, e);
    const char *type = rc == 0 ? mm_json_str(c, "model_type", "llama", e) : "";
    if (rc == 0 && !strcmp(type, "clip"))
        clip(&f, c);
    else if (rc == 0 && starts(type, "llava"))
        llava(&f, c);
    else if (rc == 0 && (!strcmp(type, "llama") || !strcmp(type, "mistral")))
        llama(&f, c);
    else if (rc == 0)
        mm_err_set(e, MM_EMISSING, "%s: no new model of type '%s' can be made", config, type);
    rc = rc == 0 ? e->code : rc;
    if (rc == 0 && (rc = mm_export_dir(dir, e)) == 0 && tokenizer)
        rc = mm_export_files(dir, tokenizer, e);
    if (rc == 0)
        rc = write_fresh(dir, &f, c, e);
    free(f.v);
    json_decref(c);
    mm_arena_free(f.arena);
    return rc;
}

/* Every tensor of ck whose name begins with one of `only` (NULL: all) under a prefix. */
static int take(struct fresh *f, const struct mm_ckpt *ck, const char *only, const char *prefix)
{
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(ck, i);
        char name[300];

        if (only && !starts(en->name, only))
            continue;
        const int n = snprintf(name, sizeof(name), "%s%s", prefix, en->name);
        char *copy = mm_arena_strdup(f->arena, name, (size_t)n);
        if (!copy || !mm_grow(&f->v, &f->cap, f->n + 1, sizeof(*f->v)))
            return mm_err_set(f->e, MM_ENOMEM, "out of memory");
        f->v[f->n++] = (struct mm_named){ copy, en->t };
    }
    return 0;
}

static json_t *llava_config(const struct mm_ckpt *llm, const struct mm_ckpt *vision,
                            int64_t image_token)
{
    const json_t *top = mm_ckpt_config(vision);
    const json_t *vc = json_object_get(top, "vision_config");
    const json_int_t patch = mm_json_int(vc ? vc : top, "patch_size", 32, NULL);
    const json_int_t side = mm_json_int(vc ? vc : top, "image_size", 224, NULL) / (patch ? patch : 1);
    json_t *c = json_pack("{s:[s],s:s,s:O,s:O,s:s,s:i,s:s,s:I,s:I,s:b}", "architectures",
                          "LlavaForConditionalGeneration", "model_type", "llava", "text_config",
                          mm_ckpt_config(llm), "vision_config", vc ? vc : top,
                          "projector_hidden_act", "gelu", "vision_feature_layer", -2,
                          "vision_feature_select_strategy", "default", "image_token_index",
                          (json_int_t)image_token, "image_seq_length", side * side,
                          "tie_word_embeddings",
                          mm_json_bool(mm_ckpt_config(llm), "tie_word_embeddings", false, NULL));
    json_t *v = json_deep_copy(json_object_get(c, "vision_config"));

    if (v && !json_object_get(v, "model_type"))
        json_object_set_new(v, "model_type", json_string("clip_vision_model"));
    if (v)
        json_object_set_new(c, "vision_config", v);
    return c;
}

int mm_init_llava(const char *dir, const struct mm_ckpt *llm, const struct mm_ckpt *vision,
                  uint64_t seed, struct mm_err *e)
{
    struct fresh f = { .arena = mm_arena_new(), .seed = seed, .prefix = "", .e = e };
    const json_t *top = mm_ckpt_config(vision), *vc = json_object_get(top, "vision_config");
    const int64_t in = mm_json_int(vc ? vc : top, "hidden_size", 0, e);
    const int64_t out = mm_json_int(mm_ckpt_config(llm), "hidden_size", 0, e);
    struct mm_tok *tok = NULL;
    json_t *c = NULL;
    int rc;

    if (in < 1 || out < 1 || !mm_ckpt_lookup(llm, "model.embed_tokens.weight") ||
        !mm_ckpt_lookup(vision, "vision_model.embeddings.class_embedding"))
        rc = mm_err_set(e, MM_EMISSING, "%s and %s: a language model and a CLIP vision tower in "
                        "Hugging Face layout are needed", mm_ckpt_path(llm), mm_ckpt_path(vision));
    else if (!f.arena)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if ((rc = mm_tok_open(&tok, mm_ckpt_dir(llm), e)) == 0 &&
             (rc = take(&f, llm, NULL, "language_model.")) == 0 &&
             (rc = take(&f, vision, "vision_model.", "vision_tower.")) == 0) {
        const int32_t image = mm_tok_id(tok, "<image>");

        projector(&f, in, out, 0.02);
        c = llava_config(llm, vision, image);
        if (image < 0)
            rc = mm_err_set(e, MM_EMISSING, "%s: the tokenizer has no <image>", mm_ckpt_dir(llm));
        else if (!c)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (rc == 0 && (rc = mm_export_dir(dir, e)) == 0 &&
        (rc = mm_export_files(dir, mm_ckpt_dir(vision), e)) == 0 &&
        (rc = mm_export_files(dir, mm_ckpt_dir(llm), e)) == 0) /* its tokenizer stays */
        rc = write_fresh(dir, &f, c, e);
    mm_tok_free(tok);
    json_decref(c);
    free(f.v);
    mm_arena_free(f.arena);
    return rc;
}

static void connector(struct fresh *f, int64_t in, int64_t out, double std)
{
    normal(f, std, DIMS(out, in), "model.mm_projector.0.weight");
    fill(f, 0, DIMS(out), "model.mm_projector.0.bias");
    normal(f, std, DIMS(out, out), "model.mm_projector.2.weight");
    fill(f, 0, DIMS(out), "model.mm_projector.2.bias");
}

int mm_init_connector(const char *dir, const struct mm_ckpt *llm, const struct mm_ckpt *vision,
                      const char *tower, uint64_t seed, struct mm_err *e)
{
    struct fresh f = { .arena = mm_arena_new(), .seed = seed, .prefix = "", .e = e };
    const json_t *top = mm_ckpt_config(vision), *vc = json_object_get(top, "vision_config");
    const int64_t in = mm_json_int(vc ? vc : top, "hidden_size", 0, e);
    struct mm_llama_config lc;
    json_t *c = NULL;
    int rc = mm_llama_configure(&lc, llm, e);

    if (rc == 0 && in < 1)
        rc = mm_err_set(e, MM_EMISSING, "%s: a CLIP vision tower in Hugging Face layout is needed",
                        mm_ckpt_path(vision));
    if (rc == 0 && !f.arena)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc == 0) {
        connector(&f, in, lc.dim, 0.02);
        c = json_pack("{s:s,s:s,s:s,s:i,s:s,s:I,s:I,s:s}", "model_type", "llava_llama",
                      "mm_vision_tower", tower, "mm_projector_type", "mlp2x_gelu",
                      "mm_vision_select_layer", -2, "mm_vision_select_feature", "patch",
                      "mm_hidden_size", (json_int_t)in, "hidden_size", (json_int_t)lc.dim,
                      "image_aspect_ratio", "square");
        rc = c ? e->code : mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (rc == 0 && (rc = mm_export_dir(dir, e)) == 0)
        rc = write_fresh(dir, &f, c, e);
    json_decref(c);
    free(f.v);
    mm_arena_free(f.arena);
    return rc;
}
