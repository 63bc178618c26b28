/* deflate.c: PNG through zlib, runs alone: what is left after the filter is either runs
 * or noise.  (ISA-L is faster, but did not give the same bytes every time.)
 */
#include "synth/deflate.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <zlib.h>

struct mm_deflater {
    z_stream z;
    bool ready;          /* z is initialised */
    unsigned char *rows; /* filtered rows, then the compressed ones */
    size_t cap;
};

int mm_deflater_new(struct mm_deflater **d, struct mm_err *e)
{
    struct mm_deflater *k = *d = calloc(1, sizeof(*k));

    if (k != NULL)
        k->ready = deflateInit2(&k->z, 1, Z_DEFLATED, 15, 9, Z_RLE) == Z_OK;
    if (k != NULL && k->ready)
        return 0;
    mm_deflater_free(k);
    *d = NULL;
    return mm_err_set(e, MM_ENOMEM, "PNG: out of memory");
}

void mm_deflater_free(struct mm_deflater *d)
{
    if (d == NULL)
        return;
    if (d->ready)
        deflateEnd(&d->z);
    free(d->rows);
    free(d);
}

static void big_endian(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Length, name, data and checksum. */
static void chunk(struct mm_buf *out, const char *name, const void *p, size_t n)
{
    unsigned char word[4];
    const size_t start = out->n + 4;

    big_endian(word, (uint32_t)n);
    mm_buf_add(out, word, 4);
    mm_buf_str(out, name);
    mm_buf_add(out, p, n);
    if (out->failed)
        return;
    big_endian(word, (uint32_t)crc32(0, (const unsigned char *)out->p + start, (uInt)n + 4));
    mm_buf_add(out, word, 4);
}

/* Each byte less the one above it (filter type 2): grounds are smooth. */
static void filter(unsigned char *to, const unsigned char *px, size_t row, int h)
{
    for (int y = 0; y < h; y++, px += row) {
        *to++ = y > 0 ? 2 : 0;
        for (size_t i = 0; i < row; i++)
            *to++ = (unsigned char)(y > 0 ? px[i] - px[(ptrdiff_t)i - (ptrdiff_t)row] : px[i]);
    }
}

int mm_deflater_png(struct mm_buf *out, struct mm_deflater *d, const unsigned char *px, int w,
                    int h, struct mm_err *e)
{
    const size_t row = 3 * (size_t)w, n = (row + 1) * (size_t)h;
    const size_t most = n + n / 1000 * 5 + 1024; /* stored blocks at worst */
    unsigned char head[13] = { [8] = 8, [9] = 2 };

    mm_buf_reset(out);
    if (!mm_grow(&d->rows, &d->cap, n + most, 1))
        return mm_err_set(e, MM_ENOMEM, "PNG: out of memory");
    filter(d->rows, px, row, h);
    deflateReset(&d->z);
    d->z.next_in = d->rows;
    d->z.avail_in = (uInt)n;
    d->z.next_out = d->rows + n;
    d->z.avail_out = (uInt)most;
    if (deflate(&d->z, Z_FINISH) != Z_STREAM_END)
        return mm_err_set(e, MM_EBUG, "PNG: compression failed");
    big_endian(head, (uint32_t)w);
    big_endian(head + 4, (uint32_t)h);
    mm_buf_add(out, "\x89PNG\r\n\x1a\n", 8);
    chunk(out, "IHDR", head, sizeof(head));
    chunk(out, "IDAT", d->rows + n, d->z.total_out);
    chunk(out, "IEND", "", 0);
    return out->failed ? mm_err_set(e, MM_ENOMEM, "PNG: out of memory") : 0;
}
