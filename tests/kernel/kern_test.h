/* kern_test.h: what the kernel tests share, in the way of dav1d's checkasm:
 * buffers that end at a forbidden page, inputs with every odd value, and one
 * run per kernel table that this machine can execute. */
#ifndef MM_TESTS_KERN_TEST_H
#define MM_TESTS_KERN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "kernel/kernel.h"

static const struct {
    const char *name; /* of MM_CPU */
    unsigned cpu;
} kt_tables[] = {
    { "scalar", 0 },
    { "blas", MM_CPU_BLAS },
    { "avx2", MM_CPU_AVX2 },
    { "avxvnni", MM_CPU_AVX2 | MM_CPU_AVXVNNI },
    { "avx512", MM_CPU_AVX2 | MM_CPU_AVX512 | MM_CPU_VNNI },
};

enum { KT_TABLES = sizeof(kt_tables) / sizeof(kt_tables[0]) };

static inline bool kt_can(size_t table)
{
    return kt_tables[table].cpu == MM_CPU_BLAS ||
           (mm_cpu_detect() & kt_tables[table].cpu) == kt_tables[table].cpu;
}

/* A buffer of n bytes: the byte after its last one faults, the bytes before it
 * are watched. */
struct kt_buf {
    unsigned char *map, *p;
    size_t size, n;
};

static inline void *kt_alloc(struct kt_buf *b, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    b->n = n;
    b->size = (n + 64 + page - 1) / page * page;
    b->map = mmap(NULL, b->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(b->map != MAP_FAILED);
    assert_int_equal(mprotect(b->map + b->size, page, PROT_NONE), 0);
    memset(b->map, 0xa5, b->size);
    b->p = b->map + b->size - n;
    return b->p;
}

static inline void kt_free(struct kt_buf *b)
{
    for (const unsigned char *c = b->map; c < b->p; c++)
        assert_int_equal(*c, 0xa5);
    munmap(b->map, b->size + (size_t)sysconf(_SC_PAGESIZE));
}

/* Normal deviates; one in eight from the odd values if odd. */
static inline void kt_fill(float *x, size_t n, struct mm_rng *r, bool odd)
{
    static const float odds[] = { 0.0F,     -0.0F,     1e-40F, -1e-42F, FLT_MIN, FLT_MAX, -FLT_MAX,
                                  INFINITY, -INFINITY, NAN,    88.7F,   -104.0F, 1e-31F,  3e38F };
    const size_t count = sizeof(odds) / sizeof(*odds);

    for (size_t i = 0; i < n; i++) {
        x[i] = (float)mm_rng_normal(r);
        if (odd && mm_rng_below(r, 8) == 0)
            x[i] = odds[mm_rng_below(r, count)];
    }
}

/* Equal bits, or both NaN. */
static inline bool kt_same(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof(a)) == 0;
}

/* |got - want| <= tol; what is not finite must be the same. */
static inline bool kt_close(float got, double want, double tol)
{
    if (isnan(want) || isnan(tol))
        return isnan(got);
    if (fabs(want) > FLT_MAX)
        return got == (want > 0 ? INFINITY : -INFINITY);
    return fabs((double)got - want) <= tol;
}

#define KT_CHECK(cond, ...)                                                                        \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fail_msg(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

/* Run the tests once for each table as this process's own (mm_kern). */
static inline int kt_run_tables(int (*run)(void))
{
    int bad = 0;

    for (size_t t = 0; t < KT_TABLES; t++) {
        int status;
        if (!kt_can(t))
            continue;
        fflush(NULL);
        const pid_t pid = fork();
        if (pid == 0) {
            setenv("MM_CPU", kt_tables[t].name, 1);
            printf("# table %s\n", kt_tables[t].name);
            const int failed = run();
            fflush(NULL);
            _exit(failed != 0);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
            bad = 1;
    }
    return bad;
}

#endif
