/* param.c: see param.h. */
#include "nn/param.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/progress.h"
#include "base/pages.h"
#include "base/panel.h"
#include "base/size.h"

struct param {
    struct mm_var var;
    struct mm_tensor src; /* as stored, borrowed from the checkpoint */
    float *data, *grad;   /* owned, or NULL */
    void *panels;         /* what lay packed at an odd address; owned, or NULL */
    bool table;           /* never packed */
    bool packed;          /* by mm_params_pack */
    char *name;
};

struct mm_params {
    struct param **at; /* each allocated by itself: models keep &param->var */
    size_t n, cap;
    void **panels;     /* what mm_params_pack packed, one block a call */
    size_t npanels, panels_cap;
    const struct mm_ckpt *later; /* to be packed when the second pass begins, or NULL */
    double packing;              /* seconds */
    bool passed;
    bool failed;
};

int mm_params_new(struct mm_params **p, struct mm_err *e)
{
    *p = calloc(1, sizeof(**p));
    return *p ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}

static void param_free(struct param *q)
{
    if (!q)
        return;
    mm_wmat_free(q->var.w);
    free(q->data);
    free(q->grad);
    free(q->panels);
    free(q->name);
    free(q);
}

void mm_params_free(struct mm_params *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        param_free(p->at[i]);
    for (size_t i = 0; i < p->npanels; i++)
        free(p->panels[i]);
    free(p->panels);
    free(p->at);
    free(p);
}

MM_PRINTF(1, 0) static char *format(const char *fmt, va_list ap)
{
    va_list again;
    char *s;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0)
        return NULL;
    s = malloc((size_t)n + 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

/* A new parameter at the end of the list, shaped as t; NULL marks p failed. */
MM_PRINTF(3, 0)
static struct param *add(struct mm_params *p, const struct mm_tensor *t, const char *fmt,
                         va_list ap)
{
    struct param *q = calloc(1, sizeof(*q));
    char *name = format(fmt, ap);

    if (!q || !name || !mm_grow(&p->at, &p->cap, p->n + 1, sizeof(struct param *))) {
        free(q);
        free(name);
        p->failed = true;
        return NULL;
    }
    q->name = name;
    q->src = *t;
    q->var.t = *t;
    q->var.t.data = NULL;
    p->at[p->n++] = q;
    return q;
}

/* Give q its own f32 copy of what is stored. */
static bool widen(struct param *q)
{
    const size_t n = mm_tensor_count(&q->src);
    size_t bytes;

    if (!mm_size_mul(n, sizeof(float), &bytes))
        return false;
    q->data = mm_pages_alloc(bytes);
    if (!q->data)
        return false;
    mm_tensor_to_f32(q->data, &q->src);
    q->var.t.dtype = MM_F32;
    q->var.t.data = q->data;
    return true;
}

/* The matrix [out, all the rest] of a weight: a convolution's kernel is one. */
static struct mm_tensor as_matrix(const struct mm_tensor *t)
{
    struct mm_tensor m = { .dtype = t->dtype, .ndim = 2, .data = t->data };

    m.shape[0] = t->ndim ? t->shape[0] : 1;
    m.shape[1] = 1;
    for (int i = 1; i < t->ndim; i++)
        m.shape[1] *= t->shape[i];
    return m;
}

/* A matrix that lies packed in its file.  A mapped file has it at a multiple of
 * 64; one that was read from a pipe may not. */
static bool use_packed(struct param *q)
{
    const size_t bytes = mm_tensor_bytes(&q->src);
    const void *data = q->src.data;
    size_t padded;

    if ((uintptr_t)data % MM_PANEL_ALIGN != 0) {
        if (!mm_size_align(bytes, MM_PANEL_ALIGN, &padded) ||
            !(q->panels = aligned_alloc(MM_PANEL_ALIGN, padded ? padded : MM_PANEL_ALIGN)))
            return false;
        data = memcpy(q->panels, data, bytes);
    }
    return mm_wmat_borrow_packed(&q->var.w, q->var.t.dtype, (size_t)q->src.shape[0],
                                 (size_t)q->src.shape[1], data, NULL) == 0;
}

MM_PRINTF(4, 0)
static struct mm_var *add_matrix(struct mm_params *p, const struct mm_tensor *t, bool table,
                                 const char *fmt, va_list ap)
{
    struct param *q = t ? add(p, t, fmt, ap) : NULL;

    if (!q)
        return NULL;
    q->table = table;
    q->src = as_matrix(t);
    q->var.t = q->src;
    q->var.t.data = NULL;
    q->var.t.dtype = mm_dtype_rows(q->src.dtype);
    if (mm_dtype_packed(q->src.dtype)
            ? !use_packed(q) : mm_wmat_new(&q->var.w, &q->src, MM_WMAT_BORROW, NULL, NULL) < 0) {
        p->failed = true;
        return NULL;
    }
    return &q->var;
}

struct mm_var *mm_param_matrix(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    struct mm_var *const v = add_matrix(p, t, false, fmt, ap);
    va_end(ap);
    return v;
}

struct mm_var *mm_param_table(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    struct mm_var *const v = add_matrix(p, t, true, fmt, ap);
    va_end(ap);
    return v;
}

struct mm_var *mm_param_f32(struct mm_params *p, const struct mm_tensor *t, const char *fmt, ...)
{
    struct param *q;
    va_list ap;

    if (!t)
        return NULL;
    va_start(ap, fmt);
    q = add(p, t, fmt, ap);
    va_end(ap);
    if (!q)
        return NULL;
    if (!widen(q)) {
        p->failed = true;
        return NULL;
    }
    return &q->var;
}

/* data[in][out] turned round in place of a copy of the same size */
static bool transpose(struct param *q, const struct mm_tensor *t)
{
    const size_t in = (size_t)t->shape[0], out = (size_t)t->shape[1];
    float *turned = malloc((in * out + 1) * sizeof(*turned));

    if (!turned)
        return false;
    for (size_t i = 0; i < in; i++)
        for (size_t o = 0; o < out; o++)
            turned[o * in + i] = q->data[i * out + o];
    free(q->data);
    q->data = turned;
    q->var.t.shape[0] = t->shape[1];
    q->var.t.shape[1] = t->shape[0];
    q->var.t.data = turned;
    q->src = q->var.t;
    return mm_wmat_new(&q->var.w, &q->src, MM_WMAT_BORROW, NULL, NULL) == 0;
}

struct mm_var *mm_param_transposed(struct mm_params *p, const struct mm_tensor *t, const char *fmt,
                                   ...)
{
    struct param *q;
    va_list ap;

    if (!t)
        return NULL;
    assert(t->ndim == 2);
    va_start(ap, fmt);
    q = add(p, t, fmt, ap);
    va_end(ap);
    if (!q)
        return NULL;
    if (!widen(q) || !transpose(q, t)) {
        p->failed = true;
        return NULL;
    }
    return &q->var;
}

/* Is q a matrix of products, as rows in the checkpoint? */
static bool wants_packing(const struct param *q)
{
    return q->var.w && !q->packed && !q->table && !q->data && !mm_dtype_packed(q->src.dtype);
}

/* Bytes of q packed, to the next multiple of 64; 0: a type that has no panels. */
static size_t packed_size(const struct param *q)
{
    size_t n;

    return mm_packed_bytes(q->src.dtype, (size_t)q->src.shape[0], (size_t)q->src.shape[1], &n) &&
                   mm_size_align(n, MM_PANEL_ALIGN, &n) ? n : 0;
}

struct pack_job {
    const struct mm_tensor *src;
    size_t stride;
    char *to;
};

static void pack_panel(void *arg, size_t panel, int thread)
{
    const struct pack_job *const j = arg;
    const size_t first = panel * MM_PANEL_ROWS, left = (size_t)j->src->shape[0] - first;

    (void)thread;
    mm_pack_rows(j->to + first * j->stride, j->src->dtype,
                 (const char *)j->src->data + first * j->stride, j->stride,
                 (size_t)j->src->shape[1], left < MM_PANEL_ROWS ? (int)left : MM_PANEL_ROWS);
}

/* The matrix of q packed to `to`, or, without panels of its type, by itself. */
static int pack_one(struct param *q, char *to, struct mm_pool *pool, struct mm_err *e)
{
    const size_t out = (size_t)q->src.shape[0], in = (size_t)q->src.shape[1];
    struct pack_job j = { .src = &q->src, .to = to };
    struct mm_wmat *m = NULL;
    int rc;

    if (packed_size(q) && mm_dtype_bytes(q->src.dtype, in, &j.stride)) {
        mm_pool_run(pool, (out + MM_PANEL_ROWS - 1) / MM_PANEL_ROWS, pack_panel, &j);
        rc = mm_wmat_borrow_packed(&m, q->src.dtype, out, in, to, e);
    } else {
        rc = mm_wmat_new(&m, &q->src, MM_WMAT_PACK, pool, e);
    }
    if (rc < 0)
        return rc;
    mm_wmat_free(q->var.w);
    q->var.w = m;
    q->packed = true;
    return 0;
}

/* All in one piece of memory: matrices of small models fill no huge page alone. */
int mm_params_pack(struct mm_params *p, const struct mm_ckpt *ck, struct mm_pool *pool,
                   struct mm_err *e)
{
    const double start = mm_now();
    size_t total = 0;
    char *to = NULL;
    int rc = 0;

    for (size_t i = 0; i < p->n; i++)
        if (wants_packing(p->at[i]) && !mm_size_add(total, packed_size(p->at[i]), &total))
            return mm_err_set(e, MM_ENOMEM, "out of memory for the weights");
    if (total && (!mm_grow(&p->panels, &p->panels_cap, p->npanels + 1, sizeof *p->panels) ||
                  !(to = mm_pages_alloc(total))))
        return mm_err_set(e, MM_ENOMEM, "out of memory for the weights");
    if (total)
        p->panels[p->npanels++] = to;
    for (size_t i = 0; i < p->n && rc == 0; i++) {
        struct param *const q = p->at[i];

        if (!wants_packing(q))
            continue;
        const size_t size = packed_size(q);
        rc = pack_one(q, to, pool, e);
        to += size;
        if (rc == 0 && ck)
            mm_ckpt_release(ck, &q->src);
    }
    p->packing += mm_now() - start;
    return rc;
}

double mm_params_packing(const struct mm_params *p)
{
    return p->packing;
}

void mm_params_pack_later(struct mm_params *p, const struct mm_ckpt *ck)
{
    p->later = ck;
    p->passed = false;
}

int mm_params_pass(struct mm_params *p, struct mm_pool *pool, struct mm_err *e)
{
    const struct mm_ckpt *const ck = p->later;

    if (!ck)
        return 0;
    if (!p->passed) {
        p->passed = true;
        return 0;
    }
    p->later = NULL;
    return mm_params_pack(p, ck, pool, e);
}

bool mm_params_failed(const struct mm_params *p)
{
    return p->failed;
}

size_t mm_params_count(const struct mm_params *p)
{
    return p->n;
}

struct mm_var *mm_params_at(struct mm_params *p, size_t i, const char **name)
{
    assert(i < p->n);
    if (name)
        *name = p->at[i]->name;
    return &p->at[i]->var;
}

/* Plain f32 data, a gradient of zeros; a matrix keeps a wmat over its data. */
static int train(struct param *q, struct mm_err *e)
{
    struct mm_wmat *m = NULL;

    if (q->var.needs_grad)
        return 0;
    q->grad = calloc(mm_tensor_count(&q->src) + 1, sizeof(float));
    if (!q->grad || (!q->data && !widen(q)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (q->var.w) {
        if (mm_wmat_new(&m, &q->var.t, MM_WMAT_BORROW, NULL, e) < 0)
            return MM_ENOMEM;
        mm_wmat_free(q->var.w);
        q->var.w = m;
    }
    q->var.grad = q->grad;
    q->var.needs_grad = true;
    return 0;
}

int mm_params_train_one(struct mm_params *p, size_t i, struct mm_err *e)
{
    assert(i < p->n);
    return train(p->at[i], e);
}

int mm_params_train(struct mm_params *p, const char *glob, struct mm_err *e)
{
    int n = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (fnmatch(glob, p->at[i]->name, 0) != 0)
            continue;
        if (train(p->at[i], e) < 0)
            return MM_ENOMEM;
        n++;
    }
    return n;
}
