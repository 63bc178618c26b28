/* opcases.h: the cases of golden train/ops as calls of our operations.
 *
 * A case is named OP/VARIANT; its arguments are by role in inputs.safetensors,
 * its attributes in case.json.  Axis orders differ in attention alone: the
 * vectors have [B, heads, T, dim], we have [B, T, heads, dim].
 */
#ifndef MM_TESTS_OPCASES_H
#define MM_TESTS_OPCASES_H

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "golden.h"
#include "tensor/op.h"
#include "tensor/tape.h"

enum { OC_ARGS = 8 };

struct oc_arg {
    char role[32];
    struct mm_tensor t; /* f32, data owned */
    bool differentiable;
};

struct oc {
    const char *name; /* op/variant */
    const json_t *attr;
    struct oc_arg arg[OC_ARGS];
    int n;
    /* of the current run */
    struct mm_ctx *c;
    struct mm_var *var[OC_ARGS];
};

static void *oc_zalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p)
        abort();
    return p;
}

static int oc_find(const struct oc *o, const char *role)
{
    for (int i = 0; i < o->n; i++)
        if (strcmp(o->arg[i].role, role) == 0)
            return i;
    return -1;
}

/* Variable of a role; NULL when the case has none. */
static const struct mm_var *oc_var(const struct oc *o, const char *role)
{
    const int i = oc_find(o, role);

    return i < 0 ? NULL : o->var[i];
}

/* Integers of a role, in the arena of the run. */
static int32_t *oc_ints(const struct oc *o, const char *role)
{
    const struct mm_tensor *t = &o->arg[oc_find(o, role)].t;
    const size_t n = mm_tensor_count(t);
    int32_t *p = mm_ctx_alloc(o->c, n, sizeof(*p));

    for (size_t i = 0; i < n; i++)
        p[i] = (int32_t)((const float *)t->data)[i];
    return p;
}

static double oc_num(const struct oc *o, const char *key, double dflt)
{
    const json_t *v = json_object_get(o->attr, key);

    return v ? json_number_value(v) : dflt;
}

/* Element i of an attribute that is a number or a list. */
static int oc_item(const struct oc *o, const char *key, size_t i, int dflt)
{
    const json_t *v = json_object_get(o->attr, key);

    if (json_is_array(v))
        v = json_array_get(v, i);
    return v ? (int)json_integer_value(v) : dflt;
}

static enum mm_reduction oc_reduction(const struct oc *o)
{
    const char *s = json_string_value(json_object_get(o->attr, "reduction"));

    return s && strcmp(s, "sum") == 0 ? MM_REDUCE_SUM : MM_REDUCE_MEAN;
}

/* --- builders ------------------------------------------------------------------------ */

static struct mm_var *b_linear(struct oc *o)
{
    return mm_linear(o->c, oc_var(o, "x"), oc_var(o, "w"), oc_var(o, "b"));
}

static struct mm_var *b_matmul(struct oc *o)
{
    const int ta = oc_item(o, "ta", 0, 0), tb = oc_item(o, "tb", 0, 0);
    const enum mm_matmul_kind kind = ta   ? tb ? MM_MATMUL_TT : MM_MATMUL_TN
                                     : tb ? MM_MATMUL_NT
                                          : MM_MATMUL_NN;

    return mm_matmul(o->c, kind, oc_var(o, "a"), oc_var(o, "b"));
}

static struct mm_var *b_embedding(struct oc *o)
{
    const struct mm_tensor *ids = &o->arg[oc_find(o, "ids")].t;
    const struct mm_var *y =
        mm_embedding(o->c, oc_var(o, "w"), oc_ints(o, "ids"), mm_tensor_count(ids));

    return mm_reshape(o->c, y, 3, (const int64_t[]){ ids->shape[0], ids->shape[1], y->t.shape[1] });
}

static struct mm_var *b_layer_norm(struct oc *o)
{
    return mm_layer_norm(o->c, oc_var(o, "x"), oc_var(o, "w"), oc_var(o, "b"),
                         (float)oc_num(o, "eps", 0));
}

static struct mm_var *b_rms_norm(struct oc *o)
{
    return mm_rms_norm(o->c, oc_var(o, "x"), oc_var(o, "w"), (float)oc_num(o, "eps", 0));
}

static struct mm_var *b_group_norm(struct oc *o)
{
    return mm_group_norm(o->c, oc_var(o, "x"), oc_var(o, "w"), oc_var(o, "b"),
                         oc_item(o, "groups", 0, 1), (float)oc_num(o, "eps", 0));
}

static struct mm_var *b_l2_normalize(struct oc *o)
{
    return mm_l2_normalize(o->c, oc_var(o, "x"), 1e-12f);
}

static struct mm_var *b_softmax(struct oc *o)
{
    return mm_softmax(o->c, oc_var(o, "x"), oc_item(o, "dim", 0, -1));
}

static struct mm_var *b_log_softmax(struct oc *o)
{
    return mm_log_softmax(o->c, oc_var(o, "x"));
}

static struct mm_var *b_softmax_causal(struct oc *o)
{
    return mm_softmax_causal(o->c, oc_var(o, "x"));
}

static const int oc_swap[] = { 0, 2, 1, 3 }; /* [B, heads, T, dim] and back */

static struct mm_var *b_attention(struct oc *o)
{
    struct mm_attention_spec spec = { .causal = json_is_true(json_object_get(o->attr, "causal")) };
    const int bias = oc_find(o, "bias");
    float slopes[16];
    struct mm_var *y;

    if (bias >= 0 && o->arg[bias].t.shape[2] == 1) { /* the same for every query: ALiBi */
        const struct mm_tensor *t = &o->arg[bias].t;

        for (int64_t h = 0; h < t->shape[1]; h++) {
            const float *row = (const float *)t->data + h * t->shape[3];

            slopes[h] = row[1] - row[0];
        }
        spec.alibi = memcpy(mm_ctx_alloc(o->c, 16, sizeof(float)), slopes, sizeof(slopes));
    }
    y = mm_attend(
        o->c, mm_permute(o->c, oc_var(o, "q"), oc_swap), mm_permute(o->c, oc_var(o, "k"), oc_swap),
        mm_permute(o->c, oc_var(o, "v"), oc_swap), spec.alibi ? NULL : oc_var(o, "bias"), &spec);
    return mm_permute(o->c, y, oc_swap);
}

static struct mm_var *b_rope(struct oc *o)
{
    const struct mm_tensor *p = &o->arg[oc_find(o, "positions")].t;
    const int32_t *positions = oc_ints(o, "positions");
    const struct mm_var *x = oc_var(o, "x");
    const size_t half = (size_t)x->t.shape[3] / 2, rows = mm_tensor_count(p);
    float *co = mm_ctx_alloc(o->c, rows * half, sizeof(*co));
    float *si = mm_ctx_alloc(o->c, rows * half, sizeof(*si));

    for (size_t i = 0; i < rows * half; i++) {
        const double inv = pow(oc_num(o, "theta", 0), -(double)(i % half) / (double)half);

        co[i] = (float)cos(positions[i / half] * inv);
        si[i] = (float)sin(positions[i / half] * inv);
    }
    return mm_permute(o->c, mm_rope(o->c, mm_permute(o->c, x, oc_swap), co, si, true), oc_swap);
}

static struct mm_var *b_activate(struct oc *o)
{
    static const char *const names[] = {
        [MM_ACT_GELU] = "gelu_erf/",
        [MM_ACT_GELU_TANH] = "gelu_tanh/",
        [MM_ACT_QUICK_GELU] = "quick_gelu/",
        [MM_ACT_SILU] = "silu/",
        [MM_ACT_RELU] = "relu/",
        [MM_ACT_SQUARED_RELU] = "squared_relu/",
        [MM_ACT_SIGMOID] = "sigmoid/",
        [MM_ACT_TANH] = "tanh/",
        [MM_ACT_EXP] = "exp/",
    };
    enum mm_act a = MM_ACT_EXP;

    while (a > MM_ACT_NONE && strncmp(o->name, names[a], strlen(names[a])) != 0)
        a--;
    return mm_activate(o->c, oc_var(o, "x"), a);
}

static struct mm_var *b_leaky_relu(struct oc *o)
{
    return mm_leaky_relu(o->c, oc_var(o, "x"), (float)oc_num(o, "slope", 0));
}

static struct mm_var *b_swiglu(struct oc *o)
{
    return mm_swiglu(o->c, oc_var(o, "gate"), oc_var(o, "up"));
}

static struct mm_var *b_geglu(struct oc *o)
{
    return mm_geglu(o->c, oc_var(o, "x"));
}

/* Flamingo: y + tanh(gate) f */
static struct mm_var *b_tanh_gate(struct oc *o)
{
    return mm_add(o->c, oc_var(o, "y"),
                  mm_mul(o->c, oc_var(o, "f"), mm_activate(o->c, oc_var(o, "gate"), MM_ACT_TANH)));
}

static struct mm_var *b_layer_scale(struct oc *o)
{
    return mm_add(o->c, oc_var(o, "x"), mm_mul(o->c, oc_var(o, "y"), oc_var(o, "gamma")));
}

static struct mm_var *b_add(struct oc *o)
{
    return mm_add(o->c, oc_var(o, "x"), oc_var(o, "y"));
}

static struct mm_var *b_mul(struct oc *o)
{
    return mm_mul(o->c, oc_var(o, "x"), oc_var(o, "y"));
}

static struct mm_var *b_dropout(struct oc *o)
{
    const int32_t *mask = oc_ints(o, "mask");
    const size_t n = mm_tensor_count(&oc_var(o, "x")->t);
    uint8_t *keep = mm_ctx_alloc(o->c, n, 1);

    for (size_t i = 0; i < n; i++)
        keep[i] = (uint8_t)mask[i];
    return mm_dropout(o->c, oc_var(o, "x"), keep, (float)oc_num(o, "p", 0));
}

static struct mm_conv oc_conv(const struct oc *o)
{
    return (struct mm_conv){
        .stride = { oc_item(o, "stride", 0, 1), oc_item(o, "stride", 1, 1) },
        .padding = { oc_item(o, "padding", 0, 0), oc_item(o, "padding", 1, 0) },
        .dilation = { oc_item(o, "dilation", 0, 1), oc_item(o, "dilation", 1, 1) },
        .groups = oc_item(o, "groups", 0, 1),
    };
}

static struct mm_var *b_conv2d(struct oc *o)
{
    const struct mm_conv v = oc_conv(o);

    return mm_conv2d(o->c, oc_var(o, "x"), oc_var(o, "w"), oc_var(o, "b"), &v);
}

/* [A, B, n] as [A, B, 1, n], or with back the other way. */
static struct mm_var *oc_flat(struct mm_ctx *c, const struct mm_var *x, bool back)
{
    const int64_t *s = x->t.shape;

    return back ? mm_reshape(c, x, 3, (const int64_t[]){ s[0], s[1], s[3] })
                : mm_reshape(c, x, 4, (const int64_t[]){ s[0], s[1], 1, s[2] });
}

static struct mm_var *b_conv1d(struct oc *o)
{
    struct mm_conv v = oc_conv(o);

    v.stride[0] = v.dilation[0] = 1;
    v.padding[0] = 0;
    return oc_flat(o->c,
                   mm_conv2d(o->c, oc_flat(o->c, oc_var(o, "x"), false),
                             oc_flat(o->c, oc_var(o, "w"), false), oc_var(o, "b"), &v),
                   true);
}

static struct mm_var *b_conv_transpose1d(struct oc *o)
{
    struct mm_conv v = oc_conv(o);
    const int extra[] = { 0, oc_item(o, "output_padding", 0, 0) };

    v.stride[0] = 1;
    v.padding[0] = 0;
    return oc_flat(o->c,
                   mm_conv_transpose2d(o->c, oc_flat(o->c, oc_var(o, "x"), false),
                                       oc_flat(o->c, oc_var(o, "w"), false), oc_var(o, "b"), &v,
                                       extra),
                   true);
}

/* A kernel of 1 x 1 in space: the two axes of space are one. */
static struct mm_var *b_conv3d(struct oc *o)
{
    const struct mm_conv v = { .stride = { 1, 1 },
                               .padding = { oc_item(o, "padding", 0, 0), 0 },
                               .dilation = { 1, 1 },
                               .groups = 1 };
    const struct mm_var *x = oc_var(o, "x"), *w = oc_var(o, "w");
    const int64_t *s = x->t.shape, *k = w->t.shape;
    const struct mm_var *y;

    x = mm_reshape(o->c, x, 4, (const int64_t[]){ s[0], s[1], s[2], s[3] * s[4] });
    w = mm_reshape(o->c, w, 4, (const int64_t[]){ k[0], k[1], k[2], 1 });
    y = mm_conv2d(o->c, x, w, oc_var(o, "b"), &v);
    return mm_reshape(o->c, y, 5, (const int64_t[]){ s[0], k[0], y->t.shape[2], s[3], s[4] });
}

/* Scaled weight standardisation (Brock 2021): gain (w - mean) / sqrt(var N + eps) */
static struct mm_var *b_conv2d_ws(struct oc *o)
{
    const struct mm_conv v = oc_conv(o);
    const struct mm_var *w = oc_var(o, "w");
    const int64_t *s = w->t.shape;
    const int64_t fan = s[1] * s[2] * s[3];
    const struct mm_var *row = mm_reshape(o->c, w, 2, (const int64_t[]){ s[0], fan });

    row = mm_scale(o->c, mm_layer_norm(o->c, row, NULL, NULL, 1e-6f), 1 / sqrtf((float)fan));
    row = mm_mul(o->c, mm_reshape(o->c, row, 4, s), oc_var(o, "gain"));
    return mm_conv2d(o->c, oc_var(o, "x"), row, oc_var(o, "b"), &v);
}

static struct mm_var *b_pool(struct oc *o)
{
    const struct mm_pool2d p = {
        .kind = o->name[0] == 'm' ? MM_POOL_MAX : MM_POOL_AVERAGE,
        .kernel = oc_item(o, "kernel", 0, 1),
        .stride = oc_item(o, "stride", 0, 1),
        .padding = oc_item(o, "padding", 0, 0),
        .count_padding = json_is_true(json_object_get(o->attr, "count_include_pad")),
    };

    return mm_pool2d(o->c, oc_var(o, "x"), &p);
}

static struct mm_var *b_upsample(struct oc *o)
{
    return mm_upsample_nearest(o->c, oc_var(o, "x"), oc_item(o, "size", 0, 0),
                               oc_item(o, "size", 1, 0));
}

static struct mm_var *b_mean(struct oc *o)
{
    const json_t *dims = json_object_get(o->attr, "dim"); /* the last ones */

    return mm_reduce(o->c, oc_var(o, "x"), (int)json_array_size(dims), MM_REDUCE_MEAN);
}

static struct mm_var *b_masked_mean(struct oc *o)
{
    return mm_masked_mean(o->c, oc_var(o, "x"), oc_ints(o, "mask"));
}

static struct mm_var *b_concat(struct oc *o)
{
    struct mm_var *x[3];

    for (int i = 0; i < 3; i++)
        x[i] = o->var[oc_find(o, (const char *const[]){ "a", "b", "c" }[i])];
    return mm_concat(o->c, x, 3, oc_item(o, "dim", 0, 0));
}

static struct mm_var *b_slice(struct oc *o)
{
    const json_t *slices = json_object_get(o->attr, "slices");
    const struct mm_var *x = oc_var(o, "x");
    struct mm_var *y = NULL;

    for (size_t i = 0; i < json_array_size(slices); i++) {
        const json_t *s = json_array_get(slices, i);
        const int64_t from = json_integer_value(json_array_get(s, 0));
        const int64_t to = json_integer_value(json_array_get(s, 1));
        const int64_t step = json_integer_value(json_array_get(s, 2));

        y = step == 1 ? mm_slice(o->c, x, (int)i, from, to)
                      : mm_slice_step(o->c, x, (int)i, from, to, step);
        x = y;
    }
    return y;
}

static struct mm_var *b_permute(struct oc *o)
{
    int order[4];

    for (size_t i = 0; i < 4; i++)
        order[i] = oc_item(o, "order", i, 0);
    return mm_permute(o->c, oc_var(o, "x"), order);
}

static struct mm_var *b_repeat(struct oc *o)
{
    const struct mm_var *x = oc_var(o, "x");
    struct mm_var *y = NULL;

    for (int i = 0; i < x->t.ndim; i++)
        y = mm_repeat(o->c, y ? y : x, i, oc_item(o, "times", (size_t)i, 1));
    return y;
}

static struct mm_var *b_repeat_interleave(struct oc *o)
{
    return mm_repeat_interleave(o->c, oc_var(o, "x"), oc_item(o, "dim", 0, 0),
                                oc_item(o, "times", 0, 1));
}

static struct mm_var *b_scatter_rows(struct oc *o)
{
    return mm_scatter_rows(o->c, oc_var(o, "x"), oc_var(o, "y"), oc_ints(o, "rows"));
}

static struct mm_var *b_cross_entropy(struct oc *o)
{
    return mm_cross_entropy(o->c, oc_var(o, "logits"), oc_ints(o, "targets"),
                            (float)oc_num(o, "smoothing", 0), oc_reduction(o));
}

static struct mm_var *b_pair_loss(struct oc *o)
{
    const float beta = (float)oc_num(o, "beta", oc_num(o, "delta", 1));
    const enum mm_pair_loss kind = o->name[0] == 'b'   ? MM_LOSS_BCE_LOGITS
                                   : o->name[0] == 'm' ? MM_LOSS_MSE
                                   : o->name[0] == 'l' ? MM_LOSS_L1
                                   : o->name[0] == 'h' ? MM_LOSS_HUBER
                                                       : MM_LOSS_SMOOTH_L1;

    return mm_pair_loss(o->c, kind, oc_var(o, "x"), oc_var(o, "y"), beta, oc_reduction(o));
}

static struct mm_var *b_row_l2(struct oc *o)
{
    return mm_row_l2(o->c, oc_var(o, "x"), oc_var(o, "y"));
}

static struct mm_var *b_cosine(struct oc *o)
{
    return mm_cosine_similarity(o->c, oc_var(o, "x"), oc_var(o, "y"));
}

static struct mm_var *b_infonce(struct oc *o)
{
    return mm_infonce(o->c, oc_var(o, "image"), oc_var(o, "text"), oc_var(o, "log_scale"));
}

static struct mm_var *b_focal(struct oc *o)
{
    return mm_focal_loss(o->c, oc_var(o, "logits"), oc_var(o, "targets"),
                         (float)oc_num(o, "alpha", 0), (float)oc_num(o, "gamma", 0),
                         (float)oc_num(o, "num_boxes", 1));
}

static struct mm_var *b_dice(struct oc *o)
{
    return mm_dice_loss(o->c, oc_var(o, "logits"), oc_var(o, "targets"),
                        (float)oc_num(o, "num_boxes", 1));
}

static struct mm_var *b_giou(struct oc *o)
{
    return mm_giou_loss(o->c, oc_var(o, "pred"), oc_var(o, "target"),
                        (float)oc_num(o, "num_boxes", 1));
}

static struct mm_var *b_grid_sample(struct oc *o)
{
    return mm_grid_sample(o->c, oc_var(o, "x"), oc_var(o, "grid"),
                          json_is_true(json_object_get(o->attr, "align_corners"))
                              ? MM_CORNERS_CENTRED
                              : MM_CORNERS_BORDERS);
}

static struct mm_var *b_deform(struct oc *o)
{
    const json_t *shapes = json_object_get(o->attr, "shapes");
    int64_t levels[8][2];

    for (size_t l = 0; l < json_array_size(shapes); l++)
        for (size_t i = 0; i < 2; i++)
            levels[l][i] = json_integer_value(json_array_get(json_array_get(shapes, l), i));
    return mm_deform_attend(o->c, oc_var(o, "value"), oc_var(o, "locations"), oc_var(o, "weights"),
                            (const int64_t(*)[2])levels, (int)json_array_size(shapes));
}

/* --- the table ------------------------------------------------------------------------- */

struct oc_op {
    const char *op;
    struct mm_var *(*build)(struct oc *o);
    const char *linear; /* roles in which the result is affine, one letter each */
    bool kinks;         /* not differentiable everywhere */
};

static const struct oc_op oc_ops[] = {
    { "linear", b_linear, "xwb", false },
    { "matmul", b_matmul, "ab", false },
    { "embedding", b_embedding, "w", false },
    { "layer_norm", b_layer_norm, "wb", false },
    { "rms_norm", b_rms_norm, "w", false },
    { "group_norm", b_group_norm, "wb", false },
    { "l2_normalize", b_l2_normalize, "", false },
    { "softmax", b_softmax, "", false },
    { "log_softmax", b_log_softmax, "", false },
    { "softmax_causal", b_softmax_causal, "", false },
    { "attention", b_attention, "v", false },
    { "rope", b_rope, "x", false },
    { "gelu_erf", b_activate, "", false },
    { "gelu_tanh", b_activate, "", false },
    { "quick_gelu", b_activate, "", false },
    { "silu", b_activate, "", false },
    { "relu", b_activate, "", true },
    { "squared_relu", b_activate, "", true },
    { "sigmoid", b_activate, "", false },
    { "tanh", b_activate, "", false },
    { "exp", b_activate, "", false },
    { "leaky_relu", b_leaky_relu, "", true },
    { "swiglu", b_swiglu, "u", false },
    { "geglu", b_geglu, "", false },
    { "tanh_gate", b_tanh_gate, "yf", false },
    { "layer_scale", b_layer_scale, "xyg", false },
    { "broadcast_add", b_add, "xy", false },
    { "broadcast_mul", b_mul, "xy", false },
    { "dropout", b_dropout, "x", false },
    { "conv2d", b_conv2d, "xwb", false },
    { "conv1d", b_conv1d, "xwb", false },
    { "conv_transpose1d", b_conv_transpose1d, "xwb", false },
    { "conv3d", b_conv3d, "xwb", false },
    { "conv2d_ws", b_conv2d_ws, "xgb", false },
    { "avg_pool2d", b_pool, "x", false },
    { "max_pool2d", b_pool, "", true },
    { "upsample_nearest", b_upsample, "x", false },
    { "mean", b_mean, "x", false },
    { "masked_mean", b_masked_mean, "x", false },
    { "concat", b_concat, "abc", false },
    { "slice", b_slice, "x", false },
    { "permute", b_permute, "x", false },
    { "repeat", b_repeat, "x", false },
    { "repeat_interleave", b_repeat_interleave, "x", false },
    { "scatter_rows", b_scatter_rows, "xy", false },
    { "cross_entropy", b_cross_entropy, "", false },
    { "bce_with_logits", b_pair_loss, "", false },
    { "mse", b_pair_loss, "", false },
    { "l1", b_pair_loss, "", true },
    { "smooth_l1", b_pair_loss, "", true },
    { "huber", b_pair_loss, "", true },
    { "row_l2", b_row_l2, "", false },
    { "cosine_similarity", b_cosine, "", false },
    { "infonce", b_infonce, "", false },
    { "sigmoid_focal_loss", b_focal, "", false },
    { "dice_loss", b_dice, "", false },
    { "giou_loss", b_giou, "", true },
    { "grid_sample", b_grid_sample, "x", true },
    { "ms_deform_attn", b_deform, "vw", true },
};

static const struct oc_op *oc_op(const char *name)
{
    const size_t n = strcspn(name, "/");

    for (size_t i = 0; i < sizeof(oc_ops) / sizeof(*oc_ops); i++)
        if (strlen(oc_ops[i].op) == n && strncmp(oc_ops[i].op, name, n) == 0)
            return &oc_ops[i];
    return NULL;
}

/* --- loading and running ------------------------------------------------------------------ */

static void oc_load(struct oc *o, const struct mm_ckpt *inputs, const char *name,
                    const json_t *spec)
{
    const size_t len = strlen(name);
    const json_t *diff = json_object_get(spec, "differentiable"), *v;
    size_t k;

    *o = (struct oc){ .name = name, .attr = json_object_get(spec, "attributes") };
    for (size_t i = 0; i < mm_ckpt_count(inputs); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(inputs, i);
        struct oc_arg *a = &o->arg[o->n];

        if (strncmp(en->name, name, len) != 0 || en->name[len] != '/')
            continue;
        if (o->n == OC_ARGS)
            abort();
        snprintf(a->role, sizeof(a->role), "%s", en->name + len + 1);
        a->t = en->t;
        a->t.dtype = MM_F32;
        a->t.data = oc_zalloc(mm_tensor_count(&en->t), sizeof(float));
        mm_tensor_to_f32(a->t.data, &en->t);
        json_array_foreach(diff, k, v) a->differentiable |=
            strcmp(json_string_value(v), a->role) == 0;
        o->n++;
    }
}

static void oc_free(struct oc *o)
{
    for (int i = 0; i < o->n; i++)
        free(o->arg[i].t.data);
}

/* The result on c; with a tape the differentiable arguments need gradients. */
static struct mm_var *oc_run(struct oc *o, struct mm_ctx *c)
{
    o->c = c;
    for (int i = 0; i < o->n; i++) {
        o->var[i] = mm_var_of(c, &o->arg[i].t);
        o->var[i]->needs_grad = c->tape && o->arg[i].differentiable;
    }
    return oc_op(o->name)->build(o);
}

#endif
