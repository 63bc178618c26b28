/* npy.c: the header, a Python dict literal of three keys, and nothing else of
 * Python.
 */
#include "weights/npy.h"

#include <string.h>

#include "base/io.h"
#include "base/size.h"
#include "weights/strided.h"

struct text {
    const char *p;
    size_t n;
};

struct header {
    struct mm_strided v;
    bool fortran;
    bool have_descr, have_order, have_shape;
};

static const struct { const char *code; enum mm_dtype d; } codes[] = {
    { "f8", MM_F64 }, { "f4", MM_F32 }, { "f2", MM_F16 }, { "i8", MM_I64 }, { "i4", MM_I32 },
    { "i2", MM_I16 }, { "i1", MM_I8 },  { "u8", MM_U64 }, { "u4", MM_U32 }, { "u2", MM_U16 },
    { "u1", MM_U8 },  { "b1", MM_BOOL }, { "c8", MM_C64 }, { "bfloat16", MM_BF16 },
};

static void skip_space(struct text *t)
{
    while (t->n && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t' || *t->p == '\r')) {
        t->p++;
        t->n--;
    }
}

/* Is the next thing this character?  It is then passed. */
static bool accept(struct text *t, char c)
{
    skip_space(t);
    if (t->n == 0 || *t->p != c)
        return false;
    t->p++;
    t->n--;
    return true;
}

static bool accept_word(struct text *t, const char *word)
{
    const size_t n = strlen(word);

    skip_space(t);
    if (t->n < n || memcmp(t->p, word, n) != 0)
        return false;
    t->p += n;
    t->n -= n;
    return true;
}

/* 'text' or "text" without escapes. */
static bool accept_string(struct text *t, struct text *s)
{
    skip_space(t);
    if (t->n < 2 || (*t->p != '\'' && *t->p != '"'))
        return false;
    const char *const end = memchr(t->p + 1, *t->p, t->n - 1);
    if (!end)
        return false;
    *s = (struct text){ t->p + 1, (size_t)(end - t->p - 1) };
    t->n -= (size_t)(end + 1 - t->p);
    t->p = end + 1;
    return !memchr(s->p, '\\', s->n);
}

static bool is(const struct text *s, const char *word)
{
    return s->n == strlen(word) && memcmp(s->p, word, s->n) == 0;
}

/* A size: digits, as Python 2 wrote it maybe with an L. */
static bool accept_size(struct text *t, int64_t *v)
{
    size_t digits = 0;

    skip_space(t);
    for (*v = 0; t->n && *t->p >= '0' && *t->p <= '9'; t->p++, t->n--, digits++)
        if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *t->p - '0', v))
            return false;
    if (digits)
        accept(t, 'L');
    return digits > 0;
}

static int parse_shape(struct text *t, struct header *h, struct mm_err *e)
{
    if (!accept(t, '('))
        return mm_err_set(e, MM_EDATA, "header: 'shape' is no tuple");
    while (!accept(t, ')')) {
        if (h->v.ndim == MM_MAX_DIMS)
            return mm_err_set(e, MM_EDATA, "header: more than %d dimensions", MM_MAX_DIMS);
        if (!accept_size(t, &h->v.size[h->v.ndim]))
            return mm_err_set(e, MM_EDATA, "header: dimension %d is no size", h->v.ndim);
        h->v.ndim++;
        if (!accept(t, ',')) {
            if (h->v.ndim == 1 || !accept(t, ')')) /* (3) is a number, not a tuple */
                return mm_err_set(e, MM_EDATA, "header: 'shape' is malformed");
            break;
        }
    }
    h->have_shape = true;
    return 0;
}

static int parse_descr(struct text *t, struct header *h, struct mm_err *e)
{
    struct text s;

    if (!accept_string(t, &s))
        return mm_err_set(e, MM_EDATA, "header: 'descr' is no plain type (a structured array?)");
    struct text code = s;
    const char order = s.n && strchr("<>|=", *s.p) && *s.p ? *s.p : '\0';
    if (order) {
        code.p++;
        code.n--;
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (is(&code, codes[i].code)) {
            h->v.dtype = codes[i].d;
            h->v.swap = order == '>';
            h->have_descr = true;
            return 0;
        }
    if (code.n && strchr("OVUSMmac", *code.p))
        return mm_err_set(e, MM_EDATA, "header: arrays of type '%.*s' are not supported",
                          (int)(s.n < 40 ? s.n : 40), s.p);
    return mm_err_set(e, MM_EDATA, "header: unknown type '%.*s'", (int)(s.n < 40 ? s.n : 40),
                      s.p);
}

static int parse_order(struct text *t, struct header *h, struct mm_err *e)
{
    if (accept_word(t, "True"))
        h->fortran = true;
    else if (!accept_word(t, "False"))
        return mm_err_set(e, MM_EDATA, "header: 'fortran_order' is neither True nor False");
    h->have_order = true;
    return 0;
}

static int parse_item(struct text *t, struct header *h, struct mm_err *e)
{
    struct text key;

    if (!accept_string(t, &key) || !accept(t, ':'))
        return mm_err_set(e, MM_EDATA, "header: no key at '%.*s'",
                          (int)(t->n < 20 ? t->n : 20), t->p);
    if (is(&key, "descr") && !h->have_descr)
        return parse_descr(t, h, e);
    if (is(&key, "fortran_order") && !h->have_order)
        return parse_order(t, h, e);
    if (is(&key, "shape") && !h->have_shape)
        return parse_shape(t, h, e);
    return mm_err_set(e, MM_EDATA, "header: key '%.*s' is unknown or there twice",
                      (int)(key.n < 40 ? key.n : 40), key.p);
}

static int parse_header(struct text *t, struct header *h, struct mm_err *e)
{
    if (!accept(t, '{'))
        return mm_err_set(e, MM_EDATA, "header: no dict");
    while (!accept(t, '}')) {
        const int rc = parse_item(t, h, e);
        if (rc < 0)
            return rc;
        if (!accept(t, ',')) {
            if (!accept(t, '}'))
                return mm_err_set(e, MM_EDATA, "header: neither ',' nor '}' after a value");
            break;
        }
    }
    skip_space(t);
    if (t->n)
        return mm_err_set(e, MM_EDATA, "header: something after the dict");
    if (!h->have_descr || !h->have_order || !h->have_shape)
        return mm_err_set(e, MM_EDATA, "header: a key is missing");
    return 0;
}

/* Strides of the stored order, in elements. */
static bool set_strides(struct mm_strided *v, bool fortran)
{
    size_t count;
    int64_t run = 1;

    if (!mm_shape_count(v->size, v->ndim, &count))
        return false;
    for (int i = 0; i < v->ndim && count; i++) {
        const int d = fortran ? i : v->ndim - 1 - i;
        v->stride[d] = run;
        run *= v->size[d];
    }
    return true;
}

/* Magic, version, header text; *at is set to where the data begins. */
static int find_header(struct text *t, size_t *at, const unsigned char *data, size_t size,
                       struct mm_err *e)
{
    if (size < 10 || memcmp(data, "\x93NUMPY", 6) != 0)
        return mm_err_set(e, MM_EDATA, "no .npy magic, or truncated");
    const unsigned major = data[6];
    if (major < 1 || major > 3)
        return mm_err_set(e, MM_EDATA, ".npy version %u, want 1 to 3", major);
    if (major > 1 && size < 12)
        return mm_err_set(e, MM_EDATA, "header is truncated");
    const size_t head = major == 1 ? 10 : 12;
    const size_t n = major == 1 ? mm_get_u16(data + 8) : mm_get_u32(data + 8);
    if (n > size - head)
        return mm_err_set(e, MM_EDATA, "header of %zu bytes, %zu are left", n, size - head);
    *t = (struct text){ (const char *)data + head, n };
    *at = head + n;
    return 0;
}

int mm_npy_read(struct mm_entries *en, const char *name, const unsigned char *data, size_t size,
                const char *file, struct mm_err *e)
{
    struct header h = { 0 };
    struct mm_tensor t;
    struct text text = { 0 };
    size_t at = 0, count, bytes;
    int rc;

    if ((rc = find_header(&text, &at, data, size, e)) < 0 ||
        (rc = parse_header(&text, &h, e)) < 0)
        return rc;
    if (!set_strides(&h.v, h.fortran) || !mm_shape_count(h.v.size, h.v.ndim, &count) ||
        !mm_dtype_bytes(h.v.dtype, count, &bytes))
        return mm_err_set(e, MM_EDATA, "header: the shape overflows");
    if (bytes != size - at)
        return mm_err_set(e, MM_EDATA, "shape needs %zu bytes, the file has %zu", bytes,
                          size - at);
    if (mm_dtype_block_bytes(h.v.dtype) == 1)
        h.v.swap = false;
    if ((rc = mm_strided_view(&t, &h.v, data + at, size - at, en, e)) < 0)
        return rc;
    return mm_entries_add(en, name, strlen(name), &t, file, e);
}

static bool is_npy(const char *name)
{
    const size_t n = strlen(name);
    return n >= 4 && strcmp(name + n - 4, ".npy") == 0;
}

bool mm_npz_is(const struct mm_zip *z)
{
    for (size_t i = 0; i < mm_zip_count(z); i++)
        if (!is_npy(mm_zip_at(z, i)->name))
            return false;
    return mm_zip_count(z) > 0;
}

int mm_npz_read(struct mm_entries *en, const struct mm_zip *z, const char *file, struct mm_err *e)
{
    for (size_t i = 0; i < mm_zip_count(z); i++) {
        const struct mm_zip_member *const m = mm_zip_at(z, i);
        const size_t n = strlen(m->name) - 4;
        const unsigned char *data;
        int rc = mm_zip_read(&data, z, m, en, e);
        if (rc < 0)
            return rc;
        char *const key = mm_arena_strdup(en->text, m->name, n);
        rc = key ? mm_npy_read(en, key, data, m->size, file, e)
                 : mm_err_set(e, MM_ENOMEM, "out of memory");
        if (rc < 0)
            return mm_err_prefix(e, "member '%.200s'", m->name);
    }
    return 0;
}
