/* evalcase.h: golden files of metrics, and objects compared with them; cmocka is included
 * by the test before this. */
#ifndef MM_TESTS_EVALCASE_H
#define MM_TESTS_EVALCASE_H

#include "base/json.h"
#include "eval/boot.h"
#include "eval/items.h"
#include "golden.h"

static const struct mm_eval_boot no_boot = { 0, 0 };

static inline json_t *list_of(const char *rel)
{
    struct mm_err e = { 0 };
    json_t *list = NULL;
    char path[500];

    if (mm_eval_load(&list, golden_path(path, sizeof(path), rel), &e) < 0)
        fail_msg("%s", e.msg);
    return list;
}

/* A golden file as it is. */
static inline json_t *file_of(const char *rel)
{
    struct mm_err e = { 0 };
    json_t *doc = NULL;
    char path[500];

    if (mm_json_file(&doc, golden_path(path, sizeof(path), rel), &e) < 0)
        fail_msg("%s", e.msg);
    return doc;
}

/* got and want are the same: numbers to rtol 1e-9, all else exactly. */
static inline void same(const json_t *got, const json_t *want, const char *name)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_number(want)) {
        const double w = json_number_value(want);

        if (!json_is_number(got) || fabs(json_number_value(got) - w) > 1e-9 * fabs(w) + 1e-300)
            fail_msg("%s: %.17g, want %.17g", name, json_number_value(got), w);
        return;
    }
    if (json_is_array(want)) {
        assert_int_equal(json_array_size(got), json_array_size(want));
        json_array_foreach(want, i, v) same(json_array_get(got, i), v, name);
        return;
    }
    if (!json_is_object(want)) {
        if (!json_equal(got, want))
            fail_msg("%s differs", name);
        return;
    }
    assert_int_equal(json_object_size(got), json_object_size(want));
    json_object_foreach((json_t *)want, key, v) same(json_object_get(got, key), v, key);
}

/* Members of want that out has are the same, and there are at least `least` of them. */
static inline void check(const json_t *out, const json_t *want, size_t least)
{
    const char *key;
    json_t *v;
    size_t n = 0;

    json_object_foreach((json_t *)out, key, v) {
        const json_t *w = json_object_get(want, key);

        if (w) {
            same(v, w, key);
            n++;
        }
    }
    assert_true(n >= least);
}

#endif
