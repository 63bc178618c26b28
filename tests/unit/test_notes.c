/* test_notes.c: scenes of instruments, what is asked of them, and how they sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "synth/caption.h"
#include "synth/form.h"
#include "synth/note.h"
#include "synth/question.h"
#include "synth/sound.h"

enum { SCENES = 400 };

static const char font[] = "/usr/share/sounds/sf2/TimGM6mb.sf2"; /* timgm6mb-soundfont */
static const struct mm_scene_opts notes = { .seed = 2, .tiers = 1u << MM_NOTES };

static bool has_held_pair(const struct mm_scene *s)
{
    for (int k = 0; k < s->n; k++)
        for (int i = 0; i < k; i++)
            if (mm_pair_held(mm_scene_noun(s, i, NULL), mm_scene_noun(s, k, NULL)))
                return true;
    return false;
}

static void test_scenes(void **state)
{
    static const struct {
        enum mm_split split;
        enum mm_held held;
    } runs[] = { { MM_TRAIN, MM_HELD_NONE }, { MM_VAL, MM_HELD_NONE }, { MM_TEST, MM_HELD_PAIRS } };
    struct mm_scene_maker *m;
    struct mm_scene s;

    (void)state;
    for (size_t run = 0; run < 3; run++) {
        struct mm_scene_opts o = notes;
        int seen = 0, counts = 0, sides = 0;

        o.split = runs[run].split;
        o.held = runs[run].held;
        assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
        for (uint64_t i = 0; i < SCENES; i++) {
            assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
            assert_int_equal(mm_split_of(mm_scene_hash(&s, NULL)), o.split);
            assert_int_equal(has_held_pair(&s), o.held == MM_HELD_PAIRS);
            assert_int_equal(s.held, o.held == MM_HELD_PAIRS);
            assert_in_range(s.n, s.held ? 2 : 1, 3);
            counts |= 1 << s.n;
            for (int k = 0; k < s.n; k++) {
                const struct mm_object *p = &s.obj[k];

                seen |= 1 << p->what;
                sides |= 1 << p->col;
                assert_int_equal(p->colour >= 0, mm_instrument_chords(p->what));
                assert_in_range(p->look, 0, MM_KEYS - 1);
                assert_true(p->y >= 0 && p->y < 0.85f);
                if (k > 0)
                    assert_true(fabsf(p->y - s.obj[k - 1].y - (s.fast ? 0.15f : 0.3f)) < 1e-3f);
            }
        }
        assert_int_equal(sides, 7);
        assert_int_equal(counts, runs[run].held == MM_HELD_PAIRS ? 12 : 14);
        if (o.held == MM_HELD_NONE)
            assert_int_equal(seen, (1 << MM_NINSTRUMENTS) - 1);
        mm_scene_maker_free(m);
    }
}

/* The answer by the objects themselves. */
static void check_answer(const struct mm_question *q, const struct mm_scene *s)
{
    const struct mm_ask *a = &q->ask;
    int k = a->k, other = 0;

    if (k < 0)
        for (k = 0; k < s->n - 1 && !mm_class_has(&a->p, &s->obj[k]);)
            k++;
    while (other < s->n - 1 && !mm_class_has(&a->q, &s->obj[other]))
        other++;
    switch (mm_forms[q->form].answers) {
    case MM_WHAT:
        assert_string_equal(q->answer, mm_instrument_name(s->obj[k].what));
        if (a->via == MM_OUTERMOST)
            assert_int_equal(k, strstr(q->text, "first") != NULL ? 0 : s->n - 1);
        break;
    case MM_SIZE:
        assert_string_equal(q->answer, s->obj[k].size != 0 ? "high" : "low");
        break;
    case MM_VOICING:
        assert_string_equal(q->answer, s->obj[k].colour != 0 ? "chord" : "note");
        assert_true(mm_instrument_chords(s->obj[k].what));
        break;
    case MM_COL:
        assert_string_equal(q->answer, s->obj[k].col == 0 ? "left" : s->obj[k].col == 1 ? "center" : "right");
        break;
    case MM_PACE:
        assert_string_equal(q->answer, s->fast ? "fast" : "slow");
        break;
    default:
        if (q->type == MM_Q_RELATION)
            assert_string_equal(q->answer, (strstr(q->text, "before") != NULL) == (k < other) ? "yes" : "no");
        if (q->type == MM_Q_EXISTENCE)
            assert_string_equal(q->answer, mm_class_count(&a->p, s) > 0 ? "yes" : "no");
    }
    assert_null(strchr(q->text, '%'));
    assert_null(strstr(q->text, "picture"));
}

static void test_questions(void **state)
{
    static int answers[MM_NFORMS][MM_NANSWERS];
    struct mm_balance *b = calloc(1, sizeof(*b));
    struct mm_questions q = { 0 };
    struct mm_scene_maker *m;
    struct mm_scene s;
    const struct mm_view v = { &s, NULL };
    int types = 0;

    (void)state;
    assert_non_null(b);
    assert_int_equal(mm_balance_fit(b, &notes, NULL), 0);
    assert_int_equal(mm_scene_maker_new(&m, &notes, NULL), 0);
    for (uint64_t i = 0; i < 10 * SCENES; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        assert_int_equal(mm_questions_ask(&q, &v, b, 8, 1, NULL), 0);
        for (size_t k = 0; k < q.n; k++) {
            check_answer(&q.v[k], &s);
            types |= 1 << q.v[k].type;
            answers[q.v[k].form][q.v[k].ask.answer]++;
        }
        mm_questions_reset(&q);
    }
    assert_int_equal(types, 1 << MM_Q_EXISTENCE | 1 << MM_Q_COUNT | 1 << MM_Q_NAME | 1 << MM_Q_PITCH
                                | 1 << MM_Q_RELATION | 1 << MM_Q_RHYTHM | 1 << MM_Q_POSITION);
    for (int f = 0; f < MM_NFORMS; f++) {
        int sum = 0, kinds = 0;

        for (int a = 0; a < MM_NANSWERS; a++) {
            sum += answers[f][a];
            kinds += answers[f][a] > 0;
        }
        assert_int_equal(sum > 0, mm_forms[f].tiers >> MM_NOTES & 1);
        if (sum > 0 && mm_forms[f].answers == MM_WHAT)
            assert_int_equal(kinds, MM_NINSTRUMENTS);
        for (int a = 0; a < MM_NANSWERS && sum > 0; a++) {
            const double fair = (double)sum / kinds;

            assert_true(answers[f][a] == 0
                        || fabs(answers[f][a] - fair) < 0.1 * fair + 5 * sqrt(fair));
        }
    }
    mm_questions_free(&q);
    mm_scene_maker_free(m);
    free(b);
}

static void test_captions(void **state)
{
    struct mm_scene s = { .tier = MM_NOTES, .n = 2, .fast = true };
    const struct mm_view v = { &s, NULL };
    struct mm_buf b = { 0 };
    struct mm_class c;

    (void)state;
    s.obj[0] = (struct mm_object){ .what = MM_ORGAN, .colour = 1, .size = 0, .col = 0, .row = 1 };
    s.obj[1] = (struct mm_object){ .what = MM_FLUTE, .colour = -1, .size = 1, .col = 2, .row = 1 };
    mm_caption(&b, &v, 0);
    assert_string_equal(b.p, "a low organ chord on the left, then a high flute on the right, in a fast "
                             "rhythm.");
    mm_buf_reset(&b);
    mm_caption(&b, &v, 6);
    assert_string_equal(b.p, "an organ, then a flute.");
    c = mm_class_of(&s, 1, MM_BY_WHAT);
    mm_buf_reset(&b);
    mm_class_say(&b, &c, MM_PLURAL, &v);
    assert_string_equal(b.p, "flute sounds");
    mm_buf_free(&b);
}

static double energy(const float *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* How like itself x [2000] is, from lo to hi samples later; at most 1. */
static double repeats(const float *x, int lo, int hi)
{
    double most = -1;

    for (int lag = lo; lag <= hi; lag++) {
        double sum = 0;

        for (int i = 0; i < 2000; i++)
            sum += (double)x[i] * (double)x[i + lag];
        most = fmax(most, sum / sqrt(energy(x, 2000) * energy(x + lag, 2000)));
    }
    return most;
}

static void check_sound(const float *x, const struct mm_scene *s)
{
    const float *ear[2] = { x, x + MM_SOUND_SAMPLES };

    for (int i = 0; i < 2 * MM_SOUND_SAMPLES; i++)
        assert_true(fabsf(x[i]) < 1);
    assert_true(energy(x, (int)(s->obj[0].y * MM_SOUND_SAMPLES)) == 0);
    for (int k = 0; k < s->n; k++) {
        const struct mm_object *p = &s->obj[k];
        const int at = (int)(p->y * MM_SOUND_SAMPLES), len = 4000;
        const double left = energy(ear[0] + at, len), right = energy(ear[1] + at, len);

        assert_true(left + right > 0.2);
        assert_true(fabs(10 * log10(left / right) - (p->col == 0 ? 11.4 : p->col == 1 ? 0 : -11.4)) < 0.2);
        /* the flute's keys are 262 to 330 and 1175 to 1480 Hz */
        if (p->what == MM_FLUTE && p->size == 0)
            assert_true(repeats(ear[0] + at + 1200, 48, 62) > 0.9
                        && repeats(ear[0] + at + 1200, 10, 14) < 0.7);
        if (p->what == MM_FLUTE && p->size != 0)
            assert_true(repeats(ear[0] + at + 1200, 10, 14) > 0.85);
    }
}

static void test_sounds(void **state)
{
    enum { N = 60 };
    static float x[N][2 * MM_SOUND_SAMPLES], y[2 * MM_SOUND_SAMPLES];
    struct mm_scene_maker *m;
    struct mm_notes *n;
    struct mm_scene s;

    (void)state;
    if (access(font, R_OK) != 0)
        skip();
    assert_int_equal(mm_scene_maker_new(&m, &notes, NULL), 0);
    assert_int_equal(mm_notes_open(&n, font, NULL), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(mm_scene_make(&s, m, (uint64_t)i, NULL), 0);
        assert_int_equal(mm_notes_play(x[i], n, &s, NULL), 0);
        check_sound(x[i], &s);
    }
    mm_notes_close(n);
    /* the same, whatever was played before */
    assert_int_equal(mm_notes_open(&n, font, NULL), 0);
    for (int i = N - 1; i >= 0; i--) {
        assert_int_equal(mm_scene_make(&s, m, (uint64_t)i, NULL), 0);
        assert_int_equal(mm_notes_play(y, n, &s, NULL), 0);
        assert_memory_equal(x[i], y, sizeof(y));
    }
    mm_notes_close(n);
    mm_scene_maker_free(m);
}

/* First bytes of the font, or others, in a file. */
static void test_refusals(void **state)
{
    static const struct {
        const char *bytes; /* NULL: of the font */
        size_t n;
    } files[] = { { "", 0 }, { "RIFF\4\0\0\0WAVE", 12 }, { "RIFF\4\0\0\0sfbk", 12 },
                  { "RIFF\20\0\0\0sfbkLIST\4\0\0\0INFO", 24 }, { NULL, 4000 },
                  { NULL, 3000000 } };
    char path[] = "/tmp/test_notes.XXXXXX";
    struct mm_notes *n;
    struct mm_err e = { 0 };
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(mm_notes_open(&n, "/nowhere/a.sf2", &e), MM_ENOENT);
    assert_null(n);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *bytes = NULL;
        size_t size;

        if (files[i].bytes == NULL && access(font, R_OK) != 0)
            continue;
        if (files[i].bytes == NULL)
            assert_int_equal(mm_io_slurp(font, (size_t)1 << 30, &bytes, &size, NULL), 0);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bytes != NULL ? bytes : files[i].bytes, files[i].n, 0), files[i].n);
        assert_int_equal(mm_notes_open(&n, path, NULL), MM_EDATA);
        assert_null(n);
        free(bytes);
    }
    mm_notes_close(NULL);
    assert_int_equal(close(fd), 0);
    assert_int_equal(remove(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenes),   cmocka_unit_test(test_questions),
        cmocka_unit_test(test_captions), cmocka_unit_test(test_sounds),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
