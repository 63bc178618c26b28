/* mojibake.h: text that is UTF-8 read in another encoding ("cafÃ©"), put right.
 *
 * A guess, and a careful one: characters become other characters only where
 * they are, in one encoding, the bytes of UTF-8, and enough of them are such
 * that chance is unlikely.
 */
#ifndef MM_TEXT_MOJIBAKE_H
#define MM_TEXT_MOJIBAKE_H

#include <stddef.h>

#include "base/buf.h"

/* mm_mojibake_fix: append s[n] (valid UTF-8, one line) put right; what does not
 * look wrong is appended as it is. */
void mm_mojibake_fix(struct mm_buf *out, const char *s, size_t n);

#endif
