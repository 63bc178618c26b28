/* contrastive.c: objective `contrastive`: two towers and symmetric InfoNCE (Radford et
 * al. 2021, fig. 3):
 *
 *   L = (CE(rows) + CE(columns)) / 2 of exp(s) I T^t, I and T normalised
 */
#include <stdlib.h>
#include <string.h>

#include "tensor/op.h"
#include "train/dual.h"
#include "train/objectives.h"
#include "train/pairs.h"
#include "train/pictures.h"

struct contrastive {
    struct mm_dual d;
    struct mm_pairs *pairs;
};

static void contrastive_close(void *own)
{
    struct contrastive *l = own;

    if (!l)
        return;
    mm_pairs_free(l->pairs);
    mm_dual_close(&l->d);
    free(l);
}

static int contrastive_open(struct mm_job *j, struct mm_err *e)
{
    const struct mm_job_spec *s = j->spec;
    struct contrastive *l = j->own = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if ((rc = mm_dual_open(&l->d, j, e)) < 0)
        return rc;
    const struct mm_clip_config *tc = mm_clip_text_config(l->d.t.text);
    const struct mm_pairs_spec ps = { .path = s->data, .n = s->ndata, .images = s->images,
                                      .side = mm_dual_side(&l->d), .tok = l->d.t.tok,
                                      .context = tc->positions, .vocab = tc->vocab };
    if ((rc = mm_pairs_open(&l->pairs, &ps, e)) < 0)
        return rc;
    j->nsamples = mm_pairs_count(l->pairs);
    j->data = mm_pairs_hash(l->pairs);
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
    const int64_t side = mm_dual_side(&l->d);
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
    if (name[0] && mm_pictures_load(mm_f32(px), NULL, l->d.spec->images, name, n, &l->d.t.vision.pre, side,
                                    c->pool, &c->err) < 0)
        return NULL;
    return px;
}

static struct mm_var *contrastive_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                                       float scale)
{
    const struct mm_clip_select select = { .layer = { -1 }, .n = 1, .pooled = true };
    struct contrastive *l = own;
    const size_t T = (size_t)mm_clip_text_config(l->d.t.text)->positions;
    int32_t *ids = mm_ctx_alloc(c, n * T, sizeof(*ids));
    struct mm_var *px = pixels(l, c, sample, n);
    struct mm_clip_out image, text;

    if (!ids || !px)
        return NULL;
    for (size_t i = 0; i < n; i++)
        memcpy(ids + i * T, mm_pairs_ids(l->pairs, sample[i]), T * sizeof(*ids));
    mm_clip_see(c, l->d.t.vision.tower, px, &select, &image);
    mm_clip_read(c, l->d.t.text, ids, (int64_t)n, (int64_t)T, &text);
    /* the loss is a mean over pairs already; times their number it is the sum asked for */
    return mm_scale(c, mm_infonce(c, image.embed, text.embed, l->d.scale), scale * (float)n);
}

static void contrastive_moved(struct mm_job *j)
{
    const struct contrastive *l = j->own;

    mm_dual_moved(&l->d, j);
}

static int contrastive_export(struct mm_job *j, struct mm_err *e)
{
    const struct contrastive *l = j->own;

    return mm_dual_export(&l->d, j, e);
}

const struct mm_objective mm_objective_contrastive = {
    .name = "contrastive", .what = "pictures and texts that belong together (CLIP)", .lr = 5e-4,
    .takes = MM_TAKES_PICTURES,
    .open = contrastive_open, .close = contrastive_close, .count = contrastive_count,
    .loss = contrastive_loss, .moved = contrastive_moved, .export = contrastive_export
};
