/* hfmodel.c: see hfmodel.h. */
#include "text/hfmodel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/hfparse.h"
#include "text/spm.h"

enum kind { MODEL_BPE, MODEL_WORDPIECE, MODEL_WORDLEVEL, MODEL_UNIGRAM };

struct mm_hfmodel {
    enum kind kind;
    int32_t unk;
    struct mm_bpe *bpe;
    struct mm_trie *pieces; /* WORDPIECE */
    uint32_t inside;        /* WORDPIECE: the node of the prefix of inner pieces, 0: none */
    bool has_inside;
    size_t max;             /* WORDPIECE: characters of a word */
    size_t limit;           /* WORDLEVEL: ids from here on were added later */
    struct mm_spm spm;      /* UNIGRAM */
};

int mm_hf_vocab(struct mm_tok *t, const json_t *vocab, struct mm_err *e)
{
    const char *key;
    json_t *id;

    if (!json_is_object(vocab))
        return mm_err_set(e, MM_EDATA, "vocab: no object");
    json_object_foreach((json_t *)(uintptr_t)vocab, key, id) {
        const json_int_t i = json_integer_value(id);
        if (!json_is_integer(id) || i < 0 || i >= MM_VOCAB_MAX)
            return mm_err_set(e, MM_EDATA, "vocab: '%.100s' has no valid id", key);
        const int r = mm_vocab_set(&t->vocab, (int32_t)i, key, strlen(key), MM_P_NORMAL, 0, e);
        if (r < 0)
            return mm_err_prefix(e, "vocab");
    }
    return 0;
}

static struct mm_hfmodel *new_model(enum kind kind, struct mm_err *e)
{
    struct mm_hfmodel *m = calloc(1, sizeof(*m));

    if (!m) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    m->kind = kind;
    m->unk = -1;
    return m;
}

void mm_hfmodel_free(struct mm_hfmodel *m)
{
    if (!m)
        return;
    mm_bpe_free(m->bpe);
    mm_trie_free(m->pieces);
    mm_trie_free(m->spm.pieces);
    free(m);
}

int mm_hfmodel_bpe(struct mm_hfmodel **out, struct mm_bpe *b, struct mm_err *e)
{
    struct mm_hfmodel *m = new_model(MODEL_BPE, e);

    if (!m) {
        mm_bpe_free(b);
        return MM_ENOMEM;
    }
    m->bpe = b;
    *out = m;
    return 0;
}

int mm_hfmodel_wordpiece(struct mm_hfmodel **out, struct mm_tok *t, const char *prefix, size_t max,
                         struct mm_err *e)
{
    struct mm_hfmodel *m = new_model(MODEL_WORDPIECE, e);

    if (!m)
        return MM_ENOMEM;
    m->unk = t->unk;
    m->max = max;
    m->pieces = mm_trie_new();
    for (size_t i = 0; m->pieces && i < t->vocab.n; i++)
        if (t->vocab.v[i].s &&
            mm_trie_add(m->pieces, t->vocab.v[i].s, t->vocab.v[i].n, (int32_t)i) < 0) {
            mm_trie_free(m->pieces);
            m->pieces = NULL;
        }
    if (!m->pieces) {
        mm_hfmodel_free(m);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    m->has_inside = true;
    for (const char *p = prefix; *p && m->has_inside; p++) {
        m->inside = mm_trie_step(m->pieces, m->inside, (unsigned char)*p);
        m->has_inside = m->inside != 0;
    }
    *out = m;
    return 0;
}

/* unk_token into t->unk; -1 where it is null, absent or not in the vocabulary. */
static int parse_unk(struct mm_tok *t, const json_t *j, struct mm_err *e)
{
    const json_t *u = json_object_get(j, "unk_token");

    if (!u || json_is_null(u))
        return 0;
    if (!json_is_string(u))
        return mm_err_set(e, MM_EDATA, "'unk_token' is no string");
    t->unk = mm_vocab_find(&t->vocab, json_string_value(u), json_string_length(u));
    return 0;
}

static const char *opt_string(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));

    return s && *s ? s : NULL;
}

/* A merge is "a b" or ["a", "b"]. */
static int parse_merge(struct mm_bpe *b, const json_t *j, struct mm_err *e)
{
    const json_t *l = json_array_get(j, 0), *r = json_array_get(j, 1);

    if (json_is_string(j))
        return mm_bpe_merge_line(b, json_string_value(j), json_string_length(j), e);
    if (json_array_size(j) != 2 || !json_is_string(l) || !json_is_string(r))
        return mm_err_set(e, MM_EDATA, "a merge is neither a string nor two");
    return mm_bpe_merge(b, json_string_value(l), json_string_length(l), json_string_value(r),
                        json_string_length(r), e);
}

static int parse_bpe(struct mm_hfmodel **out, struct mm_tok *t, const json_t *j, struct mm_err *e)
{
    const json_t *merges = json_object_get(j, "merges");
    struct mm_bpe_conf c = { .vocab = &t->vocab };
    struct mm_bpe *b = NULL;
    int r;

    if ((r = mm_hf_vocab(t, json_object_get(j, "vocab"), e)) < 0 || (r = parse_unk(t, j, e)) < 0 ||
        (r = mm_hf_bool(&c.fuse_unk, j, "fuse_unk", false, e)) < 0 ||
        (r = mm_hf_bool(&c.byte_fallback, j, "byte_fallback", false, e)) < 0 ||
        (r = mm_hf_bool(&c.ignore_merges, j, "ignore_merges", false, e)) < 0)
        return r;
    c.unk = t->unk;
    c.prefix = opt_string(j, "continuing_subword_prefix");
    c.suffix = opt_string(j, "end_of_word_suffix");
    if (!json_is_array(merges))
        return mm_err_set(e, MM_EDATA, "'merges' is no list");
    r = mm_bpe_new(&b, &c, e);
    for (size_t i = 0; i < json_array_size(merges) && r == 0; i++)
        r = parse_merge(b, json_array_get(merges, i), e);
    if (r < 0) {
        mm_bpe_free(b);
        return r;
    }
    return mm_hfmodel_bpe(out, b, e);
}

static int parse_wordpiece(struct mm_hfmodel **out, struct mm_tok *t, const json_t *j,
                           struct mm_err *e)
{
    const char *prefix = json_string_value(json_object_get(j, "continuing_subword_prefix"));
    size_t max = 100;
    int r;

    if ((r = mm_hf_vocab(t, json_object_get(j, "vocab"), e)) < 0 || (r = parse_unk(t, j, e)) < 0)
        return r;
    if (json_object_get(j, "max_input_chars_per_word") &&
        (r = mm_hf_size(&max, j, "max_input_chars_per_word", SIZE_MAX / 2, e)) < 0)
        return r;
    return mm_hfmodel_wordpiece(out, t, prefix ? prefix : "##", max, e);
}

static int parse_wordlevel(struct mm_hfmodel **out, struct mm_tok *t, const json_t *j,
                           struct mm_err *e)
{
    int r;

    if ((r = mm_hf_vocab(t, json_object_get(j, "vocab"), e)) < 0 || (r = parse_unk(t, j, e)) < 0)
        return r;
    if (!(*out = new_model(MODEL_WORDLEVEL, e)))
        return MM_ENOMEM;
    (*out)->unk = t->unk;
    (*out)->limit = t->vocab.n;
    return 0;
}

/* One piece [spelling, score] of a unigram model. */
static int unigram_piece(struct mm_hfmodel *m, struct mm_tok *t, size_t i, const json_t *j,
                         struct mm_err *e)
{
    const json_t *s = json_array_get(j, 0), *score = json_array_get(j, 1);
    int r;

    if (json_array_size(j) != 2 || !json_is_string(s) || !json_is_number(score))
        return mm_err_set(e, MM_EDATA, "vocab: entry %zu is not [string, score]", i);
    const float f = (float)json_number_value(score);
    if (i >= MM_VOCAB_MAX)
        return mm_err_set(e, MM_EDATA, "vocab: more than %d entries", MM_VOCAB_MAX);
    if ((r = mm_vocab_set(&t->vocab, (int32_t)i, json_string_value(s), json_string_length(s),
                          MM_P_NORMAL, f, e)) < 0)
        return r;
    if (i == 0 || f < m->spm.min_score)
        m->spm.min_score = f;
    if (mm_trie_add(m->spm.pieces, json_string_value(s), json_string_length(s), (int32_t)i) < 0)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

static int fill_unigram(struct mm_hfmodel *m, struct mm_tok *t, const json_t *j, struct mm_err *e)
{
    const json_t *vocab = json_object_get(j, "vocab"), *unk = json_object_get(j, "unk_id");
    size_t id;
    int r = 0;

    m->spm.type = MM_SPM_UNIGRAM;
    m->spm.unk = -1;
    if (!(m->spm.pieces = mm_trie_new()))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!json_is_array(vocab))
        return mm_err_set(e, MM_EDATA, "vocab: no list");
    for (size_t i = 0; i < json_array_size(vocab) && r == 0; i++)
        r = unigram_piece(m, t, i, json_array_get(vocab, i), e);
    if (r == 0)
        r = mm_hf_bool(&m->spm.byte_fallback, j, "byte_fallback", false, e);
    if (r < 0)
        return r;
    if (unk && !json_is_null(unk)) {
        if (t->vocab.n == 0)
            return mm_err_set(e, MM_EDATA, "vocab: empty");
        if ((r = mm_hf_size(&id, j, "unk_id", t->vocab.n - 1, e)) < 0)
            return r;
        m->unk = m->spm.unk = t->unk = (int32_t)id;
    }
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof(name), "<0x%02X>", b);
        m->spm.byte_id[b] = mm_vocab_find(&t->vocab, name, 6);
        if (m->spm.byte_id[b] < 0) /* all or none */
            m->spm.byte_fallback = false;
    }
    return 0;
}

static int parse_unigram(struct mm_hfmodel **out, struct mm_tok *t, const json_t *j,
                         struct mm_err *e)
{
    struct mm_hfmodel *m = new_model(MODEL_UNIGRAM, e);
    const int r = m ? fill_unigram(m, t, j, e) : MM_ENOMEM;

    if (r < 0) {
        mm_hfmodel_free(m);
        return r;
    }
    *out = m;
    return 0;
}

/* Old files do not say which model they hold. */
static const char *guess_type(const json_t *j)
{
    if (json_object_get(j, "merges"))
        return "BPE";
    if (json_is_array(json_object_get(j, "vocab")))
        return "Unigram";
    return json_object_get(j, "continuing_subword_prefix") ? "WordPiece" : "WordLevel";
}

int mm_hfmodel_new(struct mm_hfmodel **m, struct mm_tok *t, const json_t *j, struct mm_err *e)
{
    static const struct {
        const char *type;
        int (*parse)(struct mm_hfmodel **, struct mm_tok *, const json_t *, struct mm_err *);
    } kinds[] = {
        { "BPE", parse_bpe },
        { "WordPiece", parse_wordpiece },
        { "WordLevel", parse_wordlevel },
        { "Unigram", parse_unigram },
    };
    const char *type = json_string_value(json_object_get(j, "type"));

    if (!json_is_object(j))
        return mm_err_set(e, MM_EDATA, "model: no object");
    if (!type)
        type = guess_type(j);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].parse(m, t, j, e) < 0 ? mm_err_prefix(e, "model") : 0;
    return mm_hf_unknown("model", type, e);
}

static int unknown(const struct mm_hfmodel *m, struct mm_ids *ids, const char *s, size_t n,
                   struct mm_err *e)
{
    if (m->unk < 0)
        return mm_err_set(e, MM_EDATA,
                          "'%.*s' is not in the vocabulary, which has no unknown token",
                          (int)(n < 100 ? n : 100), s);
    return mm_ids_add(ids, m->unk) < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

static size_t count_chars(const char *s, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

/* The longest piece that begins s[n], from a node on; 0 if none. */
static size_t longest(const struct mm_trie *t, uint32_t node, const char *s, size_t n, int32_t *id)
{
    size_t best = 0;

    for (size_t i = 0; i < n; i++) {
        node = mm_trie_step(t, node, (unsigned char)s[i]);
        if (!node)
            break;
        if (mm_trie_value(t, node) >= 0) {
            best = i + 1;
            *id = mm_trie_value(t, node);
        }
    }
    return best;
}

/* A word with a part that no piece matches is unknown as a whole. */
static int wordpiece(const struct mm_hfmodel *m, struct mm_ids *ids, const char *s, size_t n,
                     struct mm_err *e)
{
    const size_t start = ids->n;

    if (count_chars(s, n) > m->max)
        return unknown(m, ids, s, n, e);
    for (size_t at = 0; at < n;) {
        int32_t id = -1;
        const size_t len = at > 0 && !m->has_inside ? 0 :
            longest(m->pieces, at ? m->inside : 0, s + at, n - at, &id);
        if (len == 0) {
            ids->n = start;
            return unknown(m, ids, s, n, e);
        }
        if (mm_ids_add(ids, id) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        at += len;
    }
    return 0;
}

/* Without an unknown token every character must be covered. */
static int unigram(const struct mm_hfmodel *m, const struct mm_tok *t, struct mm_ids *ids,
                   const char *s, size_t n, struct mm_err *e)
{
    const size_t start = ids->n;
    const int r = mm_spm_unigram(t, &m->spm, ids, s, n, e);

    for (size_t i = start; i < ids->n && r == 0; i++)
        if (ids->v[i] < 0) {
            ids->n = start;
            return unknown(m, ids, s, n, e);
        }
    return r;
}

int mm_hfmodel_word(const struct mm_hfmodel *m, const struct mm_tok *t, struct mm_ids *ids,
                    const char *s, size_t n, struct mm_err *e)
{
    int32_t id;

    switch (m->kind) {
    case MODEL_BPE:
        return mm_bpe_word(m->bpe, ids, s, n, e);
    case MODEL_WORDPIECE:
        return wordpiece(m, ids, s, n, e);
    case MODEL_UNIGRAM:
        return unigram(m, t, ids, s, n, e);
    case MODEL_WORDLEVEL:
        id = mm_vocab_find(&t->vocab, s, n);
        if (id < 0 || (size_t)id >= m->limit)
            return unknown(m, ids, s, n, e);
        return mm_ids_add(ids, id) < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
    }
    return 0;
}
