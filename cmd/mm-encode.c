/* mm-encode: pictures and texts to features, by the towers of CLIP.
 *
 *   files, pixels [B,3,S,S] -> features [P,D] ([views,P,D] of an anyres picture)
 *   --pool -> [D];  --text: texts, tokens [B,T] -> features [D]
 *
 * Pictures wait in a queue until a batch is full; records leave in the order
 * in which they came.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cmd.h"
#include "base/progress.h"
#include "media/image.h"
#include "model/ids.h"
#include "model/towers.h"
#include "stream/cmdio.h"
#include "stream/operand.h"
#include "stream/trace.h"

static const char usage[] = "mm-encode [-1qv] -m model [-p text] [--pool | --text] [file ...]";
static const char help[] =
    "  -m, --model M          CLIP or LLaVA checkpoint, or a name in $MM_MODELS\n"
    "  -1, --one-item         all operands belong to one item\n"
    "  -p, --prompt TEXT      text around the pictures, an <image> for each\n"
    "  -B, --batch N          pictures in one pass of the tower (8)\n"
    "      --pool             one vector a picture, in the space shared with texts\n"
    "      --text             operands (or input lines) are texts: one vector each\n"
    "      --layer L          hidden state to take, negative from the last\n"
    "      --aspect HOW       pad, crop, square or anyres instead of the checkpoint's way\n"
    "      --vision-tower M   the tower of a checkpoint that does not hold it\n"
    "      --upright          turn pictures as their EXIF orientation says\n"
    "      --exact            f32 products\n"
    "      --trace FILE       every stage as a tensor record\n"
    "      --files-from F     names of files, a line each (-0, --null: ended by NUL)\n"
    "      --keep-going       a bad item gives an error record, the rest go on\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

enum { OPT_POOL = MM_OPT_FIRST, OPT_TEXT, OPT_LAYER, OPT_ASPECT, OPT_TOWER, OPT_UPRIGHT,
       OPT_EXACT };

static const struct option longopts[] = {
    MM_COMMON_LONG, MM_TRACE_LONG, MM_KEEP_GOING_LONG, MM_FILES_FROM_LONG, MM_MAX_RECORD_LONG,
    { "model", required_argument, NULL, 'm' }, { "one-item", no_argument, NULL, '1' },
    { "prompt", required_argument, NULL, 'p' }, { "batch", required_argument, NULL, 'B' },
    { "null", no_argument, NULL, '0' }, { "pool", no_argument, NULL, OPT_POOL },
    { "text", no_argument, NULL, OPT_TEXT }, { "layer", required_argument, NULL, OPT_LAYER },
    { "aspect", required_argument, NULL, OPT_ASPECT },
    { "vision-tower", required_argument, NULL, OPT_TOWER },
    { "upright", no_argument, NULL, OPT_UPRIGHT }, { "exact", no_argument, NULL, OPT_EXACT },
    { NULL, 0, NULL, 0 }
};

struct opts {
    const char *model, *prompt, *trace, *files_from;
    bool one_item, pool, text, upright, exact, keep_going, null;
    size_t batch, max_record;
    struct mm_vision_opts vision;
};

/* What waits to be written: a record as it is, pixels to encode, or ids. */
struct entry {
    struct mm_rec rec;    /* attributes, and what is passed on */
    size_t views;         /* among those pending, 0: no picture */
    bool pack;            /* came as pixels [B,...]: features keep the batch axis */
    struct mm_ids ids;    /* of a text, or of tokens [rows][n / rows] */
    size_t rows;          /* texts in ids, 0: none */
    int64_t item;
};

struct encoder {
    struct mm_cmd *cmd;
    const struct opts *o;
    struct mm_towers t;
    struct mm_ctx ctx;
    struct mm_pool *pool;
    struct mm_writer *out;
    struct mm_trace *trace;
    struct entry *queue;
    size_t n, cap;
    float *px;               /* [pending][3][S][S]: the views of all entries */
    size_t pending, px_cap;
    int64_t item;            /* of the next file, and of the trace */
    const char *prompt;      /* what is left of -p in this item */
    uint64_t runs, pictures;
    bool failed;             /* an item did, with --keep-going */
};

/* --- the queue --------------------------------------------------------------------- */

static void entry_free(struct entry *q)
{
    free(q->rec.data);
    mm_rec_free(&q->rec);
    mm_ids_free(&q->ids);
}

static struct entry *push(struct encoder *en, enum mm_rec_type type, int64_t item)
{
    if (!mm_grow(&en->queue, &en->cap, en->n + 1, sizeof(*en->queue)))
        return NULL;
    struct entry *q = &en->queue[en->n++];
    *q = (struct entry){ .item = item };
    mm_rec_init(&q->rec, type);
    return q;
}

static int no_memory(struct encoder *en)
{
    return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
}

/* An entry that will become features; what rec (or NULL) says of itself is kept. */
static struct entry *push_features(struct encoder *en, const char *modality, int64_t item,
                                   const char *source, const struct mm_rec *rec)
{
    const uint64_t model = en->o->text ? mm_ckpt_fingerprint(en->t.ck) : en->t.vision.fingerprint;
    struct entry *q = push(en, MM_REC_TENSOR, item);

    if (q && mm_rec_set(&q->rec, "kind", "features") == 0 &&
        mm_rec_set(&q->rec, "modality", modality) == 0 &&
        (item < 0 || mm_rec_setf(&q->rec, "item", "%" PRId64, item) == 0) &&
        (!source || mm_rec_set(&q->rec, "source", source) == 0) &&
        mm_rec_setf(&q->rec, "model", "%016" PRIx64, model) == 0 &&
        (!rec || mm_rec_copy_attrs(&q->rec, rec) == 0))
        return q;
    no_memory(en);
    return NULL;
}

static int push_text(struct encoder *en, const char *s, size_t n, int64_t item)
{
    struct entry *q = push(en, MM_REC_TEXT, item);

    if (!q || !(q->rec.data = malloc(n + 1)) || mm_rec_set(&q->rec, "kind", "text") < 0 ||
        mm_rec_setf(&q->rec, "item", "%" PRId64, item) < 0)
        return no_memory(en);
    memcpy(q->rec.data, s, n);
    q->rec.size = n;
    return 0;
}

/* --- encoding ----------------------------------------------------------------------- */

static void put_stage(void *arg, const char *name, const struct mm_tensor *t)
{
    struct encoder *en = arg;

    mm_trace_put(en->trace, en->item, t, "%s", name);
}

/* All pending views in one pass; result [pending, ...] or NULL with the error set. */
static struct mm_var *run_tower(struct encoder *en)
{
    const int64_t S = mm_clip_vision_config(en->t.vision.tower)->image;
    const struct mm_tensor t = { MM_F32, 4, { (int64_t)en->pending, 3, S, S }, en->px };
    const struct mm_var *x = mm_var_of(&en->ctx, &t);
    struct mm_clip_select select = en->t.vision.select;
    struct mm_clip_out out;

    if (!x)
        return NULL;
    mm_trace_stage(&en->ctx, x, "pixel_values");
    select.pooled = en->o->pool || en->trace;
    mm_clip_see(&en->ctx, en->t.vision.tower, x, &select, &out);
    en->runs++;
    if (en->o->pool)
        return out.embed ? out.embed : out.pooled;
    return out.features;
}

/* Writes an entry's share of the features, rows [at, at + n) of y. */
static int put_features(struct encoder *en, const struct entry *q, const struct mm_var *y,
                        size_t at, size_t n)
{
    struct mm_rec r = q->rec;

    r.t = y->t;
    r.t.shape[0] = (int64_t)n;
    r.data = (char *)y->t.data + at * (mm_tensor_bytes(&y->t) / (size_t)y->t.shape[0]);
    r.t.data = r.data;
    if (n == 1 && !q->pack) { /* one view: [P, D] or [D] */
        r.t.ndim--;
        memmove(r.t.shape, r.t.shape + 1, (size_t)r.t.ndim * sizeof(*r.t.shape));
    }
    r.size = mm_tensor_bytes(&r.t);
    return mm_writer_put(en->out, &r, &en->cmd->err);
}

/* Texts of one entry through the text tower. */
static int put_text_features(struct encoder *en, struct entry *q)
{
    struct mm_clip_out out;

    mm_clip_read(&en->ctx, en->t.text, q->ids.v, (int64_t)q->rows, (int64_t)(q->ids.n / q->rows),
                 &out);
    const struct mm_var *y = out.embed ? out.embed : out.pooled;
    if (!y) {
        en->cmd->err = en->ctx.err;
        return en->cmd->err.code;
    }
    en->runs++;
    return put_features(en, q, y, 0, q->rows);
}

/* Everything that waits is encoded and written. */
static int flush_queue(struct encoder *en)
{
    const struct mm_arena_mark mark = mm_arena_mark(en->ctx.arena);
    struct mm_var *y = NULL;
    size_t at = 0;
    int rc = 0;

    if (en->pending && !(y = run_tower(en))) {
        en->cmd->err = en->ctx.err;
        rc = en->cmd->err.code;
    }
    for (size_t i = 0; i < en->n; i++) {
        struct entry *q = &en->queue[i];

        if (rc == 0 && q->views) {
            rc = put_features(en, q, y, at, q->views);
            at += q->views;
        } else if (rc == 0 && q->rows) {
            rc = put_text_features(en, q);
        } else if (rc == 0) {
            rc = mm_writer_put(en->out, &q->rec, &en->cmd->err);
        }
        entry_free(q);
    }
    en->n = en->pending = 0;
    mm_arena_release(en->ctx.arena, mark);
    return rc;
}

/* Is the batch full?  A traced item is run by itself, whole. */
static int flush_if_due(struct encoder *en)
{
    const bool full = en->pending >= en->o->batch || en->n >= 64 * en->o->batch;

    return full || en->trace ? flush_queue(en) : 0;
}

/* --- inputs --------------------------------------------------------------------------- */

/* The next piece of -p, up to and with a marker (then the picture follows). */
static int push_prompt(struct encoder *en, bool rest)
{
    static const char marker[] = "<image>";
    const char *p = en->prompt, *end;

    if (!p)
        return 0;
    end = strstr(p, marker);
    if (rest && end)
        return mm_err_set(&en->cmd->err, MM_EDATA, "item %" PRId64 ": the prompt has more <image> "
                          "markers than pictures", en->item);
    if (!end && !rest)
        return 0; /* no marker: pictures first, the text after them */
    const size_t n = end ? (size_t)(end - p) : strlen(p);
    en->prompt = end ? end + sizeof(marker) - 1 : NULL;
    return n ? push_text(en, p, n, en->item) : 0;
}

/* Room for the n views of q behind those that wait; NULL: out of memory. */
static float *views_for(struct encoder *en, struct entry *q, size_t n)
{
    const size_t S = (size_t)mm_clip_vision_config(en->t.vision.tower)->image, view = 3 * S * S;
    float *at;

    if (!mm_grow(&en->px, &en->px_cap, en->pending + n, view * sizeof(*en->px))) {
        no_memory(en);
        return NULL;
    }
    at = en->px + en->pending * view;
    q->views = n;
    en->pending += n;
    en->pictures += q->pack ? n : 1;
    return at;
}

static int push_picture(struct encoder *en, const struct mm_pixels *px, const char *source)
{
    const int64_t side = mm_clip_vision_config(en->t.vision.tower)->image;
    float *at;

    if (px->size_h != side || px->size_w != side)
        return mm_err_set(&en->cmd->err, MM_EDATA, "%s: prepared to %dx%d pixels, the tower takes %"
                          PRId64, source, px->size_w, px->size_h, side);
    if (push_prompt(en, false) < 0)
        return en->cmd->err.code;
    struct entry *q = push_features(en, "image", en->item, source, NULL);
    if (!q || !(at = views_for(en, q, (size_t)px->tiles)))
        return en->cmd->err.code;
    memcpy(at, px->px, (size_t)(px->tiles * 3 * side * side) * sizeof(*at));
    if (mm_rec_setf(&q->rec, "width", "%d", px->orig_w) < 0 ||
        mm_rec_setf(&q->rec, "height", "%d", px->orig_h) < 0 ||
        (px->grid_w && mm_rec_setf(&q->rec, "grid", "%dx%d", px->grid_w, px->grid_h) < 0))
        return no_memory(en);
    return 0;
}

static int take_picture(struct encoder *en, const struct mm_operand *op)
{
    struct mm_err *e = &en->cmd->err;
    struct mm_image im = { 0 };
    struct mm_pixels px = { 0 };
    int rc;

    if (!en->t.vision.tower)
        return mm_err_set(e, MM_EMISSING, "%s: holds no vision tower", mm_ckpt_path(en->t.ck));
    if ((rc = mm_image_decode(&im, op->bytes.p, op->bytes.n, op->what, 0, e)) < 0)
        return rc;
    if ((en->o->upright && (rc = mm_image_upright(&im, e)) < 0) ||
        (rc = mm_preprocess_run(&px, &im, &en->t.vision.pre, e)) < 0)
        mm_err_prefix(e, "%s", op->what);
    else
        rc = push_picture(en, &px, op->what);
    mm_pixels_free(&px);
    mm_image_free(&im);
    return rc;
}

/* A `pixels` record [B,3,S,S] or [3,S,S]. */
static int take_pixels(struct encoder *en, struct mm_rec *rec)
{
    const int64_t S = mm_clip_vision_config(en->t.vision.tower)->image;
    const struct mm_tensor *t = &rec->t;
    const int64_t *s = t->shape + (t->ndim == 4);
    char got[128];

    if (t->ndim < 3 || t->ndim > 4 || s[0] != 3 || s[1] != S || s[2] != S ||
        mm_tensor_count(t) == 0)
        return mm_err_set(&en->cmd->err, MM_EDATA, "pixels record: shape %s, want [B,3,%" PRId64
                          ",%" PRId64 "]", mm_shape_str(got, sizeof(got), t->shape, t->ndim), S, S);
    struct entry *q = push_features(en, "image", mm_rec_int(rec, "item", -1), NULL, rec);
    if (q)
        q->pack = t->ndim == 4;
    float *at = q ? views_for(en, q, q->pack ? (size_t)t->shape[0] : 1) : NULL;
    if (at)
        mm_tensor_to_f32(at, t);
    return at ? 0 : en->cmd->err.code;
}

static int take_text(struct encoder *en, const char *s, size_t n, int64_t item, const char *source)
{
    struct entry *q = push_features(en, "text", item, source, NULL);

    if (!q)
        return en->cmd->err.code;
    if (!en->t.tok)
        return mm_err_set(&en->cmd->err, MM_EMISSING, "%s: no tokenizer files; texts need one",
                          mm_ckpt_path(en->t.ck));
    q->rows = 1;
    return mm_ids_for_clip(&q->ids, en->t.text, en->t.tok, s, n, &en->cmd->err);
}

/* A `tokens` record [B,T] or [T] of the text tower. */
static int take_tokens(struct encoder *en, struct mm_rec *rec)
{
    struct entry *q = push_features(en, "text", mm_rec_int(rec, "item", -1), NULL, rec);

    if (!q)
        return en->cmd->err.code;
    q->pack = rec->t.ndim == 2;
    q->rows = q->pack ? (size_t)rec->t.shape[0] : 1;
    return mm_ids_from_record(&q->ids, rec, &en->cmd->err);
}

/* A record of an input stream: encoded, or passed on as it is. */
static int take_record(struct encoder *en, struct mm_rec *rec)
{
    if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "pixels") && en->t.vision.tower)
        return take_pixels(en, rec);
    if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "tokens") && en->t.text)
        return take_tokens(en, rec);
    if (rec->type == MM_REC_TEXT && en->o->text && en->t.text && !mm_rec_is_error(rec))
        return take_text(en, rec->data, rec->size, mm_rec_int(rec, "item", -1),
                         mm_rec_attr(rec, "source"));
    int rc = flush_queue(en); /* keeps the order without a copy of the record */
    return rc < 0 ? rc : mm_writer_put(en->out, rec, &en->cmd->err);
}

static int take_stream(struct encoder *en, struct mm_reader *r)
{
    struct mm_rec rec;
    int rc;

    while ((rc = mm_reader_get(r, &rec, &en->cmd->err)) > 0) {
        en->item = mm_rec_int(&rec, "item", en->item);
        if ((rc = take_record(en, &rec)) < 0 || (rc = flush_if_due(en)) < 0)
            break;
    }
    return rc;
}

/* --text: each line is an item. */
static int take_lines(struct encoder *en, const char *s, size_t n)
{
    const char *const end = s + n;
    int rc = 0;

    while (rc == 0 && s < end) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        const size_t len = (size_t)((nl ? nl : end) - s);

        if ((rc = take_text(en, s, len, en->item++, NULL)) == 0)
            rc = flush_if_due(en);
        s += len + 1;
    }
    return rc;
}

/* One operand: a stream, a picture, or with --text lines. */
static int take_file(struct encoder *en, const char *path)
{
    struct mm_operand op;
    int rc = mm_operand_open(&op, path, en->o->max_record, &en->cmd->err);

    if (rc < 0)
        return rc;
    if (op.reader)
        rc = take_stream(en, op.reader);
    else if (en->o->text)
        rc = take_lines(en, op.bytes.p, op.bytes.n);
    else
        rc = take_picture(en, &op);
    mm_operand_close(&op);
    return rc;
}

/* Takes a failed item's entries back; with --keep-going an error record stands for it. */
static int give_up_item(struct encoder *en, size_t first, const char *source)
{
    struct mm_err *e = &en->cmd->err;
    const struct mm_err why = *e;

    while (en->n > first) {
        struct entry *q = &en->queue[--en->n];

        en->pending -= q->views;
        entry_free(q);
    }
    if (!en->o->keep_going || e->code == MM_EIO || e->code == MM_ENOMEM) {
        mm_err_clear(e);
        (void)flush_queue(en); /* items that were complete are not lost */
        *e = why;
        return why.code;
    }
    mm_cmd_warn(en->cmd, "%s", why.msg);
    mm_err_clear(e);
    en->failed = true;
    return flush_queue(en) < 0 ? e->code
                               : mm_writer_error(en->out, en->item, source, why.msg, e);
}

/* Files (with --text, texts) as items of one each, or all in one. */
static int take_files(struct encoder *en, char *const *paths, size_t n)
{
    struct mm_progress p;
    size_t first = 0;
    int rc = 0;

    mm_progress_start(&p, en->cmd, "pictures", n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const bool last = !en->o->one_item || i + 1 == n;
        if (!en->o->one_item || i == 0) {
            first = en->n;
            en->prompt = en->o->prompt;
        }
        rc = en->o->text && strcmp(paths[i], "-")
                 ? take_text(en, paths[i], strlen(paths[i]), en->item, paths[i])
                 : take_file(en, paths[i]);
        if (rc == 0 && last)
            rc = push_prompt(en, true);
        if (rc == 0)
            rc = last ? flush_if_due(en) : 0;
        if (rc < 0) {
            rc = give_up_item(en, en->n < first ? en->n : first, paths[i]);
            if (en->o->one_item)
                break;
        }
        en->item += last;
        mm_progress_step(&p, i + 1);
    }
    mm_progress_end(&p);
    return rc < 0 ? rc : flush_queue(en);
}

/* --- set-up --------------------------------------------------------------------------- */

static int run(struct encoder *en, char *const *argv, int n)
{
    static char *const standard_input[] = { (char *)"-" };
    struct mm_cmd *cmd = en->cmd;
    struct mm_files files = { 0 };
    int rc;

    if ((rc = mm_output_open(&en->out, &cmd->err)) < 0 || (rc = mm_towers_open(&en->t, en->o->model, en->o->text, &en->o->vision, &cmd->err)) < 0 ||
        (rc = mm_trace_open(&en->trace, en->o->trace, &cmd->err)) < 0)
        return rc;
    en->pool = mm_pool_new(cmd->threads);
    if (!en->pool)
        return mm_err_set(&cmd->err, MM_ENOMEM, "cannot start %d threads", cmd->threads);
    if ((rc = mm_ctx_init(&en->ctx, en->pool, en->o->exact ? MM_ARITH_EXACT : MM_ARITH_FAST,
                          &cmd->err)) < 0)
        return rc;
    if (en->trace) {
        en->ctx.trace = put_stage;
        en->ctx.trace_arg = en;
    }
    if (en->o->files_from) {
        const char sep = en->o->null ? '\0' : '\n';

        if ((rc = mm_files_from(&files, en->o->files_from, sep, &cmd->err)) == 0)
            rc = take_files(en, files.path, files.n);
        mm_files_free(&files);
    } else {
        rc = n ? take_files(en, argv, (size_t)n) : take_files(en, standard_input, 1);
    }
    if (rc == 0 && (rc = mm_writer_end(en->out, &cmd->err)) == 0) {
        rc = mm_trace_close(en->trace, &cmd->err);
        en->trace = NULL; /* closed */
    }
    mm_cmd_info(cmd, "%" PRIu64 " pictures, %" PRIu64 " runs of the encoder, %.1f MiB at most",
                en->pictures, en->runs, (double)mm_arena_peak(en->ctx.arena) / 1048576.0);
    return rc;
}

static void close_all(struct encoder *en)
{
    for (size_t i = 0; i < en->n; i++)
        entry_free(&en->queue[i]);
    free(en->queue);
    free(en->px);
    mm_trace_abort(en->trace); /* not closed: something failed */
    mm_writer_close(en->out);
    mm_ctx_free(&en->ctx);
    mm_towers_close(&en->t);
    mm_pool_free(en->pool);
}

static void set_option(struct opts *o, struct mm_cmd *cmd, int c, const char *arg)
{
    static const char *const words[] = { "crop", "square", "pad", "anyres", "squeeze", NULL };
    static const enum mm_aspect aspects[] = { MM_ASPECT_CROP, MM_ASPECT_CROP, MM_ASPECT_PAD,
                                              MM_ASPECT_ANYRES, MM_ASPECT_SQUEEZE };

    switch (c) {
    case 'm': o->model = arg; break;
    case 'p': o->prompt = arg; break;
    case '1': o->one_item = true; break;
    case '0': o->null = true; break;
    case 'B': o->batch = (size_t)mm_opt_int(cmd, "-B", arg, 1, 4096); break;
    case OPT_POOL: o->pool = true; break;
    case OPT_TEXT: o->text = true; break;
    case OPT_LAYER:
        o->vision.layer = (int)mm_opt_int(cmd, "--layer", arg, -4096, 4096);
        o->vision.has_layer = true;
        break;
    case OPT_ASPECT:
        o->vision.aspect = aspects[mm_opt_word(cmd, "--aspect", arg, words)];
        o->vision.has_aspect = true;
        break;
    case OPT_TOWER: o->vision.tower = arg; break;
    case OPT_UPRIGHT: o->upright = true; break;
    case OPT_EXACT: o->exact = true; break;
    case MM_OPT_TRACE: o->trace = arg; break;
    case MM_OPT_KEEP_GOING: o->keep_going = true; break;
    case MM_OPT_FILES_FROM: o->files_from = arg; break;
    case MM_OPT_MAX_RECORD:
        o->max_record = mm_opt_size(cmd, "--max-record", arg, SIZE_MAX / 2);
        break;
    default: mm_cmd_common(cmd, c, arg);
    }
}

int main(int argc, char **argv)
{
    struct opts o = { .batch = 8, .max_record = (size_t)1 << 30 };
    struct mm_cmd cmd;
    struct encoder en = { .cmd = &cmd, .o = &o };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "m:p:10B:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        set_option(&o, &cmd, c, optarg);
    if (!o.model)
        mm_cmd_usage(&cmd, "no model is given (-m)");
    if (o.text && (o.pool || o.one_item || o.upright || o.prompt || o.files_from))
        mm_cmd_usage(&cmd, "--text goes with none of --pool, -1, -p, --upright, --files-from");
    if (o.files_from && optind < argc)
        mm_cmd_usage(&cmd, "--files-from goes without operands");
    const int rc = run(&en, argv + optind, argc - optind);
    close_all(&en);
    if (rc == 0 && en.failed && !cmd.err.code)
        mm_err_set(&cmd.err, MM_EDATA, "not all items could be encoded");
    return mm_cmd_finish(&cmd);
}
