/* load.c: tensors by name and shape, faults collected into one message. */
#include "weights/load.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* Buffers that old checkpoints carry and no model needs. */
static const char *const buffers[] = {
    "*.rotary_emb.inv_freq", "*.position_ids", "position_ids", "*.masked_bias", "*.attn.bias",
    "*num_batches_tracked",
};

struct glob {
    char *pattern;
    bool strict;
};

struct mm_load {
    const struct mm_ckpt *ck;
    const char *const *prefixes;
    bool *asked;         /* per entry of ck */
    struct mm_buf fault; /* "missing 'a'; ..." */
    size_t nfaults;
    struct glob *glob;
    size_t nglob, glob_cap;
    struct mm_buf name, full;
};

int mm_load_new(struct mm_load **l, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_load *const x = calloc(1, sizeof *x);

    *l = NULL;
    if (x)
        x->asked = calloc(mm_ckpt_count(ck) + 1, sizeof *x->asked);
    if (!x || !x->asked) {
        free(x);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    x->ck = ck;
    *l = x;
    return 0;
}

void mm_load_free(struct mm_load *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->nglob; i++)
        free(l->glob[i].pattern);
    free(l->glob);
    free(l->asked);
    mm_buf_free(&l->fault);
    mm_buf_free(&l->name);
    mm_buf_free(&l->full);
    free(l);
}

void mm_load_prefix(struct mm_load *l, const char *const *prefixes)
{
    l->prefixes = prefixes;
}

static void fault(struct mm_load *l, const char *fmt, ...) MM_PRINTF(2, 3);

static void fault(struct mm_load *l, const char *fmt, ...)
{
    char line[700];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    mm_buf_printf(&l->fault, "%s%s", l->nfaults ? "; " : "", line);
    l->nfaults++;
}

/* The entry of l->name under the first prefix that has it. */
static const struct mm_ckpt_entry *lookup(struct mm_load *l)
{
    static const char *const none[] = { "", NULL };
    const char *const *p = l->prefixes ? l->prefixes : none;

    for (; *p; p++) {
        mm_buf_reset(&l->full);
        mm_buf_printf(&l->full, "%s%s", *p, l->name.p);
        const struct mm_ckpt_entry *const x =
            l->full.failed ? NULL : mm_ckpt_lookup(l->ck, l->full.p);
        if (x)
            return x;
    }
    return NULL;
}

static bool same_shape(const int64_t *want, int ndim, const struct mm_tensor *t)
{
    bool same = t->ndim == ndim;

    for (int i = 0; same && i < ndim; i++)
        same = want[i] < 0 || want[i] == t->shape[i];
    return same;
}

/* Does the stored shape match want (-1: any), axes of length 1 aside?  On
 * success the -1 are replaced by what was found. */
static bool match(int64_t *want, int ndim, const struct mm_tensor *t)
{
    int64_t found[MM_MAX_DIMS];
    int at = 0;

    if (ndim > MM_MAX_DIMS)
        return false;
    if (same_shape(want, ndim, t)) {
        for (int i = 0; i < ndim; i++)
            want[i] = t->shape[i];
        return true;
    }
    for (int i = 0; i < ndim; i++) {
        while (at < t->ndim && t->shape[at] == 1 && want[i] != 1)
            at++;
        if (want[i] == 1 && (at == t->ndim || t->shape[at] != 1)) {
            found[i] = 1;
            continue;
        }
        if (at == t->ndim || (want[i] >= 0 && want[i] != t->shape[at])) {
            if (want[i] >= 0 || at < t->ndim)
                return false;
            found[i] = 1; /* any size: an axis that is not stored */
            continue;
        }
        found[i] = t->shape[at++];
    }
    while (at < t->ndim && t->shape[at] == 1)
        at++;
    if (at < t->ndim)
        return false;
    memcpy(want, found, (size_t)ndim * sizeof *want);
    return true;
}

/* Weights are reals: an integer dtype is a foreign packing that we would misread. */
static bool is_real(enum mm_dtype d)
{
    return d <= MM_BF16 || d >= MM_NSTREAM;
}

static const struct mm_tensor *get(struct mm_load *l, int64_t *want, int ndim, bool optional,
                                   const char *fmt, va_list ap)
{
    char name[500], ws[200], ts[200];

    vsnprintf(name, sizeof name, fmt, ap);
    mm_buf_reset(&l->name);
    mm_buf_str(&l->name, name);
    const struct mm_ckpt_entry *const x = l->name.failed ? NULL : lookup(l);
    mm_shape_str(ws, sizeof ws, want, ndim);
    if (!x) {
        if (!optional)
            fault(l, "missing '%s' %s", name, ws);
        return NULL;
    }
    l->asked[x - mm_ckpt_at(l->ck, 0)] = true;
    if (!match(want, ndim, &x->t)) {
        fault(l, "'%s' has shape %s, want %s", x->name,
              mm_shape_str(ts, sizeof ts, x->t.shape, x->t.ndim), ws);
        return NULL;
    }
    if (mm_dtype_packed(x->t.dtype) && !same_shape(want, ndim, &x->t)) {
        fault(l, "'%s' is packed as %s, want %s", x->name,
              mm_shape_str(ts, sizeof ts, x->t.shape, x->t.ndim), ws);
        return NULL;
    }
    if (!is_real(x->t.dtype)) {
        fault(l, "'%s' is of type %s, want reals", x->name, mm_dtype_name(x->t.dtype));
        return NULL;
    }
    return &x->t;
}

const struct mm_tensor *mm_load_get(struct mm_load *l, int64_t *want, int ndim, const char *fmt,
                                    ...)
{
    va_list ap;

    va_start(ap, fmt);
    const struct mm_tensor *const t = get(l, want, ndim, false, fmt, ap);
    va_end(ap);
    return t;
}

const struct mm_tensor *mm_load_opt(struct mm_load *l, int64_t *want, int ndim, const char *fmt,
                                    ...)
{
    va_list ap;

    va_start(ap, fmt);
    const struct mm_tensor *const t = get(l, want, ndim, true, fmt, ap);
    va_end(ap);
    return t;
}

static void add_glob(struct mm_load *l, const char *glob, bool strict)
{
    char *const copy = strdup(glob);

    if (!copy || !mm_grow(&l->glob, &l->glob_cap, l->nglob + 1, sizeof *l->glob)) {
        free(copy);
        l->fault.failed = true;
        return;
    }
    l->glob[l->nglob++] = (struct glob){ copy, strict };
}

void mm_load_ignore(struct mm_load *l, const char *glob)
{
    add_glob(l, glob, false);
}

void mm_load_strict(struct mm_load *l, const char *glob)
{
    add_glob(l, glob, true);
}

static bool is_surplus(const struct mm_load *l, const char *name)
{
    bool strict = false;

    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (fnmatch(buffers[i], name, 0) == 0)
            return false;
    for (size_t i = 0; i < l->nglob; i++)
        if (fnmatch(l->glob[i].pattern, name, 0) == 0) {
            if (!l->glob[i].strict)
                return false;
            strict = true;
        }
    return strict;
}

int mm_load_done(struct mm_load *l, struct mm_err *e)
{
    char shape[200];

    for (size_t i = 0; i < mm_ckpt_count(l->ck); i++) {
        const struct mm_ckpt_entry *const x = mm_ckpt_at(l->ck, i);
        if (!l->asked[i] && is_surplus(l, x->name))
            fault(l, "surplus '%s' %s", x->name,
                  mm_shape_str(shape, sizeof shape, x->t.shape, x->t.ndim));
    }
    if (l->fault.failed || l->name.failed || l->full.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (l->nfaults)
        return mm_err_set(e, MM_EDATA, "%s: %zu tensors do not fit: %s", mm_ckpt_path(l->ck),
                          l->nfaults, l->fault.p);
    return 0;
}
