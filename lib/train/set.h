/* set.h: the weights that a run trains, and what their optimiser keeps.
 *
 * Each keeps its own memory; gradients and moments are flat arrays in the order
 * of the set, so that sums, norms and the exchange between processes are over one
 * array.  Nothing here depends on the number of threads.
 */
#ifndef MM_TRAIN_SET_H
#define MM_TRAIN_SET_H

#include "nn/param.h"
#include "train/optim.h"

struct mm_trained {
    char *name;         /* as the checkpoint stores it; owned */
    struct mm_var *var; /* plain f32; owned by its model */
    size_t at, n;       /* place and length in the flat arrays */
    double decay, rate; /* weight decay; factor of the learning rate */
};

struct mm_set {
    struct mm_trained *v;
    size_t n, cap;
    size_t total;       /* numbers in all */
    float *grad;        /* [total]; var->grad points into it */
    float *m, *v2;      /* [total] moments */
    float *average;     /* [total], or NULL: no average is kept */
    float *master;      /* [total]: f32 weights when the model sees them in bf16, or NULL */
    struct mm_part_of *part; /* fixed pieces for the threads */
    size_t nparts;
    uint32_t trains, freezes; /* bit i: the i-th glob to train, to freeze, has met its like */
};

void mm_set_free(struct mm_set *s); /* takes a zeroed one */

/* What weight decay leaves out. */
enum mm_decay {
    MM_DECAY_NAMES,   /* "norm" and "bias" in the name: the Hugging Face trainer */
    MM_DECAY_MATRICES /* all of fewer than two dimensions: open_clip */
};

/* What becomes of the parameters of one model. */
struct mm_set_spec {
    const char *const *train;  /* globs of names to train, NULL-terminated; NULL: none */
    const char *const *freeze; /* of these not; or NULL */
    double decay, rate;
    enum mm_decay without;
};

/* mm_set_add: those parameters of p that s names become trained (mm_params_train).
 * Returns how many, or MM_ENOMEM.  Before mm_set_ready. */
MM_MUST_CHECK int mm_set_add(struct mm_set *s, struct mm_params *p, const struct mm_set_spec *spec,
                             struct mm_err *e);

/* mm_set_meet: name is that of a weight: which globs of spec does it fit?  mm_set_add asks for
 * its own. */
void mm_set_meet(struct mm_set *s, const struct mm_set_spec *spec, const char *name);

/* mm_set_var: one variable that no mm_params owns (an adapter's), with needs_grad set. */
MM_MUST_CHECK int mm_set_var(struct mm_set *s, struct mm_var *v, const char *name, double decay,
                             double rate, struct mm_err *e);

/* mm_set_ready: allocate the flat arrays; average and bf16 as in struct mm_set.  MM_ENOMEM. */
MM_MUST_CHECK int mm_set_ready(struct mm_set *s, bool average, bool bf16, struct mm_pool *p,
                               struct mm_err *e);

/* Around what makes gradients.  mm_set_open_grad: none has arrived yet, whatever is in grad.
 * mm_set_close_grad: where none did there are zeros. */
void mm_set_open_grad(struct mm_set *s);
void mm_set_close_grad(struct mm_set *s, struct mm_pool *p);

/* mm_set_norm: the norm of the whole gradient. */
double mm_set_norm(const struct mm_set *s, struct mm_pool *p);

/* mm_set_unfit: the name of a weight with a number that is none, or NULL. */
const char *mm_set_unfit(const struct mm_set *s, struct mm_pool *p);

/* One update. */
struct mm_set_update {
    struct mm_optim optim;
    int64_t t;     /* number of the update, from 0 */
    double lr;     /* times each weight's rate */
    double gscale; /* of the gradient: clipping */
    double agc;    /* adaptive clipping, 0: none */
    double ema;    /* of the averages' decay; min(ema, (1 + t) / (10 + t)) is taken */
};
void mm_set_apply(struct mm_set *s, const struct mm_set_update *u, struct mm_pool *p);

#endif
