/* stages.h: compare what a model computes with a golden case, stage by stage.
 *
 * The trace callback looks each stage up in expected.safetensors and holds it
 * against the case's rtol (relative L2 distance); stages_done checks that none
 * of those asked for was left out.
 */
#ifndef TESTS_STAGES_H
#define TESTS_STAGES_H

#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "weights/ckpt.h"

struct stages {
    char dir[1000];
    struct mm_ckpt *expected;
    json_t *spec;        /* case.json */
    unsigned char *seen; /* by index of expected */
    double worst;        /* largest distance over its tolerance */
};

static inline const char *golden_dir(void)
{
    const char *dir = getenv("MM_GOLDEN");

    return dir ? dir : "tests/golden";
}

static inline struct mm_ckpt *golden_open(const char *dir, const char *file)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck = NULL;
    char path[1400];

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (mm_ckpt_open(&ck, path, &e) < 0)
        fail_msg("%s", e.msg);
    return ck;
}

static inline void stages_open(struct stages *s, const char *name)
{
    struct mm_err e = { 0 };
    char path[1400];

    *s = (struct stages){ 0 };
    snprintf(s->dir, sizeof(s->dir), "%s/%s", golden_dir(), name);
    s->expected = golden_open(s->dir, "expected.safetensors");
    s->seen = calloc(mm_ckpt_count(s->expected) + 1, 1);
    snprintf(path, sizeof(path), "%s/case.json", s->dir);
    if (mm_json_file(&s->spec, path, &e) < 0)
        fail_msg("%s", e.msg);
}

static inline void stages_close(struct stages *s)
{
    mm_ckpt_close(s->expected);
    json_decref(s->spec);
    free(s->seen);
}

static inline double stages_rtol(const struct stages *s, const char *name)
{
    const json_t *st;
    size_t i;

    json_array_foreach(json_object_get(s->spec, "stages"), i, st)
        if (!strcmp(json_string_value(json_object_get(st, "name")), name))
            return json_number_value(json_object_get(st, "rtol"));
    return 1e-4;
}

static inline double distance(const float *a, const float *b, size_t n)
{
    double d = 0, r = 0;

    for (size_t i = 0; i < n; i++) {
        d += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        r += (double)b[i] * b[i];
    }
    return r > 0 ? sqrt(d / r) : sqrt(d);
}

/* One stage, f32 data of n elements, against `name` of the case, if it has it. */
static inline void stages_check(struct stages *s, const char *name, const float *x, size_t n)
{
    for (size_t i = 0; i < mm_ckpt_count(s->expected); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(s->expected, i);

        if (strcmp(en->name, name))
            continue;
        if (mm_tensor_count(&en->t) != n)
            fail_msg("%s: %s: %zu elements, want %zu", s->dir, name, n, mm_tensor_count(&en->t));
        float *want = malloc((n + 1) * sizeof(float));
        mm_tensor_to_f32(want, &en->t);
        const double d = distance(x, want, n), tol = stages_rtol(s, name);
        free(want);
        if (!(d <= tol))
            fail_msg("%s: %s: relative distance %.3g, at most %.3g", s->dir, name, d, tol);
        if (tol > 0 && d / tol > s->worst)
            s->worst = d / tol;
        s->seen[i] = 1;
    }
}

static inline void stages_trace(void *arg, const char *name, const struct mm_tensor *t)
{
    if (t->dtype == MM_F32)
        stages_check(arg, name, t->data, mm_tensor_count(t));
}

/* Every expected stage whose name matches glob (and not butnot) was seen. */
static inline void stages_done(const struct stages *s, const char *glob, const char *butnot)
{
    int n = 0;

    for (size_t i = 0; i < mm_ckpt_count(s->expected); i++) {
        const char *name = mm_ckpt_at(s->expected, i)->name;

        if (fnmatch(glob, name, 0) || (butnot && !fnmatch(butnot, name, 0)))
            continue;
        if (!s->seen[i])
            fail_msg("%s: stage %s was not computed", s->dir, name);
        n++;
    }
    assert_true(n > 0);
}

#endif
