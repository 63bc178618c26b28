/* layout.h: which files of a directory make up a checkpoint.
 *
 * Hugging Face (single or sharded safetensors or .bin, diffusers, open_clip),
 * the original LLaVA layout with its mm_projector.bin, Meta's
 * consolidated.NN.pth, or exactly one weights file of any name.
 */
#ifndef MM_WEIGHTS_LAYOUT_H
#define MM_WEIGHTS_LAYOUT_H

#include "weights/ckpt_impl.h"

/* mm_layout_dir: append the tensors of directory ck->dir.  MM_ENOENT: no
 * weights in it. */
MM_MUST_CHECK int mm_layout_dir(struct mm_ckpt *ck, struct mm_err *e);

/* mm_layout_index: append the tensors of all shards that an index file names
 * and check that each tensor is where it says. */
MM_MUST_CHECK int mm_layout_index(struct mm_ckpt *ck, const char *index, struct mm_err *e);

#endif
