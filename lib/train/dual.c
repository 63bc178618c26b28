/* dual.c: see dual.h. */
#include "train/dual.h"

#include <math.h>

#include "train/export.h"

void mm_dual_close(struct mm_dual *d)
{
    mm_params_free(d->scale_of);
    mm_towers_close(&d->t);
}

static int open_towers(struct mm_dual *d, struct mm_err *e)
{
    const struct mm_job_spec *s = d->spec;
    const struct mm_vision_opts vo = { .tower = s->vision, .has_aspect = s->has_aspect,
                                       .aspect = s->aspect };
    int rc = mm_towers_open(&d->t, s->model, false, &vo, e);

    if (rc < 0)
        return rc;
    const struct mm_ckpt_entry *scale = mm_ckpt_lookup(d->t.ck, "logit_scale");
    if (!d->t.vision.tower || !d->t.text || !scale || mm_tensor_count(&scale->t) != 1)
        return mm_err_set(e, MM_EMISSING, "%s: two towers and a logit_scale are wanted", s->model);
    if (mm_clip_vision_config(d->t.vision.tower)->projection !=
            mm_clip_text_config(d->t.text)->projection ||
        !mm_clip_text_config(d->t.text)->projection)
        return mm_err_set(e, MM_EDATA, "%s: the towers do not end in one space", s->model);
    if ((rc = mm_params_new(&d->scale_of, e)) < 0)
        return rc;
    d->scale = mm_param_f32(d->scale_of, &scale->t, "logit_scale");
    return d->scale ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

int mm_dual_open(struct mm_dual *d, struct mm_job *j, struct mm_err *e)
{
    static const char *const all[] = { "*", NULL };
    const struct mm_job_spec *s = d->spec = j->spec;
    const struct mm_set_spec set = { .train = s->train[0] ? s->train : all, .freeze = s->freeze,
                                     .decay = s->decay, .rate = 1,
                                     .without = MM_DECAY_MATRICES };
    int rc;

    if ((rc = open_towers(d, e)) < 0 ||
        (rc = mm_set_add(&j->set, mm_clip_vision_params(d->t.vision.tower), &set, e)) < 0 ||
        (rc = mm_set_add(&j->set, mm_clip_text_params(d->t.text), &set, e)) < 0 ||
        (rc = mm_set_add(&j->set, d->scale_of, &set, e)) < 0)
        return rc;
    j->model = mm_ckpt_fingerprint(d->t.ck);
    return 0;
}

int64_t mm_dual_side(const struct mm_dual *d)
{
    return mm_clip_vision_config(d->t.vision.tower)->image;
}

static void clamp(float *s)
{
    const float most = (float)log(100);

    *s = *s < 0 ? 0 : *s > most ? most : *s;
}

void mm_dual_moved(const struct mm_dual *d, struct mm_job *j)
{
    clamp(mm_f32(d->scale));
    for (size_t i = 0; j->set.master && i < j->set.n; i++)
        if (j->set.v[i].var == d->scale)
            clamp(j->set.master + j->set.v[i].at);
}

int mm_dual_export(const struct mm_dual *d, struct mm_job *j, struct mm_err *e)
{
    return mm_export_model(j->spec->out, d->t.ck, &j->set, j->spec->dtype, NULL, e);
}
