/* corpus.c: see corpus.h. */
#include "train/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "stream/cmdio.h"
#include "stream/operand.h"

struct doc {
    size_t at, n; /* in text */
    struct mm_ids ids;
};

struct loader {
    struct mm_corpus *c;
    const struct mm_corpus_spec *s;
    struct mm_buf text; /* of documents not yet tokenized */
    struct doc *doc;
    size_t n, cap;
    bool plain;         /* texts are wanted, not ids */
    bool rows;          /* tokens records with rows of their own came */
};

enum { MOST = 1 << 30 };

/* --- documents to ids -------------------------------------------------------------- */

static void encode_doc(void *arg, size_t tile, int thread)
{
    const struct loader *l = arg;
    struct doc *d = &l->doc[tile];
    struct mm_err e = { 0 };

    (void)thread;
    if (mm_tok_encode(l->s->tok, &d->ids, l->text.p + d->at, d->n,
                      MM_TOK_SPECIAL, &e) < 0)
        d->n = SIZE_MAX; /* told by the caller, in order */
}

static int mixed(size_t row, struct mm_err *e)
{
    return mm_err_set(e, MM_EDATA, "rows of %zu tokens: all data must have one length, at least 2", row);
}

static int add_ids(struct loader *l, const int32_t *v, size_t n, struct mm_err *e)
{
    struct mm_corpus *c = l->c;

    for (size_t i = 0; i < n; i++)
        if (v[i] < 0 || v[i] >= l->s->vocab)
            return mm_err_set(e, MM_EDATA, "token id %d is outside the vocabulary of %lld",
                              (int)v[i], (long long)l->s->vocab);
    if (!mm_grow(&c->ids, &c->cap, c->n + n + 1, sizeof(*c->ids)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (n)
        memcpy(c->ids + c->n, v, n * sizeof(*v));
    c->n += n;
    return 0;
}

/* Tokenize what is gathered. */
static int flush(struct loader *l, struct mm_pool *p, struct mm_err *e)
{
    const int32_t eos = l->s->tok ? mm_tok_eos(l->s->tok) : -1;
    int rc = 0;

    if (l->text.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (l->plain)
        return 0;
    if (l->n && !l->s->tok)
        return mm_err_set(e, MM_EMISSING, "the model has no tokenizer: only token ids can be its "
                          "data");
    if (l->n && l->rows)
        return mixed(l->c->row, e);
    if (l->n)
        mm_pool_run(p, l->n, encode_doc, l);
    for (size_t i = 0; i < l->n; i++) {
        struct doc *d = &l->doc[i];

        if (rc == 0 && d->n == SIZE_MAX)
            rc = mm_err_set(e, MM_EDATA, "document %zu is no UTF-8", i + 1);
        if (rc == 0)
            rc = add_ids(l, d->ids.v, d->ids.n, e);
        if (rc == 0 && eos >= 0 && (!d->ids.n || d->ids.v[d->ids.n - 1] != eos))
            rc = add_ids(l, &eos, 1, e);
        mm_ids_free(&d->ids);
    }
    l->n = 0;
    mm_buf_reset(&l->text);
    return rc;
}

static int add_doc(struct loader *l, const char *s, size_t n, struct mm_err *e)
{
    if (n == 0)
        return 0;
    if (!mm_grow(&l->doc, &l->cap, l->n + 1, sizeof(*l->doc)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    l->doc[l->n++] = (struct doc){ .at = l->text.n, .n = n };
    mm_buf_add(&l->text, s, n);
    if (l->plain)
        mm_buf_char(&l->text, '\n');
    return 0;
}

/* --- files ------------------------------------------------------------------------------ */

static int add_json_line(struct loader *l, const char *s, size_t n, size_t number,
                         struct mm_err *e)
{
    char what[40];
    json_t *j = NULL;
    int rc;

    snprintf(what, sizeof(what), "line %zu", number);
    if ((rc = mm_json_load(&j, s, n, what, e)) < 0)
        return rc;
    const json_t *text = json_object_get(j, "text");
    if (!json_is_string(text))
        rc = mm_err_set(e, MM_EDATA, "%s: no string \"text\"", what);
    else
        rc = add_doc(l, json_string_value(text), json_string_length(text), e);
    json_decref(j);
    return rc;
}

static int add_text(struct loader *l, const char *s, size_t n, struct mm_err *e)
{
    const size_t begin = mm_json_space(s, n, 0);
    const bool json = begin < n && s[begin] == '{';
    size_t number = 0;
    int rc = 0;

    if (!json && !l->s->lines)
        return add_doc(l, s, n, e);
    while (rc == 0 && n > 0) {
        const char *end = memchr(s, '\n', n);
        const size_t len = end ? (size_t)(end - s) : n;

        number++;
        if (!json)
            rc = add_doc(l, s, len, e);
        else if (mm_json_space(s, len, 0) < len)
            rc = add_json_line(l, s, len, number, e);
        s += end ? len + 1 : len;
        n -= end ? len + 1 : len;
    }
    return rc;
}

static int add_tokens(struct loader *l, const struct mm_tensor *t, struct mm_err *e)
{
    const size_t n = mm_tensor_count(t);
    int32_t *v = malloc((n + 1) * sizeof(*v));
    int rc = 0;

    if (!v)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (t->dtype == MM_I64)
        for (size_t i = 0; i < n; i++) {
            const int64_t x = ((const int64_t *)t->data)[i];

            v[i] = x < 0 || x > INT32_MAX ? -1 : (int32_t)x;
        }
    else if (t->dtype == MM_I32)
        memcpy(v, t->data, n * sizeof(*v));
    else
        rc = mm_err_set(e, MM_EDATA, "tokens of type %s: i32 or i64 is wanted",
                        mm_dtype_name(t->dtype));
    if (rc == 0 && t->ndim > 1) {
        const size_t row = (size_t)t->shape[t->ndim - 1];

        if ((l->rows && row != l->c->row) || (!l->rows && l->c->n) || row < 2)
            rc = mixed(row, e);
        l->rows = true;
        l->c->row = row;
    } else if (rc == 0 && l->rows) {
        rc = mixed(l->c->row, e);
    }
    if (rc == 0)
        rc = add_ids(l, v, n, e);
    free(v);
    return rc;
}

static int add_record(struct loader *l, const struct mm_rec *r, struct mm_pool *p,
                      struct mm_err *e)
{
    if (r->type == MM_REC_TEXT && !mm_rec_is_error(r))
        return add_doc(l, r->data, r->size, e);
    if (l->plain || r->type != MM_REC_TENSOR || !mm_rec_is(r, "tokens"))
        return 0;
    const int rc = flush(l, p, e); /* documents keep their order */
    return rc < 0 ? rc : add_tokens(l, &r->t, e);
}

static int add_operand(struct loader *l, const char *path, struct mm_pool *p, struct mm_err *e)
{
    struct mm_operand op = { 0 };
    struct mm_rec rec;
    int rc = mm_operand_open(&op, path, MOST, e);

    if (rc < 0)
        return rc;
    if (op.reader) {
        while ((rc = mm_reader_get(op.reader, &rec, e)) > 0)
            if ((rc = add_record(l, &rec, p, e)) < 0)
                break;
    } else {
        rc = add_text(l, op.bytes.p, op.bytes.n, e);
    }
    if (rc == 0)
        rc = flush(l, p, e);
    if (rc < 0)
        mm_err_prefix(e, "%s", op.what ? op.what : path);
    mm_operand_close(&op);
    return rc;
}

int mm_corpus_load(struct mm_corpus *c, const struct mm_corpus_spec *s, struct mm_pool *p,
                   struct mm_err *e)
{
    struct loader l = { .c = c, .s = s };
    int rc = 0;

    *c = (struct mm_corpus){ .row = s->row };
    for (int i = 0; rc == 0 && i < s->n; i++)
        rc = add_operand(&l, s->path[i], p, e);
    for (size_t i = 0; i < l.n; i++)
        mm_ids_free(&l.doc[i].ids);
    free(l.doc);
    mm_buf_free(&l.text);
    /* a last row of one id predicts nothing */
    c->rows = c->n / c->row + (c->n % c->row > 1);
    if (rc < 0)
        mm_corpus_free(c);
    return rc;
}

int mm_corpus_text(struct mm_buf *text, char *const *path, int n, bool lines, struct mm_err *e)
{
    const struct mm_corpus_spec s = { .lines = lines };
    struct loader l = { .s = &s, .plain = true };
    int rc = 0;

    for (int i = 0; rc == 0 && i < n; i++)
        rc = add_operand(&l, path[i], NULL, e);
    if (rc == 0)
        mm_buf_add(text, l.text.p, l.text.n);
    if (rc == 0 && text->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    free(l.doc);
    mm_buf_free(&l.text);
    return rc;
}

void mm_corpus_free(struct mm_corpus *c)
{
    free(c->ids);
    *c = (struct mm_corpus){ 0 };
}

const int32_t *mm_corpus_row(const struct mm_corpus *c, size_t r, size_t *n)
{
    const size_t at = r * c->row;

    *n = c->n - at < c->row ? c->n - at : c->row;
    return c->ids + at;
}
