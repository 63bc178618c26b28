/* texts.c: see texts.h. */
#include "train/texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

void mm_texts_free(struct mm_texts *t)
{
    free(t->ids);
    free(t->length);
}

int mm_texts_add_ids(struct mm_texts *t, const int32_t *v, size_t n, struct mm_err *e)
{
    const size_t T = (size_t)t->context, keep = n < T ? n : T;

    if (!mm_grow(&t->ids, &t->cap, (t->n + 1) * T, sizeof(*t->ids)) ||
        !mm_grow(&t->length, &t->length_cap, t->n + 1, sizeof(*t->length)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    int32_t *to = t->ids + t->n * T;
    memset(to, 0, T * sizeof(*to));
    memcpy(to, v, keep * sizeof(*to));
    if (keep < n)
        to[T - 1] = v[n - 1];
    for (size_t i = 0; i < keep; i++)
        if (to[i] < 0 || to[i] >= t->vocab)
            return mm_err_set(e, MM_EDATA, "token id %d is outside the vocabulary of %lld",
                              (int)to[i], (long long)t->vocab);
    t->length[t->n++] = (int64_t)keep;
    return 0;
}

int mm_texts_add(struct mm_texts *t, const char *s, size_t n, struct mm_err *e)
{
    struct mm_ids ids = { 0 };
    int rc;

    if (!t->tok)
        return mm_err_set(e, MM_EMISSING, "the model has no tokenizer: texts must be token ids");
    rc = mm_tok_encode(t->tok, &ids, s, n, MM_TOK_SPECIAL, e);
    if (rc == 0 && ids.n == 0)
        rc = mm_err_set(e, MM_EDATA, "text %zu is empty", t->n + 1);
    if (rc == 0)
        rc = mm_texts_add_ids(t, ids.v, ids.n, e);
    mm_ids_free(&ids);
    return rc;
}
