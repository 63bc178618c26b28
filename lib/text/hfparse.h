/* hfparse.h: what the readers of tokenizer.json's components share. */
#ifndef MM_TEXT_HFPARSE_H
#define MM_TEXT_HFPARSE_H

#include <jansson.h>

#include "base/err.h"
#include "text/impl.h"
#include "text/regex.h"

/* mm_hf_steps: call fn for each component of j in order, Sequences (with their
 * list in `member`) laid flat; null and NULL have none.  Stops at the first
 * negative result.  MM_EDATA on a wrong shape or Sequences nested too deep. */
typedef int mm_hf_step_fn(void *arg, const char *type, const json_t *step, struct mm_err *e);
MM_MUST_CHECK int mm_hf_steps(const json_t *j, const char *member, mm_hf_step_fn *fn, void *arg,
                              struct mm_err *e);

/* mm_hf_string: a string that must be there; it lives as long as obj. */
MM_MUST_CHECK int mm_hf_string(struct mm_str *s, const json_t *obj, const char *key,
                               struct mm_err *e);

/* mm_hf_char: a string of one character that must be there. */
MM_MUST_CHECK int mm_hf_char(uint32_t *c, const json_t *obj, const char *key, struct mm_err *e);

/* mm_hf_bool: true, false; dflt when absent or null; else MM_EDATA. */
MM_MUST_CHECK int mm_hf_bool(bool *b, const json_t *obj, const char *key, bool dflt,
                             struct mm_err *e);

/* mm_hf_size: an integer of 0..max that must be there. */
MM_MUST_CHECK int mm_hf_size(size_t *v, const json_t *obj, const char *key, size_t max,
                             struct mm_err *e);

/* mm_hf_unknown: MM_EMISSING, "normalizer 'X' is not supported". */
int mm_hf_unknown(const char *what, const char *type, struct mm_err *e);

/* A pattern: {"String": s} or {"Regex": s}. */
struct mm_hfpat {
    struct mm_str text; /* re NULL: this string */
    struct mm_regex *re;
};
MM_MUST_CHECK int mm_hfpat_new(struct mm_hfpat *p, const json_t *obj, struct mm_err *e);
void mm_hfpat_free(struct mm_hfpat *p);

/* Searching a text for a pattern, match after match. */
struct mm_hffind {
    const struct mm_hfpat *pat;
    struct mm_regex_run *run;
    size_t from; /* where the next search begins */
};
MM_MUST_CHECK int mm_hffind_start(struct mm_hffind *f, const struct mm_hfpat *p, struct mm_err *e);
void mm_hffind_end(struct mm_hffind *f);
/* mm_hffind_reset: before another text.  mm_hffind_next: 1 and the borders of
 * the next match, 0 after the last, or an error. */
void mm_hffind_reset(struct mm_hffind *f);
MM_MUST_CHECK int mm_hffind_next(struct mm_hffind *f, const char *s, size_t n, size_t *ms,
                                 size_t *me, struct mm_err *e);

#endif
