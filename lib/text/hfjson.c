/* hfjson.c: see hfjson.h. */
#include "text/hfjson.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/hfparse.h"

static void hf_free(void *impl)
{
    struct mm_hf *h = impl;

    if (!h)
        return;
    mm_hfnorm_free(h->norm);
    mm_hfpre_free(h->pre);
    mm_hfmodel_free(h->model);
    mm_hfpost_free(h->post);
    mm_hfdec_free(h->dec);
    mm_trie_free(h->raw);
    mm_trie_free(h->normed);
    free(h);
}

static int add_to_trie(struct mm_hf *h, struct mm_tok *t, size_t i, struct mm_err *e)
{
    const struct mm_added *a = &t->added[i];
    const struct mm_vpiece *p = &t->vocab.v[a->id];
    struct mm_buf b = { 0 };
    int r;

    if (!a->normalized)
        return mm_trie_add(h->raw, p->s, p->n, (int32_t)i) < 0 ?
            mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
    r = mm_hfnorm_run(h->norm, &b, NULL, p->s, p->n, e);
    if (r == 0 && b.n > 0 && mm_trie_add(h->normed, b.p, b.n, (int32_t)i) < 0)
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&b);
    return r;
}

/* add_bos_token and add_eos_token of tokenizer_config.json count for the
 * classes that read them; for others the file's post-processor stands. */
static int settle_marks(struct mm_hf *h, struct mm_tok *t, struct mm_err *e)
{
    const int32_t first = mm_hfpost_first(h->post), last = mm_hfpost_last(h->post);

    if (h->class_adds_marks && (t->add_bos != (first >= 0) || t->add_eos != (last >= 0))) {
        struct mm_hfpost *p;
        const int r = mm_hfpost_marks(&p, t->add_bos ? t->bos : -1, t->add_eos ? t->eos : -1, e);
        if (r < 0)
            return r;
        mm_hfpost_free(h->post);
        h->post = p;
        return 0;
    }
    t->add_bos = first >= 0;
    t->add_eos = last >= 0;
    if (t->bos < 0)
        t->bos = first;
    if (t->eos < 0)
        t->eos = last;
    return 0;
}

/* May be called again, after more tokens have been added. */
static int hf_ready(struct mm_tok *t, struct mm_err *e)
{
    struct mm_hf *h = t->impl;
    int r = h->post ? settle_marks(h, t, e) : 0;

    mm_trie_free(h->raw);
    mm_trie_free(h->normed);
    h->normed = NULL;
    if (!(h->raw = mm_trie_new()) || !(h->normed = mm_trie_new()))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < t->nadded && r == 0; i++)
        r = add_to_trie(h, t, i, e);
    return r;
}

/* One text on its way to ids. */
struct run {
    const struct mm_tok *t;
    const struct mm_hf *h;
    bool parse;
    struct mm_ids *ids;
    struct mm_words *tokens; /* may be NULL */
    struct mm_buf text;      /* normalised */
    struct mm_words words;
};

static int add_added(struct run *r, const struct mm_frag *f, struct mm_err *e)
{
    if (r->tokens)
        mm_words_push(r->tokens, f->s, f->n);
    return mm_ids_add(r->ids, f->id) < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

/* Normalised text without added tokens. */
static int run_words(struct run *r, const char *s, size_t n, bool first, struct mm_err *e)
{
    const struct mm_vpiece *v = r->t->vocab.v;
    const size_t start = r->ids->n;
    int rc;

    mm_words_reset(&r->words);
    mm_buf_add(&r->words.text, s, n);
    mm_words_add(&r->words, 0, n, first);
    if ((rc = mm_words_check(&r->words, e)) < 0 ||
        (rc = mm_hfpre_run(r->h->pre, &r->words, e)) < 0)
        return rc;
    for (size_t i = 0; i < r->words.n && rc == 0; i++)
        rc = mm_hfmodel_word(r->h->model, r->t, r->ids, r->words.text.p + r->words.v[i].at,
                             r->words.v[i].n, e);
    if (r->tokens)
        for (size_t i = start; i < r->ids->n; i++)
            mm_words_push(r->tokens, v[r->ids->v[i]].s, v[r->ids->v[i]].n);
    return rc;
}

/* Text as it came, without the added tokens that are matched in it. */
static int run_raw(struct run *r, const char *s, size_t n, bool first, struct mm_err *e)
{
    struct mm_cut cut;
    struct mm_frag f;
    bool moved;
    int rc;

    mm_buf_reset(&r->text);
    if ((rc = mm_hfnorm_run(r->h->norm, &r->text, &moved, s, n, e)) < 0)
        return rc;
    mm_cut_start(&cut, r->text.p, r->text.n);
    while (rc == 0 && mm_cut_next(&cut, r->t, r->h->normed, r->parse, &f))
        rc = f.id >= 0 ? add_added(r, &f, e) :
            run_words(r, f.s, f.n, first && !moved && f.s == r->text.p, e);
    return rc;
}

static int run_text(const struct mm_tok *t, struct mm_ids *ids, struct mm_words *tokens,
                    const char *s, size_t n, bool parse, struct mm_err *e)
{
    struct run r = { .t = t, .h = t->impl, .parse = parse, .ids = ids, .tokens = tokens };
    struct mm_cut cut;
    struct mm_frag f;
    int rc = 0;

    mm_cut_start(&cut, s, n);
    while (rc == 0 && mm_cut_next(&cut, t, r.h->raw, parse, &f))
        rc = f.id >= 0 ? add_added(&r, &f, e) : run_raw(&r, f.s, f.n, f.s == s, e);
    mm_buf_free(&r.text);
    mm_words_free(&r.words);
    return rc;
}

static int hf_encode(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                     bool parse, struct mm_err *e)
{
    return run_text(t, ids, NULL, s, n, parse, e);
}

static int hf_wrap(const struct mm_tok *t, struct mm_ids *ids, size_t start, struct mm_err *e)
{
    const struct mm_hf *h = t->impl;
    const struct mm_ids a = { .v = ids->v + start, .n = ids->n - start };
    struct mm_ids out = { 0 };
    int r = mm_hfpost_wrap(h->post, &out, &a, NULL, e);

    ids->n = start;
    for (size_t i = 0; i < out.n && r == 0; i++)
        if (mm_ids_add(ids, out.v[i]) < 0)
            r = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_ids_free(&out);
    return r;
}

static int hf_decode(const struct mm_tok *t, struct mm_buf *out, const int32_t *ids, size_t n,
                     bool keep_special, struct mm_err *e)
{
    const struct mm_hf *h = t->impl;
    struct mm_words w = { 0 };
    int r;

    for (size_t i = 0; i < n; i++)
        if (keep_special || !mm_tok_is_special(t, ids[i]))
            mm_words_push(&w, t->vocab.v[ids[i]].s, t->vocab.v[ids[i]].n);
    r = mm_words_check(&w, e);
    if (r == 0)
        r = mm_hfdec_run(h->dec, &w, out, e);
    mm_words_free(&w);
    return r;
}

static int hf_put(const struct mm_tok *t, struct mm_tok_state *st, struct mm_buf *raw,
                  int32_t id, struct mm_err *e)
{
    const struct mm_hf *h = t->impl;
    const struct mm_vpiece *p = &t->vocab.v[id];

    return mm_hfdec_put(h->dec, raw, p->s, p->n, st->n == 0 && !st->after_prompt, e);
}

static int hf_bytes(const struct mm_tok *t, struct mm_buf *out, int32_t id)
{
    const struct mm_hf *h = t->impl;
    const struct mm_vpiece *p = &t->vocab.v[id];

    return mm_hfdec_put(h->dec, out, p->s, p->n, false, NULL);
}

/* With and without a post-processor, with and without streaming. */
#define OPS(wrap_, put_) { \
    .ready = hf_ready, .encode = hf_encode, .wrap = (wrap_), .put = (put_), \
    .decode = hf_decode, .bytes = hf_bytes, .free = hf_free }

static const struct mm_tok_ops hf_ops[2][2] = {
    { OPS(NULL, NULL), OPS(NULL, hf_put) },
    { OPS(hf_wrap, NULL), OPS(hf_wrap, hf_put) },
};

struct mm_hf *mm_hf_new(struct mm_tok *t)
{
    struct mm_hf *h = calloc(1, sizeof(*h));

    t->impl = h;
    t->ops = &hf_ops[0][0];
    return h;
}

int mm_hf_fill(struct mm_tok *t, const json_t *root, struct mm_err *e)
{
    struct mm_hf *h = t->impl;
    const json_t *post = json_object_get(root, "post_processor");
    int r = 0;

    if (!h->model && (r = mm_hfmodel_new(&h->model, t, json_object_get(root, "model"), e)) < 0)
        return r;
    if (!h->norm && (r = mm_hfnorm_new(&h->norm, json_object_get(root, "normalizer"), e)) < 0)
        return r;
    if (!h->pre && (r = mm_hfpre_new(&h->pre, json_object_get(root, "pre_tokenizer"), e)) < 0)
        return r;
    if (!h->dec && (r = mm_hfdec_new(&h->dec, json_object_get(root, "decoder"), e)) < 0)
        return r;
    if (post && !h->post)
        r = mm_hfpost_new(&h->post, t, post, e);
    t->ops = &hf_ops[h->post != NULL][mm_hfdec_streams(h->dec)];
    return r;
}

/* One entry of "added_tokens".  The model's id of a spelling counts. */
static int add_token(struct mm_tok *t, const json_t *j, struct mm_err *e)
{
    struct mm_added a = { 0 };
    struct mm_str s;
    size_t id;
    int r;

    if ((r = mm_hf_string(&s, j, "content", e)) < 0 ||
        (r = mm_hf_size(&id, j, "id", MM_VOCAB_MAX - 1, e)) < 0 ||
        (r = mm_hf_bool(&a.special, j, "special", false, e)) < 0 ||
        (r = mm_hf_bool(&a.normalized, j, "normalized", !a.special, e)) < 0 ||
        (r = mm_hf_bool(&a.lstrip, j, "lstrip", false, e)) < 0 ||
        (r = mm_hf_bool(&a.rstrip, j, "rstrip", false, e)) < 0 ||
        (r = mm_hf_bool(&a.single_word, j, "single_word", false, e)) < 0)
        return r;
    if (s.n == 0)
        return 0;
    a.id = mm_vocab_find(&t->vocab, s.s, s.n);
    if (a.id < 0) {
        if (id < t->vocab.n && t->vocab.v[id].s)
            return mm_err_set(e, MM_EDATA, "'%.100s': id %zu is that of '%.100s'", s.s, id,
                              t->vocab.v[id].s);
        a.id = (int32_t)id;
    }
    return mm_tok_add_at(t, &a, s.s, s.n, e);
}

/* Classes of transformers that make the post-processor anew from
 * add_bos_token and add_eos_token. */
static const char *const adding_classes[] = { "LlamaTokenizer", "CodeLlamaTokenizer",
                                              "GemmaTokenizer", "CohereTokenizer",
                                              "GPTNeoXTokenizer", NULL };
static const char *const clip_classes[] = { "CLIPTokenizer", NULL };

/* Is tokenizer_class one of these, or its Fast form? */
static bool class_is(const struct mm_conf *c, const char *const *names)
{
    const char *name = c ? json_string_value(json_object_get(c->config, "tokenizer_class")) : NULL;

    for (; name && *names; names++) {
        const size_t n = strlen(*names);
        if (strncmp(name, *names, n) == 0 && (!name[n] || strcmp(name + n, "Fast") == 0))
            return true;
    }
    return false;
}

int mm_hf_open(struct mm_tok *t, const json_t *root, const struct mm_conf *c, struct mm_err *e)
{
    struct mm_hf *h = mm_hf_new(t);
    const json_t *added = json_object_get(root, "added_tokens");
    int r;

    if (!h)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!json_is_object(root))
        return mm_err_set(e, MM_EDATA, "no JSON object");
    if ((r = mm_hfmodel_new(&h->model, t, json_object_get(root, "model"), e)) < 0)
        return r;
    for (size_t i = 0; i < json_array_size(added); i++)
        if ((r = add_token(t, json_array_get(added, i), e)) < 0)
            return mm_err_prefix(e, "added_tokens %zu", i);
    if ((r = mm_hf_fill(t, root, e)) < 0)
        return r;
    if (class_is(c, clip_classes) &&
        ((r = mm_hfdec_clip(h->dec, e)) < 0 || (r = mm_hf_fill(t, root, e)) < 0))
        return r;
    h->class_adds_marks = class_is(c, adding_classes);
    if (h->post) {
        t->add_bos = mm_hfpost_first(h->post) >= 0;
        t->add_eos = mm_hfpost_last(h->post) >= 0;
    }
    return 0;
}

int mm_tok_hfjson_open(struct mm_tok *t, const char *path, const struct mm_conf *c,
                       struct mm_err *e)
{
    struct mm_err own = { 0 };
    json_t *root;
    int r = mm_json_file(&root, path, e ? e : &own);

    if (r < 0)
        return r;
    r = mm_hf_open(t, root, c, e ? e : &own);
    json_decref(root);
    return r < 0 ? mm_err_prefix(e ? e : &own, "%s", path) : 0;
}

int mm_hf_normalize(const struct mm_tok *t, struct mm_buf *out, const char *s, size_t n,
                    struct mm_err *e)
{
    const struct mm_hf *h = t->impl;

    return mm_hfnorm_run(h->norm, out, NULL, s, n, e);
}

int mm_hf_words(const struct mm_tok *t, struct mm_words *out, const char *s, size_t n,
                struct mm_err *e)
{
    const struct mm_hf *h = t->impl;
    int r;

    mm_words_reset(out);
    mm_buf_add(&out->text, s, n);
    mm_words_add(out, 0, n, true);
    r = mm_words_check(out, e);
    return r < 0 ? r : mm_hfpre_run(h->pre, out, e);
}

int mm_hf_tokens(const struct mm_tok *t, struct mm_words *out, const char *s, size_t n,
                 struct mm_err *e)
{
    struct mm_ids ids = { 0 };
    int r;

    mm_words_reset(out);
    r = run_text(t, &ids, out, s, n, true, e);
    mm_ids_free(&ids);
    return r < 0 ? r : mm_words_check(out, e);
}

int mm_hf_pair(const struct mm_tok *t, struct mm_ids *out, const struct mm_str *a,
               const struct mm_str *b, struct mm_err *e)
{
    const struct mm_hf *h = t->impl;
    struct mm_ids ia = { 0 }, ib = { 0 };
    int r = run_text(t, &ia, NULL, a->s, a->n, true, e);

    if (r == 0)
        r = run_text(t, &ib, NULL, b->s, b->n, true, e);
    if (r == 0)
        r = mm_hfpost_wrap(h->post, out, &ia, &ib, e);
    mm_ids_free(&ia);
    mm_ids_free(&ib);
    return r;
}
