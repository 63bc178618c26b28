/* bytelevel.c: see bytelevel.h; the table is arithmetic. */
#include "text/bytelevel.h"

#include "base/utf8.h"
#include "text/unicode.h"

uint32_t mm_bytelevel_char(unsigned char b)
{
    if (b <= 0x20)
        return 0x100u + b;
    if (b >= 0x7f && b <= 0xa0)
        return 0x121u + (b - 0x7fu);
    return b == 0xad ? 0x143u : b;
}

int mm_bytelevel_byte(uint32_t c)
{
    if (c < 0x100)
        return c > 0x20 && !(c >= 0x7f && c <= 0xa0) && c != 0xad ? (int)c : -1;
    if (c <= 0x120)
        return (int)(c - 0x100);
    if (c <= 0x142)
        return (int)(c - 0x121 + 0x7f);
    return c == 0x143 ? 0xad : -1;
}

void mm_bytelevel_encode(struct mm_buf *out, const char *s, size_t n)
{
    char part[256];
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        k += mm_utf8_put(part + k, mm_bytelevel_char((unsigned char)s[i]));
        if (k > sizeof(part) - 4) {
            mm_buf_add(out, part, k);
            k = 0;
        }
    }
    mm_buf_add(out, part, k);
}

void mm_bytelevel_decode(struct mm_buf *out, const char *s, size_t n)
{
    char part[256];
    const size_t start = out->n;
    size_t k = 0;

    for (size_t i = 0; i < n;) {
        const int b = mm_bytelevel_byte(mm_uc_next(s, n, &i));
        if (b < 0) {
            if (!out->failed)
                out->n = start;
            mm_buf_add(out, s, n);
            return;
        }
        part[k++] = (char)b;
        if (k == sizeof(part)) {
            mm_buf_add(out, part, k);
            k = 0;
        }
    }
    mm_buf_add(out, part, k);
}
