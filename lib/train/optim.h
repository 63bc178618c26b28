/* optim.h: one update of a run of weights from their gradients.
 *
 * AdamW (Loshchilov, Hutter 2019), Adam with an L2 term (Kingma, Ba 2015), SGD with
 * momentum (Sutskever 2013), as torch.optim has them; global-norm and adaptive
 * (Brock 2021) clipping; averages of weights.  Plain functions over arrays: train/set.h
 * shares them out among threads.
 */
#ifndef MM_TRAIN_OPTIM_H
#define MM_TRAIN_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mm_optim_kind {
    MM_OPTIM_ADAMW,
    MM_OPTIM_ADAM,
    MM_OPTIM_SGD
};

struct mm_optim {
    enum mm_optim_kind kind;
    double beta1, beta2, eps; /* beta1 is SGD's momentum */
    bool nesterov;
};

/* mm_optim_update: weights w[n] by gradients g[n] times gscale, update number t = 0, 1, ...
 * m and v are the moments (v is not used by SGD). */
void mm_optim_update(const struct mm_optim *o, float *w, const float *g, float *m, float *v,
                     size_t n, int64_t t, double lr, double decay, float gscale);

/* mm_optim_square: the sum of squares of x[n], in double and in order. */
double mm_optim_square(const float *x, size_t n);

/* mm_optim_clip: the factor that brings a gradient of this norm down to max (0: none). */
double mm_optim_clip(double norm, double max);

/* mm_optim_agc: clip each unit (`width` numbers) of g
 * so that |g| <= limit * max(|w|, 1e-3). */
void mm_optim_agc(float *g, const float *w, size_t n, size_t width, double limit);

/* mm_optim_average: average[n] = d average + (1 - d) w. */
void mm_optim_average(float *average, const float *w, size_t n, double d);

#endif
