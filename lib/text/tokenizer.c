/* tokenizer.c: picks the implementation, and does what all have in common:
 * checks UTF-8 and ids, adds BOS and EOS, streams. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/impl.h"

void mm_ids_free(struct mm_ids *ids)
{
    free(ids->v);
    *ids = (struct mm_ids){ 0 };
}

int mm_ids_add(struct mm_ids *ids, int32_t id)
{
    if (!mm_grow(&ids->v, &ids->cap, ids->n + 1, sizeof(*ids->v)))
        return MM_ENOMEM;
    ids->v[ids->n++] = id;
    return 0;
}

void mm_tok_free(struct mm_tok *t)
{
    if (!t)
        return;
    if (t->ops && t->ops->free)
        t->ops->free(t->impl);
    mm_vocab_free(&t->vocab);
    mm_trie_free(t->trie);
    mm_ids_free(&t->eog);
    free(t->added);
    free(t->added_at);
    free(t->chat_template);
    free(t);
}

static bool in_vocab(const struct mm_tok *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n && t->vocab.v[id].s;
}

static int check_id(const struct mm_tok *t, int32_t id, struct mm_err *e)
{
    if (in_vocab(t, id))
        return 0;
    return mm_err_set(e, MM_EDATA, "token id %ld is not in the vocabulary (%zu)", (long)id,
                      t->vocab.n);
}

/* BOS and EOS around ids->v[start..]. */
static int wrap_default(const struct mm_tok *t, struct mm_ids *ids, size_t start, struct mm_err *e)
{
    if (t->add_bos && t->bos >= 0) {
        if (mm_ids_add(ids, t->bos) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        memmove(ids->v + start + 1, ids->v + start, (ids->n - 1 - start) * sizeof(*ids->v));
        ids->v[start] = t->bos;
    }
    if (t->add_eos && t->eos >= 0 && mm_ids_add(ids, t->eos) < 0)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

int mm_tok_encode(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                  unsigned flags, struct mm_err *e)
{
    const size_t start = ids->n;
    const size_t good = mm_utf8_valid(s, n);
    int rc = 0;

    if (good < n)
        return mm_err_set(e, MM_EDATA, "text is not UTF-8 at byte %zu", good);
    if (n > 0)
        rc = t->ops->encode(t, ids, s, n, (flags & MM_TOK_PARSE) != 0, e);
    if (rc == 0 && (flags & MM_TOK_SPECIAL))
        rc = t->ops->wrap ? t->ops->wrap(t, ids, start, e) : wrap_default(t, ids, start, e);
    if (rc < 0)
        ids->n = start;
    return rc;
}

/* The raw bytes of one more id, by ops->put. */
static int put_raw(const struct mm_tok *t, struct mm_tok_state *st, struct mm_buf *raw, int32_t id,
                   struct mm_err *e)
{
    const size_t before = raw->n;
    const int rc = t->ops->put(t, st, raw, id, e);

    if (rc < 0)
        return rc;
    if (raw->failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    st->n++;
    st->prev = id;
    st->bytes += raw->n - before;
    return 0;
}

/* SentencePiece assembles bytes between control symbols only. */
static void break_bytes(const struct mm_tok *t, struct mm_buf *out, struct mm_buf *raw)
{
    if (t->sentencepiece && raw->n > 0) {
        mm_utf8_repair(out, raw->p, raw->n, true);
        mm_buf_reset(raw);
    }
}

int mm_tok_decode(const struct mm_tok *t, struct mm_buf *out, const int32_t *ids, size_t n,
                  bool keep_special, struct mm_err *e)
{
    struct mm_tok_state st = { .prev = -1, .keep_special = keep_special };
    struct mm_buf raw = { 0 };
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        if ((rc = check_id(t, ids[i], e)) < 0)
            return rc;
    if (t->ops->decode)
        return t->ops->decode(t, out, ids, n, keep_special, e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (mm_tok_is_special(t, ids[i]))
            break_bytes(t, out, &raw);
        if (keep_special || !mm_tok_is_special(t, ids[i]))
            rc = put_raw(t, &st, &raw, ids[i], e);
    }
    if (rc == 0)
        mm_utf8_repair(out, raw.p, raw.n, t->sentencepiece);
    mm_buf_free(&raw);
    if (rc == 0 && out->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    return rc;
}

struct mm_tok_stream {
    const struct mm_tok *t;
    struct mm_tok_state st;
    struct mm_buf raw; /* not yet printed; without ops->put: the last raw bytes only */

    /* without ops->put: window of ids; v[0..shown) has been printed */
    struct mm_ids window;
    size_t shown;
    struct mm_buf old, new;
};

enum { WINDOW_MAX = 64 }; /* ids that may give no text before the window moves on */

int mm_tok_stream_new(struct mm_tok_stream **s, const struct mm_tok *t, bool after_prompt,
                      struct mm_err *e)
{
    struct mm_tok_stream *const n = calloc(1, sizeof(*n));

    if (!n)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    n->t = t;
    n->st = (struct mm_tok_state){ .prev = -1, .after_prompt = after_prompt };
    if (!t->ops->put && after_prompt) {
        /* a letter stands for the text before, so that nothing is at its start */
        const int32_t letter = mm_vocab_find(&t->vocab, "a", 1);
        if (letter >= 0 && mm_ids_add(&n->window, letter) < 0) {
            mm_tok_stream_free(n);
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        }
        n->shown = n->window.n;
    }
    *s = n;
    return 0;
}

void mm_tok_stream_free(struct mm_tok_stream *s)
{
    if (!s)
        return;
    mm_buf_free(&s->raw);
    mm_buf_free(&s->old);
    mm_buf_free(&s->new);
    mm_ids_free(&s->window);
    free(s);
}

/* What the ids of the window add to those shown before: decoded both ways. */
static int show_window(struct mm_tok_stream *s, struct mm_buf *out, struct mm_err *e)
{
    const struct mm_tok *const t = s->t;
    struct mm_ids *const w = &s->window;
    int rc;

    mm_buf_reset(&s->old);
    mm_buf_reset(&s->new);
    if ((rc = t->ops->decode(t, &s->old, w->v, s->shown, false, e)) < 0 ||
        (rc = t->ops->decode(t, &s->new, w->v, w->n, false, e)) < 0)
        return rc;
    if (s->new.n > s->old.n)
        mm_buf_add(out, s->new.p + s->old.n, s->new.n - s->old.n);
    else if (w->n - s->shown < WINDOW_MAX)
        return 0;
    memmove(w->v, w->v + s->shown, (w->n - s->shown) * sizeof(*w->v));
    w->n -= s->shown;
    s->shown = w->n;
    return 0;
}

static int put_window(struct mm_tok_stream *s, struct mm_buf *out, int32_t id, struct mm_err *e)
{
    if (mm_ids_add(&s->window, id) < 0 || mm_tok_bytes(s->t, &s->raw, id) < 0 || s->raw.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (s->raw.n > 4) {
        memmove(s->raw.p, s->raw.p + s->raw.n - 4, 4);
        s->raw.n = 4;
    }
    return mm_utf8_partial(s->raw.p, s->raw.n) ? 0 : show_window(s, out, e);
}

int mm_tok_stream_put(struct mm_tok_stream *s, struct mm_buf *out, int32_t id, struct mm_err *e)
{
    int rc = check_id(s->t, id, e);

    if (rc < 0)
        return rc;
    if (mm_tok_is_special(s->t, id)) {
        break_bytes(s->t, out, &s->raw);
    } else if (!s->t->ops->put) {
        rc = put_window(s, out, id, e);
    } else {
        rc = put_raw(s->t, &s->st, &s->raw, id, e);
        if (rc == 0 && !mm_utf8_partial(s->raw.p, s->raw.n)) {
            mm_utf8_repair(out, s->raw.p, s->raw.n, s->t->sentencepiece);
            mm_buf_reset(&s->raw);
        }
    }
    if (rc == 0 && out->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    return rc;
}

int mm_tok_stream_end(struct mm_tok_stream *s, struct mm_buf *out, struct mm_err *e)
{
    int rc = 0;

    if (!s->t->ops->put && s->shown < s->window.n)
        rc = show_window(s, out, e);
    else if (s->t->ops->put)
        mm_utf8_repair(out, s->raw.p, s->raw.n, s->t->sentencepiece);
    mm_buf_reset(&s->raw);
    if (rc == 0 && out->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    return rc;
}

int mm_tok_bytes(const struct mm_tok *t, struct mm_buf *out, int32_t id)
{
    if (!in_vocab(t, id))
        return MM_EDATA;
    if (mm_tok_is_special(t, id) || t->vocab.v[id].type == MM_P_UNKNOWN)
        return 0;
    if (mm_tok_added(t, id)) {
        mm_buf_add(out, t->vocab.v[id].s, t->vocab.v[id].n);
        return 0;
    }
    return t->ops->bytes(t, out, id);
}

int mm_tok_add(struct mm_tok *t, const char *piece, unsigned flags, int32_t *id, struct mm_err *e)
{
    const size_t n = strlen(piece);
    const int32_t known = mm_vocab_find(&t->vocab, piece, n);
    const struct mm_added a = {
        .id = known >= 0 ? known : (int32_t)t->vocab.n,
        .special = (flags & MM_TOK_ADD_SPECIAL) != 0,
        .lstrip = (flags & MM_TOK_ADD_STRIP) != 0,
        .rstrip = (flags & MM_TOK_ADD_STRIP) != 0
    };

    if (n == 0)
        return mm_err_set(e, MM_EDATA, "added token is empty");
    const int rc = mm_tok_add_at(t, &a, piece, n, e);
    if (rc < 0)
        return rc;
    *id = a.id;
    return t->ops->ready ? t->ops->ready(t, e) : mm_tok_make_trie(t, e);
}

void mm_tok_set_marks(struct mm_tok *t, bool add_bos, bool add_eos)
{
    t->add_bos = add_bos;
    t->add_eos = add_eos;
}

const char *mm_tok_piece(const struct mm_tok *t, int32_t id)
{
    return in_vocab(t, id) ? t->vocab.v[id].s : NULL;
}

int32_t mm_tok_id(const struct mm_tok *t, const char *piece)
{
    return mm_vocab_find(&t->vocab, piece, strlen(piece));
}

bool mm_tok_is_special(const struct mm_tok *t, int32_t id)
{
    const struct mm_added *const a = mm_tok_added(t, id);

    if (!in_vocab(t, id) || (t->sentencepiece && t->vocab.v[id].type == MM_P_UNKNOWN))
        return false;
    return a ? a->special : t->vocab.v[id].type == MM_P_CONTROL;
}

size_t mm_tok_size(const struct mm_tok *t)
{
    return t->vocab.n;
}

int32_t mm_tok_bos(const struct mm_tok *t)
{
    return t->bos;
}

int32_t mm_tok_eos(const struct mm_tok *t)
{
    return t->eos;
}

int32_t mm_tok_unk(const struct mm_tok *t)
{
    return t->unk;
}

int32_t mm_tok_pad(const struct mm_tok *t)
{
    return t->pad;
}

const int32_t *mm_tok_eog(const struct mm_tok *t, size_t *n)
{
    *n = t->eog.n;
    return t->eog.v;
}

bool mm_tok_adds_bos(const struct mm_tok *t)
{
    return t->add_bos;
}

bool mm_tok_default_parse(const struct mm_tok *t)
{
    return t->default_parse;
}

const char *mm_tok_chat_template(const struct mm_tok *t)
{
    return t->chat_template;
}
