/* pictures.h: a batch of pictures from files, prepared as the tower takes them. */
#ifndef MM_TRAIN_PICTURES_H
#define MM_TRAIN_PICTURES_H

#include "base/pool.h"
#include "media/preprocess.h"

/* mm_pictures_load: dir/name[i] for i < n, prepared by pre, to px + i * 3 * side * side; where
 * size is given, width and height of the file's picture to size[i].
 * Pictures are shared out among p's threads; the error is the first picture's in order
 * that has one. */
MM_MUST_CHECK int mm_pictures_load(float *px, int (*size)[2], const char *dir, const char *const *name, size_t n,
                                   const struct mm_preprocess *pre, int64_t side,
                                   struct mm_pool *p, struct mm_err *e);

/* mm_pictures_there: is dir/name to be read?  So that a run of days ends before it begins.
 * MM_ENOENT. */
MM_MUST_CHECK int mm_pictures_there(const char *dir, const char *name, struct mm_err *e);

#endif
