/* fuzz_fixtext: text through the cleaning for CLIP; it stays UTF-8 and does not
 * grow without bound.
 *
 * covers: lib/text/fixtext.c lib/text/mojibake.c lib/text/html.c lib/text/charmap.c
 * covers: lib/text/unicode.c
 * seeds: tests/fuzz/seeds/fixtext
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text/fixtext.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data;
    struct mm_buf out = { 0 };

    if (mm_utf8_valid(s, size) != size)
        return 0;
    mm_clean_clip(&out, s, size);
    for (int form = MM_NFC; form <= MM_NFKD; form++)
        mm_uc_normalise(&out, s, size, (enum mm_nf)form);
    for (size_t i = 0; i < size;) {
        const uint32_t c = mm_uc_next(s, size, &i);
        if (mm_uc_script9(c) && mm_uc_chinese(c) && mm_uc_punct8(c))
            abort();
        if (mm_uc_word(c) && (mm_uc_space(c) || (mm_uc_number(c) && mm_uc_letter(c))))
            abort();
        if (mm_uc_accent(c) && mm_uc_control8(c) && !mm_uc_nonspacing8(c) && !mm_uc_other(c))
            abort();
    }
    if (mm_utf8_valid(out.p ? out.p : "", out.n) != out.n || out.n > 200 * size + 200)
        abort();
    mm_buf_free(&out);
    return 0;
}
