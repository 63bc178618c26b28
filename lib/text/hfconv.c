/* hfconv.c: the older layouts of transformers (vocab.json + merges.txt,
 * vocab.txt) put together from the parts of tokenizer.json, as its
 * convert_slow_tokenizer does. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "text/hfjson.h"

#define FILE_MAX ((size_t)1 << 28)

/* The name of a special token: from the files beside, or the class's own. */
struct mark {
    const char *key, *dflt;
    int32_t *id;
};

static const char *spelling(const json_t *j)
{
    return json_string_value(json_is_object(j) ? json_object_get(j, "content") : j);
}

static const char *mark_name(const struct mm_conf *c, const struct mark *m)
{
    const char *s = NULL;

    if (c)
        s = spelling(json_object_get(c->special, m->key));
    if (!s && c)
        s = spelling(json_object_get(c->config, m->key));
    return s ? s : m->dflt;
}

/* Look the marks up; those that no file names are made special here (the
 * others are when the files are read). */
static int find_marks(struct mm_tok *t, const struct mm_conf *c, const struct mark *marks, size_t n,
                      struct mm_err *e)
{
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        const char *name = mark_name(c, &marks[i]);
        *marks[i].id = mm_vocab_find(&t->vocab, name, strlen(name));
        const struct mm_added a = { .id = *marks[i].id, .special = true, .named = true };
        if (a.id >= 0 && name == marks[i].dflt)
            r = mm_tok_add_at(t, &a, name, strlen(name), e);
    }
    return r;
}

static int load_vocab(struct mm_tok *t, const char *path, struct mm_err *e)
{
    json_t *root;
    int r = mm_json_file(&root, path, e);

    if (r < 0)
        return r;
    r = mm_hf_vocab(t, root, e);
    json_decref(root);
    return r < 0 ? mm_err_prefix(e, "%s", path) : 0;
}

/* Call fn for each line of s[n], ended by "\n" or "\r\n" (a last empty line is
 * none). */
typedef int line_fn(void *arg, size_t at, const char *s, size_t n, struct mm_err *e);

static int each_line(const char *s, size_t n, line_fn *fn, void *arg, struct mm_err *e)
{
    int r = 0;

    for (size_t at = 0; n > 0 && r == 0; at++) {
        const char *end = memchr(s, '\n', n);
        const size_t len = end ? (size_t)(end - s) : n;
        r = fn(arg, at, s, len > 0 && s[len - 1] == '\r' ? len - 1 : len, e);
        if (r < 0)
            return mm_err_prefix(e, "line %zu", at + 1);
        s += end ? len + 1 : len;
        n -= end ? len + 1 : len;
    }
    return r;
}

struct merges {
    struct mm_bpe *b;
    size_t left; /* how many more count */
};

static int add_merge(void *arg, size_t at, const char *s, size_t n, struct mm_err *e)
{
    struct merges *m = arg;

    if (n == 0 || m->left == 0 || (at == 0 && n >= 8 && memcmp(s, "#version", 8) == 0))
        return 0;
    m->left--;
    return mm_bpe_merge_line(m->b, s, n, e);
}

static int load_merges(struct mm_tok *t, const char *path, const char *suffix, size_t max,
                       struct mm_err *e)
{
    struct mm_hf *h = t->impl;
    const struct mm_bpe_conf c = {
        .vocab = &t->vocab, .suffix = suffix, .unk = t->unk, .skip_unknown = true
    };
    struct merges m = { .left = max };
    char *text;
    size_t n;
    int r = mm_io_slurp(path, FILE_MAX, &text, &n, e);

    if (r < 0)
        return r;
    r = mm_bpe_new(&m.b, &c, e);
    if (r == 0)
        r = each_line(text, n, add_merge, &m, e);
    free(text);
    if (r < 0) {
        mm_bpe_free(m.b);
        return mm_err_prefix(e, "%s", path);
    }
    return mm_hfmodel_bpe(&h->model, m.b, e);
}

/* The remaining parts, written as in tokenizer.json. */
static int fill(struct mm_tok *t, const char *parts, struct mm_err *e)
{
    json_t *root = json_loads(parts, JSON_REJECT_DUPLICATES, NULL);
    int r;

    if (!root)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    r = mm_hf_fill(t, root, e);
    json_decref(root);
    return r;
}

static int open_gpt2(struct mm_tok *t, const char *vocab, const char *merges,
                     const struct mm_conf *c, struct mm_err *e)
{
    static const char end[] = "<|endoftext|>";
    const struct mark marks[] = {
        { "bos_token", end, &t->bos }, { "eos_token", end, &t->eos }, { "unk_token", end, &t->unk }
    };
    const bool prefix = mm_json_bool(c ? c->config : NULL, "add_prefix_space", false, e);
    int r;

    if (e->code)
        return e->code;
    if (!mm_hf_new(t))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if ((r = load_vocab(t, vocab, e)) < 0 || (r = find_marks(t, c, marks, 3, e)) < 0 ||
        (r = load_merges(t, merges, NULL, SIZE_MAX, e)) < 0)
        return r;
    return fill(t, prefix ?
                "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
                "\"decoder\":{\"type\":\"ByteLevel\"}}" :
                "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                "\"decoder\":{\"type\":\"ByteLevel\"}}", e);
}

/* CLIP's parts: open_clip cleans its text itself. */
static const char clip_parts[] =
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},"
    "{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":"
    "{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"},"
    "\"behavior\":\"Removed\",\"invert\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"}}";

#define CLIP_MERGES (49152 - 256 - 2)

static int open_clip(struct mm_tok *t, const char *vocab, const char *merges,
                     const struct mm_conf *c, struct mm_err *e)
{
    static const char start[] = "<|startoftext|>", end[] = "<|endoftext|>";
    const struct mark marks[] = {
        { "bos_token", start, &t->bos }, { "eos_token", end, &t->eos },
        { "unk_token", end, &t->unk },   { "pad_token", end, &t->pad }
    };
    struct mm_hf *h = mm_hf_new(t);
    int r;

    if (!h)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if ((r = load_vocab(t, vocab, e)) < 0 || (r = find_marks(t, c, marks, 4, e)) < 0 ||
        (r = load_merges(t, merges, "</w>", CLIP_MERGES, e)) < 0 ||
        (r = mm_hfpost_marks(&h->post, t->bos, t->eos, e)) < 0 ||
        (r = fill(t, clip_parts, e)) < 0)
        return r;
    if ((r = mm_hfdec_clip(h->dec, e)) < 0)
        return r;
    t->add_bos = t->add_eos = true;
    return mm_hf_fill(t, NULL, e); /* the decoder has changed */
}

static int add_line(void *arg, size_t at, const char *s, size_t n, struct mm_err *e)
{
    struct mm_tok *t = arg;

    if (at >= MM_VOCAB_MAX)
        return mm_err_set(e, MM_EDATA, "too many tokens");
    return mm_vocab_set(&t->vocab, (int32_t)at, s, n, MM_P_NORMAL, 0, e);
}

static int load_lines(struct mm_tok *t, const char *path, struct mm_err *e)
{
    char *text;
    size_t n;
    int r = mm_io_slurp(path, FILE_MAX, &text, &n, e);

    if (r < 0)
        return r;
    r = each_line(text, n, add_line, t, e);
    free(text);
    return r < 0 ? mm_err_prefix(e, "%s", path) : 0;
}

static int bert_post(struct mm_tok *t, int32_t cls, int32_t sep, struct mm_err *e)
{
    struct mm_hf *h = t->impl;
    json_t *j = json_pack("{s:s,s:[s,i],s:[s,i]}", "type", "BertProcessing", "cls", "", (int)cls,
                          "sep", "", (int)sep);
    const int r = j ? mm_hfpost_new(&h->post, t, j, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    json_decref(j);
    return r;
}

static int open_bert(struct mm_tok *t, const char *vocab, const struct mm_conf *c,
                     struct mm_err *e)
{
    const json_t *config = c ? c->config : NULL;
    const bool lower = mm_json_bool(config, "do_lower_case", true, e);
    const bool accents = mm_json_bool(config, "strip_accents", lower, e);
    const bool chinese = mm_json_bool(config, "tokenize_chinese_chars", true, e);
    int32_t cls, sep, mask;
    const struct mark marks[] = {
        { "unk_token", "[UNK]", &t->unk }, { "pad_token", "[PAD]", &t->pad },
        { "cls_token", "[CLS]", &cls },    { "sep_token", "[SEP]", &sep },
        { "mask_token", "[MASK]", &mask }
    };
    struct mm_hf *h = mm_hf_new(t);
    int r;

    if (!h)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (e->code)
        return e->code;
    if ((r = load_lines(t, vocab, e)) < 0 || (r = find_marks(t, c, marks, 5, e)) < 0)
        return r;
    if (t->unk < 0 || cls < 0 || sep < 0)
        return mm_err_set(e, MM_EDATA, "%s: no %s token", vocab,
                          t->unk < 0 ? "[UNK]" : cls < 0 ? "[CLS]" : "[SEP]");
    if ((r = mm_hfmodel_wordpiece(&h->model, t, "##", 100, e)) < 0 ||
        (r = mm_hfnorm_bert(&h->norm, lower, accents, chinese, e)) < 0 ||
        (r = mm_hfpre_bert(&h->pre, e)) < 0 || (r = bert_post(t, cls, sep, e)) < 0)
        return r;
    t->add_bos = t->add_eos = true;
    return fill(t, "{\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}}", e);
}

int mm_tok_gpt2_open(struct mm_tok *t, const char *vocab, const char *merges,
                     const struct mm_conf *c, struct mm_err *e)
{
    struct mm_err own = { 0 };

    return open_gpt2(t, vocab, merges, c, e ? e : &own);
}

int mm_tok_clip_open(struct mm_tok *t, const char *vocab, const char *merges,
                     const struct mm_conf *c, struct mm_err *e)
{
    struct mm_err own = { 0 };

    return open_clip(t, vocab, merges, c, e ? e : &own);
}

int mm_tok_bert_open(struct mm_tok *t, const char *vocab, const struct mm_conf *c, struct mm_err *e)
{
    struct mm_err own = { 0 };

    return open_bert(t, vocab, c, e ? e : &own);
}
