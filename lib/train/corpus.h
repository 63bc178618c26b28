/* corpus.h: texts as rows of token ids for language modelling.
 *
 * Documents are joined, each with the tokenizer's BOS before and EOS behind it, and the
 * whole is cut into rows; a row attends across document borders.
 */
#ifndef MM_TRAIN_CORPUS_H
#define MM_TRAIN_CORPUS_H

#include "base/pool.h"
#include "text/tokenizer.h"

struct mm_corpus {
    int32_t *ids; /* [n] */
    size_t n, cap;
    size_t row;   /* ids of a row, the last one may have fewer */
    size_t rows;
};

struct mm_corpus_spec {
    char *const *path;        /* text files, JSON lines with a member "text", mmts streams
                                 of text or tokens records; "-" is standard input */
    int n;
    bool lines;               /* text files: a document a line */
    size_t row;
    int64_t vocab;            /* ids must be below it */
    const struct mm_tok *tok; /* NULL: tokens records only */
};

/* mm_corpus_load: tokens records of two or more axes are rows as they are, all of one
 * length, which replaces spec's; they do not mix with others.  MM_ENOENT, MM_EDATA. */
MM_MUST_CHECK int mm_corpus_load(struct mm_corpus *c, const struct mm_corpus_spec *s,
                                 struct mm_pool *p, struct mm_err *e);
void mm_corpus_free(struct mm_corpus *c); /* takes a zeroed one */

/* mm_corpus_text: the documents themselves, a newline behind each, appended to text. */
MM_MUST_CHECK int mm_corpus_text(struct mm_buf *text, char *const *path, int n, bool lines,
                                 struct mm_err *e);

/* mm_corpus_row: ids of row r, *n of them. */
const int32_t *mm_corpus_row(const struct mm_corpus *c, size_t r, size_t *n);

#endif
