/* conf.c: tokenizer_config.json, added_tokens.json, special_tokens_map.json and
 * chat_template.jinja or .json of a model directory, as transformers reads them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "text/impl.h"

enum { JINJA_MAX = 1 << 24 };

static int load_one(json_t **out, const char *dir, const char *name, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    int rc = 0;

    mm_buf_printf(&path, "%s/%s", dir, name);
    if (path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "%s/%s: out of memory", dir, name);
    else if (access(path.p, F_OK) == 0)
        rc = mm_json_file(out, path.p, e);
    if (rc == 0 && *out && !json_is_object(*out))
        rc = mm_err_set(e, MM_EDATA, "%s: no JSON object", path.p);
    mm_buf_free(&path);
    return rc;
}

int mm_conf_load(struct mm_conf *c, const char *dir, struct mm_err *e)
{
    int rc;

    *c = (struct mm_conf){ .dir = dir };
    if ((rc = load_one(&c->config, dir, "tokenizer_config.json", e)) < 0 ||
        (rc = load_one(&c->added, dir, "added_tokens.json", e)) < 0 ||
        (rc = load_one(&c->special, dir, "special_tokens_map.json", e)) < 0) {
        mm_conf_free(c);
        return rc;
    }
    return 0;
}

void mm_conf_free(struct mm_conf *c)
{
    json_decref(c->config);
    json_decref(c->added);
    json_decref(c->special);
    *c = (struct mm_conf){ 0 };
}

/* The spelling of a token given as a string or as {"content": ...}; NULL if
 * it is neither. */
static const char *spelling(const json_t *j, size_t *n)
{
    const json_t *const s = json_is_object(j) ? json_object_get(j, "content") : j;

    if (!json_is_string(s))
        return NULL;
    *n = json_string_length(s);
    return json_string_value(s);
}

static struct mm_added properties(const json_t *j, struct mm_err *e)
{
    return (struct mm_added){
        .special = mm_json_bool(j, "special", false, e),
        .normalized = mm_json_bool(j, "normalized", false, e),
        .lstrip = mm_json_bool(j, "lstrip", false, e),
        .rstrip = mm_json_bool(j, "rstrip", false, e),
        .single_word = mm_json_bool(j, "single_word", false, e)
    };
}

/* added_tokens_decoder: {"32000": {"content": "<image>", ...}}.  What
 * tokenizer.json says of a token wins. */
static int apply_decoder(struct mm_tok *t, const json_t *decoder, struct mm_err *e)
{
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)decoder, key, value) {
        char *end;
        errno = 0;
        const long id = strtol(key, &end, 10);
        const char *const s = spelling(value, &n);
        if (errno || end == key || *end || id < 0 || id >= MM_VOCAB_MAX || !s || n == 0)
            return mm_err_set(e, MM_EDATA, "added_tokens_decoder: '%s': no token", key);
        struct mm_added a = properties(value, e);
        a.id = (int32_t)id;
        if (e && e->code)
            return e->code;
        if (mm_tok_added(t, a.id))
            continue;
        const int rc = mm_tok_add_at(t, &a, s, n, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* added_tokens.json: {"<image>": 32000}. */
static int apply_added(struct mm_tok *t, const json_t *added, struct mm_err *e)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)added, key, value) {
        const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= MM_VOCAB_MAX || !*key)
            return mm_err_set(e, MM_EDATA, "added_tokens.json: '%s': no id", key);
        const struct mm_added a = { .id = (int32_t)id };
        const int rc = mm_tok_added(t, a.id) ? 0 : mm_tok_add_at(t, &a, key, strlen(key), e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* One token of special_tokens_map.json; its id in *id (left alone when j is
 * null).  A new spelling gets the next free id. */
static int apply_special(struct mm_tok *t, const json_t *j, int32_t *id, struct mm_err *e)
{
    size_t n = 0;
    const char *const s = spelling(j, &n);

    if (!j || json_is_null(j))
        return 0;
    if (!s)
        return mm_err_set(e, MM_EDATA, "special token is neither a string nor an object");
    if (n == 0)
        return 0;
    int32_t found = mm_vocab_find(&t->vocab, s, n);
    if (found < 0)
        found = (int32_t)t->vocab.n;
    struct mm_added a = { 0 };
    const struct mm_added *const old = mm_tok_added(t, found);
    if (old)
        a = *old;
    else if (json_is_object(j))
        a = properties(j, e);
    a.id = found;
    a.special = true;
    a.named = true;
    if (e && e->code)
        return e->code;
    *id = found;
    return mm_tok_add_at(t, &a, s, n, e);
}

static int apply_names(struct mm_tok *t, const json_t *first, const json_t *second,
                       struct mm_err *e)
{
    int32_t none = -1;
    const struct {
        const char *key;
        int32_t *id;
    } names[] = {
        { "bos_token", &t->bos }, { "eos_token", &t->eos }, { "unk_token", &t->unk },
        { "pad_token", &t->pad }, { "sep_token", &none },   { "cls_token", &none },
        { "mask_token", &none }
    };
    const char *const more = "additional_special_tokens";
    const json_t *list = json_object_get(first, more);
    int rc = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && rc == 0; i++) {
        const json_t *j = json_object_get(first, names[i].key);
        if (!j)
            j = json_object_get(second, names[i].key);
        rc = apply_special(t, j, names[i].id, e);
        if (rc < 0)
            mm_err_prefix(e, "%s", names[i].key);
    }
    if (!list)
        list = json_object_get(second, more);
    for (size_t i = 0; i < json_array_size(list) && rc == 0; i++)
        rc = apply_special(t, json_array_get(list, i), &none, e);
    return rc;
}

/* chat_template.jinja, where newer checkpoints have it, or chat_template.json, where those
 * of processors did. */
static int read_jinja(struct mm_tok *t, const char *dir, struct mm_err *e)
{
    struct mm_buf path = { 0 }, json = { 0 };
    json_t *j = NULL;
    size_t n;
    int rc = 0;

    mm_buf_printf(&path, "%s/chat_template.jinja", dir);
    mm_buf_printf(&json, "%s/chat_template.json", dir);
    if (path.failed || json.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (access(path.p, F_OK) == 0)
        rc = mm_io_slurp(path.p, JINJA_MAX, &t->chat_template, &n, e);
    else if (access(json.p, F_OK) == 0 && (rc = mm_json_file(&j, json.p, e)) == 0) {
        const char *const s = json_string_value(json_object_get(j, "chat_template"));
        if (s && !(t->chat_template = strdup(s)))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    json_decref(j);
    mm_buf_free(&path);
    mm_buf_free(&json);
    return rc;
}

/* chat_template: a string, or a list of {"name", "template"} (then "default"). */
static int apply_chat(struct mm_tok *t, const struct mm_conf *c, struct mm_err *e)
{
    const json_t *j = json_object_get(c->config, "chat_template");

    if (json_is_array(j)) {
        const json_t *const list = j;
        j = NULL;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *const one = json_array_get(list, i);
            const char *const name = json_string_value(json_object_get(one, "name"));
            if (name && strcmp(name, "default") == 0)
                j = json_object_get(one, "template");
        }
    }
    free(t->chat_template);
    t->chat_template = NULL;
    if (!json_is_string(j))
        return read_jinja(t, c->dir, e);
    t->chat_template = strdup(json_string_value(j));
    return t->chat_template ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* add_bos_token and add_eos_token count where a null or absent one leaves the
 * constructor's choice. */
static int apply_marks(struct mm_tok *t, const json_t *config, struct mm_err *e)
{
    t->add_bos = mm_json_bool(config, "add_bos_token", t->add_bos, e);
    t->add_eos = mm_json_bool(config, "add_eos_token", t->add_eos, e);
    return e && e->code ? e->code : 0;
}

int mm_conf_apply(struct mm_tok *t, const struct mm_conf *c, struct mm_err *e)
{
    const json_t *const decoder = json_object_get(c->config, "added_tokens_decoder");
    int rc;

    if ((rc = apply_decoder(t, decoder, e)) == 0 && !decoder)
        rc = apply_added(t, c->added, e);
    if (rc == 0) /* with a decoder, transformers does not read the map */
        rc = apply_names(t, decoder ? c->config : c->special, decoder ? c->special : c->config, e);
    if (rc == 0)
        rc = apply_chat(t, c, e);
    if (rc == 0)
        rc = apply_marks(t, c->config, e);
    if (rc < 0)
        mm_err_prefix(e, "%s", c->dir);
    return rc;
}
