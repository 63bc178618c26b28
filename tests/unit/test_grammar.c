/* Grammars: the notation, the automaton, schemas; no model is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "nn/gbnf.h"
#include "nn/jsonschema.h"

enum want { NO, PREFIX, YES }; /* refused | may continue | may end here */

static struct mm_gram *parse(const char *text)
{
    struct mm_gram *g = NULL;
    struct mm_err e = { 0 };

    if (mm_gbnf_parse(&g, text, strlen(text), &e) < 0)
        fail_msg("%s\n%s", e.msg, text);
    return g;
}

static enum want match(const struct mm_gram *g, const char *s, size_t n)
{
    struct mm_gstate *st;
    struct mm_err e = { 0 };

    assert_int_equal(mm_gstate_new(&st, g, &e), 0);
    enum want w = PREFIX;
    for (size_t i = 0; i < n && w != NO; i++) { /* byte by byte: partial characters too */
        const int ok = mm_gstate_accepts(st, s + i, 1, &e);
        assert_true(ok >= 0);
        if (!ok)
            w = NO;
        else
            assert_int_equal(mm_gstate_advance(st, s + i, 1, &e), 0);
    }
    if (w != NO && mm_gstate_complete(st))
        w = YES;
    mm_gstate_free(st);
    return w;
}

static void texts(void **state)
{
    static const struct {
        const char *grammar, *text;
        enum want want;
    } c[] = {
        { "root ::= \"abc\"", "abc", YES },
        { "root ::= \"abc\"", "ab", PREFIX },
        { "root ::= \"abc\"", "abd", NO },
        { "root ::= \"abc\"", "abcd", NO },
        { "root ::= \"a\"*", "", YES },
        { "root ::= \"a\"+", "", PREFIX },
        { "root ::= \"ab\"{2,3}", "abab", YES },
        { "root ::= \"ab\"{2,3}", "abababab", NO },
        { "root ::= \"ab\"{2}", "ab", PREFIX },
        { "root ::= \"ab\"{2,}", "ababababab", YES },
        { "root ::= [a]{0,0} \"b\"", "b", YES },
        { "root ::= [a-cx] [^a-c]", "xq", YES },
        { "root ::= [a-cx] [^a-c]", "xb", NO },
        { "root ::= [^\"]*", "h\xc3\xa9llo \xf0\x9f\xa6\x99 \xe2\x82\xac", YES },
        { "root ::= [^\"]*", "\xf0\x9f", PREFIX },
        { "root ::= [^\"]*", "\xff", NO },
        { "root ::= [^\"]*", "\xc0\xaf", NO },          /* overlong */
        { "root ::= [^\"]*", "\xed\xa0\x80", NO },      /* surrogate */
        { "root ::= [\xc3\xa0-\xc3\xbc]", "\xc3\xa9", YES },
        { "root ::= [\xc3\xa0-\xc3\xbc]", "\xc3\xbd", NO },
        { "root ::= [\\u0430-\\u044F]+", "\xd0\xb4\xd1\x8f", YES },
        { "root ::= [\\u0430-\\u044F]+", "\xd1\x90", NO },
        { "root ::= [\\U0001F000-\\U0010FFFF]", "\xf4\x8f\xbf\xbf", YES },
        { "root ::= [\\u07F0-\\U00010010]", "\xef\xbf\xbf", YES },
        { "root ::= [\\u07F0-\\U00010010]", "\xf0\x90\x80\x91", NO },
        { "root ::= .", "\xe2\x82\xac", YES },
        { "root ::= \"\\\"\\n\\x41\\u00e9\"", "\"\nA\xc3\xa9", YES },
        { "# c\nroot ::= a | b # c\n  | \"z\"\na ::= \"x\" (\n \"y\"\n)? \n\nb ::= |\n \"w\"", "xy", YES },
        { "# c\nroot ::= a | b # c\n  | \"z\"\na ::= \"x\" (\n \"y\"\n)? \n\nb ::= |\n \"w\"", "z", YES },
        { "root ::= \"(\" root \")\" | \"x\"", "(((x)))", YES },
        { "root ::= \"(\" root \")\" | \"x\"", "(((x))", PREFIX },
        { "root ::= \"(\" root \")\" | \"x\"", "(((x))))", NO },
        { "root ::= ws* \"a\" (ws? ws)*\nws ::= [ ]*", "   a  ", YES },
        { "root ::= e (\"+\" e)*\ne ::= [0-9]+ | \"(\" root \")\"", "1+(2+33)+4", YES },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_gram *g = parse(c[i].grammar);
        if (match(g, c[i].text, strlen(c[i].text)) != c[i].want)
            fail_msg("case %zu: %s on %s", i, c[i].grammar, c[i].text);
        mm_gram_free(g);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *grammar, *why;
    } c[] = {
        { "", "no rule 'root'" },
        { "root ::= a", "rule 'a' is not defined" },
        { "root ::= \"a\"\nroot ::= \"b\"", "line 2, column 5: rule defined twice" },
        { "root ::= root \"a\" | \"b\"", "left recursion in rule 'root'" },
        { "root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\"", "left recursion" },
        { "root ::= (\"a\"", "'(' without ')'" },
        { "root ::= \"a\")", "')' without '('" },
        { "root ::= \"a", "unexpected end" },
        { "root ::= [a", "unexpected end" },
        { "root ::= [z-a]", "range ends before it begins" },
        { "root ::= * \"a\"", "nothing to repeat" },
        { "root ::= \"a\"{3,2}", "repetition ends" },
        { "root ::= \"a\"{99999}", "repetition of more" },
        { "root ::= ((\"a\"{10000}){10000}){10000} a", "not defined" },
        { "root ::= \"\\q\"", "unknown escape" },
        { "root ::= \"\\uD800\"", "no such character" },
        { "root ::= \"\xff\"", "not UTF-8" },
        { "root = \"a\"", "expected '::='" },
        { "$", "expected a name" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_gram *g = NULL;
        struct mm_err e = { 0 };
        const int rc = mm_gbnf_parse(&g, c[i].grammar, strlen(c[i].grammar), &e);
        assert_int_equal(rc, MM_EDATA);
        if (!strstr(e.msg, c[i].why))
            fail_msg("'%s' has no '%s'", e.msg, c[i].why);
    }
}

/* r0 -> r1 x | r1 y, r1 -> r2 x | r2 y ...: 2^40 stacks at the first byte. */
static void ambiguous(void **state)
{
    struct mm_buf b = { 0 };
    struct mm_gstate *st;
    struct mm_err e = { 0 };

    (void)state;
    mm_buf_str(&b, "root ::= r0\n");
    for (int i = 0; i < 40; i++)
        mm_buf_printf(&b, "r%d ::= r%d \"x\" | r%d \"y\"\n", i, i + 1, i + 1);
    mm_buf_str(&b, "r40 ::= \"z\"\n");
    struct mm_gram *g = parse(b.p);
    assert_int_equal(mm_gstate_new(&st, g, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "too ambiguous"));
    mm_gram_free(g);
    mm_buf_free(&b);
}

/* Long texts: memory is renewed on the way, deep nesting needs no C stack. */
static void long_texts(void **state)
{
    struct mm_gram *g = parse("root ::= \"[\" root* \"]\"");
    struct mm_gstate *st;
    struct mm_err e = { 0 };

    (void)state;
    assert_int_equal(mm_gstate_new(&st, g, &e), 0);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(mm_gstate_advance(st, "[", 1, &e), 0);
    for (int i = 0; i < 49999; i++)
        assert_int_equal(mm_gstate_advance(st, "]", 1, &e), 0);
    assert_false(mm_gstate_complete(st));
    assert_int_equal(mm_gstate_advance(st, "]", 1, &e), 0);
    assert_true(mm_gstate_complete(st));
    assert_int_equal(mm_gstate_accepts(st, "]", 1, &e), 0);
    mm_gstate_free(st);
    mm_gram_free(g);
}

static void schemas(void **state)
{
    static const char person[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":5},"
        "\"age\":{\"type\":\"integer\"},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":"
        "[\"a\\\"\",1,null]},\"minItems\":1,\"maxItems\":2}},\"required\":[\"age\"]}";
    static const char tree[] =
        "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":"
        "{\"type\":[\"number\",\"null\"]},\"k\":{\"type\":\"array\",\"items\":{\"$ref\":"
        "\"#/$defs/t\"}}},\"required\":[\"v\"]}}}";
    static const struct {
        const char *schema, *text;
        enum want want;
    } c[] = {
        { "{}", "{\"a\": [1, -2.5e3, \"x\\n\\u00e9\"], \"b\": {}}", YES },
        { "{}", " {\"a\":[true,false,null,[],\"\"]}", YES },
        { "{}", "01", NO },
        { "{}", "{\"a\"}", NO },
        { "{}", "[1,]", NO },
        { "{}", "\"\\ud800", NO },
        { "{}", "\"a\tb\"", NO },
        { "{}", "{\n                    }", YES },
        { "{}", "{\n                     }", NO },   /* a 21st space */
        { "{}", "  1", NO },
        { person, "{\"age\": 3}", YES },
        { person, "{\"name\":\"abcde\",\"age\":3,\"tags\":[\"a\\\"\",null]}", YES },
        { person, "{\"age\":3,\"tags\":[]}", NO },
        { person, "{\"age\":3,\"tags\":[1,1,1]}", NO },
        { person, "{\"name\":\"abcdef\"", NO },
        { person, "{\"name\":\"a\"}", NO },
        { person, "{\"age\":3,\"name\"", NO },
        { tree, "{\"v\":null,\"k\":[{\"v\":1.5},{\"v\":2,\"k\":[]}]}", YES },
        { tree, "{\"k\":[]}", NO },
        { "{\"anyOf\":[{\"const\":{\"x\":[1]}},{\"type\":\"boolean\"}]}", "{\"x\":[1]}", YES },
        { "{\"anyOf\":[{\"const\":{\"x\":[1]}},{\"type\":\"boolean\"}]}", "true", YES },
        { "{\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"integer\"}],\"items\":false}", "[null,4]", YES },
        { "{\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"integer\"}],\"items\":false}", "[null,4,", NO },
        { "{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"integer\"},\"minItems\":3}", "[null,4]", NO },
        { "{\"prefixItems\":[{\"type\":\"null\"}],\"items\":{\"type\":\"integer\"},\"minItems\":3}", "[null,4,5,6]", YES },
        { "{\"type\":\"string\",\"minLength\":2}", "\"\xc3\xa9\"", NO },
        { "{\"type\":\"string\",\"minLength\":2}", "\"\xc3\xa9\xf0\x9f\xa6\x99\"", YES },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_buf b = { 0 };
        struct mm_err e = { 0 };
        json_t *s;
        assert_int_equal(mm_json_load(&s, c[i].schema, strlen(c[i].schema), "schema", &e), 0);
        assert_int_equal(mm_jsonschema_gbnf(&b, s, &e), 0);
        struct mm_gram *g = parse(b.p);
        if (match(g, c[i].text, strlen(c[i].text)) != c[i].want)
            fail_msg("case %zu: %s on %s\n%s", i, c[i].schema, c[i].text, b.p);
        mm_gram_free(g);
        mm_buf_free(&b);
        json_decref(s);
    }
}

static void bad_schemas(void **state)
{
    static const struct {
        const char *schema;
        int code;
        const char *why;
    } c[] = {
        { "{\"type\":\"string\",\"pattern\":\"a\"}", MM_EMISSING, "'pattern'" },
        { "{\"type\":\"integer\",\"minimum\":3}", MM_EMISSING, "'minimum'" },
        { "{\"type\":\"thing\"}", MM_EDATA, "'type'" },
        { "{\"type\":\"array\",\"minItems\":-1}", MM_EDATA, "'minItems'" },
        { "{\"$ref\":\"#/a/b\"}", MM_EDATA, "leads nowhere" },
        { "{\"enum\":[]}", MM_EDATA, "'enum'" },
        { "{\"properties\":{},\"required\":[\"x\"]}", MM_EDATA, "required property 'x'" },
        { "{\"anyOf\":[false]}", MM_EDATA, "allows nothing" },
        { "[]", MM_EDATA, "an object" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_buf b = { 0 };
        struct mm_err e = { 0 };
        json_t *s;
        assert_int_equal(mm_json_load(&s, c[i].schema, strlen(c[i].schema), "schema", &e), 0);
        assert_int_equal(mm_jsonschema_gbnf(&b, s, &e), c[i].code);
        if (!strstr(e.msg, c[i].why))
            fail_msg("'%s' has no '%s'", e.msg, c[i].why);
        mm_buf_free(&b);
        json_decref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(refused),
        cmocka_unit_test(ambiguous),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(schemas),
        cmocka_unit_test(bad_schemas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
