/* record.c: records in memory: attributes, and how the header spells them. */
#include "stream/stream.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "stream/format.h"

static const char *const type_names[] = {
    [MM_REC_TENSOR] = "tensor", [MM_REC_TEXT] = "text", [MM_REC_JSON] = "json",
    [MM_REC_BYTES] = "bytes",   [MM_REC_END] = "end",
};

const char *mm_rec_type_name(enum mm_rec_type type)
{
    return type_names[type];
}

void mm_rec_init(struct mm_rec *r, enum mm_rec_type type)
{
    memset(r, 0, sizeof(*r));
    r->type = type;
}

void mm_rec_free(struct mm_rec *r)
{
    if (r->arena == NULL) {
        for (size_t i = 0; i < r->nattr; i++) {
            free(r->attr[i].key);
            free(r->attr[i].value);
        }
        free(r->attr);
    }
    r->attr = NULL;
    r->nattr = r->cap = 0;
}

static struct mm_attr *find(const struct mm_rec *r, const char *key)
{
    for (size_t i = 0; i < r->nattr; i++)
        if (strcmp(r->attr[i].key, key) == 0)
            return &r->attr[i];
    return NULL;
}

const char *mm_rec_attr(const struct mm_rec *r, const char *key)
{
    const struct mm_attr *a = find(r, key);

    return a != NULL ? a->value : NULL;
}

int64_t mm_rec_int(const struct mm_rec *r, const char *key, int64_t dflt)
{
    const char *v = mm_rec_attr(r, key);
    const bool minus = v != NULL && v[0] == '-';
    uint64_t n;

    if (v == NULL || !mm_format_number(v + minus, strlen(v + minus), &n))
        return dflt;
    return minus ? -(int64_t)n : (int64_t)n;
}

bool mm_rec_is(const struct mm_rec *r, const char *kind)
{
    const char *v = mm_rec_attr(r, "kind");

    return v != NULL && strcmp(v, kind) == 0;
}

/* A copy of s[n] in the record's memory. */
static char *copy(const struct mm_rec *r, const char *s, size_t n)
{
    char *p;

    if (r->arena != NULL)
        return mm_arena_strdup(r->arena, s, n);
    p = malloc(n + 1);
    if (p != NULL) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

/* A copy of value with what is no UTF-8 replaced. */
static char *copy_utf8(const struct mm_rec *r, const char *value)
{
    const size_t n = strlen(value);
    struct mm_buf b = { 0 };
    char *p = NULL;
    size_t i = mm_utf8_valid(value, n);

    if (i == n)
        return copy(r, value, n);
    mm_buf_add(&b, value, i);
    while (i < n) {
        size_t good;

        mm_buf_str(&b, "\xEF\xBF\xBD");
        i++;
        good = mm_utf8_valid(value + i, n - i);
        mm_buf_add(&b, value + i, good);
        i += good;
    }
    if (!b.failed)
        p = copy(r, b.p, b.n);
    mm_buf_free(&b);
    return p;
}

static bool grow(struct mm_rec *r)
{
    const size_t cap = r->cap < 8 ? 8 : r->cap * 2;
    struct mm_attr *a;

    if (r->nattr < r->cap)
        return true;
    if (r->arena == NULL)
        return mm_grow(&r->attr, &r->cap, r->nattr + 1, sizeof(*r->attr));
    a = mm_arena_alloc(r->arena, cap * sizeof(*a));
    if (a == NULL)
        return false;
    if (r->nattr > 0)
        memcpy(a, r->attr, r->nattr * sizeof(*a));
    r->attr = a;
    r->cap = cap;
    return true;
}

static void remove_attr(struct mm_rec *r, struct mm_attr *a)
{
    const size_t i = (size_t)(a - r->attr);

    if (r->arena == NULL) {
        free(a->key);
        free(a->value);
    }
    memmove(a, a + 1, (r->nattr - i - 1) * sizeof(*a));
    r->nattr--;
}

int mm_rec_set(struct mm_rec *r, const char *key, const char *value)
{
    struct mm_attr *a = find(r, key);
    struct mm_attr made;

    if (value == NULL) {
        if (a != NULL)
            remove_attr(r, a);
        return 0;
    }
    if (!mm_format_key(key, strlen(key)) || mm_format_own(key))
        return MM_EDATA;
    made.value = copy_utf8(r, value);
    if (made.value == NULL)
        return MM_ENOMEM;
    if (a != NULL) {
        if (r->arena == NULL)
            free(a->value);
        a->value = made.value;
        return 0;
    }
    made.key = copy(r, key, strlen(key));
    if (made.key == NULL || !grow(r)) {
        if (r->arena == NULL) {
            free(made.key);
            free(made.value);
        }
        return MM_ENOMEM;
    }
    r->attr[r->nattr++] = made;
    return 0;
}

int mm_rec_setf(struct mm_rec *r, const char *key, const char *fmt, ...)
{
    char small[200];
    char *p = small;
    va_list ap;
    int n, rc;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0)
        return MM_ENOMEM;
    if ((size_t)n >= sizeof(small)) {
        p = malloc((size_t)n + 1);
        if (p == NULL)
            return MM_ENOMEM;
        va_start(ap, fmt);
        vsnprintf(p, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    rc = mm_rec_set(r, key, p);
    if (p != small)
        free(p);
    return rc;
}

int mm_rec_copy_attrs(struct mm_rec *dst, const struct mm_rec *src)
{
    int rc = 0;

    for (size_t i = 0; i < src->nattr && rc == 0; i++)
        if (find(dst, src->attr[i].key) == NULL)
            rc = mm_rec_set(dst, src->attr[i].key, src->attr[i].value);
    return rc;
}

int mm_rec_copy(struct mm_rec *dst, const struct mm_rec *src)
{
    void *data = malloc(src->size + 1);

    mm_rec_init(dst, src->type);
    if (data == NULL || mm_rec_copy_attrs(dst, src) < 0) {
        free(data);
        mm_rec_free(dst);
        return MM_ENOMEM;
    }
    if (src->size > 0)
        memcpy(data, src->data, src->size);
    dst->t = src->t;
    dst->t.data = dst->data = data;
    dst->size = src->size;
    return 0;
}

bool mm_stream_magic(const void *p, size_t n)
{
    const size_t len = sizeof(MM_FORMAT_MAGIC) - 1;

    return n >= len && memcmp(p, MM_FORMAT_MAGIC, len) == 0;
}

bool mm_format_key(const char *s, size_t n)
{
    if (n == 0 || n > MM_FORMAT_KEY || s[0] < 'a' || s[0] > 'z')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
            return false;
    return true;
}

bool mm_format_own(const char *key)
{
    static const char *const own[] = { "dtype", "shape", "length", "encoding", "size",
                                       "records" };

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(key, own[i]) == 0)
            return true;
    return false;
}

void mm_format_trailer(char out[MM_FORMAT_TRAILER + 1], uint32_t crc)
{
    snprintf(out, MM_FORMAT_TRAILER + 1, "crc %08" PRIx32 "\n", crc);
}

bool mm_format_number(const char *s, size_t n, uint64_t *v)
{
    uint64_t x = 0;

    if (n == 0 || n > 19 || (n > 1 && s[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        x = 10 * x + (uint64_t)(s[i] - '0');
    }
    *v = x;
    return x <= INT64_MAX;
}

/* The control characters with a letter of their own; the others are \xHH. */
static const char letters[] = "nrt\\";
static const char letter_chars[] = "\n\r\t\\";
static const char hex[] = "0123456789abcdef";

/* The escape at s[n], behind its backslash; its length, 0 if it is none. */
static size_t escape_at(char *out, const char *s, size_t n)
{
    const char *p, *hi, *lo;
    int c;

    if (n == 0 || s[0] == '\0')
        return 0;
    p = strchr(letters, s[0]);
    if (p != NULL) {
        *out = letter_chars[p - letters];
        return 1;
    }
    if (s[0] != 'x' || n < 3 || s[1] == '\0' || s[2] == '\0')
        return 0;
    hi = strchr(hex, s[1]);
    lo = strchr(hex, s[2]);
    if (hi == NULL || lo == NULL)
        return 0;
    c = (int)(16 * (hi - hex) + (lo - hex));
    /* one spelling for each character: no \x41, no \x0a */
    if (c == 0 || (c >= 0x20 && c != 0x7F) || strchr(letter_chars, c) != NULL)
        return 0;
    *out = (char)c;
    return 3;
}

bool mm_format_unescape(char *out, size_t *len, const char *s, size_t n)
{
    size_t o = 0;

    for (size_t i = 0; i < n;) {
        uint32_t cp;
        const size_t k = mm_utf8_get(s + i, n - i, &cp);

        if (k == 0 || cp < 0x20 || cp == 0x7F)
            return false;
        if (cp == '\\') {
            const size_t used = escape_at(out + o, s + i + 1, n - i - 1);

            if (used == 0)
                return false;
            i += 1 + used;
            o++;
            continue;
        }
        memmove(out + o, s + i, k);
        i += k;
        o += k;
    }
    *len = o;
    return true;
}

void mm_format_escape(struct mm_buf *b, const char *value)
{
    const size_t n = strlen(value);

    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        const size_t k = mm_utf8_get(value + i, n - i, &cp);
        const char *p = k == 1 ? strchr(letter_chars, (int)cp) : NULL;

        if (k == 0)
            mm_buf_str(b, "\xEF\xBF\xBD");
        else if (p != NULL)
            mm_buf_printf(b, "\\%c", letters[p - letter_chars]);
        else if (cp < 0x20 || cp == 0x7F)
            mm_buf_printf(b, "\\x%02x", (unsigned)cp);
        else
            mm_buf_add(b, value + i, k);
        i += k > 0 ? k : 1;
    }
}
