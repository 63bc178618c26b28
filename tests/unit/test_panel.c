/* test_panel.c: packed matrices: where each piece lies, and rows back from panels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/panel.h"
#include "base/rng.h"

enum { MAX_ROWS = 70, MAX_COLS = 512 };

static unsigned char rows[MAX_ROWS * MAX_COLS * 4], panels[96 * MAX_COLS * 4];

/* Random bytes whose widened values are finite: high bytes of halves and floats
 * keep small exponents. */
static void fill(size_t n, uint64_t seed)
{
    struct mm_rng r;

    mm_rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++)
        rows[i] = (unsigned char)(mm_rng_uniform(&r) * 56);
}

static void pack(enum mm_dtype d, size_t n, size_t cols, size_t row_bytes)
{
    for (size_t r = 0; r < n; r += MM_PANEL_ROWS)
        mm_panel_write(panels + r * row_bytes, d, rows + r * row_bytes,
                       n - r < MM_PANEL_ROWS ? n - r : MM_PANEL_ROWS, cols);
}

/* The pieces of one block, in the order of the file: offset in the source, size. */
static const struct {
    enum mm_dtype d;
    int piece[4][2];
} order[] = {
    { MM_F32, { { 0, 4 } } },
    { MM_F16, { { 0, 2 } } },
    { MM_Q4_0, { { 0, 2 }, { 2, 4 }, { 6, 4 }, { 10, 4 } } },
    { MM_Q5_1, { { 0, 2 }, { 2, 2 }, { 4, 4 }, { 8, 4 } } },
    { MM_Q2_K, { { 80, 2 }, { 82, 2 }, { 0, 4 }, { 4, 4 } } },
    { MM_Q3_K, { { 108, 2 } } }, /* its words: below */
    { MM_Q4_K, { { 0, 2 }, { 2, 2 }, { 4, 4 }, { 8, 4 } } },
    { MM_Q6_K, { { 208, 2 }, { 0, 4 }, { 4, 4 }, { 8, 4 } } },
};

static void pieces_lie_where_the_format_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const size_t cols = 2 * mm_dtype_block(order[i].d);
        const size_t bytes = mm_dtype_block_bytes(order[i].d), stride = 2 * bytes;

        fill(MM_PANEL_ROWS * stride, i + 1);
        pack(order[i].d, MM_PANEL_ROWS, cols, stride);
        for (size_t b = 0; b < 2; b++) {
            const unsigned char *p = panels + b * MM_PANEL_ROWS * bytes;

            for (int k = 0; k < 4 && order[i].piece[k][1]; k++) {
                const size_t at = (size_t)order[i].piece[k][0], n = (size_t)order[i].piece[k][1];

                for (size_t r = 0; r < MM_PANEL_ROWS; r++, p += n)
                    assert_memory_equal(p, rows + r * stride + b * bytes + at, n);
            }
        }
    }
}

/* Code k of block b of 32 of q3_k, from a row as stored, and from the words of a panel. */
static int code_of_row(const unsigned char *p, size_t b, size_t k)
{
    return (p[32 + b / 4 * 32 + k] >> b % 4 * 2 & 3) | (p[k] >> b & 1) << 2;
}

static int code_of_panel(const unsigned char *w, size_t r, size_t b, size_t k)
{
    const unsigned char *const p = w + 4 * (k / 4 * MM_PANEL_ROWS + r) + k % 4;
    const size_t eight = 8 * 4 * MM_PANEL_ROWS;

    if (b < 6)
        return p[b / 2 * eight] >> b % 2 * 3 & 7;
    return p[b == 6 ? 0 : 2 * eight] >> 6 << 1 | (p[eight] >> b & 1);
}

static int scale_of_row(const unsigned char *p, size_t s)
{
    const unsigned char *const c = p + 96;

    return (s < 8 ? c[s] & 15 : c[s - 8] >> 4) + ((c[8 + s % 4] >> s / 4 * 2 & 3) << 4) - 32;
}

static int scale_of_panel(const unsigned char *w, size_t r, size_t s)
{
    unsigned x[3]; /* the halves that have s */

    for (size_t i = 0; i < 3; i++) {
        const unsigned char *const p = w + 4 * ((24 + i) * MM_PANEL_ROWS + r) + s % 2 * 2;
        x[i] = (unsigned)p[0] | (unsigned)p[1] << 8;
    }
    const size_t b = s / 2;
    const unsigned bits = b < 3   ? x[b] >> 10
                          : b < 6 ? x[b - 3] >> 4 & 63
                          : b < 7 ? (x[0] & 15) << 2 | (x[2] >> 2 & 3)
                                  : (x[1] & 15) << 2 | (x[2] & 3);
    return bits < 32 ? (int)bits : (int)bits - 64;
}

static void q3_k_lies_as_the_format_says(void **state)
{
    (void)state;
    fill(MM_PANEL_ROWS * 110, 11);
    for (size_t i = 0; i < MM_PANEL_ROWS * 110; i++) /* every bit */
        rows[i] = (unsigned char)(rows[i] * 151 + i / 7);
    pack(MM_Q3_K, MM_PANEL_ROWS, 256, 110);
    for (size_t r = 0; r < MM_PANEL_ROWS; r++) {
        const unsigned char *const row = rows + 110 * r, *const words = panels + 2 * MM_PANEL_ROWS;

        for (size_t b = 0; b < 8; b++)
            for (size_t k = 0; k < 32; k++)
                assert_int_equal(code_of_panel(words, r, b, k), code_of_row(row, b, k));
        for (size_t s = 0; s < 16; s++)
            assert_int_equal(scale_of_panel(words, r, s), scale_of_row(row, s));
    }
}

static void rows_come_back(void **state)
{
    static const size_t counts[] = { 1, 31, 32, 33, 70 };
    static float a[MAX_ROWS * MAX_COLS], b[MAX_ROWS * MAX_COLS];
    unsigned char row[MAX_COLS * 4];

    (void)state;
    for (unsigned p = MM_P32_F32; p < MM_NDTYPE; p++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            const enum mm_dtype d = mm_dtype_rows((enum mm_dtype)p);
            const size_t n = counts[i], cols = mm_dtype_quantised(d) ? 512 : 37;
            const struct mm_tensor t = { d, 2, { (int64_t)n, (int64_t)cols }, rows };
            const struct mm_tensor packed = { (enum mm_dtype)p, 2,
                                              { (int64_t)n, (int64_t)cols }, panels };
            const size_t row_bytes = mm_tensor_bytes(&t) / n, block = mm_dtype_block(d);
            const size_t padded = (n + 31) / 32 * 32;

            fill(mm_tensor_bytes(&t), p * 100 + i);
            pack(d, n, cols, row_bytes);
            assert_int_equal(mm_tensor_bytes(&packed), padded * row_bytes);
            for (size_t r = 0; r < n; r++) {
                mm_panel_tensor_row(row, &packed, r);
                assert_memory_equal(row, rows + r * row_bytes, row_bytes);
            }
            mm_tensor_to_f32(a, &t);
            mm_tensor_to_f32(b, &packed);
            assert_memory_equal(a, b, n * cols * sizeof *a);
            mm_panel_read(b, &packed, n * cols - 2 * block, 2 * block);
            assert_memory_equal(a + n * cols - 2 * block, b, 2 * block * sizeof *b);
        }
}

static void missing_rows_are_zero(void **state)
{
    (void)state;
    fill(3 * 36, 7);
    memset(panels, 0xff, sizeof panels);
    pack(MM_Q4_0, 3, 64, 36);
    for (size_t r = 3; r < 32; r++)
        for (size_t b = 0; b < 2; b++) {
            assert_int_equal(panels[b * 576 + 2 * r] | panels[b * 576 + 2 * r + 1], 0);
            assert_int_equal(panels[b * 576 + 64 + 4 * r], 0);
        }
    assert_int_equal(panels[2 * 576], 0xff); /* and no byte more */
}

static void no_row_of_a_packed_type_has_a_size(void **state)
{
    const int64_t shape[2] = { 33, 64 }, huge[2] = { INT64_MAX - 2, 64 }, odd[2] = { 33, 65 };
    size_t n;

    (void)state;
    assert_false(mm_dtype_bytes(MM_P32_F32, 32, &n));
    assert_true(mm_shape_bytes(MM_P32_Q4_0, shape, 2, &n) && n == 64 * 36);
    assert_true(mm_shape_bytes(MM_P32_F32, odd, 2, &n) && n == 64 * 65 * 4);
    assert_true(mm_shape_bytes(MM_Q4_0, shape, 2, &n) && n == 33 * 36);
    assert_false(mm_shape_bytes(MM_P32_Q4_0, odd, 2, &n));
    assert_false(mm_shape_bytes(MM_P32_Q4_0, shape, 1, &n));
    assert_false(mm_shape_bytes(MM_P32_Q4_0, huge, 2, &n));
    assert_true(mm_dtype_quantised(MM_P32_F16) && mm_dtype_packed(MM_P32_F16));
    assert_false(mm_dtype_packed(MM_Q6_K));
    assert_int_equal(mm_dtype_panels(MM_Q6_K), MM_P32_Q6_K);
    assert_int_equal(mm_dtype_panels(MM_F64), MM_NDTYPE);
    assert_int_equal(mm_dtype_rows(MM_P32_BF16), MM_BF16);
    assert_int_equal(mm_dtype_rows(MM_I8), MM_I8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_lie_where_the_format_says),
        cmocka_unit_test(q3_k_lies_as_the_format_says),
        cmocka_unit_test(rows_come_back),
        cmocka_unit_test(missing_rows_are_zero),
        cmocka_unit_test(no_row_of_a_packed_type_has_a_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
