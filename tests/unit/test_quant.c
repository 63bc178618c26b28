/* test_quant.c: block types against the table of spec weights 6.7 and the golden
 * cases quant-basic and quant-k, to the bit; conversions against convert. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/quant.h"
#include "golden.h"

/* A block filled with byte[i] = 37 i + 11, then d = 0.25 and m or dmin = 0.125. */
static const struct {
    enum mm_dtype type;
    int d, m; /* offsets, -1: none */
    float y0, y1, y16, y31, last;
    double sum, wsum;
} pattern[] = {
    { MM_Q4_0, 0, -1, -0.75F, 0.5F, -0.75F, 0.0F, 0.0F, -5.25, -129.5 },
    { MM_Q4_1, 0, 2, 3.875F, 1.125F, 2.375F, 3.125F, 3.125F, 65.25, 1061.75 },
    { MM_Q5_0, 0, -1, 2.25F, -0.5F, 3.5F, 0.25F, 0.25F, 3.75, 28 },
    { MM_Q5_1, 0, 2, 4.875F, 6.125F, 4.875F, 1.375F, 1.375F, 130.25, 2041.25 },
    { MM_Q8_0, 0, -1, 21.25F, 30.5F, -22.75F, -12.0F, -12.0F, -44, -2020 },
    { MM_Q2_K, 80, 82, 8.25F, 0.0F, -0.375F, -0.375F, 1.125F, 514.75, 60782.5 },
    { MM_Q3_K, 108, -1, 20.25F, -27.0F, -24.0F, 16.0F, 10.5F, 239.5, 44286.25 },
    { MM_Q4_K, 0, 2, 78.875F, -6.375F, 78.875F, 40.125F, 12.125F, 13610, 1893210 },
    { MM_Q5_K, 0, 2, 202.875F, -6.375F, 202.875F, 40.125F, 27.125F, 29054, 4006862 },
    { MM_Q6_K, 208, -1, -357.75F, 424.0F, -108.0F, -24.0F, -15.0F, 1153, 196105 },
};

static void test_pattern(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(pattern) / sizeof(pattern[0]); k++) {
        const enum mm_dtype type = pattern[k].type;
        const size_t n = mm_dtype_block(type);
        unsigned char b[256];
        float y[256];
        double sum = 0.0;
        double wsum = 0.0;

        for (size_t i = 0; i < mm_dtype_block_bytes(type); i++)
            b[i] = (unsigned char)(37 * i + 11);
        mm_put_u16(b + pattern[k].d, 0x3400);
        if (pattern[k].m >= 0)
            mm_put_u16(b + pattern[k].m, 0x3000);
        mm_dequant_row(y, type, b, n);
        for (size_t i = 0; i < n; i++) {
            sum += (double)y[i];
            wsum += (double)y[i] * (double)(i + 1);
        }
        assert_true(y[0] == pattern[k].y0 && y[1] == pattern[k].y1);
        assert_true(y[16] == pattern[k].y16 && y[31] == pattern[k].y31);
        assert_true(y[n - 1] == pattern[k].last);
        assert_true(sum == pattern[k].sum && wsum == pattern[k].wsum);
    }
}

static const char *const basic[] = { "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0" };
static const char *const k_types[] = { "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K" };

static void test_golden_basic(void **state)
{
    struct mm_ckpt *in = golden_open("weights/quant-basic/inputs.safetensors");
    struct mm_ckpt *want = golden_open("weights/quant-basic/expected.safetensors");
    const struct mm_tensor *rows = golden_tensor(in, "rows");
    const size_t n = mm_tensor_count(rows);
    float *x = malloc(n * sizeof(*x));
    float *y = malloc(n * sizeof(*y));

    (void)state;
    assert_true(x != NULL && y != NULL);
    mm_tensor_to_f32(x, rows);
    for (size_t k = 0; k < sizeof(basic) / sizeof(basic[0]); k++) {
        const enum mm_dtype type = mm_dtype_parse(basic[k]);
        unsigned char *b;
        size_t bytes;
        char name[40];
        const struct mm_tensor *t;

        assert_true(mm_quant_can(type) && mm_dtype_bytes(type, n, &bytes));
        b = malloc(bytes);
        assert_non_null(b);
        mm_quant_row(b, type, x, n);
        snprintf(name, sizeof(name), "%s.bytes", basic[k]);
        t = golden_tensor(want, name);
        assert_int_equal(mm_tensor_bytes(t), bytes);
        assert_memory_equal(b, t->data, bytes);
        mm_dequant_row(y, type, b, n);
        snprintf(name, sizeof(name), "%s.dequantised", basic[k]);
        t = golden_tensor(want, name);
        assert_int_equal(mm_tensor_count(t), n);
        assert_memory_equal(y, t->data, n * sizeof(*y));
        free(b);
    }
    free(x);
    free(y);
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

static void test_golden_k(void **state)
{
    struct mm_ckpt *in = golden_open("weights/quant-k/inputs.safetensors");
    struct mm_ckpt *want = golden_open("weights/quant-k/expected.safetensors");

    (void)state;
    for (size_t k = 0; k < sizeof(k_types) / sizeof(k_types[0]); k++) {
        const enum mm_dtype type = mm_dtype_parse(k_types[k]);
        const struct mm_tensor *b = golden_tensor(in, k_types[k]);
        const size_t n = mm_tensor_bytes(b) / mm_dtype_block_bytes(type) * mm_dtype_block(type);
        struct mm_tensor q = { .dtype = type, .ndim = 1, .shape = { (int64_t)n },
                               .data = b->data };
        float *y = malloc(n * sizeof(*y));
        const struct mm_tensor *t;
        char name[40];

        assert_non_null(y);
        mm_tensor_to_f32(y, &q);
        snprintf(name, sizeof(name), "%s.dequantised", k_types[k]);
        t = golden_tensor(want, name);
        assert_int_equal(mm_tensor_count(t), n);
        assert_memory_equal(y, t->data, n * sizeof(*y));
        assert_false(mm_quant_can(type));
        free(y);
    }
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

static uint32_t bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof(u));
    return isnan(f) ? 0x7FC00000 : u;
}

static void test_golden_widen(void **state)
{
    static const struct {
        const char *stage;
        enum mm_dtype type;
        size_t n;
    } cases[] = {
        { "f16_to_f32", MM_F16, 65536 },
        { "bf16_to_f32", MM_BF16, 65536 },
        { "e4m3_to_f32", MM_F8_E4M3, 256 },
        { "e5m2_to_f32", MM_F8_E5M2, 256 },
    };
    struct mm_ckpt *in = golden_open("weights/convert/inputs.safetensors");
    struct mm_ckpt *want = golden_open("weights/convert/expected.safetensors");
    static float y[65536];
    unsigned char bytes[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        const struct mm_tensor *w = golden_tensor(want, cases[k].stage);
        struct mm_tensor t = { .dtype = cases[k].type, .ndim = 1,
                               .shape = { (int64_t)cases[k].n } };

        t.data = cases[k].n == 256 ? bytes : golden_tensor(in, "patterns")->data;
        mm_tensor_to_f32(y, &t);
        assert_int_equal(mm_tensor_count(w), cases[k].n);
        for (size_t i = 0; i < cases[k].n; i++)
            assert_int_equal(bits(y[i]), mm_get_u32((unsigned char *)w->data + 4 * i));
    }
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

static void test_golden_narrow(void **state)
{
    struct mm_ckpt *in = golden_open("weights/convert/inputs.safetensors");
    struct mm_ckpt *want = golden_open("weights/convert/expected.safetensors");
    const struct mm_tensor *t = golden_tensor(in, "f32");
    const unsigned char *f16 = golden_tensor(want, "f32_to_f16")->data;
    const unsigned char *bf16 = golden_tensor(want, "f32_to_bf16")->data;
    const size_t n = mm_tensor_count(t);

    (void)state;
    assert_true(n > 20000);
    for (size_t i = 0; i < n; i++) {
        uint16_t h, b;
        float x;

        memcpy(&x, (const char *)t->data + 4 * i, sizeof(x));
        mm_quant_row(&h, MM_F16, &x, 1);
        mm_quant_row(&b, MM_BF16, &x, 1);
        if (isnan(x)) { /* stays a quiet NaN; the payload is free */
            assert_true((h & 0x7E00) == 0x7E00 && (b & 0x7FC0) == 0x7FC0);
            continue;
        }
        assert_int_equal(h, mm_get_u16(f16 + 2 * i));
        assert_int_equal(b, mm_get_u16(bf16 + 2 * i));
    }
    mm_ckpt_close(in);
    mm_ckpt_close(want);
}

/* Values no reference defines must still give bytes, not undefined behaviour. */
static void test_quant_odd(void **state)
{
    unsigned char b[64];
    float x[32], y[32];

    (void)state;
    for (int i = 0; i < 32; i++)
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -3e38F;
    for (size_t k = 0; k < sizeof(basic) / sizeof(basic[0]); k++) {
        const enum mm_dtype type = mm_dtype_parse(basic[k]);

        mm_quant_row(b, type, x, 32);
        mm_dequant_row(y, type, b, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern),      cmocka_unit_test(test_golden_basic),
        cmocka_unit_test(test_golden_k),     cmocka_unit_test(test_golden_widen),
        cmocka_unit_test(test_golden_narrow), cmocka_unit_test(test_quant_odd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
