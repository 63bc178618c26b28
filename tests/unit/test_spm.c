/* test_spm.c: SentencePiece tokenizers against the golden vectors: as bare
 * models, under transformers' rules and inside GGUF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tokgolden.h"

static struct mm_tok *open_tok(const char *dir, const char *file)
{
    char path[512];
    struct mm_tok *t = NULL;
    struct mm_err e = { 0 };

    if (mm_tok_open(&t, tg_path(path, sizeof(path), dir, file), &e) < 0)
        fail_msg("%s", e.msg);
    return t;
}

/* file is NULL: the case's model directory. parse: flags of `ids`. */
struct golden_case {
    const char *name, *file;
    unsigned parse;
};

static void test_golden(void **state)
{
    static const struct golden_case cases[] = {
        { "sp_mistral_v1", "model/tokenizer.model", 0 },
        { "sp_tiny_llama", "model/tokenizer.model", 0 },
        { "sp_flags", "model/tokenizer.model", 0 },
        { "sp_casefold", "model/tokenizer.model", 0 },
        { "sp_edge", "model/tokenizer.model", 0 },
        { "sp_unigram_t5", "model/tokenizer.model", 0 },
        { "sp_unigram_bytes", "model/tokenizer.model", 0 },
        { "hf_llama_legacy", "model", MM_TOK_PARSE },
        { "hf_llama_nonlegacy", "model", MM_TOK_PARSE },
        { "gguf_llama", "model/vocab.gguf", 0 },
        { "gguf_llama_noprefix", "model/vocab.gguf", 0 }
    };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mm_tok *const t = open_tok(cases[i].name, cases[i].file);
        json_t *const c = tg_json(cases[i].name, "case.json");
        const json_t *const config = json_object_get(c, "config");
        const json_t *const bos = json_object_get(config, "add_bos");
        const json_t *const eos = json_object_get(config, "add_eos");
        if (bos || eos) /* the caller of SentencePiece says what is added */
            mm_tok_set_marks(t, json_is_true(bos), json_is_true(eos));
        if (mm_tok_default_parse(t) != (cases[i].parse != 0))
            bad += tg_differs(cases[i].name, "-", "default_parse", NULL, NULL);
        bad += tg_check_case(t, cases[i].name, cases[i].parse);
        json_decref(c);
        mm_tok_free(t);
    }
    assert_int_equal(bad, 0);
}

/* Ids that follow a prompt: no leading space is dropped. */
static void test_continue(void **state)
{
    struct mm_tok *const t = open_tok("sp_mistral_v1", "model/tokenizer.model");
    json_t *const c = tg_json("sp_mistral_v1", "case.json");
    json_t *const want = tg_json("sp_mistral_v1", "expected.json");
    const json_t *const lists = json_object_get(json_object_get(c, "config"), "continue");
    int bad = 0;

    (void)state;
    assert_true(json_array_size(lists) > 0);
    for (size_t i = 0; i < json_array_size(lists); i++) {
        const json_t *const ids = json_array_get(json_array_get(lists, i), 1);
        int32_t v[64];
        const size_t n = json_array_size(ids);
        assert_true(n <= 64);
        for (size_t k = 0; k < n; k++)
            v[k] = (int32_t)json_integer_value(json_array_get(ids, k));
        bad += tg_check_deltas(t, "sp_mistral_v1", "continue",
                               json_array_get(json_object_get(want, "continue"), i), v, n, true);
    }
    assert_int_equal(bad, 0);
    json_decref(c);
    json_decref(want);
    mm_tok_free(t);
}

/* NExT-GPT's added tokens with and without their white space. */
static void test_nextgpt(void **state)
{
    json_t *const tokens = tg_json("nextgpt_added", "model/signal_tokens.json");
    json_t *const inputs = tg_json("nextgpt_added", "inputs.json");
    json_t *const want = tg_json("nextgpt_added", "expected.json");
    static const char *const keys[] = { "ids_new", "ids" };
    const char *id;
    json_t *text;
    int bad = 0;

    (void)state;
    for (unsigned strip = 0; strip < 2; strip++) {
        struct mm_tok *const t = open_tok("nextgpt_added", "model");
        for (size_t i = 0; i < json_array_size(tokens); i++) {
            struct mm_err e = { 0 };
            int32_t got = -1;
            assert_int_equal(mm_tok_add(t, json_string_value(json_array_get(tokens, i)),
                                        strip ? MM_TOK_ADD_STRIP : 0, &got, &e), 0);
            assert_int_equal(got, 32000 + i);
        }
        json_object_foreach(inputs, id, text) {
            const json_t *const expect = json_object_get(json_object_get(want, "texts"), id);
            assert_true(tg_has(expect, keys[strip]));
            bad += tg_check_ids(t, "nextgpt_added", id, expect, keys[strip],
                                json_string_value(text), json_string_length(text), MM_TOK_PARSE);
        }
        mm_tok_free(t);
    }
    assert_int_equal(bad, 0);
    json_decref(tokens);
    json_decref(inputs);
    json_decref(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_nextgpt)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
