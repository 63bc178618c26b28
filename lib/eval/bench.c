/* bench.c: LLaVA-Bench (Liu 2023): a judge's scores of two assistants, see choice.h. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/choice.h"

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* A decimal number and nothing else but white space around it. */
static bool number(double *x, const char *s, size_t n)
{
    char text[40];
    char *end;

    for (; n && isspace((unsigned char)*s); n--)
        s++;
    for (; n && isspace((unsigned char)s[n - 1]); n--)
        ;
    if (n == 0 || n >= sizeof(text) || strspn(s, "0123456789.+-eE") < n)
        return false;
    memcpy(text, s, n);
    text[n] = '\0';
    *x = strtod(text, &end);
    return *end == '\0' && isfinite(*x);
}

bool mm_eval_scores(double pair[2], const char *review)
{
    const size_t n = strcspn(review, "\n");
    const size_t cut = strcspn(review, " ,\n");

    if (cut < n && strcspn(review + cut + 1, " ,\n") == n - cut - 1 &&
        number(&pair[0], review, cut) && number(&pair[1], review + cut + 1, n - cut - 1))
        return true;
    pair[0] = pair[1] = -1;
    return false;
}

/* Scores of reviews, and which of them count in a summary. */
struct judged {
    const double (*pair)[2];
    const char *const *category;
    const char *only; /* NULL: every one */
    bool failures;    /* count them in */
};

static bool counts(const struct judged *j, size_t i)
{
    return (!j->only || strcmp(j->category[i], j->only) == 0) &&
           (j->failures || j->pair[i][0] >= 0);
}

static void means(double m[2], const size_t *pick, size_t n, const struct judged *j)
{
    size_t k = 0;

    m[0] = m[1] = 0;
    for (size_t i = 0; i < n; i++) {
        if (!counts(j, pick ? pick[i] : i))
            continue;
        m[0] += j->pair[pick ? pick[i] : i][0];
        m[1] += j->pair[pick ? pick[i] : i][1];
        k++;
    }
    m[0] /= (double)k;
    m[1] /= (double)k;
}

static double relative(const size_t *pick, size_t n, const void *ctx)
{
    double m[2];

    means(m, pick, n, ctx);
    return m[1] / m[0] * 100;
}

static int summary(json_t *out, const char *name, const struct judged *j, size_t n,
                   const struct mm_eval_boot *b, struct mm_err *e)
{
    double m[2];
    json_t *row = json_array();

    means(m, NULL, n, j);
    json_array_append_new(row, mm_eval_real(m[1] / m[0] * 100, 1));
    if (j->failures) {
        json_array_append_new(row, mm_eval_real(m[0] * 10, 1));
        json_array_append_new(row, mm_eval_real(m[1] * 10, 1));
    }
    if (b->samples && mm_eval_put(out, name, relative, j, n, 1, b, e) < 0) {
        json_decref(row);
        return e->code;
    }
    return json_object_set_new(out, name, row) < 0 ? no_memory(e) : 0;
}

static int read_review(double pair[2], const char **category, const json_t *r, size_t i,
                       struct mm_err *e)
{
    static const char *const keys[] = { "content", "text", "review", NULL };
    const json_t *tuple = json_object_get(r, "tuple");
    const char *text = NULL;

    for (size_t k = 0; !text && keys[k]; k++)
        text = json_string_value(json_object_get(r, keys[k]));
    *category = json_string_value(json_object_get(r, "category"));
    if (!*category)
        *category = "";
    if (text) {
        mm_eval_scores(pair, text);
        return 0;
    }
    if (json_array_size(tuple) != 2 || !json_is_number(json_array_get(tuple, 0)) ||
        !json_is_number(json_array_get(tuple, 1)))
        return mm_err_set(e, MM_EDATA, "review %zu: no content and no tuple", i + 1);
    pair[0] = json_number_value(json_array_get(tuple, 0));
    pair[1] = json_number_value(json_array_get(tuple, 1));
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int categories(json_t *out, struct judged *j, size_t n, struct mm_arena *a,
                      const struct mm_eval_boot *b, struct mm_err *e)
{
    const char **sorted = mm_arena_alloc(a, n * sizeof(*sorted));
    int rc = sorted ? 0 : no_memory(e);

    if (rc == 0) {
        memcpy(sorted, j->category, n * sizeof(*sorted));
        qsort(sorted, n, sizeof(*sorted), by_name);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (!*sorted[i] || (i && strcmp(sorted[i], sorted[i - 1]) == 0))
            continue;
        j->only = sorted[i];
        rc = summary(out, sorted[i], j, n, b, e);
    }
    j->only = NULL;
    return rc;
}

int mm_eval_bench(json_t *out, const json_t *reviews, struct mm_arena *a,
                  const struct mm_eval_boot *b, struct mm_err *e)
{
    const size_t n = json_array_size(reviews);
    double (*pair)[2] = mm_arena_alloc(a, (n + 1) * sizeof(*pair));
    const char **category = mm_arena_alloc(a, (n + 1) * sizeof(*category));
    json_t *parsed = json_array();
    json_int_t failures = 0;
    struct judged j = { .failures = true };
    int rc = pair && category && parsed ? 0 : no_memory(e);

    if (rc == 0 && n == 0)
        rc = mm_err_set(e, MM_EDATA, "nothing to score");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = read_review(pair[i], &category[i], json_array_get(reviews, i), i, e);
        failures += rc == 0 && pair[i][0] < 0;
        json_array_append_new(parsed, rc == 0 ? json_pack("[f,f]", pair[i][0], pair[i][1])
                                              : json_null());
    }
    j.pair = (const double(*)[2])pair;
    j.category = category;
    if (rc == 0)
        rc = summary(out, "all", &j, n, b, e);
    if (rc == 0)
        rc = categories(out, &j, n, a, b, e);
    j.failures = false;
    if (rc == 0)
        rc = summary(out, "all_without_failures", &j, n, b, e);
    if (rc == 0 && json_object_set_new(out, "failures", json_integer(failures)) < 0)
        rc = no_memory(e);
    if (rc == 0)
        return json_object_set_new(out, "parsed", parsed) < 0 ? no_memory(e) : 0;
    json_decref(parsed);
    return rc;
}
