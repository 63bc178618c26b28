/* wmat.c: weight matrices: as rows or packed, look-up, and their panels.  Products
 * are in wmat_mul.c and wmat_back.c. */
#include "kernel/wmat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "base/panel.h"
#include "base/size.h"
#include "kernel/wmat_int.h"

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

struct pack_job {
    const struct mm_wmat *m;
    uint8_t *to;
};

static void pack_panel(void *arg, size_t panel, int thread)
{
    const struct pack_job *j = arg;
    const struct mm_wmat *m = j->m;
    const size_t n0 = panel * MM_NR;

    (void)thread;
    mm_pack_rows(j->to + n0 * m->stride, m->dtype, m->data + n0 * m->stride, m->stride, m->in,
                 (int)mm_min_size(MM_NR, m->out - n0));
}

static int pack_data(struct mm_wmat *m, struct mm_pool *p)
{
    struct pack_job j = { m, NULL };
    size_t bytes;

    if (!mm_packed_bytes(m->dtype, m->out, m->in, &bytes) || !(j.to = mm_pages_alloc(bytes)))
        return MM_ENOMEM;
    mm_pool_run(p, mm_div_up(m->out, MM_NR), pack_panel, &j);
    free(m->own);
    m->data = m->own = j.to;
    m->packed = true;
    return 0;
}

int mm_wmat_new(struct mm_wmat **out, const struct mm_tensor *w, enum mm_wmat_pack pack,
                struct mm_pool *p, struct mm_err *e)
{
    assert(w->ndim == 2);
    struct mm_wmat *m = calloc(1, sizeof(*m));
    int rc = m ? 0 : MM_ENOMEM;

    if (m) {
        m->dtype = w->dtype;
        m->out = (size_t)w->shape[0];
        m->in = (size_t)w->shape[1];
        m->data = w->data;
        if (!mm_packed_can(w->dtype))
            rc = convert_data(m, w);
    }
    if (!rc && !mm_dtype_bytes(m->dtype, m->in, &m->stride))
        rc = MM_ENOMEM;
    if (!rc && pack == MM_WMAT_PACK)
        rc = pack_data(m, p);
    if (rc) {
        mm_wmat_free(m);
        return mm_err_set(e, rc, "out of memory for a weight matrix");
    }
    *out = m;
    return 0;
}

int mm_wmat_borrow_packed(struct mm_wmat **out, enum mm_dtype t, size_t rows, size_t in,
                          const void *data, struct mm_err *e)
{
    struct mm_wmat *m = calloc(1, sizeof(*m));
    size_t stride;

    if (!m)
        return mm_err_set(e, MM_ENOMEM, "out of memory for a weight matrix");
    const bool whole = mm_packed_can(t) && mm_dtype_bytes(t, in, &stride);
    assert(whole && (uintptr_t)data % 64 == 0);
    *m = (struct mm_wmat){ t, true, rows, in, stride, data, NULL };
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

const void *mm_wmat_packed(const struct mm_wmat *m, size_t *bytes)
{
    *bytes = m->packed ? mm_div_up(m->out, MM_NR) * MM_NR * m->stride : 0;
    return m->packed ? m->data : NULL;
}

void mm_wmat_row(float *y, const struct mm_wmat *m, size_t r)
{
    enum { N = 256 }; /* a multiple of every block */
    float row[N];     /* no type is larger */
    const struct mm_kern *k = mm_kern();

    assert(r < m->out);
    if (!m->packed) {
        k->widen[m->dtype](y, m->data + r * m->stride, m->in);
        return;
    }
    const uint8_t *panel = m->data + r / MM_NR * MM_NR * m->stride;
    for (size_t i = 0; i < m->in; i += N) {
        const size_t n = mm_min_size(N, m->in - i);
        mm_panel_row(row, m->dtype, panel + mm_wmat_bytes(m, i) * MM_NR, n, r % MM_NR);
        k->widen[m->dtype](y + i, row, n);
    }
}

const void *mm_wmat_chunk(const struct mm_wmat *m, size_t panel, size_t k0, size_t kc, void *tmp)
{
    const uint8_t *rows = m->data + panel * MM_NR * m->stride;

    if (m->packed)
        return rows + mm_wmat_bytes(m, k0) * MM_NR;
    mm_pack_rows(tmp, m->dtype, rows + mm_wmat_bytes(m, k0), m->stride, kc,
                 (int)mm_min_size(MM_NR, m->out - panel * MM_NR));
    return tmp;
}

const float *mm_wmat_panel_f32(const struct mm_wmat *m, size_t panel, size_t k0, size_t kc,
                               struct mm_wmat_f32 *w)
{
    const struct mm_kern *k = mm_kern();
    const void *packed = mm_wmat_chunk(m, panel, k0, kc, w->packed);

    if (m->dtype == MM_F32)
        return packed;
    if (!mm_dtype_quantised(m->dtype)) {
        k->widen[m->dtype](w->f32, packed, kc * MM_NR);
        return w->f32;
    }
    const struct mm_q8_panel b = { w->q, w->d, w->m, w->scale, w->min, mm_q8_kind(m->dtype) };
    k->unpack[m->dtype](&b, packed, kc);
    k->codes_f32(w->f32, &b, kc);
    return w->f32;
}
