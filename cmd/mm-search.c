/* mm-search: the nearest items of an index, exactly, by cosine.
 *
 *   queries: features [D] or [..., D] -> for each row the k best rows of the index
 *
 * The queries are held, the index is read once, record by record.  A product in
 * f32 finds the candidates; what may enter a list is computed again in double,
 * so equal vectors get equal scores and ties keep the order of the index.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/size.h"
#include "kernel/gemm.h"
#include "stream/cmdio.h"

static const char usage[] = "mm-search [-qv] [-k n] [--threshold x] [--json] index [query ...]";
static const char help[] =
    "  -k N                   results for each query (10)\n"
    "      --threshold X      only results whose cosine is at least X\n"
    "      --json             one object a line and query instead of columns\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

enum { OPT_THRESHOLD = MM_OPT_FIRST, OPT_JSON };

static const struct option longopts[] = { MM_COMMON_LONG,
                                          MM_MAX_RECORD_LONG,
                                          { "threshold", required_argument, NULL, OPT_THRESHOLD },
                                          { "json", no_argument, NULL, OPT_JSON },
                                          { NULL, 0, NULL, 0 } };

struct opts {
    size_t k, max_record;
    double threshold;
    bool json;
};

/* Where a row came from. */
struct label {
    char *source; /* malloc'd */
    int64_t item; /* -1: none */
    int64_t row;  /* -1: the only one of its record */
};

struct hit {
    double score;
    uint64_t order; /* position in the index */
    struct label label;
};

struct query {
    struct label label;
    struct hit *hit; /* a heap, the worst first */
    size_t n, cap;
    bool failed;     /* out of memory */
};

/* Rows with their labels; unit rows are for the f32 product. */
struct rows {
    float *x, *unit;   /* [n][dim] */
    double *norm;      /* [n] */
    struct label *label;
    size_t n, xcap, ucap, ncap, lcap;
};

struct search {
    struct mm_cmd *cmd;
    const struct opts *o;
    struct mm_pool *pool;
    size_t dim; /* 0 before the first record */
    struct rows queries, block;
    struct query *query;
    float *product;  /* [queries][block] */
    size_t max_block;
    uint64_t order;  /* of the block's first row */
};

static void free_rows(struct rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->label[i].source);
    free(r->x);
    free(r->unit);
    free(r->norm);
    free(r->label);
}

static int no_memory(struct search *s)
{
    return mm_err_set(&s->cmd->err, MM_ENOMEM, "out of memory");
}

/* The record's source, or its name; without either its place in the file. */
static char *source_of(const struct mm_rec *rec, const char *file, size_t index)
{
    const char *s = mm_rec_attr(rec, "source");
    struct mm_buf b = { 0 };

    if (!s)
        s = mm_rec_attr(rec, "name");
    if (s)
        return strdup(s);
    mm_buf_printf(&b, "%s:%zu", file, index);
    if (!b.failed)
        return b.p;
    mm_buf_free(&b);
    return NULL;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static int reserve(struct search *s, struct rows *r, size_t more)
{
    size_t rows, n;

    if (mm_size_add(r->n, more, &rows) && mm_size_mul(rows, s->dim, &n) &&
        mm_grow(&r->x, &r->xcap, n, sizeof(*r->x)) &&
        mm_grow(&r->unit, &r->ucap, n, sizeof(*r->unit)) &&
        mm_grow(&r->norm, &r->ncap, rows, sizeof(*r->norm)) &&
        mm_grow(&r->label, &r->lcap, rows, sizeof(*r->label)))
        return 0;
    return no_memory(s);
}

/* Norm and unit row of the row just stored at the end; a zero vector stays zero. */
static int finish_row(struct search *s, struct rows *r, const char *file)
{
    const float *x = r->x + r->n * s->dim;
    float *u = r->unit + r->n * s->dim;
    const double norm = sqrt(dot(x, x, s->dim));

    if (!isfinite(norm))
        return mm_err_set(&s->cmd->err, MM_EDATA, "%s: features of '%s' are not finite", file,
                          r->label[r->n].source);
    for (size_t i = 0; i < s->dim; i++)
        u[i] = norm > 0 ? (float)(x[i] / norm) : 0.0f;
    r->norm[r->n] = norm;
    r->n++;
    return 0;
}

/* Rows of a features record, whose shape is checked: rows at..at+count. */
static int add_rows(struct search *s, struct rows *r, const struct mm_rec *rec, size_t at,
                    size_t count, const char *file, size_t index)
{
    const size_t all = mm_tensor_count(&rec->t) / s->dim;
    struct mm_tensor part = rec->t;
    int rc = reserve(s, r, count);

    if (rc)
        return rc;
    part.ndim = 1;
    part.shape[0] = (int64_t)(count * s->dim);
    part.data = (char *)rec->data + at * s->dim * mm_dtype_block_bytes(rec->t.dtype);
    mm_tensor_to_f32(r->x + r->n * s->dim, &part);
    for (size_t i = 0; i < count; i++) {
        struct label *l = &r->label[r->n];
        *l = (struct label){ .source = source_of(rec, file, index),
                             .item = mm_rec_int(rec, "item", -1),
                             .row = all > 1 ? (int64_t)(at + i) : -1 };
        if (!l->source)
            return no_memory(s);
        if ((rc = finish_row(s, r, file)) != 0) {
            free(l->source);
            return rc;
        }
    }
    return 0;
}

/* 1: a features record of the right width; 0: of no interest; or an error. */
static int wanted(struct search *s, const struct mm_rec *rec, const char *file)
{
    const struct mm_tensor *t = &rec->t;

    if (rec->type != MM_REC_TENSOR || !mm_rec_is(rec, "features"))
        return 0;
    const int64_t dim = t->ndim > 0 ? t->shape[t->ndim - 1] : 0;
    if (dim < 1 || t->dtype == MM_C64)
        return mm_err_set(&s->cmd->err, MM_EDATA, "%s: features record of %d dimensions, type %s",
                          file, t->ndim, mm_dtype_name(t->dtype));
    if (s->dim == 0)
        s->dim = (size_t)dim;
    if ((size_t)dim != s->dim)
        return mm_err_set(&s->cmd->err, MM_EDATA,
                          "%s: features of %" PRId64 " numbers, the queries have %zu", file, dim,
                          s->dim);
    return mm_tensor_count(t) > 0;
}

static bool worse(const struct hit *a, const struct hit *b)
{
    return a->score != b->score ? a->score < b->score : a->order > b->order;
}

static void sift_down(struct hit *h, size_t n, size_t i)
{
    for (;;) {
        size_t low = i;
        for (size_t c = 2 * i + 1; c < n && c <= 2 * i + 2; c++)
            if (worse(&h[c], &h[low]))
                low = c;
        if (low == i)
            return;
        const struct hit t = h[i];
        h[i] = h[low];
        h[low] = t;
        i = low;
    }
}

static void sift_up(struct hit *h, size_t i)
{
    while (i > 0 && worse(&h[i], &h[(i - 1) / 2])) {
        const struct hit t = h[i];
        h[i] = h[(i - 1) / 2];
        h[(i - 1) / 2] = t;
        i = (i - 1) / 2;
    }
}

static void offer(struct query *q, struct hit new, size_t k)
{
    if (q->n == k && !worse(&q->hit[0], &new))
        return;
    new.label.source = strdup(new.label.source);
    if (!new.label.source || (q->n < k && !mm_grow(&q->hit, &q->cap, q->n + 1, sizeof(*q->hit)))) {
        free(new.label.source);
        q->failed = true;
        return;
    }
    if (q->n < k) {
        q->hit[q->n++] = new;
        sift_up(q->hit, q->n - 1);
        return;
    }
    free(q->hit[0].label.source);
    q->hit[0] = new;
    sift_down(q->hit, q->n, 0);
}

/* One query against the block. */
static void search_query(void *arg, size_t i, int thread)
{
    struct search *s = arg;
    struct query *q = &s->query[i];
    /* error of the product of two unit rows (Higham 2002, sec. 3.1), and of their rounding */
    const double margin = (double)(s->dim + 8) * FLT_EPSILON;

    (void)thread;
    for (size_t j = 0; j < s->block.n && !q->failed; j++) {
        const double about = s->product[i * s->block.n + j];
        const double least = q->n == s->o->k ? fmax(q->hit[0].score, s->o->threshold)
                                             : s->o->threshold;
        if (about < least - margin)
            continue;
        const double norms = s->queries.norm[i] * s->block.norm[j];
        const double score = norms > 0 ? dot(s->queries.x + i * s->dim, s->block.x + j * s->dim,
                                             s->dim) / norms
                                       : 0.0;
        if (score >= s->o->threshold)
            offer(q, (struct hit){ score, s->order + j, s->block.label[j] }, s->o->k);
    }
}

static int search_block(struct search *s)
{
    struct rows *b = &s->block;
    int rc;

    if (b->n == 0)
        return 0;
    if ((rc = mm_gemm(MM_NOTRANS, MM_TRANS, s->queries.n, b->n, s->dim, 1.0f, s->queries.unit,
                      s->dim, b->unit, s->dim, 0.0f, s->product, b->n, s->pool)) < 0)
        return no_memory(s);
    mm_pool_run(s->pool, s->queries.n, search_query, s);
    for (size_t i = 0; i < s->queries.n; i++)
        if (s->query[i].failed)
            return no_memory(s);
    s->order += b->n;
    for (size_t i = 0; i < b->n; i++)
        free(b->label[i].source);
    b->n = 0;
    return 0;
}

static int read_queries(struct search *s, char *const *paths, int n)
{
    struct mm_err *e = &s->cmd->err;
    struct mm_input *in = NULL;
    struct mm_rec rec;
    size_t index = 0;
    int rc;

    if ((rc = mm_input_open(&in, paths, n, s->o->max_record, e)) < 0)
        return rc;
    for (; rc >= 0 && (rc = mm_input_get(in, &rec, e)) > 0; index++) {
        const char *file = mm_input_name(in);
        if ((rc = wanted(s, &rec, file)) > 0)
            rc = add_rows(s, &s->queries, &rec, 0, mm_tensor_count(&rec.t) / s->dim, file, index);
    }
    mm_input_close(in);
    if (rc == 0 && s->queries.n == 0)
        rc = mm_err_set(e, MM_EDATA, "the query holds no features record");
    return rc;
}

/* Blocks of some MiB, with the product no larger than that either. */
static int plan_blocks(struct search *s)
{
    const size_t room = (size_t)1 << 22;
    size_t n;

    s->max_block = room / s->dim < room / s->queries.n ? room / s->dim : room / s->queries.n;
    s->max_block = s->max_block < 1 ? 1 : s->max_block > 1024 ? 1024 : s->max_block;
    s->query = calloc(s->queries.n, sizeof(*s->query));
    if (mm_size_mul(s->queries.n, s->max_block, &n))
        s->product = calloc(n, sizeof(*s->product));
    return s->query && s->product ? 0 : no_memory(s);
}

static int scan_record(struct search *s, const struct mm_rec *rec, const char *file, size_t index)
{
    const size_t rows = mm_tensor_count(&rec->t) / s->dim;
    int rc = 0;

    for (size_t at = 0; at < rows && rc == 0;) {
        const size_t left = s->max_block - s->block.n;
        const size_t count = rows - at < left ? rows - at : left;
        rc = add_rows(s, &s->block, rec, at, count, file, index);
        at += count;
        if (rc == 0 && s->block.n == s->max_block)
            rc = search_block(s);
    }
    return rc;
}

static int scan_index(struct search *s, char *path)
{
    struct mm_err *e = &s->cmd->err;
    struct mm_input *in = NULL;
    struct mm_rec rec;
    size_t index = 0;
    int rc;

    if ((rc = mm_input_open(&in, &path, 1, s->o->max_record, e)) < 0)
        return rc;
    for (; rc >= 0 && (rc = mm_input_get(in, &rec, e)) > 0; index++) {
        const char *file = mm_input_name(in);
        if ((rc = wanted(s, &rec, file)) > 0)
            rc = scan_record(s, &rec, file, index);
    }
    if (rc == 0)
        rc = search_block(s);
    if (rc == 0 && s->order == 0)
        rc = mm_err_set(e, MM_EDATA, "%s: holds no features record", path);
    mm_input_close(in);
    return rc;
}

static int by_rank(const void *a, const void *b)
{
    return worse(b, a) ? -1 : worse(a, b);
}

/* A source as a column: tab, newline and backslash are escaped. */
static void put_column(struct mm_buf *b, const struct label *l)
{
    for (const char *p = l->source; *p; p++) {
        if (*p == '\t' || *p == '\n' || *p == '\\')
            mm_buf_char(b, '\\');
        mm_buf_char(b, *p == '\t' ? 't' : *p == '\n' ? 'n' : *p);
    }
    if (l->row >= 0)
        mm_buf_printf(b, "#%" PRId64, l->row);
}

static void put_columns(struct mm_buf *b, const struct query *q, const struct label *from)
{
    for (size_t i = 0; i < q->n; i++) {
        put_column(b, from);
        mm_buf_printf(b, "\t%zu\t%.6f\t", i + 1, q->hit[i].score);
        put_column(b, &q->hit[i].label);
        mm_buf_char(b, '\n');
    }
}

static void put_label(struct mm_buf *b, const struct label *l)
{
    mm_buf_str(b, "\"source\":");
    mm_json_quote(b, l->source, strlen(l->source));
    if (l->item >= 0)
        mm_buf_printf(b, ",\"item\":%" PRId64, l->item);
    if (l->row >= 0)
        mm_buf_printf(b, ",\"row\":%" PRId64, l->row);
}

static void put_json(struct mm_buf *b, const struct query *q, const struct label *from)
{
    mm_buf_str(b, "{\"query\":{");
    put_label(b, from);
    mm_buf_str(b, "},\"results\":[");
    for (size_t i = 0; i < q->n; i++) {
        mm_buf_printf(b, "%s{\"rank\":%zu,\"score\":%.9g,", i ? "," : "", i + 1, q->hit[i].score);
        put_label(b, &q->hit[i].label);
        mm_buf_char(b, '}');
    }
    mm_buf_str(b, "]}\n");
}

static int print_results(struct search *s)
{
    struct mm_buf b = { 0 };

    for (size_t i = 0; i < s->queries.n && !b.failed; i++) {
        struct query *q = &s->query[i];
        if (q->n > 0)
            qsort(q->hit, q->n, sizeof(*q->hit), by_rank);
        mm_buf_reset(&b);
        if (s->o->json)
            put_json(&b, q, &s->queries.label[i]);
        else
            put_columns(&b, q, &s->queries.label[i]);
        if (b.n > 0)
            fwrite(b.p, 1, b.n, stdout); /* checked by mm_cmd_finish */
    }
    const int rc = b.failed ? no_memory(s) : 0;
    mm_buf_free(&b);
    return rc;
}

static int run(struct search *s, char **paths, int n)
{
    int rc;

    if (!(s->pool = mm_pool_new(s->cmd->threads)))
        return mm_err_set(&s->cmd->err, MM_ENOMEM, "cannot start %d threads", s->cmd->threads);
    if ((rc = read_queries(s, paths + 1, n - 1)) == 0 && (rc = plan_blocks(s)) == 0 &&
        (rc = scan_index(s, paths[0])) == 0)
        rc = print_results(s);
    return rc;
}

static void close_all(struct search *s)
{
    for (size_t i = 0; s->query && i < s->queries.n; i++) {
        for (size_t j = 0; j < s->query[i].n; j++)
            free(s->query[i].hit[j].label.source);
        free(s->query[i].hit);
    }
    free(s->query);
    free(s->product);
    free_rows(&s->queries);
    free_rows(&s->block);
    mm_pool_free(s->pool);
}

int main(int argc, char **argv)
{
    struct opts o = { .k = 10, .max_record = (size_t)1 << 30, .threshold = -2.0 };
    struct mm_cmd cmd;
    struct search s = { .cmd = &cmd, .o = &o };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "k:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'k': o.k = (size_t)mm_opt_int(&cmd, "-k", optarg, 1, 1000000); break;
        case OPT_THRESHOLD:
            o.threshold = mm_opt_double(&cmd, "--threshold", optarg, -1.0, 1.0);
            break;
        case OPT_JSON: o.json = true; break;
        case MM_OPT_MAX_RECORD:
            o.max_record = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default: mm_cmd_common(&cmd, c, optarg);
        }
    if (optind == argc)
        mm_cmd_usage(&cmd, "no index is given");
    if (strcmp(argv[optind], "-") == 0)
        mm_cmd_usage(&cmd, "the index must be a file");
    (void)run(&s, argv + optind, argc - optind); /* the error is in cmd */
    close_all(&s);
    return mm_cmd_finish(&cmd);
}
