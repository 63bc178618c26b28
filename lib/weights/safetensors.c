/* safetensors.c: header JSON to tensors that point into the file.
 *
 * Format: huggingface/safetensors README and src/tensor.rs.
 */
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/size.h"

#define MAX_HEADER 100000000u

static const struct { const char *name; enum mm_dtype d; } dtypes[] = {
    { "F64", MM_F64 }, { "F32", MM_F32 }, { "F16", MM_F16 }, { "BF16", MM_BF16 },
    { "I64", MM_I64 }, { "I32", MM_I32 }, { "I16", MM_I16 }, { "I8", MM_I8 },
    { "U64", MM_U64 }, { "U32", MM_U32 }, { "U16", MM_U16 }, { "U8", MM_U8 },
    { "BOOL", MM_BOOL }, { "C64", MM_C64 },
    { "F8_E4M3", MM_F8_E4M3 }, { "F8_E5M2", MM_F8_E5M2 },
};

/* In the format, but not in any checkpoint we run. */
static const char *const unread[] = { "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4", "F6_E2M3",
                                      "F6_E3M2" };

struct item {
    const char *name;
    struct mm_tensor t;
    size_t begin, end; /* relative to the data */
    size_t order;      /* in the header, for a stable sort */
};

const char *mm_safetensors_dtype(enum mm_dtype d)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].d == d)
            return dtypes[i].name;
    return NULL;
}

static int parse_dtype(enum mm_dtype *d, const json_t *v, struct mm_err *e)
{
    const char *const s = json_string_value(v);

    if (!s)
        return mm_err_set(e, MM_EDATA, "no \"dtype\" string");
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, s) == 0) {
            *d = dtypes[i].d;
            return 0;
        }
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (strcmp(unread[i], s) == 0)
            return mm_err_set(e, MM_EMISSING, "dtype %s is not supported", s);
    return mm_err_set(e, MM_EDATA, "unknown dtype '%.40s'", s);
}

static int parse_shape(struct mm_tensor *t, const json_t *v, struct mm_err *e)
{
    if (!json_is_array(v))
        return mm_err_set(e, MM_EDATA, "no \"shape\" array");
    if (json_array_size(v) > MM_MAX_DIMS)
        return mm_err_set(e, MM_EDATA, "%zu dimensions, at most %d", json_array_size(v),
                          MM_MAX_DIMS);
    t->ndim = (int)json_array_size(v);
    for (int i = 0; i < t->ndim; i++) {
        const json_t *const x = json_array_get(v, (size_t)i);
        if (!json_is_integer(x) || json_integer_value(x) < 0)
            return mm_err_set(e, MM_EDATA, "dimension %d is no size", i);
        t->shape[i] = json_integer_value(x);
    }
    return 0;
}

static int parse_offsets(struct item *it, const json_t *v, size_t room, struct mm_err *e)
{
    const json_t *const b = json_array_get(v, 0), *const x = json_array_get(v, 1);

    if (json_array_size(v) != 2 || !json_is_integer(b) || !json_is_integer(x))
        return mm_err_set(e, MM_EDATA, "no \"data_offsets\" pair");
    if (json_integer_value(b) < 0 || json_integer_value(x) < json_integer_value(b))
        return mm_err_set(e, MM_EDATA, "data_offsets [%lld,%lld] are not in order",
                          (long long)json_integer_value(b), (long long)json_integer_value(x));
    it->begin = (size_t)json_integer_value(b);
    it->end = (size_t)json_integer_value(x);
    if (it->end > room)
        return mm_err_set(e, MM_EDATA, "ends at %zu, the data at %zu: truncated", it->end, room);
    return 0;
}

static int parse_item(struct item *it, const json_t *v, const unsigned char *data, size_t room,
                      struct mm_err *e)
{
    size_t count, bytes;
    char shape[200];
    int rc;

    if ((rc = parse_dtype(&it->t.dtype, json_object_get(v, "dtype"), e)) < 0 ||
        (rc = parse_shape(&it->t, json_object_get(v, "shape"), e)) < 0 ||
        (rc = parse_offsets(it, json_object_get(v, "data_offsets"), room, e)) < 0)
        return rc;
    mm_shape_str(shape, sizeof shape, it->t.shape, it->t.ndim);
    if (!mm_shape_count(it->t.shape, it->t.ndim, &count) ||
        !mm_dtype_bytes(it->t.dtype, count, &bytes))
        return mm_err_set(e, MM_EDATA, "shape %s overflows", shape);
    if (bytes != it->end - it->begin)
        return mm_err_set(e, MM_EDATA, "shape %s of %s needs %zu bytes, data_offsets give %zu",
                          shape, mm_dtype_name(it->t.dtype), bytes, it->end - it->begin);
    it->t.data = (void *)(data + it->begin);
    return 0;
}

static int by_offset(const void *pa, const void *pb)
{
    const struct item *const a = pa, *const b = pb;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* The tensors must cover the data: no hole, no overlap, nothing after. */
static int check_cover(const struct item *it, size_t n, size_t room, struct mm_err *e)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (it[i].begin != at)
            return mm_err_set(e, MM_EDATA, "tensor '%.200s': begins at %zu, want %zu (%s)",
                              it[i].name, it[i].begin, at,
                              it[i].begin < at ? "overlap" : "hole");
        at = it[i].end;
    }
    if (at != room)
        return mm_err_set(e, MM_EDATA, "%zu bytes of data after the last tensor", room - at);
    return 0;
}

static int check_meta(const json_t *meta, struct mm_err *e)
{
    const char *key;
    json_t *v;

    if (!json_is_object(meta))
        return mm_err_set(e, MM_EDATA, "__metadata__ is no object");
    json_object_foreach ((json_t *)meta, key, v)
        if (!json_is_string(v))
            return mm_err_set(e, MM_EDATA, "__metadata__ '%.100s' is no string", key);
    return 0;
}

static int read_items(struct item *it, size_t *n, json_t *head, const unsigned char *data,
                      size_t room, struct mm_err *e)
{
    const char *key;
    json_t *v;
    int rc;

    json_object_foreach (head, key, v) {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        it[*n].name = key;
        it[*n].order = *n;
        rc = json_is_object(v) ? parse_item(&it[*n], v, data, room, e)
                               : mm_err_set(e, MM_EDATA, "no object");
        if (rc < 0)
            return mm_err_prefix(e, "tensor '%.200s'", key);
        ++*n;
    }
    qsort(it, *n, sizeof *it, by_offset);
    return check_cover(it, *n, room, e);
}

/* Tied tensors are stored once; a writer may note removed name -> kept name in
 * the metadata. */
static int add_aliases(struct mm_entries *en, const json_t *meta, const char *file,
                       struct mm_err *e)
{
    const char *key;
    json_t *v;
    int rc = 0;

    json_object_foreach ((json_t *)meta, key, v) {
        const struct mm_ckpt_entry *const kept = mm_entries_find(en, json_string_value(v));
        if (rc < 0 || !kept || kept->file != file || mm_entries_find(en, key))
            continue;
        const struct mm_tensor t = kept->t;
        rc = mm_entries_add(en, key, strlen(key), &t, file, e);
    }
    return rc;
}

int mm_safetensors_read(struct mm_entries *en, json_t **meta, const unsigned char *data,
                        size_t size, const char *file, struct mm_err *e)
{
    json_t *head = NULL;
    struct item *it = NULL;
    size_t n = 0;
    int rc;

    if (meta)
        *meta = NULL;
    if (size < 8)
        return mm_err_set(e, MM_EDATA, "%zu bytes: truncated before the header", size);
    const uint64_t len = mm_get_u64(data);
    if (len > MAX_HEADER || len > size - 8)
        return mm_err_set(e, MM_EDATA, "header of %llu bytes in a file of %zu",
                          (unsigned long long)len, size);
    if (len == 0 || data[8] != '{')
        return mm_err_set(e, MM_EDATA, "header does not begin with '{'");
    if ((rc = mm_json_load(&head, (const char *)data + 8, (size_t)len, "header", e)) < 0)
        return rc;
    json_t *const m = json_object_get(head, "__metadata__");
    if (m && (rc = check_meta(m, e)) < 0)
        goto out;

    it = calloc(json_object_size(head) + 1, sizeof *it);
    if (!it) {
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        goto out;
    }
    if ((rc = read_items(it, &n, head, data + 8 + len, size - 8 - (size_t)len, e)) < 0)
        goto out;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = mm_entries_add(en, it[i].name, strlen(it[i].name), &it[i].t, file, e);
    if (rc == 0 && m)
        rc = add_aliases(en, m, file, e);
    if (rc == 0 && meta && m)
        *meta = json_incref(m);
out:
    free(it);
    json_decref(head);
    return rc;
}
