/* buf.c: a growing byte string. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

bool mm_grow(void *p, size_t *cap, size_t need, size_t elem)
{
    size_t n = *cap;
    size_t bytes;
    void *q;

    if (need <= *cap)
        return true;
    if (n < 8)
        n = 8;
    while (n < need) {
        if (!mm_size_mul(n, 2, &n)) {
            n = need;
            break;
        }
    }
    if (!mm_size_mul(n, elem, &bytes)) {
        n = need;
        if (!mm_size_mul(n, elem, &bytes))
            return false;
    }
    memcpy(&q, p, sizeof(q)); /* p is the address of a pointer of any type */
    q = realloc(q, bytes);
    if (q == NULL)
        return false;
    memcpy(p, &q, sizeof(q));
    *cap = n;
    return true;
}

void mm_buf_free(struct mm_buf *b)
{
    free(b->p);
    memset(b, 0, sizeof(*b));
}

void mm_buf_reset(struct mm_buf *b)
{
    b->n = 0;
    if (b->p != NULL)
        b->p[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static bool reserve(struct mm_buf *b, size_t n)
{
    size_t need;

    if (b->failed)
        return false;
    if (!mm_size_add(b->n, n, &need) || !mm_size_add(need, 1, &need)
        || !mm_grow(&b->p, &b->cap, need, 1))
        b->failed = true;
    return !b->failed;
}

void mm_buf_add(struct mm_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = '\0';
}

void mm_buf_str(struct mm_buf *b, const char *s)
{
    mm_buf_add(b, s, strlen(s));
}

void mm_buf_char(struct mm_buf *b, char c)
{
    mm_buf_add(b, &c, 1);
}

void mm_buf_printf(struct mm_buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (!reserve(b, 64))
        return;
    va_start(ap, fmt);
    n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= b->cap - b->n) {
        if (!reserve(b, (size_t)n))
            return;
        va_start(ap, fmt);
        vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
        va_end(ap);
    }
    b->n += (size_t)n;
}
