/* test_kv.c: the key/value cache gives back what it was given, in every order
 * of appending, forgetting, copying and exporting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"
#include "nn/kv.h"

enum { LAYERS = 2, HEADS = 3 };

static const struct {
    enum mm_dtype dtype;
    size_t dim;
} cases[] = { { MM_F32, 64 }, { MM_F16, 64 }, { MM_F32, 40 }, { MM_F16, 40 }, { MM_F16, 8 } };
enum { CASES = sizeof(cases) / sizeof(*cases) };

/* A number that f16 holds, different for neighbours in every direction. */
static float number(size_t layer, size_t head, size_t t, size_t e, int value)
{
    return (float)((layer * 7 + head * 131 + t * 17 + e * 3 + (value ? 1000 : 0)) % 2039);
}

/* n positions onto the end. */
static void append(struct mm_kv *kv, size_t dim, size_t n)
{
    const size_t at = mm_kv_len(kv);
    float *k = malloc(n * HEADS * dim * sizeof(*k)), *v = malloc(n * HEADS * dim * sizeof(*v));

    for (size_t l = 0; l < LAYERS; l++) {
        for (size_t i = 0; i < n * HEADS * dim; i++) {
            const size_t t = at + i / (HEADS * dim), h = i / dim % HEADS, e = i % dim;
            k[i] = number(l, h, t, e, 0);
            v[i] = number(l, h, t, e, 1);
        }
        assert_int_equal(mm_kv_append(kv, l, k, v, n), 0);
    }
    mm_kv_advance(kv, n);
    free(k);
    free(v);
}

static float element(const void *x, size_t i, enum mm_dtype d)
{
    return d == MM_F16 ? mm_f16_to_f32(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

/* Exported rows are what was appended. */
static void check_export(const struct mm_kv *kv, size_t dim)
{
    const size_t n = mm_kv_len(kv);
    const enum mm_dtype d = mm_kv_dtype(kv);
    void *k = malloc(HEADS * n * dim * 4 + 1), *v = malloc(HEADS * n * dim * 4 + 1);

    for (size_t l = 0; l < LAYERS; l++) {
        mm_kv_export(kv, l, k, v);
        for (size_t i = 0; i < HEADS * n * dim; i++) {
            const size_t h = i / (n * dim), t = i / dim % n, e = i % dim;
            assert_true(element(k, i, d) == number(l, h, t, e, 0));
            assert_true(element(v, i, d) == number(l, h, t, e, 1));
        }
    }
    free(k);
    free(v);
}

/* The panels of the view, as kernel/attention.h describes them; what lies
 * behind the last key and beyond dim is finite. */
static void check_view(const struct mm_kv *kv, size_t dim)
{
    const size_t n = mm_kv_len(kv), blocks = (n + 31) / 32 * 32, pdim = (dim + 31) / 32 * 32;
    struct mm_attn_item it = { .q = NULL };

    for (size_t l = 0; l < LAYERS; l++) {
        mm_kv_view(kv, l, &it);
        assert_int_equal(it.a.layout, MM_ATTN_PANELS);
        for (size_t h = 0; h < HEADS; h++) {
            for (size_t i = 0; i < blocks * dim; i++) {
                const size_t t = i / (32 * dim) * 32 + i % 32, e = i / 32 % dim;
                const float x = element(it.k, h * it.a.k_head + i, it.a.kv);
                assert_true(t < n ? x == number(l, h, t, e, 0) : x - x == 0);
            }
            for (size_t i = 0; i < n * pdim; i++) {
                const size_t t = i / pdim, e = i % pdim;
                const size_t at = e / 32 * it.a.v_panel + t * 32 + e % 32;
                const float x = element(it.v, h * it.a.v_head + at, it.a.kv);
                assert_true(x == (e < dim ? number(l, h, t, e, 1) : 0));
            }
        }
    }
}

static struct mm_kv *kv_new(size_t i)
{
    struct mm_kv *kv;
    struct mm_err e;

    assert_int_equal(mm_kv_new(&kv, LAYERS, HEADS, cases[i].dim, cases[i].dtype, &e), 0);
    return kv;
}

static void test_append_truncate(void **state)
{
    static const size_t steps[][2] = { { 1, 1 }, { 30, 31 }, { 1, 32 }, { 2, 20 }, { 300, 257 },
                                       { 700, 0 }, { 5830, 0 }, { 5, 5 } }; /* append, keep */
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct mm_kv *kv = kv_new(i);
        for (size_t s = 0; s < sizeof(steps) / sizeof(*steps); s++) {
            append(kv, cases[i].dim, steps[s][0]);
            check_view(kv, cases[i].dim);
            mm_kv_truncate(kv, steps[s][1]);
            assert_int_equal(mm_kv_len(kv), steps[s][1]);
            check_view(kv, cases[i].dim);
            check_export(kv, cases[i].dim);
        }
        mm_kv_free(kv);
    }
}

/* Positions a layer has room for. */
static size_t room(const struct mm_kv *kv, size_t dim)
{
    struct mm_attn_item it = { .q = NULL };

    mm_kv_view(kv, 0, &it);
    return it.a.k_head / dim;
}

/* What is expected fits without growing, in whole panels and no more; then it grows. */
static void test_expect(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        const size_t dim = cases[i].dim;
        struct mm_kv *kv = kv_new(i);

        mm_kv_expect(kv, 529);
        append(kv, dim, 3);
        assert_int_equal(room(kv, dim), 544);
        append(kv, dim, 526);
        assert_int_equal(room(kv, dim), 544);
        append(kv, dim, 20);
        assert_true(room(kv, dim) > 549);
        assert_int_equal(room(kv, dim) % 32, 0);
        check_view(kv, dim);
        mm_kv_free(kv);
    }
}

static void test_copy_import(void **state)
{
    struct mm_err e;

    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        const size_t dim = cases[i].dim, n = 333;
        struct mm_kv *kv = kv_new(i), *copy = kv_new(i), *in = kv_new(i);
        void *k = malloc(HEADS * n * dim * 4), *v = malloc(HEADS * n * dim * 4);

        append(kv, dim, n);
        assert_int_equal(mm_kv_copy(copy, kv, n, &e), 0);
        check_view(copy, dim);
        assert_int_equal(mm_kv_copy(copy, kv, 45, &e), 0);
        assert_int_equal(mm_kv_len(copy), 45);
        append(copy, dim, 3);
        check_view(copy, dim);
        for (size_t l = 0; l < LAYERS; l++) {
            mm_kv_export(kv, l, k, v);
            assert_int_equal(mm_kv_import(in, n, l, k, v), 0);
        }
        append(in, dim, 20);
        check_view(in, dim);
        free(k);
        free(v);
        mm_kv_free(kv);
        mm_kv_free(copy);
        mm_kv_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_truncate),
        cmocka_unit_test(test_expect),
        cmocka_unit_test(test_copy_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
