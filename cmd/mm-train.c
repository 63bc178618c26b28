/* mm-train: weights from data: every training objective, one loop.
 *
 *   model + samples -> OUT/model.safetensors, config.json, tokenizer
 *
 * OUT/state.safetensors is the checkpoint that --resume goes on from, OUT/log.jsonl a
 * line for each update.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/progress.h"
#include "text/bpetrain.h"
#include "train/corpus.h"
#include "train/exchange.h"
#include "train/export.h"
#include "train/job.h"
#include "train/saved.h"
#include "train/start.h"

enum { LOG_SECONDS = 5 }; /* the log on disk is no older */

static const char usage[] =
    "mm-train [-qv] [-j threads] [-s seed] objective -o dir [option ...] [file ...]";
static const char help[] =
    "objectives: tokenizer (--vocab N, --style llama|clip), lm, contrastive, regions, llava-align,\n"
    "            llava-instruct\n"
    "  -m, --model M           checkpoint to start from;  --config FILE: a new model\n"
    "      --tokenizer T       of a new model, or instead of the model's\n"
    "      --data FILE         as an operand: texts, records, LLaVA JSON; - is standard input\n"
    "      --lines             text files hold a document a line\n"
    "      --images DIR        pictures;  --features FILE: mm-encode's output for them\n"
    "      --vision-tower M, --projector M     if the model holds none\n"
    "      --aspect A          pad, crop, square instead of the checkpoint's\n"
    "      --template T        of conversations\n"
    "  -o, --out DIR           model, log and checkpoint go here\n"
    "      --resume            go on from the checkpoint in DIR, if there is one\n"
    "      --steps N | --epochs X     updates, or passes over the data (1)\n"
    "  -B, --batch N           samples of a micro-batch (8)\n"
    "      --accumulate N      micro-batches of an update (1)\n"
    "      --context N         tokens of a row or sample at most (256; LLaVA 2048)\n"
    "      --lr X              learning rate\n"
    "      --warmup N          updates, or below 1 a part of all (0.03)\n"
    "      --schedule S        cosine, constant, linear\n"
    "      --optimizer O       adamw, adam, sgd;  --betas A,B  --eps X  --weight-decay X\n"
    "      --clip X            largest norm of the gradient (1; 0: no clipping)\n"
    "      --ema D             write averages of the weights, of decay D\n"
    "      --train GLOB --freeze GLOB     names of weights, up to 16 of each\n"
    "      --projector-lr X    the projector's own rate\n"
    "      --lora R            adapters of rank R;  --lora-alpha X (2 R)  --lora-targets RE\n"
    "      --adapter DIR       go on from these adapters\n"
    "      --loss-norm N       batch, token\n"
    "      --no-shuffle        samples in their order;  --group-by-length\n"
    "      --checkpoint-activations       compute layers again in backward: less memory\n"
    "      --bf16              the model sees its weights rounded to bf16\n"
    "      --dtype T           of the model written: f32, f16, bf16 (as it was)\n"
    "      --save-every N, --save-minutes M     checkpoints (every 10 minutes)\n";

enum {
    OPT_CONFIG = MM_OPT_FIRST, OPT_TOKENIZER, OPT_DATA, OPT_LINES, OPT_RESUME, OPT_STEPS,
    OPT_EPOCHS, OPT_ACCUMULATE, OPT_CONTEXT, OPT_LR, OPT_WARMUP, OPT_SCHEDULE, OPT_OPTIMIZER,
    OPT_BETAS, OPT_EPS, OPT_DECAY, OPT_CLIP, OPT_EMA, OPT_TRAIN, OPT_FREEZE, OPT_NORM,
    OPT_NO_SHUFFLE, OPT_RECOMPUTE, OPT_BF16, OPT_DTYPE, OPT_SAVE_EVERY, OPT_SAVE_MINUTES,
    OPT_IMAGES, OPT_FEATURES, OPT_VISION, OPT_PROJECTOR, OPT_ASPECT, OPT_TEMPLATE,
    OPT_PROJECTOR_LR, OPT_LORA, OPT_LORA_ALPHA, OPT_LORA_TARGETS, OPT_ADAPTER, OPT_GROUP, OPT_VOCAB,
    OPT_STYLE
};

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "model", required_argument, NULL, 'm' },
    { "config", required_argument, NULL, OPT_CONFIG },
    { "tokenizer", required_argument, NULL, OPT_TOKENIZER },
    { "data", required_argument, NULL, OPT_DATA },
    { "lines", no_argument, NULL, OPT_LINES },
    { "out", required_argument, NULL, 'o' },
    { "resume", no_argument, NULL, OPT_RESUME },
    { "steps", required_argument, NULL, OPT_STEPS },
    { "epochs", required_argument, NULL, OPT_EPOCHS },
    { "batch", required_argument, NULL, 'B' },
    { "accumulate", required_argument, NULL, OPT_ACCUMULATE },
    { "context", required_argument, NULL, OPT_CONTEXT },
    { "lr", required_argument, NULL, OPT_LR },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "schedule", required_argument, NULL, OPT_SCHEDULE },
    { "optimizer", required_argument, NULL, OPT_OPTIMIZER },
    { "betas", required_argument, NULL, OPT_BETAS },
    { "eps", required_argument, NULL, OPT_EPS },
    { "weight-decay", required_argument, NULL, OPT_DECAY },
    { "clip", required_argument, NULL, OPT_CLIP },
    { "ema", required_argument, NULL, OPT_EMA },
    { "train", required_argument, NULL, OPT_TRAIN },
    { "freeze", required_argument, NULL, OPT_FREEZE },
    { "loss-norm", required_argument, NULL, OPT_NORM },
    { "no-shuffle", no_argument, NULL, OPT_NO_SHUFFLE },
    { "checkpoint-activations", no_argument, NULL, OPT_RECOMPUTE },
    { "bf16", no_argument, NULL, OPT_BF16 },
    { "dtype", required_argument, NULL, OPT_DTYPE },
    { "save-every", required_argument, NULL, OPT_SAVE_EVERY },
    { "save-minutes", required_argument, NULL, OPT_SAVE_MINUTES },
    { "images", required_argument, NULL, OPT_IMAGES },
    { "features", required_argument, NULL, OPT_FEATURES },
    { "vision-tower", required_argument, NULL, OPT_VISION },
    { "projector", required_argument, NULL, OPT_PROJECTOR },
    { "aspect", required_argument, NULL, OPT_ASPECT },
    { "template", required_argument, NULL, OPT_TEMPLATE },
    { "projector-lr", required_argument, NULL, OPT_PROJECTOR_LR },
    { "lora", required_argument, NULL, OPT_LORA },
    { "lora-alpha", required_argument, NULL, OPT_LORA_ALPHA },
    { "lora-targets", required_argument, NULL, OPT_LORA_TARGETS },
    { "adapter", required_argument, NULL, OPT_ADAPTER },
    { "group-by-length", no_argument, NULL, OPT_GROUP },
    { "vocab", required_argument, NULL, OPT_VOCAB },
    { "style", required_argument, NULL, OPT_STYLE },
    { NULL, 0, NULL, 0 }
};

struct opts {
    const char *objective;
    struct mm_job_spec job;
    char **data; /* [ndata] of --data, then the operands */
    bool resume;
    int64_t save_every;  /* updates, 0: by time alone */
    double save_minutes;
    struct mm_bpetrain_spec bpe; /* tokenizer */
};

struct train {
    struct mm_cmd *cmd;
    struct opts *o;
    struct mm_job job;
    struct mm_pool *pool;
    json_t *settings;
    struct mm_buf state, log, start; /* paths */
    struct mm_buf lines;             /* of the log, all of this run */
    double began, saved, logged;     /* seconds */
    int64_t first;                   /* update this process began with */
    int rank, processes;
    int claim;                       /* on the directory; -1: none */
};

/* --- options ----------------------------------------------------------------------- */

static void add_glob(struct mm_cmd *cmd, const char **list, const char *opt, const char *arg)
{
    size_t n = 0;

    while (list[n])
        n++;
    if (n == MM_JOB_GLOBS)
        mm_cmd_usage(cmd, "%s: more than %d times", opt, MM_JOB_GLOBS);
    list[n] = arg;
}

static void add_data(struct mm_cmd *cmd, struct opts *o, char *path)
{
    char **v = realloc(o->data, ((size_t)o->job.ndata + 1) * sizeof(*v));

    if (!v) {
        mm_err_set(&cmd->err, MM_ENOMEM, "out of memory");
        mm_cmd_fail(cmd);
    }
    v[o->job.ndata++] = path;
    o->job.data = o->data = v;
}

static void set_betas(struct mm_cmd *cmd, struct mm_optim *o, const char *arg)
{
    char end;

    if (sscanf(arg, "%lf,%lf%c", &o->beta1, &o->beta2, &end) != 2 || !(o->beta1 >= 0) ||
        !(o->beta1 < 1) || !(o->beta2 >= 0) || !(o->beta2 < 1))
        mm_cmd_usage(cmd, "--betas: '%s': two numbers from 0 to below 1 are wanted, as 0.9,0.95",
                     arg);
}

/* Below 1 a part of all updates, kept negative in thousandths. */
static int64_t warmup(struct mm_cmd *cmd, const char *arg)
{
    const double x = mm_opt_double(cmd, "--warmup", arg, 0, 1e9);

    return x < 1 ? -(int64_t)(x * 1000 + 0.5) : (int64_t)x;
}

static enum mm_dtype dtype(struct mm_cmd *cmd, const char *arg)
{
    static const char *const words[] = { "f32", "f16", "bf16", NULL };

    return mm_dtype_parse(words[mm_opt_word(cmd, "--dtype", arg, words)]);
}

/* Options of the optimiser; false: it is another's. */
static bool optim_option(struct mm_cmd *cmd, struct mm_job_spec *s, int c, const char *arg)
{
    static const char *const schedules[] = { "cosine", "constant", "linear", NULL };
    static const char *const optims[] = { "adamw", "adam", "sgd", NULL };
    static const char *const norms[] = { "batch", "token", NULL };

    switch (c) {
    case OPT_LR: s->lr = mm_opt_double(cmd, "--lr", arg, 1e-12, 1e3); break;
    case OPT_WARMUP: s->schedule.warmup = warmup(cmd, arg); break;
    case OPT_SCHEDULE:
        s->schedule.kind = (enum mm_schedule_kind)mm_opt_word(cmd, "--schedule", arg, schedules);
        break;
    case OPT_OPTIMIZER:
        s->optim.kind = (enum mm_optim_kind)mm_opt_word(cmd, "--optimizer", arg, optims);
        break;
    case OPT_BETAS: set_betas(cmd, &s->optim, arg); break;
    case OPT_EPS: s->optim.eps = mm_opt_double(cmd, "--eps", arg, 0, 1); break;
    case OPT_DECAY: s->decay = mm_opt_double(cmd, "--weight-decay", arg, 0, 1e3); break;
    case OPT_CLIP: s->clip = mm_opt_double(cmd, "--clip", arg, 0, 1e9); break;
    case OPT_EMA: s->ema = mm_opt_double(cmd, "--ema", arg, 0, 1); break;
    case OPT_NORM: s->norm = (enum mm_loss_norm)mm_opt_word(cmd, "--loss-norm", arg, norms); break;
    default: return false;
    }
    return true;
}

static void set_aspect(struct mm_cmd *cmd, struct mm_job_spec *s, const char *arg)
{
    static const char *const words[] = { "crop", "pad", "square", NULL };
    static const enum mm_aspect aspect[] = { MM_ASPECT_CROP, MM_ASPECT_PAD, MM_ASPECT_CROP };

    s->aspect = aspect[mm_opt_word(cmd, "--aspect", arg, words)];
    s->has_aspect = true;
}

/* Options of pictures and adapters; false: it is another's. */
static bool llava_option(struct mm_cmd *cmd, struct mm_job_spec *s, int c, const char *arg)
{
    switch (c) {
    case OPT_IMAGES: s->images = arg; break;
    case OPT_FEATURES: s->features = arg; break;
    case OPT_VISION: s->vision = arg; break;
    case OPT_PROJECTOR: s->projector = arg; break;
    case OPT_ASPECT: set_aspect(cmd, s, arg); break;
    case OPT_TEMPLATE: s->template = arg; break;
    case OPT_PROJECTOR_LR: s->projector_lr = mm_opt_double(cmd, "--projector-lr", arg, 1e-12, 1e3); break;
    case OPT_LORA: s->lora.rank = mm_opt_int(cmd, "--lora", arg, 1, 65536); break;
    case OPT_LORA_ALPHA: s->lora.alpha = mm_opt_double(cmd, "--lora-alpha", arg, 1e-6, 1e6); break;
    case OPT_LORA_TARGETS: s->lora.targets = arg; break;
    case OPT_ADAPTER: s->lora.from = arg; break;
    case OPT_GROUP: s->group = true; break;
    default: return false;
    }
    return true;
}

static void option(struct mm_cmd *cmd, struct opts *o, int c, char *arg)
{
    static const char *const styles[] = { "llama", "clip", NULL };
    struct mm_job_spec *s = &o->job;

    if (optim_option(cmd, s, c, arg) || llava_option(cmd, s, c, arg))
        return;
    switch (c) {
    case OPT_VOCAB: o->bpe.vocab = (size_t)mm_opt_int(cmd, "--vocab", arg, 258, 1 << 24); break;
    case OPT_STYLE:
        o->bpe.style = (enum mm_bpetrain_style)mm_opt_word(cmd, "--style", arg, styles);
        break;
    case 'm': s->model = arg; break;
    case 'o': s->out = arg; break;
    case 'B': s->batch = (size_t)mm_opt_int(cmd, "--batch", arg, 1, 1 << 20); break;
    case OPT_CONFIG: s->config = arg; break;
    case OPT_TOKENIZER: s->tokenizer = arg; break;
    case OPT_DATA: add_data(cmd, o, arg); break;
    case OPT_LINES: s->lines = true; break;
    case OPT_RESUME: o->resume = true; break;
    case OPT_STEPS: s->steps = mm_opt_int(cmd, "--steps", arg, 1, 1000000000); break;
    case OPT_EPOCHS: s->epochs = mm_opt_double(cmd, "--epochs", arg, 1e-6, 1e6); break;
    case OPT_ACCUMULATE:
        s->accumulate = (size_t)mm_opt_int(cmd, "--accumulate", arg, 1, 1 << 16);
        break;
    case OPT_CONTEXT: s->context = (size_t)mm_opt_int(cmd, "--context", arg, 2, 1 << 20); break;
    case OPT_TRAIN: add_glob(cmd, s->train, "--train", arg); break;
    case OPT_FREEZE: add_glob(cmd, s->freeze, "--freeze", arg); break;
    case OPT_NO_SHUFFLE: s->shuffle = false; break;
    case OPT_RECOMPUTE: s->recompute = true; break;
    case OPT_BF16: s->bf16 = true; break;
    case OPT_DTYPE: s->dtype = dtype(cmd, arg); break;
    case OPT_SAVE_EVERY: o->save_every = mm_opt_int(cmd, "--save-every", arg, 1, 1000000000); break;
    case OPT_SAVE_MINUTES:
        o->save_minutes = mm_opt_double(cmd, "--save-minutes", arg, 0.001, 1e6);
        break;
    default: mm_cmd_common(cmd, c, arg);
    }
}

/* No option is passed over in silence. */
static void check_taken(struct mm_cmd *cmd, const struct opts *o, unsigned takes)
{
    const struct mm_job_spec *s = &o->job;
    const struct {
        bool given;
        unsigned by;
        const char *name;
    } v[] = {
        { s->lines, MM_TAKES_TEXTS, "--lines" },
        { s->context > 0, MM_TAKES_TEXTS | MM_TAKES_TALKS, "--context" },
        { s->images, MM_TAKES_PICTURES, "--images" },
        { s->has_aspect, MM_TAKES_PICTURES, "--aspect" },
        { s->features, MM_TAKES_TALKS, "--features" },
        { s->vision, MM_TAKES_TALKS, "--vision-tower" },
        { s->projector, MM_TAKES_TALKS, "--projector" },
        { s->projector_lr > 0, MM_TAKES_TALKS, "--projector-lr" },
        { s->template, MM_TAKES_TALKS, "--template" },
        { s->group, MM_TAKES_TALKS, "--group-by-length" },
        { s->lora.rank > 0, MM_TAKES_TALKS, "--lora" },
        { s->lora.from, MM_TAKES_TALKS, "--adapter" },
    };

    for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
        if (v[i].given && !(v[i].by & takes))
            mm_cmd_usage(cmd, "%s does not take %s", o->objective, v[i].name);
}

static void check_options(struct mm_cmd *cmd, const struct opts *o)
{
    const struct mm_job_spec *s = &o->job;
    const struct mm_objective *objective = mm_objective_named(o->objective);
    const bool tokenizer = !strcmp(o->objective, "tokenizer");

    if (!tokenizer && !objective)
        mm_cmd_usage(cmd, "'%s' is no objective: see --help", o->objective);
    check_taken(cmd, o, tokenizer ? MM_TAKES_TEXTS : objective->takes);
    if (!s->out)
        mm_cmd_usage(cmd, "no directory for the result is given (-o)");
    if (!s->ndata)
        mm_cmd_usage(cmd, "no data are given");
    if (tokenizer)
        return;
    if (!s->model == !s->config)
        mm_cmd_usage(cmd, "either --model or --config says what is trained");
    if (s->lora.from && (s->lora.rank || s->lora.targets || s->lora.alpha > 0))
        mm_cmd_usage(cmd, "--adapter has its own rank, alpha and targets");
    if (!s->lora.rank && (s->lora.targets || s->lora.alpha > 0))
        mm_cmd_usage(cmd, "--lora-alpha and --lora-targets need --lora");
    if (s->ema >= 1)
        mm_cmd_usage(cmd, "--ema: a decay below 1 is wanted");
}

/* --- log ------------------------------------------------------------------------------ */

/* The lines of the log that the checkpoint knows of. */
static int read_log(struct train *t)
{
    struct mm_err ignored = { 0 };
    char *text = NULL;
    size_t n = 0;

    if (mm_io_slurp(t->log.p, (size_t)1 << 30, &text, &n, &ignored) < 0)
        return 0; /* none: the log begins here */
    for (char *s = text, *end; (end = strchr(s, '\n')); s = end + 1) {
        const char *at = strstr(s, "\"update\":");

        if (at && at < end && strtoll(at + 9, NULL, 10) <= t->job.update)
            mm_buf_add(&t->lines, s, (size_t)(end - s) + 1);
    }
    free(text);
    return 0;
}

static int write_log(struct train *t)
{
    struct mm_outfile *f;
    struct mm_err *e = &t->cmd->err;

    if (t->lines.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    t->logged = mm_now();
    if (mm_outfile_open(&f, t->log.p, e) < 0)
        return e->code;
    mm_outfile_write(f, t->lines.p, t->lines.n);
    return mm_outfile_commit(f, e);
}

static void add_line(struct train *t, const struct mm_job_report *r, double seconds)
{
    mm_buf_printf(&t->lines, "{\"update\":%" PRId64 ",\"loss\":%.7g,\"lr\":%.7g,\"grad_norm\":%.7g,"
                  "\"tokens\":%" PRId64 ",\"seconds\":%.3f}\n", t->job.update, r->loss, r->lr,
                  r->grad_norm, r->tokens, seconds);
}

/* --- the run ---------------------------------------------------------------------------- */

static int save(struct train *t)
{
    struct mm_err *e = &t->cmd->err;
    const char *unfit = mm_set_unfit(&t->job.set, t->pool);

    if (unfit) /* the last checkpoint stays */
        return mm_err_set(e, MM_EDATA, "update %" PRId64 ": '%s' has a weight that is no number",
                          t->job.update, unfit);
    if (t->rank == 0) {
        if (write_log(t) < 0) /* first: a log may know more than the checkpoint, never less */
            return e->code;
        if (mm_saved_write(t->state.p, &t->job.set, t->job.update, t->settings, e) < 0)
            return e->code;
    }
    t->saved = mm_now();
    return 0;
}

static bool save_due(const struct train *t)
{
    const struct opts *o = t->o;

    return (o->save_every && t->job.update % o->save_every == 0) ||
           mm_now() - t->saved >= o->save_minutes * 60;
}

static void show(struct train *t, const struct mm_job_report *r, double *drawn)
{
    const double now = mm_now(), took = now - t->began;
    const double each = took / (double)(t->job.update - t->first);

    mm_cmd_info(t->cmd, "update %" PRId64 "/%" PRId64 " loss %.4f rate %.3g norm %.3g, %.0f "
                "tokens/s", t->job.update, t->job.steps, r->loss, r->lr, r->grad_norm,
                (double)r->tokens / each);
    if (t->cmd->quiet || t->cmd->verbose || t->rank || !isatty(STDERR_FILENO) ||
        (now - *drawn < 0.2 && t->job.update < t->job.steps))
        return;
    *drawn = now;
    fprintf(stderr, "\r%s %" PRId64 "/%" PRId64 " loss %.4f rate %.3g %.0f tokens/s eta %.0f s   ",
            t->o->objective, t->job.update, t->job.steps, r->loss, r->lr,
            (double)r->tokens / each, each * (double)(t->job.steps - t->job.update));
    if (t->job.update == t->job.steps)
        fputs("\r\033[K", stderr);
}

static int loop(struct train *t)
{
    struct mm_job_report r;
    double drawn = 0;

    t->began = t->saved = t->logged = mm_now();
    t->first = t->job.update;
    while (t->job.update < t->job.steps) {
        const double start = mm_now();

        if (mm_job_update(&t->job, &r, &t->cmd->err) < 0)
            return t->cmd->err.code;
        add_line(t, &r, mm_now() - start);
        show(t, &r, &drawn);
        if (t->rank == 0 && mm_now() - t->logged >= LOG_SECONDS && write_log(t) < 0)
            return t->cmd->err.code;
        if (t->job.update < t->job.steps && save_due(t) && save(t) < 0)
            return t->cmd->err.code;
    }
    return save(t);
}

static int paths(struct train *t)
{
    const char *out = t->o->job.out;

    mm_buf_printf(&t->state, "%s/state.safetensors", out);
    mm_buf_printf(&t->log, "%s/log.jsonl", out);
    mm_buf_printf(&t->start, "%s/start", out);
    if (t->state.failed || t->log.failed || t->start.failed)
        return mm_err_set(&t->cmd->err, MM_ENOMEM, "out of memory");
    if (!t->o->resume && access(t->state.p, F_OK) == 0)
        return mm_err_set(&t->cmd->err, MM_EUSAGE, "%s: there is a checkpoint: go on with "
                          "--resume, or remove it", t->state.p);
    if (mm_export_dir(out, &t->cmd->err) < 0)
        return t->cmd->err.code;
    return t->rank == 0 ? mm_saved_claim(&t->claim, out, &t->cmd->err) : 0;
}

static int run(struct train *t)
{
    struct mm_err *e = &t->cmd->err;
    const struct mm_objective *o = mm_objective_named(t->o->objective);
    int64_t done;
    int made;

    if (mm_exchange_start(&t->rank, &t->processes, e) < 0 || paths(t) < 0 ||
        (made = mm_start(&t->o->job, t->start.p, t->rank == 0, e)) < 0 ||
        mm_exchange_wait(e) < 0)
        return e->code;
    if (!(t->pool = mm_pool_new(t->cmd->threads)))
        return mm_err_set(e, MM_ENOMEM, "cannot start %d threads", t->cmd->threads);
    if (mm_job_open(&t->job, o, &t->o->job, t->pool, t->rank, t->processes, e) < 0)
        return e->code;
    if (!(t->settings = mm_job_settings(&t->job)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (t->o->resume) {
        if ((done = mm_saved_read(t->state.p, &t->job.set, t->settings, e)) < 0)
            return e->code;
        t->job.update = done;
        if (done && read_log(t) < 0)
            return e->code;
    }
    mm_cmd_info(t->cmd, "%zu weights of %zu tensors, %zu samples, updates %" PRId64 " to %" PRId64,
                t->job.set.total, t->job.set.n, t->job.nsamples, t->job.update, t->job.steps);
    if (loop(t) < 0)
        return e->code;
    if (t->rank == 0 && o->export(&t->job, e) == 0 && made)
        mm_export_remove(t->start.p);
    return e->code;
}

/* --- tokenizer --------------------------------------------------------------------------- */

static int write_named(const char *dir, const char *name, const struct mm_buf *b,
                       struct mm_err *e)
{
    struct mm_buf path = { 0 };
    struct mm_outfile *f;
    int rc;

    mm_buf_printf(&path, "%s/%s", dir, name);
    rc = path.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : mm_outfile_open(&f, path.p, e);
    if (rc == 0) {
        mm_outfile_write(f, b->p, b->n);
        rc = mm_outfile_commit(f, e);
    }
    mm_buf_free(&path);
    return rc;
}

static int tokenizer(const struct opts *o, struct mm_err *e)
{
    const struct mm_job_spec *s = &o->job;
    struct mm_buf text = { 0 }, json = { 0 }, config = { 0 };
    int rc = mm_corpus_text(&text, s->data, s->ndata, s->lines, e);

    if (rc == 0 && (rc = mm_bpetrain(&json, &config, text.p, text.n, &o->bpe, e)) == 0 &&
        (rc = mm_export_dir(s->out, e)) == 0 &&
        (rc = write_named(s->out, "tokenizer_config.json", &config, e)) == 0)
        rc = write_named(s->out, "tokenizer.json", &json, e);
    mm_buf_free(&text);
    mm_buf_free(&json);
    mm_buf_free(&config);
    return rc;
}

static void close_all(struct train *t)
{
    mm_job_close(&t->job);
    mm_pool_free(t->pool);
    json_decref(t->settings);
    mm_buf_free(&t->state);
    mm_buf_free(&t->log);
    mm_buf_free(&t->start);
    mm_buf_free(&t->lines);
    if (t->claim >= 0)
        close(t->claim);
    free(t->o->data);
}

int main(int argc, char **argv)
{
    struct opts o = { .save_minutes = 10, .bpe = { .vocab = 8192, .least = 2 },
                      .job = { .batch = 8, .accumulate = 1, .epochs = 1, .clip = 1,
                               .optim = { .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 },
                               .schedule = { .warmup = -30 }, .shuffle = true,
                               .dtype = MM_NDTYPE } };
    struct mm_cmd cmd;
    struct train t = { .cmd = &cmd, .o = &o, .claim = -1 };
    int c;

    /* products take and give back scratch of many MiB all the time: keep it */
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "m:o:B:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        option(&cmd, &o, c, optarg);
    if (optind == argc)
        mm_cmd_usage(&cmd, "no objective is given");
    o.objective = argv[optind++];
    while (optind < argc)
        add_data(&cmd, &o, argv[optind++]);
    check_options(&cmd, &o);
    o.job.seed = cmd.seed;
    if (o.job.lora.rank && !(o.job.lora.alpha > 0))
        o.job.lora.alpha = 2 * (double)o.job.lora.rank;
    if (!strcmp(o.objective, "tokenizer"))
        (void)tokenizer(&o, &cmd.err);
    else
        (void)run(&t); /* the error is in cmd */
    close_all(&t);
    c = mm_cmd_finish(&cmd);
    mm_exchange_stop(c);
    return c;
}
