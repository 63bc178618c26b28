/* LLaVA's stages: golden runs llava_stage1, llava_stage2, llava_stage2_lora; ids and
 * labels exact; formats the golden cases do not have.
 */
#include "traincase.h"

#include "model/llm.h"
#include "model/vision.h"
#include "train/convs.h"

struct llava_case {
    struct stages s;
    char model[1200], data[1200], images[1200], adapter[1200];
    char *paths[1];
    struct mm_job_spec spec;
    const char *version;
};

static void llava_open(struct llava_case *l, const char *name)
{
    struct mm_job_spec *s = &l->spec;

    stages_open(&l->s, name);
    const json_t *config = json_object_get(l->s.spec, "config");
    const char *aspect = json_string_value(json_object_get(config, "aspect"));
    const char *data = json_string_value(json_object_get(config, "data"));
    snprintf(l->model, sizeof(l->model), "%s/model", l->s.dir);
    snprintf(l->data, sizeof(l->data), "%s/%s", l->s.dir, data);
    snprintf(l->images, sizeof(l->images), "%s/images", l->s.dir);
    snprintf(l->adapter, sizeof(l->adapter), "%s/adapter", l->s.dir);
    l->version = json_string_value(json_object_get(config, "version"));
    l->paths[0] = l->data;
    *s = case_spec(&l->s);
    s->model = l->model;
    s->data = l->paths;
    s->ndata = 1;
    s->images = l->images;
    s->has_aspect = true;
    s->aspect = !strcmp(aspect, "pad") ? MM_ASPECT_PAD : MM_ASPECT_CROP;
}

static void open_job(struct mm_job *j, const char *objective, const struct mm_job_spec *s,
                     struct mm_pool *p)
{
    struct mm_err e = { 0 };

    if (mm_job_open(j, mm_objective_named(objective), s, p, 0, 1, &e) < 0)
        fail_msg("%s", e.msg);
}

/* --- ids, labels, pixels ------------------------------------------------------------------- */

static void same_list(const json_t *want, const int32_t *v, size_t n, const char *what)
{
    if (json_array_size(want) != n)
        fail_msg("%s: %zu, want %zu", what, n, json_array_size(want));
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(want, i)) != v[i])
            fail_msg("%s: %d at %zu, want %lld", what, (int)v[i], i,
                     (long long)json_integer_value(json_array_get(want, i)));
}

/* A picture's rows are one id in the reference. */
static void check_sample(const struct mm_labelled *l, const json_t *expected, const char *id)
{
    int32_t *ids = malloc((l->n + 1) * sizeof(int32_t)), *labels = malloc((l->n + 1) * sizeof(*ids));
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (l->id[i] < 0 && i > 0 && l->id[i - 1] < 0)
            continue;
        ids[n] = l->id[i] < 0 ? MM_IMAGE_ID : l->id[i];
        labels[n++] = l->label[i];
    }
    same_list(json_object_get(json_object_get(expected, "ids"), id), ids, n, id);
    same_list(json_object_get(json_object_get(expected, "labels"), id), labels, n, id);
    free(ids);
    free(labels);
}

static void check_pixels(struct llava_case *l, const struct mm_vision *v, const char *id,
                         const char *image)
{
    struct mm_image im = { 0 };
    struct mm_pixels px = { 0 };
    struct mm_err e = { 0 };
    char path[1400];

    snprintf(path, sizeof(path), "%s/%s", l->images, image);
    if (mm_image_load(&im, path, &e) < 0 || mm_preprocess_run(&px, &im, &v->pre, &e) < 0)
        fail_msg("%s", e.msg);
    case_stage(&l->s, "pixel_values", id, px.px, (size_t)(3 * px.size_w * px.size_h));
    mm_pixels_free(&px);
    mm_image_free(&im);
}

static void check_data(struct llava_case *l)
{
    const struct mm_vision_opts vo = { .has_aspect = true, .aspect = l->spec.aspect };
    struct mm_err e = { 0 };
    struct mm_llm llm = { 0 };
    struct mm_vision v;
    struct mm_convs *c;
    json_t *expected;
    char path[1400];

    snprintf(path, sizeof(path), "%s/expected.json", l->s.dir);
    assert_int_equal(mm_json_file(&expected, path, &e), 0);
    assert_int_equal(mm_llm_open(&llm, &(struct mm_adapt_spec){ .path = l->model }, &e), 0);
    assert_int_equal(mm_vision_open(&v, llm.ck, &vo, &e), 0);
    assert_int_equal(mm_convs_open(&c, l->paths, 1, &e), 0);
    const struct mm_convs_spec cs = { .prompt = llm.prompt, .context = 2048,
                                      .template = mm_template_named(l->version) };
    for (size_t i = 0; i < mm_convs_count(c); i++) {
        struct mm_labelled s;

        if (mm_convs_build(&s, c, i, (size_t)case_num(&l->s, "image_tokens", 0), &cs, &e) < 0)
            fail_msg("%s", e.msg);
        check_sample(&s, expected, mm_convs_id(c, i));
        if (mm_convs_image(c, i))
            check_pixels(l, &v, mm_convs_id(c, i), mm_convs_image(c, i));
        mm_labelled_free(&s);
    }
    mm_convs_free(c);
    mm_vision_close(&v);
    mm_llm_close(&llm);
    json_decref(expected);
}

/* --- runs ------------------------------------------------------------------------------------ */

static void finish(struct llava_case *l, struct mm_job *j, struct case_run *r)
{
    print_message("%s: worst %.2f of the tolerance\n", l->s.dir, l->s.worst);
    case_free(r, j);
    mm_job_close(j);
    stages_close(&l->s);
}

static void test_stage1(void **state)
{
    struct llava_case l = { 0 };
    struct case_run r;
    struct mm_job j;

    (void)state;
    llava_open(&l, "train/llava_stage1");
    check_data(&l);
    open_job(&j, "llava-align", &l.spec, NULL);
    assert_int_equal(j.set.n, 4); /* nothing but the projector can move */
    case_updates(&l.s, &j, &r, NULL);
    case_end(&l.s, &j, &r, NULL);
    stages_done(&l.s, "*", NULL);
    finish(&l, &j, &r);
}

static void by_token(struct llava_case *l)
{
    struct case_run r;
    struct mm_job j;

    l->spec.norm = MM_NORM_TOKEN;
    open_job(&j, "llava-instruct", &l->spec, NULL);
    case_begin(&r, &j);
    for (struct mm_job_report rep; j.update < j.steps;) {
        struct mm_err e = { 0 };

        assert_int_equal(mm_job_update(&j, &rep, &e), 0);
        r.loss[j.update - 1] = rep.loss;
    }
    case_series(&l->s, "loss_norm_token/updates", r.loss, (size_t)j.steps);
    for (size_t i = 0; i < j.set.n; i++) {
        for (size_t k = 0; k < j.set.v[i].n; k++)
            r.start[i][k] = mm_f32(j.set.v[i].var)[k] - r.start[i][k];
        case_stage(&l->s, "loss_norm_token/delta", j.set.v[i].name, r.start[i], j.set.v[i].n);
    }
    case_free(&r, &j);
    mm_job_close(&j);
    l->spec.norm = MM_NORM_BATCH;
}

static void test_stage2(void **state)
{
    struct llava_case l = { 0 };
    struct case_run r;
    struct mm_job j;

    (void)state;
    llava_open(&l, "train/llava_stage2");
    check_data(&l);
    by_token(&l);
    open_job(&j, "llava-instruct", &l.spec, NULL);
    case_updates(&l.s, &j, &r, NULL);
    case_end(&l.s, &j, &r, NULL);
    stages_done(&l.s, "*", NULL);
    finish(&l, &j, &r);
}

/* Our names are those of the file, the reference's those in memory. */
static const char *peft_name(char *buf, const char *name)
{
    const char *at = strstr(name, ".lora_");

    if (at)
        snprintf(buf, 400, "%.*s.lora_%c.default.weight", (int)(at - name), name, at[6]);
    else
        snprintf(buf, 400, "base_model.model.%s", name);
    return buf;
}

/* The adapter written, opened again as mm-llm --lora does. */
static void check_merged(struct llava_case *l, struct mm_job *j)
{
    char dir[] = "/tmp/mm-train-XXXXXX", path[100];
    struct mm_ckpt *ck;
    struct mm_err e = { 0 };

    assert_non_null(mkdtemp(dir));
    l->spec.out = dir;
    if (j->objective->export(j, &e) < 0)
        fail_msg("%s", e.msg);
    snprintf(path, sizeof(path), "%s/adapter", dir);
    const struct mm_adapt_spec as = { .path = l->model, .lora = path };
    assert_int_equal(mm_adapt_open(&ck, &as, &e), 0);
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(ck, i);
        float *x = malloc(mm_tensor_count(&en->t) * sizeof(float));

        mm_tensor_to_f32(x, &en->t);
        case_stage(&l->s, "merged", en->name, x, mm_tensor_count(&en->t));
        free(x);
    }
    mm_ckpt_close(ck);
    snprintf(path, sizeof(path), "%s/adapter/adapter_config.json", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/adapter/adapter_model.safetensors", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/adapter", dir);
    rmdir(path);
    mm_export_remove(dir);
}

static void test_lora(void **state)
{
    struct llava_case l = { 0 };
    struct case_run r;
    struct mm_job j;

    (void)state;
    llava_open(&l, "train/llava_stage2_lora");
    check_data(&l);
    l.spec.lora.from = l.adapter;
    l.spec.projector_lr = case_num(&l.s, "projector_lr", 0);
    open_job(&j, "llava-instruct", &l.spec, NULL);
    case_updates(&l.s, &j, &r, peft_name);
    case_end(&l.s, &j, &r, peft_name);
    check_merged(&l, &j);
    stages_done(&l.s, "*", NULL);
    finish(&l, &j, &r);
}

/* Threads and recomputed layers change not one bit, with adapters too. */
static void test_same_bytes(void **state)
{
    struct mm_pool *pool = mm_pool_new(3);
    struct llava_case l = { 0 };
    float *was = NULL;

    (void)state;
    llava_open(&l, "train/llava_stage2_lora");
    l.spec.lora = (struct mm_lora_spec){ .rank = 3, .alpha = 6 };
    l.spec.shuffle = l.spec.group = true;
    for (int i = 0; i < 3; i++) {
        struct mm_job_report r;
        struct mm_err e = { 0 };
        struct mm_job j;

        l.spec.recompute = i == 2;
        open_job(&j, "llava-instruct", &l.spec, i ? pool : NULL);
        while (j.update < j.steps)
            assert_int_equal(mm_job_update(&j, &r, &e), 0);
        float *w = malloc(j.set.total * sizeof(float));
        for (size_t k = 0; k < j.set.n; k++)
            memcpy(w + j.set.v[k].at, mm_f32(j.set.v[k].var), j.set.v[k].n * sizeof(float));
        if (was)
            assert_memory_equal(w, was, j.set.total * sizeof(float));
        free(was);
        was = w;
        mm_job_close(&j);
    }
    free(was);
    mm_pool_free(pool);
    stages_close(&l.s);
}

/* --- formats --------------------------------------------------------------------------------- */

/* What is trained of a sample, as text; "|" where a trained run begins.  why: the error, or
 * how long it is. */
static char *trained_text(const char *json, const char *template, char *why)
{
    char path[] = "/tmp/mm-convs-XXXXXX", model[1200], *paths[1] = { path };
    const int fd = mkstemp(path);
    struct mm_err e = { 0 };
    struct mm_llm llm = { 0 };
    struct mm_labelled l;
    struct mm_buf b = { 0 };
    struct mm_convs *c;

    assert_int_equal(write(fd, json, strlen(json)), (ssize_t)strlen(json));
    close(fd);
    snprintf(model, sizeof(model), "%s/train/llava_stage2/model", golden_dir());
    assert_int_equal(mm_llm_open(&llm, &(struct mm_adapt_spec){ .path = model }, &e), 0);
    const struct mm_convs_spec cs = { .prompt = llm.prompt, .context = 512,
                                      .template = mm_template_named(template) };
    int rc = mm_convs_open(&c, paths, 1, &e);
    if (rc < 0) {
        c = NULL;
        l = (struct mm_labelled){ 0 };
    } else {
        struct mm_err checked = { 0 };

        rc = mm_convs_build(&l, c, 0, 4, &cs, &e);
        assert_int_equal(mm_convs_check(c, 0, &cs, &checked), rc);
        assert_string_equal(checked.msg, e.msg);
    }
    if (rc < 0) {
        assert_int_equal(rc, MM_EDATA);
        assert_memory_equal(e.msg, path, strlen(path));
        strcpy(why, e.msg + strlen(path) + strlen(": "));
    } else {
        sprintf(why, "%zu positions", l.n);
    }
    for (size_t i = 0; rc == 0 && i < l.n;) {
        size_t k = i;

        while (k < l.n && l.label[k] != MM_LABEL_NONE)
            k++;
        if (k > i) {
            mm_buf_char(&b, '|');
            assert_int_equal(mm_tok_decode(llm.tok, &b, l.label + i, k - i, true, &e), 0);
        }
        i = k > i ? k : i + 1;
    }
    mm_labelled_free(&l);
    mm_convs_free(c);
    mm_llm_close(&llm);
    unlink(path);
    mm_buf_str(&b, "");
    return b.p;
}

#define TALK(more, a, b) "[{\"id\":\"x\"," more "\"conversations\":[{\"from\":\"human\",\"value\":\"" a \
    "\"},{\"from\":\"gpt\",\"value\":\"" b "\"}]}]"
#define SYSTEM(text, a, b) "[{\"id\":\"x\",\"conversations\":[{\"from\":\"system\",\"value\":\"" text \
    "\"},{\"from\":\"human\",\"value\":\"" a "\"},{\"from\":\"gpt\",\"value\":\"" b "\"}]}]"
#define PICTURE "\"image\":\"a.png\","

static void test_formats(void **state)
{
    static const struct {
        const char *json, *template, *want, *why;
    } cases[] = {
        { TALK(PICTURE, "What?\\n<image>", "A cat."), "v1", "|A cat.</s>", "" },
        { TALK(PICTURE, "What?\\n<image>", "A cat."), "plain", "|A cat.\n", "" },
        { TALK("", "What?", "A cat."), "v1", "|A cat.</s>", "" },
        { TALK("", "What?", "A cat."), "llava_v0", "|##|### Assistant: A cat.\n### ", "" },
        { TALK("", "What?", ""), "plain", "|\n", "" },
        /* a system text replaces the template's, an empty one removes it; some have no place */
        { TALK("", "What?", "A cat."), "v1", "|A cat.</s>", "75 positions" },
        { SYSTEM("", "What?", "A cat."), "v1", "|A cat.</s>", "17 positions" },
        { SYSTEM("One two.", "What?", "A cat."), "v1", "|A cat.</s>", "25 positions" },
        { SYSTEM("One two.", "What?", "A cat."), "plain", "|A cat.\n", "" },
        { SYSTEM("One two.", "What?", "A cat."), "llava_v0", "|##|### Assistant: A cat.\n### ", "" },
        { TALK(PICTURE, "What?", "A cat."), "v1", "", "sample 1 (id 'x'): 0 <image> in its turns" },
        { TALK("", "What <image>", "A."), "v1", "", "sample 1 (id 'x'): 1 <image> in its turns" },
        { "[{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"value\":\"a\"}]}]", "v1", "",
          "sample 1 (id 'x'): it has no answer" },
        { "[{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},"
          "{\"from\":\"human\",\"value\":\"b\"}]}]", "v1", "",
          "sample 1 (id 'x'): turn 1: user and assistant must alternate" },
        { "[{\"id\":\"x\",\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},"
          "{\"from\":\"human\",\"value\":\"b\"}]}]", "plain", "",
          "sample 1 (id 'x'): turn 1: user and assistant must alternate" },
        { TALK("\"image\":null,", "What?", "A cat."), "v1", "|A cat.</s>", "" },
        { TALK("\"image\":[\"a.png\"],", "<image>", "A."), "v1", "", "sample 1 (id 'x'): \"image\" is no name" },
        { TALK("\"image\":\"\",", "<image>", "A."), "v1", "", "sample 1 (id 'x'): \"image\" is no name" },
        { "[{\"conversations\":[{\"role\":\"user\",\"content\":\"a\"}]}]", "v1", "",
          "sample 1 (id ''): turn 0: from '': human, gpt or system is wanted" },
        { "[{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"bing\",\"value\":\"b\"}]}]",
          "v1", "", "sample 1 (id ''): turn 1: from 'bing': human, gpt or system is wanted" },
        { "[{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\"}]}]",
          "v1", "", "sample 1 (id ''): turn 1: no string \"value\"" },
        { "{\"id\":\"x\",\"conversations\":[]}", "v1", "", "sample 1 (id 'x'): it has no answer" },
        { "\r\n{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}\r\n \r\n",
          "v1", "|b</s>", "" },
        { "{\"id\":\"x\",\"conversations\":7}", "v1", "", "sample 1 (id 'x'): no array \"conversations\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[16000];
        char *got = trained_text(cases[i].json, cases[i].template, why);

        if (strcmp(got, cases[i].want) || strncmp(why, cases[i].why, strlen(cases[i].why)))
            fail_msg("case %zu: '%s' %s", i, got, why);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stage1),     cmocka_unit_test(test_stage2),
        cmocka_unit_test(test_lora),       cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
