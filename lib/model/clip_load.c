/* clip_load.c: CLIP as published: Hugging Face (config.json), OpenAI and open_clip
 * (sizes from shapes, open_clip_config.json) and LLaVA's GGUF.
 *
 * What has caused bugs: OpenAI stores proj and text_projection as [in, out] and
 * q, k, v as thirds of in_proj; old GGUF converters swap ffn_up and ffn_down
 * (told by shape) and have already dropped the blocks LLaVA does not run.
 */
#include "model/clip_load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum layout { HF, ORIGINAL, GGUF };

struct source {
    const struct mm_ckpt *ck;
    const json_t *config; /* of the tower, or NULL */
    struct mm_load *load;
    enum layout layout;
    bool vision;
    char prefix[128];  /* of the tower's names */
    struct mm_clip_tower *t;
    int layer;
    bool packed;       /* a fused tensor is: its thirds are not to be had */
};

/* --- which layout, and under which prefix ------------------------------------- */

static const char *const hf_vision[] = {
    "vision_model.", "vision_tower.vision_model.", "model.vision_tower.vision_model.",
    "model.vision_tower.vision_tower.vision_model.", "vision_tower.", "model.vision_tower.",
    "model.vision_tower.vision_tower.", "", NULL
};
static const char *const hf_text[] = { "text_model.", "", NULL };
/* "text.": open_clip's CustomTextCLIP */
static const char *const bare[] = { "", "module.", "model.", "text.", NULL };

static bool probe(struct source *s, enum layout layout, const char *const *prefixes,
                  const char *prefix_tail, const char *name)
{
    char full[256];

    for (size_t i = 0; prefixes[i]; i++) {
        snprintf(full, sizeof(full), "%s%s%s", prefixes[i], prefix_tail, name);
        if (mm_ckpt_lookup(s->ck, full)) {
            s->layout = layout;
            snprintf(s->prefix, sizeof(s->prefix), "%s%s", prefixes[i], prefix_tail);
            return true;
        }
    }
    return false;
}

static bool find_tower(struct source *s)
{
    if (s->vision)
        return probe(s, HF, hf_vision, "", "embeddings.class_embedding") ||
               probe(s, ORIGINAL, bare, "visual.", "class_embedding") ||
               probe(s, GGUF, (const char *const[]){ "", NULL }, "v.", "class_embd");
    return probe(s, HF, hf_text, "", "embeddings.token_embedding.weight") ||
           probe(s, ORIGINAL, bare, "", "token_embedding.weight");
}

/* --- sizes ---------------------------------------------------------------------- */

static const struct mm_tensor *stored(const struct source *s, const char *name)
{
    char full[sizeof(s->prefix) + 192];

    snprintf(full, sizeof(full), "%s%s", s->prefix, name);
    const struct mm_ckpt_entry *en = mm_ckpt_lookup(s->ck, full);
    return en ? &en->t : NULL;
}

static int act_named(enum mm_act *a, const char *name, struct mm_err *e)
{
    static const struct {
        const char *name;
        enum mm_act act;
    } acts[] = { { "quick_gelu", MM_ACT_QUICK_GELU }, { "gelu", MM_ACT_GELU },
                 { "gelu_new", MM_ACT_GELU_TANH }, { "gelu_pytorch_tanh", MM_ACT_GELU_TANH },
                 { "silu", MM_ACT_SILU }, { "relu", MM_ACT_RELU } };

    for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++)
        if (!strcmp(acts[i].name, name)) {
            *a = acts[i].act;
            return 0;
        }
    return mm_err_set(e, MM_EMISSING, "config.json: hidden_act '%s' is not supported", name);
}

/* The object that holds the tower's sizes, or NULL when none is about CLIP. */
static const json_t *tower_config(const struct source *s)
{
    const json_t *top = s->config ? s->config : mm_ckpt_config(s->ck);
    const json_t *j = json_object_get(top, s->vision ? "vision_config" : "text_config");
    const char *type = json_string_value(json_object_get(top, "model_type"));

    if (json_is_object(j))
        return j;
    return type && !strncmp(type, "clip", 4) ? top : NULL;
}

/* Sizes from shapes: published towers have heads of 64 channels. */
static int hf_shapes(struct source *s, struct mm_err *e)
{
    struct mm_clip_config *c = &s->t->c;
    const struct mm_tensor *k = stored(s, "embeddings.patch_embedding.weight");
    const struct mm_tensor *p = stored(s, "embeddings.position_embedding.weight");
    const struct mm_tensor *f = stored(s, "encoder.layers.0.mlp.fc1.weight");
    char role[128];

    if (!k || k->ndim != 4 || !p || p->ndim != 2 || !f || f->ndim != 2)
        return mm_err_set(e, MM_EMISSING, "%s: no configuration says the sizes of the %s tower",
                          mm_ckpt_path(s->ck), s->vision ? "vision" : "text");
    *c = (struct mm_clip_config){ .width = k->shape[0], .ffn = f->shape[0], .patch = k->shape[3],
                                  .heads = k->shape[0] / 64, .eps = 1e-5f,
                                  .act = MM_ACT_QUICK_GELU };
    c->image = c->patch * (int64_t)lround(sqrt((double)(p->shape[0] - 1)));
    do
        snprintf(role, sizeof(role), "encoder.layers.%lld.mlp.fc1.weight", (long long)++c->layers);
    while (stored(s, role));
    return 0;
}

static int hf_config(struct source *s, struct mm_err *e)
{
    struct mm_clip_config *c = &s->t->c;
    const json_t *j = tower_config(s);

    if (!j)
        return hf_shapes(s, e);
    c->width = mm_json_int(j, "hidden_size", s->vision ? 768 : 512, e);
    c->ffn = mm_json_int(j, "intermediate_size", s->vision ? 3072 : 2048, e);
    c->layers = mm_json_int(j, "num_hidden_layers", 12, e);
    c->heads = mm_json_int(j, "num_attention_heads", s->vision ? 12 : 8, e);
    c->eps = (float)mm_json_num(j, "layer_norm_eps", 1e-5, e);
    c->image = mm_json_int(j, "image_size", 224, e);
    c->patch = mm_json_int(j, "patch_size", 32, e);
    c->positions = mm_json_int(j, "max_position_embeddings", 77, e);
    c->vocab = mm_json_int(j, "vocab_size", 49408, e);
    c->eos = (int32_t)mm_json_int(j, "eos_token_id", 49407, e);
    (void)act_named(&c->act, mm_json_str(j, "hidden_act", "quick_gelu", e), e);
    return e->code;
}

/* How many blocks PREFIX transformer.resblocks.N the file holds. */
static int64_t count_blocks(const struct source *s, const char *name)
{
    char role[128];
    int64_t n = 0;

    for (;; n++) {
        snprintf(role, sizeof(role), "transformer.resblocks.%lld.%s", (long long)n, name);
        if (!stored(s, role))
            return n;
    }
}

static int original_config(struct source *s, struct mm_err *e)
{
    struct mm_clip_config *c = &s->t->c;
    const struct mm_tensor *first = stored(s, s->vision ? "conv1.weight" : "token_embedding.weight");
    const struct mm_tensor *pos = stored(s, "positional_embedding");
    const struct mm_tensor *fc = stored(s, "transformer.resblocks.0.mlp.c_fc.weight");
    json_t *oc = NULL;

    if (!first || first->ndim != (s->vision ? 4 : 2) || !pos || pos->ndim != 2 || !fc ||
        fc->ndim != 2)
        return mm_err_set(e, MM_EDATA, "%s: CLIP tower without %sconv1, positional_embedding or "
                          "resblocks", mm_ckpt_path(s->ck), s->prefix);
    if (mm_ckpt_json(&oc, s->ck, "open_clip_config.json", e) < 0)
        return e->code;
    const json_t *cfg = json_object_get(oc, "model_cfg");
    const json_t *tower = json_object_get(cfg, s->vision ? "vision_cfg" : "text_cfg");
    c->width = s->vision ? first->shape[0] : first->shape[1];
    c->ffn = fc->shape[0];
    c->layers = count_blocks(s, "attn.in_proj_weight");
    c->heads = c->width / mm_json_int(tower, "head_width", 64, e);
    if (!s->vision)
        c->heads = mm_json_int(tower, "heads", c->width / 64, e);
    c->eps = 1e-5f;
    c->act = !oc || mm_json_bool(cfg, "quick_gelu", false, e) ? MM_ACT_QUICK_GELU : MM_ACT_GELU;
    if (s->vision) {
        c->patch = first->shape[3];
        c->image = c->patch * (int64_t)lround(sqrt((double)(pos->shape[0] - 1)));
    } else {
        c->vocab = first->shape[0];
        c->positions = pos->shape[0];
        c->eos = 2; /* the end token is the highest id of the row */
    }
    json_decref(oc);
    return e->code;
}

static int gguf_config(struct source *s, struct mm_err *e)
{
    struct mm_clip_config *c = &s->t->c;
    const json_t *m = mm_ckpt_meta(s->ck);
    const json_t *layers = json_object_get(m, "clip.vision.feature_layer");

    c->width = mm_json_int(m, "clip.vision.embedding_length", 0, e);
    c->ffn = mm_json_int(m, "clip.vision.feed_forward_length", 0, e);
    c->layers = mm_json_int(m, "clip.vision.block_count", 0, e);
    c->heads = mm_json_int(m, "clip.vision.attention.head_count", 0, e);
    c->eps = (float)mm_json_num(m, "clip.vision.attention.layer_norm_epsilon", 1e-5, e);
    c->image = mm_json_int(m, "clip.vision.image_size", 224, e);
    c->patch = mm_json_int(m, "clip.vision.patch_size", 14, e);
    c->act = mm_json_bool(m, "clip.use_silu", false, e)   ? MM_ACT_SILU
             : mm_json_bool(m, "clip.use_gelu", false, e) ? MM_ACT_GELU
                                                          : MM_ACT_QUICK_GELU;
    c->feature = c->layers;
    if (json_array_size(layers))
        c->feature = json_integer_value(json_array_get(layers, json_array_size(layers) - 1));
    return e->code;
}

static int check(const struct source *s, struct mm_err *e)
{
    const struct mm_clip_config *c = &s->t->c;
    const int64_t most = 1 << 20;

    if (c->width < 1 || c->width > most || c->layers < 1 || c->layers > 4096 || c->heads < 1 ||
        c->width % c->heads || c->ffn < 1 || c->ffn > most || c->feature < 0 ||
        c->feature > c->layers ||
        (s->vision && (c->patch < 1 || c->image < c->patch || c->image > 16384)) ||
        (!s->vision && (c->positions < 1 || c->positions > most || c->vocab < 1)))
        return mm_err_set(e, MM_EDATA, "%s: impossible CLIP sizes: width %lld, layers %lld, heads "
                          "%lld, ffn %lld, image %lld, patch %lld", mm_ckpt_path(s->ck),
                          (long long)c->width, (long long)c->layers, (long long)c->heads,
                          (long long)c->ffn, (long long)c->image, (long long)c->patch);
    return 0;
}

/* --- tensors ---------------------------------------------------------------------- */

static struct mm_var *vec(struct source *s, int64_t n, const char *name, const char *suffix)
{
    return mm_param_f32(s->t->params,
                        mm_load_get(s->load, &n, 1, "%s%s%s", s->prefix, name, suffix), "%s%s%s",
                        s->prefix, name, suffix);
}

static struct mm_var *mat(struct source *s, int64_t out, int64_t in, const char *name)
{
    int64_t want[2] = { out, in };

    return mm_param_matrix(s->t->params,
                           mm_load_get(s->load, want, 2, "%s%s.weight", s->prefix, name),
                           "%s%s.weight", s->prefix, name);
}

/* Pair weight + bias of a linear layer PREFIX BLOCK name. */
static void linear(struct source *s, struct mm_var **w, struct mm_var **b, int64_t out, int64_t in,
                   const char *block, const char *name)
{
    char full[192];

    snprintf(full, sizeof(full), "%s%s", block, name);
    *w = mat(s, out, in, full);
    *b = vec(s, out, full, ".bias");
}

static void norm(struct source *s, struct mm_var **w, struct mm_var **b, const char *block,
                 const char *name)
{
    char full[192];

    snprintf(full, sizeof(full), "%s%s", block, name);
    *w = vec(s, s->t->c.width, full, ".weight");
    *b = vec(s, s->t->c.width, full, ".bias");
}

static void hf_layer(struct source *s, struct mm_encoder_layer *y)
{
    const int64_t D = s->t->c.width, F = s->t->c.ffn;
    char b[64];

    snprintf(b, sizeof(b), "encoder.layers.%d.", s->layer);
    norm(s, &y->ln1_w, &y->ln1_b, b, "layer_norm1");
    norm(s, &y->ln2_w, &y->ln2_b, b, "layer_norm2");
    linear(s, &y->q, &y->q_b, D, D, b, "self_attn.q_proj");
    linear(s, &y->k, &y->k_b, D, D, b, "self_attn.k_proj");
    linear(s, &y->v, &y->v_b, D, D, b, "self_attn.v_proj");
    linear(s, &y->o, &y->o_b, D, D, b, "self_attn.out_proj");
    linear(s, &y->fc1, &y->fc1_b, F, D, b, "mlp.fc1");
    linear(s, &y->fc2, &y->fc2_b, D, F, b, "mlp.fc2");
}

/* Third number i of a fused [3 D, ...] tensor. */
static struct mm_tensor third(const struct mm_tensor *t, int i)
{
    struct mm_tensor part = *t;

    part.shape[0] /= 3;
    part.data = (char *)t->data + (size_t)i * mm_tensor_bytes(&part);
    return part;
}

static void original_layer(struct source *s, struct mm_encoder_layer *y)
{
    const int64_t D = s->t->c.width, F = s->t->c.ffn;
    struct mm_var **w[3] = { &y->q, &y->k, &y->v }, **bias[3] = { &y->q_b, &y->k_b, &y->v_b };
    char b[64];

    snprintf(b, sizeof(b), "transformer.resblocks.%d.", s->layer);
    norm(s, &y->ln1_w, &y->ln1_b, b, "ln_1");
    norm(s, &y->ln2_w, &y->ln2_b, b, "ln_2");
    const struct mm_tensor *in_w = mm_load_get(s->load, (int64_t[]){ 3 * D, D }, 2,
                                               "%s%sattn.in_proj_weight", s->prefix, b);
    const struct mm_tensor *in_b = mm_load_get(s->load, (int64_t[]){ 3 * D }, 1,
                                               "%s%sattn.in_proj_bias", s->prefix, b);
    for (int i = 0; in_w && in_b && i < 3; i++) {
        const struct mm_tensor tw = third(in_w, i), tb = third(in_b, i);

        if (mm_dtype_packed(in_w->dtype)) { /* mm-quantize never packs this layout */
            s->packed = true;
            break;
        }

        *w[i] = mm_param_matrix(s->t->params, &tw, "%s%sattn.in_proj_weight.%d", s->prefix, b, i);
        *bias[i] = mm_param_f32(s->t->params, &tb, "%s%sattn.in_proj_bias.%d", s->prefix, b, i);
    }
    linear(s, &y->o, &y->o_b, D, D, b, "attn.out_proj");
    linear(s, &y->fc1, &y->fc1_b, F, D, b, "mlp.c_fc");
    linear(s, &y->fc2, &y->fc2_b, D, F, b, "mlp.c_proj");
}

static void gguf_layer(struct source *s, struct mm_encoder_layer *y)
{
    const int64_t D = s->t->c.width, F = s->t->c.ffn;
    char b[64], up[96];

    snprintf(b, sizeof(b), "blk.%d.", s->layer);
    norm(s, &y->ln1_w, &y->ln1_b, b, "ln1");
    norm(s, &y->ln2_w, &y->ln2_b, b, "ln2");
    linear(s, &y->q, &y->q_b, D, D, b, "attn_q");
    linear(s, &y->k, &y->k_b, D, D, b, "attn_k");
    linear(s, &y->v, &y->v_b, D, D, b, "attn_v");
    linear(s, &y->o, &y->o_b, D, D, b, "attn_out");
    /* fc1 is the one whose input is D; square ones: the legacy converter, which is the one
     * that writes clip.has_llava_projector, swaps them */
    snprintf(up, sizeof(up), "%sffn_up.weight", b);
    const struct mm_tensor *t = stored(s, up);
    bool swapped = t && t->ndim == 2 && t->shape[1] != D;
    if (D == F)
        swapped = json_object_get(mm_ckpt_meta(s->ck), "clip.has_llava_projector") != NULL;
    linear(s, &y->fc1, &y->fc1_b, F, D, b, swapped ? "ffn_down" : "ffn_up");
    linear(s, &y->fc2, &y->fc2_b, D, F, b, swapped ? "ffn_up" : "ffn_down");
}

static void load_layers(struct source *s)
{
    static void (*const layer[])(struct source *, struct mm_encoder_layer *) = {
        [HF] = hf_layer, [ORIGINAL] = original_layer, [GGUF] = gguf_layer
    };

    for (s->layer = 0; s->layer < s->t->c.layers; s->layer++)
        layer[s->layout](s, &s->t->layers[s->layer]);
}

struct vision_names {
    const char *patch, *cls, *position, *pre, *post;
};

static void load_vision(struct source *s)
{
    static const struct vision_names names[] = {
        [HF] = { "embeddings.patch_embedding.weight", "embeddings.class_embedding",
                 "embeddings.position_embedding.weight", "pre_layrnorm", "post_layernorm" },
        [ORIGINAL] = { "conv1.weight", "class_embedding", "positional_embedding", "ln_pre",
                       "ln_post" },
        [GGUF] = { "patch_embd.weight", "class_embd", "position_embd.weight", "pre_ln", "post_ln" }
    };
    const struct vision_names *n = &names[s->layout];
    struct mm_clip_tower *t = s->t;
    const int64_t D = t->c.width, p = t->c.patch, grid = t->c.image / p;
    int64_t kernel[4] = { D, 3, p, p }, pos[2] = { 1 + grid * grid, D };
    char post[192];

    const struct mm_tensor *k = mm_load_get(s->load, kernel, 4, "%s%s", s->prefix, n->patch);
    if (k) {
        const struct mm_tensor flat = { k->dtype, 2, { D, 3 * p * p }, k->data };

        t->patch = mm_param_matrix(t->params, &flat, "%s%s", s->prefix, n->patch);
    }
    t->cls = vec(s, D, n->cls, "");
    t->position = mm_param_f32(t->params, mm_load_get(s->load, pos, 2, "%s%s", s->prefix,
                                                      n->position), "%s%s", s->prefix, n->position);
    norm(s, &t->pre_w, &t->pre_b, "", n->pre);
    snprintf(post, sizeof(post), "%s.weight", n->post);
    if (stored(s, post))
        norm(s, &t->post_w, &t->post_b, "", n->post);
}

static void load_text(struct source *s)
{
    const bool hf = s->layout == HF;
    struct mm_clip_tower *t = s->t;
    int64_t token[2] = { t->c.vocab, t->c.width }, pos[2] = { t->c.positions, t->c.width };
    const char *tn = hf ? "embeddings.token_embedding.weight" : "token_embedding.weight";
    const char *pn = hf ? "embeddings.position_embedding.weight" : "positional_embedding";

    t->token = mm_param_table(t->params, mm_load_get(s->load, token, 2, "%s%s", s->prefix, tn),
                               "%s%s", s->prefix, tn);
    t->position = mm_param_f32(t->params, mm_load_get(s->load, pos, 2, "%s%s", s->prefix, pn),
                               "%s%s", s->prefix, pn);
    norm(s, &t->post_w, &t->post_b, "", hf ? "final_layer_norm" : "ln_final");
}

/* The projection into the shared space, if the file has one. */
static void load_projection(struct source *s)
{
    struct mm_clip_tower *t = s->t;
    int64_t want[2] = { -1, t->c.width };

    if (s->layout == ORIGINAL) {
        const char *name = s->vision ? "proj" : "text_projection";
        int64_t swapped[2] = { t->c.width, -1 };
        const struct mm_tensor *p = mm_load_opt(s->load, swapped, 2, "%s%s", s->prefix, name);

        t->proj = mm_param_transposed(t->params, p, "%s%s", s->prefix, name);
        t->c.projection = p ? swapped[1] : 0;
    } else if (s->layout == HF) {
        const char *name = s->vision ? "visual_projection.weight" : "text_projection.weight";
        const struct mm_tensor *p = mm_load_opt(s->load, want, 2, "%s", name);

        t->proj = mm_param_matrix(t->params, p, "%s", name);
        t->c.projection = p ? want[0] : 0;
    }
}

int mm_clip_load(struct mm_clip_tower *t, const struct mm_ckpt *ck, const json_t *config,
                 bool vision, struct mm_err *e)
{
    struct source s = { .ck = ck, .config = config, .vision = vision, .t = t };
    int rc;

    *t = (struct mm_clip_tower){ 0 };
    if (!find_tower(&s))
        return mm_err_set(e, MM_EMISSING, "%s: holds no CLIP %s tower", mm_ckpt_path(ck),
                          vision ? "vision" : "text");
    rc = s.layout == HF ? hf_config(&s, e) : s.layout == GGUF ? gguf_config(&s, e)
                                                              : original_config(&s, e);
    if (rc < 0)
        return rc;
    t->original = s.layout == ORIGINAL;
    if ((rc = check(&s, e)) < 0 || (rc = mm_params_new(&t->params, e)) < 0)
        return rc;
    t->layers = calloc((size_t)t->c.layers, sizeof(*t->layers));
    if (!t->layers) {
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    } else if ((rc = mm_load_new(&s.load, ck, e)) == 0) {
        load_layers(&s);
        if (vision)
            load_vision(&s);
        else
            load_text(&s);
        load_projection(&s);
        rc = mm_load_done(s.load, e);
        if (rc == 0 && s.packed)
            rc = mm_err_set(e, MM_EDATA, "%s: q, k and v are packed as one", mm_ckpt_path(ck));
        if (rc == 0 && mm_params_failed(t->params))
            rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
        mm_load_free(s.load);
    }
    if (rc < 0)
        mm_clip_unload(t);
    return rc;
}

void mm_clip_unload(struct mm_clip_tower *t)
{
    mm_params_free(t->params);
    free(t->layers);
    *t = (struct mm_clip_tower){ 0 };
}
