/* exchange.h: several processes that train one model: the one place that knows of them.
 *
 * Built with MPI=1 it is MPI; else there is one process and all of this is nothing.
 */
#ifndef MM_TRAIN_EXCHANGE_H
#define MM_TRAIN_EXCHANGE_H

#include <stddef.h>

#include "base/err.h"

/* mm_exchange_start: join the processes that mpirun started (a program that it did not
 * start is alone; one built without MPI that it did start: MM_EMISSING).  *rank counts from 0, *size is a power of two, else MM_EUSAGE. */
MM_MUST_CHECK int mm_exchange_start(int *rank, int *size, struct mm_err *e);

/* mm_exchange_stop: with a status other than 0 the other processes are ended too. */
void mm_exchange_stop(int status);

/* mm_exchange_sum: x[n] becomes the sum over all processes, the same bytes in each: pairs of
 * neighbours first, then pairs of those, as train/fold.h adds micro-batches. */
MM_MUST_CHECK int mm_exchange_sum(float *x, size_t n, struct mm_err *e);

/* mm_exchange_gather: each brings from[n]; to[size * n] in order of rank, everywhere. */
MM_MUST_CHECK int mm_exchange_gather(double *to, const double *from, size_t n,
                                     struct mm_err *e);

/* mm_exchange_wait: until every process has come here. */
MM_MUST_CHECK int mm_exchange_wait(struct mm_err *e);

#endif
