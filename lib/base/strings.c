/* strings.c: see strings.h. */
#include "base/strings.h"

#include <stdlib.h>
#include <string.h>

void mm_strings_free(struct mm_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    *s = (struct mm_strings){ 0 };
}

bool mm_strings_add(struct mm_strings *s, const char *p, size_t n)
{
    if (!mm_grow(&s->v, &s->cap, s->n + 1, sizeof(*s->v)))
        return false;
    char *copy = malloc(n + 1);
    if (copy == NULL)
        return false;
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    s->v[s->n++] = copy;
    return true;
}

void mm_unescape(struct mm_buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        const bool escape = s[0] == '\\' && (s[1] == 'n' || s[1] == 't' || s[1] == '\\');

        if (escape)
            s++;
        mm_buf_char(b, !escape ? *s : *s == 'n' ? '\n' : *s == 't' ? '\t' : '\\');
    }
}
