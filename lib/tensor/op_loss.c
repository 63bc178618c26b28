/* op_loss.c: losses: scalars whose gradient starts a backward pass.
 *
 * Sums run in double, in order, so they do not depend on the threads.
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

static struct mm_var *scalar(struct mm_ctx *c, double v)
{
    struct mm_var *y = mm_var_new(c, 0, NULL);

    if (y)
        *mm_f32(y) = (float)v;
    return y;
}

/* --- cross entropy -------------------------------------------------------------------- */

/* -sum_j q_j log p_j with q = (1 - s) onehot(target) + s / V (Szegedy 2016, sec. 7);
 * dlogits = p - q. */
struct ce {
    size_t rows, vocab;
    const float *x;
    const int32_t *target; /* [rows], negative: row ignored */
    float smoothing;
    float *lse;  /* [rows] */
    float *loss; /* [rows] */
    float scale; /* of a row's loss in the result */
    float dy;
    float *dx;
};

enum { CHUNK = 1024 }; /* of a row whose exponentials are only needed in passing */

static float log_sum_exp(const float *x, size_t n)
{
    const float m = mm_kern()->max(x, n);
    float e[CHUNK];
    double sum = 0;

    for (size_t i = 0; i < n; i += CHUNK)
        sum += (double)mm_kern()->exp_sum(e, x + i, m, n - i < CHUNK ? n - i : CHUNK);
    return (float)((double)m + log(sum));
}

static void ce_range(void *arg, size_t from, size_t to)
{
    const struct ce *s = arg;

    for (size_t r = from; r < to; r++) {
        const float *x = s->x + r * s->vocab;
        double mean = 0;

        s->loss[r] = s->lse[r] = 0;
        if (s->target[r] < 0)
            continue;
        s->lse[r] = log_sum_exp(x, s->vocab);
        for (size_t j = 0; s->smoothing > 0 && j < s->vocab; j++)
            mean += (double)x[j];
        mean /= (double)s->vocab;
        s->loss[r] = (1 - s->smoothing) * (s->lse[r] - x[s->target[r]]) +
                     s->smoothing * (s->lse[r] - (float)mean);
    }
}

static void ce_back_range(void *arg, size_t from, size_t to)
{
    const struct ce *s = arg;
    const float even = s->smoothing / (float)s->vocab, k = s->dy * s->scale;
    float p[CHUNK];

    for (size_t r = from; r < to; r++) {
        const float *x = s->x + r * s->vocab;
        float *dx = s->dx + r * s->vocab;

        if (s->target[r] < 0)
            continue;
        for (size_t i = 0; i < s->vocab; i += CHUNK) {
            const size_t n = s->vocab - i < CHUNK ? s->vocab - i : CHUNK;

            mm_kern()->exp_sum(p, x + i, s->lse[r], n);
            for (size_t j = 0; j < n; j++)
                dx[i + j] += k * (p[j] - even);
        }
        dx[s->target[r]] -= k * (1 - s->smoothing);
    }
}

static void ce_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct ce s = *(const struct ce *)n->saved;

    s.dy = *n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx)
        mm_range_run(c, s.rows, 4 * s.vocab, ce_back_range, &s);
}

struct mm_var *mm_cross_entropy(struct mm_ctx *c, const struct mm_var *logits,
                                const int32_t *target, float smoothing, enum mm_reduction reduction)
{
    struct ce s = { .target = target, .smoothing = smoothing, .scale = 1 }, *saved;
    struct mm_var *y;
    double sum = 0;
    size_t counted = 0;

    if (!logits)
        return NULL;
    assert(logits->t.ndim == 2 && logits->t.shape[1] > 0);
    s.rows = (size_t)logits->t.shape[0];
    s.vocab = (size_t)logits->t.shape[1];
    s.x = mm_f32(logits);
    s.lse = mm_ctx_alloc(c, s.rows, sizeof(float));
    s.loss = mm_ctx_alloc(c, s.rows, sizeof(float));
    if (!s.lse || !s.loss)
        return NULL;
    for (size_t r = 0; r < s.rows; r++)
        assert(target[r] < logits->t.shape[1]);
    mm_range_run(c, s.rows, 4 * s.vocab, ce_range, &s);
    for (size_t r = 0; r < s.rows; r++) {
        sum += (double)s.loss[r];
        counted += target[r] >= 0;
    }
    if (reduction == MM_REDUCE_MEAN)
        s.scale = counted ? 1 / (float)counted : 0;
    y = scalar(c, sum * (double)s.scale);
    saved = mm_tape_push(c, y, ce_back, &logits, 1, sizeof(*saved) + s.rows * sizeof(*target));
    if (saved) {
        *saved = s;
        saved->target = memcpy(saved + 1, target, s.rows * sizeof(*target));
    }
    return y;
}

/* --- element by element --------------------------------------------------------------- */

struct pair {
    enum mm_pair_loss kind;
    float beta, scale;
    const float *x, *y;
    float dl;
    float *dx, *dy; /* either may be NULL */
};

/* Smooth L1: Girshick 2015, eq. 3; Huber is beta times that. */
static double pair_value(enum mm_pair_loss kind, double beta, double x, double y)
{
    const double d = fabs(x - y);
    const double huber = d < beta ? 0.5 * d * d : beta * (d - 0.5 * beta);

    switch (kind) {
    case MM_LOSS_MSE:
        return d * d;
    case MM_LOSS_L1:
        return d;
    case MM_LOSS_SMOOTH_L1:
        return beta > 0 ? huber / beta : d;
    case MM_LOSS_HUBER:
        return huber;
    case MM_LOSS_BCE_LOGITS:
        return fmax(x, 0) - x * y + log1p(exp(-fabs(x)));
    }
    return 0;
}

/* d value / d x */
static float pair_slope(enum mm_pair_loss kind, float beta, float x, float y)
{
    const float d = x - y;
    const float sign = d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f;

    switch (kind) {
    case MM_LOSS_MSE:
        return 2 * d;
    case MM_LOSS_L1:
        return sign;
    case MM_LOSS_SMOOTH_L1:
        return fabsf(d) < beta ? d / beta : sign;
    case MM_LOSS_HUBER:
        return fabsf(d) < beta ? d : beta * sign;
    case MM_LOSS_BCE_LOGITS:
        return 1 / (1 + expf(-x)) - y;
    }
    return 0;
}

static void pair_back_range(void *arg, size_t from, size_t to)
{
    const struct pair *s = arg;

    for (size_t i = from; i < to; i++) {
        const float g = s->dl * s->scale * pair_slope(s->kind, s->beta, s->x[i], s->y[i]);

        if (s->dx)
            s->dx[i] += g;
        if (s->dy)
            s->dy[i] -= g;
    }
}

static void pair_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct pair s = *(const struct pair *)n->saved;

    s.dl = *n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    s.dy = mm_grad(c, n->x[1]);
    mm_range_run(c, mm_tensor_count(&n->x[0]->t), 16, pair_back_range, &s);
}

struct mm_var *mm_pair_loss(struct mm_ctx *c, enum mm_pair_loss kind, const struct mm_var *x,
                            const struct mm_var *y, float beta, enum mm_reduction reduction)
{
    struct pair s = { .kind = kind, .beta = beta, .scale = 1 }, *saved;
    struct mm_var *loss;
    double sum = 0;
    size_t n;

    if (!x || !y)
        return NULL;
    assert(mm_shape_eq(&x->t, &y->t));
    assert(kind != MM_LOSS_BCE_LOGITS || !y->needs_grad);
    n = mm_tensor_count(&x->t);
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    for (size_t i = 0; i < n; i++)
        sum += pair_value(kind, (double)beta, (double)s.x[i], (double)s.y[i]);
    if (reduction == MM_REDUCE_MEAN)
        s.scale = n ? 1 / (float)n : 0;
    loss = scalar(c, sum * (double)s.scale);
    saved =
        mm_tape_push(c, loss, pair_back, (const struct mm_var *const[]){ x, y }, 2, sizeof(*saved));
    if (saved)
        *saved = s;
    return loss;
}

/* --- mean distance of rows -------------------------------------------------------------- */

/* |x - y| of each row; d|.|/dx = (x - y) / |x - y|, 0 where they meet */
static double row_distance(const float *x, const float *y, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sqrt(sum);
}

static void row_l2_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct mm_tensor *t = &n->x[0]->t;
    const size_t width = (size_t)t->shape[t->ndim - 1];
    const size_t rows = mm_tensor_count(t) / width;
    float *dx = mm_grad(c, n->x[0]), *dy = mm_grad(c, n->x[1]);

    for (size_t r = 0; r < rows; r++) {
        const float *x = mm_f32(n->x[0]) + r * width, *y = mm_f32(n->x[1]) + r * width;
        const double d = row_distance(x, y, width);
        const double k = d > 0 ? (double)*n->y->grad / ((double)rows * d) : 0;

        for (size_t i = 0; i < width; i++) {
            const float g = (float)(k * ((double)x[i] - (double)y[i]));

            if (dx)
                dx[r * width + i] += g;
            if (dy)
                dy[r * width + i] -= g;
        }
    }
}

struct mm_var *mm_row_l2(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *y)
{
    struct mm_var *loss;
    size_t width, rows;
    double sum = 0;

    if (!x || !y)
        return NULL;
    assert(mm_shape_eq(&x->t, &y->t) && x->t.ndim > 0 && mm_tensor_count(&x->t) > 0);
    width = (size_t)x->t.shape[x->t.ndim - 1];
    rows = mm_tensor_count(&x->t) / width;
    for (size_t r = 0; r < rows; r++)
        sum += row_distance(mm_f32(x) + r * width, mm_f32(y) + r * width, width);
    loss = scalar(c, sum / (double)rows);
    mm_tape_push(c, loss, row_l2_back, (const struct mm_var *const[]){ x, y }, 2, 0);
    return loss;
}

/* --- similarities --------------------------------------------------------------------- */

struct mm_var *mm_cosine_similarity(struct mm_ctx *c, const struct mm_var *x,
                                    const struct mm_var *y)
{
    const float eps = 1e-8f;

    return mm_reduce(c, mm_mul(c, mm_l2_normalize(c, x, eps), mm_l2_normalize(c, y, eps)), 1,
                     MM_REDUCE_SUM);
}

struct mm_var *mm_infonce(struct mm_ctx *c, const struct mm_var *image, const struct mm_var *text,
                          const struct mm_var *log_scale)
{
    struct mm_var *logits, *rows, *columns;
    int32_t *own;

    if (!image || !text || !log_scale)
        return NULL;
    own = mm_ctx_alloc(c, (size_t)image->t.shape[0], sizeof(*own));
    if (!own)
        return NULL;
    for (int32_t i = 0; i < image->t.shape[0]; i++)
        own[i] = i;
    image = mm_l2_normalize(c, image, 1e-12f);
    text = mm_l2_normalize(c, text, 1e-12f);
    logits =
        mm_mul(c, mm_matmul(c, MM_MATMUL_NT, image, text), mm_activate(c, log_scale, MM_ACT_EXP));
    rows = mm_cross_entropy(c, logits, own, 0, MM_REDUCE_MEAN);
    columns =
        mm_cross_entropy(c, mm_permute(c, logits, (const int[]){ 1, 0 }), own, 0, MM_REDUCE_MEAN);
    return rows && columns ? mm_scale(c, mm_add(c, rows, columns), 0.5f) : NULL;
}
