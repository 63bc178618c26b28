/* Pictures read ahead: their order, their faults, what is left to the caller. */
#include "imgolden.h"

#include "base/io.h"
#include "model/ahead.h"

enum { MAX = 1 << 20 };

static void want_pixels(const char *path, const struct mm_preprocess *p, const struct mm_pixels *got)
{
    struct mm_err e = { 0 };
    struct mm_pixels want;
    char *data;
    size_t n;

    ok(mm_io_slurp(path, MAX, &data, &n, &e), &e);
    ok(mm_preprocess_decode(&want, data, n, path, false, p, &e), &e);
    assert_int_equal(got->orig_w, want.orig_w);
    assert_memory_equal(got->px, want.px, (size_t)(3 * p->size * p->size) * sizeof(*want.px));
    mm_pixels_free(&want);
    free(data);
}

/* What should become of each path: as mm_ahead_take returns it. */
static const struct {
    const char *path;
    int rc;
} list[] = {
    { "decode-jpeg/s420.jpg", 1 },   { "decode-png/rgb8.png", 1 }, { "-", 0 },
    { "no-such-file", MM_ENOENT },   { "decode-jpeg/case.json", MM_EDATA },
    { "decode-jpeg", 0 },            { "/dev/null", 0 },           { "decode-jpeg/grey.jpg", 1 },
    { "decode-jpeg/restart444.jpg", 1 },
};
enum { N = sizeof(list) / sizeof(*list) };

static char **make_paths(void)
{
    const char *top = getenv("MM_GOLDEN");
    char **paths = calloc(N, sizeof(*paths));

    for (size_t i = 0; i < N; i++) {
        paths[i] = calloc(1, 512);
        if (strchr("-/", list[i].path[0]))
            snprintf(paths[i], 512, "%s", list[i].path);
        else
            snprintf(paths[i], 512, "%s/image/%s", top ? top : "tests/golden", list[i].path);
    }
    return paths;
}

static void free_paths(char **paths)
{
    for (size_t i = 0; i < N; i++)
        free(paths[i]);
    free(paths);
}

static void test_order(void **state)
{
    static const size_t depths[] = { 1, 2, 3, N, 100 };
    char **paths = make_paths();
    struct mm_preprocess p;

    (void)state;
    mm_preprocess_clip(&p, 24);
    for (size_t d = 0; d < sizeof(depths) / sizeof(*depths); d++) {
        const struct mm_ahead_conf conf = { .paths = paths, .n = N, .pre = &p, .max_bytes = MAX,
                                            .depth = depths[d] };
        struct mm_ahead *a;
        struct mm_err e = { 0 };

        ok(mm_ahead_new(&a, &conf, &e), &e);
        for (size_t i = 0; i < N; i++) {
            struct mm_pixels px;

            assert_int_equal(mm_ahead_take(a, i, &px, &e), list[i].rc);
            assert_int_equal(e.code, list[i].rc < 0 ? list[i].rc : 0);
            if (list[i].rc < 0)
                assert_non_null(strstr(e.msg, paths[i]));
            if (list[i].rc > 0)
                want_pixels(paths[i], &p, &px);
            mm_pixels_free(&px);
            mm_err_clear(&e);
        }
        mm_ahead_free(a);
    }
    free_paths(paths);
}

/* A caller that gives up early, with pictures waiting and one at hand. */
static void test_early_end(void **state)
{
    char **paths = make_paths();
    struct mm_preprocess p;

    (void)state;
    mm_preprocess_clip(&p, 24);
    for (size_t takes = 0; takes < 3; takes++) {
        const struct mm_ahead_conf conf = { .paths = paths, .n = N, .pre = &p, .max_bytes = MAX,
                                            .depth = 4 };
        struct mm_ahead *a;
        struct mm_pixels px;
        struct mm_err e = { 0 };

        ok(mm_ahead_new(&a, &conf, &e), &e);
        for (size_t i = 0; i < takes; i++) {
            assert_int_equal(mm_ahead_take(a, i, &px, &e), list[i].rc);
            mm_pixels_free(&px);
        }
        mm_ahead_free(a);
    }
    mm_ahead_free(NULL);
    free_paths(paths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_early_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
