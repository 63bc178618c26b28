/* test_bpe.c: the merge engine, the characters of bytes, Unicode properties,
 * patterns and the ways to cut at delimiters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "text/bpe.h"
#include "text/bytelevel.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/words.h"

/* A vocabulary from words separated by spaces, ids in order. */
static void fill(struct mm_vocab *v, const char *words)
{
    struct mm_err e = { 0 };

    while (*words) {
        const size_t n = strcspn(words, " ");
        assert_int_equal(mm_vocab_set(v, (int32_t)v->n, words, n, MM_P_NORMAL, 0, &e), 0);
        words += n + (words[n] == ' ');
    }
}

static struct mm_bpe *make(const struct mm_bpe_conf *c, const char *const *merges)
{
    struct mm_bpe *b = NULL;
    struct mm_err e = { 0 };

    assert_int_equal(mm_bpe_new(&b, c, &e), 0);
    for (; *merges; merges++)
        if (mm_bpe_merge_line(b, *merges, strlen(*merges), &e) < 0)
            fail_msg("%s", e.msg);
    return b;
}

/* The spellings of the ids of a word, joined by "|". */
static void check_word(const struct mm_bpe *b, const struct mm_vocab *v, const char *word,
                       const char *want)
{
    struct mm_ids ids = { 0 };
    struct mm_buf out = { 0 };
    struct mm_err e = { 0 };

    assert_int_equal(mm_bpe_word(b, &ids, word, strlen(word), &e), 0);
    for (size_t i = 0; i < ids.n; i++) {
        if (i)
            mm_buf_char(&out, '|');
        mm_buf_str(&out, v->v[ids.v[i]].s);
    }
    assert_string_equal(out.p ? out.p : "", want);
    mm_buf_free(&out);
    mm_ids_free(&ids);
}

static void test_merges(void **state)
{
    static const char *const merges[] = { "a b", "b c", "ab c", "a a", NULL };
    struct mm_vocab v = { 0 };

    (void)state;
    fill(&v, "a b c ab bc abc aa <unk>");
    const struct mm_bpe_conf c = { .vocab = &v, .unk = 7 };
    struct mm_bpe *b = make(&c, merges);
    check_word(b, &v, "abc", "abc");
    check_word(b, &v, "abcabc", "abc|abc");
    check_word(b, &v, "aaab", "aa|ab");   /* "a b" first, then the left pair */
    check_word(b, &v, "aaa", "aa|a");     /* leftmost of equals */
    check_word(b, &v, "axxb", "a|<unk>|<unk>|b");
    check_word(b, &v, "", "");
    mm_bpe_free(b);
    mm_vocab_free(&v);
}

static void test_options(void **state)
{
    static const char *const none[] = { NULL }, *const suffix[] = { "l o</w>", NULL };
    static const char *const prefix[] = { "a ##b", NULL };
    struct mm_vocab v = { 0 };

    (void)state;
    fill(&v, "<unk> a b <0xC3> <0xA9> ab lo</w> l o</w> o ##b word");
    struct mm_bpe_conf c = { .vocab = &v, .unk = 0, .byte_fallback = true, .fuse_unk = true };
    struct mm_bpe *b = make(&c, none);
    check_word(b, &v, "a\xc3\xa9", "a|<0xC3>|<0xA9>");
    check_word(b, &v, "xyza", "<unk>|a"); /* their bytes are not all there */
    mm_bpe_free(b);
    c = (struct mm_bpe_conf){ .vocab = &v, .unk = -1, .suffix = "</w>" };
    b = make(&c, suffix);
    check_word(b, &v, "lo", "lo</w>");
    check_word(b, &v, "olo", "o|lo</w>");
    check_word(b, &v, "x", ""); /* no unknown token: dropped */
    mm_bpe_free(b);
    c = (struct mm_bpe_conf){ .vocab = &v, .unk = 0, .prefix = "##" };
    b = make(&c, prefix);
    check_word(b, &v, "ab", "ab");
    mm_bpe_free(b);
    c = (struct mm_bpe_conf){ .vocab = &v, .unk = 0, .ignore_merges = true };
    b = make(&c, none);
    check_word(b, &v, "word", "word");
    check_word(b, &v, "ab", "ab");
    mm_bpe_free(b);
    mm_vocab_free(&v);
}

static void test_bad_merges(void **state)
{
    static const char *const bad[] = { "ab", "a ", " a", "a x", "x a", "b a", "" };
    struct mm_vocab v = { 0 };
    struct mm_bpe *b = NULL;

    (void)state;
    fill(&v, "a b ab");
    struct mm_bpe_conf c = { .vocab = &v, .unk = -1 };
    assert_int_equal(mm_bpe_new(&b, &c, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mm_err e = { 0 };
        assert_int_equal(mm_bpe_merge_line(b, bad[i], strlen(bad[i]), &e), MM_EDATA);
        assert_non_null(strstr(e.msg, "merge"));
    }
    mm_bpe_free(b);
    c.skip_unknown = true;
    assert_int_equal(mm_bpe_new(&b, &c, NULL), 0);
    assert_int_equal(mm_bpe_merge_line(b, "b a", 3, NULL), 0);
    mm_bpe_free(b);
    mm_vocab_free(&v);
}

/* A megabyte in one word: n log n. */
static void test_long_word(void **state)
{
    static const char *const merges[] = { "a a", "aa aa", "aaaa aaaa", NULL };
    enum { N = 1 << 20 };
    struct mm_vocab v = { 0 };
    struct mm_ids ids = { 0 };
    char *s = malloc(N);
    const clock_t start = clock();

    (void)state;
    fill(&v, "a aa aaaa aaaaaaaa");
    const struct mm_bpe_conf c = { .vocab = &v, .unk = -1 };
    struct mm_bpe *b = make(&c, merges);
    memset(s, 'a', N);
    assert_int_equal(mm_bpe_word(b, &ids, s, N, NULL), 0);
    assert_int_equal(ids.n, N / 8);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10); /* 0.5 s; a quadratic one: hours */
    free(s);
    mm_ids_free(&ids);
    mm_bpe_free(b);
    mm_vocab_free(&v);
}

static void test_bytelevel(void **state)
{
    struct mm_buf b = { 0 }, back = { 0 };

    (void)state;
    assert_int_equal(mm_bytelevel_char(' '), 0x120);
    assert_int_equal(mm_bytelevel_char('\n'), 0x10a);
    assert_int_equal(mm_bytelevel_char('a'), 'a');
    assert_int_equal(mm_bytelevel_char(0xad), 0x143);
    for (unsigned i = 0; i < 256; i++) {
        const char c = (char)i;
        assert_int_equal(mm_bytelevel_byte(mm_bytelevel_char((unsigned char)i)), i);
        mm_bytelevel_encode(&b, &c, 1);
    }
    mm_bytelevel_decode(&back, b.p, b.n);
    assert_int_equal(back.n, 256);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal((unsigned char)back.p[i], i);
    assert_int_equal(mm_bytelevel_byte(0x144), -1);
    assert_int_equal(mm_bytelevel_byte(' '), -1);
    mm_buf_reset(&back);
    mm_bytelevel_decode(&back, "\xc4\xa0 x", 4); /* one character of none: as it is */
    assert_string_equal(back.p, "\xc4\xa0 x");
    mm_buf_free(&b);
    mm_buf_free(&back);
}

/* Sizes of the classes that patterns rest on (Unicode 14). */
static void test_unicode(void **state)
{
    size_t letters = 0, numbers = 0, spaces = 0;
    struct mm_buf b = { 0 };

    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        letters += mm_uc_letter(c);
        numbers += mm_uc_number(c);
        spaces += mm_uc_space(c);
    }
    assert_int_equal(letters, 131756);
    assert_int_equal(numbers, 1791 + 40); /* and those of Unicode 15 */
    assert_int_equal(spaces, 25);
    mm_uc_lower(&b, "\xce\xa3\xce\x91\xce\xa3 I\xc4\xb0", 10, true); /* ΣΑΣ Iİ */
    assert_string_equal(b.p, "\xcf\x83\xce\xb1\xcf\x82 ii\xcc\x87");
    mm_buf_reset(&b);
    mm_uc_normalise(&b, "\xe3\x8b\xbf\xef\xac\x81", 6, MM_NFKC); /* U+32FF stays, ﬁ does not */
    assert_string_equal(b.p, "\xe3\x8b\xbf" "fi");
    mm_buf_free(&b);
}

/* All matches of a pattern, in brackets. */
static void check_pattern(const char *pattern, const char *text, const char *want)
{
    struct mm_regex *r;
    struct mm_regex_run *run;
    struct mm_err e = { 0 };
    struct mm_buf out = { 0 };
    size_t ms, me, from = 0;

    if (mm_regex_new(&r, pattern, strlen(pattern), &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(mm_regex_start(&run, r, &e), 0);
    while (mm_regex_find(run, text, strlen(text), from, &ms, &me, &e) > 0 && me > ms) {
        mm_buf_char(&out, '[');
        mm_buf_add(&out, text + ms, me - ms);
        mm_buf_char(&out, ']');
        from = me;
    }
    assert_string_equal(out.p ? out.p : "", want);
    mm_buf_free(&out);
    mm_regex_end(run);
    mm_regex_free(r);
}

static void test_regex(void **state)
{
    (void)state;
    check_pattern("\\s+", "a \xe1\xa0\x8e\xc2\x85z", "[ ][\xc2\x85]"); /* not U+180E */
    check_pattern("[^\\s]+", "a b", "[a][b]");
    check_pattern("[\\S]+", "a b", "[a][b]");
    check_pattern("\\w+", "x_1\xc2\xb2-e\xcc\x81", "[x_1\xc2\xb2][e\xcc\x81]");
    check_pattern("[\\w]+", "x\xc2\xb2", "[x]"); /* Oniguruma's quirk */
    check_pattern("[^\\W\\d]+", "ab12", "[ab]");
    check_pattern("\\W", "a-b", "[-]");
    check_pattern("\\h+", "xffg", "[ff]");
    check_pattern("[[:punct:]]+", "a<!>", "[!]"); /* "<" is a symbol */
    check_pattern("\\p{Han}+", "\xe4\xb8\xad\xe3\x80\x82", "[\xe4\xb8\xad]"); /* "。" is Common */
    check_pattern("[a-c[x-z]]+", "aq[z", "[a][z]");
    check_pattern("[]a]+", "]ab", "[]a]");
    check_pattern("(?i:'s)", "'S", "['S]");
    check_pattern("^b", "a\nb", "[b]"); /* lines, as Ruby has it */
}

static void test_bad_regex(void **state)
{
    static const struct {
        const char *pattern;
        int code;
    } bad[] = { { "(", MM_EDATA },          { "[a", MM_EDATA },       { "(*NUL)a", MM_EDATA },
                { "a{2,1}", MM_EDATA },     { "\\", MM_EDATA },       { "[a&&b]", MM_EMISSING },
                { "[a[^b]]", MM_EMISSING }, { "\\p{Nope}", MM_EDATA } };
    struct mm_regex *r;
    struct mm_regex_run *run;
    char text[64];
    size_t ms, me;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mm_err e = { 0 };
        assert_int_equal(mm_regex_new(&r, bad[i].pattern, strlen(bad[i].pattern), &e), bad[i].code);
        assert_non_null(strstr(e.msg, "pattern"));
    }
    struct mm_err e = { 0 }; /* exponential: an error, no hang */
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = 'b';
    assert_int_equal(mm_regex_new(&r, "(a|a|aa)+$", 10, &e), 0);
    assert_int_equal(mm_regex_start(&run, r, &e), 0);
    assert_int_equal(mm_regex_find(run, text, sizeof(text), 0, &ms, &me, &e), MM_EDATA);
    mm_regex_end(run);
    mm_regex_free(r);
}

/* "the-final--countdown" at "-", as the reference's own documentation. */
static void test_cutting(void **state)
{
    static const char text[] = "the-final--countdown";
    static const struct {
        const char *name, *want;
    } cases[] = { { "Removed", "the|final|countdown" },
                  { "Isolated", "the|-|final|-|-|countdown" },
                  { "merged_with_previous", "the-|final-|-|countdown" },
                  { "MergedWithNext", "the|-final|-|-countdown" },
                  { "contiguous", "the|-|final|--|countdown" } };

    (void)state;
    for (size_t k = 0; k < 5; k++) {
        struct mm_words w = { 0 };
        struct mm_splitter sp;
        struct mm_buf out = { 0 };
        const struct mm_word whole = { 0, sizeof(text) - 1, true };
        mm_buf_str(&w.text, text);
        assert_int_equal(mm_cutting_named(cases[k].name), k);
        mm_split_start(&sp, &w, (enum mm_cutting)k, false, &whole);
        for (size_t i = 0; i < whole.n; i++)
            if (text[i] == '-')
                mm_split_match(&sp, i, i + 1);
        mm_split_end(&sp);
        assert_int_equal(mm_words_check(&w, NULL), 0);
        for (size_t i = 0; i < w.n; i++) {
            if (i)
                mm_buf_char(&out, '|');
            mm_buf_add(&out, w.text.p + w.v[i].at, w.v[i].n);
            assert_int_equal(w.v[i].first, w.v[i].at == 0);
        }
        assert_string_equal(out.p, cases[k].want);
        mm_buf_free(&out);
        mm_words_free(&w);
    }
    assert_int_equal(mm_cutting_named("other"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_bad_merges), cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_bytelevel), cmocka_unit_test(test_unicode),
        cmocka_unit_test(test_regex),     cmocka_unit_test(test_bad_regex),
        cmocka_unit_test(test_cutting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
