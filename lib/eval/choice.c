/* choice.c: ScienceQA, POPE, ROC and ranks, see choice.h. */
#include "eval/choice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

static int put_new(json_t *out, const char *name, json_t *v, struct mm_err *e)
{
    return json_object_set_new(out, name, v) < 0 ? no_memory(e) : 0;
}

/* --- ScienceQA (Lu 2022) ------------------------------------------------------------------- */

int mm_eval_letter(const char *text, size_t n)
{
    static const char phrase[] = "The answer is ";
    int found = -1;
    size_t times = 0;

    if (n > 5)
        n = 5;
    if (text[0] >= 'A' && text[0] <= 'E' &&
        (text[1] == '\0' || (text[1] == '.' && text[2] == ' '))) {
        found = text[0] - 'A';
        return found < (int)n ? found : -1;
    }
    for (const char *s = text; (s = strstr(s, phrase)) != NULL;) {
        s += sizeof(phrase) - 1;
        if (*s >= 'A' && *s <= 'Z' && s[1] != '\0' && s[1] != '\n') {
            found = *s - 'A';
            times++;
        }
    }
    return times == 1 && found < (int)n ? found : -1;
}

enum { NAT, SOC, LAN, TXT, IMG, NO, LOW, HIGH, AVERAGE, GROUPS };
static const char *const groups[GROUPS] = { "NAT", "SOC", "LAN", "TXT", "IMG", "NO", "G1-6",
                                            "G7-12", "average" };

struct problem {
    size_t choices;
    int answer;
    unsigned groups; /* a bit each */
};

static int read_problem(struct problem *q, const json_t *o, const char *id, struct mm_err *e)
{
    static const char *const subjects[] = { "natural science", "social science",
                                            "language science" };
    const char *subject = json_string_value(json_object_get(o, "subject"));
    const char *grade = json_string_value(json_object_get(o, "grade"));
    const char *hint = json_string_value(json_object_get(o, "hint"));
    const json_t *image = json_object_get(o, "image");
    const json_t *answer = json_object_get(o, "answer");
    const bool picture = image && !json_is_null(image);
    long g;

    q->choices = json_array_size(json_object_get(o, "choices"));
    if (q->choices == 0 || !json_is_integer(answer) || json_integer_value(answer) < 0 ||
        json_integer_value(answer) >= (json_int_t)q->choices)
        return mm_err_set(e, MM_EDATA, "problem '%s': no choices, or no answer among them", id);
    q->answer = (int)json_integer_value(answer);
    q->groups = 1u << AVERAGE;
    for (unsigned i = 0; subject && i < 3; i++)
        q->groups |= strcmp(subject, subjects[i]) == 0 ? 1u << (NAT + i) : 0;
    q->groups |= hint && *hint ? 1u << TXT : 0;
    q->groups |= picture ? 1u << IMG : 0;
    q->groups |= !picture && !(hint && *hint) ? 1u << NO : 0;
    g = grade && strncmp(grade, "grade", 5) == 0 ? strtol(grade + 5, NULL, 10) : 0;
    q->groups |= g >= 1 && g <= 6 ? 1u << LOW : g >= 7 && g <= 12 ? 1u << HIGH : 0;
    return 0;
}

/* choice[i] of every answer; -1 where there is none. */
static int letters(int *choice, const struct mm_eval_pairs *p, const struct problem *q,
                   struct mm_arena *a, struct mm_err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        const char *text;

        choice[i] = -1;
        if (!p->pred[i])
            continue;
        if (mm_eval_text(&text, a, p->pred[i], p->id[i], e) < 0)
            return e->code;
        choice[i] = mm_eval_letter(text, q[i].choices);
    }
    return 0;
}

/* A row of the table: out[name] = { NAT: ..., average: ... }. */
static int breakdown(json_t *out, const char *name, const int *choice, const struct problem *q,
                     size_t n, struct mm_err *e)
{
    json_t *row = json_object();

    for (unsigned g = 0; row && g < GROUPS; g++) {
        size_t right = 0;
        size_t all = 0;

        for (size_t i = 0; i < n; i++) {
            all += q[i].groups >> g & 1u;
            right += (q[i].groups >> g & 1u) && choice[i] == q[i].answer;
        }
        json_object_set_new(row, groups[g],
                            mm_eval_real(all ? 100.0 * (double)right / (double)all : NAN, -1));
    }
    return put_new(out, name, row, e);
}

static bool has_image(const json_t *pred)
{
    const char *prompt = pred ? json_string_value(json_object_get(pred, "prompt")) : NULL;

    return prompt && strstr(prompt, "<image>");
}

/* GPT-4 beside the model: complement and judge. */
static int ensembles(json_t *out, const struct mm_eval_sqa *s, const struct problem *q,
                     const int *mine, struct mm_arena *a, struct mm_err *e)
{
    const size_t n = s->model->n;
    int *theirs = mm_arena_alloc(a, n * sizeof(int));
    int *last = mm_arena_alloc(a, n * sizeof(int));
    int *mix = mm_arena_alloc(a, n * sizeof(int));
    int rc = theirs && last && mix ? 0 : no_memory(e);

    if (rc == 0)
        rc = letters(theirs, s->gpt4, q, a, e);
    if (rc == 0)
        rc = breakdown(out, "gpt4", theirs, q, n, e);
    for (size_t i = 0; rc == 0 && i < n; i++)
        mix[i] = theirs[i] >= 0 ? theirs[i] : mine[i];
    if (rc == 0)
        rc = breakdown(out, "complement", mix, q, n, e);
    if (rc == 0 && s->judge)
        rc = letters(last, s->judge, q, a, e);
    if (rc < 0 || !s->judge)
        return rc;
    for (size_t i = 0; i < n; i++)
        mix[i] = theirs[i] != mine[i] && last[i] >= 0 ? last[i] : mine[i];
    return breakdown(out, "judge", mix, q, n, e);
}

static int report(json_t *out, const struct mm_eval_pairs *p, const struct problem *q,
                  const int *choice, struct mm_arena *a, const struct mm_eval_boot *b,
                  struct mm_err *e)
{
    double *right = mm_arena_alloc(a, 2 * p->n * sizeof(double));
    json_t *list = json_object();
    size_t pictures = 0;
    int rc = right && list ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        right[i] = choice[i] == q[i].answer;
        if (has_image(p->pred[i]))
            right[p->n + pictures++] = right[i];
        rc = put_new(list, p->id[i], json_integer(choice[i]), e);
    }
    if (rc == 0)
        rc = put_new(out, "n", json_integer((json_int_t)p->n), e);
    if (rc == 0)
        rc = mm_eval_put(out, "scienceqa_accuracy", mm_eval_mean, right, p->n, -1, b, e);
    if (rc == 0)
        rc = mm_eval_put(out, "scienceqa_image_accuracy", mm_eval_mean, right + p->n, pictures, -1,
                         b, e);
    if (rc == 0)
        rc = breakdown(out, "scienceqa_breakdown", choice, q, p->n, e);
    if (rc == 0)
        return put_new(out, "scienceqa_choice", list, e);
    json_decref(list);
    return rc;
}

int mm_eval_scienceqa(json_t *out, const struct mm_eval_sqa *s, struct mm_arena *a,
                      const struct mm_eval_boot *b, struct mm_err *e)
{
    const struct mm_eval_pairs *p = s->model;
    struct problem *q = mm_arena_alloc(a, p->n * sizeof(*q));
    int *choice = mm_arena_alloc(a, p->n * sizeof(*choice));
    int rc = q && choice ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++)
        rc = read_problem(&q[i], p->ref[i], p->id[i], e);
    if (rc == 0)
        rc = letters(choice, p, q, a, e);
    if (rc == 0)
        rc = report(out, p, q, choice, a, b, e);
    if (rc == 0 && s->gpt4)
        rc = ensembles(out, s, q, choice, a, e);
    return rc;
}

/* --- POPE (Li 2023) ------------------------------------------------------------------------ */

bool mm_eval_no(const char *text)
{
    static const char *const words[] = { "No", "not", "no" };
    const size_t n = strcspn(text, ".");
    char word[4] = "";
    size_t len = 0;

    for (size_t i = 0; i <= n; i++) {
        if (i < n && text[i] == ',')
            continue;
        if (i < n && text[i] != ' ') {
            if (len < 3)
                word[len] = text[i];
            len++;
            continue;
        }
        word[len < 3 ? len : 3] = '\0';
        for (size_t k = 0; len <= 3 && k < 3; k++)
            if (strcmp(word, words[k]) == 0)
                return true;
        len = 0;
    }
    return false;
}

struct yes_no {
    const bool *said, *is;
    int what; /* which number */
};

enum { ACCURACY, PRECISION, RECALL, F1, YES_RATIO };

static void count(size_t c[4], const size_t *pick, size_t n, const struct yes_no *y)
{
    memset(c, 0, 4 * sizeof(*c));
    for (size_t i = 0; i < n; i++) {
        const size_t k = pick ? pick[i] : i;

        c[y->said[k] ? (y->is[k] ? 0 : 1) : (y->is[k] ? 3 : 2)]++;
    }
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double yes_no(const size_t *pick, size_t n, const void *ctx)
{
    const struct yes_no *y = ctx;
    size_t c[4];
    double precision, recall;

    count(c, pick, n, y);
    precision = ratio((double)c[0], (double)(c[0] + c[1]));
    recall = ratio((double)c[0], (double)(c[0] + c[3]));
    switch (y->what) {
    case ACCURACY: return ratio((double)(c[0] + c[2]), (double)n);
    case PRECISION: return precision;
    case RECALL: return recall;
    case F1: return ratio(2 * precision * recall, precision + recall);
    default: return ratio((double)(c[0] + c[1]), (double)n);
    }
}

int mm_eval_pope(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                 const struct mm_eval_boot *b, struct mm_err *e)
{
    static const char *const names[] = { "accuracy", "precision", "recall", "f1_score",
                                         "yes_ratio" };
    bool *said = mm_arena_alloc(a, p->n);
    bool *is = mm_arena_alloc(a, p->n);
    struct yes_no y = { said, is, 0 };
    size_t c[4];
    int rc = said && is ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const char *label = json_string_value(json_object_get(p->ref[i], "label"));
        const char *text = "";

        if (!label)
            rc = mm_err_set(e, MM_EDATA, "reference '%s': no label", p->id[i]);
        else
            rc = mm_eval_text(&text, a, p->pred[i], p->id[i], e);
        if (rc < 0)
            break;
        said[i] = !mm_eval_no(text);
        is[i] = strcmp(label, "no") != 0;
    }
    for (; rc == 0 && y.what <= YES_RATIO; y.what++)
        rc = mm_eval_put(out, names[y.what], yes_no, &y, p->n, -1, b, e);
    if (rc < 0)
        return rc;
    count(c, NULL, p->n, &y);
    return put_new(out, "tp_fp_tn_fn", json_pack("[I,I,I,I]", (json_int_t)c[0], (json_int_t)c[1],
                                                 (json_int_t)c[2], (json_int_t)c[3]), e);
}

/* --- ranks ---------------------------------------------------------------------------------- */

struct scored {
    double score, label;
};

static int by_score(const void *a, const void *b)
{
    const double x = ((const struct scored *)a)->score;
    const double y = ((const struct scored *)b)->score;

    return (x > y) - (x < y);
}

/* Of v[n], which is sorted here: each positive counts the negatives below, ties half. */
static double auc(struct scored *v, size_t n)
{
    double below = 0;
    double wins = 0;
    double positives = 0;

    qsort(v, n, sizeof(*v), by_score);
    for (size_t i = 0; i < n;) {
        double neg = 0;
        double pos = 0;
        const double s = v[i].score;

        do {
            pos += v[i].label != 0;
            neg += v[i].label == 0;
        } while (++i < n && v[i].score == s);
        wins += pos * (below + neg / 2);
        below += neg;
        positives += pos;
    }
    return positives > 0 && below > 0 ? wins / (positives * below) : NAN;
}

struct roc {
    const double *score, *label;
};

static double picked_auc(const size_t *pick, size_t n, const void *ctx)
{
    const struct roc *r = ctx;
    struct scored *v = malloc((n + 1) * sizeof(*v));
    double x = NAN;

    for (size_t i = 0; v && i < n; i++)
        v[i] = (struct scored){ r->score[pick ? pick[i] : i], r->label[pick ? pick[i] : i] };
    if (v)
        x = auc(v, n);
    free(v);
    return x;
}

double mm_eval_auc(const double *score, const double *label, size_t n)
{
    const struct roc r = { score, label };

    return picked_auc(NULL, n, &r);
}

static bool class_of(double *label, const json_t *ref)
{
    const json_t *v = json_object_get(ref, "label");
    const char *s;

    v = v ? v : json_object_get(ref, "answer");
    s = json_string_value(v);
    *label = json_is_true(v) || (json_is_number(v) && json_number_value(v) != 0) ||
             (s && (strcmp(s, "yes") == 0 || strcmp(s, "1") == 0));
    return json_is_boolean(v) || json_is_number(v) ||
           (s && (*label != 0 || strcmp(s, "no") == 0 || strcmp(s, "0") == 0));
}

int mm_eval_roc(json_t *out, const struct mm_eval_pairs *p, struct mm_arena *a,
                const struct mm_eval_boot *b, struct mm_err *e)
{
    double *score = mm_arena_alloc(a, p->n * sizeof(double));
    double *label = mm_arena_alloc(a, p->n * sizeof(double));
    struct roc r = { score, label };
    int rc = score && label ? 0 : no_memory(e);

    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const json_t *v = json_object_get(p->pred[i], "score");

        score[i] = json_number_value(v);
        if (!json_is_number(v))
            rc = mm_err_set(e, MM_EDATA, "prediction '%s': no score", p->id[i]);
        else if (!class_of(&label[i], p->ref[i]))
            rc = mm_err_set(e, MM_EDATA, "reference '%s': its label is no class", p->id[i]);
    }
    if (rc == 0 && isnan(mm_eval_auc(score, label, p->n)))
        rc = mm_err_set(e, MM_EDATA, "references are all of one class");
    if (rc == 0)
        rc = put_new(out, "n", json_integer((json_int_t)p->n), e);
    return rc == 0 ? mm_eval_put(out, "roc_auc", picked_auc, &r, p->n, -1, b, e) : rc;
}

double mm_eval_top(const float *logits, const int64_t *label, size_t n, size_t classes, size_t k)
{
    size_t hits = 0;

    for (size_t i = 0; i < n; i++) {
        const float *row = logits + i * classes;
        const size_t l = (size_t)label[i];
        size_t rank = 0;

        for (size_t j = 0; j < classes; j++)
            rank += row[j] > row[l] || (row[j] == row[l] && j < l);
        hits += rank < k;
    }
    return n ? (double)hits / (double)n : NAN;
}
