/* tape.c: see tape.h.  Nodes form a list in the arena, newest first. */
#include "tensor/tape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/range.h"

struct entry {
    struct mm_node node;
    struct entry *before;
};

/* Memory of a gradient that is no longer needed. */
struct spare {
    float *p;
    size_t n;
};

enum { SPARES = 64 };

struct mm_tape {
    struct entry *last;
    size_t count;
    struct spare spare[SPARES];
    int nspares;
    struct mm_arena_mark mark;
};

int mm_tape_new(struct mm_ctx *c, struct mm_err *e)
{
    assert(!c->tape);
    c->tape = calloc(1, sizeof(*c->tape));
    if (!c->tape)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    c->tape->mark = mm_arena_mark(c->arena);
    return 0;
}

void mm_tape_reset(struct mm_ctx *c)
{
    struct mm_tape *t = c->tape;

    mm_arena_release(c->arena, t->mark);
    t->last = NULL;
    t->count = 0;
    t->nspares = 0;
}

void mm_tape_free(struct mm_ctx *c)
{
    if (!c->tape)
        return;
    mm_tape_reset(c);
    free(c->tape);
    c->tape = NULL;
}

size_t mm_tape_count(const struct mm_ctx *c)
{
    return c->tape ? c->tape->count : 0;
}

bool mm_tape_records(const struct mm_ctx *c, const struct mm_var *const *x, int nx)
{
    bool needed = false;

    for (int i = 0; i < nx; i++)
        needed |= x[i] && x[i]->needs_grad;
    return c->tape && needed;
}

void *mm_tape_push(struct mm_ctx *c, struct mm_var *y,
                   void (*back)(struct mm_ctx *c, const struct mm_node *n),
                   const struct mm_var *const *x, int nx, size_t saved)
{
    struct entry *en;

    if (!y || !mm_tape_records(c, x, nx))
        return NULL;
    en = mm_ctx_alloc(c, 1, sizeof(*en));
    if (!en)
        return NULL;
    *en = (struct entry){ .node = { .back = back, .y = y, .nx = nx }, .before = c->tape->last };
    en->node.x = mm_ctx_alloc(c, (size_t)nx, sizeof(*en->node.x));
    en->node.saved = mm_ctx_alloc(c, saved, 1);
    if (!en->node.x || !en->node.saved)
        return NULL;
    /* Operations promise not to change their inputs; the backward pass is the
     * one that fills in their gradients. */
    for (int i = 0; i < nx; i++)
        en->node.x[i] = (struct mm_var *)x[i];
    y->needs_grad = true;
    c->tape->last = en;
    c->tape->count++;
    return en->node.saved;
}

/* n numbers: of the spare ones that hold them the smallest, unless it is far too large. */
static float *take(struct mm_ctx *c, size_t n)
{
    struct mm_tape *t = c->tape;
    int best = -1;

    for (int i = 0; t && i < t->nspares; i++)
        if (t->spare[i].n >= n && t->spare[i].n <= 2 * n &&
            (best < 0 || t->spare[i].n < t->spare[best].n))
            best = i;
    if (best < 0)
        return mm_ctx_alloc(c, n, sizeof(float));
    float *p = t->spare[best].p;
    t->spare[best] = t->spare[--t->nspares];
    return p;
}

static void give(struct mm_ctx *c, float *p, size_t n)
{
    struct mm_tape *t = c->tape;

    if (p && t && t->nspares < SPARES)
        t->spare[t->nspares++] = (struct spare){ p, n };
}

struct pieces {
    float *to;
    const float *from; /* NULL: zeros */
    bool add;
};

static void piece(void *arg, size_t from, size_t to)
{
    const struct pieces *p = arg;

    if (p->add)
        mm_kern()->add(p->to + from, p->to + from, p->from + from, to - from);
    else if (p->from)
        memcpy(p->to + from, p->from + from, (to - from) * sizeof(float));
    else
        memset(p->to + from, 0, (to - from) * sizeof(float));
}

static void spread(struct mm_ctx *c, float *to, const float *from, bool add, size_t n)
{
    mm_range_run(c, n, 1, piece, &(struct pieces){ to, from, add });
}

/* Has a gradient of x arrived? */
static bool arrived(const struct mm_var *x)
{
    return x->grad && !x->fresh;
}

void mm_grad_copy(struct mm_ctx *c, struct mm_var *x, const float *dy)
{
    const size_t n = x ? mm_tensor_count(&x->t) : 0;

    if (!x || !x->needs_grad)
        return;
    const bool add = arrived(x);
    if (!x->grad)
        x->grad = take(c, n);
    if (x->grad)
        spread(c, x->grad, dy, add, n);
    x->fresh = false;
}

float *mm_grad(struct mm_ctx *c, struct mm_var *x)
{
    if (!x || !x->needs_grad)
        return NULL;
    const size_t n = mm_tensor_count(&x->t);
    const bool zero = !arrived(x);
    if (!x->grad)
        x->grad = take(c, n);
    if (x->grad && zero)
        spread(c, x->grad, NULL, false, n);
    x->fresh = false;
    return x->grad;
}

float *mm_grad_open(struct mm_ctx *c, struct mm_var *x)
{
    float *g;

    if (!x || !x->needs_grad)
        return NULL;
    g = x->fresh ? x->grad : take(c, mm_tensor_count(&x->t));
    x->fresh = false;
    if (!x->grad)
        x->grad = g;
    return g;
}

float *mm_grad_sum(struct mm_ctx *c, struct mm_var *x, float *beta)
{
    if (!x || !x->needs_grad)
        return NULL;
    *beta = arrived(x) ? 1 : 0;
    x->fresh = false;
    if (!x->grad)
        x->grad = take(c, mm_tensor_count(&x->t));
    return x->grad;
}

void mm_grad_close(struct mm_ctx *c, struct mm_var *x, float *g)
{
    if (!g || g == x->grad)
        return;
    spread(c, x->grad, g, true, mm_tensor_count(&x->t));
    give(c, g, mm_tensor_count(&x->t));
}

void mm_grad_move(struct mm_ctx *c, struct mm_var *x, struct mm_var *y)
{
    if (!x || !x->needs_grad)
        return;
    if (x->grad) {
        spread(c, x->grad, y->grad, !x->fresh, mm_tensor_count(&x->t));
        x->fresh = false;
        return;
    }
    x->grad = y->grad;
    y->grad = NULL;
}

void mm_backward_from(struct mm_ctx *c, struct mm_var *y, const float *dy)
{
    float *g;

    assert(c->tape);
    if (!y || c->err.code)
        return;
    g = mm_grad(c, y);
    if (!g)
        return;
    memcpy(g, dy, mm_tensor_count(&y->t) * sizeof(float));
    for (const struct entry *en = c->tape->last; en && !c->err.code; en = en->before)
        if (en->node.y->grad) {
            en->node.back(c, &en->node);
            give(c, en->node.y->grad, mm_tensor_count(&en->node.y->t));
            en->node.y->grad = NULL;
        }
    c->tape->last = NULL;
    c->tape->count = 0;
}

void mm_backward(struct mm_ctx *c, struct mm_var *loss)
{
    const float one = 1;

    assert(!loss || mm_tensor_count(&loss->t) == 1);
    mm_backward_from(c, loss, &one);
}
