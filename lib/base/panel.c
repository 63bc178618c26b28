/* panel.c: blocks of one row gathered from a packed matrix, and put into one. */
#include "base/panel.h"

#include <assert.h>
#include <string.h>

#include "base/quant.h"

static const struct mm_panel_fields fields[MM_NDTYPE] = {
    [MM_F32] = { 0, 0, 0, 1 },     [MM_F16] = { 0, 1, 0, 0 },   [MM_BF16] = { 0, 1, 0, 0 },
    [MM_Q4_0] = { 0, 1, 2, 4 },    [MM_Q4_1] = { 0, 2, 4, 4 },  [MM_Q5_0] = { 0, 1, 2, 5 },
    [MM_Q5_1] = { 0, 2, 4, 5 },    [MM_Q8_0] = { 0, 1, 2, 8 },  [MM_Q2_K] = { 80, 2, 0, 20 },
    [MM_Q3_K] = { 108, 1, 0, 27 }, [MM_Q4_K] = { 0, 2, 4, 35 }, [MM_Q5_K] = { 0, 2, 4, 43 },
    [MM_Q6_K] = { 208, 1, 0, 52 },
};

enum { MAX_BLOCK_BYTES = 210 };

const struct mm_panel_fields *mm_panel_fields(enum mm_dtype d)
{
    return &fields[d];
}

void mm_panel_row(void *row, enum mm_dtype d, const void *packed, size_t n, size_t r)
{
    const struct mm_panel_fields f = fields[d];
    const size_t bytes = mm_dtype_block_bytes(d);
    const char *from = packed;
    char *p = row;

    for (n /= mm_dtype_block(d); n; n--, p += bytes, from += bytes * MM_PANEL_ROWS) {
        const char *const half = from + 2 * r;
        const char *const word = from + 2 * MM_PANEL_ROWS * (size_t)f.halves + 4 * r;

        for (size_t i = 0; i < f.halves; i++)
            memcpy(p + f.half0 + 2 * i, half + 2 * MM_PANEL_ROWS * i, 2);
        for (size_t i = 0; i < f.words; i++)
            memcpy(p + f.word0 + 4 * i, word + 4 * MM_PANEL_ROWS * i, 4);
    }
}

/* The packed blocks of row r of t from element k on. */
static const void *blocks_at(const struct mm_tensor *t, size_t r, size_t k)
{
    const size_t bytes = mm_dtype_block_bytes(t->dtype), block = mm_dtype_block(t->dtype);
    const size_t per_row = (size_t)t->shape[1] / block;

    return (const char *)t->data +
           (r / MM_PANEL_ROWS * per_row + k / block) * bytes * MM_PANEL_ROWS;
}

void mm_panel_tensor_row(void *row, const struct mm_tensor *t, size_t r)
{
    assert(mm_dtype_packed(t->dtype) && t->ndim == 2 && r < (size_t)t->shape[0]);
    mm_panel_row(row, mm_dtype_rows(t->dtype), blocks_at(t, r, 0), (size_t)t->shape[1],
                 r % MM_PANEL_ROWS);
}

void mm_panel_read(float *out, const struct mm_tensor *t, size_t first, size_t n)
{
    const enum mm_dtype d = mm_dtype_rows(t->dtype);
    const size_t block = mm_dtype_block(d), cols = (size_t)t->shape[1];
    unsigned char one[MAX_BLOCK_BYTES];
    const struct mm_tensor part = { .dtype = d, .ndim = 1, .shape = { (int64_t)block },
                                    .data = one };

    assert(mm_dtype_packed(t->dtype) && t->ndim == 2);
    assert(first % block == 0 && n % block == 0 && mm_dtype_block_bytes(d) <= sizeof one);
    for (size_t i = 0; i < n; i += block) {
        const size_t r = (first + i) / cols, k = (first + i) % cols;

        mm_panel_row(one, d, blocks_at(t, r, k), block, r % MM_PANEL_ROWS);
        mm_tensor_to_f32(out + i, &part);
    }
}

void mm_panel_write(void *panel, enum mm_dtype d, const void *rows, size_t n, size_t cols)
{
    const struct mm_panel_fields f = fields[d];
    const size_t bytes = mm_dtype_block_bytes(d), blocks = cols / mm_dtype_block(d);
    const size_t stride = blocks * bytes;

    assert(n <= MM_PANEL_ROWS);
    memset(panel, 0, stride * MM_PANEL_ROWS);
    for (size_t b = 0; b < blocks; b++)
        for (size_t r = 0; r < n; r++) {
            const char *const from = (const char *)rows + r * stride + b * bytes;
            char *const half = (char *)panel + b * bytes * MM_PANEL_ROWS + 2 * r;
            char *const word = half + 2 * MM_PANEL_ROWS * (size_t)f.halves + 2 * r;

            for (size_t i = 0; i < f.halves; i++)
                memcpy(half + 2 * MM_PANEL_ROWS * i, from + f.half0 + 2 * i, 2);
            for (size_t i = 0; i < f.words; i++)
                memcpy(word + 4 * MM_PANEL_ROWS * i, from + f.word0 + 4 * i, 4);
        }
}
