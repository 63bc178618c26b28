/* crc.c: CRC-32 by isa-l, which folds with carry-less multiplies. */
#include "base/crc.h"

#include <isa-l/crc.h>

uint32_t mm_crc32(uint32_t crc, const void *p, size_t n)
{
    return crc32_gzip_refl(crc, p, n);
}
