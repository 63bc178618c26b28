/* panel.c: blocks of one row gathered from a packed matrix. */
#include "base/panel.h"

#include <assert.h>
#include <string.h>

#include "base/quant.h"

/* The 16-bit fields of a block, side by side; whole words are the rest.  A plain
 * type of two bytes is such a field, one of four bytes a word. */
static const struct {
    unsigned char halves, at; /* how many; offset of the first */
} fields[MM_NDTYPE] = {
    [MM_F16] = { 1, 0 },    [MM_BF16] = { 1, 0 },   [MM_Q4_0] = { 1, 0 },
    [MM_Q4_1] = { 2, 0 },   [MM_Q5_0] = { 1, 0 },   [MM_Q5_1] = { 2, 0 },
    [MM_Q8_0] = { 1, 0 },   [MM_Q2_K] = { 2, 80 },  [MM_Q3_K] = { 1, 108 },
    [MM_Q4_K] = { 2, 0 },   [MM_Q5_K] = { 2, 0 },   [MM_Q6_K] = { 1, 208 },
};

enum { MAX_BLOCK = 256, MAX_BLOCK_BYTES = 210 };

/* Where in a block of a row its next piece lies, in the order of a packed block:
 * *at its offset, the result its size, 2 or 4 bytes; 0 after the last. */
static size_t next_piece(size_t *at, size_t done, enum mm_dtype d)
{
    const size_t halves = 2 * (size_t)fields[d].halves, first = fields[d].at;

    if (done < halves) {
        *at = first + done;
        return 2;
    }
    *at = done - halves < first ? done - halves : done;
    return done < mm_dtype_block_bytes(d) ? 4 : 0;
}

/* Block b of row r into block[]: of the row type d, with per_row blocks a row. */
static void gather(unsigned char *block, enum mm_dtype d, const unsigned char *data,
                   size_t per_row, size_t r, size_t b)
{
    const size_t lane = r % MM_PANEL_ROWS, bytes = mm_dtype_block_bytes(d);
    const unsigned char *p = data + (r / MM_PANEL_ROWS * per_row + b) * bytes * MM_PANEL_ROWS;
    size_t at, n;

    for (size_t done = 0; (n = next_piece(&at, done, d)) > 0; done += n)
        memcpy(block + at, p + done * MM_PANEL_ROWS + lane * n, n);
}

static size_t blocks_per_row(const struct mm_tensor *t)
{
    assert(mm_dtype_packed(t->dtype) && t->ndim == 2);
    return (size_t)t->shape[1] / mm_dtype_block(t->dtype);
}

void mm_panel_row(void *row, const struct mm_tensor *t, size_t r)
{
    const enum mm_dtype d = mm_dtype_rows(t->dtype);
    const size_t per_row = blocks_per_row(t);

    assert(r < (size_t)t->shape[0]);
    for (size_t b = 0; b < per_row; b++)
        gather((unsigned char *)row + b * mm_dtype_block_bytes(d), d, t->data, per_row, r, b);
}

void mm_panel_write(void *panel, enum mm_dtype d, const void *rows, size_t n, size_t cols)
{
    const size_t bytes = mm_dtype_block_bytes(d), per_row = cols / mm_dtype_block(d);
    const size_t stride = per_row * bytes;
    unsigned char *p = panel;
    size_t at, size;

    assert(n <= MM_PANEL_ROWS);
    memset(panel, 0, stride * MM_PANEL_ROWS);
    for (size_t b = 0; b < per_row; b++)
        for (size_t done = 0; (size = next_piece(&at, done, d)) > 0; done += size) {
            const unsigned char *from = (const unsigned char *)rows + b * bytes + at;

            for (size_t lane = 0; lane < n; lane++, from += stride)
                memcpy(p + lane * size, from, size);
            p += size * MM_PANEL_ROWS;
        }
}

void mm_panel_read(float *out, const struct mm_tensor *t, size_t first, size_t n)
{
    const enum mm_dtype d = mm_dtype_rows(t->dtype);
    const size_t per_row = blocks_per_row(t), block = mm_dtype_block(d);
    unsigned char one[MAX_BLOCK_BYTES];
    const struct mm_tensor part = { .dtype = d, .ndim = 1, .shape = { (int64_t)block },
                                    .data = one };

    assert(first % block == 0 && n % block == 0 && block <= MAX_BLOCK);
    for (size_t i = 0; i < n; i += block) {
        const size_t b = (first + i) / block;

        gather(one, d, t->data, per_row, b / per_row, b % per_row);
        mm_tensor_to_f32(out + i, &part);
    }
}
