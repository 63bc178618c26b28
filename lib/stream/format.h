/* format.h: the constants of mmts 1 that reader and writer share (formats/mmts.md). */
#ifndef MM_STREAM_FORMAT_H
#define MM_STREAM_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream/stream.h"

#define MM_FORMAT_MAGIC "mmts 1 "

enum {
    MM_FORMAT_ALIGN = 64,
    MM_FORMAT_HEADER = 65536, /* most bytes of a header, magic and empty line included */
    MM_FORMAT_LINES = 1024,   /* most lines between the magic and the empty line */
    MM_FORMAT_KEY = 64,       /* most bytes of a key */
    MM_FORMAT_TRAILER = 13    /* "crc " 8 digits LF, behind a payload */
};

/* mm_format_trailer: the line that follows a payload of checksum crc, and a NUL. */
void mm_format_trailer(char out[MM_FORMAT_TRAILER + 1], uint32_t crc);

/* mm_format_key: is s[n] a key of the grammar? */
bool mm_format_key(const char *s, size_t n);

/* mm_format_own: is key one that the format keeps for itself? */
bool mm_format_own(const char *key);

/* mm_format_number: s[n] as a decimal number without sign or leading zeros and
 * at most 2^63 - 1; false if it is none. */
bool mm_format_number(const char *s, size_t n, uint64_t *v);

/* mm_format_unescape: value s[n] of a header line into out[n] (may be s); sets *len.
 * Returns false on a byte or escape the grammar does not have. */
bool mm_format_unescape(char *out, size_t *len, const char *s, size_t n);

/* mm_format_escape: append value to b as a header line has it; bytes that are
 * no UTF-8 become U+FFFD. */
struct mm_buf;
void mm_format_escape(struct mm_buf *b, const char *value);

#endif
