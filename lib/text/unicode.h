/* unicode.h: properties, case and normal forms as tokenizers need them.
 *
 * Tables are libunistring's (Unicode 14), which is what \p{L} and \p{N} of the
 * tokenizers library (0.20) know.  Its BERT parts use tables of Unicode 8: the
 * functions with "8" in the name leave out what was assigned later; so do
 * mm_uc_accent and the K forms of mm_uc_normalise with their own tables.
 */
#ifndef MM_TEXT_UNICODE_H
#define MM_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

bool mm_uc_letter(uint32_t c);  /* L* */
bool mm_uc_number(uint32_t c);  /* N*, those of Unicode 15 too */
bool mm_uc_accent(uint32_t c);  /* M* that StripAccents takes off */
bool mm_uc_space(uint32_t c);   /* White_Space: 25 characters */
bool mm_uc_word(uint32_t c);    /* \w of UTS 18: Alphabetic, M*, Nd, Pc, Join_Control; Unicode 16 */
bool mm_uc_old_word(uint32_t c); /* that of Oniguruma: Unicode 14, no Join_Control */
bool mm_uc_other(uint32_t c);   /* C*, unassigned included */
bool mm_uc_punct(uint32_t c);   /* P* or ASCII punctuation */
bool mm_uc_nonspacing(uint32_t c); /* Mn */
bool mm_uc_punct8(uint32_t c);
bool mm_uc_nonspacing8(uint32_t c);
bool mm_uc_control8(uint32_t c);   /* Cc, Cf, Co */

/* mm_uc_script9: the name of the script in Unicode 9, NULL if c has none. */
const char *mm_uc_script9(uint32_t c);

/* mm_uc_chinese: the CJK ideographs that BERT sets apart. */
bool mm_uc_chinese(uint32_t c);

/* mm_uc_lower: append s[n] (UTF-8) in lower case, each character by itself;
 * sigma: a capital sigma that ends a word becomes the final form. */
void mm_uc_lower(struct mm_buf *out, const char *s, size_t n, bool sigma);

enum mm_nf { MM_NFC, MM_NFD, MM_NFKC, MM_NFKD };

/* mm_uc_normalise: append the normal form of s[n], valid UTF-8. */
void mm_uc_normalise(struct mm_buf *out, const char *s, size_t n, enum mm_nf form);

/* mm_uc_put: append one character. */
void mm_uc_put(struct mm_buf *out, uint32_t c);

/* mm_uc_next: the character at s[*i] of valid UTF-8; moves *i behind it. */
uint32_t mm_uc_next(const char *s, size_t n, size_t *i);

#endif
