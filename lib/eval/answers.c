/* answers.c: see answers.h. */
#include "eval/answers.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>

#include "base/utf8.h"

/* --- normalising ------------------------------------------------------------------------- */

/* The scorer's table: a word without (some of) its apostrophes, and with them.  Two
 * entries are odd there and so here: somebody'd loses its own, she's stays.  Words
 * with a capital (Im, Ive) can not match, all is lower case by then. */
static const char *const contractions[][2] = {
    { "aint", "ain't" }, { "arent", "aren't" }, { "cant", "can't" }, { "couldve", "could've" },
    { "couldnt", "couldn't" }, { "couldn'tve", "couldn't've" }, { "couldnt've", "couldn't've" },
    { "didnt", "didn't" }, { "doesnt", "doesn't" }, { "dont", "don't" }, { "hadnt", "hadn't" },
    { "hadnt've", "hadn't've" }, { "hadn'tve", "hadn't've" }, { "hasnt", "hasn't" },
    { "havent", "haven't" }, { "hed", "he'd" }, { "hed've", "he'd've" }, { "he'dve", "he'd've" },
    { "hes", "he's" }, { "howd", "how'd" }, { "howll", "how'll" }, { "hows", "how's" },
    { "isnt", "isn't" }, { "itd", "it'd" }, { "itd've", "it'd've" }, { "it'dve", "it'd've" },
    { "itll", "it'll" }, { "maam", "ma'am" }, { "mightnt", "mightn't" },
    { "mightnt've", "mightn't've" }, { "mightn'tve", "mightn't've" }, { "mightve", "might've" },
    { "mustnt", "mustn't" }, { "mustve", "must've" }, { "neednt", "needn't" },
    { "notve", "not've" }, { "oclock", "o'clock" }, { "oughtnt", "oughtn't" },
    { "ow's'at", "'ow's'at" }, { "'ows'at", "'ow's'at" }, { "'ow'sat", "'ow's'at" },
    { "shant", "shan't" }, { "shed've", "she'd've" }, { "she'dve", "she'd've" },
    { "shouldve", "should've" }, { "shouldnt", "shouldn't" }, { "shouldnt've", "shouldn't've" },
    { "shouldn'tve", "shouldn't've" }, { "somebody'd", "somebodyd" },
    { "somebodyd've", "somebody'd've" }, { "somebody'dve", "somebody'd've" },
    { "somebodyll", "somebody'll" }, { "somebodys", "somebody's" }, { "someoned", "someone'd" },
    { "someoned've", "someone'd've" }, { "someone'dve", "someone'd've" },
    { "someonell", "someone'll" }, { "someones", "someone's" }, { "somethingd", "something'd" },
    { "somethingd've", "something'd've" }, { "something'dve", "something'd've" },
    { "somethingll", "something'll" }, { "thats", "that's" }, { "thered", "there'd" },
    { "thered've", "there'd've" }, { "there'dve", "there'd've" }, { "therere", "there're" },
    { "theres", "there's" }, { "theyd", "they'd" }, { "theyd've", "they'd've" },
    { "they'dve", "they'd've" }, { "theyll", "they'll" }, { "theyre", "they're" },
    { "theyve", "they've" }, { "twas", "'twas" }, { "wasnt", "wasn't" }, { "wed've", "we'd've" },
    { "we'dve", "we'd've" }, { "weve", "we've" }, { "werent", "weren't" },
    { "whatll", "what'll" }, { "whatre", "what're" }, { "whats", "what's" },
    { "whatve", "what've" }, { "whens", "when's" }, { "whered", "where'd" },
    { "wheres", "where's" }, { "whereve", "where've" }, { "whod", "who'd" },
    { "whod've", "who'd've" }, { "who'dve", "who'd've" }, { "wholl", "who'll" },
    { "whos", "who's" }, { "whove", "who've" }, { "whyll", "why'll" }, { "whyre", "why're" },
    { "whys", "why's" }, { "wont", "won't" }, { "wouldve", "would've" },
    { "wouldnt", "wouldn't" }, { "wouldnt've", "wouldn't've" }, { "wouldn'tve", "wouldn't've" },
    { "yall", "y'all" }, { "yall'll", "y'all'll" }, { "y'allll", "y'all'll" },
    { "yall'd've", "y'all'd've" }, { "y'alld've", "y'all'd've" }, { "y'all'dve", "y'all'd've" },
    { "youd", "you'd" }, { "youd've", "you'd've" }, { "you'dve", "you'd've" },
    { "youll", "you'll" }, { "youre", "you're" }, { "youve", "you've" },
};

static const char *const number_words[][2] = {
    { "none", "0" }, { "zero", "0" }, { "one", "1" }, { "two", "2" },   { "three", "3" },
    { "four", "4" }, { "five", "5" }, { "six", "6" }, { "seven", "7" }, { "eight", "8" },
    { "nine", "9" }, { "ten", "10" },
};

#define LOOK_UP(table, word) look_up(table, sizeof(table) / sizeof(*(table)), word)

static const char *look_up(const char *const (*table)[2], size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i][0], word) == 0)
            return table[i][1];
    return NULL;
}

/* White space and digits as the scorers' language has them. */
static bool is_space(uint32_t c)
{
    return uc_is_property_white_space(c) || (c >= 0x1c && c <= 0x1f);
}

static bool is_digit(uint32_t c)
{
    return uc_decimal_value(c) >= 0;
}

/* One character, a bad byte as itself. */
static size_t next(const char *s, size_t n, uint32_t *c)
{
    const size_t k = mm_utf8_get(s, n, c);

    if (k == 0)
        *c = 0xfffd;
    return k ? k : 1;
}

static void trim(const char **s, size_t *n)
{
    uint32_t c;
    size_t last = 0;

    for (size_t k; *n && (k = next(*s, *n, &c), is_space(c)); *s += k, *n -= k)
        ;
    for (size_t i = 0; i < *n;) {
        i += next(*s + i, *n - i, &c);
        if (!is_space(c))
            last = i;
    }
    *n = last;
}

static bool comma_between_digits(const char *s, size_t n)
{
    uint32_t before = 0;
    uint32_t c = 0;
    uint32_t after;

    for (size_t i = 0; i < n; before = c) {
        i += next(s + i, n - i, &c);
        if (c == ',' && i < n && is_digit(before)) {
            next(s + i, n - i, &after);
            if (is_digit(after))
                return true;
        }
    }
    return false;
}

static bool at_space(const char *s, size_t n, char p)
{
    for (size_t i = 0; i + 1 < n; i++)
        if ((s[i] == p && s[i + 1] == ' ') || (s[i] == ' ' && s[i + 1] == p))
            return true;
    return false;
}

/* Punctuation vanishes if it touches a space anywhere in the text (or the text has a
 * comma between digits), else it becomes a space; then periods go that stand before
 * no digit, at most 32 of them: the scorer passes a flag where a count is meant. */
static void punctuation(struct mm_buf *out, const char *s, size_t n)
{
    static const char marks[] = ";/[]\"{}()=+\\_-><@`,?!";
    const bool comma = comma_between_digits(s, n);
    char becomes[128] = { 0 };
    struct mm_buf t = { 0 };
    size_t periods = 0;

    for (const char *m = marks; *m; m++)
        becomes[(unsigned char)*m] = comma || at_space(s, n, *m) ? 1 : ' ';
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        const char to = c < 128 ? becomes[c] : 0;

        if (to != 1)
            mm_buf_char(&t, to ? to : s[i]);
    }
    for (size_t i = 0; i < t.n; i++) {
        uint32_t after = 0;

        if (t.p[i] == '.' && i + 1 < t.n)
            next(t.p + i + 1, t.n - i - 1, &after);
        if (t.p[i] != '.' || is_digit(after) || periods == 32)
            mm_buf_char(out, t.p[i]);
        else
            periods++;
    }
    out->failed = out->failed || t.failed;
    mm_buf_free(&t);
}

static char *lower(const char *s, size_t n, size_t *len)
{
    return (char *)u8_tolower((const uint8_t *)s, n, NULL, NULL, NULL, len);
}

/* Number words, articles, contractions; words are joined by one space. */
static void words(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf w = { 0 };
    uint32_t c = ' ';

    for (size_t i = 0; i <= n;) {
        const size_t k = i < n ? next(s + i, n - i, &c) : 1;

        if (i < n && !is_space(c)) {
            mm_buf_add(&w, s + i, k);
        } else if (w.n) {
            const char *to = LOOK_UP(number_words, w.p);
            const char *word = to ? to : w.p;

            to = LOOK_UP(contractions, word);
            if (strcmp(word, "a") != 0 && strcmp(word, "an") != 0 && strcmp(word, "the") != 0) {
                mm_buf_str(out, out->n ? " " : "");
                mm_buf_str(out, to ? to : word);
            }
            mm_buf_reset(&w);
        }
        i += k;
    }
    out->failed = out->failed || w.failed;
    mm_buf_free(&w);
}

static int normal(struct mm_buf *b, const char *s, size_t n, struct mm_err *e)
{
    struct mm_buf t = { 0 };
    char *low = NULL;
    size_t len = 0;

    mm_buf_reset(b);
    punctuation(&t, s, n);
    if (!t.failed)
        low = lower(t.n ? t.p : "", t.n, &len);
    if (low)
        words(b, low, len);
    mm_buf_str(b, "");
    mm_buf_free(&t);
    if (!low || b->failed) {
        free(low);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    free(low);
    return 0;
}

/* Line ends and tabs are spaces, the ends are trimmed: what every scorer does first. */
static void flat(struct mm_buf *t, const char *s, size_t n)
{
    trim(&s, &n);
    for (size_t i = 0; i < n; i++)
        mm_buf_char(t, s[i] == '\n' || s[i] == '\t' ? ' ' : s[i]);
    mm_buf_str(t, "");
}

int mm_eval_normal(struct mm_buf *b, const char *text, struct mm_err *e)
{
    struct mm_buf t = { 0 };
    int rc;

    flat(&t, text, strlen(text));
    rc = t.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                  : normal(b, t.n ? t.p : "", t.n, e);
    mm_buf_free(&t);
    return rc;
}

int mm_eval_normal_textvqa(struct mm_buf *b, const char *text, struct mm_err *e)
{
    struct mm_buf t = { 0 };
    struct mm_buf f = { 0 };
    size_t len = 0;
    char *low = lower(text, strlen(text), &len);
    int rc;

    for (size_t i = 0; low && i < len; i++) {
        if (low[i] == '\'' && i + 1 < len && low[i + 1] == 's')
            mm_buf_char(&t, ' ');
        if (low[i] != ',' && low[i] != '?')
            mm_buf_char(&t, low[i]);
    }
    flat(&f, t.n ? t.p : "", t.n);
    rc = !low || t.failed || f.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                                      : normal(b, f.n ? f.p : "", f.n, e);
    free(low);
    mm_buf_free(&t);
    mm_buf_free(&f);
    return rc;
}
