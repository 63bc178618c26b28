/* utf8.h: UTF-8 as RFC 3629 has it. */
#ifndef MM_BASE_UTF8_H
#define MM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* mm_utf8_get: decode one character at s[0..n-1]; sets *cp and returns its
 * length, or 0 if n is 0 or the bytes are no valid character (overlong forms,
 * surrogates, above 10FFFF, truncated). */
size_t mm_utf8_get(const char *s, size_t n, uint32_t *cp);

/* mm_utf8_put: encode cp (valid) into out[4]; returns the length. */
size_t mm_utf8_put(char *out, uint32_t cp);

/* mm_utf8_valid: offset of the first bad byte, or n if all is valid. */
size_t mm_utf8_valid(const char *s, size_t n);

/* mm_utf8_partial: length of a proper prefix of a valid character at the very
 * end of s[n] (0 if none): what a streaming printer must hold back. */
size_t mm_utf8_partial(const char *s, size_t n);

#endif
