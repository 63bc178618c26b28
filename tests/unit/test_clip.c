/* CLIP's towers, LLaVA's projector and packing against the golden families clip
 * and llava: every stage from given pixels and ids, in every layout.
 */
#include "stages.h"

#include "model/clip.h"
#include "model/projector.h"
#include "model/vision.h"
#include "tensor/op.h"

static struct mm_pool *pool;

static void init(struct mm_ctx *c, struct stages *s)
{
    struct mm_err e = { 0 };

    assert_int_equal(mm_ctx_init(c, pool, MM_ARITH_EXACT, &e), 0);
    c->trace = stages_trace;
    c->trace_arg = s;
}

static void check_vision(struct stages *s, struct mm_ckpt *ck, struct mm_ckpt *in)
{
    const struct mm_ckpt_entry *px = mm_ckpt_lookup(in, "pixel_values");
    struct mm_clip_vision *m = NULL;
    struct mm_projector *p = NULL;
    struct mm_err e = { 0 };
    struct mm_clip_select select = { .layer = { -2 }, .n = 1, .pooled = true };
    struct mm_clip_out out;
    struct mm_ctx c;

    assert_non_null(px);
    if (mm_clip_vision_open(&m, ck, NULL, &e) < 0)
        fail_msg("%s", e.msg);
    init(&c, s);
    if (mm_clip_vision_config(m)->feature)
        select = (struct mm_clip_select){ .layer = { (int)mm_clip_vision_config(m)->feature },
                                          .n = 1 };
    assert_int_equal(mm_clip_select_ok(m, &select, &e), 0);
    mm_clip_see(&c, m, mm_var_of(&c, &px->t), &select, &out);
    assert_non_null(out.features);
    if (mm_ckpt_is_gguf(ck)) {
        assert_int_equal(mm_projector_open(&p, ck, &e), 0);
        assert_non_null(mm_project(&c, p, out.features));
        if (mm_projector_newline(p))
            stages_trace(s, "image_newline", &mm_projector_newline(p)->t);
        mm_projector_free(p);
    }
    mm_ctx_free(&c);
    mm_clip_vision_free(m);
}

static void check_text(struct stages *s, struct mm_ckpt *ck, struct mm_ckpt *in)
{
    const struct mm_ckpt_entry *en = mm_ckpt_lookup(in, "input_ids");
    struct mm_clip_text *m = NULL;
    struct mm_err e = { 0 };
    struct mm_clip_out out;
    struct mm_ctx c;

    assert_non_null(en);
    if (mm_clip_text_open(&m, ck, &e) < 0)
        fail_msg("%s", e.msg);
    const size_t n = mm_tensor_count(&en->t);
    int32_t *ids = malloc(n * sizeof(*ids));
    for (size_t i = 0; i < n; i++) {
        int64_t v;

        memcpy(&v, (const char *)en->t.data + 8 * i, 8);
        ids[i] = (int32_t)v;
    }
    init(&c, s);
    mm_clip_read(&c, m, ids, en->t.shape[0], en->t.shape[1], &out);
    if (!out.pooled)
        fail_msg("%s", c.err.msg);
    free(ids);
    mm_ctx_free(&c);
    mm_clip_text_free(m);
}

static void one_case(const char *name, const char *model)
{
    struct stages s;
    char dir[1200];

    stages_open(&s, name);
    snprintf(dir, sizeof(dir), "%s/model", s.dir);
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    struct mm_ckpt *ck = golden_open(dir, model);
    if (mm_ckpt_lookup(in, "pixel_values"))
        check_vision(&s, ck, in);
    if (mm_ckpt_lookup(in, "input_ids"))
        check_text(&s, ck, in);
    stages_done(&s, "*", "logits_per_image"); /* mm-search's product of two embeddings */
    print_message("%s/%s: worst %.3f of its tolerance\n", name, model, s.worst);
    mm_ckpt_close(ck);
    mm_ckpt_close(in);
    stages_close(&s);
}

#define CASE(id, path, model) \
    static void test_##id(void **state) \
    { \
        (void)state; \
        one_case(path, model); \
    }
CASE(quick, "clip/vision-quick", "")
CASE(laion, "clip/laion-hf", "")
CASE(openai, "clip/openai-pt", "ViT-tiny.pt")
CASE(open_clip_bin, "clip/open-clip", "open_clip_pytorch_model.bin")
CASE(open_clip_st, "clip/open-clip", "open_clip_model.safetensors")
CASE(mmproj_f16, "clip/mmproj-f16", "")
CASE(mmproj_f32, "clip/mmproj-f32", "")
CASE(mmproj_new, "clip/mmproj-new", "")
CASE(text_eos, "clip/text-eos", "")
CASE(text_eos2, "clip/text-eos2", "")

/* A tower of 3 blocks, 4 joined layers, class token kept or not. */
static void test_select(void **state)
{
    struct mm_clip_select s = { .layer = { -1, 0, 1, -2 }, .n = 4 };
    struct mm_clip_vision *m = NULL;
    struct mm_err e = { 0 };
    struct mm_clip_out one, four;
    struct stages st;
    struct mm_ctx c;

    (void)state;
    stages_open(&st, "clip/vision-quick");
    struct mm_ckpt *in = golden_open(st.dir, "inputs.safetensors");
    struct mm_ckpt *ck = golden_open(st.dir, "model");
    assert_int_equal(mm_clip_vision_open(&m, ck, NULL, &e), 0);
    init(&c, &st);
    c.trace = NULL;
    struct mm_var *px = mm_var_of(&c, &mm_ckpt_lookup(in, "pixel_values")->t);
    mm_clip_see(&c, m, px, &s, &four);
    assert_int_equal(four.features->t.shape[1], 9);
    assert_int_equal(four.features->t.shape[2], 4 * 48);
    s = (struct mm_clip_select){ .layer = { 1 }, .n = 1, .cls = true };
    mm_clip_see(&c, m, px, &s, &one);
    assert_int_equal(one.features->t.shape[1], 10);
    /* layer 1 is the third of the four; patch 1 is row 2 with the class token */
    assert_memory_equal(mm_f32(one.features) + 2 * 48, mm_f32(four.features) + 4 * 48 + 2 * 48,
                        48 * sizeof(float));
    s.layer[0] = 5;
    assert_int_equal(mm_clip_select_ok(m, &s, &e), MM_EDATA);
    mm_ctx_free(&c);
    mm_clip_vision_free(m);
    mm_ckpt_close(in);
    mm_ckpt_close(ck);
    stages_close(&st);
}

/* llava.md 5.3: rows after packing, for the published tile of 24 x 24 */
static void test_pack(void **state)
{
    static const struct {
        int w, h, grid_w, grid_h, n;
        bool round7;
    } t[] = { { 336, 336, 1, 2, 1176, false },   { 640, 480, 2, 2, 2340, false },
              { 480, 640, 2, 2, 2352, false },   { 1024, 899, 2, 2, 2634, false },
              { 1920, 1080, 2, 2, 1948, false }, { 1080, 1920, 2, 2, 1968, false },
              { 1000, 300, 3, 1, 2182, false },  { 300, 1000, 1, 3, 2232, false },
              { 672, 672, 2, 2, 2928, false },   { 352, 748, 1, 3, 576 + 52 * 25, true },
              { 352, 748, 1, 3, 576 + 50 * 25, false } };
    struct stages s = { 0 };
    struct mm_ctx c;

    (void)state;
    init(&c, &s);
    c.trace = NULL;
    struct mm_var *newline = mm_var_new(&c, 1, (int64_t[]){ 2 });
    memset(newline->t.data, 0, 8);
    for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
        const int64_t shape[3] = { 1 + t[i].grid_w * t[i].grid_h, 576, 2 };
        const struct mm_views v = { .views = shape[0], .grid_w = t[i].grid_w,
                                    .grid_h = t[i].grid_h, .orig_w = t[i].w, .orig_h = t[i].h,
                                    .merge = MM_MERGE_SPATIAL_UNPAD, .round7 = t[i].round7 };
        struct mm_var *y = mm_var_new(&c, 3, shape);

        memset(y->t.data, 0, mm_tensor_bytes(&y->t));
        struct mm_var *rows = mm_pack_views(&c, y, &v, newline);
        assert_non_null(rows);
        assert_int_equal(rows->t.shape[0], t[i].n);
    }
    struct mm_views bad = { .views = 4, .grid_w = 2, .grid_h = 2, .orig_w = 1, .orig_h = 1,
                            .merge = MM_MERGE_SPATIAL };
    struct mm_var *y = mm_var_new(&c, 3, (int64_t[]){ 4, 4, 2 });
    assert_null(mm_pack_views(&c, y, &bad, NULL));
    assert_int_equal(c.err.code, MM_EDATA);
    mm_ctx_free(&c);
}

/* mm_projector_type identity: no tensors, features go through unchanged. */
static void test_identity(void **state)
{
    char dir[] = "/tmp/test_clip.XXXXXX", path[64];
    struct mm_projector *p = NULL;
    struct mm_ckpt *ck = NULL;
    struct mm_err e = { 0 };
    struct stages s = { 0 };
    struct mm_ctx c;
    static const char header[] =
        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    unsigned char weights[8 + 64 + 4] = { 64 };

    (void)state;
    memset(weights + 8, ' ', 64);
    memcpy(weights + 8, header, sizeof(header) - 1);
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, i ? "config.json" : "model.safetensors");
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        if (i)
            fputs("{\"model_type\":\"llava_llama\",\"mm_hidden_size\":4,"
                  "\"mm_projector_type\":\"identity\"}", f);
        else
            assert_int_equal(fwrite(weights, 1, sizeof(weights), f), sizeof(weights));
        fclose(f);
    }
    if (mm_ckpt_open(&ck, dir, &e) < 0 || mm_projector_open(&p, ck, &e) < 0)
        fail_msg("%s", e.msg);
    init(&c, &s);
    c.trace = NULL;
    struct mm_var *x = mm_var_new(&c, 2, (int64_t[]){ 2, 4 });
    for (int i = 0; i < 8; i++)
        mm_f32(x)[i] = (float)i;
    assert_int_equal(mm_projector_in(p), 4);
    assert_int_equal(mm_projector_out(p), 4);
    assert_memory_equal(mm_f32(mm_project(&c, p, x)), mm_f32(x), 8 * sizeof(float));
    mm_ctx_free(&c);
    mm_projector_free(p);
    mm_ckpt_close(ck);
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    remove(path);
    snprintf(path, sizeof(path), "%s/config.json", dir);
    remove(path);
    remove(dir);
}

/* clip/zero-shot: PNG files and texts to cosines and probabilities */
static void zero_shot_pictures(struct stages *s, struct mm_ckpt *ck, float *embed)
{
    static const char *const files[] = { "cat.png", "coffee.png" };
    struct mm_vision v;
    struct mm_err e = { 0 };
    struct mm_ctx c;
    const struct mm_vision_opts o = { 0 };
    float pixels[2][3 * 42 * 42];

    if (mm_vision_open(&v, ck, &o, &e) < 0)
        fail_msg("%s", e.msg);
    for (int i = 0; i < 2; i++) {
        struct mm_image im = { 0 };
        struct mm_pixels px = { 0 };
        char path[1200];

        snprintf(path, sizeof(path), "%s/%s", s->dir, files[i]);
        assert_int_equal(mm_image_load(&im, path, &e), 0);
        assert_int_equal(mm_preprocess_run(&px, &im, &v.pre, &e), 0);
        assert_int_equal(px.size_w, 42);
        memcpy(pixels[i], px.px, sizeof(pixels[i]));
        mm_pixels_free(&px);
        mm_image_free(&im);
    }
    const struct mm_tensor t = { MM_F32, 4, { 2, 3, 42, 42 }, pixels };
    struct mm_clip_select select = { .layer = { -2 }, .n = 1, .pooled = true };
    struct mm_clip_out out;
    init(&c, s);
    stages_trace(s, "pixel_values", &t);
    mm_clip_see(&c, v.tower, mm_var_of(&c, &t), &select, &out);
    memcpy(embed, mm_f32(mm_l2_normalize(&c, out.embed, 0)), 2 * 40 * sizeof(float));
    mm_ctx_free(&c);
    mm_vision_close(&v);
}

static void test_zero_shot(void **state)
{
    struct stages s;
    struct mm_clip_text *m = NULL;
    struct mm_clip_out out;
    struct mm_err e = { 0 };
    struct mm_ctx c;
    float image[2 * 40], logits[6], probs[6];
    int32_t ids[45];

    (void)state;
    stages_open(&s, "clip/zero-shot");
    struct mm_ckpt *ck = golden_open(s.dir, "model");
    zero_shot_pictures(&s, ck, image);
    const struct mm_ckpt_entry *en = mm_ckpt_lookup(s.expected, "input_ids");
    for (int i = 0; i < 45; i++)
        ids[i] = (int32_t)((const int64_t *)en->t.data)[i];
    assert_int_equal(mm_clip_text_open(&m, ck, &e), 0);
    init(&c, &s);
    mm_clip_read(&c, m, ids, 3, 15, &out);
    const float *text = mm_f32(mm_l2_normalize(&c, out.embed, 0));
    float scale;
    mm_tensor_to_f32(&scale, &mm_ckpt_lookup(ck, "logit_scale")->t);
    for (int i = 0; i < 2; i++) {
        double sum = 0;

        for (int j = 0; j < 3; j++) {
            double dot = 0;

            for (int k = 0; k < 40; k++)
                dot += (double)image[i * 40 + k] * text[j * 40 + k];
            logits[i * 3 + j] = (float)(exp(scale) * dot);
            sum += exp(logits[i * 3 + j]);
        }
        for (int j = 0; j < 3; j++)
            probs[i * 3 + j] = (float)(exp(logits[i * 3 + j]) / sum);
    }
    stages_check(&s, "logits_per_image", logits, 6);
    stages_check(&s, "probs", probs, 6);
    stages_done(&s, "*", "[ia][nt]*_*[sk]"); /* ids and mask are the tokenizer's */
    mm_ctx_free(&c);
    mm_clip_text_free(m);
    mm_ckpt_close(ck);
    stages_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quick),         cmocka_unit_test(test_laion),
        cmocka_unit_test(test_openai),        cmocka_unit_test(test_open_clip_bin),
        cmocka_unit_test(test_open_clip_st),  cmocka_unit_test(test_mmproj_f16),
        cmocka_unit_test(test_mmproj_f32),    cmocka_unit_test(test_mmproj_new),
        cmocka_unit_test(test_text_eos),      cmocka_unit_test(test_text_eos2),
        cmocka_unit_test(test_select),        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_zero_shot),     cmocka_unit_test(test_identity),
    };

    pool = mm_pool_new(2);
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    mm_pool_free(pool);
    return rc;
}
