/* Settings files of checkpoints: what is taken over, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "media/preconf.h"

typedef int from_fn(struct mm_preprocess *, const json_t *, struct mm_err *);

static int read_text(struct mm_preprocess *p, from_fn *from, const char *text, struct mm_err *e)
{
    json_t *config;

    if (mm_json_load(&config, text, strlen(text), "test", e))
        fail_msg("%s", e->msg);
    const int rc = from(p, config, e);
    json_decref(config);
    return rc;
}

static void accept(struct mm_preprocess *p, from_fn *from, const char *text)
{
    struct mm_err e = { 0 };

    if (read_text(p, from, text, &e))
        fail_msg("%s: %s", text, e.msg);
}

static const struct {
    const char *text;
    int size, crop;
    enum mm_aspect aspect;
    enum mm_filter filter;
    bool do_crop;
} hf[] = {
    { "{}", 224, 224, MM_ASPECT_CROP, MM_BICUBIC, true },
    { "{\"size\":336,\"crop_size\":336,\"resample\":1}", 336, 336, MM_ASPECT_CROP, MM_LANCZOS, true },
    { "{\"size\":{\"shortest_edge\":256},\"crop_size\":{\"height\":224,\"width\":224},"
      "\"resample\":2,\"do_rescale\":null}", 256, 224, MM_ASPECT_CROP, MM_BILINEAR, true },
    { "{\"size\":{\"height\":384,\"width\":384},\"do_center_crop\":false}", 384, 0,
      MM_ASPECT_SQUEEZE, MM_BICUBIC, false },
    { "{\"image_processor_type\":\"SiglipImageProcessor\",\"size\":{\"height\":98,\"width\":98},"
      "\"resample\":3}", 98, 0, MM_ASPECT_SQUEEZE, MM_BICUBIC, false },
    { "{\"feature_extractor_type\":\"ViTFeatureExtractor\",\"size\":64}", 64, 0, MM_ASPECT_SQUEEZE,
      MM_BILINEAR, false },
    { "{\"image_processor_type\":\"LlavaImageProcessor\",\"do_pad\":true,\"size\":42,"
      "\"crop_size\":42}", 42, 42, MM_ASPECT_PAD, MM_BICUBIC, true },
    { "{\"aspect_ratio_setting\":\"pad\",\"resample\":0}", 224, 224, MM_ASPECT_PAD, MM_NEAREST,
      true },
    { "{\"image_processor_type\":\"LlavaNextImageProcessor\",\"do_pad\":true,\"size\":42,"
      "\"image_grid_pinpoints\":[[42,84],[84,42]]}", 42, 224, MM_ASPECT_ANYRES, MM_BICUBIC, true },
    { "{\"aspect_ratio_setting\":\"anyres\",\"size\":42,\"image_grid_pinpoints\":[[42,84]]}", 42,
      224, MM_ASPECT_ANYRES, MM_BICUBIC, true },
};

static void test_hf(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hf) / sizeof(*hf); i++) {
        struct mm_preprocess p;
        accept(&p, mm_preprocess_from_hf, hf[i].text);
        assert_int_equal(p.size, hf[i].size);
        assert_int_equal(p.crop, hf[i].crop);
        assert_int_equal(p.aspect, hf[i].aspect);
        assert_int_equal(p.filter, hf[i].filter);
        assert_int_equal(p.do_crop, hf[i].do_crop);
        assert_true(p.do_resize && p.do_rescale && p.do_normalise && p.do_rgb && !p.torchvision);
    }
}

static void test_hf_flags(void **state)
{
    struct mm_preprocess p;

    (void)state;
    accept(&p, mm_preprocess_from_hf,
           "{\"do_resize\":false,\"do_rescale\":false,\"do_normalize\":false,"
           "\"do_convert_rgb\":false,\"image_mean\":[0,0.5,1],\"image_std\":[1,2,3],"
           "\"rescale_factor\":0.5}");
    assert_true(!p.do_resize && !p.do_rescale && !p.do_normalise && !p.do_rgb);
    assert_true(p.mean[1] == 0.5f && p.std[2] == 3.0f && p.rescale == 0.5);
}

static void test_llava(void **state)
{
    static const char *const lists[] = {
        "{\"image_aspect_ratio\":\"anyres\",\"image_grid_pinpoints\":[[42,84],[84,126]]}",
        "{\"image_aspect_ratio\":\"anyres\",\"image_grid_pinpoints\":[42,84,84,126]}",
        "{\"image_aspect_ratio\":\"anyres\",\"image_grid_pinpoints\":\"[(42, 84), (84, 126)]\"}" };
    struct mm_preprocess p;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int w, h;
        mm_preprocess_clip(&p, 42);
        accept(&p, mm_preprocess_from_llava, lists[i]);
        assert_int_equal(p.aspect, MM_ASPECT_ANYRES);
        assert_int_equal(p.npin, 2);
        mm_anyres_size(&w, &h, &p, 1);
        assert_int_equal(w, 84);
        assert_int_equal(h, 126);
    }
    accept(&p, mm_preprocess_from_llava, "{\"image_aspect_ratio\":\"pad\"}");
    assert_int_equal(p.aspect, MM_ASPECT_PAD);
    accept(&p, mm_preprocess_from_llava, "{}");
    assert_int_equal(p.aspect, MM_ASPECT_CROP);
}

static void test_gguf(void **state)
{
    struct mm_preprocess p;

    (void)state;
    accept(&p, mm_preprocess_from_gguf,
           "{\"clip.vision.image_size\":42,\"clip.vision.image_mean\":[0.5,0.5,0.5],"
           "\"clip.vision.image_std\":[0.25,0.25,0.25]}");
    assert_int_equal(p.aspect, MM_ASPECT_PAD);
    assert_int_equal(p.size, 42);
    assert_true(p.mean[0] == 0.5f && p.std[0] == 0.25f);
    accept(&p, mm_preprocess_from_gguf,
           "{\"clip.vision.image_size\":42,\"clip.vision.image_grid_pinpoints\":[42,84]}");
    assert_int_equal(p.aspect, MM_ASPECT_ANYRES);
    accept(&p, mm_preprocess_from_gguf,
           "{\"clip.vision.image_size\":42,\"clip.vision.image_aspect_ratio\":\"square\"}");
    assert_int_equal(p.aspect, MM_ASPECT_CROP);
}

static void test_torchvision(void **state)
{
    struct mm_preprocess p;

    (void)state;
    accept(&p, mm_preprocess_from_open_clip,
           "{\"preprocess_cfg\":{\"size\":[384,384],\"resize_mode\":\"squash\","
           "\"interpolation\":\"bilinear\",\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]}}");
    assert_int_equal(p.aspect, MM_ASPECT_SQUEEZE);
    assert_int_equal(p.size, 384);
    assert_int_equal(p.filter, MM_BILINEAR);
    assert_true(p.torchvision && p.rgb_last && p.std[1] == 0.5f);
    accept(&p, mm_preprocess_from_timm,
           "{\"pretrained_cfg\":{\"input_size\":[3,192,192],\"test_input_size\":[3,256,256],"
           "\"crop_pct\":0.9,\"test_crop_pct\":0.75}}");
    assert_int_equal(p.crop, 256);
    assert_int_equal(p.size, 341);
    assert_true(p.mean[0] == 0.485f && p.torchvision && !p.rgb_last);
}

static const struct {
    from_fn *from;
    const char *text;
    int code;
    const char *says;
} bad[] = {
    { mm_preprocess_from_hf, "[]", MM_EDATA, "object" },
    { mm_preprocess_from_hf, "{\"size\":\"big\"}", MM_EDATA, "size" },
    { mm_preprocess_from_hf, "{\"size\":0}", MM_EDATA, "size" },
    { mm_preprocess_from_hf, "{\"size\":99999999999}", MM_EDATA, "size" },
    { mm_preprocess_from_hf, "{\"size\":{\"height\":2,\"width\":3}}", MM_EMISSING, "2 x 3" },
    { mm_preprocess_from_hf, "{\"size\":{}}", MM_EDATA, "size" },
    { mm_preprocess_from_hf, "{\"crop_size\":{\"height\":2}}", MM_EDATA, "crop_size" },
    { mm_preprocess_from_hf, "{\"crop_size\":-1}", MM_EDATA, "crop_size" },
    { mm_preprocess_from_hf, "{\"resample\":6}", MM_EDATA, "resample" },
    { mm_preprocess_from_hf, "{\"do_resize\":\"yes\"}", MM_EDATA, "do_resize" },
    { mm_preprocess_from_hf, "{\"do_pad\":3}", MM_EDATA, "do_pad" },
    { mm_preprocess_from_hf, "{\"image_mean\":[1,2]}", MM_EDATA, "image_mean" },
    { mm_preprocess_from_hf, "{\"image_mean\":[1,2,\"x\"]}", MM_EDATA, "image_mean" },
    { mm_preprocess_from_hf, "{\"image_std\":[1,0,1]}", MM_EDATA, "image_std" },
    { mm_preprocess_from_hf, "{\"image_grid_pinpoints\":7}", MM_EDATA, "pinpoints" },
    { mm_preprocess_from_hf, "{\"image_grid_pinpoints\":[[1,2,3]]}", MM_EDATA, "pair" },
    { mm_preprocess_from_hf, "{\"image_grid_pinpoints\":[[1,\"x\"]]}", MM_EDATA, "pinpoints" },
    { mm_preprocess_from_hf, "{\"image_grid_pinpoints\":[1]}", MM_EDATA, "partner" },
    { mm_preprocess_from_hf, "{\"aspect_ratio_setting\":\"anyres\"}", MM_EDATA, "empty" },
    { mm_preprocess_from_hf,
      "{\"aspect_ratio_setting\":\"anyres\",\"image_grid_pinpoints\":[[225,224]]}", MM_EDATA,
      "225, 224" },
    { mm_preprocess_from_llava, "{\"image_aspect_ratio\":\"anyres_max_9\"}", MM_EMISSING,
      "anyres_max_9" },
    { mm_preprocess_from_llava, "{\"image_aspect_ratio\":7}", MM_EDATA, "image_aspect_ratio" },
    { mm_preprocess_from_llava,
      "{\"image_aspect_ratio\":\"anyres\",\"image_grid_pinpoints\":\"(1x1),...,(6x6)\"}",
      MM_EMISSING, "pinpoints" },
    { mm_preprocess_from_gguf, "{}", MM_EDATA, "clip.vision.image_size" },
    { mm_preprocess_from_gguf, "{\"clip.vision.image_aspect_ratio\":1}", MM_EDATA, "aspect" },
    { mm_preprocess_from_open_clip, "{}", MM_EDATA, "image_size" },
    { mm_preprocess_from_open_clip, "{\"preprocess_cfg\":{\"resize_mode\":1}}", MM_EDATA, "mode" },
    { mm_preprocess_from_open_clip,
      "{\"preprocess_cfg\":{\"size\":3,\"resize_mode\":\"longest\"}}", MM_EMISSING, "longest" },
    { mm_preprocess_from_open_clip,
      "{\"preprocess_cfg\":{\"size\":3,\"interpolation\":\"random\"}}", MM_EMISSING, "random" },
    { mm_preprocess_from_timm, "{}", MM_EDATA, "pretrained_cfg" },
    { mm_preprocess_from_timm, "{\"pretrained_cfg\":{\"input_size\":[3,8]}}", MM_EDATA,
      "input_size" },
    { mm_preprocess_from_timm, "{\"pretrained_cfg\":{\"input_size\":[3,8,8],\"crop_pct\":0}}",
      MM_EDATA, "crop_pct" },
    { mm_preprocess_from_timm, "{\"pretrained_cfg\":{\"input_size\":[3,8,8],\"crop_pct\":[]}}",
      MM_EDATA, "crop_pct" },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct mm_preprocess p;
        struct mm_err e = { 0 };
        mm_preprocess_clip(&p, 42);
        if (read_text(&p, bad[i].from, bad[i].text, &e) != bad[i].code ||
            !strstr(e.msg, bad[i].says))
            fail_msg("%s: %d %s", bad[i].text, e.code, e.msg);
    }
}

static void test_too_many_pinpoints(void **state)
{
    json_t *pins = json_array();
    json_t *config = json_pack("{s:s,s:o}", "image_aspect_ratio", "anyres",
                               "image_grid_pinpoints", pins);
    struct mm_preprocess p;
    struct mm_err e = { 0 };

    (void)state;
    for (int i = 0; i < MM_MAX_PINPOINTS + 1; i++)
        json_array_append_new(pins, json_pack("[ii]", 42, 84));
    mm_preprocess_clip(&p, 42);
    assert_int_equal(mm_preprocess_from_llava(&p, config, &e), MM_EDATA);
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf),          cmocka_unit_test(test_hf_flags),
        cmocka_unit_test(test_llava),       cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_torchvision), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many_pinpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
