/* times.c: see times.h. */
#include "tensor/times.h"

#include <assert.h>

#include "base/progress.h"

void mm_times_start(struct mm_ctx *c, size_t rows, size_t decoded)
{
    if (!c->times)
        return;
    c->times->share[MM_TIMES_DECODE] = rows ? (double)decoded / (double)rows : 1;
    c->times->share[MM_TIMES_PREFILL] = 1 - c->times->share[MM_TIMES_DECODE];
    c->times->last = mm_now();
}

void mm_times_lap(struct mm_ctx *c, int stage, double flop, double bytes)
{
    struct mm_times *t = c->times;

    if (!t)
        return;
    assert(stage >= 0 && stage < MM_TIMES_STAGES);
    const double now = mm_now();
    for (int k = 0; k < MM_TIMES_KINDS; k++) {
        t->at[k][stage].s += t->share[k] * (now - t->last);
        t->at[k][stage].flop += t->share[k] * flop;
        t->at[k][stage].bytes += t->share[k] * bytes;
    }
    t->last = now;
}

void mm_times_lap_linear(struct mm_ctx *c, int stage, size_t rows, const struct mm_var *const *w,
                         int n)
{
    double elements = 0;
    double bytes = 0;

    if (!c->times)
        return;
    for (int i = 0; i < n; i++) {
        const struct mm_wmat *m = w[i]->w;
        const size_t count = mm_tensor_count(&w[i]->t);
        size_t b = 0;
        elements += (double)count;
        if (mm_dtype_bytes(m ? mm_wmat_dtype(m) : MM_F32, count, &b))
            bytes += (double)b;
    }
    mm_times_lap(c, stage, 2 * elements * (double)rows, bytes);
}

void mm_times_line(struct mm_buf *out, const char *name, const struct mm_times_row *row)
{
    if (row->s <= 0)
        return;
    mm_buf_printf(out, "time %s %.3f ms", name, 1e3 * row->s);
    if (row->bytes > 0)
        mm_buf_printf(out, " %.1f GFLOP/s %.1f GB/s", 1e-9 * row->flop / row->s,
                      1e-9 * row->bytes / row->s);
    mm_buf_char(out, '\n');
}
