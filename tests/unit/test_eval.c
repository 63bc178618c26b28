/* test_eval: the metrics against golden family `metrics`, and by closed forms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/answers.h"
#include "eval/choice.h"
#include "evalcase.h"

static void pairs(struct mm_eval_pairs *p, struct mm_arena *a, const json_t *refs,
                  const json_t *preds, enum mm_eval_missing missing)
{
    struct mm_err e = { 0 };

    if (mm_eval_pair(p, a, refs, preds, mm_eval_ids, missing, &e) < 0)
        fail_msg("%s", e.msg);
}

/* --- golden ------------------------------------------------------------------------------- */

static void vqa_as_the_scorers(void **state)
{
    struct mm_arena *a = mm_arena_new();
    struct mm_err e = { 0 };
    struct mm_eval_pairs p;
    json_t *refs = list_of("metrics/vqa/annotations.json");
    json_t *preds = list_of("metrics/vqa/results.json");
    json_t *want = file_of("metrics/vqa/expected.json");
    json_t *out = json_object();
    json_t *again = json_object();
    json_t *lines = list_of("metrics/vqa/textvqa.jsonl");

    (void)state;
    pairs(&p, a, refs, preds, MM_EVAL_REFUSE);
    assert_int_equal(mm_eval_vqa(out, &p, a, &no_boot, &e), 0);
    check(out, want, 9);
    /* a file that holds both sides and no ids goes by order */
    pairs(&p, a, lines, lines, MM_EVAL_REFUSE);
    assert_int_equal(mm_eval_vqa(again, &p, a, &no_boot, &e), 0);
    same(json_object_get(again, "textvqa_llava_per_question"),
         json_object_get(want, "textvqa_llava_per_question"), "textvqa lines");
    json_decref(refs);
    json_decref(preds);
    json_decref(want);
    json_decref(out);
    json_decref(again);
    json_decref(lines);
    mm_arena_free(a);
}

static void normal_texts_as_the_scorers(void **state)
{
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };
    json_t *refs = list_of("metrics/vqa/annotations.json");
    json_t *preds = list_of("metrics/vqa/results.json");
    json_t *want = file_of("metrics/vqa/expected.json");
    json_t *v;
    size_t i;
    size_t k;

    (void)state;
    json_array_foreach(preds, i, v) {
        const char *text = json_string_value(json_object_get(v, "answer"));
        const json_t *answers = json_object_get(json_array_get(refs, i), "answers");

        assert_int_equal(mm_eval_normal(&b, text, &e), 0);
        assert_string_equal(b.p, json_string_value(json_array_get(
                                     json_object_get(want, "normalized_results"), i)));
        assert_int_equal(mm_eval_normal_textvqa(&b, text, &e), 0);
        assert_string_equal(b.p, json_string_value(json_array_get(
                                     json_object_get(want, "textvqa_normalized_results"), i)));
        /* the answers that are all the same were not touched */
        for (k = 0; k < json_array_size(answers) && i != 8 && i != 9 && i != 23; k++) {
            const json_t *row = json_array_get(json_object_get(want, "normalized_answers"), i);

            text = json_string_value(json_object_get(json_array_get(answers, k), "answer"));
            assert_int_equal(mm_eval_normal(&b, text, &e), 0);
            assert_string_equal(b.p, json_string_value(json_array_get(row, k)));
        }
    }
    mm_buf_free(&b);
    json_decref(refs);
    json_decref(preds);
    json_decref(want);
}

static void scienceqa_as_the_scorer(void **state)
{
    struct mm_arena *a = mm_arena_new();
    struct mm_err e = { 0 };
    struct mm_eval_pairs p;
    struct mm_eval_sqa q = { &p, NULL, NULL };
    json_t *problems = file_of("metrics/choice/problems.json");
    json_t *splits = file_of("metrics/choice/pid_splits.json");
    json_t *all = list_of("metrics/choice/scienceqa_answers.jsonl");
    json_t *want = file_of("metrics/choice/expected.json");
    json_t *refs = json_array();
    json_t *preds = json_array();
    json_t *out = json_object();
    json_t *v;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(splits, "test"), i, v) {
        json_t *o = json_object_get(problems, json_string_value(v));

        json_object_set(o, "id", v);
        json_array_append(refs, o);
    }
    json_array_foreach(all, i, v) {
        size_t k;
        json_t *id;

        json_array_foreach(json_object_get(splits, "test"), k, id)
            if (json_equal(id, json_object_get(v, "question_id")))
                json_array_append(preds, v);
    }
    pairs(&p, a, refs, preds, MM_EVAL_KEEP);
    assert_int_equal(mm_eval_scienceqa(out, &q, a, &no_boot, &e), 0);
    check(out, want, 4);
    json_decref(problems);
    json_decref(splits);
    json_decref(all);
    json_decref(want);
    json_decref(refs);
    json_decref(preds);
    json_decref(out);
    mm_arena_free(a);
}

static void auc_and_ranks_as_the_reference(void **state)
{
    struct mm_ckpt *in = golden_open("metrics/choice/inputs.safetensors");
    json_t *want = file_of("metrics/choice/expected.json");
    const struct mm_tensor *s = golden_tensor(in, "auc_scores");
    const struct mm_tensor *l = golden_tensor(in, "auc_labels");
    const struct mm_tensor *logits = golden_tensor(in, "logits");
    const struct mm_tensor *labels = golden_tensor(in, "labels");
    const size_t n = (size_t)s->shape[0];
    double *score = malloc(n * sizeof(double));
    double *label = malloc(n * sizeof(double));
    int64_t *classes = malloc((size_t)labels->shape[0] * sizeof(int64_t));
    json_t *got = json_object();

    (void)state;
    for (size_t i = 0; i < n; i++) {
        score[i] = s->dtype == MM_F64 ? ((const double *)s->data)[i]
                                      : (double)((const float *)s->data)[i];
        label[i] = l->dtype == MM_I64 ? (double)((const int64_t *)l->data)[i]
                                      : (double)((const int32_t *)l->data)[i];
    }
    for (size_t i = 0; i < (size_t)labels->shape[0]; i++)
        classes[i] = labels->dtype == MM_I64 ? ((const int64_t *)labels->data)[i]
                                             : ((const int32_t *)labels->data)[i];
    json_object_set_new(got, "roc_auc", json_real(mm_eval_auc(score, label, n)));
    for (size_t k = 1; k <= 5; k += 4)
        json_object_set_new(got, k == 1 ? "top1" : "top5",
                            json_real(mm_eval_top(logits->data, classes, (size_t)logits->shape[0],
                                                  (size_t)logits->shape[1], k)));
    check(got, want, 3);
    json_decref(got);
    json_decref(want);
    free(score);
    free(label);
    free(classes);
    mm_ckpt_close(in);
}

static void bench_as_the_summary(void **state)
{
    struct mm_arena *a = mm_arena_new();
    struct mm_err e = { 0 };
    json_t *reviews = list_of("metrics/llava_bench/reviews.jsonl");
    json_t *want = file_of("metrics/llava_bench/expected.json");
    json_t *out = json_object();

    (void)state;
    assert_int_equal(mm_eval_bench(out, reviews, a, &no_boot, &e), 0);
    check(out, want, 7);
    json_decref(reviews);
    json_decref(want);
    json_decref(out);
    mm_arena_free(a);
}

/* --- closed forms ------------------------------------------------------------------------- */

static void letters(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        int want;
    } rows[] = {
        { "A", 2, 0 },  { "E", 5, 4 },   { "E", 4, -1 },           { "C. because", 4, 2 },
        { "C.", 4, -1 }, { " C", 4, -1 }, { "The answer is B.", 4, 1 },
        { "So. The answer is D!", 4, 3 }, { "The answer is D", 4, -1 },
        { "The answer is A. The answer is A.", 4, -1 }, { "The answer is Z.", 5, -1 },
        { "", 4, -1 },  { "F", 9, -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (mm_eval_letter(rows[i].text, rows[i].n) != rows[i].want)
            fail_msg("'%s' of %zu", rows[i].text, rows[i].n);
}

static void noes(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = { { "No", true }, { "no, never", true }, { "NO", false }, { "none", false },
                 { "Yes. No.", false }, { "There is not.", true }, { "isn't", false },
                 { "n,o", true }, { "nothing", false }, { "", false }, { "say  no", true } };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (mm_eval_no(rows[i].text) != rows[i].want)
            fail_msg("'%s'", rows[i].text);
}

static void scores(void **state)
{
    static const struct {
        const char *text;
        double a, b;
    } rows[] = { { "8 7\nwhy", 8, 7 }, { "9.5,6", 9.5, 6 }, { "9, 8", -1, -1 }, { "9 8 ", -1, -1 },
                 { "9", -1, -1 }, { "", -1, -1 }, { "nan 3", -1, -1 }, { "8 7\r\n", 8, 7 },
                 { "1e1 7", 10, 7 }, { "0x8 7", -1, -1 } };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        double p[2];
        const bool ok = mm_eval_scores(p, rows[i].text);

        if (ok != (rows[i].a >= 0) || p[0] != rows[i].a || p[1] != rows[i].b)
            fail_msg("'%s': %g %g", rows[i].text, p[0], p[1]);
    }
}

/* GPT-4 beside the model: three problems, each ensemble by hand. */
static void ensembles(void **state)
{
    static const char problems[] =
        "[{\"id\":\"1\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"subject\":\"natural science\","
        "\"grade\":\"grade6\",\"hint\":\"\",\"image\":null},"
        "{\"id\":\"2\",\"choices\":[\"x\",\"y\"],\"answer\":1,\"grade\":\"grade7\"},"
        "{\"id\":\"3\",\"choices\":[\"x\",\"y\"],\"answer\":1,\"image\":\"i.png\"}]";
    static const char *const answers[] = {
        "[{\"id\":\"1\",\"text\":\"B\"},{\"id\":2,\"text\":\"B\"},{\"id\":3,\"text\":\"A\"}]",
        "[{\"id\":1,\"text\":\"A\"},{\"id\":2,\"text\":\"none\"},{\"id\":3,\"text\":\"A\"}]",
        "[{\"id\":1,\"text\":\"A\"},{\"id\":2,\"text\":\"?\"},{\"id\":3,\"text\":\"B\"}]"
    };
    static const struct {
        const char *row, *group;
        double want;
    } rows[] = { { "scienceqa_breakdown", "average", 100.0 / 3 }, { "gpt4", "average", 100.0 / 3 },
                 { "complement", "average", 200.0 / 3 }, { "judge", "average", 200.0 / 3 },
                 { "complement", "NO", 100 }, { "complement", "IMG", 0 }, { "gpt4", "G7-12", 0 } };
    struct mm_arena *a = mm_arena_new();
    struct mm_err e = { 0 };
    json_t *refs = json_loads(problems, 0, NULL);
    json_t *out = json_object();
    json_t *list[3];
    struct mm_eval_pairs p[3];
    const struct mm_eval_sqa q = { &p[0], &p[1], &p[2] };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        list[i] = json_loads(answers[i], 0, NULL);
        pairs(&p[i], a, refs, list[i], MM_EVAL_KEEP);
    }
    assert_int_equal(mm_eval_scienceqa(out, &q, a, &no_boot, &e), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const double got = json_real_value(
            json_object_get(json_object_get(out, rows[i].row), rows[i].group));

        if (fabs(got - rows[i].want) > 1e-9)
            fail_msg("%s %s: %g", rows[i].row, rows[i].group, got);
    }
    for (size_t i = 0; i < 3; i++)
        json_decref(list[i]);
    json_decref(refs);
    json_decref(out);
    mm_arena_free(a);
}

/* Of a fair coin thrown 400 times: mean 50, deviation 2.5, so about [45.1, 54.9]; the
 * same seed gives the same interval. */
static void intervals(void **state)
{
    const struct mm_eval_boot b = { 2000, 7 };
    struct mm_err e = { 0 };
    double x[400];
    json_t *out = json_object();
    json_t *again = json_object();
    const json_t *ci;

    (void)state;
    for (size_t i = 0; i < 400; i++)
        x[i] = (double)(i % 2);
    assert_int_equal(mm_eval_put(out, "m", mm_eval_mean, x, 400, 1, &b, &e), 0);
    assert_int_equal(mm_eval_put(again, "m", mm_eval_mean, x, 400, 1, &b, &e), 0);
    assert_true(json_equal(out, again));
    assert_true(json_real_value(json_object_get(out, "m")) == 50);
    ci = json_object_get(json_object_get(out, "ci95"), "m");
    assert_true(fabs(json_real_value(json_array_get(ci, 0)) - 45.1) < 0.8);
    assert_true(fabs(json_real_value(json_array_get(ci, 1)) - 54.9) < 0.8);
    json_decref(out);
    json_decref(again);
}

static void pairing(void **state)
{
    static const struct {
        const char *refs, *preds, *want; /* want: what the message tells, NULL: it works */
    } rows[] = {
        { "[{\"id\":1}]", "[{\"id\":\"1\"}]", NULL },
        { "[{\"id\":1},{\"id\":1}]", "[{\"id\":1}]", "twice" },
        { "[{\"id\":1}]", "[{\"id\":1},{\"id\":1}]", "twice" },
        { "[{\"id\":1},{\"id\":2}]", "[{\"id\":1}]", "'2': no prediction" },
        { "[{\"id\":1}]", "[{\"id\":3}]", "no reference" },
        { "[{\"id\":\"a\",\"image\":\"d/a.png\"}]", "[{\"source\":[\"x/d/a.png\"]}]", NULL },
        { "[{\"id\":\"a\"}]", "[{\"source\":[\"x/a.png\"]}]", NULL },
        { "[{\"id\":1,\"image\":\"a.png\"},{\"id\":2,\"image\":\"a.png\"}]",
          "[{\"source\":\"a.png\"}]", "several" },
        { "[{\"x\":1}]", "[{\"y\":1}]", NULL },
        { "[{\"x\":1}]", "[]", "no ids" },
        { "[]", "[]", "nothing" },
        { "[{\"id\":1},{\"x\":1}]", "[{\"id\":1}]", "no id" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct mm_arena *a = mm_arena_new();
        struct mm_err e = { 0 };
        struct mm_eval_pairs p;
        json_t *refs = json_loads(rows[i].refs, 0, NULL);
        json_t *preds = json_loads(rows[i].preds, 0, NULL);
        const int rc = mm_eval_pair(&p, a, refs, preds, mm_eval_ids, MM_EVAL_REFUSE, &e);

        if (rc != (rows[i].want ? MM_EDATA : 0) || (rows[i].want && !strstr(e.msg, rows[i].want)))
            fail_msg("row %zu: %d '%s'", i, rc, e.msg);
        json_decref(refs);
        json_decref(preds);
        mm_arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vqa_as_the_scorers),
        cmocka_unit_test(normal_texts_as_the_scorers),
        cmocka_unit_test(scienceqa_as_the_scorer),
        cmocka_unit_test(auc_and_ranks_as_the_reference),
        cmocka_unit_test(bench_as_the_summary),
        cmocka_unit_test(letters),
        cmocka_unit_test(noes),
        cmocka_unit_test(scores),
        cmocka_unit_test(ensembles),
        cmocka_unit_test(intervals),
        cmocka_unit_test(pairing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
