/* state_dict.h: the tensors of a pickled PyTorch object.
 *
 * Walks the nodes of weights/pickle.h: dicts, lists, and the state of objects
 * (modules, TorchScript), joining keys with '.'; understands the calls that
 * rebuild tensors, by their names only.
 */
#ifndef MM_WEIGHTS_STATE_DICT_H
#define MM_WEIGHTS_STATE_DICT_H

#include "weights/entries.h"
#include "weights/pickle.h"
#include "weights/strided.h"

/* A storage as a persistent id names it. */
struct mm_sdict_storage {
    const char *key; /* no NUL at the end */
    uint32_t key_len;
    enum mm_dtype dtype;
    bool untyped;          /* counted in bytes; the tensor says the dtype */
    int64_t numel;
    int64_t view_offset, view_numel; /* sub-range of the storage, in elements; -1: all */
    const unsigned char *data;       /* set by the container */
    size_t bytes;
};

/* What a container provides. */
struct mm_sdict_source {
    const struct mm_pickle *pickle;
    bool swap; /* storages are big-endian */
    void *arg;
    /* set s->data and s->bytes of a storage; MM_EDATA if it is not there or
     * its size is not numel elements */
    int (*storage)(void *arg, struct mm_sdict_storage *s, struct mm_err *e);
    /* NULL, or the tensor that an integer persistent id stands for */
    int (*tensor)(void *arg, int64_t id, struct mm_tensor *t, struct mm_err *e);
};

/* mm_sdict_read: append all tensors, in the order of the object.  A root that
 * is a wrapper ("state_dict", "model", ...) is entered, with a warning.
 * MM_EDATA: no tensor at all, or one that is malformed; MM_EMISSING: a kind of
 * tensor or dtype we do not read. */
MM_MUST_CHECK int mm_sdict_read(struct mm_entries *en, const struct mm_sdict_source *src,
                                const char *file, struct mm_err *e);

/* mm_sdict_persid: parse the id of a PERSID node.  1: a storage, in *s; 0:
 * another kind ('module', an integer); MM_EDATA, MM_EMISSING. */
MM_MUST_CHECK int mm_sdict_persid(struct mm_sdict_storage *s, const struct mm_pickle *p,
                                  mm_pk_id persid, struct mm_err *e);

/* mm_sdict_dtype: the dtype of a storage class or dtype global; *untyped is
 * set for UntypedStorage.  MM_EDATA if it is neither. */
MM_MUST_CHECK int mm_sdict_dtype(enum mm_dtype *d, bool *untyped, const struct mm_pickle *p,
                                 mm_pk_id global, struct mm_err *e);

#endif
