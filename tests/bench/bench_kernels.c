/* bench_kernels.c: speed of the kernels beside the limits of the machine.
 *
 *   bench_kernels [threads]
 *   bench_kernels --limits        the limits alone
 *
 * Limits first, in the same run: products in registers (f32, bf16, int8) and
 * reading memory.  Then linear layers of a 1.1B LLaMA by dtype, with one row
 * (GB/s of weights) and with 512 (GFLOP/s); dense products beside OpenBLAS;
 * attention.  Best of several rounds each.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"
#include "base/progress.h"
#include "base/quant.h"
#include "base/rng.h"
#include "kernel/attention.h"
#include "kernel/ahead.h"
#include "kernel/gemm.h"
#include "kernel/wmat.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 5, IN = 2048, OUT = 5632, ROWS = 512 };

static double best(double a, double b)
{
    return a < b ? a : b;
}

static void *must(void *p)
{
    if (!p) {
        fputs("bench_kernels: out of memory\n", stderr);
        exit(70);
    }
    return p;
}

static float *random_floats(size_t n)
{
    struct mm_rng r;
    float *x = must(malloc(n * sizeof(*x)));

    mm_rng_seed(&r, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)mm_rng_uniform(&r) - 0.5F;
    return x;
}

#if defined(__x86_64__)
enum { SPIN = 2000000, CHAINS = 12 };

/* One instruction on CHAINS registers, again and again: op works on a[i]. */
#define SPIN_LOOP(start, op) \
    _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) \
    { \
        a[i] = start; \
    } \
    for (long n = 0; n < SPIN; n++) { \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) \
        { \
            op; \
            __asm__ volatile("" : "+v"(a[i])); \
        } \
    } \
    (void)arg, (void)tile, (void)thread

__attribute__((target("avx512f"))) static void spin_f32(void *arg, size_t tile, int thread)
{
    const __m512 b = _mm512_set1_ps(1);
    __m512 a[CHAINS];

    SPIN_LOOP(b, a[i] = _mm512_fmadd_ps(a[i], b, b));
}

__attribute__((target("avx512f,avx512bf16"))) static void spin_bf16(void *arg, size_t tile,
                                                                    int thread)
{
    const __m512bh b = (__m512bh)_mm512_set1_epi32(0x3f803f80);
    __m512 a[CHAINS];

    SPIN_LOOP(_mm512_set1_ps(0), a[i] = _mm512_dpbf16_ps(a[i], b, b));
}

__attribute__((target("avx512f,avx512vnni"))) static void spin_int8(void *arg, size_t tile,
                                                                    int thread)
{
    const __m512i b = _mm512_set1_epi8(1);
    __m512i a[CHAINS];

    SPIN_LOOP(b, a[i] = _mm512_dpbusd_epi32(a[i], b, b));
}

static void peak(const char *name, mm_tile_fn *fn, double ops, struct mm_pool *p)
{
    const size_t threads = (size_t)mm_pool_threads(p);
    double t = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        const double start = mm_now();
        mm_pool_run(p, threads, fn, NULL);
        t = best(t, mm_now() - start);
    }
    printf("limit %-6s %8.1f GFLOP/s\n", name, (double)threads * SPIN * CHAINS * ops / t * 1e-9);
}

static void compute_limits(struct mm_pool *p)
{
    const unsigned cpu = mm_cpu_detect();

    if (cpu & MM_CPU_AVX512)
        peak("f32", spin_f32, 32, p);
    if (cpu & MM_CPU_BF16)
        peak("bf16", spin_bf16, 64, p);
    if (cpu & MM_CPU_VNNI)
        peak("int8", spin_int8, 128, p);
}
#else
static void compute_limits(struct mm_pool *p)
{
    (void)p;
}
#endif

struct read_job {
    const float *x;
    float *sum;
    size_t n; /* floats of a tile */
};

static void read_tile(void *arg, size_t tile, int thread)
{
    enum { LINE = 16, PAGE = 1024 };
    const struct read_job *j = arg;
    const float *x = j->x + tile * j->n;

    for (size_t i = 0; i < j->n; i += PAGE) {
        for (size_t l = i; l < i + PAGE; l += LINE)
            mm_fetch_ahead(x + l);
        j->sum[thread * 16] += mm_kern()->max(x + i, PAGE);
    }
}

static void memory_limit(struct mm_pool *p)
{
    enum { TILES = 512, N = 1 << 18 };
    struct read_job j = { must(calloc((size_t)TILES * N, 4)),
                          must(calloc((size_t)mm_pool_threads(p) * 16, 4)), N };
    double t = 1e9;

    memset((void *)j.x, 1, (size_t)TILES * N * 4);
    for (int i = 0; i < ROUNDS; i++) {
        const double start = mm_now();
        mm_pool_run(p, TILES, read_tile, &j);
        t = best(t, mm_now() - start);
    }
    printf("limit read   %8.1f GB/s\n", (double)TILES * N * 4 / t * 1e-9);
    free((void *)j.x);
    free(j.sum);
}

static double time_mul(float *y, const float *x, size_t rows, const struct mm_wmat *m,
                       enum mm_arith arith, struct mm_pool *p)
{
    double t = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        const double start = mm_now();
        if (mm_wmat_mul(y, x, rows, m, NULL, arith, p))
            exit(70);
        t = best(t, mm_now() - start);
    }
    return t;
}

static double time_pack(const struct mm_tensor *w, struct mm_pool *p)
{
    double t = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        const double start = mm_now();
        struct mm_wmat *m;
        if (mm_wmat_new(&m, w, MM_WMAT_PACK, p, NULL))
            exit(70);
        t = best(t, mm_now() - start);
        mm_wmat_free(m);
    }
    return t;
}

/* Several copies of the matrix, so that one row of x reads memory, not cache. */
static void bench_wmat(enum mm_dtype d, const float *f, const float *x, float *y, struct mm_pool *p)
{
    enum { COPIES = 16 };
    size_t stride;

    if (!mm_dtype_bytes(d, IN, &stride))
        exit(70);
    char *data = must(malloc(stride * OUT * COPIES));
    for (size_t r = 0; r < OUT; r++)
        if (mm_quant_can(d))
            mm_quant_row(data + r * stride, d, f + r * IN, IN);
        else if (d == MM_F32)
            memcpy(data + r * stride, f + r * IN, stride);
        else
            memset(data + r * stride, (int)(r & 0x3b), stride);
    for (size_t c = 1; c < COPIES; c++)
        memcpy(data + c * stride * OUT, data, stride * OUT);
    const struct mm_tensor one = { d, 2, { OUT, IN }, data };
    const struct mm_tensor all = { d, 2, { OUT * COPIES, IN }, data };
    struct mm_wmat *m1, *m;
    if (mm_wmat_new(&m1, &one, MM_WMAT_PACK, p, NULL) ||
        mm_wmat_new(&m, &all, MM_WMAT_PACK, p, NULL))
        exit(70);
    const double bytes = (double)stride * OUT * COPIES, ops = 2.0 * IN * OUT * ROWS;
    const double row = time_mul(y, x, 1, m, MM_ARITH_FAST, p);
    printf("wmat %-5s 1 row %6.1f GB/s, exact %6.1f; 8 rows x%.2f, 32 rows x%.2f;"
           " 512 rows %7.1f GFLOP/s, exact %7.1f; packs %.1f GB/s\n",
           mm_dtype_name(d), bytes / row * 1e-9,
           bytes / time_mul(y, x, 1, m, MM_ARITH_EXACT, p) * 1e-9,
           time_mul(y, x, 8, m, MM_ARITH_FAST, p) / row,
           time_mul(y, x, 32, m, MM_ARITH_FAST, p) / row,
           ops / time_mul(y, x, ROWS, m1, MM_ARITH_FAST, p) * 1e-9,
           ops / time_mul(y, x, ROWS, m1, MM_ARITH_EXACT, p) * 1e-9,
           bytes / time_pack(&all, p) * 1e-9);
    mm_wmat_free(m1);
    mm_wmat_free(m);
    free(data);
}

static void bench_wmats(struct mm_pool *p)
{
    static const enum mm_dtype types[] = { MM_F32,  MM_BF16, MM_F16,  MM_Q8_0, MM_Q4_0,
                                           MM_Q4_1, MM_Q5_0, MM_Q5_1, MM_Q2_K, MM_Q3_K,
                                           MM_Q4_K, MM_Q5_K, MM_Q6_K };
    float *f = random_floats((size_t)IN * OUT), *x = random_floats((size_t)IN * ROWS);
    float *y = must(malloc((size_t)OUT * ROWS * sizeof(*y))); /* 16 copies x 32 rows too */

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        bench_wmat(types[i], f, x, y, p);
    free(f);
    free(x);
    free(y);
}

/* On one thread: both libraries run their own kernel on the same shapes. */
static void bench_gemm(size_t m)
{
    const size_t n = OUT, k = IN;
    float *a = random_floats(m * k), *b = random_floats(n * k), *c = random_floats(m * n);
    double own = 1e9, blas = 1e9;

    for (int i = 0; i < ROUNDS; i++) {
        double start = mm_now();
        if (mm_gemm(MM_NOTRANS, MM_TRANS, m, n, k, 1, a, k, b, k, 0, c, n, NULL))
            exit(70);
        own = best(own, mm_now() - start);
        start = mm_now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)n, (int)k, 1, a, (int)k,
                    b, (int)k, 0, c, (int)n);
        blas = best(blas, mm_now() - start);
    }
    const double ops = 2 * (double)m * (double)n * (double)k * 1e-9;
    printf("gemm M %-4zu %7.1f GFLOP/s, OpenBLAS %7.1f (one thread)\n", m, ops / own, ops / blas);
    free(a);
    free(b);
    free(c);
}

/* One layer of attention: operations a second, and bytes of keys and values. */
static void bench_attention(const char *name, struct mm_attn a, struct mm_pool *p)
{
    const size_t cap = (a.nk + MM_NR - 1) / MM_NR * MM_NR;
    const bool panels = a.layout == MM_ATTN_PANELS;
    double t = 1e9;

    a.scale = 0.125F;
    a.q_head = a.o_head = a.dim;
    a.q_row = a.o_row = a.heads * a.dim;
    a.k_head = a.v_head = panels ? cap * a.dim : a.dim;
    a.k_row = a.v_row = a.kv_heads * a.dim;
    a.v_panel = cap * MM_NR;
    const size_t n = cap * a.kv_heads * a.dim;
    float *q = random_floats(a.nq * a.q_row), *o = random_floats(a.nq * a.q_row);
    float *k = random_floats(2 * n); /* keys, values */
    uint16_t *h = must(malloc(2 * n * sizeof(*h)));
    mm_kern()->to_f16(h, k, 2 * n);
    const void *keys = a.kv == MM_F16 ? (void *)h : (void *)k;
    const void *values = a.kv == MM_F16 ? (void *)(h + n) : (void *)(k + n);
    for (int i = 0; i < 3 * ROUNDS; i++) {
        const double start = mm_now();
        if (mm_attention(o, NULL, q, keys, values, &a, p))
            exit(70);
        t = best(t, mm_now() - start);
    }
    const double seen = a.causal && a.nq == a.nk ? 0.5 : 1;
    printf("attention %-8s %4zux%-4zu %2zu/%-2zu heads %-3s %8.3f ms %7.1f GFLOP/s %6.2f GB/s\n", name,
           a.nq, a.nk, a.heads, a.kv_heads, mm_dtype_name(a.kv), t * 1e3,
           4 * seen * (double)(a.nq * a.nk * a.heads * a.dim) / t * 1e-9,
           2 * (double)(n * mm_dtype_block_bytes(a.kv)) / t * 1e-9);
    free(q);
    free(o);
    free(k);
    free(h);
}

static void bench_attentions(struct mm_pool *p)
{
    static const size_t shapes[][4] = { { 512, 512, 32, 4 },   { 512, 4096, 32, 4 },
                                        { 1, 64, 32, 4 },      { 1, 4096, 32, 4 },
                                        { 1, 32768, 32, 4 },   { 1, 16384, 32, 32 } };

    bench_attention("vit-l", (struct mm_attn){ .nq = 577, .nk = 577, .heads = 16, .kv_heads = 16,
                                               .dim = 64, .kv = MM_F32 }, p);
    for (int f16 = 0; f16 < 2; f16++)
        for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
            bench_attention(shapes[i][0] > 1 ? "prefill" : "decode",
                            (struct mm_attn){ .nq = shapes[i][0], .nk = shapes[i][1],
                                              .heads = shapes[i][2], .kv_heads = shapes[i][3],
                                              .dim = 64, .causal = true,
                                              .layout = MM_ATTN_PANELS,
                                              .kv = f16 ? MM_F16 : MM_F32 }, p);
}

int main(int argc, char **argv)
{
    const bool limits = argc > 1 && strcmp(argv[1], "--limits") == 0;
    const long threads = argc > 1 && !limits ? strtol(argv[1], NULL, 10)
                                             : sysconf(_SC_NPROCESSORS_ONLN);
    struct mm_pool *p = threads > 0 && threads < 1000 ? mm_pool_new((int)threads) : NULL;

    if (!p) {
        fputs("usage: bench_kernels [threads | --limits]\n", stderr);
        return 64;
    }
    openblas_set_num_threads(1);
    printf("%ld threads\n", threads);
    compute_limits(p);
    memory_limit(p);
    if (limits) {
        mm_pool_free(p);
        return 0;
    }
    bench_wmats(p);
    for (size_t m = 1; m <= 512; m *= 8)
        bench_gemm(m);
    bench_attentions(p);
    mm_pool_free(p);
    return 0;
}
