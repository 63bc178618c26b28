/* progress.h: a progress line on standard error, if it is a terminal.
 *
 * Drawn at most five times a second, erased at the end, never with -q.
 * Only programs call this.
 */
#ifndef MM_BASE_PROGRESS_H
#define MM_BASE_PROGRESS_H

#include <stdint.h>

#include "base/cmd.h"

struct mm_progress {
    bool on;
    double start, last;
    uint64_t total; /* 0: unknown */
    const char *what;
};

void mm_progress_start(struct mm_progress *p, const struct mm_cmd *c, const char *what,
                       uint64_t total);
void mm_progress_step(struct mm_progress *p, uint64_t done);
void mm_progress_end(struct mm_progress *p);

/* mm_now: seconds of a monotonic clock. */
double mm_now(void);

#endif
