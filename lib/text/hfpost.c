/* hfpost.c: all post-processors become two lists of elements, one for a text and
 * one for a pair. */
#include "text/hfpost.h"

#include <stdlib.h>
#include <string.h>

#include "text/hfparse.h"

enum { TEXT_A = -1, TEXT_B = -2 }; /* elements below 0; others are ids */

struct mm_hfpost {
    struct mm_ids single, pair;
    bool templated; /* by a TemplateProcessing: nothing but ByteLevel may follow */
    const struct mm_tok *t;
};

static int add(struct mm_ids *ids, int32_t v, struct mm_err *e)
{
    return mm_ids_add(ids, v) < 0 ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

/* Put `first` before and `last` behind the element `text` (ids, -1: nothing). */
static int surround(struct mm_ids *list, int32_t text, int32_t first, int32_t last,
                    struct mm_err *e)
{
    struct mm_ids out = { 0 };
    int r = 0;

    for (size_t i = 0; i < list->n && r == 0; i++) {
        const bool here = list->v[i] == text;
        if (here && first >= 0)
            r = add(&out, first, e);
        if (r == 0)
            r = add(&out, list->v[i], e);
        if (r == 0 && here && last >= 0)
            r = add(&out, last, e);
    }
    if (r < 0) {
        mm_ids_free(&out);
        return r;
    }
    mm_ids_free(list);
    *list = out;
    return 0;
}

static int known_id(const struct mm_hfpost *p, const json_t *j, int32_t *id, struct mm_err *e)
{
    const json_int_t i = json_integer_value(j);

    if (!json_is_integer(j) || i < 0 || (unsigned long long)i >= p->t->vocab.n ||
        !p->t->vocab.v[i].s)
        return mm_err_set(e, MM_EDATA, "special token without an id of the vocabulary");
    *id = (int32_t)i;
    return 0;
}

/* BertProcessing [CLS] A [SEP] B [SEP]; RobertaProcessing <s> A </s></s> B </s>. */
static int add_cls_sep(struct mm_hfpost *p, const json_t *j, bool roberta, struct mm_err *e)
{
    int32_t cls, sep;
    int r;

    if ((r = known_id(p, json_array_get(json_object_get(j, "cls"), 1), &cls, e)) < 0 ||
        (r = known_id(p, json_array_get(json_object_get(j, "sep"), 1), &sep, e)) < 0 ||
        (r = surround(&p->single, TEXT_A, cls, sep, e)) < 0 ||
        (r = surround(&p->pair, TEXT_A, cls, sep, e)) < 0)
        return r;
    return surround(&p->pair, TEXT_B, roberta ? sep : -1, sep, e);
}

/* The ids of {"SpecialToken": {"id": name}} as the table of the template has them. */
static int add_named(struct mm_hfpost *p, struct mm_ids *out, const json_t *piece,
                     const json_t *table, struct mm_err *e)
{
    const char *name = json_string_value(json_object_get(piece, "id"));
    const json_t *ids = name ? json_object_get(json_object_get(table, name), "ids") : NULL;
    int32_t id;
    int r = 0;

    if (!json_is_array(ids))
        return mm_err_set(e, MM_EDATA, "special token '%s' is not described", name ? name : "");
    for (size_t i = 0; i < json_array_size(ids) && r == 0; i++)
        if ((r = known_id(p, json_array_get(ids, i), &id, e)) == 0)
            r = add(out, id, e);
    return r;
}

static int add_list(struct mm_ids *out, const struct mm_ids *from, struct mm_err *e)
{
    int r = 0;

    for (size_t i = 0; i < from->n && r == 0; i++)
        r = add(out, from->v[i], e);
    return r;
}

/* One list of a template. */
static int parse_template(struct mm_hfpost *p, struct mm_ids *list, const json_t *j,
                          const json_t *table, struct mm_err *e)
{
    int r = 0;

    if (!json_is_array(j))
        return mm_err_set(e, MM_EDATA, "template is no list");
    for (size_t i = 0; i < json_array_size(j) && r == 0; i++) {
        const json_t *piece = json_array_get(j, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const json_t *seq = json_object_get(piece, "Sequence");
        const char *name = json_string_value(json_object_get(seq, "id"));
        if (special)
            r = add_named(p, list, special, table, e);
        else if (name && strcmp(name, "A") == 0)
            r = add(list, TEXT_A, e);
        else if (name && strcmp(name, "B") == 0)
            r = add(list, TEXT_B, e);
        else
            r = mm_err_set(e, MM_EDATA, "piece %zu of a template is neither a text nor a token", i);
    }
    return r;
}

static int add_template(struct mm_hfpost *p, const json_t *j, struct mm_err *e)
{
    const json_t *table = json_object_get(j, "special_tokens");
    struct mm_ids single = { 0 }, pair = { 0 };
    int r;

    if (p->single.n != 1 || p->pair.n != 2) /* more has been put around already */
        return mm_err_set(e, MM_EMISSING, "a template after another processor is not supported");
    r = parse_template(p, &single, json_object_get(j, "single"), table, e);
    if (r == 0)
        r = parse_template(p, &pair, json_object_get(j, "pair"), table, e);
    if (r < 0) {
        mm_ids_free(&single);
        mm_ids_free(&pair);
        return r;
    }
    mm_ids_free(&p->single);
    mm_ids_free(&p->pair);
    p->single = single;
    p->pair = pair;
    p->templated = true;
    return 0;
}

static int add_step(void *arg, const char *type, const json_t *j, struct mm_err *e)
{
    struct mm_hfpost *p = arg;

    if (strcmp(type, "ByteLevel") == 0) /* offsets only */
        return 0;
    if (p->templated)
        return mm_err_set(e, MM_EMISSING, "a processor after a template is not supported");
    if (strcmp(type, "TemplateProcessing") == 0)
        return add_template(p, j, e);
    if (strcmp(type, "BertProcessing") == 0)
        return add_cls_sep(p, j, false, e);
    if (strcmp(type, "RobertaProcessing") == 0)
        return add_cls_sep(p, j, true, e);
    return mm_hf_unknown("post-processor", type, e);
}

/* One that adds nothing. */
static int new_plain(struct mm_hfpost **out, const struct mm_tok *t, struct mm_err *e)
{
    struct mm_hfpost *p = calloc(1, sizeof(*p));

    if (!p || mm_ids_add(&p->single, TEXT_A) < 0 || mm_ids_add(&p->pair, TEXT_A) < 0 ||
        mm_ids_add(&p->pair, TEXT_B) < 0) {
        mm_hfpost_free(p);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    p->t = t;
    *out = p;
    return 0;
}

int mm_hfpost_new(struct mm_hfpost **out, const struct mm_tok *t, const json_t *j,
                  struct mm_err *e)
{
    struct mm_hfpost *p;
    int r = new_plain(&p, t, e);

    if (r < 0)
        return r;
    r = mm_hf_steps(j, "processors", add_step, p, e);
    if (r < 0) {
        mm_hfpost_free(p);
        return mm_err_prefix(e, "post_processor");
    }
    *out = p;
    return 0;
}

int mm_hfpost_marks(struct mm_hfpost **out, int32_t first, int32_t last, struct mm_err *e)
{
    struct mm_hfpost *p;
    int r = new_plain(&p, NULL, e);

    if (r < 0)
        return r;
    if ((r = surround(&p->single, TEXT_A, first, last, e)) < 0 ||
        (r = surround(&p->pair, TEXT_A, first, last, e)) < 0 ||
        (r = surround(&p->pair, TEXT_B, first, last, e)) < 0) {
        mm_hfpost_free(p);
        return r;
    }
    *out = p;
    return 0;
}

void mm_hfpost_free(struct mm_hfpost *p)
{
    if (!p)
        return;
    mm_ids_free(&p->single);
    mm_ids_free(&p->pair);
    free(p);
}

int32_t mm_hfpost_first(const struct mm_hfpost *p)
{
    return p->single.n > 0 && p->single.v[0] >= 0 ? p->single.v[0] : -1;
}

int32_t mm_hfpost_last(const struct mm_hfpost *p)
{
    const size_t n = p->single.n;

    return n > 0 && p->single.v[n - 1] >= 0 ? p->single.v[n - 1] : -1;
}

int mm_hfpost_wrap(const struct mm_hfpost *p, struct mm_ids *out, const struct mm_ids *a,
                   const struct mm_ids *b, struct mm_err *e)
{
    const struct mm_ids *list = b ? &p->pair : &p->single;
    int r = 0;

    for (size_t i = 0; i < list->n && r == 0; i++) {
        const int32_t v = list->v[i];
        if (v >= 0)
            r = add(out, v, e);
        else if (v == TEXT_A || b)
            r = add_list(out, v == TEXT_A ? a : b, e);
    }
    return r;
}
