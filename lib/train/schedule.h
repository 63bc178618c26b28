/* schedule.h: the learning rate over the updates of a run, as a factor of its base. */
#ifndef MM_TRAIN_SCHEDULE_H
#define MM_TRAIN_SCHEDULE_H

#include <stdint.h>

enum mm_schedule_kind {
    MM_SCHEDULE_COSINE,     /* warm-up from 0, then 0.5 (1 + cos(pi x)) down to 0 */
    MM_SCHEDULE_CONSTANT,   /* warm-up from 0, then 1 */
    MM_SCHEDULE_LINEAR,     /* warm-up from 0, then straight down to 0 */
    MM_SCHEDULE_LOG_LINEAR, /* warm-up that grows as a logarithm, then straight down */
    MM_SCHEDULE_STEP        /* 1, from update `at` on `factor` */
};

struct mm_schedule {
    enum mm_schedule_kind kind;
    int64_t warmup, total; /* updates */
    int64_t at;            /* step */
    double factor;         /* step */
};

/* mm_schedule_at: factor of update t = 0, 1, ...  The first update of a warm-up has
 * 0: weights stay, moments move. */
double mm_schedule_at(const struct mm_schedule *s, int64_t t);

#endif
