/* test_fixtext.c: the cleaning of text for CLIP, HTML references, encodings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "text/charmap.h"
#include "text/fixtext.h"
#include "text/html.h"
#include "text/mojibake.h"

typedef void clean_fn(struct mm_buf *out, const char *s, size_t n);

static void check(clean_fn *fn, const char *text, const char *want)
{
    struct mm_buf b = { 0 };

    fn(&b, text, strlen(text));
    assert_false(b.failed);
    assert_string_equal(b.p ? b.p : "", want);
    mm_buf_free(&b);
}

static void test_html(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "&lt;b&gt; &eacute; &copy 2024 &notit;", "<b> é © 2024 ¬it;" },
        { "&#65;&#x42;&#67 &#xZ; &#; &;", "AB" "C &#xZ; &#; &;" },
        { "&#128; &#0; &#x110000; &#xD800; &#11;", "€ � � � " },
        { "&#99999999999999999999;", "�" },
        { "&acE; &", "∾̳ &" },
        { "&nosuchname; a&b", "&nosuchname; a&b" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(mm_html_unescape, cases[i].text, cases[i].want);
    check(mm_html_unescape_strict, "P&EACUTE;REZ &copy 1 &szlig;&SZLIG; &nTILDE; &#x41; &LTDOT;",
          "PÉREZ &copy 1 ßSS &nTILDE; A &LTDOT;");
    for (size_t i = 1; i < mm_html_nentities; i++)
        assert_true(strcmp(mm_html_entities[i - 1].name, mm_html_entities[i].name) < 0);
}

static void test_charmaps(void **state)
{
    (void)state;
    assert_int_equal(mm_charmap_char(MM_CP1252, 0x80), 0x20ac);
    assert_int_equal(mm_charmap_char(MM_CP1252, 0x81), 0x81);
    assert_int_equal(mm_charmap_byte(MM_CP1251, 0x416), 0xc6); /* Ж */
    assert_int_equal(mm_charmap_byte(MM_LATIN1, 0x20ac), -1);
    assert_int_equal(mm_charmap_byte(MM_CP437, 0x1f600), -1);
    for (int m = 0; m < MM_NCHARMAP; m++)
        for (unsigned b = 0; b < 256; b++) {
            const uint32_t c = mm_charmap_char((enum mm_charmap)m, (unsigned char)b);
            assert_int_equal(mm_charmap_byte((enum mm_charmap)m, c), b);
        }
}

/* What looks wrong is mended, what only looks foreign is left. */
static void test_mojibake(void **state)
{
    static const char *const sound[] = { "naïve café", "CAFÉ «ÉTÉ»", "Привет, мир", "Łódź", "n° 5 – £3",
                                         "日本語", "Ξεσκεπάζω", "Ö", "½ cup", "" };

    (void)state;
    check(mm_mojibake_fix, "cafÃ©", "café");
    check(mm_mojibake_fix, "â€œquotedâ€\xc2\x9d", "“quoted”");
    check(mm_mojibake_fix, "âœ” No problems", "✔ No problems");
    check(mm_mojibake_fix, "ÃƒÂ©", "é"); /* twice */
    check(mm_mojibake_fix, "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет");
    check(mm_mojibake_fix, "日本 and cafÃ©", "日本 and café");
    check(mm_mojibake_fix, "Ã  la", "à la"); /* a no-break space became a space */
    for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
        check(mm_mojibake_fix, sound[i], sound[i]);
}

static void test_fix_text(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "“curly” ‘it’s’", "\"curly\" 'it's'" },
        { "ﬂuﬃeﬆ ĳ ǆ", "fluffiest ij dž" },
        { "ＬＯＵＤ　ＮＯＩＳＥＳ Ｕﾀｰﾝ", "LOUD NOISES Uターン" },
        { "a\r\nb\rc\xe2\x80\xa8" "d", "a\nb\nc\nd" },
        { "\033[36;44mblue\033[0m \033x", "blue x" },
        { "\x01\x02\x7f\xef\xbb\xbf" "ok", "ok" },
        { "e\xcc\x81", "é" },
        { "\xc2\x80 \xc2\x85", "€ …" },
        { "&lt;3 &amp;amp;", "<3 &" },      /* no "<": it is text */
        { "<b>&amp;</b>", "<b>&amp;</b>" }, /* HTML is left alone */
        { "a\n<i>\n&amp;", "a\n<i>\n&amp;" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check(mm_fix_text, cases[i].text, cases[i].want);
    check(mm_clean_clip, "  A\tCAFÃ©  &amp;amp; \n", "a café &");
    check(mm_clean_clip, "<A  B>&amp;amp;", "<a b>&");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html), cmocka_unit_test(test_charmaps),
        cmocka_unit_test(test_mojibake), cmocka_unit_test(test_fix_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
