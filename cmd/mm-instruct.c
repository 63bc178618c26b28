/* mm-instruct: captions and boxes in, instruction data in LLaVA's JSON out, written
 * by a language model that never sees the picture.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cmd.h"
#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "net/child.h"
#include "net/instruct.h"
#include "net/lines.h"
#include "net/remote.h"
#include "net/tally.h"

static const char usage[] = "mm-instruct [-qv] [-j n] [-s seed] [-t type,...] [-n pictures] [-b instances.json]\n"
    "           -o out.jsonl (--endpoint URL --model name | --llm model) captions.json\n"
    "       mm-instruct --stats | --array file ...";
static const char help[] =
    "  captions.json           COCO captions; what is asked about, in this order\n"
    "  -b, --boxes FILE        COCO instances: objects and their boxes\n"
    "  -o, --out FILE          JSON lines, appended; what is there is not asked again\n"
    "      --rejects FILE      what was of no use and why (FILE of -o + .rejects)\n"
    "      --again             ask rejected ones again\n"
    "  -t, --types LIST        conversation, detail, reasoning (all)\n"
    "  -n, --pictures N        the first N pictures only\n"
    "      --prompts DIR       conversation.txt, detail.txt, reasoning.txt\n"
    "      --endpoint URL      OpenAI-compatible, http://host/v1; key in MM_API_KEY\n"
    "      --model NAME        the endpoint's name of the model\n"
    "      --llm MODEL         ask mm-llm instead; --llm-option OPT: one more of its options\n"
    "  -j N                    requests in flight, or items together (4)\n"
    "      --temperature T     of the answers;  --tokens N  at most so many (1024; 0: its own)\n"
    "      --tries N           attempts per request (6);  --timeout S (120)  --backoff S (1)\n"
    "      --stats             count what is in files, by type\n"
    "      --array             files as one JSON array on standard output\n";

enum { OPT_REJECTS = MM_OPT_FIRST, OPT_AGAIN, OPT_PROMPTS, OPT_ENDPOINT, OPT_MODEL, OPT_LLM, OPT_LLM_OPTION,
       OPT_TEMPERATURE, OPT_TOKENS, OPT_TRIES, OPT_TIMEOUT, OPT_BACKOFF, OPT_STATS, OPT_ARRAY };
enum { MAX_LLM_OPTIONS = 32, CHUNK = 256, GIVE_UP = 5 };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    { "boxes", required_argument, NULL, 'b' },
    { "out", required_argument, NULL, 'o' },
    { "types", required_argument, NULL, 't' },
    { "pictures", required_argument, NULL, 'n' },
    { "rejects", required_argument, NULL, OPT_REJECTS },
    { "again", no_argument, NULL, OPT_AGAIN },
    { "prompts", required_argument, NULL, OPT_PROMPTS },
    { "endpoint", required_argument, NULL, OPT_ENDPOINT },
    { "model", required_argument, NULL, OPT_MODEL },
    { "llm", required_argument, NULL, OPT_LLM },
    { "llm-option", required_argument, NULL, OPT_LLM_OPTION },
    { "temperature", required_argument, NULL, OPT_TEMPERATURE },
    { "tokens", required_argument, NULL, OPT_TOKENS },
    { "tries", required_argument, NULL, OPT_TRIES },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "backoff", required_argument, NULL, OPT_BACKOFF },
    { "stats", no_argument, NULL, OPT_STATS },
    { "array", no_argument, NULL, OPT_ARRAY },
    { NULL, 0, NULL, 0 }
};

struct opts {
    const char *captions, *boxes, *out, *rejects, *prompts, *llm;
    const char *llm_options[MAX_LLM_OPTIONS];
    int n_llm_options;
    struct mm_remote_opts remote;
    bool types[MM_NINSTRUCT];
    bool again, stats, array;
    size_t pictures;
};

/* One question to a model: a picture and a type. */
struct task {
    const struct mm_picture *pic;
    enum mm_instruct type;
};

struct app {
    const struct opts *o;
    struct mm_cmd *cmd;
    struct mm_instruct_prompt prompt[MM_NINSTRUCT];
    struct mm_pictures pics;
    struct task *task; /* [n] what is not there yet, in order */
    size_t n;
    json_t *done[MM_NINSTRUCT]; /* keys: the pictures' files */
    int out, rejects;  /* descriptors, -1: not open */
    size_t made[MM_NINSTRUCT], rejected, failed, row; /* row: failures one after the other */
    struct mm_progress progress;
};

/* --- files of lines --- */

/* Marks a line of the output or the rejects as there. */
static int mark_done(void *user, const json_t *o, const char *path, struct mm_err *e)
{
    struct app *a = user;
    const char *image = json_string_value(json_object_get(o, "image")); /* an id may be that of two */
    const int type = mm_instruct_type(json_string_value(json_object_get(o, "type")));

    if (image == NULL || type < 0)
        return mm_err_set(e, MM_EDATA, "%s: a line without image and type: no file of mm-instruct", path);
    if (json_is_true(json_object_get(o, "again")))
        return 0;
    return json_object_set_new(a->done[type], image, json_true()) == 0
               ? 0 : mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
}

static int see_only(void *user, const json_t *o, const char *path, struct mm_err *e)
{
    (void)user;
    return json_is_object(o) ? 0 : mm_err_set(e, MM_EDATA, "%s: a line that is no object", path);
}

static int open_lines(struct app *a, int *fd, const char *path, bool mark, struct mm_err *e)
{
    bool cut;
    const int rc = mm_lines_open(fd, path, mark ? mark_done : see_only, a, &cut, e);

    if (rc == 0 && cut)
        mm_cmd_warn(a->cmd, "%s: half a line at the end is cut off", path);
    return rc;
}

/* --- answers --- */

static int reject(struct app *a, const struct task *t, const char *why, const char *msg, const char *text,
                  bool again, struct mm_err *e)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "id", t->pic->id, "image", t->pic->file, "type",
                          mm_instruct_name(t->type), "why", why);

    a->rejected++;
    if (msg != NULL && *msg)
        json_object_set_new(o, "message", json_string(msg));
    if (text != NULL)
        json_object_set_new(o, "text", json_string(text));
    if (again)
        json_object_set_new(o, "again", json_true());
    return mm_lines_put(a->rejects, o, a->o->rejects, e);
}

/* Writes what came of a task: a record or a reject. */
static int emit(struct app *a, size_t i, const struct mm_remote_reply *r, struct mm_err *e)
{
    const struct task *t = &a->task[i];
    const char *why = r->why;
    struct mm_strings turns = { 0 };
    int rc;

    mm_progress_step(&a->progress, i + 1);
    if (r->code != 0) {
        const bool again = r->code == MM_EIO;

        a->failed += again;
        a->row += again || strncmp(why, "http-", 5) == 0; /* 400: perhaps this question, perhaps all */
        rc = reject(a, t, why, r->msg, NULL, again, e);
        return rc < 0 || a->row < GIVE_UP ? rc
            : mm_err_set(e, MM_EIO, "%d requests one after the other failed, the last: %s: %s", GIVE_UP, why, r->msg);
    }
    a->row = 0;
    why = strcmp(r->finish, "length") == 0 ? "truncated"
          : strcmp(r->finish, "content_filter") == 0 ? "filtered" : mm_instruct_parse(&turns, t->type, r->text);
    if (why != NULL)
        return reject(a, t, why, NULL, r->text, false, e);
    a->made[t->type]++;
    rc = mm_lines_put(a->out,
                      mm_instruct_record(t->pic, t->type, &a->prompt[t->type].questions, &turns, a->cmd->seed), a->o->out, e);
    mm_strings_free(&turns);
    return rc;
}

/* --- an endpoint --- */

static int ask(struct app *a, struct mm_remote *c, size_t i, struct mm_err *e)
{
    const struct task *t = &a->task[i];
    const struct mm_strings *turns = &a->prompt[t->type].turns;
    struct mm_remote_msg *m = calloc(turns->n + 1, sizeof(*m));
    struct mm_buf b = { 0 };
    int rc;

    mm_instruct_context(&b, t->pic, t->type);
    if (m == NULL || b.failed) {
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    } else {
        for (size_t k = 0; k < turns->n; k++)
            m[k] = (struct mm_remote_msg){ k == 0 ? "system" : k % 2 ? "user" : "assistant", turns->v[k] };
        m[turns->n] = (struct mm_remote_msg){ "user", b.p };
        rc = mm_remote_add(c, i, m, turns->n + 1, e);
    }
    free(m);
    mm_buf_free(&b);
    return rc;
}

/* Replies come in any order and are written in that of the tasks; so many are kept at most. */
static int run_remote(struct app *a, struct mm_err *e)
{
    const size_t window = 16 + 4 * (size_t)a->o->remote.jobs;
    struct mm_remote_reply *ring = calloc(window, sizeof(*ring)), r;
    bool *have = calloc(window, sizeof(*have));
    struct mm_remote *c = NULL;
    size_t asked = 0, written = 0;
    int rc = ring != NULL && have != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");

    if (rc == 0)
        rc = mm_remote_open(&c, &a->o->remote, e);
    while (rc == 0 && written < a->n) {
        for (; rc == 0 && asked < a->n && asked - written < window; asked++)
            rc = ask(a, c, asked, e);
        if (rc < 0 || (rc = mm_remote_wait(c, &r, e)) < 0)
            break;
        rc = 0;
        if (r.code == MM_EMISSING)
            rc = mm_err_set(e, MM_EMISSING, "endpoint: %s: %s", strcmp(r.why, "key") == 0 ? "key refused" : r.why, r.msg);
        ring[r.id % window] = r;
        have[r.id % window] = rc == 0;
        for (; rc == 0 && have[written % window]; written++) {
            rc = emit(a, written, &ring[written % window], e);
            mm_remote_reply_free(&ring[written % window]);
            have[written % window] = false;
        }
    }
    mm_remote_free(c);
    for (size_t i = 0; ring != NULL && i < window; i++)
        mm_remote_reply_free(&ring[i]);
    free(ring);
    free(have);
    return rc;
}

/* --- mm-llm --- */

/* The same messages as one text, for models that know no roles: a line for --prompts. */
static void flat_prompt(struct mm_buf *lines, const struct app *a, const struct task *t)
{
    const struct mm_strings *turns = &a->prompt[t->type].turns;
    struct mm_buf b = { 0 };

    mm_buf_str(&b, turns->v[0]);
    for (size_t k = 1; k < turns->n; k++)
        mm_buf_printf(&b, "\n\n### %s\n%s", k % 2 ? "Scene" : "Assistant", turns->v[k]);
    mm_buf_str(&b, "\n\n### Scene\n");
    mm_instruct_context(&b, t->pic, t->type);
    mm_buf_str(&b, "\n\n### Assistant\n");
    for (size_t i = 0; i < b.n; i++) /* <image> and its like are places to fill there */
        if (b.p[i] == '<')
            b.p[i] = '(';
    mm_buf_str(lines, "{\"prompt\":");
    mm_json_quote(lines, b.p, b.n);
    mm_buf_str(lines, "}\n");
    lines->failed = lines->failed || b.failed;
    mm_buf_free(&b);
}

struct llm_run {
    struct app *a;
    size_t at, end; /* the task of the next answer */
    bool failed;    /* here, not in the child */
};

/* An answer line of mm-llm. */
static int take_line(void *user, const char *line, size_t n, struct mm_err *e)
{
    struct mm_remote_reply r = { .tries = 1 };
    struct llm_run *run = user;
    json_t *o;
    int rc = mm_json_load(&o, line, n, "mm-llm", e);

    if (rc == 0 && run->at == run->end)
        rc = mm_err_set(e, MM_EDATA, "mm-llm: more answers than prompts");
    if (rc == 0) {
        const char *text = json_string_value(json_object_get(o, "text"));
        const char *stop = json_string_value(json_object_get(o, "stop"));
        const char *error = json_string_value(json_object_get(o, "error"));

        if (text != NULL) {
            const bool cut = stop != NULL && (strcmp(stop, "length") == 0 || strcmp(stop, "context") == 0);

            snprintf(r.finish, sizeof(r.finish), "%s", cut ? "length" : "stop");
            r.text = strdup(text);
            rc = r.text != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
        } else {
            r.code = MM_EDATA;
            snprintf(r.why, sizeof(r.why), "no-text");
            snprintf(r.msg, sizeof(r.msg), "%s", error != NULL ? error : "an answer without text");
        }
    }
    if (rc == 0)
        rc = emit(run->a, run->at++, &r, e);
    run->failed = rc < 0;
    mm_remote_reply_free(&r);
    json_decref(o);
    return rc;
}

/* A child for CHUNK tasks at a time: it reads all its prompts before the first answer. */
static int run_llm(struct app *a, struct mm_err *e)
{
    char tokens[16], batch[16], seed[24], temperature[32];
    const struct opts *o = a->o;
    const char *argv[24 + MAX_LLM_OPTIONS] = { "mm-llm", "-q", "-m", o->llm, "--prompts", "/dev/fd/3", "--json",
        "--keep-going", "--stop", "\n###", "-n", tokens, "-B", batch, "-s", seed, "-t", temperature };
    struct mm_buf b = { 0 };
    int rc = 0;

    snprintf(tokens, sizeof(tokens), "%d", o->remote.max_tokens);
    snprintf(batch, sizeof(batch), "%d", o->remote.jobs);
    snprintf(seed, sizeof(seed), "%llu", (unsigned long long)a->cmd->seed);
    snprintf(temperature, sizeof(temperature), "%g", o->remote.temperature < 0 ? 0 : o->remote.temperature);
    for (int i = 0; i < o->n_llm_options; i++)
        argv[18 + i] = o->llm_options[i];
    for (size_t at = 0; rc == 0 && at < a->n; at += CHUNK) {
        struct llm_run run = { a, at, at + CHUNK < a->n ? at + CHUNK : a->n, false };
        struct mm_err child = { 0 };

        mm_buf_reset(&b);
        for (size_t i = at; i < run.end; i++)
            flat_prompt(&b, a, &a->task[i]);
        rc = b.failed ? mm_err_set(&child, MM_ENOMEM, "out of memory")
                      : mm_child_run((char *const *)(const void *)argv, b.p, b.n, take_line, &run, &child);
        if (run.at == run.end && !run.failed)
            rc = 0; /* with --keep-going its status tells of items, which are told of by line */
        else if (rc == 0)
            rc = mm_err_set(&child, MM_EIO, "mm-llm ended before its answers");
        if (rc < 0)
            mm_err_set(e, rc, "%s", child.msg);
    }
    mm_buf_free(&b);
    return rc;
}

/* --- what is there --- */

static void stat_line(const char *name, size_t items, size_t pairs, size_t asked, size_t said)
{
    printf("%-14s %9zu %9.2f %12.1f %10.1f\n", name, items, items ? (double)pairs / (double)items : 0.0,
           pairs ? (double)asked / (double)pairs : 0.0, pairs ? (double)said / (double)pairs : 0.0);
}

static int stats(char *const *paths, struct mm_err *e)
{
    static const char *const names[] = { "conversation", "detail", "reasoning", "other" };
    struct mm_tally y = { .images = json_object() };
    size_t sum[4] = { 0 };
    int rc = 0;

    for (; rc == 0 && *paths != NULL; paths++)
        rc = mm_lines_each(*paths, mm_tally_add, &y, NULL, e);
    if (rc == 0)
        printf("%-14s %9s %9s %12s %10s\n", "type", "items", "turns", "words asked", "answered");
    for (int t = 0; rc == 0 && t <= MM_NINSTRUCT; t++) {
        if (t < MM_NINSTRUCT || y.items[t] > 0)
            stat_line(names[t], y.items[t], y.pairs[t], y.asked[t], y.said[t]);
        sum[0] += y.items[t];
        sum[1] += y.pairs[t];
        sum[2] += y.asked[t];
        sum[3] += y.said[t];
    }
    if (rc == 0) {
        stat_line("all", sum[0], sum[1], sum[2], sum[3]);
        printf("pictures       %9zu\n", json_object_size(y.images));
    }
    json_decref(y.images);
    return rc;
}

static int put_element(void *user, const json_t *o, const char *path, struct mm_err *e)
{
    bool *first = user;
    char *s = json_dumps(o, JSON_COMPACT);

    if (s == NULL)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    printf("%s\n%s", *first ? "[" : ",", s);
    *first = false;
    free(s);
    return 0;
}

static int array(char *const *paths, struct mm_err *e)
{
    bool first = true;
    int rc = 0;

    for (; rc == 0 && *paths != NULL; paths++)
        rc = mm_lines_each(*paths, put_element, &first, NULL, e);
    if (rc == 0)
        printf("%s\n]\n", first ? "[" : "");
    return rc;
}

/* --- all of it --- */

/* The folder of prompts: as said, beside the sources this runs from, or installed. */
static void prompt_path(const struct opts *o, char *buf, size_t cap, const char *name)
{
    char exe[2048];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

    if (o->prompts != NULL) {
        snprintf(buf, cap, "%s/%s.txt", o->prompts, name);
        return;
    }
    exe[n > 0 ? n : 0] = '\0';
    char *dir = strrchr(exe, '/');
    if (dir != NULL)
        *dir = '\0';
    snprintf(buf, cap, "%s/../../../scripts/instruct/%s.txt", exe, name);
    if (access(buf, R_OK) < 0)
        snprintf(buf, cap, MM_PREFIX "/libexec/mm/instruct/%s.txt", name);
}

/* What is asked: pictures with captions, type by type, that are not there yet. */
static int list_tasks(struct app *a, struct mm_err *e)
{
    size_t bare = 0;

    a->task = calloc(a->pics.n * MM_NINSTRUCT + 1, sizeof(*a->task));
    if (a->task == NULL)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < a->pics.n && i < a->o->pictures; i++) {
        const struct mm_picture *pic = &a->pics.v[i];

        bare += pic->captions.n == 0;
        for (int t = 0; t < MM_NINSTRUCT && pic->captions.n > 0; t++)
            if (a->o->types[t] && json_object_get(a->done[t], pic->file) == NULL)
                a->task[a->n++] = (struct task){ pic, (enum mm_instruct)t };
    }
    if (bare > 0)
        mm_cmd_warn(a->cmd, "%zu pictures have no caption and are passed over", bare);
    return 0;
}

static int generate(const struct opts *o, struct mm_cmd *cmd)
{
    struct app a = { .o = o, .cmd = cmd, .out = -1, .rejects = -1 };
    struct mm_err *e = &cmd->err;
    char path[4096];
    int rc = mm_pictures_read(&a.pics, o->captions, o->boxes, e);

    for (int t = 0; rc == 0 && t < MM_NINSTRUCT; t++) {
        prompt_path(o, path, sizeof(path), mm_instruct_name((enum mm_instruct)t));
        if (o->types[t])
            rc = mm_instruct_prompt_read(&a.prompt[t], (enum mm_instruct)t, path, e);
        if (rc == 0 && (a.done[t] = json_object()) == NULL)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    if (rc == 0 && (rc = open_lines(&a, &a.out, o->out, true, e)) == 0 &&
        (rc = open_lines(&a, &a.rejects, o->rejects, !o->again, e)) == 0)
        rc = list_tasks(&a, e);
    if (rc == 0) {
        mm_progress_start(&a.progress, cmd, "instruct", a.n);
        rc = o->llm != NULL ? run_llm(&a, e) : run_remote(&a, e);
        mm_progress_end(&a.progress);
        const size_t made = a.made[0] + a.made[1] + a.made[2];
        mm_cmd_info(cmd, "%zu asked for, %zu made: %zu conversation, %zu detail, %zu reasoning; %zu rejected",
                    a.n, made, a.made[0], a.made[1], a.made[2], a.rejected);
        if (a.rejected > 0)
            mm_cmd_warn(cmd, "%zu of %zu rejected, see %s", a.rejected, made + a.rejected, o->rejects);
        if (rc == 0 && a.failed > 0)
            rc = mm_err_set(e, MM_EIO, "%zu requests failed at every try; run again to ask them again", a.failed);
    }
    if (a.out >= 0)
        close(a.out);
    if (a.rejects >= 0)
        close(a.rejects);
    for (int t = 0; t < MM_NINSTRUCT; t++) {
        mm_instruct_prompt_free(&a.prompt[t]);
        json_decref(a.done[t]);
    }
    mm_pictures_free(&a.pics);
    free(a.task);
    return rc;
}

static void parse_types(struct mm_cmd *cmd, struct opts *o, char *list)
{
    for (int t = 0; t < MM_NINSTRUCT; t++)
        o->types[t] = false;
    if (list[strspn(list, ",")] == '\0')
        mm_cmd_usage(cmd, "-t: no type is named");
    for (char *save = NULL, *w = strtok_r(list, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
        if (mm_instruct_type(w) < 0)
            mm_cmd_usage(cmd, "-t: '%s' is none of conversation, detail, reasoning", w);
        o->types[mm_instruct_type(w)] = true;
    }
}

static bool option(struct opts *o, struct mm_cmd *cmd, int c, char *arg)
{
    switch (c) {
    case 'b': o->boxes = arg; break;
    case 'o': o->out = arg; break;
    case 't': parse_types(cmd, o, arg); break;
    case 'n': o->pictures = (size_t)mm_opt_int(cmd, "-n", arg, 0, INT32_MAX); break;
    case 'j': o->remote.jobs = (int)mm_opt_int(cmd, "-j", arg, 1, 256); break;
    case OPT_REJECTS: o->rejects = arg; break;
    case OPT_AGAIN: o->again = true; break;
    case OPT_PROMPTS: o->prompts = arg; break;
    case OPT_ENDPOINT: o->remote.endpoint = arg; break;
    case OPT_MODEL: o->remote.model = arg; break;
    case OPT_LLM: o->llm = arg; break;
    case OPT_LLM_OPTION:
        if (o->n_llm_options + 1 == MAX_LLM_OPTIONS - 1)
            mm_cmd_usage(cmd, "too many --llm-option");
        o->llm_options[o->n_llm_options++] = arg;
        break;
    case OPT_TEMPERATURE: o->remote.temperature = mm_opt_double(cmd, "--temperature", arg, 0, 2); break;
    case OPT_TOKENS: o->remote.max_tokens = (int)mm_opt_int(cmd, "--tokens", arg, 0, 1 << 20); break;
    case OPT_TRIES: o->remote.tries = (int)mm_opt_int(cmd, "--tries", arg, 1, 100); break;
    case OPT_TIMEOUT: o->remote.timeout = mm_opt_double(cmd, "--timeout", arg, 0.01, 86400); break;
    case OPT_BACKOFF: o->remote.backoff = mm_opt_double(cmd, "--backoff", arg, 0, 60); break;
    case OPT_STATS: o->stats = true; break;
    case OPT_ARRAY: o->array = true; break;
    default: return false;
    }
    return true;
}

static void check(struct mm_cmd *cmd, struct opts *o, int operands)
{
    if (o->stats && o->array)
        mm_cmd_usage(cmd, "--stats and --array exclude each other");
    if (o->stats || o->array) {
        if (operands == 0)
            mm_cmd_usage(cmd, "no file");
        return;
    }
    if (operands != 1 || o->out == NULL)
        mm_cmd_usage(cmd, "one captions file and -o are wanted");
    if (strcmp(o->out, "-") == 0)
        mm_cmd_usage(cmd, "-o: a file is wanted: what it holds is not asked again");
    if (o->llm != NULL && o->remote.max_tokens == 0)
        mm_cmd_usage(cmd, "--tokens 0: mm-llm wants a number");
    if ((o->llm != NULL) == (o->remote.endpoint != NULL))
        mm_cmd_usage(cmd, "one of --endpoint and --llm is wanted");
    if (o->llm == NULL && o->remote.model == NULL)
        mm_cmd_usage(cmd, "--endpoint wants --model");
}

int main(int argc, char **argv)
{
    struct opts o = { .remote = mm_remote_defaults, .types = { true, true, true }, .pictures = SIZE_MAX };
    struct mm_cmd cmd;
    char *rejects = NULL;
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    o.remote.jobs = 4;
    o.remote.max_tokens = 1024;
    while ((c = getopt_long(argc, argv, "b:o:t:n:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        if (!option(&o, &cmd, c, optarg))
            mm_cmd_common(&cmd, c, optarg);
    check(&cmd, &o, argc - optind);
    if (o.stats || o.array) {
        (void)!(o.stats ? stats : array)(argv + optind, &cmd.err); /* the error is in cmd */
        return mm_cmd_finish(&cmd);
    }
    o.captions = argv[optind];
    o.remote.seed = cmd.seed;
    o.remote.key = getenv("MM_API_KEY");
    if (o.remote.key == NULL)
        o.remote.key = getenv("OPENAI_API_KEY");
    if (o.rejects == NULL) {
        rejects = malloc(strlen(o.out) + sizeof(".rejects"));
        if (rejects == NULL || sprintf(rejects, "%s.rejects", o.out) < 0)
            return 70;
        o.rejects = rejects;
    }
    (void)generate(&o, &cmd); /* the error is in cmd */
    free(rejects);
    return mm_cmd_finish(&cmd);
}
