/* featq.c: see featq.h.
 *
 *   entries:   kept ...... | open item ...
 *   views:     results [done - nres, done) | px [done, done + pending)
 */
#include "model/featq.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"
#include "tensor/times.h"

enum {
    MAX_HELD = 64 << 20, /* bytes of records that only wait */
    MAX_BATCH = 8,
    BEST_ROWS = 1200     /* products are at full speed, activations need little fresh memory */
};

struct entry {
    struct mm_rec rec;
    uint64_t first;    /* its views are [first, first + views) of all */
    size_t views;
    struct mm_ids ids; /* of rows texts */
    size_t rows;
    bool axis;
};

struct mm_featq {
    struct mm_featq_conf c;
    struct entry *entry;
    size_t n, cap, kept, held;
    size_t view;                /* floats of one view: 3 * S * S */
    float *px;                  /* pending views, from px_at */
    size_t px_at, pending, px_cap;
    float *res;                 /* features of the last nres views that are done */
    size_t nres, res_cap, row;  /* row: floats of one view's features */
    struct mm_tensor shape;     /* of the features of one pass */
    uint64_t done, passes;
};

int mm_featq_new(struct mm_featq **out, const struct mm_featq_conf *conf, struct mm_err *e)
{
    struct mm_featq *q = calloc(1, sizeof(*q));

    if (!q)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    q->c = *conf;
    q->c.batch = conf->batch ? conf->batch : MAX_BATCH;
    if (conf->vision) {
        const struct mm_clip_config *c = mm_clip_vision_config(conf->vision);
        const size_t side = (size_t)c->image, grid = (size_t)(c->image / c->patch);
        const size_t best = BEST_ROWS / (grid * grid + 1);

        q->view = 3 * side * side;
        if (!conf->batch && best < MAX_BATCH)
            q->c.batch = best ? best : 1;
    }
    *out = q;
    return 0;
}

static void entry_free(struct mm_featq *q, struct entry *x)
{
    if (!x->views && !x->rows)
        q->held -= x->rec.size;
    free(x->rec.data);
    mm_rec_free(&x->rec);
    mm_ids_free(&x->ids);
}

void mm_featq_free(struct mm_featq *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->n; i++)
        entry_free(q, &q->entry[i]);
    free(q->entry);
    free(q->px);
    free(q->res);
    free(q);
}

/* --- pushing ------------------------------------------------------------------------- */

static struct entry *push(struct mm_featq *q, enum mm_rec_type type, struct mm_err *e)
{
    if (!mm_grow(&q->entry, &q->cap, q->n + 1, sizeof(*q->entry))) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    struct entry *x = &q->entry[q->n++];
    *x = (struct entry){ 0 };
    mm_rec_init(&x->rec, type);
    return x;
}

struct mm_rec *mm_featq_views(struct mm_featq *q, size_t n, bool axis, float **px,
                              struct mm_err *e)
{
    struct entry *x = push(q, MM_REC_TENSOR, e);
    size_t floats, want;

    if (!x)
        return NULL;
    if (!mm_size_add(q->px_at + q->pending, n, &want) || !mm_size_mul(want, q->view, &floats) ||
        !mm_grow(&q->px, &q->px_cap, floats, sizeof(*q->px))) {
        mm_err_set(e, MM_ENOMEM, "out of memory for %zu pictures", n);
        return NULL;
    }
    *px = q->px + (q->px_at + q->pending) * q->view;
    x->first = q->done + q->pending;
    x->views = n;
    x->axis = axis;
    q->pending += n;
    return &x->rec;
}

struct mm_rec *mm_featq_ids(struct mm_featq *q, struct mm_ids *ids, size_t rows, bool axis,
                            struct mm_err *e)
{
    struct entry *x = push(q, MM_REC_TENSOR, e);

    if (!x)
        return NULL;
    x->ids = *ids;
    *ids = (struct mm_ids){ 0 };
    x->rows = rows;
    x->axis = axis;
    return &x->rec;
}

struct mm_rec *mm_featq_text(struct mm_featq *q, const char *s, size_t n, struct mm_err *e)
{
    struct entry *x = push(q, MM_REC_TEXT, e);

    if (!x)
        return NULL;
    if (!(x->rec.data = malloc(n + 1))) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    memcpy(x->rec.data, s, n);
    x->rec.size = n;
    q->held += n;
    return &x->rec;
}

int mm_featq_pass(struct mm_featq *q, const struct mm_rec *rec, struct mm_err *e)
{
    struct entry *x = push(q, rec->type, e);

    if (!x)
        return e->code;
    if (mm_rec_copy(&x->rec, rec) < 0)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    q->held += rec->size;
    return 0;
}

void mm_featq_keep(struct mm_featq *q)
{
    q->kept = q->n;
}

void mm_featq_drop(struct mm_featq *q)
{
    uint64_t first = q->done + q->pending;

    while (q->n > q->kept) {
        struct entry *x = &q->entry[--q->n];

        if (x->views)
            first = x->first;
        entry_free(q, x);
    }
    if (first >= q->done) {
        q->pending = (size_t)(first - q->done);
        return;
    }
    q->pending = 0; /* some had been through the tower already */
    q->nres -= (size_t)(q->done - first);
    q->done = first;
}

/* --- computing ------------------------------------------------------------------------ */

/* The first n pending views through the tower, their features behind q->res. */
static int run_pass(struct mm_featq *q, size_t n, struct mm_err *e)
{
    struct mm_ctx *c = q->c.ctx;
    const struct mm_arena_mark mark = mm_arena_mark(c->arena);
    const int64_t S = mm_clip_vision_config(q->c.vision)->image;
    const struct mm_tensor t = { MM_F32, 4, { (int64_t)n, 3, S, S }, q->px + q->px_at * q->view };
    const struct mm_var *x = mm_var_of(c, &t), *y;
    struct mm_clip_out out = { 0 };

    mm_trace_stage(c, x, "pixel_values");
    mm_times_start(c, n, 0);
    if (x)
        mm_clip_see(c, q->c.vision, x, &q->c.select, &out);
    y = !q->c.pool ? out.features : out.embed ? out.embed : out.pooled;
    if (y) {
        q->row = mm_tensor_count(&y->t) / n;
        q->shape = y->t;
        if (mm_grow(&q->res, &q->res_cap, (q->nres + n) * q->row, sizeof(*q->res)))
            memcpy(q->res + q->nres * q->row, y->t.data, n * q->row * sizeof(*q->res));
        else
            mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    }
    if (c->err.code)
        *e = c->err;
    q->nres += n;
    q->done += n;
    q->passes++;
    q->px_at += n;
    q->pending -= n;
    mm_arena_release(c->arena, mark);
    return e->code;
}

static int run_passes(struct mm_featq *q, bool all, struct mm_err *e)
{
    const size_t least = all ? 1 : q->c.batch;
    int rc = 0;

    while (rc == 0 && q->pending >= least && (all || !q->c.together)) {
        const bool whole = q->c.together || q->pending < q->c.batch;

        rc = run_pass(q, whole ? q->pending : q->c.batch, e);
    }
    if (q->px_at && q->pending)
        memmove(q->px, q->px + q->px_at * q->view, q->pending * q->view * sizeof(*q->px));
    q->px_at = 0;
    return rc;
}

/* --- writing -------------------------------------------------------------------------- */

/* A record of x's attributes with rows of features; shape [any, ...] of one pass. */
static int put_features(struct mm_featq *q, const struct entry *x, const struct mm_tensor *shape,
                        float *data, size_t rows, struct mm_err *e)
{
    struct mm_rec r = x->rec;

    r.t = *shape;
    r.t.shape[0] = (int64_t)rows;
    if (!x->axis) {
        r.t.ndim--;
        memmove(r.t.shape, r.t.shape + 1, (size_t)r.t.ndim * sizeof(*r.t.shape));
    }
    r.t.data = r.data = data;
    r.size = mm_tensor_bytes(&r.t);
    return mm_writer_put(q->c.out, &r, e);
}

static int put_texts(struct mm_featq *q, const struct entry *x, struct mm_err *e)
{
    struct mm_ctx *c = q->c.ctx;
    const struct mm_arena_mark mark = mm_arena_mark(c->arena);
    struct mm_clip_out out = { 0 };
    int rc;

    mm_times_start(c, x->rows, 0);
    mm_clip_read(c, q->c.text, x->ids.v, (int64_t)x->rows, (int64_t)(x->ids.n / x->rows), &out);
    q->passes++;
    const struct mm_var *y = out.embed ? out.embed : out.pooled;
    if (y) {
        rc = put_features(q, x, &y->t, y->t.data, x->rows, e);
    } else {
        *e = c->err;
        rc = e->code;
    }
    mm_arena_release(c->arena, mark);
    return rc;
}

static int put_entry(struct mm_featq *q, const struct entry *x, struct mm_err *e)
{
    if (x->views)
        return put_features(q, x, &q->shape,
                            q->res + (size_t)(x->first - (q->done - q->nres)) * q->row, x->views,
                            e);
    return x->rows ? put_texts(q, x, e) : mm_writer_put(q->c.out, &x->rec, e);
}

/* Forgets the first n entries, and features that no entry waits for. */
static void shift(struct mm_featq *q, size_t n)
{
    uint64_t first = q->done;

    for (size_t i = 0; i < n; i++)
        entry_free(q, &q->entry[i]);
    q->n -= n;
    q->kept -= n;
    if (n && q->n)
        memmove(q->entry, q->entry + n, q->n * sizeof(*q->entry));
    for (size_t i = q->n; i-- > 0;)
        if (q->entry[i].views && q->entry[i].first < first)
            first = q->entry[i].first;
    const size_t left = (size_t)(q->done - first);
    if (left && left < q->nres)
        memmove(q->res, q->res + (q->nres - left) * q->row, left * q->row * sizeof(*q->res));
    q->nres = left;
}

int mm_featq_flush(struct mm_featq *q, bool all, struct mm_err *e)
{
    const bool much = q->held > MAX_HELD || q->n / 64 >= q->c.batch;
    size_t i = 0;
    int rc = run_passes(q, all || (much && !q->c.together), e);

    for (; rc == 0 && i < q->kept; i++) {
        const struct entry *x = &q->entry[i];

        if (x->views && x->first + x->views > q->done)
            break;
        rc = put_entry(q, x, e);
    }
    shift(q, i);
    return rc;
}

uint64_t mm_featq_passes(const struct mm_featq *q)
{
    return q->passes;
}
