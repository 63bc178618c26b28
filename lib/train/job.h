/* job.h: one training run: an objective over samples, the weights it trains, the
 * updates that move them.
 *
 *   update t: micro-batches in the order of train/order.h -> losses and gradients
 *             -> train/fold.h and train/exchange.h -> clip -> rate -> optimiser -> averages
 *
 * The caller owns the loop, logs and saves (train/saved.h).
 */
#ifndef MM_TRAIN_JOB_H
#define MM_TRAIN_JOB_H

#include <jansson.h>

#include "media/preprocess.h"
#include "train/lora.h"
#include "train/order.h"
#include "train/schedule.h"
#include "train/set.h"

enum { MM_JOB_GLOBS = 16 };

enum mm_loss_norm {
    MM_NORM_BATCH, /* mean of the micro-batches' means */
    MM_NORM_TOKEN  /* sum over all micro-batches / number of all trained tokens */
};

/* What a run is asked to do.  Strings are borrowed. */
struct mm_job_spec {
    const char *model;      /* checkpoint to start from */
    const char *config;     /* or a configuration: weights are made from the seed */
    const char *tokenizer;  /* of a new model: file or directory */
    const char *vision;     /* vision tower, if the model holds none */
    const char *projector;  /* checkpoint of a projector, if not the model's */
    bool has_aspect;        /* aspect replaces the checkpoint's */
    enum mm_aspect aspect;
    const char *images;     /* directory that picture names are relative to */
    const char *features;   /* mm-encode's output for them */
    const char *template;   /* of conversations; NULL: the objective's */
    const char *out;        /* directory */
    char *const *data;      /* files; "-" is standard input */
    int ndata;
    bool lines;             /* text: a document a line */
    const char *train[MM_JOB_GLOBS + 1], *freeze[MM_JOB_GLOBS + 1]; /* globs of names; none
                                                                       to train: the objective's */
    struct mm_lora_spec lora; /* rank 0 and no `from`: none */
    bool merge;             /* adapters are merged into the model written */
    size_t batch, accumulate, context;
    int64_t steps;          /* updates; 0: by epochs */
    double epochs;
    double lr, projector_lr; /* projector_lr 0: lr; lr 0: the objective's */
    double decay, clip, agc, ema; /* clip 0, agc 0, ema 0: none */
    struct mm_optim optim;
    struct mm_schedule schedule;  /* total is filled in; warmup < 0: -warmup per mille of it */
    enum mm_loss_norm norm;
    bool shuffle, group, recompute, bf16;
    enum mm_dtype dtype;    /* of the weights written */
    uint64_t seed;
};

struct mm_job;

/* What an objective's data are made of; an option that speaks of others is refused. */
enum { MM_TAKES_TEXTS = 1, MM_TAKES_PICTURES = 2, MM_TAKES_TALKS = 4 };

/* An objective: one file each. */
struct mm_objective {
    const char *name, *what; /* what: a line for --help */
    double lr;               /* default */
    unsigned takes;          /* of MM_TAKES_ */
    /* open: models and samples of j->spec; fills in j->own, nsamples, length, set, model,
     * data. */
    int (*open)(struct mm_job *j, struct mm_err *e);
    void (*close)(void *own); /* takes NULL */
    /* count: trained tokens (or pairs) of a micro-batch.  Negative: j->ctx.err is set. */
    int64_t (*count)(void *own, struct mm_ctx *c, const size_t *sample, size_t n);
    /* loss: scale * sum over them, recorded on c; NULL: c->err. */
    struct mm_var *(*loss)(void *own, struct mm_ctx *c, const size_t *sample, size_t n,
                           float scale);
    /* moved: after an update (a clamp); may be NULL. */
    void (*moved)(struct mm_job *j);
    /* export: what was trained as a model, to directory j->spec->out. */
    int (*export)(struct mm_job *j, struct mm_err *e);
};

/* mm_objective_named: NULL if there is none; mm_objectives: NULL-terminated. */
const struct mm_objective *mm_objective_named(const char *name);
const struct mm_objective *const *mm_objectives(void);

struct mm_job {
    const struct mm_job_spec *spec;
    const struct mm_objective *objective;
    void *own;
    struct mm_ctx ctx;
    struct mm_set set;
    size_t nsamples;
    const int32_t *length; /* [nsamples] for grouping, negative: no picture; NULL: all alike */
    uint64_t model;        /* fingerprint of what it starts from */
    uint64_t data;         /* and of the samples, but for what pictures hold */
    /* the rest is job.c's */
    struct mm_order *order;
    struct mm_fold *fold;
    struct mm_schedule schedule;
    int64_t steps, update; /* in all; done */
    size_t each;           /* micro-batches of this process */
    size_t *samples;       /* [each * batch] */
    double *numbers;       /* [4 * accumulate] counts and losses: all, this process's */
    int rank, processes;
};

/* mm_job_open: everything ready for update 0; spec must outlive it.  rank of processes is as
 * from train/exchange.h (0, 1: alone). */
MM_MUST_CHECK int mm_job_open(struct mm_job *j, const struct mm_objective *o,
                              const struct mm_job_spec *spec, struct mm_pool *pool, int rank,
                              int processes, struct mm_err *e);
void mm_job_close(struct mm_job *j); /* takes a zeroed one */

/* What an update was. */
struct mm_job_report {
    double loss;      /* as spec->norm has it */
    double grad_norm; /* before clipping */
    double lr;
    int64_t tokens;   /* trained tokens of all its micro-batches */
    const double *micro; /* [micro-batches] mean loss of each; valid until the next call */
    size_t nmicro;
};

/* mm_job_update: the next update.  MM_EDATA: a sample without a trained token, a loss
 * that is no number. */
MM_MUST_CHECK int mm_job_update(struct mm_job *j, struct mm_job_report *r, struct mm_err *e);

/* mm_job_settings: what a run that goes on from a checkpoint must have in common with it
 * (train/saved.h); new reference, NULL: out of memory. */
json_t *mm_job_settings(const struct mm_job *j);

#endif
