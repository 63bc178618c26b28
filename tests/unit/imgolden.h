/* imgolden.h: the cases of the golden family `image`, by kind. */
#ifndef TESTS_IMGOLDEN_H
#define TESTS_IMGOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "media/image.h"
#include "weights/ckpt.h"

struct golden {
    char dir[400];
    json_t *c; /* case.json */
    struct mm_ckpt *want;
};

static void ok(int rc, const struct mm_err *e)
{
    if (rc)
        fail_msg("%s", e->msg);
}

static const char *golden_path(char *buf, size_t n, const struct golden *g, const char *file)
{
    snprintf(buf, n, "%s/%s", g->dir, file);
    return buf;
}

static void golden_open(struct golden *g, const char *name)
{
    const char *top = getenv("MM_GOLDEN");
    char path[512];
    struct mm_err e = { 0 };

    *g = (struct golden){ 0 };
    snprintf(g->dir, sizeof(g->dir), "%s/image/%s", top ? top : "tests/golden", name);
    ok(mm_json_file(&g->c, golden_path(path, sizeof(path), g, "case.json"), &e), &e);
    ok(mm_ckpt_open(&g->want, golden_path(path, sizeof(path), g, "expected.safetensors"), &e), &e);
}

static void golden_close(struct golden *g)
{
    mm_ckpt_close(g->want);
    json_decref(g->c);
}

static const json_t *golden_config(const struct golden *g, const char *key)
{
    return json_object_get(json_object_get(g->c, "config"), key);
}

/* Call fn for every case of this kind; there must be one. */
static inline void golden_each(const char *kind, void (*fn)(const struct golden *))
{
    const char *top = getenv("MM_GOLDEN");
    char path[400];
    struct dirent **list;
    int ran = 0;

    snprintf(path, sizeof(path), "%s/image", top ? top : "tests/golden");
    const int n = scandir(path, &list, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        struct golden g;
        if (list[i]->d_name[0] != '.' && strcmp(list[i]->d_name, "README.md") != 0) {
            golden_open(&g, list[i]->d_name);
            if (strcmp(json_string_value(golden_config(&g, "kind")), kind) == 0) {
                fn(&g);
                ran++;
            }
            golden_close(&g);
        }
        free(list[i]);
    }
    free(list);
    assert_true(ran > 0);
}

static const struct mm_tensor *golden_tensor(const struct golden *g, const char *name)
{
    const struct mm_ckpt_entry *t = mm_ckpt_lookup(g->want, name);

    if (!t)
        fail_msg("%s: no stage %s", g->dir, name);
    return &t->t;
}

/* Number `key` of the stage's entry in case.json, or dflt. */
static double golden_limit(const struct golden *g, const char *name, const char *key, double dflt)
{
    size_t i;
    json_t *s;

    json_array_foreach(json_object_get(g->c, "stages"), i, s)
        if (strcmp(json_string_value(json_object_get(s, "name")), name) == 0)
            return json_object_get(s, key) ? json_number_value(json_object_get(s, key)) : dflt;
    fail_msg("%s: stage %s is not in case.json", g->dir, name);
    return 0;
}

static void golden_shape(const struct golden *g, const char *name, const int64_t *shape, int ndim)
{
    const struct mm_tensor *t = golden_tensor(g, name);
    char a[100], b[100];

    if (t->ndim != ndim || memcmp(t->shape, shape, (size_t)ndim * sizeof(*shape)) != 0)
        fail_msg("%s: %s: shape %s, want %s", g->dir, name, mm_shape_str(a, 100, shape, ndim),
                 mm_shape_str(b, 100, t->shape, t->ndim));
}

/* Picture against a u8 stage: equal, or within the stage's levels. */
static inline void golden_image(const struct golden *g, const char *name,
                                const struct mm_image *im)
{
    const struct mm_tensor *t = golden_tensor(g, name);
    const int64_t shape[3] = { im->h, im->w, mm_image_channels(im->mode) };
    const unsigned char *want = t->data;
    const double max_level = golden_limit(g, name, "max_level", 0);
    const double mean_level = golden_limit(g, name, "mean_level", 0);
    double sum = 0;

    assert_int_equal(t->dtype, MM_U8);
    golden_shape(g, name, shape, shape[2] == 1 ? 2 : 3);
    const size_t n = mm_tensor_count(t);
    for (size_t i = 0; i < n; i++) {
        const int d = abs(im->px[i] - want[i]);
        sum += d;
        if (d > max_level)
            fail_msg("%s: %s: byte %zu is %d, want %d", g->dir, name, i, im->px[i], want[i]);
    }
    if (sum / (double)n > mean_level)
        fail_msg("%s: %s: mean difference %g", g->dir, name, sum / (double)n);
}

/* Relative L2 distance of a float stage. */
static inline void golden_floats(const struct golden *g, const char *name, const float *x,
                                 const int64_t *shape, int ndim)
{
    const struct mm_tensor *t = golden_tensor(g, name);
    const float *want = t->data;
    const double rtol = golden_limit(g, name, "rtol", 0);
    double d2 = 0, n2 = 0;

    assert_int_equal(t->dtype, MM_F32);
    golden_shape(g, name, shape, ndim);
    for (size_t i = 0, n = mm_tensor_count(t); i < n; i++) {
        d2 += (x[i] - want[i]) * (double)(x[i] - want[i]);
        n2 += want[i] * (double)want[i];
    }
    if (!(sqrt(d2) <= rtol * sqrt(n2)))
        fail_msg("%s: %s: relative error %g, want %g", g->dir, name, sqrt(d2 / n2), rtol);
}

static inline void golden_picture(struct mm_image *im, const struct golden *g, const char *file)
{
    char path[512];
    struct mm_err e = { 0 };

    ok(mm_image_load(im, golden_path(path, sizeof(path), g, file), &e), &e);
}

/* "cat.png" -> "cat", then ".step" if there is one. */
static inline const char *golden_stage(char *buf, size_t n, const char *file, const char *step)
{
    snprintf(buf, n, "%.*s%s%s", (int)strcspn(file, "."), file, *step ? "." : "", step);
    return buf;
}

#endif
