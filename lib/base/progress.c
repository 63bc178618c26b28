/* progress.c: a progress line on standard error, if it is a terminal. */
#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double mm_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void mm_progress_start(struct mm_progress *p, const struct mm_cmd *c, const char *what,
                       uint64_t total)
{
    p->on = !c->quiet && isatty(2);
    p->start = p->last = mm_now();
    p->total = total;
    p->what = what;
}

void mm_progress_step(struct mm_progress *p, uint64_t done)
{
    double now;

    if (!p->on)
        return;
    now = mm_now();
    if (now - p->last < 0.2)
        return;
    p->last = now;
    if (p->total > 0)
        fprintf(stderr, "\r%s %" PRIu64 "/%" PRIu64 " %.0f s\033[K", p->what, done, p->total,
                now - p->start);
    else
        fprintf(stderr, "\r%s %" PRIu64 " %.0f s\033[K", p->what, done, now - p->start);
    fflush(stderr);
}

void mm_progress_end(struct mm_progress *p)
{
    if (p->on)
        fputs("\r\033[K", stderr);
    p->on = false;
}
