/* order.c: see order.h. */
#include "train/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

struct mm_order {
    struct mm_order_spec s;
    size_t *perm;    /* [n], of epoch */
    size_t *scratch; /* [n] */
    size_t *groups;  /* [n / group] */
    uint64_t epoch;
    bool made;
};

int mm_order_new(struct mm_order **out, const struct mm_order_spec *s, struct mm_err *e)
{
    struct mm_order *o = calloc(1, sizeof(*o));

    if (o) {
        o->s = *s;
        o->perm = malloc(s->n * sizeof(*o->perm));
        o->scratch = malloc(s->n * sizeof(*o->scratch));
        o->groups = malloc((s->group ? s->n / s->group + 1 : 1) * sizeof(*o->groups));
    }
    if (!o || !o->perm || !o->scratch || !o->groups) {
        mm_order_free(o);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    *out = o;
    return 0;
}

void mm_order_free(struct mm_order *o)
{
    if (!o)
        return;
    free(o->perm);
    free(o->scratch);
    free(o->groups);
    free(o);
}

/* Fisher and Yates */
static void shuffle(struct mm_rng *r, size_t *v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)mm_rng_below(r, i), t = v[i - 1];

        v[i - 1] = v[j];
        v[j] = t;
    }
}

static int64_t size_of(const struct mm_order *o, size_t sample)
{
    const int64_t l = o->s.length[sample];

    return l < 0 ? -l : l;
}

/* The longest first; of equal ones the earlier in the permutation (insertion is
 * stable, and a group is small). */
static void sort_group(const struct mm_order *o, size_t *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const size_t x = v[i];
        size_t j = i;

        for (; j > 0 && size_of(o, v[j - 1]) < size_of(o, x); j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

/* Those of one kind, in the permutation's order, to the end of scratch. */
static size_t collect(struct mm_order *o, size_t at, bool text)
{
    for (size_t i = 0; i < o->s.n; i++)
        if ((o->s.length[o->perm[i]] < 0) == text)
            o->scratch[at++] = o->perm[i];
    return at;
}

static void group(struct mm_order *o, struct mm_rng *r)
{
    const size_t n = o->s.n, g = o->s.group;
    const size_t with = collect(o, 0, false);
    const size_t first = with / g, all = first + (n - with) / g;
    size_t at = 0;

    (void)collect(o, with, true);
    for (size_t i = 0; i < all; i++)
        o->groups[i] = i;
    shuffle(r, o->groups, all);
    for (size_t i = 0; i < all; i++, at += g) {
        const size_t k = o->groups[i];
        const size_t from = k < first ? k * g : with + (k - first) * g;

        memcpy(o->perm + at, o->scratch + from, g * sizeof(*o->perm));
        sort_group(o, o->perm + at, g);
    }
    for (size_t i = first * g; i < with; i++)
        o->perm[at++] = o->scratch[i];
    for (size_t i = with + (all - first) * g; i < n; i++)
        o->perm[at++] = o->scratch[i];
    sort_group(o, o->perm + all * g, n - all * g);
}

static void make_epoch(struct mm_order *o, uint64_t epoch)
{
    struct mm_rng r;

    /* epochs of one seed are far apart: both go through a hash */
    mm_rng_seed(&r, mm_hash64((uint64_t[]){ o->s.seed, epoch }, 2 * sizeof(uint64_t)));
    for (size_t i = 0; i < o->s.n; i++)
        o->perm[i] = i;
    if (o->s.shuffle)
        shuffle(&r, o->perm, o->s.n);
    if (o->s.group)
        group(o, &r);
    o->epoch = epoch;
    o->made = true;
}

size_t mm_order_at(struct mm_order *o, uint64_t p)
{
    const uint64_t epoch = p / o->s.n;

    if (!o->made || o->epoch != epoch)
        make_epoch(o, epoch);
    return o->perm[p % o->s.n];
}
