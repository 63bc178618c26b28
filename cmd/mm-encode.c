/* mm-encode: pictures and texts to features, by the towers of CLIP.
 *
 *   files, pixels [B,3,S,S] -> features [P,D] ([views,P,D] of an anyres picture)
 *   --pool -> [D];  --text: texts, tokens [B,T] -> features [D]
 *
 * Pictures wait in a queue until a batch is full; records leave in the order
 * in which they came.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cmd.h"
#include "base/io.h"
#include "base/progress.h"
#include "base/size.h"
#include "media/image.h"
#include "model/vision.h"
#include "stream/cmdio.h"
#include "stream/trace.h"
#include "text/tokenizer.h"

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
    float *px;            /* [views][3][S][S], or NULL */
    size_t views;
    bool pack;            /* came as pixels [B,...]: features keep the batch axis */
    struct mm_ids ids;    /* of a text, or of tokens [rows][n / rows] */
    size_t rows;          /* texts in ids, 0: none */
    int64_t item;
};

struct encoder {
    struct mm_cmd *cmd;
    const struct opts *o;
    struct mm_ckpt *ck;
    struct mm_vision vision;
    struct mm_clip_text *text;
    struct mm_tok *tok;
    struct mm_ctx ctx;
    struct mm_pool *pool;
    struct mm_writer *out;
    struct mm_trace *trace;
    struct entry *queue;
    size_t n, cap, pending;  /* entries; views among them */
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
    free(q->px);
    mm_ids_free(&q->ids);
}

static struct entry *push(struct encoder *en, enum mm_rec_type type, int64_t item)
{
    if (!mm_grow(&en->queue, &en->cap, en->n + 1, sizeof(*en->queue))) {
        mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
        return NULL;
    }
    struct entry *q = &en->queue[en->n++];
    *q = (struct entry){ .item = item };
    mm_rec_init(&q->rec, type);
    return q;
}

static int set_common(struct entry *q, const char *kind, const char *modality, const char *source,
                      const struct encoder *en)
{
    struct mm_rec *r = &q->rec;

    if (mm_rec_set(r, "kind", kind) < 0 || (modality && mm_rec_set(r, "modality", modality) < 0) ||
        (q->item >= 0 && mm_rec_setf(r, "item", "%" PRId64, q->item) < 0) ||
        (source && mm_rec_set(r, "source", source) < 0) ||
        mm_rec_setf(r, "model", "%016" PRIx64,
                    en->o->text ? mm_ckpt_fingerprint(en->ck) : en->vision.fingerprint) < 0)
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
    return 0;
}

static int push_text(struct encoder *en, const char *s, size_t n, int64_t item)
{
    struct entry *q = push(en, MM_REC_TEXT, item);

    if (!q || !(q->rec.data = malloc(n + 1)))
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
    memcpy(q->rec.data, s, n);
    q->rec.size = n;
    if (mm_rec_set(&q->rec, "kind", "text") < 0 ||
        mm_rec_setf(&q->rec, "item", "%" PRId64, item) < 0)
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
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
    const int64_t S = mm_clip_vision_config(en->vision.tower)->image;
    const int64_t shape[4] = { (int64_t)en->pending, 3, S, S };
    const size_t view = (size_t)(3 * S * S);
    struct mm_clip_select select = en->vision.select;
    struct mm_var *x = mm_var_new(&en->ctx, 4, shape);
    struct mm_clip_out out;
    size_t at = 0;

    for (size_t i = 0; x && i < en->n; i++)
        if (en->queue[i].px) {
            memcpy(mm_f32(x) + at * view, en->queue[i].px,
                   en->queue[i].views * view * sizeof(float));
            at += en->queue[i].views;
        }
    if (!x)
        return NULL;
    mm_trace_stage(&en->ctx, x, "pixel_values");
    select.pooled = en->o->pool || en->trace;
    mm_clip_see(&en->ctx, en->vision.tower, x, &select, &out);
    en->runs++;
    if (en->o->pool)
        return out.embed ? out.embed : out.pooled;
    return out.features;
}

/* Writes an entry's share of the features, rows [at, at + views) of y. */
static int put_features(struct encoder *en, struct entry *q, const struct mm_var *y, size_t at)
{
    struct mm_tensor t = y->t;

    t.shape[0] = (int64_t)q->views;
    t.data = (char *)y->t.data + at * (mm_tensor_bytes(&y->t) / (size_t)y->t.shape[0]);
    if (q->views == 1 && !q->pack) { /* one view: [P, D] or [D] */
        t.ndim--;
        memmove(t.shape, t.shape + 1, (size_t)t.ndim * sizeof(*t.shape));
    }
    q->rec.t = t;
    q->rec.data = NULL;
    q->rec.size = mm_tensor_bytes(&t);
    struct mm_rec r = q->rec;
    r.data = t.data;
    return mm_writer_put(en->out, &r, &en->cmd->err);
}

/* Texts of one entry through the text tower. */
static int put_text_features(struct encoder *en, struct entry *q)
{
    struct mm_clip_out out;

    mm_clip_read(&en->ctx, en->text, q->ids.v, (int64_t)q->rows, (int64_t)(q->ids.n / q->rows),
                 &out);
    const struct mm_var *y = out.embed ? out.embed : out.pooled;
    if (!y) {
        en->cmd->err = en->ctx.err;
        return en->cmd->err.code;
    }
    en->runs++;
    q->views = q->rows;
    return put_features(en, q, y, 0);
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

        if (rc == 0 && q->px) {
            rc = put_features(en, q, y, at);
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

/* After a picture: is the batch full?  A traced item is run by itself, whole. */
static int flush_if_full(struct encoder *en)
{
    if (en->trace)
        return 0;
    return en->pending >= en->o->batch || en->n >= 64 * en->o->batch ? flush_queue(en) : 0;
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

static int prepare(struct encoder *en, struct mm_image *im, const char *source)
{
    struct mm_pixels px = { 0 };
    struct mm_err *e = &en->cmd->err;

    if ((en->o->upright && mm_image_upright(im, e) < 0) ||
        mm_preprocess_run(&px, im, &en->vision.pre, e) < 0)
        return mm_err_prefix(e, "%s", source);
    const int64_t side = mm_clip_vision_config(en->vision.tower)->image;
    if (px.size_h != side || px.size_w != side) {
        mm_err_set(e, MM_EDATA, "%s: prepared to %dx%d pixels, the tower takes %" PRId64, source,
                   px.size_w, px.size_h, side);
        mm_pixels_free(&px);
        return e->code;
    }
    struct entry *q = push_prompt(en, false) < 0 ? NULL : push(en, MM_REC_TENSOR, en->item);
    if (!q) {
        mm_pixels_free(&px);
        return e->code;
    }
    q->px = px.px;
    q->views = (size_t)px.tiles;
    en->pending += q->views;
    en->pictures++;
    if (set_common(q, "features", "image", source, en) < 0 ||
        mm_rec_setf(&q->rec, "width", "%d", px.orig_w) < 0 ||
        mm_rec_setf(&q->rec, "height", "%d", px.orig_h) < 0 ||
        (px.grid_w && mm_rec_setf(&q->rec, "grid", "%dx%d", px.grid_w, px.grid_h) < 0))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

/* A `pixels` record [B,3,S,S] or [3,S,S]. */
static int take_pixels(struct encoder *en, struct mm_rec *rec)
{
    const int64_t S = mm_clip_vision_config(en->vision.tower)->image;
    const struct mm_tensor *t = &rec->t;
    const int64_t *s = t->shape + (t->ndim == 4);
    char got[128];

    if (t->ndim < 3 || t->ndim > 4 || s[0] != 3 || s[1] != S || s[2] != S ||
        mm_tensor_count(t) == 0)
        return mm_err_set(&en->cmd->err, MM_EDATA, "pixels record: shape %s, want [B,3,%" PRId64
                          ",%" PRId64 "]", mm_shape_str(got, sizeof(got), t->shape, t->ndim), S, S);
    struct entry *q = push(en, MM_REC_TENSOR, mm_rec_int(rec, "item", -1));
    if (!q || !(q->px = malloc(mm_tensor_count(t) * sizeof(float))))
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
    mm_tensor_to_f32(q->px, t);
    q->pack = t->ndim == 4;
    q->views = q->pack ? (size_t)t->shape[0] : 1;
    en->pending += q->views;
    en->pictures += q->views;
    if (set_common(q, "features", "image", NULL, en) < 0 || mm_rec_copy_attrs(&q->rec, rec) < 0)
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
    return 0;
}

/* Ids of one text, cut to the tower's positions with the end token kept. */
static int tokenize(struct encoder *en, struct entry *q, const char *s, size_t n)
{
    const size_t most = (size_t)mm_clip_text_config(en->text)->positions;
    struct mm_err *e = &en->cmd->err;
    unsigned flags = MM_TOK_SPECIAL | (mm_tok_default_parse(en->tok) ? MM_TOK_PARSE : 0);

    if (mm_tok_encode(en->tok, &q->ids, s, n, flags, e) < 0)
        return e->code;
    if (q->ids.n == 0)
        return mm_err_set(e, MM_EDATA, "a text without tokens");
    if (q->ids.n > most) {
        q->ids.v[most - 1] = q->ids.v[q->ids.n - 1];
        q->ids.n = most;
    }
    q->rows = 1;
    return 0;
}

static int take_text(struct encoder *en, const char *s, size_t n, int64_t item, const char *source)
{
    struct entry *q = push(en, MM_REC_TENSOR, item);

    if (!q || set_common(q, "features", "text", source, en) < 0)
        return en->cmd->err.code;
    if (!en->tok)
        return mm_err_set(&en->cmd->err, MM_EMISSING, "%s: no tokenizer files; texts need one",
                          mm_ckpt_path(en->ck));
    return tokenize(en, q, s, n);
}

/* A `tokens` record [B,T] or [T] of the text tower. */
static int take_tokens(struct encoder *en, struct mm_rec *rec)
{
    const struct mm_tensor *t = &rec->t;
    const size_t n = mm_tensor_count(t);

    if (t->ndim < 1 || t->ndim > 2 || n == 0 || (t->dtype != MM_I32 && t->dtype != MM_I64))
        return mm_err_set(&en->cmd->err, MM_EDATA, "tokens record: %s of %d dimensions, want i32 or "
                          "i64 [B,T]", mm_dtype_name(t->dtype), t->ndim);
    struct entry *q = push(en, MM_REC_TENSOR, mm_rec_int(rec, "item", -1));
    if (!q || set_common(q, "features", "text", NULL, en) < 0 ||
        mm_rec_copy_attrs(&q->rec, rec) < 0)
        return mm_err_set(&en->cmd->err, MM_ENOMEM, "out of memory");
    q->rows = t->ndim == 2 ? (size_t)t->shape[0] : 1;
    q->pack = t->ndim == 2;
    for (size_t i = 0; i < n; i++) {
        const int64_t id = t->dtype == MM_I32 ? ((const int32_t *)t->data)[i]
                                              : ((const int64_t *)t->data)[i];

        if (id < INT32_MIN || id > INT32_MAX || mm_ids_add(&q->ids, (int32_t)id) < 0)
            return mm_err_set(&en->cmd->err, MM_EDATA, "token id %" PRId64 " is out of range", id);
    }
    return 0;
}

/* A record of an input stream: encoded, or passed on as it is. */
static int take_record(struct encoder *en, struct mm_rec *rec)
{
    if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "pixels") && en->vision.tower)
        return take_pixels(en, rec);
    if (rec->type == MM_REC_TENSOR && mm_rec_is(rec, "tokens") && en->text)
        return take_tokens(en, rec);
    if (rec->type == MM_REC_TEXT && en->o->text && en->text && !mm_rec_is_error(rec))
        return take_text(en, rec->data, rec->size, mm_rec_int(rec, "item", -1),
                         mm_rec_attr(rec, "source"));
    int rc = flush_queue(en); /* keeps the order without a copy of the record */
    return rc < 0 ? rc : mm_writer_put(en->out, rec, &en->cmd->err);
}

static int take_stream(struct encoder *en, int fd, const char *what, const void *head, size_t n)
{
    struct mm_reader *r = NULL;
    struct mm_err *e = &en->cmd->err;
    struct mm_rec rec;
    int rc = mm_reader_open(&r, fd, what, en->o->max_record, e);

    if (rc < 0)
        return rc;
    mm_reader_prefix(r, head, n);
    while ((rc = mm_reader_get(r, &rec, e)) > 0) {
        en->item = mm_rec_int(&rec, "item", en->item);
        if ((rc = take_record(en, &rec)) < 0 ||
            (rc = en->trace ? flush_queue(en) : flush_if_full(en)) < 0)
            break;
    }
    mm_reader_close(r);
    return rc;
}

/* The rest of a media file of which n bytes are in head. */
static int slurp_rest(struct encoder *en, int fd, const char *head, size_t n, struct mm_buf *b)
{
    char chunk[65536];
    ssize_t got;

    mm_buf_add(b, head, n);
    while ((got = mm_io_read_some(fd, chunk, sizeof(chunk), &en->cmd->err)) > 0) {
        mm_buf_add(b, chunk, (size_t)got);
        if (b->failed || b->n > en->o->max_record)
            return mm_err_set(&en->cmd->err, MM_EDATA, "more than %zu bytes of media",
                              en->o->max_record);
    }
    return got < 0 ? en->cmd->err.code : 0;
}

/* --text: each line of a file or of standard input is an item. */
static int take_lines(struct encoder *en, const char *s, size_t n)
{
    const char *const end = s + n;
    int rc = 0;

    while (rc == 0 && s < end) {
        const char *nl = memchr(s, '\n', (size_t)(end - s));
        const size_t len = (size_t)((nl ? nl : end) - s);

        rc = take_text(en, s, len, en->item++, NULL);
        if (rc == 0)
            rc = en->trace ? flush_queue(en) : flush_if_full(en);
        s += len + 1;
    }
    return rc;
}

static int take_media(struct encoder *en, int fd, const char *what, const char *head, size_t n)
{
    struct mm_image im = { 0 };
    struct mm_buf b = { 0 };
    int rc = slurp_rest(en, fd, head, n, &b);

    if (rc == 0 && en->o->text)
        rc = take_lines(en, b.p, b.n);
    else if (rc == 0 && !en->vision.tower)
        rc = mm_err_set(&en->cmd->err, MM_EMISSING, "%s: holds no vision tower",
                        mm_ckpt_path(en->ck));
    else if (rc == 0 && (rc = mm_image_decode(&im, b.p, b.n, what, 0, &en->cmd->err)) == 0)
        rc = prepare(en, &im, what);
    mm_buf_free(&b);
    mm_image_free(&im);
    return rc;
}

/* One operand: a stream or a picture, told by its first bytes. */
static int take_file(struct encoder *en, const char *path)
{
    const bool std = !strcmp(path, "-");
    const char *what = std ? "standard input" : path;
    const int fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    char head[16];
    int rc;

    if (fd < 0)
        return mm_err_set(&en->cmd->err, MM_ENOENT, "%s:", path);
    rc = mm_io_read(fd, head, sizeof(head), &n, &en->cmd->err);
    if (rc == MM_EDATA) { /* shorter than a head: no stream, and no picture either */
        mm_err_clear(&en->cmd->err);
        rc = 0;
    }
    if (rc < 0)
        mm_err_prefix(&en->cmd->err, "%s", what);
    else if (n == 0)
        rc = mm_err_set(&en->cmd->err, MM_EDATA, "%s: empty: neither a stream nor a picture", what);
    else if (n >= 7 && mm_stream_magic(head, n))
        rc = take_stream(en, fd, what, head, n);
    else
        rc = take_media(en, fd, what, head, n);
    if (!std)
        close(fd);
    return rc;
}

/* Takes a failed item's entries back; with --keep-going an error record stands for it. */
static int give_up_item(struct encoder *en, size_t first, const char *source)
{
    struct mm_err *e = &en->cmd->err;
    char reason[sizeof(e->msg)];

    while (en->n > first) {
        struct entry *q = &en->queue[--en->n];

        en->pending -= q->px ? q->views : 0;
        entry_free(q);
    }
    if (!en->o->keep_going || e->code == MM_EIO || e->code == MM_ENOMEM) {
        struct mm_err why = *e;

        mm_err_clear(e);
        (void)flush_queue(en); /* items that were complete are not lost */
        *e = why;
        return why.code;
    }
    mm_cmd_warn(en->cmd, "%s", e->msg);
    snprintf(reason, sizeof(reason), "%s", e->msg);
    mm_err_clear(e);
    en->failed = true;
    if (flush_queue(en) < 0)
        return e->code;
    return mm_writer_error(en->out, en->item, source, reason, e);
}

/* Files as items of one picture each, or all in one. */
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
        rc = take_file(en, paths[i]);
        if (rc == 0 && last)
            rc = push_prompt(en, true);
        if (rc == 0)
            rc = en->trace && last ? flush_queue(en) : en->o->one_item ? 0 : flush_if_full(en);
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

/* --text: operands are texts, each an item. */
static int take_texts(struct encoder *en, char *const *texts, int n)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++, en->item++)
        if ((rc = take_text(en, texts[i], strlen(texts[i]), en->item, texts[i])) == 0)
            rc = en->trace ? flush_queue(en) : flush_if_full(en);
    return rc < 0 ? rc : flush_queue(en);
}

/* --- set-up --------------------------------------------------------------------------- */

/* Opens the towers that the checkpoint has; at least one must be there. */
static int open_models(struct encoder *en)
{
    struct mm_err *e = &en->cmd->err, text = { 0 };
    char *path = NULL;
    int rc;

    if ((rc = mm_ckpt_find(&path, en->o->model, e)) < 0 || (rc = mm_ckpt_open(&en->ck, path, e)) < 0)
        goto out;
    if (mm_clip_text_open(&en->text, en->ck, &text) < 0 &&
        (text.code != MM_EMISSING || en->o->text)) {
        *e = text;
        rc = e->code;
        goto out;
    }
    if (en->text && mm_tok_open(&en->tok, path, &text) < 0)
        en->tok = NULL; /* ids still work */
    if (!en->o->text && (rc = mm_vision_open(&en->vision, en->ck, &en->o->vision, e)) < 0 &&
        rc == MM_EMISSING && en->text) {
        mm_err_clear(e); /* a text tower alone: tokens records */
        rc = 0;
    }
out:
    free(path);
    return rc;
}

static int run(struct encoder *en, char *const *argv, int n)
{
    static char *const standard_input[] = { (char *)"-" };
    struct mm_cmd *cmd = en->cmd;
    struct mm_files files = { 0 };
    int rc;

    if ((rc = mm_output_open(&en->out, &cmd->err)) < 0 || (rc = open_models(en)) < 0 ||
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
    } else if (en->o->text && n > 0) {
        rc = take_texts(en, argv, n);
    } else {
        rc = n ? take_files(en, argv, (size_t)n) : take_files(en, standard_input, 1);
    }
    if (rc == 0 && (rc = mm_writer_end(en->out, &cmd->err)) == 0) {
        rc = mm_trace_close(en->trace, &cmd->err);
        en->trace = NULL;
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
    mm_trace_abort(en->trace); /* not closed: something failed */
    mm_writer_close(en->out);
    mm_ctx_free(&en->ctx);
    mm_vision_close(&en->vision);
    mm_clip_text_free(en->text);
    mm_tok_free(en->tok);
    mm_ckpt_close(en->ck);
    mm_pool_free(en->pool);
}

static void set_option(struct opts *o, struct mm_cmd *cmd, int c, const char *arg)
{
    static const char *const aspects[] = { "crop", "pad", "anyres", "squeeze", "square", NULL };
    int w;

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
        w = mm_opt_word(cmd, "--aspect", arg, aspects);
        o->vision.aspect = w == 4 ? MM_ASPECT_CROP : (enum mm_aspect)w;
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
