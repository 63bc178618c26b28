/* ckpt.h: a checkpoint in any container, as named tensors and metadata.
 *
 * Opens what -m names: a file (safetensors, PyTorch zip, TorchScript, legacy
 * or tar PyTorch, GGUF, npy, npz), an index, or a directory in Hugging Face or
 * original layout.  Containers are told by their bytes, never by suffix.
 * Files are mapped; tensors that lie contiguous in them are borrowed, others
 * are gathered once into memory the checkpoint owns.
 */
#ifndef MM_WEIGHTS_CKPT_H
#define MM_WEIGHTS_CKPT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/tensor.h"

struct mm_ckpt;

/* One tensor as stored.  t.data is valid until mm_ckpt_close. */
struct mm_ckpt_entry {
    const char *name;
    struct mm_tensor t; /* row-major shape: a GGUF's ne is already reversed */
    const char *file;   /* the file it lies in */
};

/* mm_ckpt_find: resolve a name given to -m into a path: as it is if it exists
 * or holds a '/', else under each directory of $MM_MODELS (unset:
 * ${XDG_DATA_HOME:-~/.local/share}/mm/models) and then where the models lie
 * that come with the program: ../share/mm/models beside the folder it runs
 * from, lib/models/small of the tree it was built in.
 * malloc'd *path; MM_ENOENT lists where it looked. */
MM_MUST_CHECK int mm_ckpt_find(char **path, const char *name, struct mm_err *e);

/* MM_SHIPPED: the model that answers when none is named. */
#define MM_SHIPPED "llava"

/* mm_ckpt_find_named: the same for a model that the one in directory dir names:
 * relative to dir, as mm_ckpt_find does, or by the last part of a hub's name. */
MM_MUST_CHECK int mm_ckpt_find_named(char **path, const char *dir, const char *name,
                                     struct mm_err *e);

/* mm_ckpt_open: path as from mm_ckpt_find.  MM_ENOENT, MM_EDATA (malformed;
 * the message names file, tensor and offset), MM_EMISSING (a kind of file or
 * dtype we do not read). */
MM_MUST_CHECK int mm_ckpt_open(struct mm_ckpt **ck, const char *path, struct mm_err *e);
void mm_ckpt_close(struct mm_ckpt *ck); /* takes NULL */

/* mm_ckpt_open_mem: the same from bytes the caller keeps until close; what
 * names them in messages.  No directory, no configuration. */
MM_MUST_CHECK int mm_ckpt_open_mem(struct mm_ckpt **ck, const void *data, size_t size,
                                   const char *what, struct mm_err *e);

const char *mm_ckpt_path(const struct mm_ckpt *ck); /* what was opened */
const char *mm_ckpt_dir(const struct mm_ckpt *ck);  /* of the configuration; NULL: none */

/* Entries in file order. */
size_t mm_ckpt_count(const struct mm_ckpt *ck);
const struct mm_ckpt_entry *mm_ckpt_at(const struct mm_ckpt *ck, size_t i);

/* mm_ckpt_release: data of t will hardly be read again (a packed copy took its
 * place).  Whole pages that are mapped from a file leave memory; they come back
 * when they are read after all. */
void mm_ckpt_release(const struct mm_ckpt *ck, const struct mm_tensor *t);

/* mm_ckpt_lookup: the entry of an exact stored name, or NULL. */
const struct mm_ckpt_entry *mm_ckpt_lookup(const struct mm_ckpt *ck, const char *name);

/* mm_ckpt_config: config.json of the directory (borrowed), or NULL; for other
 * JSON files of the directory mm_ckpt_json gives a new reference (NULL and no
 * error if absent). */
const json_t *mm_ckpt_config(const struct mm_ckpt *ck);
MM_MUST_CHECK int mm_ckpt_json(json_t **out, const struct mm_ckpt *ck, const char *file,
                               struct mm_err *e);

/* mm_ckpt_meta: GGUF key-values as one JSON object (integers, reals, strings,
 * booleans, arrays) without the arrays of more than MM_GGUF_JSON_MAX elements
 * (a vocabulary: see mm_ckpt_gguf); safetensors __metadata__; NULL if none.
 * Borrowed. */
const json_t *mm_ckpt_meta(const struct mm_ckpt *ck);
bool mm_ckpt_is_gguf(const struct mm_ckpt *ck);

/* mm_ckpt_gguf: the key-values as they lie in the file (weights/gguf.h); NULL
 * if it is no GGUF.  Of a split file those of the first part.  Borrowed. */
struct mm_gguf;
const struct mm_gguf *mm_ckpt_gguf(const struct mm_ckpt *ck);

/* mm_ckpt_warning: the i-th oddity that was no error ("wrapper 'state_dict'
 * entered", "CRC of 'data/0' differs"); NULL past the last. */
const char *mm_ckpt_warning(const struct mm_ckpt *ck, size_t i);

/* mm_ckpt_fingerprint: hash of names, shapes, dtypes and a sample of the data,
 * for the `model` attribute of records and saved states. */
uint64_t mm_ckpt_fingerprint(const struct mm_ckpt *ck);

#endif
