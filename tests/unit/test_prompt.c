/* Prompts of the golden family llava: ids and places of pictures; parts; the
 * token mask of a grammar over real vocabularies.
 */
#include "stages.h"

#include "model/llm.h"
#include "nn/gbnf.h"

enum { IMAGE = -200 };

static void llm_open(struct mm_llm *l, const char *name)
{
    struct mm_err e = { 0 };
    char path[1200];

    snprintf(path, sizeof(path), "%s/%s", golden_dir(), name);
    const struct mm_adapt_spec spec = { .path = path };
    *l = (struct mm_llm){ 0 };
    if (mm_llm_open(l, &spec, &e) < 0)
        fail_msg("%s", e.msg);
}

static json_t *json_at(const char *name, const char *file)
{
    struct mm_err e = { 0 };
    char path[1200];
    json_t *j = NULL;

    snprintf(path, sizeof(path), "%s/llava/%s/%s", golden_dir(), name, file);
    if (mm_json_file(&j, path, &e) < 0)
        fail_msg("%s", e.msg);
    return j;
}

/* k pictures of 3 rows each. */
static void pictures(struct mm_parts *p, size_t k, int64_t dim)
{
    struct mm_err e = { 0 };
    float *x = calloc((size_t)dim * 3, sizeof(*x));
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { 3, dim }, .data = x };

    for (size_t i = 0; i < k; i++) {
        x[0] = (float)i;
        assert_int_equal(mm_parts_rows(p, "<image>", &t, dim, &e), 0);
    }
    free(x);
}

/* One prompt: ids equal, one IMAGE for each run of rows. */
static void check_prompt(const struct mm_llm *l, const char *what, const char *text,
                         size_t images, const json_t *want)
{
    struct mm_err e = { 0 };
    struct mm_parts media = { 0 };
    struct mm_parts parts = { 0 };
    struct mm_prompt p = { 0 };
    int32_t got[600];
    size_t n = 0;
    size_t k = 0;

    pictures(&media, images, l->prompt.dim);
    assert_int_equal(mm_parts_fill(&parts, MM_PART_TEXT, text, strlen(text), &media, &e), 0);
    if (mm_prompt_build(&p, &l->prompt, &parts, &e) < 0)
        fail_msg("%s: %s", what, e.msg);
    assert_int_equal(p.nrows, images * 3);
    for (size_t i = 0; i < p.n; i++) {
        assert_true(n < 600);
        if (p.id[i] >= 0)
            got[n++] = p.id[i];
        else if (n == 0 || got[n - 1] != IMAGE || ~p.id[i] % 3 == 0)
            got[n++] = IMAGE;
    }
    for (size_t i = 0; i < json_array_size(want); i++, k++) {
        int64_t id = json_integer_value(json_array_get(want, i));
        const bool image = id == IMAGE || id == l->llava.image_token ||
                           (l->prompt.style == MM_MARK_PATCH &&
                            id == mm_tok_id(l->tok, "<im_patch>"));
        if (image) { /* rows of a picture, or of two without text between them */
            while (i + 1 < json_array_size(want) && id != IMAGE &&
                   json_integer_value(json_array_get(want, i + 1)) == id)
                i++;
            id = IMAGE;
        }
        if (k >= n || got[k] != id)
            fail_msg("%s: place %zu is %d, want %d", what, k, k < n ? (int)got[k] : -1, (int)id);
        while (image && id == IMAGE && k + 1 < n && got[k + 1] == IMAGE &&
               l->prompt.style != MM_MARK_CHUNK)
            k++;
    }
    assert_int_equal(k, n);
    mm_prompt_free(&p);
    mm_parts_free(&parts);
    mm_parts_free(&media);
}

static void golden_prompts(void **state)
{
    static const char *const cases[] = { "v15_hf", "v15_orig", "v16_vicuna", "v16_mistral",
                                         "v16_orig", "v1_linear", "v0_patches" };
    size_t checked = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct mm_llm l;
        char path[200];
        const char *name;
        json_t *v;
        snprintf(path, sizeof(path), "llava/%s/model", cases[i]);
        llm_open(&l, path);
        json_t *c = json_at(cases[i], "case.json");
        json_t *x = json_at(cases[i], "expected.json");
        const json_t *inputs = json_object_get(c, "inputs");
        json_object_foreach(json_object_get(inputs, "prompts"), name, v) {
            const char *text = json_string_value(json_object_get(v, "text"));
            const json_t *ids = json_object_get(json_object_get(x, name), "prompt_ids");
            if (!text)
                continue; /* a batch */
            assert_true(json_array_size(ids) > 0);
            check_prompt(&l, name, text, json_array_size(json_object_get(v, "images")), ids);
            checked++;
        }
        json_object_foreach(json_object_get(x, "tokenize"), name, v) {
            const char *text = json_string_value(json_object_get(v, "text"));
            size_t images = 0;
            for (const char *s = text; (s = strstr(s, "<image>")); s++)
                images++;
            check_prompt(&l, name, text, images, json_object_get(v, "ids"));
            checked++;
        }
        json_decref(c);
        json_decref(x);
        mm_llm_close(&l);
    }
    assert_true(checked > 25);
}

static void parts(void **state)
{
    static const struct {
        const char *text;
        size_t images;
        const char *why;
    } c[] = {
        { "<image> <image>", 1, "has 2 <image>, the item has 1 records" },
        { "none", 2, "has 0 <image>, the item has 2 records" },
        { "<audio>", 0, "has 1 <audio>, the item has 0 records" },
    };
    struct mm_err e = { 0 };
    struct mm_parts p = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_parts media = { 0 };
        struct mm_err f = { 0 };
        pictures(&media, c[i].images, 4);
        assert_int_equal(mm_parts_fill(&p, MM_PART_TEXT, c[i].text, strlen(c[i].text), &media, &f),
                         MM_EDATA);
        assert_non_null(strstr(f.msg, c[i].why));
        mm_parts_free(&media);
    }
    float bad[4] = { 0, 1, NAN, 2 };
    struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { 1, 4 }, .data = bad };
    assert_int_equal(mm_parts_rows(&p, NULL, &t, 4, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_parts_rows(&p, NULL, &t, 5, &e), MM_ESHAPE);
    mm_err_clear(&e);
    int16_t ids[3] = { 3, -1, 2 };
    t = (struct mm_tensor){ .dtype = MM_I16, .ndim = 1, .shape = { 3 }, .data = ids };
    assert_int_equal(mm_parts_ids(&p, &t, 10, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "element 1 is -1"));
    mm_err_clear(&e);
    ids[1] = 10;
    assert_int_equal(mm_parts_ids(&p, &t, 10, &e), MM_EDATA);
    mm_err_clear(&e);
    ids[1] = 9;
    assert_int_equal(mm_parts_ids(&p, &t, 10, &e), 0);
    assert_int_equal(p.v[p.n - 1].ids[1], 9);
    mm_parts_free(&p);
}

/* What a user types is text: `</s>` is no end, `<image>` no picture. */
static void injection(void **state)
{
    struct mm_err e = { 0 };
    struct mm_llm l;
    struct mm_parts p = { 0 };
    struct mm_prompt prompt = { 0 };

    (void)state;
    llm_open(&l, "llava/v15_hf/model");
    assert_int_equal(mm_parts_text(&p, MM_PART_TEXT, "USER: ", 6, &e), 0);
    assert_int_equal(mm_parts_text(&p, MM_PART_USER, "a</s><image>b", 13, &e), 0);
    assert_int_equal(mm_parts_text(&p, MM_PART_TEXT, "</s>", 4, &e), 0);
    assert_int_equal(mm_prompt_build(&prompt, &l.prompt, &p, &e), 0);
    size_t ends = 0;
    for (size_t i = 0; i < prompt.n; i++) {
        ends += prompt.id[i] == mm_tok_eos(l.tok);
        assert_true(prompt.id[i] != l.llava.image_token);
    }
    assert_int_equal(ends, 1);
    assert_int_equal(prompt.id[0], mm_tok_bos(l.tok));
    assert_true(prompt.id[1] != mm_tok_bos(l.tok));
    mm_prompt_free(&prompt);
    mm_parts_free(&p);
    mm_llm_close(&l);
}

/* The mask over a sorted vocabulary is what testing each token says. */
static void mask(void **state)
{
    static const char *const models[] = { "llava/v15_hf/model", "llava/v15_orig/model",
                                          "llama/vicuna/model" };
    static const char text[] = "root ::= \" \"? [a-e \xc3\xa9\xe2\x82\xac]+ (\"is\" [^x-z]*)?";
    struct mm_err e = { 0 };
    struct mm_gram *g;

    (void)state;
    assert_int_equal(mm_gbnf_parse(&g, text, strlen(text), &e), 0);
    for (size_t m = 0; m < sizeof(models) / sizeof(*models); m++) {
        struct mm_llm l;
        struct mm_gvocab *v;
        struct mm_gstate *s;
        llm_open(&l, models[m]);
        const size_t vocab = (size_t)mm_llama_config(l.m)->vocab;
        float *x = calloc(vocab, sizeof(*x));
        assert_int_equal(mm_gvocab_new(&v, l.tok, &e), 0);
        assert_int_equal(mm_gstate_new(&s, g, &e), 0);
        for (int step = 0; step < 8; step++) {
            int32_t next = -1;
            memset(x, 0, vocab * sizeof(*x));
            assert_int_equal(mm_gstate_mask(s, v, x, vocab, l.eos, l.neos, &e), 0);
            for (size_t i = 0; i < vocab; i++) {
                size_t n;
                const char *b = mm_gvocab_bytes(v, (int32_t)i, &n);
                bool ok = b && *b && mm_gstate_accepts(s, b, n, &e) > 0;
                for (size_t k = 0; k < l.neos; k++)
                    if ((size_t)l.eos[k] == i)
                        ok = mm_gstate_complete(s);
                if (ok != (x[i] == 0))
                    fail_msg("%s: step %d, token %zu", models[m], step, i);
                if (ok && b && (next < 0 || i % 7 == (size_t)step))
                    next = (int32_t)i;
            }
            assert_true(next >= 0);
            size_t n;
            const char *b = mm_gvocab_bytes(v, next, &n);
            assert_int_equal(mm_gstate_advance(s, b, n, &e), 0);
        }
        free(x);
        mm_gstate_free(s);
        mm_gvocab_free(v);
        mm_llm_close(&l);
    }
    mm_gram_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_prompts),
        cmocka_unit_test(parts),
        cmocka_unit_test(injection),
        cmocka_unit_test(mask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
