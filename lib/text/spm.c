/* spm.c: tokenizers of SentencePiece type: tokenizer.model by itself, under
 * transformers' LlamaTokenizer rules, and the "llama" vocabulary of a GGUF.
 */
#include "text/spm.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

static const char mark[] = "\xE2\x96\x81"; /* U+2581 stands for a space */

static int encode_plain(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                        struct mm_err *e)
{
    const struct mm_spm *const m = t->impl;
    const bool nonlegacy = m->style == MM_SPM_NONLEGACY;
    struct mm_buf norm = { 0 };
    int rc = 0;

    mm_spm_normalize(m, &norm, s, n, !nonlegacy, nonlegacy);
    if (norm.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (norm.n > 0)
        rc = (m->type == MM_SPM_BPE ? mm_spm_bpe : mm_spm_unigram)(t, m, ids, norm.p, norm.n, e);
    mm_buf_free(&norm);
    return rc;
}

static int encode_cut(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                      bool parse, struct mm_err *e)
{
    struct mm_cut cut;
    struct mm_frag f;
    int rc = 0;

    mm_cut_start(&cut, s, n);
    while (rc == 0 && mm_cut_next(&cut, t, t->trie, parse, &f))
        if (f.id < 0)
            rc = encode_plain(t, ids, f.s, f.n, e);
        else if (mm_ids_add(ids, f.id) < 0)
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    return rc;
}

/* The text of transformers' legacy = false: one mark in front, marks in the
 * text are spaces. */
static int encode_nonlegacy(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                            bool parse, struct mm_err *e)
{
    const struct mm_spm *const m = t->impl;
    const size_t first = ids->n;
    struct mm_buf text = { 0 };
    int rc;

    if (m->dummy_prefix)
        mm_buf_str(&text, mark);
    for (size_t i = 0; i < n;)
        if (n - i >= 3 && memcmp(s + i, mark, 3) == 0) {
            mm_buf_char(&text, ' ');
            i += 3;
        } else {
            mm_buf_char(&text, s[i++]);
        }
    rc = text.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                     : encode_cut(t, ids, text.p, text.n, parse, e);
    mm_buf_free(&text);
    if (rc < 0)
        return rc;
    /* "▁" alone before a special token is not wanted */
    const struct mm_added *const a = ids->n > first + 1 ? mm_tok_added(t, ids->v[first + 1]) : NULL;
    if (a && a->named && strcmp(t->vocab.v[ids->v[first]].s, mark) == 0) {
        ids->n--;
        memmove(ids->v + first, ids->v + first + 1, (ids->n - first) * sizeof(*ids->v));
    }
    return 0;
}

static int encode(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n, bool parse,
                  struct mm_err *e)
{
    const struct mm_spm *const m = t->impl;

    return (m->style == MM_SPM_NONLEGACY ? encode_nonlegacy : encode_cut)(t, ids, s, n, parse, e);
}

/* The value of a byte piece "<0x0A>", -1 if it is none. */
static int byte_of(const struct mm_vpiece *p)
{
    unsigned v = 0;

    if (p->n != 6 || memcmp(p->s, "<0x", 3) != 0 || p->s[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char c = p->s[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (unsigned)(c - '0');
        else if (c >= 'A' && c <= 'F')
            v = v * 16 + (unsigned)(c - 'A') + 10;
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (unsigned)(c - 'a') + 10;
        else
            return -1;
    }
    return (int)v;
}

static void add_unmarked(struct mm_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;)
        if (n - i >= 3 && memcmp(s + i, mark, 3) == 0) {
            mm_buf_char(out, ' ');
            i += 3;
        } else {
            mm_buf_char(out, s[i++]);
        }
}

static int bytes(const struct mm_tok *t, struct mm_buf *out, int32_t id)
{
    const struct mm_vpiece *const p = &t->vocab.v[id];

    if (p->type == MM_P_BYTE)
        mm_buf_char(out, (char)byte_of(p));
    else
        add_unmarked(out, p->s, p->n);
    return 0;
}

/* Leading spaces that the normaliser may have added are dropped: the first
 * mark, or with remove_extra_whitespaces all before the first character. */
static int put(const struct mm_tok *t, struct mm_tok_state *st, struct mm_buf *raw, int32_t id,
               struct mm_err *e)
{
    const struct mm_spm *const m = t->impl;
    const struct mm_vpiece *const p = &t->vocab.v[id];
    const struct mm_added *const a = mm_tok_added(t, id);
    size_t skip = 0;

    (void)e;
    if (p->type == MM_P_UNKNOWN) {
        mm_buf_str(raw, m->unk_surface);
    } else if (a || p->type == MM_P_CONTROL) {
        if (m->style != MM_SPM_BARE) /* SentencePiece never shows control symbols */
            mm_buf_add(raw, p->s, p->n);
    } else if (p->type == MM_P_BYTE) {
        mm_buf_char(raw, (char)byte_of(p));
    } else {
        const bool lead = !st->after_prompt && !st->mark && st->bytes == 0;
        if (lead && (m->dummy_prefix || m->remove_extra) && p->n >= 3 &&
            memcmp(p->s, mark, 3) == 0) {
            skip = 3;
            st->mark = !m->remove_extra;
        }
        add_unmarked(raw, p->s + skip, p->n - skip);
    }
    return 0;
}

/* Bare models have their control symbols and unk as special tokens; under
 * transformers the three standard ones always are. */
static int ready(struct mm_tok *t, struct mm_err *e)
{
    const struct mm_spm *const m = t->impl;

    for (size_t i = 0; i < t->vocab.n; i++) {
        const struct mm_vpiece *const p = &t->vocab.v[i];
        const int32_t id = (int32_t)i;
        if (p->type != MM_P_CONTROL && p->type != MM_P_UNKNOWN)
            continue;
        if (m->style != MM_SPM_BARE && id != t->bos && id != t->eos && id != t->unk)
            continue;
        const struct mm_added a = { .id = id, .special = true, .named = true };
        const int rc = mm_tok_added(t, id) ? 0 : mm_tok_add_at(t, &a, p->s, p->n, e);
        if (rc < 0)
            return rc;
    }
    return mm_tok_make_trie(t, e);
}

static void free_spm(void *impl)
{
    struct mm_spm *const m = impl;

    if (!m)
        return;
    free(m->unk_surface);
    free(m->charsmap);
    mm_trie_free(m->user);
    mm_trie_free(m->pieces);
    free(m);
}

static const struct mm_tok_ops spm_ops = {
    .ready = ready, .encode = encode, .put = put, .bytes = bytes, .free = free_spm
};

static struct mm_spm *new_spm(struct mm_tok *t, struct mm_err *e)
{
    struct mm_spm *const m = calloc(1, sizeof(*m));

    if (!m) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    t->ops = &spm_ops;
    t->impl = m;
    t->sentencepiece = true;
    t->default_parse = false;
    return m;
}

/* Can p be part of two words? */
static bool joins_words(const struct mm_vpiece *p)
{
    if (p->type == MM_P_UNUSED)
        return true; /* is split as it was last put together, anywhere in the text */
    for (size_t i = 1; i + 3 <= p->n; i++)
        if (memcmp(p->s + i, mark, 3) == 0 && (i < 3 || memcmp(p->s + i - 3, mark, 3) != 0))
            return true;
    return false;
}

/* Byte pieces, user-defined symbols and, for unigram, the trie of pieces. */
static int index_pieces(struct mm_tok *t, struct mm_spm *m, struct mm_err *e)
{
    bool ok = (m->user = mm_trie_new()) && (m->pieces = mm_trie_new());

    m->unk = t->unk;
    m->by_words = true;
    m->min_score = 3.4028234663852886e38f; /* FLT_MAX */
    for (int i = 0; i < 256; i++)
        m->byte_id[i] = -1;
    for (size_t i = 0; ok && i < t->vocab.n; i++) {
        const struct mm_vpiece *const p = &t->vocab.v[i];
        const int32_t id = (int32_t)i;
        m->by_words = m->by_words && !joins_words(p);
        if (p->type == MM_P_BYTE) {
            const int byte = byte_of(p);
            if (byte < 0)
                return mm_err_set(e, MM_EDATA, "piece %zu is no byte", i);
            m->byte_id[byte] = id;
        }
        if (p->type == MM_P_NORMAL && p->score < m->min_score)
            m->min_score = p->score;
        if (p->type == MM_P_USER)
            ok = mm_trie_add(m->user, p->s, p->n, id) == 0;
        if (ok && m->type == MM_SPM_UNIGRAM && p->s &&
            (p->type == MM_P_NORMAL || p->type == MM_P_USER || p->type == MM_P_UNUSED))
            ok = mm_trie_add(m->pieces, p->s, p->n, id) == 0;
    }
    if (ok && !m->unk_surface)
        ok = (m->unk_surface = strdup(" \xE2\x81\x87 ")) != NULL;
    return ok ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* What tokenizer_config.json says of a LlamaTokenizer. */
static int set_style(struct mm_tok *t, struct mm_spm *m, const struct mm_conf *c, struct mm_err *e)
{
    if (!c->config && !c->added && !c->special)
        return 0;
    m->style = mm_json_bool(c->config, "legacy", true, e) ? MM_SPM_LEGACY : MM_SPM_NONLEGACY;
    if (m->style == MM_SPM_NONLEGACY)
        m->dummy_prefix = mm_json_bool(c->config, "add_prefix_space", m->dummy_prefix, e);
    t->default_parse = true;
    t->python_space = true;
    return e && e->code ? e->code : 0;
}

int mm_tok_spm_open(struct mm_tok *t, const char *path, const struct mm_conf *c, struct mm_err *e)
{
    struct mm_spm *const m = new_spm(t, e);
    struct mm_map map = { 0 };
    int rc;

    if (!m)
        return MM_ENOMEM;
    if ((rc = mm_map_open(&map, path, (size_t)1 << 28, e)) < 0)
        return rc;
    rc = mm_spm_parse(t, m, map.data, map.size, e);
    mm_map_close(&map);
    if (rc == 0)
        rc = index_pieces(t, m, e);
    if (rc < 0) {
        mm_err_prefix(e, "%s", path);
        return rc;
    }
    t->add_bos = t->bos >= 0;
    t->add_eos = t->bos < 0;
    return set_style(t, m, c, e);
}

int mm_tok_gguf_spm_open(struct mm_tok *t, bool add_space_prefix, bool remove_extra_spaces,
                         struct mm_err *e)
{
    struct mm_spm *const m = new_spm(t, e);

    if (!m)
        return MM_ENOMEM;
    m->type = MM_SPM_BPE;
    m->byte_fallback = true;
    m->escape = true;
    m->dummy_prefix = add_space_prefix;
    m->remove_extra = remove_extra_spaces;
    if (t->unk < 0)
        return mm_err_set(e, MM_EDATA, "tokenizer.ggml.tokens: no token of type unknown");
    return index_pieces(t, m, e);
}
