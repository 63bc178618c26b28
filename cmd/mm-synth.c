/* mm-synth: the synthetic world: pictures of shapes, things and words of which everything
 * is known, with captions, questions and labels.
 *
 * Item i of a seed does not depend on the others, so items are made in batches by
 * all threads and written in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cmd.h"
#include "base/pool.h"
#include "base/progress.h"
#include "base/strings.h"
#include "synth/synth.h"
#include "synth/sink.h"

static const char usage[] =
    "mm-synth [-qv] [-s seed] [-n items] [--first i] [--split word] [--format word] [-o output]";
static const char help[] =
    "Makes pictures of a small world with captions, questions, answers and labels.\n"
    "  -n, --items N          how many (1)\n"
    "      --first I          number of the first one (0)\n"
    "      --split WORD       train, val or test (train)\n"
    "      --tier LIST        of shapes, things, words, clips, sounds, cries, notes\n"
    "                         (shapes)\n"
    "      --held WORD        none, mix, pairs or artist: what only test shows (test: mix)\n"
    "      --format WORD      records llava coco refcoco regions vqa webdataset text (records)\n"
    "  -o, --output PATH      folder of llava, coco, refcoco, regions, vqa, else a file (-)\n"
    "      --size N           side of a picture in pixels (64)\n"
    "      --objects LO[-HI]  objects in a picture (shapes 1-6, things 1-4)\n"
    "      --hidden F         part of an object that others may hide, to 0.25 (0.25)\n"
    "      --plain            plain backgrounds, no blur, no noise\n"
    "      --invented P       words: share of invented ones (0)\n"
    "      --masks            records: which pixel is whose\n"
    "      --questions N      questions that are tried for each scene (8)\n"
    "      --rounds N         so many times over, of other objects (1)\n"
    "      --turns LIST       of qa, caption, detail, reason (all four), sentence: what a talk is made of\n"
    "      --sprites DIR      pictures of things (see scripts/sprites)\n"
    "      --soundfont FILE   the instruments of notes, General MIDI\n"
    "      --hold-artist NAME whose pictures of what others drew too are kept for test\n"
    "      --font FILE        font of printed words, repeatable (DejaVu)\n";

enum {
    OPT_FIRST = MM_OPT_FIRST, OPT_SPLIT, OPT_TIER, OPT_HELD, OPT_FORMAT, OPT_SIZE, OPT_OBJECTS,
    OPT_HIDDEN, OPT_PLAIN, OPT_QUESTIONS, OPT_ROUNDS, OPT_TURNS, OPT_SPRITES, OPT_ARTIST, OPT_FONT, OPT_MASKS,
    OPT_INVENTED, OPT_SOUNDFONT
};

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "items", required_argument, NULL, 'n' },
    { "output", required_argument, NULL, 'o' },
    { "first", required_argument, NULL, OPT_FIRST },
    { "split", required_argument, NULL, OPT_SPLIT },
    { "tier", required_argument, NULL, OPT_TIER },
    { "held", required_argument, NULL, OPT_HELD },
    { "format", required_argument, NULL, OPT_FORMAT },
    { "size", required_argument, NULL, OPT_SIZE },
    { "objects", required_argument, NULL, OPT_OBJECTS },
    { "hidden", required_argument, NULL, OPT_HIDDEN },
    { "plain", no_argument, NULL, OPT_PLAIN },
    { "masks", no_argument, NULL, OPT_MASKS },
    { "questions", required_argument, NULL, OPT_QUESTIONS },
    { "rounds", required_argument, NULL, OPT_ROUNDS },
    { "turns", required_argument, NULL, OPT_TURNS },
    { "sprites", required_argument, NULL, OPT_SPRITES },
    { "hold-artist", required_argument, NULL, OPT_ARTIST },
    { "font", required_argument, NULL, OPT_FONT },
    { "invented", required_argument, NULL, OPT_INVENTED },
    { "soundfont", required_argument, NULL, OPT_SOUNDFONT },
    { NULL, 0, NULL, 0 },
};

static const char *const splits[] = { "train", "val", "test", NULL };
static const char *const helds[] = { "none", "mix", "pairs", "artist", NULL };
static const char *const formats[] = { "records", "llava", "coco", "refcoco", "regions", "vqa",
                                       "webdataset", "text", NULL };
static const char *const tiers[] = { "shapes", "things", "words", "clips", "sounds", "cries",
                                     "notes", NULL };
static const char *const turns[] = { "qa", "caption", "detail", "reason", "sentence", NULL };

/* The fonts of words, where no --font names others. */
static const char *const dejavu[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSerif-Bold.ttf",
};

struct opts {
    uint64_t items, first;
    int format; /* enum mm_sink_format */
    int held;   /* -1: by the split */
    const char *output, *sprites, *artist, *soundfont;
    struct mm_strings fonts;
    struct mm_synth_opts item;
};

/* Items at once, of large ones fewer; numbers of items, so that 64 times one is exact in JSON. */
enum { BATCH = 128, BATCH_BYTES = 1 << 27 };
static const int64_t most_items = INT64_C(1) << 46;

struct run {
    const struct opts *o;
    struct mm_cmd *cmd;
    struct mm_pool *pool;
    struct mm_sink *sink;
    struct mm_synth_item *items[BATCH];
    struct mm_err *errs; /* [BATCH] */
    struct mm_synth_maker **makers; /* [threads] */
    int threads;
    size_t batch;        /* items made at once, at most BATCH */
    uint64_t at;         /* number of the batch's first item */
};

/* Bits of the words in a list with commas. */
static unsigned parse_set(struct mm_cmd *cmd, const char *opt, const char *arg,
                          const char *const *words)
{
    char one[32];
    unsigned set = 0;

    for (;; arg++) {
        const size_t n = strcspn(arg, ",");

        snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : sizeof(one) - 1), arg);
        set |= 1u << mm_opt_word(cmd, opt, one, words);
        arg += n;
        if (*arg == '\0')
            return set;
    }
}

static void parse_objects(struct mm_cmd *cmd, struct mm_scene_opts *o, const char *arg)
{
    const char *dash = strchr(arg, '-');
    char lo[32];

    snprintf(lo, sizeof(lo), "%.*s", (int)(dash != NULL && dash - arg < 31 ? dash - arg : 31), arg);
    o->lo = (int)mm_opt_int(cmd, "--objects", lo, 1, MM_SCENE_MAX);
    o->hi = dash != NULL ? (int)mm_opt_int(cmd, "--objects", dash + 1, o->lo, MM_SCENE_MAX) : o->lo;
}

static void parse_option(struct mm_cmd *cmd, struct opts *o, int c, const char *arg)
{
    switch (c) {
    case 'n': o->items = (uint64_t)mm_opt_int(cmd, "-n", arg, 0, most_items); break;
    case 'o': o->output = arg; break;
    case OPT_FIRST: o->first = (uint64_t)mm_opt_int(cmd, "--first", arg, 0, most_items); break;
    case OPT_SPLIT:
        o->item.scene.split = (enum mm_split)mm_opt_word(cmd, "--split", arg, splits);
        break;
    case OPT_TIER: o->item.scene.tiers = parse_set(cmd, "--tier", arg, tiers); break;
    case OPT_HELD: o->held = mm_opt_word(cmd, "--held", arg, helds); break;
    case OPT_FORMAT: o->format = mm_opt_word(cmd, "--format", arg, formats); break;
    case OPT_SIZE: o->item.size = (int)mm_opt_int(cmd, "--size", arg, 16, 1024); break;
    case OPT_OBJECTS: parse_objects(cmd, &o->item.scene, arg); break;
    case OPT_HIDDEN: o->item.scene.hidden = mm_opt_double(cmd, "--hidden", arg, 0, 0.25); break;
    case OPT_INVENTED: o->item.scene.invented = mm_opt_double(cmd, "--invented", arg, 0, 1); break;
    case OPT_PLAIN: o->item.plain = true; break;
    case OPT_MASKS: o->item.masks = true; break;
    case OPT_ROUNDS: o->item.rounds = (int)mm_opt_int(cmd, "--rounds", arg, 1, 100); break;
    case OPT_QUESTIONS: o->item.questions = (int)mm_opt_int(cmd, "--questions", arg, 0, 1000); break;
    case OPT_TURNS: o->item.turns = parse_set(cmd, "--turns", arg, turns); break;
    case OPT_SPRITES: o->sprites = arg; break;
    case OPT_SOUNDFONT: o->soundfont = arg; break;
    case OPT_ARTIST: o->artist = arg; break;
    case OPT_FONT:
        if (!mm_strings_add(&o->fonts, arg, strlen(arg)))
            mm_err_set(&cmd->err, MM_ENOMEM, "out of memory");
        break;
    default: mm_cmd_common(cmd, c, arg);
    }
}

static void check_options(struct mm_cmd *cmd, struct opts *o)
{
    struct mm_scene_opts *s = &o->item.scene;

    if (o->held < 0)
        o->held = s->split == MM_TEST ? MM_HELD_MIX : MM_HELD_NONE;
    s->held = (enum mm_held)o->held;
    s->seed = cmd->seed;
    if (s->held != MM_HELD_NONE && s->split != MM_TEST)
        mm_cmd_usage(cmd, "--held %s is for --split test", helds[o->held]);
    if (s->held == MM_HELD_ARTIST && (o->artist == NULL || s->tiers != 1u << MM_THINGS))
        mm_cmd_usage(cmd, "--held artist is for --tier things with --hold-artist");
    if ((s->tiers & (1u << MM_THINGS | 1u << MM_CRIES)) && o->sprites == NULL)
        mm_cmd_usage(cmd, "--tier things and cries need --sprites");
    if (o->artist != NULL && o->sprites == NULL)
        mm_cmd_usage(cmd, "--hold-artist needs --sprites");
    if ((s->tiers & 1u << MM_NOTES) && o->soundfont == NULL)
        mm_cmd_usage(cmd, "--tier notes needs --soundfont");
    if (o->item.questions == 0 && !(o->item.turns & ~(unsigned)(1 << MM_TURN_QA | 1 << MM_TURN_REASON)))
        mm_cmd_usage(cmd, "--turns qa and reason need --questions");
    if (mm_sink_is_folder((enum mm_sink_format)o->format) && strcmp(o->output, "-") == 0)
        mm_cmd_usage(cmd, "--format %s needs -o", formats[o->format]);
    if ((o->format == MM_TO_COCO || o->format == MM_TO_REFCOCO || o->format == MM_TO_REGIONS)
        && (s->tiers & (1u << MM_CLIPS | 1u << MM_SOUNDS | 1u << MM_CRIES | 1u << MM_NOTES)))
        mm_cmd_usage(cmd, "--format %s is for pictures", formats[o->format]);
    if (o->item.masks && o->format != MM_TO_RECORDS)
        mm_cmd_usage(cmd, "--masks is for --format records");
    if ((s->tiers & 1u << MM_CLIPS) && o->item.size % 2 != 0)
        mm_cmd_usage(cmd, "--tier clips needs an even --size");
    if (o->format != MM_TO_TEXT && strcmp(o->output, "-") == 0 && isatty(1))
        mm_cmd_usage(cmd, "standard output is a terminal: redirect it, or use -o");
    mm_sink_needs((enum mm_sink_format)o->format, &o->item);
}

static void make_one(void *arg, size_t tile, int thread)
{
    struct run *r = arg;
    struct mm_err *e = &r->errs[tile];

    if (mm_synth_make(r->items[tile], r->makers[thread], r->at + tile, e) == 0
        && mm_sink_doc(r->items[tile], (enum mm_sink_format)r->o->format, &r->o->item, e) < 0)
        return;
}

static int run_all(struct run *r)
{
    const uint64_t end = r->o->first + r->o->items;
    const double start = mm_now();
    struct mm_progress progress;
    int rc = 0;

    mm_progress_start(&progress, r->cmd, "items", r->o->items);
    for (r->at = r->o->first; rc == 0 && r->at < end; r->at += r->batch) {
        const size_t n = end - r->at < r->batch ? (size_t)(end - r->at) : r->batch;

        mm_pool_run(r->pool, n, make_one, r);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            if (r->errs[i].code != 0)
                rc = mm_err_set(&r->cmd->err, r->errs[i].code, "%s", r->errs[i].msg);
            else
                rc = mm_sink_put(r->sink, r->items[i], &r->cmd->err);
        }
        mm_progress_step(&progress, r->at + n - r->o->first);
    }
    mm_progress_end(&progress);
    if (rc == 0)
        mm_cmd_info(r->cmd, "%llu items in %.2f s: %.0f a second", (unsigned long long)r->o->items,
                    mm_now() - start, (double)r->o->items / (mm_now() - start + 1e-9));
    return rc;
}

/* As many as BATCH_BYTES hold of pixels and files, but one for each thread. */
static size_t batch_of(const struct run *r)
{
    const struct mm_synth_opts *o = &r->o->item;
    const size_t frames = o->scene.tiers >> MM_CLIPS & 1 ? MM_CLIP_FRAMES : 1;
    size_t n = BATCH_BYTES / (6 * frames * (size_t)o->size * (size_t)o->size);

    n = n > (size_t)r->threads ? n : (size_t)r->threads;
    return n < BATCH ? n : BATCH;
}

static int open_run(struct run *r)
{
    struct mm_err *e = &r->cmd->err;
    uint64_t most;
    int rc = 0;

    r->batch = batch_of(r);
    most = r->o->items < r->batch ? r->o->items : r->batch;

    r->pool = mm_pool_new(r->threads);
    r->errs = calloc(BATCH, sizeof(*r->errs));
    r->makers = calloc((size_t)r->threads, sizeof(struct mm_synth_maker *));
    if (r->pool == NULL || r->errs == NULL || r->makers == NULL)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    for (uint64_t i = 0; rc == 0 && i < most; i++)
        rc = mm_synth_new(&r->items[i], &r->o->item, e);
    for (int i = 0; rc == 0 && i < r->threads; i++)
        rc = mm_synth_maker_new(&r->makers[i], &r->o->item, e);
    if (rc == 0)
        rc = mm_sink_open(&r->sink, (enum mm_sink_format)r->o->format, r->o->output, &r->o->item, e);
    return rc;
}

static void close_run(struct run *r)
{
    for (int i = 0; i < r->threads && r->makers != NULL; i++)
        mm_synth_maker_free(r->makers[i]);
    for (int i = 0; i < BATCH; i++)
        mm_synth_free(r->items[i]);
    mm_sink_abort(r->sink);
    mm_pool_free(r->pool);
    free(r->makers);
    free(r->errs);
}

static int synthesise(struct mm_cmd *cmd, const struct opts *o)
{
    struct run r = { .o = o, .cmd = cmd, .threads = cmd->threads };
    int rc = open_run(&r);

    if (rc == 0)
        rc = run_all(&r);
    if (rc == 0) {
        rc = mm_sink_commit(r.sink, &cmd->err);
        r.sink = NULL;
    }
    close_run(&r);
    return rc;
}

/* Is what --held asks for among the nouns? */
static int check_nouns(const struct opts *o, struct mm_err *e)
{
    const struct mm_sprites *s = o->item.sprites;
    int held = 0;

    if (!(o->item.scene.tiers & 1u << MM_THINGS))
        return 0;
    for (int i = 0; i < mm_sprites_count(s); i++)
        held += mm_sprites_looks(s, i, true);
    if (o->held == MM_HELD_ARTIST && held == 0)
        return mm_err_set(e, MM_EDATA, "%s: no noun that '%s' and another artist drew", o->sprites,
                          o->artist);
    if (o->held == MM_HELD_PAIRS && !mm_sprites_pairs(s))
        return mm_err_set(e, MM_EDATA, "%s: no two nouns are a held-out pair", o->sprites);
    return 0;
}

/* Sprites, fonts, instruments and the balance of answers, then the items. */
static int prepare(struct mm_cmd *cmd, struct opts *o)
{
    struct mm_synth_opts *it = &o->item;
    struct mm_balance *balance = calloc(1, sizeof(*balance));
    int rc = balance != NULL ? 0 : mm_err_set(&cmd->err, MM_ENOMEM, "out of memory");

    for (size_t i = 0, own = o->fonts.n; own == 0 && i < sizeof(dejavu) / sizeof(dejavu[0]); i++)
        if (!mm_strings_add(&o->fonts, dejavu[i], strlen(dejavu[i])))
            rc = mm_err_set(&cmd->err, MM_ENOMEM, "out of memory");
    if (rc == 0 && o->sprites != NULL)
        rc = mm_sprites_open(&it->sprites, o->sprites, o->artist, &cmd->err);
    if (rc == 0)
        rc = check_nouns(o, &cmd->err);
    if (rc == 0 && (it->scene.tiers & 1u << MM_WORDS))
        rc = mm_fonts_open(&it->fonts, &o->fonts, &cmd->err);
    if (rc == 0 && (it->scene.tiers & 1u << MM_CRIES))
        rc = mm_sprites_sounds(it->sprites) > 0
                 ? mm_voices_open(&it->voices, o->sprites, it->sprites, &cmd->err)
                 : mm_err_set(&cmd->err, MM_EDATA, "%s: has no sounds", o->sprites);
    if (rc == 0 && (it->scene.tiers & 1u << MM_NOTES))
        rc = mm_notes_open(&it->notes, o->soundfont, &cmd->err);
    it->scene.sprites = it->sprites;
    it->scene.fonts = it->fonts != NULL ? mm_fonts_count(it->fonts) : 0;
    it->balance = balance;
    if (rc == 0 && it->questions > 0 && o->items > 0)
        rc = mm_balance_fit(balance, &it->scene, &cmd->err);
    if (rc == 0)
        rc = synthesise(cmd, o);
    mm_notes_close(it->notes);
    mm_voices_close(it->voices);
    mm_sprites_close(it->sprites);
    mm_fonts_close(it->fonts);
    free(balance);
    return rc;
}

int main(int argc, char **argv)
{
    struct opts o = { .items = 1, .held = -1, .output = "-",
                      .item = { .size = 64, .questions = 8, .rounds = 1, .turns = 15,
                                .scene = { .tiers = 1u << MM_SHAPES, .hidden = 0.25 } } };
    struct mm_cmd cmd;
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "n:o:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        parse_option(&cmd, &o, c, optarg);
    if (optind < argc)
        mm_cmd_usage(&cmd, "no operands, got '%s'", argv[optind]);
    check_options(&cmd, &o);
    if (cmd.err.code == 0)
        prepare(&cmd, &o);
    mm_strings_free(&o.fonts);
    return mm_cmd_finish(&cmd);
}
