/* test_world: captions of the synthetic world read and compared; the table of measures by
 * scenes whose right and wrong answers are counted by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/said.h"
#include "eval/world.h"
#include "evalcase.h"
#include "synth/caption.h"
#include "synth/scene.h"

/* --- captions ----------------------------------------------------------------------------- */

static void captions_are_read(void **state)
{
    static const struct {
        const char *text;
        bool coloured;
        size_t n;
        struct mm_said v[3];
    } cases[] = {
        { "a large red circle at the top left.", true, 1,
          { { "circle", "large", "red", "top left" } } },
        { "There is a small blue star in the center and a big pink ring on the right.", true, 2,
          { { "star", "small", "blue", "center" }, { "ring", "large", "pink", "right" } } },
        { "A picture of a red star, a ring and the heart.", true, 3,
          { { "star", "", "red", "" }, { "ring", "", "", "" }, { "heart", "", "", "" } } },
        { "The picture shows an ARROW that is large and white, on the left, at the top", true, 1,
          { { "arrow", "large", "white", "top left" } } },
        { "A pink cross is at the bottom left corner. It is small.", true, 1,
          { { "cross", "small", "pink", "bottom left" } } },
        { "You can see a cross in the middle of the picture.", true, 1,
          { { "cross", "", "", "center" } } },
        { "a large orange on the left and a small top hat at the top.", false, 2,
          { { "orange", "large", "", "left" }, { "top hat", "small", "", "top" } } },
        { "the black word red.", true, 1, { { "red", "", "black", "" } } },
        { "the word small", true, 1, { { "small", "", "", "" } } },
        /* twice over: like no other */
        { "a red blue star", true, 1, { { "", "", "blue", "" } } },
        { "a small large star", true, 1, { { "", "large", "", "" } } },
        { "a star on the left, on the right", true, 1, { { "", "", "", "right" } } },
        { "nothing", true, 0, { { "", "", "", "" } } },
        { "", true, 0, { { "", "", "", "" } } },
        { "a", true, 1, { { "", "", "", "" } } },
        { "a star at the", true, 2, { { "star at", "", "", "" }, { "", "", "", "" } } },
        { "a \xc3\xa9toile \xff!", true, 1, { { "\xc3\xa9toile \xff", "", "", "" } } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mm_said v[MM_SAID_MAX];
        const size_t n = mm_eval_said(v, cases[i].text, cases[i].coloured);

        if (n != cases[i].n)
            fail_msg("'%s': %zu objects, want %zu", cases[i].text, n, cases[i].n);
        for (size_t k = 0; k < n; k++) {
            assert_string_equal(v[k].name, cases[i].v[k].name);
            assert_string_equal(v[k].size, cases[i].v[k].size);
            assert_string_equal(v[k].colour, cases[i].v[k].colour);
            assert_string_equal(v[k].place, cases[i].v[k].place);
        }
    }
}

/* More objects than there is room for are counted; long names are cut. */
static void long_captions_are_bounded(void **state)
{
    static char text[100 * 200 + 1];
    struct mm_said v[MM_SAID_MAX];

    (void)state;
    for (int i = 0; i < 100; i++) {
        memset(text + 200 * i, 'x', 200);
        memcpy(text + 200 * i, "a ", 2);
        text[200 * i + 100] = text[200 * i + 199] = ' ';
    }
    assert_int_equal(mm_eval_said(v, text, true), 100);
    assert_true(strlen(v[MM_SAID_MAX - 1].name) < sizeof(v[0].name));
}

/* Every wording that mm-synth has says what the scene holds. */
static void wordings_say_the_scene(void **state)
{
    const struct mm_scene_opts o = { .seed = 4, .tiers = 1u << MM_SHAPES, .hidden = 0.25,
                                     .split = MM_TEST, .held = MM_HELD_MIX };
    struct mm_scene_maker *m;
    struct mm_buf b = { 0 };
    struct mm_scene s;
    const struct mm_view view = { &s, NULL };

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        for (int wording = 0; wording < MM_NCAPTIONS; wording++) {
            struct mm_said v[MM_SAID_MAX];

            mm_buf_reset(&b);
            mm_caption(&b, &view, wording);
            assert_int_equal(mm_eval_said(v, b.p, true), s.n);
            for (int k = 0; k < s.n; k++) {
                assert_string_equal(v[k].name, mm_shape_name(s.obj[k].what));
                assert_string_equal(v[k].colour, mm_colour_name(s.obj[k].colour));
                if (wording >= 6)
                    continue; /* size and place are left out */
                assert_string_equal(v[k].size, mm_size_name(s.obj[k].size));
                assert_string_equal(v[k].place, mm_cell_name(s.obj[k].col, s.obj[k].row));
            }
        }
    }
    mm_buf_free(&b);
    mm_scene_maker_free(m);
}

/* --- the table ------------------------------------------------------------------------------ */

static json_t *json(const char *text)
{
    struct mm_err e = { 0 };
    json_t *doc = NULL;

    if (mm_json_load(&doc, text, strlen(text), "test", &e) < 0)
        fail_msg("%s", e.msg);
    return doc;
}

#define RED_RING "{\"noun\":\"ring\",\"color\":\"red\",\"size\":\"small\",\"place\":\"left\"}"
#define BLUE_STAR "{\"noun\":\"star\",\"color\":\"blue\",\"size\":\"large\",\"place\":\"top\"}"
#define TWO(held) \
    "{\"id\":\"s-1\",\"tier\":\"shapes\",\"index\":1,\"held\":" held ",\"objects\":[" RED_RING "," \
    BLUE_STAR "],\"questions\":[]}"

static double score(const json_t *out, const char *key, const char *column)
{
    const json_t *v = json_object_get(json_object_get(out, key), column);

    if (!json_is_number(v))
        fail_msg("no %s of %s", column, key);
    return json_number_value(v);
}

static int world_of(json_t *out, const char *scenes, const char *preds, bool partial,
                    struct mm_err *e)
{
    struct mm_arena *a = mm_arena_new();
    json_t *s = json(scenes), *p = json(preds);
    const struct mm_eval_world w = { .scenes = s, .preds = p, .partial = partial };
    const int rc = mm_eval_world(out, &w, a, &no_boot, e);

    json_decref(s);
    json_decref(p);
    mm_arena_free(a);
    return rc;
}

static void captions_are_scored(void **state)
{
    static const struct {
        const char *caption;
        double whole, objects;
    } cases[] = {
        { "a small red ring on the left and a large blue star at the top.", 100, 100 },
        { "I see the large blue star at the top, and a small red ring on the left", 100, 100 },
        { "a small red ring on the left and a small blue star at the top.", 0, 50 },
        { "a small red ring on the left and a large red star at the top.", 0, 50 },
        { "a small red ring on the left and a large blue star at the top left.", 0, 50 },
        { "a small red heart on the left and a large blue star at the top.", 0, 50 },
        { "a red ring and a blue star.", 0, 0 },
        { "a small red ring on the left.", 0, 50 },
        { "a small red ring on the left, a small red ring on the left", 0, 50 },
        { "a small red ring on the left, a large blue star at the top and a large red star at the "
          "bottom.", 0, 66.67 },
        { "", 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *out = json_object();
        struct mm_err e = { 0 };
        char pred[400];

        snprintf(pred, sizeof(pred), "[{\"image\":\"images/s-1.png\",\"text\":\"%s\"}]",
                 cases[i].caption);
        if (world_of(out, "[" TWO("true") "]", pred, false, &e) < 0)
            fail_msg("%s", e.msg);
        assert_true(fabs(score(out, "caption.few", "score") - cases[i].whole) < 1e-9);
        assert_true(fabs(score(out, "caption.held", "score") - cases[i].objects) < 1e-9);
        assert_int_equal(json_is_true(json_object_get(out, "pass")), cases[i].whole > 90);
        json_decref(out);
    }
}

/* Names count noun by noun: of three cats one is found, of one dog one. */
static void nouns_weigh_alike(void **state)
{
    static const char scenes[] =
        "[{\"id\":\"t-0\",\"tier\":\"things\",\"index\":0,\"objects\":[{\"noun\":\"cat\"},{\"noun\":\"cat\"}]},"
        "{\"id\":\"t-1\",\"tier\":\"things\",\"index\":1,\"objects\":[{\"noun\":\"cat\"},{\"noun\":\"dog\"}]},"
        "{\"id\":\"a-1\",\"tier\":\"things\",\"held_artist\":true,\"index\":1,\"objects\":[{\"noun\":\"cat\"}]}]";
    static const char preds[] = "[{\"image_id\":\"t-0\",\"text\":\"a cat\"},{\"image_id\":\"t-1\","
                                "\"text\":\"a dog and a cow\"},{\"image_id\":\"a-1\",\"text\":\"a cat\"}]";
    json_t *out = json_object();
    struct mm_err e = { 0 };

    (void)state;
    if (world_of(out, scenes, preds, false, &e) < 0)
        fail_msg("%s", e.msg);
    assert_true(fabs(score(out, "names.things", "score") - 66.67) < 1e-9);
    assert_true(fabs(score(out, "names.artist", "score") - 100) < 1e-9);
    assert_int_equal((int)score(out, "names.things", "n"), 4);
    assert_int_equal((int)score(out, "names.things", "groups"), 2);
    json_decref(out);
}

#define QUESTION(type, form, wording, answer) \
    "{\"type\":\"" type "\",\"form\":" form ",\"wording\":" wording ",\"question\":\"?\",\"answer\":\"" \
    answer "\"}"

static const char asked[] =
    "[{\"id\":\"s-2\",\"tier\":\"shapes\",\"index\":2,\"held\":true,\"objects\":[" RED_RING "],\"questions\":["
    QUESTION("count", "1", "0", "2") "," QUESTION("count", "1", "7", "3") ","
    QUESTION("color", "3", "1", "red") "]},"
    "{\"id\":\"w-2\",\"tier\":\"words\",\"index\":2,\"held\":true,\"objects\":[{\"noun\":\"ant\"}],\"questions\":["
    QUESTION("reading", "20", "0", "ant") "," QUESTION("reading", "21", "0", "yes") "]},"
    "{\"id\":\"w-3\",\"tier\":\"words\",\"index\":3,\"held\":false,\"objects\":[{\"noun\":\"bag\"}],\"questions\":["
    QUESTION("reading", "20", "0", "bag") "," QUESTION("count", "1", "0", "2") "]}]";

static const char answered[] =
    "[{\"image\":\"s-2.png\",\"question_id\":128,\"text\":\"Two.\"},"
    "{\"image\":\"s-2.png\",\"question_id\":129,\"text\":\"2\"},"
    "{\"image\":\"s-2.png\",\"question_id\":130,\"text\":\"red\"},"
    "{\"image\":\"w-2.png\",\"question_id\":128,\"text\":\"art\"},"
    "{\"image\":\"w-2.png\",\"question_id\":129,\"text\":\"Yes\"},"
    "{\"image\":\"w-3.png\",\"question_id\":192,\"text\":\" bag \"},"
    "{\"image\":\"w-3.png\",\"question_id\":193,\"text\":\"\"}]";

static void questions_are_scored(void **state)
{
    static const struct {
        const char *key, *column;
        double want;
    } cases[] = {
        { "vqa.all", "score", 57.14 },      { "vqa.all", "n", 7 },
        { "vqa.shapes", "score", 66.67 },   { "vqa.held", "n", 3 },
        { "vqa.wordings", "score", 0 },     { "vqa.wordings", "n", 1 },
        { "type.count", "score", 33.33 },   { "type.reading", "score", 66.67 },
        { "words.list", "score", 100 },     { "words.unseen", "score", 0 },
        { "words.list", "n", 1 },           { "type.color", "chance", 100 },
        /* the count of form 1 is constant in words, one of two in shapes */
        { "type.count", "chance", 66.67 },
    };
    json_t *out = json_object();
    struct mm_err e = { 0 };

    (void)state;
    if (world_of(out, asked, answered, false, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (fabs(score(out, cases[i].key, cases[i].column) - cases[i].want) > 1e-9)
            fail_msg("%s of %s: %g, want %g", cases[i].column, cases[i].key,
                     score(out, cases[i].key, cases[i].column), cases[i].want);
    assert_null(json_object_get(out, "caption.few"));
    assert_null(json_object_get(json_object_get(out, "vqa.all"), "blind"));
    json_decref(out);
}

/* A scene that fills in a word counts for that word alone, its caption not at all. */
static void a_filled_in_word_is_read(void **state)
{
    static const char scenes[] =
        "[{\"id\":\"w-3\",\"tier\":\"words\",\"index\":3,\"held\":false,\"objects\":[{\"noun\":\"bag\"}],"
        "\"questions\":[" QUESTION("reading", "20", "0", "bag") "]},"
        "{\"fill\":true,\"id\":\"w-4\",\"tier\":\"words\",\"index\":4,\"held\":false,"
        "\"objects\":[{\"noun\":\"oil\"}],\"questions\":[" QUESTION("reading", "20", "0", "oil") "]}]";
    static const char said[] = "[{\"image\":\"w-3\",\"text\":\"the red word bag.\"},"
                               "{\"image\":\"w-3\",\"question_id\":192,\"text\":\"bag\"},"
                               "{\"image\":\"w-4\",\"question_id\":256,\"text\":\"egg\"}]";
    json_t *out = json_object();
    struct mm_err e = { 0 };

    (void)state;
    if (world_of(out, scenes, said, false, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal((int)score(out, "words.list", "groups"), 2);
    assert_true(score(out, "words.list", "score") == 50);
    assert_int_equal((int)score(out, "vqa.all", "n"), 1);
    assert_true(score(out, "type.reading", "score") == 100);
    assert_true(score(out, "type.reading", "chance") == 100); /* of one answer, bag */
    json_decref(out);
}

/* Guessing is above chance where it is by more than five, and has its own intervals. */
static void guesses_are_held_to_chance(void **state)
{
    struct mm_arena *a = mm_arena_new();
    json_t *s = json(asked), *p = json(answered), *out = json_object();
    const struct mm_eval_world w = { .scenes = s, .preds = p, .blind = p, .wrong = p };
    const struct mm_eval_boot b = { 50, 1 };
    const json_t *row;
    struct mm_err e = { 0 };

    (void)state;
    if (mm_eval_world(out, &w, a, &b, &e) < 0)
        fail_msg("%s", e.msg);
    assert_true(score(out, "type.reading", "blind") == score(out, "type.reading", "score"));
    row = json_object_get(out, "words.list");
    assert_true(json_is_true(json_object_get(row, "pass")));
    assert_true(json_is_true(json_object_get(row, "guess_pass")) == (score(out, "words.list", "chance") > 0));
    row = json_object_get(out, "type.color");
    assert_true(json_is_true(json_object_get(row, "guess_pass")));
    row = json_object_get(out, "vqa.all");
    assert_true(json_is_false(json_object_get(row, "pass")));
    assert_int_equal(json_array_size(json_object_get(json_object_get(row, "ci95"), "wrong")), 2);
    assert_int_equal(json_array_size(json_object_get(json_object_get(row, "ci95"), "score")), 2);
    assert_true(json_is_false(json_object_get(out, "pass")));
    json_decref(s);
    json_decref(p);
    json_decref(out);
    mm_arena_free(a);
}

static void what_does_not_fit_is_refused(void **state)
{
    static const char one[] = "[{\"image\":\"s-1\",\"text\":\"x\"}]";
    static const struct {
        const char *scenes, *preds, *message;
        bool partial;
    } cases[] = {
        { "[" TWO("true") "," TWO("true") "]", one, "scene 's-1' comes twice", false },
        { "[{\"tier\":\"shapes\"}]", one, "no id", false },
        { "[{\"id\":\"s-1\",\"tier\":\"shapes\"}]", one, "has no objects", false },
        { "[" TWO("true") "]", "[{\"text\":\"x\"}]", "prediction 1 names no image", false },
        { "[" TWO("true") "]", "[{\"image\":\"s-1\"}]", "no text", false },
        { "[" TWO("true") "]", "[{\"image\":\"s-1\",\"text\":\"x\"},{\"image_id\":\"s-1\",\"text\":\"x\"}]",
          "'s-1' comes twice", false },
        { "[" TWO("true") "]", "[{\"image\":\"s-2\",\"text\":\"x\"}]", "'s-1': no prediction", false },
        { "[" TWO("true") "]", "[{\"image\":\"s-2\",\"text\":\"x\"}]", "'s-2': no scene", true },
        { "[" TWO("true") "]", "[]", "nothing to score", false },
        { "[{\"id\":\"s-1\",\"tier\":\"shapes\",\"index\":9223372036854775807,\"objects\":[" RED_RING "]}]", one,
          "'s-1': no index", false },
        { "[{\"id\":\"s-1\",\"tier\":\"shapes\",\"objects\":[1,{\"noun\":[]}],\"questions\":{}}]", "[]",
          "nothing to score", true },
        { "[{\"id\":\"s-1\",\"tier\":\"smells\",\"questions\":[" QUESTION("count", "1", "0", "2") "]}]",
          "[{\"image\":\"s-1\",\"question_id\":0,\"text\":\"2\"}]", "not known", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *out = json_object();
        struct mm_err e = { 0 };

        assert_int_equal(world_of(out, cases[i].scenes, cases[i].preds, cases[i].partial, &e), MM_EDATA);
        if (strstr(e.msg, cases[i].message) == NULL)
            fail_msg("'%s', want '%s'", e.msg, cases[i].message);
        json_decref(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_are_read),
        cmocka_unit_test(long_captions_are_bounded),
        cmocka_unit_test(wordings_say_the_scene),
        cmocka_unit_test(captions_are_scored),
        cmocka_unit_test(nouns_weigh_alike),
        cmocka_unit_test(questions_are_scored),
        cmocka_unit_test(a_filled_in_word_is_read),
        cmocka_unit_test(guesses_are_held_to_chance),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
