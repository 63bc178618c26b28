/* featq.h: records on their way to a stream of features, in the order they came.
 *
 * Pictures wait until a pass of the vision tower is full; texts and what is only
 * passed on wait for the pictures before them.  What is pushed belongs to an open
 * item until mm_featq_keep, so a failed item can be taken back whole.
 */
#ifndef MM_MODEL_FEATQ_H
#define MM_MODEL_FEATQ_H

#include "model/clip.h"
#include "stream/stream.h"
#include "text/tokenizer.h"

struct mm_featq_conf {
    const struct mm_clip_vision *vision; /* NULL: no views are pushed */
    const struct mm_clip_text *text;     /* NULL: no ids are pushed */
    struct mm_clip_select select;        /* with pooled: as the trace wants it too */
    struct mm_ctx *ctx;                  /* these three are borrowed */
    struct mm_writer *out;
    size_t batch;                        /* views in one pass of the tower; 0: what is best */
    bool pool;                           /* one vector a view, not its patches */
    bool together;                       /* passes only when all is flushed: an item at once */
};

struct mm_featq;

MM_MUST_CHECK int mm_featq_new(struct mm_featq **q, const struct mm_featq_conf *conf,
                               struct mm_err *e);
void mm_featq_free(struct mm_featq *q); /* takes NULL; writes nothing */

/* Each pushes an entry of the open item.  The record that is returned takes attributes, and
 * is valid until the next push; NULL: out of memory, in e.
 *
 * mm_featq_views: becomes features [n, ...] of the n views that the caller stores at
 *   *px, [n][3][S][S] prepared and in f32; without `axis` n is 1 and the axis is left out
 * mm_featq_ids: becomes features [rows, D] of rows texts of equal length; ids are moved in;
 *   `axis` as above
 * mm_featq_text: a text record
 * mm_featq_pass: a copy of rec */
struct mm_rec *mm_featq_views(struct mm_featq *q, size_t n, bool axis, float **px,
                              struct mm_err *e);
struct mm_rec *mm_featq_ids(struct mm_featq *q, struct mm_ids *ids, size_t rows, bool axis,
                            struct mm_err *e);
struct mm_rec *mm_featq_text(struct mm_featq *q, const char *s, size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_featq_pass(struct mm_featq *q, const struct mm_rec *rec, struct mm_err *e);

/* mm_featq_keep: the open item is complete, another one begins.
 * mm_featq_drop: the open item's entries are taken back. */
void mm_featq_keep(struct mm_featq *q);
void mm_featq_drop(struct mm_featq *q);

/* mm_featq_flush: run the passes that are full and write what is kept and done; all (or
 * more waits than is good for the memory): also a pass that is not full.  Errors are those
 * of the writer, MM_EDATA of the tower, MM_ENOMEM; nothing can go on after one. */
MM_MUST_CHECK int mm_featq_flush(struct mm_featq *q, bool all, struct mm_err *e);

uint64_t mm_featq_passes(const struct mm_featq *q); /* of either tower, so far */

#endif
