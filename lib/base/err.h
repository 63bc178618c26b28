/* err.h: one error, as a program reports it.
 *
 * Library functions that can fail return 0 (or a count) on success and a
 * negative enum mm_code otherwise, and fill the caller's struct mm_err.
 * The library never prints; base/cmd.h does, and turns codes into sysexits.
 */
#ifndef MM_BASE_ERR_H
#define MM_BASE_ERR_H

#include <stdarg.h>

#define MM_MUST_CHECK __attribute__((warn_unused_result))
#define MM_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum mm_code {
    MM_OK = 0,
    MM_EUSAGE = -1,   /* wrong command line: exit 64 */
    MM_EDATA = -2,    /* malformed or mismatching input: exit 65 */
    MM_ESHAPE = -3,   /* tensor of another shape or dtype: exit 65 */
    MM_ENOKEY = -4,   /* tensor or key absent: exit 65 */
    MM_ENOENT = -5,   /* no such input: exit 66 */
    MM_EMISSING = -6, /* a part this build or checkpoint lacks: exit 69 */
    MM_EBUG = -7,     /* cannot happen: exit 70 */
    MM_ENOMEM = -8,   /* out of memory: exit 70 */
    MM_EIO = -9       /* read or write failed: exit 74 */
};

struct mm_err {
    int code;       /* MM_OK or the first error set */
    int sys;        /* errno that the message tells of, or 0 */
    char msg[16000]; /* "thing: reason", one line; room for a list of tensors */
};

/* mm_err_set: record an error; returns code, so `return mm_err_set(...)` works.
 * The first error wins: a later call leaves *e alone.  e may be NULL.  A fmt
 * that ends in ':' has " " and strerror(errno) appended.  Control characters
 * in the message are replaced by '?', a long message is cut.
 */
int mm_err_set(struct mm_err *e, int code, const char *fmt, ...) MM_PRINTF(3, 4);

/* mm_err_prefix: put "fmt: " before the message of an error already set (the
 * file or record that the failing part did not know).  Returns e->code. */
int mm_err_prefix(struct mm_err *e, const char *fmt, ...) MM_PRINTF(2, 3);

/* mm_err_clear: back to "no error". */
void mm_err_clear(struct mm_err *e);

/* mm_err_status: exit status of a code, see DESIGN of the project: sysexits. */
int mm_err_status(int code);

#endif
