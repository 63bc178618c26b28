/* hfnorm.c: each normalizer reads one buffer and writes the next. */
#include "text/hfnorm.h"

#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>

#include "text/bytelevel.h"
#include "text/hfparse.h"
#include "text/spm.h"
#include "text/unicode.h"

enum kind {
    NORM_FORM, NORM_LOWER, NORM_STRIP, NORM_ACCENTS, NORM_REPLACE, NORM_PREPEND, NORM_NMT,
    NORM_BERT, NORM_BYTES, NORM_CHARSMAP
};

struct step {
    enum kind kind;
    enum mm_nf form;
    bool left, right;                     /* STRIP */
    bool clean, chinese, accents, lower;  /* BERT; accents: they are taken off */
    bool python;                          /* BERT as the Python tokenizer */
    struct mm_hfpat pat;                  /* REPLACE */
    struct mm_str text;                   /* REPLACE, PREPEND: what is put in */
    struct mm_spm *spm;                   /* CHARSMAP: the rules are in it */
};

struct mm_hfnorm {
    json_t *src; /* the strings live here */
    struct step *v;
    size_t n, cap;
};

static struct step *new_step(struct mm_hfnorm *n, enum kind kind, struct mm_err *e)
{
    if (!mm_grow(&n->v, &n->cap, n->n + 1, sizeof(*n->v))) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    n->v[n->n] = (struct step){ .kind = kind };
    return &n->v[n->n++];
}

static int parse_bert(struct step *s, const json_t *j, struct mm_err *e)
{
    int r;

    if ((r = mm_hf_bool(&s->clean, j, "clean_text", true, e)) < 0 ||
        (r = mm_hf_bool(&s->chinese, j, "handle_chinese_chars", true, e)) < 0 ||
        (r = mm_hf_bool(&s->lower, j, "lowercase", true, e)) < 0)
        return r;
    return mm_hf_bool(&s->accents, j, "strip_accents", s->lower, e);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648; false if s[n] is none. */
static bool decode_base64(struct mm_buf *out, const char *s, size_t n)
{
    uint32_t bits = 0;
    int have = 0;

    while (n > 0 && s[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        const int d = base64_digit(s[i]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            mm_buf_char(out, (char)(bits >> have & 0xff));
        }
    }
    return true;
}

static int parse_charsmap(struct step *s, const json_t *j, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    struct mm_str text;
    int r = mm_hf_string(&text, j, "precompiled_charsmap", e);

    if (r < 0)
        return r;
    s->spm = calloc(1, sizeof(*s->spm));
    if (!decode_base64(&b, text.s, text.n))
        r = mm_err_set(e, MM_EDATA, "'precompiled_charsmap' is no base64");
    else if (!s->spm || b.failed)
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (b.n > 0)
        r = mm_spm_set_charsmap(s->spm, (const unsigned char *)b.p, b.n, e);
    mm_buf_free(&b);
    return r;
}

static int parse_params(struct step *s, const json_t *j, struct mm_err *e)
{
    int r = 0;

    switch (s->kind) {
    case NORM_STRIP:
        if ((r = mm_hf_bool(&s->left, j, "strip_left", true, e)) == 0)
            r = mm_hf_bool(&s->right, j, "strip_right", true, e);
        return r;
    case NORM_REPLACE:
        if ((r = mm_hfpat_new(&s->pat, j, e)) == 0)
            r = mm_hf_string(&s->text, j, "content", e);
        return r;
    case NORM_PREPEND:
        return mm_hf_string(&s->text, j, "prepend", e);
    case NORM_BERT:
        return parse_bert(s, j, e);
    case NORM_CHARSMAP:
        return parse_charsmap(s, j, e);
    default:
        return 0;
    }
}

static int add_step(void *arg, const char *type, const json_t *j, struct mm_err *e)
{
    static const struct {
        const char *type;
        enum kind kind;
        enum mm_nf form;
    } kinds[] = {
        { "NFC", NORM_FORM, MM_NFC },          { "NFD", NORM_FORM, MM_NFD },
        { "NFKC", NORM_FORM, MM_NFKC },        { "NFKD", NORM_FORM, MM_NFKD },
        { "Lowercase", NORM_LOWER, 0 },        { "Strip", NORM_STRIP, 0 },
        { "StripAccents", NORM_ACCENTS, 0 },   { "Replace", NORM_REPLACE, 0 },
        { "Prepend", NORM_PREPEND, 0 },        { "Nmt", NORM_NMT, 0 },
        { "BertNormalizer", NORM_BERT, 0 },    { "ByteLevel", NORM_BYTES, 0 },
        { "Precompiled", NORM_CHARSMAP, 0 },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(type, kinds[i].type) != 0)
            continue;
        struct step *s = new_step(arg, kinds[i].kind, e);
        if (!s)
            return MM_ENOMEM;
        s->form = kinds[i].form;
        return parse_params(s, j, e);
    }
    return mm_hf_unknown("normalizer", type, e);
}

int mm_hfnorm_new(struct mm_hfnorm **out, const json_t *j, struct mm_err *e)
{
    struct mm_hfnorm *n = calloc(1, sizeof(*n));
    int r;

    if (!n)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    n->src = json_incref((json_t *)(uintptr_t)j);
    r = mm_hf_steps(j, "normalizers", add_step, n, e);
    if (r < 0) {
        mm_hfnorm_free(n);
        return mm_err_prefix(e, "normalizer");
    }
    *out = n;
    return 0;
}

int mm_hfnorm_bert(struct mm_hfnorm **out, bool lower, bool strip_accents, bool chinese,
                   struct mm_err *e)
{
    struct mm_hfnorm *n = calloc(1, sizeof(*n));
    struct step *s = n ? new_step(n, NORM_BERT, e) : NULL;

    if (!s) {
        mm_hfnorm_free(n);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    s->clean = s->python = true;
    s->lower = lower;
    s->accents = strip_accents;
    s->chinese = chinese;
    *out = n;
    return 0;
}

void mm_hfnorm_free(struct mm_hfnorm *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n; i++) {
        mm_hfpat_free(&n->v[i].pat);
        if (n->v[i].spm)
            free(n->v[i].spm->charsmap);
        free(n->v[i].spm);
    }
    free(n->v);
    json_decref(n->src);
    free(n);
}

static void strip(struct mm_buf *out, const char *s, size_t n, bool left, bool right)
{
    size_t from = 0, to = 0;
    bool seen = !left;

    for (size_t i = 0; i < n;) {
        const size_t at = i;
        const bool space = mm_uc_space(mm_uc_next(s, n, &i));
        if (!space && !seen) {
            from = at;
            seen = true;
        }
        if (!space)
            to = i;
    }
    if (seen)
        mm_buf_add(out, s + from, (right ? (to > from ? to : from) : n) - from);
}

static void drop(struct mm_buf *out, const char *s, size_t n, bool (*of)(uint32_t))
{
    for (size_t i = 0; i < n;) {
        const size_t at = i;
        if (!of(mm_uc_next(s, n, &i)))
            mm_buf_add(out, s + at, i - at);
    }
}

static int replace(const struct step *st, struct mm_buf *out, const char *s, size_t n,
                   struct mm_err *e)
{
    struct mm_hffind f;
    size_t done = 0, ms, me;
    int r = mm_hffind_start(&f, &st->pat, e);

    if (r < 0)
        return r;
    while ((r = mm_hffind_next(&f, s, n, &ms, &me, e)) > 0) {
        mm_buf_add(out, s + done, ms - done);
        mm_buf_add(out, st->text.s, st->text.n);
        done = me;
    }
    mm_buf_add(out, s + done, n - done);
    mm_hffind_end(&f);
    return r;
}

static bool nmt_control(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
        c == 0x9f;
}

static bool nmt_space(uint32_t c)
{
    return c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
        (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
        c == 0xfeff || c == 0xfffd;
}

static void nmt(struct mm_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const uint32_t c = mm_uc_next(s, n, &i);
        if (!nmt_control(c))
            mm_uc_put(out, nmt_space(c) ? ' ' : c);
    }
}

static bool bert_dropped(uint32_t c, bool python)
{
    if (c == 0 || c == 0xfffd)
        return true;
    if (c == '\t' || c == '\n' || c == '\r')
        return false;
    return python ? mm_uc_other(c) : mm_uc_control8(c);
}

static void bert_clean(const struct step *st, struct mm_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const uint32_t c = mm_uc_next(s, n, &i);
        if (st->clean && bert_dropped(c, st->python))
            continue;
        const bool apart = st->chinese && mm_uc_chinese(c);
        if (apart)
            mm_buf_char(out, ' ');
        mm_uc_put(out, st->clean && mm_uc_space(c) ? ' ' : c);
        if (apart)
            mm_buf_char(out, ' ');
    }
}

static void take(struct mm_buf *a, struct mm_buf *b)
{
    const struct mm_buf t = *a;
    const bool failed = a->failed || b->failed;

    *a = *b;
    *b = t;
    mm_buf_reset(b);
    a->failed = failed;
}

/* Clean, then lower case and accents: the Python tokenizer in that order, the
 * Rust one in the other. */
static int bert(const struct step *st, struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf a = { 0 }, b = { 0 };

    bert_clean(st, &a, s, n);
    if (st->python) {
        mm_uc_normalise(&b, a.p, a.n, MM_NFC);
        take(&a, &b);
        if (st->lower) {
            mm_uc_lower(&b, a.p, a.n, false);
            take(&a, &b);
        }
    }
    if (st->accents) {
        mm_uc_normalise(&b, a.p, a.n, MM_NFD);
        take(&a, &b);
        drop(&b, a.p, a.n, st->python ? mm_uc_nonspacing : mm_uc_nonspacing8);
        take(&a, &b);
    }
    if (st->lower && !st->python)
        mm_uc_lower(out, a.p, a.n, false);
    else
        mm_buf_add(out, a.p, a.n);
    out->failed = out->failed || a.failed || b.failed;
    mm_buf_free(&a);
    mm_buf_free(&b);
    return 0;
}

/* Each short grapheme as a whole, else each of its characters; a rule for a
 * part of it stands for all, as in the reference. */
static void charsmap(const struct mm_spm *m, struct mm_buf *out, const char *s, size_t n)
{
    const uint8_t *const end = (const uint8_t *)s + n;
    struct mm_str to;

    for (size_t i = 0; i < n;) {
        const uint8_t *next = u8_grapheme_next((const uint8_t *)s + i, end);
        const size_t stop = next ? (size_t)((const char *)next - s) : n;
        if (stop - i < 6 && mm_spm_rule(m, MM_SPM_SHORTEST, s + i, stop - i, &to)) {
            mm_buf_add(out, to.s, to.n);
            i = stop;
        }
        while (i < stop) {
            const size_t at = i;
            mm_uc_next(s, n, &i);
            if (mm_spm_rule(m, MM_SPM_SHORTEST, s + at, i - at, &to))
                mm_buf_add(out, to.s, to.n);
            else
                mm_buf_add(out, s + at, i - at);
        }
    }
}

static int run_step(const struct step *st, struct mm_buf *out, const char *s, size_t n,
                    struct mm_err *e)
{
    switch (st->kind) {
    case NORM_FORM: mm_uc_normalise(out, s, n, st->form); return 0;
    case NORM_LOWER: mm_uc_lower(out, s, n, false); return 0;
    case NORM_STRIP: strip(out, s, n, st->left, st->right); return 0;
    case NORM_ACCENTS: drop(out, s, n, mm_uc_accent); return 0;
    case NORM_REPLACE: return replace(st, out, s, n, e);
    case NORM_PREPEND:
        if (n > 0)
            mm_buf_add(out, st->text.s, st->text.n);
        mm_buf_add(out, s, n);
        return 0;
    case NORM_NMT: nmt(out, s, n); return 0;
    case NORM_BERT: return bert(st, out, s, n);
    case NORM_BYTES: mm_bytelevel_encode(out, s, n); return 0;
    case NORM_CHARSMAP: charsmap(st->spm, out, s, n); return 0;
    }
    return 0;
}

/* Does the step leave out the first character of s[n], n > 0? */
static bool drops_front(const struct step *st, const char *s, size_t n)
{
    size_t i = 0;
    const uint32_t c = mm_uc_next(s, n, &i);

    switch (st->kind) {
    case NORM_STRIP: return st->left && mm_uc_space(c);
    case NORM_ACCENTS: return mm_uc_accent(c);
    case NORM_NMT: return nmt_control(c);
    case NORM_BERT:
        return (st->clean && bert_dropped(c, st->python)) || (st->accents && mm_uc_nonspacing8(c));
    case NORM_REPLACE: /* a pattern that is removed: by its first character */
        return st->text.n == 0 && !st->pat.re && n >= st->pat.text.n && st->pat.text.n > 0 &&
            memcmp(s, st->pat.text.s, st->pat.text.n) == 0;
    default: return false;
    }
}

int mm_hfnorm_run(const struct mm_hfnorm *norm, struct mm_buf *out, bool *moved, const char *s,
                  size_t n, struct mm_err *e)
{
    struct mm_buf a = { 0 }, b = { 0 };
    bool dropped = false;
    int r = 0;

    mm_buf_add(&a, s, n);
    for (size_t i = 0; i < norm->n && r == 0 && !a.failed; i++) {
        dropped = dropped || (a.n > 0 && drops_front(&norm->v[i], a.p, a.n));
        r = run_step(&norm->v[i], &b, a.p, a.n, e);
        take(&a, &b);
    }
    mm_buf_add(out, a.p, a.n);
    if (moved)
        *moved = dropped;
    if (r == 0 && (out->failed || a.failed || b.failed))
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&a);
    mm_buf_free(&b);
    return r;
}
