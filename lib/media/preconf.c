/* preconf.c: preprocessor settings of transformers, open_clip, timm, LLaVA and GGUF. */
#include "media/preconf.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { max_side = 16384 };

static int side(int *out, const json_t *v, const char *key, struct mm_err *e)
{
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > max_side)
        return mm_err_set(e, MM_EDATA, "%s: want a whole number from 1 to %d", key, max_side);
    *out = (int)json_integer_value(v);
    return 0;
}

/* Both sides of a [h, w] pair or an object, which must be equal here. */
static int square(int *out, const json_t *h, const json_t *w, const char *key, struct mm_err *e)
{
    int a, b, rc;

    if ((rc = side(&a, h, key, e)) != 0 || (rc = side(&b, w, key, e)) != 0)
        return rc;
    if (a != b)
        return mm_err_set(e, MM_EMISSING, "%s: %d x %d: only squares are supported", key, a, b);
    *out = a;
    return 0;
}

static int triple(float out[3], const json_t *obj, const char *key, bool divisor,
                  struct mm_err *e)
{
    const json_t *v = json_object_get(obj, key);

    if (!v || json_is_null(v))
        return 0;
    if (!json_is_array(v) || json_array_size(v) != 3)
        return mm_err_set(e, MM_EDATA, "%s: want three numbers", key);
    for (size_t i = 0; i < 3; i++) {
        const json_t *x = json_array_get(v, i);
        out[i] = (float)json_number_value(x);
        if (!json_is_number(x) || !isfinite(out[i]) || (divisor && !(fabsf(out[i]) > 0)))
            return mm_err_set(e, MM_EDATA, "%s: element %zu is no %snumber", key, i,
                              divisor ? "non-zero " : "");
    }
    return 0;
}

static int statistics(struct mm_preprocess *p, const json_t *obj, const char *mean,
                      const char *std, struct mm_err *e)
{
    const int rc = triple(p->mean, obj, mean, false, e);

    return rc ? rc : triple(p->std, obj, std, true, e);
}

static int filter_word(struct mm_preprocess *p, const json_t *obj, const char *key,
                       struct mm_err *e)
{
    static const char *const words[] = { "nearest", "box",     "bilinear",
                                         "hamming", "bicubic", "lanczos" };
    struct mm_err own = { 0 };
    const char *w = mm_json_str(obj, key, "bicubic", &own);

    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    for (int i = 0; i < 6; i++)
        if (strcmp(w, words[i]) == 0) {
            p->filter = (enum mm_filter)i;
            return 0;
        }
    return mm_err_set(e, MM_EMISSING, "%s: unknown interpolation '%s'", key, w);
}

/* Pairs in a list of lists, a flat list, or a string such as "[(336, 672), (672, 336)]". */
static int add_pin(struct mm_preprocess *p, int *half, json_int_t v, struct mm_err *e)
{
    if (v < 1 || v > max_side)
        return mm_err_set(e, MM_EDATA, "image_grid_pinpoints: want sides from 1 to %d", max_side);
    if (*half == 0) {
        *half = (int)v;
        return 0;
    }
    if (p->npin == MM_MAX_PINPOINTS)
        return mm_err_set(e, MM_EDATA, "image_grid_pinpoints: more than %d", MM_MAX_PINPOINTS);
    p->pin[p->npin][0] = *half;
    p->pin[p->npin++][1] = (int)v;
    *half = 0;
    return 0;
}

static int pins_of_string(struct mm_preprocess *p, int *half, const char *s, struct mm_err *e)
{
    int rc = 0;

    while (*s && rc == 0) {
        if (!isdigit((unsigned char)*s)) {
            if (!strchr("[](), ", *s))
                return mm_err_set(e, MM_EMISSING, "image_grid_pinpoints: '%s'", s);
            s++;
            continue;
        }
        char *end;
        rc = add_pin(p, half, strtol(s, &end, 10), e);
        s = end;
    }
    return rc;
}

static int pins_of_array(struct mm_preprocess *p, int *half, const json_t *v, struct mm_err *e)
{
    size_t i, k;
    const json_t *x, *y;
    int rc = 0;

    json_array_foreach((json_t *)v, i, x) {
        if (json_is_integer(x)) {
            rc = add_pin(p, half, json_integer_value(x), e);
        } else if (json_is_array(x) && json_array_size(x) == 2 && *half == 0) {
            json_array_foreach((json_t *)x, k, y) {
                if (rc == 0)
                    rc = add_pin(p, half, json_is_integer(y) ? json_integer_value(y) : 0, e);
            }
        } else {
            return mm_err_set(e, MM_EDATA, "image_grid_pinpoints: element %zu is no pair", i);
        }
        if (rc)
            return rc;
    }
    return 0;
}

static int pinpoints(struct mm_preprocess *p, const json_t *v, struct mm_err *e)
{
    int half = 0, rc;

    p->npin = 0;
    if (!v || json_is_null(v))
        return 0;
    if (json_is_string(v))
        rc = pins_of_string(p, &half, json_string_value(v), e);
    else if (json_is_array(v))
        rc = pins_of_array(p, &half, v, e);
    else
        rc = mm_err_set(e, MM_EDATA, "image_grid_pinpoints: want a list of pairs");
    if (rc == 0 && half)
        rc = mm_err_set(e, MM_EDATA, "image_grid_pinpoints: %d has no partner", half);
    return rc;
}

/* Every tile must have the tower's size, or nothing would fit. */
static int check_pins(const struct mm_preprocess *p, struct mm_err *e)
{
    if (p->npin == 0)
        return mm_err_set(e, MM_EDATA, "image_grid_pinpoints: empty, but pictures are tiled");
    for (int i = 0; i < p->npin; i++)
        if (p->pin[i][0] % p->size || p->pin[i][1] % p->size)
            return mm_err_set(e, MM_EDATA, "image_grid_pinpoints: %d, %d: no multiples of %d",
                              p->pin[i][0], p->pin[i][1], p->size);
    return 0;
}

static bool type_is(const json_t *config, const char *prefix)
{
    const char *t = json_string_value(json_object_get(config, "image_processor_type"));

    if (!t)
        t = json_string_value(json_object_get(config, "feature_extractor_type"));
    return t && strncmp(t, prefix, strlen(prefix)) == 0;
}

static int hf_size(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    const json_t *v = json_object_get(config, "size");
    const json_t *shortest = json_object_get(v, "shortest_edge");

    if (!v || json_is_null(v))
        return 0;
    if (shortest)
        return side(&p->size, shortest, "size.shortest_edge", e);
    if (!json_is_object(v))
        return side(&p->size, v, "size", e);
    p->aspect = MM_ASPECT_SQUEEZE;
    return square(&p->size, json_object_get(v, "height"), json_object_get(v, "width"), "size", e);
}

static int hf_crop(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    const json_t *v = json_object_get(config, "crop_size");

    if (!v || json_is_null(v))
        return 0;
    if (!json_is_object(v))
        return side(&p->crop, v, "crop_size", e);
    return square(&p->crop, json_object_get(v, "height"), json_object_get(v, "width"), "crop_size",
                  e);
}

static int hf_steps(struct mm_preprocess *p, const json_t *config, bool clip_like,
                    struct mm_err *e)
{
    static const enum mm_filter code[] = { MM_NEAREST, MM_LANCZOS, MM_BILINEAR,
                                           MM_BICUBIC, MM_BOX,     MM_HAMMING };
    struct mm_err own = { 0 };
    const int64_t resample = mm_json_int(config, "resample", clip_like ? 3 : 2, &own);

    p->do_resize = mm_json_bool(config, "do_resize", true, &own);
    p->do_crop = mm_json_bool(config, "do_center_crop", clip_like, &own);
    p->do_rescale = mm_json_bool(config, "do_rescale", true, &own);
    p->do_normalise = mm_json_bool(config, "do_normalize", true, &own);
    p->do_rgb = mm_json_bool(config, "do_convert_rgb", true, &own);
    p->rescale = mm_json_num(config, "rescale_factor", 1.0 / 255, &own);
    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    if (resample < 0 || resample > 5)
        return mm_err_set(e, MM_EDATA, "resample: want a code from 0 to 5");
    p->filter = code[resample];
    return 0;
}

static int hf_aspect(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    struct mm_err own = { 0 };
    const char *setting = mm_json_str(config, "aspect_ratio_setting", "", &own);
    const bool pad = mm_json_bool(config, "do_pad", false, &own);
    int rc;

    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    if ((rc = pinpoints(p, json_object_get(config, "image_grid_pinpoints"), e)) != 0)
        return rc;
    p->pin_hw = true;
    if (type_is(config, "LlavaNext") || strcmp(setting, "anyres") == 0) {
        p->aspect = MM_ASPECT_ANYRES;
        return check_pins(p, e);
    }
    if (strcmp(setting, "pad") == 0 || (pad && type_is(config, "LlavaImageProcessor")))
        p->aspect = MM_ASPECT_PAD;
    return 0;
}

int mm_preprocess_from_hf(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    const bool vit = type_is(config, "ViT") || type_is(config, "Siglip");
    int rc;

    if (!json_is_object(config))
        return mm_err_set(e, MM_EDATA, "want an object");
    mm_preprocess_clip(p, 224);
    if (vit)
        p->aspect = MM_ASPECT_SQUEEZE;
    if ((rc = hf_size(p, config, e)) != 0)
        return rc;
    p->crop = p->aspect == MM_ASPECT_SQUEEZE ? 0 : 224;
    if ((rc = hf_crop(p, config, e)) != 0 || (rc = hf_steps(p, config, !vit, e)) != 0 ||
        (rc = statistics(p, config, "image_mean", "image_std", e)) != 0)
        return rc;
    return hf_aspect(p, config, e);
}

int mm_preprocess_from_open_clip(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    const json_t *cfg = json_object_get(config, "preprocess_cfg");
    const json_t *size = json_object_get(cfg, "size");
    struct mm_err own = { 0 };
    const char *mode = mm_json_str(cfg, "resize_mode", "shortest", &own);
    int rc;

    mm_preprocess_clip(p, 224);
    p->torchvision = true;
    p->rgb_last = true;
    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    if (!size)
        size = json_object_get(json_object_get(json_object_get(config, "model_cfg"), "vision_cfg"),
                               "image_size");
    if (json_is_array(size) && json_array_size(size) == 2)
        rc = square(&p->size, json_array_get(size, 0), json_array_get(size, 1), "size", e);
    else
        rc = side(&p->size, size, "image_size", e);
    if (rc || (rc = filter_word(p, cfg, "interpolation", e)) != 0)
        return rc;
    if (strcmp(mode, "squash") == 0)
        p->aspect = MM_ASPECT_SQUEEZE;
    else if (strcmp(mode, "shortest") != 0)
        return mm_err_set(e, MM_EMISSING, "resize_mode: '%s' is not supported", mode);
    return statistics(p, cfg, "mean", "std", e);
}

int mm_preprocess_from_timm(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    static const float mean[3] = { 0.485f, 0.456f, 0.406f }, std[3] = { 0.229f, 0.224f, 0.225f };
    const json_t *cfg = json_object_get(config, "pretrained_cfg");
    const json_t *size = json_object_get(cfg, "test_input_size");
    struct mm_err own = { 0 };
    int rc;

    if (!json_is_object(cfg))
        return mm_err_set(e, MM_EDATA, "pretrained_cfg: absent");
    mm_preprocess_clip(p, 224);
    memcpy(p->mean, mean, sizeof(mean));
    memcpy(p->std, std, sizeof(std));
    p->torchvision = true;
    if (!size)
        size = json_object_get(cfg, "input_size");
    if (!json_is_array(size) || json_array_size(size) != 3)
        return mm_err_set(e, MM_EDATA, "input_size: want [3, height, width]");
    if ((rc = square(&p->crop, json_array_get(size, 1), json_array_get(size, 2), "input_size",
                     e)) != 0)
        return rc;
    double pct = mm_json_num(cfg, "crop_pct", 0.875, &own);
    pct = mm_json_num(cfg, "test_crop_pct", pct, &own);
    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    if (!(pct >= 0.01 && pct <= 1.0))
        return mm_err_set(e, MM_EDATA, "crop_pct: %g, want 0.01 to 1", pct);
    p->size = (int)floor(p->crop / pct);
    if ((rc = filter_word(p, cfg, "interpolation", e)) != 0)
        return rc;
    return statistics(p, cfg, "mean", "std", e);
}

static int aspect_word(struct mm_preprocess *p, const char *w, const json_t *pins,
                       struct mm_err *e)
{
    int rc;

    if (strcmp(w, "pad") == 0) {
        p->aspect = MM_ASPECT_PAD;
    } else if (strcmp(w, "square") == 0) {
        p->aspect = MM_ASPECT_CROP;
    } else if (strcmp(w, "anyres") == 0) {
        p->aspect = MM_ASPECT_ANYRES;
        p->pin_hw = false;
        if ((rc = pinpoints(p, pins, e)) != 0)
            return rc;
        return check_pins(p, e);
    } else {
        return mm_err_set(e, MM_EMISSING, "image_aspect_ratio: '%s' is not supported", w);
    }
    return 0;
}

int mm_preprocess_from_llava(struct mm_preprocess *p, const json_t *config, struct mm_err *e)
{
    struct mm_err own = { 0 };
    const char *w = mm_json_str(config, "image_aspect_ratio", "square", &own);

    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    return aspect_word(p, w, json_object_get(config, "image_grid_pinpoints"), e);
}

int mm_preprocess_from_gguf(struct mm_preprocess *p, const json_t *meta, struct mm_err *e)
{
    const json_t *pins = json_object_get(meta, "clip.vision.image_grid_pinpoints");
    struct mm_err own = { 0 };
    const char *w = mm_json_str(meta, "clip.vision.image_aspect_ratio", "", &own);
    int rc;

    if (own.code)
        return mm_err_set(e, own.code, "%s", own.msg);
    mm_preprocess_clip(p, 224);
    if ((rc = side(&p->size, json_object_get(meta, "clip.vision.image_size"),
                   "clip.vision.image_size", e)) != 0 ||
        (rc = statistics(p, meta, "clip.vision.image_mean", "clip.vision.image_std", e)) != 0)
        return rc;
    if (*w == '\0')
        w = json_array_size(pins) > 0 ? "anyres" : "pad";
    return aspect_word(p, w, pins, e);
}
