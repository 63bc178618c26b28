/* gguf_write.h: streaming writer of GGUF version 3.
 *
 * Declare all key-values and tensors first, then give the data of each tensor
 * in the declared order, in as many pieces as is convenient: no more memory is
 * used than the caller's piece.
 *
 *   mm_ggufw_new, mm_ggufw_str/u32/f32/..., mm_ggufw_tensor, ...
 *   mm_ggufw_begin, mm_ggufw_data..., mm_ggufw_commit
 *
 * Declarations do not fail one by one: out of memory is sticky and reported by
 * mm_ggufw_begin.
 */
#ifndef MM_WEIGHTS_GGUF_WRITE_H
#define MM_WEIGHTS_GGUF_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tensor.h"
#include "weights/gguf.h"

struct mm_ggufw;

/* mm_ggufw_new: alignment 32 (but see mm_ggufw_panels).  NULL if out of memory. */
struct mm_ggufw *mm_ggufw_new(void);

/* mm_ggufw_free: also gives up the file of a writer that was not committed;
 * takes NULL. */
void mm_ggufw_free(struct mm_ggufw *w);

/* Key-values, in the order of the calls; a key must not be given twice. */
void mm_ggufw_u8(struct mm_ggufw *w, const char *key, uint8_t v);
void mm_ggufw_u32(struct mm_ggufw *w, const char *key, uint32_t v);
void mm_ggufw_i32(struct mm_ggufw *w, const char *key, int32_t v);
void mm_ggufw_u64(struct mm_ggufw *w, const char *key, uint64_t v);
void mm_ggufw_f32(struct mm_ggufw *w, const char *key, float v);
void mm_ggufw_bool(struct mm_ggufw *w, const char *key, bool v);
void mm_ggufw_str(struct mm_ggufw *w, const char *key, const char *s, size_t n);
void mm_ggufw_i32s(struct mm_ggufw *w, const char *key, const int32_t *v, size_t n);
void mm_ggufw_u32s(struct mm_ggufw *w, const char *key, const uint32_t *v, size_t n);
void mm_ggufw_f32s(struct mm_ggufw *w, const char *key, const float *v, size_t n);
void mm_ggufw_u8s(struct mm_ggufw *w, const char *key, const unsigned char *v, size_t n);

/* mm_ggufw_strs: start an array of n strings; exactly n mm_ggufw_item follow. */
void mm_ggufw_strs(struct mm_ggufw *w, const char *key, size_t n);
void mm_ggufw_item(struct mm_ggufw *w, const char *s, size_t n);

/* mm_ggufw_kv: a key-value as it lies in another file. */
void mm_ggufw_kv(struct mm_ggufw *w, const struct mm_gguf_kv *kv);

/* mm_ggufw_panels: packed tensors will follow: alignment 64, the layout's version.
 * To be called before the first tensor. */
void mm_ggufw_panels(struct mm_ggufw *w);

/* mm_ggufw_tensor: announce a tensor; only name, dtype and shape are used. */
void mm_ggufw_tensor(struct mm_ggufw *w, const char *name, const struct mm_tensor *t);

/* mm_ggufw_begin: write header, key-values and infos.  MM_EBUG for a dtype GGUF
 * lacks, more than 4 dimensions or a key or name twice; MM_ENOMEM, MM_EIO. */
MM_MUST_CHECK int mm_ggufw_begin(struct mm_ggufw *w, const char *path, struct mm_err *e);

/* mm_ggufw_data: the next n bytes of the current tensor; a tensor is complete
 * when its size has been given, the next bytes belong to the next. */
MM_MUST_CHECK int mm_ggufw_data(struct mm_ggufw *w, const void *p, size_t n, struct mm_err *e);

/* mm_ggufw_commit: MM_EBUG if data is missing, MM_EIO. */
MM_MUST_CHECK int mm_ggufw_commit(struct mm_ggufw *w, struct mm_err *e);

#endif
