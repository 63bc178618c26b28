/* test_synth.c: coverage is the area; scenes are what the options say and of one
 * split; every question and expression is true of its scene. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "synth/deflate.h"
#include "synth/doc.h"
#include "synth/form.h"
#include "synth/picture.h"
#include "synth/raster.h"
#include "synth/scene.h"
#include "synth/sprite.h"
#include "synth/synth.h"

enum { SIDE = 64, SCENES = 3000 };

#define DEJAVU "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"

static const struct mm_scene_opts shapes = { .seed = 5, .tiers = 1u << MM_SHAPES, .hidden = 0.25 };

/* Shoelace formula; the hole turns the other way and is taken off. */
static double area(const struct mm_outline *o)
{
    double sum = 0;

    for (int part = 0; part < 2; part++) {
        const int from = part == 0 ? 0 : o->hole, to = part == 0 ? o->hole : o->n;

        for (int i = from; i < to; i++) {
            const int j = i + 1 < to ? i + 1 : from;

            sum += (double)o->xy[i][0] * (double)o->xy[j][1]
                   - (double)o->xy[j][0] * (double)o->xy[i][1];
        }
    }
    return fabs(sum) / 2;
}

static void test_coverage(void **state)
{
    struct mm_cover c;
    struct mm_outline line;
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 1);
    assert_int_equal(mm_cover_new(&c, SIDE, NULL), 0);
    for (int shape = 0; shape < MM_NSHAPES; shape++)
        for (int i = 0; i < 40; i++) {
            const struct mm_pose p = { 32 + 8 * (float)mm_rng_uniform(&r),
                                       30 + 4 * (float)mm_rng_uniform(&r),
                                       3 + 18 * (float)mm_rng_uniform(&r),
                                       7 * (float)mm_rng_uniform(&r) };
            double sum = 0;

            mm_outline_shape(&line, shape, &p);
            assert_in_range(line.n, 3, MM_OUTLINE_MAX);
            mm_cover_outline(&c, &line, SIDE);
            for (int k = 0; k < c.w * c.h; k++) {
                assert_true(c.a[k] >= 0 && c.a[k] <= 1);
                sum += (double)c.a[k];
            }
            assert_true(fabs(sum - area(&line)) < 1e-3 * area(&line) + 0.02);
        }
    /* half in the picture is half the area; outside is nothing */
    mm_outline_shape(&line, MM_SQUARE, &(struct mm_pose){ 0, 32, 10, 0 });
    mm_cover_outline(&c, &line, SIDE);
    {
        double sum = 0;

        for (int k = 0; k < c.w * c.h; k++)
            sum += (double)c.a[k];
        assert_true(fabs(sum - area(&line) / 2) < 1e-2);
    }
    mm_outline_shape(&line, MM_SQUARE, &(struct mm_pose){ -40, 32, 10, 0 });
    mm_cover_outline(&c, &line, SIDE);
    assert_int_equal(c.w * c.h, 0);
    mm_cover_free(&c);
}

static void test_vocabulary(void **state)
{
    int held[MM_NCOLOURS] = { 0 }, of_shape[MM_NSHAPES] = { 0 }, pairs = 0;

    (void)state;
    for (int i = 0; i < MM_NWORDS + MM_NWORDS_HELD; i++) {
        const size_t n = strlen(mm_world_word(i, NULL));

        assert_in_range(n, 2, 5);
        assert_int_equal(strspn(mm_world_word(i, NULL), "abcdefghijklmnopqrstuvwxyz"), n);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(mm_world_word(i, NULL), mm_world_word(j, NULL));
    }
    for (int s = 0; s < MM_NSHAPES; s++)
        for (int c = 0; c < MM_NCOLOURS; c++) {
            held[c] += mm_shape_held(s, c);
            of_shape[s] += mm_shape_held(s, c);
        }
    for (int i = 0; i < MM_NCOLOURS; i++) {
        assert_int_equal(held[i], 1);
        assert_int_equal(of_shape[i], 1);
    }
    for (int i = 0; i < MM_NWORDS; i++)
        for (int j = 0; j < MM_NWORDS; j++) {
            const char *a = mm_world_word(i, NULL), *b = mm_world_word(j, NULL);

            assert_int_equal(mm_pair_held(a, b), mm_pair_held(b, a));
            pairs += mm_pair_held(a, b);
            assert_false(i == j && mm_pair_held(a, b));
        }
    assert_in_range(pairs * 16, MM_NWORDS * MM_NWORDS * 8 / 10, MM_NWORDS * MM_NWORDS * 12 / 10);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void check_scene(const struct mm_scene *s, const struct mm_scene_opts *o)
{
    bool held = false;
    int depth = 0;

    for (int k = 0; k < s->n; k++) {
        const struct mm_object *b = &s->obj[k];

        assert_true(b->x - b->r > 0 && b->x + b->r < 1 && b->y - b->r > 0 && b->y + b->r < 1);
        assert_true(b->seen >= 1 - (float)o->hidden);
        assert_int_equal((int)(b->x * 3), b->col);
        assert_int_equal((int)(b->y * 3), b->row);
        held |= mm_shape_held(b->what, b->colour);
        depth |= 1 << s->depth[k];
        for (int i = 0; i < k; i++) {
            const struct mm_object *p = &s->obj[i];

            assert_true(p->row < b->row || (p->row == b->row && p->x < b->x));
            assert_true(p->colour != b->colour || hypotf(p->x - b->x, p->y - b->y) > p->r + b->r);
        }
    }
    assert_int_equal(depth, (1 << s->n) - 1);
    assert_int_equal(held, s->held);
}

static void test_scenes(void **state)
{
    static uint64_t hash[3][SCENES];
    int counts[MM_SCENE_MAX + 1] = { 0 }, held = 0;

    (void)state;
    for (int split = 0; split < 3; split++) {
        struct mm_scene_opts o = shapes;
        struct mm_scene_maker *m;
        struct mm_scene s;

        o.seed += (uint64_t)split;
        o.split = (enum mm_split)split;
        o.held = split == MM_TEST ? MM_HELD_MIX : MM_HELD_NONE;
        assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
        for (int i = 0; i < SCENES; i++) {
            assert_int_equal(mm_scene_make(&s, m, (uint64_t)i, NULL), 0);
            check_scene(&s, &o);
            counts[s.n]++;
            held += s.held;
            assert_true(split == MM_TEST || !s.held);
            hash[split][i] = mm_scene_hash(&s, NULL);
        }
        mm_scene_maker_free(m);
        qsort(hash[split], SCENES, sizeof(hash[0][0]), by_value);
    }
    for (int n = 1; n <= MM_SCENE_MAX; n++)
        assert_in_range(counts[n], 3 * SCENES / 6 * 9 / 10, 3 * SCENES / 6 * 11 / 10);
    assert_in_range(held, SCENES / 5 * 8 / 10, SCENES / 5 * 12 / 10);
    for (int a = 0; a < 3; a++)
        for (int i = 0; i < SCENES; i++)
            for (int b = 0; b < a; b++)
                assert_null(bsearch(&hash[a][i], hash[b], SCENES, sizeof(hash[0][0]), by_value));
}

static void test_any_order(void **state)
{
    struct mm_scene_maker *m;
    struct mm_scene a, b;

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &shapes, NULL), 0);
    assert_int_equal(mm_scene_make(&a, m, 17, NULL), 0);
    for (uint64_t i = 40; i > 16; i--)
        assert_int_equal(mm_scene_make(&b, m, i - 1 > 16 ? i - 1 : 17, NULL), 0);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.obj, b.obj, sizeof(a.obj));
    assert_int_equal(a.paint, b.paint);
    mm_scene_maker_free(m);
}

static void test_options(void **state)
{
    static const struct {
        int lo, hi;
        double hidden;
    } cases[] = { { 1, 1, 0 }, { 3, 4, 0 }, { 6, 6, 0.1 } };

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct mm_scene_opts o = shapes;
        struct mm_scene_maker *m;
        struct mm_scene s;

        o.lo = cases[c].lo;
        o.hi = cases[c].hi;
        o.hidden = cases[c].hidden;
        o.split = MM_TEST;
        o.held = MM_HELD_PAIRS;
        assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
        for (uint64_t i = 0; i < 200; i++) {
            assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
            check_scene(&s, &o);
            assert_in_range(s.n, o.lo, o.hi);
            assert_true(s.held);
        }
        mm_scene_maker_free(m);
    }
}

/* The answer, found anew from what the question is about. */
static void check_question(const struct mm_question *q, const struct mm_scene *s)
{
    const struct mm_ask *a = &q->ask;
    const int p = mm_class_count(&a->p, s), other = mm_class_count(&a->q, s);
    const char *yes = strcmp(q->answer, "yes") == 0 ? "yes" : "no";

    switch (q->type) {
    case MM_Q_EXISTENCE:
        assert_string_equal(q->answer, p > 0 ? "yes" : "no");
        break;
    case MM_Q_COUNT:
        assert_int_equal(atoi(q->answer), p);
        break;
    case MM_Q_COLOUR:
    case MM_Q_SHAPE:
    case MM_Q_SIZE:
    case MM_Q_POSITION:
        assert_int_equal(p, 1);
        break;
    case MM_Q_RELATION:
        assert_int_equal(p, 1);
        assert_int_equal(other, 1);
        assert_string_equal(q->answer, yes);
        break;
    default:
        break;
    }
    assert_null(strchr(q->text, '%'));
    assert_in_range(q->wording, 0, (s->split == MM_TEST ? MM_WORDINGS : MM_WORDINGS_SEEN) - 1);
}

static void test_questions(void **state)
{
    static int answers[MM_NFORMS][MM_NANSWERS];
    struct mm_balance *b = calloc(1, sizeof(*b));
    struct mm_questions q = { 0 };
    struct mm_scene_opts o = shapes;
    struct mm_scene_maker *m;
    struct mm_scene s;
    const struct mm_view v = { &s, NULL };
    int held = 0, all = 0;

    (void)state;
    assert_non_null(b);
    assert_int_equal(mm_balance_fit(b, &o, NULL), 0);
    o.split = MM_TEST;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 2 * SCENES; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        assert_int_equal(mm_questions_ask(&q, &v, b, 8, 1, NULL), 0);
        assert_true(q.n >= 1);
        for (size_t k = 0; k < q.n; k++) {
            check_question(&q.v[k], &s);
            answers[q.v[k].form][q.v[k].ask.answer]++;
            held += q.v[k].wording >= MM_WORDINGS_SEEN;
        }
        all += (int)q.n;
        mm_questions_reset(&q);
    }
    assert_in_range(held, all * 22 / 100, all * 28 / 100);
    for (int f = 0; f < MM_NFORMS; f++) {
        int sum = 0, kinds = 0;

        if (!(mm_forms[f].tiers >> MM_SHAPES & 1))
            continue;
        for (int a = 0; a < MM_NANSWERS; a++) {
            sum += answers[f][a];
            kinds += answers[f][a] > 0;
        }
        assert_true(kinds >= 2 && sum > 150);
        for (int a = 0; a < MM_NANSWERS; a++) {
            const double fair = (double)sum / kinds;

            /* five standard deviations of a fair draw, a tenth for the fit */
            assert_true(answers[f][a] == 0
                        || fabs(answers[f][a] - fair) < 0.1 * fair + 5 * sqrt(fair));
        }
    }
    mm_questions_free(&q);
    mm_scene_maker_free(m);
    free(b);
}

/* The first round is the same; further ones ask what was not asked, in whatever words. */
static void test_rounds(void **state)
{
    struct mm_balance *b = calloc(1, sizeof(*b));
    struct mm_questions one = { 0 }, many = { 0 };
    struct mm_scene_opts o = shapes;
    struct mm_scene_maker *m;
    struct mm_scene s;
    const struct mm_view v = { &s, NULL };
    size_t all[2] = { 0 };

    (void)state;
    assert_non_null(b);
    assert_int_equal(mm_balance_fit(b, &o, NULL), 0);
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        assert_int_equal(mm_questions_ask(&one, &v, b, 16, 1, NULL), 0);
        assert_int_equal(mm_questions_ask(&many, &v, b, 16, 4, NULL), 0);
        for (size_t k = 0; k < many.n; k++) {
            struct mm_buf text = { 0 }, other = { 0 };

            if (k < one.n)
                assert_string_equal(many.v[k].text, one.v[k].text);
            mm_form_say(&text, &mm_forms[many.v[k].form], 0, &many.v[k].ask, &v);
            for (size_t l = 0; l < k; l++) {
                mm_buf_reset(&other);
                mm_form_say(&other, &mm_forms[many.v[l].form], 0, &many.v[l].ask, &v);
                assert_string_not_equal(text.p, other.p);
            }
            mm_buf_free(&text);
            mm_buf_free(&other);
        }
        all[0] += one.n;
        all[1] += many.n;
        mm_questions_reset(&one);
        mm_questions_reset(&many);
    }
    assert_true(all[1] > 2 * all[0]);
    mm_questions_free(&one);
    mm_questions_free(&many);
    mm_scene_maker_free(m);
    free(b);
}

static void test_wordings(void **state)
{
    (void)state;
    for (int f = 0; f < MM_NFORMS; f++)
        for (int i = 0; i < MM_WORDINGS; i++) {
            assert_non_null(mm_forms[f].wording[i]);
            for (int j = 0; j < i; j++)
                assert_string_not_equal(mm_forms[f].wording[i], mm_forms[f].wording[j]);
        }
}

/* The one object that matches "the SIZE COLOUR NOUN", read back from the text. */
static int matches(const char *text, const struct mm_scene *s)
{
    int n = 0;

    for (int k = 0; k < s->n; k++) {
        const struct mm_object *o = &s->obj[k];
        bool ok = true;

        for (int i = 0; i < MM_NSIZES; i++)
            ok = ok && (strstr(text, mm_size_name(i)) == NULL || o->size == i);
        for (int i = 0; i < MM_NCOLOURS; i++)
            ok = ok && (strstr(text, mm_colour_name(i)) == NULL || o->colour == i);
        for (int i = 0; i < MM_NSHAPES; i++)
            ok = ok && (strstr(text, mm_shape_name(i)) == NULL || o->what == i);
        n += ok;
    }
    return n;
}

static void test_expressions(void **state)
{
    struct mm_scene_maker *m;
    struct mm_scene s;
    const struct mm_view v = { &s, NULL };
    struct mm_buf b = { 0 };
    struct mm_rng r;
    int found[3] = { 0 };

    (void)state;
    mm_rng_seed(&r, 3);
    assert_int_equal(mm_scene_maker_new(&m, &shapes, NULL), 0);
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        for (int k = 0; k < s.n; k++)
            for (int e = 0; e < 3; e++) {
                mm_buf_reset(&b);
                if (!mm_expression(&b, &v, k, e, &r))
                    continue;
                found[e]++;
                assert_int_equal(strncmp(b.p, "the ", 4), 0);
                if (e == 0)
                    assert_int_equal(matches(b.p, &s), 1);
            }
    }
    for (int e = 0; e < 3; e++)
        assert_true(found[e] > 300);
    mm_buf_free(&b);
    mm_scene_maker_free(m);
}

static void test_png(void **state)
{
    static const int sizes[][2] = { { 1, 1 }, { 3, 2 }, { 64, 64 }, { 65, 33 } };
    struct mm_deflater *d;
    struct mm_buf png = { 0 };
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 9);
    assert_int_equal(mm_deflater_new(&d, NULL), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int noise = 0; noise < 2; noise++) {
            const int w = sizes[i][0], h = sizes[i][1];
            static unsigned char px[3 * 65 * 65];
            struct mm_image im;

            for (int k = 0; k < 3 * w * h; k++)
                px[k] = (unsigned char)(noise ? mm_rng_below(&r, 256) : (uint64_t)(k / 3 % w));
            assert_int_equal(mm_deflater_png(&png, d, px, w, h, NULL), 0);
            assert_int_equal(mm_image_decode(&im, png.p, png.n, "it", 0, NULL), 0);
            assert_int_equal(im.w, w);
            assert_int_equal(im.h, h);
            assert_memory_equal(im.px, px, (size_t)(3 * w * h));
            mm_image_free(&im);
        }
    mm_buf_free(&png);
    mm_deflater_free(d);
}

/* A picture without texture: each object's pixels have its colour, the labels say where. */
static void test_picture(void **state)
{
    static unsigned char px[3 * SIDE * SIDE], labels[SIDE * SIDE];
    struct mm_extent ext[MM_SCENE_MAX];
    struct mm_scene_maker *m;
    struct mm_painter *p;
    struct mm_scene s;

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &shapes, NULL), 0);
    assert_int_equal(mm_painter_new(&p, SIDE, true, NULL, NULL, NULL), 0);
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        assert_int_equal(mm_painter_draw(px, labels, ext, p, &s, NULL), 0);
        for (int k = 0; k < s.n; k++) {
            double sum[3] = { 0 };
            int n = 0;

            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    if (labels[y * SIDE + x] != k + 1)
                        continue;
                    n++;
                    assert_in_range(x, ext[k].x, ext[k].x + ext[k].w - 1);
                    assert_in_range(y, ext[k].y, ext[k].y + ext[k].h - 1);
                    for (int c = 0; c < 3; c++)
                        sum[c] += px[3 * (y * SIDE + x) + c];
                }
            assert_int_equal(n, ext[k].area);
            assert_true(n > 15);
            for (int c = 0; c < 3; c++)
                assert_true(fabs(sum[c] / n - (double)s.obj[k].rgb[c]) < 60);
        }
    }
    mm_painter_free(p);
    mm_scene_maker_free(m);
}

static void test_documents(void **state)
{
    struct mm_balance *b = calloc(1, sizeof(*b));
    struct mm_synth_opts o = { .scene = shapes, .size = SIDE, .picture = true, .labels = true,
                               .questions = 8, .rounds = 1, .turns = 15, .balance = b };
    struct mm_synth_maker *m;
    struct mm_synth_item *it;
    struct mm_buf doc = { 0 };
    struct mm_err e = { 0 };

    (void)state;
    assert_non_null(b);
    assert_int_equal(mm_balance_fit(b, &o.scene, NULL), 0);
    assert_int_equal(mm_synth_new(&it, &o, NULL), 0);
    assert_int_equal(mm_synth_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 100; i++) {
        json_t *j;

        assert_int_equal(mm_synth_make(it, m, i, NULL), 0);
        for (int form = 0; form < 6; form++) {
            mm_buf_reset(&doc);
            mm_buf_char(&doc, '[');
            if (form == 0)
                mm_doc_scene(&doc, it, &o);
            else if (form == 1)
                mm_doc_llava(&doc, it);
            else if (form == 2)
                mm_doc_coco_instances(&doc, it, &o);
            else if (form == 3)
                mm_doc_coco_captions(&doc, it, &o);
            else if (form == 4)
                mm_doc_regions(&doc, it, &o);
            else
                mm_doc_refs(&doc, it, &o);
            mm_buf_char(&doc, ']');
            assert_false(doc.failed);
            assert_int_equal(mm_json_load(&j, doc.p, doc.n, "it", &e), 0);
            if (form == 0) {
                json_t *d = json_array_get(j, 0);

                assert_int_equal(json_array_size(json_object_get(d, "objects")), it->s.n);
                assert_int_equal(json_array_size(json_object_get(d, "captions")), MM_NCAPTIONS);
            }
            if (form == 2)
                assert_int_equal(json_array_size(j), it->s.n);
            if (form == 1) {
                json_t *talk = json_object_get(json_array_get(j, 0), "conversations");
                const char *first = json_string_value(
                    json_object_get(json_array_get(talk, 1), "value"));

                assert_true(json_array_size(talk) >= 6);
                assert_null(strchr(first, ' '));
            }
            json_decref(j);
        }
    }
    mm_buf_free(&doc);
    mm_synth_maker_free(m);
    mm_synth_free(it);
    free(b);
}

/* A folder of three pictures: a red square and a blue bar of one noun by two artists, a
 * green square of another. */
static void write_sprites(const char *dir)
{
    static const struct {
        const char *name;
        int w, h;
        unsigned char rgb[3];
    } v[] = { { "a.png", 40, 40, { 200, 0, 0 } }, { "b.png", 80, 20, { 0, 0, 200 } },
              { "c.png", 300, 300, { 0, 200, 0 } } };
    char path[300];
    FILE *f;

    for (size_t i = 0; i < 3; i++) {
        struct mm_image im;
        unsigned char *png;
        size_t n;

        assert_int_equal(mm_image_new(&im, MM_IMG_RGBA, v[i].w + 10, v[i].h + 6, 0, NULL), 0);
        memset(im.px, 0, (size_t)(4 * im.w * im.h));
        for (int y = 0; y < v[i].h; y++)
            for (int x = 0; x < v[i].w; x++) {
                unsigned char *px = im.px + 4 * ((y + 2) * im.w + x + 7);

                memcpy(px, v[i].rgb, 3);
                px[3] = 255;
            }
        assert_int_equal(mm_image_png(&png, &n, &im, NULL), 0);
        snprintf(path, sizeof(path), "%s/%s", dir, v[i].name);
        assert_non_null(f = fopen(path, "wb"));
        assert_int_equal(fwrite(png, 1, n, f), n);
        assert_int_equal(fclose(f), 0);
        free(png);
        mm_image_free(&im);
    }
    snprintf(path, sizeof(path), "%s/sprites.tsv", dir);
    assert_non_null(f = fopen(path, "w"));
    fputs("# comment\nb.png\tox\toxen\tbob\nc.png\tant\tants\tann\na.png\tox\toxen\tann\tmoo.ogg\n", f);
    assert_int_equal(fclose(f), 0);
}

static void remove_sprites(const char *dir)
{
    static const char *const names[] = { "a.png", "b.png", "c.png", "sprites.tsv" };
    char path[300];

    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(remove(dir), 0);
}

static void test_sprites(void **state)
{
    char dir[] = "/tmp/test_synth.XXXXXX";
    struct mm_scene_opts o = { .tiers = 1u << MM_THINGS, .hidden = 0.25, .split = MM_TEST };
    struct mm_scene_maker *m;
    struct mm_sprites *s;
    struct mm_scene scene;
    struct mm_cover c;
    float rgb[3 * SIDE * SIDE];

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mm_sprites_open(&s, dir, NULL, NULL), MM_ENOENT);
    write_sprites(dir);
    assert_int_equal(mm_sprites_open(&s, dir, "bob", NULL), 0);
    assert_int_equal(mm_sprites_count(s), 2);
    assert_string_equal(mm_sprites_noun(s, 0), "ant");
    assert_string_equal(mm_sprites_plural(s, 1), "oxen");
    assert_int_equal(mm_sprites_looks(s, 1, false), 1);
    assert_int_equal(mm_sprites_looks(s, 1, true), 1);
    assert_int_equal(mm_sprites_looks(s, 0, true), 0);
    assert_string_equal(mm_sprites_artist(s, mm_sprites_look(s, 1, true, 0)), "bob");
    assert_string_equal(mm_sprites_sound(s, mm_sprites_look(s, 1, false, 0)), "moo.ogg");
    assert_null(mm_sprites_sound(s, mm_sprites_look(s, 1, true, 0)));
    assert_int_equal(mm_cover_new(&c, SIDE, NULL), 0);
    for (int look = 0; look < 3; look++)
        for (int turn = 0; turn < 8; turn++) {
            const bool bar = strcmp(mm_sprites_artist(s, look), "bob") == 0;
            const struct mm_pose p = { 31.3f, 32.6f, 12, 0.4f * (float)turn };
            double sum = 0, colour[3] = { 0 };

            assert_int_equal(mm_sprites_cover(&c, rgb, s, look, &p, SIDE, NULL), 0);
            for (int i = 0; i < c.w * c.h; i++) {
                sum += (double)c.a[i];
                for (int k = 0; k < 3; k++)
                    colour[k] += (double)rgb[3 * i + k];
            }
            /* the longer side is 24 pixels, what is transparent does not count */
            assert_true(fabs(sum - (bar ? 24 * 6 : 24 * 24)) < 0.04 * sum);
            assert_true(fabs(colour[0] + colour[1] + colour[2] - 200 * sum) < sum);
        }
    mm_cover_free(&c);
    o.sprites = s;
    o.held = MM_HELD_ARTIST;
    o.lo = o.hi = 1;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(mm_scene_make(&scene, m, i, NULL), 0);
        assert_string_equal(mm_sprites_artist(s, scene.obj[0].look), "bob");
        assert_true((double)scene.obj[0].rgb[2] > 195);
    }
    mm_scene_maker_free(m);
    mm_sprites_close(s);
    remove_sprites(dir);
}

/* Things and words: a scene that one split shows no other does. */
static void test_splits(void **state)
{
    static uint64_t hash[3][SCENES];
    char dir[] = "/tmp/test_synth.XXXXXX";
    struct mm_sprites *sprites;

    (void)state;
    assert_non_null(mkdtemp(dir));
    write_sprites(dir);
    assert_int_equal(mm_sprites_open(&sprites, dir, NULL, NULL), 0);
    for (int tier = MM_THINGS; tier <= MM_WORDS; tier++) {
        size_t common = 0;

        for (int split = 0; split < 3; split++) {
            const struct mm_scene_opts o = { .seed = 7, .split = (enum mm_split)split, .fonts = 3,
                                             .tiers = 1u << tier, .sprites = sprites, .hidden = 0.25 };
            struct mm_scene_maker *m;
            struct mm_scene s;

            assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
            for (int i = 0; i < SCENES; i++) {
                assert_int_equal(mm_scene_make(&s, m, (uint64_t)i, NULL), 0);
                hash[split][i] = mm_scene_hash(&s, sprites);
            }
            mm_scene_maker_free(m);
            qsort(hash[split], SCENES, sizeof(hash[0][0]), by_value);
            for (int i = 1; i < SCENES; i++)
                common += hash[split][i] == hash[split][i - 1];
        }
        assert_true(common > 0); /* so the same scene twice is likely */
        for (int a = 0; a < 3; a++)
            for (int i = 0; i < SCENES; i++)
                for (int b = 0; b < a; b++)
                    assert_null(bsearch(&hash[a][i], hash[b], SCENES, sizeof(hash[0][0]), by_value));
    }
    mm_sprites_close(sprites);
    remove_sprites(dir);
}

/* The letters' boxes are as wide as the ink of the word and follow one another. */
static void check_boxes(const struct mm_cover *c, const struct mm_fonts *f, const char *word,
                        int look, const struct mm_pose *p)
{
    float box[MM_WORD_LEN][4], all[4] = { SIDE, SIDE, 0, 0 }, ink[4] = { SIDE, SIDE, 0, 0 };

    mm_fonts_boxes(box, f, word, look, p);
    for (size_t i = 0; word[i] != '\0'; i++) {
        assert_true(box[i][0] < box[i][2] && box[i][1] < box[i][3]);
        assert_true(i == 0 || box[i][0] + box[i][2] > box[i - 1][0] + box[i - 1][2]);
        for (int k = 0; k < 2; k++) {
            all[k] = fminf(all[k], box[i][k]);
            all[2 + k] = fmaxf(all[2 + k], box[i][2 + k]);
        }
    }
    for (int i = 0; i < c->w * c->h; i++) {
        const float at[2] = { (float)(c->x + i % c->w), (float)(c->y + i / c->w) };

        for (int k = 0; k < 2 && c->a[i] > 1e-4f; k++) {
            ink[k] = fminf(ink[k], at[k]);
            ink[2 + k] = fmaxf(ink[2 + k], at[k] + 1);
        }
    }
    for (int k = 0; k < 4; k++)
        assert_true(k < 2 ? ink[k] >= floorf(all[k]) && ink[k] <= floorf(all[k]) + 1
                          : ink[k] <= ceilf(all[k]) && ink[k] >= ceilf(all[k]) - 1);
}

static void test_fonts(void **state)
{
    struct mm_strings files = { 0 };
    struct mm_fonts *f;
    struct mm_cover c;

    (void)state;
    assert_true(mm_strings_add(&files, "/nowhere.ttf", 12));
    assert_int_equal(mm_fonts_open(&f, &files, NULL), MM_ENOENT);
    mm_strings_free(&files);
    memset(&files, 0, sizeof(files));
    assert_true(mm_strings_add(&files, DEJAVU, strlen(DEJAVU)));
    assert_int_equal(mm_fonts_open(&f, &files, NULL), 0);
    assert_int_equal(mm_fonts_count(f), 1);
    assert_int_equal(mm_cover_new(&c, SIDE, NULL), 0);
    for (int w = 0; w < MM_NWORDS + MM_NWORDS_HELD; w++)
        for (int look = 0; look < 2; look++) {
            const char *word = mm_world_word(w, NULL);
            const struct mm_pose p = { 32, 32, 6, 0.05f };
            const float most = 12 * (float)strlen(word);
            double ink = 0;

            mm_fonts_cover(&c, f, word, look, &p, SIDE);
            for (int i = 0; i < c.w * c.h; i++) {
                ink += (double)c.a[i];
                /* as narrow as promised */
                if (c.a[i] > 0.3f)
                    assert_true(fabsf((float)(c.x + i % c.w) + 0.5f - 32) < most / 2 + 1);
            }
            assert_true(ink > 10 * (double)strlen(word) && ink < 100 * (double)strlen(word));
            check_boxes(&c, f, word, look, &p);
        }
    mm_cover_free(&c);
    mm_fonts_close(f);
    mm_strings_free(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coverage),    cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_scenes),      cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_options),     cmocka_unit_test(test_questions),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_wordings),    cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_png),         cmocka_unit_test(test_picture),
        cmocka_unit_test(test_documents),   cmocka_unit_test(test_sprites),
        cmocka_unit_test(test_fonts),        cmocka_unit_test(test_splits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
