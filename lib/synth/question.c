/* question.c: drawing questions so that no answer is more frequent than another. */
#include "synth/question.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "synth/form.h"


enum { FIT_SCENES = 4000, FIT_ROUNDS = 60, PURPOSE = 77 };

const char *mm_qtype_name(enum mm_qtype type)
{
    static const char *const names[MM_NQTYPES] = {
        "existence", "count",    "color",      "shape",      "name",    "size",
        "position",  "relation", "comparison", "multi-step", "reading", "motion",
        "pitch",     "rhythm",
    };

    return names[type];
}

void mm_questions_reset(struct mm_questions *q)
{
    for (size_t i = 0; i < q->n; i++) {
        free(q->v[i].text);
        free(q->v[i].answer);
    }
    q->n = 0;
}

void mm_questions_free(struct mm_questions *q)
{
    mm_questions_reset(q);
    free(q->v);
    memset(q, 0, sizeof(*q));
}

static unsigned possible(const struct mm_asks *a)
{
    unsigned set = 0;

    for (int i = 0; i < a->n; i++)
        set |= 1u << a->v[i].answer;
    return set;
}

/* Answers that some scenes have together. */
struct seen_set {
    uint16_t set;
    double times;
};

/* How often each answer is drawn, when of those possible each is drawn by its weight. */
static void frequencies(double *p, const struct seen_set *sets, int n, const float *weight)
{
    memset(p, 0, MM_NANSWERS * sizeof(*p));
    for (int i = 0; i < n; i++) {
        double all = 0;

        for (int a = 0; a < MM_NANSWERS; a++)
            all += sets[i].set >> a & 1 ? weight[a] : 0;
        for (int a = 0; a < MM_NANSWERS; a++)
            p[a] += sets[i].set >> a & 1 ? sets[i].times * weight[a] / all : 0;
    }
}

static int by_value(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* Sorts set; the different ones that are not empty, with how often each is there. */
static int count_sets(struct seen_set *sets, uint16_t *set)
{
    int n = 0;

    qsort(set, FIT_SCENES, sizeof(*set), by_value);
    for (int i = 0; i < FIT_SCENES; i++) {
        if (set[i] == 0)
            continue;
        if (n == 0 || sets[n - 1].set != set[i])
            sets[n++] = (struct seen_set){ .set = set[i] };
        sets[n - 1].times += 1;
    }
    return n;
}

/* Weights by iterative scaling; what they cannot level, keep does. */
static void fit(float *weight, float *keep, const struct seen_set *sets, int n)
{
    double p[MM_NANSWERS], mean = 0, least = INFINITY;
    int answers = 0;

    for (int a = 0; a < MM_NANSWERS; a++)
        weight[a] = 1;
    for (int round = 0; round < FIT_ROUNDS; round++) {
        frequencies(p, sets, n, weight);
        mean = 0;
        answers = 0;
        for (int a = 0; a < MM_NANSWERS; a++) {
            mean += p[a];
            answers += p[a] > 0;
        }
        for (int a = 0; a < MM_NANSWERS; a++)
            if (p[a] > 0)
                weight[a] = fminf(fmaxf(weight[a] * sqrtf((float)(mean / answers / p[a])), 1e-3f), 1e3f);
    }
    frequencies(p, sets, n, weight);
    for (int a = 0; a < MM_NANSWERS; a++)
        least = p[a] > 0 ? fmin(least, p[a]) : least;
    for (int a = 0; a < MM_NANSWERS; a++)
        keep[a] = p[a] > 0 ? (float)(least / p[a]) : 1;
}

/* Sets of possible answers of scenes of one tier, for all forms. */
static int observe(uint16_t (*set)[FIT_SCENES], const struct mm_scene_opts *o, struct mm_err *e)
{
    struct mm_scene_maker *m = NULL;
    struct mm_scene s;
    const struct mm_view v = { &s, o->sprites };
    int rc = mm_scene_maker_new(&m, o, e);

    for (int i = 0; rc == 0 && i < FIT_SCENES; i++) {
        struct mm_rng r;

        rc = mm_scene_make(&s, m, (uint64_t)i, e);
        if (rc < 0)
            break;
        mm_rng_of(&r, 0, (uint64_t)i, PURPOSE);
        for (int f = 0; f < MM_NFORMS; f++) {
            struct mm_asks asks;

            asks.n = 0;
            if (mm_forms[f].tiers >> s.tier & 1 && mm_form_answers(&mm_forms[f], s.tier) > 0)
                mm_forms[f].list(&asks, &v, &r);
            set[f][i] = (uint16_t)possible(&asks);
        }
    }
    mm_scene_maker_free(m);
    return rc;
}

int mm_balance_fit(struct mm_balance *b, const struct mm_scene_opts *o, struct mm_err *e)
{
    uint16_t(*set)[FIT_SCENES] = malloc(MM_NFORMS * sizeof(*set));
    struct seen_set *sets = malloc(FIT_SCENES * sizeof(*sets));
    int rc = set != NULL && sets != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "questions: out of memory");

    for (int t = 0; rc == 0 && t < MM_NTIERS; t++) {
        struct mm_scene_opts own = *o;

        own.tiers = 1u << t;
        own.seed = 0;
        own.rough = mm_tier_has_nouns((enum mm_tier)t); /* their pictures would have to be read */
        own.split = MM_TRAIN; /* whose scenes are found soonest; the others are alike */
        own.held = o->held == MM_HELD_ARTIST ? MM_HELD_ARTIST : MM_HELD_NONE;
        if (!(o->tiers >> t & 1) || t == MM_WORDS)
            continue;
        rc = observe(set, &own, e);
        for (int f = 0; rc == 0 && f < MM_NFORMS; f++)
            fit(b->weight[t][f], b->keep[t][f], sets, count_sets(sets, set[f]));
    }
    for (int f = 0; f < MM_NFORMS; f++) /* a word is there or not: nothing to level */
        for (int a = 0; a < MM_NANSWERS; a++)
            b->weight[MM_WORDS][f][a] = b->keep[MM_WORDS][f][a] = 1;
    free(sets);
    free(set);
    return rc;
}

/* An answer by weights among those in the set, or -1: none, or not kept. */
static int draw_answer(const float *weight, const float *keep, unsigned set, struct mm_rng *r)
{
    float all = 0, at;
    int last = -1;

    for (int a = 0; a < MM_NANSWERS; a++)
        all += set >> a & 1 ? weight[a] : 0;
    at = all * (float)mm_rng_uniform(r);
    for (int a = 0; a < MM_NANSWERS; a++) {
        if (!(set >> a & 1))
            continue;
        last = a;
        at -= weight[a];
        if (at < 0)
            break;
    }
    return last >= 0 && mm_rng_uniform(r) < keep[last] ? last : -1;
}

/* One of the asks, of each answer as often. */
static const struct mm_ask *draw(const struct mm_asks *asks, int form, enum mm_tier tier,
                                 const struct mm_balance *b, struct mm_rng *r)
{
    int answer, n = 0, pick;

    if (asks->n == 0)
        return NULL;
    if (mm_form_answers(&mm_forms[form], tier) == 0)
        return &asks->v[mm_rng_below(r, (uint64_t)asks->n)];
    answer = draw_answer(b->weight[tier][form], b->keep[tier][form], possible(asks), r);
    for (int i = 0; i < asks->n; i++)
        n += asks->v[i].answer == answer;
    if (n == 0)
        return NULL;
    pick = (int)mm_rng_below(r, (uint64_t)n);
    for (int i = 0;; i++)
        if (asks->v[i].answer == answer && pick-- == 0)
            return &asks->v[i];
}

/* In whatever words. */
static bool is_asked(const struct mm_questions *q, int form, const struct mm_ask *a,
                     const struct mm_view *v)
{
    struct mm_buf old = { 0 }, new = { 0 };
    bool same = false;

    for (size_t i = 0; i < q->n && !same; i++) {
        if (q->v[i].form != form)
            continue;
        mm_buf_reset(&old);
        mm_buf_reset(&new);
        mm_form_say(&old, &mm_forms[form], 0, &q->v[i].ask, v);
        mm_form_say(&new, &mm_forms[form], 0, a, v);
        same = !old.failed && !new.failed && strcmp(old.p, new.p) == 0;
    }
    mm_buf_free(&old);
    mm_buf_free(&new);
    return same;
}

/* Tries one form: 1 asked, 0 not, or MM_ENOMEM. */
static int ask(struct mm_questions *q, const struct mm_view *v, const struct mm_balance *b, int form,
               struct mm_rng *r, struct mm_err *e)
{
    const struct mm_form *f = &mm_forms[form];
    const int wordings = v->s->split == MM_TEST ? MM_WORDINGS : MM_WORDINGS_SEEN;
    const int wording = (int)mm_rng_below(r, (uint64_t)wordings);
    struct mm_buf text = { 0 };
    struct mm_asks asks;
    const struct mm_ask *a;
    const char *answer;

    asks.n = 0;
    f->list(&asks, v, r);
    a = draw(&asks, form, v->s->tier, b, r);
    if (a == NULL || is_asked(q, form, a, v))
        return 0;
    answer = mm_form_answer(f, a->answer, v);
    mm_form_say(&text, f, wording, a, v);
    if (!text.failed && mm_grow(&q->v, &q->cap, q->n + 1, sizeof(*q->v))) {
        q->v[q->n] = (struct mm_question){ f->type, form, wording, text.p, strdup(answer), *a };
        q->n += q->v[q->n].answer != NULL;
        if (q->v[q->n - 1].text == text.p)
            return 1;
    }
    mm_buf_free(&text);
    return mm_err_set(e, MM_ENOMEM, "questions: out of memory");
}

/* Types are as frequent as each other: first one of those of the tier, then its forms. */
static int draw_form(enum mm_tier tier, struct mm_rng *r)
{
    int of[MM_NQTYPES] = { 0 }, types = 0, n = 0, type, pick;

    for (int f = 0; f < MM_NFORMS; f++)
        if (mm_forms[f].tiers >> tier & 1)
            types += of[mm_forms[f].type]++ == 0;
    pick = (int)mm_rng_below(r, (uint64_t)types);
    for (type = 0;; type++)
        if (of[type] > 0 && pick-- == 0)
            break;
    n = (int)mm_rng_below(r, (uint64_t)of[type]);
    for (int f = 0;; f++)
        if (mm_forms[f].tiers >> tier & 1 && (int)mm_forms[f].type == type && n-- == 0)
            return f;
}

static bool any_short(const struct mm_questions *q)
{
    for (size_t i = 0; i < q->n; i++)
        if (strchr(q->v[i].answer, ' ') == NULL)
            return true;
    return false;
}

int mm_questions_ask(struct mm_questions *q, const struct mm_view *v, const struct mm_balance *b,
                     int tries, int rounds, struct mm_err *e)
{
    uint64_t tried = 0; /* a form once a round, or rare answers would be kept too seldom */
    struct mm_rng r;
    int rc = 0;

    mm_rng_of(&r, v->s->paint, (uint64_t)v->s->split, PURPOSE);
    for (int i = 0; rc >= 0 && i < tries * rounds; i++) {
        const int form = draw_form(v->s->tier, &r);

        if (i % tries == 0)
            tried = 0;
        if (!(tried >> form & 1))
            rc = ask(q, v, b, form, &r, e);
        tried |= UINT64_C(1) << form;
    }
    /* existence, or reading, can always be asked, whatever the answer, which is one word */
    for (int f = 0; rc >= 0 && !any_short(q); f = (f + 1) % MM_NFORMS)
        if ((mm_forms[f].type == MM_Q_EXISTENCE || mm_forms[f].type == MM_Q_READING)
            && mm_forms[f].tiers >> v->s->tier & 1)
            rc = ask(q, v, b, f, &r, e);
    return rc < 0 ? rc : 0;
}
