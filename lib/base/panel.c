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

int mm_panel_since(enum mm_dtype d)
{
    return d == MM_Q3_K ? 2 : 1;
}

/* --- q3_k -------------------------------------------------------------------------------
 *
 * Words of four bytes each: in the source a are high bits, one per block of 32, b and c are
 * low ones of blocks 0 .. 3 and 4 .. 7.  In a panel a has the codes of blocks 0 and 1 and
 * the upper two bits of 6, b those of 2 and 3 and the lowest of 6 and 7, c those of 4 and 5
 * and the upper two of 7.
 */
#define EACH(bits) (UINT32_C(0x01010101) * (bits))

static void turn_codes(uint32_t *a, uint32_t *b, uint32_t *c)
{
    uint32_t q[8];

    for (int i = 0; i < 8; i++)
        q[i] = ((i < 4 ? *b : *c) >> i % 4 * 2 & EACH(3)) | (*a >> i & EACH(1)) << 2;
    *a = q[0] | q[1] << 3 | (q[6] >> 1 & EACH(3)) << 6;
    *b = q[2] | q[3] << 3 | (q[6] & EACH(1)) << 6 | (q[7] & EACH(1)) << 7;
    *c = q[4] | q[5] << 3 | (q[7] >> 1 & EACH(3)) << 6;
}

static void turn_codes_back(uint32_t *a, uint32_t *b, uint32_t *c)
{
    const uint32_t q[8] = { *a & EACH(7),
                            *a >> 3 & EACH(7),
                            *b & EACH(7),
                            *b >> 3 & EACH(7),
                            *c & EACH(7),
                            *c >> 3 & EACH(7),
                            (*a >> 6 & EACH(3)) << 1 | (*b >> 6 & EACH(1)),
                            (*c >> 6 & EACH(3)) << 1 | (*b >> 7 & EACH(1)) };

    *a = *b = *c = 0;
    for (int i = 0; i < 8; i++) {
        *a |= (q[i] >> 2 & EACH(1)) << i;
        *(i < 4 ? b : c) |= (q[i] & EACH(3)) << i % 4 * 2;
    }
}

/* Scales: 16 of six bits, less 32.  In the source a and b are the low halves of 0 .. 3 and
 * 8 .. 11, of 4 .. 7 and 12 .. 15, c all the high bits.  In a panel a word has pairs of
 * them, 2 i and 2 i + 1, in its halves, with signs: the upper six bits of a, b, c are pairs
 * 0, 1, 2, the next six 3, 4, 5, the lower four of a and b the upper of 6 and 7, and those of
 * c what these two lack. */
static void turn_scales(uint32_t *a, uint32_t *b, uint32_t *c)
{
    const uint32_t s[4] = { (*a & EACH(15)) | (*c << 4 & EACH(0x30)),
                            (*b & EACH(15)) | (*c << 2 & EACH(0x30)),
                            (*a >> 4 & EACH(15)) | (*c & EACH(0x30)),
                            (*b >> 4 & EACH(15)) | (*c >> 2 & EACH(0x30)) };
    uint32_t p[8];

    for (int i = 0; i < 8; i++) {
        const uint32_t two = (s[i / 2] ^ EACH(0x20)) >> i % 2 * 16;
        p[i] = (two & 0xff) | (two & 0xff00) << 8;
    }
    *a = p[0] << 10 | p[3] << 4 | (p[6] >> 2 & 0x000f000f);
    *b = p[1] << 10 | p[4] << 4 | (p[7] >> 2 & 0x000f000f);
    *c = p[2] << 10 | p[5] << 4 | (p[6] & 0x00030003) << 2 | (p[7] & 0x00030003);
}

static void turn_scales_back(uint32_t *a, uint32_t *b, uint32_t *c)
{
    const uint32_t six = 0x003f003f, w[3] = { *a, *b, *c };
    uint32_t p[8], s[4] = { 0 };

    for (int i = 0; i < 6; i++)
        p[i] = w[i % 3] >> (i < 3 ? 10 : 4) & six;
    p[6] = (*a & 0x000f000f) << 2 | (*c >> 2 & 0x00030003);
    p[7] = (*b & 0x000f000f) << 2 | (*c & 0x00030003);
    for (int i = 0; i < 8; i++)
        s[i / 2] |= ((p[i] & 0xff) | (p[i] >> 8 & 0xff00)) << i % 2 * 16;
    for (int i = 0; i < 4; i++)
        s[i] ^= EACH(0x20);
    *a = (s[0] & EACH(15)) | (s[2] & EACH(15)) << 4;
    *b = (s[1] & EACH(15)) | (s[3] & EACH(15)) << 4;
    *c = (s[0] >> 4 & EACH(3)) | (s[1] >> 4 & EACH(3)) << 2 | (s[2] >> 4 & EACH(3)) << 4 |
         (s[3] >> 4 & EACH(3)) << 6;
}

/* f on words i, i + step, i + 2 step at w, anywhere. */
typedef void turn_fn(uint32_t *a, uint32_t *b, uint32_t *c);

static inline void turn(char *w, size_t i, size_t step, turn_fn *f)
{
    uint32_t x[3];

    for (size_t j = 0; j < 3; j++)
        memcpy(&x[j], w + 4 * (i + j * step), 4);
    f(&x[0], &x[1], &x[2]);
    for (size_t j = 0; j < 3; j++)
        memcpy(w + 4 * (i + j * step), &x[j], 4);
}

void mm_panel_turn(void *words, enum mm_dtype d)
{
    if (d != MM_Q3_K)
        return;
    for (size_t i = 0; i < 8 * MM_PANEL_ROWS; i++)
        turn(words, i, 8 * MM_PANEL_ROWS, turn_codes);
    for (size_t i = 24 * MM_PANEL_ROWS; i < 25 * MM_PANEL_ROWS; i++)
        turn(words, i, MM_PANEL_ROWS, turn_scales);
}

static void turn_back(void *row)
{
    for (size_t i = 0; i < 8; i++)
        turn(row, i, 8, turn_codes_back);
    turn(row, 24, 1, turn_scales_back);
}

/* --- all types ---------------------------------------------------------------------------- */

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
        if (d == MM_Q3_K)
            turn_back(p);
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
    for (size_t b = 0; b < blocks; b++) {
        char *const block = (char *)panel + b * bytes * MM_PANEL_ROWS;
        char *const words = block + 2 * MM_PANEL_ROWS * (size_t)f.halves;

        for (size_t r = 0; r < n; r++) {
            const char *const from = (const char *)rows + r * stride + b * bytes;

            for (size_t i = 0; i < f.halves; i++)
                memcpy(block + 2 * (MM_PANEL_ROWS * i + r), from + f.half0 + 2 * i, 2);
            for (size_t i = 0; i < f.words; i++)
                memcpy(words + 4 * (MM_PANEL_ROWS * i + r), from + f.word0 + 4 * i, 4);
        }
        mm_panel_turn(words, d);
    }
}
