/* fixtext.c: see fixtext.h. */
#include "text/fixtext.h"

#include <string.h>

#include "text/charmap.h"
#include "text/html.h"
#include "text/mojibake.h"
#include "text/unicode.h"

#define ROUNDS 8 /* until nothing changes; each fix makes the text simpler */

/* Digraphs and ligatures of Latin letters that are two or three letters. */
static const char *ligature(uint32_t c)
{
    static const char *const letters[] = { "DŽ", "Dž", "dž", "LJ", "Lj", "lj", "NJ", "Nj", "nj" };
    static const char *const forms[] = { "ff", "fi", "fl", "ffi", "ffl", "ſt", "st" };

    if (c == 0x132 || c == 0x133)
        return c == 0x132 ? "IJ" : "ij";
    if (c == 0x149)
        return "ʼn";
    if (c >= 0x1c4 && c <= 0x1cc)
        return letters[c - 0x1c4];
    if (c >= 0x1f1 && c <= 0x1f3)
        return c == 0x1f1 ? "DZ" : c == 0x1f2 ? "Dz" : "dz";
    return c >= 0xfb00 && c <= 0xfb06 ? forms[c - 0xfb00] : NULL;
}

static bool is_removed(uint32_t c)
{
    return c < 9 || c == 0xb || (c >= 0xe && c < 0x20) || c == 0x7f ||
        (c >= 0x206a && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffc);
}

/* "ESC [ digits and ; letter" at s[n]: its length, 0 if it is none. */
static size_t escape_length(const char *s, size_t n)
{
    size_t i = 2;

    if (n < 3 || s[0] != 0x1b || s[1] != '[')
        return 0;
    while (i < n && ((s[i] >= '0' && s[i] <= '9') || s[i] == ';'))
        i++;
    return i < n && (s[i] | 32) >= 'a' && (s[i] | 32) <= 'z' ? i + 1 : 0;
}

/* Full-width and half-width forms, the wide space: their usual shapes. */
static void put_width(struct mm_buf *out, uint32_t c)
{
    char u[4];
    struct mm_buf b = { 0 };

    mm_uc_put(&b, c);
    if (!b.failed) {
        memcpy(u, b.p, b.n);
        mm_uc_normalise(out, u, b.n, MM_NFKC);
    }
    out->failed = out->failed || b.failed;
    mm_buf_free(&b);
}

static void put_letter(struct mm_buf *out, uint32_t c)
{
    const char *lig = ligature(c);

    if (lig)
        mm_buf_str(out, lig);
    else if (c == 0x3000 || (c >= 0xff01 && c < 0xfff0))
        put_width(out, c);
    else
        mm_uc_put(out, c);
}

static void put_plain(struct mm_buf *out, uint32_t c)
{
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b))
        mm_buf_char(out, '\'');
    else if (c >= 0x201c && c <= 0x201f)
        mm_buf_char(out, '"');
    else if (c == '\r' || c == 0x2028 || c == 0x2029)
        mm_buf_char(out, '\n');
    else
        mm_uc_put(out, c);
}

/* C1 controls, ligatures and width first; then what these may have made. */
static void fix_characters(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf b = { 0 };

    for (size_t i = 0; i < n;) {
        const uint32_t c = mm_uc_next(s, n, &i);
        put_letter(&b, c >= 0x80 && c < 0xa0 ? mm_charmap_char(MM_CP1252, (unsigned char)c) : c);
    }
    for (size_t i = 0; i < b.n;) {
        const size_t len = escape_length(b.p + i, b.n - i);
        if (len) {
            i += len;
            continue;
        }
        if (b.p[i] == '\r' && i + 1 < b.n && b.p[i + 1] == '\n') {
            i++;
            continue;
        }
        const uint32_t c = mm_uc_next(b.p, b.n, &i);
        if (!is_removed(c))
            put_plain(out, c);
    }
    out->failed = out->failed || b.failed;
    mm_buf_free(&b);
}

static void swap(struct mm_buf *a, struct mm_buf *b)
{
    const struct mm_buf t = *a;

    *a = *b;
    *b = t;
}

/* One line, in a; b is scratch. */
static void fix_line(struct mm_buf *a, struct mm_buf *b, bool html)
{
    struct mm_buf before = { 0 };
    bool same = false, failed = false;

    for (int round = 0; round < ROUNDS && !same && !failed; round++) {
        mm_buf_reset(&before);
        mm_buf_add(&before, a->p, a->n);
        if (html) {
            mm_buf_reset(b);
            mm_html_unescape_strict(b, a->p, a->n);
            swap(a, b);
        }
        failed = failed || a->failed;
        mm_buf_reset(b);
        mm_mojibake_fix(b, a->p, a->n);
        swap(a, b);
        failed = failed || a->failed;
        mm_buf_reset(b);
        fix_characters(b, a->p, a->n);
        swap(a, b);
        failed = failed || a->failed;
        mm_buf_reset(b);
        mm_uc_normalise(b, a->p, a->n, MM_NFC);
        swap(a, b);
        failed = failed || a->failed || before.failed;
        same = a->n == before.n && (a->n == 0 || memcmp(a->p, before.p, a->n) == 0);
    }
    a->failed = failed;
    mm_buf_free(&before);
}

void mm_fix_text(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf a = { 0 }, b = { 0 };
    bool html = true;

    while (n > 0) {
        const char *nl = memchr(s, '\n', n);
        const size_t len = nl ? (size_t)(nl - s) + 1 : n;
        if (memchr(s, '<', len)) /* from here on it is HTML, not text */
            html = false;
        mm_buf_reset(&a);
        mm_buf_add(&a, s, len);
        fix_line(&a, &b, html);
        mm_buf_add(out, a.p, a.n);
        out->failed = out->failed || a.failed;
        s += len;
        n -= len;
    }
    mm_buf_free(&a);
    mm_buf_free(&b);
}

/* White space of Python's strings. */
static bool is_space(uint32_t c)
{
    return mm_uc_space(c) || (c >= 0x1c && c <= 0x1f);
}

static void collapse(struct mm_buf *out, const char *s, size_t n)
{
    const size_t start = out->n;
    bool space = false;

    for (size_t i = 0; i < n;) {
        const size_t at = i;
        if (is_space(mm_uc_next(s, n, &i))) {
            space = true;
            continue;
        }
        if (space && out->n > start)
            mm_buf_char(out, ' ');
        space = false;
        mm_buf_add(out, s + at, i - at);
    }
}

void mm_clean_clip(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf a = { 0 }, b = { 0 };
    bool failed;

    mm_fix_text(&a, s, n);
    mm_html_unescape(&b, a.p, a.n);
    failed = a.failed || b.failed;
    mm_buf_reset(&a);
    mm_html_unescape(&a, b.p, b.n);
    failed = failed || a.failed;
    mm_buf_reset(&b);
    collapse(&b, a.p, a.n);
    failed = failed || b.failed;
    mm_uc_lower(out, b.p, b.n, true);
    out->failed = out->failed || failed;
    mm_buf_free(&a);
    mm_buf_free(&b);
}
