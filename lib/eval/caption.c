/* caption.c: see caption.h.  Words and n-grams are numbered once; a text is a sorted
 * bag of them. */
#include "eval/caption.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/meteor.h"
#include "eval/ptb.h"

enum { ORDERS = 4, MAX_WORDS = 5000 };

struct gram {
    uint32_t w[ORDERS]; /* words, the rest 0 */
    uint32_t order;     /* 1-4; 0: free slot */
    uint32_t df;        /* images whose references have it */
    uint32_t seen;      /* the last of them, plus 1 */
};

struct count {
    uint32_t gram, times;
};

struct text {
    const char **word; /* [n] */
    uint32_t *w;       /* [n] numbers of words, from 1 */
    size_t n;
    struct count *bag; /* [nbag] by gram */
    size_t nbag;
};

struct image {
    struct text hyp;
    struct text *ref; /* [nref] */
    size_t nref;
    double guess[ORDERS], correct[ORDERS], closest; /* what BLEU counts */
};

struct caps {
    struct mm_arena *a;
    struct mm_err *e;
    struct image *im; /* [n] */
    size_t n;
    json_t *words;    /* word: number */
    struct gram *gram; /* [size], a power of two, open addressing */
    size_t size;
    struct mm_eval_meteor *meteor;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* --- texts ---------------------------------------------------------------------------------- */

static int read_text(struct caps *c, struct text *t, const char *s, const char *id)
{
    struct mm_buf b = { 0 };
    int rc = mm_eval_ptb(&b, s, true, c->e);
    char *copy = rc == 0 ? mm_arena_strdup(c->a, b.n ? b.p : "", b.n) : NULL;
    size_t most = 1;

    mm_buf_free(&b);
    if (!copy)
        return rc < 0 ? rc : no_memory(c->e);
    for (const char *p = copy; *p; p++)
        most += *p == ' ';
    if (most > MAX_WORDS)
        return mm_err_set(c->e, MM_EDATA, "'%s': a caption of %zu words, more than %d", id, most,
                          MAX_WORDS);
    t->word = mm_arena_alloc(c->a, most * sizeof(*t->word));
    t->w = mm_arena_alloc(c->a, most * sizeof(*t->w));
    if (!t->word || !t->w)
        return no_memory(c->e);
    t->n = 0;
    for (char *p = copy, *rest = NULL; (p = strtok_r(p, " ", &rest)) != NULL; p = NULL) {
        json_t *v = json_object_get(c->words, p);

        if (!v && json_object_set_new(
                      c->words, p,
                      v = json_integer((json_int_t)json_object_size(c->words) + 1)) < 0)
            return no_memory(c->e);
        t->word[t->n] = p;
        t->w[t->n++] = (uint32_t)json_integer_value(v);
    }
    return 0;
}

/* One array of caption texts for an object: its list, or its one text. */
static int add_captions(struct caps *c, json_t *list, const json_t *ref, const char *id)
{
    const char *text = NULL;
    const json_t *many = json_object_get(ref, "captions");
    const json_t *turn;
    size_t i;
    int rc;

    many = many ? many : json_object_get(ref, "references");
    if (json_is_array(many))
        return json_array_extend(list, (json_t *)many) < 0 ? no_memory(c->e) : 0;
    json_array_foreach(json_object_get(ref, "conversations"), i, turn) {
        const char *from = json_string_value(json_object_get(turn, "from"));

        if (!text && from && strcmp(from, "gpt") == 0)
            text = json_string_value(json_object_get(turn, "value"));
    }
    rc = text ? 0 : mm_eval_text(&text, c->a, ref, id, c->e);
    return rc < 0 ? rc : json_array_append_new(list, json_string(text)) < 0 ? no_memory(c->e) : 0;
}

/* References of one image become one object with `captions`. */
static int group(struct caps *c, json_t *groups, const json_t *refs)
{
    json_t *known = json_object();
    int rc = known ? 0 : no_memory(c->e);

    for (size_t i = 0; rc == 0 && i < json_array_size(refs); i++) {
        const json_t *ref = json_array_get(refs, i);
        const char *id = mm_eval_id(c->a, ref, mm_eval_image_ids);
        json_t *g = id ? json_object_get(known, id) : NULL;

        if (!id) {
            rc = mm_err_set(c->e, MM_EDATA, "reference %zu has no id", i + 1);
            break;
        }
        if (!g) {
            g = json_pack("{s:s, s:[], s:O*}", "image_id", id, "captions", "image",
                          json_object_get(ref, "image"));
            if (!g || json_array_append_new(groups, g) < 0 || json_object_set(known, id, g) < 0) {
                rc = no_memory(c->e);
                break;
            }
        }
        rc = add_captions(c, json_object_get(g, "captions"), ref, id);
    }
    json_decref(known);
    return rc;
}

static int read_image(struct caps *c, struct image *im, const struct mm_eval_pairs *p, size_t i)
{
    const json_t *captions = json_object_get(p->ref[i], "captions");
    const char *text;
    int rc = mm_eval_text(&text, c->a, p->pred[i], p->id[i], c->e);

    if (rc == 0)
        rc = read_text(c, &im->hyp, text, p->id[i]);
    im->nref = json_array_size(captions);
    im->ref = mm_arena_zalloc(c->a, (im->nref + 1) * sizeof(*im->ref));
    if (!im->ref)
        return no_memory(c->e);
    if (rc == 0 && im->nref == 0)
        rc = mm_err_set(c->e, MM_EDATA, "reference '%s': no caption", p->id[i]);
    for (size_t k = 0; rc == 0 && k < im->nref; k++) {
        text = json_string_value(json_array_get(captions, k));
        rc = text ? read_text(c, &im->ref[k], text, p->id[i])
                  : mm_err_set(c->e, MM_EDATA, "reference '%s': a caption is no text", p->id[i]);
    }
    return rc;
}

/* --- n-grams --------------------------------------------------------------------------------- */

static uint32_t find_gram(struct caps *c, const uint32_t *w, uint32_t order)
{
    uint64_t h = order * UINT64_C(0x9e3779b97f4a7c15);
    struct gram *g;

    for (uint32_t k = 0; k < order; k++)
        h = (h ^ w[k]) * UINT64_C(0xff51afd7ed558ccd) ^ (h >> 29);
    for (size_t i = (size_t)(h ^ h >> 32) & (c->size - 1);; i = (i + 1) & (c->size - 1)) {
        g = &c->gram[i];
        if (g->order == order && memcmp(g->w, w, order * sizeof(*w)) == 0)
            return (uint32_t)i;
        if (g->order == 0) {
            memcpy(g->w, w, order * sizeof(*w));
            g->order = order;
            return (uint32_t)i;
        }
    }
}

static int by_gram(const void *a, const void *b)
{
    const uint32_t x = ((const struct count *)a)->gram;
    const uint32_t y = ((const struct count *)b)->gram;

    return (x > y) - (x < y);
}

static int fill_bag(struct caps *c, struct text *t)
{
    size_t n = 0;

    t->bag = mm_arena_alloc(c->a, (ORDERS * t->n + 1) * sizeof(*t->bag));
    if (!t->bag)
        return no_memory(c->e);
    for (uint32_t o = 1; o <= ORDERS; o++)
        for (size_t i = 0; i + o <= t->n; i++)
            t->bag[n++] = (struct count){ find_gram(c, t->w + i, o), 1 };
    qsort(t->bag, n, sizeof(*t->bag), by_gram);
    t->nbag = 0;
    for (size_t i = 0; i < n; i++)
        if (t->nbag && t->bag[t->nbag - 1].gram == t->bag[i].gram)
            t->bag[t->nbag - 1].times++;
        else
            t->bag[t->nbag++] = t->bag[i];
    return 0;
}

static int count_grams(struct caps *c)
{
    size_t total = 16;
    int rc = 0;

    for (size_t i = 0; i < c->n; i++) {
        total += ORDERS * c->im[i].hyp.n;
        for (size_t k = 0; k < c->im[i].nref; k++)
            total += ORDERS * c->im[i].ref[k].n;
    }
    for (c->size = 64; c->size < 2 * total; c->size *= 2)
        ;
    c->gram = calloc(c->size, sizeof(*c->gram));
    if (!c->gram || c->size > UINT32_MAX)
        return no_memory(c->e);
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        rc = fill_bag(c, &c->im[i].hyp);
        for (size_t k = 0; rc == 0 && k < c->im[i].nref; k++) {
            const struct text *t = &c->im[i].ref[k];

            rc = fill_bag(c, &c->im[i].ref[k]);
            for (size_t g = 0; rc == 0 && g < t->nbag; g++) {
                struct gram *gram = &c->gram[t->bag[g].gram];

                gram->df += gram->seen != i + 1;
                gram->seen = (uint32_t)(i + 1);
            }
        }
    }
    return rc;
}

/* --- BLEU ------------------------------------------------------------------------------------- */

/* Counts clipped at the largest of any reference; the length of the nearest one. */
static int bleu_counts(struct caps *c, struct image *im)
{
    const struct mm_arena_mark m = mm_arena_mark(c->a);
    uint32_t *most = mm_arena_zalloc(c->a, (im->hyp.nbag + 1) * sizeof(*most));
    size_t near = SIZE_MAX;

    if (!most)
        return no_memory(c->e);
    for (size_t k = 0; k < im->nref; k++) {
        const struct text *r = &im->ref[k];
        const size_t d = r->n > im->hyp.n ? r->n - im->hyp.n : im->hyp.n - r->n;

        if (d < near || (d == near && (double)r->n < im->closest)) {
            near = d;
            im->closest = (double)r->n;
        }
        for (size_t i = 0, j = 0; i < im->hyp.nbag && j < r->nbag;) {
            if (im->hyp.bag[i].gram == r->bag[j].gram) {
                most[i] = most[i] > r->bag[j].times ? most[i] : r->bag[j].times;
                i++, j++;
            } else if (im->hyp.bag[i].gram < r->bag[j].gram) {
                i++;
            } else {
                j++;
            }
        }
    }
    for (size_t i = 0; i < im->hyp.nbag; i++) {
        const size_t o = c->gram[im->hyp.bag[i].gram].order - 1;
        const uint32_t t = im->hyp.bag[i].times;

        im->guess[o] += t;
        im->correct[o] += t < most[i] ? t : most[i];
    }
    mm_arena_release(c->a, m);
    return 0;
}

/* The scorer's epsilons keep an n-gram order without matches from making all 0. */
static void bleu_of(double bleu[ORDERS], const double *guess, const double *correct, double hyp,
                    double closest)
{
    const double ratio = (hyp + 1e-15) / (closest + 1e-9);
    double product = 1;

    for (size_t o = 0; o < ORDERS; o++) {
        product *= (correct[o] + 1e-15) / (guess[o] + 1e-9);
        bleu[o] = pow(product, 1.0 / (double)(o + 1)) * (ratio < 1 ? exp(1 - 1 / ratio) : 1);
    }
}

struct bleu_ctx {
    const struct image *im;
    size_t order;
};

static double corpus_bleu(const size_t *pick, size_t n, const void *ctx)
{
    const struct bleu_ctx *b = ctx;
    double guess[ORDERS] = { 0 };
    double correct[ORDERS] = { 0 };
    double bleu[ORDERS];
    double hyp = 0;
    double closest = 0;

    for (size_t i = 0; i < n; i++) {
        const struct image *im = &b->im[pick[i]];

        for (size_t o = 0; o < ORDERS; o++) {
            guess[o] += im->guess[o];
            correct[o] += im->correct[o];
        }
        hyp += (double)im->hyp.n;
        closest += im->closest;
    }
    bleu_of(bleu, guess, correct, hyp, closest);
    return bleu[b->order];
}

/* --- ROUGE-L ------------------------------------------------------------------------------------ */

/* Length of the longest common subsequence; an empty text is one empty word. */
static size_t lcs(const struct text *x, const struct text *y, uint32_t *row)
{
    if (x->n == 0 || y->n == 0)
        return x->n == y->n;
    memset(row, 0, (y->n + 1) * sizeof(*row));
    for (size_t i = 0; i < x->n; i++) {
        uint32_t diagonal = 0;

        for (size_t j = 0; j < y->n; j++) {
            const uint32_t above = row[j + 1];

            row[j + 1] = x->w[i] == y->w[j]     ? diagonal + 1
                         : above > row[j] ? above
                                                : row[j];
            diagonal = above;
        }
    }
    return row[y->n];
}

static double rouge_l(const struct image *im, uint32_t *row)
{
    const double b2 = 1.2 * 1.2;
    double p = 0;
    double r = 0;

    for (size_t k = 0; k < im->nref; k++) {
        const double l = (double)lcs(&im->hyp, &im->ref[k], row);

        p = fmax(p, l / (double)(im->hyp.n ? im->hyp.n : 1));
        r = fmax(r, l / (double)(im->ref[k].n ? im->ref[k].n : 1));
    }
    return p > 0 && r > 0 ? (1 + b2) * p * r / (r + b2 * p) : 0;
}

/* --- CIDEr ---------------------------------------------------------------------------------------- */

static double weight(const struct caps *c, struct count x)
{
    const uint32_t df = c->gram[x.gram].df;

    return x.times * (log((double)c->n) - log(df > 1 ? df : 1.0));
}

static void norms(double norm[ORDERS], const struct caps *c, const struct text *t)
{
    memset(norm, 0, ORDERS * sizeof(*norm));
    for (size_t i = 0; i < t->nbag; i++) {
        const double w = weight(c, t->bag[i]);

        norm[c->gram[t->bag[i].gram].order - 1] += w * w;
    }
    for (size_t o = 0; o < ORDERS; o++)
        norm[o] = sqrt(norm[o]);
}

/* Cosines of the four orders with one reference, summed; -D clips the weights and is
 * damped by the difference of lengths, which the scorer takes in bigrams. */
static void cosines(double sum[2], const struct caps *c, const struct text *h,
                    const struct text *r, const double *hnorm)
{
    const double delta = (double)(h->n ? h->n - 1 : 0) - (double)(r->n ? r->n - 1 : 0);
    const double damp = exp(-delta * delta / (2 * 6.0 * 6.0));
    double rnorm[ORDERS];
    double dot[2][ORDERS] = { { 0 } };

    norms(rnorm, c, r);
    for (size_t i = 0, j = 0; i < h->nbag && j < r->nbag;) {
        if (h->bag[i].gram == r->bag[j].gram) {
            const double x = weight(c, h->bag[i++]);
            const double y = weight(c, r->bag[j]);
            const size_t o = c->gram[r->bag[j++].gram].order - 1;

            dot[0][o] += fmin(x, y) * y;
            dot[1][o] += x * y;
        } else if (h->bag[i].gram < r->bag[j].gram) {
            i++;
        } else {
            j++;
        }
    }
    for (size_t o = 0; o < ORDERS; o++) {
        const double n = hnorm[o] != 0 && rnorm[o] != 0 ? hnorm[o] * rnorm[o] : 1;

        sum[0] += dot[0][o] / n * damp;
        sum[1] += dot[1][o] / n;
    }
}

static void ciders(double score[2], const struct caps *c, const struct image *im)
{
    double norm[ORDERS];

    norms(norm, c, &im->hyp);
    score[0] = score[1] = 0;
    for (size_t k = 0; k < im->nref; k++)
        cosines(score, c, &im->hyp, &im->ref[k], norm);
    score[0] *= 10.0 / ORDERS / (double)im->nref;
    score[1] *= 10.0 / ORDERS / (double)im->nref;
}

/* --- the report ------------------------------------------------------------------------------------- */

static int put_list(json_t *out, const char *name, const double *x, size_t n, struct mm_err *e)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, mm_eval_real(x[i], -1));
    return json_object_set_new(out, name, list) < 0 ? no_memory(e) : 0;
}

static int report_bleu(json_t *out, struct caps *c, const struct mm_eval_boot *b)
{
    json_t *all = json_array();
    json_t *each = json_array();
    char name[20];
    int rc = all && each ? 0 : no_memory(c->e);

    for (size_t o = 0; rc == 0 && o < ORDERS; o++) {
        const struct bleu_ctx ctx = { c->im, o };

        snprintf(name, sizeof(name), "bleu_%zu", o + 1);
        rc = mm_eval_put(out, name, corpus_bleu, &ctx, c->n, -1, b, c->e);
        json_array_append(all, json_object_get(out, name));
    }
    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        const struct image *im = &c->im[i];
        double x[ORDERS];

        bleu_of(x, im->guess, im->correct, (double)im->hyp.n, im->closest);
        json_array_append_new(each, json_pack("[f,f,f,f]", x[0], x[1], x[2], x[3]));
    }
    if (json_object_set_new(out, "bleu", all) < 0 ||
        json_object_set_new(out, "bleu_per_image", each) < 0)
        rc = no_memory(c->e);
    return rc;
}

static json_t *joined(const struct text *t)
{
    struct mm_buf b = { 0 };
    json_t *s;

    for (size_t i = 0; i < t->n; i++)
        mm_buf_printf(&b, "%s%s", i ? " " : "", t->word[i]);
    s = json_string(b.n ? b.p : "");
    mm_buf_free(&b);
    return s;
}

static int report_texts(json_t *out, struct caps *c, const struct mm_eval_pairs *p)
{
    json_t *results = json_object();
    json_t *references = json_object();
    int rc = results && references ? 0 : no_memory(c->e);

    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        json_t *list = json_array();

        for (size_t k = 0; k < c->im[i].nref; k++)
            json_array_append_new(list, joined(&c->im[i].ref[k]));
        if (json_object_set_new(results, p->id[i], joined(&c->im[i].hyp)) < 0 ||
            json_object_set_new(references, p->id[i], list) < 0)
            rc = no_memory(c->e);
    }
    if (json_object_set_new(out, "tokenized_references", references) < 0 ||
        json_object_set_new(out, "tokenized_results", results) < 0)
        rc = no_memory(c->e);
    return rc;
}

static int report_means(json_t *out, struct caps *c, const struct mm_eval_boot *b)
{
    static const char *const names[][2] = { { "rouge_l", "rouge_l_per_image" },
                                            { "cider_d", "cider_d_per_image" },
                                            { "cider", "cider_per_image" } };
    double *x = mm_arena_alloc(c->a, 3 * c->n * sizeof(*x));
    uint32_t *row = mm_arena_alloc(c->a, (MAX_WORDS + 1) * sizeof(*row));
    int rc = x && row ? 0 : no_memory(c->e);

    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        double score[2];

        ciders(score, c, &c->im[i]);
        x[i] = rouge_l(&c->im[i], row);
        x[c->n + i] = score[0];
        x[2 * c->n + i] = score[1];
    }
    for (size_t k = 0; rc == 0 && k < 3; k++) {
        rc = mm_eval_put(out, names[k][0], mm_eval_mean1, x + k * c->n, c->n, -1, b, c->e);
        if (rc == 0)
            rc = put_list(out, names[k][1], x + k * c->n, c->n, c->e);
    }
    return rc;
}

static int report_meteor(json_t *out, struct caps *c, const struct mm_eval_boot *b)
{
    struct mm_eval_meteor_stats *s = mm_arena_zalloc(c->a, c->n * sizeof(*s));
    double *x = mm_arena_alloc(c->a, c->n * sizeof(*x));
    int rc = s && x ? 0 : no_memory(c->e);

    for (size_t i = 0; rc == 0 && i < c->n; i++) {
        const struct image *im = &c->im[i];

        for (size_t k = 0; rc == 0 && k < im->nref; k++) {
            struct mm_eval_meteor_stats one;

            rc = mm_eval_meteor_pair(&one, c->meteor, im->hyp.word, im->hyp.n, im->ref[k].word,
                                     im->ref[k].n, c->e);
            if (rc == 0 && (k == 0 || mm_eval_meteor_score(&one) > mm_eval_meteor_score(&s[i])))
                s[i] = one;
        }
        if (rc == 0)
            x[i] = mm_eval_meteor_score(&s[i]);
    }
    if (rc == 0)
        rc = mm_eval_put(out, "meteor", mm_eval_meteor_corpus, s, c->n, -1, b, c->e);
    if (rc == 0)
        rc = put_list(out, "meteor_per_image", x, c->n, c->e);
    if (rc == 0 && json_object_set_new(out, "meteor_synonyms",
                                       json_boolean(mm_eval_meteor_synonyms(c->meteor))) < 0)
        rc = no_memory(c->e);
    return rc;
}

static int score(json_t *out, struct caps *c, const struct mm_eval_pairs *p,
                 const struct mm_eval_boot *b)
{
    int rc = 0;

    c->n = p->n;
    c->im = mm_arena_zalloc(c->a, c->n * sizeof(*c->im));
    if (!c->im)
        return no_memory(c->e);
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        rc = read_image(c, &c->im[i], p, i);
    if (rc == 0)
        rc = count_grams(c);
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        rc = bleu_counts(c, &c->im[i]);
    if (rc == 0 && json_object_set_new(out, "n", json_integer((json_int_t)c->n)) < 0)
        rc = no_memory(c->e);
    if (rc == 0)
        rc = report_bleu(out, c, b);
    if (rc == 0)
        rc = report_meteor(out, c, b);
    if (rc == 0)
        rc = report_means(out, c, b);
    return rc == 0 ? report_texts(out, c, p) : rc;
}

int mm_eval_captions(json_t *out, const json_t *refs, const json_t *preds, struct mm_arena *a,
                     const struct mm_eval_caption_opts *o, struct mm_err *e)
{
    struct caps c = { .a = a, .e = e, .words = json_object() };
    struct mm_eval_pairs p;
    json_t *groups = json_array();
    int rc = groups && c.words ? mm_eval_meteor_open(&c.meteor, o->wordnet, e) : no_memory(e);

    if (rc == 0)
        rc = group(&c, groups, refs);
    if (rc == 0)
        rc = mm_eval_pair(&p, a, groups, preds, mm_eval_image_ids,
                          o->partial ? MM_EVAL_DROP : MM_EVAL_REFUSE, e);
    if (rc == 0)
        rc = score(out, &c, &p, o->boot);
    mm_eval_meteor_close(c.meteor);
    free(c.gram);
    json_decref(c.words);
    json_decref(groups);
    return rc;
}
