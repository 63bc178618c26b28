/* exif.c: the one EXIF field that changes a picture: tag 0x0112 of the first
 * image file directory (TIFF 6.0, section 8; EXIF 2.3, 4.6.4).
 */
#include <string.h>

#include "base/io.h"
#include "media/codec.h"

enum { tag_orientation = 0x0112, type_short = 3, entry_bytes = 12 };

struct tiff {
    const unsigned char *p;
    size_t n;
    bool big; /* "MM": most significant byte first */
};

static unsigned get16(const struct tiff *t, size_t at)
{
    const unsigned v = mm_get_u16(t->p + at);

    return t->big ? (v >> 8 | v << 8) & 0xffff : v;
}

static size_t get32(const struct tiff *t, size_t at)
{
    return t->big ? (size_t)get16(t, at) << 16 | get16(t, at + 2) : mm_get_u32(t->p + at);
}

int mm_exif_orientation(const unsigned char *p, size_t n)
{
    if (n >= 6 && memcmp(p, "Exif\0\0", 6) == 0) {
        p += 6;
        n -= 6;
    }
    if (n < 8 || (memcmp(p, "II*\0", 4) != 0 && memcmp(p, "MM\0*", 4) != 0))
        return 1;
    const struct tiff t = { p, n, p[0] == 'M' };
    const size_t ifd = get32(&t, 4);
    if (ifd > n - 2)
        return 1;
    const size_t left = (n - ifd - 2) / entry_bytes, count = get16(&t, ifd);
    for (size_t i = 0; i < count && i < left; i++) {
        const size_t at = ifd + 2 + i * entry_bytes;
        if (get16(&t, at) != tag_orientation)
            continue;
        const unsigned v = get16(&t, at + 8);
        return get16(&t, at + 2) == type_short && v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}
