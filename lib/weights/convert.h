/* convert.h: tensors of a checkpoint written to a GGUF at another precision.
 *
 * A list of what goes in is made first; then each tensor is converted in
 * pieces of some MiB, rows in parallel, so that memory does not grow with the
 * model.  The bytes of quantised blocks are those of ggml's reference
 * quantisers (base/quant.h) and do not depend on the number of threads.
 */
#ifndef MM_WEIGHTS_CONVERT_H
#define MM_WEIGHTS_CONVERT_H

#include "base/pool.h"
#include "weights/gguf_write.h"

enum mm_convert_role {
    MM_CONVERT_MATRIX, /* the type asked for; f16 if a row is no multiple of the block */
    MM_CONVERT_LOOKUP, /* the same, but never packed: rows are looked up, not multiplied */
    MM_CONVERT_TABLE,  /* never in blocks: f16 where the type asked for has blocks */
    MM_CONVERT_FLOAT   /* f32 */
};

/* What becomes of one tensor. */
struct mm_convert_spec {
    enum mm_convert_role role; /* vectors are f32 whatever it says */
    int64_t heads; /* > 0: rows go from Hugging Face's order of RoPE pairs to
                      GGUF's, in this many heads (llava.md 7.3) */
};

/* mm_convert_rope_row: the row in Hugging Face's order of RoPE pairs that is row r in
 * GGUF's, with heads of d rows. */
size_t mm_convert_rope_row(size_t r, size_t d);

struct mm_convert;

/* mm_convert_new: type is f32, f16, bf16 or one that mm_quant_can; MM_NDTYPE: as
 * they are stored (f32 for what GGUF lacks).  NULL: no memory. */
struct mm_convert *mm_convert_new(enum mm_dtype type);

/* mm_convert_pack: matrices are to be packed (base/panel.h).  Before the first
 * mm_convert_add. */
void mm_convert_pack(struct mm_convert *c);

void mm_convert_free(struct mm_convert *c); /* takes NULL */

/* mm_convert_add: t becomes the tensor name of the file.  name is copied, data
 * must stay until the end.  MM_EDATA: rows that heads do not divide, a dtype
 * that is no number; MM_ENOMEM. */
MM_MUST_CHECK int mm_convert_add(struct mm_convert *c, const char *name,
                                 const struct mm_tensor *t, const struct mm_convert_spec *s,
                                 struct mm_err *e);

/* mm_convert_file_type: the value of general.file_type, after the last
 * mm_convert_add. */
uint32_t mm_convert_file_type(const struct mm_convert *c);

/* mm_convert_begin: declare all tensors to w, whose key-values are there (but for
 * those of packing), and open path. */
MM_MUST_CHECK int mm_convert_begin(struct mm_convert *c, struct mm_ggufw *w, const char *path,
                                   struct mm_err *e);

size_t mm_convert_count(const struct mm_convert *c);
const char *mm_convert_name(const struct mm_convert *c, size_t i);
const struct mm_tensor *mm_convert_out(const struct mm_convert *c, size_t i); /* no data */

/* mm_convert_tensor: write tensor i; to be called for 0..count-1 in turn, then
 * mm_ggufw_commit.  p may be NULL. */
MM_MUST_CHECK int mm_convert_tensor(const struct mm_convert *c, size_t i, struct mm_ggufw *w,
                                    struct mm_pool *p, struct mm_err *e);

#endif
