/* test_eval_caption: captions' metrics and their tokenizer against golden family `metrics`,
 * METEOR by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/caption.h"
#include "eval/meteor.h"
#include "eval/ptb.h"
#include "evalcase.h"

static const struct mm_eval_caption_opts plain = { "nowhere", false, &no_boot };

static void tokens_as_the_reference(void **state)
{
    static const char *const keys[] = { "tokens_before_filter", "tokenized" };
    json_t *texts = file_of("metrics/ptb_tokenizer/texts.json");
    json_t *want = file_of("metrics/ptb_tokenizer/expected.json");
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };
    json_t *v;
    size_t i;

    (void)state;
    for (size_t k = 0; k < 2; k++)
        json_array_foreach(texts, i, v) {
            assert_int_equal(mm_eval_ptb(&b, json_string_value(v), k == 1, &e), 0);
            assert_string_equal(b.p, json_string_value(json_array_get(
                                         json_object_get(want, keys[k]), i)));
        }
    assert_true(i > 50);
    mm_buf_free(&b);
    json_decref(texts);
    json_decref(want);
}

static void tokens(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "it\xe2\x80\x99s", "it 's" },      { "a cat &amp; a dog", "a cat & a dog" },
        { "(:", "-lrb- :" },                  { "\xf0\x9f\x98\x80 cat", "cat" },
        { "Dr. Who etc. The end", "dr. who etc. . the end" },
        { "5.5 mi.", "5.5 mi ." },            { "'hello'", "` hello '" },
        { "\"'", "'' '" },                     { "<", "<" }, { "&", "&" }, { "@", "@" }, { "'", "'" },
        { "-----", "-----" },                 { "........", "... ..." },
    };
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_int_equal(mm_eval_ptb(&b, rows[i].text, false, &e), 0);
        assert_string_equal(b.p, rows[i].want);
    }
    mm_buf_free(&b);
}

/* Every number but METEOR's, and the tokens. */
static void golden(const char *name)
{
    struct mm_arena *a = mm_arena_new();
    struct mm_err e = { 0 };
    char path[100];
    json_t *refs, *preds, *want;
    json_t *out = json_object();

    snprintf(path, sizeof(path), "metrics/%s/captions.json", name);
    refs = list_of(path);
    snprintf(path, sizeof(path), "metrics/%s/results.json", name);
    preds = list_of(path);
    snprintf(path, sizeof(path), "metrics/%s/expected.json", name);
    want = file_of(path);
    json_object_del(want, "meteor");
    json_object_del(want, "meteor_per_image");
    if (mm_eval_captions(out, refs, preds, a, &plain, &e) < 0)
        fail_msg("%s", e.msg);
    check(out, want, 8);
    assert_true(json_is_false(json_object_get(out, "meteor_synonyms")));
    json_decref(refs);
    json_decref(preds);
    json_decref(want);
    json_decref(out);
    mm_arena_free(a);
}

static void several_references(void **state)
{
    (void)state;
    golden("captions");
}

static void one_reference(void **state)
{
    (void)state;
    golden("captions_one_reference");
}

static void meteor_by_hand(void **state)
{
    static const struct {
        const char *hyp[6], *ref[6];
        double want;
    } rows[] = {
        { { "big", "dog" }, { "big", "dog" }, 1 },
        { { "big", "dog" }, { "red", "cat" }, 0 },
        { { "dog", "big" }, { "big", "dog" }, 0.4 }, /* two chunks of two: 1 - gamma */
        /* half of each: P = R = 1/2, one chunk of one match: 1/2 * (1 - gamma) */
        { { "big", "dog" }, { "big", "cat" }, 0.2 },
        { { "dogs" }, { "dog" }, 0.6 }, /* a stem */
        { { NULL }, { "dog" }, 0 },
        /* the chunk is kept: the second `big` goes with its dog, 3 of 3 in one chunk */
        { { "big", "dog", "runs" }, { "big", "big", "dog", "runs" },
          /* P 1, R 3/4 */ 0.75 / (0.85 + 0.15 * 0.75) },
    };
    struct mm_eval_meteor *m;
    struct mm_eval_meteor_stats s;
    struct mm_err e = { 0 };

    (void)state;
    assert_int_equal(mm_eval_meteor_open(&m, "nowhere", &e), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t n = 0;
        size_t k = 0;
        double want = rows[i].want;

        while (n < 6 && rows[i].hyp[n])
            n++;
        while (k < 6 && rows[i].ref[k])
            k++;
        if (i == 6)
            want *= 1 - 0.6 * pow(1.0 / 3, 0.2);
        assert_int_equal(mm_eval_meteor_pair(&s, m, rows[i].hyp, n, rows[i].ref, k, &e), 0);
        if (fabs(mm_eval_meteor_score(&s) - want) > 1e-12)
            fail_msg("row %zu: %.12f, want %.12f", i, mm_eval_meteor_score(&s), want);
    }
    mm_eval_meteor_close(m);
}

/* One image: every n-gram is in all documents, so CIDEr is 0; ROUGE-L and BLEU-1 are 1. */
static void refusals_and_one_image(void **state)
{
    static const struct {
        const char *refs, *preds, *want;
    } rows[] = {
        { "[{\"image_id\":1,\"caption\":\"a dog\"}]", "[{\"image_id\":1,\"caption\":\"a dog\"}]", NULL },
        { "[{\"id\":1,\"captions\":[\"x\",\"a dog\"]}]", "[{\"id\":1,\"text\":\"a dog\"}]", NULL },
        { "[{\"id\":1,\"captions\":[]}]", "[{\"id\":1,\"text\":\"a dog\"}]", "no caption" },
        { "[{\"id\":1,\"captions\":[3]}]", "[{\"id\":1,\"text\":\"a dog\"}]", "no text" },
        { "[{\"caption\":\"a dog\"}]", "[{\"caption\":\"a dog\"}]", "no id" },
        { "[{\"image_id\":1,\"caption\":\"a\"}]", "[]", "no prediction" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct mm_arena *a = mm_arena_new();
        struct mm_err e = { 0 };
        json_t *refs = json_loads(rows[i].refs, 0, NULL);
        json_t *preds = json_loads(rows[i].preds, 0, NULL);
        json_t *out = json_object();
        const int rc = mm_eval_captions(out, refs, preds, a, &plain, &e);

        if (rc != (rows[i].want ? MM_EDATA : 0) || (rows[i].want && !strstr(e.msg, rows[i].want)))
            fail_msg("row %zu: %d '%s'", i, rc, e.msg);
        if (rc == 0) {
            assert_true(json_real_value(json_object_get(out, "rouge_l")) == 1);
            assert_true(json_real_value(json_object_get(out, "cider")) == 0);
            assert_true(fabs(json_real_value(json_object_get(out, "bleu_1")) - 1) < 1e-8);
        }
        json_decref(refs);
        json_decref(preds);
        json_decref(out);
        mm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_as_the_reference), cmocka_unit_test(tokens),
        cmocka_unit_test(several_references),      cmocka_unit_test(one_reference),
        cmocka_unit_test(meteor_by_hand),          cmocka_unit_test(refusals_and_one_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
