/* wmat_panel.c: linear layers with many rows of activations.
 *
 * First the activations are interleaved once (f32, or int8 with a scale per
 * 32).  Then each tile of MM_NR rows of W is widened to a panel, a chunk of k
 * at a time, which stays in L2 while all rows of activations pass (Goto, van
 * de Geijn 2008).  Sums over k run in order, in f32, into y.
 */
#include "kernel/wmat_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum {
    ROWS = 768,    /* rows of activations of a tile: a multiple of MM_MR and MM_MR8 */
    K_F32 = 512,   /* k of a chunk: a panel of 64 KiB */
    K_INT8 = 1024, /* 32 KiB and its scales */
    SUBS = K_INT8 / 16,
    COLS = 256, /* columns of dx of a tile: a multiple of every block */
    K_T = 128   /* rows of W of a chunk of the transposed product */
};

struct job {
    const struct mm_kern *k;
    float *const *y;
    const float *x;
    size_t rows, in, nb; /* nb: blocks of 32 a row */
    const struct mm_wmat *const *m;
    const float *const *b;
    int n;
    bool int8, f32;       /* which activations are wanted */
    float *a;             /* f32 activations: groups of MM_MR rows, [in][mr] each */
    struct mm_q8_rows a8; /* int8: groups of MM_MR8 rows */
    char *scratch;        /* per thread */
    size_t scratch_size;
};

/* Scratch of one thread. */
struct work_f32 {
    float panel[K_F32 * MM_NR];
    float rows[MM_NR * K_F32];
    float c[ROWS * MM_NR];
};

struct work_int8 {
    int8_t panel[K_INT8 * MM_NR];
    float d[SUBS * MM_NR], m[SUBS * MM_NR];
    int32_t comp[SUBS * MM_NR];
    int8_t rows[MM_NR * K_INT8];
    float rows_d[MM_NR * SUBS], rows_m[MM_NR * SUBS];
    float c[ROWS * MM_NR];
};

struct work_t {
    float panel[COLS / MM_NR][K_T * MM_NR];
    float row[COLS];
    float c[MM_MR * MM_NR];
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static bool uses_int8(const struct job *j, const struct mm_wmat *m)
{
    return j->int8 && mm_dtype_quantised(m->dtype);
}

static void *scratch(const struct job *j, int thread)
{
    return j->scratch + (size_t)thread * j->scratch_size;
}

/* Rows r0.. of int8 activations, from column k0 on. */
static struct mm_q8_rows rows8(const struct job *j, size_t r0, size_t mr, size_t k0)
{
    return (struct mm_q8_rows){ j->a8.q + r0 * j->nb * MM_QBLOCK + k0 * mr,
                                j->a8.d + r0 * j->nb + k0 / 32 * mr,
                                j->a8.s32 + r0 * j->nb + k0 / 32 * mr,
                                j->a8.s16 + r0 * 2 * j->nb + k0 / 16 * mr };
}

/* Scratch to quantise MM_MR8 rows: bytes, then the three float arrays. */
static size_t prepare_bytes(size_t nb)
{
    return MM_MR8 * nb * (MM_QBLOCK + 4 * sizeof(float));
}

static void prepare_int8(const struct job *j, size_t r0, size_t mr, char *tmp)
{
    const size_t nb = j->nb;
    const struct mm_q8_rows a = rows8(j, r0, mr, 0);
    int8_t *q = (int8_t *)tmp;
    float *d = (float *)(void *)(tmp + MM_MR8 * nb * MM_QBLOCK);
    float *s32 = d + MM_MR8 * nb, *s16 = s32 + MM_MR8 * nb;

    for (size_t r = 0; r < mr; r++) {
        const struct mm_q8_row row = { q + r * nb * MM_QBLOCK, d + r * nb, s32 + r * nb,
                                       s16 + r * 2 * nb };
        j->k->quant_q8(&row, j->x + (r0 + r) * j->in, j->in);
    }
    j->k->pack_a(a.q, q, nb * MM_QBLOCK / 4, nb * MM_QBLOCK / 4, (int)mr);
    j->k->pack_a(a.d, d, nb, nb, (int)mr);
    j->k->pack_a(a.s32, s32, nb, nb, (int)mr);
    j->k->pack_a(a.s16, s16, 2 * nb, 2 * nb, (int)mr);
    for (size_t i = 0; i < nb * MM_QBLOCK * mr; i++)
        a.q[i] ^= 128;
}

static void prepare_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t r0 = tile * MM_MR, mr = min_size(MM_MR, j->rows - r0);

    if (j->f32)
        j->k->pack_a(j->a + r0 * j->in, j->x + r0 * j->in, j->in, j->in, (int)mr);
    if (j->int8)
        for (size_t r = 0; r < mr; r += MM_MR8)
            prepare_int8(j, r0 + r, min_size(MM_MR8, mr - r), scratch(j, thread));
}

/* What a tile works on. */
struct tile {
    const struct mm_wmat *m;
    const float *b; /* bias, or NULL */
    float *y;       /* [rows][out] of the whole product */
    size_t r0, rows;
    size_t n0, nr; /* rows of W */
};

static void chunk_f32(const struct job *j, const struct tile *t, size_t k0, size_t kc,
                      struct work_f32 *w)
{
    const enum mm_dtype d = t->m->dtype;
    const size_t off = k0 / mm_dtype_block(d) * mm_dtype_block_bytes(d);

    for (size_t r = 0; r < t->nr; r++)
        j->k->widen[d](w->rows + r * K_F32, t->m->data + (t->n0 + r) * t->m->stride + off, kc);
    j->k->pack_b(w->panel, w->rows, K_F32, kc, (int)t->nr);
    for (size_t r = 0; r < t->rows; r += MM_MR) {
        const size_t mr = min_size(MM_MR, t->rows - r);
        j->k->mul_f32(w->c + r * MM_NR, MM_NR, j->a + (t->r0 + r) * j->in + k0 * mr, w->panel, kc,
                      (int)mr);
    }
}

static void chunk_int8(const struct job *j, const struct tile *t, size_t k0, size_t kc,
                       struct work_int8 *w)
{
    const enum mm_dtype d = t->m->dtype;
    const struct mm_q8_kind kind = mm_q8_kind(d);
    const size_t off = k0 / mm_dtype_block(d) * mm_dtype_block_bytes(d);
    const struct mm_q8_panel b = { w->panel, w->d, kind.min ? w->m : NULL, w->comp };

    for (size_t r = 0; r < t->nr; r++)
        j->k->codes[d](w->rows + r * K_INT8, w->rows_d + r * SUBS, w->rows_m + r * SUBS,
                       t->m->data + (t->n0 + r) * t->m->stride + off, kc);
    j->k->pack_b(w->panel, w->rows, K_INT8 / 4, kc / 4, (int)t->nr);
    j->k->pack_b(w->d, w->rows_d, SUBS, kc / kind.sub, (int)t->nr);
    if (kind.min)
        j->k->pack_b(w->m, w->rows_m, SUBS, kc / kind.sub, (int)t->nr);
    j->k->comp(w->comp, w->panel, kc, kind.sub);
    for (size_t r = 0; r < t->rows; r += MM_MR8) {
        const size_t mr = min_size(MM_MR8, t->rows - r);
        const struct mm_q8_rows a = rows8(j, t->r0 + r, mr, k0);
        j->k->mul_q8[kind.sub == 16][kind.min](w->c + r * MM_NR, MM_NR, &a, &b, kc, (int)mr);
    }
}

/* y = c + b, or c; c is [rows][MM_NR] */
static void finish(const struct tile *t, const struct mm_kern *k, const float *c)
{
    for (size_t r = 0; r < t->rows; r++, c += MM_NR) {
        float *y = t->y + (t->r0 + r) * t->m->out + t->n0;
        if (t->b)
            k->add(y, c, t->b + t->n0, t->nr);
        else
            memcpy(y, c, t->nr * sizeof(*y));
    }
}

static size_t tiles_of(const struct job *j, const struct mm_wmat *m)
{
    return div_up(j->rows, ROWS) * div_up(m->out, MM_NR);
}

static void panel_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    void *const w = scratch(j, thread);
    int i = 0;

    for (; tile >= tiles_of(j, j->m[i]); i++)
        tile -= tiles_of(j, j->m[i]);
    const size_t across = div_up(j->m[i]->out, MM_NR);
    struct tile t = { .m = j->m[i],
                      .b = j->b ? j->b[i] : NULL,
                      .y = j->y[i],
                      .r0 = tile / across * ROWS,
                      .n0 = tile % across * MM_NR };
    t.rows = min_size(ROWS, j->rows - t.r0);
    t.nr = min_size(MM_NR, t.m->out - t.n0);
    const bool int8 = uses_int8(j, t.m);
    float *const c = int8 ? ((struct work_int8 *)w)->c : ((struct work_f32 *)w)->c;

    memset(c, 0, t.rows * MM_NR * sizeof(*c));
    for (size_t k0 = 0; k0 < j->in; k0 += int8 ? K_INT8 : K_F32)
        if (int8)
            chunk_int8(j, &t, k0, min_size(K_INT8, j->in - k0), w);
        else
            chunk_f32(j, &t, k0, min_size(K_F32, j->in - k0), w);
    finish(&t, j->k, c);
}

/* Room for count things of size bytes, in whole cache lines, at the end of *total. */
static bool reserve(size_t *at, size_t *total, size_t count, size_t size)
{
    size_t bytes;
    *at = *total;
    return mm_size_mul(count, size, &bytes) && mm_size_align(bytes, 64, &bytes) &&
           mm_size_add(*total, bytes, total);
}

static char *allocate(struct job *j, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    const size_t blocks = j->int8 ? j->nb : 0;
    size_t a = 0, q, d, s32, s16, s, total = 0, each = sizeof(struct work_f32);
    size_t all;

    if (j->int8 && each < sizeof(struct work_int8))
        each = sizeof(struct work_int8);
    if (j->int8 && each < prepare_bytes(j->nb))
        each = prepare_bytes(j->nb);
    if (!mm_size_align(each, 64, &each) || !mm_size_mul(j->rows, blocks, &all))
        return NULL;
    if (!reserve(&a, &total, j->f32 ? j->rows : 0, j->in * sizeof(float)) ||
        !reserve(&q, &total, all, MM_QBLOCK) || !reserve(&d, &total, all, sizeof(float)) ||
        !reserve(&s32, &total, all, sizeof(float)) ||
        !reserve(&s16, &total, all, 2 * sizeof(float)) || !reserve(&s, &total, threads, each))
        return NULL;
    char *mem = aligned_alloc(64, total);
    if (!mem)
        return NULL;
    j->a = (float *)(void *)(mem + a);
    j->a8 = (struct mm_q8_rows){ (uint8_t *)mem + q, (float *)(void *)(mem + d),
                                 (float *)(void *)(mem + s32), (float *)(void *)(mem + s16) };
    j->scratch = mem + s;
    j->scratch_size = each;
    return mem;
}

int mm_wmat_panel(float *const *y, const float *x, size_t rows, const struct mm_wmat *const *m,
                  const float *const *b, int n, bool int8, struct mm_pool *p)
{
    struct job j = { .k = mm_kern(),
                     .y = y,
                     .x = x,
                     .rows = rows,
                     .in = m[0]->in,
                     .m = m,
                     .b = b,
                     .n = n,
                     .int8 = int8,
                     .nb = div_up(m[0]->in, MM_QBLOCK) };
    size_t tiles = 0;

    for (int i = 0; i < n; i++) {
        j.f32 = j.f32 || !uses_int8(&j, m[i]);
        tiles += tiles_of(&j, m[i]);
    }
    char *mem = allocate(&j, p);
    if (!mem)
        return MM_ENOMEM;
    mm_pool_run(p, div_up(rows, MM_MR), prepare_tile, &j);
    mm_pool_run(p, tiles, panel_tile, &j);
    free(mem);
    return 0;
}

struct job_t {
    const struct mm_kern *k;
    float *dx;
    const float *dy;
    size_t rows;
    const struct mm_wmat *m;
    float *a; /* dy interleaved: groups of MM_MR rows, [out][mr] each */
    struct work_t *work;
};

static void pack_t_tile(void *arg, size_t tile, int thread)
{
    const struct job_t *j = arg;
    const size_t r0 = tile * MM_MR, out = j->m->out;

    (void)thread;
    j->k->pack_a(j->a + r0 * out, j->dy + r0 * out, out, out, (int)min_size(MM_MR, j->rows - r0));
}

/* Rows o0..o0+kc of W, columns c0.., are the panels as they lie. */
static void panels_t(const struct job_t *j, size_t c0, size_t cols, size_t o0, size_t kc,
                     struct work_t *w)
{
    const struct mm_wmat *m = j->m;
    const size_t off = c0 / mm_dtype_block(m->dtype) * mm_dtype_block_bytes(m->dtype);

    memset(w->row, 0, sizeof(w->row));
    for (size_t o = 0; o < kc; o++) {
        j->k->widen[m->dtype](w->row, m->data + (o0 + o) * m->stride + off, cols);
        for (size_t c = 0; c < COLS / MM_NR; c++)
            memcpy(w->panel[c] + o * MM_NR, w->row + c * MM_NR, MM_NR * sizeof(float));
    }
}

/* Where the transposed product writes: y itself, or c for a panel cut by the edge. */
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

static void mul_t_tile(void *arg, size_t tile, int thread)
{
    const struct job_t *j = arg;
    const size_t in = j->m->in, out = j->m->out, ncols = div_up(in, COLS);
    const size_t c0 = tile % ncols * COLS, cols = min_size(COLS, in - c0);
    const size_t r0 = tile / ncols * ROWS, r1 = min_size(r0 + ROWS, j->rows);
    struct work_t *w = &j->work[thread];

    for (size_t r = r0; r < r1; r++)
        memset(j->dx + r * in + c0, 0, cols * sizeof(float));
    for (size_t o0 = 0; o0 < out; o0 += K_T) {
        const size_t kc = min_size(K_T, out - o0);
        panels_t(j, c0, cols, o0, kc, w);
        for (size_t r = r0; r < r1; r += MM_MR)
            for (size_t c = 0; c < cols; c += MM_NR) {
                const size_t mr = min_size(MM_MR, j->rows - r);
                const struct dest d = { j->dx + r * in + c0 + c, w->c, in,
                                        min_size(MM_NR, cols - c) };
                j->k->mul_f32(dest_open(&d, mr), d.nr == MM_NR ? in : MM_NR,
                              j->a + r * out + o0 * mr, w->panel[c / MM_NR], kc, (int)mr);
                dest_close(&d, mr);
            }
    }
}

int mm_wmat_mul_t(float *dx, const float *dy, size_t rows, const struct mm_wmat *m,
                  struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job_t j = { .k = mm_kern(), .dx = dx, .dy = dy, .rows = rows, .m = m };
    size_t a, work, total = 0;

    if (!reserve(&a, &total, rows, m->out * sizeof(float)) ||
        !reserve(&work, &total, threads, sizeof(struct work_t)))
        return MM_ENOMEM;
    char *mem = aligned_alloc(64, total);
    if (!mem)
        return MM_ENOMEM;
    j.a = (float *)(void *)(mem + a);
    j.work = (struct work_t *)(void *)(mem + work);
    mm_pool_run(p, div_up(rows, MM_MR), pack_t_tile, &j);
    mm_pool_run(p, div_up(rows, ROWS) * div_up(m->in, COLS), mul_t_tile, &j);
    free(mem);
    return 0;
}
