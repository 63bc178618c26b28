/* projector.c: LLaVA's linear and MLP projectors and the packing of anyres tiles
 * (llava.md 4 and 5.3).
 */
#include "model/projector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "tensor/op.h"
#include "tensor/times.h"

enum { MAX_DEPTH = 8 };

struct mm_projector {
    struct mm_ckpt *own;       /* mm_projector.bin, when it was needed */
    struct mm_params *params;
    int depth;                 /* linear layers; 0: identity */
    int64_t dim;               /* identity: of what goes through */
    enum mm_act act;
    struct mm_var *w[MAX_DEPTH], *b[MAX_DEPTH];
    struct mm_var *newline;
};

/* Name of linear layer i in each layout; NULL: the layout has no such layer. */
struct naming {
    const char *format; /* takes the number of the layer */
    int first, step;
};

static const struct naming namings[] = {
    { "multi_modal_projector.linear_%d", 1, 1 },
    { "model.multi_modal_projector.linear_%d", 1, 1 },
    { "model.mm_projector.%d", 0, 2 },
    { "mm_projector.%d", 0, 2 },
    { "base_model.model.model.mm_projector.%d", 0, 2 },
    { "mm.%d", 0, 2 },
    { "model.mm_projector%.0d", 0, 1 }, /* v1: one layer without a number */
    { "mm_projector%.0d", 0, 1 },
};

static const char *const newlines[] = { "model.image_newline", "image_newline", "v.image_newline",
                                        NULL };

static void layer_name(char *buf, size_t n, const struct naming *nm, int i)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(buf, n, nm->format, nm->first + i * nm->step);
#pragma GCC diagnostic pop
}

static bool has_layer(const struct mm_ckpt *ck, const struct naming *nm, int i)
{
    char name[160], full[176];

    layer_name(name, sizeof(name), nm, i);
    snprintf(full, sizeof(full), "%s.weight", name);
    return mm_ckpt_lookup(ck, full) != NULL;
}

static const struct naming *find_naming(const struct mm_ckpt *ck)
{
    for (size_t i = 0; i < sizeof(namings) / sizeof(*namings); i++)
        if (has_layer(ck, &namings[i], 0))
            return &namings[i];
    return NULL;
}

static int load(struct mm_projector *p, const struct mm_ckpt *ck, const struct naming *nm,
                struct mm_err *e)
{
    struct mm_load *l = NULL;
    int64_t in = -1;
    int rc;

    if ((rc = mm_load_new(&l, ck, e)) < 0)
        return rc;
    do {
        int64_t want[2] = { -1, in };
        char name[160];

        layer_name(name, sizeof(name), nm, p->depth);
        const struct mm_tensor *w = mm_load_get(l, want, 2, "%s.weight", name);
        const struct mm_tensor *b = mm_load_opt(l, want, 1, "%s.bias", name);
        p->w[p->depth] = mm_param_matrix(p->params, w, "%s.weight", name);
        p->b[p->depth++] = mm_param_f32(p->params, b, "%s.bias", name);
        in = want[0];
    } while (p->depth < MAX_DEPTH && strcmp(nm->format + strlen(nm->format) - 4, "%.0d") &&
             has_layer(ck, nm, p->depth));
    for (int i = 0; newlines[i] && !p->newline; i++)
        p->newline = mm_param_f32(p->params, mm_load_opt(l, &in, 1, "%s", newlines[i]), "%s",
                                  newlines[i]);
    rc = mm_load_done(l, e);
    if (rc == 0 && mm_params_failed(p->params))
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    mm_load_free(l);
    return rc;
}

/* projector_hidden_act of a HF configuration; the others know gelu only */
static int set_act(struct mm_projector *p, const struct mm_ckpt *ck, struct mm_err *e)
{
    const char *act = mm_json_str(mm_ckpt_config(ck), "projector_hidden_act", "gelu", e);

    p->act = MM_ACT_GELU;
    if (!strcmp(act, "gelu"))
        return e->code;
    return mm_err_set(e, MM_EMISSING, "%s: projector_hidden_act '%s' is not supported",
                      mm_ckpt_path(ck), act);
}

/* Stage 1 of the original code leaves the projector in a file of its own. */
static int open_beside(struct mm_projector *p, const struct mm_ckpt *ck, struct mm_err *e)
{
    const char *dir = mm_ckpt_dir(ck);
    const size_t n = strlen(dir) + sizeof("/mm_projector.bin");
    char *path = malloc(n);
    int rc;

    if (!path)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    snprintf(path, n, "%s/mm_projector.bin", dir);
    if (access(path, F_OK) < 0)
        rc = mm_err_set(e, MM_EMISSING, "%s: holds no projector, and there is no %s",
                        mm_ckpt_path(ck), path);
    else
        rc = mm_ckpt_open(&p->own, path, e);
    free(path);
    return rc;
}

/* mm_projector_type "identity": nothing is stored, features go through. */
static bool is_identity(struct mm_projector *p, const struct mm_ckpt *ck, struct mm_err *e)
{
    const json_t *c = mm_ckpt_config(ck);

    p->dim = mm_json_int(c, "mm_hidden_size", 0, e);
    return p->dim > 0 && !strcmp(mm_json_str(c, "mm_projector_type", "", e), "identity");
}

int mm_projector_open(struct mm_projector **out, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_projector *p = calloc(1, sizeof(*p));
    const struct naming *nm = find_naming(ck);
    int rc;

    if (!p)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    if ((rc = mm_params_new(&p->params, e)) < 0 || (rc = set_act(p, ck, e)) < 0)
        goto fail;
    if (!nm && is_identity(p, ck, e)) {
        *out = p;
        return 0;
    }
    if (!nm) {
        if ((rc = open_beside(p, ck, e)) < 0)
            goto fail;
        if (!(nm = find_naming(p->own))) {
            rc = mm_err_set(e, MM_EMISSING, "%s: holds no projector", mm_ckpt_path(p->own));
            goto fail;
        }
    }
    if ((rc = load(p, p->own ? p->own : ck, nm, e)) < 0)
        goto fail;
    *out = p;
    return 0;
fail:
    mm_projector_free(p);
    return rc;
}

void mm_projector_free(struct mm_projector *p)
{
    if (!p)
        return;
    mm_params_free(p->params);
    mm_ckpt_close(p->own);
    free(p);
}

int64_t mm_projector_in(const struct mm_projector *p)
{
    return p->depth ? p->w[0]->t.shape[1] : p->dim;
}

int64_t mm_projector_out(const struct mm_projector *p)
{
    return p->depth ? p->w[p->depth - 1]->t.shape[0] : p->dim;
}

struct mm_params *mm_projector_params(struct mm_projector *p)
{
    return p->params;
}

const struct mm_var *mm_projector_newline(const struct mm_projector *p)
{
    return p->newline;
}

struct mm_var *mm_project(struct mm_ctx *c, const struct mm_projector *p, const struct mm_var *x)
{
    struct mm_var *y;

    if (!x)
        return NULL;
    mm_times_start(c, 1, 0);
    y = p->depth ? mm_linear(c, x, p->w[0], p->b[0]) : mm_reshape(c, x, x->t.ndim, x->t.shape);
    mm_trace_stage(c, y, "projector.0");
    for (int i = 1; i < p->depth; i++) {
        y = mm_activate(c, y, p->act);
        if (i == 1)
            mm_trace_stage(c, y, "projector.act");
        y = mm_linear(c, y, p->w[i], p->b[i]);
    }
    mm_trace_stage(c, y, "projector");
    mm_times_lap_linear(c, 0, mm_tensor_count(&x->t) / (size_t)mm_projector_in(p),
                        (const struct mm_var *const *)p->w, p->depth);
    return y;
}

/* --- packing ------------------------------------------------------------------------ */

/* The size of the part that is picture along one axis of the feature map. */
static int64_t unpadded(double size, double scale, bool round7)
{
    const double x = size * scale;

    return (int64_t)(round7 ? round(x * 1e7) / 1e7 : x);
}

/* Cuts the rows or columns that the canvas added. map [rows, cols, D] */
static struct mm_var *unpad(struct mm_ctx *c, struct mm_var *map, const struct mm_views *v)
{
    const int64_t rows = map->t.shape[0], cols = map->t.shape[1];
    const double w = (double)v->orig_w, h = (double)v->orig_h;

    if (w / h > (double)cols / (double)rows) {
        const int64_t pad = (rows - unpadded(h, (double)cols / w, v->round7)) / 2;

        return mm_slice(c, map, 0, pad, rows - pad);
    }
    const int64_t pad = (cols - unpadded(w, (double)rows / h, v->round7)) / 2;
    return mm_slice(c, map, 1, pad, cols - pad);
}

/* tiles [grid_h * grid_w, side * side, D] -> map [grid_h * side, grid_w * side, D] */
static struct mm_var *assemble(struct mm_ctx *c, struct mm_var *tiles, const struct mm_views *v,
                               int64_t side)
{
    static const int rows_first[5] = { 0, 2, 1, 3, 4 };
    const int64_t D = tiles->t.shape[2];
    const int64_t split[5] = { v->grid_h, v->grid_w, side, side, D };
    const int64_t map[3] = { v->grid_h * side, v->grid_w * side, D };

    return mm_reshape(c, mm_permute(c, mm_reshape(c, tiles, 5, split), rows_first), 3, map);
}

/* rows [n, D] and the newline vector as one more row */
static struct mm_var *with_newline(struct mm_ctx *c, struct mm_var *rows,
                                   const struct mm_var *newline)
{
    const int64_t one[2] = { 1, newline->t.shape[0] };
    struct mm_var *parts[2] = { rows, mm_reshape(c, newline, 2, one) };

    return mm_concat(c, parts, 2, 0);
}

/* map [rows, cols, D] with the newline as an extra last column */
static struct mm_var *newline_column(struct mm_ctx *c, struct mm_var *map,
                                     const struct mm_var *newline)
{
    if (!map)
        return NULL;
    const int64_t shape[3] = { map->t.shape[0], 1, map->t.shape[2] };
    struct mm_var *zero = mm_var_new(c, 3, shape);

    if (!zero)
        return NULL;
    memset(zero->t.data, 0, mm_tensor_bytes(&zero->t));
    struct mm_var *parts[2] = { map, mm_add(c, zero, newline) };
    return mm_concat(c, parts, 2, 1);
}

struct mm_var *mm_pack_views(struct mm_ctx *c, const struct mm_var *y, const struct mm_views *v,
                             const struct mm_var *newline)
{
    if (!y)
        return NULL;
    const int64_t views = y->t.shape[0], P = y->t.shape[1], D = y->t.shape[2];
    const int64_t side = (int64_t)lround(sqrt((double)P)), flat[2] = { views * P, D };
    const bool lines = v->merge == MM_MERGE_SPATIAL_UNPAD;

    if (views > 1 && v->merge != MM_MERGE_FLAT &&
        (v->grid_w < 1 || v->grid_h < 1 || v->grid_w > views || v->grid_h > views ||
         v->grid_w * v->grid_h != views - 1 || side * side != P || v->orig_w < 1 ||
         v->orig_h < 1 || (lines && !newline))) {
        mm_err_set(&c->err, MM_EDATA, "%lld views of %lld features do not make a grid of %lld x "
                   "%lld%s", (long long)views, (long long)P, (long long)v->grid_w,
                   (long long)v->grid_h, lines && !newline ? " with newlines" : "");
        return NULL;
    }
    if (views == 1 && v->anyres && lines && newline)
        return with_newline(c, mm_reshape(c, y, 2, flat), newline);
    if (views == 1 || v->merge == MM_MERGE_FLAT)
        return mm_reshape(c, y, 2, flat);
    const int64_t base_shape[2] = { P, D };
    struct mm_var *base = mm_reshape(c, mm_slice(c, y, 0, 0, 1), 2, base_shape);
    struct mm_var *map = mm_slice(c, y, 0, 1, views);
    if (map)
        map = assemble(c, map, v, side);
    if (map && lines)
        map = newline_column(c, unpad(c, map, v), newline);
    if (!base || !map)
        return NULL;
    const int64_t tail[2] = { map->t.shape[0] * map->t.shape[1], D };
    struct mm_var *parts[2] = { base, mm_reshape(c, map, 2, tail) };
    return mm_concat(c, parts, 2, 0);
}
