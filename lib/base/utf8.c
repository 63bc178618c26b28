/* utf8.c: UTF-8 as RFC 3629 has it. */
#include "base/utf8.h"

/* Length of the character that lead byte b starts, 0 if none can. */
static size_t lead(unsigned char b)
{
    if (b < 0x80)
        return 1;
    if (b < 0xC2 || b > 0xF4)
        return 0;
    return b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

/* The second byte narrows what overlong forms, surrogates and planes allow. */
static bool second_ok(unsigned char b0, unsigned char b1)
{
    switch (b0) {
    case 0xE0:
        return b1 >= 0xA0 && b1 <= 0xBF;
    case 0xED:
        return b1 >= 0x80 && b1 <= 0x9F;
    case 0xF0:
        return b1 >= 0x90 && b1 <= 0xBF;
    case 0xF4:
        return b1 >= 0x80 && b1 <= 0x8F;
    default:
        return (b1 & 0xC0) == 0x80;
    }
}

size_t mm_utf8_get(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t len, i;
    uint32_t c;

    if (n == 0)
        return 0;
    len = lead(u[0]);
    if (len == 0 || len > n)
        return 0;
    if (len == 1) {
        *cp = u[0];
        return 1;
    }
    if (!second_ok(u[0], u[1]))
        return 0;
    c = u[0] & (0xFFU >> (len + 1));
    for (i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
        c = (c << 6) | (u[i] & 0x3F);
    }
    *cp = c;
    return len;
}

size_t mm_utf8_put(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | (cp >> 6));
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | (cp >> 12));
        out[1] = (char)(0x80 | ((cp >> 6) & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (cp >> 18));
    out[1] = (char)(0x80 | ((cp >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((cp >> 6) & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

size_t mm_utf8_valid(const char *s, size_t n)
{
    size_t i = 0;
    uint32_t cp;

    while (i < n) {
        const size_t len = mm_utf8_get(s + i, n - i, &cp);

        if (len == 0)
            break;
        i += len;
    }
    return i;
}

size_t mm_utf8_partial(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;

    for (size_t k = 1; k <= 3 && k <= n; k++) {
        const unsigned char b = u[n - k];

        if ((b & 0xC0) == 0x80)
            continue;
        if (lead(b) <= k)
            return 0;
        return k == 1 || second_ok(b, u[n - k + 1]) ? k : 0;
    }
    return 0;
}
