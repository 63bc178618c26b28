/* mmproj.c: from Hugging Face's CLIP names to GGUF's (weights.md 7).
 *
 * fc1 is ffn_up and fc2 ffn_down, in the newer converter's sense.
 */
#include "model/mmproj.h"

#include <stdio.h>
#include <string.h>

#include "weights/load.h"

#define MAX_DEPTH 8 /* linear layers of a projector */

/* Shapes: D width, F ffn, N positions; P is the patch kernel [D, 3, p, p]. */
struct role {
    const char *gguf, *hf;
    enum mm_convert_role as;
    char rows, cols; /* cols 0: a vector */
    bool optional;
};

static const struct role ends[] = {
    { "v.class_embd", "embeddings.class_embedding", MM_CONVERT_FLOAT, 'D', 0, false },
    { "v.patch_embd.weight", "embeddings.patch_embedding.weight", MM_CONVERT_TABLE, 'P', 0,
      false },
    { "v.position_embd.weight", "embeddings.position_embedding.weight", MM_CONVERT_TABLE, 'N',
      'D', false },
    { "v.pre_ln.weight", "pre_layrnorm.weight", MM_CONVERT_FLOAT, 'D', 0, false },
    { "v.pre_ln.bias", "pre_layrnorm.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "v.post_ln.weight", "post_layernorm.weight", MM_CONVERT_FLOAT, 'D', 0, true },
    { "v.post_ln.bias", "post_layernorm.bias", MM_CONVERT_FLOAT, 'D', 0, true },
};

static const struct role block[] = {
    { "attn_q.weight", "self_attn.q_proj.weight", MM_CONVERT_MATRIX, 'D', 'D', false },
    { "attn_q.bias", "self_attn.q_proj.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "attn_k.weight", "self_attn.k_proj.weight", MM_CONVERT_MATRIX, 'D', 'D', false },
    { "attn_k.bias", "self_attn.k_proj.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "attn_v.weight", "self_attn.v_proj.weight", MM_CONVERT_MATRIX, 'D', 'D', false },
    { "attn_v.bias", "self_attn.v_proj.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "attn_out.weight", "self_attn.out_proj.weight", MM_CONVERT_MATRIX, 'D', 'D', false },
    { "attn_out.bias", "self_attn.out_proj.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "ln1.weight", "layer_norm1.weight", MM_CONVERT_FLOAT, 'D', 0, false },
    { "ln1.bias", "layer_norm1.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "ffn_up.weight", "mlp.fc1.weight", MM_CONVERT_MATRIX, 'F', 'D', false },
    { "ffn_up.bias", "mlp.fc1.bias", MM_CONVERT_FLOAT, 'F', 0, false },
    { "ffn_down.weight", "mlp.fc2.weight", MM_CONVERT_MATRIX, 'D', 'F', false },
    { "ffn_down.bias", "mlp.fc2.bias", MM_CONVERT_FLOAT, 'D', 0, false },
    { "ln2.weight", "layer_norm2.weight", MM_CONVERT_FLOAT, 'D', 0, false },
    { "ln2.bias", "layer_norm2.bias", MM_CONVERT_FLOAT, 'D', 0, false },
};

static const char *const towers[] = {
    "vision_model.", "vision_tower.vision_model.", "model.vision_tower.vision_model.",
    "model.vision_tower.vision_tower.vision_model.", "vision_tower.", "model.vision_tower.",
    "model.vision_tower.vision_tower.", "", NULL
};

/* Linear layer i of a projector is called PREFIX and then first + i * step; a
 * step of 0: the only layer has no number. */
static const struct { const char *prefix; int first, step; } projectors[] = {
    { "multi_modal_projector.linear_", 1, 1 }, { "model.multi_modal_projector.linear_", 1, 1 },
    { "model.mm_projector.", 0, 2 }, { "mm_projector.", 0, 2 }, { "model.mm_projector", 0, 0 },
    { "mm_projector", 0, 0 },
};

static const char *const newlines[] = { "model.image_newline", "image_newline", NULL };

struct plan {
    struct mm_convert *c;
    const struct mm_clip_config *conf;
    struct mm_load *load;
    struct mm_err *e;
    int depth;       /* linear layers of the projector */
    int64_t out;     /* its width */
};

static int convert(struct plan *p, const char *name, const struct mm_tensor *t,
                   enum mm_convert_role role)
{
    const struct mm_convert_spec s = { .role = role };
    return mm_convert_add(p->c, name, t, &s, p->e);
}

static int add(struct plan *p, const struct role *r, const char *from, const char *to)
{
    const struct mm_clip_config *const c = p->conf;
    const int64_t size[] = { ['D' - 'D'] = c->width, ['F' - 'D'] = c->ffn, ['N' - 'D'] = -1 };
    int64_t want[4] = { c->width, 3, c->patch, c->patch };
    int ndim = 4;

    if (r->rows != 'P') {
        want[0] = size[r->rows - 'D'];
        ndim = 1;
        if (r->cols)
            want[ndim++] = size[r->cols - 'D'];
    }
    const struct mm_tensor *const t = r->optional ? mm_load_opt(p->load, want, ndim, "%s", from)
                                                  : mm_load_get(p->load, want, ndim, "%s", from);
    return t ? convert(p, to, t, r->as) : 0;
}

static bool holds_tower(const struct mm_ckpt *ck)
{
    char name[200];

    for (int i = 0; towers[i]; i++) {
        snprintf(name, sizeof name, "%sembeddings.class_embedding", towers[i]);
        if (mm_ckpt_lookup(ck, name))
            return true;
    }
    return false;
}

static int plan_tower(struct plan *p, const struct mm_ckpt *ck)
{
    char from[200], to[200];
    int rc = mm_load_new(&p->load, ck, p->e);

    if (rc < 0)
        return rc;
    mm_load_prefix(p->load, towers);
    for (size_t k = 0; k < sizeof ends / sizeof *ends && rc == 0; k++)
        rc = add(p, &ends[k], ends[k].hf, ends[k].gguf);
    for (int i = 0; i < p->conf->layers && rc == 0; i++)
        for (size_t k = 0; k < sizeof block / sizeof *block && rc == 0; k++) {
            snprintf(from, sizeof from, "encoder.layers.%d.%s", i, block[k].hf);
            snprintf(to, sizeof to, "v.blk.%d.%s", i, block[k].gguf);
            rc = add(p, &block[k], from, to);
        }
    if (rc == 0)
        rc = mm_load_done(p->load, p->e);
    mm_load_free(p->load);
    return rc;
}

/* "PREFIX7.weight", or "PREFIX.weight" without a number. */
static void layer_name(char *buf, size_t n, size_t naming, int i, const char *what)
{
    if (projectors[naming].step)
        snprintf(buf, n, "%s%d.%s", projectors[naming].prefix,
                 projectors[naming].first + i * projectors[naming].step, what);
    else
        snprintf(buf, n, "%s.%s", projectors[naming].prefix, what);
}

/* Layer i of the projector, as mm.(2 i): weight [-, in] and bias. */
static int add_linear(struct plan *p, size_t naming, int i, int64_t *in)
{
    int64_t want[2] = { -1, *in };
    char from[200], to[40];
    int rc = 0;

    layer_name(from, sizeof from, naming, i, "weight");
    snprintf(to, sizeof to, "mm.%d.weight", 2 * i);
    const struct mm_tensor *t = mm_load_get(p->load, want, 2, "%s", from);
    if (t)
        rc = convert(p, to, t, MM_CONVERT_MATRIX);
    *in = p->out = want[0];
    layer_name(from, sizeof from, naming, i, "bias");
    snprintf(to, sizeof to, "mm.%d.bias", 2 * i);
    if (rc == 0 && (t = mm_load_get(p->load, want, 1, "%s", from)) != NULL)
        rc = convert(p, to, t, MM_CONVERT_FLOAT);
    return rc;
}

static int plan_projector(struct plan *p, const struct mm_ckpt *ck, int64_t in)
{
    const size_t known = sizeof projectors / sizeof *projectors;
    char name[200];
    size_t k = 0;
    int rc;

    for (; k < known; k++) {
        layer_name(name, sizeof name, k, 0, "weight");
        if (mm_ckpt_lookup(ck, name))
            break;
    }
    if (k == known)
        return mm_err_set(p->e, MM_EMISSING, "%s: holds no projector", mm_ckpt_path(ck));
    if ((rc = mm_load_new(&p->load, ck, p->e)) < 0)
        return rc;
    do
        rc = add_linear(p, k, p->depth, &in);
    while (rc == 0 && ++p->depth < MAX_DEPTH && projectors[k].step &&
           (layer_name(name, sizeof name, k, p->depth, "weight"), mm_ckpt_lookup(ck, name)));
    for (int i = 0; newlines[i] && rc == 0; i++) {
        const struct mm_tensor *const t = mm_load_opt(p->load, &p->out, 1, "%s", newlines[i]);
        if (t) {
            rc = convert(p, "v.image_newline", t, MM_CONVERT_FLOAT);
            break;
        }
    }
    if (rc == 0)
        rc = mm_load_done(p->load, p->e);
    mm_load_free(p->load);
    return rc;
}

/* ---- keys ---- */

static void write_str(struct mm_ggufw *w, const char *key, const char *s)
{
    mm_ggufw_str(w, key, s, strlen(s));
}

/* Indices of the hidden states that are taken, counted from the embeddings. */
static void write_layers(struct mm_ggufw *w, const struct mm_vision *v, int64_t blocks)
{
    int32_t at[MM_CLIP_MAX_SELECT];

    for (int i = 0; i < v->select.n; i++)
        at[i] = v->select.layer[i] < 0 ? (int32_t)blocks + 1 + v->select.layer[i]
                                       : v->select.layer[i];
    mm_ggufw_i32s(w, "clip.vision.feature_layer", at, (size_t)v->select.n);
}

static void write_pictures(struct mm_ggufw *w, const struct mm_vision *v, int depth)
{
    static const char *const aspects[] = { [MM_ASPECT_CROP] = "square", [MM_ASPECT_PAD] = "pad",
                                           [MM_ASPECT_ANYRES] = "anyres" };
    static const char *const merges[] = { [MM_MERGE_FLAT] = "flat",
                                          [MM_MERGE_SPATIAL] = "spatial",
                                          [MM_MERGE_SPATIAL_UNPAD] = "spatial_unpad" };
    const struct mm_preprocess *const p = &v->pre;
    int32_t pins[2 * MM_MAX_PINPOINTS];
    char type[32];

    mm_ggufw_f32s(w, "clip.vision.image_mean", p->mean, 3);
    mm_ggufw_f32s(w, "clip.vision.image_std", p->std, 3);
    write_str(w, "clip.vision.image_aspect_ratio", aspects[p->aspect]);
    if (p->aspect == MM_ASPECT_ANYRES) {
        for (int i = 0; i < p->npin; i++) { /* (width, height) in GGUF */
            pins[2 * i] = p->pin[i][p->pin_hw ? 1 : 0];
            pins[2 * i + 1] = p->pin[i][p->pin_hw ? 0 : 1];
        }
        mm_ggufw_i32s(w, "clip.vision.image_grid_pinpoints", pins, (size_t)p->npin * 2);
        write_str(w, "clip.vision.mm_patch_merge_type", merges[v->llava.merge]);
    }
    if (depth == 1)
        snprintf(type, sizeof type, "linear");
    else
        snprintf(type, sizeof type, "mlp%dx_gelu", depth);
    write_str(w, "clip.vision.mm_projector_type", type);
}

static void write_keys(struct mm_ggufw *w, const struct plan *p, const struct mm_vision *v,
                       const char *name)
{
    const struct mm_clip_config *const c = p->conf;

    write_str(w, "general.architecture", "clip");
    write_str(w, "general.type", "mmproj");
    write_str(w, "general.name", name);
    mm_ggufw_u32(w, "general.file_type", mm_convert_file_type(p->c));
    mm_ggufw_u32(w, "general.quantization_version", 2);
    mm_ggufw_bool(w, "clip.has_text_encoder", false);
    mm_ggufw_bool(w, "clip.has_vision_encoder", true);
    mm_ggufw_bool(w, "clip.has_audio_encoder", false);
    mm_ggufw_bool(w, "clip.has_llava_projector", true);
    write_str(w, "clip.projector_type", "mlp");
    mm_ggufw_u32(w, "clip.vision.image_size", (uint32_t)c->image);
    mm_ggufw_u32(w, "clip.vision.patch_size", (uint32_t)c->patch);
    mm_ggufw_u32(w, "clip.vision.embedding_length", (uint32_t)c->width);
    mm_ggufw_u32(w, "clip.vision.feed_forward_length", (uint32_t)c->ffn);
    mm_ggufw_u32(w, "clip.vision.projection_dim", (uint32_t)p->out);
    mm_ggufw_u32(w, "clip.vision.block_count", (uint32_t)c->layers);
    mm_ggufw_u32(w, "clip.vision.attention.head_count", (uint32_t)c->heads);
    mm_ggufw_f32(w, "clip.vision.attention.layer_norm_epsilon", c->eps);
    mm_ggufw_bool(w, "clip.use_gelu", c->act == MM_ACT_GELU);
    mm_ggufw_bool(w, "clip.use_silu", c->act == MM_ACT_SILU);
    write_layers(w, v, c->layers);
    write_pictures(w, v, p->depth);
}

/* What no key of the format can say. */
static int check(const struct mm_vision *v, struct mm_err *e)
{
    const struct mm_clip_config *const c = mm_clip_vision_config(v->tower);

    if (v->select.cls)
        return mm_err_set(e, MM_EMISSING, "the class token is kept, for which GGUF has no key");
    if (v->select.n != 1)
        return mm_err_set(e, MM_EMISSING, "%d layers are joined, for which GGUF has no key",
                          v->select.n);
    if (v->pre.aspect == MM_ASPECT_SQUEEZE)
        return mm_err_set(e, MM_EMISSING, "pictures are squeezed, for which GGUF has no key");
    if (c->act != MM_ACT_GELU && c->act != MM_ACT_QUICK_GELU && c->act != MM_ACT_SILU)
        return mm_err_set(e, MM_EMISSING, "the tower's activation has no key in GGUF");
    return 0;
}

int mm_mmproj_plan(struct mm_convert *c, struct mm_ggufw *w, const struct mm_vision *v,
                   const struct mm_ckpt *ck, const char *name, struct mm_err *e)
{
    struct plan p = { .c = c, .conf = mm_clip_vision_config(v->tower), .e = e };
    const struct mm_ckpt *const tower = holds_tower(ck) || !v->tower_ck ? ck : v->tower_ck;
    int rc = check(v, e);

    if (rc == 0 && !holds_tower(tower))
        rc = mm_err_set(e, MM_EMISSING, "%s: the tower is not in Hugging Face's layout",
                        mm_ckpt_path(tower));
    if (rc == 0 && (rc = plan_tower(&p, tower)) == 0 &&
        (rc = plan_projector(&p, ck, p.conf->width)) == 0)
        write_keys(w, &p, v, name);
    return rc;
}
