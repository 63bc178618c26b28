/* bytelevel.h: GPT-2's spelling of bytes as printable characters.
 *
 * Printable Latin-1 bytes stand for themselves, the other 68 for U+0100..0143
 * (Radford 2019, encoder.py: bytes_to_unicode).
 */
#ifndef MM_TEXT_BYTELEVEL_H
#define MM_TEXT_BYTELEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* mm_bytelevel_encode: append the characters of the bytes s[n]. */
void mm_bytelevel_encode(struct mm_buf *out, const char *s, size_t n);

/* mm_bytelevel_char: the character of a byte; mm_bytelevel_byte: the byte of a
 * character, -1 if it stands for none. */
uint32_t mm_bytelevel_char(unsigned char b);
int mm_bytelevel_byte(uint32_t c);

/* mm_bytelevel_decode: append the bytes of a token; one that holds any other
 * character is appended as it is. */
void mm_bytelevel_decode(struct mm_buf *out, const char *s, size_t n);

#endif
