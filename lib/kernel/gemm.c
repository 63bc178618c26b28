/* gemm.c: C = alpha op(A) op(B) + beta C on the panels of the kernel table.
 *
 * A is interleaved once in groups of MM_MR rows; each tile packs its MM_NR
 * columns of B, a chunk of k at a time (Goto, van de Geijn 2008).
 */
#include "kernel/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

enum {
    ROWS = 192,       /* rows of C of a tile: a multiple of MM_MR */
    K_CHUNK = 512,    /* the panel is 64 KiB */
    VECTOR_COLS = 128 /* columns of a tile when M is 1 */
};

struct work {
    float panel[K_CHUNK * MM_NR];
    float c[MM_MR * MM_NR];
};

struct job {
    const struct mm_kern *k;
    enum mm_trans ta, tb;
    size_t M, N, K;
    float alpha, beta;
    const float *A, *B;
    float *C;
    size_t lda, ldb, ldc;
    float *a; /* groups of MM_MR rows of alpha op(A), [K][mr] each */
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

static void pack_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t r0 = tile * MM_MR, mr = min_size(MM_MR, j->M - r0);
    float *a = j->a + r0 * j->K;

    (void)thread;
    if (j->ta == MM_NOTRANS)
        j->k->pack_a(a, j->A + r0 * j->lda, j->lda, j->K, (int)mr);
    else
        for (size_t k = 0; k < j->K; k++)
            memcpy(a + k * mr, j->A + k * j->lda + r0, mr * sizeof(*a));
    if (j->alpha != 1)
        j->k->scale(a, j->alpha, a, j->K * mr);
}

static void pack_panel(const struct job *j, float *panel, size_t n0, size_t nr, size_t k0,
                       size_t kc)
{
    if (j->tb == MM_TRANS) {
        j->k->pack_b(panel, j->B + n0 * j->ldb + k0, j->ldb, kc, (int)nr);
        return;
    }
    if (nr < MM_NR)
        memset(panel, 0, kc * MM_NR * sizeof(*panel));
    for (size_t k = 0; k < kc; k++)
        memcpy(panel + k * MM_NR, j->B + (k0 + k) * j->ldb + n0, nr * sizeof(*panel));
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

/* c[mr][nr] += A B over one chunk; a panel cut by the edge goes through w->c. */
static void mul_edge(const struct job *j, float *y, size_t nr, const float *a, size_t kc, size_t mr,
                     struct work *w)
{
    if (nr == MM_NR) {
        j->k->mul_f32(y, j->ldc, a, w->panel, kc, (int)mr);
        return;
    }
    memset(w->c, 0, sizeof(w->c));
    for (size_t r = 0; r < mr; r++)
        memcpy(w->c + r * MM_NR, y + r * j->ldc, nr * sizeof(*y));
    j->k->mul_f32(w->c, MM_NR, a, w->panel, kc, (int)mr);
    for (size_t r = 0; r < mr; r++)
        memcpy(y + r * j->ldc, w->c + r * MM_NR, nr * sizeof(*y));
}

static void mul_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const size_t panels = div_up(j->N, MM_NR);
    const size_t n0 = tile % panels * MM_NR, nr = min_size(MM_NR, j->N - n0);
    const size_t r0 = tile / panels * ROWS, r1 = min_size(r0 + ROWS, j->M);
    struct work *w = &j->work[thread];

    for (size_t r = r0; r < r1; r++)
        scale_row(j->C + r * j->ldc + n0, j->beta, nr);
    for (size_t k0 = 0; k0 < j->K; k0 += K_CHUNK) {
        const size_t kc = min_size(K_CHUNK, j->K - k0);
        pack_panel(j, w->panel, n0, nr, k0, kc);
        for (size_t r = r0; r < r1; r += MM_MR) {
            const size_t mr = min_size(MM_MR, r1 - r);
            mul_edge(j, j->C + r * j->ldc + n0, nr, j->a + r * j->K + k0 * mr, kc, mr, w);
        }
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

int mm_gemm(enum mm_trans ta, enum mm_trans tb, size_t M, size_t N, size_t K, float alpha,
            const float *A, size_t lda, const float *B, size_t ldb, float beta, float *C,
            size_t ldc, struct mm_pool *p)
{
    const size_t threads = p ? (size_t)mm_pool_threads(p) : 1;
    struct job j = { mm_kern(), ta, tb, M, N, K, alpha, beta, A, B, C, lda, ldb, ldc, NULL, NULL };
    size_t bytes, work;

    if (!M || !N)
        return 0;
    if (!mm_size_mul(M, K, &bytes) || !mm_size_mul(bytes, sizeof(float), &bytes) ||
        !mm_size_align(bytes, 64, &bytes) || !mm_size_mul(threads, sizeof(struct work), &work) ||
        !mm_size_add(bytes, work, &work) || !mm_size_align(work, 64, &work))
        return MM_ENOMEM;
    char *mem = aligned_alloc(64, work);
    if (!mem)
        return MM_ENOMEM;
    j.a = (float *)(void *)mem;
    j.work = (struct work *)(void *)(mem + bytes);
    mm_pool_run(p, div_up(M, MM_MR), pack_tile, &j);
    if (M == 1)
        mm_pool_run(p, div_up(N, VECTOR_COLS), vector_tile, &j);
    else
        mm_pool_run(p, div_up(M, ROWS) * div_up(N, MM_NR), mul_tile, &j);
    free(mem);
    return 0;
}
