/* order.h: which samples make which batch: a function of seed and position alone, so
 * a run can go on from any update.
 *
 * Position p of the run is the (p mod n)-th sample of epoch p / n.  Shuffled, an epoch
 * is a random permutation.  Grouped, its samples are cut into groups of one update,
 * each of samples of one kind (with a picture, without one) sorted by length, so that
 * a batch holds samples of like length; the groups come in random order, the rests
 * of both kinds make the last one (LLaVA's group_by_modality_length).
 */
#ifndef MM_TRAIN_ORDER_H
#define MM_TRAIN_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct mm_order;

struct mm_order_spec {
    size_t n;              /* samples, > 0 */
    uint64_t seed;
    bool shuffle;
    size_t group;          /* samples of an update, 0: not grouped */
    const int32_t *length; /* [n], grouped only: negative, the length of one without a picture; borrowed */
};

MM_MUST_CHECK int mm_order_new(struct mm_order **o, const struct mm_order_spec *s,
                               struct mm_err *e);
void mm_order_free(struct mm_order *o); /* takes NULL */

/* mm_order_at: the sample at position p. */
size_t mm_order_at(struct mm_order *o, uint64_t p);

#endif
