/* mm-encode: pictures and texts to features, by the towers of CLIP.
 *
 *   files, pixels [B,3,S,S] -> features [P,D] ([views,P,D] of an anyres picture)
 *   --pool -> [D];  --text: texts, tokens [B,T] -> features [D]
 *
 * Records leave in the order in which they came, items whole or not at all.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cmd.h"
#include "base/progress.h"
#include "base/strings.h"
#include "model/ahead.h"
#include "model/featq.h"
#include "model/ids.h"
#include "model/towers.h"
#include "stream/cmdio.h"
#include "stream/operand.h"
#include "stream/trace.h"

static const char usage[] = "mm-encode [-1qv] [-m model] [-p text] [--pool | --text] [file ...]";
static const char help[] =
    "  -m, --model M          CLIP or LLaVA checkpoint, or a name in $MM_MODELS\n"
    "  -1, --one-item         all operands belong to one item\n"
    "  -p, --prompt TEXT      text around the pictures, an <image> for each\n"
    "  -B, --batch N          pictures in one pass of the tower (up to 8)\n"
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
    const char *model, *trace, *files_from;
    const char *prompt; /* escapes resolved */
    bool one_item, pool, text, upright, exact, keep_going, null;
    struct mm_buf text_of_p; /* what prompt points to */
    size_t batch, max_record; /* batch 0: as many as are best */
    struct mm_vision_opts vision;
};

enum { DEPTH = 16, DEPTH_FEW = 4 }; /* pictures read ahead: at most, without -B */

struct encoder {
    struct mm_cmd *cmd;
    const struct opts *o;
    struct mm_towers t;
    struct mm_ctx ctx;
    struct mm_pool *pool;
    struct mm_writer *out;
    struct mm_trace *trace;
    struct mm_stage_file stages;
    struct mm_featq *q;
    struct mm_ahead *ahead;  /* reads the operands; NULL: each when its turn comes */
    int64_t item;            /* of the next file, and of the trace */
    const char *prompt;      /* what is left of -p in this item */
    uint64_t seen;           /* pictures of this item */
    uint64_t pictures;
    struct mm_times_row open, prepare; /* the model; pictures, decoding too */
    struct mm_times times;
    bool stop;               /* the last failure was no item's */
    bool dead;               /* nothing more can be written, or shall be */
    bool failed;             /* an item did, with --keep-going */
};

static int no_memory(struct encoder *en)
{
    return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
}

/* --- items ---------------------------------------------------------------------------- */

static int flush(struct encoder *en, bool all)
{
    const int rc = mm_featq_flush(en->q, all, &en->cmd->err);

    en->dead = rc < 0;
    return rc;
}

/* The item is complete.  A traced one goes through the tower by itself. */
static int settle(struct encoder *en)
{
    mm_featq_keep(en->q);
    return flush(en, en->trace != NULL);
}

/* Takes a failed item back; with --keep-going an error record stands for it. */
static int give_up_item(struct encoder *en, const char *source)
{
    struct mm_err *e = &en->cmd->err;
    const struct mm_err why = *e;

    mm_featq_drop(en->q);
    if (en->dead)
        return why.code;
    mm_err_clear(e);
    if (!en->o->keep_going || en->stop || why.code == MM_ENOMEM) {
        (void)flush(en, true); /* items that were complete are not lost */
        en->dead = true;
        *e = why;
        return why.code;
    }
    mm_cmd_warn(en->cmd, "%s", why.msg);
    en->failed = true;
    if (flush(en, true) == 0 && mm_writer_error(en->out, en->item, source, why.msg, e) < 0)
        en->dead = true;
    return e->code;
}

/* Attributes of a record that becomes features; what rec (or NULL) says of itself is kept. */
static int set_features(struct encoder *en, struct mm_rec *r, const char *modality, int64_t item,
                        const char *source, const struct mm_rec *rec)
{
    const uint64_t model = en->o->text ? mm_ckpt_fingerprint(en->t.ck) : en->t.vision.fingerprint;

    if (mm_rec_set(r, "kind", "features") < 0 || mm_rec_set(r, "modality", modality) < 0 ||
        (item >= 0 && mm_rec_setf(r, "item", "%" PRId64, item) < 0) ||
        (source && mm_rec_set(r, "source", source) < 0) ||
        mm_rec_setf(r, "model", "%016" PRIx64, model) < 0 ||
        (rec && mm_rec_copy_attrs(r, rec) < 0))
        return no_memory(en);
    return 0;
}

static int push_text(struct encoder *en, const char *s, size_t n)
{
    struct mm_rec *r = mm_featq_text(en->q, s, n, &en->cmd->err);

    if (!r)
        return en->cmd->err.code;
    if (mm_rec_set(r, "kind", "text") < 0 || mm_rec_setf(r, "item", "%" PRId64, en->item) < 0)
        return no_memory(en);
    return 0;
}

/* --- inputs --------------------------------------------------------------------------- */

static const char marker[] = "<image>";

/* The next piece of -p, up to and with a marker (then the picture follows). */
static int push_prompt(struct encoder *en)
{
    const char *p = en->prompt, *end = p ? strstr(p, marker) : NULL;

    if (!end)
        return 0; /* no marker: pictures first, the text after them */
    en->prompt = end + sizeof(marker) - 1;
    return end > p ? push_text(en, p, (size_t)(end - p)) : 0;
}

static void start_item(struct encoder *en)
{
    en->prompt = en->o->prompt;
    en->seen = 0;
}

/* The rest of -p; it must have had a marker for each picture, or none at all. */
static int finish_item(struct encoder *en)
{
    const char *p = en->o->prompt;
    uint64_t markers = 0;

    for (; p && (p = strstr(p, marker)); p += sizeof(marker) - 1)
        markers++;
    if (markers && markers != en->seen)
        return mm_err_set(&en->cmd->err, MM_EDATA, "item %" PRId64 ": the prompt has %" PRIu64
                          " <image> markers for %" PRIu64 " pictures", en->item, markers,
                          en->seen);
    p = en->prompt;
    return p && *p ? push_text(en, p, strlen(p)) : 0;
}

static int push_picture(struct encoder *en, const struct mm_pixels *px, const char *source)
{
    const int64_t side = mm_clip_vision_config(en->t.vision.tower)->image;
    float *at;

    if (px->size_h != side || px->size_w != side)
        return mm_err_set(&en->cmd->err, MM_EDATA, "%s: prepared to %dx%d pixels, the tower takes %"
                          PRId64, source, px->size_w, px->size_h, side);
    if (push_prompt(en) < 0)
        return en->cmd->err.code;
    struct mm_rec *r = mm_featq_views(en->q, (size_t)px->tiles, px->tiles > 1, &at,
                                      &en->cmd->err);
    if (!r || set_features(en, r, "image", en->item, source, NULL) < 0)
        return en->cmd->err.code;
    memcpy(at, px->px, (size_t)(px->tiles * 3 * side * side) * sizeof(*at));
    en->seen++;
    en->pictures++;
    if (mm_rec_setf(r, "width", "%d", px->orig_w) < 0 ||
        mm_rec_setf(r, "height", "%d", px->orig_h) < 0 ||
        (px->grid_w && mm_rec_setf(r, "grid", "%dx%d", px->grid_w, px->grid_h) < 0))
        return no_memory(en);
    return 0;
}

static int take_picture(struct encoder *en, const struct mm_operand *op)
{
    struct mm_err *e = &en->cmd->err;
    struct mm_pixels px;
    int rc;

    if (!en->t.vision.tower)
        return mm_err_set(e, MM_EMISSING, "%s: holds no vision tower", mm_ckpt_path(en->t.ck));
    const double start = mm_now();
    rc = mm_preprocess_decode(&px, op->bytes.p, op->bytes.n, op->what, en->o->upright,
                              &en->t.vision.pre, e);
    en->prepare.s += mm_now() - start;
    rc = rc < 0 ? rc : push_picture(en, &px, op->what);
    mm_pixels_free(&px);
    return rc;
}

/* A `pixels` record [B,3,S,S] or [3,S,S]. */
static int take_pixels(struct encoder *en, struct mm_rec *rec)
{
    const int64_t S = mm_clip_vision_config(en->t.vision.tower)->image;
    const struct mm_tensor *t = &rec->t;
    const bool axis = t->ndim == 4;
    const int64_t *s = t->shape + axis;
    char got[128];
    float *at;

    if (t->ndim < 3 || t->ndim > 4 || s[0] != 3 || s[1] != S || s[2] != S ||
        mm_tensor_count(t) == 0 || t->dtype == MM_C64 || t->dtype == MM_BOOL)
        return mm_err_set(&en->cmd->err, MM_EDATA, "pixels record: %s %s, want numbers [B,3,%"
                          PRId64 ",%" PRId64 "]", mm_dtype_name(t->dtype),
                          mm_shape_str(got, sizeof(got), t->shape, t->ndim), S, S);
    struct mm_rec *r = mm_featq_views(en->q, axis ? (size_t)t->shape[0] : 1, axis, &at,
                                      &en->cmd->err);
    if (!r || set_features(en, r, "image", -1, NULL, rec) < 0)
        return en->cmd->err.code;
    mm_tensor_to_f32(at, t);
    en->pictures += axis ? (uint64_t)t->shape[0] : 1;
    return 0;
}

static int take_text(struct encoder *en, const char *s, size_t n, int64_t item, const char *source)
{
    struct mm_ids ids = { 0 };

    if (!en->t.tok)
        return mm_err_set(&en->cmd->err, MM_EMISSING, "%s: no tokenizer files; texts need one",
                          mm_ckpt_path(en->t.ck));
    int rc = mm_ids_for_clip(&ids, en->t.text, en->t.tok, s, n, &en->cmd->err);
    if (rc == 0) {
        struct mm_rec *r = mm_featq_ids(en->q, &ids, 1, false, &en->cmd->err);

        rc = r ? set_features(en, r, "text", item, source, NULL) : en->cmd->err.code;
    }
    mm_ids_free(&ids);
    return rc;
}

/* A `tokens` record [B,T] or [T] of the text tower. */
static int take_tokens(struct encoder *en, struct mm_rec *rec)
{
    const bool axis = rec->t.ndim == 2;
    struct mm_ids ids = { 0 };
    int rc = mm_ids_from_record(&ids, rec, &en->cmd->err);

    if (rc == 0 && (rc = mm_clip_ids_ok(en->t.text, ids.v, ids.n,
                                        rec->t.shape[rec->t.ndim - 1], &en->cmd->err)) == 0) {
        struct mm_rec *r = mm_featq_ids(en->q, &ids, axis ? (size_t)rec->t.shape[0] : 1, axis,
                                        &en->cmd->err);

        rc = r ? set_features(en, r, "text", -1, NULL, rec) : en->cmd->err.code;
    }
    mm_ids_free(&ids);
    return rc;
}

/* A record of an input stream: encoded, or passed on as it is. */
static int take_record(struct encoder *en, struct mm_rec *rec)
{
    const bool tensor = rec->type == MM_REC_TENSOR;
    if (tensor && mm_rec_is(rec, "pixels") && en->t.vision.tower)
        return take_pixels(en, rec);
    if (tensor && mm_rec_is(rec, "tokens") && en->t.text)
        return take_tokens(en, rec);
    if (rec->type == MM_REC_TEXT && en->o->text && en->t.text && !mm_rec_is_error(rec))
        return take_text(en, rec->data, rec->size, mm_rec_int(rec, "item", -1),
                         mm_rec_attr(rec, "source"));
    return mm_featq_pass(en->q, rec, &en->cmd->err);
}

/* The records of a stream keep their items, but with -1 and where an earlier operand or
 * section had the number.  With --keep-going and --trace an
 * item goes as a whole, else each record as soon as it can. */
static int take_stream(struct encoder *en, const struct mm_operand *op)
{
    const bool one = en->o->one_item, whole = one || en->o->keep_going || en->trace;
    struct mm_err *e = &en->cmd->err;
    struct mm_numbering numbering = { .last = en->item - 1 };
    int64_t item = -1, bad = -1; /* at hand; given up */
    bool any = false;
    struct mm_rec rec;
    int rc;

    while ((rc = mm_reader_get(op->reader, &rec, e)) > 0) {
        if (!one && mm_number(&numbering, &rec, mm_reader_section(op->reader), e) < 0)
            return mm_err_prefix(e, "%s", op->what);
        const int64_t own = one ? en->item : mm_rec_int(&rec, "item", -1);

        if (one && mm_rec_setf(&rec, "item", "%" PRId64, own) < 0)
            return no_memory(en);
        if (!one && any && (own < 0 || own != item) && settle(en) < 0)
            return e->code;
        en->item = own < 0 ? en->item : own;
        item = own;
        any = true;
        if (own >= 0 && own == bad)
            continue;
        if ((rc = take_record(en, &rec)) < 0) {
            mm_err_prefix(e, "%s: item %" PRId64, op->what, en->item);
            if (one || give_up_item(en, op->what) < 0)
                return e->code;
            bad = own;
        } else if ((whole ? flush(en, false) : settle(en)) < 0) {
            return e->code;
        }
    }
    en->stop = rc < 0 && any; /* what was passed on is never closed by an end */
    return rc;
}

/* --text: each line is an item. */
static int take_lines(struct encoder *en, const struct mm_operand *op)
{
    const char *s = op->bytes.p, *const end = s + op->bytes.n;

    for (uint64_t line = 1; s < end; line++) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        const size_t len = (size_t)((nl ? nl : end) - s);
        int rc = take_text(en, s, len, en->item, NULL);

        if (rc < 0) {
            mm_err_prefix(&en->cmd->err, "%s: line %" PRIu64, op->what, line);
            rc = give_up_item(en, op->what);
        } else {
            rc = settle(en);
        }
        if (rc < 0)
            return rc;
        s += len + 1;
        en->item += s < end && en->item < INT64_MAX;
    }
    return 0;
}

/* One operand: a stream, a picture, or with --text lines. */
static int take_file(struct encoder *en, const char *path)
{
    struct mm_operand op;
    int rc = mm_operand_open(&op, path, en->o->max_record, &en->cmd->err);

    if (rc < 0)
        return rc;
    if (op.reader && en->o->prompt)
        rc = mm_err_set(&en->cmd->err, MM_EDATA, "%s: a stream; -p goes with pictures", op.what);
    else if (op.reader)
        rc = take_stream(en, &op);
    else if (en->o->text)
        rc = take_lines(en, &op);
    else
        rc = take_picture(en, &op);
    mm_operand_close(&op);
    return rc;
}

/* Operand i: what has been read ahead, or its file; of --text a text itself. */
static int take_operand(struct encoder *en, const char *s, size_t i)
{
    struct mm_pixels px;
    int rc = en->ahead ? mm_ahead_take(en->ahead, i, &px, &en->cmd->err) : 0;

    if (rc) {
        rc = rc < 0 ? rc : push_picture(en, &px, s);
        mm_pixels_free(&px);
        return rc;
    }
    if (!en->o->text || !strcmp(s, "-"))
        return take_file(en, s);
    rc = take_text(en, s, strlen(s), en->item, s);
    return rc < 0 ? mm_err_prefix(&en->cmd->err, "'%.40s'", s) : rc;
}

/* The next pictures are prepared while the tower works, if there is more than one. */
static int read_ahead(struct encoder *en, char *const *paths, size_t n)
{
    const struct mm_ahead_conf conf = { .paths = paths, .n = n, .pre = &en->t.vision.pre,
                                        .upright = en->o->upright,
                                        .max_bytes = en->o->max_record,
                                        .depth = !en->o->batch          ? DEPTH_FEW
                                                 : en->o->batch < DEPTH ? en->o->batch + 1
                                                                        : DEPTH };

    if (n < 2 || en->o->text || !en->t.vision.tower || en->cmd->threads < 2)
        return 0;
    return mm_ahead_new(&en->ahead, &conf, &en->cmd->err);
}

/* Files (with --text, texts) as items of one each, or all in one. */
static int take_files(struct encoder *en, char *const *paths, size_t n)
{
    struct mm_progress p;
    int rc = read_ahead(en, paths, n);

    if (rc < 0)
        return rc;
    mm_progress_start(&p, en->cmd, "pictures", n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const bool last = !en->o->one_item || i + 1 == n;

        en->stop = false;
        if (!en->o->one_item || i == 0)
            start_item(en);
        if ((rc = take_operand(en, paths[i], i)) == 0 && last)
            rc = finish_item(en);
        if (rc == 0)
            rc = last ? settle(en) : flush(en, false);
        if (rc < 0) {
            rc = give_up_item(en, paths[i]);
            if (en->o->one_item)
                break;
        }
        en->item += last && en->item < INT64_MAX;
        mm_progress_step(&p, i + 1);
    }
    mm_progress_end(&p);
    en->prepare.s += mm_ahead_seconds(en->ahead);
    mm_ahead_free(en->ahead);
    en->ahead = NULL;
    return rc < 0 ? rc : flush(en, true);
}

/* --- set-up --------------------------------------------------------------------------- */

static int start(struct encoder *en)
{
    struct mm_cmd *cmd = en->cmd;
    struct mm_err *e = &cmd->err;
    int rc;

    if ((rc = mm_output_open(&en->out, e)) < 0 ||
        (rc = mm_towers_open(&en->t, en->o->model, en->o->text, &en->o->vision, e)) < 0 ||
        (rc = mm_trace_open(&en->trace, en->o->trace, e)) < 0)
        return rc;
    en->pool = mm_pool_new(cmd->threads);
    if (!en->pool)
        return mm_err_set(e, MM_ENOMEM, "cannot start %d threads", cmd->threads);
    rc = mm_ctx_init(&en->ctx, en->pool, en->o->exact ? MM_ARITH_EXACT : MM_ARITH_FAST, e);
    if (rc < 0 || (en->o->text && (rc = mm_towers_pack_text(&en->t, en->pool, e)) < 0))
        return rc;
    en->stages = (struct mm_stage_file){ en->trace, &en->item };
    mm_trace_to(&en->ctx, &en->stages);
    en->ctx.times = cmd->verbose ? &en->times : NULL;
    struct mm_featq_conf conf = { .vision = en->t.vision.tower, .text = en->t.text,
                                  .select = en->t.vision.select, .ctx = &en->ctx,
                                  .out = en->out, .batch = en->o->batch, .pool = en->o->pool,
                                  .together = en->trace != NULL };
    conf.select.pooled = en->o->pool || en->trace;
    return mm_featq_new(&en->q, &conf, e);
}

static void say_times(const struct encoder *en)
{
    struct mm_buf b = { 0 };

    mm_times_line(&b, "open", &en->open);
    mm_times_line(&b, "preprocess", &en->prepare);
    mm_encoder_times(&b, &en->times);
    mm_buf_printf(&b, "%" PRIu64 " pictures, %" PRIu64 " runs of the encoder, %.1f MiB at most",
                  en->pictures, mm_featq_passes(en->q),
                  (double)mm_arena_peak(en->ctx.arena) / 1048576.0);
    mm_cmd_info_lines(en->cmd, b.p);
    mm_buf_free(&b);
}

static int run(struct encoder *en, char *const *argv, int n)
{
    static char *const standard_input[] = { (char *)"-" };
    struct mm_cmd *cmd = en->cmd;
    struct mm_files files = { 0 };
    const double begin = mm_now();
    int rc = start(en);
    if (rc < 0)
        return rc;
    en->open.s = mm_now() - begin;
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
    say_times(en);
    return rc;
}

static void close_all(struct encoder *en)
{
    mm_featq_free(en->q);
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
    case 'p':
        mm_buf_reset(&o->text_of_p);
        mm_unescape(&o->text_of_p, arg);
        o->prompt = o->text_of_p.p ? o->text_of_p.p : "";
        break;
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
    struct opts o = { .model = MM_SHIPPED, .max_record = (size_t)1 << 30 };
    struct mm_cmd cmd;
    struct encoder en = { .cmd = &cmd, .o = &o };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "m:p:10B:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        set_option(&o, &cmd, c, optarg);
    if (o.text && (o.pool || o.one_item || o.upright || o.prompt || o.files_from))
        mm_cmd_usage(&cmd, "--text goes with none of --pool, -1, -p, --upright, --files-from");
    if (o.files_from && optind < argc)
        mm_cmd_usage(&cmd, "--files-from goes without operands");
    const int rc = run(&en, argv + optind, argc - optind);
    close_all(&en);
    mm_buf_free(&o.text_of_p);
    if (rc == 0 && en.failed && !cmd.err.code)
        mm_err_set(&cmd.err, MM_EDATA, "not all items could be encoded");
    return mm_cmd_finish(&cmd);
}
