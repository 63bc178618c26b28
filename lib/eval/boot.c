/* boot.c: see boot.h. */
#include "eval/boot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"

double mm_eval_mean1(const size_t *pick, size_t n, const void *ctx)
{
    const double *x = ctx;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[pick[i]];
    return n ? sum / (double)n : NAN;
}

double mm_eval_mean(const size_t *pick, size_t n, const void *ctx)
{
    return 100.0 * mm_eval_mean1(pick, n, ctx);
}

json_t *mm_eval_real(double x, int digits)
{
    char text[400];

    if (!isfinite(x))
        return json_null();
    if (digits < 0)
        return json_real(x);
    snprintf(text, sizeof(text), "%.*f", digits, x); /* exact decimals, half to even */
    return json_real(strtod(text, NULL));
}

static int order(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The q-quantile of sorted v, between neighbours linearly. */
static double quantile(const double *v, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    const double next = i + 1 < n ? v[i + 1] : v[i];

    return v[i] + (at - (double)i) * (next - v[i]);
}

static json_t *interval(mm_eval_stat *f, const void *ctx, size_t *pick, size_t n, double *v,
                        const struct mm_eval_boot *b)
{
    struct mm_rng rng;
    size_t m = 0;

    mm_rng_seed(&rng, b->seed);
    for (size_t k = 0; k < b->samples; k++) {
        for (size_t i = 0; i < n; i++)
            pick[i] = (size_t)mm_rng_below(&rng, n);
        v[m] = f(pick, n, ctx);
        m += isfinite(v[m]) ? 1 : 0;
    }
    if (m == 0)
        return json_null();
    qsort(v, m, sizeof(*v), order);
    return json_pack("[f,f]", quantile(v, m, 0.025), quantile(v, m, 0.975));
}

int mm_eval_put(json_t *out, const char *name, mm_eval_stat *f, const void *ctx, size_t n,
                int digits, const struct mm_eval_boot *b, struct mm_err *e)
{
    size_t *pick = malloc((n + 1) * sizeof(*pick));
    double *v = malloc((b->samples + 1) * sizeof(*v));
    json_t *ci = json_object_get(out, "ci95");
    int rc = pick && v ? 0 : -1;

    for (size_t i = 0; rc == 0 && i < n; i++)
        pick[i] = i;
    if (rc == 0)
        rc = json_object_set_new(out, name, mm_eval_real(f(pick, n, ctx), digits));
    if (rc == 0 && b->samples && n) {
        if (!ci && json_object_set_new(out, "ci95", json_object()) == 0)
            ci = json_object_get(out, "ci95");
        rc = json_object_set_new(ci, name, interval(f, ctx, pick, n, v, b));
    }
    free(pick);
    free(v);
    return rc == 0 ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
}
