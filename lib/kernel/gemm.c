/* gemm.c: C = alpha op(A) op(B) + beta C on the panels of the kernel table.
 *
 * The smaller of A and B is packed once, all of it; a tile packs what it needs of the other
 * for itself, which is so read from memory once and stays in L2 (Goto, van de Geijn 2008):
 *   tall (M > N)  a tile is some hundred rows of A and all panels of MM_NR columns of B,
 *   wide          a tile is a few panels of B and all rows of A, or many.
 * A panel's chunk of k stays in L1 while all groups of MM_MR rows meet it.  An element's
 * sum runs over k chunk by chunk, whatever the tile.
 */
#include "kernel/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

enum {
    K_CHUNK = 256,    /* a chunk of a panel of B is 32 KiB */
    GROUPS = 22,      /* tall: groups of MM_MR rows of a tile at most: 1 MiB of A, */
    LEAST = 8,        /*   and, to have more tiles, at least; */
    K_BLOCK = 1024,   /*   k of A that is packed at a time, whole chunks */
    ROWS = 768,       /* wide: rows of a tile at most, */
    PANELS = 4,       /*   and panels */
    TILES = 2,        /* tiles that a thread should have at least */
    TOGETHER = 8,     /* groups of A that are packed by one of the threads, if all is */
    TURN = 32,        /* rows of A^T that are cut together: they fit in L1 */
    AHEAD = 16,       /* rows of B fetched before they are cut into panels */
    LINE = 16,        /* floats of a cache line */
    VECTOR_COLS = 128 /* columns of a tile when M is 1 */
};

/* Scratch of one thread. */
union work {
    struct {
        float a[GROUPS * MM_MR * K_BLOCK]; /* chunks of k; in each groups of rows, [k][mr] */
        float c[GROUPS * MM_MR * MM_NR];
    } tall;
    struct {
        float b[PANELS * K_CHUNK * MM_NR]; /* panels, [k][MM_NR] */
        float c[PANELS][ROWS * MM_NR];
    } wide;
};

struct job {
    const struct mm_kern *k;
    enum mm_trans ta, tb;
    size_t M, N, K;
    float alpha, beta;
    const float *A, *B;
    float *C;
    size_t lda, ldb, ldc;
    size_t groups, panels; /* of all rows, of all columns */
    size_t down, across;   /* tiles */
    float *packed;         /* chunks of k; in each the panels of B, or the groups of A */
    union work *work;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* --- B ------------------------------------------------------------------------------ */

/* Panels p0..p1-1 of rows of B as they lie: they are read across. */
static void cut_b(const struct job *j, float *to, size_t p0, size_t p1, size_t k0, size_t kc)
{
    const size_t left = min_size(j->N, p1 * MM_NR) % MM_NR, full = left ? p1 - 1 : p1;

    if (left)
        memset(to + (full - p0) * kc * MM_NR, 0, kc * MM_NR * sizeof(*to));
    for (size_t k = 0; k < kc; k++, to += MM_NR) {
        const float *b = j->B + (k0 + k) * j->ldb + p0 * MM_NR;
        for (size_t i = 0; k + AHEAD < kc && i < (p1 - p0) * MM_NR; i += LINE)
            __builtin_prefetch(b + AHEAD * j->ldb + i);
        for (size_t p = 0; p < full - p0; p++)
            memcpy(to + p * kc * MM_NR, b + p * MM_NR, MM_NR * sizeof(*to));
        if (left)
            memcpy(to + (full - p0) * kc * MM_NR, b + (full - p0) * MM_NR, left * sizeof(*to));
    }
}

/* A chunk of k of panels p0..p1-1. */
static void pack_b(const struct job *j, float *to, size_t p0, size_t p1, size_t k0)
{
    const size_t kc = min_size(K_CHUNK, j->K - k0);

    if (j->tb == MM_NOTRANS)
        cut_b(j, to, p0, p1, k0, kc);
    else
        for (size_t p = p0; p < p1; p++)
            j->k->pack_b(to + (p - p0) * kc * MM_NR, j->B + p * MM_NR * j->ldb + k0, j->ldb, kc,
                         (int)min_size(MM_NR, j->N - p * MM_NR));
}

/* Where the packed panel p of the chunk from k0 on lies. */
static float *panel_of(const struct job *j, size_t p, size_t k0)
{
    return j->packed + MM_NR * (k0 * j->panels + p * min_size(K_CHUNK, j->K - k0));
}

static void pack_b_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t across = div_up(j->panels, PANELS), k0 = tile / across * K_CHUNK;
    const size_t p0 = tile % across * PANELS;

    (void)thread;
    pack_b(j, panel_of(j, p0, k0), p0, min_size(p0 + PANELS, j->panels), k0);
}

/* --- A ------------------------------------------------------------------------------ */

/* n columns of kc rows, cut into groups. */
static void turn(float *a, const float *x, size_t ld, size_t kc, size_t n)
{
    for (size_t k0 = 0; k0 < kc; k0 += TURN) {
        const size_t k1 = min_size(k0 + TURN, kc);
        for (size_t k = k1; k < min_size(k1 + TURN, kc); k++)
            for (size_t r = 0; r < n; r += LINE)
                __builtin_prefetch(x + k * ld + r);
        for (size_t r = 0; r + MM_MR <= n; r += MM_MR)
            for (size_t k = k0; k < k1; k++)
                memcpy(a + r * kc + k * MM_MR, x + k * ld + r, MM_MR * sizeof(*a));
        for (size_t k = k0, full = n / MM_MR * MM_MR, mr = n - full; k < k1; k++)
            for (size_t i = 0; i < mr; i++)
                a[full * kc + k * mr + i] = x[k * ld + full + i];
    }
}

/* Rows r0..r1-1 of alpha op(A), kc columns from k0 on. */
static void pack_a(const struct job *j, float *a, size_t r0, size_t r1, size_t k0, size_t kc)
{
    if (j->ta == MM_TRANS)
        turn(a, j->A + k0 * j->lda + r0, j->lda, kc, r1 - r0);
    else
        for (size_t r = r0; r < r1; r += MM_MR) {
            for (size_t i = r + MM_MR; i < min_size(r + 2 * MM_MR, r1); i++)
                for (size_t k = 0; k < kc; k += LINE)
                    __builtin_prefetch(j->A + i * j->lda + k0 + k);
            j->k->pack_a(a + (r - r0) * kc, j->A + r * j->lda + k0, j->lda, kc,
                         (int)min_size(MM_MR, r1 - r));
        }
    if (j->alpha != 1)
        j->k->scale(a, j->alpha, a, kc * (r1 - r0));
}

/* Where the packed groups of rows from r on, their chunk of k from k0 on, lie. */
static float *rows_of(const struct job *j, size_t r, size_t k0)
{
    return j->packed + k0 * j->M + r * min_size(K_CHUNK, j->K - k0);
}

static void pack_a_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t across = div_up(j->groups, TOGETHER), k0 = tile / across * K_CHUNK;
    const size_t r0 = tile % across * TOGETHER * MM_MR;

    (void)thread;
    pack_a(j, rows_of(j, r0, k0), r0, min_size(r0 + TOGETHER * MM_MR, j->M), k0,
           min_size(K_CHUNK, j->K - k0));
}

/* --- C ------------------------------------------------------------------------------ */

/* y[n] = beta y */
static void scale_row(float *y, float beta, size_t n)
{
    if (beta == 0)
        memset(y, 0, n * sizeof(*y));
    else if (beta != 1)
        for (size_t i = 0; i < n; i++)
            y[i] *= beta;
}

/* mr rows of C, nr columns: sum + beta C. */
static void finish(const struct job *j, float *y, const float *sum, size_t mr, size_t nr,
                   float beta)
{
    for (size_t r = 0; r < mr; r++, y += j->ldc, sum += MM_NR)
        if (beta != 0) {
            scale_row(y, beta, nr);
            j->k->add(y, y, sum, nr);
        } else if (nr == MM_NR) {
            memcpy(y, sum, MM_NR * sizeof(*y));
        } else {
            memcpy(y, sum, nr * sizeof(*y));
        }
}

/* mr rows of C: they are touched once and far from each other. */
static void fetch(const struct job *j, const float *y, size_t mr)
{
    for (size_t r = 0; r < mr; r++, y += j->ldc) {
        __builtin_prefetch(y, 1);
        __builtin_prefetch(y + MM_NR / 2, 1);
    }
}

/* Part i of n of the panel that comes next. */
static void fetch_b(const float *b, size_t i, size_t n)
{
    for (size_t l = K_CHUNK * MM_NR * i / n; b && l < K_CHUNK * MM_NR * (i + 1) / n; l += LINE)
        __builtin_prefetch(b + l, 0, 2);
}

/* A chunk of k of a panel and of groups of rows. */
struct part {
    size_t r0, r1, panel, kc;
    const float *a, *b;
    float *c; /* sums */
    bool last;  /* of k: they go to C, */
    float beta; /*   with this */
    const float *next;
};

static void mul_part(const struct job *j, const struct part *t)
{
    const size_t n0 = t->panel * MM_NR, nr = min_size(MM_NR, j->N - n0);
    const size_t groups = div_up(t->r1 - t->r0, MM_MR);

    for (size_t i = 0; i < groups; i++) {
        const size_t r = i * MM_MR, mr = min_size(MM_MR, t->r1 - t->r0 - r);
        float *y = j->C + (t->r0 + r) * j->ldc + n0, *sum = t->c + r * MM_NR;
        fetch_b(t->next, i, groups);
        if (t->last)
            fetch(j, y, mr);
        j->k->mul_f32(sum, MM_NR, t->a + r * t->kc, t->b, t->kc, (int)mr);
        if (t->last)
            finish(j, y, sum, mr, nr, t->beta);
    }
}

/* Rows r0..r1-1, columns k0..k1-1 of A. */
static void tall_block(const struct job *j, size_t r0, size_t r1, size_t p0, size_t p1, size_t k0,
                       size_t k1, union work *w)
{
    for (size_t k = k0; k < k1; k += K_CHUNK)
        pack_a(j, w->tall.a + (k - k0) * (r1 - r0), r0, r1, k, min_size(K_CHUNK, k1 - k));
    for (size_t p = p0; p < p1; p++) {
        memset(w->tall.c, 0, (r1 - r0) * MM_NR * sizeof(*w->tall.c));
        for (size_t k = k0; k < k1; k += K_CHUNK) {
            const size_t kc = min_size(K_CHUNK, k1 - k);
            const bool last = k + kc == k1;
            const float *next = !last        ? panel_of(j, p, k + kc)
                                : p + 1 < p1 ? panel_of(j, p + 1, k0)
                                             : NULL;
            mul_part(j, &(struct part){ r0, r1, p, kc, w->tall.a + (k - k0) * (r1 - r0),
                                        panel_of(j, p, k), w->tall.c, last, k0 ? 1 : j->beta,
                                        next });
        }
    }
}

static void tall_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t row = tile / j->across, col = tile % j->across;
    const size_t r0 = row * j->groups / j->down * MM_MR;
    const size_t r1 = min_size((row + 1) * j->groups / j->down * MM_MR, j->M);

    for (size_t k = 0; k < j->K; k += K_BLOCK)
        tall_block(j, r0, r1, col * j->panels / j->across, (col + 1) * j->panels / j->across, k,
                   min_size(k + K_BLOCK, j->K), &j->work[thread]);
}

static void wide_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t row = tile / j->across, col = tile % j->across;
    const size_t r0 = row * j->groups / j->down * MM_MR;
    const size_t r1 = min_size((row + 1) * j->groups / j->down * MM_MR, j->M);
    const size_t p0 = col * j->panels / j->across, p1 = (col + 1) * j->panels / j->across;
    union work *w = &j->work[thread];

    for (size_t p = p0; p < p1; p++)
        memset(w->wide.c[p - p0], 0, (r1 - r0) * MM_NR * sizeof(float));
    for (size_t k = 0; k < j->K; k += K_CHUNK) {
        const size_t kc = min_size(K_CHUNK, j->K - k);
        pack_b(j, w->wide.b, p0, p1, k);
        for (size_t p = p0; p < p1; p++)
            mul_part(j, &(struct part){ r0, r1, p, kc, rows_of(j, r0, k),
                                        w->wide.b + (p - p0) * kc * MM_NR, w->wide.c[p - p0],
                                        k + kc == j->K, j->beta, NULL });
    }
}

/* M = 1: no panel would be used twice.  packed holds alpha op(A). */
static void vector_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t n0 = tile * VECTOR_COLS, n1 = min_size(n0 + VECTOR_COLS, j->N);

    (void)thread;
    scale_row(j->C + n0, j->beta, n1 - n0);
    if (j->tb == MM_TRANS)
        for (size_t n = n0; n < n1; n++)
            j->C[n] += j->k->dot(j->B + n * j->ldb, j->packed, j->K);
    else
        for (size_t k = 0; k < j->K; k++)
            j->k->axpy(j->C + n0, j->packed[k], j->B + k * j->ldb + n0, n1 - n0);
}

/* Equal tiles of rows, a multiple of the threads where that leaves enough in each; with
 * few rows columns are shared out too. */
static void cut_tall(struct job *j, size_t threads)
{
    const size_t least = div_up(j->groups, GROUPS), most = j->groups / LEAST;
    const size_t want = least > TILES * threads ? least : TILES * threads;
    const size_t even = min_size(div_up(want, threads), most / threads) * threads;

    j->down = even ? even : most;
    j->down = j->down > least ? j->down : least;
    for (j->across = 1; j->down * j->across < threads && j->across < j->panels;)
        j->across++;
}

/* Equal tiles of panels, a multiple of the threads. */
static void cut_wide(struct job *j, size_t threads)
{
    j->down = div_up(j->M, ROWS);
    j->across = div_up(j->panels, PANELS);
    while (j->across < j->panels && (j->down * j->across < threads ||
                                     j->down * j->across % threads))
        j->across++;
}

static void run_tall(struct job *j, struct mm_pool *p, size_t threads)
{
    cut_tall(j, threads);
    mm_pool_run(p, div_up(j->K, K_CHUNK) * div_up(j->panels, PANELS), pack_b_tile, j);
    mm_pool_run(p, j->down * j->across, tall_tile, j);
}

static void run_wide(struct job *j, struct mm_pool *p, size_t threads)
{
    cut_wide(j, threads);
    mm_pool_run(p, div_up(j->K, K_CHUNK) * div_up(j->groups, TOGETHER), pack_a_tile, j);
    mm_pool_run(p, j->down * j->across, wide_tile, j);
}

static void run_vector(struct job *j, struct mm_pool *p)
{
    for (size_t k = 0; k < j->K; k++)
        j->packed[k] = j->alpha * j->A[j->ta == MM_TRANS ? k * j->lda : k];
    mm_pool_run(p, div_up(j->N, VECTOR_COLS), vector_tile, j);
}

int mm_gemm(enum mm_trans ta, enum mm_trans tb, size_t M, size_t N, size_t K, float alpha,
            const float *A, size_t lda, const float *B, size_t ldb, float beta, float *C,
            size_t ldc, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job j = { .k = mm_kern(), .ta = ta, .tb = tb, .M = M, .N = N, .K = K, .alpha = alpha,
                     .beta = beta, .A = A, .B = B, .C = C, .lda = lda, .ldb = ldb, .ldc = ldc,
                     .groups = div_up(M, MM_MR), .panels = div_up(N, MM_NR) };
    size_t bytes, total;

    for (size_t r = 0; !K && r < M; r++)
        scale_row(C + r * ldc, beta, N);
    if (!M || !N || !K)
        return 0;
    if (!mm_size_mul(M > N ? j.panels * MM_NR : M, sizeof(float), &bytes) ||
        !mm_size_mul(bytes, K, &bytes) || !mm_size_align(bytes, 64, &bytes) ||
        !mm_size_mul(threads, sizeof(*j.work), &total) || !mm_size_add(bytes, total, &total) ||
        !mm_size_align(total, 64, &total))
        return MM_ENOMEM;
    char *own = p ? NULL : aligned_alloc(64, total);
    char *mem = p ? mm_pool_scratch(p, total) : own;
    if (!mem)
        return MM_ENOMEM;
    j.work = (union work *)(void *)mem;
    j.packed = (float *)(void *)(mem + threads * sizeof(*j.work));
    if (M == 1)
        run_vector(&j, p);
    else
        (M > N ? run_tall : run_wide)(&j, p, threads);
    free(own);
    return 0;
}
