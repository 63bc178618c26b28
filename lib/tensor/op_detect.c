/* op_detect.c: losses of detection and segmentation, as DETR has them: sums
 * over all elements, divided by the number of boxes.
 *
 * Few numbers are involved: each loss computes its gradient with its value,
 * and the backward pass scales it.
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>

#include "tensor/tape.h"

/* Adds sum(scale * g) over x's elements to the gradient. */
static void scaled_back(struct mm_ctx *c, const struct mm_node *n)
{
    const float *g = n->saved;
    float *dx = mm_grad(c, n->x[0]);

    for (size_t i = 0; dx && i < mm_tensor_count(&n->x[0]->t); i++)
        dx[i] += *n->y->grad * g[i];
}

/* A scalar that depends on x; *g receives memory for its gradient, or NULL. */
static struct mm_var *scalar(struct mm_ctx *c, const struct mm_var *x, float **g)
{
    struct mm_var *y = mm_var_new(c, 0, NULL);

    *g = mm_tape_push(c, y, scaled_back, &x, 1, mm_tensor_count(&x->t) * sizeof(**g));
    return c->err.code ? NULL : y;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* --- focal (Lin 2017, eq. 5) ---------------------------------------------------------- */

/* alpha_t (1 - p_t)^gamma ce, and its derivative by the logit */
static double focal(double x, double t, double alpha, double gamma, double *slope)
{
    const double p = sigmoid(x);
    const double ce = fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
    const double wrong = 1 - (p * t + (1 - p) * (1 - t)); /* 1 - p_t */
    const double at = alpha * t + (1 - alpha) * (1 - t);
    const double bend = gamma == 0 ? 0 : gamma * pow(wrong, gamma - 1) * p * (1 - p) * (1 - 2 * t);

    *slope = at * (pow(wrong, gamma) * (p - t) + bend * ce);
    return at * pow(wrong, gamma) * ce;
}

struct mm_var *mm_focal_loss(struct mm_ctx *c, const struct mm_var *logits,
                             const struct mm_var *target, float alpha, float gamma, float boxes)
{
    struct mm_var *y;
    double sum = 0;
    float *g;

    if (!logits || !target)
        return NULL;
    assert(mm_shape_eq(&logits->t, &target->t) && boxes > 0);
    y = scalar(c, logits, &g);
    if (!y)
        return NULL;
    for (size_t i = 0; i < mm_tensor_count(&logits->t); i++) {
        double slope;

        sum += focal((double)mm_f32(logits)[i], (double)mm_f32(target)[i], (double)alpha,
                     (double)gamma, &slope);
        if (g)
            g[i] = (float)(slope / (double)boxes);
    }
    *mm_f32(y) = (float)(sum / (double)boxes);
    return y;
}

/* --- dice (Milletari 2016) ------------------------------------------------------------- */

/* 1 - (2 sum p t + 1) / (sum p + sum t + 1) of one mask */
static double dice_row(const float *x, const float *t, size_t n, double scale, float *g)
{
    double both = 1, all = 1;

    for (size_t i = 0; i < n; i++) {
        const double p = sigmoid((double)x[i]);

        both += 2 * p * (double)t[i];
        all += p + (double)t[i];
    }
    for (size_t i = 0; g && i < n; i++) {
        const double p = sigmoid((double)x[i]);

        g[i] = (float)(scale * (both / (all * all) - 2 * (double)t[i] / all) * p * (1 - p));
    }
    return scale * (1 - both / all);
}

struct mm_var *mm_dice_loss(struct mm_ctx *c, const struct mm_var *logits,
                            const struct mm_var *target, float boxes)
{
    struct mm_var *y;
    size_t rows, width;
    double sum = 0;
    float *g;

    if (!logits || !target)
        return NULL;
    assert(logits->t.ndim == 2 && mm_shape_eq(&logits->t, &target->t) && boxes > 0);
    y = scalar(c, logits, &g);
    if (!y)
        return NULL;
    rows = (size_t)logits->t.shape[0];
    width = (size_t)logits->t.shape[1];
    for (size_t r = 0; r < rows; r++)
        sum += dice_row(mm_f32(logits) + r * width, mm_f32(target) + r * width, width,
                        1 / (double)boxes, g ? g + r * width : NULL);
    *mm_f32(y) = (float)sum;
    return y;
}

/* --- generalised IoU (Rezatofighi 2019) -------------------------------------------------- */

/* One axis of a pair of boxes: borders of both, length of what they share
 * (not below 0) and of the hull. */
struct span {
    double lo[2], hi[2], shared, hull;
};

static struct span span_of(const float *p, const float *t, int axis)
{
    struct span s;

    for (int i = 0; i < 2; i++) {
        const float *box = i ? t : p;

        s.lo[i] = (double)box[axis] - (double)box[axis + 2] / 2;
        s.hi[i] = (double)box[axis] + (double)box[axis + 2] / 2;
    }
    s.shared = fmax(0, fmin(s.hi[0], s.hi[1]) - fmax(s.lo[0], s.lo[1]));
    s.hull = fmax(s.hi[0], s.hi[1]) - fmin(s.lo[0], s.lo[1]);
    return s;
}

/* giou = I/U + U/C - 1.  g: of boxes (cx, cy, w, h), by the first box. */
static double giou(const float *p, const float *t, double *g)
{
    const struct span s[2] = { span_of(p, t, 0), span_of(p, t, 1) };
    const double inter = s[0].shared * s[1].shared, hull = s[0].hull * s[1].hull;
    const double both = (double)p[2] * (double)p[3] + (double)t[2] * (double)t[3] - inter;

    for (int a = 0; a < 2; a++) {
        const struct span *v = &s[a];
        const double side = (double)p[3 - a]; /* of the other axis */
        double d[2];                          /* by lo and hi */

        for (int i = 0; i < 2; i++) {
            const double sign = i ? 1 : -1;
            const bool limits = i ? v->hi[0] < v->hi[1] : v->lo[0] > v->lo[1];
            const double di = inter > 0 && limits ? sign * s[1 - a].shared : 0;
            const double dc = limits ? 0 : sign * s[1 - a].hull;
            const double du = sign * side - di;

            d[i] = di / both - inter * du / (both * both) + du / hull - both * dc / (hull * hull);
        }
        g[a] = d[0] + d[1];
        g[a + 2] = (d[1] - d[0]) / 2;
    }
    return inter / both + both / hull - 1;
}

struct mm_var *mm_giou_loss(struct mm_ctx *c, const struct mm_var *pred,
                            const struct mm_var *target, float boxes)
{
    struct mm_var *y;
    double sum = 0;
    float *g;

    if (!pred || !target)
        return NULL;
    assert(pred->t.ndim == 2 && pred->t.shape[1] == 4 && mm_shape_eq(&pred->t, &target->t));
    assert(boxes > 0);
    y = scalar(c, pred, &g);
    if (!y)
        return NULL;
    for (size_t r = 0; r < (size_t)pred->t.shape[0]; r++) {
        double d[4];

        sum += 1 - giou(mm_f32(pred) + 4 * r, mm_f32(target) + 4 * r, d);
        for (int i = 0; g && i < 4; i++)
            g[4 * r + (size_t)i] = (float)(-d[i] / (double)boxes);
    }
    *mm_f32(y) = (float)(sum / (double)boxes);
    return y;
}
