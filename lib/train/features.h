/* features.h: what frozen stages computed before: features records of mm-encode, found by
 * the picture they came from.
 */
#ifndef MM_TRAIN_FEATURES_H
#define MM_TRAIN_FEATURES_H

#include "base/err.h"
#include "base/tensor.h"

struct mm_features;

/* mm_features_open: index the stream at path; "-" is standard input.  A regular file is mapped,
 * memory does not grow with it but for compressed records; what comes by a pipe is kept.  Records need the attribute source and two axes [P, D] (or [1, P, D]).
 * MM_ENOENT, MM_EDATA. */
MM_MUST_CHECK int mm_features_open(struct mm_features **f, const char *path, struct mm_err *e);
void mm_features_free(struct mm_features *f); /* takes NULL */

/* mm_features_find: those of the picture called name: its source is name or ends with
 * "/name".  NULL: none.  Borrowed. */
const struct mm_tensor *mm_features_find(const struct mm_features *f, const char *name);

#endif
