/* test_param.c: weights as variables, frozen and in training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/panel.h"
#include "nn/param.h"
#include "tensor/op.h"
#include "tensor/tape.h"

/* 2 x 3 and 2, in bf16: 1 2 3 / 4 5 6, and 0.5 -1 */
static uint16_t matrix[] = { 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0 };
static uint16_t vector[] = { 0x3f00, 0xbf80 };
static const struct mm_tensor t_matrix = { MM_BF16, 2, { 2, 3 }, matrix };
static const struct mm_tensor t_vector = { MM_BF16, 1, { 2 }, vector };

static struct mm_params *filled(struct mm_var **w, struct mm_var **b)
{
    struct mm_params *p;

    assert_int_equal(mm_params_new(&p, NULL), 0);
    *w = mm_param_matrix(p, &t_matrix, "layers.%d.proj.weight", 0);
    *b = mm_param_f32(p, &t_vector, "layers.%d.proj.bias", 0);
    assert_false(mm_params_failed(p));
    return p;
}

static void frozen_weights_keep_their_type(void **state)
{
    struct mm_var *w, *b;
    struct mm_params *p = filled(&w, &b);
    const char *name;
    (void)state;

    assert_int_equal(mm_params_count(p), 2);
    assert_ptr_equal(mm_params_at(p, 0, &name), w);
    assert_string_equal(name, "layers.0.proj.weight");
    assert_ptr_equal(mm_params_at(p, 1, &name), b);
    assert_string_equal(name, "layers.0.proj.bias");
    assert_non_null(w->w);
    assert_null(w->t.data);
    assert_int_equal(mm_wmat_dtype(w->w), MM_BF16);
    assert_int_equal(w->t.shape[1], 3);
    assert_null(b->w);
    assert_float_equal(mm_f32(b)[1], -1, 0);
    assert_false(w->needs_grad || b->needs_grad);
    mm_params_free(p);
}

static void an_absent_tensor_is_no_failure_here(void **state)
{
    struct mm_params *p;
    (void)state;

    assert_int_equal(mm_params_new(&p, NULL), 0);
    assert_null(mm_param_matrix(p, NULL, "x"));
    assert_null(mm_param_f32(p, NULL, "x"));
    assert_int_equal(mm_params_count(p), 0);
    assert_false(mm_params_failed(p));
    mm_params_free(p);
    mm_params_free(NULL);
}

static void a_kernel_of_a_convolution_is_a_matrix(void **state)
{
    const struct mm_tensor t = { MM_BF16, 4, { 2, 3, 1, 1 }, matrix };
    struct mm_params *p;
    struct mm_var *w;
    (void)state;

    assert_int_equal(mm_params_new(&p, NULL), 0);
    w = mm_param_matrix(p, &t, "patch");
    assert_int_equal(w->t.ndim, 2);
    assert_int_equal(w->t.shape[0], 2);
    assert_int_equal(w->t.shape[1], 3);
    mm_params_free(p);
}

/* y = W x + b with x = (1, 1, 1); dL/dW = 1 x, dL/db = 1. */
static void trained_weights_get_gradients(void **state)
{
    struct mm_var *w, *b, *x, *y;
    struct mm_params *p = filled(&w, &b);
    struct mm_ctx c;
    (void)state;

    assert_int_equal(mm_params_train(p, "*.norm.*", NULL), 0);
    assert_false(w->needs_grad);
    assert_int_equal(mm_params_train(p, "layers.*", NULL), 2);
    assert_int_equal(mm_params_train(p, "layers.*.weight", NULL), 1); /* again: nothing changes */
    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, NULL), 0);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    x = mm_var_new(&c, 2, (const int64_t[]){ 1, 3 });
    mm_f32(x)[0] = mm_f32(x)[1] = mm_f32(x)[2] = 1;
    for (int step = 1; step <= 2; step++) {
        y = mm_linear(&c, x, w, b);
        assert_float_equal(mm_f32(y)[1], (float)(15 - 1 + (step - 1)), 0);
        mm_backward(&c, mm_reduce(&c, y, 2, MM_REDUCE_SUM));
        assert_int_equal(c.err.code, 0);
        for (int i = 0; i < 6; i++)
            assert_float_equal(w->grad[i], step, 0); /* adds up */
        assert_float_equal(b->grad[0], step, 0);
        mm_f32(w)[3] += 1; /* what an optimiser does: the next product sees it */
    }
    mm_tape_free(&c);
    mm_ctx_free(&c);
    mm_params_free(p);
}

/* A matrix of 70 x 64 as f32 rows, as p32_f32 at an address of either kind, and
 * what x = (1, 2, ... 64) gives. */
enum { ROWS = 70, COLS = 64, PADDED = 96 };

struct forms {
    float rows[ROWS * COLS];
    _Alignas(MM_PANEL_ALIGN) unsigned char panels[PADDED * COLS * 4 + 64];
};

static void make(struct forms *f, struct mm_tensor *rows, struct mm_tensor *packed, size_t at)
{
    for (int i = 0; i < ROWS * COLS; i++)
        f->rows[i] = (float)(i % 37 - 18);
    for (size_t r = 0; r < ROWS; r += MM_PANEL_ROWS)
        mm_panel_write(f->panels + at + r * COLS * 4, MM_F32, f->rows + r * COLS,
                       ROWS - r < MM_PANEL_ROWS ? ROWS - r : MM_PANEL_ROWS, COLS);
    *rows = (struct mm_tensor){ MM_F32, 2, { ROWS, COLS }, f->rows };
    *packed = (struct mm_tensor){ MM_P32_F32, 2, { ROWS, COLS }, f->panels + at };
}

static void product(float y[ROWS], const struct mm_var *w)
{
    float x[COLS];

    for (int i = 0; i < COLS; i++)
        x[i] = (float)(i + 1);
    assert_int_equal(mm_wmat_mul(y, x, 1, w->w, NULL, MM_ARITH_EXACT, NULL), 0);
}

static bool is_packed(const struct mm_var *w)
{
    size_t bytes;

    return mm_wmat_packed(w->w, &bytes) != NULL;
}

static void matrices_are_packed_and_tables_are_not(void **state)
{
    static struct forms f;
    float want[ROWS], got[ROWS];
    struct mm_tensor rows, packed;
    struct mm_params *p;
    (void)state;

    make(&f, &rows, &packed, 0);
    assert_int_equal(mm_params_new(&p, NULL), 0);
    struct mm_var *m = mm_param_matrix(p, &rows, "m"), *t = mm_param_table(p, &rows, "t");
    assert_null(mm_param_table(p, NULL, "none"));
    product(want, m);
    assert_false(is_packed(m) || is_packed(t));
    assert_int_equal(mm_params_pack(p, NULL, NULL, NULL), 0);
    assert_true(is_packed(m) && !is_packed(t));
    product(got, m);
    assert_memory_equal(got, want, sizeof want);
    mm_wmat_row(got, m->w, 69);
    assert_memory_equal(got, f.rows + 69 * COLS, COLS * sizeof *got);
    assert_int_equal(mm_params_pack(p, NULL, NULL, NULL), 0); /* again: nothing to do */
    assert_int_equal(mm_params_train(p, "*", NULL), 2);
    assert_memory_equal(m->t.data, f.rows, sizeof f.rows); /* from the source */
    assert_int_equal(mm_params_pack(p, NULL, NULL, NULL), 0);
    assert_false(is_packed(m));
    mm_params_free(p);
}

static void a_packed_tensor_is_used_where_it_lies(void **state)
{
    static const size_t at[] = { 0, 1, 32 };
    static struct forms f;
    float want[ROWS], got[ROWS];
    struct mm_tensor rows, packed;
    (void)state;

    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct mm_params *p;
        size_t bytes;

        make(&f, &rows, &packed, at[i]);
        assert_int_equal(mm_params_new(&p, NULL), 0);
        struct mm_var *m = mm_param_matrix(p, &packed, "m"), *t = mm_param_table(p, &packed, "t");
        product(want, mm_param_matrix(p, &rows, "rows"));
        assert_int_equal(mm_wmat_dtype(m->w), MM_F32);
        assert_int_equal(m->t.dtype, MM_F32);
        assert_int_equal(mm_wmat_packed(m->w, &bytes) == packed.data, at[i] == 0);
        assert_int_equal(bytes, PADDED * COLS * 4);
        assert_int_equal(mm_params_pack(p, NULL, NULL, NULL), 0);
        product(got, m);
        assert_memory_equal(got, want, sizeof want);
        mm_wmat_row(got, t->w, 40);
        assert_memory_equal(got, f.rows + 40 * COLS, COLS * sizeof *got);
        assert_int_equal(mm_params_train(p, "m", NULL), 1);
        assert_memory_equal(m->t.data, f.rows, sizeof f.rows);
        product(got, m);
        assert_memory_equal(got, want, sizeof want);
        mm_params_free(p);
    }
}

static void the_second_pass_packs(void **state)
{
    static struct forms f;
    float want[ROWS], got[ROWS];
    struct mm_tensor rows, packed;
    struct mm_params *p;
    struct mm_ckpt *ck;
    struct mm_err e = { 0 };
    (void)state;

    make(&f, &rows, &packed, 0);
    /* any checkpoint: the rows are not in it, nothing is released */
    assert_int_equal(mm_ckpt_open_mem(&ck, "\2\0\0\0\0\0\0\0{}", 10, "empty", &e), 0);
    assert_int_equal(mm_params_new(&p, NULL), 0);
    struct mm_var *m = mm_param_matrix(p, &rows, "m");
    assert_int_equal(mm_params_pass(p, NULL, NULL), 0);
    assert_int_equal(mm_params_pass(p, NULL, NULL), 0);
    assert_false(is_packed(m)); /* nobody asked */
    mm_params_pack_later(p, ck);
    assert_int_equal(mm_params_pass(p, NULL, NULL), 0);
    assert_false(is_packed(m));
    product(want, m);
    assert_int_equal(mm_params_pass(p, NULL, NULL), 0);
    assert_true(is_packed(m));
    product(got, m);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(mm_params_pass(p, NULL, NULL), 0);
    mm_params_free(p);
    mm_ckpt_close(ck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_weights_keep_their_type),
        cmocka_unit_test(an_absent_tensor_is_no_failure_here),
        cmocka_unit_test(a_kernel_of_a_convolution_is_a_matrix),
        cmocka_unit_test(trained_weights_get_gradients),
        cmocka_unit_test(matrices_are_packed_and_tables_are_not),
        cmocka_unit_test(a_packed_tensor_is_used_where_it_lies),
        cmocka_unit_test(the_second_pass_packs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
