/* contrastive.c: objective `contrastive`: two towers and symmetric InfoNCE (Radford et
 * al. 2021, fig. 3):
 *
 *   L = (CE(rows) + CE(columns)) / 2 of exp(s) I T^t, I and T normalised
 *
 * The log of the scale is learned and kept in [0, ln 100]; like all of fewer than two
 * dimensions it does not decay (open_clip).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/towers.h"
#include "tensor/op.h"
#include "train/export.h"
#include "train/objectives.h"
#include "train/pairs.h"
#include "train/pictures.h"

struct contrastive {
    const struct mm_job_spec *spec;
    struct mm_towers t;
    struct mm_params *scale_of; /* owns the next */
    struct mm_var *scale;       /* [] log */
    struct mm_pairs *pairs;
};

static void contrastive_close(void *own)
{
    struct contrastive *l = own;

    if (!l)
        return;
    mm_pairs_free(l->pairs);
    mm_params_free(l->scale_of);
    mm_towers_close(&l->t);
    free(l);
}

static int open_towers(struct contrastive *l, struct mm_err *e)
{
    const struct mm_job_spec *s = l->spec;
    const struct mm_vision_opts vo = { .tower = s->vision, .has_aspect = s->has_aspect,
                                       .aspect = s->aspect };
    int rc = mm_towers_open(&l->t, s->model, false, &vo, e);

    if (rc < 0)
        return rc;
    const struct mm_ckpt_entry *scale = mm_ckpt_lookup(l->t.ck, "logit_scale");
    if (!l->t.vision.tower || !l->t.text || !scale || mm_tensor_count(&scale->t) != 1)
        return mm_err_set(e, MM_EMISSING, "%s: two towers and a logit_scale are wanted", s->model);
    if (mm_clip_vision_config(l->t.vision.tower)->projection !=
            mm_clip_text_config(l->t.text)->projection ||
        !mm_clip_text_config(l->t.text)->projection)
        return mm_err_set(e, MM_EDATA, "%s: the towers do not end in one space", s->model);
    if ((rc = mm_params_new(&l->scale_of, e)) < 0)
        return rc;
    l->scale = mm_param_f32(l->scale_of, &scale->t, "logit_scale");
    return l->scale ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

static int contrastive_open(struct mm_job *j, struct mm_err *e)
{
    static const char *const all[] = { "*", NULL };
    const struct mm_job_spec *s = j->spec;
    const struct mm_set_spec set = { .train = s->train[0] ? s->train : all, .freeze = s->freeze,
                                     .decay = s->decay, .rate = 1,
                                     .without = MM_DECAY_MATRICES };
    struct contrastive *l = j->own = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    l->spec = s;
    if ((rc = open_towers(l, e)) < 0)
        return rc;
    const struct mm_clip_config *tc = mm_clip_text_config(l->t.text);
    const struct mm_pairs_spec ps = { .path = s->data, .n = s->ndata, .images = s->images,
                                      .side = mm_clip_vision_config(l->t.vision.tower)->image,
                                      .tok = l->t.tok, .context = tc->positions,
                                      .vocab = tc->vocab };
    if ((rc = mm_pairs_open(&l->pairs, &ps, e)) < 0 ||
        (rc = mm_set_add(&j->set, mm_clip_vision_params(l->t.vision.tower), &set, e)) < 0 ||
        (rc = mm_set_add(&j->set, mm_clip_text_params(l->t.text), &set, e)) < 0 ||
        (rc = mm_set_add(&j->set, l->scale_of, &set, e)) < 0)
        return rc;
    j->nsamples = mm_pairs_count(l->pairs);
    j->model = mm_ckpt_fingerprint(l->t.ck);
    return 0;
}

static int64_t contrastive_count(void *own, struct mm_ctx *c, const size_t *sample, size_t n)
{
    (void)own;
    (void)c;
    (void)sample;
    return (int64_t)n;
}

static struct mm_var *pixels(struct contrastive *l, struct mm_ctx *c, const size_t *sample,
                             size_t n)
{
    const int64_t side = mm_clip_vision_config(l->t.vision.tower)->image;
    const int64_t shape[4] = { (int64_t)n, 3, side, side };
    const size_t view = (size_t)(3 * side * side);
    const char **name = mm_ctx_alloc(c, n, sizeof(*name));
    struct mm_var *px = mm_var_new(c, 4, shape);

    if (!name || !px)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!(name[i] = mm_pairs_image(l->pairs, sample[i])))
            memcpy(mm_f32(px) + i * view, mm_pairs_pixels(l->pairs, sample[i]),
                   view * sizeof(float));
    if (name[0] && mm_pictures_load(mm_f32(px), l->spec->images, name, n, &l->t.vision.pre, side,
                                    c->pool, &c->err) < 0)
        return NULL;
    return px;
}

static struct mm_var *contrastive_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                                       float scale)
{
    const struct mm_clip_select select = { .layer = { -1 }, .n = 1, .pooled = true };
    struct contrastive *l = own;
    const size_t T = (size_t)mm_clip_text_config(l->t.text)->positions;
    int32_t *ids = mm_ctx_alloc(c, n * T, sizeof(*ids));
    struct mm_var *px = pixels(l, c, sample, n);
    struct mm_clip_out image, text;

    if (!ids || !px)
        return NULL;
    for (size_t i = 0; i < n; i++)
        memcpy(ids + i * T, mm_pairs_ids(l->pairs, sample[i]), T * sizeof(*ids));
    mm_clip_see(c, l->t.vision.tower, px, &select, &image);
    mm_clip_read(c, l->t.text, ids, (int64_t)n, (int64_t)T, &text);
    /* the loss is a mean over pairs already; times their number it is the sum asked for */
    return mm_scale(c, mm_infonce(c, image.embed, text.embed, l->scale), scale * (float)n);
}

static void clamp(float *s)
{
    const float most = (float)log(100);

    *s = *s < 0 ? 0 : *s > most ? most : *s;
}

/* The scale, and the f32 number that it is the bf16 of. */
static void contrastive_moved(struct mm_job *j)
{
    const struct contrastive *l = j->own;

    clamp(mm_f32(l->scale));
    for (size_t i = 0; j->set.master && i < j->set.n; i++)
        if (j->set.v[i].var == l->scale)
            clamp(j->set.master + j->set.v[i].at);
}

static int contrastive_export(struct mm_job *j, struct mm_err *e)
{
    const struct contrastive *l = j->own;

    return mm_export_model(j->spec->out, l->t.ck, &j->set, j->spec->dtype, NULL, e);
}

const struct mm_objective mm_objective_contrastive = {
    .name = "contrastive", .what = "pictures and texts that belong together (CLIP)", .lr = 5e-4,
    .open = contrastive_open, .close = contrastive_close, .count = contrastive_count,
    .loss = contrastive_loss, .moved = contrastive_moved, .export = contrastive_export
};
