/* q8_test.h: int8 activations and panels of codes, each field a guarded buffer. */
#ifndef MM_TESTS_Q8_TEST_H
#define MM_TESTS_Q8_TEST_H

#include "kern_test.h"

enum { Q8_PARTS = 9 };
struct q8_rows {
    struct kt_buf b[Q8_PARTS];
    struct mm_q8_rows a;
};

/* m rows of n, rounded up to whole blocks; of 256 for what minima of pairs want. */
static inline void q8_rows_new(struct q8_rows *s, size_t n, size_t m)
{
    const size_t nb = (n + MM_QBLOCK - 1) / MM_QBLOCK * m;
    const size_t ng = (n + 255) / 256 * m;
    void *p[Q8_PARTS];

    for (int i = 0; i < 6; i++)
        p[i] = kt_alloc(&s->b[i], nb * (i == 0 ? MM_QBLOCK : i == 3 || i == 5 ? 8 : 4));
    for (int i = 6; i < Q8_PARTS; i++)
        p[i] = kt_alloc(&s->b[i], ng * (i == 8 ? 4 : 16));
    s->a = (struct mm_q8_rows){ p[0], p[1], p[2], p[3], p[4], p[5], { p[6], p[7] }, p[8] };
}

/* Random bytes with the sums that belong to them, or all the largest. */
static inline void q8_rows_fill(struct q8_rows *s, size_t m, bool worst, struct mm_rng *r)
{
    memset(s->a.neg32, 0, s->b[2].n);
    memset(s->a.neg16, 0, s->b[3].n);
    for (size_t i = 0; i < s->b[0].n; i++) {
        const size_t k = i / (4 * m) * 4 + i % 4, row = i / 4 % m;
        s->a.q[i] = (int8_t)(worst ? 127 : (int)mm_rng_below(r, 255) - 127);
        s->a.neg32[k / 32 * m + row] -= s->a.q[i];
        s->a.neg16[k / 16 * m + row] -= s->a.q[i];
    }
    kt_fill(s->a.d, s->b[1].n / 4, r, false);
    kt_fill(s->a.sum32, s->b[4].n / 4, r, false);
    kt_fill(s->a.sum16, s->b[5].n / 4, r, false);
    for (int b = 6; b < 8; b++) /* 127 * 256 at most, which is made of 127 and 0 */
        for (size_t i = 0; i < s->b[b].n; i++)
            s->b[b].p[i] = (unsigned char)(worst ? (b == 6 ? 127 : 0) : mm_rng_u64(r));
    kt_fill(s->a.step, s->b[8].n / 4, r, false);
}

static inline void q8_rows_free(struct q8_rows *s)
{
    for (int i = 0; i < Q8_PARTS; i++)
        kt_free(&s->b[i]);
}

enum { Q8_FIELDS = 5 };
struct q8_panel {
    struct kt_buf b[Q8_FIELDS];
    struct mm_q8_panel p;
};

static inline void q8_panel_new(struct q8_panel *s, struct mm_q8_kind kind, size_t n)
{
    const size_t subs = n / kind.sub * MM_NR, d = kind.pairs ? (n + 255) / 256 * MM_NR : subs;

    s->p = (struct mm_q8_panel){ kt_alloc(&s->b[0], n * MM_NR),
                                 kt_alloc(&s->b[1], d * 4),
                                 kt_alloc(&s->b[2], kind.min ? d * 4 : 0),
                                 kt_alloc(&s->b[3], kind.pairs ? subs * 4 : 0),
                                 kt_alloc(&s->b[4],
                                          kind.pairs && kind.min ? (n + 63) / 64 * 4 * MM_NR : 0),
                                 kind };
}

static inline void q8_panel_free(struct q8_panel *s)
{
    for (int i = 0; i < Q8_FIELDS; i++)
        kt_free(&s->b[i]);
}

#endif
