/* packed.c: see packed.h. */
#include "kernel/packed.h"

#include "base/panel.h"
#include "base/size.h"
#include "kernel/kernel.h"

_Static_assert((int)MM_NR == (int)MM_PANEL_ROWS, "a panel is what the kernels take");

bool mm_packed_can(enum mm_dtype t)
{
    return mm_panel_fields(t)->halves || mm_panel_fields(t)->words;
}

bool mm_packed_bytes(enum mm_dtype t, size_t out, size_t in, size_t *bytes)
{
    size_t row, rows;

    return mm_packed_can(t) && mm_dtype_bytes(t, in, &row) && mm_size_align(out, MM_NR, &rows) &&
           mm_size_mul(row, rows, bytes);
}

void mm_pack_rows(void *to, enum mm_dtype t, const void *rows, size_t stride, size_t n, int nr)
{
    const struct mm_panel_fields f = *mm_panel_fields(t);
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
            if (t == MM_Q3_K)
                k->turn_q3_k(p + 2 * MM_NR * (size_t)f.halves);
        }
}
