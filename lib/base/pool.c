/* pool.c: threads that share out numbered tiles of work.
 *
 * One 64-bit ticket holds the run's number and the next tile.  A thread claims
 * a tile by a compare-and-swap of the whole ticket, so a worker that wakes late
 * can neither take a tile of a later run by an old description nor be waited
 * for: a run ends when its tiles are done, whoever did them.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/pages.h"

enum {
    TILE_BITS = 40,
    SPINS = 4000,       /* pauses before a worker sleeps: about 0.1 ms */
    SPINS_CROWDED = 50  /* with more threads than processors spinning steals time */
};

struct worker {
    struct mm_pool *pool;
    pthread_t thread;
    int index;
};

struct mm_pool {
    int n;              /* threads, the caller counted */
    int started;        /* workers running */
    int spins;
    struct worker *workers;
    void *scratch;
    size_t scratch_size;

    _Atomic uint64_t ticket; /* run << TILE_BITS | next tile; odd run: closed */
    _Atomic(mm_tile_fn *) fn;
    _Atomic(void *) arg;
    _Atomic size_t ntiles;
    _Atomic size_t done;

    _Atomic int sleepers;    /* workers waiting for work */
    _Atomic bool waiting;    /* the caller sleeps until done == ntiles */
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint64_t run_of(uint64_t ticket)
{
    return ticket >> TILE_BITS;
}

/* Claims and runs tiles until none is left. */
static void work_tiles(struct mm_pool *p, int thread)
{
    for (;;) {
        uint64_t t = atomic_load(&p->ticket);
        mm_tile_fn *fn = atomic_load(&p->fn);
        void *arg = atomic_load(&p->arg);
        const size_t n = atomic_load(&p->ntiles);
        const size_t tile = (size_t)(t & ((UINT64_C(1) << TILE_BITS) - 1));

        if ((run_of(t) & 1) != 0 || tile >= n)
            break;
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t + 1))
            continue;
        fn(arg, tile, thread);
        if (atomic_fetch_add(&p->done, 1) + 1 == n && thread != 0
            && atomic_load(&p->waiting)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

/* Waits until the ticket belongs to another run than seen, or stop. */
static void wait_for_run(struct mm_pool *p, uint64_t seen)
{
    for (int i = 0; i < p->spins; i++) {
        const uint64_t run = run_of(atomic_load_explicit(&p->ticket, memory_order_relaxed));

        if (run != seen && (run & 1) == 0)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!atomic_load(&p->stop) && run_of(atomic_load(&p->ticket)) == seen)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct mm_pool *p = w->pool;
    uint64_t seen = 0;

    while (!atomic_load(&p->stop)) {
        wait_for_run(p, seen);
        seen = run_of(atomic_load(&p->ticket));
        work_tiles(p, w->index);
    }
    return NULL;
}

int mm_pool_cpus(void)
{
    cpu_set_t set;
    long n;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

struct mm_pool *mm_pool_new(int nthreads)
{
    struct mm_pool *p;

    assert(nthreads >= 1);
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->n = nthreads;
    p->spins = nthreads > mm_pool_cpus() ? SPINS_CROWDED : SPINS;
    p->workers = calloc((size_t)nthreads, sizeof(*p->workers));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
    if (p->workers == NULL) {
        mm_pool_free(p);
        return NULL;
    }
    for (int i = 1; i < nthreads; i++) {
        struct worker *w = &p->workers[i];

        w->pool = p;
        w->index = i;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
            mm_pool_free(p);
            return NULL;
        }
        p->started = i;
    }
    return p;
}

void mm_pool_free(struct mm_pool *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->finished);
    free(p->workers);
    free(p->scratch);
    free(p);
}

int mm_pool_threads(const struct mm_pool *p)
{
    return p != NULL ? p->n : 1;
}

static void wait_done(struct mm_pool *p, size_t ntiles)
{
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load_explicit(&p->done, memory_order_acquire) == ntiles)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, true);
    while (atomic_load(&p->done) != ntiles)
        pthread_cond_wait(&p->finished, &p->lock);
    atomic_store(&p->waiting, false);
    pthread_mutex_unlock(&p->lock);
}

void mm_pool_run(struct mm_pool *p, size_t ntiles, mm_tile_fn *fn, void *arg)
{
    uint64_t run;

    if (p == NULL || p->n == 1 || ntiles <= 1) {
        for (size_t i = 0; i < ntiles; i++)
            fn(arg, i, 0);
        return;
    }
    assert(ntiles < UINT64_C(1) << TILE_BITS);
    run = run_of(atomic_load(&p->ticket)) + 1;
    atomic_store(&p->ticket, run << TILE_BITS); /* closed: the description changes */
    atomic_store(&p->fn, fn);
    atomic_store(&p->arg, arg);
    atomic_store(&p->ntiles, ntiles);
    atomic_store(&p->done, 0);
    atomic_store(&p->ticket, (run + 1) << TILE_BITS);
    if (atomic_load(&p->sleepers) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->lock);
    }
    work_tiles(p, 0);
    wait_done(p, ntiles);
}

void *mm_pool_scratch(struct mm_pool *p, size_t size)
{
    if (size > p->scratch_size) {
        free(p->scratch);
        p->scratch_size = 0;
        p->scratch = mm_pages_alloc(size);
        if (p->scratch != NULL)
            p->scratch_size = size;
    }
    return p->scratch;
}
