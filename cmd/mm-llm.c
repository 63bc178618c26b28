/* mm-llm: a language model: prompts, pictures as embeddings and token ids in;
 * text, tokens, logits or scores out.
 */
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cmd.h"
#include "base/io.h"
#include "base/progress.h"
#include "base/strings.h"
#include "model/chat.h"
#include "model/report.h"
#include "model/runner.h"
#include "model/state.h"
#include "stream/cmdio.h"
#include "stream/trace.h"

static const char usage[] =
    "mm-llm [-m model] [-qvS] [-p prompt] [-n tokens] [-t temperature] [-s seed]\n"
    "              [-c positions] [-B items] [-j threads] [option ...] [file ...]";
static const char help[] =
    "  -m MODEL  --lora DIR  --base DIR  --exact  --kv f32|f16\n"
    "prompt: -p TEXT  --prompt-file F  --prompts F.jsonl  --template NAME\n"
    "        --system TEXT  --chat\n"
    "length: -n TOKENS  -c POSITIONS  --min-tokens N  --eos ID,...  --ignore-eos\n"
    "        --stop TEXT\n"
    "choice: -t T (0: greedy)  -s SEED  --top-k N  --top-p P  --min-p P\n"
    "        --typical-p P  --repeat-penalty R  --repeat-last N  --no-repeat-ngram N\n"
    "        --frequency-penalty F  --presence-penalty P  --logit-bias ID=V\n"
    "        --sampler-order hf|llama.cpp  --grammar F  --json-schema F\n"
    "beams:  --beam N  --length-penalty L  --early-stopping true|false|never\n"
    "        --num-return N\n"
    "scores: --score TEXT ...  --perplexity F\n"
    "output: --json  -S (records)  --logits  --trace F\n"
    "        --save-state F  --load-state F\n"
    "others: -B ITEMS (together)  --keep-going  --max-record SIZE  -j THREADS\n"
    "        -q  -v  --version\n";

struct opts {
    const char *model, *lora, *base, *prompt_file, *prompts, *template, *system;
    const char *grammar, *schema, *perplexity, *trace, *save_state, *load_state;
    struct mm_buf prompt;          /* -p, escapes read */
    bool has_prompt, exact, json, records, logits, chat, keep_going;
    enum mm_dtype kv;              /* MM_NDTYPE: by --exact */
    struct mm_gen_spec gen;
    struct mm_beam_spec beam;      /* beams 0: none */
    size_t num_return, batch, max_record;
    struct mm_bias *bias;
    struct mm_strings stop, score;
    int32_t eos[MM_LLM_EOS];
    size_t nbias, bias_cap, neos;
};

struct app {
    struct mm_cmd *cmd;
    struct opts *o;
    struct mm_pool *pool;
    struct mm_llm llm;
    struct mm_ctx ctx;
    const struct mm_template *template; /* of --chat or --template, or NULL */
    struct mm_gram *gram;
    struct mm_gvocab *gvocab;
    struct mm_gen *gen;
    struct mm_parts state;
    struct mm_input *in;
    struct mm_sink sink;
    struct mm_report report;
    struct mm_trace *trace;
    struct mm_stage_file stages;
    int64_t item;                  /* being traced */
    json_t *prompts;
    bool file;                     /* standard output is a regular file: no flush per token */
    bool faulty;                   /* some item failed, --keep-going */
};

static volatile sig_atomic_t interrupted;

/* --- command line ------------------------------------------------------------------ */

/* Options that only set a member; their value for getopt is OPT_TABLE + index. */
enum opt_type { FLAG, TEXT, COUNT, REAL };
static const struct {
    const char *name;
    enum opt_type type;
    size_t at;
    double lo, hi;
} table[] = {
#define AT(member) offsetof(struct opts, member)
    { "lora", TEXT, AT(lora), 0, 0 },
    { "base", TEXT, AT(base), 0, 0 },
    { "exact", FLAG, AT(exact), 0, 0 },
    { "prompt-file", TEXT, AT(prompt_file), 0, 0 },
    { "prompts", TEXT, AT(prompts), 0, 0 },
    { "template", TEXT, AT(template), 0, 0 },
    { "system", TEXT, AT(system), 0, 0 },
    { "chat", FLAG, AT(chat), 0, 0 },
    { "ignore-eos", FLAG, AT(gen.sample.ignore_eos), 0, 0 },
    { "min-tokens", COUNT, AT(gen.sample.min_tokens), 0, INT32_MAX },
    { "top-k", COUNT, AT(gen.sample.top_k), 0, INT32_MAX },
    { "top-p", REAL, AT(gen.sample.top_p), 0, 1 },
    { "min-p", REAL, AT(gen.sample.min_p), 0, 1 },
    { "typical-p", REAL, AT(gen.sample.typical_p), 0, 1 },
    { "repeat-penalty", REAL, AT(gen.sample.repeat_penalty), 1e-3, 1e3 },
    { "repeat-last", COUNT, AT(gen.sample.repeat_window), 0, INT32_MAX },
    { "frequency-penalty", REAL, AT(gen.sample.frequency_penalty), -1e3, 1e3 },
    { "presence-penalty", REAL, AT(gen.sample.presence_penalty), -1e3, 1e3 },
    { "no-repeat-ngram", COUNT, AT(gen.sample.no_repeat_ngram), 0, INT32_MAX },
    { "grammar", TEXT, AT(grammar), 0, 0 },
    { "json-schema", TEXT, AT(schema), 0, 0 },
    { "beam", COUNT, AT(beam.beams), 1, 256 },
    { "length-penalty", REAL, AT(beam.length_penalty), -100, 100 },
    { "num-return", COUNT, AT(num_return), 1, 256 },
    { "perplexity", TEXT, AT(perplexity), 0, 0 },
    { "json", FLAG, AT(json), 0, 0 },
    { "logits", FLAG, AT(logits), 0, 0 },
    { "save-state", TEXT, AT(save_state), 0, 0 },
    { "load-state", TEXT, AT(load_state), 0, 0 },
#undef AT
};
enum {
    NTABLE = sizeof(table) / sizeof(*table), OPT_TABLE = MM_OPT_FIRST + 100,
    OPT_KV = MM_OPT_FIRST, OPT_EOS, OPT_STOP, OPT_BIAS, OPT_ORDER, OPT_EARLY, OPT_SCORE
};

#define TAKES(name, value) { name, required_argument, NULL, value }
static const struct option others[] = {
    MM_COMMON_LONG, MM_MAX_RECORD_LONG, MM_TRACE_LONG, MM_KEEP_GOING_LONG,
    TAKES("model", 'm'), TAKES("prompt", 'p'), TAKES("tokens", 'n'), TAKES("temperature", 't'),
    TAKES("context", 'c'), TAKES("batch", 'B'), { "records", no_argument, NULL, 'S' },
    TAKES("kv", OPT_KV), TAKES("eos", OPT_EOS), TAKES("stop", OPT_STOP),
    TAKES("logit-bias", OPT_BIAS), TAKES("sampler-order", OPT_ORDER),
    TAKES("early-stopping", OPT_EARLY), TAKES("score", OPT_SCORE)
};
enum { NOTHERS = sizeof(others) / sizeof(*others) };

static void no_memory(struct mm_cmd *cmd)
{
    mm_err_set(&cmd->err, MM_ENOMEM, "out of memory");
    mm_cmd_fail(cmd);
}

static void add_string(struct mm_cmd *cmd, struct mm_strings *v, const char *s)
{
    struct mm_buf b = { 0 };

    mm_unescape(&b, s);
    if (b.n == 0)
        mm_cmd_usage(cmd, "--stop, --score: an empty text");
    if (b.failed || !mm_strings_add(v, b.p, b.n))
        no_memory(cmd);
    mm_buf_free(&b);
}

static void add_ids(struct mm_cmd *cmd, struct opts *o, char *list)
{
    char *save;

    for (char *s = strtok_r(list, ", ", &save); s; s = strtok_r(NULL, ", ", &save)) {
        if (o->neos == MM_LLM_EOS)
            mm_cmd_usage(cmd, "--eos: at most %d tokens", (int)MM_LLM_EOS);
        o->eos[o->neos++] = (int32_t)mm_opt_int(cmd, "--eos", s, 0, INT32_MAX);
    }
}

static void add_bias(struct mm_cmd *cmd, struct opts *o, char *arg)
{
    char *eq = strchr(arg, '=');

    if (!eq)
        mm_cmd_usage(cmd, "--logit-bias: '%s', want ID=VALUE", arg);
    *eq = '\0';
    if (!mm_grow(&o->bias, &o->bias_cap, o->nbias + 1, sizeof(*o->bias)))
        no_memory(cmd);
    o->bias[o->nbias].id = (int32_t)mm_opt_int(cmd, "--logit-bias", arg, 0, INT32_MAX);
    o->bias[o->nbias++].add = (float)mm_opt_double(cmd, "--logit-bias", eq + 1, -1e9, 1e9);
}

static void table_option(struct mm_cmd *cmd, struct opts *o, size_t i, const char *arg)
{
    void *to = (char *)o + table[i].at;
    char name[40];

    snprintf(name, sizeof(name), "--%s", table[i].name);
    switch (table[i].type) {
    case FLAG: *(bool *)to = true; break;
    case TEXT: *(const char **)to = arg; break;
    case COUNT:
        *(size_t *)to = (size_t)mm_opt_int(cmd, name, arg, (int64_t)table[i].lo,
                                           (int64_t)table[i].hi);
        break;
    case REAL: *(double *)to = mm_opt_double(cmd, name, arg, table[i].lo, table[i].hi); break;
    }
}

static void option(struct mm_cmd *cmd, struct opts *o, int c, char *arg)
{
    static const char *const types[] = { "f32", "f16", NULL };
    static const char *const orders[] = { "hf", "llama.cpp", NULL };
    static const char *const early[] = { "false", "true", "never", NULL };

    switch (c) {
    case 'm': o->model = arg; break;
    case 'p':
        mm_buf_reset(&o->prompt);
        mm_unescape(&o->prompt, arg);
        o->has_prompt = true;
        break;
    case 'n': o->gen.max_new = (size_t)mm_opt_int(cmd, "-n", arg, 0, INT32_MAX / 2); break;
    case 'c': o->gen.context = (size_t)mm_opt_int(cmd, "-c", arg, 1, INT32_MAX / 2); break;
    case 't': o->gen.sample.temperature = mm_opt_double(cmd, "-t", arg, 0, 1e6); break;
    case 'B': o->batch = (size_t)mm_opt_int(cmd, "-B", arg, 1, 4096); break;
    case 'S': o->records = true; break;
    case OPT_KV: o->kv = mm_opt_word(cmd, "--kv", arg, types) ? MM_F16 : MM_F32; break;
    case OPT_EOS: add_ids(cmd, o, arg); break;
    case OPT_STOP: add_string(cmd, &o->stop, arg); break;
    case OPT_SCORE: add_string(cmd, &o->score, arg); break;
    case OPT_BIAS: add_bias(cmd, o, arg); break;
    case OPT_ORDER:
        o->gen.sample.order =
            (enum mm_sample_order)mm_opt_word(cmd, "--sampler-order", arg, orders);
        break;
    case OPT_EARLY:
        o->beam.early = (enum mm_early_stop)mm_opt_word(cmd, "--early-stopping", arg, early);
        break;
    case MM_OPT_TRACE: o->trace = arg; break;
    case MM_OPT_KEEP_GOING: o->keep_going = true; break;
    case MM_OPT_MAX_RECORD:
        o->max_record = mm_opt_size(cmd, "--max-record", arg, SIZE_MAX / 2);
        break;
    default:
        if (c >= OPT_TABLE)
            table_option(cmd, o, (size_t)(c - OPT_TABLE), arg);
        else
            mm_cmd_common(cmd, c, arg);
    }
}

static void parse(struct mm_cmd *cmd, struct opts *o, int argc, char **argv)
{
    struct option all[NOTHERS + NTABLE + 1] = { { NULL, 0, NULL, 0 } };
    int c;

    memcpy(all, others, sizeof(others));
    for (int i = 0; i < NTABLE; i++)
        all[NOTHERS + i] = (struct option){
            table[i].name, table[i].type == FLAG ? no_argument : required_argument, NULL,
            OPT_TABLE + i
        };
    while ((c = getopt_long(argc, argv, "m:p:n:t:c:B:S" MM_COMMON_OPTS, all, NULL)) != -1)
        option(cmd, o, c, optarg);
    o->records |= o->logits;
}

static void refuse_together(struct mm_cmd *cmd, const struct opts *o)
{
    const struct {
        bool a, b;
        const char *an, *bn;
    } pair[] = {
        { o->json, o->records, "--json", "-S" },
        { o->chat, o->records, "--chat", "-S" },
        { o->chat, o->has_prompt || o->prompt_file || o->prompts, "--chat", "a prompt" },
        { o->chat, o->beam.beams > 0, "--chat", "--beam" },
        { o->chat, o->score.n > 0, "--chat", "--score" },
        { o->chat, o->trace != NULL, "--chat", "--trace" },
        { o->chat, o->save_state || o->load_state, "--chat", "a state" },
        { o->has_prompt, o->prompt_file != NULL, "-p", "--prompt-file" },
        { o->has_prompt || o->prompt_file, o->prompts != NULL, "-p", "--prompts" },
        { o->grammar != NULL, o->schema != NULL, "--grammar", "--json-schema" },
        { o->beam.beams > 0, o->grammar || o->schema, "--beam", "a grammar" },
        { o->beam.beams > 0, o->score.n > 0, "--beam", "--score" },
        { o->beam.beams > 0, o->logits, "--beam", "--logits" },
        { o->score.n > 0, o->records, "--score", "-S" },
        { o->perplexity != NULL, o->has_prompt || o->score.n || o->chat, "--perplexity",
          "a prompt" },
    };

    for (size_t i = 0; i < sizeof(pair) / sizeof(*pair); i++)
        if (pair[i].a && pair[i].b)
            mm_cmd_usage(cmd, "%s does not go with %s", pair[i].an, pair[i].bn);
    if (o->num_return > (o->beam.beams ? o->beam.beams : 1))
        mm_cmd_usage(cmd, "--num-return %zu: more than --beam %zu", o->num_return, o->beam.beams);
    if (o->beam.beams && o->gen.max_new == 0)
        mm_cmd_usage(cmd, "--beam needs -n of at least 1");
}

/* --- setting up ---------------------------------------------------------------------- */

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* Complete the settings with what the model says, and make the engine. */
static int open_engine(struct app *a, struct mm_gen_spec g, struct mm_err *e)
{
    const struct opts *o = a->o;

    a->sink = (struct mm_sink){
        .json = o->json, .records = a->sink.records, .trace = a->trace, .logits = o->logits,
        .has_text = a->llm.tok != NULL, .beams = o->beam.beams > 0,
        .vocab = mm_llama_config(a->llm.m)->vocab, .model = a->llm.fingerprint
    };
    g.seed = a->cmd->seed;
    g.kv = o->kv != MM_NDTYPE ? o->kv : o->exact ? MM_F32 : MM_F16;
    g.sample.eos = o->neos ? o->eos : a->llm.eos;
    g.sample.neos = o->neos ? o->neos : a->llm.neos;
    g.sample.never = a->llm.never;
    g.sample.nnever = a->llm.nnever;
    g.sample.limit = a->llm.limit;
    g.sample.bias = o->bias;
    g.sample.nbias = o->nbias;
    g.trim = a->llm.llava.layout != MM_LLAVA_NONE;
    g.continues = !o->chat && !o->template;
    g.logprobs = o->json;
    g.keep_logits = o->logits || o->trace;
    g.gram = a->gram;
    g.gvocab = a->gvocab;
    g.stop = (const char *const *)o->stop.v;
    g.nstop = o->stop.n;
    g.interrupt = o->chat ? &interrupted : NULL;
    int rc = mm_gen_new(&a->gen, a->llm.m, a->llm.tok, &a->ctx, &g, e);
    mm_cmd_info(a->cmd, "seed %" PRIu64 ", temperature %g, cache of %s%s", g.seed,
                g.sample.temperature, mm_dtype_name(g.kv), a->llm.tok ? "" : ", no tokenizer");
    if (rc == 0 && o->load_state)
        rc = mm_state_load(o->load_state, a->gen, g.kv, &a->state, a->llm.fingerprint, e);
    return rc;
}

/* The template of a conversation; its stop texts end answers too. */
static int open_template(struct app *a, struct mm_err *e)
{
    const int rc = mm_llm_template(&a->template, &a->llm, a->o->template, e);

    if (rc < 0)
        return rc;
    for (const char *const *s = mm_template_stops(a->template); *s; s++)
        if (**s && !mm_strings_add(&a->o->stop, *s, strlen(*s)))
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

static int open_all(struct app *a, struct mm_gen_spec gen)
{
    const struct opts *o = a->o;
    struct mm_err *e = &a->cmd->err;
    struct mm_adapt_spec ad = { .path = o->model, .base = o->base, .lora = o->lora,
                                .store = o->exact ? MM_ADAPT_F32 : MM_ADAPT_STORED };
    const double start = mm_now();
    struct stat st;
    int rc = o->records ? mm_output_open(&a->sink.records, e) : 0;

    a->file = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    a->pool = mm_pool_new(a->cmd->threads);
    if (rc == 0 && !a->pool)
        rc = mm_err_set(e, MM_ENOMEM, "cannot start %d threads", a->cmd->threads);
    ad.pool = a->pool;
    if (rc == 0)
        rc = mm_llm_open(&a->llm, &ad, e);
    if (rc == 0 && (o->chat || o->template))
        rc = open_template(a, e);
    if (rc == 0)
        rc = mm_trace_open(&a->trace, o->trace, e);
    if (rc == 0)
        rc = mm_ctx_init(&a->ctx, a->pool, o->exact ? MM_ARITH_EXACT : MM_ARITH_FAST, e);
    a->stages = (struct mm_stage_file){ a->trace, &a->item };
    if (rc == 0)
        mm_trace_to(&a->ctx, &a->stages);
    if (rc == 0 && (o->grammar || o->schema))
        rc = mm_llm_grammar(&a->gram, &a->gvocab, &a->llm, o->grammar ? o->grammar : o->schema,
                            o->schema != NULL, e);
    if (rc == 0)
        rc = open_engine(a, gen, e);
    a->report.open_s = mm_now() - start;
    a->llm.prompt.seconds = &a->report.tokenize_s;
    a->ctx.times = a->cmd->verbose ? &a->report.times : NULL;
    return rc;
}

static void close_all(struct app *a)
{
    mm_gen_free(a->gen);
    mm_gvocab_free(a->gvocab);
    mm_gram_free(a->gram);
    mm_trace_abort(a->trace); /* not closed: something failed */
    mm_input_close(a->in);
    mm_writer_close(a->sink.records);
    mm_parts_free(&a->state);
    json_decref(a->prompts);
    mm_buf_free(&a->sink.out);
    if (a->ctx.arena)
        mm_ctx_free(&a->ctx);
    mm_llm_close(&a->llm);
    mm_pool_free(a->pool);
}

/* --- answers --------------------------------------------------------------------------- */

/* Text to standard output, at once unless that is a regular file. */
static int print(void *arg, const char *s, size_t n)
{
    const struct app *a = arg;

    if (fwrite(s, 1, n, stdout) != n || (!a->file && fflush(stdout) != 0))
        return mm_err_set(&a->cmd->err, MM_EIO, "standard output:");
    return 0;
}

/* A job that failed: with --keep-going a message and a record of it, else the end. */
static int fault(void *arg, const struct mm_job *j)
{
    struct app *a = arg;
    const char *source = j->item->nsource ? j->item->source[0] : NULL;
    struct mm_err *e = &a->cmd->err;

    if (!a->o->keep_going && source)
        return mm_err_set(e, j->fault.code, "%s: %s", source, j->fault.msg);
    if (!a->o->keep_going || j->fault.code == MM_ENOMEM || j->fault.code == MM_EIO)
        return mm_err_set(e, j->fault.code, "%s", j->fault.msg);
    mm_cmd_warn(a->cmd, "item %" PRId64 ": %s%s%s", mm_sink_number(j), source ? source : "",
                source ? ": " : "", j->fault.msg);
    a->faulty = true;
    int rc = mm_sink_fault(&a->sink, j, e);
    if (rc == 0 && a->sink.out.n)
        rc = print(a, a->sink.out.p, a->sink.out.n);
    mm_buf_reset(&a->sink.out);
    return rc;
}

static void say_stats(struct app *a)
{
    struct mm_buf b = { 0 };

    mm_report(&b, &a->report, mm_gen_stats(a->gen));
    mm_cmd_info_lines(a->cmd, b.p);
    mm_buf_free(&b);
}

static int run_prompts(struct app *a, char *const *paths, int n)
{
    const struct opts *o = a->o;
    struct mm_err *e = &a->cmd->err;
    struct mm_jobs_spec spec = {
        .llm = &a->llm, .wrap = a->template, .system = o->system,
        .state = o->load_state ? &a->state : NULL,
        .text = !o->has_prompt ? NULL : o->prompt.p ? o->prompt.p : "", .n = o->prompt.n
    };
    struct mm_runner r = {
        .llm = &a->llm, .gen = a->gen, .sink = &a->sink, .score = o->score.v,
        .nscore = o->score.n, .beam = o->beam, .num_return = o->num_return, .batch = o->batch,
        .save_state = o->save_state, .item = &a->item, .print = print, .fault = fault, .arg = a,
        .err = e
    };
    char *data = NULL;
    int rc = 0;

    if (o->prompt_file) {
        rc = mm_io_slurp(o->prompt_file, (size_t)1 << 30, &data, &spec.n, e);
        spec.text = data;
    }
    r.beam.max_new = o->gen.max_new;
    r.beam.eos = o->neos ? o->eos : a->llm.eos;
    r.beam.neos = o->neos ? o->neos : a->llm.neos;
    if (rc == 0 && o->prompts)
        rc = mm_jobs_read(&a->prompts, o->prompts, e);
    spec.prompts = a->prompts;
    const bool records = n > 0 || mm_jobs_want_records(&spec);
    if (rc == 0 && n == 0 && records && isatty(STDIN_FILENO))
        rc = mm_err_set(e, MM_EUSAGE, "no prompt: give -p, or records");
    if (rc == 0 && records)
        rc = mm_input_open(&a->in, paths, n, o->max_record, e);
    spec.in = a->in;
    if (rc == 0)
        rc = mm_runner_run(&r, &spec);
    free(data);
    if (rc == 0 && a->sink.records)
        rc = mm_writer_end(a->sink.records, e);
    return rc;
}

static int run_perplexity(struct app *a)
{
    const int rc = mm_runner_perplexity(a->gen, a->llm.tok, a->o->perplexity, &a->sink,
                                        &a->cmd->err);

    return rc < 0 ? rc : print(a, a->sink.out.p, a->sink.out.n);
}

/* --- chat --------------------------------------------------------------------------------- */

static int chat_turn(struct app *a, struct mm_chat *chat, const char *s, size_t n,
                     struct mm_job *j)
{
    struct mm_err *e = &a->cmd->err;
    const bool live = !a->sink.json;
    struct mm_answer ans = { 0 };

    interrupted = 0;
    int rc = mm_chat_say(chat, MM_ROLE_USER, s, n, &j->item->parts, e);
    if (rc == 0)
        rc = mm_chat_answer(chat, a->gen, &a->llm.prompt, j->number, &ans, live ? print : NULL, a,
                            e);
    if (rc == 0)
        rc = mm_sink_answer(&a->sink, j, &ans, live, e);
    if (rc == 0)
        rc = print(a, a->sink.out.p, a->sink.out.n);
    mm_buf_reset(&a->sink.out);
    mm_answer_free(&ans);
    return rc;
}

static int run_chat(struct app *a, char *const *paths, int n)
{
    struct mm_err *e = &a->cmd->err;
    struct mm_chat chat = { .t = a->template, .start_end = a->llm.llava.start_end };
    struct mm_item item = { .number = -1 };
    struct mm_job j = { .item = &item };
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int rc = n > 0 ? mm_input_open(&a->in, paths, n, a->o->max_record, e) : 0;

    struct mm_items items = { .in = a->in, .dim = a->llm.prompt.dim,
                              .vocab = mm_llama_config(a->llm.m)->vocab };
    if (rc == 0 && n > 0)
        rc = mm_items_next(&items, &item, e);
    if (rc > 0)
        rc = mm_err_set(e, item.fault.code, "%s", item.fault.msg); /* MM_OK: none */
    if (rc == 0 && a->o->system)
        rc = mm_chat_say(&chat, MM_ROLE_SYSTEM, a->o->system, strlen(a->o->system), NULL, e);
    signal(SIGINT, on_interrupt); /* ends an answer; reading goes on */
    for (; rc == 0; j.number += len > 0) {
        if (isatty(STDIN_FILENO) && !a->cmd->quiet)
            fputs("> ", stderr);
        len = getline(&line, &cap, stdin);
        if (len < 0)
            break;
        len -= len > 0 && line[len - 1] == '\n';
        if (len > 0)
            rc = chat_turn(a, &chat, line, (size_t)len, &j);
    }
    if (rc == 0 && ferror(stdin))
        rc = mm_err_set(e, MM_EIO, "standard input:");
    free(line);
    mm_item_free(&item);
    mm_chat_free(&chat);
    return rc;
}

int main(int argc, char **argv)
{
    struct opts o = {
        .model = MM_SHIPPED, .kv = MM_NDTYPE, .gen = { .sample = mm_sample_defaults, .max_new = 512 },
        .beam = { .length_penalty = 1 }, .num_return = 1, .batch = 1,
        .max_record = (size_t)1 << 30
    };
    struct mm_cmd cmd;
    struct app a = { .cmd = &cmd, .o = &o };
    int rc;

    mm_cmd_init(&cmd, argv[0], usage, help);
    parse(&cmd, &o, argc, argv);
    refuse_together(&cmd, &o);
    rc = open_all(&a, o.gen);
    if (rc == 0 && o.perplexity)
        rc = run_perplexity(&a);
    else if (rc == 0 && o.chat)
        rc = run_chat(&a, argv + optind, argc - optind);
    else if (rc == 0)
        rc = run_prompts(&a, argv + optind, argc - optind);
    if (a.gen && cmd.verbose)
        say_stats(&a);
    if (rc == 0) {
        rc = mm_trace_close(a.trace, &cmd.err);
        a.trace = NULL;
    }
    close_all(&a);
    mm_strings_free(&o.stop);
    mm_strings_free(&o.score);
    free(o.bias);
    mm_buf_free(&o.prompt);
    rc = mm_cmd_finish(&cmd);
    return rc ? rc : a.faulty ? mm_err_status(MM_EDATA) : 0;
}
