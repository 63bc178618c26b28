/* The one forward pass of each model, recorded: gradients of all parameters of LLaMA,
 * of CLIP's vision tower and of the projector behind it, by central differences
 * along the gradient itself: (L(p + h g/|g|) - L(p - h g/|g|)) / 2h = |g|.
 */
#include "stages.h"

#include "model/clip.h"
#include "model/llama.h"
#include "model/projector.h"
#include "tensor/op.h"
#include "tensor/tape.h"

/* A loss recorded on c from whatever arg holds. */
typedef struct mm_var *loss_fn(struct mm_ctx *c, void *arg);

static double value(struct mm_ctx *c, loss_fn *loss, void *arg)
{
    struct mm_var *l = loss(c, arg);

    if (!l)
        fail_msg("%s", c->err.msg);
    return (double)mm_f32(l)[0];
}

/* Adds step * g of every parameter, g saved in dir. */
static void move(struct mm_params *p, float *const *dir, double step)
{
    for (size_t i = 0; i < mm_params_count(p); i++) {
        struct mm_var *v = mm_params_at(p, i, NULL);

        for (size_t k = 0; dir[i] && k < mm_tensor_count(&v->t); k++)
            mm_f32(v)[k] += (float)(step * (double)dir[i][k]);
    }
}

/* off: parameters that are not on the path of the loss and must have no gradient. */
static void check(struct mm_params *p, loss_fn *loss, void *arg, size_t off, const char *what)
{
    struct mm_err e = { 0 };
    struct mm_ctx c;
    const size_t n = mm_params_count(p);
    float **dir = calloc(n + 1, sizeof(*dir));
    double norm = 0;
    size_t with = 0;

    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, &e), 0);
    assert_int_equal(mm_params_train(p, "*", &e), (int)n);
    assert_int_equal(mm_tape_new(&c, &e), 0);
    mm_backward(&c, loss(&c, arg));
    assert_int_equal(c.err.code, 0);
    for (size_t i = 0; i < n; i++) {
        const struct mm_var *v = mm_params_at(p, i, NULL);
        const size_t count = mm_tensor_count(&v->t);
        double own = 0;

        dir[i] = malloc((count + 1) * sizeof(float));
        memcpy(dir[i], v->grad, count * sizeof(float));
        for (size_t k = 0; k < count; k++)
            own += (double)v->grad[k] * v->grad[k];
        norm += own;
        with += own > 0;
    }
    mm_tape_free(&c);
    norm = sqrt(norm);
    assert_int_equal(with, n - off);
    /* a step of 0.005 in all: rounding of the loss is 5e-5 of the slope, curvature less */
    const double h = 0.005 / norm;
    move(p, dir, h);
    const double up = value(&c, loss, arg);
    move(p, dir, -2 * h);
    const double down = value(&c, loss, arg);
    const double slope = (up - down) / 0.01;
    print_message("%s: |g| %.6f, difference %.6f, %zu of %zu parameters\n", what, norm, slope, with,
                  n);
    if (fabs(slope - norm) > 0.005 * norm)
        fail_msg("%s: gradient %.6f, central difference %.6f", what, norm, slope);
    for (size_t i = 0; i < n; i++)
        free(dir[i]);
    free(dir);
    mm_ctx_free(&c);
}

static struct mm_var *llama_loss(struct mm_ctx *c, void *arg)
{
    static const int32_t ids[8] = { 1, 17, 90, 4, 55, 3, 101, 28 }; /* each predicts the next */
    const struct mm_seq seq = { .n = 7 };
    const struct mm_llama *m = arg;
    struct mm_var *h = mm_llama_hidden(c, m, mm_llama_embed(c, m, ids, 7), &seq, 1);

    return mm_cross_entropy(c, mm_llama_logits(c, m, h), ids + 1, 0.0f, MM_REDUCE_MEAN);
}

/* Two sequences of which few rows have a target, and the same without leaving any out. */
static struct mm_var *few_targets(struct mm_ctx *c, const struct mm_llama *m, bool all)
{
    static const int32_t ids[8] = { 1, 17, 90, 4, 55, 3, 101, 28 };
    static const int32_t target[8] = { -1, 90, -1, -1, -1, 101, 28, -1 };
    static const struct mm_seq seq[2] = { { .n = 5 }, { .n = 3 } };
    struct mm_var *x = mm_llama_embed(c, m, ids, 8);

    if (!all)
        return mm_llama_loss(c, m, x, seq, 2, target, 0.25f);
    return mm_scale(c, mm_cross_entropy(c, mm_llama_logits(c, m, mm_llama_hidden(c, m, x, seq, 2)),
                                        target, 0.0f, MM_REDUCE_SUM), 0.25f);
}

static struct mm_var *few_loss(struct mm_ctx *c, void *arg)
{
    c->recompute = true;
    return few_targets(c, arg, false);
}

static double loss_of(const struct mm_llama *m, bool all)
{
    struct mm_err e = { 0 };
    struct mm_ctx c;

    assert_int_equal(mm_ctx_init(&c, NULL, MM_ARITH_EXACT, &e), 0);
    const struct mm_var *l = few_targets(&c, m, all);
    assert_non_null(l);
    const double loss = (double)*mm_f32(l);
    mm_ctx_free(&c);
    return loss;
}

static struct mm_llama *open_llama(const struct mm_ckpt *ck)
{
    struct mm_llama *m = NULL;
    struct mm_err e = { 0 };

    assert_int_equal(mm_llama_open(&m, ck, &e), 0);
    return m;
}

static void test_llama(void **state)
{
    static const char *const cases[] = { "gqa", "tied", "bias-headdim", "mistral-window" };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char dir[1200];

        snprintf(dir, sizeof(dir), "%s/llama/%s", golden_dir(), cases[i]);
        struct mm_ckpt *ck = golden_open(dir, "model");
        struct mm_llama *m = open_llama(ck);
        check(mm_llama_params(m), llama_loss, m, 0, cases[i]);
        mm_llama_free(m);
        m = open_llama(ck);
        check(mm_llama_params(m), few_loss, m, 0, "  rows with a target, computed again");
        const double want = loss_of(m, true), got = loss_of(m, false);
        if (fabs(got - want) > 1e-6 * want)
            fail_msg("%s: loss %.9f, over all rows %.9f", cases[i], got, want);
        mm_llama_free(m);
        mm_ckpt_close(ck);
    }
}

struct eye {
    struct mm_clip_vision *tower;
    struct mm_projector *p;
    float *pixels;
};

/* Rows of the projector as logits: any scalar that depends on all of them will do. */
static struct mm_var *eye_loss(struct mm_ctx *c, void *arg)
{
    static const int32_t target[25] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9,
                                        7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3 };
    const struct eye *y = arg;
    const struct mm_tensor t = { MM_F32, 4, { 1, 3, 35, 35 }, y->pixels };
    const struct mm_clip_select select = { .layer = { -2 }, .n = 1 };
    const int64_t rows[2] = { 25, 60 };
    struct mm_clip_out out;

    mm_clip_see(c, y->tower, mm_var_of(c, &t), &select, &out);
    return mm_cross_entropy(c, mm_reshape(c, mm_project(c, y->p, out.features), 2, rows), target,
                            0.0f, MM_REDUCE_MEAN);
}

static void test_clip_and_projector(void **state)
{
    struct eye y = { 0 };
    struct mm_err e = { 0 };
    char dir[1200];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/llava/v15_hf", golden_dir());
    struct mm_ckpt *ck = golden_open(dir, "model");
    assert_int_equal(mm_clip_vision_open(&y.tower, ck, NULL, &e), 0);
    assert_int_equal(mm_projector_open(&y.p, ck, &e), 0);
    y.pixels = malloc(3 * 35 * 35 * sizeof(float));
    for (int i = 0; i < 3 * 35 * 35; i++)
        y.pixels[i] = (float)sin(0.7 * i);
    check(mm_projector_params(y.p), eye_loss, &y, 0, "projector");
    /* feature -2: the last block and post_layernorm have no part in it */
    check(mm_clip_vision_params(y.tower), eye_loss, &y, 18, "vision tower");
    free(y.pixels);
    mm_projector_free(y.p);
    mm_clip_vision_free(y.tower);
    mm_ckpt_close(ck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_clip_and_projector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
