/* fold.c: see fold.h.  A stack of partial sums, one for each half that waits. */
#include "train/fold.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

enum { DEPTH = 32, PART = 1 << 16 };

struct mm_fold {
    float *grad;
    size_t n, count;
    float *copy[DEPTH];
    size_t waiting; /* copies in use */
    int copies;
};

static int depth_of(size_t count)
{
    int d = 0;

    for (; count > 1; count = count - count / 2)
        d++;
    return d;
}

int mm_fold_new(struct mm_fold **out, float *grad, size_t n, size_t count, struct mm_err *e)
{
    struct mm_fold *f = calloc(1, sizeof(*f));

    if (!f)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    f->grad = grad;
    f->n = n;
    f->count = count;
    for (f->copies = 0; f->copies < depth_of(count); f->copies++)
        if (!(f->copy[f->copies] = malloc((n + 1) * sizeof(float)))) {
            mm_fold_free(f);
            return mm_err_set(e, MM_ENOMEM, "gradients of several micro-batches: out of memory");
        }
    *out = f;
    return 0;
}

void mm_fold_free(struct mm_fold *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->copies; i++)
        free(f->copy[i]);
    free(f);
}

struct sum {
    float *to;
    const float *a;
    size_t n;
};

/* a + grad: the first half is always the left operand */
static void sum_part(void *arg, size_t tile, int thread)
{
    const struct sum *s = arg;
    const size_t from = tile * PART, n = s->n - from < PART ? s->n - from : PART;

    (void)thread;
    mm_kern()->add(s->to + from, s->a + from, s->to + from, n);
}

/* How many waiting halves micro-batch i completes: it is the last leaf of their right
 * sides. */
static size_t completes(size_t i, size_t count)
{
    size_t from = 0, n = count, done = 0;

    while (n > 1) {
        const size_t half = n - n / 2;

        if (i < from + half) {
            n = half;
            done = 0;
        } else {
            from += half;
            n -= half;
            done++;
        }
    }
    return done;
}

void mm_fold_add(struct mm_fold *f, size_t i, struct mm_pool *p)
{
    for (size_t k = completes(i, f->count); k > 0; k--) {
        const struct sum s = { f->grad, f->copy[--f->waiting], f->n };

        if (f->n)
            mm_pool_run(p, (f->n - 1) / PART + 1, sum_part, (void *)&s);
    }
    if (i + 1 == f->count) /* the whole */
        return;
    memcpy(f->copy[f->waiting++], f->grad, f->n * sizeof(float));
}
