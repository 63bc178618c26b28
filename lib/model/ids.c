/* ids.c: see ids.h. */
#include "model/ids.h"

#include <inttypes.h>
#include <string.h>

int mm_ids_from_record(struct mm_ids *ids, const struct mm_rec *rec, struct mm_err *e)
{
    const struct mm_tensor *t = &rec->t;

    if (rec->type != MM_REC_TENSOR || t->ndim < 1 || t->ndim > 2 ||
        (t->dtype != MM_I32 && t->dtype != MM_I64) || mm_tensor_count(t) == 0)
        return mm_err_set(e, MM_EDATA, "tokens record: %s of %d dimensions, want i32 or i64 ids "
                          "[T] or [B,T]", mm_dtype_name(t->dtype), t->ndim);
    for (size_t i = 0; i < mm_tensor_count(t); i++) {
        int64_t id;
        int32_t narrow;

        if (t->dtype == MM_I64) {
            memcpy(&id, (const char *)t->data + i * sizeof(id), sizeof(id));
        } else {
            memcpy(&narrow, (const char *)t->data + i * sizeof(narrow), sizeof(narrow));
            id = narrow;
        }
        if (id < INT32_MIN || id > INT32_MAX)
            return mm_err_set(e, MM_EDATA, "tokens record: id %" PRId64 " is out of range", id);
        if (mm_ids_add(ids, (int32_t)id) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    return 0;
}

int mm_ids_for_clip(struct mm_ids *ids, const struct mm_clip_text *m, const struct mm_tok *tok,
                    const char *s, size_t n, struct mm_err *e)
{
    const size_t most = ids->n + (size_t)mm_clip_text_config(m)->positions, before = ids->n;
    const unsigned flags = MM_TOK_SPECIAL | (mm_tok_default_parse(tok) ? MM_TOK_PARSE : 0);
    int rc = mm_tok_encode(tok, ids, s, n, flags, e);

    if (rc < 0)
        return rc;
    if (ids->n == before)
        return mm_err_set(e, MM_EDATA, "a text without tokens");
    if (ids->n > most) {
        ids->v[most - 1] = ids->v[ids->n - 1];
        ids->n = most;
    }
    return 0;
}
