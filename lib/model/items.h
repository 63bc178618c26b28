/* items.h: the records of a stream, item by item, as parts of prompts.
 *
 * Consecutive records with the same item attribute are one item.  `embeds`,
 * `tokens` and `text` records become parts; all others are kept to be passed on.
 */
#ifndef MM_MODEL_ITEMS_H
#define MM_MODEL_ITEMS_H

#include "model/prompt.h"
#include "stream/cmdio.h"

struct mm_item {
    int64_t number;          /* -1: the records have none */
    struct mm_parts parts;   /* in order */
    char **source;           /* [nsource] distinct origins, in order */
    size_t nsource, source_cap;
    struct mm_rec *other;    /* [nother] copies of the records that are no parts */
    size_t nother, other_cap;
    struct mm_err fault;     /* why the item cannot be used (its own error record, or a
                                record of a wrong shape); code MM_OK: nothing */
};
void mm_item_free(struct mm_item *it); /* takes a zeroed one */

/* mm_item_source: add an origin unless it is there.  MM_ENOMEM. */
MM_MUST_CHECK int mm_item_source(struct mm_item *it, const char *source, struct mm_err *e);

struct mm_items {
    struct mm_input *in; /* borrowed */
    int64_t dim, vocab;  /* of the language model */
    struct mm_rec rec;   /* first record of the next item */
    bool have;
    struct mm_err broken; /* the input failed behind a complete item */
};

/* mm_items_next: the next complete item into *it (zeroed): 1, 0 at the end of
 * the input, or an error of the stream itself: the items before it were complete. */
MM_MUST_CHECK int mm_items_next(struct mm_items *s, struct mm_item *it, struct mm_err *e);

#endif
