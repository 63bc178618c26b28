/* From a picture to normalised pixels, step by step, with the settings each
 * checkpoint ships.
 */
#include "imgolden.h"

#include "base/io.h"
#include "media/preconf.h"

typedef int from_fn(struct mm_preprocess *, const json_t *, struct mm_err *);

static void settings(struct mm_preprocess *p, const struct golden *g, const char *file,
                     from_fn *from)
{
    char path[512];
    struct mm_err e = { 0 };
    json_t *config;

    ok(mm_json_file(&config, golden_path(path, sizeof(path), g, file), &e), &e);
    ok(from(p, config, &e), &e);
    json_decref(config);
}

static void check_step(const struct golden *g, const char *file, const char *step,
                       const struct mm_image *im)
{
    char name[100];
    struct mm_err e = { 0 };
    struct mm_image rgb;

    ok(mm_image_crop(&rgb, im, 0, 0, im->w, im->h, &e), &e);
    ok(mm_image_rgb(&rgb, &e), &e);
    golden_image(g, golden_stage(name, sizeof(name), file, step), &rgb);
    mm_image_free(&rgb);
}

/* All of mm_preprocess_run against the last stage; ndim 4 with the tiles' axis. */
static void check_run(const struct golden *g, const char *file, const char *step,
                      const struct mm_image *im, const struct mm_preprocess *p, int ndim)
{
    char name[100];
    struct mm_err e = { 0 };
    struct mm_pixels out;

    ok(mm_preprocess_run(&out, im, p, &e), &e);
    const int64_t shape[4] = { out.tiles, 3, out.size_h, out.size_w };
    golden_floats(g, golden_stage(name, sizeof(name), file, step), out.px, shape + 4 - ndim, ndim);
    assert_int_equal(out.orig_w, im->w);
    mm_pixels_free(&out);
}

/* The stage before mean and std: HWC of transformers, CHW of torchvision. */
static void check_rescaled(const struct golden *g, const char *file, const struct mm_image *im,
                           const struct mm_preprocess *settings)
{
    struct mm_preprocess p = *settings;
    struct mm_err e = { 0 };
    struct mm_pixels out;
    char name[100];

    p.do_normalise = false;
    if (p.torchvision) {
        check_run(g, file, "tensor", im, &p, 3);
        return;
    }
    ok(mm_preprocess_run(&out, im, &p, &e), &e);
    const size_t n = (size_t)out.size_h * (size_t)out.size_w;
    float *hwc = malloc(3 * n * sizeof(*hwc));
    for (size_t i = 0; i < 3 * n; i++)
        hwc[i] = out.px[i % 3 * n + i / 3];
    const int64_t shape[3] = { out.size_h, out.size_w, 3 };
    golden_floats(g, golden_stage(name, sizeof(name), file, "rescaled"), hwc, shape, 3);
    free(hwc);
    mm_pixels_free(&out);
}

/* Shorter side, centre crop, scale, normalise: the same steps in three dialects. */
static void pipe_file(const struct golden *g, const char *file, const struct mm_preprocess *p,
                      int ndim)
{
    const int side = p->crop ? p->crop : p->size;
    struct mm_err e = { 0 };
    struct mm_image im, rgb, resized, cropped;

    golden_picture(&im, g, file);
    check_step(g, file, "rgb", &im);
    ok(mm_image_crop(&rgb, &im, 0, 0, im.w, im.h, &e), &e);
    if (!p->rgb_last)
        ok(mm_image_rgb(&rgb, &e), &e);
    ok(mm_preprocess_resize(&resized, &rgb, p, &e), &e);
    check_step(g, file, "resized", &resized);
    ok(mm_preprocess_crop(&cropped, &resized, side, side, p->torchvision, &e), &e);
    check_step(g, file, "cropped", &cropped);
    if (p->rgb_last)
        check_step(g, file, "rgb2", &cropped);
    check_rescaled(g, file, &im, p);
    check_run(g, file, "pixel_values", &im, p, ndim);
    mm_image_free(&im);
    mm_image_free(&rgb);
    mm_image_free(&resized);
    mm_image_free(&cropped);
}

static const char *file_at(const struct golden *g, size_t i)
{
    const json_t *f = json_array_get(golden_config(g, "files"), i);

    return json_string_value(json_is_object(f) ? json_object_get(f, "file") : f);
}

static void hf_case(const struct golden *g)
{
    struct mm_preprocess p;

    settings(&p, g, "model/preprocessor_config.json", mm_preprocess_from_hf);
    for (size_t i = 0; file_at(g, i); i++)
        pipe_file(g, file_at(g, i), &p, 4);
}

static void torchvision_case(const struct golden *g)
{
    const bool timm = strcmp(json_string_value(golden_config(g, "pipeline")), "timm") == 0;
    struct mm_preprocess p;

    if (timm)
        settings(&p, g, "model/config.json", mm_preprocess_from_timm);
    else
        settings(&p, g, "model/open_clip_config.json", mm_preprocess_from_open_clip);
    for (size_t i = 0; file_at(g, i); i++)
        pipe_file(g, file_at(g, i), &p, 3);
}

static void pad_case(const struct golden *g)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    json_t *pad = json_pack("{s:s}", "image_aspect_ratio", "pad");

    settings(&p, g, "model/preprocessor_config.json", mm_preprocess_from_hf);
    ok(mm_preprocess_from_llava(&p, pad, &e), &e);
    json_decref(pad);
    for (size_t i = 0; file_at(g, i); i++) {
        struct mm_image im, square, resized;
        const char *file = file_at(g, i);

        golden_picture(&im, g, file);
        check_step(g, file, "rgb", &im);
        ok(mm_preprocess_square(&square, &im, &p, &e), &e);
        check_step(g, file, "square", &square);
        ok(mm_preprocess_resize(&resized, &square, &p, &e), &e);
        check_step(g, file, "resized", &resized);
        check_run(g, file, "pixel_values", &im, &p, 4);
        mm_image_free(&im);
        mm_image_free(&square);
        mm_image_free(&resized);
    }
}

static void pair_is(const struct golden *g, const char *file, const char *step, int a, int b)
{
    char name[100];
    const struct mm_tensor *t = golden_tensor(g, golden_stage(name, sizeof(name), file, step));
    const bool wide = t->dtype == MM_I64;

    assert_true(wide || t->dtype == MM_I32);
    assert_int_equal(mm_tensor_count(t), 2);
    assert_int_equal(wide ? ((const int64_t *)t->data)[0] : ((const int32_t *)t->data)[0], a);
    assert_int_equal(wide ? ((const int64_t *)t->data)[1] : ((const int32_t *)t->data)[1], b);
}

static void anyres_file(const struct golden *g, const char *file, bool hf,
                        const struct mm_preprocess *settings)
{
    struct mm_preprocess p = *settings;
    struct mm_err e = { 0 };
    struct mm_image im, canvas, base;
    int w, h;

    golden_picture(&im, g, file);
    check_step(g, file, "rgb", &im);
    mm_anyres_size(&w, &h, &p, mm_anyres_best(&p, im.w, im.h));
    pair_is(g, file, "best", w, h);
    ok(mm_anyres_canvas(&canvas, &im, w, h, p.filter, &e), &e);
    check_step(g, file, "canvas", &canvas);
    ok(mm_image_resize(&base, &im, p.size, p.size, p.filter, &e), &e);
    check_step(g, file, "base", &base);
    check_run(g, file, "pixel_values", &im, &p, 4);
    if (hf) {
        p.pin_hw = true;
        check_run(g, file, "hf.pixel_values", &im, &p, 4);
        pair_is(g, file, "hf.image_sizes", im.h, im.w);
    }
    mm_image_free(&im);
    mm_image_free(&canvas);
    mm_image_free(&base);
}

/* expected.json: the choice for many sizes, with the published list. */
static void best_sizes(const struct golden *g)
{
    char path[512];
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    json_t *want, *row;
    size_t i;
    json_t *config = json_pack("{s:s,s:s}", "image_aspect_ratio", "anyres", "image_grid_pinpoints",
                               "[(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]");

    mm_preprocess_clip(&p, 336);
    ok(mm_preprocess_from_llava(&p, config, &e), &e);
    ok(mm_json_file(&want, golden_path(path, sizeof(path), g, "expected.json"), &e), &e);
    json_array_foreach(json_object_get(want, "best_resolution"), i, row) {
        int size[2], original[2], hf[2], w, h;
        assert_int_equal(json_unpack(row, "{s:[ii],s:[ii],s:[ii]}", "size", &size[0], &size[1],
                                     "original", &original[0], &original[1], "hf", &hf[0], &hf[1]),
                         0);
        p.pin_hw = false;
        mm_anyres_size(&w, &h, &p, mm_anyres_best(&p, size[0], size[1]));
        assert_int_equal(w, original[0]);
        assert_int_equal(h, original[1]);
        p.pin_hw = true;
        mm_anyres_size(&w, &h, &p, mm_anyres_best(&p, size[0], size[1]));
        assert_int_equal(w, hf[0]);
        assert_int_equal(h, hf[1]);
    }
    assert_true(i > 0);
    json_decref(want);
    json_decref(config);
}

static void anyres_case(const struct golden *g)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    json_t *config = json_pack("{s:s,s:O}", "image_aspect_ratio", "anyres", "image_grid_pinpoints",
                               golden_config(g, "image_grid_pinpoints"));

    settings(&p, g, "model/preprocessor_config.json", mm_preprocess_from_hf);
    ok(mm_preprocess_from_llava(&p, config, &e), &e);
    json_decref(config);
    for (size_t i = 0; file_at(g, i); i++)
        anyres_file(g, file_at(g, i),
                    json_is_true(json_object_get(json_array_get(golden_config(g, "files"), i),
                                                 "hf")), &p);
    best_sizes(g);
}

static void crop_case(const struct golden *g)
{
    size_t i;
    json_t *op;

    json_array_foreach(golden_config(g, "ops"), i, op) {
        const char *kind = json_string_value(json_object_get(op, "op"));
        const char *name = json_string_value(json_object_get(op, "name"));
        const json_t *size = json_object_get(op, "size");
        const int h = (int)json_integer_value(json_array_get(size, 0));
        const int w = (int)json_integer_value(json_array_get(size, 1));
        struct mm_preprocess p;
        struct mm_err e = { 0 };
        struct mm_image im, out;

        mm_preprocess_clip(&p, 224);
        golden_picture(&im, g, json_string_value(json_object_get(op, "file")));
        ok(mm_image_rgb(&im, &e), &e);
        if (strcmp(kind, "expand2square") == 0)
            ok(mm_preprocess_square(&out, &im, &p, &e), &e);
        else
            ok(mm_preprocess_crop(&out, &im, w, h, strcmp(kind, "tv_center_crop") == 0, &e), &e);
        golden_image(g, name, &out);
        mm_image_free(&im);
        mm_image_free(&out);
    }
}

#define GOLDEN_TEST(name, kind, fn) \
    static void name(void **state) \
    { \
        (void)state; \
        golden_each(kind, fn); \
    }

GOLDEN_TEST(test_hf, "pipe-hf", hf_case)
GOLDEN_TEST(test_torchvision, "pipe-torchvision", torchvision_case)
GOLDEN_TEST(test_pad, "pipe-llava-pad", pad_case)
GOLDEN_TEST(test_anyres, "anyres", anyres_case)
GOLDEN_TEST(test_crop, "crop-pad", crop_case)

/* Whole pipelines on odd settings: shapes and refusals. */
static void test_shapes(void **state)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    struct mm_image im;
    struct mm_pixels out;

    (void)state;
    ok(mm_image_new(&im, MM_IMG_L, 30, 10, 0, &e), &e);
    memset(im.px, 255, 300);
    mm_preprocess_clip(&p, 6);
    p.do_crop = false;
    ok(mm_preprocess_run(&out, &im, &p, &e), &e);
    assert_int_equal(out.size_h, 6);
    assert_int_equal(out.size_w, 18);
    assert_true(fabsf(out.px[0] - (1 - p.mean[0]) / p.std[0]) < 1e-6f);
    mm_pixels_free(&out);
    p.aspect = MM_ASPECT_SQUEEZE;
    ok(mm_preprocess_run(&out, &im, &p, &e), &e);
    assert_int_equal(out.size_w, 6);
    mm_pixels_free(&out);
    p.aspect = MM_ASPECT_ANYRES;
    assert_int_equal(mm_preprocess_run(&out, &im, &p, &e), MM_EDATA);
    mm_err_clear(&e);
    p.npin = 1;
    p.pin[0][0] = 7;
    p.pin[0][1] = 12;
    assert_int_equal(mm_preprocess_run(&out, &im, &p, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "7 x 12"));
    assert_null(out.px);
    mm_image_free(&im);
}

/* A picture one pixel high would become some billion pixels wide. */
static void test_endless(void **state)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    struct mm_image im;
    struct mm_pixels out;

    (void)state;
    ok(mm_image_new(&im, MM_IMG_RGB, 1 << 24, 1, 0, &e), &e);
    mm_preprocess_clip(&p, 336);
    assert_int_equal(mm_preprocess_run(&out, &im, &p, &e), MM_EDATA);
    mm_image_free(&im);
}

static void check_one_step(const char *file, const char *data, size_t n, bool upright,
                           const struct mm_preprocess *p)
{
    struct mm_err e = { 0 };
    struct mm_pixels want, got;
    struct mm_image im;

    ok(mm_image_decode(&im, data, n, file, 0, &e), &e);
    if (upright)
        ok(mm_image_upright(&im, &e), &e);
    ok(mm_preprocess_run(&want, &im, p, &e), &e);
    ok(mm_preprocess_decode(&got, data, n, file, upright, p, &e), &e);
    assert_int_equal(got.tiles, want.tiles);
    assert_int_equal(got.size_h, want.size_h);
    assert_int_equal(got.size_w, want.size_w);
    assert_int_equal(got.orig_w, im.w);
    assert_int_equal(got.orig_h, im.h);
    assert_memory_equal(got.px, want.px, (size_t)(want.tiles * 3 * want.size_h * want.size_w) *
                                             sizeof(*want.px));
    mm_pixels_free(&want);
    mm_pixels_free(&got);
    mm_image_free(&im);
}

/* A file that ends early is refused as mm_image_decode refuses it. */
static void check_cut(const char *file, const char *data, size_t n, const struct mm_preprocess *p)
{
    struct mm_err e = { 0 }, own = { 0 };
    struct mm_pixels got;
    struct mm_image im;

    assert_int_equal(mm_image_decode(&im, data, n, file, 0, &e), MM_EDATA);
    assert_int_equal(mm_preprocess_decode(&got, data, n, file, false, p, &own), MM_EDATA);
    assert_string_equal(own.msg, e.msg);
    assert_null(got.px);
}

/* Decoding and preparing in one: the bytes of the steps one after the other. */
static void test_one_step(void **state)
{
    static const char *const files[] = { "decode-jpeg/s420.jpg", "decode-jpeg/progressive420.jpg",
                                         "decode-jpeg/cmyk.jpg", "decode-jpeg/grey.jpg",
                                         "decode-jpeg/tiny.jpg", "decode-exif/j3.jpg",
                                         "decode-exif/j6.jpg", "decode-png/rgb8.png" };
    static const int sizes[] = { 5, 31, 48, 70 };
    struct golden g;

    (void)state;
    golden_open(&g, "decode-jpeg");
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct mm_err e = { 0 };
        char path[512], *data;
        size_t n;

        snprintf(path, sizeof(path), "%s/../%s", g.dir, files[i]);
        ok(mm_io_slurp(path, 1 << 20, &data, &n, &e), &e);
        for (int k = 0; k < 2 * 4 * 4; k++) {
            struct mm_preprocess p;

            mm_preprocess_clip(&p, sizes[k / 4 % 4]);
            p.aspect = (enum mm_aspect)(k % 4);
            p.filter = k % 3 ? MM_BICUBIC : MM_BILINEAR;
            p.crop = k % 5 ? p.size - k % 5 : p.size + 3; /* within the picture, or past it */
            p.torchvision = k % 7 < 3;
            p.npin = 1;
            p.pin[0][0] = p.pin[0][1] = 2 * p.size;
            check_one_step(files[i], data, n, k >= 16, &p);
            check_cut(files[i], data, n / 2, &p);
        }
        free(data);
    }
    golden_close(&g);
}

/* The middle of what is white in one plane of the prepared picture. */
static void white_middle(double at[2], const struct mm_pixels *px)
{
    double sum = 0;

    at[0] = at[1] = 0;
    for (int y = 0; y < px->size_h; y++)
        for (int x = 0; x < px->size_w; x++)
            if (px->px[y * px->size_w + x] > 0.6f) {
                at[0] += x + 0.5;
                at[1] += y + 0.5;
                sum++;
            }
    assert_true(sum > 50);
    at[0] /= sum;
    at[1] /= sum;
}

/* A white rectangle on black is found where mm_preprocess_place says. */
static void test_place(void **state)
{
    static const int size[][2] = { { 64, 64 }, { 200, 120 }, { 90, 151 }, { 67, 64 }, { 170, 71 } };

    (void)state;
    for (int k = 0; k < 5 * 3 * 4; k++) {
        const int w = size[k % 5][0], h = size[k % 5][1], side = (w < h ? w : h) / 2;
        const int x = w / 2 - side / 3, y = h / 2 - side / 5 * 3;
        struct mm_preprocess p;
        struct mm_err e = { 0 };
        struct mm_image im;
        struct mm_pixels out;
        double scale[2], shift[2], at[2];

        mm_preprocess_clip(&p, k / 15 % 2 ? 64 : 48);
        p.aspect = k / 5 % 3 == 0 ? MM_ASPECT_CROP : k / 5 % 3 == 1 ? MM_ASPECT_PAD : MM_ASPECT_SQUEEZE;
        p.crop = k / 30 ? p.size - 9 : 0;
        p.torchvision = k % 2;
        p.do_normalise = false;
        ok(mm_image_new(&im, MM_IMG_RGB, w, h, 0, &e), &e);
        memset(im.px, 0, (size_t)(3 * w * h));
        for (int r = y; r < y + side; r++)
            memset(im.px + 3 * (r * w + x), 255, (size_t)(3 * side));
        ok(mm_preprocess_run(&out, &im, &p, &e), &e);
        mm_preprocess_place(&p, w, h, scale, shift);
        white_middle(at, &out);
        const double want[2] = { (x + side / 2.0) * scale[0] + shift[0],
                                 (y + side / 2.0) * scale[1] + shift[1] };
        if (fabs(at[0] - want[0]) > 0.6 || fabs(at[1] - want[1]) > 0.6)
            fail_msg("case %d, %d x %d: at %.2f %.2f, want %.2f %.2f", k, w, h, at[0], at[1],
                     want[0], want[1]);
        mm_pixels_free(&out);
        mm_image_free(&im);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf),     cmocka_unit_test(test_torchvision),
        cmocka_unit_test(test_pad),    cmocka_unit_test(test_anyres),
        cmocka_unit_test(test_crop),   cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_endless), cmocka_unit_test(test_one_step),
        cmocka_unit_test(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
