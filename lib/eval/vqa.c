/* vqa.c: VQA accuracy and exact match of pairs, see answers.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/answers.h"

enum { OFFICIAL, OPENFLAMINGO, TEXTVQA, EXACT, RULES };

/* What one question has: the answers and what was said, as each scorer sees them. */
struct texts {
    const char *said;
    const char **answer; /* [n] */
    size_t n;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* The first reply of LLaVA's conversations. */
static const json_t *first_reply(const json_t *talk)
{
    size_t i;
    const json_t *turn;

    json_array_foreach(talk, i, turn) {
        const char *from = json_string_value(json_object_get(turn, "from"));

        if (from && strcmp(from, "gpt") == 0)
            return turn;
    }
    return NULL;
}

static const char *answer_text(struct mm_arena *a, const json_t *v)
{
    static const char *const keys[] = { "answer", "value", "text", NULL };
    const char *s = NULL;
    json_t *box = json_object();

    if (json_is_object(v))
        s = mm_eval_id(a, v, keys);
    else if (box && !json_is_array(v) && json_object_set(box, "answer", (json_t *)v) == 0)
        s = mm_eval_id(a, box, keys);
    if (s)
        s = mm_arena_strdup(a, s, strlen(s));
    json_decref(box);
    return s;
}

static int references(struct texts *t, struct mm_arena *a, const json_t *ref, const char *id,
                      struct mm_err *e)
{
    static const char *const keys[] = { "answers", "gt_answers", "references", "answer",
                                        "text",    "caption",    "label",      NULL };
    const json_t *v = first_reply(json_object_get(ref, "conversations"));

    for (size_t i = 0; !v && keys[i]; i++)
        v = json_object_get(ref, keys[i]);
    t->n = json_is_array(v) ? json_array_size(v) : 1;
    t->answer = mm_arena_zalloc(a, (t->n + 1) * sizeof(*t->answer));
    if (!t->answer)
        return no_memory(e);
    for (size_t i = 0; v && i < t->n; i++) {
        t->answer[i] = answer_text(a, json_is_array(v) ? json_array_get(v, i) : v);
        if (!t->answer[i])
            v = NULL;
    }
    return v && t->n ? 0 : mm_err_set(e, MM_EDATA, "reference '%s': no answer", id);
}

typedef int normal_fn(struct mm_buf *b, const char *text, struct mm_err *e);

static int changed(const char **text, struct mm_arena *a, normal_fn *f, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    int rc = f(&b, *text, e);

    if (rc == 0) {
        *text = mm_arena_strdup(a, b.p, b.n);
        rc = *text ? 0 : no_memory(e);
    }
    mm_buf_free(&b);
    return rc;
}

static int normalise(struct texts *to, const struct texts *from, struct mm_arena *a, normal_fn *f,
                     struct mm_err *e)
{
    int rc;

    *to = *from;
    to->answer = mm_arena_alloc(a, (from->n + 1) * sizeof(*to->answer));
    if (!to->answer)
        return no_memory(e);
    memcpy(to->answer, from->answer, from->n * sizeof(*to->answer));
    rc = changed(&to->said, a, f, e);
    for (size_t i = 0; rc == 0 && i < to->n; i++)
        rc = changed(&to->answer[i], a, f, e);
    return rc;
}

/* Only line ends, tabs and the ends: what is compared where nothing is normalised. */
static int plain(struct mm_buf *b, const char *text, struct mm_err *e)
{
    size_t n = strlen(text);

    mm_buf_reset(b);
    while (n && strchr(" \t\r\n\v\f", text[n - 1]))
        n--;
    for (; n && strchr(" \t\r\n\v\f", *text); n--)
        text++;
    for (size_t i = 0; i < n; i++)
        mm_buf_char(b, text[i] == '\n' || text[i] == '\t' ? ' ' : text[i]);
    mm_buf_str(b, "");
    return b->failed ? no_memory(e) : 0;
}

static size_t matches(const struct texts *t)
{
    size_t m = 0;

    for (size_t i = 0; i < t->n; i++)
        m += strcmp(t->answer[i], t->said) == 0;
    return m;
}

/* Each answer left out in turn, a third for each match among the others. */
static double accuracy(const struct texts *t)
{
    const size_t m = matches(t);
    double sum = 0;

    if (t->n < 4)
        return m > 0;
    for (size_t i = 0; i < t->n; i++) {
        const size_t others = m - (strcmp(t->answer[i], t->said) == 0);

        sum += fmin(1.0, (double)others / 3.0);
    }
    return sum / (double)t->n;
}

static bool all_same(const struct texts *t)
{
    for (size_t i = 1; i < t->n; i++)
        if (strcmp(t->answer[i], t->answer[0]) != 0)
            return false;
    return true;
}

static int score(double *s, const struct mm_eval_pairs *p, size_t i, struct mm_arena *a,
                 struct mm_err *e)
{
    struct texts raw, flat, norm, text;
    int rc = mm_eval_text(&raw.said, a, p->pred[i], p->id[i], e);

    if (rc == 0)
        rc = references(&raw, a, p->ref[i], p->id[i], e);
    if (rc == 0)
        rc = normalise(&flat, &raw, a, plain, e);
    if (rc == 0)
        rc = normalise(&norm, &raw, a, mm_eval_normal, e);
    if (rc == 0)
        rc = normalise(&text, &raw, a, mm_eval_normal_textvqa, e);
    if (rc < 0)
        return rc;
    s[OPENFLAMINGO] = accuracy(&norm);
    /* one reference is no vote: it is compared as the ones that differ are */
    s[OFFICIAL] = raw.n > 1 && all_same(&flat) ? accuracy(&flat) : s[OPENFLAMINGO];
    s[TEXTVQA] = accuracy(&text);
    s[EXACT] = matches(&norm) > 0;
    return 0;
}

/* out[name][type] = 100 * mean of the items of that type. */
static int by_type(json_t *out, const char *name, const struct mm_eval_pairs *p, const double *x,
                   const char *const *keys, struct mm_err *e)
{
    json_t *sums = json_object();
    json_t *table = json_object();
    const char *type;
    json_t *v;
    int rc = sums && table ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const char *t = NULL;

        for (size_t k = 0; !t && keys[k]; k++)
            t = json_string_value(json_object_get(p->ref[i], keys[k]));
        if (!t)
            continue;
        v = json_object_get(sums, t);
        v = v ? json_pack("[f,f]", json_real_value(json_array_get(v, 0)) + x[i],
                          json_real_value(json_array_get(v, 1)) + 1)
              : json_pack("[f,f]", x[i], 1.0);
        rc = json_object_set_new(sums, t, v) < 0 ? no_memory(e) : 0;
    }
    json_object_foreach(sums, type, v) {
        const double mean = 100 * json_real_value(json_array_get(v, 0)) /
                            json_real_value(json_array_get(v, 1));

        if (rc == 0 && json_object_set_new(table, type, mm_eval_real(mean, 2)) < 0)
            rc = no_memory(e);
    }
    if (rc == 0 && json_object_size(table) > 0 && json_object_set(out, name, table) < 0)
        rc = no_memory(e);
    json_decref(sums);
    json_decref(table);
    return rc;
}

static int per_question(json_t *out, const char *name, const double *x, size_t n, int digits,
                        struct mm_err *e)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, mm_eval_real(100 * x[i], digits));
    return json_object_set_new(out, name, list) < 0 ? no_memory(e) : 0;
}

static const struct {
    const char *name;
    int digits;
} rules[] = { { "official", 2 }, { "openflamingo", 2 }, { "textvqa_llava", -1 } };

static int report(json_t *out, const struct mm_eval_pairs *p, double *const *x,
                  const struct mm_eval_boot *b, struct mm_err *e)
{
    static const char *const question[] = { "question_type", "type", "category", NULL };
    static const char *const answer[] = { "answer_type", NULL };
    char name[60];
    int rc = 0;

    for (size_t r = 0; rc == 0 && r < 3; r++) {
        snprintf(name, sizeof(name), "%s_overall", rules[r].name);
        rc = mm_eval_put(out, name, mm_eval_mean, x[r], p->n, rules[r].digits, b, e);
        snprintf(name, sizeof(name), "%s_per_question_type", rules[r].name);
        if (rc == 0)
            rc = by_type(out, name, p, x[r], question, e);
        snprintf(name, sizeof(name), "%s_per_answer_type", rules[r].name);
        if (rc == 0)
            rc = by_type(out, name, p, x[r], answer, e);
        snprintf(name, sizeof(name), "%s_per_question", rules[r].name);
        if (rc == 0)
            rc = per_question(out, name, x[r], p->n, rules[r].digits, e);
    }
    if (rc == 0)
        rc = mm_eval_put(out, "exact_match_any_reference", mm_eval_mean, x[EXACT], p->n, -1, b, e);
    return rc;
}

int mm_eval_vqa(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                const struct mm_eval_boot *b, struct mm_err *e)
{
    double *x[RULES];
    int rc = 0;

    for (size_t r = 0; r < RULES; r++) {
        x[r] = mm_arena_zalloc(a, p->n * sizeof(double));
        if (!x[r])
            return no_memory(e);
    }
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const struct mm_arena_mark m = mm_arena_mark(a);
        double s[RULES];

        rc = score(s, p, i, a, e);
        mm_arena_release(a, m);
        for (size_t r = 0; rc == 0 && r < RULES; r++)
            x[r][i] = s[r];
    }
    if (rc == 0 && json_object_set_new(out, "n", json_integer((json_int_t)p->n)) < 0)
        rc = no_memory(e);
    return rc == 0 ? report(out, p, x, b, e) : rc;
}

int mm_eval_exact(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                  const struct mm_eval_boot *b, struct mm_err *e)
{
    double *x = mm_arena_zalloc(a, 2 * p->n * sizeof(double));
    int rc = x ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const struct mm_arena_mark m = mm_arena_mark(a);
        struct texts raw, flat, norm;

        rc = mm_eval_text(&raw.said, a, p->pred[i], p->id[i], e);
        if (rc == 0)
            rc = references(&raw, a, p->ref[i], p->id[i], e);
        if (rc == 0)
            rc = normalise(&flat, &raw, a, plain, e);
        if (rc == 0)
            rc = normalise(&norm, &raw, a, mm_eval_normal, e);
        if (rc == 0) {
            x[i] = matches(&flat) > 0;
            x[p->n + i] = matches(&norm) > 0;
        }
        mm_arena_release(a, m);
    }
    if (rc == 0 && json_object_set_new(out, "n", json_integer((json_int_t)p->n)) < 0)
        rc = no_memory(e);
    if (rc == 0)
        rc = mm_eval_put(out, "exact_match", mm_eval_mean, x, p->n, -1, b, e);
    if (rc == 0)
        rc = mm_eval_put(out, "exact_match_normalized", mm_eval_mean, x + p->n, p->n, -1, b, e);
    return rc;
}
