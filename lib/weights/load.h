/* load.h: from stored names to a model's fields, with all faults in one list.
 *
 * A model asks for each tensor by its candidate names; nothing is multiplied
 * before mm_load_done has said that all are there with the right shapes.
 */
#ifndef MM_WEIGHTS_LOAD_H
#define MM_WEIGHTS_LOAD_H

#include "weights/ckpt.h"

struct mm_load;

/* mm_load_new: start a list over ck.  MM_ENOMEM. */
MM_MUST_CHECK int mm_load_new(struct mm_load **l, const struct mm_ckpt *ck, struct mm_err *e);
void mm_load_free(struct mm_load *l); /* takes NULL */

/* mm_load_prefix: names given afterwards are tried with each of these prefixes
 * in turn (NULL-terminated; "" included if wanted). Strings are borrowed. */
void mm_load_prefix(struct mm_load *l, const char *const *prefixes);

/* mm_load_get: the tensor called name (printf format) with shape want[ndim], a
 * size of -1 accepts any and *want is then set to what was found.  Stored
 * shapes that differ only by axes of length 1 are accepted.  Returns NULL and notes
 * the fault when it is missing, of another shape or of an integer type.  mm_load_opt returns NULL silently when
 * it is absent.  The tensor is the checkpoint's own (stored shape, valid until
 * mm_ckpt_close, longer than the mm_load). */
const struct mm_tensor *mm_load_get(struct mm_load *l, int64_t *want, int ndim,
                                    const char *fmt, ...) MM_PRINTF(4, 5);
const struct mm_tensor *mm_load_opt(struct mm_load *l, int64_t *want, int ndim,
                                    const char *fmt, ...) MM_PRINTF(4, 5);

/* mm_load_ignore: stored names matching this glob (fnmatch) belong to others;
 * mm_load_strict: every stored name matching glob must have been asked for
 * (the buffers of old checkpoints, "*.rotary_emb.inv_freq" and such, aside). */
void mm_load_ignore(struct mm_load *l, const char *glob);
void mm_load_strict(struct mm_load *l, const char *glob);

/* mm_load_done: MM_EDATA listing every missing, odd and surplus tensor by name
 * with both shapes, or 0. */
MM_MUST_CHECK int mm_load_done(struct mm_load *l, struct mm_err *e);

#endif
