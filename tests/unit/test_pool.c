/* test_pool.c: each tile exactly once, whatever the number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "base/pool.h"
#include "base/progress.h"

enum { MAX_TILES = 1000 };

struct job {
    _Atomic int hits[MAX_TILES];
    _Atomic int bad_thread;
    int nthreads;
};

static void mark(void *arg, size_t tile, int thread)
{
    struct job *j = arg;

    if (thread < 0 || thread >= j->nthreads)
        j->bad_thread = 1;
    atomic_fetch_add(&j->hits[tile], 1);
}

static void test_tiles(void **state)
{
    static const int threads[] = { 1, 2, 3, 16 };
    static const size_t tiles[] = { 0, 1, 2, 3, 17, MAX_TILES };
    static struct job j;

    (void)state;
    for (size_t k = 0; k < sizeof(threads) / sizeof(threads[0]); k++) {
        struct mm_pool *p = mm_pool_new(threads[k]);

        assert_non_null(p);
        assert_int_equal(mm_pool_threads(p), threads[k]);
        for (int round = 0; round < 60; round++) {
            const size_t n = tiles[(size_t)round % (sizeof(tiles) / sizeof(tiles[0]))];

            memset(&j, 0, sizeof(j));
            j.nthreads = threads[k];
            mm_pool_run(p, n, mark, &j);
            for (size_t i = 0; i < MAX_TILES; i++)
                assert_int_equal(j.hits[i], i < n);
            assert_int_equal(j.bad_thread, 0);
        }
        mm_pool_free(p);
    }
    mm_pool_free(NULL);
}

static void test_null(void **state)
{
    static struct job j;

    (void)state;
    memset(&j, 0, sizeof(j));
    j.nthreads = 1;
    mm_pool_run(NULL, 9, mark, &j);
    for (size_t i = 0; i < MAX_TILES; i++)
        assert_int_equal(j.hits[i], i < 9);
    assert_int_equal(mm_pool_threads(NULL), 1);
}

/* Many short runs with far more threads than processors must not collapse: a
 * run may not wait for workers that the system has not scheduled. */
static void test_crowded(void **state)
{
    struct mm_pool *p = mm_pool_new(32);
    static struct job j;
    const double start = mm_now();

    (void)state;
    assert_non_null(p);
    memset(&j, 0, sizeof(j));
    j.nthreads = 32;
    for (int i = 0; i < 3000; i++)
        mm_pool_run(p, 4, mark, &j);
    for (int i = 0; i < 4; i++)
        assert_int_equal(j.hits[i], 3000);
    assert_true(mm_now() - start < 20.0);
    mm_pool_free(p);
}

/* A block grows and stays where it is for less. */
static void test_scratch(void **state)
{
    struct mm_pool *p = mm_pool_new(1);
    (void)state;
    assert_non_null(p);
    char *a = mm_pool_scratch(p, 100);
    assert_non_null(a);
    assert_true((uintptr_t)a % 64 == 0);
    memset(a, 1, 100);
    assert_ptr_equal(mm_pool_scratch(p, 1), a);
    char *b = mm_pool_scratch(p, 1 << 20);
    assert_non_null(b);
    memset(b, 2, 1 << 20);
    assert_null(mm_pool_scratch(p, SIZE_MAX - 8));
    assert_non_null(mm_pool_scratch(p, 1));
    mm_pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
