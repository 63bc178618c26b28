/* err.c: the first error of a chain of calls, kept as code and message. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Control characters would let a hostile name forge lines or drive a terminal. */
static void clean(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F)
            *s = '?';
}

/* A message cut in the middle of a UTF-8 character loses the whole character. */
static void cut_utf8(char *s)
{
    size_t n = strlen(s);
    size_t i = n;

    while (i > 0 && n - i < 4 && ((unsigned char)s[i - 1] & 0xC0) == 0x80)
        i--;
    if (i > 0 && (unsigned char)s[i - 1] >= 0xC0)
        s[i - 1] = '\0';
}

static void format(struct mm_err *e, const char *fmt, va_list ap)
{
    const size_t size = sizeof(e->msg);
    const int n = vsnprintf(e->msg, size, fmt, ap);

    if (n < 0)
        e->msg[0] = '\0';
    else if ((size_t)n >= size)
        cut_utf8(e->msg);
}

int mm_err_set(struct mm_err *e, int code, const char *fmt, ...)
{
    const int sys = errno;
    const size_t nfmt = strlen(fmt);
    va_list ap;

    if (e == NULL || e->code != MM_OK)
        return code;
    e->code = code;
    e->sys = 0;
    va_start(ap, fmt);
    format(e, fmt, ap);
    va_end(ap);
    if (nfmt > 0 && fmt[nfmt - 1] == ':') {
        const size_t n = strlen(e->msg);

        e->sys = sys;
        snprintf(e->msg + n, sizeof(e->msg) - n, " %s", strerror(sys));
    }
    clean(e->msg);
    errno = sys;
    return code;
}

int mm_err_prefix(struct mm_err *e, const char *fmt, ...)
{
    struct mm_err old;
    va_list ap;
    size_t n;

    if (e == NULL)
        return MM_OK;
    if (e->code == MM_OK)
        return e->code;
    old = *e;
    va_start(ap, fmt);
    format(e, fmt, ap);
    va_end(ap);
    n = strlen(e->msg);
    if ((size_t)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", old.msg) >= sizeof(e->msg) - n)
        cut_utf8(e->msg);
    clean(e->msg);
    return e->code;
}

void mm_err_clear(struct mm_err *e)
{
    if (e != NULL) {
        e->code = MM_OK;
        e->sys = 0;
        e->msg[0] = '\0';
    }
}

int mm_err_status(int code)
{
    switch (code) {
    case MM_OK:
        return 0;
    case MM_EUSAGE:
        return 64;
    case MM_EDATA:
    case MM_ESHAPE:
    case MM_ENOKEY:
        return 65;
    case MM_ENOENT:
        return 66;
    case MM_EMISSING:
        return 69;
    case MM_EIO:
        return 74;
    default:
        return 70;
    }
}
