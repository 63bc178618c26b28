/* report.c: see report.h. */
#include "model/report.h"

#include <stdio.h>

static void stages(struct mm_buf *out, const char *kind, const struct mm_times_row *row)
{
    char name[64];

    for (int i = 0; i < MM_LLAMA_STAGES; i++) {
        snprintf(name, sizeof(name), "%s.%s", kind, mm_llama_stage_name((enum mm_llama_stage)i));
        mm_times_line(out, name, &row[i]);
    }
}

void mm_report(struct mm_buf *out, const struct mm_report *r, const struct mm_gen_stats *s)
{
    mm_buf_printf(out, "time open %.3f ms\ntime tokenize %.3f ms\n", 1e3 * r->open_s,
                  1e3 * r->tokenize_s);
    stages(out, "prefill", r->times.at[MM_TIMES_PREFILL]);
    stages(out, "decode", r->times.at[MM_TIMES_DECODE]);
    mm_buf_printf(out, "prefill: %zu positions in %.1f ms (%.1f/s), %zu reused; decode: %zu tokens "
                  "in %.1f ms (%.1f/s)\n", s->computed, 1e3 * s->prefill_s,
                  s->prefill_s > 0 ? (double)s->computed / s->prefill_s : 0, s->reused, s->decoded,
                  1e3 * s->decode_s, s->decode_s > 0 ? (double)s->decoded / s->decode_s : 0);
}
