/* packed.c: see packed.h. */
#include "kernel/packed.h"

#include <string.h>

#include "base/size.h"
#include "kernel/kernel.h"

/* Where the 16-bit fields and the words of a source block are. */
struct fields {
    unsigned char half0, halves;
    unsigned char word0, words;
};

static const struct fields fields[MM_NDTYPE] = {
    [MM_F32] = { 0, 0, 0, 1 },     [MM_F16] = { 0, 1, 0, 0 },   [MM_BF16] = { 0, 1, 0, 0 },
    [MM_Q4_0] = { 0, 1, 2, 4 },    [MM_Q4_1] = { 0, 2, 4, 4 },  [MM_Q5_0] = { 0, 1, 2, 5 },
    [MM_Q5_1] = { 0, 2, 4, 5 },    [MM_Q8_0] = { 0, 1, 2, 8 },  [MM_Q2_K] = { 80, 2, 0, 20 },
    [MM_Q3_K] = { 108, 1, 0, 27 }, [MM_Q4_K] = { 0, 2, 4, 35 }, [MM_Q5_K] = { 0, 2, 4, 43 },
    [MM_Q6_K] = { 208, 1, 0, 52 },
};

bool mm_packed_can(enum mm_dtype t)
{
    return fields[t].halves || fields[t].words;
}

bool mm_packed_bytes(enum mm_dtype t, size_t out, size_t in, size_t *bytes)
{
    size_t row, rows;

    return mm_packed_can(t) && mm_dtype_bytes(t, in, &row) && mm_size_align(out, MM_NR, &rows) &&
           mm_size_mul(row, rows, bytes);
}

void mm_pack_rows(void *to, enum mm_dtype t, const void *rows, size_t stride, size_t n, int nr)
{
    const struct fields f = fields[t];
    const struct mm_kern *k = mm_kern();
    const size_t bytes = mm_dtype_block_bytes(t);
    const char *from = rows;
    char *p = to;

    if (!f.words)
        k->pack_halves(to, rows, stride, n, nr);
    else if (!f.halves)
        k->pack_words(to, rows, stride, n, nr);
    else
        for (n /= mm_dtype_block(t); n; n--, from += bytes, p += bytes * MM_NR) {
            k->pack_halves(p, from + f.half0, stride, f.halves, nr);
            k->pack_words(p + 2 * MM_NR * (size_t)f.halves, from + f.word0, stride, f.words, nr);
        }
}

void mm_packed_row(void *row, enum mm_dtype t, const void *packed, size_t n, int r)
{
    const struct fields f = fields[t];
    const size_t bytes = mm_dtype_block_bytes(t);
    const char *from = packed;
    char *p = row;

    for (n /= mm_dtype_block(t); n; n--, p += bytes, from += bytes * MM_NR) {
        const char *half = from + 2 * r, *word = from + 2 * MM_NR * (size_t)f.halves + 4 * r;
        for (size_t i = 0; i < f.halves; i++)
            memcpy(p + f.half0 + 2 * i, half + 2 * MM_NR * i, 2);
        for (size_t i = 0; i < f.words; i++)
            memcpy(p + f.word0 + 4 * i, word + 4 * MM_NR * i, 4);
    }
}
