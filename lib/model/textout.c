/* textout.c: stop strings and trimming.  See textout.h. */
#include "model/textout.h"

#include <string.h>

void mm_textout_free(struct mm_textout *t)
{
    mm_buf_free(&t->held);
    mm_buf_free(&t->out);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Move the first n bytes of held to out. */
static void release(struct mm_textout *t, size_t n)
{
    size_t skip = 0;

    if (t->held.n == 0)
        return;
    if (t->trim && !t->begun)
        while (skip < n && is_space(t->held.p[skip]))
            skip++;
    t->begun |= skip < n;
    mm_buf_add(&t->out, t->held.p + skip, n - skip);
    memmove(t->held.p, t->held.p + n, t->held.n - n);
    t->held.n -= n;
}

/* Where the first stop string in held begins; held.n if there is none. */
static size_t find_stop(const struct mm_textout *t)
{
    for (size_t at = 0; at < t->held.n; at++)
        for (size_t i = 0; i < t->nstop; i++) {
            const size_t len = strlen(t->stop[i]);
            if (len && len <= t->held.n - at && memcmp(t->held.p + at, t->stop[i], len) == 0)
                return at;
        }
    return t->held.n;
}

/* How much of held no stop string can still begin in. */
static size_t certain(const struct mm_textout *t)
{
    for (size_t at = 0; at < t->held.n; at++)
        for (size_t i = 0; i < t->nstop; i++) {
            const size_t n = t->held.n - at;
            if (strlen(t->stop[i]) > n && memcmp(t->held.p + at, t->stop[i], n) == 0)
                return at;
        }
    return t->held.n;
}

bool mm_textout_put(struct mm_textout *t, const char *s, size_t n)
{
    if (t->stopped)
        return true;
    if (n)
        mm_buf_add(&t->held, s, n);
    const size_t stop = find_stop(t);
    t->stopped = stop < t->held.n;
    size_t safe = t->stopped ? stop : certain(t);
    if (t->trim) /* it may be the last white space */
        while (safe > 0 && is_space(t->held.p[safe - 1]))
            safe--;
    release(t, safe);
    if (t->stopped)
        mm_buf_reset(&t->held);
    return t->stopped;
}

void mm_textout_end(struct mm_textout *t)
{
    size_t n = t->held.n;

    if (t->trim)
        while (n > 0 && is_space(t->held.p[n - 1]))
            n--;
    release(t, n);
    mm_buf_reset(&t->held);
}

const char *mm_textout_take(struct mm_textout *t, size_t *n)
{
    const char *p = t->out.p ? t->out.p + t->shown : "";

    *n = t->out.n - t->shown;
    t->shown = t->out.n;
    return p;
}
