/* csv.h: tables of numbers as comma-separated text (RFC 4180, one cell a number).
 *
 * A first line with a cell that is no number is the header.  Cells may be in
 * quotes; lines end in LF or CR LF; an empty last line does not count.
 */
#ifndef MM_BASE_CSV_H
#define MM_BASE_CSV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/tensor.h"

struct mm_csv {
    struct mm_tensor t; /* [rows, columns], i64 if all cells are integers, else f64; malloc'd */
    char *header;       /* JSON array of the column names, or NULL; malloc'd */
};

/* mm_csv_parse: text[n]; what names it in messages, which give line and column.
 * MM_EDATA (no UTF-8, a cell that is no number, lines of different length),
 * MM_ENOMEM. */
MM_MUST_CHECK int mm_csv_parse(struct mm_csv *c, const char *text, size_t n, const char *what,
                               struct mm_err *e);
void mm_csv_free(struct mm_csv *c); /* takes a zeroed one */

/* mm_csv_write: append t, of at most 2 dimensions other than 1 and any dtype but c64,
 * a row a line; header as in struct mm_csv, or NULL.  MM_ESHAPE, MM_EDATA (header
 * of another length or no array of strings), MM_ENOMEM. */
MM_MUST_CHECK int mm_csv_write(struct mm_buf *b, const struct mm_tensor *t, const char *header,
                               struct mm_err *e);

#endif
