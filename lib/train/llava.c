/* llava.c: see llava.h.
 *
 *   picture -> tower [P, W] -> projector [P, dim] -> rows of the sample
 *   ids -> embedding, those rows replaced -> LLaMA -> cross-entropy of labelled ids
 *
 * Samples lie one after another without padding.
 */
#include "train/llava.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "model/llm.h"
#include "model/projector.h"
#include "model/vision.h"
#include "tensor/op.h"
#include "train/convs.h"
#include "train/export.h"
#include "train/features.h"
#include "train/pictures.h"

struct llava {
    const struct mm_job_spec *spec;
    struct mm_llm llm;
    struct mm_ckpt *connector;    /* the projector's own checkpoint, or NULL: llm.ck */
    struct mm_projector *projector;
    struct mm_vision vision;      /* tower NULL: all features are in the file */
    struct mm_features *features; /* or NULL */
    struct mm_convs *convs;
    struct mm_convs_spec cs;
    struct mm_loras *loras;
    int32_t *length;              /* [samples] */
    struct mm_labelled *built;    /* [samples]: counted, and waiting for their loss; or zero */
    size_t rows;                  /* of a picture through the tower */
    bool see_recorded;            /* the tower is trained too */
};

void mm_llava_close(void *own)
{
    struct llava *l = own;

    if (!l)
        return;
    mm_loras_free(l->loras);
    for (size_t i = 0; l->built && i < mm_convs_count(l->convs); i++)
        mm_labelled_free(&l->built[i]);
    free(l->built);
    free(l->length);
    mm_convs_free(l->convs);
    mm_features_free(l->features);
    mm_vision_close(&l->vision);
    mm_projector_free(l->projector);
    mm_ckpt_close(l->connector);
    mm_llm_close(&l->llm);
    free(l);
}

/* --- opening --------------------------------------------------------------------------- */

static const struct mm_ckpt *pictures(const struct llava *l)
{
    return l->connector ? l->connector : l->llm.ck;
}

static int open_connector(struct llava *l, struct mm_err *e)
{
    char *path = NULL;
    int rc;

    if (!l->spec->projector)
        return 0;
    if ((rc = mm_ckpt_find(&path, l->spec->projector, e)) == 0)
        rc = mm_ckpt_open(&l->connector, path, e);
    free(path);
    return rc;
}

static int check_stdin(const struct mm_job_spec *s, struct mm_err *e)
{
    for (int i = 0; s->features && !strcmp(s->features, "-") && i < s->ndata; i++)
        if (!strcmp(s->data[i], "-"))
            return mm_err_set(e, MM_EUSAGE, "standard input cannot be features and conversations");
    return 0;
}

static int open_models(struct llava *l, struct mm_err *e)
{
    const struct mm_job_spec *s = l->spec;
    const struct mm_adapt_spec model = { .path = s->model };
    const struct mm_vision_opts vo = { .tower = s->vision, .has_aspect = s->has_aspect,
                                       .aspect = s->aspect };
    int rc;

    if ((rc = mm_llm_open(&l->llm, &model, e)) < 0 || (rc = open_connector(l, e)) < 0 ||
        (rc = mm_projector_open(&l->projector, pictures(l), e)) < 0)
        return rc;
    if (!l->llm.tok)
        return mm_err_set(e, MM_EMISSING, "%s: no tokenizer", s->model);
    if (mm_projector_out(l->projector) != mm_llama_config(l->llm.m)->dim)
        return mm_err_set(e, MM_EDATA, "the projector makes rows of %lld, the language model has "
                          "%lld", (long long)mm_projector_out(l->projector),
                          (long long)mm_llama_config(l->llm.m)->dim);
    if (s->features && (rc = mm_features_open(&l->features, s->features, e)) < 0)
        return rc;
    if (s->features && !s->images)
        return 0;
    if ((rc = mm_vision_open(&l->vision, pictures(l), &vo, e)) < 0)
        return rc;
    if (l->vision.pre.aspect == MM_ASPECT_ANYRES)
        return mm_err_set(e, MM_EMISSING, "training with anyres tiles is not supported");
    const struct mm_clip_config *c = mm_clip_vision_config(l->vision.tower);
    l->rows = (size_t)((c->image / c->patch) * (c->image / c->patch) + l->vision.select.cls);
    return 0;
}

static int find_template(struct llava *l, const char *name, struct mm_err *e)
{
    struct mm_err why = { 0 };

    name = l->spec->template ? l->spec->template : name;
    if (mm_llm_template(&l->cs.template, &l->llm, name, &why) == 0)
        return 0;
    if (name)
        return mm_err_set(e, why.code, "%s", why.msg);
    l->cs.template = mm_template_named("vicuna_v1"); /* LLaVA's v1 */
    return 0;
}

/* The features of sample i's picture in the file, or NULL. */
static const struct mm_tensor *cached(const struct llava *l, size_t i)
{
    const char *name = mm_convs_image(l->convs, i);

    return l->features && name ? mm_features_find(l->features, name) : NULL;
}

/* Is the picture of sample i where the options say? */
static int find_picture(const struct llava *l, size_t i, struct mm_err *e)
{
    const char *name = mm_convs_image(l->convs, i);

    if (cached(l, i))
        return 0;
    if (l->spec->images)
        return mm_pictures_there(l->spec->images, name, e);
    return l->features ? mm_err_set(e, MM_EDATA, "%s: no features of '%s'", l->spec->features, name)
                       : mm_err_set(e, MM_EUSAGE, "the data have pictures: --images or --features "
                                    "says where they are");
}

static int open_data(struct llava *l, const struct mm_llava_stage *stage, struct mm_err *e)
{
    int rc = mm_convs_open(&l->convs, l->spec->data, l->spec->ndata, e);

    if (rc < 0 || (rc = find_template(l, stage->template, e)) < 0)
        return rc;
    l->cs.prompt = l->llm.prompt;
    l->cs.start_end = l->llm.llava.start_end;
    l->cs.context = l->spec->context ? l->spec->context : 2048;
    l->length = malloc((mm_convs_count(l->convs) + 1) * sizeof(*l->length));
    l->built = calloc(mm_convs_count(l->convs) + 1, sizeof(*l->built));
    if (!l->length || !l->built)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < mm_convs_count(l->convs); i++) {
        l->length[i] = mm_convs_length(l->convs, i);
        if ((rc = mm_convs_check(l->convs, i, &l->cs, e)) == 0 && mm_convs_image(l->convs, i))
            rc = find_picture(l, i, e);
    }
    return rc;
}

/* What is frozen anyway may be named too: the tower, and what the checkpoints hold beside. */
static void meet_frozen(struct mm_set *set, const struct llava *l)
{
    const struct mm_set_spec spec = { .freeze = l->spec->freeze };
    const struct mm_ckpt *const ck[] = { l->llm.ck, pictures(l) };
    struct mm_params *tower = l->vision.tower ? mm_clip_vision_params(l->vision.tower) : NULL;
    const char *name;

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < mm_ckpt_count(ck[k]); i++)
            mm_set_meet(set, &spec, mm_ckpt_at(ck[k], i)->name);
    for (size_t i = 0; tower && i < mm_params_count(tower); i++) {
        (void)mm_params_at(tower, i, &name);
        mm_set_meet(set, &spec, name);
    }
}

/* Weights: what the options name, else what the stage trains. */
static int choose(struct mm_job *j, struct llava *l, const struct mm_llava_stage *stage,
                  struct mm_err *e)
{
    const struct mm_job_spec *s = j->spec;
    const bool lora = s->lora.rank > 0 || s->lora.from;
    struct mm_set_spec set = { .train = s->train[0] ? s->train : stage->projector,
                               .freeze = s->freeze, .decay = s->decay, .rate = 1 };
    const double lr = s->lr > 0 ? s->lr : j->objective->lr;
    int rc;

    meet_frozen(&j->set, l);
    if (s->projector_lr > 0)
        set.rate = s->projector_lr / lr;
    if ((rc = mm_set_add(&j->set, mm_projector_params(l->projector), &set, e)) < 0)
        return rc;
    set.rate = 1;
    if (s->train[0] && l->vision.tower) {
        rc = mm_set_add(&j->set, mm_clip_vision_params(l->vision.tower), &set, e);
        l->see_recorded = rc > 0;
    }
    if (rc >= 0 && lora) {
        if ((rc = mm_loras_new(&l->loras, l->llm.m, &s->lora, s->seed, e)) == 0)
            rc = mm_loras_add(&j->set, l->loras, s->decay, 1, e);
    } else if (rc >= 0) {
        set.train = s->train[0] ? s->train : stage->llm;
        rc = mm_set_add(&j->set, mm_llama_params(l->llm.m), &set, e);
    }
    return rc < 0 ? rc : 0;
}

int mm_llava_open(struct mm_job *j, const struct mm_llava_stage *stage, struct mm_err *e)
{
    struct llava *l = j->own = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    l->spec = j->spec;
    if ((rc = check_stdin(j->spec, e)) < 0 || (rc = open_models(l, e)) < 0 || (rc = open_data(l, stage, e)) < 0 ||
        (rc = choose(j, l, stage, e)) < 0)
        return rc;
    const char *template = mm_template_name(l->cs.template);
    j->nsamples = mm_convs_count(l->convs);
    j->data = mm_convs_hash(l->convs);
    j->data = mm_hash64_add(j->data, &l->cs.context, sizeof(l->cs.context));
    j->data = mm_hash64_add(j->data, template, strlen(template));
    j->data = mm_hash64_add(j->data, &l->vision.pre.aspect, sizeof(l->vision.pre.aspect));
    j->length = l->length;
    j->model = l->llm.fingerprint ^ (l->connector ? mm_ckpt_fingerprint(l->connector) : 0);
    return 0;
}

/* --- samples ------------------------------------------------------------------------------- */

/* One micro-batch. */
struct batch {
    const size_t *sample;
    size_t n;
    struct mm_labelled *l; /* [n] */
    size_t positions, rows, pictures;
    struct mm_err *err;    /* of a picture, the first in order */
};

static int build(struct batch *b, struct llava *l, struct mm_ctx *c)
{
    b->l = mm_ctx_alloc(c, b->n, sizeof(*b->l));
    if (!b->l)
        return MM_ENOMEM;
    memset(b->l, 0, b->n * sizeof(*b->l));
    for (size_t i = 0; i < b->n; i++) {
        const struct mm_tensor *f = cached(l, b->sample[i]);
        const bool picture = mm_convs_image(l->convs, b->sample[i]) != NULL;
        struct mm_labelled *const kept = &l->built[b->sample[i]];

        if (kept->id) {
            b->l[i] = *kept;
            *kept = (struct mm_labelled){ 0 };
        } else if (mm_convs_build(&b->l[i], l->convs, b->sample[i],
                                  f ? (size_t)f->shape[0] : l->rows, &l->cs, &c->err) < 0) {
            return c->err.code;
        }
        b->positions += b->l[i].n;
        b->rows += b->l[i].rows;
        b->pictures += picture && b->l[i].rows > 0;
    }
    return 0;
}

static void drop(struct batch *b)
{
    for (size_t i = 0; b->l && i < b->n; i++)
        mm_labelled_free(&b->l[i]);
}

/* What is counted is trained next: its tokens stay. */
int64_t mm_llava_count(void *own, struct mm_ctx *c, const size_t *sample, size_t n)
{
    struct llava *l = own;
    struct batch b = { .sample = sample, .n = n };
    int64_t count = 0;

    if (build(&b, l, c) == 0)
        for (size_t i = 0; i < n; i++) {
            for (size_t t = 1; t < b.l[i].n; t++) /* the first is predicted by nothing */
                count += b.l[i].label[t] >= 0;
            if (!l->built[sample[i]].id) { /* not twice in the batch */
                l->built[sample[i]] = b.l[i];
                b.l[i] = (struct mm_labelled){ 0 };
            }
        }
    drop(&b);
    if (!c->err.code && !count) {
        mm_err_set(&c->err, MM_EDATA, "nothing of it is trained: its answers are behind --context %zu",
                   l->cs.context);
        mm_convs_blame(l->convs, sample[0], &c->err);
    }
    return c->err.code ? -1 : count;
}

/* --- pictures -------------------------------------------------------------------------------- */

/* Pictures of these samples through the tower: [n, P, W]. */
static struct mm_var *see(struct llava *l, struct mm_ctx *c, const size_t *sample, size_t n)
{
    const int64_t side = mm_clip_vision_config(l->vision.tower)->image;
    const int64_t shape[4] = { (int64_t)n, 3, side, side };
    struct mm_var *pixels = mm_var_new(c, 4, shape);
    const char **name = mm_ctx_alloc(c, n, sizeof(*name));
    struct mm_tape *const tape = c->tape;
    struct mm_clip_out out = { 0 };

    if (!pixels || !name)
        return NULL;
    for (size_t i = 0; i < n; i++)
        name[i] = mm_convs_image(l->convs, sample[i]);
    if (mm_pictures_load(mm_f32(pixels), NULL, l->spec->images, name, n, &l->vision.pre, side, c->pool,
                         &c->err) < 0)
        return NULL;
    if (!l->see_recorded)
        c->tape = NULL; /* frozen: nothing is kept of it */
    mm_clip_see(c, l->vision.tower, pixels, &l->vision.select, &out);
    c->tape = tape;
    return out.features;
}

/* Features of all pictures of the batch, one row after another [rows, W]. */
static struct mm_var *features(struct llava *l, struct mm_ctx *c, const struct batch *b)
{
    const int64_t width = mm_projector_in(l->projector);
    size_t *sample = mm_ctx_alloc(c, b->n, sizeof(*sample));
    struct mm_var **part = mm_ctx_alloc(c, b->n + 1, sizeof(*part));
    size_t unseen = 0, at = 0;
    int parts = 0;

    for (size_t i = 0; sample && i < b->n; i++)
        if (b->l[i].rows && !cached(l, b->sample[i]))
            sample[unseen++] = b->sample[i];
    if (!sample || !part)
        return NULL;
    struct mm_var *seen = unseen ? see(l, c, sample, unseen) : NULL;
    if (unseen && !seen)
        return NULL;
    for (size_t i = 0; i < b->n; i++) {
        const int64_t shape[2] = { (int64_t)b->l[i].rows, width };
        const struct mm_tensor *f = cached(l, b->sample[i]);

        if (!b->l[i].rows)
            continue;
        if (f) {
            struct mm_tensor cut = *f;

            cut.shape[0] = shape[0];
            if (f->shape[1] != width || !(part[parts] = mm_var_new(c, 2, shape))) {
                mm_err_set(&c->err, MM_EDATA, "features of '%s' are %lld wide, the projector takes "
                           "%lld", mm_convs_image(l->convs, b->sample[i]), (long long)f->shape[1],
                           (long long)width);
                return NULL;
            }
            mm_tensor_to_f32(mm_f32(part[parts++]), &cut);
            continue;
        }
        struct mm_var *one = mm_slice(c, seen, 0, (int64_t)at, (int64_t)at + 1);
        at++;
        part[parts++] = mm_reshape(c, mm_slice(c, one, 1, 0, shape[0]), 2, shape);
    }
    return parts == 1 ? part[0] : mm_concat(c, part, parts, 0);
}

/* --- loss ---------------------------------------------------------------------------------------- */

struct flat {
    int32_t *id, *target, *at; /* [positions], [positions], [rows]: where rows go */
    struct mm_seq *seq;        /* [n] */
};

static bool flatten(struct flat *f, struct mm_ctx *c, const struct batch *b)
{
    size_t p = 0, r = 0;

    f->id = mm_ctx_alloc(c, b->positions, sizeof(*f->id));
    f->target = mm_ctx_alloc(c, b->positions, sizeof(*f->target));
    f->at = mm_ctx_alloc(c, b->rows, sizeof(*f->at));
    f->seq = mm_ctx_alloc(c, b->n, sizeof(*f->seq));
    if (c->err.code)
        return false;
    for (size_t i = 0; i < b->n; i++) {
        const struct mm_labelled *l = &b->l[i];

        f->seq[i] = (struct mm_seq){ .n = l->n };
        for (size_t t = 0; t < l->n; t++, p++) {
            if (l->id[t] < 0)
                f->at[r++] = (int32_t)p;
            f->id[p] = l->id[t] < 0 ? 0 : l->id[t];
            f->target[p] = t + 1 < l->n && l->label[t + 1] >= 0 ? l->label[t + 1] : -1;
        }
    }
    return true;
}

struct mm_var *mm_llava_loss(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                             float scale)
{
    struct llava *l = own;
    struct batch b = { .sample = sample, .n = n };
    struct mm_var *x = NULL;
    struct flat f;

    if (build(&b, l, c) == 0 && flatten(&f, c, &b)) {
        x = mm_llama_embed(c, l->llm.m, f.id, b.positions);
        if (b.rows)
            x = mm_scatter_rows(c, x, mm_project(c, l->projector, features(l, c, &b)), f.at);
        x = mm_llama_loss(c, l->llm.m, x, f.seq, n, f.target, scale);
    }
    drop(&b);
    return x;
}

/* --- result --------------------------------------------------------------------------------------- */

int mm_llava_export(struct mm_job *j, struct mm_err *e)
{
    const struct llava *l = j->own;
    const struct mm_job_spec *s = j->spec;
    struct mm_buf dir = { 0 };
    int rc = 0;

    mm_buf_printf(&dir, "%s/adapter", s->out);
    if (l->loras)
        rc = dir.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                        : mm_loras_export(dir.p, l->loras, &j->set, s->model, s->dtype, e);
    mm_buf_free(&dir);
    /* last: where model.safetensors is, all of it is */
    return rc < 0 ? rc : mm_export_model(s->out, pictures(l), &j->set, s->dtype, NULL, e);
}
