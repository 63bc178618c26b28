/* vision.c: from a checkpoint to a tower and its preprocessing. */
#include "model/vision.h"

#include <string.h>

#include "media/preconf.h"

/* Is the tower in the checkpoint itself (LLaVA 1.6, HF) or another one's? */
static int open_tower(struct mm_vision *v, const struct mm_ckpt *ck, const char *path,
                      struct mm_err *e)
{
    const bool original = v->llava.layout == MM_LLAVA_ORIGINAL || v->llava.layout == MM_LLAVA_V0;
    struct mm_err own = { 0 }, other = { 0 };

    if (path || original)
        if (mm_llava_tower(&v->tower_ck, &v->llava, ck, path, &other) < 0 && path) {
            *e = other;
            return e->code;
        }
    /* the stored tower wins; the directory it names still has its sizes */
    if (!path) {
        const json_t *config = v->tower_ck ? mm_ckpt_config(v->tower_ck) : NULL;

        if (mm_clip_vision_open(&v->tower, ck, config, &own) == 0) {
            v->fingerprint = mm_ckpt_fingerprint(ck);
            return 0;
        }
        if (own.code != MM_EMISSING || !original) {
            *e = own;
            return e->code;
        }
    }
    if (!v->tower_ck) {
        *e = other;
        return e->code;
    }
    v->fingerprint = mm_ckpt_fingerprint(v->tower_ck);
    return mm_clip_vision_open(&v->tower, v->tower_ck, NULL, e);
}

/* preprocessor_config.json or open_clip_config.json beside the weights in src */
static int from_files(struct mm_preprocess *p, const struct mm_ckpt *src, struct mm_err *e)
{
    json_t *j = NULL;
    int rc = mm_ckpt_json(&j, src, "preprocessor_config.json", e);

    if (rc == 0 && j) {
        rc = mm_preprocess_from_hf(p, j, e);
    } else if (rc == 0 && (rc = mm_ckpt_json(&j, src, "open_clip_config.json", e)) == 0 && j) {
        rc = mm_preprocess_from_open_clip(p, j, e);
    }
    json_decref(j);
    return rc < 0 ? mm_err_prefix(e, "%s", mm_ckpt_dir(src)) : 0;
}

static int set_preprocess(struct mm_vision *v, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_preprocess *p = &v->pre;
    int rc = 0;

    mm_preprocess_clip(p, (int)mm_clip_vision_config(v->tower)->image);
    if (mm_ckpt_is_gguf(ck))
        rc = mm_preprocess_from_gguf(p, mm_ckpt_meta(ck), e);
    else
        rc = from_files(p, v->tower_ck ? v->tower_ck : ck, e);
    if (rc == 0 && (v->llava.layout == MM_LLAVA_ORIGINAL || v->llava.layout == MM_LLAVA_V0))
        rc = mm_preprocess_from_llava(p, mm_ckpt_config(ck), e);
    if (rc < 0)
        return rc;
    if (v->llava.layout == MM_LLAVA_HF && v->llava.anyres) {
        /* llava_next; the pinpoints may stand in config.json alone */
        if (p->npin == 0 && (rc = mm_preprocess_from_llava(p, mm_ckpt_config(ck), e)) < 0)
            return rc;
        p->pin_hw = true;
        p->aspect = MM_ASPECT_ANYRES;
    }
    return 0;
}

static int apply_overrides(struct mm_vision *v, const struct mm_vision_opts *o, struct mm_err *e)
{
    const struct mm_clip_config *c = mm_clip_vision_config(v->tower);

    v->select = v->llava.select;
    if (c->feature) { /* GGUF: counted in stored blocks */
        v->select.layer[0] = (int)c->feature;
        v->select.n = 1;
    }
    if (o->has_layer) {
        v->select.layer[0] = o->layer;
        v->select.n = 1;
    }
    if (o->has_aspect) {
        v->pre.aspect = o->aspect;
        v->llava.anyres = o->aspect == MM_ASPECT_ANYRES;
    }
    if (v->pre.aspect == MM_ASPECT_ANYRES && v->pre.npin == 0)
        return mm_err_set(e, MM_EDATA, "anyres needs image_grid_pinpoints, the checkpoint has none");
    const int side = v->pre.do_crop && v->pre.aspect == MM_ASPECT_CROP && v->pre.crop
                         ? v->pre.crop : v->pre.size;
    if (side != c->image)
        return mm_err_set(e, MM_EDATA, "pictures are prepared at %d pixels, the tower takes %lld",
                          side, (long long)c->image);
    return mm_clip_select_ok(v->tower, &v->select, e);
}

int mm_vision_open(struct mm_vision *v, const struct mm_ckpt *ck, const struct mm_vision_opts *o,
                   struct mm_err *e)
{
    int rc;

    *v = (struct mm_vision){ 0 };
    if ((rc = mm_llava_configure(&v->llava, ck, e)) < 0)
        return rc;
    if ((rc = open_tower(v, ck, o->tower, e)) == 0 && (rc = set_preprocess(v, ck, e)) == 0 &&
        (rc = apply_overrides(v, o, e)) < 0)
        rc = mm_err_prefix(e, "%s", mm_ckpt_path(ck));
    if (rc < 0)
        mm_vision_close(v);
    return rc;
}

void mm_vision_close(struct mm_vision *v)
{
    mm_clip_vision_free(v->tower);
    mm_ckpt_close(v->tower_ck);
    *v = (struct mm_vision){ 0 };
}
