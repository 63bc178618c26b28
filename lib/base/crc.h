/* crc.h: CRC-32 (IEEE 802.3, reflected, as zlib and gzip have it), by isa-l. */
#ifndef MM_BASE_CRC_H
#define MM_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* mm_crc32: continue crc (0 to start) over p[n]. */
uint32_t mm_crc32(uint32_t crc, const void *p, size_t n);

#endif
