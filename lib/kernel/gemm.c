/* gemm.c: C = alpha op(A) op(B) + beta C on the panels of the kernel table.
 *
 * A is interleaved once in groups of MM_MR rows.  A tile is MM_NR columns of C and many
 * rows: it packs a chunk of k of its columns of B, which stays in L1 while all groups of
 * A go past it; the sums stay in L2 (Goto, van de Geijn 2008).  An element's sum runs
 * over k chunk by chunk, whatever the tile.
 */
#include "kernel/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

enum {
    ROWS = 768,       /* rows of a tile at most: with K_CHUNK the block of A is 768 KiB */
    LEAST = 96,       /*   and least, halved from there; multiples of MM_MR */
    PANELS = 4,       /* panels of MM_NR columns of a tile at most */
    TILES = 4,        /* tiles that a thread should have at least */
    K_CHUNK = 256,    /* the panel of B is 32 KiB */
    A_GROUPS = 8,     /* groups of A that are packed together: whole lines are read */
    AHEAD = 8,        /* rows fetched ahead where they are cut */
    LINE = 16,        /* floats of a cache line */
    VECTOR_COLS = 128 /* columns of a tile when M is 1 */
};

/* Scratch of one thread. */
struct work {
    float panel[PANELS][K_CHUNK * MM_NR];
    float c[PANELS][ROWS * MM_NR];
};

struct job {
    const struct mm_kern *k;
    enum mm_trans ta, tb;
    size_t M, N, K;
    float alpha, beta;
    const float *A, *B;
    float *C;
    size_t lda, ldb, ldc;
    size_t rows, down, across; /* rows of a tile; tiles */
    float *a; /* alpha op(A): chunks of k, in each groups of MM_MR rows, [k][mr] each */
    struct work *work;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Rows of n numbers, kc of them, cut into groups of MM_MR columns. */
static void turn(float *a, const float *x, size_t ld, size_t kc, size_t n)
{
    const size_t full = n / MM_MR * MM_MR, left = n - full;

    for (size_t k = 0; k < kc; k++, x += ld) {
        for (size_t r = 0; k + AHEAD < kc && r < n; r += LINE)
            __builtin_prefetch(x + AHEAD * ld + r);
        for (size_t r = 0; r < full; r += MM_MR)
            memcpy(a + r * kc + k * MM_MR, x + r, MM_MR * sizeof(*a));
        for (size_t i = 0; i < left; i++)
            a[full * kc + k * left + i] = x[full + i];
    }
}

/* Groups of rows from r on, their chunk of k from k0 on. */
static float *chunk_of(const struct job *j, size_t r, size_t k0)
{
    return j->a + k0 * j->M + r * min_size(K_CHUNK, j->K - k0);
}

/* A chunk of k of A_GROUPS groups. */
static void pack_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t across = div_up(j->M, A_GROUPS * MM_MR);
    const size_t r0 = tile % across * A_GROUPS * MM_MR, r1 = min_size(r0 + A_GROUPS * MM_MR, j->M);
    const size_t k0 = tile / across * K_CHUNK, kc = min_size(K_CHUNK, j->K - k0);
    float *const a = chunk_of(j, r0, k0);

    (void)thread;
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

/* Columns n0.. of n panels, the chunk of k from k0 on. */
static void pack_panels(const struct job *j, float panel[][K_CHUNK * MM_NR], size_t n0, size_t n,
                        size_t k0, size_t kc)
{
    const size_t full = min_size(n, (j->N - n0) / MM_NR), nr = j->N - n0 - full * MM_NR;

    for (size_t p = 0; j->tb == MM_TRANS && p < n; p++)
        j->k->pack_b(panel[p], j->B + (n0 + p * MM_NR) * j->ldb + k0, j->ldb, kc,
                     (int)min_size(MM_NR, j->N - n0 - p * MM_NR));
    if (j->tb == MM_TRANS)
        return;
    if (full < n)
        memset(panel[full], 0, kc * MM_NR * sizeof(float));
    for (size_t k = 0; k < kc; k++) {
        const float *b = j->B + (k0 + k) * j->ldb + n0;
        for (size_t p = 0; p < full; p++)
            memcpy(panel[p] + k * MM_NR, b + p * MM_NR, MM_NR * sizeof(float));
        if (full < n)
            memcpy(panel[full] + k * MM_NR, b + full * MM_NR, nr * sizeof(float));
    }
}

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
static void finish(const struct job *j, float *y, const float *sum, size_t mr, size_t nr)
{
    for (size_t r = 0; r < mr; r++, y += j->ldc, sum += MM_NR) {
        if (j->beta == 0) {
            memcpy(y, sum, (nr == MM_NR ? MM_NR : nr) * sizeof(*y));
            continue;
        }
        scale_row(y, j->beta, nr);
        j->k->add(y, y, sum, nr);
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

/* Part i of n of what pack_panels will read next: rows of B are far from each other, and
 * the hardware does not see them coming. */
static void fetch_b(const struct job *j, size_t n0, size_t n1, size_t k0, size_t i, size_t n)
{
    const size_t kc = k0 < j->K ? min_size(K_CHUNK, j->K - k0) : 0;
    const size_t end = min_size(n1, j->N);

    for (size_t k = k0 + kc * i / n; j->tb == MM_NOTRANS && k < k0 + kc * (i + 1) / n; k++)
        for (size_t c = n0; c < end; c += LINE)
            __builtin_prefetch(j->B + k * j->ldb + c, 0, 2);
}

/* A tile: rows r0..r1-1, n panels of columns from n0 on. */
struct tile {
    size_t r0, r1, n0, n;
};

/* Panel p of a tile, one chunk of k: sums go to scratch, and from there to C after the
 * last one. */
static void mul_panel(const struct job *j, const struct tile *t, size_t p, size_t k0,
                      struct work *w)
{
    const size_t kc = min_size(K_CHUNK, j->K - k0), n0 = t->n0 + p * MM_NR;
    const size_t nr = min_size(MM_NR, j->N - n0), groups = div_up(t->r1 - t->r0, MM_MR);
    const bool last = k0 + kc == j->K;

    for (size_t i = 0; i < groups; i++) {
        const size_t r = t->r0 + i * MM_MR, mr = min_size(MM_MR, t->r1 - r);
        float *y = j->C + r * j->ldc + n0, *sum = w->c[p] + i * MM_MR * MM_NR;
        fetch_b(j, t->n0, t->n0 + t->n * MM_NR, k0 + kc, p * groups + i, t->n * groups);
        if (last)
            fetch(j, y, mr);
        j->k->mul_f32(sum, MM_NR, chunk_of(j, r, k0), w->panel[p], kc, (int)mr);
        if (last)
            finish(j, y, sum, mr, nr);
    }
}

static void mul_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t panels = div_up(j->N, MM_NR), at = tile % j->across, row = tile / j->across;
    const size_t p0 = at * panels / j->across;
    const struct tile t = { row * j->rows, min_size((row + 1) * j->rows, j->M), p0 * MM_NR,
                            (at + 1) * panels / j->across - p0 };
    struct work *w = &j->work[thread];

    for (size_t p = 0; p < t.n; p++)
        memset(w->c[p], 0, (t.r1 - t.r0) * MM_NR * sizeof(*w->c[p]));
    for (size_t k0 = 0; k0 < j->K; k0 += K_CHUNK) {
        pack_panels(j, w->panel, t.n0, t.n, k0, min_size(K_CHUNK, j->K - k0));
        for (size_t p = 0; p < t.n; p++)
            mul_panel(j, &t, p, k0, w);
    }
    for (size_t p = 0; !j->K && p < t.n; p++) {
        const size_t n0 = t.n0 + p * MM_NR;
        finish(j, j->C + t.r0 * j->ldc + n0, w->c[p], t.r1 - t.r0, min_size(MM_NR, j->N - n0));
    }
}

/* M = 1: no panel would be used twice.  a is op(A) as one contiguous row. */
static void vector_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t n0 = tile * VECTOR_COLS, n1 = min_size(n0 + VECTOR_COLS, j->N);

    (void)thread;
    scale_row(j->C + n0, j->beta, n1 - n0);
    if (j->tb == MM_TRANS)
        for (size_t n = n0; n < n1; n++)
            j->C[n] += j->k->dot(j->B + n * j->ldb, j->a, j->K);
    else
        for (size_t k = 0; k < j->K; k++)
            j->k->axpy(j->C + n0, j->a[k], j->B + k * j->ldb + n0, n1 - n0);
}

/* Large tiles pack B and fetch A less often; some for each thread, of about one size. */
static void cut(struct job *j, size_t threads)
{
    const size_t panels = div_up(j->N, MM_NR);
    size_t rows = ROWS;

    while (rows > LEAST && div_up(j->M, rows) * panels < TILES * threads)
        rows /= 2;
    j->down = div_up(j->M, rows);
    j->rows = div_up(div_up(j->M, j->down), MM_MR) * MM_MR;
    j->across = div_up(panels, PANELS);
    while (j->across < panels &&
           (j->down * j->across < TILES * threads || j->down * j->across % threads))
        j->across++;
}

int mm_gemm(enum mm_trans ta, enum mm_trans tb, size_t M, size_t N, size_t K, float alpha,
            const float *A, size_t lda, const float *B, size_t ldb, float beta, float *C,
            size_t ldc, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job j = { mm_kern(), ta, tb, M, N, K, alpha, beta, A, B, C, lda, ldb, ldc,
                     0, 0, 0, NULL, NULL };
    size_t bytes, total;

    if (!M || !N)
        return 0;
    if (!mm_size_mul(M, K, &bytes) || !mm_size_mul(bytes, sizeof(float), &bytes) ||
        !mm_size_align(bytes, 64, &bytes) || !mm_size_mul(threads, sizeof(struct work), &total) ||
        !mm_size_add(bytes, total, &total) || !mm_size_align(total, 64, &total))
        return MM_ENOMEM;
    char *own = p ? NULL : aligned_alloc(64, total);
    char *mem = p ? mm_pool_scratch(p, total) : own;
    if (!mem)
        return MM_ENOMEM;
    j.a = (float *)(void *)mem;
    j.work = (struct work *)(void *)(mem + bytes);
    cut(&j, threads);
    mm_pool_run(p, div_up(M, A_GROUPS * MM_MR) * div_up(K, K_CHUNK), pack_tile, &j);
    if (M == 1)
        mm_pool_run(p, div_up(N, VECTOR_COLS), vector_tile, &j);
    else
        mm_pool_run(p, j.down * j.across, mul_tile, &j);
    free(own);
    return 0;
}
