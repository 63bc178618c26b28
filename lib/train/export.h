/* export.h: a trained model in the layout of the one it started from, so that other
 * tools open it too.
 */
#ifndef MM_TRAIN_EXPORT_H
#define MM_TRAIN_EXPORT_H

#include <jansson.h>

#include "train/set.h"
#include "weights/ckpt.h"
#include "weights/write.h"

/* mm_export_model: dir (made if it is not there) gets model.safetensors with every tensor of
 * ck, the trained ones of s in its place (their averages, if kept), as dtype
 * (MM_NDTYPE: each as stored); config, if not NULL, as config.json, else ck's own; and
 * ck's files of tokenizer and processor.  MM_EMISSING: ck is no safetensors or PyTorch
 * checkpoint; MM_EIO. */
MM_MUST_CHECK int mm_export_model(const char *dir, const struct mm_ckpt *ck,
                                  const struct mm_set *s, enum mm_dtype dtype,
                                  const json_t *config, struct mm_err *e);

/* mm_export_config: config.json of dir, torch_dtype set (MM_NDTYPE: left alone). */
MM_MUST_CHECK int mm_export_config(const char *dir, const json_t *config, enum mm_dtype dtype,
                                   struct mm_err *e);

/* mm_export_files: copy those files of tokenizer and processor that from (a directory, or
 * a file that is copied under its own name) holds to directory `to`. */
MM_MUST_CHECK int mm_export_files(const char *to, const char *from, struct mm_err *e);

/* mm_export_dir: make the directory, if it is not there. */
MM_MUST_CHECK int mm_export_dir(const char *dir, struct mm_err *e);

/* mm_export_remove: a directory that mm_init_model or mm_export_model made, and its files. */
void mm_export_remove(const char *dir);

/* mm_export_data: what is written for a trained weight: average, f32 master, or itself. */
float *mm_export_data(const struct mm_set *s, const struct mm_trained *t);

/* mm_export_as: t (any dtype) as dtype into malloc'd memory.  NULL: out of memory. */
void *mm_export_as(const struct mm_tensor *t, enum mm_dtype dtype);

#endif
