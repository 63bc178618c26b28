/* regex.h: the patterns of tokenizer files (Oniguruma's spelling), by PCRE2.
 *
 * \s, \w and their opposites are rewritten to the classes that tokenizers have:
 * \s is White_Space, \w holds marks.  \p{L} and \p{N} are Unicode 14.
 */
#ifndef MM_TEXT_REGEX_H
#define MM_TEXT_REGEX_H

#include <stddef.h>

#include "base/err.h"

struct mm_regex;

/* mm_regex_new: compile pattern[n].  MM_EDATA (with offset), MM_ENOMEM. */
MM_MUST_CHECK int mm_regex_new(struct mm_regex **r, const char *pattern, size_t n,
                               struct mm_err *e);
void mm_regex_free(struct mm_regex *r); /* takes NULL */

/* A search in progress: one per thread, any number of texts. */
struct mm_regex_run;
MM_MUST_CHECK int mm_regex_start(struct mm_regex_run **run, const struct mm_regex *r,
                                 struct mm_err *e);
void mm_regex_end(struct mm_regex_run *run); /* takes NULL */

/* mm_regex_find: the first match in s[n] (valid UTF-8) at or after `from`, its
 * borders in *ms and *me.  1 if there is one, 0 if not; MM_EDATA when the
 * pattern needs too many steps on this text; MM_ENOMEM. */
MM_MUST_CHECK int mm_regex_find(struct mm_regex_run *run, const char *s, size_t n, size_t from,
                                size_t *ms, size_t *me, struct mm_err *e);

#endif
