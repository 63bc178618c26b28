/* convert.c: rows widened, permuted, quantised and written. */
#include "weights/convert.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/panel.h"
#include "base/quant.h"
#include "base/size.h"

#define PIECE ((size_t)8 << 20) /* bytes written at a time */
enum { TILE_ROWS = MM_PANEL_ROWS }; /* rows that one thread takes at a time */

struct item {
    char *name;
    struct mm_tensor in, out; /* out.data is NULL */
    int64_t heads;
};

struct mm_convert {
    enum mm_dtype type;
    bool pack;
    struct item *v;
    size_t n, cap;
};

/* What the tiles of one piece share. */
struct job {
    const struct item *x;
    size_t cols, in_row, out_row; /* elements; bytes */
    size_t first, rows;           /* of this piece */
    unsigned char *out;
    float *widened;               /* one row per thread */
    unsigned char *tile;          /* TILE_ROWS rows per thread, before they are packed */
};

struct mm_convert *mm_convert_new(enum mm_dtype type)
{
    struct mm_convert *const c = calloc(1, sizeof *c);

    if (c)
        c->type = type;
    return c;
}

void mm_convert_free(struct mm_convert *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->v[i].name);
    free(c->v);
    free(c);
}

void mm_convert_pack(struct mm_convert *c)
{
    c->pack = true;
}

static int64_t row_length(const struct mm_tensor *t)
{
    return t->ndim ? t->shape[t->ndim - 1] : 1;
}

/* The type that a tensor keeps when none is asked for. */
static enum mm_dtype kept_dtype(const struct mm_tensor *t)
{
    const enum mm_dtype d = mm_dtype_rows(t->dtype);

    if (d == MM_F8_E4M3 || d == MM_F8_E5M2)
        return MM_BF16; /* holds every 8-bit float */
    return mm_dtype_quantised(d) || d == MM_F16 || d == MM_BF16 ? d : MM_F32;
}

/* The type of rows that t gets. */
static enum mm_dtype pick_dtype(enum mm_dtype want, const struct mm_tensor *t,
                                enum mm_convert_role role)
{
    if (t->ndim < 2 || role == MM_CONVERT_FLOAT)
        return MM_F32;
    if (want == MM_NDTYPE)
        return kept_dtype(t);
    if (!mm_dtype_quantised(want))
        return want;
    if (role == MM_CONVERT_TABLE || t->ndim != 2 ||
        row_length(t) % (int64_t)mm_dtype_block(want) != 0)
        return MM_F16;
    return want;
}

int mm_convert_add(struct mm_convert *c, const char *name, const struct mm_tensor *t,
                   const struct mm_convert_spec *s, struct mm_err *e)
{
    char *const copy = strdup(name);

    if (!copy || !mm_grow(&c->v, &c->cap, c->n + 1, sizeof *c->v)) {
        free(copy);
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    struct item *const x = &c->v[c->n++];
    *x = (struct item){ .name = copy, .in = *t, .out = *t, .heads = s->heads };
    x->out.dtype = pick_dtype(c->type, t, s->role);
    if (c->pack && t->ndim == 2 && s->role == MM_CONVERT_MATRIX)
        x->out.dtype = mm_dtype_panels(x->out.dtype);
    x->out.data = NULL;
    if (t->dtype == MM_C64 || t->dtype == MM_BOOL)
        return mm_err_set(e, MM_EDATA, "tensor '%s': %s is no number", name,
                          mm_dtype_name(t->dtype));
    if (s->heads > 0 && (t->ndim < 1 || t->shape[0] % (2 * s->heads) != 0))
        return mm_err_set(e, MM_EDATA, "tensor '%s': %lld rows in %lld heads", name,
                          (long long)(t->ndim ? t->shape[0] : 0), (long long)s->heads);
    return 0;
}

/* The type of rows of the largest tensor. */
static enum mm_dtype largest_type(const struct mm_convert *c)
{
    enum mm_dtype d = MM_F32;
    size_t most = 0;

    for (size_t i = 0; i < c->n; i++)
        if (mm_tensor_count(&c->v[i].out) > most) {
            most = mm_tensor_count(&c->v[i].out);
            d = mm_dtype_rows(c->v[i].out.dtype);
        }
    return d;
}

uint32_t mm_convert_file_type(const struct mm_convert *c)
{
    switch (c->type == MM_NDTYPE ? largest_type(c) : c->type) {
    case MM_F16:  return 1;
    case MM_BF16: return 32;
    case MM_Q4_0: return 2;
    case MM_Q4_1: return 3;
    case MM_Q8_0: return 7;
    case MM_Q5_0: return 8;
    case MM_Q5_1: return 9;
    case MM_Q2_K: return 10;
    case MM_Q3_K: return 12;
    case MM_Q4_K: return 15;
    case MM_Q5_K: return 17;
    case MM_Q6_K: return 18;
    default:      return 0;
    }
}

int mm_convert_begin(struct mm_convert *c, struct mm_ggufw *w, const char *path, struct mm_err *e)
{
    if (c->pack)
        mm_ggufw_panels(w);
    for (size_t i = 0; i < c->n; i++)
        mm_ggufw_tensor(w, c->v[i].name, &c->v[i].out);
    return mm_ggufw_begin(w, path, e);
}

size_t mm_convert_count(const struct mm_convert *c)
{
    return c->n;
}

const char *mm_convert_name(const struct mm_convert *c, size_t i)
{
    return c->v[i].name;
}

const struct mm_tensor *mm_convert_out(const struct mm_convert *c, size_t i)
{
    return &c->v[i].out;
}

size_t mm_convert_rope_row(size_t r, size_t d)
{
    const size_t in_head = r % d; /* 2i + p was p d/2 + i */

    return r - in_head + in_head % 2 * (d / 2) + in_head / 2;
}

/* The stored row that becomes row r. */
static size_t source_row(const struct item *x, size_t r)
{
    return x->heads > 0 ? mm_convert_rope_row(r, (size_t)(x->in.shape[0] / x->heads)) : r;
}

/* Row r of the piece into out, as it will be before packing. */
static void convert_row(unsigned char *out, const struct job *j, size_t r, float *row)
{
    const size_t from = source_row(j->x, j->first + r);
    const struct mm_tensor *const in = &j->x->in;
    const char *const src = (const char *)in->data + from * j->in_row; /* if it lies in rows */
    const struct mm_tensor part = { .dtype = in->dtype, .ndim = 1,
                                    .shape = { (int64_t)j->cols }, .data = (void *)src };
    const bool packed = mm_dtype_packed(in->dtype);

    if (mm_dtype_rows(in->dtype) == mm_dtype_rows(j->x->out.dtype)) {
        if (packed)
            mm_panel_tensor_row(out, in, from);
        else
            memcpy(out, src, j->out_row);
        return;
    }
    if (packed)
        mm_panel_read(row, in, from * j->cols, j->cols);
    else
        mm_tensor_to_f32(row, &part);
    mm_quant_row(out, mm_dtype_rows(j->x->out.dtype), row, j->cols);
}

static void convert_tile(void *arg, size_t tile, int thread)
{
    const struct job *const j = arg;
    const size_t first = tile * TILE_ROWS;
    const size_t n = j->rows - first < TILE_ROWS ? j->rows - first : TILE_ROWS;
    unsigned char *const out = j->out + first * j->out_row;
    unsigned char *const rows = j->tile ? j->tile + (size_t)thread * TILE_ROWS * j->out_row : out;

    for (size_t r = 0; r < n; r++)
        convert_row(rows + r * j->out_row, j, first + r, j->widened + (size_t)thread * j->cols);
    if (j->tile)
        mm_panel_write(out, mm_dtype_rows(j->x->out.dtype), rows, n, j->cols);
}

/* Rows of a vector with heads are its elements, as those of a matrix are rows. */
static bool set_up(struct job *j, const struct item *x, size_t *total)
{
    const size_t count = mm_tensor_count(&x->in);

    *j = (struct job){ .x = x, .cols = (size_t)row_length(&x->in) };
    if (x->heads > 0 && x->in.ndim == 1)
        j->cols = 1;
    *total = j->cols ? count / j->cols : 0;
    return mm_dtype_bytes(mm_dtype_rows(x->in.dtype), j->cols, &j->in_row) &&
           mm_dtype_bytes(mm_dtype_rows(x->out.dtype), j->cols, &j->out_row);
}

/* Memory for pieces of `rows` rows. */
static int set_room(struct job *j, size_t rows, size_t threads, struct mm_err *e)
{
    size_t out, widened, tile;

    if (mm_size_mul(rows, j->out_row, &out) &&
        mm_size_mul(threads * sizeof *j->widened, j->cols, &widened) &&
        mm_size_mul(threads * TILE_ROWS, j->out_row, &tile)) {
        const bool packed = mm_dtype_packed(j->x->out.dtype);
        j->out = malloc(out);
        j->widened = malloc(widened);
        j->tile = packed ? malloc(tile) : NULL;
        if (j->out && j->widened && (j->tile || !packed))
            return 0;
    }
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* Rows of one piece that are written: whole panels. */
static size_t written_rows(const struct job *j, size_t rows)
{
    return mm_dtype_packed(j->x->out.dtype)
               ? (rows + MM_PANEL_ROWS - 1) / MM_PANEL_ROWS * MM_PANEL_ROWS : rows;
}

int mm_convert_tensor(const struct mm_convert *c, size_t i, struct mm_ggufw *w,
                      struct mm_pool *p, struct mm_err *e)
{
    struct job j;
    size_t total, rows;
    int rc = 0;

    if (!set_up(&j, &c->v[i], &total))
        return mm_err_set(e, MM_EBUG, "tensor '%s': rows of no whole blocks", c->v[i].name);
    if (total == 0 || j.out_row == 0)
        return 0;
    rows = j.out_row < PIECE / TILE_ROWS ? PIECE / j.out_row / TILE_ROWS * TILE_ROWS : TILE_ROWS;
    rows = written_rows(&j, rows < total ? rows : total);
    rc = set_room(&j, rows, p ? (size_t)mm_pool_threads(p) : 1, e);
    for (; rc == 0 && j.first < total; j.first += j.rows) {
        j.rows = total - j.first < rows ? total - j.first : rows;
        mm_pool_run(p, (j.rows + TILE_ROWS - 1) / TILE_ROWS, convert_tile, &j);
        rc = mm_ggufw_data(w, j.out, written_rows(&j, j.rows) * j.out_row, e);
    }
    free(j.tile);
    free(j.out);
    free(j.widened);
    return rc < 0 ? mm_err_prefix(e, "tensor '%s'", c->v[i].name) : 0;
}
