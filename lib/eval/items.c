/* items.c: see items.h.  A jansson object serves as the table of ids. */
#include "eval/items.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>

#include "base/buf.h"
#include "base/io.h"

const char *const mm_eval_ids[] = { "question_id", "id", "image_id", "source", "image", NULL };
const char *const mm_eval_image_ids[] = { "image_id", "id", "source", "image", NULL };

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* --- reading --------------------------------------------------------------------------- */

static bool blank(const char *s, size_t n)
{
    return strspn(s, " \t\r\n") >= n;
}

/* A model may say NUL, which jansson refuses: it becomes U+FFFD. */
static void replace_nul(char *s, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (s[i] == '\\') {
            if (i + 6 <= n && memcmp(s + i, "\\u0000", 6) == 0)
                memcpy(s + i, "\\ufffd", 6);
            i++;
        }
}

static int read_lines(json_t *list, const char *text, size_t n, const char *path,
                      struct mm_err *e)
{
    size_t line = 0;

    for (size_t i = 0; i < n; line++) {
        const char *nl = memchr(text + i, '\n', n - i);
        const size_t len = nl ? (size_t)(nl - text) - i : n - i;
        json_t *obj;

        if (!blank(text + i, len)) {
            if (mm_json_load(&obj, text + i, len, path, NULL) < 0)
                return mm_err_set(e, MM_EDATA, "%s: line %zu: not a JSON object", path, line + 1);
            if (json_array_append_new(list, obj) < 0)
                return no_memory(e);
        }
        i += len + 1;
    }
    return 0;
}

/* The list inside a whole document. */
static int unwrap(json_t *list, json_t *doc, struct mm_err *e)
{
    static const char *const inner[] = { "annotations", "questions", "data", NULL };
    const char *key;
    json_t *v;
    bool all = json_object_size(doc) > 0;

    if (json_is_array(doc))
        return json_array_extend(list, doc) < 0 ? no_memory(e) : 0;
    for (size_t i = 0; inner[i] && !json_object_get(doc, "id"); i++) /* else it is one item */
        if (json_is_array(v = json_object_get(doc, inner[i])))
            return json_array_extend(list, v) < 0 ? no_memory(e) : 0;
    json_object_foreach(doc, key, v) all = all && json_is_object(v);
    if (!all)
        return json_array_append(list, doc) < 0 ? no_memory(e) : 0;
    json_object_foreach(doc, key, v) {
        if (!json_object_get(v, "id") && json_object_set_new(v, "id", json_string(key)) < 0)
            return no_memory(e);
        if (json_array_append(list, v) < 0)
            return no_memory(e);
    }
    return 0;
}

static bool is_lines(const char *text, size_t n, const char *path)
{
    const char *start = text + strspn(text, " \t\r\n");
    const char *nl = memchr(start, '\n', n - (size_t)(start - text));
    json_t *first = NULL;

    if (*start != '{' || !nl || blank(nl, n - (size_t)(nl - text)))
        return false;
    if (mm_json_load(&first, start, (size_t)(nl - start), path, NULL) < 0)
        return false;
    json_decref(first);
    return true;
}

int mm_eval_load(json_t **list, const char *path, struct mm_err *e)
{
    json_t *doc = NULL;
    char *text = NULL;
    size_t n;
    int rc = mm_io_slurp(path, (size_t)1 << 30, &text, &n, e);

    *list = json_array();
    if (rc == 0 && !*list)
        rc = no_memory(e);
    if (rc == 0)
        replace_nul(text, n);
    if (rc == 0 && is_lines(text, n, path)) {
        rc = read_lines(*list, text, n, path, e);
    } else if (rc == 0) {
        rc = mm_json_load(&doc, text, n, path, e);
        if (rc == 0)
            rc = unwrap(*list, doc, e);
    }
    for (size_t i = 0; rc == 0 && i < json_array_size(*list); i++)
        if (!json_is_object(json_array_get(*list, i)))
            rc = mm_err_set(e, MM_EDATA, "%s: entry %zu is not an object", path, i + 1);
    json_decref(doc);
    free(text);
    if (rc < 0) {
        json_decref(*list);
        *list = NULL;
    }
    return rc;
}

/* --- ids and texts ------------------------------------------------------------------------ */

static const char *as_text(struct mm_arena *a, const json_t *v)
{
    char number[40];

    if (json_is_array(v) && json_array_size(v) == 1)
        v = json_array_get(v, 0);
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof(number), "%.15g", json_real_value(v));
    else
        return NULL;
    return mm_arena_strdup(a, number, strlen(number));
}

const char *mm_eval_id(struct mm_arena *a, const json_t *obj, const char *const *keys)
{
    for (size_t i = 0; keys[i]; i++) {
        const char *id = as_text(a, json_object_get(obj, keys[i]));

        if (id)
            return id;
    }
    return NULL;
}

static const char *const texts[] = { "text", "answer", "caption", "prediction", "pred_answer", NULL };

int mm_eval_text(const char **text, struct mm_arena *a, const json_t *obj, const char *what,
                 struct mm_err *e)
{
    *text = mm_eval_id(a, obj, texts);
    if (*text)
        return 0;
    if (json_object_get(obj, "error"))
        return mm_err_set(e, MM_EDATA, "'%s': the item failed, there is no answer", what);
    return mm_err_set(e, MM_EDATA, "'%s': no text, answer or caption", what);
}

/* --- pairs -------------------------------------------------------------------------------- */

static int put(json_t *table, const char *id, size_t i, struct mm_err *e)
{
    if (json_object_get(table, id))
        return mm_err_set(e, MM_EDATA, "id '%s' comes twice", id);
    return json_object_set_new(table, id, json_integer((json_int_t)i)) < 0 ? no_memory(e) : 0;
}

/* Other names of the references: their picture, where only one has it (-1 marks two). */
static int put_images(json_t *alias, struct mm_arena *a, const json_t *refs, struct mm_err *e)
{
    static const char *const image[] = { "image", "file_name", "source", NULL };

    for (size_t i = 0; i < json_array_size(refs); i++) {
        const char *name = mm_eval_id(a, json_array_get(refs, i), image);
        const char *base = name ? strrchr(name, '/') : NULL;
        const char *names[2] = { name, base ? base + 1 : NULL };

        for (size_t k = 0; k < 2 && names[k]; k++) {
            const bool twice = json_object_get(alias, names[k]) != NULL;

            if (json_object_set_new(alias, names[k], json_integer(twice ? -1 : (json_int_t)i)) < 0)
                return no_memory(e);
        }
    }
    return 0;
}

/* The question in a prompt of LLaVA's for TextVQA: text, words that were read in the picture
 * before or after it or none, "Answer ..."; its scorer goes by the same lines. */
static size_t question_in(const char **prompt)
{
    const char *from = *prompt, *ask = strstr(from, "Question: "), *end;

    if (strncmp(from, "OCR tokens: ", 12) == 0 && ask && (end = strstr(ask, " Short answer:"))) {
        *prompt = ask + 10;
        return (size_t)(end - *prompt);
    }
    if (strncmp(from, "Reference OCR token:", 20) == 0 && strchr(from, '\n'))
        *prompt = strchr(from, '\n') + 1;
    return strcspn(*prompt, "\n");
}

/* "image_id LF question", in lower case, in the arena; NULL: out of memory. */
static const char *asked_key(struct mm_arena *a, const char *image, const char *q, size_t n)
{
    struct mm_buf b = { 0 };
    size_t len = 0;
    char *low = (char *)u8_tolower((const uint8_t *)q, n, NULL, NULL, NULL, &len);
    const char *key = NULL;

    mm_buf_printf(&b, "%s\n", image);
    if (low)
        mm_buf_add(&b, low, len);
    if (low && !b.failed)
        key = mm_arena_strdup(a, b.p, b.n);
    free(low);
    mm_buf_free(&b);
    return key;
}

/* References by picture and question, for predictions that go by them (-1 marks two). */
static int put_asked(json_t *asked, struct mm_arena *a, const json_t *refs, struct mm_err *e)
{
    static const char *const image[] = { "image_id", NULL };

    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *ref = json_array_get(refs, i);
        const char *id = mm_eval_id(a, ref, image);
        const char *q = json_string_value(json_object_get(ref, "question"));
        const char *key = id && q ? asked_key(a, id, q, strlen(q)) : "";

        if (!key)
            return no_memory(e);
        if (*key && json_object_set_new(asked, key,
                                        json_integer(json_object_get(asked, key) ? -1
                                                                                 : (json_int_t)i)) < 0)
            return no_memory(e);
    }
    return 0;
}

static const json_t *find_asked(const json_t *asked, struct mm_arena *a, const json_t *pred,
                                const char *id)
{
    const char *prompt = json_string_value(json_object_get(pred, "prompt"));
    const size_t n = prompt ? question_in(&prompt) : 0;
    const char *key = prompt ? asked_key(a, id, prompt, n) : NULL;

    return key ? json_object_get(asked, key) : NULL;
}

/* Which reference a prediction means: by id, else its source's path, name or stem. */
static const json_t *find(const json_t *ids, const json_t *alias, struct mm_arena *a,
                          const char *id)
{
    const char *base = strrchr(id, '/');
    const char *dot;
    const json_t *v = json_object_get(ids, id);

    base = base ? base + 1 : id;
    if (!v)
        v = json_object_get(alias, id);
    if (!v)
        v = json_object_get(ids, base);
    if (!v)
        v = json_object_get(alias, base);
    dot = strrchr(base, '.');
    if (!v && dot) {
        const char *stem = mm_arena_strdup(a, base, (size_t)(dot - base));

        v = stem ? json_object_get(ids, stem) : NULL;
    }
    return v;
}

static int alloc(struct mm_eval_pairs *p, struct mm_arena *a, size_t n, struct mm_err *e)
{
    p->n = n;
    p->ref = mm_arena_zalloc(a, n * sizeof(*p->ref));
    p->pred = mm_arena_zalloc(a, n * sizeof(*p->pred));
    p->id = mm_arena_zalloc(a, n * sizeof(*p->id));
    return p->ref && p->pred && p->id ? 0 : no_memory(e);
}

static bool without_ids(struct mm_arena *a, const json_t *list, const char *const *keys)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (mm_eval_id(a, json_array_get(list, i), keys))
            return false;
    return true;
}

static int by_order(struct mm_eval_pairs *p, const json_t *refs, const json_t *preds,
                    struct mm_err *e)
{
    if (json_array_size(preds) != p->n)
        return mm_err_set(e, MM_EDATA, "%zu predictions for %zu references, and no ids",
                          json_array_size(preds), p->n);
    for (size_t i = 0; i < p->n; i++) {
        p->id[i] = "";
        p->ref[i] = json_array_get(refs, i);
        p->pred[i] = json_array_get(preds, i);
    }
    return 0;
}

/* Names of references: numbers by their ids, by their pictures, by picture and question. */
struct names {
    json_t *ids, *alias, *asked;
};

static int place(struct mm_eval_pairs *p, struct mm_arena *a, const json_t *preds,
                 const char *const *keys, const struct names *names,
                 enum mm_eval_missing missing, struct mm_err *e)
{
    for (size_t i = 0; i < json_array_size(preds); i++) {
        const json_t *obj = json_array_get(preds, i);
        const char *id = mm_eval_id(a, obj, keys);
        const json_t *v;
        json_int_t at;

        if (!id)
            return mm_err_set(e, MM_EDATA, "prediction %zu has no id", i + 1);
        v = find(names->ids, names->alias, a, id);
        if (!v)
            v = find_asked(names->asked, a, obj, id);
        if (!v)
            return mm_err_set(e, MM_EDATA, "prediction '%s': no reference has this id", id);
        at = json_integer_value(v);
        if (at < 0)
            return mm_err_set(e, MM_EDATA, "prediction '%s': several references have this picture",
                              id);
        if (p->pred[at])
            return mm_err_set(e, MM_EDATA, "prediction '%s' comes twice", id);
        if (missing != MM_EVAL_REFUSE && json_object_get(obj, "error") && !mm_eval_id(a, obj, texts))
            continue; /* the item failed */
        p->pred[at] = obj;
    }
    return 0;
}

static int check_missing(struct mm_eval_pairs *p, enum mm_eval_missing missing, struct mm_err *e)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (!p->pred[i] && missing == MM_EVAL_REFUSE)
            return mm_err_set(e, MM_EDATA, "reference '%s': no prediction", p->id[i]);
        if (!p->pred[i] && missing == MM_EVAL_DROP)
            continue;
        p->ref[n] = p->ref[i];
        p->pred[n] = p->pred[i];
        p->id[n++] = p->id[i];
    }
    p->n = n;
    return 0;
}

int mm_eval_pair(struct mm_eval_pairs *p, struct mm_arena *a, const json_t *refs,
                 const json_t *preds, const char *const *keys, enum mm_eval_missing missing,
                 struct mm_err *e)
{
    const struct names names = { json_object(), json_object(), json_object() };
    int rc = names.ids && names.alias && names.asked ? alloc(p, a, json_array_size(refs), e)
                                                     : no_memory(e);

    if (rc == 0 && without_ids(a, refs, keys)) {
        rc = by_order(p, refs, preds, e);
        goto out;
    }
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        p->ref[i] = json_array_get(refs, i);
        p->id[i] = mm_eval_id(a, p->ref[i], keys);
        rc = p->id[i] ? put(names.ids, p->id[i], i, e)
                      : mm_err_set(e, MM_EDATA, "reference %zu has no id", i + 1);
    }
    if (rc == 0)
        rc = put_images(names.alias, a, refs, e);
    if (rc == 0)
        rc = put_asked(names.asked, a, refs, e);
    if (rc == 0)
        rc = place(p, a, preds, keys, &names, missing, e);
    if (rc == 0)
        rc = check_missing(p, missing, e);
out:
    if (rc == 0 && p->n == 0)
        rc = mm_err_set(e, MM_EDATA, "nothing to score");
    json_decref(names.ids);
    json_decref(names.alias);
    json_decref(names.asked);
    return rc;
}
