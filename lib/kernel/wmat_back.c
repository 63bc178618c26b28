/* wmat_back.c: dx = dy W, the gradient through a frozen layer.
 *
 * Rows of W are the k of this product: chunks of them are panels as they lie
 * row by row, or packed panels turned round.
 */
#include "kernel/wmat.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/wmat_int.h"

enum {
    ROWS = 768, /* rows of dy of a tile: a multiple of MM_MR */
    COLS = 256, /* columns of dx of a tile: a multiple of every block */
    K = 128     /* rows of W of a chunk: a multiple of MM_NR */
};

/* Scratch of one thread. */
struct work {
    float panel[COLS / MM_NR][K * MM_NR];
    float row[COLS];
    float c[MM_MR * MM_NR];
    struct mm_wmat_f32 f;
};

struct job {
    const struct mm_kern *k;
    float *dx;
    const float *dy;
    size_t rows;
    const struct mm_wmat *m;
    float *a; /* dy interleaved: groups of MM_MR rows, [out][mr] each */
    struct work *work;
};

static void pack_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t r0 = tile * MM_MR, out = j->m->out;

    (void)thread;
    j->k->pack_a(j->a + r0 * out, j->dy + r0 * out, out, out,
                 (int)mm_min_size(MM_MR, j->rows - r0));
}

/* Columns c0.. of rows o0..o0+kc of W. */
static void panels_of_rows(const struct job *j, size_t c0, size_t cols, size_t o0, size_t kc,
                           struct work *w)
{
    const struct mm_wmat *m = j->m;

    memset(w->row, 0, sizeof(w->row));
    for (size_t o = 0; o < kc; o++) {
        j->k->widen[m->dtype](w->row, m->data + (o0 + o) * m->stride + mm_wmat_bytes(m, c0), cols);
        for (size_t c = 0; c < COLS / MM_NR; c++)
            memcpy(w->panel[c] + o * MM_NR, w->row + c * MM_NR, MM_NR * sizeof(float));
    }
}

static void panels_of_packed(const struct job *j, size_t c0, size_t cols, size_t o0, size_t kc,
                             struct work *w)
{
    for (size_t o = 0; o < kc; o += MM_NR) {
        const float *f = mm_wmat_panel_f32(j->m, (o0 + o) / MM_NR, c0, cols, &w->f);
        for (size_t c = 0; c < cols; c += MM_NR)
            j->k->pack_b(w->panel[c / MM_NR] + o * MM_NR, f + c * MM_NR, MM_NR, MM_NR,
                         (int)mm_min_size(MM_NR, cols - c));
    }
}

/* Where the product writes: y itself, or c for a panel cut by the edge. */
struct dest {
    float *y, *c;
    size_t ld, nr;
};

static float *dest_open(const struct dest *d, size_t mr)
{
    if (d->nr == MM_NR)
        return d->y;
    for (size_t r = 0; r < mr; r++)
        memcpy(d->c + r * MM_NR, d->y + r * d->ld, d->nr * sizeof(float));
    return d->c;
}

static void dest_close(const struct dest *d, size_t mr)
{
    if (d->nr < MM_NR)
        for (size_t r = 0; r < mr; r++)
            memcpy(d->y + r * d->ld, d->c + r * MM_NR, d->nr * sizeof(float));
}

static void mul_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t in = j->m->in, out = j->m->out, ncols = mm_div_up(in, COLS);
    const size_t c0 = tile % ncols * COLS, cols = mm_min_size(COLS, in - c0);
    const size_t r0 = tile / ncols * ROWS, r1 = mm_min_size(r0 + ROWS, j->rows);
    struct work *w = &j->work[thread];

    for (size_t r = r0; r < r1; r++)
        memset(j->dx + r * in + c0, 0, cols * sizeof(float));
    for (size_t o0 = 0; o0 < out; o0 += K) {
        const size_t kc = mm_min_size(K, out - o0);
        if (j->m->packed)
            panels_of_packed(j, c0, cols, o0, kc, w);
        else
            panels_of_rows(j, c0, cols, o0, kc, w);
        for (size_t r = r0; r < r1; r += MM_MR)
            for (size_t c = 0; c < cols; c += MM_NR) {
                const size_t mr = mm_min_size(MM_MR, j->rows - r);
                const struct dest d = { j->dx + r * in + c0 + c, w->c, in,
                                        mm_min_size(MM_NR, cols - c) };
                j->k->mul_f32(dest_open(&d, mr), d.nr == MM_NR ? in : MM_NR,
                              j->a + r * out + o0 * mr, w->panel[c / MM_NR], kc, (int)mr);
                dest_close(&d, mr);
            }
    }
}

int mm_wmat_mul_t(float *dx, const float *dy, size_t rows, const struct mm_wmat *m,
                  struct mm_pool *p)
{
    const size_t threads = (size_t)mm_pool_threads(p);
    struct job j = { .k = mm_kern(), .dx = dx, .dy = dy, .rows = rows, .m = m };
    size_t a, work, total;

    if (!mm_size_mul(rows, m->out, &a) || !mm_size_mul(a, sizeof(float), &a) ||
        !mm_size_align(a, 64, &a) || !mm_size_mul(threads, sizeof(struct work), &work) ||
        !mm_size_add(a, work, &total) || !mm_size_align(total, 64, &total))
        return MM_ENOMEM;
    char *own = p ? NULL : aligned_alloc(64, total);
    char *mem = p ? mm_pool_scratch(p, total) : own;
    if (!mem)
        return MM_ENOMEM;
    j.a = (float *)(void *)mem;
    j.work = (struct work *)(void *)(mem + a);
    mm_pool_run(p, mm_div_up(rows, MM_MR), pack_tile, &j);
    mm_pool_run(p, mm_div_up(rows, ROWS) * mm_div_up(m->in, COLS), mul_tile, &j);
    free(own);
    return 0;
}
