/* csv.c: tables of numbers as comma-separated text. */
#include "base/csv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/utf8.h"

struct parser {
    const char *what;
    const char *p, *end;
    size_t line, column, columns; /* columns: of the first line, 0: not yet known */
    double *x;
    int64_t *i;                   /* the same cells as integers while all are */
    size_t n, xcap, icap;
    bool integers;
    struct mm_buf cell, header;
};

static int bad(const struct parser *p, struct mm_err *e, const char *reason)
{
    return mm_err_set(e, MM_EDATA, "%s: line %zu, column %zu: %s", p->what, p->line, p->column + 1,
                      reason);
}

/* Reads a cell into p->cell, quotes removed.  Leaves p at the separator. */
static int get_cell(struct parser *p, struct mm_err *e)
{
    mm_buf_reset(&p->cell);
    if (p->p < p->end && *p->p == '"') {
        for (p->p++;; p->p++) {
            if (p->p == p->end)
                return bad(p, e, "quote without end");
            if (*p->p == '"' && (p->p + 1 == p->end || p->p[1] != '"'))
                break;
            if (*p->p == '"')
                p->p++;
            mm_buf_char(&p->cell, *p->p);
        }
        p->p++;
    }
    while (p->p < p->end && *p->p != ',' && *p->p != '\n' && *p->p != '\r')
        mm_buf_char(&p->cell, *p->p++);
    if (p->cell.failed)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", p->what);
    if (p->cell.p == NULL)
        mm_buf_add(&p->cell, "", 0);
    return 0;
}

static bool to_number(const struct parser *p, double *x, int64_t *i, bool *integer)
{
    char *s = p->cell.p;
    char *end;

    s += strspn(s, " \t");
    *x = strtod(s, &end);
    if (end == s || (size_t)(end - p->cell.p) + strspn(end, " \t") != p->cell.n)
        return false;
    errno = 0;
    *i = strtoll(s, &end, 10);
    *integer = errno == 0 && (size_t)(end - p->cell.p) + strspn(end, " \t") == p->cell.n;
    return true;
}

static int add_number(struct parser *p, double x, int64_t i, bool integer, struct mm_err *e)
{
    p->integers = p->integers && integer;
    if (!mm_grow(&p->x, &p->xcap, p->n + 1, sizeof(*p->x))
        || !mm_grow(&p->i, &p->icap, p->n + 1, sizeof(*p->i)))
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", p->what);
    p->x[p->n] = x;
    p->i[p->n++] = i;
    return 0;
}

/* One line; *names counts cells that are no numbers (allowed in the first line). */
static int get_line(struct parser *p, size_t *names, struct mm_err *e)
{
    *names = 0;
    for (p->column = 0;; p->column++, p->p++) {
        double x;
        int64_t i;
        bool integer;
        int rc = get_cell(p, e);

        if (rc < 0)
            return rc;
        if (to_number(p, &x, &i, &integer))
            rc = add_number(p, x, i, integer, e);
        else if (p->line > 1)
            rc = bad(p, e, "not a number");
        else
            ++*names;
        if (rc < 0)
            return rc;
        if (p->line == 1) {
            mm_buf_char(&p->header, p->column == 0 ? '[' : ',');
            mm_json_quote(&p->header, p->cell.p, p->cell.n);
        }
        if (p->p == p->end || *p->p != ',')
            break;
    }
    p->column++;
    if (p->columns == 0)
        p->columns = p->column;
    else if (p->column != p->columns)
        return mm_err_set(e, MM_EDATA, "%s: line %zu has %zu columns, the first has %zu", p->what,
                          p->line, p->column, p->columns);
    if (p->p < p->end && *p->p == '\r')
        p->p++;
    if (p->p < p->end && *p->p != '\n')
        return bad(p, e, "text behind a quoted cell, or CR inside a line");
    p->p += p->p < p->end;
    return 0;
}

static int parse(struct parser *p, struct mm_err *e)
{
    size_t names;
    int rc = 0;

    for (p->line = 1; rc == 0 && p->p < p->end; p->line++) {
        rc = get_line(p, &names, e);
        if (rc < 0 || p->line > 1)
            continue;
        if (names == 0) {
            mm_buf_reset(&p->header);
        } else { /* the header: what it had of numbers are names too */
            mm_buf_char(&p->header, ']');
            p->n = 0;
            p->integers = true;
        }
    }
    if (rc == 0 && (p->header.failed || p->cell.failed))
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", p->what);
    return rc;
}

int mm_csv_parse(struct mm_csv *c, const char *text, size_t n, const char *what, struct mm_err *e)
{
    struct parser p = { .what = what, .p = text, .end = text + n, .integers = true };
    int rc = 0;

    memset(c, 0, sizeof(*c));
    if (mm_utf8_valid(text, n) != n)
        rc = mm_err_set(e, MM_EDATA, "%s: offset %zu: not UTF-8", what, mm_utf8_valid(text, n));
    if (rc == 0)
        rc = parse(&p, e);
    if (rc == 0) {
        c->t.dtype = p.integers && p.n > 0 ? MM_I64 : MM_F64;
        c->t.ndim = 2;
        c->t.shape[1] = (int64_t)p.columns;
        c->t.shape[0] = p.columns > 0 ? (int64_t)(p.n / p.columns) : 0;
        c->t.data = p.integers && p.n > 0 ? (void *)p.i : (void *)p.x;
        if (c->t.data == p.x)
            free(p.i);
        else
            free(p.x);
        if (p.header.n > 0) {
            c->header = p.header.p;
            p.header.p = NULL;
        }
    } else {
        free(p.x);
        free(p.i);
    }
    mm_buf_free(&p.cell);
    mm_buf_free(&p.header);
    return rc;
}

void mm_csv_free(struct mm_csv *c)
{
    free(c->t.data);
    free(c->header);
    memset(c, 0, sizeof(*c));
}

/* An element in as many digits as bring it back. */
static void put_number(struct mm_buf *b, const struct mm_tensor *t, size_t i)
{
    const size_t size = mm_dtype_block_bytes(t->dtype);
    unsigned char *p = (unsigned char *)t->data + i * size;
    const struct mm_tensor one = { .dtype = t->dtype, .data = p };
    double f64;
    float f;

    switch (t->dtype) {
    case MM_F64:
        memcpy(&f64, p, sizeof(f64));
        mm_buf_printf(b, "%.17g", f64);
        break;
    case MM_I64:
        mm_buf_printf(b, "%" PRId64, (int64_t)mm_get_u64(p));
        break;
    case MM_U64:
        mm_buf_printf(b, "%" PRIu64, mm_get_u64(p));
        break;
    case MM_I32:
        mm_buf_printf(b, "%" PRId32, (int32_t)mm_get_u32(p));
        break;
    case MM_U32:
        mm_buf_printf(b, "%" PRIu32, mm_get_u32(p));
        break;
    default:
        mm_tensor_to_f32(&f, &one);
        mm_buf_printf(b, "%.9g", (double)f);
    }
}

static int put_header(struct mm_buf *b, const char *header, size_t columns, struct mm_err *e)
{
    json_t *names = NULL;
    int rc = mm_json_load(&names, header, strlen(header), "header", e);
    const json_t *v;

    if (rc == 0 && json_array_size(names) != columns)
        rc = mm_err_set(e, MM_EDATA, "header of %zu names for %zu columns", json_array_size(names),
                        columns);
    for (size_t i = 0; rc == 0 && i < columns; i++) {
        v = json_array_get(names, i);
        if (!json_is_string(v)) {
            rc = mm_err_set(e, MM_EDATA, "header is no array of strings");
            break;
        }
        mm_buf_str(b, i > 0 ? ",\"" : "\"");
        for (const char *s = json_string_value(v); *s != '\0'; s++)
            mm_buf_printf(b, *s == '"' ? "\"%c" : "%c", *s);
        mm_buf_char(b, '"');
    }
    mm_buf_char(b, '\n');
    json_decref(names);
    return rc;
}

int mm_csv_write(struct mm_buf *b, const struct mm_tensor *t, const char *header, struct mm_err *e)
{
    const size_t n = mm_tensor_count(t);
    size_t columns = 1;
    char shape[200];
    int real = 0;
    int rc = 0;

    for (int i = 0; i < t->ndim; i++)
        real += t->shape[i] != 1;
    if (real > 2 || t->dtype == MM_C64 || mm_dtype_quantised(t->dtype))
        return mm_err_set(e, MM_ESHAPE, "%s %s is no table", mm_dtype_name(t->dtype),
                          mm_shape_str(shape, sizeof(shape), t->shape, t->ndim));
    if (t->ndim > 0 && (real == 2 || t->ndim == 2))
        columns = (size_t)t->shape[t->ndim - 1];
    if (real == 2 && t->ndim > 2) /* the last axis other than 1 */
        for (int i = 0; i < t->ndim; i++)
            if (t->shape[i] != 1)
                columns = (size_t)t->shape[i];
    if (header != NULL)
        rc = put_header(b, header, columns, e);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        put_number(b, t, i);
        mm_buf_char(b, (i + 1) % columns == 0 ? '\n' : ',');
    }
    if (rc == 0 && b->failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    return rc;
}
