/* Decoding, turning and writing pictures. */
#include "imgolden.h"

#include "base/io.h"

static void decode_case(const struct golden *g)
{
    size_t i;
    json_t *f;
    char name[100];

    json_array_foreach(golden_config(g, "files"), i, f) {
        const char *file = json_string_value(json_object_get(f, "file"));
        const json_t *turn = json_object_get(f, "orientation");
        struct mm_err e = { 0 };
        struct mm_image im;

        golden_picture(&im, g, file);
        ok(mm_image_rgb(&im, &e), &e);
        golden_image(g, golden_stage(name, sizeof(name), file, ""), &im);
        assert_int_equal(im.orientation, turn ? json_integer_value(turn) : 1);
        if (turn) {
            ok(mm_image_upright(&im, &e), &e);
            golden_image(g, golden_stage(name, sizeof(name), file, "upright"), &im);
            assert_int_equal(im.orientation, 1);
        }
        mm_image_free(&im);
    }
}

static void test_decode(void **state)
{
    (void)state;
    golden_each("decode", decode_case);
}

/* Every picture of the family, cut short anywhere, is refused by name. */
static void cut_case(const struct golden *g)
{
    size_t i;
    json_t *f;

    json_array_foreach(golden_config(g, "files"), i, f) {
        char path[512];
        char *data;
        size_t n;
        struct mm_err e = { 0 };
        struct mm_image im;

        golden_path(path, sizeof(path), g, json_string_value(json_object_get(f, "file")));
        ok(mm_io_slurp(path, 1 << 20, &data, &n, &e), &e);
        for (size_t cut = 0; cut < n; cut += cut + 40 < n ? 1 + n / 40 : 1) {
            /* exact memory, so that the sanitizer sees a read behind it */
            unsigned char *part = malloc(cut ? cut : 1);
            memcpy(part, data, cut);
            mm_err_clear(&e);
            const int rc = mm_image_decode(&im, part, cut, "cut.file", 0, &e);
            if (rc == 0)
                fail_msg("%s: %zu of %zu bytes were accepted", path, cut, n);
            assert_int_equal(rc, MM_EDATA);
            assert_non_null(strstr(e.msg, "cut.file: "));
            assert_null(im.px);
            free(part);
        }
        free(data);
    }
}

static void test_truncated(void **state)
{
    (void)state;
    golden_each("decode", cut_case);
}

static void test_limit(void **state)
{
    struct golden g;
    char path[512];
    char *data;
    size_t n;
    struct mm_err e = { 0 };
    struct mm_image im;
    static const char *const files[] = { "decode-png/rgb8.png", "decode-jpeg/s420.jpg",
                                         "decode-webp/lossy.webp" };

    (void)state;
    golden_open(&g, "decode-png");
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/../%s", g.dir, files[i]);
        ok(mm_io_slurp(path, 1 << 20, &data, &n, &e), &e);
        assert_int_equal(mm_image_decode(&im, data, n, "big", 100, &e), MM_EDATA);
        assert_non_null(strstr(e.msg, "big: picture of "));
        mm_err_clear(&e);
        free(data);
    }
    golden_close(&g);
}

/* One 2 x 2 picture in formats that go through libav, without a file. */
static const unsigned char bmp[] = {
    'B', 'M', 70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 24,
    0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    /* bottom row first, B G R, rows padded to 4 */
    7, 8, 9, 10, 11, 12, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0 };

/* Palette black, red, green, blue; pixels 1 2 / 3 0: codes 4(clear) 1 2 3 0 5(end),
 * 3 bits each, 4 once the table has grown past 7. */
static const unsigned char gif[] = {
    'G', 'I', 'F', '8', '9', 'a', 2, 0, 2, 0, 0x91, 0, 0, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255,
    0x2c, 0, 0, 0, 0, 2, 0, 2, 0, 0, 2, 3, 0x8c, 0x06, 0x05, 0, 0x3b };

static const unsigned char tiff[] = {
    'I', 'I', 42, 0, 8, 0, 0, 0, 9, 0,
    0, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0,
    2, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0, 3, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0,
    6, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0, 17, 1, 4, 0, 1, 0, 0, 0, 122, 0, 0, 0,
    21, 1, 3, 0, 1, 0, 0, 0, 3, 0, 0, 0, 22, 1, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0,
    23, 1, 4, 0, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10 };

static const struct {
    const char *name;
    const unsigned char *data;
    size_t n;
    unsigned char want[12];
} others[] = {
    { "bmp", bmp, sizeof(bmp), { 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10 } },
    { "tiff", tiff, sizeof(tiff), { 3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10 } },
    { "gif", gif, sizeof(gif), { 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0 } },
};

static void test_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct mm_err e = { 0 };
        struct mm_image im;

        ok(mm_image_decode(&im, others[i].data, others[i].n, others[i].name, 0, &e), &e);
        ok(mm_image_rgb(&im, &e), &e);
        assert_int_equal(im.w, 2);
        assert_int_equal(im.h, 2);
        assert_memory_equal(im.px, others[i].want, 12);
        mm_image_free(&im);
        for (size_t cut = 0; cut < others[i].n; cut++)
            if (mm_image_decode(&im, others[i].data, cut, "cut", 0, &e) == 0)
                fail_msg("%s: %zu of %zu bytes were accepted", others[i].name, cut, others[i].n);
    }
}

/* One picture of 24 x 20, written by Pillow in other formats: lossless ones hold
 * the same pixels, of animations the first frame counts.
 */
static const struct {
    const char *file;
    enum mm_image_mode mode;
    int w, h, orientation;
    bool lossless;
} kinds[] = {
    { "deflate.tiff", MM_IMG_RGB, 24, 20, 1, true },
    { "exif.webp", MM_IMG_RGB, 24, 20, 6, true },
    { "anim.webp", MM_IMG_RGBA, 24, 20, 1, true },
    { "x.avif", MM_IMG_RGB, 24, 20, 1, false },
    { "still.gif", MM_IMG_RGBA, 24, 20, 1, false },
    { "pal.bmp", MM_IMG_P, 24, 20, 1, false },
    { "g4.tiff", MM_IMG_BIT, 24, 20, 1, false },
    { "x.ico", MM_IMG_RGB, 20, 17, 1, false },
};

static void test_kinds(void **state)
{
    struct mm_image first = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        char path[200];
        struct mm_err e = { 0 };
        struct mm_image im;

        snprintf(path, sizeof(path), "tests/fuzz/seeds/image/%s", kinds[i].file);
        ok(mm_image_load(&im, path, &e), &e);
        assert_int_equal(im.mode, kinds[i].mode);
        assert_int_equal(im.w, kinds[i].w);
        assert_int_equal(im.h, kinds[i].h);
        assert_int_equal(im.orientation, kinds[i].orientation);
        ok(mm_image_rgb(&im, &e), &e);
        if (kinds[i].lossless && first.px)
            assert_memory_equal(im.px, first.px, 24 * 20 * 3);
        if (i == 0)
            first = im;
        else
            mm_image_free(&im);
    }
    mm_image_free(&first);
}

static void test_not_a_picture(void **state)
{
    static const char *const texts[] = {
        "just text", "", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "ffconcat version 1.0\nfile /etc/passwd\n", "\x89PNG\r\n\x1a\n", "\xff\xd8\xff" };
    struct mm_image im;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct mm_err e = { 0 };
        assert_int_equal(mm_image_decode(&im, texts[i], strlen(texts[i]), "x", 0, &e), MM_EDATA);
        assert_non_null(strstr(e.msg, "x: "));
    }
    struct mm_err e = { 0 };
    assert_int_equal(mm_image_load(&im, "/nonexistent/x.png", &e), MM_ENOENT);
}

/* Two frames of raw video in a container. */
static void test_video(void **state)
{
    char y4m[200];
    int n = snprintf(y4m, sizeof(y4m), "YUV4MPEG2 W2 H2 F1:1 Ip C420jpeg\n");
    struct mm_err e = { 0 };
    struct mm_image im;

    (void)state;
    for (int f = 0; f < 2; f++)
        n += snprintf(y4m + n, sizeof(y4m) - (size_t)n, "FRAME\nabcdef");
    assert_int_equal(mm_image_decode(&im, y4m, (size_t)n, "clip.y4m", 0, &e), MM_EMISSING);
    assert_non_null(strstr(e.msg, "clip.y4m: video"));
    assert_non_null(strstr(e.msg, "not supported yet"));
}

static void test_png_round_trip(void **state)
{
    static const enum mm_image_mode modes[] = { MM_IMG_L, MM_IMG_LA, MM_IMG_RGB, MM_IMG_RGBA };
    struct mm_err e = { 0 };

    (void)state;
    for (size_t m = 0; m < 4; m++) {
        struct mm_image im, back;
        unsigned char *data;
        size_t n;

        ok(mm_image_new(&im, modes[m], 13, 7, 0, &e), &e);
        const size_t size = (size_t)(13 * 7 * mm_image_channels(modes[m]));
        for (size_t i = 0; i < size; i++)
            im.px[i] = (unsigned char)(i * 37);
        ok(mm_image_png(&data, &n, &im, &e), &e);
        ok(mm_image_decode(&back, data, n, "png", 0, &e), &e);
        assert_int_equal(back.mode, modes[m]);
        assert_int_equal(back.w, 13);
        assert_memory_equal(back.px, im.px, size);
        mm_image_free(&back);
        mm_image_free(&im);
        free(data);
    }
    struct mm_image bad = { .mode = MM_IMG_P, .w = 1, .h = 1 };
    unsigned char *data;
    size_t n;
    assert_int_equal(mm_image_png(&data, &n, &bad, &e), MM_EBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_limit),         cmocka_unit_test(test_others),
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_not_a_picture),
        cmocka_unit_test(test_video),         cmocka_unit_test(test_png_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
