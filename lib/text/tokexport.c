/* tokexport.c: the tokenizer.* keys, as llama.cpp's convert_hf_to_gguf.py has
 * them (special tokens are control, other added ones user-defined with score
 * -1000, padding unused). */
#include "text/tokexport.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "text/spm.h"

#define KEY "tokenizer.ggml."
#define ADDED_SCORE (-1000.0F)
#define PAD_SCORE (-10000.0F)

enum kind { SPM, BYTE_LEVEL };

struct export {
    struct mm_ggufw *w;
    const struct mm_tokexport_spec *spec;
    struct mm_tok *tok;     /* the directory's, added tokens and marks included */
    struct mm_tok spm_vocab; /* tokenizer.model alone: scores and types */
    struct mm_spm spm;
    bool have_spm;
    const json_t *model;    /* of tokenizer.json */
    const json_t *root;
    size_t n;               /* tokens to write */
    float *score;
    int32_t *type;
};

static bool is_file(struct mm_buf *path, const char *dir, const char *name)
{
    struct stat st;

    mm_buf_reset(path);
    mm_buf_printf(path, "%s/%s", dir, name);
    return !path->failed && stat(path->p, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* ---- types and scores ---- */

static bool is_byte(const char *s)
{
    return strlen(s) == 6 && strncmp(s, "<0x", 3) == 0 && s[5] == '>' &&
           strspn(s + 3, "0123456789ABCDEFabcdef") == 2;
}

static int32_t type_of(const struct export *x, int32_t id)
{
    const struct mm_added *const a = mm_tok_added(x->tok, id);
    const struct mm_vocab *const v = &x->spm_vocab.vocab;
    const char *const s = mm_tok_piece(x->tok, id);

    if (!s)
        return MM_P_UNUSED;
    if (x->have_spm && (size_t)id < v->n && v->v[id].type != MM_P_NORMAL &&
        v->v[id].type != MM_P_HOLE)
        return v->v[id].type;
    if (!x->have_spm && id == x->tok->unk && json_is_true(json_object_get(x->model,
                                                                          "byte_fallback")))
        return MM_P_UNKNOWN;
    if (a)
        return a->special ? MM_P_CONTROL : MM_P_USER;
    if (!x->have_spm && json_is_true(json_object_get(x->model, "byte_fallback")) && is_byte(s))
        return MM_P_BYTE;
    return MM_P_NORMAL;
}

/* The two sides of a merge: ["a", "b"] or "a b". */
static bool merge_sides(struct mm_str *a, struct mm_str *b, const json_t *m)
{
    if (json_is_array(m)) {
        const json_t *const x = json_array_get(m, 0), *const y = json_array_get(m, 1);
        if (!json_is_string(x) || !json_is_string(y))
            return false;
        *a = (struct mm_str){ json_string_value(x), json_string_length(x) };
        *b = (struct mm_str){ json_string_value(y), json_string_length(y) };
        return true;
    }
    const char *const s = json_string_value(m);
    const char *const gap = s && *s ? strchr(s + 1, ' ') : NULL;
    if (!gap)
        return false;
    *a = (struct mm_str){ s, (size_t)(gap - s) };
    *b = (struct mm_str){ gap + 1, json_string_length(m) - a->n - 1 };
    return true;
}

/* SentencePiece merges the pair whose result scores highest; tokenizers the
 * pair that stands first in the list: minus the place of the first merge that
 * makes a piece is a score with the same order. */
static int scores_of_merges(struct export *x, struct mm_err *e)
{
    const json_t *const merges = json_object_get(x->model, "merges");
    struct mm_buf joined = { 0 };
    size_t i, made = 0;
    json_t *m;
    int rc = 0;

    json_array_foreach (merges, i, m) {
        struct mm_str a, b;
        if (!merge_sides(&a, &b, m)) {
            rc = mm_err_set(e, MM_EDATA, "tokenizer.json: merge %zu is malformed", i);
            break;
        }
        mm_buf_reset(&joined);
        mm_buf_add(&joined, a.s, a.n);
        mm_buf_add(&joined, b.s, b.n);
        const int32_t id = joined.failed ? -1 : mm_vocab_find(&x->tok->vocab, joined.p, joined.n);
        if (id >= 0 && (size_t)id < x->n && x->score[id] >= 0)
            x->score[id] = -(float)++made;
    }
    if (joined.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&joined);
    return rc;
}

static int make_columns(struct export *x, enum kind kind, struct mm_err *e)
{
    x->score = calloc(x->n + 1, sizeof *x->score);
    x->type = calloc(x->n + 1, sizeof *x->type);
    if (!x->score || !x->type)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (kind == SPM && !x->have_spm) {
        const int rc = scores_of_merges(x, e);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < x->n; i++) {
        const bool stored = x->have_spm && i < x->spm_vocab.vocab.n;
        x->type[i] = type_of(x, (int32_t)i);
        if (stored)
            x->score[i] = x->spm_vocab.vocab.v[i].score;
        else if (x->type[i] == MM_P_UNUSED)
            x->score[i] = PAD_SCORE;
        else if (mm_tok_added(x->tok, (int32_t)i))
            x->score[i] = ADDED_SCORE;
    }
    return 0;
}

/* ---- keys ---- */

static void write_tokens(struct export *x)
{
    mm_ggufw_strs(x->w, KEY "tokens", x->n);
    for (size_t i = 0; i < x->n; i++) {
        char pad[32];
        if (mm_tok_piece(x->tok, (int32_t)i)) {
            const struct mm_vpiece *const p = &x->tok->vocab.v[i];
            mm_ggufw_item(x->w, p->s, p->n);
        } else {
            const int n = snprintf(pad, sizeof pad, "[PAD%zu]", i);
            mm_ggufw_item(x->w, pad, (size_t)n);
        }
    }
    mm_ggufw_i32s(x->w, KEY "token_type", x->type, x->n);
}

static void write_id(struct export *x, const char *key, int32_t id)
{
    if (id >= 0 && (size_t)id < x->n)
        mm_ggufw_u32(x->w, key, (uint32_t)id);
}

/* What encoding adds to a text, by trying: a post-processor may decide it.
 * -1: nothing. */
static int added_marks(int32_t *before, int32_t *after, const struct mm_tok *t, struct mm_err *e)
{
    struct mm_ids bare = { 0 }, full = { 0 };
    int rc;

    *before = *after = -1;
    if ((rc = mm_tok_encode(t, &bare, "a", 1, 0, e)) == 0 &&
        (rc = mm_tok_encode(t, &full, "a", 1, MM_TOK_SPECIAL, e)) == 0 && full.n > bare.n) {
        const bool leads = bare.n == 0 || full.v[0] != bare.v[0];
        if (leads)
            *before = full.v[0];
        if (full.n - bare.n > (leads ? 1u : 0u))
            *after = full.v[full.n - 1];
    }
    mm_ids_free(&bare);
    mm_ids_free(&full);
    return rc;
}

static int write_marks(struct export *x, struct mm_err *e)
{
    const struct mm_tok *const t = x->tok;
    int32_t before, after;
    const int rc = added_marks(&before, &after, t, e);

    if (rc < 0)
        return rc;
    const int32_t bos = t->bos >= 0 ? t->bos : before >= 0 ? before : x->spec->bos;
    const int32_t eos = t->eos >= 0 ? t->eos : after >= 0 ? after : x->spec->eos;
    write_id(x, KEY "bos_token_id", bos);
    write_id(x, KEY "eos_token_id", eos);
    write_id(x, KEY "unknown_token_id", t->unk);
    write_id(x, KEY "padding_token_id", t->pad);
    mm_ggufw_bool(x->w, KEY "add_bos_token", before >= 0 && before == bos);
    mm_ggufw_bool(x->w, KEY "add_eos_token", after >= 0 && after == eos);
    if (t->chat_template)
        mm_ggufw_str(x->w, "tokenizer.chat_template", t->chat_template, strlen(t->chat_template));
    return 0;
}

/* Does the normalizer or pre-tokenizer of tokenizer.json put "▁" first? */
static bool json_prefixes(const json_t *part)
{
    const char *const type = json_string_value(json_object_get(part, "type"));
    const char *const scheme = json_string_value(json_object_get(part, "prepend_scheme"));
    size_t i;
    json_t *v;

    if (type && strcmp(type, "Prepend") == 0)
        return true;
    if (type && strcmp(type, "Metaspace") == 0)
        return scheme ? strcmp(scheme, "never") != 0
                      : !json_is_false(json_object_get(part, "add_prefix_space"));
    json_array_foreach (json_object_get(part, "normalizers"), i, v)
        if (json_prefixes(v))
            return true;
    json_array_foreach (json_object_get(part, "pretokenizers"), i, v)
        if (json_prefixes(v))
            return true;
    return false;
}

static int export_spm(struct export *x, struct mm_err *e)
{
    if (x->have_spm && x->spm.type != MM_SPM_BPE)
        return mm_err_set(e, MM_EMISSING, "tokenizer.model: a unigram model has no place in a "
                          "language model's GGUF");
    const int rc = make_columns(x, SPM, e);
    if (rc < 0)
        return rc;
    mm_ggufw_str(x->w, KEY "model", "llama", 5);
    mm_ggufw_str(x->w, KEY "pre", "default", 7);
    write_tokens(x);
    mm_ggufw_f32s(x->w, KEY "scores", x->score, x->n);
    const bool prefix = x->have_spm ? x->spm.dummy_prefix
                                    : json_prefixes(json_object_get(x->root, "normalizer")) ||
                                      json_prefixes(json_object_get(x->root, "pre_tokenizer"));
    if (!prefix)
        mm_ggufw_bool(x->w, KEY "add_space_prefix", false);
    if (x->have_spm && x->spm.remove_extra)
        mm_ggufw_bool(x->w, KEY "remove_extra_whitespaces", true);
    return write_marks(x, e);
}

/* ---- byte-level BPE ---- */

/* What GGUF calls a way of cutting words, by the parts of tokenizer.json: the
 * Split pattern, "digits" for Digits, "" for ByteLevel's own. */
static const struct { const char *pattern, *pre; } pres[] = {
    { "", "gpt-2" },
    { "digits", "smollm" },
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+"
      "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "llama-bpe" },
    { "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
      "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "qwen2" },
};

/* Follow the pre-tokenizer; *pattern is what it cuts by, *byte_level whether
 * it is of that kind at all. */
static void look_at_pre(const json_t *part, const char **pattern, bool *byte_level)
{
    const char *const type = json_string_value(json_object_get(part, "type"));
    size_t i;
    json_t *v;

    if (type && strcmp(type, "ByteLevel") == 0)
        *byte_level = true;
    if (type && strcmp(type, "Split") == 0)
        *pattern = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
    if (type && strcmp(type, "Digits") == 0 &&
        json_is_true(json_object_get(part, "individual_digits")))
        *pattern = "digits";
    json_array_foreach (json_object_get(part, "pretokenizers"), i, v)
        look_at_pre(v, pattern, byte_level);
}

static const char *pre_name(const json_t *root)
{
    const char *pattern = "";
    bool byte_level = false;

    look_at_pre(json_object_get(root, "pre_tokenizer"), &pattern, &byte_level);
    for (size_t i = 0; byte_level && pattern && i < sizeof pres / sizeof *pres; i++)
        if (strcmp(pres[i].pattern, pattern) == 0)
            return pres[i].pre;
    return NULL;
}

static int write_merges(struct export *x, struct mm_err *e)
{
    const json_t *const merges = json_object_get(x->model, "merges");
    struct mm_buf line = { 0 };
    size_t i;
    json_t *m;
    int rc = 0;

    mm_ggufw_strs(x->w, KEY "merges", json_array_size(merges));
    json_array_foreach (merges, i, m) {
        struct mm_str a, b;
        if (!merge_sides(&a, &b, m)) {
            rc = mm_err_set(e, MM_EDATA, "tokenizer.json: merge %zu is malformed", i);
            break;
        }
        mm_buf_reset(&line);
        mm_buf_add(&line, a.s, a.n);
        mm_buf_char(&line, ' ');
        mm_buf_add(&line, b.s, b.n);
        mm_ggufw_item(x->w, line.p, line.n);
    }
    if (line.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&line);
    return rc;
}

static int export_byte_level(struct export *x, struct mm_err *e)
{
    const char *const pre = pre_name(x->root);
    int rc;

    if (!pre)
        return mm_err_set(e, MM_EMISSING, "tokenizer.json: GGUF has no name for its pre-tokenizer");
    if ((rc = make_columns(x, BYTE_LEVEL, e)) < 0)
        return rc;
    mm_ggufw_str(x->w, KEY "model", "gpt2", 4);
    mm_ggufw_str(x->w, KEY "pre", pre, strlen(pre));
    write_tokens(x);
    if ((rc = write_merges(x, e)) < 0)
        return rc;
    return write_marks(x, e);
}

/* ---- which file ---- */

static int export_json(struct export *x, const char *path, struct mm_err *e)
{
    json_t *root = NULL;
    int rc = mm_json_file(&root, path, e);

    if (rc < 0)
        return rc;
    x->root = root;
    x->model = json_object_get(root, "model");
    const char *const type = json_string_value(json_object_get(x->model, "type"));
    if (type && strcmp(type, "BPE") != 0)
        rc = mm_err_set(e, MM_EMISSING, "%s: models of type '%.40s' have no place in a language "
                        "model's GGUF", path, type);
    else if (json_is_true(json_object_get(x->model, "byte_fallback")))
        rc = export_spm(x, e);
    else
        rc = export_byte_level(x, e);
    json_decref(root);
    return rc;
}

static int export_model(struct export *x, const char *path, struct mm_err *e)
{
    struct mm_map m = { 0 };
    int rc = mm_map_open(&m, path, (size_t)1 << 30, e);

    if (rc < 0)
        return rc;
    x->spm_vocab.bos = x->spm_vocab.eos = x->spm_vocab.unk = x->spm_vocab.pad = -1;
    if ((rc = mm_spm_parse(&x->spm_vocab, &x->spm, m.data, m.size, e)) < 0)
        mm_err_prefix(e, "%s", path);
    x->have_spm = true;
    mm_map_close(&m);
    return rc < 0 ? rc : export_spm(x, e);
}

static void free_export(struct export *x)
{
    mm_tok_free(x->tok);
    mm_vocab_free(&x->spm_vocab.vocab);
    mm_ids_free(&x->spm_vocab.eog);
    free(x->spm.unk_surface);
    free(x->spm.charsmap);
    mm_trie_free(x->spm.user);
    mm_trie_free(x->spm.pieces);
    free(x->score);
    free(x->type);
}

int mm_tokexport_gguf(struct mm_ggufw *w, const char *dir, const struct mm_tokexport_spec *s,
                      struct mm_err *e)
{
    struct export x = { .w = w, .spec = s };
    struct mm_buf path = { 0 };
    int rc = mm_tok_open(&x.tok, dir, e);

    if (rc < 0)
        return rc;
    x.n = s->rows ? s->rows : mm_tok_size(x.tok); /* tokens without a row cannot be used */
    if (is_file(&path, dir, "tokenizer.model"))
        rc = export_model(&x, path.p, e);
    else if (is_file(&path, dir, "tokenizer.json"))
        rc = export_json(&x, path.p, e);
    else if (path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir);
    else
        rc = mm_err_set(e, MM_EMISSING, "%s: only tokenizer.model and tokenizer.json have a place "
                        "in a GGUF", dir);
    free_export(&x);
    mm_buf_free(&path);
    return rc;
}
