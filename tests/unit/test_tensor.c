/* test_tensor.c: contexts, scopes, the tape, and independence of the threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/quant.h"
#include "kernel/kernel.h"
#include "tensor/op.h"
#include "tensor/tape.h"

static struct mm_var *filled(struct mm_ctx *c, int ndim, const int64_t *shape, uint64_t seed,
                             bool needs_grad)
{
    struct mm_var *x = mm_var_new(c, ndim, shape);
    struct mm_rng rng;

    assert_non_null(x);
    mm_rng_seed(&rng, seed);
    for (size_t i = 0; i < mm_tensor_count(&x->t); i++)
        mm_f32(x)[i] = (float)mm_rng_normal(&rng);
    x->needs_grad = needs_grad;
    return x;
}

static void start(struct mm_ctx *c, struct mm_pool *pool)
{
    assert_int_equal(mm_ctx_init(c, pool, MM_ARITH_EXACT, NULL), 0);
}

/* --- scopes ------------------------------------------------------------------------ */

static void scope_keeps_only_the_result(void **state)
{
    const int64_t big[] = { 300, 1000 }, small[] = { 7 };
    struct mm_ctx c;
    size_t peak = 0;
    (void)state;

    start(&c, NULL);
    for (int i = 0; i < 50; i++) {
        const struct mm_scope s = mm_scope_open(&c);
        struct mm_var *y;

        filled(&c, 2, big, 1, false);
        y = filled(&c, 1, small, (uint64_t)i, false);
        filled(&c, 2, big, 2, false);
        y = mm_scope_close(&c, s, y);
        assert_non_null(y);
        assert_int_equal(y->t.ndim, 1);
        assert_memory_equal(mm_f32(y), mm_f32(filled(&c, 1, small, (uint64_t)i, false)),
                            sizeof(float) * 7);
        if (i == 0)
            peak = mm_arena_peak(c.arena);
    }
    assert_true(mm_arena_peak(c.arena) < peak + 100 * 4096);
    mm_ctx_free(&c);
}

static void scope_moves_an_overlapping_result(void **state)
{
    const int64_t pad[] = { 100 }, shape[] = { 5000 };
    struct mm_ctx c;
    struct mm_scope s;
    struct mm_var *y;
    (void)state;

    start(&c, NULL);
    s = mm_scope_open(&c);
    filled(&c, 1, pad, 1, false);
    y = mm_scope_close(&c, s, filled(&c, 1, shape, 9, false));
    assert_memory_equal(mm_f32(y), mm_f32(filled(&c, 1, shape, 9, false)), 5000 * sizeof(float));
    mm_ctx_free(&c);
}

/* --- errors --------------------------------------------------------------------------- */

static void null_gives_null(void **state)
{
    const int64_t shape[] = { 2, 3 };
    const struct mm_attention_spec spec = { 0 };
    struct mm_ctx c;
    struct mm_var *x;
    (void)state;

    start(&c, NULL);
    x = filled(&c, 2, shape, 1, false);
    assert_null(mm_linear(&c, NULL, x, NULL));
    assert_null(mm_linear(&c, x, NULL, NULL));
    assert_null(mm_rms_norm(&c, NULL, x, 0));
    assert_null(mm_layer_norm(&c, NULL, NULL, NULL, 0));
    assert_null(mm_swiglu(&c, x, NULL));
    assert_null(mm_add(&c, x, NULL));
    assert_null(mm_activate(&c, NULL, MM_ACT_GELU));
    assert_null(mm_attend(&c, x, NULL, x, NULL, &spec));
    assert_null(mm_reshape(&c, NULL, 2, shape));
    assert_null(mm_concat(&c, (struct mm_var *[]){ x, NULL }, 2, 0));
    assert_null(mm_scope_close(&c, mm_scope_open(&c), NULL));
    assert_int_equal(c.err.code, 0);
    mm_ctx_free(&c);
}

static void an_impossible_size_is_a_sticky_error(void **state)
{
    const int64_t shape[] = { INT64_MAX / 2, 2, 2 };
    struct mm_ctx c;
    (void)state;

    start(&c, NULL);
    assert_null(mm_var_new(&c, 3, shape));
    assert_int_equal(c.err.code, MM_ENOMEM);
    mm_ctx_free(&c);
}

/* Operations over an input take its memory, but not where it is recorded. */
static void over_an_input(void **state)
{
    const int64_t shape[] = { 3, 5 };
    (void)state;

    for (int recorded = 0; recorded < 2; recorded++) {
        struct mm_ctx c;

        start(&c, NULL);
        struct mm_var *a = filled(&c, 2, shape, 1, true), *b = filled(&c, 2, shape, 2, false);
        struct mm_var *was = filled(&c, 2, shape, 1, false);
        struct mm_var *want = mm_activate(&c, mm_add(&c, a, b), MM_ACT_QUICK_GELU);
        if (recorded)
            assert_int_equal(mm_tape_new(&c, NULL), 0);
        struct mm_var *sum = mm_add_over(&c, a, b);
        struct mm_var *y = mm_activate_over(&c, sum, MM_ACT_QUICK_GELU);
        assert_memory_equal(mm_f32(y), mm_f32(want), mm_tensor_bytes(&want->t));
        assert_true((sum == a && y == a) == !recorded);
        if (recorded)
            assert_memory_equal(mm_f32(a), mm_f32(was), mm_tensor_bytes(&was->t));
        struct mm_var *gate = mm_scale(&c, b, 2), *glu = mm_swiglu(&c, gate, b);
        y = mm_swiglu_over(&c, gate, b);
        assert_memory_equal(mm_f32(y), mm_f32(glu), mm_tensor_bytes(&glu->t));
        assert_true((y == gate) == !recorded);
        assert_null(mm_add_over(&c, a, NULL));
        assert_null(mm_swiglu_over(&c, NULL, a));
        assert_null(mm_activate_over(&c, NULL, MM_ACT_GELU));
        mm_tape_free(&c);
        mm_ctx_free(&c);
    }
}

/* --- tape ------------------------------------------------------------------------------ */

static void a_gradient_is_the_sum_over_all_uses(void **state)
{
    const int64_t shape[] = { 3 };
    struct mm_ctx c;
    struct mm_var *x, *y;
    (void)state;

    start(&c, NULL);
    x = filled(&c, 1, shape, 1, true);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    y = mm_add(&c, mm_mul(&c, x, x), mm_scale(&c, x, 5)); /* x^2 + 5x */
    mm_backward(&c, mm_reduce(&c, y, 1, MM_REDUCE_SUM));
    assert_int_equal(c.err.code, 0);
    for (int i = 0; i < 3; i++)
        assert_float_equal(x->grad[i], 2 * mm_f32(x)[i] + 5, 1e-6f);
    mm_tape_free(&c);
    assert_null(c.tape);
    mm_ctx_free(&c);
}

static void reset_forgets_all_but_owned_gradients(void **state)
{
    const int64_t shape[] = { 4 };
    float grad[4] = { 0 };
    struct mm_ctx c;
    struct mm_var *w;
    size_t peak = 0;
    (void)state;

    start(&c, NULL);
    w = filled(&c, 1, shape, 1, true);
    w->grad = grad;
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    for (int i = 1; i <= 20; i++) {
        struct mm_var *loss = mm_reduce(&c, mm_scale(&c, w, 2), 1, MM_REDUCE_SUM);

        assert_int_equal(mm_tape_count(&c), 2);
        if (i % 2) /* the other recordings are given up */
            mm_backward(&c, loss);
        mm_tape_reset(&c);
        assert_int_equal(mm_tape_count(&c), 0);
        assert_float_equal(grad[3], 2 * (float)((i + 1) / 2), 0);
        if (i == 1)
            peak = mm_arena_peak(c.arena);
    }
    assert_int_equal(mm_arena_peak(c.arena), peak);
    mm_tape_free(&c);
    mm_ctx_free(&c);
}

static void frozen_parts_record_nothing(void **state)
{
    const int64_t shape[] = { 4, 4 };
    struct mm_ctx c;
    struct mm_var *x, *w, *y;
    (void)state;

    start(&c, NULL);
    x = filled(&c, 2, shape, 1, false);
    w = filled(&c, 2, shape, 2, true);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    x = mm_activate(&c, mm_linear(&c, x, x, NULL), MM_ACT_SILU);
    assert_int_equal(mm_tape_count(&c), 0);
    y = mm_linear(&c, x, w, NULL);
    assert_int_equal(mm_tape_count(&c), 1);
    mm_backward(&c, mm_reduce(&c, y, 2, MM_REDUCE_MEAN));
    assert_null(x->grad);
    assert_non_null(w->grad);
    mm_tape_free(&c);
    mm_ctx_free(&c);
}

/* Through a packed matrix the gradient is that of the same plain one. */
static void packed_and_plain_weights_agree(void **state)
{
    const int64_t xs[] = { 5, 40 }, ws[] = { 24, 40 };
    struct mm_var *x[2], *y[2], *w[2];
    struct mm_ctx c;
    (void)state;

    start(&c, NULL);
    assert_int_equal(mm_tape_new(&c, NULL), 0);
    for (int i = 0; i < 2; i++) {
        w[i] = filled(&c, 2, ws, 3, false);
        x[i] = filled(&c, 2, xs, 4, true);
        if (i == 1) {
            assert_int_equal(mm_wmat_new(&w[i]->w, &w[i]->t, MM_WMAT_PACK, NULL, NULL), 0);
            w[i]->t.data = NULL;
        }
        mm_linear_group(&c, &y[i], x[i], (const struct mm_var *const[]){ w[i] }, NULL, 1);
    }
    mm_backward(&c, mm_reduce(&c, mm_add(&c, y[0], y[1]), 2, MM_REDUCE_MEAN));
    assert_int_equal(c.err.code, 0);
    assert_memory_equal(mm_f32(y[0]), mm_f32(y[1]), mm_tensor_bytes(&y[0]->t));
    assert_memory_equal(x[0]->grad, x[1]->grad, mm_tensor_bytes(&x[0]->t));
    mm_wmat_free(w[1]->w);
    mm_tape_free(&c);
    mm_ctx_free(&c);
}

/* --- threads ----------------------------------------------------------------------------- */

enum { ROWS = 70, D = 768, LEAVES = 8 };

struct run {
    struct mm_ctx c;
    struct mm_var *leaf[LEAVES];
    int n;
    struct mm_var *loss;
};

static struct mm_var *leaf(struct run *r, int ndim, const int64_t *shape)
{
    struct mm_var *x = filled(&r->c, ndim, shape, (uint64_t)r->n + 10, true);

    r->leaf[r->n++] = x;
    return x;
}

static void run_mlp(struct run *r)
{
    struct mm_ctx *c = &r->c;
    struct mm_var *x = leaf(r, 2, (const int64_t[]){ ROWS, D });
    struct mm_var *w = leaf(r, 2, (const int64_t[]){ D, D });
    struct mm_var *v = leaf(r, 1, (const int64_t[]){ D });
    struct mm_var *u = leaf(r, 1, (const int64_t[]){ D });
    struct mm_var *y = mm_layer_norm(c, x, v, u, 1e-5f);

    y = mm_add(c, mm_linear(c, y, w, u), x);
    y = mm_swiglu(c, mm_rms_norm(c, y, v, 1e-6f), mm_activate(c, y, MM_ACT_GELU));
    y = mm_mul(c, mm_softmax(c, y, 0), mm_scale(c, mm_l2_normalize(c, y, 1e-6f), 3));
    y = mm_embedding(c, y, (const int32_t[]){ 3, 9, 3, 60 }, 4);
    r->loss = mm_cross_entropy(c, y, (const int32_t[]){ 5, -100, 700, 0 }, 0.1f, MM_REDUCE_MEAN);
}

static void run_attention(struct run *r)
{
    const struct mm_attention_spec spec = { .causal = true };
    struct mm_ctx *c = &r->c;
    struct mm_var *q = leaf(r, 4, (const int64_t[]){ 2, ROWS, 8, 32 });
    struct mm_var *k = leaf(r, 4, (const int64_t[]){ 2, ROWS, 4, 32 });
    struct mm_var *v = leaf(r, 4, (const int64_t[]){ 2, ROWS, 4, 32 });
    struct mm_var *b = leaf(r, 3, (const int64_t[]){ 1, ROWS, ROWS });
    struct mm_var *table = filled(c, 2, (const int64_t[]){ 2 * ROWS, 16 }, 5, false);
    struct mm_var *y;

    q = mm_rope(c, q, mm_f32(table), mm_f32(table), true);
    y = mm_attend(c, q, k, v, b, &spec);
    r->loss = mm_pair_loss(c, MM_LOSS_MSE, y, mm_permute(c, q, (const int[]){ 0, 1, 2, 3 }), 0,
                           MM_REDUCE_SUM);
}

static void run_pictures(struct run *r)
{
    const struct mm_conv conv = { { 1, 1 }, { 1, 1 }, { 1, 1 }, 2 };
    const struct mm_pool2d pool = { MM_POOL_MAX, 3, 2, 1, false };
    struct mm_ctx *c = &r->c;
    struct mm_var *x = leaf(r, 4, (const int64_t[]){ 2, 16, 40, 40 });
    struct mm_var *w = leaf(r, 4, (const int64_t[]){ 12, 8, 3, 3 });
    struct mm_var *b = leaf(r, 1, (const int64_t[]){ 12 });
    struct mm_var *y = mm_group_norm(c, mm_conv2d(c, x, w, b, &conv), b, b, 3, 1e-5f);

    y = mm_upsample_nearest(c, mm_pool2d(c, y, &pool), 30, 33);
    y = mm_repeat(c, mm_slice(c, y, 1, 2, 9), 0, 2);
    r->loss = mm_reduce(c, mm_mul(c, y, y), 4, MM_REDUCE_MEAN);
}

static void start_run(struct run *r, struct mm_pool *pool, void (*fn)(struct run *r))
{
    memset(r, 0, sizeof(*r));
    start(&r->c, pool);
    assert_int_equal(mm_tape_new(&r->c, NULL), 0);
    fn(r);
    mm_backward(&r->c, r->loss);
    assert_int_equal(r->c.err.code, 0);
}

static void same_bytes_for_any_number_of_threads(void **state)
{
    static void (*const fns[])(struct run * r) = { run_mlp, run_attention, run_pictures };
    struct mm_pool *pool = mm_pool_new(3);
    (void)state;

    assert_non_null(pool);
    for (size_t i = 0; i < sizeof(fns) / sizeof(*fns); i++) {
        struct run one, three;

        start_run(&one, NULL, fns[i]);
        start_run(&three, pool, fns[i]);
        assert_memory_equal(mm_f32(one.loss), mm_f32(three.loss), sizeof(float));
        for (int l = 0; l < one.n; l++)
            assert_memory_equal(one.leaf[l]->grad, three.leaf[l]->grad,
                                mm_tensor_bytes(&one.leaf[l]->t));
        mm_tape_free(&one.c);
        mm_tape_free(&three.c);
        mm_ctx_free(&one.c);
        mm_ctx_free(&three.c);
    }
    mm_pool_free(pool);
}

/* --- trace -------------------------------------------------------------------------------- */

static void note(void *arg, const char *name, const struct mm_tensor *t)
{
    assert_int_equal(t->shape[0], 2);
    memcpy(arg, name, strlen(name) + 1);
}

static void a_stage_is_traced_by_its_name(void **state)
{
    const int64_t shape[] = { 2 };
    char name[50] = "";
    struct mm_ctx c;
    (void)state;

    start(&c, NULL);
    mm_trace_stage(&c, filled(&c, 1, shape, 1, false), "layers.%d", 1);
    c.trace = note;
    c.trace_arg = name;
    mm_trace_stage(&c, NULL, "nothing");
    assert_string_equal(name, "");
    mm_trace_stage(&c, filled(&c, 1, shape, 1, false), "layers.%d", 3);
    assert_string_equal(name, "layers.3");
    mm_ctx_free(&c);
}

/* Patches in raster order, each channel by channel. */
static void patches_are_rows_of_channels(void **state)
{
    const int64_t shape[] = { 1, 2, 4, 6 };
    struct mm_ctx c;
    struct mm_var *x, *y;
    (void)state;

    start(&c, NULL);
    x = filled(&c, 4, shape, 1, false);
    y = mm_patches(&c, x, 2);
    assert_int_equal(y->t.shape[1], 6);
    assert_int_equal(y->t.shape[2], 8);
    for (int p = 0; p < 6; p++)
        for (int i = 0; i < 8; i++)
            assert_true(mm_f32(y)[p * 8 + i] ==
                        mm_f32(x)[(i / 4) * 24 + (p / 3 * 2 + i / 2 % 2) * 6 + p % 3 * 2 + i % 2]);
    mm_ctx_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scope_keeps_only_the_result),
        cmocka_unit_test(scope_moves_an_overlapping_result),
        cmocka_unit_test(null_gives_null),
        cmocka_unit_test(over_an_input),
        cmocka_unit_test(an_impossible_size_is_a_sticky_error),
        cmocka_unit_test(a_gradient_is_the_sum_over_all_uses),
        cmocka_unit_test(reset_forgets_all_but_owned_gradients),
        cmocka_unit_test(frozen_parts_record_nothing),
        cmocka_unit_test(packed_and_plain_weights_agree),
        cmocka_unit_test(same_bytes_for_any_number_of_threads),
        cmocka_unit_test(a_stage_is_traced_by_its_name),
        cmocka_unit_test(patches_are_rows_of_channels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
