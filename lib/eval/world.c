/* world.c: see world.h.
 *
 * Each scene adds parts to measures: how much of something (a scene, an object, a
 * question) was right, for every column.  A measure is the mean over its groups (nouns, words;
 * else there is one) of right / all.
 */
#include "eval/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/answers.h"
#include "eval/said.h"
#include "synth/question.h"
#include "synth/scene.h"

enum column { PRED, BLIND, WRONG, CHANCE, NCOLUMNS };

enum { MOST_MEASURES = 40, FEW = 3 /* objects */ };

static const double most_above_chance = 5;

/* What one scene adds to a group of a measure. */
struct part {
    size_t scene, group;
    double right[NCOLUMNS], all;
};

struct measure {
    char key[48], label[64];
    double want;          /* NaN: nothing asked */
    json_t *groups;       /* name to number; NULL: one group */
    size_t ngroups;
    struct part *v;       /* in the order of scenes, which are numbered anew */
    size_t n, cap;
    size_t scenes;
    const json_t *last;   /* the scene that added last */
    double count;         /* sum of all */
};

struct world {
    const struct mm_eval_world *w;
    struct mm_arena *a;
    struct mm_err *e;
    json_t *said[WRONG + 1]; /* key of the question or scene to text; NULL: no such column */
    json_t *used;            /* keys that some scene has */
    json_t *common;          /* set and form to its most frequent answer, normalised */
    bool captions;           /* preds has some */
    struct measure m[MOST_MEASURES];
    size_t nm;
    struct mm_buf x, y;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* --- measures -------------------------------------------------------------------------------- */

/* The measures there are, in the order of the table; NaN: nothing is asked. */
static const struct {
    const char *key, *label;
    double want;
} known[] = {
    { "caption.few", "shapes, 1-3 objects: scenes right", 90 },
    { "caption.many", "shapes, 4-6 objects: objects right", 90 },
    { "caption.held", "shapes, a held-out pair: objects right", 80 },
    { "caption.things", "things: objects right", NAN },
    { "names.things", "things: names, mean of nouns", 85 },
    { "caption.artist", "held-back artist: objects right", NAN },
    { "names.artist", "held-back artist: names, mean of nouns", NAN },
    { "caption.words", "words: word and color right", NAN },
    { "words.list", "words of the list: read, mean of words", 80 },
    { "words.unseen", "words never seen: read, mean of words", 40 },
    { "vqa.all", "questions: all", 95 },
    { "vqa.held", "questions: held-out compositions", 80 },
    { "vqa.wordings", "questions: wordings kept from training", NAN },
    { "vqa.artist", "questions: held-back artist", NAN },
};

static void new_measure(struct world *w, const char *key, const char *label, double want)
{
    struct measure *m = &w->m[w->nm++];

    snprintf(m->key, sizeof(m->key), "%s", key);
    snprintf(m->label, sizeof(m->label), "%s", label);
    m->want = want;
}

static void make_measures(struct world *w)
{
    char key[48], label[64];

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        new_measure(w, known[i].key, known[i].label, known[i].want);
    for (int t = 0; t < MM_NTIERS; t++) {
        snprintf(key, sizeof(key), "vqa.%s", mm_tier_name((enum mm_tier)t));
        snprintf(label, sizeof(label), "questions: %s", mm_tier_name((enum mm_tier)t));
        new_measure(w, key, label, NAN);
    }
    for (int t = 0; t < MM_NQTYPES; t++) {
        snprintf(key, sizeof(key), "type.%s", mm_qtype_name((enum mm_qtype)t));
        snprintf(label, sizeof(label), "questions: %s", mm_qtype_name((enum mm_qtype)t));
        new_measure(w, key, label, 85);
    }
}

/* The measure `name` of a group of them; NULL: there is none. */
static struct measure *find(struct world *w, const char *group, const char *name)
{
    char key[48];

    snprintf(key, sizeof(key), "%s.%.30s", group, name);
    for (size_t i = 0; i < w->nm; i++)
        if (strcmp(w->m[i].key, key) == 0)
            return &w->m[i];
    return NULL;
}

/* The number of a group by name; NULL: there is one group. */
static int group_of(size_t *group, struct measure *m, const char *name)
{
    const json_t *old;

    *group = 0;
    m->ngroups = m->ngroups > 0 ? m->ngroups : name == NULL;
    if (name == NULL)
        return 0;
    if (m->groups == NULL)
        m->groups = json_object();
    old = json_object_get(m->groups, name);
    *group = old != NULL ? (size_t)json_integer_value(old) : m->ngroups;
    if (old != NULL)
        return 0;
    return json_object_set_new(m->groups, name, json_integer((json_int_t)m->ngroups++));
}

static int add(struct world *w, struct measure *m, const json_t *scene, const char *group,
               const double right[NCOLUMNS], double all)
{
    struct part *p;

    if (m == NULL)
        return mm_err_set(w->e, MM_EDATA, "scene '%s': a tier or type of question that is not known",
                          json_string_value(json_object_get(scene, "id")));
    if (!mm_grow(&m->v, &m->cap, m->n + 1, sizeof(*m->v)))
        return no_memory(w->e);
    p = &m->v[m->n];
    if (group_of(&p->group, m, group) < 0)
        return no_memory(w->e);
    m->n++;
    m->scenes += m->last != scene;
    m->last = scene;
    m->count += all;
    p->scene = m->scenes - 1;
    p->all = all;
    memcpy(p->right, right, sizeof(p->right));
    return 0;
}

/* --- what was said --------------------------------------------------------------------------- */

/* The stem of a path, or an id as it is: "images/shapes-test-1-00000000.png". */
static const char *stem(struct mm_arena *a, const char *path)
{
    const char *base = strrchr(path, '/');
    const char *dot;

    base = base != NULL ? base + 1 : path;
    dot = strrchr(base, '.');
    return mm_arena_strdup(a, base, dot != NULL ? (size_t)(dot - base) : strlen(base));
}

static const char *key_of(struct world *w, const char *id, json_int_t question)
{
    char key[200];

    snprintf(key, sizeof(key), "%.150s/%" JSON_INTEGER_FORMAT, id, question);
    return mm_arena_strdup(w->a, key, strlen(key));
}

/* Key of a prediction. */
static int key_of_pred(const char **key, struct world *w, const json_t *obj, size_t i)
{
    static const char *const names[] = { "image", "image_id", "source", NULL };
    const json_t *question = json_object_get(obj, "question_id");
    const char *name = mm_eval_id(w->a, obj, names);

    if (name == NULL)
        return mm_err_set(w->e, MM_EDATA, "prediction %zu names no image", i + 1);
    *key = stem(w->a, name);
    if (*key != NULL && question != NULL)
        *key = key_of(w, *key, json_integer_value(question));
    return *key != NULL ? 0 : no_memory(w->e);
}

static int index_column(struct world *w, enum column c, const json_t *preds)
{
    int rc = 0;

    if (preds == NULL)
        return 0;
    w->said[c] = json_object();
    for (size_t i = 0; rc == 0 && i < json_array_size(preds); i++) {
        const json_t *obj = json_array_get(preds, i);
        const char *key = NULL, *text;

        rc = key_of_pred(&key, w, obj, i);
        if (rc == 0)
            rc = mm_eval_text(&text, w->a, obj, key, w->e);
        if (rc == 0 && json_object_get(w->said[c], key) != NULL)
            rc = mm_err_set(w->e, MM_EDATA, "prediction '%s' comes twice", key);
        if (rc == 0 && json_object_set_new(w->said[c], key, json_string(text)) < 0)
            rc = no_memory(w->e);
        w->captions = w->captions || (c == PRED && json_object_get(obj, "question_id") == NULL);
    }
    return rc;
}

/* Texts of the columns for a key, NULL where a column is not there.  1; 0: to be left
 * out; or MM_EDATA. */
static int texts_of(const char *text[CHANCE], struct world *w, const char *key)
{
    if (json_object_set_new(w->used, key, json_true()) < 0)
        return no_memory(w->e);
    for (int c = 0; c < CHANCE; c++) {
        text[c] = json_string_value(json_object_get(w->said[c], key));
        if (w->said[c] == NULL || text[c] != NULL)
            continue;
        if (c == PRED && w->w->partial)
            return 0;
        return mm_err_set(w->e, MM_EDATA, "'%s': no prediction%s", key,
                          c == BLIND   ? " without the picture"
                          : c == WRONG ? " with a wrong one"
                                       : "");
    }
    return 1;
}

/* --- captions --------------------------------------------------------------------------------- */

static const char *member(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));

    return s != NULL ? s : "";
}

/* The objects of a scene as a caption would have them. */
static size_t objects_of(struct mm_said v[MM_SAID_MAX], const json_t *scene)
{
    const json_t *list = json_object_get(scene, "objects");
    const size_t n = json_array_size(list);

    for (size_t k = 0; k < n && k < MM_SAID_MAX; k++) {
        const json_t *o = json_array_get(list, k);

        snprintf(v[k].name, sizeof(v[k].name), "%s", member(o, "noun"));
        v[k].size = member(o, "size");
        v[k].colour = member(o, "color");
        v[k].place = member(o, "place");
    }
    return n < MM_SAID_MAX ? n : MM_SAID_MAX;
}

/* Marks those of want[n] that got[m] has, each of got for one of want; how many. */
static size_t match(bool *found, const struct mm_said *want, size_t n, const struct mm_said *got,
                    size_t m, int what)
{
    bool taken[MM_SAID_MAX] = { false };
    size_t right = 0;

    for (size_t k = 0; k < n; k++) {
        found[k] = false;
        for (size_t i = 0; i < m && i < MM_SAID_MAX && !found[k]; i++)
            if (!taken[i] && mm_said_same(&want[k], &got[i], what))
                found[k] = taken[i] = true;
        right += found[k];
    }
    return right;
}

/* A caption beside its scene, by columns. */
struct seen {
    size_t n;                              /* objects that are there */
    double right[NCOLUMNS];                /* how many are right, see world.h */
    double whole[NCOLUMNS];                /* 1: everything is */
    double named[MM_SAID_MAX][NCOLUMNS];   /* 1: the name of object k is said */
};

static void look(struct seen *s, const struct mm_said *want, int what, const char *const text[CHANCE])
{
    for (int c = 0; c < CHANCE; c++) {
        struct mm_said got[MM_SAID_MAX];
        bool found[MM_SAID_MAX];
        size_t m, right;

        if (text[c] == NULL)
            continue;
        m = mm_eval_said(got, text[c], (what & MM_SAID_COLOUR) != 0);
        right = match(found, want, s->n, got, m, what);
        s->whole[c] = right == s->n && m == s->n;
        s->right[c] = (double)s->n * (double)right / (double)(m > s->n ? m : s->n);
        match(found, want, s->n, got, m, MM_SAID_NAME);
        for (size_t k = 0; k < s->n; k++)
            s->named[k][c] = found[k];
    }
}

static int add_shapes(struct world *w, const json_t *scene, const struct seen *s)
{
    const double n = (double)s->n;
    int rc = s->n <= FEW ? add(w, find(w, "caption", "few"), scene, NULL, s->whole, 1)
                         : add(w, find(w, "caption", "many"), scene, NULL, s->right, n);

    if (rc == 0 && json_is_true(json_object_get(scene, "held")))
        rc = add(w, find(w, "caption", "held"), scene, NULL, s->right, n);
    return rc;
}

static int add_things(struct world *w, const json_t *scene, const struct mm_said *want,
                      const struct seen *s)
{
    const bool artist = json_is_true(json_object_get(scene, "held_artist"));
    const char *name = artist ? "artist" : "things";
    int rc = add(w, find(w, "caption", name), scene, NULL, s->right, (double)s->n);

    for (size_t k = 0; rc == 0 && k < s->n; k++)
        rc = add(w, find(w, "names", name), scene, want[k].name, s->named[k], 1);
    return rc;
}

static int add_caption(struct world *w, const json_t *scene, const char *id, const char *tier)
{
    const bool shapes = strcmp(tier, "shapes") == 0, things = strcmp(tier, "things") == 0;
    const int what = MM_SAID_NAME | (things ? 0 : MM_SAID_COLOUR) |
                     (shapes || things ? MM_SAID_SIZE | MM_SAID_PLACE : 0);
    struct mm_said want[MM_SAID_MAX];
    struct seen s = { 0 };
    const char *text[CHANCE];
    int rc;

    if (!w->captions || (!shapes && !things && strcmp(tier, "words") != 0))
        return 0;
    rc = texts_of(text, w, id);
    if (rc <= 0)
        return rc;
    s.n = objects_of(want, scene);
    if (s.n == 0)
        return mm_err_set(w->e, MM_EDATA, "scene '%s' has no objects", id);
    look(&s, want, what, text);
    if (things)
        return add_things(w, scene, want, &s);
    if (shapes)
        return add_shapes(w, scene, &s);
    return add(w, find(w, "caption", "words"), scene, NULL, s.whole, 1);
}

/* --- questions -------------------------------------------------------------------------------- */

/* Counts for printed words alone: shows one that the scenes of test do not. */
static bool is_fill(const json_t *scene)
{
    return json_is_true(json_object_get(scene, "fill"));
}

/* Questions of one set and form are answered alike. */
static const char *form_of(struct world *w, const json_t *scene, const json_t *question)
{
    char key[160];
    const json_t *form = json_object_get(question, "form");
    const bool artist = json_is_true(json_object_get(scene, "held_artist"));

    snprintf(key, sizeof(key), "%.40s%s/%.40s/%" JSON_INTEGER_FORMAT, member(scene, "tier"),
             artist ? "*" : "", member(question, "type"), json_integer_value(form));
    return mm_arena_strdup(w->a, key, strlen(key));
}

/* Counts the answers of each form. */
static int count_answers(struct world *w, json_t *counts, const json_t *scene)
{
    const json_t *questions = is_fill(scene) ? NULL : json_object_get(scene, "questions");

    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i);
        const char *form = form_of(w, scene, q);
        json_t *of = form != NULL ? json_object_get(counts, form) : NULL;
        json_int_t n;

        if (form == NULL || mm_eval_normal(&w->x, member(q, "answer"), w->e) < 0)
            return no_memory(w->e);
        if (of == NULL) {
            of = json_object();
            if (json_object_set_new(counts, form, of) < 0)
                return no_memory(w->e);
        }
        n = json_integer_value(json_object_get(of, w->x.p));
        if (json_object_set_new(of, w->x.p, json_integer(n + 1)) < 0)
            return no_memory(w->e);
    }
    return 0;
}

static int find_common(struct world *w)
{
    json_t *counts = json_object(), *of, *n;
    const char *form, *answer;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < json_array_size(w->w->scenes); i++)
        rc = count_answers(w, counts, json_array_get(w->w->scenes, i));
    json_object_foreach(counts, form, of) {
        const char *best = "";
        json_int_t most = 0;

        json_object_foreach(of, answer, n) {
            if (json_integer_value(n) > most) {
                most = json_integer_value(n);
                best = answer;
            }
        }
        if (rc == 0 && json_object_set_new(w->common, form, json_string(best)) < 0)
            rc = no_memory(w->e);
    }
    json_decref(counts);
    return rc;
}

/* Which answers are right, by columns. */
static int judge(double right[NCOLUMNS], struct world *w, const json_t *question, const char *form,
                 const char *const text[CHANCE])
{
    int rc = mm_eval_normal(&w->x, member(question, "answer"), w->e);

    for (int c = 0; rc == 0 && c < CHANCE; c++) {
        right[c] = 0;
        if (text[c] == NULL)
            continue;
        rc = mm_eval_normal(&w->y, text[c], w->e);
        right[c] = rc == 0 && strcmp(w->x.p, w->y.p) == 0;
    }
    if (rc == 0)
        right[CHANCE] = strcmp(w->x.p, member(w->common, form)) == 0;
    return rc;
}

/* A printed word that was asked for. */
static int add_reading(struct world *w, const json_t *scene, const json_t *q, const double *right)
{
    const char *answer = member(q, "answer");
    const bool unseen = json_is_true(json_object_get(scene, "held"));

    if (strcmp(member(q, "type"), "reading") != 0 || strcmp(answer, "yes") == 0 ||
        strcmp(answer, "no") == 0)
        return 0;
    return add(w, find(w, "words", unseen ? "unseen" : "list"), scene, answer, right, 1);
}

static int add_question(struct world *w, const json_t *scene, const json_t *q, const char *tier,
                        const double *right)
{
    const bool held = json_is_true(json_object_get(scene, "held"));
    const json_int_t wording = json_integer_value(json_object_get(q, "wording"));
    int rc;

    if (json_is_true(json_object_get(scene, "held_artist")))
        return add(w, find(w, "vqa", "artist"), scene, NULL, right, 1);
    rc = add(w, find(w, "vqa", "all"), scene, NULL, right, 1);
    if (rc == 0)
        rc = add(w, find(w, "vqa", tier), scene, NULL, right, 1);
    if (rc == 0)
        rc = add(w, find(w, "type", member(q, "type")), scene, NULL, right, 1);
    if (rc == 0 && wording >= MM_WORDINGS_SEEN)
        rc = add(w, find(w, "vqa", "wordings"), scene, NULL, right, 1);
    if (rc == 0 && held && strcmp(tier, "words") != 0)
        rc = add(w, find(w, "vqa", "held"), scene, NULL, right, 1);
    return rc == 0 ? add_reading(w, scene, q, right) : rc;
}

static int add_questions(struct world *w, const json_t *scene, const char *id, const char *tier)
{
    const json_t *questions = json_object_get(scene, "questions");
    const json_int_t index = json_integer_value(json_object_get(scene, "index"));

    if (index < 0 || index > INT64_MAX / 128)
        return mm_err_set(w->e, MM_EDATA, "scene '%s': no index", id);
    for (size_t i = 0; i < json_array_size(questions); i++) {
        const json_t *q = json_array_get(questions, i);
        const char *key = key_of(w, id, 64 * index + (json_int_t)i), *form = form_of(w, scene, q);
        const char *text[CHANCE];
        double right[NCOLUMNS];
        int rc = key != NULL && form != NULL ? texts_of(text, w, key) : no_memory(w->e);

        if (rc > 0) {
            rc = judge(right, w, q, form, text);
            if (rc == 0)
                rc = is_fill(scene) ? add_reading(w, scene, q, right)
                                    : add_question(w, scene, q, tier, right);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- scores ----------------------------------------------------------------------------------- */

/* A column of a measure, as mm_eval_stat wants it. */
struct view {
    const struct measure *m;
    const size_t *first;   /* [scenes + 1]: parts of a scene */
    enum column c;
    double *right, *all;   /* [ngroups] scratch */
};

static double mean_of_groups(const size_t *pick, size_t n, const void *ctx)
{
    const struct view *v = ctx;
    double sum = 0;
    size_t groups = 0;

    memset(v->right, 0, v->m->ngroups * sizeof(*v->right));
    memset(v->all, 0, v->m->ngroups * sizeof(*v->all));
    for (size_t i = 0; i < n; i++)
        for (size_t k = v->first[pick[i]]; k < v->first[pick[i] + 1]; k++) {
            v->right[v->m->v[k].group] += v->m->v[k].right[v->c];
            v->all[v->m->v[k].group] += v->m->v[k].all;
        }
    for (size_t g = 0; g < v->m->ngroups; g++)
        if (v->all[g] > 0) {
            sum += v->right[g] / v->all[g];
            groups++;
        }
    return groups > 0 ? 100 * sum / (double)groups : NAN;
}

static int put_columns(json_t *row, const struct world *w, const struct view *v,
                       const struct mm_eval_boot *b)
{
    static const char *const names[NCOLUMNS] = { "score", "blind", "wrong", "chance" };
    static const enum column order[NCOLUMNS] = { PRED, CHANCE, BLIND, WRONG };
    static const struct mm_eval_boot none = { 0 };

    for (int i = 0; i < NCOLUMNS; i++) {
        struct view one = *v;
        int rc;

        one.c = order[i];
        if (one.c != CHANCE && w->said[one.c] == NULL)
            continue;
        rc = mm_eval_put(row, names[one.c], mean_of_groups, &one, v->m->scenes, 2,
                         one.c == CHANCE ? &none : b, w->e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static double number(const json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

static int put_measure(json_t *out, const struct world *w, const struct measure *m,
                       const struct mm_eval_boot *b)
{
    size_t *first = mm_arena_alloc(w->a, (m->scenes + 1) * sizeof(*first));
    struct view v = { .m = m, .first = first };
    json_t *row = json_pack("{s:s, s:f}", "label", m->label, "n", m->count);
    int rc;

    v.right = mm_arena_alloc(w->a, 2 * m->ngroups * sizeof(*v.right));
    if (first == NULL || v.right == NULL || json_object_set_new(out, m->key, row) < 0)
        return no_memory(w->e);
    v.all = v.right + m->ngroups;
    for (size_t k = 0; k < m->n; k++)
        first[m->v[k].scene + 1] = k + 1;
    first[0] = 0;
    json_object_set_new(row, "n", json_integer((json_int_t)m->count));
    if (m->groups != NULL)
        json_object_set_new(row, "groups", json_integer((json_int_t)m->ngroups));
    rc = put_columns(row, w, &v, b);
    if (rc == 0 && !isnan(m->want)) {
        json_object_set_new(row, "want", json_real(m->want));
        json_object_set_new(row, "pass", json_boolean(number(row, "score") >= m->want));
    }
    if (rc == 0 && (w->said[BLIND] != NULL || w->said[WRONG] != NULL)) {
        const double most = number(row, "chance") + most_above_chance;

        json_object_set_new(row, "guess_pass",
                            json_boolean(number(row, "blind") <= most && number(row, "wrong") <= most));
    }
    return rc;
}

static int put_all(json_t *out, struct world *w, const struct mm_eval_boot *b)
{
    bool any = false, pass = true;

    for (size_t k = 0; k < w->nm; k++) {
        const json_t *row;

        if (w->m[k].n == 0)
            continue;
        if (put_measure(out, w, &w->m[k], b) < 0)
            return w->e->code;
        any = true;
        row = json_object_get(out, w->m[k].key);
        pass = pass && !json_is_false(json_object_get(row, "pass")) &&
               !json_is_false(json_object_get(row, "guess_pass"));
    }
    if (!any)
        return mm_err_set(w->e, MM_EDATA, "nothing to score");
    return json_object_set_new(out, "pass", json_boolean(pass)) < 0 ? no_memory(w->e) : 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int add_scene(struct world *w, const json_t *scene, json_t *ids)
{
    const char *id = json_string_value(json_object_get(scene, "id"));
    const char *tier = member(scene, "tier");
    int rc;

    if (id == NULL || tier[0] == '\0')
        return mm_err_set(w->e, MM_EDATA, "a scene has no id or no tier");
    if (json_object_get(ids, id) != NULL)
        return mm_err_set(w->e, MM_EDATA, "scene '%s' comes twice", id);
    if (json_object_set_new(ids, id, json_true()) < 0)
        return no_memory(w->e);
    rc = is_fill(scene) ? 0 : add_caption(w, scene, id, tier);
    return rc < 0 ? rc : add_questions(w, scene, id, tier);
}

static int check_used(struct world *w)
{
    const char *key;
    json_t *v;

    for (int c = 0; c < CHANCE; c++)
        json_object_foreach(w->said[c], key, v) {
            if (json_object_get(w->used, key) == NULL)
                return mm_err_set(w->e, MM_EDATA, "prediction '%s': no scene or question is this",
                                  key);
        }
    return 0;
}

static int score(json_t *out, struct world *w, json_t *ids, const struct mm_eval_boot *b)
{
    const json_t *columns[CHANCE] = { w->w->preds, w->w->blind, w->w->wrong };
    int rc = w->used != NULL && w->common != NULL && ids != NULL ? 0 : no_memory(w->e);

    for (int c = 0; rc == 0 && c < CHANCE; c++)
        rc = index_column(w, (enum column)c, columns[c]);
    if (rc == 0)
        rc = find_common(w);
    for (size_t i = 0; rc == 0 && i < json_array_size(w->w->scenes); i++)
        rc = add_scene(w, json_array_get(w->w->scenes, i), ids);
    if (rc == 0)
        rc = check_used(w);
    return rc == 0 ? put_all(out, w, b) : rc;
}

int mm_eval_world(json_t *out, const struct mm_eval_world *what, struct mm_arena *a,
                  const struct mm_eval_boot *b, struct mm_err *e)
{
    struct world *w = calloc(1, sizeof(*w));
    json_t *ids = json_object();
    int rc = w != NULL ? 0 : no_memory(e);

    if (w != NULL) {
        w->w = what;
        w->a = a;
        w->e = e;
        w->used = json_object();
        w->common = json_object();
        make_measures(w);
        rc = score(out, w, ids, b);
        for (size_t k = 0; k < w->nm; k++) {
            json_decref(w->m[k].groups);
            free(w->m[k].v);
        }
        for (int c = 0; c < CHANCE; c++)
            json_decref(w->said[c]);
        json_decref(w->used);
        json_decref(w->common);
        mm_buf_free(&w->x);
        mm_buf_free(&w->y);
    }
    json_decref(ids);
    free(w);
    return rc;
}
