/* mm-project: features of the vision tower to rows of the language model.
 *
 *   features [P,D] or [views,P,D] -> embeds [n,dim]
 *
 * LLaVA's projector; the views of an anyres picture are packed as v1.6 does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/progress.h"
#include "model/projector.h"
#include "stream/cmdio.h"
#include "stream/trace.h"
#include "tensor/times.h"

static const char usage[] = "mm-project [-qv] [-m model] [--merge how] [file ...]";
static const char help[] =
    "  -m, --model M          LLaVA checkpoint or mmproj file, or a name in $MM_MODELS\n"
    "      --merge HOW        flat, spatial or spatial_unpad instead of the checkpoint's way\n"
    "      --exact            f32 products\n"
    "      --trace FILE       every stage as a tensor record\n"
    "      --keep-going       a bad item gives an error record, the rest go on\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

enum { OPT_MERGE = MM_OPT_FIRST, OPT_EXACT };

static const struct option longopts[] = {
    MM_COMMON_LONG, MM_TRACE_LONG, MM_KEEP_GOING_LONG, MM_MAX_RECORD_LONG,
    { "model", required_argument, NULL, 'm' }, { "merge", required_argument, NULL, OPT_MERGE },
    { "exact", no_argument, NULL, OPT_EXACT }, { NULL, 0, NULL, 0 }
};

struct opts {
    const char *model, *trace;
    bool exact, has_merge, keep_going;
    enum mm_merge merge;
    size_t max_record;
};

/* A record of the item at hand, copied: with --trace and --keep-going an item goes together. */
struct held {
    struct mm_rec rec;
    bool features;
};

struct projector {
    struct mm_cmd *cmd;
    const struct opts *o;
    struct mm_ckpt *ck;
    struct mm_projector *p;
    struct mm_llava_config llava;
    uint64_t fingerprint;
    struct mm_pool *pool;
    struct mm_ctx ctx;
    struct mm_input *in;
    struct mm_writer *out;
    struct mm_trace *trace;
    struct mm_stage_file stages;
    struct held *held;
    size_t n, cap;
    int64_t item;   /* at hand, -1: a record without one */
    bool bad;       /* it has failed, what is left of it is skipped */
    bool failed;    /* an item did, with --keep-going */
    double open_s;
    struct mm_times times;
};

/* Number of views of a features record: the leading axis, if it has three. */
static int64_t views_of(const struct mm_rec *rec)
{
    return rec->t.ndim == 3 ? rec->t.shape[0] : 1;
}

static int check_features(struct projector *pr, const struct mm_rec *rec)
{
    const struct mm_tensor *t = &rec->t;
    char got[128];

    if (t->ndim < 2 || t->ndim > 3 || t->shape[t->ndim - 1] != mm_projector_in(pr->p) ||
        mm_tensor_count(t) == 0 || t->dtype == MM_C64 || t->dtype == MM_BOOL)
        return mm_err_set(&pr->cmd->err, MM_EDATA, "%s: item %" PRId64 ": features record: %s %s, "
                          "want numbers [P,%" PRId64 "] or [views,P,%" PRId64 "]",
                          mm_input_name(pr->in), pr->item, mm_dtype_name(t->dtype),
                          mm_shape_str(got, sizeof(got), t->shape, t->ndim),
                          mm_projector_in(pr->p), mm_projector_in(pr->p));
    return 0;
}

static int hold(struct projector *pr, const struct mm_rec *rec)
{
    struct mm_err *e = &pr->cmd->err;
    const bool features = rec->type == MM_REC_TENSOR && mm_rec_is(rec, "features");

    if (features && check_features(pr, rec) < 0)
        return e->code;
    if (!mm_grow(&pr->held, &pr->cap, pr->n + 1, sizeof(*pr->held)) ||
        mm_rec_copy(&pr->held[pr->n].rec, rec) < 0)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    pr->held[pr->n++].features = features;
    return 0;
}

static void let_go(struct projector *pr)
{
    for (size_t i = 0; i < pr->n; i++) {
        free(pr->held[i].rec.data);
        mm_rec_free(&pr->held[i].rec);
    }
    pr->n = 0;
}

/* All views of the item as one [views, P, D]; pictures of one item have one P. */
static struct mm_var *stack(struct projector *pr)
{
    int64_t shape[3] = { 0, 0, mm_projector_in(pr->p) };
    float *to;

    for (size_t i = 0; i < pr->n; i++) {
        const struct mm_tensor *t = &pr->held[i].rec.t;

        if (!pr->held[i].features)
            continue;
        shape[0] += views_of(&pr->held[i].rec);
        if (shape[1] && shape[1] != t->shape[t->ndim - 2]) {
            mm_err_set(&pr->ctx.err, MM_EDATA, "pictures of %" PRId64 " and %" PRId64
                       " features", shape[1], t->shape[t->ndim - 2]);
            return NULL;
        }
        shape[1] = t->shape[t->ndim - 2];
    }
    struct mm_var *x = mm_var_new(&pr->ctx, 3, shape);
    if (!x)
        return NULL;
    to = mm_f32(x);
    for (size_t i = 0; i < pr->n; i++)
        if (pr->held[i].features) {
            mm_tensor_to_f32(to, &pr->held[i].rec.t);
            to += mm_tensor_count(&pr->held[i].rec.t);
        }
    return x;
}

static struct mm_views views_from(const struct projector *pr, const struct mm_rec *rec)
{
    struct mm_views v = { .views = views_of(rec), .merge = pr->llava.merge,
                          .anyres = pr->llava.anyres, .round7 = pr->llava.round7,
                          .orig_w = mm_rec_int(rec, "width", 0),
                          .orig_h = mm_rec_int(rec, "height", 0) };
    const char *grid = mm_rec_attr(rec, "grid");
    int w, h;

    if (pr->o->has_merge)
        v.merge = pr->o->merge;
    if (grid && sscanf(grid, "%6dx%6d", &w, &h) == 2) {
        v.grid_w = w;
        v.grid_h = h;
    }
    return v;
}

static int put_embeds(struct projector *pr, const struct mm_rec *from, const struct mm_var *rows)
{
    struct mm_rec r;
    int rc = MM_ENOMEM;

    mm_rec_init(&r, MM_REC_TENSOR);
    r.t = rows->t;
    r.data = rows->t.data;
    r.size = mm_tensor_bytes(&rows->t);
    if (mm_rec_copy_attrs(&r, from) == 0 && mm_rec_set(&r, "kind", "embeds") == 0 &&
        mm_rec_set(&r, "grid", NULL) == 0 &&
        mm_rec_setf(&r, "model", "%016" PRIx64, pr->fingerprint) == 0)
        rc = mm_writer_put(pr->out, &r, &pr->cmd->err);
    else
        mm_err_set(&pr->cmd->err, MM_ENOMEM, "out of memory");
    mm_rec_free(&r);
    return rc;
}

/* Packs each picture's share of y [views, P, dim]; *rows has one per held record. */
static int pack(struct projector *pr, struct mm_var *y, struct mm_var **rows)
{
    const struct mm_var *newline = mm_projector_newline(pr->p);
    struct mm_var **all = mm_arena_alloc(pr->ctx.arena, pr->n * sizeof(*all));
    int64_t at = 0;
    int n = 0;

    for (size_t i = 0; all && i < pr->n; i++) {
        if (!pr->held[i].features)
            continue;
        const struct mm_views v = views_from(pr, &pr->held[i].rec);
        rows[i] = mm_pack_views(&pr->ctx, mm_slice(&pr->ctx, y, 0, at, at + v.views), &v, newline);
        if (!rows[i])
            break;
        at += v.views;
        all[n++] = rows[i];
    }
    if (newline)
        mm_trace_stage(&pr->ctx, newline, "image_newline");
    if (!pr->ctx.err.code && pr->trace && n)
        mm_trace_stage(&pr->ctx, mm_concat(&pr->ctx, all, n, 0), "packed");
    return pr->ctx.err.code;
}

/* The item at hand has failed: with --keep-going an error record stands for it. */
static int give_up_item(struct projector *pr, const struct mm_rec *rec)
{
    struct mm_err *e = &pr->cmd->err;
    const struct mm_err why = *e;
    const char *source = mm_rec_attr(rec, "source");

    if (!pr->o->keep_going || why.code == MM_ENOMEM)
        return why.code;
    mm_cmd_warn(pr->cmd, "%s", why.msg);
    mm_err_clear(e);
    mm_err_clear(&pr->ctx.err);
    pr->failed = pr->bad = true;
    const int rc = mm_writer_error(pr->out, pr->item, source ? source : mm_input_name(pr->in),
                                   why.msg, e);
    let_go(pr);
    return rc;
}

/* Features of all held records, projected together and packed; *rows as in pack. */
static int project(struct projector *pr, struct mm_var **rows)
{
    bool any = false;

    for (size_t i = 0; i < pr->n; i++)
        any = any || pr->held[i].features;
    if (!any)
        return 0;
    struct mm_var *y = mm_project(&pr->ctx, pr->p, stack(pr));

    if (y && pack(pr, y, rows) == 0)
        return 0;
    pr->cmd->err = pr->ctx.err;
    return mm_err_prefix(&pr->cmd->err, "%s: item %" PRId64, mm_input_name(pr->in), pr->item);
}

/* The records held: features projected, all written in order. */
static int flush_held(struct projector *pr)
{
    const struct mm_arena_mark mark = mm_arena_mark(pr->ctx.arena);
    struct mm_var **rows = mm_arena_zalloc(pr->ctx.arena, (pr->n + 1) * sizeof(*rows));
    int rc = rows ? project(pr, rows) : mm_err_set(&pr->cmd->err, MM_ENOMEM, "out of memory");

    if (rc < 0 && pr->n)
        rc = give_up_item(pr, &pr->held[0].rec); /* holds nothing any more, or rc < 0 */
    for (size_t i = 0; rc == 0 && i < pr->n; i++)
        rc = rows[i] ? put_embeds(pr, &pr->held[i].rec, rows[i])
                     : mm_writer_put(pr->out, &pr->held[i].rec, &pr->cmd->err);
    let_go(pr);
    mm_arena_release(pr->ctx.arena, mark);
    return rc;
}

/* A record joins those of its item, or begins another one. */
static int take(struct projector *pr, const struct mm_rec *rec)
{
    const int64_t item = mm_rec_int(rec, "item", -1);

    if (item < 0 || item != pr->item) {
        if (flush_held(pr) < 0)
            return pr->cmd->err.code;
        pr->bad = false;
    }
    pr->item = item;
    if (pr->bad)
        return 0;
    if (hold(pr, rec) < 0)
        return give_up_item(pr, rec);
    return pr->trace || pr->o->keep_going ? 0 : flush_held(pr);
}

static int filter(struct projector *pr)
{
    struct mm_err *e = &pr->cmd->err;
    struct mm_rec rec;
    int rc;

    pr->item = -1;
    while ((rc = mm_input_get(pr->in, &rec, e)) > 0)
        if ((rc = take(pr, &rec)) < 0)
            break;
    if (rc == 0)
        rc = flush_held(pr);
    if (rc == 0 && (rc = mm_writer_end(pr->out, e)) == 0) {
        rc = mm_trace_close(pr->trace, e);
        pr->trace = NULL;
    }
    if (rc == 0 && pr->failed)
        rc = mm_err_set(e, MM_EDATA, "not all items could be projected");
    return rc;
}

static void say_times(const struct projector *pr)
{
    const struct mm_times_row open = { .s = pr->open_s };
    struct mm_buf b = { 0 };

    mm_times_line(&b, "open", &open);
    mm_times_line(&b, "project", &pr->times.at[MM_TIMES_PREFILL][0]);
    mm_cmd_info_lines(pr->cmd, b.p);
    mm_buf_free(&b);
}

static int run(struct projector *pr, char *const *paths, int n)
{
    const struct opts *o = pr->o;
    struct mm_err *e = &pr->cmd->err;
    const double start = mm_now();
    char *path = NULL;
    int rc;

    if ((rc = mm_output_open(&pr->out, e)) < 0 || (rc = mm_ckpt_find(&path, o->model, e)) < 0)
        return rc;
    rc = mm_ckpt_open(&pr->ck, path, e);
    free(path);
    if (rc < 0 || (rc = mm_llava_configure(&pr->llava, pr->ck, e)) < 0 ||
        (rc = mm_projector_open(&pr->p, pr->ck, e)) < 0 ||
        (rc = mm_trace_open(&pr->trace, o->trace, e)) < 0)
        return rc;
    pr->fingerprint = mm_ckpt_fingerprint(pr->ck);
    if (!(pr->pool = mm_pool_new(pr->cmd->threads)))
        return mm_err_set(e, MM_ENOMEM, "cannot start %d threads", pr->cmd->threads);
    if ((rc = mm_ctx_init(&pr->ctx, pr->pool, o->exact ? MM_ARITH_EXACT : MM_ARITH_FAST, e)) < 0 ||
        (rc = mm_input_open(&pr->in, paths, n, o->max_record, e)) < 0)
        return rc;
    mm_input_renumber(pr->in);
    pr->stages = (struct mm_stage_file){ pr->trace, &pr->item };
    mm_trace_to(&pr->ctx, &pr->stages);
    pr->ctx.times = pr->cmd->verbose ? &pr->times : NULL;
    pr->open_s = mm_now() - start;
    rc = filter(pr);
    say_times(pr);
    return rc;
}

static void close_all(struct projector *pr)
{
    let_go(pr);
    free(pr->held);
    mm_trace_abort(pr->trace); /* not closed: something failed */
    mm_input_close(pr->in);
    mm_writer_close(pr->out);
    mm_ctx_free(&pr->ctx);
    mm_projector_free(pr->p);
    mm_ckpt_close(pr->ck);
    mm_pool_free(pr->pool);
}

int main(int argc, char **argv)
{
    static const char *const merges[] = { "flat", "spatial", "spatial_unpad", NULL };
    struct opts o = { .model = MM_SHIPPED, .max_record = (size_t)1 << 30 };
    struct mm_cmd cmd;
    struct projector pr = { .cmd = &cmd, .o = &o };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "m:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'm': o.model = optarg; break;
        case OPT_MERGE:
            o.merge = (enum mm_merge)mm_opt_word(&cmd, "--merge", optarg, merges);
            o.has_merge = true;
            break;
        case OPT_EXACT: o.exact = true; break;
        case MM_OPT_TRACE: o.trace = optarg; break;
        case MM_OPT_KEEP_GOING: o.keep_going = true; break;
        case MM_OPT_MAX_RECORD:
            o.max_record = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default: mm_cmd_common(&cmd, c, optarg);
        }
    (void)run(&pr, argv + optind, argc - optind); /* the error is in cmd */
    close_all(&pr);
    return mm_cmd_finish(&cmd);
}
