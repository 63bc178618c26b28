/* Answers of a model as instruction data: what is parsed and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/instruct.h"

#define PAIR(q, a) "Question:\n" q "\n===\nAnswer:\n" a "\n===\n"

static const struct {
    enum mm_instruct type;
    const char *text, *why; /* why NULL: turns are these, joined by | */
    const char *turns;
} cases[] = {
    { MM_CONVERSATION, PAIR("A?", "b") PAIR("C?", "d"), NULL, "A?|b|C?|d" },
    { MM_CONVERSATION, "Question: A?\n===\nAnswer: b", NULL, "A?|b" },
    { MM_CONVERSATION, "\r\nquestion:\r\nA?\r\n ==== \r\nANSWER:\r\nb\n\nc\r\n", NULL, "A?|b\n\nc" },
    { MM_CONVERSATION, PAIR("A?", "b") "Question:\nC?\n", NULL, "A?|b" },
    { MM_CONVERSATION, PAIR("A?", "1 === 2"), NULL, "A?|1 === 2" },
    { MM_CONVERSATION, "", "empty", NULL },
    { MM_CONVERSATION, "Question: A?\n===\n", "empty", NULL },
    { MM_CONVERSATION, "===\n===", "empty", NULL },
    { MM_CONVERSATION, PAIR("A?", ""), "empty", NULL },
    { MM_CONVERSATION, "Sure!\n===\n" PAIR("A?", "b"), "no-header", NULL },
    { MM_CONVERSATION, "Answer: b\n===\nQuestion: A?", "order", NULL },
    { MM_CONVERSATION, PAIR("A", "b"), "no-question-mark", NULL },
    { MM_CONVERSATION, PAIR("A?", "b") PAIR("a?", "d"), "duplicate", NULL },
    { MM_CONVERSATION, PAIR("A?", "The Caption says b"), "leak", NULL },
    { MM_CONVERSATION, PAIR("A?", "It is at [0.2, 0.3]"), "leak", NULL },
    { MM_CONVERSATION, PAIR("A?", "I'm sorry, no."), "refusal", NULL },
    { MM_REASONING, PAIR("A?", "b"), NULL, "A?|b" },
    { MM_REASONING, PAIR("A?", "b") PAIR("C?", "d"), "pairs", NULL },
    { MM_DETAIL, " A long\n\nlook. ", NULL, "A long\n\nlook." },
    { MM_DETAIL, " \n", "empty", NULL },
    { MM_DETAIL, "As an AI I do not see.", "refusal", NULL },
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct mm_strings turns;
        struct mm_buf b = { 0 };
        const char *why = mm_instruct_parse(&turns, cases[i].type, cases[i].text);

        if (cases[i].why != NULL) {
            assert_non_null(why);
            assert_string_equal(why, cases[i].why);
            assert_int_equal(turns.n, 0);
            continue;
        }
        assert_null(why);
        for (size_t k = 0; k < turns.n; k++)
            mm_buf_printf(&b, "%s%s", k > 0 ? "|" : "", turns.v[k]);
        assert_string_equal(b.p, cases[i].turns);
        mm_buf_free(&b);
        mm_strings_free(&turns);
    }
}

static void test_too_long(void **state)
{
    char *text = malloc(8002);
    struct mm_strings turns;

    (void)state;
    assert_non_null(text);
    memset(text, 'a', 8001);
    text[8001] = '\0';
    assert_string_equal(mm_instruct_parse(&turns, MM_DETAIL, text), "too-long");
    text[8000] = '\0';
    assert_null(mm_instruct_parse(&turns, MM_DETAIL, text));
    mm_strings_free(&turns);
    free(text);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void test_context(void **state)
{
    char dir[] = "/tmp/mm-instruct.XXXXXX";
    struct mm_pictures p;
    struct mm_buf b = { 0 };
    struct mm_err e = { 0 };

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    write_file("c", "{\"images\":[{\"id\":9,\"file_name\":\"x/000.jpg\",\"width\":640,\"height\":480},"
                    "{\"id\":3,\"file_name\":\"1.png\",\"width\":8,\"height\":8}],\"annotations\":["
                    "{\"image_id\":3,\"caption\":\"c\"},{\"image_id\":9,\"caption\":\" a \\n b\"},"
                    "{\"image_id\":9,\"caption\":\"d\"},{\"image_id\":4,\"caption\":\"e\"}]}");
    write_file("b", "{\"categories\":[{\"id\":2,\"name\":\"cat\"}],\"annotations\":["
                    "{\"image_id\":9,\"category_id\":2,\"bbox\":[0,12,640,100]},"
                    "{\"image_id\":9,\"category_id\":2,\"bbox\":[213.3333,0,0,480]}]}");
    assert_int_equal(mm_pictures_read(&p, "c", "b", &e), 0);
    assert_int_equal(p.n, 2);
    assert_string_equal(p.v[0].id, "000");
    mm_instruct_context(&b, &p.v[0], MM_CONVERSATION);
    assert_string_equal(b.p, "a b\nd");
    mm_buf_reset(&b);
    mm_instruct_context(&b, &p.v[0], MM_DETAIL);
    assert_string_equal(b.p, "a b\nd\n\ncat: [0.0, 0.025, 1.0, 0.233]\ncat: [0.333, 0.0, 0.333, 1.0]");
    mm_buf_reset(&b);
    mm_instruct_context(&b, &p.v[1], MM_REASONING);
    assert_string_equal(b.p, "c");
    mm_buf_free(&b);
    mm_pictures_free(&p);
    write_file("b", "{\"categories\":[],\"annotations\":[{\"image_id\":9,\"category_id\":2,\"bbox\":[0,0,1,1]}]}");
    assert_int_equal(mm_pictures_read(&p, "c", "b", &e), MM_EDATA);
    assert_string_equal(e.msg, "b: annotation 0: unknown category");
    assert_int_equal(unlink("b") + unlink("c"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

#define IMAGE "{\"images\":[{\"id\":0,\"file_name\":\"a.png\",\"width\":8,\"height\":8}],\"annotations\":["
#define DOG "{\"categories\":[{\"id\":2,\"name\":\"dog\"}],\"annotations\":[{\"category_id\":2,"

/* captions, boxes (NULL: none), and what is wrong with them */
static const struct {
    const char *c, *b, *msg;
} odd[] = {
    { "{\"images\":[{\"id\":1,\"file_name\":\"a.png\",\"width\":\"8\"}],\"annotations\":[]}", NULL,
      "c: image 0: width: not a number" },
    { IMAGE "{\"caption\":\"a\"}]}", NULL, "c: annotation 0: no number image_id" },
    { IMAGE "{\"caption\":\"a\",\"image_id\":0.0}]}", NULL, "c: annotation 0: no number image_id" },
    { IMAGE "{\"image_id\":0}]}", NULL, "c: annotation 0: no caption" },
    { IMAGE "]}", DOG "\"bbox\":[0,0,1,1]}]}", "b: annotation 0: no number image_id" },
    { IMAGE "]}", DOG "\"image_id\":0,\"bbox\":[1e300,0,1,1]}]}",
      "b: annotation 0: bbox is far outside of image 0" },
    { IMAGE "]}", DOG "\"image_id\":0,\"bbox\":[1e308,0,1e308,1]}]}",
      "b: annotation 0: bbox is far outside of image 0" },
    { IMAGE "]}", DOG "\"image_id\":0,\"bbox\":[0,0,1]}]}", "b: annotation 0: bbox is not four numbers" },
};

static void test_odd_coco(void **state)
{
    char dir[] = "/tmp/mm-instruct.XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        struct mm_pictures p;
        struct mm_err e = { 0 };

        write_file("c", odd[i].c);
        write_file("b", odd[i].b != NULL ? odd[i].b : "");
        assert_int_equal(mm_pictures_read(&p, "c", odd[i].b != NULL ? "b" : NULL, &e), MM_EDATA);
        assert_string_equal(e.msg, odd[i].msg);
    }
    assert_int_equal(unlink("b") + unlink("c"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_odd_coco),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
