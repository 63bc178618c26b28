/* job.c: see job.h. */
#include "train/job.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tensor/tape.h"
#include "train/exchange.h"
#include "train/fold.h"
#include "train/objectives.h"

static const struct mm_objective *const objectives[] = { MM_OBJECTIVES, NULL };

const struct mm_objective *const *mm_objectives(void)
{
    return objectives;
}

const struct mm_objective *mm_objective_named(const char *name)
{
    for (size_t i = 0; objectives[i]; i++)
        if (!strcmp(objectives[i]->name, name))
            return objectives[i];
    return NULL;
}

/* Updates in all, and the schedule over them. */
static void plan(struct mm_job *j)
{
    const struct mm_job_spec *s = j->spec;
    const double group = (double)(s->batch * s->accumulate);

    j->steps = s->steps;
    if (!j->steps)
        j->steps = (int64_t)ceil(s->epochs * (double)j->nsamples / group);
    j->schedule = s->schedule;
    j->schedule.total = j->steps;
    if (s->schedule.warmup < 0) /* as the Hugging Face trainer rounds it */
        j->schedule.warmup = (j->steps * -s->schedule.warmup + 999) / 1000;
}

/* Has every glob met a weight?  One that is misspelt must not go unseen. */
static int check_globs(const char *option, const char *const *globs, uint32_t met, struct mm_err *e)
{
    for (int i = 0; globs[i]; i++)
        if (!(met >> i & 1))
            return mm_err_set(e, MM_EUSAGE, "%s '%s': no weight has such a name", option, globs[i]);
    return 0;
}

static int prepare(struct mm_job *j, struct mm_err *e)
{
    const struct mm_job_spec *s = j->spec;
    const struct mm_order_spec order = { .n = j->nsamples, .seed = s->seed,
                                         .shuffle = s->shuffle, .length = j->length,
                                         .group = s->group && j->length
                                                      ? s->batch * s->accumulate : 0 };
    int rc;

    if (!j->nsamples)
        return mm_err_set(e, MM_EDATA, "there is nothing to train on");
    if ((rc = check_globs("--train", s->train, j->set.trains, e)) < 0 ||
        (rc = check_globs("--freeze", s->freeze, j->set.freezes, e)) < 0)
        return rc;
    if (!j->set.n)
        return mm_err_set(e, MM_EUSAGE, "nothing is trained: all weights are frozen");
    if (s->accumulate % (size_t)j->processes)
        return mm_err_set(e, MM_EUSAGE, "%zu micro-batches are not shared out evenly among %d "
                          "processes", s->accumulate, j->processes);
    j->each = s->accumulate / (size_t)j->processes;
    plan(j);
    j->samples = calloc(j->each * s->batch, sizeof(*j->samples));
    j->numbers = calloc(4 * s->accumulate, sizeof(*j->numbers));
    if (!j->samples || !j->numbers)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if ((rc = mm_order_new(&j->order, &order, e)) < 0 ||
        (rc = mm_set_ready(&j->set, s->ema > 0, s->bf16, j->ctx.pool, e)) < 0 ||
        (rc = mm_fold_new(&j->fold, j->set.grad, j->set.total, j->each, e)) < 0)
        return rc;
    return mm_tape_new(&j->ctx, e);
}

int mm_job_open(struct mm_job *j, const struct mm_objective *o, const struct mm_job_spec *spec,
                struct mm_pool *pool, int rank, int processes, struct mm_err *e)
{
    int rc;

    *j = (struct mm_job){ .spec = spec, .objective = o, .rank = rank, .processes = processes };
    if ((rc = mm_ctx_init(&j->ctx, pool, MM_ARITH_EXACT, e)) < 0)
        return rc;
    j->ctx.recompute = spec->recompute;
    if ((rc = o->open(j, e)) < 0 || (rc = prepare(j, e)) < 0)
        mm_job_close(j);
    return rc;
}

void mm_job_close(struct mm_job *j)
{
    if (j->ctx.arena)
        mm_tape_free(&j->ctx);
    if (j->objective)
        j->objective->close(j->own);
    free(j->samples);
    free(j->numbers);
    mm_fold_free(j->fold);
    mm_order_free(j->order);
    mm_set_free(&j->set);
    mm_ctx_free(&j->ctx);
    *j = (struct mm_job){ 0 };
}

/* --- an update ------------------------------------------------------------------------ */

/* The samples of micro-batch i, counted over all processes. */
static void choose(struct mm_job *j, size_t *sample, size_t i)
{
    const size_t batch = j->spec->batch;
    const uint64_t at = ((uint64_t)j->update * j->spec->accumulate + i) * batch;

    for (size_t k = 0; k < batch; k++)
        sample[k] = mm_order_at(j->order, at + k);
}

/* Loss and gradient of one micro-batch; *sum is the loss times its count. */
static int micro_batch(struct mm_job *j, const size_t *sample, double scale, double *sum,
                       struct mm_err *e)
{
    struct mm_ctx *c = &j->ctx;
    struct mm_var *l;

    mm_set_open_grad(&j->set);
    l = j->objective->loss(j->own, c, sample, j->spec->batch, (float)scale);
    if (l) {
        *sum = (double)mm_f32(l)[0] / (double)(float)scale;
        mm_backward(c, l);
    }
    mm_set_close_grad(&j->set, c->pool);
    mm_tape_reset(c);
    if (c->err.code)
        return mm_err_set(e, c->err.code, "%s", c->err.msg);
    if (!isfinite(*sum))
        return mm_err_set(e, MM_EDATA, "update %" PRId64 ": the loss is %g", j->update, *sum);
    return 0;
}

/* Trained tokens of each micro-batch of this process, then of all. */
static int count_all(struct mm_job *j, size_t *samples, double *count, struct mm_err *e)
{
    const size_t batch = j->spec->batch;
    double *own = count + j->spec->accumulate;

    for (size_t i = 0; i < j->each; i++) {
        choose(j, samples + i * batch, (size_t)j->rank * j->each + i);
        const int64_t n = j->objective->count(j->own, &j->ctx, samples + i * batch, batch);
        mm_tape_reset(&j->ctx);
        if (n < 0)
            return mm_err_set(e, j->ctx.err.code, "%s", j->ctx.err.msg);
        if (n == 0)
            return mm_err_set(e, MM_EDATA, "update %" PRId64 ": no token of a batch is trained",
                              j->update);
        own[i] = (double)n;
    }
    return mm_exchange_gather(count, own, j->each, e);
}

static void report(struct mm_job *j, struct mm_job_report *r, const double *count, double *loss)
{
    double sum = 0, tokens = 0, means = 0;

    for (size_t i = 0; i < j->spec->accumulate; i++) {
        sum += loss[i];
        tokens += count[i];
        means += loss[i] / count[i];
        loss[i] /= count[i];
    }
    r->tokens = (int64_t)tokens;
    r->loss = j->spec->norm == MM_NORM_TOKEN ? sum / tokens
                                             : means / (double)j->spec->accumulate;
    r->micro = loss;
    r->nmicro = j->spec->accumulate;
}

static void move_weights(struct mm_job *j, struct mm_job_report *r)
{
    const struct mm_job_spec *s = j->spec;
    const double lr = s->lr > 0 ? s->lr : j->objective->lr;
    struct mm_set_update u = { .optim = s->optim, .t = j->update, .agc = s->agc,
                               .ema = s->ema };

    r->grad_norm = mm_set_norm(&j->set, j->ctx.pool);
    u.gscale = mm_optim_clip(r->grad_norm, s->clip);
    r->lr = u.lr = lr * mm_schedule_at(&j->schedule, j->update);
    mm_set_apply(&j->set, &u, j->ctx.pool);
    if (j->objective->moved)
        j->objective->moved(j);
}

int mm_job_update(struct mm_job *j, struct mm_job_report *r, struct mm_err *e)
{
    const struct mm_job_spec *s = j->spec;
    const size_t all = s->accumulate;
    double *const count = j->numbers, *const loss = count + 2 * all, *const own = count + 3 * all;
    double tokens = 0;
    int rc;

    if ((rc = count_all(j, j->samples, count, e)) < 0)
        return rc;
    for (size_t i = 0; i < all; i++)
        tokens += count[i];
    for (size_t i = 0; i < j->each; i++) {
        const double mine = count[(size_t)j->rank * j->each + i] * (double)all;
        const double by = s->norm == MM_NORM_TOKEN ? tokens : mine;

        if ((rc = micro_batch(j, j->samples + i * s->batch, 1 / by, &own[i], e)) < 0)
            return rc;
        mm_fold_add(j->fold, i, j->ctx.pool);
    }
    if ((rc = mm_exchange_gather(loss, own, j->each, e)) < 0 ||
        (rc = mm_exchange_sum(j->set.grad, j->set.total, e)) < 0)
        return rc;
    report(j, r, count, loss);
    move_weights(j, r);
    j->update++;
    return 0;
}

/* --- settings --------------------------------------------------------------------------- */

static void put(json_t *o, const char *key, const char *fmt, ...) MM_PRINTF(3, 4);

static void put(json_t *o, const char *key, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    json_object_set_new(o, key, json_string(text));
}

/* Which weights are trained. */
static uint64_t hash_names(const struct mm_set *s)
{
    uint64_t h = mm_hash64("", 0);

    for (size_t i = 0; i < s->n; i++)
        h = mm_hash64_add(h, s->v[i].name, strlen(s->v[i].name) + 1);
    return h;
}

json_t *mm_job_settings(const struct mm_job *j)
{
    const struct mm_job_spec *s = j->spec;
    json_t *o = json_object();

    if (!o)
        return NULL;
    put(o, "objective", "%s", j->objective->name);
    put(o, "model", "%016" PRIx64, j->model);
    put(o, "samples", "%zu", j->nsamples);
    put(o, "data", "%016" PRIx64, j->data);
    put(o, "trained", "%zu tensors, %016" PRIx64, j->set.n, hash_names(&j->set));
    put(o, "precision", "%s", s->bf16 ? "bf16" : "f32");
    put(o, "steps", "%" PRId64, j->steps);
    put(o, "batch", "%zu x %zu", s->batch, s->accumulate);
    put(o, "seed", "%" PRIu64, s->seed);
    put(o, "order", "%s%s", s->shuffle ? "shuffled" : "as it is", s->group ? ", grouped" : "");
    put(o, "rates", "%g %g %g", s->lr > 0 ? s->lr : j->objective->lr, s->projector_lr, s->decay);
    put(o, "optimiser", "%d %g %g %g %d", s->optim.kind, s->optim.beta1, s->optim.beta2,
        s->optim.eps, s->optim.nesterov);
    put(o, "clipping", "%g %g", s->clip, s->agc);
    put(o, "schedule", "%d %" PRId64, j->schedule.kind, j->schedule.warmup);
    put(o, "ema", "%g", s->ema);
    put(o, "norm", "%s", s->norm == MM_NORM_TOKEN ? "token" : "batch");
    put(o, "lora", "%" PRId64 " %g %s", s->lora.rank, s->lora.alpha,
        s->lora.from ? s->lora.from : s->lora.targets ? s->lora.targets : "");
    return o;
}
