/* torch_legacy.c: stacked pickles; see torch/serialization.py, _legacy_load. */
#include "weights/torch_legacy.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/size.h"
#include "weights/pickle.h"
#include "weights/state_dict.h"

enum { MAGIC, PROTOCOL, SYSTEM, OBJECT, KEYS, NPICKLE };

struct storage {
    const char *key;
    uint32_t key_len;
    const unsigned char *data;
    int64_t numel;
    size_t elem; /* bytes of an element, by the object's persistent ids; 0: unused */
};

struct stacked {
    struct mm_pickle *p[NPICKLE];
    struct storage *s; /* sorted by key after reading */
    size_t n;
};

bool mm_torch_legacy_is(const unsigned char *data, size_t size)
{
    /* PROTO 2, LONG1 of 10 bytes: 0x1950a86a20f9469cfc6c, STOP */
    static const unsigned char magic[] = { 0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                           0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };
    return size >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

static int compare(const char *a, uint32_t na, const char *b, uint32_t nb)
{
    const int c = memcmp(a, b, na < nb ? na : nb);
    return c ? c : na < nb ? -1 : na > nb;
}

static int by_key(const void *a, const void *b)
{
    const struct storage *const x = a, *const y = b;
    return compare(x->key, x->key_len, y->key, y->key_len);
}

static struct storage *find(const struct stacked *f, const char *key, uint32_t n)
{
    const struct storage want = { .key = key, .key_len = n };
    return f->n ? bsearch(&want, f->s, f->n, sizeof *f->s, by_key) : NULL;
}

/* mm_sdict_source.storage */
static int get_storage(void *arg, struct mm_sdict_storage *s, struct mm_err *e)
{
    const struct storage *const x = find(arg, s->key, s->key_len);

    if (!x)
        return mm_err_set(e, MM_EDATA, "storage '%.*s' is not in the file", (int)s->key_len,
                          s->key);
    if (x->numel != s->numel || x->elem != mm_dtype_block_bytes(s->dtype))
        return mm_err_set(e, MM_EDATA, "storage '%.*s' has %lld elements, want %lld of %s",
                          (int)s->key_len, s->key, (long long)x->numel, (long long)s->numel,
                          mm_dtype_name(s->dtype));
    s->data = x->data;
    s->bytes = (size_t)x->numel * x->elem;
    return 0;
}

/* The list of keys, in file order. */
static int read_keys(struct stacked *f, struct mm_err *e)
{
    const struct mm_pickle *const p = f->p[KEYS];
    const struct mm_pk_node *const list = mm_pickle_node(p, mm_pickle_root(p));

    if (list->kind != MM_PK_LIST)
        return mm_err_set(e, MM_EDATA, "the storage keys are no list");
    f->s = calloc((size_t)list->n + 1, sizeof *f->s);
    if (!f->s)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < list->n; i++) {
        const struct mm_pk_node *const k = mm_pickle_node(p, list->u.item[i]);
        if (k->kind != MM_PK_STR)
            return mm_err_set(e, MM_EDATA, "storage key %u is no text", i);
        f->s[f->n++] = (struct storage){ .key = k->u.s, .key_len = k->n < 200 ? k->n : 200 };
    }
    return 0;
}

/* Element sizes: the file's storages do not say them, the object does. */
static int read_sizes(const struct stacked *sorted, struct mm_err *e)
{
    const struct mm_pickle *const p = sorted->p[OBJECT];
    struct mm_sdict_storage s;

    for (size_t i = 0; i < mm_pickle_count(p); i++) {
        if (mm_pickle_node(p, (mm_pk_id)i)->kind != MM_PK_PERSID)
            continue;
        const int rc = mm_sdict_persid(&s, p, (mm_pk_id)i, e);
        if (rc < 0)
            return rc;
        struct storage *const x = rc ? find(sorted, s.key, s.key_len) : NULL;
        if (x)
            x->elem = mm_dtype_block_bytes(s.dtype);
    }
    return 0;
}

/* Each storage: i64 number of elements, the elements. */
static int read_storages(struct stacked *f, const unsigned char *data, size_t size, size_t at,
                         struct mm_err *e)
{
    struct stacked sorted = *f;
    size_t bytes;
    int rc = 0;

    sorted.s = malloc((f->n + 1) * sizeof *f->s);
    if (!sorted.s)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    memcpy(sorted.s, f->s, f->n * sizeof *f->s);
    qsort(sorted.s, f->n, sizeof *f->s, by_key);
    rc = read_sizes(&sorted, e);
    for (size_t i = 0; i < f->n && rc == 0; i++) {
        struct storage *const x = find(&sorted, f->s[i].key, f->s[i].key_len);
        if (size - at < 8) {
            rc = mm_err_set(e, MM_EDATA, "offset %zu: truncated before storage %zu", at, i);
            break;
        }
        x->numel = (int64_t)mm_get_u64(data + at);
        x->data = data + at + 8;
        at += 8;
        if (x->elem == 0 || x->numel < 0 || !mm_size_mul((size_t)x->numel, x->elem, &bytes) ||
            bytes > size - at)
            rc = mm_err_set(e, MM_EDATA, "offset %zu: storage of %lld elements, %zu bytes left",
                            at - 8, (long long)x->numel, size - at);
        else
            at += bytes;
    }
    free(f->s);
    f->s = sorted.s;
    return rc;
}

static int is_little_endian(const struct mm_pickle *sys)
{
    const mm_pk_id x = mm_pickle_get(sys, mm_pickle_root(sys), "little_endian");
    return !x || mm_pickle_node(sys, x)->kind != MM_PK_BOOL || mm_pickle_node(sys, x)->u.i;
}

static int read_stacked(struct stacked *f, struct mm_entries *en, const unsigned char *data,
                        size_t size, const char *file, struct mm_err *e)
{
    static const char *const part[NPICKLE] = { "magic", "protocol", "system", "object",
                                               "storage keys" };
    size_t at = 0, used;
    int rc;

    for (int i = 0; i < NPICKLE; i++, at += used)
        if ((rc = mm_pickle_run(&f->p[i], data + at, size - at, &used, e)) < 0)
            return mm_err_prefix(e, "%s at offset %zu", part[i], at);
    if ((rc = read_keys(f, e)) < 0 || (rc = read_storages(f, data, size, at, e)) < 0)
        return rc;
    const struct mm_sdict_source src = { .pickle = f->p[OBJECT], .arg = f,
                                         .swap = !is_little_endian(f->p[SYSTEM]),
                                         .storage = get_storage };
    return mm_sdict_read(en, &src, file, e);
}

int mm_torch_legacy_read(struct mm_entries *en, const unsigned char *data, size_t size,
                         const char *file, struct mm_err *e)
{
    struct stacked f = { 0 };
    const int rc = read_stacked(&f, en, data, size, file, e);

    for (int i = 0; i < NPICKLE; i++)
        mm_pickle_free(f.p[i]);
    free(f.s);
    return rc;
}
