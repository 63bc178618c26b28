/* json.c: what every reader of JSON here needs beside jansson. */
#include "base/json.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/utf8.h"

enum { MAX_FILE = 1 << 30, FLAGS = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY };

/* Python writes integers of any size (transformers' model_max_length is about
 * 1e30): give those that do not fit 63 bits a ".0", so that they become reals. */
static void widen_integers(struct mm_buf *b, const char *s, size_t n)
{
    bool quoted = false;
    size_t i = 0;

    while (i < n) {
        size_t j = i;

        if (quoted || !isdigit((unsigned char)s[i])) {
            if (s[i] == '"')
                quoted = !quoted;
            else if (s[i] == '\\' && quoted && i + 1 < n)
                mm_buf_char(b, s[i++]);
            mm_buf_char(b, s[i++]);
            continue;
        }
        bool digits = true;

        for (; j < n && (isalnum((unsigned char)s[j]) || strchr(".+-", s[j]) != NULL) && s[j]; j++)
            digits = digits && isdigit((unsigned char)s[j]);
        mm_buf_add(b, s + i, j - i);
        if (j - i >= 19 && digits)
            mm_buf_str(b, ".0");
        i = j;
    }
}

int mm_json_load(json_t **out, const char *text, size_t n, const char *what, struct mm_err *e)
{
    json_error_t je;

    *out = json_loadb(text, n, FLAGS, &je);
    bool failed = false;
    if (*out == NULL && json_error_code(&je) == json_error_numeric_overflow) {
        struct mm_buf b = { 0 };

        widen_integers(&b, text, n);
        failed = b.failed;
        if (!failed)
            *out = json_loadb(b.p, b.n, FLAGS, &je);
        mm_buf_free(&b);
    }
    if (*out != NULL)
        return 0;
    if (failed || json_error_code(&je) == json_error_out_of_memory)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", what);
    return mm_err_set(e, MM_EDATA, "%s: line %d column %d: %s", what, je.line, je.column,
                      je.text);
}

size_t mm_json_space(const char *s, size_t n, size_t at)
{
    while (at < n && strchr(" \t\r\n", s[at]) != NULL && s[at] != '\0')
        at++;
    return at;
}

int mm_json_each(json_t **out, const char *text, size_t n, size_t *at, const char *what,
                 struct mm_err *e)
{
    const size_t begin = mm_json_space(text, n, 0);
    const bool array = begin < n && text[begin] == '[';
    size_t i = mm_json_space(text, n, *at);
    bool more = !array; /* may a value come here? */
    json_error_t je;

    *out = NULL;
    if (array && i < n) {
        const bool first = i == begin;

        more = first || text[i] == ',';
        i = more ? mm_json_space(text, n, i + 1) : i;
        if (i < n && text[i] == ']' && (first || !more)) {
            *at = i = mm_json_space(text, n, i + 1);
            return i == n ? 0 : mm_err_set(e, MM_EDATA, "%s: byte %zu: more behind the array",
                                           what, i);
        }
    }
    if (i >= n && !array)
        return 0;
    if (i >= n || !more)
        return mm_err_set(e, MM_EDATA, "%s: byte %zu: the array neither goes on nor ends", what, i);
    *out = json_loadb(text + i, n - i, FLAGS | JSON_DISABLE_EOF_CHECK, &je);
    if (*out == NULL)
        return json_error_code(&je) == json_error_out_of_memory
                   ? mm_err_set(e, MM_ENOMEM, "%s: out of memory", what)
                   : mm_err_set(e, MM_EDATA, "%s: byte %zu: %s", what, i + (size_t)je.position,
                                je.text);
    *at = i + (size_t)je.position;
    return 1;
}

int mm_json_file(json_t **out, const char *path, struct mm_err *e)
{
    char *data;
    size_t n;
    int rc;

    *out = NULL;
    rc = mm_io_slurp(path, MAX_FILE, &data, &n, e);
    if (rc < 0)
        return rc;
    rc = mm_json_load(out, data, n, path, e);
    free(data);
    return rc;
}

/* The member of key; NULL when absent or null. */
static const json_t *member(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_null(v) ? NULL : v;
}

int64_t mm_json_int(const json_t *obj, const char *key, int64_t dflt, struct mm_err *e)
{
    const json_t *v = member(obj, key);

    if (v == NULL)
        return dflt;
    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_real(v)) {
        const double d = json_real_value(v);

        if (d == floor(d) && fabs(d) < 0x1p63)
            return (int64_t)d;
    }
    mm_err_set(e, MM_EDATA, "%s: not an integer", key);
    return dflt;
}

double mm_json_num(const json_t *obj, const char *key, double dflt, struct mm_err *e)
{
    const json_t *v = member(obj, key);

    if (v == NULL)
        return dflt;
    if (json_is_number(v))
        return json_number_value(v);
    mm_err_set(e, MM_EDATA, "%s: not a number", key);
    return dflt;
}

bool mm_json_bool(const json_t *obj, const char *key, bool dflt, struct mm_err *e)
{
    const json_t *v = member(obj, key);

    if (v == NULL)
        return dflt;
    if (json_is_boolean(v))
        return json_is_true(v);
    mm_err_set(e, MM_EDATA, "%s: not true or false", key);
    return dflt;
}

const char *mm_json_str(const json_t *obj, const char *key, const char *dflt, struct mm_err *e)
{
    const json_t *v = member(obj, key);

    if (v == NULL)
        return dflt;
    if (json_is_string(v))
        return json_string_value(v);
    mm_err_set(e, MM_EDATA, "%s: not a string", key);
    return dflt;
}

void mm_json_quote(struct mm_buf *b, const char *s, size_t n)
{
    static const char named[] = "\b\t\n\f\r\"\\";
    static const char letter[] = "btnfr\"\\";
    uint32_t cp;

    mm_buf_char(b, '"');
    for (size_t i = 0; i < n;) {
        const size_t len = mm_utf8_get(s + i, n - i, &cp);
        const char *at;

        if (len == 0) {
            mm_buf_str(b, "\xEF\xBF\xBD");
            i++;
            continue;
        }
        at = cp > 0 && cp < 0x80 ? strchr(named, (int)cp) : NULL;
        if (at != NULL)
            mm_buf_printf(b, "\\%c", letter[at - named]);
        else if (cp < 0x20 || cp == 0x7F)
            mm_buf_printf(b, "\\u%04x", (unsigned)cp);
        else
            mm_buf_add(b, s + i, len);
        i += len;
    }
    mm_buf_char(b, '"');
}
