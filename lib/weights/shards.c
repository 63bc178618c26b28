/* shards.c: concatenation of tensor-parallel shards. */
#include "weights/shards.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/size.h"

enum axis { ROWS = 0, COLUMNS = 1, SAME = -1 };

static bool has_part(const char *name, const char *part)
{
    const char *const p = strstr(name, part);
    return p && (p == name || p[-1] == '.');
}

/* Length of the residual stream, from the final norm; 0 if unknown. */
static int64_t model_dim(const struct mm_ckpt *shard)
{
    const struct mm_ckpt_entry *const x = mm_ckpt_lookup(shard, "norm.weight");
    return x && x->t.ndim == 1 ? x->t.shape[0] : 0;
}

static enum axis axis_of(const struct mm_ckpt_entry *x, int64_t dim, size_t nshards)
{
    static const char *const rows[] = { "wq.", "wk.", "wv.", "w1.", "w3.", "output." };
    static const char *const columns[] = { "wo.", "w2." };

    if (x->t.ndim != 2)
        return SAME;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (has_part(x->name, rows[i]))
            return ROWS;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (has_part(x->name, columns[i]))
            return COLUMNS;
    if (has_part(x->name, "tok_embeddings."))
        return x->t.shape[1] * (int64_t)nshards == dim ? COLUMNS : ROWS;
    return SAME;
}

/* Copy part k (rows x width bytes) into its place in the joined tensor. */
static void place(char *out, size_t stride, const char *part, size_t rows, size_t width, size_t at)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(out + r * stride + at, part + r * width, width);
}

static int join_one(struct mm_ckpt *ck, struct mm_ckpt *const *shard, size_t n,
                    const struct mm_ckpt_entry *x, const char *file, struct mm_err *e)
{
    const enum axis axis = axis_of(x, model_dim(shard[0]), n);
    struct mm_tensor t = x->t;
    const size_t elem = mm_dtype_block_bytes(t.dtype), parts = axis == SAME ? 1 : n;
    size_t bytes;

    if (axis != SAME && __builtin_mul_overflow(t.shape[axis], (int64_t)n, &t.shape[axis]))
        return mm_err_set(e, MM_EDATA, "tensor '%s': too large", x->name);
    if (!mm_size_mul(mm_tensor_bytes(&x->t), parts, &bytes))
        return mm_err_set(e, MM_EDATA, "tensor '%s': too large", x->name);
    int rc = mm_entries_alloc(&t.data, &ck->en, bytes, e);
    if (rc < 0)
        return mm_err_prefix(e, "tensor '%s'", x->name);

    size_t at = 0;
    for (size_t k = 0; k < parts; k++) {
        const struct mm_ckpt_entry *const p = mm_ckpt_lookup(shard[k], x->name);
        if (!p)
            return mm_err_set(e, MM_EDATA, "%s: no tensor '%s'", mm_ckpt_path(shard[k]), x->name);
        if (p->t.dtype != x->t.dtype || !mm_shape_eq(&p->t, &x->t))
            return mm_err_set(e, MM_EDATA, "%s: tensor '%s' has not the shape it has in the "
                              "first shard", mm_ckpt_path(shard[k]), x->name);
        const size_t part = mm_tensor_bytes(&p->t);
        if (axis == COLUMNS) {
            const size_t width = (size_t)p->t.shape[1] * elem;
            place(t.data, width * n, p->t.data, (size_t)p->t.shape[0], width, width * k);
        } else {
            memcpy((char *)t.data + at, p->t.data, part);
            at += part;
        }
    }
    return mm_entries_add(&ck->en, x->name, strlen(x->name), &t, file, e);
}

static int open_shard(struct mm_ckpt **shard, const char *dir, const char *name, struct mm_err *e)
{
    struct mm_buf path = { 0 };

    mm_buf_printf(&path, "%s/%s", dir, name);
    const int rc = path.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                               : mm_ckpt_open(shard, path.p, e);
    mm_buf_free(&path);
    return rc;
}

int mm_shards_join(struct mm_ckpt *ck, const char *const *names, size_t n, struct mm_err *e)
{
    struct mm_ckpt **shard;
    size_t total = 0;
    int rc;

    if (n == 1) {
        struct mm_buf path = { 0 };
        mm_buf_printf(&path, "%s/%s", ck->dir, names[0]);
        rc = path.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                         : mm_ckpt_add_file(ck, path.p, e);
        mm_buf_free(&path);
        return rc;
    }
    rc = 0;
    shard = calloc(n, sizeof *shard);
    if (!shard)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t k = 0; k < n && rc == 0; k++)
        if ((rc = open_shard(&shard[k], ck->dir, names[k], e)) == 0)
            for (size_t i = 0; i < mm_ckpt_count(shard[k]); i++)
                total += mm_tensor_bytes(&mm_ckpt_at(shard[k], i)->t);
    const char *const file = mm_entries_file(&ck->en, ck->dir, total);
    if (rc == 0 && !file)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < mm_ckpt_count(shard[0]); i++)
        rc = join_one(ck, shard, n, mm_ckpt_at(shard[0], i), file, e);
    for (size_t k = 0; k < n; k++)
        mm_ckpt_close(shard[k]);
    free(shard);
    return rc;
}
