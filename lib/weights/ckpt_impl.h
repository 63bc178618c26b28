/* ckpt_impl.h: the inside of a checkpoint, for the modules of lib/weights only. */
#ifndef MM_WEIGHTS_CKPT_IMPL_H
#define MM_WEIGHTS_CKPT_IMPL_H

#include "base/io.h"
#include "weights/entries.h"
#include "weights/gguf.h"

struct mm_ckpt {
    char *path, *dir;
    struct mm_entries en;
    struct mm_map *maps; /* files in the order they were opened */
    size_t nmaps, maps_cap;
    json_t *config, *meta;
    struct mm_gguf *gguf; /* of the first part */
    struct mm_ckpt **part; /* adapters whose tensors are among en */
    size_t nparts, part_cap;
};

/* mm_ckpt_add_bytes: tell the container of data[size] and append its tensors;
 * file as from mm_entries_file.  Messages name tensor and place, not the file. */
MM_MUST_CHECK int mm_ckpt_add_bytes(struct mm_ckpt *ck, const unsigned char *data, size_t size,
                                    const char *file, struct mm_err *e);

/* mm_ckpt_add_file: map path and append its tensors; messages begin with path.
 * MM_ENOENT if it is not there. */
MM_MUST_CHECK int mm_ckpt_add_file(struct mm_ckpt *ck, const char *path, struct mm_err *e);

#endif
