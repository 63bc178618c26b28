/* golden.h: where the golden vectors are, and comparison with them. */
#ifndef MM_TESTS_GOLDEN_H
#define MM_TESTS_GOLDEN_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weights/ckpt.h"

/* golden_path: $MM_GOLDEN/rel into buf[size]; returns buf. */
static inline char *golden_path(char *buf, size_t size, const char *rel)
{
    const char *dir = getenv("MM_GOLDEN");

    snprintf(buf, size, "%s/%s", dir != NULL ? dir : "tests/golden", rel);
    return buf;
}

/* golden_open: a checkpoint or tensor file; ends the test program when absent. */
static inline struct mm_ckpt *golden_open(const char *rel)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck = NULL;
    char path[500];

    if (mm_ckpt_open(&ck, golden_path(path, sizeof(path), rel), &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    return ck;
}

/* golden_tensor: an entry that must be there. */
static inline const struct mm_tensor *golden_tensor(const struct mm_ckpt *ck, const char *name)
{
    const struct mm_ckpt_entry *en = mm_ckpt_lookup(ck, name);

    if (en == NULL) {
        fprintf(stderr, "%s: no tensor '%s'\n", mm_ckpt_path(ck), name);
        exit(1);
    }
    return &en->t;
}

/* golden_rel_l2: ||got - want|| / ||want||; HUGE_VAL when a NaN is on one side only. */
static inline double golden_rel_l2(const float *got, const float *want, size_t n)
{
    double d2 = 0.0;
    double w2 = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];

        if (isnan(got[i]) != isnan(want[i]))
            return HUGE_VAL;
        if (isnan(got[i]) || got[i] == want[i])
            continue;
        d2 += d * d;
        w2 += (double)want[i] * (double)want[i];
    }
    if (d2 == 0.0)
        return 0.0;
    for (size_t i = 0; i < n; i++)
        if (got[i] == want[i])
            w2 += (double)want[i] * (double)want[i];
    return w2 > 0.0 ? sqrt(d2 / w2) : sqrt(d2);
}

#endif
