/* boot.h: percentile bootstrap intervals (Efron 1979) of any statistic of items. */
#ifndef MM_EVAL_BOOT_H
#define MM_EVAL_BOOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct mm_eval_boot {
    size_t samples; /* 0: no intervals */
    uint64_t seed;
};

/* A statistic of the n items pick[0..n), indices that may repeat; NaN when it has none. */
typedef double mm_eval_stat(const size_t *pick, size_t n, const void *ctx);

/* mm_eval_mean: 100 times the mean of ctx, a `const double *`; mm_eval_mean1: without
 * the 100. */
double mm_eval_mean(const size_t *pick, size_t n, const void *ctx);
double mm_eval_mean1(const size_t *pick, size_t n, const void *ctx);

/* mm_eval_put: out[name] = f of all n items (rounded to `digits` decimals as Python's
 * round does, all of them if negative; null if NaN), and, if b asks, out["ci95"][name] =
 * [low, high], the 2.5 and 97.5 percentiles of f over b->samples resamplings.
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_eval_put(json_t *out, const char *name, mm_eval_stat *f, const void *ctx,
                              size_t n, int digits, const struct mm_eval_boot *b,
                              struct mm_err *e);

/* mm_eval_real: a JSON number, rounded as above; null if it is not finite. */
json_t *mm_eval_real(double x, int digits);

#endif
