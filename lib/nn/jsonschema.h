/* jsonschema.h: a JSON Schema as a grammar (GBNF text) of the documents it allows.
 *
 * Understood: type (also a list), properties (written in their order), required,
 * items, prefixItems, minItems, maxItems, minLength, maxLength, enum, const, anyOf, oneOf,
 * allOf of one, $ref into the same document; an absent or empty schema is any
 * JSON.  Properties that are not listed are not written.  Annotations and
 * `format` are ignored; a keyword that would narrow the documents and is not
 * understood is refused.  White space is bounded.
 */
#ifndef MM_NN_JSONSCHEMA_H
#define MM_NN_JSONSCHEMA_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

/* mm_jsonschema_gbnf: append the grammar; schema NULL: any JSON.  MM_EDATA
 * (malformed, nested too deeply, unresolved $ref), MM_EMISSING (a keyword that
 * is not understood), MM_ENOMEM. */
MM_MUST_CHECK int mm_jsonschema_gbnf(struct mm_buf *out, const json_t *schema, struct mm_err *e);

#endif
