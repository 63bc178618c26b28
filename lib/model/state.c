/* state.c: saved prefixes.  See state.h. */
#include "model/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/outfile.h"
#include "base/size.h"
#include "model/generate_impl.h"
#include "stream/stream.h"

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "state: out of memory");
}

/* --- save ------------------------------------------------------------------------- */

struct saver {
    struct mm_writer *w;
    char model[20];
    struct mm_err *e;
};

static int put(struct saver *s, struct mm_rec *r, const char *name)
{
    int rc = mm_rec_set(r, "kind", "state");

    if (rc == 0)
        rc = mm_rec_set(r, "name", name);
    if (rc == 0)
        rc = mm_rec_set(r, "model", s->model);
    rc = rc < 0 ? no_memory(s->e) : mm_writer_put(s->w, r, s->e);
    mm_rec_free(r);
    return rc;
}

static int put_tensor(struct saver *s, enum mm_dtype dtype, int ndim, const int64_t *shape,
                      const void *data, const char *name)
{
    struct mm_rec r;

    mm_rec_init(&r, MM_REC_TENSOR);
    r.t = (struct mm_tensor){ .dtype = dtype, .ndim = ndim };
    memcpy(r.t.shape, shape, (size_t)ndim * sizeof(*shape));
    r.data = r.t.data = (void *)(uintptr_t)data; /* the writer only reads it */
    r.size = mm_tensor_bytes(&r.t);
    return put(s, &r, name);
}

static json_t *part_json(const struct mm_part *p)
{
    json_t *ids;

    switch (p->kind) {
    case MM_PART_ROWS:
        return json_pack("{s:i, s:s?}", "rows", (int)p->n, "marker", p->marker);
    case MM_PART_IDS:
        ids = json_array();
        for (size_t i = 0; i < p->n; i++)
            json_array_append_new(ids, json_integer(p->ids[i]));
        return json_pack("{s:o}", "ids", ids);
    default:
        return json_pack("{s:s%, s:b}", "text", p->s, p->n, "user", p->kind == MM_PART_USER);
    }
}

static int put_head(struct saver *s, const struct mm_gen *g, const struct mm_parts *parts)
{
    const struct mm_llama_config *c = g->c;
    json_t *list = json_array();
    struct mm_rec r;
    int rc = 0;

    for (size_t i = 0; i < parts->n; i++)
        rc |= json_array_append_new(list, part_json(&parts->v[i]));
    json_t *head = json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "version", 1,
                             "positions", (json_int_t)g->past.seq.n, "layers",
                             (json_int_t)c->layers, "kv_heads", (json_int_t)c->kv_heads,
                             "head_dim", (json_int_t)c->head_dim, "vocab", (json_int_t)c->vocab,
                             "kv", mm_dtype_name(mm_kv_dtype(g->past.kv)), "parts", list);
    char *text = head && rc == 0 ? json_dumps(head, JSON_COMPACT) : NULL;
    json_decref(head);
    if (!text)
        return no_memory(s->e);
    mm_rec_init(&r, MM_REC_JSON);
    r.data = text;
    r.size = strlen(text);
    rc = put(s, &r, "state");
    free(text);
    return rc;
}

static int put_sequence(struct saver *s, const struct mm_gen *g)
{
    const struct mm_prompt *p = &g->past.seq;
    int32_t *ids = calloc(p->n + 1, sizeof(*ids));
    uint64_t *hash = calloc(p->nrows + 1, sizeof(*hash));
    int rc = ids && hash ? 0 : no_memory(s->e);

    for (size_t i = 0; i < p->n && rc == 0; i++)
        ids[i] = p->id[i] < 0 ? -1 : p->id[i];
    for (size_t i = 0; i < p->nrows && rc == 0; i++)
        hash[i] = p->hash[i];
    if (rc == 0)
        rc = put_tensor(s, MM_I32, 1, (int64_t[]){ (int64_t)p->n }, ids, "ids");
    if (rc == 0)
        rc = put_tensor(s, MM_U64, 1, (int64_t[]){ (int64_t)p->nrows }, hash, "hashes");
    if (rc == 0)
        rc = put_tensor(s, MM_F32, 1, &g->c->vocab, g->past.logits, "logits");
    free(ids);
    free(hash);
    return rc;
}

/* Shape of a layer's keys (and values), and their bytes. */
static size_t layer_shape(const struct mm_gen *g, size_t n, int64_t *shape)
{
    shape[0] = g->c->kv_heads;
    shape[1] = (int64_t)n;
    shape[2] = g->c->head_dim;
    struct mm_tensor t = { .dtype = g->o.kv, .ndim = 3,
                           .shape = { shape[0], shape[1], shape[2] } };
    return mm_tensor_bytes(&t);
}

static int put_layers(struct saver *s, const struct mm_gen *g)
{
    int64_t shape[3];
    const size_t bytes = layer_shape(g, g->past.seq.n, shape);
    void *k = malloc(bytes + 1);
    void *v = malloc(bytes + 1);
    int rc = k && v ? 0 : no_memory(s->e);

    for (int64_t l = 0; l < g->c->layers && rc == 0; l++) {
        char name[60];
        mm_kv_export(g->past.kv, (size_t)l, k, v);
        snprintf(name, sizeof(name), "layers.%" PRId64 ".k", l);
        rc = put_tensor(s, g->o.kv, 3, shape, k, name);
        snprintf(name, sizeof(name), "layers.%" PRId64 ".v", l);
        if (rc == 0)
            rc = put_tensor(s, g->o.kv, 3, shape, v, name);
    }
    free(k);
    free(v);
    return rc;
}

int mm_state_save(const char *path, struct mm_gen *g, const struct mm_parts *parts,
                  uint64_t fingerprint, struct mm_err *e)
{
    struct mm_outfile *f;
    struct saver s = { .e = e };
    int rc = mm_outfile_open(&f, path, e);

    if (rc < 0)
        return rc;
    snprintf(s.model, sizeof(s.model), "%016" PRIx64, fingerprint);
    rc = mm_writer_open(&s.w, mm_outfile_fd(f), 0, e);
    if (rc == 0)
        rc = put_head(&s, g, parts);
    if (rc == 0)
        rc = put_sequence(&s, g);
    if (rc == 0)
        rc = put_layers(&s, g);
    if (rc == 0)
        rc = mm_writer_end(s.w, e);
    mm_writer_close(s.w);
    if (rc < 0)
        mm_outfile_abort(f);
    else
        rc = mm_outfile_commit(f, e);
    return rc < 0 ? mm_err_prefix(e, "%s", path) : 0;
}

/* --- load ------------------------------------------------------------------------- */

struct loader {
    struct mm_gen *g;
    struct mm_reader *r;
    struct mm_rec rec;
    const char *path;
    char model[20];
    size_t n;          /* positions */
    json_t *parts;
    struct mm_parts *out;
    struct mm_err *e;
};

static int damaged(struct loader *l, const char *what)
{
    return mm_err_set(l->e, MM_EDATA, "%s: not a saved state: %s", l->path, what);
}

/* The next record, which must have this name and be of this model. */
static int next(struct loader *l, enum mm_rec_type type, const char *name)
{
    const int rc = mm_reader_get(l->r, &l->rec, l->e);

    if (rc < 0)
        return rc;
    const char *got = rc > 0 ? mm_rec_attr(&l->rec, "name") : NULL;
    const char *model = rc > 0 ? mm_rec_attr(&l->rec, "model") : NULL;
    if (!got || !model || strcmp(got, name) != 0 || l->rec.type != type)
        return mm_err_set(l->e, MM_EDATA, "%s: not a saved state: record '%s', want '%s'", l->path,
                          got ? got : "", name);
    if (strcmp(model, l->model) != 0)
        return mm_err_set(l->e, MM_EDATA, "%s: saved with model %s, this one is %s", l->path,
                          model, l->model);
    return 0;
}

static int next_tensor(struct loader *l, enum mm_dtype dtype, int ndim, const int64_t *shape,
                       const char *name)
{
    char got[100];
    char want[100];
    const struct mm_tensor *t = &l->rec.t;
    const struct mm_tensor w = { .dtype = dtype, .ndim = ndim };
    struct mm_tensor full = w;
    int rc = next(l, MM_REC_TENSOR, name);

    memcpy(full.shape, shape, (size_t)ndim * sizeof(*shape));
    if (rc == 0 && (t->dtype != dtype || !mm_shape_eq(t, &full)))
        rc = mm_err_set(l->e, MM_EDATA, "%s: '%s' is %s %s, want %s %s", l->path, name,
                        mm_dtype_name(t->dtype), mm_shape_str(got, sizeof(got), t->shape, t->ndim),
                        mm_dtype_name(dtype), mm_shape_str(want, sizeof(want), shape, ndim));
    return rc;
}

static int read_head(struct loader *l, enum mm_dtype kv)
{
    const struct mm_llama_config *c = l->g->c;
    struct mm_err *e = l->e;
    json_t *head;
    int rc = next(l, MM_REC_JSON, "state");

    if (rc == 0)
        rc = mm_json_load(&head, l->rec.data, l->rec.size, l->path, e);
    if (rc < 0)
        return rc;
    const int64_t n = mm_json_int(head, "positions", -1, e);
    const char *type = mm_json_str(head, "kv", "", e);
    l->parts = json_incref(json_object_get(head, "parts"));
    if (e->code < 0)
        rc = e->code;
    else if (mm_json_int(head, "version", 0, e) != 1 || n < 1 || n > INT32_MAX ||
             !json_is_array(l->parts))
        rc = damaged(l, "bad head");
    else if (mm_json_int(head, "layers", 0, e) != c->layers ||
             mm_json_int(head, "kv_heads", 0, e) != c->kv_heads ||
             mm_json_int(head, "head_dim", 0, e) != c->head_dim ||
             mm_json_int(head, "vocab", 0, e) != c->vocab)
        rc = damaged(l, "of a model of other sizes");
    else if (strcmp(type, mm_dtype_name(kv)) != 0)
        rc = mm_err_set(e, MM_EDATA, "%s: saved with a cache of %s, this one is %s (--kv)",
                        l->path, type, mm_dtype_name(kv));
    l->n = (size_t)n;
    json_decref(head);
    return rc;
}

static int read_sequence(struct loader *l)
{
    struct mm_prompt *p = &l->g->past.seq;
    size_t rows = 0;
    int rc = next_tensor(l, MM_I32, 1, (int64_t[]){ (int64_t)l->n }, "ids");

    mm_prompt_free(p);
    for (size_t i = 0; i < l->n && rc == 0; i++) {
        int32_t id;
        memcpy(&id, (const char *)l->rec.data + 4 * i, 4);
        if (id < -1 || id >= l->g->c->vocab)
            return damaged(l, "an id outside the vocabulary");
        if (mm_prompt_add(p, id < 0 ? ~(int32_t)rows++ : id) < 0)
            return no_memory(l->e);
    }
    if (rc == 0)
        rc = next_tensor(l, MM_U64, 1, (int64_t[]){ (int64_t)rows }, "hashes");
    if (rc < 0)
        return rc;
    if (!mm_grow(&p->hash, &p->hash_cap, rows + 1, sizeof(*p->hash)) ||
        !mm_grow(&p->row, &p->row_cap, rows + 1, sizeof(*p->row)))
        return no_memory(l->e);
    if (rows)
        memcpy(p->hash, l->rec.data, rows * sizeof(*p->hash));
    for (size_t i = 0; i < rows; i++)
        p->row[i] = NULL;
    p->nrows = rows;
    rc = next_tensor(l, MM_F32, 1, &l->g->c->vocab, "logits");
    if (rc == 0)
        memcpy(l->g->past.logits, l->rec.data, l->rec.size);
    return rc;
}

static int read_layers(struct loader *l)
{
    struct mm_gen *g = l->g;
    int64_t shape[3];
    const size_t bytes = layer_shape(g, l->n, shape);
    void *k = malloc(bytes + 1);
    int rc = k ? 0 : no_memory(l->e);

    for (int64_t i = 0; i < g->c->layers && rc == 0; i++) {
        char name[60];
        snprintf(name, sizeof(name), "layers.%" PRId64 ".k", i);
        rc = next_tensor(l, g->o.kv, 3, shape, name);
        if (rc == 0)
            memcpy(k, l->rec.data, bytes);
        snprintf(name, sizeof(name), "layers.%" PRId64 ".v", i);
        if (rc == 0)
            rc = next_tensor(l, g->o.kv, 3, shape, name);
        if (rc == 0 && mm_kv_import(g->past.kv, l->n, (size_t)i, k, l->rec.data) < 0)
            rc = no_memory(l->e);
    }
    free(k);
    if (rc == 0 && mm_reader_get(l->r, &l->rec, l->e) != 0)
        rc = l->e->code ? l->e->code : damaged(l, "records after the last layer");
    return rc;
}

/* One part as saved; a part of embeddings takes its hashes from *row on. */
static int read_part(struct loader *l, const json_t *j, size_t *row)
{
    const json_t *text = json_object_get(j, "text");
    const json_t *ids = json_object_get(j, "ids");
    const struct mm_prompt *p = &l->g->past.seq;
    const int64_t n = json_integer_value(json_object_get(j, "rows"));

    if (json_is_string(text))
        return mm_parts_text(l->out, json_is_true(json_object_get(j, "user")) ? MM_PART_USER
                                                                             : MM_PART_TEXT,
                             json_string_value(text), json_string_length(text), l->e);
    struct mm_tensor t = { .ndim = 1 };
    if (json_is_array(ids)) {
        const size_t count = json_array_size(ids);
        int64_t *v = calloc(count + 1, sizeof(*v));
        if (!v)
            return no_memory(l->e);
        for (size_t i = 0; i < count; i++)
            v[i] = json_integer_value(json_array_get(ids, i));
        t.dtype = MM_I64;
        t.shape[0] = (int64_t)count;
        t.data = v;
        const int rc = mm_parts_ids(l->out, &t, l->g->c->vocab, l->e);
        free(v);
        return rc;
    }
    if (n < 1 || (size_t)n > p->nrows - *row)
        return damaged(l, "bad part");
    const char *marker = json_string_value(json_object_get(j, "marker"));
    *row += (size_t)n;
    return mm_parts_known(l->out, marker, p->hash + *row - n, (size_t)n, l->e);
}

static int read_all(struct loader *l, enum mm_dtype kv)
{
    size_t row = 0;
    int rc = read_head(l, kv);

    if (rc == 0)
        rc = read_sequence(l);
    if (rc == 0)
        rc = read_layers(l);
    for (size_t i = 0; rc == 0 && i < json_array_size(l->parts); i++)
        rc = read_part(l, json_array_get(l->parts, i), &row);
    if (rc == 0 && row != l->g->past.seq.nrows)
        rc = damaged(l, "parts and rows differ");
    return rc;
}

int mm_state_load(const char *path, struct mm_gen *g, enum mm_dtype kv, struct mm_parts *parts,
                  uint64_t fingerprint, struct mm_err *e)
{
    struct loader l = { .g = g, .path = path, .out = parts, .e = e };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return mm_err_set(e, MM_ENOENT, "%s:", path);
    snprintf(l.model, sizeof(l.model), "%016" PRIx64, fingerprint);
    int rc = mm_reader_open(&l.r, fd, path, 0, e);
    if (rc == 0 && !g->past.kv)
        rc = mm_llama_kv(&g->past.kv, g->m, kv, e);
    if (rc == 0)
        rc = read_all(&l, kv);
    g->past.have_logits = rc == 0;
    if (rc < 0 && g->past.kv) { /* nothing half-read stays */
        mm_kv_truncate(g->past.kv, 0);
        mm_prompt_free(&g->past.seq);
    }
    mm_reader_close(l.r);
    json_decref(l.parts);
    close(fd);
    return rc;
}
