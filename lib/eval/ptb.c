/* ptb.c: see ptb.h.  A scanner by hand; the longest of what may begin at a place. */
#include "eval/ptb.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>

#include "base/utf8.h"

struct scan {
    uint32_t *c; /* [n] characters, entities already read */
    size_t n;
    struct mm_buf out; /* tokens, before lower case */
};

static uint32_t at(const struct scan *s, size_t i)
{
    return i < s->n ? s->c[i] : 0;
}

static bool is_letter(uint32_t c)
{
    return c && (uc_is_property_alphabetic(c) || uc_is_general_category(c, UC_MARK));
}

static bool is_digit(uint32_t c)
{
    return c && uc_decimal_value(c) >= 0;
}

static bool is_word(uint32_t c)
{
    return is_letter(c) || is_digit(c) || c == '_';
}

static bool is_apos(uint32_t c)
{
    return c == '\'' || c == 0x2019 || c == 0x92;
}

static bool is_upper(uint32_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 9 && c <= 13) || c == 0xa0 || c == 0x85 || c == 0x3000 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029;
}

static bool in(uint32_t c, const char *set)
{
    return c && c < 128 && strchr(set, (int)c);
}

/* --- output ------------------------------------------------------------------------------- */

static void begin(struct scan *s)
{
    if (s->out.n)
        mm_buf_char(&s->out, ' ');
}

static void word(struct scan *s, const char *text)
{
    begin(s);
    mm_buf_str(&s->out, text);
}

static void piece(struct scan *s, size_t i, size_t end)
{
    char u[4];

    begin(s);
    for (; i < end; i++) {
        const uint32_t c = is_apos(s->c[i]) ? '\'' : s->c[i];

        if (c != 0xad)
            mm_buf_add(&s->out, u, mm_utf8_put(u, c));
    }
}

/* --- what may be long: addresses, tags, faces ----------------------------------------------- */

static size_t starts(const struct scan *s, size_t i, const char *text)
{
    size_t k = 0;

    for (; text[k]; k++)
        if (at(s, i + k) != (uint32_t)text[k] &&
            !(at(s, i + k) < 128 && (at(s, i + k) | 32) == (uint32_t)text[k] && text[k] >= 'a'))
            return 0;
    return k;
}

/* From i as far as no character of stop comes, then back over what may not be last. */
static size_t run(const struct scan *s, size_t i, const char *stop, const char *last)
{
    size_t n = i;

    while (n < s->n && !is_space(s->c[n]) && !in(s->c[n], stop))
        n++;
    while (n > i && in(s->c[n - 1], last))
        n--;
    return n;
}

static size_t url(const struct scan *s, size_t i)
{
    static const char stop[] = "\"<>|(){}";
    static const char last[] = ".!?,-;:'";
    size_t k = starts(s, i, "http://");

    k = k ? k : starts(s, i, "https://");
    k = k ? k : starts(s, i, "www.");
    return k && run(s, i + k, stop, last) > i + k ? run(s, i + k, stop, last) : i;
}

static size_t email(const struct scan *s, size_t i)
{
    size_t n = i;
    size_t end;

    if (at(s, i) >= 128 || !is_word(at(s, i)))
        return i;
    while (n < s->n && !is_space(s->c[n]) && !in(s->c[n], "\"<>|()@{},;:!?"))
        n++;
    if (at(s, n) != '@')
        return i;
    end = run(s, n + 1, "\"<>|(){},;:!?@'", ".");
    return end > n + 1 ? end : i;
}

static size_t tag(const struct scan *s, size_t i)
{
    size_t n = i + 1 + (at(s, i + 1) == '/');

    if (at(s, i) != '<' || at(s, n) >= 128 || !is_letter(at(s, n)))
        return i;
    while (at(s, n) < 128 && (is_word(at(s, n)) || in(at(s, n), ":.-")))
        n++;
    n += at(s, n) == '/';
    return at(s, n) == '>' ? n + 1 : i;
}

static size_t face(const struct scan *s, size_t i)
{
    size_t n = i + in(at(s, i), "<>");

    if (!in(at(s, n), ":;="))
        return i;
    n++;
    n += in(at(s, n), "'-o*");
    if (!in(at(s, n), "()DPdpO\\:@[{|") || is_letter(at(s, n + 1)))
        return i;
    return n + 1;
}

/* --- numbers and words ----------------------------------------------------------------------- */

static size_t number(const struct scan *s, size_t i)
{
    size_t n = i + in(at(s, i), "+-");
    const size_t first = n;

    while (is_digit(at(s, n)))
        n++;
    while (in(at(s, n), ".,:-") && is_digit(at(s, n + 1)))
        for (n++; is_digit(at(s, n)); n++)
            ;
    return n > first ? n : i;
}

/* d'Artagnan, O'Neil, o'clock */
static size_t elided(const struct scan *s, size_t i)
{
    return in(at(s, i), "dDoOlL") && is_apos(at(s, i + 1)) && is_letter(at(s, i + 2)) &&
                   is_letter(at(s, i + 3))
               ? i + 2
               : i;
}

static size_t long_word(const struct scan *s, size_t i)
{
    size_t n = elided(s, i);

    if (!is_word(at(s, n)))
        return i;
    for (;;) {
        while (is_word(at(s, n)) || at(s, n) == 0xad)
            n++;
        if (in(at(s, n), "-/") && is_word(at(s, n + 1)))
            n = elided(s, n + 1);
        else if (at(s, n) == '.' && is_letter(at(s, n - 1)) && is_letter(at(s, n + 1)))
            n++;
        else if (in(at(s, n), "&+") && is_upper(at(s, n - 1)) && is_upper(at(s, n + 1)))
            n++;
        else
            break;
    }
    if (n == i + 1 && is_letter(at(s, i)) && at(s, n) == '+' && at(s, n + 1) == '+')
        return n + 2;
    if (n == i + 1 && in(at(s, i), "cCfF") && at(s, n) == '#' && !is_word(at(s, n + 1)))
        return n + 1;
    return n;
}

/* 's 'm 'd 're 've 'll at i, and no letter after: its length. */
static size_t clitic(const struct scan *s, size_t i)
{
    static const char *const two[] = { "re", "ve", "ll" };

    if (!is_apos(at(s, i)))
        return 0;
    if (in(at(s, i + 1), "sSmMdD") && !is_word(at(s, i + 2)))
        return 2;
    for (size_t k = 0; k < 3; k++)
        if (starts(s, i + 1, two[k]) && !is_word(at(s, i + 3)))
            return 3;
    return 0;
}

/* --- abbreviations --------------------------------------------------------------------------- */

/* Those that may end a sentence: a second period follows them there. */
static const char *const may_end[] = {
    "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon",
    "tue", "tues", "wed", "thu", "thurs", "fri", "ala", "ariz", "calif", "colo", "conn", "ct",
    "dak", "fla", "ga", "ind", "kan", "kans", "ky", "md", "mich", "minn", "mo", "mont", "neb",
    "nev", "okla", "penn", "tenn", "va", "vt", "wis", "wisc", "wyo", "inc", "co", "cos", "corp",
    "ltd", "plc", "rt", "bancorp", "dept", "bhd", "assn", "univ", "intl", "sys", "tel", "est",
    "ext", "sq", "jr", "sr", "bros", "ph.d", "ed.d", "blvd", "rd", "esq", "etc", "al", "seq",
    NULL
};
/* These only with a capital: in lower case they are words. */
static const char *const capital[] = { "Az", "Ark", "Del", "Ill", "La", "Mass", "Miss", "Ore",
                                       "Pa", "Tex", "Wash", NULL };
static const char *const inside[] = {
    "mr", "mrs", "ms", "dr", "drs", "prof", "profs", "sen", "sens", "rep", "reps", "atty", "attys",
    "lt", "col", "gen", "messrs", "gov", "govs", "adm", "rev", "maj", "sgt", "cpl", "pvt", "capt",
    "st", "ste", "ave", "pres", "lieut", "hon", "brig", "cmdr", "comdr", "pfc", "spc", "supt",
    "supts", "det", "mt", "ft", "adj", "adv", "asst", "assoc", "ens", "insp", "mlle", "mme", "msgr",
    "sfc", "vs", "cie", "cf", "invt", "elec", "natl", "mfg", "mtg", NULL
};
static const char *const before_number[] = { "ca", "fig", "figs", "prop", "no", "nos", "art",
                                             "bldg", "pp", "op", NULL };

static bool listed(const struct scan *s, size_t i, size_t n, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == n - i && starts(s, i, *list))
            return true;
    return false;
}

/* [A-Za-z](\.[A-Za-z])* */
static bool initials(const struct scan *s, size_t i, size_t n)
{
    for (size_t k = i; k < n; k++)
        if ((k - i) % 2 == 0 ? s->c[k] >= 128 || !is_letter(s->c[k]) : s->c[k] != '.')
            return false;
    return (n - i) % 2 == 1;
}

static bool ends_sentence(const struct scan *s, size_t i)
{
    size_t k = i;

    while (k < s->n && is_space(s->c[k]))
        k++;
    return k == s->n || (k > i && is_upper(s->c[k]));
}

/* The word [i, n) with the period at n, if that is its own.  Returns what is read. */
static size_t abbreviation(struct scan *s, size_t i, size_t n)
{
    if (at(s, n) != '.')
        return i;
    if (listed(s, i, n, may_end) || listed(s, i, n, capital)) {
        piece(s, i, n + 1);
        return ends_sentence(s, n + 1) ? n : n + 1;
    }
    if (initials(s, i, n) || listed(s, i, n, inside) ||
        (listed(s, i, n, before_number) && is_space(at(s, n + 1)) && is_digit(at(s, n + 2)))) {
        piece(s, i, n + 1);
        return n + 1;
    }
    return i;
}

/* --- words with parts ------------------------------------------------------------------------ */

static const struct {
    const char *whole;
    size_t cut;
} split_words[] = { { "cannot", 3 }, { "gonna", 3 }, { "gotta", 3 }, { "wanna", 3 },
                    { "lemme", 3 },  { "gimme", 3 } };

/* A word at i and what hangs on it. */
static size_t words(struct scan *s, size_t i)
{
    size_t n = long_word(s, i);
    const size_t num = number(s, i);
    size_t k;

    if (num > n) {
        piece(s, i, num);
        return num;
    }
    k = abbreviation(s, i, n);
    if (k > i)
        return k;
    for (size_t w = 0; w < sizeof(split_words) / sizeof(*split_words); w++)
        if (strlen(split_words[w].whole) == n - i && starts(s, i, split_words[w].whole)) {
            piece(s, i, i + split_words[w].cut);
            piece(s, i + split_words[w].cut, n);
            return n;
        }
    if (n > i + 1 && in(s->c[n - 1], "nN") && is_apos(at(s, n)) && in(at(s, n + 1), "tT") &&
        !is_word(at(s, n + 2))) {
        piece(s, i, n - 1);
        piece(s, n - 1, n + 2);
        return n + 2;
    }
    if (n == i + 1 && in(s->c[i], "yY") && is_apos(at(s, n)) && is_letter(at(s, n + 1)))
        n++; /* y' all */
    else if (starts(s, i, "ma'am") == 5 && !is_word(at(s, i + 5)))
        n = i + 5;
    piece(s, i, n);
    return n;
}

/* At an apostrophe: 'tis, 'n', '90s, 's; else a quote. */
static size_t apostrophe(struct scan *s, size_t i)
{
    static const char *const whole[] = { "em", "til", "till", "cause", "bout", NULL };
    size_t n = i + clitic(s, i);

    if (s->c[i] != 0x2019 && i && n > i && !is_word(s->c[i - 1]) && !is_apos(s->c[i - 1]))
        n = i; /* a quote before a single letter */
    for (size_t k = 0; n == i && whole[k]; k++)
        if (starts(s, i + 1, whole[k]) && !is_word(at(s, i + 1 + strlen(whole[k]))))
            n = i + 1 + strlen(whole[k]);
    if (n == i && in(at(s, i + 1), "nN") && is_apos(at(s, i + 2)))
        n = i + 3;
    if (n == i && is_digit(at(s, i + 1)) && is_digit(at(s, i + 2)))
        n = i + 3 + in(at(s, i + 3), "sS");
    if (n > i && (n == s->n || !is_word(at(s, n)))) {
        piece(s, i, n);
        return n;
    }
    if (in(at(s, i + 1), "tT") && (starts(s, i + 2, "is") || starts(s, i + 2, "was")) &&
        !is_word(at(s, i + 4 + (starts(s, i + 2, "was") > 0)))) {
        piece(s, i, i + 2);
        return i + 2;
    }
    word(s, is_word(at(s, i + 1)) && s->c[i] == '\'' && (i == 0 || !is_word(s->c[i - 1])) ? "`"
                                                                                          : "'");
    return i + 1;
}

/* --- punctuation ------------------------------------------------------------------------------ */

static const struct {
    uint32_t c;
    const char *text;
} named[] = {
    { '(', "-LRB-" }, { ')', "-RRB-" }, { '[', "-LSB-" }, { ']', "-RSB-" }, { '{', "-LCB-" },
    { '}', "-RCB-" }, { 0x201c, "``" }, { 0x201d, "''" }, { 0x201e, "``" }, { 0x2018, "`" },
    { 0x2013, "--" }, { 0x2014, "--" }, { 0x2026, "..." }, { 0xa3, "#" },   { 0x20ac, "$" },
    { 0xa2, "cents" }, { 0xab, "``" },  { 0xbb, "''" },   { 0xbc, "1/4" },  { 0xbd, "1/2" },
    { 0xbe, "3/4" },  { 0x2153, "1/3" }, { 0x2154, "2/3" },
};

static size_t repeat(const struct scan *s, size_t i, const char *set, size_t most)
{
    size_t n = i;

    while (n < i + most && in(at(s, n), set))
        n++;
    return n;
}

static size_t punctuation(struct scan *s, size_t i)
{
    const uint32_t c = s->c[i];
    size_t n = i + 1;

    for (size_t k = 0; k < sizeof(named) / sizeof(*named); k++)
        if (named[k].c == c) {
            word(s, named[k].text);
            return n;
        }
    if (c == '"') {
        word(s, is_word(at(s, n)) || at(s, n) == '$' ? "``" : "''");
    } else if (c == '-' && at(s, n) == '-') {
        n = repeat(s, i, "-", s->n);
        if (n - i <= 4)
            word(s, "--");
        else
            piece(s, i, n);
    } else if (c == '.' && repeat(s, i, ".", 5) >= i + 3) {
        n = repeat(s, i, ".", 5);
        word(s, "...");
    } else if (c == '?' || c == '!') {
        n = repeat(s, i, "?!", s->n);
        piece(s, i, n);
    } else if (c == '`' && at(s, n) == '`') {
        word(s, "``");
        n++;
    } else if (in(c, ".,:;$%#&*|^~=\\+/<>@`-") || (c >= 0xa1 && c <= 0xbf && c != 0xad) ||
               c == 0xd7 || c == 0xf7 || (c >= 0x2010 && c <= 0x205e) ||
               (c >= 0x20a0 && c <= 0x20cf) || (c >= 0x2200 && c <= 0x22ff)) {
        piece(s, i, n);
    }
    return n; /* what has no rule vanishes */
}

/* --- the line --------------------------------------------------------------------------------- */

static size_t token(struct scan *s, size_t i)
{
    const uint32_t c = s->c[i];
    size_t n;

    if (is_space(c))
        return i + 1;
    n = url(s, i);
    n = n > i ? n : email(s, i);
    n = n > i ? n : tag(s, i);
    if (n == i && in(c, "@#") && (is_letter(at(s, i + 1)) || at(s, i + 1) == '_'))
        for (n = i + 1; is_word(at(s, n)); n++)
            ;
    if (n > i) {
        piece(s, i, n);
        return n;
    }
    n = face(s, i);
    if (n > i) {
        begin(s);
        for (size_t k = i; k < n; k++) {
            const uint32_t f = s->c[k];

            mm_buf_str(&s->out, f == '(' ? "-LRB-" : f == ')' ? "-RRB-" : f == '[' ? "-LSB-" : "");
            if (!in(f, "()["))
                mm_buf_char(&s->out, (char)f);
        }
        return n;
    }
    if (is_word(c) || (number(s, i) > i && (i == 0 || !is_word(s->c[i - 1]) || c != '-')))
        return words(s, i);
    return is_apos(c) ? apostrophe(s, i) : punctuation(s, i);
}

static const struct {
    const char *name;
    uint32_t c;
} entities[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' },
                 { "&apos;", '\'' }, { "&nbsp;", ' ' } };

static void decode(struct scan *s, const char *text)
{
    const size_t n = strlen(text);

    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t k = mm_utf8_get(text + i, n - i, &c);

        if (k == 0) {
            c = 0xfffd;
            k = 1;
        }
        for (size_t e = 0; c == '&' && e < sizeof(entities) / sizeof(*entities); e++)
            if (strncmp(text + i, entities[e].name, strlen(entities[e].name)) == 0) {
                k = strlen(entities[e].name);
                c = entities[e].c;
            }
        s->c[s->n++] = c;
        i += k;
    }
}

/* Lower case, and the filter, token by token. */
static void finish(struct mm_buf *out, const char *tokens, size_t n, bool filter)
{
    static const char *const dropped[] = { "''", "'", "`", "``", ".", "?",   "!", ",",
                                           ":",  "-", "--", "...", ";", NULL };

    for (size_t i = 0; i < n;) {
        const char *end = memchr(tokens + i, ' ', n - i);
        const size_t len = end ? (size_t)(end - tokens) - i : n - i;
        bool drop = false;

        for (size_t k = 0; filter && dropped[k]; k++)
            drop = drop || (strlen(dropped[k]) == len && memcmp(tokens + i, dropped[k], len) == 0);
        if (!drop) {
            if (out->n)
                mm_buf_char(out, ' ');
            mm_buf_add(out, tokens + i, len);
        }
        i += len + 1;
    }
}

int mm_eval_ptb(struct mm_buf *out, const char *text, bool filter, struct mm_err *e)
{
    struct scan s = { 0 };
    char *low = NULL;
    size_t len = 0;

    mm_buf_reset(out);
    mm_buf_str(out, "");
    s.c = malloc((strlen(text) + 1) * sizeof(*s.c));
    if (s.c) {
        decode(&s, text);
        for (size_t i = 0; i < s.n;)
            i = token(&s, i);
        if (!s.out.failed)
            low = (char *)u8_tolower((const uint8_t *)(s.out.n ? s.out.p : ""), s.out.n, NULL,
                                     NULL, NULL, &len);
    }
    if (low)
        finish(out, low, len, filter);
    free(s.c);
    mm_buf_free(&s.out);
    if (!low || out->failed) {
        free(low);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    free(low);
    return 0;
}
