/* traincase.h: runs of golden family `train` through mm_job. */
#ifndef TESTS_TRAINCASE_H
#define TESTS_TRAINCASE_H

#include "stages.h"

#include <fcntl.h>
#include <unistd.h>

#include "train/export.h"
#include "train/job.h"

/* Number key of the case's config, or dflt. */
static inline double case_num(const struct stages *s, const char *key, double dflt)
{
    const json_t *v = json_object_get(json_object_get(s->spec, "config"), key);

    return json_is_number(v) ? json_number_value(v) : dflt;
}

/* What all runs have in common, from the case's config. */
static inline struct mm_job_spec case_spec(const struct stages *s)
{
    const json_t *betas = json_object_get(json_object_get(s->spec, "config"), "betas");

    return (struct mm_job_spec){
        .batch = (size_t)case_num(s, "batch", 1),
        .accumulate = (size_t)case_num(s, "accumulate", 1),
        .steps = (int64_t)case_num(s, "steps", 1),
        .lr = case_num(s, "lr", 0),
        .decay = case_num(s, "weight_decay", 0),
        .clip = case_num(s, "clip", 0),
        .optim = { .kind = MM_OPTIM_ADAMW,
                   .beta1 = json_number_value(json_array_get(betas, 0)),
                   .beta2 = json_number_value(json_array_get(betas, 1)),
                   .eps = case_num(s, "eps", 1e-8) },
        .schedule = { .warmup = (int64_t)case_num(s, "warmup", 0) },
        .out = "out",
        .dtype = MM_NDTYPE
    };
}

/* A stage WHAT/NAME. */
static inline void case_stage(struct stages *s, const char *what, const char *name,
                              const float *x, size_t n)
{
    char full[400];

    snprintf(full, sizeof(full), "%s/%s", what, name);
    stages_check(s, full, x, n);
}

/* A run: every update, gradients of the first one, and what has become of the weights. */
struct case_run {
    double *loss, *norm, *micro; /* [steps], [steps], [steps * accumulate] */
    float **start;               /* weights before */
};

static inline void case_begin(struct case_run *r, const struct mm_job *j)
{
    const size_t n = (size_t)j->steps;

    r->loss = calloc(n, sizeof(double));
    r->norm = calloc(n, sizeof(double));
    r->micro = calloc(n * j->spec->accumulate, sizeof(double));
    r->start = calloc(j->set.n + 1, sizeof(float *));
    for (size_t i = 0; i < j->set.n; i++) {
        r->start[i] = malloc((j->set.v[i].n + 1) * sizeof(float));
        memcpy(r->start[i], mm_f32(j->set.v[i].var), j->set.v[i].n * sizeof(float));
    }
}

static inline void case_first_grad(struct stages *s, const struct mm_job *j, double norm,
                                   const char *(*rename)(char *, const char *))
{
    const float k = (float)mm_optim_clip(norm, j->spec->clip);
    char name[400];

    for (size_t i = 0; i < j->set.n; i++) {
        const struct mm_trained *t = &j->set.v[i];
        float *g = malloc((t->n + 1) * sizeof(float));

        for (size_t m = 0; m < t->n; m++)
            g[m] = k * j->set.grad[t->at + m];
        case_stage(s, "first_grad", rename ? rename(name, t->name) : t->name, g, t->n);
        free(g);
    }
}

/* All updates; prefix stands before the names of the losses ("clamped_"). */
static inline void case_updates(struct stages *s, struct mm_job *j, struct case_run *r,
                                const char *(*rename)(char *, const char *))
{
    const size_t all = j->spec->accumulate;
    struct mm_job_report rep;
    struct mm_err e = { 0 };

    case_begin(r, j);
    while (j->update < j->steps) {
        const size_t u = (size_t)j->update;

        if (mm_job_update(j, &rep, &e) < 0)
            fail_msg("%s", e.msg);
        r->loss[u] = rep.loss;
        r->norm[u] = rep.grad_norm;
        memcpy(r->micro + u * all, rep.micro, all * sizeof(double));
        if (u == 0)
            case_first_grad(s, j, rep.grad_norm, rename);
    }
}

static inline void case_series(struct stages *s, const char *name, const double *x, size_t n)
{
    float *f = malloc((n + 1) * sizeof(float));

    for (size_t i = 0; i < n; i++)
        f[i] = (float)x[i];
    stages_check(s, name, f, n);
    free(f);
}

/* Losses, norms, and for each weight where it ends and how far it went. */
static inline void case_end(struct stages *s, struct mm_job *j, struct case_run *r,
                            const char *(*rename)(char *, const char *))
{
    char full[400];

    case_series(s, "loss/updates", r->loss, (size_t)j->steps);
    case_series(s, "grad_norm/updates", r->norm, (size_t)j->steps);
    case_series(s, "loss/micro_batches", r->micro, (size_t)j->steps * j->spec->accumulate);
    for (size_t i = 0; i < j->set.n; i++) {
        const struct mm_trained *t = &j->set.v[i];
        const char *name = rename ? rename(full, t->name) : t->name;
        float *w = mm_f32(t->var);

        case_stage(s, "end", name, w, t->n);
        for (size_t m = 0; m < t->n; m++)
            r->start[i][m] = w[m] - r->start[i][m];
        case_stage(s, "delta", name, r->start[i], t->n);
    }
}

static inline void case_free(struct case_run *r, const struct mm_job *j)
{
    for (size_t i = 0; i < j->set.n; i++)
        free(r->start[i]);
    free(r->start);
    free(r->loss);
    free(r->norm);
    free(r->micro);
}

#endif
