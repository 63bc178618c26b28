/* Pillow's resize to the byte, and the vector passes against the scalar ones. */
#include "imgolden.h"

#include "base/rng.h"
#include "kernel/kernel.h"
#include "media/resize.h"

static enum mm_filter filter_of(const json_t *op)
{
    static const char *const words[] = { "nearest", "box",     "bilinear",
                                         "hamming", "bicubic", "lanczos" };
    const char *w = json_string_value(json_object_get(op, "filter"));

    for (int i = 0; i < 6; i++)
        if (strcmp(words[i], w) == 0)
            return (enum mm_filter)i;
    fail_msg("filter %s", w);
    return MM_NEAREST;
}

static int size_of(const json_t *op, size_t axis)
{
    return (int)json_integer_value(json_array_get(json_object_get(op, "size"), axis));
}

/* The variants: each is tested where the machine has it. */
static const unsigned variants[] = { 0, MM_CPU_AVX2, MM_CPU_AVX2 | MM_CPU_AVX512 | MM_CPU_VNNI };
enum { NVARIANTS = sizeof(variants) / sizeof(*variants) };

static void check(const struct golden *g, const json_t *op, const struct mm_image *im)
{
    const char *name = json_string_value(json_object_get(op, "name"));

    for (size_t i = 0; i < NVARIANTS; i++) {
        struct mm_err e = { 0 };
        struct mm_image out;
        if (variants[i] & ~mm_cpu_detect())
            continue;
        ok(mm_resize_with(variants[i], &out, im, size_of(op, 0), size_of(op, 1), filter_of(op), &e), &e);
        if (out.mode != MM_IMG_L)
            ok(mm_image_rgb(&out, &e), &e);
        golden_image(g, name, &out);
        mm_image_free(&out);
    }
}

static void picture_case(const struct golden *g)
{
    size_t i;
    json_t *op;

    json_array_foreach(golden_config(g, "ops"), i, op) {
        const char *mode = json_string_value(json_object_get(op, "mode"));
        struct mm_image im;

        golden_picture(&im, g, json_string_value(json_object_get(op, "file")));
        if (mode && strcmp(mode, "L") == 0 && im.mode == MM_IMG_RGB) {
            /* Pillow's convert("L"): ITU-R 601-2 luma with 16 bits */
            const size_t n = (size_t)im.w * (size_t)im.h;
            for (size_t k = 0; k < n; k++)
                im.px[k] = (unsigned char)((im.px[3 * k] * 19595u + im.px[3 * k + 1] * 38470u +
                                            im.px[3 * k + 2] * 7471u + 0x8000u) >> 16);
            im.mode = MM_IMG_L;
        }
        check(g, op, &im);
        mm_image_free(&im);
    }
}

static void noise_case(const struct golden *g)
{
    char path[512];
    struct mm_err e = { 0 };
    struct mm_ckpt *in;
    size_t i;
    json_t *op;

    ok(mm_ckpt_open(&in, golden_path(path, sizeof(path), g, "inputs.safetensors"), &e), &e);
    json_array_foreach(golden_config(g, "ops"), i, op) {
        const struct mm_ckpt_entry *t =
            mm_ckpt_lookup(in, json_string_value(json_object_get(op, "in")));
        assert_non_null(t);
        const struct mm_image im = { .mode = t->t.ndim == 3 ? MM_IMG_RGB : MM_IMG_L,
                                     .w = (int)t->t.shape[1],
                                     .h = (int)t->t.shape[0],
                                     .px = t->t.data };
        check(g, op, &im);
    }
    mm_ckpt_close(in);
}

static void test_pictures(void **state)
{
    (void)state;
    golden_each("resize", picture_case);
}

static void test_noise(void **state)
{
    (void)state;
    golden_each("resize-many", noise_case);
}

static void fill(struct mm_image *im, struct mm_rng *r)
{
    const size_t n = (size_t)im->w * (size_t)im->h * (size_t)mm_image_channels(im->mode);
    const uint64_t kind = mm_rng_below(r, 3);

    for (size_t i = 0; i < n; i++) /* noise, or the extremes that make sums largest */
        im->px[i] = (unsigned char)(kind == 0 ? mm_rng_below(r, 256) : mm_rng_below(r, 2) * 255);
}

static void test_variants(void **state)
{
    static const enum mm_image_mode modes[] = { MM_IMG_L, MM_IMG_LA, MM_IMG_RGB, MM_IMG_RGBA,
                                                MM_IMG_CMYK };
    struct mm_rng r;
    struct mm_err e = { 0 };

    (void)state;
    mm_rng_seed(&r, 1);
    for (int i = 0; i < 800; i++) {
        struct mm_image im, a, b;
        const int w = 1 + (int)mm_rng_below(&r, 90), h = 1 + (int)mm_rng_below(&r, 90);
        const enum mm_filter f = (enum mm_filter)(1 + mm_rng_below(&r, 5));
        const unsigned cpu = variants[i % NVARIANTS];

        if (cpu & ~mm_cpu_detect())
            continue;
        ok(mm_image_new(&im, modes[mm_rng_below(&r, 5)], 1 + (int)mm_rng_below(&r, 90),
                        1 + (int)mm_rng_below(&r, 90), 0, &e), &e);
        fill(&im, &r);
        ok(mm_resize_with(0, &a, &im, w, h, f, &e), &e);
        ok(mm_resize_with(cpu, &b, &im, w, h, f, &e), &e);
        assert_memory_equal(a.px, b.px, (size_t)(w * h * mm_image_channels(im.mode)));
        mm_image_free(&im);
        mm_image_free(&a);
        mm_image_free(&b);
    }
}

/* Padding and resizing in one step is the two steps. */
static void test_on_square(void **state)
{
    static const unsigned char colour[3] = { 122, 116, 104 };
    struct mm_rng r;
    struct mm_err e = { 0 };

    (void)state;
    mm_rng_seed(&r, 2);
    for (int i = 0; i < 300; i++) {
        struct mm_image im, square, a, b;
        const int size = 1 + (int)mm_rng_below(&r, 60);
        const enum mm_filter f = (enum mm_filter)mm_rng_below(&r, 6);

        ok(mm_image_new(&im, MM_IMG_RGB, 1 + (int)mm_rng_below(&r, 60),
                        1 + (int)mm_rng_below(&r, 60), 0, &e), &e);
        fill(&im, &r);
        const int side = im.w > im.h ? im.w : im.h;
        ok(mm_image_canvas(&square, &im, side, side, (side - im.w) / 2, (side - im.h) / 2, colour,
                           &e), &e);
        ok(mm_image_resize(&a, &square, size, size, f, &e), &e);
        ok(mm_image_resize_on_square(&b, &im, size, colour, f, &e), &e);
        assert_memory_equal(a.px, b.px, (size_t)(size * size * 3));
        mm_image_free(&im);
        mm_image_free(&square);
        mm_image_free(&a);
        mm_image_free(&b);
    }
}

static void test_refused(void **state)
{
    unsigned char px = 0;
    const struct mm_image im = { .mode = MM_IMG_L, .w = 1, .h = 1, .px = &px };
    struct mm_err e = { 0 };
    struct mm_image out;

    (void)state;
    assert_int_equal(mm_image_resize(&out, &im, 0, 1, MM_BICUBIC, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_image_resize(&out, &im, 1 << 20, 1 << 20, MM_BICUBIC, &e), MM_EDATA);
    assert_null(out.px);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_on_square),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
