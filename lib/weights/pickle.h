/* pickle.h: Python's pickle format, read into inert nodes.
 *
 * A stack machine for the opcodes that torch.save and TorchScript write, and
 * for protocols 2 to 5 of other writers.  Nothing named in the data is looked
 * up or called: a call becomes an MM_PK_OBJECT node with its callable and
 * arguments as data.  No recursion, whatever the nesting.
 * Specification: CPython Lib/pickletools.py.
 */
#ifndef MM_WEIGHTS_PICKLE_H
#define MM_WEIGHTS_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum mm_pk_kind {
    MM_PK_NONE, MM_PK_BOOL, MM_PK_INT, MM_PK_BIGINT, MM_PK_FLOAT, MM_PK_STR, MM_PK_BYTES,
    MM_PK_TUPLE, MM_PK_LIST, MM_PK_SET, MM_PK_DICT, MM_PK_GLOBAL, MM_PK_PERSID, MM_PK_OBJECT
};

typedef uint32_t mm_pk_id; /* a node; 0 is None */

struct mm_pk_node {
    enum mm_pk_kind kind;
    uint32_t n, cap; /* bytes of STR, BYTES, BIGINT; items of the containers; of
                        DICT and OBJECT: keys and values in turn */
    union {
        int64_t i;      /* INT, BOOL */
        double f;       /* FLOAT */
        const char *s;  /* STR, BYTES, BIGINT: in the pickle, no NUL at the end */
        mm_pk_id *item; /* TUPLE LIST SET DICT OBJECT */
    } u;
    mm_pk_id a, b, c; /* GLOBAL: module, name (STR).  PERSID: the id.  OBJECT:
                         callable, arguments, state (0 if none) */
};

struct mm_pickle;

/* mm_pickle_run: the pickle at the beginning of data[size], which must outlive
 * *p; *used is where it ends.  MM_EDATA (opcode and offset), MM_ENOMEM. */
MM_MUST_CHECK int mm_pickle_run(struct mm_pickle **p, const unsigned char *data, size_t size,
                                size_t *used, struct mm_err *e);
void mm_pickle_free(struct mm_pickle *p); /* takes NULL */

mm_pk_id mm_pickle_root(const struct mm_pickle *p);
size_t mm_pickle_count(const struct mm_pickle *p); /* ids are below */
const struct mm_pk_node *mm_pickle_node(const struct mm_pickle *p, mm_pk_id id);

/* mm_pickle_is_str: is the node this text?  mm_pickle_is_global: is it the
 * global module.name? */
int mm_pickle_is_str(const struct mm_pickle *p, mm_pk_id id, const char *s);
int mm_pickle_is_global(const struct mm_pickle *p, mm_pk_id id, const char *module,
                        const char *name);

/* mm_pickle_get: the value of a text key in a DICT (or in the items of an
 * OBJECT); 0 if absent. */
mm_pk_id mm_pickle_get(const struct mm_pickle *p, mm_pk_id dict, const char *key);

#endif
