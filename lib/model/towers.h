/* towers.h: all that a checkpoint can encode with: a vision tower, a text tower,
 * the tokenizer of its texts.  For mm-encode.
 */
#ifndef MM_MODEL_TOWERS_H
#define MM_MODEL_TOWERS_H

#include "model/vision.h"
#include "text/tokenizer.h"

struct mm_towers {
    struct mm_ckpt *ck;
    struct mm_vision vision;    /* vision.tower NULL: none */
    struct mm_clip_text *text;  /* NULL: none */
    struct mm_tok *tok;         /* NULL: no tokenizer files; ids still work */
};

/* mm_towers_open: model is a path or a name.  text_only: the vision tower is left
 * alone and a text tower must be there; else one of the two must.  Errors as
 * mm_vision_open and mm_clip_text_open. */
MM_MUST_CHECK int mm_towers_open(struct mm_towers *t, const char *model, bool text_only,
                                 const struct mm_vision_opts *o, struct mm_err *e);

/* mm_towers_pack_text: mm_params_pack of the text tower, for many short texts.  The vision
 * tower has hundreds of rows for each product: packing as it goes costs it less than the
 * memory of a packed copy does. */
MM_MUST_CHECK int mm_towers_pack_text(struct mm_towers *t, struct mm_pool *pool,
                                      struct mm_err *e);

void mm_towers_close(struct mm_towers *t); /* takes a zeroed one */

#endif
