/* set.c: see set.h. */
#include "train/set.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/pages.h"
#include "base/size.h"

enum { PART = 1 << 16 }; /* numbers that a thread takes at a time */

/* A piece of one weight. */
struct mm_part_of {
    size_t which, from, n; /* weight; within it */
    double square;
};

void mm_set_free(struct mm_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].name);
    free(s->v);
    free(s->grad);
    free(s->m);
    free(s->v2);
    free(s->average);
    free(s->master);
    free(s->part);
    *s = (struct mm_set){ 0 };
}

int mm_set_var(struct mm_set *s, struct mm_var *v, const char *name, double decay, double rate,
               struct mm_err *e)
{
    char *const copy = strdup(name);

    if (!copy || !mm_grow(&s->v, &s->cap, s->n + 1, sizeof(*s->v))) {
        free(copy);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    s->v[s->n++] = (struct mm_trained){ .name = copy, .var = v, .at = s->total,
                                        .n = mm_tensor_count(&v->t), .decay = decay,
                                        .rate = rate };
    s->total += mm_tensor_count(&v->t);
    return 0;
}

/* The globs that name fits, by their place. */
static uint32_t fitting(const char *const *globs, const char *name)
{
    uint32_t bits = 0;

    for (int i = 0; globs && globs[i] && i < 32; i++)
        bits |= fnmatch(globs[i], name, 0) == 0 ? UINT32_C(1) << i : 0;
    return bits;
}

void mm_set_meet(struct mm_set *s, const struct mm_set_spec *spec, const char *name)
{
    s->trains |= fitting(spec->train, name);
    s->freezes |= fitting(spec->freeze, name);
}

static bool decays(const struct mm_set_spec *spec, const char *name, const struct mm_tensor *t)
{
    if (spec->without == MM_DECAY_MATRICES)
        return t->ndim >= 2;
    return !strstr(name, "bias") && !strstr(name, "norm");
}

int mm_set_add(struct mm_set *s, struct mm_params *p, const struct mm_set_spec *spec,
               struct mm_err *e)
{
    int n = 0;

    for (size_t i = 0; i < mm_params_count(p); i++) {
        const char *name;
        struct mm_var *v = mm_params_at(p, i, &name);

        mm_set_meet(s, spec, name);
        if (!fitting(spec->train, name) || fitting(spec->freeze, name))
            continue;
        if (mm_params_train_one(p, i, e) < 0 ||
            mm_set_var(s, v, name, decays(spec, name, &v->t) ? spec->decay : 0, spec->rate, e) < 0)
            return MM_ENOMEM;
        n++;
    }
    return n;
}

static bool cut(struct mm_set *s)
{
    size_t cap = 0;

    for (size_t i = 0; i < s->n; i++)
        for (size_t at = 0; at < s->v[i].n; at += PART) {
            const size_t left = s->v[i].n - at;

            if (!mm_grow(&s->part, &cap, s->nparts + 1, sizeof(*s->part)))
                return false;
            s->part[s->nparts++] = (struct mm_part_of){ i, at, left < PART ? left : PART, 0 };
        }
    return true;
}

struct zeros {
    float *to;
    size_t n;
};

/* n zeros, written by the threads: memory that is first read, and only then written, has
 * each of its pages copied. */
static void zero_tile(void *arg, size_t tile, int thread)
{
    const struct zeros *z = arg;
    const size_t left = z->n - tile * PART;

    (void)thread;
    memset(z->to + tile * PART, 0, (left < PART ? left : PART) * sizeof(*z->to));
}

static float *zeros(size_t n, struct mm_pool *p)
{
    size_t bytes;
    struct zeros z = { .n = n };

    if (!mm_size_mul(n, sizeof(*z.to), &bytes) || !(z.to = mm_pages_alloc(bytes)))
        return NULL;
    mm_pool_run(p, (n + PART - 1) / PART, zero_tile, &z);
    return z.to;
}

int mm_set_ready(struct mm_set *s, bool average, bool bf16, struct mm_pool *p, struct mm_err *e)
{
    float **const want[] = { &s->grad, &s->m, &s->v2, average ? &s->average : NULL,
                             bf16 ? &s->master : NULL };

    for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
        if (want[i] && !(*want[i] = zeros(s->total, p)))
            return mm_err_set(e, MM_ENOMEM, "%zu weights to train: out of memory", s->total);
    if (!cut(s))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        struct mm_trained *const t = &s->v[i];

        t->var->grad = s->grad + t->at;
        if (average)
            memcpy(s->average + t->at, mm_f32(t->var), t->n * sizeof(float));
        if (bf16)
            memcpy(s->master + t->at, mm_f32(t->var), t->n * sizeof(float));
    }
    return 0;
}

/* --- over all pieces ------------------------------------------------------------------ */

struct work {
    struct mm_set *s;
    const struct mm_set_update *u;
};

void mm_set_open_grad(struct mm_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->v[i].var->fresh = true;
}

static void zero_part(void *arg, size_t tile, int thread)
{
    const struct work *w = arg;
    const struct mm_part_of *p = &w->s->part[tile];
    const struct mm_trained *t = &w->s->v[p->which];

    (void)thread;
    if (t->var->fresh)
        memset(w->s->grad + t->at + p->from, 0, p->n * sizeof(float));
}

void mm_set_close_grad(struct mm_set *s, struct mm_pool *p)
{
    mm_pool_run(p, s->nparts, zero_part, &(struct work){ s, NULL });
    for (size_t i = 0; i < s->n; i++)
        s->v[i].var->fresh = false;
}

static void square_part(void *arg, size_t tile, int thread)
{
    const struct work *w = arg;
    struct mm_part_of *p = &w->s->part[tile];

    (void)thread;
    p->square = mm_optim_square(w->s->grad + w->s->v[p->which].at + p->from, p->n);
}

double mm_set_norm(const struct mm_set *s, struct mm_pool *p)
{
    double sum = 0;

    mm_pool_run(p, s->nparts, square_part, &(struct work){ (struct mm_set *)s, NULL });
    for (size_t i = 0; i < s->nparts; i++)
        sum += s->part[i].square;
    return sqrt(sum);
}

/* The squares of the weights: of f32 in f64 they are finite where the weights are. */
static void square_weights(void *arg, size_t tile, int thread)
{
    const struct work *w = arg;
    struct mm_part_of *p = &w->s->part[tile];
    const struct mm_trained *t = &w->s->v[p->which];

    (void)thread;
    p->square = mm_optim_square((w->s->master ? w->s->master + t->at : mm_f32(t->var)) + p->from, p->n);
}

const char *mm_set_unfit(const struct mm_set *s, struct mm_pool *p)
{
    mm_pool_run(p, s->nparts, square_weights, &(struct work){ (struct mm_set *)s, NULL });
    for (size_t i = 0; i < s->nparts; i++)
        if (!isfinite(s->part[i].square))
            return s->v[s->part[i].which].name;
    return NULL;
}

static void round_bf16(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = mm_bf16_to_f32(mm_f32_to_bf16(from[i]));
}

static void apply_part(void *arg, size_t tile, int thread)
{
    const struct work *job = arg;
    const struct mm_set_update *u = job->u;
    struct mm_set *s = job->s;
    const struct mm_part_of *p = &s->part[tile];
    const struct mm_trained *t = &s->v[p->which];
    const size_t at = t->at + p->from;
    float *seen = mm_f32(t->var) + p->from, *w = s->master ? s->master + at : seen;

    (void)thread;
    if (s->master)
        round_bf16(s->grad + at, s->grad + at, p->n);
    mm_optim_update(&u->optim, w, s->grad + at, s->m + at, s->v2 + at, p->n, u->t,
                    u->lr * t->rate, t->decay, (float)u->gscale);
    if (s->average) {
        const double k = (1 + (double)u->t) / (10 + (double)u->t);

        mm_optim_average(s->average + at, w, p->n, k < u->ema ? k : u->ema);
    }
    if (s->master)
        round_bf16(seen, w, p->n);
}

/* Units of adaptive clipping: the first axis of a matrix or a convolution's kernel; a
 * vector is one. */
static size_t unit(const struct mm_tensor *t)
{
    const size_t n = mm_tensor_count(t);

    return t->ndim > 1 ? n / (size_t)t->shape[0] : n;
}

void mm_set_apply(struct mm_set *s, const struct mm_set_update *u, struct mm_pool *p)
{
    for (size_t i = 0; u->agc > 0 && i < s->n; i++)
        if (s->v[i].n)
            mm_optim_agc(s->grad + s->v[i].at, mm_f32(s->v[i].var), s->v[i].n,
                         unit(&s->v[i].var->t), u->agc);
    mm_pool_run(p, s->nparts, apply_part, &(struct work){ s, u });
}
