/* A tower that begins by looking at neighbours: where q k is largest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "train/near.h"

static const int around[8][2] = { { -1, -1 }, { -1, 0 }, { -1, 1 }, { 0, -1 },
                                  { 0, 1 },   { 1, -1 }, { 1, 0 },  { 1, 1 } };

/* Row of x [., D] through head h of w [D, D], into out [D / heads]. */
static void project(float *out, const float *w, const float *x, const struct mm_near *n, int64_t h)
{
    const int64_t d = n->width / n->heads;

    for (int64_t i = 0; i < d; i++) {
        out[i] = 0;
        for (int64_t j = 0; j < n->width; j++)
            out[i] += w[(h * d + i) * n->width + j] * x[j];
    }
}

static double score(const float *q, const float *k, int64_t d)
{
    double s = 0;

    for (int64_t i = 0; i < d; i++)
        s += (double)q[i] * (double)k[i];
    return s;
}

/* Of all patches that the head at patch `from` could attend to, the one it prefers. */
static int64_t preferred(const struct mm_near *n, const float *q, const float *k,
                         const float *position, int64_t from, int64_t h)
{
    const int64_t d = n->width / n->heads;
    float *a = calloc((size_t)d, sizeof(*a)), *b = calloc((size_t)d, sizeof(*b));
    double best = -1e30;
    int64_t at = -1;

    project(a, q, position + (1 + from) * n->width, n, h);
    for (int64_t i = 0; i < n->grid * n->grid; i++) {
        project(b, k, position + (1 + i) * n->width, n, h);
        if (score(a, b, d) > best) {
            best = score(a, b, d);
            at = i;
        }
    }
    free(a);
    free(b);
    return at;
}

static void check(const struct mm_near *n, int reach)
{
    const size_t D = (size_t)n->width, places = (size_t)(1 + n->grid * n->grid);
    float *q = calloc(D * D, sizeof(*q)), *k = calloc(D * D, sizeof(*k));
    float *patch = calloc(D * (size_t)n->in, sizeof(*patch));
    float *position = calloc(places * D, sizeof(*position));

    for (size_t i = 0; i < D * (size_t)n->in; i++)
        patch[i] = 1;
    for (size_t i = 0; i < places * D; i++)
        position[i] = 7;
    mm_near_place(n, patch, position);
    mm_near_attend(n, q, k, reach);
    for (int64_t y = reach; y < n->grid - reach; y++)
        for (int64_t x = reach; x < n->grid - reach; x++)
            for (int64_t h = 0; h < n->heads; h++)
                assert_int_equal(preferred(n, q, k, position, y * n->grid + x, h),
                                 (y + around[h % 8][0] * reach) * n->grid + x +
                                     around[h % 8][1] * reach);
    /* place and picture share no channel; the class row has no place */
    for (size_t c = 0; c < D; c++) {
        bool place = false;

        for (size_t i = 1; i < places; i++)
            place |= position[i * D + c] != 0;
        assert_true(patch[c * (size_t)n->in] == (place ? 0.0F : 1.0F));
        assert_true(position[c] == 0);
    }
    free(q);
    free(k);
    free(patch);
    free(position);
}

static void test_neighbours(void **state)
{
    static const struct mm_near towers[] = {
        { .width = 256, .heads = 8, .grid = 8, .in = 192 },
        { .width = 96, .heads = 6, .grid = 5, .in = 12 },
        { .width = 80, .heads = 10, .grid = 7, .in = 3 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(towers) / sizeof(*towers); i++) {
        assert_true(mm_near_ok(&towers[i]));
        check(&towers[i], 1);
        check(&towers[i], 2);
    }
    assert_false(mm_near_ok(&(struct mm_near){ .width = 24, .heads = 8, .grid = 4, .in = 3 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_neighbours) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
