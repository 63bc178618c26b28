/* test_param.c: weights as variables, frozen and in training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_weights_keep_their_type),
        cmocka_unit_test(an_absent_tensor_is_no_failure_here),
        cmocka_unit_test(a_kernel_of_a_convolution_is_a_matrix),
        cmocka_unit_test(trained_weights_get_gradients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
