/* unicode.c: thin, but for the differences of older tables: each list below was
 * found by comparing all code points with the tokenizers library 0.20.3. */
#include "text/unicode.h"

#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>

#include "base/utf8.h"

struct range {
    uint32_t lo, hi;
};

/* Mn since Unicode 9, or Mn now and of another category in Unicode 8. */
static const struct range new_mn[] = {
    { 0x7fd, 0x7fd }, { 0x898, 0x89f }, { 0x8ca, 0x8e1 }, { 0x9fe, 0x9fe },
    { 0xafa, 0xaff }, { 0xb55, 0xb55 }, { 0xc04, 0xc04 }, { 0xc3c, 0xc3c },
    { 0xd00, 0xd00 }, { 0xd3b, 0xd3c }, { 0xd81, 0xd81 }, { 0xeba, 0xeba },
    { 0x180f, 0x180f }, { 0x1885, 0x1886 }, { 0x1abf, 0x1ace }, { 0x1df6, 0x1dfb },
    { 0xa82c, 0xa82c }, { 0xa8c5, 0xa8c5 }, { 0xa8ff, 0xa8ff }, { 0xa9bd, 0xa9bd },
    { 0x10d24, 0x10d27 }, { 0x10eab, 0x10eac }, { 0x10f46, 0x10f50 }, { 0x10f82, 0x10f85 },
    { 0x11070, 0x11070 }, { 0x11073, 0x11074 }, { 0x110c2, 0x110c2 }, { 0x111c9, 0x111c9 },
    { 0x111cf, 0x111cf }, { 0x1123e, 0x1123e }, { 0x1133b, 0x1133b }, { 0x11438, 0x1143f },
    { 0x11442, 0x11444 }, { 0x11446, 0x11446 }, { 0x1145e, 0x1145e }, { 0x1182f, 0x11837 },
    { 0x11839, 0x1183a }, { 0x1193b, 0x1193c }, { 0x1193e, 0x1193e }, { 0x11943, 0x11943 },
    { 0x119d4, 0x119d7 }, { 0x119da, 0x119db }, { 0x119e0, 0x119e0 }, { 0x11a01, 0x11a0a },
    { 0x11a33, 0x11a38 }, { 0x11a3b, 0x11a3e }, { 0x11a47, 0x11a47 }, { 0x11a51, 0x11a56 },
    { 0x11a59, 0x11a5b }, { 0x11a8a, 0x11a96 }, { 0x11a98, 0x11a99 }, { 0x11c30, 0x11c36 },
    { 0x11c38, 0x11c3d }, { 0x11c3f, 0x11c3f }, { 0x11c92, 0x11ca7 }, { 0x11caa, 0x11cb0 },
    { 0x11cb2, 0x11cb3 }, { 0x11cb5, 0x11cb6 }, { 0x11d31, 0x11d36 }, { 0x11d3a, 0x11d3a },
    { 0x11d3c, 0x11d3d }, { 0x11d3f, 0x11d45 }, { 0x11d47, 0x11d47 }, { 0x11d90, 0x11d91 },
    { 0x11d95, 0x11d95 }, { 0x11d97, 0x11d97 }, { 0x11ef3, 0x11ef4 }, { 0x16f4f, 0x16f4f },
    { 0x16fe4, 0x16fe4 }, { 0x1cf00, 0x1cf2d }, { 0x1cf30, 0x1cf46 }, { 0x1e000, 0x1e006 },
    { 0x1e008, 0x1e018 }, { 0x1e01b, 0x1e021 }, { 0x1e023, 0x1e024 }, { 0x1e026, 0x1e02a },
    { 0x1e130, 0x1e136 }, { 0x1e2ae, 0x1e2ae }, { 0x1e2ec, 0x1e2ef }, { 0x1e944, 0x1e94a },
};

static const struct range new_punct[] = {
    { 0x61d, 0x61d }, { 0x9fd, 0x9fd }, { 0xa76, 0xa76 }, { 0xc77, 0xc77 },
    { 0xc84, 0xc84 }, { 0x1b7d, 0x1b7e }, { 0x2e43, 0x2e4f }, { 0x2e52, 0x2e5d },
    { 0x10ead, 0x10ead }, { 0x10f55, 0x10f59 }, { 0x10f86, 0x10f89 }, { 0x1144b, 0x1144f },
    { 0x1145a, 0x1145b }, { 0x1145d, 0x1145d }, { 0x11660, 0x1166c }, { 0x116b9, 0x116b9 },
    { 0x1183b, 0x1183b }, { 0x11944, 0x11946 }, { 0x119e2, 0x119e2 }, { 0x11a3f, 0x11a46 },
    { 0x11a9a, 0x11a9c }, { 0x11a9e, 0x11aa2 }, { 0x11c41, 0x11c45 }, { 0x11c70, 0x11c71 },
    { 0x11ef7, 0x11ef8 }, { 0x11fff, 0x11fff }, { 0x12ff1, 0x12ff2 }, { 0x16e97, 0x16e9a },
    { 0x16fe2, 0x16fe2 }, { 0x1e95e, 0x1e95f },
};

static const struct range new_control[] = {
    { 0x890, 0x891 }, { 0x8e2, 0x8e2 }, { 0x110cd, 0x110cd }, { 0x13430, 0x13438 },
};

/* The CJK blocks of BERT; the reference has 2B920 where the paper's code has 2B820. */
static const struct range chinese[] = {
    { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xf900, 0xfaff }, { 0x20000, 0x2a6df },
    { 0x2a700, 0x2b81f }, { 0x2b920, 0x2ceaf }, { 0x2f800, 0x2fa1f },
};

/* Compatibility decompositions that the reference does not know. */
static const struct range new_compat[] = {
    { 0x32ff, 0x32ff }, { 0xa7f2, 0xa7f4 }, { 0xab69, 0xab69 }, { 0x10781, 0x10785 },
    { 0x10787, 0x107b0 }, { 0x107b2, 0x107ba }, { 0x1f16c, 0x1f16c }, { 0x1fbf0, 0x1fbf9 },
};

#define LISTED(c, r) listed(c, r, sizeof(r) / sizeof((r)[0]))

static bool listed(uint32_t c, const struct range *r, size_t n)
{
    size_t lo = 0;

    while (lo < n) {
        const size_t mid = lo + (n - lo) / 2;
        if (c > r[mid].hi)
            lo = mid + 1;
        else if (c < r[mid].lo)
            n = mid;
        else
            return true;
    }
    return false;
}

static bool in_category(uint32_t c, uint32_t mask)
{
    return uc_is_general_category_withtable(c, mask);
}

bool mm_uc_letter(uint32_t c)
{
    if (c < 128)
        return (c | 32) - 'a' < 26;
    return in_category(c, UC_CATEGORY_MASK_L);
}

bool mm_uc_number(uint32_t c)
{
    if (c < 128)
        return c - '0' < 10;
    return in_category(c, UC_CATEGORY_MASK_N);
}

bool mm_uc_mark(uint32_t c)
{
    return c >= 128 && in_category(c, UC_CATEGORY_MASK_M);
}

bool mm_uc_space(uint32_t c)
{
    if (c < 128)
        return c == ' ' || c - 9 < 5;
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
        c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool mm_uc_word(uint32_t c)
{
    if (c < 128)
        return (c | 32) - 'a' < 26 || c - '0' < 10 || c == '_';
    return in_category(c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_M | UC_CATEGORY_MASK_Nd |
                       UC_CATEGORY_MASK_Nl | UC_CATEGORY_MASK_Pc) ||
        uc_is_property(c, UC_PROPERTY_ALPHABETIC) || c == 0x200c || c == 0x200d;
}

bool mm_uc_other(uint32_t c)
{
    return in_category(c, UC_CATEGORY_MASK_C);
}

static bool ascii_punct(uint32_t c)
{
    return c > 32 && c < 127 && !((c | 32) - 'a' < 26 || c - '0' < 10);
}

bool mm_uc_punct(uint32_t c)
{
    return c < 128 ? ascii_punct(c) : in_category(c, UC_CATEGORY_MASK_P);
}

bool mm_uc_nonspacing(uint32_t c)
{
    return c >= 128 && in_category(c, UC_CATEGORY_MASK_Mn);
}

bool mm_uc_punct8(uint32_t c)
{
    return (mm_uc_punct(c) && !LISTED(c, new_punct)) || c == 0x166d || c == 0x111c9;
}

bool mm_uc_nonspacing8(uint32_t c)
{
    return (mm_uc_nonspacing(c) && !LISTED(c, new_mn)) || c == 0x1734;
}

bool mm_uc_control8(uint32_t c)
{
    if (c < 128)
        return c < 32 || c == 127;
    return in_category(c, UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cf | UC_CATEGORY_MASK_Co) &&
        !LISTED(c, new_control);
}

bool mm_uc_chinese(uint32_t c)
{
    return c >= 0x3400 && LISTED(c, chinese);
}

void mm_uc_put(struct mm_buf *out, uint32_t c)
{
    char u[4];

    mm_buf_add(out, u, mm_utf8_put(u, c));
}

uint32_t mm_uc_next(const char *s, size_t n, size_t *i)
{
    uint32_t c = (unsigned char)s[*i];

    if (c < 128) {
        ++*i;
        return c;
    }
    const size_t len = mm_utf8_get(s + *i, n - *i, &c);
    *i += len ? len : 1;
    return len ? c : 0xfffd;
}

/* Unicode's Final_Sigma, without the look-back over case-ignorable characters
 * that no word ends in: a letter before, none after. */
static bool final_sigma(const char *s, size_t n, size_t at, size_t after)
{
    bool before = false;
    size_t i = at;

    while (i > 0) {
        do
            i--;
        while (i > 0 && ((unsigned char)s[i] & 0xc0) == 0x80);
        size_t j = i;
        const uint32_t c = mm_uc_next(s, n, &j);
        if (uc_is_property(c, UC_PROPERTY_CASE_IGNORABLE))
            continue;
        before = uc_is_property(c, UC_PROPERTY_CASED);
        break;
    }
    while (before && after < n) {
        const uint32_t c = mm_uc_next(s, n, &after);
        if (!uc_is_property(c, UC_PROPERTY_CASE_IGNORABLE))
            return !uc_is_property(c, UC_PROPERTY_CASED);
    }
    return before;
}

void mm_uc_lower(struct mm_buf *out, const char *s, size_t n, bool sigma)
{
    for (size_t i = 0; i < n;) {
        const size_t at = i;
        const uint32_t c = mm_uc_next(s, n, &i);
        if (c < 128)
            mm_buf_char(out, (char)(c - 'A' < 26 ? c + 32 : c));
        else if (c == 0x130) /* the only lower case of two characters */
            mm_buf_add(out, "i\xcc\x87", 3);
        else if (c == 0x3a3 && sigma && final_sigma(s, n, at, i))
            mm_buf_add(out, "\xcf\x82", 2);
        else
            mm_uc_put(out, uc_tolower(c));
    }
}

static uninorm_t form_of(enum mm_nf form)
{
    switch (form) {
    case MM_NFC: return UNINORM_NFC;
    case MM_NFD: return UNINORM_NFD;
    case MM_NFKC: return UNINORM_NFKC;
    default: return UNINORM_NFKD;
    }
}

static void normalise_run(struct mm_buf *out, const char *s, size_t n, enum mm_nf form)
{
    uint8_t stack[512];
    size_t len = sizeof(stack);

    if (n == 0)
        return;
    uint8_t *r = u8_normalize(form_of(form), (const uint8_t *)s, n, stack, &len);
    if (!r) {
        out->failed = true;
        return;
    }
    mm_buf_add(out, r, len);
    if (r != stack)
        free(r);
}

/* Does the reference leave c alone in this form? */
static bool unknown_to_form(uint32_t c, enum mm_nf form)
{
    if (c == 0x11938)
        return form == MM_NFD || form == MM_NFKD;
    return (form == MM_NFKC || form == MM_NFKD) && LISTED(c, new_compat);
}

void mm_uc_normalise(struct mm_buf *out, const char *s, size_t n, enum mm_nf form)
{
    size_t start = 0;

    for (size_t i = 0; i < n;) {
        const size_t at = i;
        const uint32_t c = mm_uc_next(s, n, &i);
        if (c < 0x3000 || !unknown_to_form(c, form))
            continue;
        normalise_run(out, s + start, at - start, form);
        mm_uc_put(out, c);
        start = i;
    }
    if (start == 0) {
        size_t ascii = 0;
        while (ascii < n && (unsigned char)s[ascii] < 128)
            ascii++;
        if (ascii == n) {
            mm_buf_add(out, s, n);
            return;
        }
    }
    normalise_run(out, s + start, n - start, form);
}
