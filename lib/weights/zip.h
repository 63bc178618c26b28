/* zip.h: reader of zip archives in memory, with zip64, as PyTorch and NumPy
 * write them.
 *
 * Sizes come from the central directory (PyTorch's local headers hold zeros),
 * the place of the data from the local header (its extra field is padded).
 * Specification: PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3.
 */
#ifndef MM_WEIGHTS_ZIP_H
#define MM_WEIGHTS_ZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weights/entries.h"

struct mm_zip;

struct mm_zip_member {
    const char *name; /* NUL-terminated copy */
    size_t size;      /* inflated */
    size_t csize;     /* as stored */
    size_t header;    /* offset of the local header */
    uint32_t crc;
    unsigned method;  /* 0 stored, 8 deflated, others are refused when read */
    bool encrypted;
};

/* mm_zip_open: read the central directory of data[size], which must outlive
 * *z.  MM_EDATA for a directory that contradicts itself or the file. */
MM_MUST_CHECK int mm_zip_open(struct mm_zip **z, const unsigned char *data, size_t size,
                              struct mm_err *e);
void mm_zip_close(struct mm_zip *z); /* takes NULL */

/* Members in directory order, and by exact name (NULL if absent). */
size_t mm_zip_count(const struct mm_zip *z);
const struct mm_zip_member *mm_zip_at(const struct mm_zip *z, size_t i);
const struct mm_zip_member *mm_zip_find(const struct mm_zip *z, const char *name);

/* mm_zip_read: the m->size bytes of a member: borrowed from the file when it is
 * stored, inflated into memory of en otherwise.  A small member whose CRC
 * differs is noted as a warning.  MM_EDATA; MM_ENOMEM. */
MM_MUST_CHECK int mm_zip_read(const unsigned char **p, const struct mm_zip *z,
                              const struct mm_zip_member *m, struct mm_entries *en,
                              struct mm_err *e);

#endif
