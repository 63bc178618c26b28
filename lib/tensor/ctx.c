/* ctx.c: the context of a computation: variables, scopes, trace. */
#include "tensor/ctx.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "stream/trace.h"

/* A variable and its data are one allocation, the data on a cache line. */
enum { VAR_BYTES = 128 };
_Static_assert(sizeof(struct mm_var) <= VAR_BYTES, "a variable outgrew its head");

int mm_ctx_init(struct mm_ctx *c, struct mm_pool *pool, enum mm_arith arith, struct mm_err *e)
{
    *c = (struct mm_ctx){ .pool = pool, .arith = arith };
    c->arena = mm_arena_new();
    if (!c->arena)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

void mm_ctx_free(struct mm_ctx *c)
{
    mm_arena_free(c->arena);
    c->arena = NULL;
}

void *mm_ctx_alloc(struct mm_ctx *c, size_t n, size_t size)
{
    size_t bytes;
    void *p = mm_size_mul(n, size, &bytes) ? mm_arena_alloc(c->arena, bytes) : NULL;

    if (!p)
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
    return p;
}

void mm_trace_stage(struct mm_ctx *c, const struct mm_var *x, const char *fmt, ...)
{
    char name[200];
    va_list ap;

    if (!c->trace || !x)
        return;
    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    c->trace(c->trace_arg, name, &x->t);
}

/* An error is kept in the trace and comes out when it is closed. */
static void put_stage(void *arg, const char *name, const struct mm_tensor *t)
{
    const struct mm_stage_file *f = arg;

    mm_trace_put(f->file, *f->item, t, "%s", name);
}

void mm_trace_to(struct mm_ctx *c, struct mm_stage_file *f)
{
    c->trace = f->file ? put_stage : NULL;
    c->trace_arg = f;
}

static struct mm_var *var_alloc(struct mm_ctx *c, size_t data_bytes)
{
    size_t bytes;

    if (!mm_size_add(data_bytes, VAR_BYTES, &bytes)) {
        mm_err_set(&c->err, MM_ENOMEM, "out of memory");
        return NULL;
    }
    return mm_ctx_alloc(c, bytes, 1);
}

struct mm_var *mm_var_new(struct mm_ctx *c, int ndim, const int64_t *shape)
{
    struct mm_var *x = NULL;
    size_t n;

    if (mm_shape_count(shape, ndim, &n) && mm_size_mul(n, sizeof(float), &n))
        x = var_alloc(c, n);
    else
        mm_err_set(&c->err, MM_ENOMEM, "a tensor of this size does not fit in memory");
    if (!x)
        return NULL;
    *x = (struct mm_var){ .t = { .dtype = MM_F32, .ndim = ndim } };
    for (int i = 0; i < ndim; i++)
        x->t.shape[i] = shape[i];
    x->t.data = (char *)x + VAR_BYTES;
    return x;
}

struct mm_var *mm_var_of(struct mm_ctx *c, const struct mm_tensor *t)
{
    struct mm_var *x = mm_ctx_alloc(c, 1, sizeof(*x));

    if (x)
        *x = (struct mm_var){ .t = *t };
    return x;
}

struct mm_scope mm_scope_open(struct mm_ctx *c)
{
    return (struct mm_scope){ mm_arena_mark(c->arena) };
}

struct mm_var *mm_scope_close(struct mm_ctx *c, struct mm_scope s, struct mm_var *result)
{
    struct mm_var old, *x;
    size_t n;

    if (c->tape)
        return result;
    if (result)
        old = *result;
    mm_arena_release(c->arena, s.mark);
    if (!result)
        return NULL;
    if (old.w)
        return mm_var_of(c, &old.t);
    /* Released memory stays where it is until something is written there, so
     * the data move first and the head is written over what is left. */
    n = mm_tensor_bytes(&old.t);
    x = var_alloc(c, n);
    if (!x)
        return NULL;
    if (old.t.data != (char *)x + VAR_BYTES)
        memmove((char *)x + VAR_BYTES, old.t.data, n);
    *x = old;
    x->t.data = (char *)x + VAR_BYTES;
    return x;
}
