/* mm-ls: one line for each record of a stream, or for each tensor of a checkpoint.
 *
 *   records            -> item  type  dtype and shape  bytes  attributes
 *   checkpoint (file or directory, told by its bytes) -> metadata, then tensors
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/json.h"
#include "stream/cmdio.h"
#include "weights/ckpt.h"

static const char usage[] = "mm-ls [-qv] [--json] [--max-record size] [file ...]";
static const char help[] =
    "Lists the records of streams, or the tensors and metadata of checkpoints.\n"
    "      --json             one JSON object a line\n"
    "      --max-record SIZE  largest record accepted (1G)\n"
    "  -h, --help  --version\n";

enum { OPT_JSON = MM_OPT_FIRST, PREVIEW = 60 };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_MAX_RECORD_LONG,
    { "json", no_argument, NULL, OPT_JSON },
    { NULL, 0, NULL, 0 },
};

struct opts {
    bool json;
    size_t max_record;
};

static void json_key(struct mm_buf *b, const char *key)
{
    if (b->n > 1)
        mm_buf_char(b, ',');
    mm_json_quote(b, key, strlen(key));
    mm_buf_char(b, ':');
}

static void json_str(struct mm_buf *b, const char *key, const char *value)
{
    json_key(b, key);
    mm_json_quote(b, value, strlen(value));
}

static void json_tensor(struct mm_buf *b, const struct mm_tensor *t)
{
    char shape[MM_MAX_DIMS * 21 + 3];

    json_str(b, "dtype", mm_dtype_name(t->dtype));
    json_key(b, "shape");
    mm_buf_str(b, mm_shape_str(shape, sizeof(shape), t->shape, t->ndim));
}

static int print_line(struct mm_buf *b, struct mm_err *e)
{
    int rc = 0;

    mm_buf_char(b, '\n');
    if (b->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (fwrite(b->p, 1, b->n, stdout) != b->n)
        rc = mm_err_set(e, MM_EIO, "standard output:");
    mm_buf_reset(b);
    return rc;
}

static void record_json(struct mm_buf *b, const struct mm_rec *rec)
{
    mm_buf_char(b, '{');
    json_str(b, "type", mm_rec_type_name(rec->type));
    if (rec->type == MM_REC_TENSOR)
        json_tensor(b, &rec->t);
    json_key(b, "bytes");
    mm_buf_printf(b, "%zu", rec->size);
    for (size_t i = 0; i < rec->nattr; i++) {
        const char *key = rec->attr[i].key;

        if (strcmp(key, "item") == 0) {
            json_key(b, key);
            mm_buf_str(b, rec->attr[i].value); /* the reader checked that it is a number */
        } else if (strcmp(key, "type") != 0 && strcmp(key, "bytes") != 0
                   && strcmp(key, "text") != 0) { /* keys of the object itself */
            json_str(b, key, rec->attr[i].value);
        }
    }
    if (rec->type == MM_REC_TEXT) {
        json_key(b, "text");
        mm_json_quote(b, rec->data, rec->size);
    }
    mm_buf_char(b, '}');
}

/* The beginning of a text as a JSON string, so that it stays on its line. */
static void preview(struct mm_buf *b, const char *s, size_t n)
{
    const bool cut = n > PREVIEW;

    if (cut)
        for (n = PREVIEW; n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80; n--)
            continue;
    mm_json_quote(b, s, n);
    if (cut)
        mm_buf_str(b, "...");
}

static void record_text(struct mm_buf *b, const struct mm_rec *rec)
{
    const char *item = mm_rec_attr(rec, "item");
    char shape[MM_MAX_DIMS * 21 + 3] = "";

    if (rec->type == MM_REC_TENSOR)
        mm_shape_str(shape, sizeof(shape), rec->t.shape, rec->t.ndim);
    mm_buf_printf(b, "%-4s %-6s %-4s %-16s %10zu", item != NULL ? item : "-",
                  mm_rec_type_name(rec->type),
                  rec->type == MM_REC_TENSOR ? mm_dtype_name(rec->t.dtype) : "-",
                  shape[0] != '\0' ? shape : "-", rec->size);
    for (size_t i = 0; i < rec->nattr; i++) {
        if (strcmp(rec->attr[i].key, "item") == 0)
            continue;
        mm_buf_printf(b, " %s=", rec->attr[i].key);
        if (strpbrk(rec->attr[i].value, " \n\r\t\"\\\x1b") != NULL)
            preview(b, rec->attr[i].value, strlen(rec->attr[i].value));
        else
            mm_buf_str(b, rec->attr[i].value);
    }
    if (rec->type == MM_REC_TEXT || rec->type == MM_REC_JSON) {
        mm_buf_char(b, ' ');
        preview(b, rec->data, rec->size);
    }
}

static int list_stream(const char *path, const struct opts *o, struct mm_err *e)
{
    char *paths[] = { (char *)(uintptr_t)path };
    struct mm_input *in = NULL;
    struct mm_buf b = { 0 };
    struct mm_rec rec;
    int rc = mm_input_open(&in, paths, 1, o->max_record, e);

    while (rc == 0 && (rc = mm_input_get(in, &rec, e)) > 0) {
        if (o->json)
            record_json(&b, &rec);
        else
            record_text(&b, &rec);
        rc = print_line(&b, e);
    }
    mm_input_close(in);
    mm_buf_free(&b);
    return rc;
}

static void entry_line(struct mm_buf *b, const struct mm_ckpt_entry *en, bool json)
{
    char shape[MM_MAX_DIMS * 21 + 3];
    const size_t bytes = mm_tensor_bytes(&en->t);

    if (json) {
        mm_buf_char(b, '{');
        json_str(b, "type", "tensor");
        json_tensor(b, &en->t);
        json_key(b, "bytes");
        mm_buf_printf(b, "%zu", bytes);
        json_str(b, "name", en->name);
        if (en->file != NULL)
            json_str(b, "file", en->file);
        mm_buf_char(b, '}');
        return;
    }
    mm_buf_printf(b, "%-4s %-6s %-4s %-16s %10zu name=", "-", "tensor", mm_dtype_name(en->t.dtype),
                  mm_shape_str(shape, sizeof(shape), en->t.shape, en->t.ndim), bytes);
    if (strpbrk(en->name, " \n\r\t\"\\\x1b") != NULL)
        preview(b, en->name, strlen(en->name));
    else
        mm_buf_str(b, en->name);
}

/* A metadata value on one line; long arrays by their number. */
static void meta_value(struct mm_buf *b, const json_t *v)
{
    char *s;

    if (json_is_string(v)) {
        preview(b, json_string_value(v), json_string_length(v));
        return;
    }
    if (json_array_size(v) > 16) {
        mm_buf_printf(b, "[%zu values]", json_array_size(v));
        return;
    }
    s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    mm_buf_str(b, s != NULL ? s : "?");
    free(s);
}

static int list_meta(const struct mm_ckpt *ck, const struct opts *o, struct mm_err *e)
{
    json_t *meta = (json_t *)(uintptr_t)mm_ckpt_meta(ck);
    struct mm_buf b = { 0 };
    const char *key;
    json_t *v;
    int rc = 0;

    if (o->json && meta != NULL) {
        char *s = json_dumps(meta, JSON_COMPACT);

        mm_buf_char(&b, '{');
        json_str(&b, "type", "metadata");
        json_str(&b, "file", mm_ckpt_path(ck));
        json_key(&b, "metadata");
        mm_buf_str(&b, s != NULL ? s : "null");
        mm_buf_char(&b, '}');
        free(s);
        rc = print_line(&b, e);
    } else if (meta != NULL) {
        json_object_foreach (meta, key, v) {
            mm_buf_printf(&b, "%-4s %-6s %s = ", "-", "meta", key);
            meta_value(&b, v);
            rc = print_line(&b, e);
            if (rc < 0)
                break;
        }
    }
    mm_buf_free(&b);
    return rc;
}

static int list_ckpt(const char *name, const struct opts *o, const struct mm_cmd *c,
                     struct mm_err *e)
{
    struct mm_ckpt *ck = NULL;
    struct mm_buf b = { 0 };
    char *path = NULL;
    const char *warning;
    int rc = mm_ckpt_find(&path, name, e);

    if (rc == 0)
        rc = mm_ckpt_open(&ck, path, e);
    if (rc == 0)
        rc = list_meta(ck, o, e);
    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(ck); i++) {
        entry_line(&b, mm_ckpt_at(ck, i), o->json);
        rc = print_line(&b, e);
    }
    for (size_t i = 0; rc == 0 && (warning = mm_ckpt_warning(ck, i)) != NULL; i++)
        mm_cmd_info(c, "%s: %s", path, warning);
    mm_buf_free(&b);
    mm_ckpt_close(ck);
    free(path);
    return rc;
}

static int list(const char *path, const struct opts *o, struct mm_cmd *c)
{
    return mm_input_is_stream(path) ? list_stream(path, o, &c->err)
                                    : list_ckpt(path, o, c, &c->err);
}

int main(int argc, char **argv)
{
    struct opts o = { 0 };
    struct mm_cmd cmd;
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case OPT_JSON:
            o.json = true;
            break;
        case MM_OPT_MAX_RECORD:
            o.max_record = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(&cmd, c, optarg);
        }
    if (optind == argc)
        list("-", &o, &cmd);
    for (; optind < argc && cmd.err.code == MM_OK; optind++)
        list(argv[optind], &o, &cmd);
    return mm_cmd_finish(&cmd);
}
