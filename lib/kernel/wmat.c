/* wmat.c: linear layers: one or few rows here, many on panels (wmat_panel.c).
 *
 * One row of activations reads every weight once, so the loop is over rows of
 * W as they lie in memory; the dot products keep up with memory.
 */
#include "kernel/wmat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/wmat_int.h"

enum {
    DOT_ROWS = 4,        /* up to here, dot products beat panels of f32, */
    DOT_ROWS_INT8 = 2,   /* and panels of int8 */
    DOT_BYTES = 64 << 10 /* weights of one tile: they stay in L1/L2 for all rows of x */
};

static int copy_data(struct mm_wmat *m, size_t bytes)
{
    size_t padded;

    if (!mm_size_align(bytes, 64, &padded))
        return MM_ENOMEM;
    m->own = aligned_alloc(64, padded ? padded : 64);
    if (!m->own)
        return MM_ENOMEM;
    if (bytes)
        memcpy(m->own, m->data, bytes);
    m->data = m->own;
    return 0;
}

/* A type without kernels of its own becomes f32. */
static int convert_data(struct mm_wmat *m, const struct mm_tensor *w)
{
    size_t bytes;

    if (!mm_dtype_bytes(MM_F32, mm_tensor_count(w), &bytes))
        return MM_ENOMEM;
    m->own = malloc(bytes ? bytes : 1);
    if (!m->own)
        return MM_ENOMEM;
    mm_tensor_to_f32(m->own, w);
    m->data = m->own;
    m->dtype = MM_F32;
    return 0;
}

int mm_wmat_new(struct mm_wmat **out, const struct mm_tensor *w, enum mm_wmat_pack pack,
                struct mm_err *e)
{
    assert(w->ndim == 2);
    struct mm_wmat *m = calloc(1, sizeof(*m));
    int rc = m ? 0 : MM_ENOMEM;

    if (m) {
        m->dtype = w->dtype;
        m->out = (size_t)w->shape[0];
        m->in = (size_t)w->shape[1];
        m->data = w->data;
        if (!mm_kern()->widen[w->dtype])
            rc = convert_data(m, w);
        else if (pack == MM_WMAT_PACK)
            rc = copy_data(m, mm_tensor_bytes(w));
    }
    if (!rc && !mm_dtype_bytes(m->dtype, m->in, &m->stride))
        rc = MM_ENOMEM;
    if (rc) {
        mm_wmat_free(m);
        return mm_err_set(e, rc, "out of memory for a weight matrix");
    }
    *out = m;
    return 0;
}

void mm_wmat_free(struct mm_wmat *m)
{
    if (m)
        free(m->own);
    free(m);
}

size_t mm_wmat_out(const struct mm_wmat *m)
{
    return m->out;
}

size_t mm_wmat_in(const struct mm_wmat *m)
{
    return m->in;
}

enum mm_dtype mm_wmat_dtype(const struct mm_wmat *m)
{
    return m->dtype;
}

void mm_wmat_row(float *y, const struct mm_wmat *m, size_t r)
{
    assert(r < m->out);
    mm_kern()->widen[m->dtype](y, m->data + r * m->stride, m->in);
}

struct dot_job {
    const struct mm_kern *k;
    float *const *y;
    const float *x;
    const struct mm_q8_row *xq; /* [rows], NULL without int8 */
    size_t rows;
    const struct mm_wmat *const *m;
    const float *const *b;
    int n;
};

static size_t dot_tile_rows(const struct mm_wmat *m)
{
    const size_t r = DOT_BYTES / (m->stride ? m->stride : 1);
    return r < 8 ? 8 : r > 256 ? 256 : r & ~(size_t)7;
}

static size_t dot_tiles(const struct mm_wmat *m)
{
    const size_t t = dot_tile_rows(m);
    return (m->out + t - 1) / t;
}

static void dot_tile(void *arg, size_t tile, int thread)
{
    const struct dot_job *j = arg;
    int i = 0;

    (void)thread;
    for (; tile >= dot_tiles(j->m[i]); i++)
        tile -= dot_tiles(j->m[i]);
    const struct mm_wmat *m = j->m[i];
    const float *b = j->b ? j->b[i] : NULL;
    const size_t first = tile * dot_tile_rows(m);
    const size_t end = first + dot_tile_rows(m) < m->out ? first + dot_tile_rows(m) : m->out;
    mm_dot_q8_fn *const dot_q8 = j->xq ? j->k->dot_q8[m->dtype] : NULL;

    for (size_t r = 0; r < j->rows; r++)
        for (size_t o = first; o < end; o++) {
            const uint8_t *w = m->data + o * m->stride;
            const float s = dot_q8 ? dot_q8(w, &j->xq[r], m->in)
                                   : j->k->dot_w[m->dtype](w, j->x + r * m->in, m->in);
            j->y[i][r * m->out + o] = s + (b ? b[o] : 0);
        }
}

/* Activations as bytes; all four arrays of the rows in one block at *mem. */
static int quantise_rows(struct mm_q8_row *xq, void **mem, const float *x, size_t rows, size_t in)
{
    const size_t nb = (in + MM_QBLOCK - 1) / MM_QBLOCK;
    const size_t each = nb * (MM_QBLOCK + 4 * sizeof(float)); /* in is the width of a matrix */
    size_t bytes;

    if (!mm_size_mul(each, rows, &bytes) || !mm_size_align(bytes, 64, &bytes))
        return MM_ENOMEM;
    char *p = aligned_alloc(64, bytes ? bytes : 64);
    if (!p)
        return MM_ENOMEM;
    *mem = p;
    for (size_t r = 0; r < rows; r++, p += each) {
        float *f = (float *)(void *)(p + nb * MM_QBLOCK);
        xq[r] = (struct mm_q8_row){ (int8_t *)p, f, f + nb, f + 2 * nb };
        mm_kern()->quant_q8(&xq[r], x + r * in, in);
    }
    return 0;
}

static int count_quantised(const struct mm_wmat *const *m, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += mm_dtype_quantised(m[i]->dtype);
    return count;
}

static int mul_dot(float *const *y, const float *x, size_t rows, const struct mm_wmat *const *m,
                   const float *const *b, int n, bool int8, struct mm_pool *p)
{
    struct dot_job j = { mm_kern(), y, x, NULL, rows, m, b, n };
    struct mm_q8_row xq[DOT_ROWS];
    void *mem = NULL;
    size_t tiles = 0;

    if (int8) {
        if (quantise_rows(xq, &mem, x, rows, m[0]->in))
            return MM_ENOMEM;
        j.xq = xq;
    }
    for (int i = 0; i < n; i++)
        tiles += dot_tiles(m[i]);
    mm_pool_run(p, tiles, dot_tile, &j);
    free(mem);
    return 0;
}

/* A matrix in a group is multiplied as it would be alone: where the two kinds
 * part ways at this number of rows, a mixed group is taken apart. */
static int mul_apart(float *const *y, const float *x, size_t rows, const struct mm_wmat *const *m,
                     const float *const *b, int n, enum mm_arith arith, struct mm_pool *p)
{
    int rc = 0;

    for (int i = 0; i < n && !rc; i++)
        rc = mm_wmat_mul(y[i], x, rows, m[i], b ? b[i] : NULL, arith, p);
    return rc;
}

int mm_wmat_mul_group(float *const *y, const float *x, size_t rows, const struct mm_wmat *const *m,
                      const float *const *b, int n, enum mm_arith arith, struct mm_pool *p)
{
    const int quantised = arith & MM_ARITH_FAST ? count_quantised(m, n) : 0;
    const bool int8_mul = quantised && mm_kern()->int8_mul;
    const size_t dot_rows = arith & MM_ARITH_MANY ? 0 : int8_mul ? DOT_ROWS_INT8 : DOT_ROWS;

    for (int i = 1; i < n; i++)
        assert(m[i]->in == m[0]->in);
    if (!rows || !n)
        return 0;
    if (rows <= dot_rows)
        return mul_dot(y, x, rows, m, b, n, quantised && mm_kern()->int8_dot, p);
    if (rows <= DOT_ROWS && int8_mul && quantised < n && !(arith & MM_ARITH_MANY))
        return mul_apart(y, x, rows, m, b, n, arith, p);
    return mm_wmat_panel(y, x, rows, m, b, n, int8_mul, p);
}

int mm_wmat_mul(float *y, const float *x, size_t rows, const struct mm_wmat *m, const float *b,
                enum mm_arith arith, struct mm_pool *p)
{
    return mm_wmat_mul_group(&y, x, rows, &m, &b, 1, arith, p);
}
