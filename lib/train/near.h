/* near.h: a vision tower that begins by looking at neighbours.
 *
 * Each head of a new tower attends to one of the patches around a patch, all heads to what
 * a convolution of 3 x 3 sees, so that the tower learns from far fewer pictures (after
 * Zheng et al. 2024, structured initialisation of attention).  Everything stays trainable.
 *
 * Channels 0 .. 4 F - 1 hold a patch's place alone, as sines and cosines of F frequencies
 * w_i = pi 2^(-4 i / F) down and then across; q turns them by the head's offset, so that
 *
 *   q k = gain^2 sum over both axes and i of cos(w_i (y + offset - y'))
 *
 * is largest for that neighbour.
 */
#ifndef MM_TRAIN_NEAR_H
#define MM_TRAIN_NEAR_H

#include <stdbool.h>
#include <stdint.h>

struct mm_near {
    int64_t width, heads; /* D */
    int64_t grid;         /* patches across the picture */
    int64_t in;           /* numbers of a patch */
};

/* mm_near_ok: are the heads wide enough (4 channels at least)? */
bool mm_near_ok(const struct mm_near *n);

/* mm_near_place: patch [D, in] loses its part in the channels of place, position
 * [1 + grid^2, D] (class row first, which gets none) becomes that. */
void mm_near_place(const struct mm_near *n, float *patch, float *position);

/* mm_near_attend: added to q and k [D, D] of a block: neighbours `reach` patches away. */
void mm_near_attend(const struct mm_near *n, float *q, float *k, int reach);

#endif
