/* ahead.c: see ahead.h.
 *
 *   pictures:  taken | in a ring of depth slots: done, or at hand | next ...
 *
 * A caller that would have to wait prepares the next one itself meanwhile.
 */
#include "model/ahead.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/progress.h"
#include "stream/operand.h"

struct slot {
    bool done;
    int rc; /* as mm_ahead_take's */
    struct mm_pixels px;
    struct mm_err e;
};

struct mm_ahead {
    struct mm_ahead_conf c;
    struct slot *slot; /* [depth] */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    size_t taken, next;
    double seconds;
    bool started, stop;
};

/* May opening and reading it wait for somebody? */
static bool is_plain_file(const char *path)
{
    struct stat st;

    return strcmp(path, "-") && (stat(path, &st) < 0 || S_ISREG(st.st_mode));
}

static struct slot prepare(const struct mm_ahead_conf *c, const char *path)
{
    struct slot s = { .done = true };
    struct mm_operand op;

    if (!is_plain_file(path) || (s.rc = mm_operand_open(&op, path, c->max_bytes, &s.e)) < 0)
        return s;
    if (!op.reader) {
        s.rc = mm_preprocess_decode(&s.px, op.bytes.p, op.bytes.n, path, c->upright, c->pre, &s.e);
        s.rc = s.rc < 0 ? s.rc : 1;
    }
    mm_operand_close(&op);
    return s;
}

/* Is there one to prepare, and room for it? */
static bool may_prepare(const struct mm_ahead *a)
{
    return a->next < a->c.n && a->next < a->taken + a->c.depth;
}

/* Prepares the next one; the lock is held before and after, not meanwhile. */
static void prepare_next(struct mm_ahead *a)
{
    const size_t i = a->next++;
    const double start = mm_now();

    pthread_mutex_unlock(&a->lock);
    const struct slot s = prepare(&a->c, a->c.paths[i]);
    pthread_mutex_lock(&a->lock);
    a->seconds += mm_now() - start;
    a->slot[i % a->c.depth] = s;
    pthread_cond_broadcast(&a->change);
}

static void *run(void *arg)
{
    struct mm_ahead *a = arg;

    pthread_mutex_lock(&a->lock);
    while (!a->stop && a->next < a->c.n)
        if (may_prepare(a))
            prepare_next(a);
        else
            pthread_cond_wait(&a->change, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int mm_ahead_new(struct mm_ahead **out, const struct mm_ahead_conf *conf, struct mm_err *e)
{
    struct mm_ahead *a = calloc(1, sizeof(*a));

    assert(conf->depth > 0);
    if (!a || !(a->slot = calloc(conf->depth, sizeof(*a->slot)))) {
        free(a);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    a->c = *conf;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->change, NULL);
    a->started = pthread_create(&a->thread, NULL, run, a) == 0;
    if (!a->started) {
        mm_ahead_free(a);
        return mm_err_set(e, MM_ENOMEM, "cannot start a thread that reads pictures");
    }
    *out = a;
    return 0;
}

void mm_ahead_free(struct mm_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
    if (a->started)
        pthread_join(a->thread, NULL);
    for (size_t i = 0; i < a->c.depth; i++)
        mm_pixels_free(&a->slot[i].px);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->change);
    free(a->slot);
    free(a);
}

int mm_ahead_take(struct mm_ahead *a, size_t i, struct mm_pixels *px, struct mm_err *e)
{
    assert(i == a->taken && i < a->c.n);
    pthread_mutex_lock(&a->lock);
    struct slot *const at = &a->slot[i % a->c.depth];
    while (!at->done)
        if (may_prepare(a))
            prepare_next(a);
        else
            pthread_cond_wait(&a->change, &a->lock);
    const struct slot s = *at;
    *at = (struct slot){ 0 };
    a->taken = i + 1;
    pthread_cond_broadcast(&a->change);
    pthread_mutex_unlock(&a->lock);
    *px = s.px;
    if (s.rc < 0)
        *e = s.e;
    return s.rc;
}

double mm_ahead_seconds(struct mm_ahead *a)
{
    if (!a)
        return 0;
    pthread_mutex_lock(&a->lock);
    const double s = a->seconds;
    pthread_mutex_unlock(&a->lock);
    return s;
}
