/* entries.h: the list of tensors that readers fill and a checkpoint owns.
 *
 * A reader appends one entry per tensor; data points into the mapped file, or
 * into memory from mm_entries_alloc when it had to be gathered, swapped or
 * inflated.  Look-up by name is a hash table.
 */
#ifndef MM_WEIGHTS_ENTRIES_H
#define MM_WEIGHTS_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "weights/ckpt.h"

struct mm_entries {
    struct mm_ckpt_entry *v;
    size_t n, cap;
    bool keep_first;     /* a name that an earlier file had is skipped, not an error */
    size_t budget;       /* bytes mm_entries_alloc may still give */
    struct mm_arena *text; /* names */
    void **owned;
    size_t nowned, owned_cap;
    uint32_t *slot;      /* open addressing: index + 1, 0 empty */
    size_t nslot;        /* a power of two */
    char **warn;
    size_t nwarn, warn_cap;
};

/* mm_entries_init: empty.  MM_ENOMEM. */
MM_MUST_CHECK int mm_entries_init(struct mm_entries *en, struct mm_err *e);
void mm_entries_free(struct mm_entries *en); /* takes a zeroed one */

/* mm_entries_file: a copy of a file's name that lives as long as the list;
 * size is added (four times) to the budget of gathered bytes.  NULL: no memory. */
const char *mm_entries_file(struct mm_entries *en, const char *path, size_t size);

/* mm_entries_add: append a tensor.  name[n] is copied; file is from
 * mm_entries_file.  MM_EDATA for a name twice in one file, or in two (unless
 * keep_first), and for a NUL in a name; MM_ENOMEM. */
MM_MUST_CHECK int mm_entries_add(struct mm_entries *en, const char *name, size_t n,
                                 const struct mm_tensor *t, const char *file,
                                 struct mm_err *e);

/* mm_entries_alloc: n bytes that live as long as the list.  MM_EDATA when the
 * files seen so far cannot justify so much (a few bytes expanded to
 * terabytes); MM_ENOMEM. */
MM_MUST_CHECK int mm_entries_alloc(void **p, struct mm_entries *en, size_t n, struct mm_err *e);

/* mm_entries_allow: add n bytes to that budget: their need is beyond doubt. */
void mm_entries_allow(struct mm_entries *en, size_t n);

/* mm_entries_find: the entry of a name, or NULL. */
const struct mm_ckpt_entry *mm_entries_find(const struct mm_entries *en, const char *name);

/* mm_entries_warn: note something odd that is no error; dropped when out of memory. */
void mm_entries_warn(struct mm_entries *en, const char *fmt, ...) MM_PRINTF(2, 3);


#endif
