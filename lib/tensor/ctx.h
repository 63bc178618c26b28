/* ctx.h: what a computation carries: threads, arena, arithmetic, tape, trace.
 *
 * A forward pass is written once, as eager operations on variables
 * (tensor/op.h).  With a tape the operations record their backward step; with
 * none nothing is recorded and activations live in the arena, released layer
 * by layer.  A context belongs to one thread at a time.
 *
 * Errors are sticky: an operation that cannot allocate sets ctx->err and gives
 * NULL; operations take NULL and give NULL.  Check once per layer.  Shapes that
 * clash are a bug: an assertion, kept in release builds.
 */
#ifndef MM_TENSOR_CTX_H
#define MM_TENSOR_CTX_H

#include "base/arena.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/tensor.h"
#include "kernel/wmat.h"

/* A variable.  Activations are f32; ids are i32.  A weight is either plain f32
 * data or a packed/quantised matrix (w set, t.data NULL). */
struct mm_var {
    struct mm_tensor t;
    struct mm_wmat *w; /* weight matrix [out, in], or NULL */
    float *grad;       /* f32, t's shape; NULL until a gradient arrives */
    bool needs_grad;   /* a parameter being trained, or computed from one */
    bool fresh;        /* grad is memory to which none has arrived yet: it means zeros */
    struct mm_lora *lora; /* added to products with this weight, or NULL */
};

/* A low-rank addition to a weight W [out, in] (Hu 2021): x W^T + scale (x A^T) B^T. */
struct mm_lora {
    struct mm_var *a, *b; /* [r, in], [out, r] */
    float scale;
};

struct mm_tape;  /* tensor/tape.h */
struct mm_times; /* tensor/times.h */

struct mm_ctx {
    struct mm_pool *pool;   /* borrowed; NULL: one thread */
    struct mm_arena *arena; /* owned */
    enum mm_arith arith;    /* of products with weights */
    struct mm_tape *tape;   /* NULL: inference */
    bool recompute;         /* with a tape: layers keep their inputs alone, tensor/recompute.h */
    /* trace: called with each stage a model names, or NULL */
    void (*trace)(void *arg, const char *name, const struct mm_tensor *t);
    void *trace_arg;
    struct mm_times *times; /* borrowed; NULL: none are taken */
    struct mm_err err; /* sticky */
};

/* mm_ctx_init: MM_ENOMEM.  mm_ctx_free releases the arena. */
MM_MUST_CHECK int mm_ctx_init(struct mm_ctx *c, struct mm_pool *pool, enum mm_arith arith,
                              struct mm_err *e);
void mm_ctx_free(struct mm_ctx *c);

/* mm_trace_stage: report a stage by its (printf) name; does nothing without a
 * trace or when x is NULL. */
void mm_trace_stage(struct mm_ctx *c, const struct mm_var *x, const char *fmt, ...) MM_PRINTF(3, 4);

/* A trace file that the stages of a context go to, each with the item at *item. */
struct mm_stage_file {
    struct mm_trace *file;
    const int64_t *item;
};

/* mm_trace_to: from now on stages go to f, which must outlive them; f->file NULL: none. */
void mm_trace_to(struct mm_ctx *c, struct mm_stage_file *f);

/* A scope: what is allocated between open and close is released at close, but
 * the result, which is moved down (one copy).  With a tape nothing is
 * released, as backward needs it. */
struct mm_scope {
    struct mm_arena_mark mark;
};
struct mm_scope mm_scope_open(struct mm_ctx *c);
struct mm_var *mm_scope_close(struct mm_ctx *c, struct mm_scope s, struct mm_var *result);

/* mm_var_new: an f32 variable in the arena, not zeroed.  mm_var_of: a variable
 * over existing data (borrowed). */
struct mm_var *mm_var_new(struct mm_ctx *c, int ndim, const int64_t *shape);
struct mm_var *mm_var_of(struct mm_ctx *c, const struct mm_tensor *t);

/* mm_ctx_alloc: n elements of the given size in the arena, not zeroed; NULL
 * and ctx->err when they cannot be had. */
void *mm_ctx_alloc(struct mm_ctx *c, size_t n, size_t size);

static inline float *mm_f32(const struct mm_var *x)
{
    return x->t.data;
}

#endif
