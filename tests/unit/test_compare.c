/* test_compare.c: distances, places, NaN, shapes; tables as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compare.h"
#include "base/csv.h"
#include "base/quant.h"

static struct mm_tensor vec(enum mm_dtype d, void *p, int64_t n)
{
    return (struct mm_tensor){ .dtype = d, .ndim = 1, .shape = { n }, .data = p };
}

static void test_numbers(void **state)
{
    static const struct {
        float a[3], b[3];
        double tolerance, rel, max;
        size_t worst;
        bool ok;
    } cases[] = {
        { { 3, 4, 0 }, { 3, 4, 0 }, 0, 0, 0, SIZE_MAX, true },
        { { 3, 4, 0 }, { 3, 4, 5 }, 0.99, 1, 5, 2, false },
        { { 3, 4, 0 }, { 3, 4, 5 }, 1, 1, 5, 2, true },
        { { 0, 0, 0 }, { 0, 2, 0 }, 1, 2, 2, 1, false },
        { { 0, 0, 0 }, { 0, 2, 0 }, 2, 2, 2, 1, true },
        { { NAN, 1, 1 }, { NAN, 1, 1 }, 0, 0, 0, SIZE_MAX, true },
        { { NAN, 1, 1 }, { 0, 1, 1 }, 1e300, HUGE_VAL, HUGE_VAL, 0, false },
        { { 1, 1, 1 }, { 1, NAN, 1 }, 1e300, HUGE_VAL, HUGE_VAL, 1, false },
        { { INFINITY, 1, 1 }, { INFINITY, 1, 1 }, 0, 0, 0, SIZE_MAX, true },
        { { INFINITY, 1, 1 }, { -INFINITY, 1, 1 }, 1e300, HUGE_VAL, HUGE_VAL, 0, false },
        { { INFINITY, 1, 1 }, { 5, 1, 1 }, 1e300, HUGE_VAL, HUGE_VAL, 0, false },
        { { -0.0F, 0, 0 }, { 0, 0, 0 }, 0, 0, 0, SIZE_MAX, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        float a[3], b[3];
        struct mm_compare r;
        struct mm_tensor ta, tb;

        memcpy(a, cases[i].a, sizeof(a));
        memcpy(b, cases[i].b, sizeof(b));
        ta = vec(MM_F32, a, 3);
        tb = vec(MM_F32, b, 3);
        r = mm_compare(&ta, &tb, cases[i].tolerance);
        if (r.rel != cases[i].rel || r.max_abs != cases[i].max || r.worst != cases[i].worst
            || (r.why == NULL) != cases[i].ok)
            fail_msg("case %zu: rel %g max %g worst %zu %s", i, r.rel, r.max_abs, r.worst,
                     r.why != NULL ? r.why : "ok");
    }
}

/* A difference in any block of a long tensor is found, at its place. */
static void test_long(void **state)
{
    enum { N = 10000 };
    static float a[N], b[N];
    const struct mm_tensor ta = vec(MM_F32, a, N);
    const struct mm_tensor tb = vec(MM_F32, b, N);

    (void)state;
    for (size_t i = 0; i < N; i++)
        a[i] = b[i] = 1.0F;
    for (size_t i = 0; i < N; i += 999) {
        b[i] = 1.5F;
        assert_int_equal(mm_compare(&ta, &tb, 1.0).worst, i);
        assert_non_null(mm_compare(&ta, &tb, 1e-3).why);
        b[i] = 1.0F;
    }
}

static void test_types(void **state)
{
    int64_t big[2] = { (INT64_C(1) << 53), 1 };
    int64_t near_big[2] = { (INT64_C(1) << 53) + 1, 1 };
    int32_t i32[2] = { 7, 1 };
    double f64[2] = { 7, 1 };
    float c64[4] = { 1, 2, 3, 4 };
    float other[4] = { 1, 2, 3, 5 };
    unsigned char q[34];
    float x[32], y[32];
    struct mm_tensor a = vec(MM_I64, big, 2);
    struct mm_tensor b = vec(MM_I64, near_big, 2);

    (void)state;
    assert_non_null(mm_compare(&a, &b, 1.0).why); /* equal as doubles, not as integers */
    assert_null(mm_compare(&a, &a, 0.0).why);
    a = vec(MM_I32, i32, 2);
    b = vec(MM_F64, f64, 2);
    assert_null(mm_compare(&a, &b, 0.0).why);
    a = vec(MM_C64, c64, 2);
    b = vec(MM_C64, other, 2);
    assert_int_equal(mm_compare(&a, &b, 0.0).worst, 1);
    b = vec(MM_F32, other, 2);
    assert_non_null(mm_compare(&a, &b, 1e9).why);
    for (int i = 0; i < 32; i++)
        x[i] = (float)i - 15.5F;
    mm_quant_row(q, MM_Q8_0, x, 32);
    mm_dequant_row(y, MM_Q8_0, q, 32);
    a = vec(MM_Q8_0, q, 32);
    b = vec(MM_F32, y, 32);
    assert_null(mm_compare(&a, &b, 0.0).why);
}

static void test_shapes(void **state)
{
    float x[6] = { 0 };
    const struct mm_tensor a = { .dtype = MM_F32, .ndim = 3, .shape = { 1, 2, 3 }, .data = x };
    const struct mm_tensor b = { .dtype = MM_F32, .ndim = 4, .shape = { 2, 1, 3, 1 }, .data = x };
    const struct mm_tensor c = { .dtype = MM_F32, .ndim = 2, .shape = { 3, 2 }, .data = x };
    const struct mm_tensor d = { .dtype = MM_F32, .ndim = 1, .shape = { 6 }, .data = x };
    const struct mm_tensor none = { .dtype = MM_F32, .ndim = 1, .shape = { 0 }, .data = x };

    (void)state;
    assert_null(mm_compare(&a, &b, 0.0).why);
    assert_string_equal(mm_compare(&a, &c, 1e9).why, "another shape");
    assert_string_equal(mm_compare(&a, &d, 1e9).why, "another shape");
    assert_null(mm_compare(&none, &none, 0.0).why);
}

static void test_csv(void **state)
{
    static const struct {
        const char *text;
        int dtype; /* -1: refused */
        int64_t rows, columns;
        const char *header, *back;
    } cases[] = {
        { "1,2\n3,4\n", MM_I64, 2, 2, NULL, "1,2\n3,4\n" },
        { "1,2\r\n3,4", MM_I64, 2, 2, NULL, "1,2\n3,4\n" },
        { "1,2.5\n", MM_F64, 1, 2, NULL, "1,2.5\n" },
        { "a,\"b,\"\"c\"\"\"\n1,2\n", MM_I64, 1, 2, "[\"a\",\"b,\\\"c\\\"\"]",
          "\"a\",\"b,\"\"c\"\"\"\n1,2\n" },
        { "x,5\n1,2\n", MM_I64, 1, 2, "[\"x\",\"5\"]", "\"x\",\"5\"\n1,2\n" },
        { "9223372036854775807\n", MM_I64, 1, 1, NULL, "9223372036854775807\n" },
        { "9223372036854775808\n", MM_F64, 1, 1, NULL, "9.2233720368547758e+18\n" },
        { " 1 , 2\t\n", MM_I64, 1, 2, NULL, "1,2\n" },
        { "nan,-inf\n", MM_F64, 1, 2, NULL, "nan,-inf\n" },
        { "", MM_F64, 0, 0, NULL, "" },
        { "a,b\n", MM_F64, 0, 2, "[\"a\",\"b\"]", "\"a\",\"b\"\n" },
        { "1,2\n3\n", -1, 0, 0, NULL, NULL },
        { "1,2\n3,\n", -1, 0, 0, NULL, NULL },
        { "1\n\n2\n", -1, 0, 0, NULL, NULL },
        { "\"1\n", -1, 0, 0, NULL, NULL },
        { "\"1\"x\n", MM_I64, 0, 1, "[\"1x\"]", "\"1x\"\n" },
        { "1\n1 2\n", -1, 0, 0, NULL, NULL },
        { "1\n\xFF\n", -1, 0, 0, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mm_err e = { 0 };
        struct mm_buf b = { 0 };
        struct mm_csv c;
        const int rc = mm_csv_parse(&c, cases[i].text, strlen(cases[i].text), "t.csv", &e);

        if ((rc == 0) != (cases[i].dtype >= 0))
            fail_msg("case %zu: %d %s", i, rc, e.msg);
        if (rc < 0)
            continue;
        assert_true(c.t.shape[0] == cases[i].rows && c.t.shape[1] == cases[i].columns);
        if (cases[i].rows > 0)
            assert_int_equal(c.t.dtype, cases[i].dtype);
        assert_int_equal(c.header != NULL, cases[i].header != NULL);
        if (c.header != NULL)
            assert_string_equal(c.header, cases[i].header);
        assert_int_equal(mm_csv_write(&b, &c.t, c.header, &e), 0);
        assert_string_equal(b.p != NULL ? b.p : "", cases[i].back);
        mm_buf_free(&b);
        mm_csv_free(&c);
    }
}

static void test_csv_write(void **state)
{
    float x[4] = { 0.1F, 1e-40F, -3, 16777216 };
    const struct mm_tensor column = { .dtype = MM_F32, .ndim = 1, .shape = { 4 }, .data = x };
    const struct mm_tensor table = { .dtype = MM_F32, .ndim = 3, .shape = { 2, 1, 2 }, .data = x };
    const struct mm_tensor deep = { .dtype = MM_F32, .ndim = 3, .shape = { 2, 2, 2 }, .data = x };
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };

    (void)state;
    assert_int_equal(mm_csv_write(&b, &column, NULL, &e), 0);
    assert_string_equal(b.p, "0.100000001\n9.9999461e-41\n-3\n16777216\n");
    mm_buf_reset(&b);
    assert_int_equal(mm_csv_write(&b, &table, NULL, &e), 0);
    assert_string_equal(b.p, "0.100000001,9.9999461e-41\n-3,16777216\n");
    assert_int_equal(mm_csv_write(&b, &deep, NULL, &e), MM_ESHAPE);
    mm_err_clear(&e);
    assert_int_equal(mm_csv_write(&b, &column, "[1,2]", &e), MM_EDATA);
    mm_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_long),
        cmocka_unit_test(test_types),   cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_csv),     cmocka_unit_test(test_csv_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
