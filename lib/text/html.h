/* html.h: character references of HTML (&eacute; &#233; &#xE9;) in text.
 *
 * WHATWG HTML, 13.2.5.72 to 80, as Python's html.unescape reads it.
 */
#ifndef MM_TEXT_HTML_H
#define MM_TEXT_HTML_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct mm_html_entity {
    const char *name; /* without "&" */
    uint32_t c, c2;   /* one or two characters; c2 0: one */
};

/* Sorted by name. */
extern const struct mm_html_entity mm_html_entities[];
extern const size_t mm_html_nentities;

/* mm_html_named: the reference of exactly this name, NULL if there is none. */
const struct mm_html_entity *mm_html_named(const char *name, size_t n);

/* mm_html_unescape: append s[n] (valid UTF-8), all references replaced. */
void mm_html_unescape(struct mm_buf *out, const char *s, size_t n);

/* mm_html_unescape_strict: only those that end in ";", and also ones written in
 * capitals that are known in small letters (&EACUTE;). */
void mm_html_unescape_strict(struct mm_buf *out, const char *s, size_t n);

#endif
