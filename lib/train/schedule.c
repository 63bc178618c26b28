/* schedule.c: see schedule.h. */
#include "train/schedule.h"

#include <math.h>

static const double PI = 3.14159265358979323846;

static double rest(const struct mm_schedule *s, int64_t t)
{
    const int64_t left = s->total - s->warmup;

    return (double)(t - s->warmup) / (double)(left > 1 ? left : 1);
}

double mm_schedule_at(const struct mm_schedule *s, int64_t t)
{
    const double x = rest(s, t);

    if (s->kind == MM_SCHEDULE_STEP)
        return t < s->at ? 1 : s->factor;
    if (t < s->warmup) {
        if (s->kind == MM_SCHEDULE_LOG_LINEAR)
            return s->warmup > 1 ? log((double)t + 1) / log((double)s->warmup) : 1;
        return (double)t / (double)s->warmup;
    }
    if (s->kind == MM_SCHEDULE_CONSTANT)
        return 1;
    if (s->kind == MM_SCHEDULE_COSINE)
        return 0.5 * (1 + cos(PI * x)); /* past the end it rises again, as the reference's */
    return x < 1 ? 1 - x : 0;
}
