/* meteor.c: see meteor.h. */
#include "eval/meteor.h"

#include <libstemmer.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"

enum { BEAM = 40, PLACES = 16, SENSES = 400 };

struct entry {
    const char *word, *stem;
    uint32_t *sense; /* [n] sorted: part of speech and synset */
    size_t n;
    bool function;
};

struct mm_eval_meteor {
    struct sb_stemmer *stemmer;
    struct mm_map index[4], exc[4];
    bool synonyms;
    struct mm_arena *a;
    json_t *known; /* word: number of its entry */
    struct entry *entry;
    size_t n, cap;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* --- words --------------------------------------------------------------------------------- */

static bool is_function(const char *w)
{
    static const char words[] =
        " a an the this that these those some any no every each all both and or but nor so if "
        "then than as of at by for with about into through during before after above below to "
        "from up down in out on off over under near between behind beside next i me my you your "
        "he him his she her it its we us our they them their who whom which what where when why "
        "how there here be am is are was were been being have has had do does did will would "
        "can could may might must shall should not n't 's 'm 're 've 'll 'd very too also just "
        "one , . ";
    char key[16];

    if (strlen(w) > 10)
        return false;
    snprintf(key, sizeof(key), " %s ", w);
    return strstr(words, key) != NULL;
}

/* The rest of the line of a sorted file that begins with word and a space; NULL if none. */
static const char *look_up(const struct mm_map *m, const char *word, size_t n, size_t *len)
{
    size_t lo = 0;
    size_t hi = m->size;
    const char *d = (const char *)m->data;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const char *nl;
        size_t end;
        int cmp;

        while (mid > lo && d[mid - 1] != '\n')
            mid--;
        nl = memchr(d + mid, '\n', m->size - mid);
        end = nl ? (size_t)(nl - d) : m->size;
        cmp = strncmp(word, d + mid, end - mid < n ? end - mid : n);
        if (cmp == 0)
            cmp = end - mid > n && d[mid + n] == ' ' ? 0 : end - mid > n && d[mid + n] < ' ' ? 1 : -1;
        if (cmp == 0) {
            *len = end - mid - n;
            return d + mid + n;
        }
        if (cmp < 0)
            hi = mid;
        else
            lo = end + 1;
    }
    return NULL;
}

/* "dog n 7 5 @ ~ #m #p %p 7 1 02084071 ...": the synsets are the last count numbers. */
static void senses(struct mm_eval_meteor *t, uint32_t *v, size_t *n, unsigned pos, const char *w,
                   size_t wn)
{
    size_t len;
    const char *line = look_up(&t->index[pos], w, wn, &len);
    char *copy = line ? mm_arena_strdup(t->a, line, len) : NULL;
    char *rest = NULL;
    unsigned long count;
    unsigned long skip;
    char *f;

    if (!copy || !strtok_r(copy, " ", &rest) || !(f = strtok_r(NULL, " ", &rest)))
        return;
    count = strtoul(f, NULL, 10);
    f = strtok_r(NULL, " ", &rest);
    skip = f ? strtoul(f, NULL, 10) + 2 : 0;
    while (f && skip--)
        f = strtok_r(NULL, " ", &rest);
    while (f && count-- && (f = strtok_r(NULL, " ", &rest)) && *n < SENSES)
        v[(*n)++] = (uint32_t)(strtoul(f, NULL, 10) & 0x3fffffff) | (uint32_t)pos << 30;
}

/* The word and its base forms, by WordNet's rules of detachment and its exceptions. */
static void forms(struct mm_eval_meteor *t, uint32_t *v, size_t *n, const char *w)
{
    static const struct {
        unsigned pos;
        const char *end, *put;
    } rules[] = { { 0, "s", "" },    { 0, "ses", "s" },  { 0, "xes", "x" }, { 0, "ches", "ch" },
                  { 0, "shes", "sh" }, { 0, "men", "man" }, { 0, "ies", "y" }, { 1, "s", "" },
                  { 1, "ies", "y" }, { 1, "es", "e" },   { 1, "es", "" },   { 1, "ed", "e" },
                  { 1, "ed", "" },   { 1, "ing", "e" },  { 1, "ing", "" },  { 2, "er", "" },
                  { 2, "est", "" },  { 2, "er", "e" },   { 2, "est", "e" } };
    const size_t len = strlen(w);
    char base[64];

    if (len > 40)
        return;
    for (unsigned pos = 0; pos < 4; pos++) {
        size_t k;
        const char *line = look_up(&t->exc[pos], w, len, &k);

        senses(t, v, n, pos, w, len);
        if (line && k > 1)
            senses(t, v, n, pos, line + 1, strcspn(line + 1, " \r\n"));
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        const size_t cut = strlen(rules[i].end);

        if (len <= cut + 1 || strcmp(w + len - cut, rules[i].end) != 0)
            continue;
        snprintf(base, sizeof(base), "%.*s%s", (int)(len - cut), w, rules[i].put);
        senses(t, v, n, rules[i].pos, base, strlen(base));
    }
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int add_word(struct mm_eval_meteor *t, const char *w, size_t *number, struct mm_err *e)
{
    uint32_t v[SENSES];
    struct entry x = { .function = is_function(w) };
    const size_t len = strlen(w);
    const sb_symbol *stem = sb_stemmer_stem(t->stemmer, (const sb_symbol *)w, (int)len);

    x.word = mm_arena_strdup(t->a, w, len);
    x.stem = stem ? mm_arena_strdup(t->a, (const char *)stem,
                                    (size_t)sb_stemmer_length(t->stemmer)) : NULL;
    if (t->synonyms && !x.function)
        forms(t, v, &x.n, w);
    x.sense = mm_arena_alloc(t->a, x.n * sizeof(*v) + 1);
    if (!x.word || !x.stem || !x.sense || !mm_grow(&t->entry, &t->cap, t->n + 1, sizeof(x)))
        return no_memory(e);
    if (x.n) {
        memcpy(x.sense, v, x.n * sizeof(*v));
        qsort(x.sense, x.n, sizeof(*v), by_value);
    }
    *number = t->n;
    t->entry[t->n++] = x;
    return json_object_set_new(t->known, w, json_integer((json_int_t)*number)) < 0 ? no_memory(e)
                                                                                   : 0;
}

static int numbers(struct mm_eval_meteor *t, size_t *to, const char *const *words, size_t n,
                   struct mm_err *e)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        const json_t *v = json_object_get(t->known, words[i]);

        if (v)
            to[i] = (size_t)json_integer_value(v);
        else
            rc = add_word(t, words[i], &to[i], e);
    }
    return rc;
}

int mm_eval_meteor_open(struct mm_eval_meteor **out, const char *wordnet, struct mm_err *e)
{
    static const char *const pos[] = { "noun", "verb", "adj", "adv" };
    struct mm_eval_meteor *t = calloc(1, sizeof(*t));
    char path[4096];

    *out = t;
    if (!t)
        return no_memory(e);
    t->stemmer = sb_stemmer_new("english", NULL);
    t->a = mm_arena_new();
    t->known = json_object();
    t->synonyms = true;
    if (!t->stemmer || !t->a || !t->known)
        return no_memory(e);
    for (unsigned i = 0; t->synonyms && i < 4; i++) {
        snprintf(path, sizeof(path), "%s/index.%s", wordnet, pos[i]);
        t->synonyms = mm_map_open(&t->index[i], path, (size_t)1 << 28, NULL) == 0;
        snprintf(path, sizeof(path), "%s/%s.exc", wordnet, pos[i]);
        if (t->synonyms && mm_map_open(&t->exc[i], path, (size_t)1 << 28, NULL) < 0)
            t->exc[i] = (struct mm_map){ 0 }; /* fewer base forms */
    }
    return 0;
}

void mm_eval_meteor_close(struct mm_eval_meteor *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < 4; i++) {
        mm_map_close(&t->index[i]);
        mm_map_close(&t->exc[i]);
    }
    sb_stemmer_delete(t->stemmer);
    mm_arena_free(t->a);
    json_decref(t->known);
    free(t->entry);
    free(t);
}

bool mm_eval_meteor_synonyms(const struct mm_eval_meteor *t)
{
    return t->synonyms;
}

/* --- alignment ------------------------------------------------------------------------------- */

/* Weight of a match of two words; 0: none. */
static double match(const struct entry *x, const struct entry *y)
{
    if (x == y)
        return 1;
    if (strcmp(x->stem, y->stem) == 0)
        return 0.6;
    for (size_t i = 0, j = 0; i < x->n && j < y->n;) {
        if (x->sense[i] == y->sense[j])
            return 0.8;
        if (x->sense[i] < y->sense[j])
            i++;
        else
            j++;
    }
    return 0;
}

struct path {
    uint32_t matches, chunks, distance;
    int32_t last;   /* place of the word before, -1: none */
    uint32_t from;  /* path of the word before that this one goes on */
    int32_t place;  /* what this word took, -1 */
};

static int better(const void *a, const void *b)
{
    const struct path *x = a;
    const struct path *y = b;

    if (x->matches != y->matches)
        return x->matches < y->matches ? 1 : -1;
    if (x->chunks != y->chunks)
        return x->chunks > y->chunks ? 1 : -1;
    if (x->distance != y->distance)
        return x->distance > y->distance ? 1 : -1;
    if (x->from != y->from)
        return x->from > y->from ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

struct align {
    const struct mm_eval_meteor *t;
    const size_t *hyp, *ref;
    size_t n, m, blocks;
    uint64_t *used[2]; /* [BEAM][blocks] */
    struct path *path; /* [n + 1][BEAM] */
    size_t *paths;     /* [n + 1] how many */
};

/* Places of ref that word i may take, at most PLACES. */
static size_t places(int32_t *to, const struct align *al, size_t i)
{
    size_t k = 0;

    for (size_t j = 0; j < al->m && k < PLACES; j++)
        if (match(&al->t->entry[al->hyp[i]], &al->t->entry[al->ref[j]]) > 0)
            to[k++] = (int32_t)j;
    return k;
}

static void step(struct align *al, size_t i)
{
    struct path next[BEAM * (PLACES + 1)];
    int32_t place[PLACES];
    const size_t k = places(place, al, i);
    const uint64_t *used = al->used[i % 2];
    uint64_t *to = al->used[(i + 1) % 2];
    size_t n = 0;

    for (uint32_t p = 0; p < al->paths[i]; p++) {
        const struct path *x = &al->path[i * BEAM + p];

        next[n++] = (struct path){ x->matches, x->chunks, x->distance, -1, p, -1 };
        for (size_t j = 0; j < k; j++) {
            const size_t r = (size_t)place[j];

            if (used[p * al->blocks + r / 64] >> (r % 64) & 1)
                continue;
            next[n++] = (struct path){
                x->matches + 1, x->chunks + (x->last < 0 || x->last + 1 != place[j]),
                x->distance + (uint32_t)(i > r ? i - r : r - i), place[j], p, place[j]
            };
        }
    }
    qsort(next, n, sizeof(*next), better);
    n = n < BEAM ? n : BEAM;
    al->paths[i + 1] = n;
    for (size_t p = 0; p < n; p++) {
        al->path[(i + 1) * BEAM + p] = next[p];
        memcpy(to + p * al->blocks, used + next[p].from * al->blocks, al->blocks * sizeof(*to));
        if (next[p].place >= 0)
            to[p * al->blocks + (size_t)next[p].place / 64] |= UINT64_C(1) << (next[p].place % 64);
    }
}

static void count(struct mm_eval_meteor_stats *s, const struct align *al)
{
    const struct entry *en = al->t->entry;
    uint32_t p = 0;

    s->matches = al->path[al->n * BEAM].matches;
    s->chunks = al->path[al->n * BEAM].chunks;
    for (size_t j = 0; j < al->m; j++)
        s->ref[en[al->ref[j]].function]++;
    for (size_t i = al->n; i-- > 0;) {
        const struct path *x = &al->path[(i + 1) * BEAM + p];
        const struct entry *h = &en[al->hyp[i]];

        s->hyp[h->function]++;
        if (x->place >= 0) {
            const struct entry *r = &en[al->ref[x->place]];

            s->hyp_match[h->function] += match(h, r);
            s->ref_match[r->function] += match(h, r);
        }
        p = x->from;
    }
}

int mm_eval_meteor_pair(struct mm_eval_meteor_stats *s, struct mm_eval_meteor *t,
                        const char *const *hyp, size_t n, const char *const *ref, size_t m,
                        struct mm_err *e)
{
    size_t *number = malloc((n + m + 1) * sizeof(*number));
    struct align al = { .t = t, .hyp = number, .n = n, .m = m, .blocks = m / 64 + 1 };
    int rc = number ? 0 : no_memory(e);

    memset(s, 0, sizeof(*s));
    al.used[0] = calloc(BEAM * al.blocks, sizeof(uint64_t));
    al.used[1] = calloc(BEAM * al.blocks, sizeof(uint64_t));
    al.path = calloc((n + 1) * BEAM, sizeof(*al.path));
    al.paths = calloc(n + 1, sizeof(*al.paths));
    if (!al.used[0] || !al.used[1] || !al.path || !al.paths)
        rc = no_memory(e);
    if (rc == 0)
        rc = numbers(t, number, hyp, n, e);
    if (rc == 0)
        rc = numbers(t, number + n, ref, m, e);
    if (rc == 0) {
        al.ref = number + n;
        al.paths[0] = 1;
        al.path[0].last = -1;
        for (size_t i = 0; i < n; i++)
            step(&al, i);
        count(s, &al);
    }
    free(number);
    free(al.used[0]);
    free(al.used[1]);
    free(al.path);
    free(al.paths);
    return rc;
}

/* --- score ------------------------------------------------------------------------------------- */

static double part(const double *match, const double *all)
{
    const double d = 0.75;
    const double sum = d * all[0] + (1 - d) * all[1];

    return sum > 0 ? (d * match[0] + (1 - d) * match[1]) / sum : 0;
}

double mm_eval_meteor_score(const struct mm_eval_meteor_stats *s)
{
    const double alpha = 0.85;
    const double p = part(s->hyp_match, s->hyp);
    const double r = part(s->ref_match, s->ref);
    const bool whole = s->chunks == 1 && s->matches == s->hyp[0] + s->hyp[1] &&
                       s->matches == s->ref[0] + s->ref[1];
    const double frag = whole ? 0 : s->chunks / s->matches;

    if (!(p > 0 && r > 0))
        return 0;
    return p * r / (alpha * p + (1 - alpha) * r) * (1 - 0.6 * pow(frag, 0.2));
}

double mm_eval_meteor_corpus(const size_t *pick, size_t n, const void *ctx)
{
    const struct mm_eval_meteor_stats *s = ctx;
    struct mm_eval_meteor_stats sum = { 0 };

    for (size_t i = 0; i < n; i++) {
        const struct mm_eval_meteor_stats *x = &s[pick[i]];

        for (int k = 0; k < 2; k++) {
            sum.hyp[k] += x->hyp[k];
            sum.ref[k] += x->ref[k];
            sum.hyp_match[k] += x->hyp_match[k];
            sum.ref_match[k] += x->ref_match[k];
        }
        sum.matches += x->matches;
        sum.chunks += x->chunks;
    }
    return mm_eval_meteor_score(&sum);
}
