/* json.h: what every reader of JSON here needs beside jansson.
 *
 * Parsing is jansson's (duplicate keys refused, depth bounded by it); these
 * add the file name to errors and typed look-ups with defaults.
 */
#ifndef MM_BASE_JSON_H
#define MM_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* mm_json_load: parse n bytes (what names them in messages: line and column
 * are added).  New reference in *out; MM_EDATA, MM_ENOMEM. */
MM_MUST_CHECK int mm_json_load(json_t **out, const char *text, size_t n, const char *what,
                               struct mm_err *e);

/* mm_json_each: the elements of an array, one after another, so that they need not all be
 * in memory; of text that is no array, the values that follow each other (JSON lines).
 * *at begins as 0 and is moved on.  1: *out is a new reference; 0: the end. */
MM_MUST_CHECK int mm_json_each(json_t **out, const char *text, size_t n, size_t *at,
                               const char *what, struct mm_err *e);

/* mm_json_space: the first byte of text[n], from at on, that is no white space of JSON, or n. */
size_t mm_json_space(const char *text, size_t n, size_t at);

/* mm_json_file: mm_json_load of a file of at most 1 GiB. MM_ENOENT if absent. */
MM_MUST_CHECK int mm_json_file(json_t **out, const char *path, struct mm_err *e);

/* Typed look-ups: the member if it is there with the right type; dflt when
 * absent or null.  A member of another type sets MM_EDATA in *e (naming key)
 * and gives dflt. obj may be NULL (gives dflt). */
int64_t mm_json_int(const json_t *obj, const char *key, int64_t dflt, struct mm_err *e);
double mm_json_num(const json_t *obj, const char *key, double dflt, struct mm_err *e);
bool mm_json_bool(const json_t *obj, const char *key, bool dflt, struct mm_err *e);
const char *mm_json_str(const json_t *obj, const char *key, const char *dflt, struct mm_err *e);

/* mm_json_quote: append s[n] (UTF-8; bad bytes become U+FFFD) as a JSON string. */
void mm_json_quote(struct mm_buf *b, const char *s, size_t n);

#endif
