/* mm-eval: scores of predictions beside references, one subcommand a task.
 *
 * The library computes one JSON object; here files are read, and the object is
 * printed as lines, as a paper's table, or as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cmd.h"
#include "base/json.h"
#include "eval/answers.h"
#include "eval/caption.h"
#include "eval/choice.h"
#include "eval/judge.h"
#include "eval/table.h"
#include "eval/world.h"

static const char usage[] = "mm-eval [-qv] [-s seed] task [--pred file] [--ref file] [option ...]";
static const char help[] =
    "Scores predictions beside references.\n"
    "tasks:  caption    BLEU, METEOR, ROUGE-L, CIDEr-D, CIDEr\n"
    "        vqa        VQA accuracy by question type       exact  exact match\n"
    "        scienceqa  by subject, context and grade       auc    area under the ROC curve\n"
    "        pope       accuracy, precision, recall, F1     bench  LLaVA-Bench from reviews\n"
    "        world      captions and answers about scenes of mm-synth\n"
    "      --pred FILE       predictions: JSON lines or the benchmark's JSON, - is stdin\n"
    "      --ref FILE        references; pope, world: repeatable, a file for each category\n"
    "      --questions FILE  vqa: all questions; pope: which category each is of\n"
    "      --splits FILE     scienceqa: pid_splits.json\n"
    "      --split NAME      which of them (test)\n"
    "      --gpt4 FILE       scienceqa: answers of GPT-4, for the complement\n"
    "      --judge FILE      bench: reviews; scienceqa: answers of the judge\n"
    "      --endpoint URL    bench: ask a judge there about --pred beside --ref (-j at once)\n"
    "      --judge-model M   its name; the key is in MM_API_KEY or OPENAI_API_KEY\n"
    "      --context FILE    what the judge is told of each image;  --rules FILE  and asked\n"
    "      --blind FILE      world: predictions without the picture; --wrong FILE: another's\n"
    "      --want            world: status 1 where a score is below what is wanted\n"
    "      --partial         leave out references that have no prediction\n"
    "      --wordnet DIR     caption: synonyms of METEOR (/usr/share/wordnet)\n"
    "      --bootstrap N     95% intervals from N resamplings of the items, by -s\n"
    "      --table           what a paper would print\n"
    "      --json            one object with everything, per item too\n";

enum {
    OPT_PRED = MM_OPT_FIRST, OPT_REF, OPT_QUESTIONS, OPT_SPLITS, OPT_SPLIT, OPT_GPT4, OPT_JUDGE,
    OPT_PARTIAL, OPT_WORDNET, OPT_BOOTSTRAP, OPT_TABLE, OPT_JSON,
    OPT_ENDPOINT, OPT_JUDGE_MODEL, OPT_CONTEXT, OPT_RULES, OPT_BLIND, OPT_WRONG, OPT_WANT
};

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "pred", required_argument, NULL, OPT_PRED },
    { "ref", required_argument, NULL, OPT_REF },
    { "questions", required_argument, NULL, OPT_QUESTIONS },
    { "splits", required_argument, NULL, OPT_SPLITS },
    { "split", required_argument, NULL, OPT_SPLIT },
    { "gpt4", required_argument, NULL, OPT_GPT4 },
    { "judge", required_argument, NULL, OPT_JUDGE },
    { "endpoint", required_argument, NULL, OPT_ENDPOINT },
    { "judge-model", required_argument, NULL, OPT_JUDGE_MODEL },
    { "context", required_argument, NULL, OPT_CONTEXT },
    { "rules", required_argument, NULL, OPT_RULES },
    { "blind", required_argument, NULL, OPT_BLIND },
    { "wrong", required_argument, NULL, OPT_WRONG },
    { "want", no_argument, NULL, OPT_WANT },
    { "partial", no_argument, NULL, OPT_PARTIAL },
    { "wordnet", required_argument, NULL, OPT_WORDNET },
    { "bootstrap", required_argument, NULL, OPT_BOOTSTRAP },
    { "table", no_argument, NULL, OPT_TABLE },
    { "json", no_argument, NULL, OPT_JSON },
    { NULL, 0, NULL, 0 }
};

enum { MAX_REFS = 16 };

struct opts {
    const char *pred, *ref[MAX_REFS], *questions, *splits, *split, *gpt4, *judge, *wordnet;
    const char *endpoint, *model, *context, *rules, *blind, *wrong;
    size_t nref;
    bool partial, table, json, want;
    struct mm_eval_boot boot;
};

/* What is read and what comes out of it. */
struct app {
    struct mm_cmd cmd;
    struct opts o;
    struct mm_arena *arena;
    json_t *lists[MAX_REFS + 8]; /* owned */
    size_t nlists;
    json_t *out;
};

/* --- reading ------------------------------------------------------------------------------ */

/* A file's objects, freed at the end; exits on failure. */
static json_t *load(struct app *a, const char *path)
{
    json_t **list = &a->lists[a->nlists];

    if (mm_eval_load(list, path, &a->cmd.err) < 0)
        mm_cmd_fail(&a->cmd);
    mm_cmd_info(&a->cmd, "%s: %zu entries", path, json_array_size(*list));
    a->nlists++;
    return *list;
}

static json_t *keep(struct app *a, json_t *list)
{
    if (!list) {
        mm_err_set(&a->cmd.err, MM_ENOMEM, "out of memory");
        mm_cmd_fail(&a->cmd);
    }
    a->lists[a->nlists++] = list;
    return list;
}

static struct mm_eval_pairs pair(struct app *a, const json_t *refs, const json_t *preds,
                                 const char *const *keys, enum mm_eval_missing missing)
{
    struct mm_eval_pairs p;

    if (missing == MM_EVAL_REFUSE && a->o.partial)
        missing = MM_EVAL_DROP;
    if (mm_eval_pair(&p, a->arena, refs, preds, keys, missing, &a->cmd.err) < 0)
        mm_cmd_fail(&a->cmd);
    if (p.n < json_array_size(refs))
        mm_cmd_warn(&a->cmd, "%zu of %zu references have no prediction",
                    json_array_size(refs) - p.n, json_array_size(refs));
    return p;
}

static struct mm_eval_pairs pair_files(struct app *a)
{
    const json_t *refs = load(a, a->o.ref[0]);
    const json_t *preds = load(a, a->o.pred);

    return pair(a, refs, preds, mm_eval_ids, MM_EVAL_REFUSE);
}

/* --- tasks -------------------------------------------------------------------------------- */

static int run_caption(struct app *a)
{
    const json_t *refs = load(a, a->o.ref[0]);
    const json_t *preds = load(a, a->o.pred);
    const struct mm_eval_caption_opts o = { a->o.wordnet, a->o.partial, &a->o.boot };

    return mm_eval_captions(a->out, refs, preds, a->arena, &o, &a->cmd.err);
}

/* Every reference's question must be there. */
static int check_questions(struct app *a, const struct mm_eval_pairs *p)
{
    json_t *known = json_object();
    const json_t *questions = load(a, a->o.questions);
    int rc = 0;

    keep(a, known);
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const char *id = mm_eval_id(a->arena, json_array_get(questions, i), mm_eval_ids);

        if (id)
            json_object_set_new(known, id, json_true());
    }
    for (size_t i = 0; rc == 0 && i < p->n; i++)
        if (!json_object_get(known, p->id[i]))
            rc = mm_err_set(&a->cmd.err, MM_EDATA, "%s: no question '%s'", a->o.questions,
                            p->id[i]);
    return rc;
}

static int run_vqa(struct app *a)
{
    const struct mm_eval_pairs p = pair_files(a);
    int rc = a->o.questions ? check_questions(a, &p) : 0;

    return rc < 0 ? rc : mm_eval_vqa(a->out, &p, a->arena, &a->o.boot, &a->cmd.err);
}

static int run_exact(struct app *a)
{
    const struct mm_eval_pairs p = pair_files(a);

    return mm_eval_exact(a->out, &p, a->arena, &a->o.boot, &a->cmd.err);
}

static int run_auc(struct app *a)
{
    const struct mm_eval_pairs p = pair_files(a);

    return mm_eval_roc(a->out, &p, a->arena, &a->o.boot, &a->cmd.err);
}

/* The problems of the chosen split, in its order. */
static json_t *split_of(struct app *a, json_t *problems)
{
    json_t *doc = NULL;
    json_t *by_id = keep(a, json_object());
    json_t *list = keep(a, json_array());
    const json_t *ids;

    if (mm_json_file(&doc, a->o.splits, &a->cmd.err) < 0)
        mm_cmd_fail(&a->cmd);
    keep(a, doc);
    ids = json_object_get(doc, a->o.split);
    for (size_t i = 0; i < json_array_size(problems); i++) {
        json_t *q = json_array_get(problems, i);
        const char *id = mm_eval_id(a->arena, q, mm_eval_ids);

        if (id)
            json_object_set(by_id, id, q);
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        json_t *q = id ? json_object_get(by_id, id) : NULL;

        if (!q) {
            mm_err_set(&a->cmd.err, MM_EDATA, "%s: no problem '%s'", a->o.ref[0], id ? id : "?");
            mm_cmd_fail(&a->cmd);
        }
        json_array_append(list, q);
    }
    if (!json_array_size(list)) {
        mm_err_set(&a->cmd.err, MM_EDATA, "%s: no split '%s'", a->o.splits, a->o.split);
        mm_cmd_fail(&a->cmd);
    }
    return list;
}

/* Answers to other splits' problems are no mistake where one split is asked for; the
 * published file of GPT-4 has its texts in one object, `outputs`. */
static json_t *answers_in(struct app *a, const char *path, const json_t *problems)
{
    json_t *wanted = keep(a, json_object());
    json_t *list = keep(a, json_array());
    json_t *all = load(a, path);
    const json_t *texts = json_object_get(json_array_get(all, 0), "outputs");
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)texts, key, v)
        json_array_append_new(all, json_pack("{s:s, s:O}", "id", key, "text", v));
    for (size_t i = 0; i < json_array_size(problems); i++)
        json_object_set_new(wanted, mm_eval_id(a->arena, json_array_get(problems, i), mm_eval_ids),
                            json_true());
    for (size_t i = texts ? 1 : 0; i < json_array_size(all); i++) {
        json_t *pred = json_array_get(all, i);
        const char *id = mm_eval_id(a->arena, pred, mm_eval_ids);

        if (!a->o.splits || !id || json_object_get(wanted, id))
            json_array_append(list, pred);
    }
    return list;
}

static int run_scienceqa(struct app *a)
{
    json_t *problems = load(a, a->o.ref[0]);
    struct mm_eval_pairs model, gpt4, judge;
    struct mm_eval_sqa q = { &model, NULL, NULL };
    size_t none = 0;

    if (a->o.splits)
        problems = split_of(a, problems);
    model = pair(a, problems, answers_in(a, a->o.pred, problems), mm_eval_ids, MM_EVAL_KEEP);
    for (size_t i = 0; i < model.n; i++)
        none += model.pred[i] == NULL;
    if (none > 0)
        mm_cmd_warn(&a->cmd, "%zu of %zu problems have no answer, which is wrong", none, model.n);
    if (a->o.gpt4) {
        gpt4 = pair(a, problems, answers_in(a, a->o.gpt4, problems), mm_eval_ids, MM_EVAL_KEEP);
        q.gpt4 = &gpt4;
    }
    if (a->o.judge) {
        judge = pair(a, problems, answers_in(a, a->o.judge, problems), mm_eval_ids, MM_EVAL_KEEP);
        q.judge = &judge;
    }
    return mm_eval_scienceqa(a->out, &q, a->arena, &a->o.boot, &a->cmd.err);
}

/* The answers to questions of one category, in the order of the answers. */
static json_t *of_category(struct app *a, const json_t *questions, const json_t *preds,
                           const char *category)
{
    json_t *list = json_array();
    json_t *kind = keep(a, json_object());

    keep(a, list);
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i);
        const char *id = mm_eval_id(a->arena, q, mm_eval_ids);
        json_t *c = json_object_get(q, "category");

        if (id && c)
            json_object_set(kind, id, c);
    }
    for (size_t i = 0; i < json_array_size(preds); i++) {
        json_t *p = json_array_get(preds, i);
        const char *id = mm_eval_id(a->arena, p, mm_eval_ids);
        const char *c = id ? json_string_value(json_object_get(kind, id)) : NULL;

        if (c && strcmp(c, category) == 0)
            json_array_append(list, p);
    }
    return list;
}

/* coco/coco_pope_random.json: random */
static char *category_of(struct app *a, const char *path)
{
    const char *base = strrchr(path, '/');
    size_t n;

    base = base ? base + 1 : path;
    if (strncmp(base, "coco_pope_", 10) == 0)
        base += 10;
    n = strcspn(base, ".");
    return mm_arena_strdup(a->arena, base, n);
}

static int pope_category(struct app *a, const json_t *refs, const json_t *preds, const char *name)
{
    static const char *const none[] = { NULL }; /* the benchmark goes by order */
    const struct mm_eval_pairs p = pair(a, refs, preds, a->o.questions ? none : mm_eval_ids,
                                        MM_EVAL_REFUSE);
    json_t *row = json_object();
    int rc = mm_eval_pope(row, &p, a->arena, &a->o.boot, &a->cmd.err);

    json_object_set_new(a->out, name, row);
    return rc;
}

static int run_pope(struct app *a)
{
    const json_t *questions = a->o.questions ? load(a, a->o.questions) : NULL;
    const json_t *preds = load(a, a->o.pred);
    json_t *f1 = json_array();
    json_t *accuracy = json_array();
    const char *key;
    json_t *row;
    int rc = 0;

    keep(a, f1);
    keep(a, accuracy);
    if (a->o.nref > 1 && !questions)
        mm_cmd_usage(&a->cmd, "several --ref want --questions, which say the category");
    for (size_t i = 0; rc == 0 && i < a->o.nref; i++) {
        const char *name = category_of(a, a->o.ref[i]);
        const json_t *refs = load(a, a->o.ref[i]);

        if (json_object_get(a->out, name))
            mm_cmd_usage(&a->cmd, "two --ref of the category '%s'", name);

        rc = pope_category(a, refs, questions ? of_category(a, questions, preds, name) : preds,
                           name);
        if (rc < 0)
            mm_err_prefix(&a->cmd.err, "%s", a->o.ref[i]);
    }
    json_object_foreach(a->out, key, row) {
        json_array_append(f1, json_object_get(row, "f1_score"));
        json_array_append(accuracy, json_object_get(row, "accuracy"));
    }
    json_object_set(a->out, "f1_by_category", f1);
    json_object_set(a->out, "accuracy_by_category", accuracy);
    return rc;
}

/* Reviews from an endpoint; they are in the object, so that --json keeps them. */
static int ask_judge(struct app *a, json_t *reviews)
{
    struct mm_eval_judge j = { .remote = mm_remote_defaults };

    j.remote.endpoint = a->o.endpoint;
    j.remote.model = a->o.model;
    j.remote.key = getenv("MM_API_KEY") ? getenv("MM_API_KEY") : getenv("OPENAI_API_KEY");
    j.remote.jobs = a->cmd.threads < 256 ? a->cmd.threads : 256;
    j.remote.temperature = 0.2; /* the benchmark's */
    j.remote.max_tokens = 1024;
    j.remote.seed = a->cmd.seed;
    j.questions = load(a, a->o.questions);
    j.refs = load(a, a->o.ref[0]);
    j.preds = load(a, a->o.pred);
    j.reviews = a->o.judge;
    j.context = a->o.context ? load(a, a->o.context) : NULL;
    if (a->o.rules) {
        json_t *rules = NULL;

        if (mm_json_file(&rules, a->o.rules, &a->cmd.err) < 0)
            mm_cmd_fail(&a->cmd);
        j.rules = keep(a, rules);
    }
    return mm_eval_review(reviews, &j, a->arena, &a->cmd.err);
}

static int run_bench(struct app *a)
{
    json_t *reviews = a->o.endpoint ? keep(a, json_array()) : load(a, a->o.judge);
    int rc = a->o.endpoint ? ask_judge(a, reviews) : 0;

    if (rc == 0)
        rc = mm_eval_bench(a->out, reviews, a->arena, &a->o.boot, &a->cmd.err);
    if (rc == 0 && a->o.endpoint)
        json_object_set(a->out, "reviews", reviews);
    return rc;
}

static int run_world(struct app *a)
{
    json_t *scenes = keep(a, json_array());
    struct mm_eval_world w = { .scenes = scenes, .partial = a->o.partial };

    for (size_t i = 0; i < a->o.nref; i++)
        json_array_extend(scenes, load(a, a->o.ref[i]));
    w.preds = load(a, a->o.pred);
    w.blind = a->o.blind ? load(a, a->o.blind) : NULL;
    w.wrong = a->o.wrong ? load(a, a->o.wrong) : NULL;
    return mm_eval_world(a->out, &w, a->arena, &a->o.boot, &a->cmd.err);
}

/* --- the command line --------------------------------------------------------------------- */

struct task {
    const char *name;
    int (*run)(struct app *a);
    const char *takes; /* letters of the files it may have: p r q s g j b w; capitals: must */
};

static const struct task tasks[] = {
    { "caption", run_caption, "PR" },
    { "vqa", run_vqa, "PRq" },
    { "exact", run_exact, "PR" },
    { "scienceqa", run_scienceqa, "PRsgj" },
    { "pope", run_pope, "PRq" },
    { "auc", run_auc, "PR" },
    { "bench", run_bench, "jprq" },
    { "world", run_world, "PRbw" },
};

static const struct task *find_task(struct app *a, const char *name)
{
    for (size_t i = 0; i < sizeof(tasks) / sizeof(*tasks); i++)
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
    mm_cmd_usage(&a->cmd, "no task '%s': caption, vqa, exact, scienceqa, pope, auc, bench, world", name);
}

/* bench has its reviews from a file, or all that a judge is asked, and a file to keep them. */
static void check_judge(struct app *a, const struct task *t)
{
    const struct opts *o = &a->o;
    const bool bench = strcmp(t->name, "bench") == 0;

    if ((o->endpoint || o->model || o->context || o->rules) && !bench)
        mm_cmd_usage(&a->cmd, "%s asks no judge at an endpoint", t->name);
    if (!bench)
        return;
    if (!o->endpoint && !o->judge)
        mm_cmd_usage(&a->cmd, "bench wants --judge or --endpoint");
    if (o->endpoint && o->judge && strcmp(o->judge, "-") == 0)
        mm_cmd_usage(&a->cmd, "--judge -: reviews are kept in a file");
    if (o->endpoint && !(o->model && o->pred && o->nref && o->questions))
        mm_cmd_usage(&a->cmd, "--endpoint wants --judge-model, --questions, --ref and --pred");
    if (!o->endpoint && (o->pred || o->nref || o->questions || o->model || o->context || o->rules))
        mm_cmd_usage(&a->cmd, "--judge holds the reviews: no --pred, --ref, --questions");
}

static void check_files(struct app *a, const struct task *t)
{
    size_t streams = 0;
    const struct {
        char letter;
        const char *name, *file;
    } files[] = { { 'p', "--pred", a->o.pred },        { 'r', "--ref", a->o.ref[0] },
                  { 'q', "--questions", a->o.questions }, { 's', "--splits", a->o.splits },
                  { 'g', "--gpt4", a->o.gpt4 },        { 'j', "--judge", a->o.judge },
                  { 'b', "--blind", a->o.blind },      { 'w', "--wrong", a->o.wrong } };
    const bool world = strcmp(t->name, "world") == 0;

    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        if (strchr(t->takes, files[i].letter - 32) && !files[i].file)
            mm_cmd_usage(&a->cmd, "%s: %s is missing", t->name, files[i].name);
        if (files[i].file && !strchr(t->takes, files[i].letter) &&
            !strchr(t->takes, files[i].letter - 32))
            mm_cmd_usage(&a->cmd, "%s takes no %s", t->name, files[i].name);
        streams += files[i].file && strcmp(files[i].file, "-") == 0;
    }
    for (size_t i = 1; i < a->o.nref; i++)
        streams += strcmp(a->o.ref[i], "-") == 0;
    if (streams > 1)
        mm_cmd_usage(&a->cmd, "standard input is one file, not %zu", streams);
    check_judge(a, t);
    if (a->o.nref > 1 && strcmp(t->name, "pope") != 0 && !world)
        mm_cmd_usage(&a->cmd, "%s takes one --ref", t->name);
    if (a->o.want && !world)
        mm_cmd_usage(&a->cmd, "%s takes no --want", t->name);
    if (a->o.judge && strcmp(t->name, "scienceqa") == 0 && !a->o.gpt4)
        mm_cmd_usage(&a->cmd, "--judge wants --gpt4, whose answers it judges");
    if (a->o.table && a->o.json)
        mm_cmd_usage(&a->cmd, "--table and --json exclude each other");
}

static void parse(struct app *a, int argc, char **argv)
{
    struct opts *o = &a->o;
    int c;

    o->split = "test";
    o->wordnet = "/usr/share/wordnet";
    while ((c = getopt_long(argc, argv, MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case OPT_PRED: o->pred = optarg; break;
        case OPT_REF:
            if (o->nref == MAX_REFS)
                mm_cmd_usage(&a->cmd, "at most %d --ref", MAX_REFS);
            o->ref[o->nref++] = optarg;
            break;
        case OPT_QUESTIONS: o->questions = optarg; break;
        case OPT_SPLITS: o->splits = optarg; break;
        case OPT_SPLIT: o->split = optarg; break;
        case OPT_GPT4: o->gpt4 = optarg; break;
        case OPT_JUDGE: o->judge = optarg; break;
        case OPT_ENDPOINT: o->endpoint = optarg; break;
        case OPT_JUDGE_MODEL: o->model = optarg; break;
        case OPT_CONTEXT: o->context = optarg; break;
        case OPT_RULES: o->rules = optarg; break;
        case OPT_BLIND: o->blind = optarg; break;
        case OPT_WRONG: o->wrong = optarg; break;
        case OPT_WANT: o->want = true; break;
        case OPT_PARTIAL: o->partial = true; break;
        case OPT_WORDNET: o->wordnet = optarg; break;
        case OPT_BOOTSTRAP:
            o->boot.samples = (size_t)mm_opt_int(&a->cmd, "--bootstrap", optarg, 1, 1000000);
            break;
        case OPT_TABLE: o->table = true; break;
        case OPT_JSON: o->json = true; break;
        default: mm_cmd_common(&a->cmd, c, optarg);
        }
    o->boot.seed = a->cmd.seed;
}

static void print(struct app *a, const struct task *t)
{
    struct mm_buf b = { 0 };
    char *text = NULL;

    if (a->o.json) {
        text = json_dumps(a->out, JSON_REAL_PRECISION(17));
        mm_buf_str(&b, text ? text : "");
        mm_buf_char(&b, '\n');
        b.failed = b.failed || !text;
        free(text);
    } else if (a->o.table) {
        mm_eval_table(&b, t->name, a->out);
    } else {
        mm_eval_lines(&b, t->name, a->out);
    }
    if (b.failed)
        mm_err_set(&a->cmd.err, MM_ENOMEM, "out of memory");
    else
        fwrite(b.p, 1, b.n, stdout);
    mm_buf_free(&b);
}

int main(int argc, char **argv)
{
    struct app a = { 0 };
    const struct task *t;
    bool missed = false;
    int status;

    mm_cmd_init(&a.cmd, argv[0], usage, help);
    parse(&a, argc, argv);
    if (optind + 1 != argc)
        mm_cmd_usage(&a.cmd, optind < argc ? "one task at a time" : "no task");
    t = find_task(&a, argv[optind]);
    check_files(&a, t);
    a.arena = mm_arena_new();
    a.out = json_object();
    if (!a.arena || !a.out)
        mm_err_set(&a.cmd.err, MM_ENOMEM, "out of memory");
    else if (t->run(&a) == 0)
        print(&a, t);
    missed = a.o.want && json_is_false(json_object_get(a.out, "pass"));
    for (size_t i = 0; i < a.nlists; i++)
        json_decref(a.lists[i]);
    json_decref(a.out);
    mm_arena_free(a.arena);
    status = mm_cmd_finish(&a.cmd);
    return status != 0 ? status : missed;
}
