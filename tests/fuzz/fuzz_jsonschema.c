/* fuzz_jsonschema: any JSON as a schema; the grammar made of it must parse.
 *
 * covers: lib/nn/jsonschema.c
 * seeds: tests/fuzz/seeds/jsonschema
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "nn/gbnf.h"
#include "nn/jsonschema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };
    struct mm_gram *g = NULL;
    json_t *s;

    if (size > 4096 || mm_json_load(&s, (const char *)data, size, "fuzz", &e) != 0)
        return 0;
    if (mm_jsonschema_gbnf(&b, s, &e) == 0 && mm_gbnf_parse(&g, b.p, b.n, &e) != 0 &&
        !strstr(e.msg, "left recursion") && !strstr(e.msg, "too large"))
        abort();
    mm_gram_free(g);
    mm_buf_free(&b);
    json_decref(s);
    return 0;
}
