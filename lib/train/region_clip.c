/* region_clip.c: objective `regions`: what is in a box belongs to the phrases that are true
 * of it (region-text contrastive learning, after RegionCLIP, Zhong et al. 2022):
 *
 *   v = the mean of the patches' features below a box, each as much as the box covers of it,
 *       through post_layernorm and visual_projection
 *   L = mean over (box, phrase) of CE(phrase) of exp(s) V T^t, V and T normalised
 *
 * T are all phrases of the micro-batch, each once; those that are also listed for a box are
 * no wrong answers for it.  Features are of the last block but one, those that LLaVA takes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/op.h"
#include "train/dual.h"
#include "train/objectives.h"
#include "train/pictures.h"
#include "train/regions.h"

#define RULED_OUT (-1e9F)

struct region_clip {
    struct mm_dual d;
    struct mm_regions *regions;
};

static void region_close(void *own)
{
    struct region_clip *l = own;

    if (!l)
        return;
    mm_regions_free(l->regions);
    mm_dual_close(&l->d);
    free(l);
}

static int region_open(struct mm_job *j, struct mm_err *e)
{
    const struct mm_job_spec *s = j->spec;
    struct region_clip *l = j->own = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!s->images)
        return mm_err_set(e, MM_EUSAGE, "the data have pictures: --images says where they are");
    if ((rc = mm_dual_open(&l->d, j, e)) < 0)
        return rc;
    const struct mm_clip_config *tc = mm_clip_text_config(l->d.t.text);
    const struct mm_texts texts = { .tok = l->d.t.tok, .context = tc->positions,
                                    .vocab = tc->vocab };
    if ((rc = mm_regions_open(&l->regions, s->data, s->ndata, &texts, e)) < 0)
        return rc;
    for (size_t i = 0; i < mm_regions_count(l->regions); i++)
        if ((rc = mm_pictures_there(s->images, mm_regions_image(l->regions, i), e)) < 0)
            return rc;
    j->nsamples = mm_regions_count(l->regions);
    j->data = mm_regions_hash(l->regions);
    return 0;
}

static int64_t region_count(void *own, struct mm_ctx *c, const size_t *sample, size_t n)
{
    const struct region_clip *l = own;
    size_t sum = 0, of;

    (void)c;
    for (size_t i = 0; i < n; i++) {
        mm_regions_of(l->regions, sample[i], &of);
        sum += of;
    }
    return (int64_t)sum;
}

/* The boxes and phrases of a micro-batch. */
struct batch {
    size_t pictures, pairs, boxes, phrases;
    const size_t *sample;
    int32_t *box, *column; /* [pairs] row of V; column of T */
    int32_t *phrase;       /* [phrases] of mm_regions_texts */
    struct mm_var *pool;   /* [boxes, pictures * patches]: what each box covers */
};

/* How much of each patch of a grid x grid picture, side pixels wide, the box covers, of 1 in
 * all; a box outside it is the nearest patch's. */
static void cover(float *w, const double from[2], const double to[2], int64_t grid, double side)
{
    const double patch = side / (double)grid;
    double sum = 0;

    for (int64_t y = 0; y < grid; y++)
        for (int64_t x = 0; x < grid; x++) {
            const double left = (double)x * patch, top = (double)y * patch;
            const double across = fmin(to[0], left + patch) - fmax(from[0], left);
            const double down = fmin(to[1], top + patch) - fmax(from[1], top);

            w[y * grid + x] = across > 0 && down > 0 ? (float)(across * down) : 0;
            sum += (double)w[y * grid + x];
        }
    for (int64_t i = 0; sum > 0 && i < grid * grid; i++)
        w[i] = (float)((double)w[i] / sum);
    if (!(sum > 0)) {
        const double x = fmin(fmax((from[0] + to[0]) / 2, 0), side - 1) / patch;
        const double y = fmin(fmax((from[1] + to[1]) / 2, 0), side - 1) / patch;

        w[(int64_t)y * grid + (int64_t)x] = 1;
    }
}

/* Rows and columns of the batch's pairs; b->pool is as yet without weights. */
static bool list_pairs(const struct region_clip *l, struct mm_ctx *c, struct batch *b,
                       int64_t patches)
{
    const size_t all = mm_regions_texts(l->regions)->n;
    int32_t *known = mm_ctx_alloc(c, all, sizeof(*known));

    b->box = mm_ctx_alloc(c, b->pairs, sizeof(*b->box));
    b->column = mm_ctx_alloc(c, b->pairs, sizeof(*b->column));
    b->phrase = mm_ctx_alloc(c, b->pairs, sizeof(*b->phrase));
    if (!known || !b->box || !b->column || !b->phrase)
        return false;
    memset(known, 0xff, all * sizeof(*known));
    for (size_t i = 0, k = 0, n; i < b->pictures; i++) {
        const struct mm_region *v = mm_regions_of(l->regions, b->sample[i], &n);

        for (size_t r = 0; r < n; r++, k++) {
            int32_t *column = &known[v[r].phrase];

            if (*column < 0) {
                *column = (int32_t)b->phrases;
                b->phrase[b->phrases++] = v[r].phrase;
            }
            b->column[k] = *column;
            b->box[k] = (int32_t)b->boxes + v[r].box;
        }
        b->boxes += n ? (size_t)v[n - 1].box + 1 : 0;
    }
    const int64_t shape[2] = { (int64_t)b->boxes, (int64_t)b->pictures * patches };
    b->pool = mm_var_new(c, 2, shape);
    return b->pool != NULL;
}

/* The weights of b->pool; size: of the pictures' files. */
static void weigh_patches(const struct region_clip *l, struct batch *b, int (*size)[2],
                          int64_t grid)
{
    const size_t patches = (size_t)(grid * grid), row = b->pictures * patches;
    float *w = mm_f32(b->pool);
    double scale[2], shift[2];

    memset(w, 0, b->boxes * row * sizeof(*w));
    for (size_t i = 0, k = 0, n; i < b->pictures; i++) {
        const struct mm_region *v = mm_regions_of(l->regions, b->sample[i], &n);

        mm_preprocess_place(&l->d.t.vision.pre, size[i][0], size[i][1], scale, shift);
        for (size_t r = 0; r < n; r++, k++) {
            const double from[2] = { (double)v[r].x * scale[0] + shift[0],
                                     (double)v[r].y * scale[1] + shift[1] };
            const double to[2] = { from[0] + (double)v[r].w * scale[0],
                                   from[1] + (double)v[r].h * scale[1] };

            if (r == 0 || v[r].box != v[r - 1].box)
                cover(w + (size_t)b->box[k] * row + i * patches, from, to, grid,
                      (double)mm_dual_side(&l->d));
        }
    }
}

/* [boxes, projection] */
static struct mm_var *see_boxes(struct region_clip *l, struct mm_ctx *c, struct batch *b)
{
    const struct mm_clip_config *vc = mm_clip_vision_config(l->d.t.vision.tower);
    const struct mm_clip_select select = { .layer = { -2 }, .n = 1 };
    const int64_t side = vc->image, grid = side / vc->patch;
    const int64_t shape[4] = { (int64_t)b->pictures, 3, side, side };
    const int64_t flat[2] = { (int64_t)b->pictures * grid * grid, vc->width };
    const char **name = mm_ctx_alloc(c, b->pictures, sizeof(*name));
    int (*size)[2] = mm_ctx_alloc(c, b->pictures, sizeof(*size));
    struct mm_var *px = mm_var_new(c, 4, shape);
    struct mm_clip_out out;

    if (!name || !size || !px || !list_pairs(l, c, b, grid * grid))
        return NULL;
    for (size_t i = 0; i < b->pictures; i++)
        name[i] = mm_regions_image(l->regions, b->sample[i]);
    if (mm_pictures_load(mm_f32(px), size, l->d.spec->images, name, b->pictures,
                         &l->d.t.vision.pre, side, c->pool, &c->err) < 0)
        return NULL;
    weigh_patches(l, b, size, grid);
    mm_clip_see(c, l->d.t.vision.tower, px, &select, &out);
    if (!out.features)
        return NULL;
    return mm_clip_embed(c, l->d.t.vision.tower,
                         mm_matmul(c, MM_MATMUL_NN, b->pool,
                                   mm_reshape(c, out.features, 2, flat)));
}

/* [phrases, projection]; rows are as long as the longest of these phrases. */
static struct mm_var *read_phrases(struct region_clip *l, struct mm_ctx *c, const struct batch *b)
{
    const struct mm_texts *t = mm_regions_texts(l->regions);
    struct mm_clip_out out;
    int64_t T = 1;

    for (size_t i = 0; i < b->phrases; i++)
        T = t->length[b->phrase[i]] > T ? t->length[b->phrase[i]] : T;
    int32_t *ids = mm_ctx_alloc(c, b->phrases * (size_t)T, sizeof(*ids));
    if (!ids)
        return NULL;
    for (size_t i = 0; i < b->phrases; i++)
        memcpy(ids + i * (size_t)T, mm_texts_ids(t, (size_t)b->phrase[i]),
               (size_t)T * sizeof(*ids));
    mm_clip_read(c, l->d.t.text, ids, (int64_t)b->phrases, T, &out);
    return out.embed;
}

/* [pairs, phrases]: 0, or what rules out the other phrases of the pair's box */
static struct mm_var *others_out(struct mm_ctx *c, const struct batch *b)
{
    const int64_t shape[2] = { (int64_t)b->pairs, (int64_t)b->phrases };
    struct mm_var *m = mm_var_new(c, 2, shape);

    if (!m)
        return NULL;
    memset(m->t.data, 0, mm_tensor_bytes(&m->t));
    for (size_t i = 0, first = 0; i < b->pairs; i++) {
        first = b->box[i] == b->box[first] ? first : i; /* pairs of a box are neighbours */
        for (size_t k = first; k < b->pairs && b->box[k] == b->box[i]; k++)
            if (k != i)
                mm_f32(m)[i * b->phrases + (size_t)b->column[k]] = RULED_OUT;
    }
    return m;
}

static struct mm_var *region_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                                  float scale)
{
    struct region_clip *l = own;
    struct batch b = { .pictures = n, .sample = sample,
                       .pairs = (size_t)region_count(own, c, sample, n) };
    struct mm_var *v = see_boxes(l, c, &b);
    struct mm_var *t = v ? read_phrases(l, c, &b) : NULL;

    if (!t)
        return NULL;
    struct mm_var *cosine = mm_matmul(c, MM_MATMUL_NT, mm_l2_normalize(c, v, 1e-12F),
                                      mm_l2_normalize(c, t, 1e-12F));
    struct mm_var *logits = mm_mul(c, cosine, mm_activate(c, l->d.scale, MM_ACT_EXP));
    struct mm_var *rows = mm_add(c, mm_select(c, logits, 0, b.box, b.pairs), others_out(c, &b));
    return mm_scale(c, mm_cross_entropy(c, rows, b.column, 0, MM_REDUCE_SUM), scale);
}

static void region_moved(struct mm_job *j)
{
    const struct region_clip *l = j->own;

    mm_dual_moved(&l->d, j);
}

static int region_export(struct mm_job *j, struct mm_err *e)
{
    const struct region_clip *l = j->own;

    return mm_dual_export(&l->d, j, e);
}

const struct mm_objective mm_objective_regions = {
    .name = "regions", .what = "boxes in pictures and phrases that are true of them (RegionCLIP)",
    .lr = 5e-4, .takes = MM_TAKES_PICTURES, .open = region_open, .close = region_close, .count = region_count,
    .loss = region_loss, .moved = region_moved, .export = region_export
};
