/* tape.h: reverse-mode differentiation.
 *
 * While ctx->tape is set, an operation with an input that needs a gradient
 * pushes one node: its backward step, inputs, output and what it saved.
 * mm_backward runs the nodes in reverse; gradients add up in var->grad.
 * Nodes, saved data and gradients of activations live in the context's arena;
 * parameters own theirs (nn/param.h).  The gradient of an output is taken back for
 * others as soon as its backward step is done.
 */
#ifndef MM_TENSOR_TAPE_H
#define MM_TENSOR_TAPE_H

#include "tensor/ctx.h"

struct mm_node {
    void (*back)(struct mm_ctx *c, const struct mm_node *n);
    struct mm_var *y;  /* y->grad is complete when back is called */
    struct mm_var **x; /* inputs as given to mm_tape_push, NULL ones too */
    int nx;
    void *saved;
};

/* mm_tape_new: start recording on c (which must not record yet).  What the
 * arena holds at this moment stays; MM_ENOMEM.  mm_tape_free stops recording
 * and releases all that was allocated since; does nothing without a tape. */
MM_MUST_CHECK int mm_tape_new(struct mm_ctx *c, struct mm_err *e);
void mm_tape_free(struct mm_ctx *c);

/* mm_tape_reset: forget the nodes and release what the arena got since
 * mm_tape_new: activations, and gradients that lie in the arena.  Once per
 * micro-batch. */
void mm_tape_reset(struct mm_ctx *c);

size_t mm_tape_count(const struct mm_ctx *c); /* nodes; 0 without a tape */

/* mm_backward: gradients of the scalar loss (one element) with respect to all
 * that needs one.  mm_backward_from: of sum(y * dy) instead; dy has y's shape.
 * The nodes are forgotten afterwards, memory stays until mm_tape_reset.  Errors:
 * ctx->err. */
void mm_backward(struct mm_ctx *c, struct mm_var *loss);
void mm_backward_from(struct mm_ctx *c, struct mm_var *y, const float *dy);

/* --- for operations ---------------------------------------------------------- */

/* mm_tape_push: if c records and one of x[0..nx-1] needs a gradient: make y
 * need one and push a node.  Returns its saved data, `saved` bytes not zeroed
 * (a valid pointer even for 0); NULL if nothing is recorded or out of memory. */
void *mm_tape_push(struct mm_ctx *c, struct mm_var *y,
                   void (*back)(struct mm_ctx *c, const struct mm_node *n),
                   const struct mm_var *const *x, int nx, size_t saved);

/* mm_tape_records: would mm_tape_push record a node with these inputs? */
bool mm_tape_records(const struct mm_ctx *c, const struct mm_var *const *x, int nx);

/* mm_grad_move: y's gradient is x's too (both of one size): x takes its memory if it has none
 * yet, else it is added. */
void mm_grad_move(struct mm_ctx *c, struct mm_var *x, struct mm_var *y);

/* mm_grad_copy: add dy (x's size) to x's gradient. */
void mm_grad_copy(struct mm_ctx *c, struct mm_var *x, const float *dy);

/* mm_grad: where to add x's gradient (f32, x's shape, zeroed at first use);
 * NULL if x is NULL or needs none, or out of memory. */
float *mm_grad(struct mm_ctx *c, struct mm_var *x);

/* For a step that writes a gradient where it should add.  mm_grad_open: memory
 * of x's size to write to, not zeroed: x->grad itself if nothing has arrived
 * yet, else scratch; NULL as mm_grad.  mm_grad_close adds scratch to x->grad and takes it
 * back. */
float *mm_grad_open(struct mm_ctx *c, struct mm_var *x);
void mm_grad_close(struct mm_ctx *c, struct mm_var *x, float *g);

/* mm_grad_sum: for a step that can do either: *beta is 1 where it must add to what is
 * there, 0 where what is there means nothing and it writes; NULL as mm_grad. */
float *mm_grad_sum(struct mm_ctx *c, struct mm_var *x, float *beta);

#endif
