/* test_tokenizer.c: what all tokenizers share: vocabulary, trie, cutting at
 * added tokens, repair of UTF-8, configuration files, hostile models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>
#include <unistd.h>

#include "text/impl.h"
#include "tokgolden.h"

static void test_vocab(void **state)
{
    struct mm_vocab v = { 0 };
    struct mm_err e = { 0 };
    char piece[32];

    (void)state;
    assert_int_equal(mm_vocab_find(&v, "a", 1), -1);
    for (int32_t i = 0; i < 5000; i++) {
        const int n = snprintf(piece, sizeof(piece), "p%d", (int)i / 2); /* each twice */
        assert_int_equal(mm_vocab_set(&v, i, piece, (size_t)n, MM_P_NORMAL, 0, &e), 0);
    }
    assert_int_equal(mm_vocab_set(&v, 9000, "a\0b", 3, MM_P_NORMAL, 0, &e), 0);
    assert_int_equal(v.n, 9001);
    assert_null(v.v[8999].s);
    assert_int_equal(mm_vocab_find(&v, "p1234", 5), 2468); /* the first */
    assert_int_equal(mm_vocab_find(&v, "a\0b", 3), 9000);
    assert_int_equal(mm_vocab_find(&v, "a", 1), -1);
    assert_int_equal(mm_vocab_set(&v, 9000, "c", 1, MM_P_NORMAL, 0, &e), MM_EDATA);
    assert_int_equal(mm_vocab_set(&v, -1, "c", 1, MM_P_NORMAL, 0, &e), MM_EDATA);
    assert_int_equal(mm_vocab_set(&v, MM_VOCAB_MAX, "c", 1, MM_P_NORMAL, 0, &e), MM_EDATA);
    mm_vocab_free(&v);
}

static void test_trie(void **state)
{
    struct mm_trie *const t = mm_trie_new();
    static const char *const words[] = { "a", "ab", "abc", "b", "\xE2\x96\x81", "abd" };
    char deep[600];
    int32_t id = -1;

    (void)state;
    assert_non_null(t);
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(mm_trie_add(t, words[i], strlen(words[i]), i), 0);
    assert_int_equal(mm_trie_add(t, "", 0, 9), 0);
    assert_int_equal(mm_trie_add(t, "ab", 2, 9), 0); /* the first stays */
    memset(deep, 'x', sizeof(deep));
    assert_int_equal(mm_trie_add(t, deep, sizeof(deep), 7), 0);
    assert_int_equal(mm_trie_longest(t, "abcd", 4, &id), 3);
    assert_int_equal(id, 2);
    assert_int_equal(mm_trie_longest(t, "abx", 3, &id), 2);
    assert_int_equal(id, 1);
    assert_int_equal(mm_trie_longest(t, "abc", 1, &id), 1);
    assert_int_equal(mm_trie_longest(t, deep, sizeof(deep), &id), sizeof(deep));
    assert_int_equal(mm_trie_longest(t, deep, sizeof(deep) - 1, &id), 0);
    assert_int_equal(mm_trie_longest(t, "", 0, &id), 0);
    assert_int_equal(mm_trie_longest(NULL, "a", 1, &id), 0);
    mm_trie_free(t);
}

static void test_repair(void **state)
{
#define R "\xEF\xBF\xBD"
    static const struct {
        const char *in, *per_part, *per_byte;
    } cases[] = {
        { "abc", "abc", "abc" },
        { "\xFF", R, R },
        { "a\xE2\x96", "a" R, "a" R R },
        { "\xF0\x9F\xA6x", R "x", R R R "x" },
        { "\xE0\x80\x80", R R R, R R R },
        { "\xED\xA0\x80", R R R, R R R },
        { "\xF4\x90\x80\x80", R R R R, R R R R },
        { "\xC3\xC3\xBC", R "\xC3\xBC", R "\xC3\xBC" },
        { "\xF1\x80\xE2\x96\x81", R "\xE2\x96\x81", R R "\xE2\x96\x81" },
        { "", "", "" }
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int per_byte = 0; per_byte < 2; per_byte++) {
            struct mm_buf b = { 0 };
            mm_utf8_repair(&b, cases[i].in, strlen(cases[i].in), per_byte != 0);
            assert_string_equal(b.p ? b.p : "", per_byte ? cases[i].per_byte : cases[i].per_part);
            mm_buf_free(&b);
        }
}

/* Fragments as "text|<id>|text". */
static void check_cut(const struct mm_tok *t, const char *text, bool parse, const char *want)
{
    struct mm_buf got = { 0 };
    struct mm_cut c;
    struct mm_frag f;

    mm_cut_start(&c, text, strlen(text));
    while (mm_cut_next(&c, t, t->trie, parse, &f)) {
        if (got.n)
            mm_buf_char(&got, '|');
        if (f.id < 0)
            mm_buf_add(&got, f.s, f.n);
        else
            mm_buf_printf(&got, "<%d>", (int)f.id);
    }
    assert_string_equal(got.p ? got.p : "", want);
    mm_buf_free(&got);
}

static void test_cut(void **state)
{
    static const struct {
        const char *s;
        struct mm_added a;
    } added[] = {
        { "<s>", { .id = 0, .special = true } },
        { "<m>", { .id = 1, .lstrip = true } },
        { "<r>", { .id = 2, .rstrip = true } },
        { "cat", { .id = 3, .single_word = true } },
        { "<s>x", { .id = 4 } },
        { "<p>", { .id = 5, .lstrip = true, .rstrip = true } }
    };
    struct mm_tok *const t = calloc(1, sizeof(*t));
    struct mm_err e = { 0 };

    (void)state;
    assert_non_null(t);
    check_cut(t, "abc", true, "abc");
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++)
        assert_int_equal(mm_tok_add_at(t, &added[i].a, added[i].s, strlen(added[i].s), &e), 0);
    assert_int_equal(mm_tok_make_trie(t, &e), 0);
    check_cut(t, "", true, "");
    check_cut(t, "<s>", true, "<0>");
    check_cut(t, "a<s>b<s>", true, "a|<0>|b|<0>");
    check_cut(t, "a<s>b", false, "a<s>b");
    check_cut(t, "<s>x<s>", true, "<4>|<0>"); /* the longest */
    check_cut(t, "<s>x", false, "<4>");       /* not special: always */
    check_cut(t, "a \xC2\xA0 <m> b", true, "a|<1>| b");
    check_cut(t, "a<r>\n\t b", true, "a|<2>|b");
    check_cut(t, "a <r> <m> b", true, "a |<2>|<1>| b");
    check_cut(t, "\x1C<p>\x1C", true, "\x1C|<5>|\x1C");
    t->python_space = true;
    check_cut(t, "\x1C<p>\x1C", true, "<5>");
    check_cut(t, "a cat, cats cat_ cat", true, "a |<3>|, cats cat_ |<3>");
    check_cut(t, "\xC3\xA9" "cat cat\xC3\xA9 \xE3\x80\x82" "cat", true,
              "\xC3\xA9" "cat cat\xC3\xA9 \xE3\x80\x82|<3>");
    assert_int_equal(mm_tok_added(t, 3)->single_word, true);
    assert_null(mm_tok_added(t, 6));
    assert_null(mm_tok_added(t, -1));
    mm_tok_free(t);
}

/* Everything is taken from files written here, and a real model. */
static void put_file(const char *dir, const char *name, const void *data, size_t n)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *dir, const char *name)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    remove(path);
}

static char *golden_model(const char *name, size_t *n)
{
    char path[512];
    char *data = NULL;
    struct mm_err e = { 0 };

    if (mm_io_slurp(tg_path(path, sizeof(path), name, "model/tokenizer.model"), 1 << 24, &data, n,
                    &e) < 0)
        fail_msg("%s", e.msg);
    return data;
}

static char *new_dir(char *buf, size_t size)
{
    const char *const tmp = getenv("TMPDIR");

    snprintf(buf, size, "%s/mm-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(buf));
    return buf;
}

static void test_conf(void **state)
{
    static const char special[] = "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\","
                                  "\"pad_token\":\"<pad>\",\"additional_special_tokens\":[\"<x>\"]}";
    static const char added[] = "{\"<image>\":1300,\"<|im_end|>\":1305}";
    static const char config[] = "{\"add_bos_token\":false,\"add_eos_token\":true,"
                                 "\"chat_template\":[{\"name\":\"tool\",\"template\":\"T\"},"
                                 "{\"name\":\"default\",\"template\":\"D\"}]}";
    static const struct {
        const char *name, *text;
    } broken[] = {
        { "added_tokens.json", "{\"<image>\":-1}" },
        { "added_tokens.json", "[]" },
        { "special_tokens_map.json", "{\"bos_token\":3}" },
        { "tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}" },
        { "tokenizer_config.json", "{\"added_tokens_decoder\":{\"7\":{\"special\":true}}}" },
        { "tokenizer_config.json", "{\"add_bos_token\":\"yes\"}" },
        { "tokenizer_config.json", "{\"legacy\":" }
    };
    char dir[512];
    size_t n;
    char *const model = golden_model("sp_tiny_llama", &n);
    struct mm_tok *t = NULL;
    struct mm_err e = { 0 };

    (void)state;
    new_dir(dir, sizeof(dir));
    put_file(dir, "tokenizer.model", model, n);
    put_file(dir, "special_tokens_map.json", special, strlen(special));
    put_file(dir, "added_tokens.json", added, strlen(added));
    put_file(dir, "tokenizer_config.json", config, strlen(config));
    if (mm_tok_open(&t, dir, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(mm_tok_bos(t), 1);
    assert_int_equal(mm_tok_eos(t), 2);
    assert_int_equal(mm_tok_unk(t), 0);
    assert_int_equal(mm_tok_id(t, "<image>"), 1300);
    assert_string_equal(mm_tok_piece(t, 1305), "<|im_end|>");
    assert_null(mm_tok_piece(t, 1302));
    assert_int_equal(mm_tok_pad(t), 1306); /* the next free id */
    assert_int_equal(mm_tok_id(t, "<x>"), 1307);
    assert_int_equal(mm_tok_size(t), 1308);
    assert_true(mm_tok_is_special(t, 1307));
    assert_false(mm_tok_is_special(t, 1300));
    assert_false(mm_tok_adds_bos(t));
    assert_true(mm_tok_default_parse(t));
    assert_string_equal(mm_tok_chat_template(t), "D");
    const int32_t *const eog = mm_tok_eog(t, &n);
    assert_int_equal(n, 1); /* "<|im_end|>" is an ordinary added token here */
    assert_int_equal(eog[0], 2);

    struct mm_buf b = { 0 };
    assert_int_equal(mm_tok_bytes(t, &b, 1300), 0); /* added: its spelling */
    assert_int_equal(mm_tok_bytes(t, &b, 2), 0);    /* special: nothing */
    assert_int_equal(mm_tok_bytes(t, &b, 3 + 'x'), 0);
    assert_string_equal(b.p, "<image>x");
    assert_int_equal(mm_tok_bytes(t, &b, 1302), MM_EDATA);
    assert_int_equal(mm_tok_decode(t, &b, (const int32_t[]){ 5, 1302 }, 2, false, &e), MM_EDATA);
    mm_buf_free(&b);
    mm_tok_free(t);

    remove_file(dir, "tokenizer_config.json");
    mm_err_clear(&e);
    put_file(dir, "chat_template.jinja", "J", 1);
    assert_int_equal(mm_tok_open(&t, dir, &e), 0);
    assert_string_equal(mm_tok_chat_template(t), "J");
    mm_tok_free(t);
    remove_file(dir, "chat_template.jinja");

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        mm_err_clear(&e);
        put_file(dir, broken[i].name, broken[i].text, strlen(broken[i].text));
        t = NULL;
        assert_int_equal(mm_tok_open(&t, dir, &e), MM_EDATA);
        assert_null(t);
        assert_non_null(strstr(e.msg, dir));
        remove_file(dir, broken[i].name);
    }
    remove_file(dir, "tokenizer.model");
    mm_err_clear(&e);
    assert_int_equal(mm_tok_open(&t, dir, &e), MM_ENOENT);
    free(model);
    remove_file(dir, "added_tokens.json");
    remove_file(dir, "special_tokens_map.json");
    rmdir(dir);
}

/* Cut and flipped models end in an error that names the file, or in a model
 * that can be used. */
static void test_hostile(void **state)
{
    static const char *const names[] = { "sp_edge", "sp_unigram_t5", "sp_flags" };
    char dir[512], path[600];

    (void)state;
    new_dir(dir, sizeof(dir));
    snprintf(path, sizeof(path), "%s/m.model", dir);
    for (size_t k = 0; k < 3; k++) {
        size_t n, refused = 0;
        char *const model = golden_model(names[k], &n);
        for (unsigned i = 0; i < 80; i++) {
            struct mm_tok *t = NULL;
            struct mm_err e = { 0 };
            const size_t at = (size_t)i * (n / 80) + 1;
            const char old = model[at];
            model[at] = (char)(old ^ (i % 2 ? 0x80 : 0x15));
            put_file(dir, "m.model", model, i % 3 ? n : at);
            model[at] = old;
            const int rc = mm_tok_open(&t, path, &e);
            if (rc < 0) {
                refused++;
                assert_true(rc == MM_EDATA || rc == MM_EMISSING);
                assert_non_null(strstr(e.msg, path));
                continue;
            }
            struct mm_ids ids = { 0 };
            assert_int_equal(mm_tok_encode(t, &ids, "Hello  world \xEF\xAC\x81", 16,
                                           MM_TOK_PARSE, &e), 0);
            mm_ids_free(&ids);
            mm_tok_free(t);
        }
        assert_true(refused > 20);
        free(model);
    }
    remove_file(dir, "m.model");
    rmdir(dir);
}

/* A megabyte of one letter, of spaces, of pairs: linear time. */
static void test_linear(void **state)
{
    static const char *const models[] = { "sp_mistral_v1/model/tokenizer.model",
                                          "sp_unigram_t5/model/tokenizer.model",
                                          "hf_llama_nonlegacy/model" };
    static const char *const units[] = { "a", " ", "ab<s>", "\xF0\x9F\xA6\x99" };
    const size_t n = 400000;
    char *const text = malloc(n);

    (void)state;
    assert_non_null(text);
    for (size_t m = 0; m < 3; m++) {
        char path[512];
        struct mm_tok *t = NULL;
        struct mm_err e = { 0 };
        if (mm_tok_open(&t, tg_path(path, sizeof(path), models[m], NULL), &e) < 0)
            fail_msg("%s", e.msg);
        for (size_t u = 0; u < 4; u++) {
            const size_t len = strlen(units[u]);
            struct mm_ids ids = { 0 };
            for (size_t i = 0; i < n; i++)
                text[i] = units[u][i % len];
            const clock_t start = clock();
            assert_int_equal(mm_tok_encode(t, &ids, text, n / len * len, MM_TOK_PARSE, &e), 0);
            if ((double)(clock() - start) / CLOCKS_PER_SEC > 10)
                fail_msg("%s: '%s': too slow", models[m], units[u]);
            mm_ids_free(&ids);
        }
        mm_tok_free(t);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab), cmocka_unit_test(test_trie),
        cmocka_unit_test(test_repair), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_conf), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_linear)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
