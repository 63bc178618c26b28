/* html.c: see html.h. */
#include "text/html.h"

#include <stdlib.h>
#include <string.h>
#include <unicase.h>

#include "text/charmap.h"
#include "text/unicode.h"

#define NAME_MAX_LEN 32 /* of the longest name, ";" included */

const struct mm_html_entity *mm_html_named(const char *name, size_t n)
{
    size_t lo = 0, hi = mm_html_nentities;

    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const char *have = mm_html_entities[mid].name;
        int d = strncmp(name, have, n);
        if (d == 0 && have[n])
            d = -1;
        if (d == 0)
            return &mm_html_entities[mid];
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

static void put_entity(struct mm_buf *out, const struct mm_html_entity *en)
{
    mm_uc_put(out, en->c);
    if (en->c2)
        mm_uc_put(out, en->c2);
}

static bool digit_of(char c, uint32_t base, uint32_t *v)
{
    if (c >= '0' && c <= '9')
        *v = (uint32_t)(c - '0');
    else if (base == 16 && (c | 32) >= 'a' && (c | 32) <= 'f')
        *v = (uint32_t)((c | 32) - 'a' + 10);
    else
        return false;
    return true;
}

static bool is_noncharacter(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || (c >= 0x7f && c <= 0x9f) ||
        (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

static void put_number(struct mm_buf *out, uint32_t c)
{
    if (c == 0 || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
        mm_uc_put(out, 0xfffd);
    else if (c >= 0x80 && c <= 0x9f)
        mm_uc_put(out, mm_charmap_char(MM_CP1252, (unsigned char)c));
    else if (!is_noncharacter(c))
        mm_uc_put(out, c);
}

/* A numeric reference at s[n], "&#" seen: its length, 0 if it is none; its value
 * in *c, above 10FFFF if it is too large. */
static size_t number(const char *s, size_t n, uint32_t *c)
{
    const uint32_t base = n > 2 && (s[2] | 32) == 'x' ? 16 : 10;
    const size_t start = base == 16 ? 3 : 2;
    size_t i = start;
    uint32_t v;

    for (*c = 0; i < n && digit_of(s[i], base, &v); i++)
        *c = *c > 0x10ffff ? 0x110000 : *c * base + v;
    if (i == start)
        return 0;
    return i < n && s[i] == ';' ? i + 1 : i;
}

/* Length of the name at s[n] (behind "&"), its ";" included. */
static size_t name_length(const char *s, size_t n)
{
    size_t i = 0, chars = 0;

    while (i < n && chars < NAME_MAX_LEN && !strchr("\t\n\f <&#;", s[i])) {
        i++;
        while (i < n && ((unsigned char)s[i] & 0xc0) == 0x80)
            i++;
        chars++;
    }
    return i > 0 && i < n && s[i] == ';' ? i + 1 : i;
}

/* A named reference at s[n] ("&..."): its length, 0 if it is none. */
static size_t named(struct mm_buf *out, const char *s, size_t n)
{
    size_t len = name_length(s + 1, n - 1);

    for (; len > 1; len--) { /* the longest name that begins it */
        const struct mm_html_entity *en = mm_html_named(s + 1, len);
        if (en) {
            put_entity(out, en);
            return len + 1;
        }
    }
    return 0;
}

void mm_html_unescape(struct mm_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t len = 0;
        if (s[i] == '&' && i + 1 < n && s[i + 1] == '#') {
            len = number(s + i, n - i, &c);
            if (len)
                put_number(out, c);
        } else if (s[i] == '&') {
            len = named(out, s + i, n - i);
        }
        if (!len)
            mm_buf_char(out, s[i++]);
        i += len;
    }
}

/* &EACUTE; where &eacute; is known and no shorter name begins it. */
static bool capital(struct mm_buf *out, const char *s, size_t n)
{
    struct mm_buf b = { 0 };
    char small[NAME_MAX_LEN + 1];
    char text[8];
    uint8_t upper[32];
    size_t len = sizeof(upper), tn = 0;

    if (n > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] >= 'a' && s[i] <= 'z')
            return false;
        small[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]);
    }
    const struct mm_html_entity *en = mm_html_named(small, n);
    if (!en)
        return false;
    if (named(&b, s - 1, n + 1) > 0) { /* s[-1] is the "&" */
        mm_buf_free(&b);
        return false;
    }
    put_entity(&b, en);
    if (!b.failed && b.n <= sizeof(text)) {
        memcpy(text, b.p, b.n);
        tn = b.n;
    }
    mm_buf_free(&b);
    uint8_t *r = u8_toupper((const uint8_t *)text, tn, NULL, NULL, upper, &len);
    if (!r || tn == 0) {
        out->failed = true;
        return true;
    }
    mm_buf_add(out, r, len);
    if (r != upper)
        free(r);
    return true;
}

/* One of "&#?[0-9A-Za-z]{1,24};" at s[n]: its length, 0 if it is none. */
static size_t strict_length(const char *s, size_t n)
{
    size_t i = n > 1 && s[1] == '#' ? 2 : 1;
    const size_t start = i;

    while (i < n && i - start < 24 &&
           ((s[i] >= '0' && s[i] <= '9') || ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z')))
        i++;
    return i > start && i < n && s[i] == ';' ? i + 1 : 0;
}

static bool strict_one(struct mm_buf *out, const char *s, size_t len)
{
    const struct mm_html_entity *en = mm_html_named(s + 1, len - 1);
    uint32_t c;

    if (en) {
        put_entity(out, en);
        return true;
    }
    if (s[1] != '#')
        return capital(out, s + 1, len - 1);
    if (number(s, len, &c) != len) /* "&#12ab;" keeps its ";" */
        return false;
    put_number(out, c);
    return true;
}

void mm_html_unescape_strict(struct mm_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const size_t len = s[i] == '&' ? strict_length(s + i, n - i) : 0;
        if (len && strict_one(out, s + i, len))
            i += len;
        else
            mm_buf_char(out, s[i++]);
    }
}
