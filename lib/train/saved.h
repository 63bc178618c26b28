/* saved.h: a checkpoint of a run: all that the next update depends on, in one file.
 *
 * A safetensors file with, for each trained weight NAME, w/NAME, m/NAME, v/NAME and
 * a/NAME (averages, if kept), and in its metadata the number of updates done and
 * what the run must have in common with one that goes on from it.  Sample order and
 * random numbers are functions of seed and update, so their position is the
 * update's number.  Written as every output file: complete or not at all.
 */
#ifndef MM_TRAIN_SAVED_H
#define MM_TRAIN_SAVED_H

#include <jansson.h>

#include "train/set.h"

/* mm_saved_claim: directory dir is this run's until *fd is closed, and what a killed one left half
 * written in it is removed.  MM_EIO: another run is at it. */
MM_MUST_CHECK int mm_saved_claim(int *fd, const char *dir, struct mm_err *e);

/* mm_saved_write: settings is an object of strings, compared when the run goes on (those that
 * the file has). */
MM_MUST_CHECK int mm_saved_write(const char *path, const struct mm_set *s, int64_t updates,
                                const json_t *settings, struct mm_err *e);

/* mm_saved_read: the weights, moments and averages of s (ready) from path.  Returns the
 * number of updates done; 0 and nothing changed if there is no such file.  MM_EDATA:
 * not a checkpoint of this run; names the setting or tensor that differs. */
MM_MUST_CHECK int64_t mm_saved_read(const char *path, struct mm_set *s, const json_t *settings,
                                    struct mm_err *e);

#endif
