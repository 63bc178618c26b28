/* report.h: what a run did and where its time went, as lines of text (mm-llm -v).
 *
 *   time STAGE MS ms [OPERATIONS GFLOP/s BYTES GB/s]     a stage that took time
 *   prefill: N positions in MS ms (RATE/s), N reused; decode: N tokens in MS ms (RATE/s)
 *
 * STAGE: open, tokenize, and of prefill and decode each embed, qkv, attention, o, mlp,
 * head, sampling (prefill.qkv).
 */
#ifndef MM_MODEL_REPORT_H
#define MM_MODEL_REPORT_H

#include "model/generate.h"
#include "tensor/times.h"

struct mm_report {
    double open_s, tokenize_s;
    struct mm_times times;
};

/* mm_report: the lines, each ending in '\n', appended to out. */
void mm_report(struct mm_buf *out, const struct mm_report *r, const struct mm_gen_stats *s);

#endif
