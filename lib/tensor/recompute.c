/* recompute.c: see recompute.h. */
#include "tensor/recompute.h"

#include <stddef.h>
#include <string.h>

#include "tensor/tape.h"

struct part {
    mm_part_fn *fn;
    max_align_t arg[];
};

/* Forward again, recorded on a tape of its own, and back through that. */
static void part_back(struct mm_ctx *c, const struct mm_node *n)
{
    const struct part *p = n->saved;
    struct mm_var *const x = n->x[0];
    struct mm_tape *const outer = c->tape;
    void (*const trace)(void *, const char *, const struct mm_tensor *) = c->trace;
    float *dx = mm_grad_open(c, x);

    if (c->err.code)
        return;
    c->tape = NULL;
    c->trace = NULL;
    if (mm_tape_new(c, &c->err) == 0) {
        struct mm_var *again = mm_var_of(c, &x->t);

        if (again)
            again->needs_grad = x->needs_grad;
        mm_backward_from(c, p->fn(c, p->arg, again), n->y->grad);
        if (dx && again && again->grad)
            memcpy(dx, again->grad, mm_tensor_count(&x->t) * sizeof(float));
        else if (dx)
            memset(dx, 0, mm_tensor_count(&x->t) * sizeof(float));
        mm_tape_free(c);
    }
    c->tape = outer;
    c->trace = trace;
    mm_grad_close(c, x, dx);
}

struct mm_var *mm_recompute(struct mm_ctx *c, mm_part_fn *fn, const void *arg, size_t size,
                            struct mm_var *x)
{
    /* parameters inside may need a gradient when x does not */
    static const struct mm_var inside = { .needs_grad = true };
    struct mm_tape *const tape = c->tape;
    struct part *p;

    if (!tape || !c->recompute || !x)
        return fn(c, arg, x);
    c->tape = NULL;
    const struct mm_scope scope = mm_scope_open(c);
    struct mm_var *y = mm_scope_close(c, scope, fn(c, arg, x));
    c->tape = tape;
    p = mm_tape_push(c, y, part_back, (const struct mm_var *const[]){ x, &inside }, 2,
                     sizeof(*p) + size);
    if (p) {
        p->fn = fn;
        memcpy(p->arg, arg, size);
    }
    return c->err.code ? NULL : y;
}
