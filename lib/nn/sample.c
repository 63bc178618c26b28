/* sample.c: logits processors and the draw.  See sample.h and llava.md 9.2. */
#include "nn/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

struct cand {
    float l;
    int32_t id;
};

struct near {
    double distance, p;
};

struct mm_sampler {
    struct mm_sample_spec o;
    size_t vocab;
    uint32_t *count;    /* [vocab] occurrences in the history, zero between calls */
    struct cand *cand;  /* [vocab] */
    double *w;          /* [vocab] weights beside cand */
    struct near *near;  /* [vocab], for typical-p only */
};

const struct mm_sample_spec mm_sample_defaults = {
    .top_p = 1, .typical_p = 1, .repeat_penalty = 1
};

int mm_sampler_new(struct mm_sampler **out, const struct mm_sample_spec *spec, size_t vocab,
                   struct mm_err *e)
{
    struct mm_sampler *s = calloc(1, sizeof(*s));

    if (s) {
        s->o = *spec;
        s->vocab = vocab;
        s->count = calloc(vocab, sizeof(*s->count));
        s->cand = calloc(vocab, sizeof(*s->cand));
        s->w = calloc(vocab, sizeof(*s->w));
        if (spec->typical_p < 1)
            s->near = calloc(vocab, sizeof(*s->near));
    }
    if (!s || !s->count || !s->cand || !s->w || (spec->typical_p < 1 && !s->near)) {
        mm_sampler_free(s);
        return mm_err_set(e, MM_ENOMEM, "sampler: out of memory");
    }
    *out = s;
    return 0;
}

void mm_sampler_free(struct mm_sampler *s)
{
    if (!s)
        return;
    free(s->count);
    free(s->cand);
    free(s->w);
    free(s->near);
    free(s);
}

int32_t mm_argmax(const float *l, size_t n)
{
    const float top = mm_kern()->max(l, n);

    for (size_t i = 0; i < n && top > -INFINITY; i++)
        if (l[i] == top)
            return (int32_t)i;
    return -1;
}

/* The sum of exp(l - top): exponentials in f32 as softmax has them, sums of blocks of
 * them in f64. */
static double exp_total(const float *l, float top, size_t n)
{
    enum { BLOCK = 256 };
    float y[BLOCK];
    double sum = 0;

    for (size_t i = 0; i < n; i += BLOCK)
        sum += (double)mm_kern()->exp_sum(y, l + i, top, n - i < BLOCK ? n - i : BLOCK);
    return sum;
}

double mm_logsumexp(const float *l, size_t n)
{
    const float top = mm_kern()->max(l, n);

    return top > -INFINITY ? top + log(exp_total(l, top, n)) : -INFINITY;
}

/* --- before the grammar ------------------------------------------------------ */

static bool in_vocab(const struct mm_sampler *s, int32_t id)
{
    return id >= 0 && (size_t)id < s->vocab;
}

static void ban(const struct mm_sampler *s, float *l, int32_t id)
{
    if (in_vocab(s, id))
        l[id] = -INFINITY;
}

static void repetition(struct mm_sampler *s, float *l, const int32_t *history, size_t n)
{
    const struct mm_sample_spec *o = &s->o;
    const float r = (float)o->repeat_penalty;

    if (o->repeat_window && n > o->repeat_window) {
        history += n - o->repeat_window;
        n = o->repeat_window;
    }
    for (size_t i = 0; i < n; i++)
        if (in_vocab(s, history[i]))
            s->count[history[i]]++;
    for (size_t i = 0; i < n; i++) {
        if (!in_vocab(s, history[i]) || !s->count[history[i]])
            continue;
        float *x = &l[history[i]];
        *x = *x > 0 ? *x / r : *x * r;
        *x -= (float)(s->count[history[i]] * o->frequency_penalty + o->presence_penalty);
        s->count[history[i]] = 0; /* each distinct token once */
    }
}

/* Ban what would complete an n-gram that the history already holds. */
static void no_repeat(const struct mm_sampler *s, float *l, const int32_t *history, size_t n)
{
    const size_t g = s->o.no_repeat_ngram;

    if (g == 0 || n + 1 < g)
        return;
    const int32_t *tail = history + (n + 1 - g);
    for (size_t i = 0; i + g <= n; i++)
        if (memcmp(history + i, tail, (g - 1) * sizeof(*tail)) == 0)
            ban(s, l, history[i + g - 1]);
}

void mm_sampler_penalise(struct mm_sampler *s, float *l, const int32_t *history, size_t n,
                         size_t generated)
{
    const struct mm_sample_spec *o = &s->o;

    for (size_t i = 0; i < o->nbias; i++)
        if (in_vocab(s, o->bias[i].id))
            l[o->bias[i].id] += o->bias[i].add;
    if (o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0)
        repetition(s, l, history, n);
    no_repeat(s, l, history, n);
    if (o->ignore_eos || generated < o->min_tokens)
        for (size_t i = 0; i < o->neos; i++)
            ban(s, l, o->eos[i]);
    for (size_t i = 0; i < o->nnever; i++)
        ban(s, l, o->never[i]);
    if (o->limit)
        for (size_t i = o->limit; i < s->vocab; i++)
            l[i] = -INFINITY;
}

/* --- filters ----------------------------------------------------------------- */

static int by_logit(const void *pa, const void *pb)
{
    const struct cand *a = pa;
    const struct cand *b = pb;

    if (a->l != b->l)
        return a->l < b->l ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The reference sorts ascending and keeps the end: of equal ones the higher id. */
static int by_logit_last(const void *pa, const void *pb)
{
    const struct cand *a = pa;
    const struct cand *b = pb;

    return a->l == b->l ? (a->id > b->id ? -1 : a->id < b->id) : by_logit(pa, pb);
}

/* Candidates above the floor, most probable first; returns how many and sets
 * *mass to the sum of exp(l - top) over them. */
static size_t gather(struct mm_sampler *s, const float *l, float top, float floor_, double *mass)
{
    size_t n = 0;

    *mass = 0;
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] > floor_) {
            s->cand[n++] = (struct cand){ l[i], (int32_t)i };
            *mass += exp((double)l[i] - top);
        }
    return n;
}

/* sorted_prefix: sort the most probable candidates holding at least the share p of
 * the whole mass.  Most mass lies near the top, so a narrow band is tried first. */
static size_t sorted_prefix(struct mm_sampler *s, const float *l, double p,
                            int (*order)(const void *, const void *), double *total)
{
    const int32_t best = mm_argmax(l, s->vocab);
    double mass;

    if (best < 0)
        return 0;
    *total = exp_total(l, l[best], s->vocab);
    size_t n = gather(s, l, l[best], l[best] - 8, &mass);
    if (mass < p * *total)
        n = gather(s, l, l[best], -INFINITY, &mass);
    qsort(s->cand, n, sizeof(*s->cand), order);
    for (size_t i = 0; i < n; i++)
        s->w[i] = exp((double)s->cand[i].l - l[best]);
    return n;
}

static int descending(const void *pa, const void *pb)
{
    const float a = *(const float *)pa;
    const float b = *(const float *)pb;

    return a < b ? 1 : a > b ? -1 : 0;
}

/* Keep logits >= the k-th largest; equal ones at the border all stay. */
static void top_k(struct mm_sampler *s, float *l)
{
    const size_t k = s->o.top_k;
    float *heap = (float *)(void *)s->w; /* the k largest so far, smallest at heap[0] */
    size_t n = 0;

    if (k == 0 || k >= s->vocab)
        return;
    if (k > 4096) { /* nearly everything: sorting is as cheap */
        memcpy(heap, l, s->vocab * sizeof(*l));
        qsort(heap, s->vocab, sizeof(*heap), descending);
        heap[0] = heap[k - 1];
    }
    for (size_t i = 0; k <= 4096 && i < s->vocab; i++) {
        size_t at;
        if (n < k) { /* sift up */
            for (at = n++; at > 0 && heap[(at - 1) / 2] > l[i]; at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
            heap[at] = l[i];
        } else if (l[i] > heap[0]) { /* replace the smallest, sift down */
            for (at = 0; 2 * at + 1 < k;) {
                size_t child = 2 * at + 1;
                child += child + 1 < k && heap[child + 1] < heap[child];
                if (heap[child] >= l[i])
                    break;
                heap[at] = heap[child];
                at = child;
            }
            heap[at] = l[i];
        }
    }
    const float border = heap[0];
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] < border)
            l[i] = -INFINITY;
}

/* Keep the smallest prefix of descending probability whose sum reaches p. */
static void top_p(struct mm_sampler *s, float *l)
{
    double total;
    double sum = 0;
    size_t keep = 0;

    if (s->o.top_p >= 1)
        return;
    const size_t n = sorted_prefix(s, l, s->o.top_p, by_logit_last, &total);
    if (n == 0)
        return;
    do
        sum += s->w[keep++];
    while (keep < n && sum < s->o.top_p * total);
    for (size_t i = 0; i < s->vocab; i++)
        l[i] = -INFINITY;
    for (size_t i = 0; i < keep; i++)
        l[s->cand[i].id] = s->cand[i].l;
}

static void min_p(struct mm_sampler *s, float *l)
{
    const int32_t best = mm_argmax(l, s->vocab);

    if (s->o.min_p <= 0 || best < 0)
        return;
    const double border = l[best] + log(s->o.min_p);
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] < border && (int32_t)i != best)
            l[i] = -INFINITY;
}

static int by_distance(const void *pa, const void *pb)
{
    const struct near *a = pa;
    const struct near *b = pb;

    return a->distance < b->distance ? -1 : a->distance > b->distance;
}

/* Meister 2022: those whose surprise is nearest the entropy, up to the mass. */
static void typical_p(struct mm_sampler *s, float *l)
{
    const double lse = mm_logsumexp(l, s->vocab);
    double entropy = 0;
    double sum = 0;
    size_t n = 0;
    size_t last = 0;
    struct near *v = s->near;

    if (s->o.typical_p >= 1 || !isfinite(lse))
        return;
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] > -INFINITY)
            entropy -= (l[i] - lse) * exp(l[i] - lse);
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] > -INFINITY)
            v[n++] = (struct near){ fabs(lse - l[i] - entropy), exp(l[i] - lse) };
    qsort(v, n, sizeof(*v), by_distance);
    for (size_t i = 0; i < n; i++) {
        last = i;
        sum += v[i].p;
        if (sum >= s->o.typical_p)
            break;
    }
    const double border = v[last].distance;
    for (size_t i = 0; i < s->vocab; i++)
        if (l[i] > -INFINITY && fabs(lse - l[i] - entropy) > border)
            l[i] = -INFINITY;
}

static void temperature(struct mm_sampler *s, float *l)
{
    const float t = (float)s->o.temperature;

    if (t != 1)
        for (size_t i = 0; i < s->vocab; i++)
            l[i] /= t;
}

void mm_sampler_warp(struct mm_sampler *s, float *l)
{
    if (s->o.temperature <= 0)
        return;
    if (s->o.order == MM_SAMPLE_HF)
        temperature(s, l);
    top_k(s, l);
    if (s->o.order == MM_SAMPLE_LLAMACPP)
        typical_p(s, l);
    top_p(s, l);
    min_p(s, l);
    if (s->o.order == MM_SAMPLE_HF)
        typical_p(s, l);
    else
        temperature(s, l);
}

int32_t mm_sampler_pick(struct mm_sampler *s, const float *l, struct mm_rng *rng)
{
    double total;
    double sum = 0;

    if (s->o.temperature <= 0)
        return mm_argmax(l, s->vocab);
    const double u = mm_rng_uniform(rng);
    const size_t n = sorted_prefix(s, l, u, by_logit, &total);
    for (size_t i = 0; i < n; i++) {
        sum += s->w[i];
        if (u * total < sum)
            return s->cand[i].id;
    }
    return n ? s->cand[n - 1].id : -1;
}
