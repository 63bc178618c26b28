/* state.h: the past of a generation engine as a file: a prefix, pictures included,
 * is encoded and computed once and continued many times.
 *
 * The file is an mmts stream: a json record `state` (positions, sizes, what the
 * prompt was made of), `ids` [n] (-1: a row of embeddings), `hashes` [rows] of
 * the rows, `logits` [vocab] after the last position, and layers.N.k and
 * layers.N.v [kv_heads, n, head_dim] in the cache's type.  Each record's
 * attribute `model` is the fingerprint of the weights.
 */
#ifndef MM_MODEL_STATE_H
#define MM_MODEL_STATE_H

#include "model/generate.h"

/* mm_state_save: the engine's past (which must have logits) and the parts it
 * was made from, to path (complete or not at all). */
MM_MUST_CHECK int mm_state_save(const char *path, struct mm_gen *g, const struct mm_parts *parts,
                                uint64_t fingerprint, struct mm_err *e);

/* mm_state_load: into the engine's past; parts (zeroed) become those saved, their
 * rows known by hashes alone.  MM_ENOENT; MM_EDATA: damaged, of another model, or
 * of another cache type than kv. */
MM_MUST_CHECK int mm_state_load(const char *path, struct mm_gen *g, enum mm_dtype kv,
                                struct mm_parts *parts, uint64_t fingerprint, struct mm_err *e);

#endif
