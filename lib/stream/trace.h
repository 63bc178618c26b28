/* trace.h: --trace FILE: every stage of a computation as a tensor record.
 *
 * The names are those of the golden families.  The file appears when the trace
 * is closed, complete; a program that fails leaves none.
 *
 * Every function takes NULL for "no trace" and then does nothing, so the code
 * that computes needs no test of its own.
 */
#ifndef MM_STREAM_TRACE_H
#define MM_STREAM_TRACE_H

#include <stdint.h>

#include "base/err.h"
#include "base/tensor.h"

struct mm_trace;

/* mm_trace_open: path NULL sets *tr to NULL; "-" is MM_EUSAGE. */
MM_MUST_CHECK int mm_trace_open(struct mm_trace **tr, const char *path, struct mm_err *e);

/* mm_trace_put: one record of kind `trace`, named by fmt; t's data is written
 * now and not kept.  t is of a stream dtype.  item < 0: no item attribute.
 * An error is kept and returned again by mm_trace_close, so it may be ignored. */
int mm_trace_put(struct mm_trace *tr, int64_t item, const struct mm_tensor *t,
                 const char *fmt, ...) MM_PRINTF(4, 5);

/* mm_trace_close: `end` record, flush, rename; frees tr. */
MM_MUST_CHECK int mm_trace_close(struct mm_trace *tr, struct mm_err *e);

/* mm_trace_abort: leave no file; frees tr. */
void mm_trace_abort(struct mm_trace *tr);

#endif
