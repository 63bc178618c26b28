/* fuzz_gbnf: any text as a grammar; what was read is walked with the input's own bytes.
 *
 * covers: lib/nn/gbnf.c
 * covers: lib/nn/grammar.c
 * seeds: tests/fuzz/seeds/gbnf
 */
#include <stdint.h>
#include <stdlib.h>

#include "nn/gbnf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct mm_gram *g, const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_gstate *s;

    if (mm_gstate_new(&s, g, &e) != 0)
        return;
    for (size_t i = 0; i < size && i < 64; i++) {
        const int ok = mm_gstate_accepts(s, data + i, 1, &e);
        if (ok < 0 || (ok > 0 && mm_gstate_advance(s, data + i, 1, &e) != 0)) {
            if (e.code == 0)
                abort();
            break;
        }
    }
    mm_gstate_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_gram *g;

    if (size > 4096)
        return 0;
    if (mm_gbnf_parse(&g, (const char *)data, size, &e) != 0) {
        if (e.code == 0 || e.msg[0] == '\0')
            abort();
        return 0;
    }
    walk(g, data, size);
    mm_gram_free(g);
    return 0;
}
