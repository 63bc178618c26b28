/* hfdec.c: each decoder reads one list of tokens and makes the next; at the end
 * they are put together. */
#include "text/hfdec.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/bytelevel.h"
#include "text/hfparse.h"
#include "text/unicode.h"

enum kind {
    DEC_BYTES, DEC_FALLBACK, DEC_FUSE, DEC_STRIP, DEC_REPLACE, DEC_META, DEC_WORDPIECE, DEC_BPE,
    DEC_CTC, DEC_TRIM
};

struct step {
    enum kind kind;
    struct mm_str text;   /* REPLACE content, WORDPIECE prefix, BPE suffix, CTC pad */
    struct mm_str text2;  /* CTC word delimiter */
    struct mm_hfpat pat;  /* REPLACE */
    size_t start, stop;   /* STRIP */
    uint32_t c;           /* STRIP, META */
    bool cleanup;         /* WORDPIECE, CTC */
    bool prepended;       /* META: the first token loses its marks */
};

struct mm_hfdec {
    json_t *src; /* the strings live here */
    bool joins_by_space; /* there is no decoder */
    struct step *v;
    size_t n, cap;
};

static struct step *new_step(struct mm_hfdec *d, enum kind kind, struct mm_err *e)
{
    if (!mm_grow(&d->v, &d->cap, d->n + 1, sizeof(*d->v))) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        return NULL;
    }
    d->v[d->n] = (struct step){ .kind = kind };
    return &d->v[d->n++];
}

static int parse_meta(struct step *s, const json_t *j, struct mm_err *e)
{
    const char *scheme = json_string_value(json_object_get(j, "prepend_scheme"));
    const int r = mm_hf_char(&s->c, j, "replacement", e);

    if (r < 0)
        return r;
    if (scheme) {
        s->prepended = strcmp(scheme, "never") != 0;
        return 0;
    }
    return mm_hf_bool(&s->prepended, j, "add_prefix_space", true, e);
}

static int parse_params(struct step *s, const json_t *j, struct mm_err *e)
{
    int r = 0;

    switch (s->kind) {
    case DEC_STRIP:
        if ((r = mm_hf_char(&s->c, j, "content", e)) == 0 &&
            (r = mm_hf_size(&s->start, j, "start", SIZE_MAX / 2, e)) == 0)
            r = mm_hf_size(&s->stop, j, "stop", SIZE_MAX / 2, e);
        return r;
    case DEC_REPLACE:
        if ((r = mm_hfpat_new(&s->pat, j, e)) == 0)
            r = mm_hf_string(&s->text, j, "content", e);
        return r;
    case DEC_META:
        return parse_meta(s, j, e);
    case DEC_WORDPIECE:
        if ((r = mm_hf_string(&s->text, j, "prefix", e)) == 0)
            r = mm_hf_bool(&s->cleanup, j, "cleanup", true, e);
        return r;
    case DEC_BPE:
        return mm_hf_string(&s->text, j, "suffix", e);
    case DEC_CTC:
        if ((r = mm_hf_string(&s->text, j, "pad_token", e)) == 0 &&
            (r = mm_hf_string(&s->text2, j, "word_delimiter_token", e)) == 0)
            r = mm_hf_bool(&s->cleanup, j, "cleanup", true, e);
        return r;
    default:
        return 0;
    }
}

static int add_step(void *arg, const char *type, const json_t *j, struct mm_err *e)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = {
        { "ByteLevel", DEC_BYTES },     { "ByteFallback", DEC_FALLBACK },
        { "Fuse", DEC_FUSE },           { "Strip", DEC_STRIP },
        { "Replace", DEC_REPLACE },     { "Metaspace", DEC_META },
        { "WordPiece", DEC_WORDPIECE }, { "BPEDecoder", DEC_BPE },
        { "CTC", DEC_CTC },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(type, kinds[i].type) != 0)
            continue;
        struct step *s = new_step(arg, kinds[i].kind, e);
        return s ? parse_params(s, j, e) : MM_ENOMEM;
    }
    return mm_hf_unknown("decoder", type, e);
}

int mm_hfdec_new(struct mm_hfdec **out, const json_t *j, struct mm_err *e)
{
    struct mm_hfdec *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    d->src = json_incref((json_t *)(uintptr_t)j);
    d->joins_by_space = !j || json_is_null(j);
    r = mm_hf_steps(j, "decoders", add_step, d, e);
    if (r < 0) {
        mm_hfdec_free(d);
        return mm_err_prefix(e, "decoder");
    }
    *out = d;
    return 0;
}

int mm_hfdec_clip(struct mm_hfdec *d, struct mm_err *e)
{
    struct step *s = new_step(d, DEC_REPLACE, e);

    if (!s)
        return MM_ENOMEM;
    s->pat.text = (struct mm_str){ "</w>", 4 };
    s->text = (struct mm_str){ " ", 1 };
    return new_step(d, DEC_TRIM, e) ? 0 : MM_ENOMEM;
}

void mm_hfdec_free(struct mm_hfdec *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n; i++)
        mm_hfpat_free(&d->v[i].pat);
    free(d->v);
    json_decref(d->src);
    free(d);
}

/* The byte that "<0x0A>" stands for, -1 for any other token. */
static int byte_token(const char *s, size_t n)
{
    int v = 0;

    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
        return -1;
    for (int i = 3; i < 5; i++) {
        const char c = s[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + ((c | 32) - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* A run of byte tokens that is no UTF-8 as a whole is one U+FFFD per token. */
static void end_run(struct mm_words *out, struct mm_buf *run)
{
    if (run->n > 0 && mm_utf8_valid(run->p, run->n) == run->n)
        mm_words_push(out, run->p, run->n);
    else
        for (size_t i = 0; i < run->n; i++)
            mm_words_push(out, "\xef\xbf\xbd", 3);
    mm_buf_reset(run);
}

static void fall_back(const struct mm_words *in, struct mm_words *out)
{
    struct mm_buf run = { 0 };

    for (size_t i = 0; i < in->n; i++) {
        const char *p = in->text.p + in->v[i].at;
        const int b = byte_token(p, in->v[i].n);
        if (b >= 0) {
            mm_buf_char(&run, (char)b);
            continue;
        }
        end_run(out, &run);
        mm_words_push(out, p, in->v[i].n);
    }
    out->failed = out->failed || run.failed;
    end_run(out, &run);
    mm_buf_free(&run);
}

static void bytes(const struct mm_words *in, struct mm_words *out)
{
    struct mm_buf raw = { 0 }, text = { 0 };

    for (size_t i = 0; i < in->n; i++)
        mm_bytelevel_decode(&raw, in->text.p + in->v[i].at, in->v[i].n);
    mm_utf8_repair(&text, raw.p, raw.n, false);
    mm_words_push(out, text.p, text.n);
    out->failed = out->failed || raw.failed || text.failed;
    mm_buf_free(&raw);
    mm_buf_free(&text);
}

static void replace_text(struct mm_buf *out, const char *s, size_t n, const char *what, size_t nw,
                         const char *by, size_t nb)
{
    for (size_t i = 0; i < n;) {
        if (nw > 0 && n - i >= nw && memcmp(s + i, what, nw) == 0) {
            mm_buf_add(out, by, nb);
            i += nw;
        } else {
            mm_buf_char(out, s[i++]);
        }
    }
}

static int replace(const struct step *st, struct mm_hffind *f, struct mm_buf *out, const char *s,
                   size_t n, struct mm_err *e)
{
    size_t done = 0, ms, me;
    int r;

    if (st->pat.re && mm_utf8_valid(s, n) < n) { /* half a character of a stream */
        mm_buf_add(out, s, n);
        return 0;
    }
    mm_hffind_reset(f);
    while ((r = mm_hffind_next(f, s, n, &ms, &me, e)) > 0) {
        mm_buf_add(out, s + done, ms - done);
        mm_buf_add(out, st->text.s, st->text.n);
        done = me;
    }
    mm_buf_add(out, s + done, n - done);
    return r;
}

/* The clean-up of BERT's decoder: punctuation joins the word before it. */
static void cleanup(struct mm_buf *b)
{
    static const char *const pairs[][2] = {
        { " .", "." },     { " ?", "?" },     { " !", "!" },     { " ,", "," },
        { " ' ", "'" },    { " n't", "n't" }, { " 'm", "'m" },   { " do not", " don't" },
        { " 's", "'s" },   { " 've", "'ve" }, { " 're", "'re" },
    };
    struct mm_buf t = { 0 };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]) && b->p; i++) {
        if (!memchr(b->p, ' ', b->n))
            break;
        mm_buf_reset(&t);
        replace_text(&t, b->p, b->n, pairs[i][0], strlen(pairs[i][0]), pairs[i][1],
                     strlen(pairs[i][1]));
        if (t.failed) {
            b->failed = true;
            break;
        }
        const struct mm_buf swap = *b;
        *b = t;
        t = swap;
    }
    mm_buf_free(&t);
}

/* Up to start (stop) times the character off the front (back). */
static void strip(const struct step *st, struct mm_buf *out, const char *s, size_t n)
{
    char mark[4];
    const size_t len = mm_utf8_put(mark, st->c);

    for (size_t k = 0; k < st->start && n >= len && memcmp(s, mark, len) == 0; k++) {
        s += len;
        n -= len;
    }
    for (size_t k = 0; k < st->stop && n >= len && memcmp(s + n - len, mark, len) == 0; k++)
        n -= len;
    mm_buf_add(out, s, n);
}

static void meta(const struct step *st, struct mm_buf *out, const char *s, size_t n, bool first)
{
    char mark[4];
    const size_t len = mm_utf8_put(mark, st->c);

    replace_text(out, s, n, mark, len, " ", first && st->prepended ? 0 : 1);
}

static void wordpiece(const struct step *st, struct mm_buf *out, const char *s, size_t n,
                      bool first)
{
    if (!first && n >= st->text.n && memcmp(s, st->text.s, st->text.n) == 0) {
        s += st->text.n;
        n -= st->text.n;
    } else if (!first) {
        mm_buf_char(out, ' ');
    }
    mm_buf_add(out, s, n);
    if (st->cleanup)
        cleanup(out);
}

static void ctc(const struct step *st, struct mm_buf *out, const char *s, size_t n)
{
    replace_text(out, s, n, st->text.s, st->text.n, "", 0);
    if (st->cleanup && out->n > 0) {
        struct mm_buf t = { 0 };
        cleanup(out);
        replace_text(&t, out->p, out->n, st->text2.s, st->text2.n, " ", 1);
        mm_buf_reset(out);
        mm_buf_add(out, t.p, t.n);
        out->failed = out->failed || t.failed;
        mm_buf_free(&t);
    }
}

static void trim(struct mm_buf *out, const char *s, size_t n)
{
    size_t from = n, to = 0;

    for (size_t i = 0; i < n;) {
        const size_t at = i;
        const uint32_t c = mm_uc_next(s, n, &i);
        if (mm_uc_space(c) || (c >= 0x1c && c <= 0x1f)) /* str.strip of Python */
            continue;
        if (from == n)
            from = at;
        to = i;
    }
    if (from < to)
        mm_buf_add(out, s + from, to - from);
}

/* One token by a decoder that looks at one at a time. */
static int one_token(const struct step *st, struct mm_hffind *f, struct mm_buf *out, const char *s,
                     size_t n, bool first, bool last, struct mm_err *e)
{
    switch (st->kind) {
    case DEC_STRIP: strip(st, out, s, n); return 0;
    case DEC_REPLACE: return replace(st, f, out, s, n, e);
    case DEC_META: meta(st, out, s, n, first); return 0;
    case DEC_WORDPIECE: wordpiece(st, out, s, n, first); return 0;
    case DEC_BPE: replace_text(out, s, n, st->text.s, st->text.n, " ", last ? 0 : 1); return 0;
    case DEC_CTC: ctc(st, out, s, n); return 0;
    case DEC_TRIM: trim(out, s, n); return 0;
    default: mm_buf_add(out, s, n); return 0;
    }
}

static int one_by_one(const struct step *st, const struct mm_words *in, struct mm_words *out,
                      struct mm_err *e)
{
    struct mm_hffind f = { 0 };
    struct mm_buf b = { 0 };
    const char *prev = NULL;
    size_t nprev = 0;
    int r = mm_hffind_start(&f, &st->pat, e);

    for (size_t i = 0; i < in->n && r == 0; i++) {
        const char *s = in->text.p + in->v[i].at;
        const size_t n = in->v[i].n;
        const bool again = prev && n == nprev && memcmp(s, prev, n) == 0;
        prev = s;
        nprev = n;
        if (st->kind == DEC_CTC && again)
            continue;
        mm_buf_reset(&b);
        r = one_token(st, &f, &b, s, n, i == 0, i + 1 == in->n, e);
        if (b.failed)
            r = mm_err_set(e, MM_ENOMEM, "out of memory");
        if (r == 0 && (st->kind != DEC_CTC || b.n > 0))
            mm_words_push(out, b.p, b.n);
    }
    mm_buf_free(&b);
    mm_hffind_end(&f);
    return r;
}

static int run_step(const struct step *st, const struct mm_words *in, struct mm_words *out,
                    struct mm_err *e)
{
    switch (st->kind) {
    case DEC_BYTES:
        bytes(in, out);
        return 0;
    case DEC_FALLBACK:
        fall_back(in, out);
        return 0;
    case DEC_FUSE: /* tokens lie side by side in the text */
        mm_words_push(out, in->text.p, in->text.n);
        return 0;
    default:
        return one_by_one(st, in, out, e);
    }
}

int mm_hfdec_run(const struct mm_hfdec *d, struct mm_words *w, struct mm_buf *out,
                 struct mm_err *e)
{
    struct mm_words next = { 0 };
    int r = 0;

    for (size_t i = 0; i < d->n && r == 0; i++) {
        r = run_step(&d->v[i], w, &next, e);
        const struct mm_words t = *w;
        *w = next;
        next = t;
        if (r == 0)
            r = mm_words_check(w, e);
        mm_words_reset(&next);
    }
    for (size_t i = 0; i < w->n && r == 0; i++) {
        if (d->joins_by_space && i > 0)
            mm_buf_char(out, ' ');
        mm_buf_add(out, w->text.p + w->v[i].at, w->v[i].n);
    }
    if (r == 0 && out->failed)
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_words_free(&next);
    return r;
}

bool mm_hfdec_streams(const struct mm_hfdec *d)
{
    bool fused = false;

    for (size_t i = 0; i < d->n; i++) {
        const struct step *s = &d->v[i];
        if (s->kind == DEC_BPE || s->kind == DEC_CTC || s->kind == DEC_TRIM)
            return false;
        if (fused && s->kind == DEC_STRIP && s->stop > 0)
            return false;
        if (fused && s->kind != DEC_STRIP && s->kind != DEC_REPLACE)
            return false;
        fused = fused || s->kind == DEC_FUSE || s->kind == DEC_BYTES;
    }
    return true;
}

int mm_hfdec_put(const struct mm_hfdec *d, struct mm_buf *out, const char *s, size_t n, bool first,
                 struct mm_err *e)
{
    struct mm_buf a = { 0 }, b = { 0 };
    bool fused = false;
    int r = 0;

    if (d->n == 1 && d->v[0].kind == DEC_BYTES) { /* the most frequent */
        mm_bytelevel_decode(out, s, n);
        return out->failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
    }
    if (d->joins_by_space && !first)
        mm_buf_char(out, ' ');
    mm_buf_add(&a, s, n);
    for (size_t i = 0; i < d->n && r == 0; i++) {
        const struct step *st = &d->v[i];
        const int byte = st->kind == DEC_FALLBACK ? byte_token(a.p, a.n) : -1;
        struct mm_hffind f = { 0 };
        mm_buf_reset(&b);
        if (st->kind == DEC_BYTES) {
            mm_bytelevel_decode(&b, a.p, a.n);
        } else if (byte >= 0) {
            mm_buf_char(&b, (char)byte);
        } else if (st->kind == DEC_TRIM || (st->kind == DEC_STRIP && fused && !first)) {
            continue;
        } else if ((r = mm_hffind_start(&f, &st->pat, e)) == 0) {
            r = one_token(st, &f, &b, a.p, a.n, first, false, e);
            mm_hffind_end(&f);
        }
        const struct mm_buf t = a;
        a = b;
        b = t;
        a.failed = a.failed || b.failed;
        fused = fused || st->kind == DEC_FUSE || st->kind == DEC_BYTES;
    }
    mm_buf_add(out, a.p, a.n);
    if (r == 0 && (out->failed || a.failed))
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&a);
    mm_buf_free(&b);
    return r;
}
