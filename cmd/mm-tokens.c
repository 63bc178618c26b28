/* mm-tokens: any model's tokenizer by itself.
 *
 *   text -> ids       -d: ids -> text       -S: text records <-> tokens records
 *
 * Without --json a file is one text (or one list of ids), with it each line is
 * one; lines are answered as they come.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/io.h"
#include "base/json.h"
#include "stream/cmdio.h"
#include "text/tokenizer.h"
#include "weights/ckpt.h"

static const char usage[] =
    "mm-tokens [-dSqv] [--json] [--no-special] [--parse | --no-parse]\n"
    "                 [--pieces | --count] -m model [file ...]";
static const char help[] =
    "  -m MODEL               tokenizer file, model directory or GGUF\n"
    "  -d                     decode: ids to text\n"
    "      --json             a JSON string (-d: an array of ids) a line in and out\n"
    "      --no-special       add no BOS and EOS; with -d leave special tokens out\n"
    "      --parse            spellings of special tokens in the text are those tokens\n"
    "      --no-parse         they are text\n"
    "      --pieces           the pieces, not only their ids\n"
    "      --count            only the number of ids\n"
    "  -S                     records: text to tokens, with -d tokens to text\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

enum {
    OPT_JSON = MM_OPT_FIRST, OPT_NO_SPECIAL, OPT_PARSE, OPT_NO_PARSE, OPT_PIECES, OPT_COUNT
};
enum { MAX_TEXT = 1 << 30 };

static const struct option longopts[] = { MM_COMMON_LONG,
                                          MM_MAX_RECORD_LONG,
                                          { "model", required_argument, NULL, 'm' },
                                          { "decode", no_argument, NULL, 'd' },
                                          { "json", no_argument, NULL, OPT_JSON },
                                          { "no-special", no_argument, NULL, OPT_NO_SPECIAL },
                                          { "parse", no_argument, NULL, OPT_PARSE },
                                          { "no-parse", no_argument, NULL, OPT_NO_PARSE },
                                          { "pieces", no_argument, NULL, OPT_PIECES },
                                          { "count", no_argument, NULL, OPT_COUNT },
                                          { NULL, 0, NULL, 0 } };

enum form { FORM_IDS, FORM_PIECES, FORM_COUNT };

struct opts {
    const char *model;
    size_t max_record;
    enum form form;
    bool decode, json, records, special, parse, no_parse;
};

struct work {
    const struct opts *o;
    const struct mm_tok *tok;
    unsigned flags; /* of mm_tok_encode */
    bool flush;     /* after each answer */
    struct mm_err *e;
    struct mm_ids ids;
    struct mm_buf out;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* The answer in w->out to standard output. */
static int answer(struct work *w)
{
    if (w->out.failed)
        return no_memory(w->e);
    if (fwrite(w->out.p ? w->out.p : "", 1, w->out.n, stdout) != w->out.n ||
        (w->flush && fflush(stdout) == EOF))
        return mm_err_set(w->e, MM_EIO, "standard output:");
    mm_buf_reset(&w->out);
    return 0;
}

static void write_piece(struct work *w, int32_t id)
{
    const char *const piece = mm_tok_piece(w->tok, id);

    mm_json_quote(&w->out, piece, strlen(piece));
}

/* One id a line with its piece, or ids separated by spaces. */
static void write_plain(struct work *w)
{
    const bool pieces = w->o->form == FORM_PIECES;

    for (size_t i = 0; i < w->ids.n; i++) {
        mm_buf_printf(&w->out, "%s%" PRId32, i && !pieces ? " " : "", w->ids.v[i]);
        if (pieces) {
            mm_buf_char(&w->out, '\t');
            write_piece(w, w->ids.v[i]);
            mm_buf_char(&w->out, '\n');
        }
    }
    if (!pieces)
        mm_buf_char(&w->out, '\n');
}

static void write_ids(struct work *w)
{
    if (w->o->form == FORM_COUNT) {
        mm_buf_printf(&w->out, "%zu\n", w->ids.n);
        return;
    }
    if (!w->o->json) {
        write_plain(w);
        return;
    }
    mm_buf_char(&w->out, '[');
    for (size_t i = 0; i < w->ids.n; i++) {
        if (i)
            mm_buf_char(&w->out, ',');
        if (w->o->form == FORM_PIECES)
            write_piece(w, w->ids.v[i]);
        else
            mm_buf_printf(&w->out, "%" PRId32, w->ids.v[i]);
    }
    mm_buf_str(&w->out, "]\n");
}

static int encode(struct work *w, const char *s, size_t n)
{
    w->ids.n = 0;
    return mm_tok_encode(w->tok, &w->ids, s, n, w->flags, w->e);
}

/* The text of w->ids, as it is or as a JSON line, into w->out. */
static int decode(struct work *w)
{
    struct mm_buf text = { 0 };
    int rc = mm_tok_decode(w->tok, &text, w->ids.v, w->ids.n, w->o->special, w->e);

    if (rc == 0 && w->o->json) {
        mm_json_quote(&w->out, text.p ? text.p : "", text.n);
        mm_buf_char(&w->out, '\n');
    } else if (rc == 0) {
        mm_buf_add(&w->out, text.p ? text.p : "", text.n);
    }
    mm_buf_free(&text);
    return rc;
}

/* Ids separated by white space or commas, in brackets or not. */
static int read_ids(struct work *w, const char *s, size_t n)
{
    static const char between[] = " \t\r\n,[]";
    size_t i = 0;

    w->ids.n = 0;
    while (i < n) {
        int64_t id = 0;
        const size_t from = i;
        if (s[i] != '\0' && strchr(between, s[i])) {
            i++;
            continue;
        }
        for (; i < n && s[i] >= '0' && s[i] <= '9' && id <= INT32_MAX; i++)
            id = 10 * id + (s[i] - '0');
        if (i == from || id > INT32_MAX || (i < n && (s[i] == '\0' || !strchr(between, s[i]))))
            return mm_err_set(w->e, MM_EDATA, "byte %zu: no token id", from);
        if (mm_ids_add(&w->ids, (int32_t)id) < 0)
            return no_memory(w->e);
    }
    return 0;
}

static int one_text(struct work *w, const char *s, size_t n)
{
    int rc;

    if (w->o->decode) {
        rc = read_ids(w, s, n);
        return rc < 0 ? rc : decode(w);
    }
    if ((rc = encode(w, s, n)) == 0)
        write_ids(w);
    return rc;
}

/* A JSON line: a string, or with -d an array of ids. */
static int one_line(struct work *w, const char *s, size_t n)
{
    json_error_t je;
    json_t *const j = json_loadb(s, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    int rc = 0;

    if (!j)
        return mm_err_set(w->e, MM_EDATA, "%s", je.text);
    if (!w->o->decode) {
        if (!json_is_string(j))
            rc = mm_err_set(w->e, MM_EDATA, "no JSON string");
        else if ((rc = encode(w, json_string_value(j), json_string_length(j))) == 0)
            write_ids(w);
        json_decref(j);
        return rc;
    }
    w->ids.n = 0;
    if (!json_is_array(j))
        rc = mm_err_set(w->e, MM_EDATA, "no array of ids");
    for (size_t i = 0; rc == 0 && i < json_array_size(j); i++) {
        const json_t *const id = json_array_get(j, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            rc = mm_err_set(w->e, MM_EDATA, "element %zu: no token id", i);
        else if (mm_ids_add(&w->ids, (int32_t)json_integer_value(id)) < 0)
            rc = no_memory(w->e);
    }
    json_decref(j);
    return rc < 0 ? rc : decode(w);
}

static int json_lines(struct work *w, FILE *in, const char *what)
{
    char *line = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;
    int rc = 0;

    while (rc == 0 && (n = getline(&line, &cap, in)) >= 0) {
        number++;
        if (strspn(line, " \t\r\n") == (size_t)n)
            continue;
        if ((rc = one_line(w, line, (size_t)n)) < 0)
            mm_err_prefix(w->e, "%s: line %zu", what, number);
        else
            rc = answer(w);
    }
    if (rc == 0 && ferror(in))
        rc = mm_err_set(w->e, MM_EIO, "%s:", what);
    free(line);
    return rc;
}

static int one_file(struct work *w, const char *path)
{
    const bool standard = strcmp(path, "-") == 0;
    const char *const what = standard ? "standard input" : path;
    char *text = NULL;
    size_t n;
    int rc;

    if (w->o->json) {
        FILE *const in = standard ? stdin : fopen(path, "r");
        if (!in)
            return mm_err_set(w->e, MM_ENOENT, "%s:", path);
        rc = json_lines(w, in, what);
        if (!standard)
            fclose(in);
        return rc;
    }
    if ((rc = mm_io_slurp(path, MAX_TEXT, &text, &n, w->e)) < 0)
        return rc;
    if ((rc = one_text(w, text, n)) < 0)
        mm_err_prefix(w->e, "%s", what);
    else
        rc = answer(w);
    free(text);
    return rc;
}

/* --- records ----------------------------------------------------------------------------- */

static int put_tokens(struct work *w, struct mm_writer *out, const struct mm_rec *from)
{
    struct mm_rec rec;
    int rc = encode(w, from->data, from->size);

    if (rc < 0)
        return rc;
    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = (struct mm_tensor){
        .dtype = MM_I32, .ndim = 1, .shape = { (int64_t)w->ids.n }, .data = w->ids.v
    };
    rec.data = w->ids.v;
    rec.size = w->ids.n * sizeof(*w->ids.v);
    if (mm_rec_copy_attrs(&rec, from) < 0 || mm_rec_set(&rec, "kind", "tokens") < 0)
        rc = no_memory(w->e);
    if (rc == 0)
        rc = mm_writer_put(out, &rec, w->e);
    mm_rec_free(&rec);
    return rc;
}

static int put_text(struct work *w, struct mm_writer *out, const struct mm_rec *from)
{
    const struct mm_tensor *const t = &from->t;
    struct mm_rec rec;
    int rc = 0;

    if (t->dtype != MM_I32 && t->dtype != MM_I64 && t->dtype != MM_U32)
        return mm_err_set(w->e, MM_ESHAPE, "tokens of dtype %s, want i32 or i64",
                          mm_dtype_name(t->dtype));
    w->ids.n = 0;
    for (size_t i = 0, n = mm_tensor_count(t); i < n && rc == 0; i++) {
        const unsigned char *const p = t->data;
        const uint64_t id = t->dtype == MM_I64 ? mm_get_u64(p + 8 * i) : mm_get_u32(p + 4 * i);
        rc = mm_ids_add(&w->ids, id <= INT32_MAX ? (int32_t)id : -1);
    }
    if (rc < 0)
        return no_memory(w->e);
    if ((rc = decode(w)) < 0)
        return rc;
    mm_rec_init(&rec, MM_REC_TEXT);
    rec.data = w->out.p ? w->out.p : "";
    rec.size = w->out.n;
    if (w->out.failed || mm_rec_copy_attrs(&rec, from) < 0 || mm_rec_set(&rec, "kind", "text") < 0)
        rc = no_memory(w->e);
    if (rc == 0)
        rc = mm_writer_put(out, &rec, w->e);
    mm_buf_reset(&w->out);
    mm_rec_free(&rec);
    return rc;
}

static int records(struct work *w, char *const *files, int n)
{
    struct mm_input *in = NULL;
    struct mm_writer *out = NULL;
    struct mm_rec rec;
    int rc = mm_output_open(&out, w->e);

    if (rc == 0)
        rc = mm_input_open(&in, files, n, w->o->max_record, w->e);
    while (rc == 0 && (rc = mm_input_get(in, &rec, w->e)) > 0) {
        const bool text = rec.type == MM_REC_TEXT && !mm_rec_is_error(&rec);
        if (w->o->decode && rec.type == MM_REC_TENSOR && mm_rec_is(&rec, "tokens"))
            rc = put_text(w, out, &rec);
        else if (!w->o->decode && text)
            rc = put_tokens(w, out, &rec);
        else
            rc = mm_writer_put(out, &rec, w->e);
    }
    if (rc == 0)
        rc = mm_writer_end(out, w->e);
    mm_input_close(in);
    mm_writer_close(out);
    return rc;
}

/* --- command line ------------------------------------------------------------------------ */

static void parse(struct opts *o, struct mm_cmd *cmd, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "m:dS" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'm': o->model = optarg; break;
        case 'd': o->decode = true; break;
        case 'S': o->records = true; break;
        case OPT_JSON: o->json = true; break;
        case OPT_NO_SPECIAL: o->special = false; break;
        case OPT_PARSE: o->parse = true; break;
        case OPT_NO_PARSE: o->no_parse = true; break;
        case OPT_PIECES:
        case OPT_COUNT:
            if (o->form != FORM_IDS)
                mm_cmd_usage(cmd, "--pieces and --count: one of them");
            o->form = c == OPT_PIECES ? FORM_PIECES : FORM_COUNT;
            break;
        case MM_OPT_MAX_RECORD:
            o->max_record = mm_opt_size(cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(cmd, c, optarg);
        }
    if (!o->model)
        mm_cmd_usage(cmd, "no model is given (-m)");
    if (o->parse && o->no_parse)
        mm_cmd_usage(cmd, "--parse and --no-parse: one of them");
    if (o->decode && (o->form != FORM_IDS || o->parse || o->no_parse))
        mm_cmd_usage(cmd, "-d: --pieces, --count, --parse and --no-parse are for encoding");
    if (o->records && (o->json || o->form != FORM_IDS))
        mm_cmd_usage(cmd, "-S: --json, --pieces and --count write no records");
}

/* Text records are user text: not parsed unless asked for. */
static unsigned encode_flags(const struct opts *o, const struct mm_tok *tok)
{
    const bool parsed = o->parse || (!o->no_parse && !o->records && mm_tok_default_parse(tok));

    return (parsed ? MM_TOK_PARSE : 0u) | (o->special ? MM_TOK_SPECIAL : 0u);
}

static int run(const struct opts *o, struct mm_cmd *cmd, char **files, int n)
{
    static char standard[] = "-";
    char *const dash[] = { standard };
    struct mm_tok *tok = NULL;
    struct work w = { .o = o, .e = &cmd->err };
    struct stat st;
    char *path = NULL;
    int rc = mm_ckpt_find(&path, o->model, w.e);

    if (rc == 0)
        rc = mm_tok_open(&tok, path, w.e);
    if (rc == 0) {
        mm_cmd_info(cmd, "%s: %zu ids", path, mm_tok_size(tok));
        w.tok = tok;
        w.flags = encode_flags(o, tok);
        w.flush = fstat(STDOUT_FILENO, &st) < 0 || !S_ISREG(st.st_mode);
        if (o->records)
            rc = records(&w, files, n);
        else if (n == 0)
            rc = one_file(&w, dash[0]);
    }
    for (int i = 0; rc == 0 && !o->records && i < n; i++)
        rc = one_file(&w, files[i]);
    mm_tok_free(tok);
    mm_ids_free(&w.ids);
    mm_buf_free(&w.out);
    free(path);
    return rc;
}

int main(int argc, char **argv)
{
    struct opts o = { .special = true };
    struct mm_cmd cmd;

    mm_cmd_init(&cmd, argv[0], usage, help);
    parse(&o, &cmd, argc, argv);
    run(&o, &cmd, argv + optind, argc - optind);
    return mm_cmd_finish(&cmd);
}
