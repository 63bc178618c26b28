/* pool.h: threads that share out numbered tiles of work.
 *
 * The caller cuts the work into tiles whose number and borders do not depend
 * on the number of threads, so neither does the result.
 */
#ifndef MM_BASE_POOL_H
#define MM_BASE_POOL_H

#include <stddef.h>

struct mm_pool;

/* mm_pool_new: nthreads >= 1 (the caller counts as one; 1 starts none).
 * NULL if threads or memory cannot be had. */
struct mm_pool *mm_pool_new(int nthreads);
void mm_pool_free(struct mm_pool *p); /* takes NULL */
int mm_pool_threads(const struct mm_pool *p);

/* mm_pool_cpus: processors this process may run on, at least 1. */
int mm_pool_cpus(void);

/* mm_pool_run: call fn(arg, tile, thread) for tile = 0..ntiles-1, each exactly
 * once, on any thread (0..nthreads-1), and return when all are done.  Workers
 * spin shortly before they sleep, so that a call costs about a microsecond in
 * a busy loop.  Not reentrant: fn must not call mm_pool_run. p may be NULL:
 * everything then runs on the caller.
 */
typedef void mm_tile_fn(void *arg, size_t tile, int thread);
void mm_pool_run(struct mm_pool *p, size_t ntiles, mm_tile_fn *fn, void *arg);

/* mm_pool_scratch: a block of at least size bytes, 64-byte aligned, that the pool
 * keeps; its bytes are undefined and it is the caller's until the next call.  Not
 * for tiles, which share in the caller's.  NULL if memory cannot be had. */
void *mm_pool_scratch(struct mm_pool *p, size_t size);

#endif
