/* times.h: where the time of a model goes, stage by stage; part of a context, and
 * nothing but a test of a pointer when none is kept.
 *
 * A model laps its stages one after the other: each gets what passed since the lap
 * before.  Stages are numbers of the model's own.  A pass may do two kinds of work at
 * once (rows of prompts, tokens generated); its time is shared out by rows.
 */
#ifndef MM_TENSOR_TIMES_H
#define MM_TENSOR_TIMES_H

#include "base/buf.h"
#include "tensor/ctx.h"

enum mm_times_kind { MM_TIMES_PREFILL, MM_TIMES_DECODE, MM_TIMES_KINDS };
enum { MM_TIMES_STAGES = 8 };

struct mm_times_row {
    double s;      /* seconds */
    double flop;   /* operations of products */
    double bytes;  /* of weights and cache, each read once a pass */
};

struct mm_times {
    double last;                     /* when the last lap ended */
    double share[MM_TIMES_KINDS];    /* of the rows at work; sum 1 */
    struct mm_times_row at[MM_TIMES_KINDS][MM_TIMES_STAGES];
};

/* mm_times_start: a pass begins, of so many rows, so many of them of tokens generated. */
void mm_times_start(struct mm_ctx *c, size_t rows, size_t decoded);

/* mm_times_lap: a stage ends here. */
void mm_times_lap(struct mm_ctx *c, int stage, double flop, double bytes);

/* mm_times_lap_linear: it was the n products of `rows` rows with w (as mm_linear). */
void mm_times_lap_linear(struct mm_ctx *c, int stage, size_t rows, const struct mm_var *const *w,
                         int n);

/* mm_times_line: "time NAME MS ms[ OPERATIONS GFLOP/s BYTES GB/s]\n", the latter where
 * bytes were counted; nothing for a stage that took no time. */
void mm_times_line(struct mm_buf *out, const char *name, const struct mm_times_row *row);

#endif
