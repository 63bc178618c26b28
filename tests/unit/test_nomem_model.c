/* test_nomem_model.c: no allocation failure crashes, leaks, hangs or goes unreported:
 * pictures, sound, models, generation.
 */
#include "nomem.h"

#include "media/audio.h"
#include "media/preprocess.h"
#include "model/generate.h"
#include "model/llm.h"
#include "model/mmproj.h"
#include "model/projector.h"
#include "model/state.h"
#include "model/vision.h"
#include "nn/gbnf.h"
#include "weights/convert.h"

/* --- pictures and sound ------------------------------------------------------ */

static int op_image(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_image im = { 0 };
    unsigned char *png = NULL;
    size_t n = 0;
    int rc = mm_image_load(&im, arg, e);

    if (rc == 0)
        rc = mm_image_upright(&im, e);
    if (rc == 0)
        rc = mm_image_rgb(&im, e);
    if (rc == 0)
        rc = mm_image_png(&png, &n, &im, e);
    if (rc == 0)
        nomem_mix(sum, png, n);
    free(png);
    mm_image_free(&im);
    return rc;
}

struct picture {
    struct mm_image im;
    struct mm_preprocess pre;
};

static int op_preprocess(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct picture *p = arg;
    struct mm_pixels px = { 0 };
    const int rc = mm_preprocess_run(&px, &p->im, &p->pre, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, px.px, (size_t)px.tiles * 3 * (size_t)px.size_h * (size_t)px.size_w *
                              sizeof(*px.px));
    mm_pixels_free(&px);
    return 0;
}

static void pictures(void **state)
{
    static const char *const file[] = {
        "image/decode-png/grey1-interlaced.png", "image/decode-png/grey-alpha16.png",
        "image/clip-42/palette.png", "image/clip-42/alpha.png", "image/decode-jpeg/s420.jpg",
        "image/decode-jpeg/cmyk.jpg", "image/decode-exif/j6.jpg", "image/decode-exif/o5.png",
        "image/decode-webp/lossy-alpha.webp", "image/decode-webp/lossless.webp"
    };
    static const enum mm_aspect aspect[] = { MM_ASPECT_CROP, MM_ASPECT_PAD, MM_ASPECT_ANYRES,
                                             MM_ASPECT_SQUEEZE };
    struct mm_err e = { 0 };
    char path[600];

    (void)state;
    for (size_t i = 0; i < COUNT(file); i++) {
        snprintf(path, sizeof(path), "%s", golden(file[i]));
        nomem_run(file[i], op_image, path, 100);
    }
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < COUNT(aspect); i++) {
            struct picture p = { 0 };

            assert_int_equal(mm_image_load(&p.im, golden(file[3 + f]), &e), 0);
            mm_preprocess_clip(&p.pre, 42);
            p.pre.aspect = aspect[i];
            p.pre.npin = 2;
            p.pre.pin[0][0] = p.pre.pin[1][1] = 42;
            p.pre.pin[0][1] = p.pre.pin[1][0] = 84;
            nomem_run("preprocess", op_preprocess, &p, 100);
            mm_image_free(&p.im);
        }
}

static int op_audio(void *arg, struct mm_err *e, uint64_t *sum)
{
    static float x[2000] = { 0.5f, -0.5f, 0.25f };
    const struct mm_audio a = { .rate = 8000, .channels = 2, .frames = 1000, .x = x };
    struct mm_audio back = { 0 };
    unsigned char *wav = NULL;
    size_t n = 0;
    int rc = mm_audio_wav(&wav, &n, &a, MM_WAV_F32, e);

    (void)arg;
    if (rc == 0)
        rc = mm_audio_decode(&back, wav, n, "wav", 0, e);
    if (rc == 0)
        nomem_mix(sum, back.x, back.frames * 2 * sizeof(*back.x));
    free(wav);
    mm_audio_free(&back);
    return rc;
}

static void audio(void **state)
{
    (void)state;
    nomem_run("audio", op_audio, NULL, 100);
}

/* --- models ------------------------------------------------------------------ */

static int op_clip(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_ckpt *const ck = arg;
    struct mm_clip_vision *m = NULL;
    const struct mm_clip_select select = { .layer = { -2, 1 }, .n = 2, .pooled = true };
    struct mm_clip_out out = { 0 };
    struct mm_ctx c = { 0 };
    int rc = mm_clip_vision_open(&m, ck, NULL, e);

    if (rc < 0)
        return rc;
    const int64_t side = mm_clip_vision_config(m)->image;
    float *px = __real_calloc((size_t)(3 * side * side), sizeof(*px));
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 4, .shape = { 1, 3, side, side },
                                 .data = px };
    rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        const struct mm_var *x = mm_var_of(&c, &t);

        if (x)
            mm_clip_see(&c, m, x, &select, &out);
        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, out.features->t.data, mm_tensor_bytes(&out.features->t));
    }
    mm_ctx_free(&c);
    free(px);
    mm_clip_vision_free(m);
    return rc;
}

static int op_clip_text(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_ckpt *const ck = arg;
    static const int32_t ids[] = { 1, 2, 3, 4, 5, 6 };
    struct mm_clip_text *m = NULL;
    struct mm_clip_out out = { 0 };
    struct mm_ctx c = { 0 };
    int rc = mm_clip_text_open(&m, ck, e);

    if (rc == 0)
        rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        mm_clip_read(&c, m, ids, 2, 3, &out);
        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, out.pooled->t.data, mm_tensor_bytes(&out.pooled->t));
    }
    mm_ctx_free(&c);
    mm_clip_text_free(m);
    return rc;
}

static int op_projector(void *arg, struct mm_err *e, uint64_t *sum)
{
    static float rows[5 * 4096];
    struct mm_projector *p = NULL;
    struct mm_ctx c = { 0 };
    int rc = mm_projector_open(&p, arg, e);

    if (rc < 0)
        return rc;
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { 5, mm_projector_in(p) },
                                 .data = rows };
    rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        const struct mm_var *x = mm_var_of(&c, &t);
        const struct mm_var *y = x ? mm_project(&c, p, x) : NULL;

        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, y->t.data, mm_tensor_bytes(&y->t));
    }
    mm_ctx_free(&c);
    mm_projector_free(p);
    return rc;
}

static int convert_all(struct mm_convert *c, struct mm_ggufw *w, const char *path,
                       struct mm_err *e)
{
    int rc = mm_convert_begin(c, w, path, e);

    for (size_t i = 0; rc == 0 && i < mm_convert_count(c); i++)
        rc = mm_convert_tensor(c, i, w, NULL, e);
    return rc < 0 ? rc : mm_ggufw_commit(w, e);
}

/* Vision tower, its preprocessing, and both as a GGUF. */
static int op_vision(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct mm_vision_opts o = { 0 };
    const char *path = scratch("v.gguf");
    struct mm_ckpt *const ck = arg;
    struct mm_vision v = { 0 };
    struct mm_convert *c = NULL;
    struct mm_ggufw *w = NULL;
    int rc = mm_vision_open(&v, ck, &o, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, &v.fingerprint, sizeof(v.fingerprint));
    if (!mm_ckpt_is_gguf(ck)) {
        c = mm_convert_new(MM_F16);
        w = mm_ggufw_new();
        rc = c && w ? mm_mmproj_plan(c, w, &v, ck, "name", e) : nomem_err(e);
        if (rc == 0)
            rc = convert_all(c, w, path, e);
        mm_ggufw_free(w);
        mm_convert_free(c);
        if (rc == 0)
            rc = mix_file(sum, path);
    }
    mm_vision_close(&v);
    return rc;
}

static void with_ckpt(const char *rel, const char *name, nomem_op *op, size_t most)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck = NULL;
    char text[200];

    if (mm_ckpt_open(&ck, golden(rel), &e) < 0)
        fail_msg("%s", e.msg);
    snprintf(text, sizeof(text), "%s %s", name, rel);
    nomem_run(text, op, ck, most);
    mm_ckpt_close(ck);
}

static void clip(void **state)
{
    (void)state;
    with_ckpt("clip/laion-hf/model", "vision", op_clip, 100);
    with_ckpt("clip/mmproj-f16/model", "vision", op_clip, 100);
    with_ckpt("clip/text-eos/model", "text", op_clip_text, 100);
    with_ckpt("clip/open-clip/model/open_clip_model.safetensors", "text", op_clip_text, 100);
    with_ckpt("clip/mmproj-new/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_hf/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_orig/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_hf/model", "vision", op_vision, 100);
    with_ckpt("llava/v16_vicuna/model", "vision", op_vision, 100);
    with_ckpt("clip/mmproj-new/model", "vision", op_vision, 100);
}

/* --- generation -------------------------------------------------------------- */

struct world {
    struct mm_llm llm;
    struct mm_ctx ctx;
    struct mm_gram *gram;
    struct mm_gvocab *vocab;
    size_t beams;
    enum mm_dtype kv;
    double temperature;
};

static int op_llm(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct mm_adapt_spec spec = { .path = arg };
    struct mm_llm l = { 0 };
    const int rc = mm_llm_open(&l, &spec, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, l.eos, l.neos * sizeof(*l.eos));
    nomem_mix(sum, &l.fingerprint, sizeof(l.fingerprint));
    mm_llm_close(&l);
    return 0;
}

static int emit(void *arg, const char *s, size_t n)
{
    nomem_mix(arg, s, n);
    return 0;
}

static int answer(struct mm_gen *g, const struct mm_prompt *p, const struct world *w,
                  struct mm_err *e, uint64_t *sum)
{
    const struct mm_beam_spec beam = { .beams = w->beams, .max_new = 3, .length_penalty = 1,
                                       .eos = w->llm.eos, .neos = w->llm.neos };
    struct mm_answer a[4] = { { 0 } };
    size_t n = 2;
    uint64_t emitted = 0;
    struct mm_request both[] = {
        { .prompt = p, .answer = &a[0], .emit = emit, .arg = &emitted },
        { .prompt = p, .number = 1, .answer = &a[1], .emit = emit, .arg = &emitted }
    };
    const int rc = w->beams ? mm_gen_beam(g, p, &beam, a, &n, e) : mm_gen_run(g, both, 2, e);

    for (size_t i = 0; i < COUNT(a); i++) {
        nomem_mix(sum, a[i].ids, a[i].n * sizeof(*a[i].ids));
        nomem_mix(sum, a[i].logprobs, a[i].n * sizeof(*a[i].logprobs));
        nomem_mix(sum, a[i].text.p, a[i].text.n);
        mm_answer_free(&a[i]);
    }
    nomem_mix(sum, &emitted, sizeof(emitted));
    return rc;
}

static struct mm_gen_spec gen_spec(const struct world *w)
{
    static const char *const stop[] = { "never seen" };
    struct mm_gen_spec s = { .sample = mm_sample_defaults, .max_new = 3, .context = 40,
                             .stop = stop, .nstop = 1, .logprobs = true, .keep_logits = true,
                             .gram = w->gram, .gvocab = w->vocab, .kv = w->kv };

    s.sample.eos = w->llm.eos;
    s.sample.neos = w->llm.neos;
    s.sample.temperature = w->temperature;
    s.sample.top_k = 20;
    s.sample.typical_p = 0.9;
    s.sample.repeat_penalty = 1.1;
    s.sample.no_repeat_ngram = 2;
    return s;
}

static int op_generate(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "Hello world, here I am";
    struct world *w = arg;
    const struct mm_gen_spec spec = gen_spec(w);
    struct mm_parts parts = { 0 };
    struct mm_prompt p = { 0 };
    struct mm_gen *g = NULL;
    int rc = mm_parts_text(&parts, MM_PART_TEXT, text, sizeof(text) - 1, e);

    if (rc == 0)
        rc = mm_prompt_build(&p, &w->llm.prompt, &parts, e);
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum); /* from the past */
    mm_gen_free(g);
    mm_prompt_free(&p);
    mm_parts_free(&parts);
    w->ctx.err = (struct mm_err){ 0 };
    return rc;
}

static int op_state(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "Hello world, here I am";
    struct world *w = arg;
    const struct mm_gen_spec spec = gen_spec(w);
    char path[600];
    struct mm_parts parts = { 0 };
    struct mm_parts back = { 0 };
    struct mm_prompt p = { 0 };
    struct mm_gen *g = NULL;
    int rc = mm_parts_text(&parts, MM_PART_TEXT, text, sizeof(text) - 1, e);

    snprintf(path, sizeof(path), "%s", scratch("state.mmt"));
    if (rc == 0)
        rc = mm_prompt_build(&p, &w->llm.prompt, &parts, e);
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = mm_gen_prefill(g, &p, e);
    if (rc == 0)
        rc = mm_state_save(path, g, &parts, 77, e);
    mm_gen_free(g);
    g = NULL;
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = mm_state_load(path, g, w->kv, &back, 77, e);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum);
    mm_gen_free(g);
    mm_prompt_free(&p);
    mm_parts_free(&parts);
    mm_parts_free(&back);
    unlink(path);
    w->ctx.err = (struct mm_err){ 0 };
    return rc;
}

static void generation(void **state)
{
    static const char gbnf[] = "root ::= [a-z ]* word\nword ::= \"x\" | [^a] word | [0-9]{2,4}";
    const char *const dir = "llava/v15_hf/model";
    char path[600];
    const struct mm_adapt_spec spec = { .path = path };
    struct mm_err e = { 0 };
    struct world w = { .kv = MM_F32 };

    (void)state;
    snprintf(path, sizeof(path), "%s", golden("weights/gguf-llama-kmix/model"));
    nomem_run("llm gguf", op_llm, path, 100);
    snprintf(path, sizeof(path), "%s", golden(dir));
    nomem_run("llm hf", op_llm, path, 100);
    if (mm_llm_open(&w.llm, &spec, &e) < 0 || mm_ctx_init(&w.ctx, NULL, MM_ARITH_EXACT, &e) < 0)
        fail_msg("%s", e.msg);
    nomem_run("greedy", op_generate, &w, 60);
    nomem_run("state", op_state, &w, 60);
    w.beams = 3;
    nomem_run("beams", op_generate, &w, 60);
    w.beams = 0;
    if (mm_gbnf_parse(&w.gram, gbnf, sizeof(gbnf) - 1, &e) < 0 ||
        mm_gvocab_new(&w.vocab, w.llm.tok, &e) < 0)
        fail_msg("%s", e.msg);
    w.kv = MM_F16;
    w.temperature = 0.8;
    nomem_run("grammar", op_generate, &w, 80);
    mm_gram_free(w.gram);
    mm_gvocab_free(w.vocab);
    mm_ctx_free(&w.ctx);
    mm_llm_close(&w.llm);
}

/* Once running, a token allocates nothing: two sequences, text and log-probabilities. */
static void steady(void **state)
{
    enum { WARM = 10, STEPS = 60 };
    static const char text[] = "Hello world, here I am";
    static const enum mm_arith arith[] = { MM_ARITH_EXACT, MM_ARITH_FAST };
    char path[600];
    const struct mm_adapt_spec spec = { .path = path };
    struct mm_err e = { 0 };

    (void)state;
    snprintf(path, sizeof(path), "%s", golden("weights/gguf-llama-kmix/model"));
    for (size_t i = 0; i < COUNT(arith); i++) {
        struct world w = { .kv = MM_F16, .temperature = 0.8 * (double)i };
        struct mm_pool *pool = mm_pool_new(2);
        struct mm_parts parts = { 0 };
        struct mm_prompt p = { 0 };
        struct mm_answer a[2] = { { 0 } };
        struct mm_gen *g = NULL;
        struct mm_batch *b = NULL;
        uint64_t sum = 0;
        size_t before = 0;

        if (mm_llm_open(&w.llm, &spec, &e) < 0 || mm_ctx_init(&w.ctx, pool, arith[i], &e) < 0 ||
            mm_parts_text(&parts, MM_PART_TEXT, text, sizeof(text) - 1, &e) < 0 ||
            mm_prompt_build(&p, &w.llm.prompt, &parts, &e) < 0)
            fail_msg("%s", e.msg);
        struct mm_gen_spec o = gen_spec(&w);
        o.max_new = o.context = 2 * STEPS;
        o.keep_logits = false;
        o.sample.ignore_eos = true;
        assert_int_equal(mm_gen_new(&g, w.llm.m, w.llm.tok, &w.ctx, &o, &e), 0);
        assert_int_equal(mm_batch_new(&b, g, 2, &e), 0);
        struct mm_request r[2] = {
            { .prompt = &p, .answer = &a[0], .emit = emit, .arg = &sum },
            { .prompt = &p, .number = 1, .answer = &a[1], .emit = emit, .arg = &sum }
        };
        for (size_t k = 0; k < 2; k++)
            assert_int_equal(mm_batch_add(b, &r[k], &e), 0);
        for (size_t k = 0; k < STEPS; k++) {
            if (k == WARM)
                before = nomem.count;
            assert_int_equal(mm_batch_step(b, &e), 0);
        }
        assert_true(nomem.count - before <= 2); /* a tokenizer's buffer may yet double */
        assert_true(before > 0 && a[1].n >= STEPS - 2 && !r[0].done && !r[1].done);
        mm_batch_free(b);
        mm_gen_free(g);
        for (size_t k = 0; k < 2; k++)
            mm_answer_free(&a[k]);
        mm_prompt_free(&p);
        mm_parts_free(&parts);
        mm_ctx_free(&w.ctx);
        mm_llm_close(&w.llm);
        mm_pool_free(pool);
    }
}

/* ----------------------------------------------------------------------------- */

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, nomem_verdict)
    const struct CMUnitTest t[] = { T(pictures), T(audio), T(clip), T(generation), T(steady) };

    return cmocka_run_group_tests(t, nomem_setup, nomem_teardown);
}
