/* charmap.h: single-byte encodings that UTF-8 is often mistaken for.
 *
 * "Sloppy": a byte without a character stands for the control character of its
 * number, as in the WHATWG Encoding Standard.
 */
#ifndef MM_TEXT_CHARMAP_H
#define MM_TEXT_CHARMAP_H

#include <stddef.h>
#include <stdint.h>

enum mm_charmap {
    MM_LATIN1, MM_CP1252, MM_CP1251, MM_CP1250, MM_CP1253, MM_CP1254, MM_CP1257, MM_LATIN2,
    MM_MACROMAN, MM_CP437, MM_NCHARMAP
};

/* mm_charmap_char: the character of a byte; mm_charmap_byte: the byte of a
 * character, -1 if it has none. */
uint32_t mm_charmap_char(enum mm_charmap m, unsigned char b);
int mm_charmap_byte(enum mm_charmap m, uint32_t c);

#endif
