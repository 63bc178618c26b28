/* test_base.c: errors, sizes, buffers, arena, types, UTF-8, JSON, CRC, random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pages.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/tensor.h"
#include "base/utf8.h"

static void test_err(void **state)
{
    struct mm_err e = { 0 };
    char big[3000];

    (void)state;
    errno = ENOENT;
    assert_int_equal(mm_err_set(&e, MM_ENOENT, "a\nb\x1b[2J:"), MM_ENOENT);
    assert_string_equal(e.msg, "a?b?[2J: No such file or directory");
    assert_int_equal(e.sys, ENOENT);
    assert_int_equal(mm_err_set(&e, MM_EDATA, "second"), MM_EDATA);
    assert_int_equal(e.code, MM_ENOENT); /* the first one wins */
    assert_int_equal(mm_err_prefix(&e, "file %d", 7), MM_ENOENT);
    assert_string_equal(e.msg, "file 7: a?b?[2J: No such file or directory");
    mm_err_clear(&e);
    assert_int_equal(mm_err_prefix(&e, "x"), MM_OK);
    assert_string_equal(e.msg, "");
    assert_int_equal(mm_err_set(NULL, MM_EIO, "no place"), MM_EIO);

    for (size_t i = 0; i + 2 < sizeof(big); i += 2)
        memcpy(big + i, "\xC3\xA9", 2);
    big[sizeof(big) - 2] = '\0';
    mm_err_set(&e, MM_EDATA, "%s%s", "x", big);
    assert_int_equal(mm_utf8_valid(e.msg, strlen(e.msg)), strlen(e.msg));
    assert_true(strlen(e.msg) > 900 && strlen(e.msg) < sizeof(e.msg));
}

static void test_err_status(void **state)
{
    static const int want[][2] = {
        { MM_OK, 0 },      { MM_EUSAGE, 64 }, { MM_EDATA, 65 },    { MM_ESHAPE, 65 },
        { MM_ENOKEY, 65 }, { MM_ENOENT, 66 }, { MM_EMISSING, 69 }, { MM_EBUG, 70 },
        { MM_ENOMEM, 70 }, { MM_EIO, 74 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(mm_err_status(want[i][0]), want[i][1]);
}

static void test_size(void **state)
{
    size_t n;
    char buf[40];
    const int64_t ok[] = { 2, 3, 4 };
    const int64_t huge[] = { INT64_C(1) << 40, INT64_C(1) << 40, 0 };
    const int64_t negative[] = { 2, -1 };

    (void)state;
    assert_true(mm_size_mul(3, 5, &n) && n == 15);
    assert_false(mm_size_mul(SIZE_MAX, 2, &n));
    assert_false(mm_size_add(SIZE_MAX, 1, &n));
    assert_true(mm_size_align(65, 64, &n) && n == 128);
    assert_false(mm_size_align(SIZE_MAX - 3, 64, &n));
    assert_true(mm_shape_count(ok, 3, &n) && n == 24);
    assert_true(mm_shape_count(NULL, 0, &n) && n == 1);
    assert_false(mm_shape_count(huge, 3, &n));
    assert_false(mm_shape_count(negative, 2, &n));
    assert_false(mm_shape_count(ok, 9, &n));
    assert_string_equal(mm_shape_str(buf, sizeof(buf), ok, 3), "[2,3,4]");
    assert_string_equal(mm_shape_str(buf, 5, ok, 3), "[2,3");
    assert_true(mm_dtype_bytes(MM_Q4_K, 512, &n) && n == 288);
    assert_false(mm_dtype_bytes(MM_Q4_K, 100, &n));
    assert_false(mm_dtype_bytes(MM_F64, SIZE_MAX / 2, &n));
    assert_int_equal(mm_dtype_parse("BF16"), MM_BF16);
    assert_int_equal(mm_dtype_parse("f33"), MM_NDTYPE);
    for (int d = 0; d < MM_NDTYPE; d++)
        assert_int_equal(mm_dtype_parse(mm_dtype_name((enum mm_dtype)d)), d);
}

static void test_widen(void **state)
{
    int64_t i64[] = { -3, INT64_C(1) << 40 };
    uint64_t u64[] = { UINT64_MAX, 7 };
    double f64[] = { 0.1, -1e300 };
    unsigned char b[] = { 0, 2 };
    struct mm_tensor t = { .ndim = 1, .shape = { 2 } };
    float y[2];

    (void)state;
    t.dtype = MM_I64, t.data = i64;
    mm_tensor_to_f32(y, &t);
    assert_true(y[0] == -3.0F && y[1] == 0x1p40F);
    t.dtype = MM_U64, t.data = u64;
    mm_tensor_to_f32(y, &t);
    assert_true(y[0] == 0x1p64F && y[1] == 7.0F);
    t.dtype = MM_F64, t.data = f64;
    mm_tensor_to_f32(y, &t);
    assert_true(y[0] == 0.1F && isinf(y[1]) && y[1] < 0);
    t.dtype = MM_BOOL, t.data = b;
    mm_tensor_to_f32(y, &t);
    assert_true(y[0] == 0.0F && y[1] == 1.0F);
}

static void test_pages(void **state)
{
    static const size_t sizes[] = { 0, 1, 100, (2 << 20) - 1, 2 << 20, 5000000 };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = mm_pages_alloc(sizes[i]);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (sizes[i] < 2 << 20 ? 64 : 2 << 20), 0);
        memset(p, 1, sizes[i]);
        free(p);
    }
    assert_null(mm_pages_alloc(SIZE_MAX));
}

static void test_buf(void **state)
{
    struct mm_buf b = { 0 };
    uint32_t *v = NULL;
    size_t cap = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        mm_buf_printf(&b, "%d,", i);
    mm_buf_printf(&b, "%0200d", 5);
    assert_int_equal(b.n, 3890 + 200);
    assert_int_equal(strlen(b.p), b.n);
    mm_buf_reset(&b);
    mm_buf_add(&b, NULL, 0);
    mm_buf_str(&b, "ab");
    mm_buf_char(&b, '\0');
    assert_int_equal(b.n, 3);
    mm_buf_free(&b);
    assert_true(mm_grow(&v, &cap, 5, sizeof(*v)) && cap >= 5);
    assert_false(mm_grow(&v, &cap, SIZE_MAX / 2, sizeof(*v)));
    assert_true(cap >= 5 && v != NULL);
    free(v);
}

static void test_arena(void **state)
{
    struct mm_arena *a = mm_arena_new();
    struct mm_arena_mark m;
    char *first, *p;

    (void)state;
    assert_non_null(a);
    m = mm_arena_mark(a);
    first = mm_arena_alloc(a, 100);
    assert_int_equal((uintptr_t)first % 64, 0);
    memset(first, 7, 100);
    for (int i = 1; i < 60; i++) {
        p = mm_arena_alloc(a, (size_t)i * 50000);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, i, (size_t)i * 50000);
    }
    assert_int_equal(first[99], 7);
    assert_true(mm_arena_peak(a) >= 50000U * 59 * 60 / 2);
    mm_arena_release(a, m);
    p = mm_arena_zalloc(a, 3000);
    assert_ptr_equal(p, first); /* reused */
    for (int i = 0; i < 3000; i++)
        assert_int_equal(p[i], 0);
    assert_non_null(mm_arena_alloc(a, 0));
    assert_null(mm_arena_alloc(a, SIZE_MAX - 5));
    assert_null(mm_arena_strdup(a, "", SIZE_MAX));
    assert_string_equal(mm_arena_strdup(a, "abcdef", 3), "abc");
    mm_arena_free(a);
    mm_arena_free(NULL);
}

/* A steady loop of mark, mixed sizes, release must stop growing. */
static void test_arena_steady(void **state)
{
    struct mm_arena *a = mm_arena_new();
    size_t peak = 0;

    (void)state;
    for (int round = 0; round < 50; round++) {
        const struct mm_arena_mark m = mm_arena_mark(a);

        assert_non_null(mm_arena_alloc(a, 3 << 20));
        assert_non_null(mm_arena_alloc(a, 100));
        assert_non_null(mm_arena_alloc(a, 2 << 20));
        mm_arena_release(a, m);
        if (round == 0)
            peak = mm_arena_peak(a);
        assert_int_equal(mm_arena_peak(a), peak);
    }
    mm_arena_free(a);
}

static void test_utf8(void **state)
{
    static const struct {
        const char *s;
        size_t valid, partial;
    } cases[] = {
        { "", 0, 0 },
        { "abc", 3, 0 },
        { "\xC3\xA9", 2, 0 },
        { "x\xC3", 1, 1 },
        { "x\xE2\x82", 1, 2 },
        { "x\xE2\x82\xAC", 4, 0 },
        { "\xF0\x9F\x98", 0, 3 },
        { "\xF0\x9F\x98\x80", 4, 0 },
        { "\xC0\x80", 0, 0 },         /* overlong */
        { "\xE0\x80", 0, 0 },
        { "\xED\xA0\x80", 0, 0 },     /* surrogate */
        { "\xED\xA0", 0, 0 },
        { "\xF4\x90\x80\x80", 0, 0 }, /* above 10FFFF */
        { "\xF5", 0, 0 },
        { "a\x80", 1, 0 },
        { "a\x80\x80\x80", 1, 0 },
    };
    char out[4];
    uint32_t cp, back;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t n = strlen(cases[i].s);

        assert_int_equal(mm_utf8_valid(cases[i].s, n), cases[i].valid);
        assert_int_equal(mm_utf8_partial(cases[i].s, n), cases[i].partial);
    }
    for (cp = 0; cp < 0x110000; cp++) {
        size_t n;

        if (cp >= 0xD800 && cp < 0xE000)
            continue;
        n = mm_utf8_put(out, cp);
        if (mm_utf8_get(out, n, &back) != n || back != cp)
            fail_msg("U+%04X", cp);
        if (n > 1 && (mm_utf8_get(out, n - 1, &back) != 0 || mm_utf8_partial(out, n - 1) != n - 1))
            fail_msg("U+%04X cut", cp);
    }
}

static void test_json(void **state)
{
    static const char doc[] = "{\"a\": 3, \"b\": 2.5, \"c\": \"x\", \"d\": true, \"n\": null,"
                              " \"big\": 1000000000000000019884624838656, \"s\": \"1\\\"e9999\"}";
    static const char *const bad[] = { "{\"a\":1,\"a\":2}", "{", "", "[1,]", "nul", "\"\xFF\"",
                                       "1e999", "{\"a\":99999999999999999999x}" };
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };
    json_t *j;

    (void)state;
    assert_int_equal(mm_json_load(&j, doc, strlen(doc), "f.json", &e), 0);
    assert_int_equal(mm_json_int(j, "a", 9, &e), 3);
    assert_int_equal(mm_json_int(j, "n", 9, &e), 9);
    assert_int_equal(mm_json_int(NULL, "a", 9, &e), 9);
    assert_true(mm_json_num(j, "b", 0, &e) == 2.5 && mm_json_num(j, "a", 0, &e) == 3.0);
    assert_true(mm_json_num(j, "big", 0, &e) == 1e30 + 19884624838656.0);
    assert_true(mm_json_bool(j, "d", false, &e) && !mm_json_bool(j, "zz", false, &e));
    assert_string_equal(mm_json_str(j, "c", "-", &e), "x");
    assert_string_equal(mm_json_str(j, "s", "-", &e), "1\"e9999");
    assert_int_equal(e.code, MM_OK);
    assert_string_equal(mm_json_str(j, "a", "-", &e), "-");
    assert_int_equal(e.code, MM_EDATA);
    json_decref(j);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mm_err_clear(&e);
        assert_int_equal(mm_json_load(&j, bad[i], strlen(bad[i]), "f.json", &e), MM_EDATA);
        assert_null(j);
        assert_true(strncmp(e.msg, "f.json: line ", 13) == 0);
    }
    mm_json_quote(&b, "a\"\\\n\x01\xFF\xC3\xA9\0z", 10);
    assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\xC3\xA9\\u0000z\"");
    mm_buf_free(&b);
}

/* Elements one by one; what is wrong is told where it is. */
static void test_json_each(void **state)
{
    static const struct {
        const char *text;
        int elements;      /* before the end, or the fault */
        const char *fault; /* NULL: none */
    } cases[] = {
        { "[]", 0, NULL }, { " [ ] ", 0, NULL }, { "", 0, NULL }, { "[1]", 1, NULL },
        { " [ {\"a\": [1, 2]} , 2,\n\"]\" ] \n", 3, NULL }, { "{\"a\":1}\n{}\n\n3 \"x\"", 4, NULL },
        { "[[1],[2]]", 2, NULL }, { "[", 0, "byte 1: the array neither" },
        { "[1", 1, "byte 2: the array neither" }, { "[1 2]", 1, "byte 3: the array neither" },
        { "[1,]", 1, "f: byte" }, { "[,1]", 0, "f: byte" }, { "[1]]", 1, "byte 3: more behind" },
        { "[1] 2", 1, "byte 4: more behind" }, { "{\"a\":1,}", 0, "f: byte" }, { "[1,{]", 1, "f: byte" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct mm_err e = { 0 };
        size_t at = 0;
        json_t *j;
        int rc, n = 0;

        while ((rc = mm_json_each(&j, cases[i].text, strlen(cases[i].text), &at, "f", &e)) > 0) {
            json_decref(j);
            n++;
        }
        if (n != cases[i].elements || rc != (cases[i].fault ? MM_EDATA : 0))
            fail_msg("%s: %d elements, %s", cases[i].text, n, e.msg);
        if (cases[i].fault && !strstr(e.msg, cases[i].fault))
            fail_msg("%s: %s", cases[i].text, e.msg);
    }
}

static void test_json_depth(void **state)
{
    struct mm_err e = { 0 };
    char *deep = malloc(200000);
    json_t *j;

    (void)state;
    assert_non_null(deep);
    memset(deep, '[', 200000);
    assert_int_equal(mm_json_load(&j, deep, 200000, "deep", &e), MM_EDATA);
    free(deep);
}

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(mm_crc32(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(mm_crc32(mm_crc32(0, "1234", 4), "56789", 5), 0xCBF43926);
    assert_int_equal(mm_crc32(0, "", 0), 0);
}

static void test_rng(void **state)
{
    struct mm_rng r;
    double sum = 0.0;
    double square = 0.0;
    int count[7] = { 0 };

    (void)state;
    /* splitmix64(0) is published: its first outputs are the initial state */
    mm_rng_seed(&r, 0);
    assert_true(r.s[0] == UINT64_C(0xE220A8397B1DCDAF) && r.s[1] == UINT64_C(0x6E789E6AA1B965F4));
    r = (struct mm_rng){ { 1, 2, 3, 4 } }; /* the reference's first outputs from this state */
    assert_true(mm_rng_u64(&r) == 11520 && mm_rng_u64(&r) == 0);
    assert_true(mm_rng_u64(&r) == 1509978240 && mm_rng_u64(&r) == UINT64_C(1215971899390074240));
    mm_rng_seed(&r, 42);
    for (int i = 0; i < 100000; i++) {
        const double x = mm_rng_normal(&r);
        const double u = mm_rng_uniform(&r);

        assert_true(isfinite(x) && u >= 0.0 && u < 1.0);
        sum += x;
        square += x * x;
        count[mm_rng_below(&r, 7)]++;
    }
    assert_true(fabs(sum / 1e5) < 0.02 && fabs(square / 1e5 - 1.0) < 0.03);
    for (int i = 0; i < 7; i++)
        assert_true(abs(count[i] - 14286) < 600); /* 5 standard deviations */
    assert_true(mm_hash64("a", 1) == UINT64_C(0xAF63DC4C8601EC8C)); /* FNV-1a test vector */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err),        cmocka_unit_test(test_err_status),
        cmocka_unit_test(test_size),       cmocka_unit_test(test_widen),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_buf),        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_steady), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_json),       cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_each),
        cmocka_unit_test(test_crc),        cmocka_unit_test(test_rng),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
