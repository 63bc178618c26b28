/* llava.c: the configuration of LLaVA checkpoints; see llava.h. */
#include "model/llava.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static int set_aspect(struct mm_llava_config *c, const char *name, struct mm_err *e)
{
    c->has_aspect = name != NULL;
    c->aspect = MM_ASPECT_CROP; /* "square": resize and centre crop */
    if (!name || !strcmp(name, "square"))
        return 0;
    if (!strcmp(name, "pad"))
        c->aspect = MM_ASPECT_PAD;
    else if (!strncmp(name, "anyres", 6))
        c->aspect = MM_ASPECT_ANYRES;
    else
        return mm_err_set(e, MM_EMISSING, "image_aspect_ratio '%s' is not supported", name);
    c->anyres = c->aspect == MM_ASPECT_ANYRES;
    return 0;
}

static int set_merge(struct mm_llava_config *c, const char *name, struct mm_err *e)
{
    if (!strcmp(name, "flat"))
        c->merge = MM_MERGE_FLAT;
    else if (!strcmp(name, "spatial"))
        c->merge = MM_MERGE_SPATIAL;
    else if (!strcmp(name, "spatial_unpad"))
        c->merge = MM_MERGE_SPATIAL_UNPAD;
    else
        return mm_err_set(e, MM_EMISSING, "mm_patch_merge_type '%s' is not supported", name);
    return 0;
}

/* vision_feature_layer: an integer, or a list whose features are joined */
static int set_layers(struct mm_llava_config *c, const json_t *v, struct mm_err *e)
{
    const json_t *item;
    size_t i;

    if (json_is_integer(v))
        c->select.layer[0] = (int)json_integer_value(v);
    if (!json_is_array(v))
        return 0;
    if (json_array_size(v) < 1 || json_array_size(v) > MM_CLIP_MAX_SELECT)
        return mm_err_set(e, MM_EDATA, "vision_feature_layer has %zu entries, 1 to %d are possible",
                          json_array_size(v), MM_CLIP_MAX_SELECT);
    json_array_foreach(v, i, item)
        c->select.layer[i] = (int)json_integer_value(item);
    c->select.n = (int)json_array_size(v);
    return 0;
}

static int from_hf(struct mm_llava_config *c, const json_t *j, struct mm_err *e)
{
    const char *type = mm_json_str(j, "model_type", "llava", e);

    c->layout = MM_LLAVA_HF;
    c->anyres = !strcmp(type, "llava_next");
    c->merge = c->anyres ? MM_MERGE_SPATIAL_UNPAD : MM_MERGE_FLAT;
    c->round7 = true;
    c->select.cls = !strcmp(mm_json_str(j, "vision_feature_select_strategy", "default", e), "full");
    c->image_token = mm_json_int(j, "image_token_index", mm_json_int(j, "image_token_id", 32000, e),
                                 e);
    return set_layers(c, json_object_get(j, "vision_feature_layer"), e);
}

static int from_original(struct mm_llava_config *c, const json_t *j, struct mm_err *e)
{
    const char *type = mm_json_str(j, "model_type", "", e);

    c->layout = !strcmp(type, "llava") ? MM_LLAVA_V0 : MM_LLAVA_ORIGINAL;
    c->tower = mm_json_str(j, "mm_vision_tower", NULL, e);
    /* the code of April 2023 takes the last layer when the key is absent */
    c->select.layer[0] = (int)mm_json_int(j, "mm_vision_select_layer",
                                          c->layout == MM_LLAVA_V0 ? -1 : -2, e);
    c->select.cls = !strcmp(mm_json_str(j, "mm_vision_select_feature", "patch", e), "cls_patch");
    c->start_end = mm_json_bool(j, "mm_use_im_start_end", false, e);
    if (set_aspect(c, mm_json_str(j, "image_aspect_ratio", NULL, e), e) < 0)
        return e->code;
    return set_merge(c, mm_json_str(j, "mm_patch_merge_type", "flat", e), e);
}

static int from_gguf(struct mm_llava_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    const json_t *m = mm_ckpt_meta(ck);

    if (!mm_ckpt_lookup(ck, "v.class_embd") && !mm_ckpt_lookup(ck, "mm.0.weight"))
        return 0;
    c->layout = MM_LLAVA_GGUF;
    c->select.layer[0] = -1; /* by the tower's own count of blocks: set by its opener */
    if (set_aspect(c, mm_json_str(m, "clip.vision.image_aspect_ratio", NULL, e), e) < 0)
        return e->code;
    if (!c->has_aspect && json_object_get(m, "clip.vision.image_grid_pinpoints")) {
        c->aspect = MM_ASPECT_ANYRES;
        c->anyres = true;
    } else if (!c->has_aspect) {
        c->aspect = MM_ASPECT_PAD; /* a GGUF that does not say how to pad: pad */
    }
    return set_merge(c, mm_json_str(m, "clip.vision.mm_patch_merge_type",
                                    c->anyres ? "spatial_unpad" : "flat", e), e);
}

int mm_llava_configure(struct mm_llava_config *c, const struct mm_ckpt *ck, struct mm_err *e)
{
    const json_t *j = mm_ckpt_config(ck);
    int rc = 0;

    *c = (struct mm_llava_config){ .select = { .layer = { -2 }, .n = 1 }, .image_token = -1 };
    if (mm_ckpt_is_gguf(ck))
        rc = from_gguf(c, ck, e);
    else if (json_is_object(json_object_get(j, "vision_config")) &&
             json_object_get(j, "text_config") &&
             !strncmp(mm_json_str(j, "model_type", "", e), "llava", 5))
        rc = from_hf(c, j, e);
    else if (json_object_get(j, "mm_vision_tower") || json_object_get(j, "mm_hidden_size"))
        rc = from_original(c, j, e);
    return rc < 0 ? mm_err_prefix(e, "%s", mm_ckpt_path(ck)) : e->code;
}

int mm_llava_tower(struct mm_ckpt **tower, const struct mm_llava_config *c,
                   const struct mm_ckpt *ck, const char *path, struct mm_err *e)
{
    struct mm_err why = { 0 };
    char *found = NULL;
    int rc;

    if (path) {
        if ((rc = mm_ckpt_find(&found, path, e)) < 0)
            return rc;
    } else if (!c->tower) {
        return mm_err_set(e, MM_EMISSING, "%s: holds no vision tower and names none; give "
                          "--vision-tower PATH", mm_ckpt_path(ck));
    } else if (mm_ckpt_find_named(&found, mm_ckpt_dir(ck), c->tower, &why) < 0) {
        return mm_err_set(e, MM_EMISSING, "%s: vision tower '%s' is not here; give --vision-tower "
                          "PATH", mm_ckpt_path(ck), c->tower);
    }
    rc = mm_ckpt_open(tower, found, e);
    free(found);
    return rc;
}
