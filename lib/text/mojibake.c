/* mojibake.c: the whole text is tried in each encoding first, as then every
 * character bears witness; what is mixed is mended sequence by sequence. */
#include "text/mojibake.h"

#include <string.h>

#include "base/utf8.h"
#include "text/charmap.h"
#include "text/unicode.h"

#define ROUNDS 4 /* text can have been misread more than once */

/* What speaks for an encoding. */
struct evidence {
    size_t sure;    /* sequences that hardly occur by chance */
    size_t likely;  /* two-byte sequences of other alphabets */
    bool invalid;   /* some sequence is no UTF-8 */
};

/* The bytes of s[n] in encoding m; false if it has not all characters.  A
 * U+FFFD of the text (a byte that was lost) has none. */
static bool encode(struct mm_buf *out, const char *s, size_t n, enum mm_charmap m)
{
    for (size_t i = 0; i < n;) {
        const int b = mm_charmap_byte(m, mm_uc_next(s, n, &i));
        if (b < 0)
            return false;
        mm_buf_char(out, (char)b);
    }
    return true;
}

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* A space where a lead byte wants A0: some program took NO-BREAK SPACE for it. */
static void restore_spaces(struct mm_buf *b)
{
    unsigned char *p = (unsigned char *)b->p;

    for (size_t i = 0; i + 1 < b->n; i++) {
        const bool three = p[i] >= 0xe1 && p[i] <= 0xe3 && i + 2 < b->n;
        if (three && is_tail(p[i + 1]) && p[i + 2] == ' ')
            p[i + 2] = 0xa0;
        else if (three && p[i] > 0xe1 && p[i + 1] == ' ' && is_tail(p[i + 2]))
            p[i + 1] = 0xa0;
        else if ((p[i] == 0xc2 || p[i] == 0xc3) && p[i + 1] == ' ' && (i == 0 || p[i - 1] != ' '))
            p[i + 1] = 0xa0;
    }
}

/* Signs that no one puts behind a capital with an accent: control characters
 * and loose marks like "¨" or "†". */
static bool is_odd(uint32_t c)
{
    static const uint16_t signs[] = { 0xa4, 0xa6, 0xa8, 0xaa, 0xac, 0xaf, 0xb8, 0xba, 0x192, 0x2c6,
                                      0x2c7, 0x2d8, 0x2db, 0x2dc, 0x2020, 0x2021, 0x2030 };

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (c == signs[i])
            return true;
    return c >= 0x80 && c < 0xa0;
}

/* Length of the UTF-8 character at p[n], counted into e.  "Â" or "Ã" before a
 * sign, an odd sign, and three or four signs together are sure. */
static size_t weigh(struct evidence *e, enum mm_charmap m, const char *p, size_t n)
{
    uint32_t c;
    const size_t len = mm_utf8_get(p, n, &c);
    const unsigned char lead = (unsigned char)p[0];

    if (len == 0)
        e->invalid = true;
    else if (len == 4)
        e->sure += 2;
    else if (len == 3 || lead == 0xc2 || lead == 0xc3 ||
             (len == 2 && is_odd(mm_charmap_char(m, (unsigned char)p[1]))))
        e->sure++;
    else if (len == 2)
        e->likely++;
    return len ? len : 1;
}

/* In encodings of other alphabets two characters are wanted. */
static bool convincing(const struct evidence *e, enum mm_charmap m)
{
    const bool latin = m == MM_LATIN1 || m == MM_CP1252;

    return !e->invalid && (latin ? e->sure > 0 || e->likely > 1 : e->sure + e->likely > 1);
}

/* The whole text in one encoding. */
static bool fix_whole(struct mm_buf *out, const char *s, size_t n)
{
    for (int m = 0; m < MM_NCHARMAP; m++) {
        struct mm_buf b = { 0 };
        struct evidence e = { 0 };
        bool good = encode(&b, s, n, (enum mm_charmap)m) && !b.failed;
        if (good && m != MM_MACROMAN)
            restore_spaces(&b);
        for (size_t i = 0; good && i < b.n;)
            i += weigh(&e, (enum mm_charmap)m, b.p + i, b.n - i);
        good = good && convincing(&e, (enum mm_charmap)m);
        if (good)
            mm_buf_add(out, b.p, b.n);
        mm_buf_free(&b);
        if (good)
            return true;
    }
    return false;
}

/* The byte of c; control characters are taken as they are. */
static int byte_of(enum mm_charmap m, uint32_t c)
{
    const int b = mm_charmap_byte(m, c);

    return b < 0 && c >= 0x80 && c < 0xa0 ? (int)c : b;
}

/* One character that was misread: its bytes are appended to raw; how much of
 * s[n] it takes, 0 if there is none. */
static size_t misread(struct mm_buf *raw, enum mm_charmap m, const char *s, size_t n)
{
    char b[4];
    uint32_t c;
    size_t i = 0, k = 0, want = 1;

    while (k < want && i < n) {
        const int v = byte_of(m, mm_uc_next(s, n, &i));
        if (k == 0)
            want = v >= 0xf0 ? 4 : v >= 0xe0 ? 3 : v >= 0xc2 ? 2 : 0;
        if (want == 0 || v < 0 || (k > 0 && !is_tail((unsigned char)v)))
            return 0;
        b[k++] = (char)v;
    }
    if (k < want || mm_utf8_get(b, k, &c) != k)
        return 0;
    mm_buf_add(raw, b, k);
    return i;
}

/* The longest row of misread characters at s[n] in one encoding, appended to
 * out; how much of s it takes, 0 if it does not convince. */
static size_t fix_row(struct mm_buf *out, const char *s, size_t n)
{
    for (int m = MM_CP1252; m <= MM_CP1257; m++) {
        struct mm_buf raw = { 0 };
        struct evidence e = { 0 };
        size_t len = 0, at = 0, k;
        while (len < n && (k = misread(&raw, (enum mm_charmap)m, s + len, n - len)) > 0) {
            len += k;
            if (raw.failed)
                break;
            at += weigh(&e, (enum mm_charmap)m, raw.p + at, raw.n - at);
        }
        const bool good = len > 0 && convincing(&e, (enum mm_charmap)m);
        if (good)
            mm_buf_add(out, raw.p, raw.n);
        out->failed = out->failed || raw.failed;
        mm_buf_free(&raw);
        if (good)
            return len;
    }
    return 0;
}

static bool fix_parts(struct mm_buf *out, const char *s, size_t n)
{
    bool changed = false;

    for (size_t i = 0; i < n;) {
        size_t len = (unsigned char)s[i] < 128 ? 0 : fix_row(out, s + i, n - i);
        if (len) {
            changed = true;
        } else {
            len = 1;
            while (i + len < n && is_tail((unsigned char)s[i + len]))
                len++;
            mm_buf_add(out, s + i, len);
        }
        i += len;
    }
    return changed;
}

static bool is_ascii(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] >= 128)
            return false;
    return true;
}

void mm_mojibake_fix(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf a = { 0 }, b = { 0 };

    mm_buf_add(&a, s, n);
    for (int round = 0; round < ROUNDS && !a.failed && !is_ascii(a.p, a.n); round++) {
        mm_buf_reset(&b);
        if (!fix_whole(&b, a.p, a.n)) {
            mm_buf_reset(&b);
            if (!fix_parts(&b, a.p, a.n))
                break;
        }
        const struct mm_buf t = a;
        a = b;
        b = t;
    }
    out->failed = out->failed || a.failed || b.failed;
    mm_buf_add(out, a.p, a.n);
    mm_buf_free(&a);
    mm_buf_free(&b);
}
