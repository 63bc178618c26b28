/* prompt.h: from texts, embeddings and token ids to the positions of a prompt
 * (llava.md 6).
 *
 *   template text with markers + an item's records -> parts -> positions
 *
 * Parts are what a prompt is made of, in order; positions are what the model
 * is fed: a token id, or a row of embeddings.
 */
#ifndef MM_MODEL_PROMPT_H
#define MM_MODEL_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/tensor.h"
#include "text/tokenizer.h"

/* --- parts ------------------------------------------------------------------- */

enum mm_part_kind {
    MM_PART_TEXT, /* template text: spellings of special tokens are parsed */
    MM_PART_USER, /* text of a user: they are not */
    MM_PART_ROWS, /* embeddings */
    MM_PART_IDS   /* token ids */
};

struct mm_part {
    enum mm_part_kind kind;
    const char *marker; /* static: "<image>", ...: what stands for it in a template, or NULL */
    char *s;            /* texts: n bytes and a NUL */
    float *rows;        /* embeddings [n][dim]; NULL: known by their hashes alone (saved states) */
    uint64_t *hash;     /* [n] */
    int32_t *ids;       /* [n] */
    size_t n;
    bool borrowed;      /* another list owns what it points to */
};

struct mm_parts {
    struct mm_part *v;
    size_t n, cap;
};

void mm_parts_free(struct mm_parts *p); /* takes a zeroed one */

/* Each appends a copy.  mm_parts_rows: t [..., dim] of any float type, finite.
 * mm_parts_ids: integers 0..vocab-1.  MM_ESHAPE, MM_EDATA (naming value and
 * place), MM_ENOMEM. */
MM_MUST_CHECK int mm_parts_text(struct mm_parts *p, enum mm_part_kind kind, const char *s,
                                size_t n, struct mm_err *e);
MM_MUST_CHECK int mm_parts_rows(struct mm_parts *p, const char *marker, const struct mm_tensor *t,
                                int64_t dim, struct mm_err *e);
MM_MUST_CHECK int mm_parts_ids(struct mm_parts *p, const struct mm_tensor *t, int64_t vocab,
                               struct mm_err *e);

/* mm_parts_known: embeddings known by the hashes of their n rows alone; marker is
 * one of mm_part_marker's or NULL. */
MM_MUST_CHECK int mm_parts_known(struct mm_parts *p, const char *marker, const uint64_t *hash,
                                 size_t n, struct mm_err *e);

/* mm_part_marker: the marker of a modality ("image", NULL: image): static, or
 * NULL for an unknown one.  mm_has_marker: does the text hold any marker? */
const char *mm_part_marker(const char *modality);
bool mm_has_marker(const char *s, size_t n);

/* mm_parts_fill: append text s[n] of the kind given, each marker replaced by the next
 * part of media with that marker, which is moved out.  MM_EDATA, naming both
 * numbers, unless every marker finds one and every one a marker. */
MM_MUST_CHECK int mm_parts_fill(struct mm_parts *p, enum mm_part_kind kind, const char *s,
                                size_t n, struct mm_parts *media, struct mm_err *e);

/* mm_parts_move: append everything of media as it is, in order. */
MM_MUST_CHECK int mm_parts_move(struct mm_parts *p, struct mm_parts *media, struct mm_err *e);

/* mm_parts_borrow: append all parts of src, which must outlive p. */
MM_MUST_CHECK int mm_parts_borrow(struct mm_parts *p, const struct mm_parts *src,
                                  struct mm_err *e);

/* mm_parts_spell: the parts as template text, markers for embeddings. */
void mm_parts_spell(struct mm_buf *out, const struct mm_parts *p);

/* --- positions ----------------------------------------------------------------- */

/* How a checkpoint was taught where pictures stand. */
enum mm_mark_style {
    MM_MARK_CHUNK, /* original: the text on each side is tokenized by itself */
    MM_MARK_TOKEN, /* HF: one token a row in one tokenized text, rows overwritten */
    MM_MARK_PATCH  /* April 2023: <im_start>, <im_patch> for each row, <im_end> */
};

struct mm_prompt_spec {
    const struct mm_tok *tok; /* NULL: ids and embeddings only */
    enum mm_mark_style style;
    int64_t dim;              /* of embeddings */
    double *seconds;          /* NULL, or what building prompts took is added to it */
};

struct mm_prompt {
    int32_t *id;     /* [n] token, or ~r: row r of rows */
    size_t n, cap;
    const float **row; /* [nrows] each [dim]; borrowed from the parts; NULL if unknown */
    uint64_t *hash;  /* [nrows] */
    size_t nrows, row_cap, hash_cap;
};

void mm_prompt_free(struct mm_prompt *p); /* takes a zeroed one */

/* mm_prompt_build: p must be zeroed; parts must outlive it.  One BOS stands in
 * front where the tokenizer adds it and the prompt does not begin with ids.
 * MM_EMISSING: text without a tokenizer; MM_EDATA: not UTF-8. */
MM_MUST_CHECK int mm_prompt_build(struct mm_prompt *p, const struct mm_prompt_spec *spec,
                                  const struct mm_parts *parts, struct mm_err *e);

/* mm_prompt_add: one more token (what was generated). MM_ENOMEM. */
MM_MUST_CHECK int mm_prompt_add(struct mm_prompt *p, int32_t id);

/* mm_prompt_copy: dst (zeroed) gets src's positions; rows stay borrowed. */
MM_MUST_CHECK int mm_prompt_copy(struct mm_prompt *dst, const struct mm_prompt *src);

/* mm_prompt_common: how many positions a and b share from the start (equal ids,
 * equal hashes of rows). */
size_t mm_prompt_common(const struct mm_prompt *a, const struct mm_prompt *b);

#endif
