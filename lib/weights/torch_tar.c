/* torch_tar.c: the tar form; see torch/serialization.py, legacy_load.
 *
 * storages: pickle count; per storage a pickle (key, location, class), i64
 *           number of elements, the elements; a pickle list of views
 * tensors:  pickle count; per tensor a pickle (id, storage key, class), i32
 *           dimensions, 4 bytes, i64 sizes, i64 strides, i64 offset
 * pickle:   the object; persistent ids are tensor ids
 */
#include "weights/torch_tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/size.h"
#include "weights/pickle.h"
#include "weights/state_dict.h"

#define BLOCK 512

static const struct { const char *prefix; enum mm_dtype d; } classes[] = {
    { "Double", MM_F64 }, { "Float", MM_F32 }, { "Half", MM_F16 }, { "Long", MM_I64 },
    { "Int", MM_I32 }, { "Short", MM_I16 }, { "Char", MM_I8 }, { "Byte", MM_U8 },
};

struct part {
    const unsigned char *data;
    size_t size, at;
};

struct storage {
    int64_t key;
    const unsigned char *data;
    size_t numel;
    enum mm_dtype dtype;
};

struct view {
    int64_t id, storage;
    struct mm_strided v;
};

struct tar {
    struct part storages, tensors, pickle;
    struct storage *s; /* sorted by key */
    size_t ns, s_cap;
    struct view *v; /* sorted by id */
    size_t nv, v_cap;
    struct mm_entries *en;
};

bool mm_torch_tar_is(const unsigned char *data, size_t size)
{
    return size >= BLOCK && memcmp(data + 257, "ustar", 5) == 0;
}

static bool octal(const unsigned char *p, size_t n, size_t *v)
{
    *v = 0;
    for (size_t i = 0; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        if (!mm_size_mul(*v, 8, v) || !mm_size_add(*v, (size_t)(p[i] - '0'), v))
            return false;
    return true;
}

static int find_parts(struct tar *t, const unsigned char *data, size_t size, struct mm_err *e)
{
    for (size_t at = 0; size - at >= BLOCK && data[at];) {
        const char *const name = (const char *)data + at;
        size_t n, padded;
        if (!octal(data + at + 124, 12, &n) || !mm_size_align(n, BLOCK, &padded) ||
            n > size - at - BLOCK)
            return mm_err_set(e, MM_EDATA, "offset %zu: tar member is truncated", at);
        const struct part p = { .data = data + at + BLOCK, .size = n };
        if (strncmp(name, "storages", 100) == 0)
            t->storages = p;
        else if (strncmp(name, "tensors", 100) == 0)
            t->tensors = p;
        else if (strncmp(name, "pickle", 100) == 0)
            t->pickle = p;
        if (padded > size - at - BLOCK)
            break;
        at += BLOCK + padded;
    }
    if (!t->storages.data || !t->tensors.data || !t->pickle.data)
        return mm_err_set(e, MM_EDATA, "a tar archive without the members of a PyTorch file");
    return 0;
}

static int next_pickle(struct mm_pickle **p, struct part *in, struct mm_err *e)
{
    size_t used;
    const int rc = mm_pickle_run(p, in->data + in->at, in->size - in->at, &used, e);

    in->at += used;
    return rc;
}

static int next_i64(struct part *in, int64_t *v, struct mm_err *e)
{
    if (in->size - in->at < 8)
        return mm_err_set(e, MM_EDATA, "tar member is truncated at %zu", in->at);
    *v = (int64_t)mm_get_u64(in->data + in->at);
    in->at += 8;
    return 0;
}

static int next_count(struct part *in, int64_t *n, struct mm_err *e)
{
    struct mm_pickle *p;
    int rc = next_pickle(&p, in, e);

    if (rc < 0)
        return rc;
    const struct mm_pk_node *const x = mm_pickle_node(p, mm_pickle_root(p));
    if (x->kind == MM_PK_INT && x->u.i >= 0)
        *n = x->u.i;
    else
        rc = mm_err_set(e, MM_EDATA, "a count of the tar member is no integer");
    mm_pickle_free(p);
    return rc;
}

static int class_dtype(enum mm_dtype *d, const struct mm_pickle *p, mm_pk_id id,
                       const char *suffix, struct mm_err *e)
{
    char name[40];

    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const size_t n = strlen(classes[i].prefix);
        memcpy(name, classes[i].prefix, n);
        memcpy(name + n, suffix, strlen(suffix) + 1);
        if (mm_pickle_is_global(p, id, "torch", name) ||
            mm_pickle_is_global(p, id, "torch.cuda", name)) {
            *d = classes[i].d;
            return 0;
        }
    }
    return mm_err_set(e, MM_EDATA, "unknown class of a tensor or storage");
}

/* A tuple of three: two of its parts must be integers, the last a class. */
static int triple(const struct mm_pickle *p, int second, int64_t *a, int64_t *b, enum mm_dtype *d,
                  const char *suffix, struct mm_err *e)
{
    const struct mm_pk_node *const x = mm_pickle_node(p, mm_pickle_root(p));

    if (x->kind != MM_PK_TUPLE || x->n != 3)
        return mm_err_set(e, MM_EDATA, "an entry of the tar member is no tuple of three");
    const struct mm_pk_node *const k = mm_pickle_node(p, x->u.item[0]);
    const struct mm_pk_node *const l = mm_pickle_node(p, x->u.item[1]);
    if (k->kind != MM_PK_INT || (second && l->kind != MM_PK_INT))
        return mm_err_set(e, MM_EDATA, "a key of the tar member is no integer");
    *a = k->u.i;
    *b = second ? l->u.i : 0;
    return class_dtype(d, p, x->u.item[2], suffix, e);
}

static int by_key(const void *a, const void *b)
{
    const int64_t x = ((const struct storage *)a)->key, y = ((const struct storage *)b)->key;
    return x < y ? -1 : x > y;
}

static int by_id(const void *a, const void *b)
{
    const int64_t x = ((const struct view *)a)->id, y = ((const struct view *)b)->id;
    return x < y ? -1 : x > y;
}

static const struct storage *find_storage(const struct tar *t, int64_t key)
{
    const struct storage want = { .key = key };
    return t->ns ? bsearch(&want, t->s, t->ns, sizeof *t->s, by_key) : NULL;
}

static int read_storage(struct tar *t, struct storage *s, struct mm_err *e)
{
    struct part *const in = &t->storages;
    struct mm_pickle *p;
    int64_t numel, unused;
    size_t bytes;
    int rc = next_pickle(&p, in, e);

    if (rc < 0)
        return rc;
    rc = triple(p, 0, &s->key, &unused, &s->dtype, "Storage", e);
    mm_pickle_free(p);
    if (rc < 0 || (rc = next_i64(in, &numel, e)) < 0)
        return rc;
    if (numel < 0 || !mm_size_mul((size_t)numel, mm_dtype_block_bytes(s->dtype), &bytes) ||
        bytes > in->size - in->at)
        return mm_err_set(e, MM_EDATA, "storage of %lld elements, %zu bytes left",
                          (long long)numel, in->size - in->at);
    s->data = in->data + in->at;
    s->numel = (size_t)numel;
    in->at += bytes;
    return 0;
}

/* The list of views (target, root, offset, elements) after the storages: more
 * keys for parts of them. */
static int read_views(struct tar *t, struct mm_err *e)
{
    struct mm_pickle *p;
    const size_t roots = t->ns;
    int rc = next_pickle(&p, &t->storages, e);

    if (rc < 0)
        return rc;
    const struct mm_pk_node *const list = mm_pickle_node(p, mm_pickle_root(p));
    for (uint32_t i = 0; list->kind == MM_PK_LIST && i < list->n && rc == 0; i++) {
        const struct mm_pk_node *const x = mm_pickle_node(p, list->u.item[i]);
        int64_t v[4] = { 0 };
        for (uint32_t k = 0; x->kind == MM_PK_TUPLE && x->n == 4 && k < 4; k++)
            if (mm_pickle_node(p, x->u.item[k])->kind == MM_PK_INT)
                v[k] = mm_pickle_node(p, x->u.item[k])->u.i;
        const struct storage want = { .key = v[1] };
        const struct storage *const root =
            roots ? bsearch(&want, t->s, roots, sizeof *t->s, by_key) : NULL;
        if (!root || v[2] < 0 || v[3] < 0 || (size_t)v[2] > root->numel ||
            (size_t)v[3] > root->numel - (size_t)v[2])
            rc = mm_err_set(e, MM_EDATA, "view %u of a storage is malformed", i);
        else if (!mm_grow(&t->s, &t->s_cap, t->ns + 1, sizeof *t->s))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else {
            const struct storage r = *(const struct storage *)bsearch(&want, t->s, roots,
                                                                      sizeof *t->s, by_key);
            t->s[t->ns++] = (struct storage){
                .key = v[0], .dtype = r.dtype, .numel = (size_t)v[3],
                .data = r.data + (size_t)v[2] * mm_dtype_block_bytes(r.dtype) };
        }
    }
    mm_pickle_free(p);
    return rc;
}

static int read_storages(struct tar *t, struct mm_err *e)
{
    int64_t n;
    int rc = next_count(&t->storages, &n, e);

    for (int64_t i = 0; rc == 0 && i < n; i++) {
        struct storage s;
        if ((rc = read_storage(t, &s, e)) < 0)
            break;
        if (!mm_grow(&t->s, &t->s_cap, t->ns + 1, sizeof *t->s))
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        t->s[t->ns++] = s;
    }
    if (rc == 0 && t->ns)
        qsort(t->s, t->ns, sizeof *t->s, by_key);
    if (rc == 0 && (rc = read_views(t, e)) == 0 && t->ns)
        qsort(t->s, t->ns, sizeof *t->s, by_key);
    return rc;
}

static int read_view(struct tar *t, struct view *x, struct mm_err *e)
{
    struct part *const in = &t->tensors;
    struct mm_pickle *p;
    int rc = next_pickle(&p, in, e);

    if (rc < 0)
        return rc;
    *x = (struct view){ 0 };
    rc = triple(p, 1, &x->id, &x->storage, &x->v.dtype, "Tensor", e);
    mm_pickle_free(p);
    if (rc < 0)
        return rc;
    if (in->size - in->at < 8)
        return mm_err_set(e, MM_EDATA, "tar member is truncated at %zu", in->at);
    const uint32_t ndim = mm_get_u32(in->data + in->at);
    if (ndim > MM_MAX_DIMS)
        return mm_err_set(e, MM_EDATA, "%u dimensions, at most %d", ndim, MM_MAX_DIMS);
    in->at += 8;
    x->v.ndim = (int)ndim;
    for (int i = 0; i < x->v.ndim && rc == 0; i++)
        rc = next_i64(in, &x->v.size[i], e);
    for (int i = 0; i < x->v.ndim && rc == 0; i++)
        rc = next_i64(in, &x->v.stride[i], e);
    return rc < 0 ? rc : next_i64(in, &x->v.offset, e);
}

static int read_tensors(struct tar *t, struct mm_err *e)
{
    int64_t n;
    int rc = next_count(&t->tensors, &n, e);

    for (int64_t i = 0; rc == 0 && i < n; i++) {
        struct view x;
        if ((rc = read_view(t, &x, e)) < 0)
            break;
        if (!mm_grow(&t->v, &t->v_cap, t->nv + 1, sizeof *t->v))
            return mm_err_set(e, MM_ENOMEM, "out of memory");
        t->v[t->nv++] = x;
    }
    if (rc == 0 && t->nv)
        qsort(t->v, t->nv, sizeof *t->v, by_id);
    return rc;
}

/* mm_sdict_source.tensor */
static int get_tensor(void *arg, int64_t id, struct mm_tensor *out, struct mm_err *e)
{
    const struct tar *const t = arg;
    const struct view want = { .id = id };
    const struct view *const x = t->nv ? bsearch(&want, t->v, t->nv, sizeof *t->v, by_id) : NULL;

    if (!x)
        return 0; /* a storage by itself */
    const struct storage *const s = find_storage(t, x->storage);
    if (!s || s->dtype != x->v.dtype)
        return mm_err_set(e, MM_EDATA, "storage %lld is not in the file", (long long)x->storage);
    const int rc = mm_strided_view(out, &x->v, s->data, s->numel * mm_dtype_block_bytes(s->dtype),
                                   t->en, e);
    return rc < 0 ? rc : 1;
}

/* mm_sdict_source.storage: this form has none of its own. */
static int no_storage(void *arg, struct mm_sdict_storage *s, struct mm_err *e)
{
    (void)arg;
    return mm_err_set(e, MM_EDATA, "storage '%.*s' in a tar archive", (int)s->key_len, s->key);
}

int mm_torch_tar_read(struct mm_entries *en, const unsigned char *data, size_t size,
                      const char *file, struct mm_err *e)
{
    struct tar t = { .en = en };
    struct mm_pickle *p = NULL;
    int rc;

    if ((rc = find_parts(&t, data, size, e)) == 0 && (rc = read_storages(&t, e)) == 0 &&
        (rc = read_tensors(&t, e)) == 0 && (rc = next_pickle(&p, &t.pickle, e)) == 0) {
        const struct mm_sdict_source src = { .pickle = p, .arg = &t, .storage = no_storage,
                                             .tensor = get_tensor };
        rc = mm_sdict_read(en, &src, file, e);
    }
    mm_pickle_free(p);
    free(t.s);
    free(t.v);
    return rc;
}
