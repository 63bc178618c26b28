/* hfpre.c: each pre-tokenizer reads one list of words and makes the next; those
 * that only cut hand the text on. */
#include "text/hfpre.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/bytelevel.h"
#include "text/hfparse.h"
#include "text/unicode.h"

enum kind {
    PRE_SPACE, PRE_WHITESPACE, PRE_BYTES, PRE_META, PRE_SPLIT, PRE_PUNCT, PRE_DIGITS, PRE_CHAR,
    PRE_SCRIPTS
};

enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct step {
    enum kind kind;
    enum mm_cutting how; /* SPLIT, PUNCT */
    bool invert;         /* SPLIT */
    bool each;           /* DIGITS: one by one */
    bool modern;         /* PUNCT: Unicode 14 */
    bool prefix;         /* BYTES: a space before a word that has none */
    bool split;          /* META */
    enum prepend prepend; /* META */
    uint32_t c;          /* META: replacement; CHAR: delimiter */
    struct mm_hfpat pat; /* SPLIT; BYTES: GPT-2's, or nothing */
};

struct mm_hfpre {
    json_t *src; /* the strings live here */
    struct step *v;
    size_t n, cap;
};

/* Radford 2019, encoder.py. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static struct step *new_step(struct mm_hfpre *p, enum kind kind, struct mm_err *e)
{
    if (!mm_grow(&p->v, &p->cap, p->n + 1, sizeof(*p->v))) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    p->v[p->n] = (struct step){ .kind = kind };
    return &p->v[p->n++];
}

static int parse_cutting(enum mm_cutting *how, const json_t *j, enum mm_cutting dflt,
                         struct mm_err *e)
{
    const json_t *b = json_object_get(j, "behavior");
    const int i = json_is_string(b) ? mm_cutting_named(json_string_value(b)) : b ? -1 : (int)dflt;

    if (i < 0)
        return mm_err_set(e, MM_EDATA, "'behavior' is none of the five");
    *how = (enum mm_cutting)i;
    return 0;
}

static int parse_bytes(struct step *s, const json_t *j, struct mm_err *e)
{
    bool regex;
    int r = mm_hf_bool(&s->prefix, j, "add_prefix_space", true, e);

    if (r == 0 && (r = mm_hf_bool(&regex, j, "use_regex", true, e)) == 0 && regex)
        r = mm_regex_new(&s->pat.re, gpt2_pattern, sizeof(gpt2_pattern) - 1, e);
    return r;
}

static int parse_meta(struct step *s, const json_t *j, struct mm_err *e)
{
    static const char *const names[] = { "always", "first", "never" };
    const json_t *scheme = json_object_get(j, "prepend_scheme");
    bool prefix;
    int r;

    if ((r = mm_hf_char(&s->c, j, "replacement", e)) < 0 ||
        (r = mm_hf_bool(&s->split, j, "split", true, e)) < 0 ||
        (r = mm_hf_bool(&prefix, j, "add_prefix_space", true, e)) < 0)
        return r;
    if (!scheme) { /* files of before 2024 */
        s->prepend = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
        return 0;
    }
    for (int i = 0; i < 3; i++)
        if (json_is_string(scheme) && strcmp(json_string_value(scheme), names[i]) == 0) {
            s->prepend = (enum prepend)i;
            return 0;
        }
    return mm_err_set(e, MM_EDATA, "'prepend_scheme' is none of always, first, never");
}

static int parse_split(struct step *s, const json_t *j, struct mm_err *e)
{
    int r;

    if ((r = mm_hfpat_new(&s->pat, j, e)) < 0 ||
        (r = mm_hf_bool(&s->invert, j, "invert", false, e)) < 0)
        return r;
    return parse_cutting(&s->how, j, MM_CUT_ISOLATED, e);
}

static int parse_params(struct step *s, const json_t *j, struct mm_err *e)
{
    switch (s->kind) {
    case PRE_BYTES: return parse_bytes(s, j, e);
    case PRE_META: return parse_meta(s, j, e);
    case PRE_SPLIT: return parse_split(s, j, e);
    case PRE_PUNCT: return parse_cutting(&s->how, j, MM_CUT_ISOLATED, e);
    case PRE_DIGITS: return mm_hf_bool(&s->each, j, "individual_digits", false, e);
    case PRE_CHAR: return mm_hf_char(&s->c, j, "delimiter", e);
    default: return 0;
    }
}

/* White space goes, then each punctuation character is a word. */
static int add_bert(struct mm_hfpre *p, bool modern, struct mm_err *e)
{
    struct step *s;

    if (!new_step(p, PRE_SPACE, e) || !(s = new_step(p, PRE_PUNCT, e)))
        return MM_ENOMEM;
    s->how = MM_CUT_ISOLATED;
    s->modern = modern;
    return 0;
}

static int add_step(void *arg, const char *type, const json_t *j, struct mm_err *e)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = {
        { "WhitespaceSplit", PRE_SPACE }, { "Whitespace", PRE_WHITESPACE },
        { "ByteLevel", PRE_BYTES },       { "Metaspace", PRE_META },
        { "Split", PRE_SPLIT },           { "Punctuation", PRE_PUNCT },
        { "Digits", PRE_DIGITS },         { "CharDelimiterSplit", PRE_CHAR },
        { "UnicodeScripts", PRE_SCRIPTS },
    };

    if (strcmp(type, "BertPreTokenizer") == 0)
        return add_bert(arg, false, e);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(type, kinds[i].type) != 0)
            continue;
        struct step *s = new_step(arg, kinds[i].kind, e);
        return s ? parse_params(s, j, e) : MM_ENOMEM;
    }
    return mm_hf_unknown("pre-tokenizer", type, e);
}

int mm_hfpre_new(struct mm_hfpre **out, const json_t *j, struct mm_err *e)
{
    struct mm_hfpre *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    p->src = json_incref((json_t *)(uintptr_t)j);
    r = mm_hf_steps(j, "pretokenizers", add_step, p, e);
    if (r < 0) {
        mm_hfpre_free(p);
        return mm_err_prefix(e, "pre_tokenizer");
    }
    *out = p;
    return 0;
}

int mm_hfpre_bert(struct mm_hfpre **out, struct mm_err *e)
{
    struct mm_hfpre *p = calloc(1, sizeof(*p));

    if (!p || add_bert(p, true, e) < 0) {
        mm_hfpre_free(p);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    *out = p;
    return 0;
}

int mm_hfpre_patterns(struct mm_hfpre **out, const char *const *patterns, size_t n,
                      struct mm_err *e)
{
    struct mm_hfpre *p = calloc(1, sizeof(*p));
    int r = p ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");

    for (size_t i = 0; i < n && r == 0; i++) {
        struct step *s = new_step(p, PRE_SPLIT, e);
        if (!s) {
            r = MM_ENOMEM;
            break;
        }
        s->how = MM_CUT_ISOLATED;
        r = mm_regex_new(&s->pat.re, patterns[i], strlen(patterns[i]), e);
    }
    if (r == 0 && !new_step(p, PRE_BYTES, e))
        r = MM_ENOMEM;
    if (r < 0) {
        mm_hfpre_free(p);
        return r;
    }
    *out = p;
    return 0;
}

void mm_hfpre_free(struct mm_hfpre *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        mm_hfpat_free(&p->v[i].pat);
    free(p->v);
    json_decref(p->src);
    free(p);
}

static bool is_delimiter(const struct step *s, uint32_t c)
{
    switch (s->kind) {
    case PRE_SPACE: return mm_uc_space(c);
    case PRE_PUNCT: return s->modern ? mm_uc_punct(c) : mm_uc_punct8(c);
    case PRE_DIGITS: return mm_uc_number(c);
    default: return c == s->c;
    }
}

/* Cut at characters: each one that is a delimiter is a match. */
static void cut_chars(const struct step *s, struct mm_words *out, const struct mm_word *w)
{
    enum mm_cutting how = MM_CUT_REMOVED;
    struct mm_splitter sp;

    if (s->kind == PRE_PUNCT)
        how = s->how;
    else if (s->kind == PRE_DIGITS)
        how = s->each ? MM_CUT_ISOLATED : MM_CUT_CONTIGUOUS;
    else if (s->kind == PRE_META)
        how = MM_CUT_MERGED_WITH_NEXT;
    mm_split_start(&sp, out, how, false, w);
    for (size_t i = 0; i < w->n;) {
        const size_t at = i;
        if (is_delimiter(s, mm_uc_next(out->text.p + w->at, w->n, &i)))
            mm_split_match(&sp, at, i);
    }
    mm_split_end(&sp);
}

/* \w+|[^\w\s]+ */
static void cut_whitespace(struct mm_words *out, const struct mm_word *w)
{
    enum { SPACE, WORD, OTHER } class, last = SPACE;
    size_t from = 0;

    for (size_t i = 0; i < w->n;) {
        const size_t at = i;
        const uint32_t c = mm_uc_next(out->text.p + w->at, w->n, &i);
        class = mm_uc_word(c) ? WORD : mm_uc_space(c) ? SPACE : OTHER;
        if (class != last) {
            if (last != SPACE)
                mm_words_add(out, w->at + from, at - from, w->first && from == 0);
            from = at;
        }
        last = class;
    }
    if (last != SPACE)
        mm_words_add(out, w->at + from, w->n - from, w->first && from == 0);
}

/* The script of c; NULL joins any (spaces, unassigned characters). */
static const char *script_of(uint32_t c)
{
    static const char han[] = "Han";

    if (c == ' ')
        return NULL;
    const char *s = mm_uc_script9(c);
    const bool kana = s && (strcmp(s, "Hiragana") == 0 || strcmp(s, "Katakana") == 0);
    return c == 0x30fc || kana ? han : s;
}

/* A word begins at each change of script; what is before the first character
 * that has one is lost, as in the reference. */
static void cut_scripts(struct mm_words *out, const struct mm_word *w)
{
    const char *last = NULL;
    size_t from = 0;

    for (size_t i = 0; i < w->n;) {
        const size_t at = i;
        const char *s = script_of(mm_uc_next(out->text.p + w->at, w->n, &i));
        if (!s)
            continue;
        if (!last || strcmp(s, last) != 0) {
            if (last)
                mm_words_add(out, w->at + from, at - from, w->first && from == 0);
            from = at;
        }
        last = s;
    }
    if (last)
        mm_words_add(out, w->at + from, w->n - from, w->first && from == 0);
}

static int cut_pattern(const struct step *s, struct mm_hffind *f, struct mm_words *out,
                       const struct mm_word *w, struct mm_err *e)
{
    struct mm_splitter sp;
    size_t ms, me;
    int r;

    mm_hffind_reset(f);
    mm_split_start(&sp, out, s->how, s->invert, w);
    while ((r = mm_hffind_next(f, out->text.p + w->at, w->n, &ms, &me, e)) > 0)
        mm_split_match(&sp, ms, me);
    mm_split_end(&sp);
    return r;
}

/* The steps that only cut: the text moves on as it is. */
static int cut_all(const struct step *s, struct mm_words *in, struct mm_words *out,
                   struct mm_err *e)
{
    struct mm_hffind f;
    int r = 0;

    if (s->kind == PRE_SPLIT && (r = mm_hffind_start(&f, &s->pat, e)) < 0)
        return r;
    out->text = in->text;
    in->text = (struct mm_buf){ 0 };
    for (size_t i = 0; i < in->n && r == 0; i++)
        switch (s->kind) {
        case PRE_SPLIT: r = cut_pattern(s, &f, out, &in->v[i], e); break;
        case PRE_WHITESPACE: cut_whitespace(out, &in->v[i]); break;
        case PRE_SCRIPTS: cut_scripts(out, &in->v[i]); break;
        default: cut_chars(s, out, &in->v[i]); break;
        }
    if (s->kind == PRE_SPLIT)
        mm_hffind_end(&f);
    return r;
}

/* One word in the characters of its bytes, cut by GPT-2's pattern if there is one. */
static int bytes_word(struct mm_hffind *f, struct mm_words *out, const char *p, size_t n,
                      bool first, struct mm_err *e)
{
    size_t ms = 0, me = n;
    int r;

    if (!f) {
        const size_t at = out->text.n;
        mm_bytelevel_encode(&out->text, p, n);
        mm_words_add(out, at, out->text.n - at, first);
        return 0;
    }
    mm_hffind_reset(f);
    while ((r = mm_hffind_next(f, p, n, &ms, &me, e)) > 0) { /* leaves nothing out */
        const size_t at = out->text.n;
        mm_bytelevel_encode(&out->text, p + ms, me - ms);
        mm_words_add(out, at, out->text.n - at, first && ms == 0);
    }
    return r;
}

static int bytes_all(const struct step *s, const struct mm_words *in, struct mm_words *out,
                     struct mm_err *e)
{
    struct mm_hffind find, *f = s->pat.re ? &find : NULL;
    struct mm_buf b = { 0 };
    int r = 0;

    if (f && (r = mm_hffind_start(f, &s->pat, e)) < 0)
        return r;
    for (size_t i = 0; i < in->n && r == 0; i++) {
        const struct mm_word *w = &in->v[i];
        const char *p = in->text.p + w->at;
        size_t n = w->n;
        if (s->prefix && p[0] != ' ') {
            mm_buf_reset(&b);
            mm_buf_char(&b, ' ');
            mm_buf_add(&b, p, n);
            if (b.failed) {
                r = mm_err_set(e, MM_ENOMEM, "out of memory");
                break;
            }
            p = b.p;
            n = b.n;
        }
        r = bytes_word(f, out, p, n, w->first, e);
    }
    mm_buf_free(&b);
    if (f)
        mm_hffind_end(f);
    return r;
}

/* Spaces become the replacement; then the word is cut before each. */
static void meta_all(const struct step *s, const struct mm_words *in, struct mm_words *out)
{
    char mark[4];
    const size_t len = mm_utf8_put(mark, s->c);

    for (size_t i = 0; i < in->n; i++) {
        const struct mm_word *w = &in->v[i];
        const char *p = in->text.p + w->at;
        const size_t at = out->text.n;
        const bool has = p[0] == ' ' || (w->n >= len && memcmp(p, mark, len) == 0);
        if (!has && (s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && w->first)))
            mm_buf_add(&out->text, mark, len);
        for (size_t k = 0; k < w->n; k++)
            if (p[k] == ' ')
                mm_buf_add(&out->text, mark, len);
            else
                mm_buf_char(&out->text, p[k]);
        const struct mm_word whole = { .at = at, .n = out->text.n - at, .first = w->first };
        if (s->split && !out->text.failed)
            cut_chars(s, out, &whole);
        else
            mm_words_add(out, whole.at, whole.n, whole.first);
    }
}

int mm_hfpre_run(const struct mm_hfpre *p, struct mm_words *w, struct mm_err *e)
{
    struct mm_words next = { 0 };
    int r = 0;

    for (size_t i = 0; i < p->n && r == 0; i++) {
        const struct step *s = &p->v[i];
        if (s->kind == PRE_BYTES)
            r = bytes_all(s, w, &next, e);
        else if (s->kind == PRE_META)
            meta_all(s, w, &next);
        else
            r = cut_all(s, w, &next, e);
        const struct mm_words t = *w;
        *w = next;
        next = t;
        if (r == 0)
            r = mm_words_check(w, e);
        mm_words_reset(&next);
    }
    mm_words_free(&next);
    return r;
}
