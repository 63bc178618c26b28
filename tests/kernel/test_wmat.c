/* test_wmat.c: linear layers, with every kernel table: golden products, shapes
 * with every kind of edge, threads, the transposed product. */
#include "kern_test.h"

#include <jansson.h>

#include "golden.h"
#include "kernel/wmat.h"

static const double eps = FLT_EPSILON;

static const enum mm_dtype types[] = { MM_F32,  MM_F16,  MM_BF16, MM_Q4_0, MM_Q4_1,
                                       MM_Q5_0, MM_Q5_1, MM_Q8_0, MM_Q2_K, MM_Q3_K,
                                       MM_Q4_K, MM_Q5_K, MM_Q6_K };
enum { TYPES = sizeof(types) / sizeof(*types) };

static struct mm_wmat *wrap(enum mm_dtype t, size_t out, size_t in, void *data,
                            enum mm_wmat_pack pack)
{
    const struct mm_tensor w = { t, 2, { (int64_t)out, (int64_t)in }, data };
    struct mm_wmat *m;

    assert_int_equal(mm_wmat_new(&m, &w, pack, NULL, NULL), 0);
    assert_int_equal(mm_wmat_out(m), out);
    assert_int_equal(mm_wmat_in(m), in);
    assert_int_equal(mm_wmat_dtype(m), t);
    return m;
}

/* Random weights whose scales are small and finite. */
static void *weights(enum mm_dtype t, size_t out, size_t in, struct mm_rng *r)
{
    size_t bytes;

    assert_true(mm_dtype_bytes(t, out * in, &bytes));
    unsigned char *p = malloc(bytes);
    assert_non_null(p);
    if (t == MM_F32) {
        kt_fill((float *)(void *)p, out * in, r, false);
        return p;
    }
    for (size_t i = 0; i < bytes; i++) /* as a half: below 2, as codes: anything */
        p[i] = (unsigned char)(mm_rng_u64(r) & 0xbf);
    return p;
}

/* One case "TYPE.MxK.y" of weights/matmul. */
static void check_golden(const struct mm_ckpt *in, const struct mm_ckpt *want, const char *name,
                         double rtol, double rtol_q8)
{
    char type[20], size[20], key[60];

    assert_int_equal(sscanf(name, "%19[^.].%19[^.].y", type, size), 2);
    snprintf(key, sizeof(key), "x.%s", size);
    const struct mm_tensor *x = golden_tensor(in, key), *y = golden_tensor(want, name);
    snprintf(key, sizeof(key), "%s.%s", type, size);
    const struct mm_tensor *w = golden_tensor(in, key);
    const size_t rows = (size_t)x->shape[0], out = (size_t)w->shape[0];
    struct mm_wmat *m = wrap(mm_dtype_parse(type), out, (size_t)x->shape[1], w->data,
                             rows == 7 ? MM_WMAT_PACK : MM_WMAT_BORROW);
    float *got = malloc(rows * out * 4);

    assert_int_equal(mm_wmat_mul(got, x->data, rows, m, NULL, MM_ARITH_EXACT, NULL), 0);
    double d = golden_rel_l2(got, y->data, rows * out);
    KT_CHECK(d <= rtol, "%s: %g, at most %g", name, d, rtol);
    assert_int_equal(mm_wmat_mul(got, x->data, rows, m, NULL, MM_ARITH_FAST, NULL), 0);
    d = golden_rel_l2(got, y->data, rows * out);
    KT_CHECK(d <= (rtol_q8 > 0 ? rtol_q8 : rtol), "%s, fast: %g, at most %g", name, d, rtol_q8);
    free(got);
    mm_wmat_free(m);
}

static void test_golden(void **state)
{
    struct mm_ckpt *in = golden_open("weights/matmul/inputs.safetensors");
    struct mm_ckpt *want = golden_open("weights/matmul/expected.safetensors");
    char path[500];
    size_t i;
    json_t *stage;

    (void)state;
    json_t *root =
        json_load_file(golden_path(path, sizeof(path), "weights/matmul/case.json"), 0, NULL);
    assert_non_null(root);
    const json_t *stages = json_object_get(root, "stages");
    assert_int_equal(json_array_size(stages), mm_ckpt_count(want));
    json_array_foreach(stages, i, stage)
        check_golden(in, want, json_string_value(json_object_get(stage, "name")),
                     json_number_value(json_object_get(stage, "rtol")),
                     json_number_value(json_object_get(stage, "rtol_q8")));
    json_decref(root);
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

/* The same matrix packed, and packed by somebody else, gives the same bits. */
static void check_forms(const struct mm_wmat *m, enum mm_dtype t, const void *w, const float *y,
                        const float *x, size_t rows, const float *b, enum mm_arith arith,
                        struct mm_pool *p)
{
    const size_t out = mm_wmat_out(m), in = mm_wmat_in(m);
    const struct mm_tensor src = { t, 2, { (int64_t)out, (int64_t)in }, (void *)w };
    struct mm_wmat *f[2];
    float *got = malloc(rows * out * 4), *row = malloc(in * 4), *want = malloc(in * 4);
    size_t bytes, expect;

    assert_int_equal(mm_wmat_new(&f[0], &src, MM_WMAT_PACK, p, NULL), 0);
    assert_null(mm_wmat_packed(m, &bytes));
    const void *packed = mm_wmat_packed(f[0], &bytes);
    assert_true(mm_packed_bytes(t, out, in, &expect) && bytes == expect);
    assert_int_equal(mm_wmat_borrow_packed(&f[1], t, out, in, packed, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mm_wmat_mul(got, x, rows, f[i], b, arith, p), 0);
        assert_memory_equal(got, y, rows * out * 4);
        for (size_t o = 0; o < out; o += 3) {
            mm_wmat_row(row, f[i], o);
            mm_wmat_row(want, m, o);
            assert_memory_equal(row, want, in * 4);
        }
    }
    mm_wmat_free(f[1]);
    mm_wmat_free(f[0]);
    free(got);
    free(row);
    free(want);
}

/* y against double; int8 activations are off by half a step of d = max |x| / 127. */
static void check_shape(enum mm_dtype t, size_t rows, size_t out, size_t in, enum mm_arith arith,
                        struct mm_pool *p, struct mm_rng *r)
{
    void *w = weights(t, out, in, r);
    struct mm_wmat *m = wrap(t, out, in, w, MM_WMAT_BORROW);
    struct kt_buf bx, by;
    float *x = kt_alloc(&bx, rows * in * 4), *y = kt_alloc(&by, rows * out * 4);
    float *row = malloc((in + 1) * 4), *b = malloc(out * 4), *y1 = malloc(rows * out * 4);
    const bool int8 = arith == MM_ARITH_FAST && mm_dtype_quantised(t);

    kt_fill(x, rows * in, r, false);
    kt_fill(b, out, r, false);
    assert_int_equal(mm_wmat_mul(y, x, rows, m, b, arith, p), 0);
    for (size_t o = 0; o < out; o++) {
        mm_wmat_row(row, m, o);
        for (size_t i = 0; i < rows; i++) {
            double sum = (double)b[o], abs = fabs(sum), top = 0, wabs = 0;
            for (size_t k = 0; k < in; k++) {
                sum += (double)row[k] * (double)x[i * in + k];
                abs += fabs((double)row[k] * (double)x[i * in + k]);
                wabs += fabs((double)row[k]);
                top = fmax(top, fabs((double)x[i * in + k]));
            }
            const double tol = ((double)in + 2) * eps * abs + (int8 ? wabs * top / 127 * 0.51 : 0);
            KT_CHECK(kt_close(y[i * out + o], sum, tol), "%s %zux%zux%zu: [%zu][%zu] = %g, want %g",
                     mm_dtype_name(t), rows, out, in, i, o, (double)y[i * out + o], sum);
        }
    }
    assert_int_equal(mm_wmat_mul(y1, x, rows, m, b, arith, NULL), 0);
    assert_memory_equal(y, y1, rows * out * 4);
    for (size_t i = 0; i < rows; i++) { /* alone or among others */
        assert_int_equal(mm_wmat_mul(y1, x + i * in, 1, m, b, arith, NULL), 0);
        assert_memory_equal(y + i * out, y1, out * 4);
    }
    check_forms(m, t, w, y, x, rows, b, arith, p);
    kt_free(&bx);
    kt_free(&by);
    free(row);
    free(b);
    free(y1);
    free(w);
    mm_wmat_free(m);
}

static void test_shapes(void **state)
{
    static const struct {
        size_t rows, out, blocks;
    } shapes[] = { { 1, 1, 1 },  { 1, 70, 3 },  { 3, 33, 1 }, { 4, 5, 2 },
                   { 5, 32, 2 }, { 13, 65, 3 }, { 30, 31, 1 } };
    struct mm_pool *p = mm_pool_new(3);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 1);
    for (size_t t = 0; t < TYPES; t++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(*shapes); s++)
            for (int a = 0; a < 2; a++) {
                const size_t block = mm_dtype_quantised(types[t]) ? mm_dtype_block(types[t]) : 37;
                check_shape(types[t], shapes[s].rows, shapes[s].out, shapes[s].blocks * block,
                            a ? MM_ARITH_FAST : MM_ARITH_EXACT, p, &r);
            }
    /* more than one chunk of k, more than one tile of rows */
    check_shape(MM_Q4_K, 5, 3, 2304, MM_ARITH_FAST, p, &r);
    check_shape(MM_Q8_0, 5, 3, 2080, MM_ARITH_FAST, p, &r);
    check_shape(MM_Q8_0, 5, 3, 544, MM_ARITH_EXACT, p, &r);
    check_shape(MM_F32, 780, 3, 40, MM_ARITH_FAST, p, &r);
    check_shape(MM_Q4_0, 770, 3, 32, MM_ARITH_FAST, p, &r);
    /* many rows: tiles of several panels by several chunks of k, the last ones not whole */
    check_shape(MM_F32, 65, 161, 300, MM_ARITH_FAST, p, &r);
    check_shape(MM_BF16, 67, 134, 515, MM_ARITH_FAST, p, &r);
    check_shape(MM_F16, 1537, 66, 257, MM_ARITH_FAST, p, &r);
    check_shape(MM_Q8_0, 66, 129, 544, MM_ARITH_EXACT, p, &r);
    check_shape(MM_Q4_0, 65, 140, 1056, MM_ARITH_FAST, p, &r);
    check_shape(MM_Q5_K, 775, 70, 768, MM_ARITH_FAST, p, &r);
    mm_pool_free(p);
}

/* A group gives what the products give one by one; types may be mixed. */
static void test_group(void **state)
{
    enum { IN = 256, MOST = 7, OUT = 40 };
    static const enum mm_dtype mix[] = { MM_Q4_K, MM_Q6_K, MM_F32, MM_Q8_0, MM_BF16 };
    const struct mm_wmat *m[5];
    void *w[5];
    float x[MOST * IN], one[MOST * OUT], *y[5], bias[OUT];
    const float *b[5] = { bias, NULL, bias, NULL, NULL };
    struct mm_pool *p = mm_pool_new(2);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 2);
    kt_fill(x, MOST * IN, &r, false);
    kt_fill(bias, OUT, &r, false);
    for (size_t i = 0; i < 5; i++) {
        w[i] = weights(mix[i], OUT - i, IN, &r);
        m[i] = wrap(mix[i], OUT - i, IN, w[i], MM_WMAT_BORROW);
        y[i] = malloc(sizeof(one));
    }
    for (size_t rows = 1; rows <= MOST; rows += 3)
        for (int a = 0; a < 2; a++) {
            assert_int_equal(
                mm_wmat_mul_group(y, x, rows, m, b, 5, a ? MM_ARITH_FAST : MM_ARITH_EXACT, p), 0);
            for (size_t i = 0; i < 5; i++) {
                assert_int_equal(
                    mm_wmat_mul(one, x, rows, m[i], b[i], a ? MM_ARITH_FAST : MM_ARITH_EXACT, p),
                    0);
                assert_memory_equal(y[i], one, rows * (OUT - i) * 4);
            }
        }
    for (size_t i = 0; i < 5; i++) {
        mm_wmat_free((struct mm_wmat *)m[i]);
        free(w[i]);
        free(y[i]);
    }
    mm_pool_free(p);
}

/* The error is that of activations without their few outliers: of each block a step of 1/127
 * of its largest but them, evenly spread, or twice that; and the bits are those of the row alone. */
static void check_outliers(enum mm_dtype t, size_t rows, struct mm_rng *r)
{
    enum { IN = 2304, OUT = 40 }; /* three chunks of k */
    void *w = weights(t, OUT, IN, r);
    struct mm_wmat *m = wrap(t, OUT, IN, w, MM_WMAT_PACK);
    float *x = malloc(rows * IN * 4), *y = malloc(rows * OUT * 4), one[OUT], row[IN];
    double err = 0, var = 0;

    kt_fill(x, rows * IN, r, false);
    for (size_t i = 0; i < rows; i++)
        for (size_t o = 0; o < 3; o++)
            x[i * IN + (i * 331 + o * 809) % IN] = 100 + 3.3F * (float)o;
    assert_int_equal(mm_wmat_mul(y, x, rows, m, NULL, MM_ARITH_FAST, NULL), 0);
    for (size_t o = 0; o < OUT; o++) {
        mm_wmat_row(row, m, o);
        for (size_t i = 0; i < rows; i++) {
            double sum = 0;
            for (size_t k = 0; k < IN; k++) {
                sum += (double)row[k] * (double)x[i * IN + k];
                var += (double)row[k] * (double)row[k] * pow(2.1 / 127, 2) / 12;
            }
            err += pow((double)y[i * OUT + o] - sum, 2);
        }
    }
    KT_CHECK(err <= 4 * var, "%s, %zu rows: error %g, expected %g", mm_dtype_name(t), rows,
             sqrt(err), sqrt(var));
    for (size_t i = 0; i < rows; i++) {
        assert_int_equal(mm_wmat_mul(one, x + i * IN, 1, m, NULL, MM_ARITH_FAST, NULL), 0);
        assert_memory_equal(y + i * OUT, one, sizeof(one));
    }
    free(x);
    free(y);
    free(w);
    mm_wmat_free(m);
}

static void test_outliers(void **state)
{
    static const size_t rows[] = { 1, 3, 8, 13 };
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 5);
    for (size_t t = 0; t < TYPES; t++)
        for (size_t i = 0; mm_dtype_quantised(types[t]) && i < 4; i++)
            check_outliers(types[t], rows[i], &r);
}

/* NaN stays in its row. */
static void test_rows_apart(void **state)
{
    enum { IN = 256, OUT = 33, ROWS = 20 };
    struct mm_rng r;
    float *x = malloc(ROWS * IN * 4), *y = malloc(ROWS * OUT * 4), *z = malloc(ROWS * OUT * 4);

    (void)state;
    mm_rng_seed(&r, 3);
    for (size_t t = 0; t < TYPES; t++) {
        void *w = weights(types[t], OUT, IN, &r);
        struct mm_wmat *m = wrap(types[t], OUT, IN, w, MM_WMAT_PACK);
        kt_fill(x, ROWS * IN, &r, false);
        assert_int_equal(mm_wmat_mul(y, x, ROWS, m, NULL, MM_ARITH_FAST, NULL), 0);
        for (size_t i = 0; i < IN; i++)
            x[7 * IN + i] = i == 5 ? NAN : INFINITY;
        assert_int_equal(mm_wmat_mul(z, x, ROWS, m, NULL, MM_ARITH_FAST, NULL), 0);
        for (size_t i = 0; i < ROWS * OUT; i++)
            if (i / OUT == 7)
                assert_true(isnan(z[i]));
            else
                assert_true(y[i] == z[i]);
        free(w);
        mm_wmat_free(m);
    }
    free(x);
    free(y);
    free(z);
}

static void check_mul_t(enum mm_dtype t, size_t rows, size_t out, size_t in, struct mm_pool *p,
                        struct mm_rng *r)
{
    void *w = weights(t, out, in, r);
    struct mm_wmat *m = wrap(t, out, in, w, MM_WMAT_BORROW);
    float *dy = malloc(rows * out * 4), *dx = malloc(rows * in * 4), *row = malloc(in * 4);
    float *dx1 = malloc(rows * in * 4);
    double *sum = calloc(rows * in, sizeof(*sum)), *abs = calloc(rows * in, sizeof(*abs));

    kt_fill(dy, rows * out, r, false);
    assert_int_equal(mm_wmat_mul_t(dx, dy, rows, m, p), 0);
    for (size_t o = 0; o < out; o++) {
        mm_wmat_row(row, m, o);
        for (size_t i = 0; i < rows * in; i++) {
            const double v = (double)dy[i / in * out + o] * (double)row[i % in];
            sum[i] += v;
            abs[i] += fabs(v);
        }
    }
    for (size_t i = 0; i < rows * in; i++)
        KT_CHECK(kt_close(dx[i], sum[i], ((double)out + 2) * eps * abs[i]),
                 "%s %zux%zux%zu at %zu: %g, want %g", mm_dtype_name(t), rows, out, in, i,
                 (double)dx[i], sum[i]);
    assert_int_equal(mm_wmat_mul_t(dx1, dy, rows, m, NULL), 0);
    assert_memory_equal(dx, dx1, rows * in * 4);
    struct mm_wmat *packed = wrap(t, out, in, w, MM_WMAT_PACK);
    assert_int_equal(mm_wmat_mul_t(dx1, dy, rows, packed, p), 0);
    assert_memory_equal(dx, dx1, rows * in * 4);
    mm_wmat_free(packed);
    free(w);
    mm_wmat_free(m);
    free(dy);
    free(dx);
    free(dx1);
    free(row);
    free(sum);
    free(abs);
}

static void test_mul_t(void **state)
{
    struct mm_pool *p = mm_pool_new(3);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 4);
    for (size_t t = 0; t < TYPES; t++) {
        const size_t block = mm_dtype_quantised(types[t]) ? mm_dtype_block(types[t]) : 37;
        check_mul_t(types[t], 1, 3, block, p, &r);
        check_mul_t(types[t], 14, 130, 3 * block, p, &r);
    }
    check_mul_t(MM_F32, 770, 2, 5, p, &r);
    mm_pool_free(p);
}

/* Types without kernels are widened once. */
static void test_other_types(void **state)
{
    double w64[6] = { 1, -2, 3, 0.5, 0.25, -1 };
    int8_t w8[6] = { 1, -2, 3, 5, 7, -128 };
    const float x[3] = { 1, 2, 4 };
    float y[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct mm_tensor t = {
            i ? MM_I8 : MM_F64, 2, { 2, 3 }, i ? (void *)w8 : (void *)w64
        };
        struct mm_wmat *m;
        assert_int_equal(mm_wmat_new(&m, &t, i ? MM_WMAT_BORROW : MM_WMAT_PACK, NULL, NULL), 0);
        assert_int_equal(mm_wmat_dtype(m), MM_F32);
        assert_int_equal(mm_wmat_mul(y, x, 1, m, NULL, MM_ARITH_FAST, NULL), 0);
        assert_true(y[0] == 9 && y[1] == (i ? -493 : -3));
        mm_wmat_free(m);
    }
    mm_wmat_free(NULL);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),     cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_group),      cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_rows_apart), cmocka_unit_test(test_mul_t),
        cmocka_unit_test(test_other_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kt_run_tables(run);
}
