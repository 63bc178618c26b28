/* op_norm.c: normalisations of rows: RMSNorm (Zhang, Sennrich 2019), LayerNorm
 * (Ba 2016), GroupNorm (Wu, He 2018), L2.  Variances are biased; eps is inside
 * the root.
 *
 * With xh = (x - mean) / root and upstream g = dy * w, over one row of n:
 *   dx = (g - mean(g) - xh mean(g xh)) / root      (no mean(g) in RMSNorm)
 *   dw = sum over rows of dy xh,  db = sum of dy.
 */
#include "tensor/op.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/range.h"
#include "tensor/tape.h"

/* x is rows of `width`.  Element i of row r has weight w[(r % rows_w) * nw +
 * i / run]: LayerNorm and RMSNorm have one row of weights and runs of 1,
 * GroupNorm a weight per channel, which is a run of H*W. */
enum kind { RMS, LAYER, GROUP };

struct norm {
    enum kind kind;
    size_t rows, width;
    size_t rows_w, nw, run;
    float eps;
    const float *x, *w, *b; /* w, b may be NULL */
    float *y;
    float *mean, *inv; /* [rows], for backward */
    const float *dy;
    float *dx, *dw, *db;
};

static double row_sum(const float *x, size_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        s0 += (double)x[i];
        s1 += (double)x[i + 1];
        s2 += (double)x[i + 2];
        s3 += (double)x[i + 3];
    }
    for (; i < n; i++)
        s0 += (double)x[i];
    return (s0 + s1) + (s2 + s3);
}

/* sum of (x - m)^2 */
static double row_square(const float *x, float m, size_t n)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i = 0;

    for (; i + 4 <= n; i += 4) {
        const double a = (double)(x[i] - m), b = (double)(x[i + 1] - m);
        const double p = (double)(x[i + 2] - m), q = (double)(x[i + 3] - m);

        s0 += a * a;
        s1 += b * b;
        s2 += p * p;
        s3 += q * q;
    }
    for (; i < n; i++)
        s0 += (double)(x[i] - m) * (double)(x[i] - m);
    return (s0 + s1) + (s2 + s3);
}

static void norm_row(const struct norm *s, float *y, const float *x, size_t r, float m, float inv)
{
    const float *w = s->w ? s->w + r % s->rows_w * s->nw : NULL;
    const float *b = s->b ? s->b + r % s->rows_w * s->nw : NULL;

    for (size_t k = 0; k < s->nw; k++)
        for (size_t i = k * s->run; i < (k + 1) * s->run; i++)
            y[i] = (x[i] - m) * inv * (w ? w[k] : 1) + (b ? b[k] : 0);
}

static void row_stats(const struct norm *s, const float *x, float *mean, float *inv)
{
    const double n = (double)s->width;
    double var;

    *mean = (float)(row_sum(x, s->width) / n);
    var = row_square(x, *mean, s->width) / n;
    *inv = (float)(1 / sqrt(var + (double)s->eps));
}

static void norm_range(void *arg, size_t from, size_t to)
{
    const struct norm *s = arg;

    for (size_t r = from; r < to; r++) {
        const float *x = s->x + r * s->width;
        float *y = s->y + r * s->width;
        float m, inv;

        if (s->kind == RMS) {
            mm_kern()->rmsnorm(y, x, s->w, s->eps, s->width);
        } else if (s->kind == LAYER) {
            mm_kern()->layernorm(y, x, s->w, s->b, s->eps, s->width);
        } else {
            row_stats(s, x, &m, &inv);
            norm_row(s, y, x, r, m, inv);
        }
    }
}

static void stats_range(void *arg, size_t from, size_t to)
{
    const struct norm *s = arg;

    for (size_t r = from; r < to; r++)
        row_stats(s, s->x + r * s->width, s->mean + r, s->inv + r);
}

static void norm_back_x(void *arg, size_t from, size_t to)
{
    const struct norm *s = arg;

    for (size_t r = from; r < to; r++) {
        const float *x = s->x + r * s->width, *dy = s->dy + r * s->width;
        const float *w = s->w ? s->w + r % s->rows_w * s->nw : NULL;
        const float m = s->mean[r], inv = s->inv[r];
        float *dx = s->dx + r * s->width;
        double sg = 0, sgx = 0;
        float mg, mgx;

        for (size_t i = 0; i < s->width; i++) {
            const float g = dy[i] * (w ? w[i / s->run] : 1);

            sg += (double)g;
            sgx += (double)(g * ((x[i] - m) * inv));
        }
        mg = (float)(sg / (double)s->width);
        mgx = (float)(sgx / (double)s->width);
        for (size_t i = 0; i < s->width; i++) {
            const float g = dy[i] * (w ? w[i / s->run] : 1);

            dx[i] += (g - mg - (x[i] - m) * inv * mgx) * inv;
        }
    }
}

/* Weights from..to-1, each summed over its rows in order by one thread. */
static void norm_back_w(void *arg, size_t from, size_t to)
{
    const struct norm *s = arg;

    for (size_t r = 0; r < s->rows; r++) {
        const size_t w0 = r % s->rows_w * s->nw;
        const size_t lo = from > w0 ? from : w0;
        const size_t hi = to < w0 + s->nw ? to : w0 + s->nw;

        for (size_t k = lo; k < hi; k++) {
            const size_t at = r * s->width + (k - w0) * s->run;
            double sw = 0, sb = 0;

            for (size_t i = at; i < at + s->run; i++) {
                sw += (double)(s->dy[i] * ((s->x[i] - s->mean[r]) * s->inv[r]));
                sb += (double)s->dy[i];
            }
            if (s->dw)
                s->dw[k] += (float)sw;
            if (s->db)
                s->db[k] += (float)sb;
        }
    }
}

static void group_back(struct mm_ctx *c, struct norm *s, const struct mm_node *n)
{
    s->mean = mm_ctx_alloc(c, s->rows, sizeof(float));
    s->inv = mm_ctx_alloc(c, s->rows, sizeof(float));
    s->dx = mm_grad(c, n->x[0]);
    if (!s->mean || !s->inv)
        return;
    mm_range_run(c, s->rows, 3 * s->width, stats_range, s);
    if (s->dx)
        mm_range_run(c, s->rows, 4 * s->width, norm_back_x, s);
    if (s->dw || s->db)
        mm_range_run(c, s->rows_w * s->nw, 2 * s->rows * s->run, norm_back_w, s);
}

/* --- LayerNorm and RMSNorm: all gradients of a row at once --- */

enum { BLOCK = 32 }; /* rows whose dw and db are summed up by one thread */

struct row_norm {
    const struct norm *s;
    float *dw, *db;  /* [blocks][width] */
    float *dx;       /* [rows][width], or, not wanted, [blocks][width] */
    bool wanted, add;
};

static void back_blocks(void *arg, size_t from, size_t to)
{
    const struct row_norm *b = arg;
    const struct norm *s = b->s;
    mm_norm_back_fn *const back = s->kind == RMS ? mm_kern()->rmsnorm_back
                                                 : mm_kern()->layernorm_back;

    for (size_t i = from; i < to; i++) {
        float *dw = b->dw ? memset(b->dw + i * s->width, 0, s->width * sizeof(float)) : NULL;
        float *db = b->db ? memset(b->db + i * s->width, 0, s->width * sizeof(float)) : NULL;

        for (size_t r = i * BLOCK; r < s->rows && r < (i + 1) * BLOCK; r++)
            back(b->dx + (b->wanted ? r : i) * s->width, dw, db, s->dy + r * s->width,
                 s->x + r * s->width, s->w, s->eps, s->width, b->add);
    }
}

static void rows_back(struct mm_ctx *c, const struct norm *s, const struct mm_node *n)
{
    const size_t blocks = (s->rows + BLOCK - 1) / BLOCK, size = blocks * s->width;
    float beta = 0, *const dx = mm_grad_sum(c, n->x[0], &beta);
    struct row_norm b = { .s = s, .dx = dx, .wanted = dx != NULL, .add = beta != 0 };
    const struct mm_arena_mark mark = mm_arena_mark(c->arena);

    b.dw = s->dw ? mm_ctx_alloc(c, size, sizeof(float)) : NULL;
    b.db = s->db ? mm_ctx_alloc(c, size, sizeof(float)) : NULL;
    b.dx = dx ? dx : mm_ctx_alloc(c, size, sizeof(float));
    if (!c->err.code) {
        mm_range_run(c, blocks, 4 * BLOCK * s->width, back_blocks, &b);
        if (s->dw)
            mm_range_add_rows(c, s->dw, b.dw, blocks, s->width);
        if (s->db)
            mm_range_add_rows(c, s->db, b.db, blocks, s->width);
    }
    mm_arena_release(c->arena, mark);
}

static void norm_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct norm s = *(const struct norm *)n->saved;

    s.dy = n->y->grad;
    s.dw = mm_grad(c, n->x[1]);
    s.db = mm_grad(c, n->x[2]);
    if (s.kind == GROUP)
        group_back(c, &s, n);
    else
        rows_back(c, &s, n);
}

static struct mm_var *norm(struct mm_ctx *c, struct norm s, const struct mm_var *x,
                           const struct mm_var *w, const struct mm_var *b)
{
    const struct mm_var *const in[] = { x, w, b };
    struct mm_var *y = mm_var_new(c, x->t.ndim, x->t.shape);
    struct norm *saved;

    if (!y || !s.width)
        return y;
    assert(!w || mm_tensor_count(&w->t) == s.rows_w * s.nw);
    assert(!b || mm_tensor_count(&b->t) == s.rows_w * s.nw);
    s.rows = mm_tensor_count(&x->t) / s.width;
    s.x = mm_f32(x);
    s.w = w ? mm_f32(w) : NULL;
    s.b = b ? mm_f32(b) : NULL;
    s.y = mm_f32(y);
    mm_range_run(c, s.rows, 3 * s.width, norm_range, &s);
    saved = mm_tape_push(c, y, norm_back, in, 3, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}

static struct norm rows_of(const struct mm_var *x, float eps, enum kind kind)
{
    const size_t width = (size_t)x->t.shape[x->t.ndim - 1];

    return (struct norm){
        .kind = kind, .width = width, .rows_w = 1, .nw = width, .run = 1, .eps = eps
    };
}

struct mm_var *mm_rms_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                           float eps)
{
    if (!x || !w)
        return NULL;
    assert(x->t.ndim > 0);
    return norm(c, rows_of(x, eps, RMS), x, w, NULL);
}

struct mm_var *mm_layer_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                             const struct mm_var *b, float eps)
{
    if (!x)
        return NULL;
    assert(x->t.ndim > 0);
    return norm(c, rows_of(x, eps, LAYER), x, w, b);
}

struct mm_var *mm_group_norm(struct mm_ctx *c, const struct mm_var *x, const struct mm_var *w,
                             const struct mm_var *b, int groups, float eps)
{
    struct norm s = { .kind = GROUP, .run = 1, .rows_w = (size_t)groups, .eps = eps };

    if (!x)
        return NULL;
    assert(x->t.ndim >= 2 && groups > 0 && x->t.shape[1] % groups == 0);
    for (int i = 2; i < x->t.ndim; i++)
        s.run *= (size_t)x->t.shape[i];
    s.nw = (size_t)(x->t.shape[1] / groups);
    s.width = s.nw * s.run;
    return norm(c, s, x, w, b);
}

/* --- L2 ------------------------------------------------------------------------ */

/* y = x / max(|x|, eps);  dx = (dy - y <y, dy>) / |x|, dy / eps below eps */
struct l2 {
    size_t width;
    float eps;
    const float *x, *dy;
    float *y, *dx;
};

static void l2_range(void *arg, size_t from, size_t to)
{
    const struct l2 *s = arg;

    for (size_t r = from; r < to; r++) {
        const float *x = s->x + r * s->width;
        float *y = s->y + r * s->width;
        const float norm = (float)sqrt(row_square(x, 0, s->width));
        const float d = norm > s->eps ? norm : s->eps;

        for (size_t i = 0; i < s->width; i++)
            y[i] = x[i] / d;
    }
}

static void l2_back_range(void *arg, size_t from, size_t to)
{
    const struct l2 *s = arg;

    for (size_t r = from; r < to; r++) {
        const size_t at = r * s->width;
        const float *y = s->y + at, *dy = s->dy + at;
        const float norm = (float)sqrt(row_square(s->x + at, 0, s->width));
        const float d = norm > s->eps ? norm : s->eps;
        double sum = 0;
        float dot;

        for (size_t i = 0; norm > s->eps && i < s->width; i++)
            sum += (double)y[i] * (double)dy[i];
        dot = (float)sum;
        for (size_t i = 0; i < s->width; i++)
            s->dx[at + i] += (dy[i] - y[i] * dot) / d;
    }
}

static void l2_back(struct mm_ctx *c, const struct mm_node *n)
{
    struct l2 s = *(const struct l2 *)n->saved;

    s.dy = n->y->grad;
    s.dx = mm_grad(c, n->x[0]);
    if (s.dx && s.width)
        mm_range_run(c, mm_tensor_count(&n->y->t) / s.width, 4 * s.width, l2_back_range, &s);
}

struct mm_var *mm_l2_normalize(struct mm_ctx *c, const struct mm_var *x, float eps)
{
    struct mm_var *y = x ? mm_var_new(c, x->t.ndim, x->t.shape) : NULL;
    struct l2 s = { .eps = eps }, *saved;

    if (!y)
        return NULL;
    assert(x->t.ndim > 0);
    s.width = (size_t)x->t.shape[x->t.ndim - 1];
    s.x = mm_f32(x);
    s.y = mm_f32(y);
    if (s.width)
        mm_range_run(c, mm_tensor_count(&x->t) / s.width, 3 * s.width, l2_range, &s);
    saved = mm_tape_push(c, y, l2_back, &x, 1, sizeof(*saved));
    if (saved)
        *saved = s;
    return y;
}
