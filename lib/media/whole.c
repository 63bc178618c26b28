/* whole.c: does a GIF, BMP or ISO media file end where its own structure says?
 *
 * libavcodec completes such pictures with whatever it has when they end early.
 */
#include <string.h>

#include "base/io.h"
#include "media/codec.h"

struct cursor {
    const unsigned char *p;
    size_t n, at;
};

static bool skip(struct cursor *c, size_t n)
{
    if (n > c->n - c->at)
        return false;
    c->at += n;
    return true;
}

static bool byte(struct cursor *c, unsigned *v)
{
    if (c->at >= c->n)
        return false;
    *v = c->p[c->at++];
    return true;
}

/* Sub-blocks up to the empty one (GIF89a, section 15). */
static bool skip_blocks(struct cursor *c)
{
    unsigned n;

    do {
        if (!byte(c, &n) || !skip(c, n))
            return false;
    } while (n > 0);
    return true;
}

static bool skip_table(struct cursor *c, unsigned flags)
{
    return !(flags & 0x80) || skip(c, (size_t)3 << ((flags & 7) + 1));
}

/* All blocks up to the trailer. */
static bool gif_is_whole(struct cursor *c)
{
    unsigned v;

    if (c->n < 13)
        return false;
    c->at = 13;
    if (!skip_table(c, c->p[10]))
        return false;
    while (byte(c, &v)) {
        if (v == 0x3b)
            return true;
        if (v == 0x21) { /* extension: label, sub-blocks */
            if (!byte(c, &v) || !skip_blocks(c))
                return false;
        } else if (v == 0x2c) { /* image: place, flags, table, code size, sub-blocks */
            if (!skip(c, 8) || !byte(c, &v) || !skip_table(c, v) || !skip(c, 1) || !skip_blocks(c))
                return false;
        } else if (v != 0) {
            return false;
        }
    }
    return false;
}

/* Top-level boxes up to the end (ISO/IEC 14496-12, 4.2): AVIF, HEIF. */
static bool boxes_are_whole(struct cursor *c)
{
    while (c->at < c->n) {
        const size_t left = c->n - c->at;
        const unsigned char *p = c->p + c->at;
        uint64_t size = 0;

        if (left < 8)
            return false;
        for (int i = 0; i < 4; i++)
            size = size << 8 | p[i];
        if (size == 0) /* up to the end of the file */
            return true;
        if (size == 1) {
            if (left < 16)
                return false;
            size = 0;
            for (int i = 8; i < 16; i++)
                size = size << 8 | p[i];
        }
        if (size < 8 || size > left)
            return false;
        c->at += (size_t)size;
    }
    return true;
}

bool mm_codec_is_whole(const unsigned char *p, size_t n)
{
    struct cursor c = { p, n, 0 };

    if (n >= 6 && (memcmp(p, "GIF87a", 6) == 0 || memcmp(p, "GIF89a", 6) == 0))
        return gif_is_whole(&c);
    if (n >= 6 && memcmp(p, "BM", 2) == 0)
        return mm_get_u32(p + 2) <= n;
    if (n >= 8 && memcmp(p + 4, "ftyp", 4) == 0)
        return boxes_are_whole(&c);
    return true;
}
