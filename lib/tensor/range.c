/* range.c: see range.h. */
#include "tensor/range.h"

enum { RANGE_COST = 16384, /* about 10 us: well above the price of a tile */
       COLUMNS = 64 };

struct range {
    mm_range_fn *fn;
    void *arg;
    size_t n, step;
};

static void range_tile(void *arg, size_t tile, int thread)
{
    const struct range *r = arg;
    const size_t from = tile * r->step;
    const size_t left = r->n - from;

    (void)thread;
    r->fn(r->arg, from, from + (left < r->step ? left : r->step));
}

static void run(const struct mm_ctx *c, struct range *r, size_t cost, size_t least)
{
    if (r->n == 0)
        return;
    if (cost < RANGE_COST)
        r->step = RANGE_COST / (cost ? cost : 1);
    r->step = r->step < least ? least : r->step;
    mm_pool_run(r->n <= r->step ? NULL : c->pool, (r->n - 1) / r->step + 1, range_tile, r);
}

void mm_range_run(const struct mm_ctx *c, size_t n, size_t cost, mm_range_fn *fn, void *arg)
{
    run(c, &(struct range){ fn, arg, n, 1 }, cost, 1);
}

void mm_range_columns(const struct mm_ctx *c, size_t n, size_t cost, mm_range_fn *fn, void *arg)
{
    run(c, &(struct range){ fn, arg, n, 1 }, cost, COLUMNS);
}

struct table {
    float *y;
    const float *x;
    size_t rows, width;
};

static void add_columns(void *arg, size_t from, size_t to)
{
    const struct table *t = arg;
    const struct mm_kern *k = mm_kern();

    for (size_t r = 0; r < t->rows; r++)
        k->add(t->y + from, t->y + from, t->x + r * t->width + from, to - from);
}

void mm_range_add_rows(const struct mm_ctx *c, float *y, const float *x, size_t rows,
                       size_t width)
{
    mm_range_columns(c, width, rows, add_columns, &(struct table){ y, x, rows, width });
}
