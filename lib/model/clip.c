/* clip.c: pixels or token ids through CLIP's towers (Radford et al. 2021).
 *
 *   vision: [B,3,S,S] -> patches [B,P,D] -> class token first, + positions -> pre_layrnorm
 *           -> blocks -> post_layernorm of the class token -> visual_projection
 *   text:   ids [B,T] -> token + position -> causal blocks -> final_layer_norm -> the end token's
 *           row -> text_projection
 *
 * LLaVA's feature is hidden state -2 without the class token: no post_layernorm.
 */
#include "model/clip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/clip_load.h"
#include "tensor/recompute.h"
#include "tensor/times.h"

struct mm_clip_vision {
    struct mm_clip_tower t;
};

struct mm_clip_text {
    struct mm_clip_tower t;
};

int mm_clip_vision_open(struct mm_clip_vision **out, const struct mm_ckpt *ck,
                        const json_t *config, struct mm_err *e)
{
    struct mm_clip_vision *m = calloc(1, sizeof(*m));

    if (!m)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    if (mm_clip_load(&m->t, ck, config, true, e) < 0) {
        free(m);
        return e->code;
    }
    *out = m;
    return 0;
}

void mm_clip_vision_free(struct mm_clip_vision *m)
{
    if (m)
        mm_clip_unload(&m->t);
    free(m);
}

const struct mm_clip_config *mm_clip_vision_config(const struct mm_clip_vision *m)
{
    return &m->t.c;
}

struct mm_params *mm_clip_vision_params(struct mm_clip_vision *m)
{
    return m->t.params;
}

int mm_clip_text_open(struct mm_clip_text **out, const struct mm_ckpt *ck, struct mm_err *e)
{
    struct mm_clip_text *m = calloc(1, sizeof(*m));

    if (!m)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", mm_ckpt_path(ck));
    if (mm_clip_load(&m->t, ck, NULL, false, e) < 0) {
        free(m);
        return e->code;
    }
    *out = m;
    return 0;
}

void mm_clip_text_free(struct mm_clip_text *m)
{
    if (m)
        mm_clip_unload(&m->t);
    free(m);
}

const struct mm_clip_config *mm_clip_text_config(const struct mm_clip_text *m)
{
    return &m->t.c;
}

struct mm_params *mm_clip_text_params(struct mm_clip_text *m)
{
    return m->t.params;
}

/* --- vision ----------------------------------------------------------------------- */

/* A block and all it reads, for mm_recompute. */
struct block {
    const struct mm_encoder_layer *layer;
    struct mm_encoder_spec spec;
    size_t i;
};

/* Where a block is computed again, the first pass records nothing, but x must stay. */
static struct mm_var *block_forward(struct mm_ctx *c, const void *arg, struct mm_var *x)
{
    const struct block *b = arg;

    if (c->recompute && !c->tape)
        x = mm_scale(c, x, 1);
    return x ? mm_encoder_forward(c, b->layer, x, &b->spec, b->i) : NULL;
}

/* x through block i of the tower */
static struct mm_var *run_block(struct mm_ctx *c, const struct mm_clip_tower *t, int64_t i,
                                struct mm_var *x, const struct mm_encoder_spec *spec)
{
    const struct block b = { &t->layers[i], *spec, (size_t)i };

    return mm_recompute(c, block_forward, &b, sizeof(b), x);
}

/* Number of blocks before hidden state `layer`. */
static int64_t blocks_of(const struct mm_clip_tower *t, int layer)
{
    return layer < 0 ? t->c.layers + 1 + layer : layer;
}

int mm_clip_select_ok(const struct mm_clip_vision *m, const struct mm_clip_select *s,
                      struct mm_err *e)
{
    if (s->n < 1 || s->n > MM_CLIP_MAX_SELECT)
        return mm_err_set(e, MM_EDATA, "%d feature layers selected, 1 to %d are possible", s->n,
                          MM_CLIP_MAX_SELECT);
    for (int i = 0; i < s->n; i++) {
        const int64_t n = blocks_of(&m->t, s->layer[i]);

        if (n < 0 || n > m->t.c.layers)
            return mm_err_set(e, MM_EDATA, "feature layer %d: the tower has hidden states 0 to %lld",
                              s->layer[i], (long long)m->t.c.layers);
    }
    return 0;
}

/* [B,3,S,S] -> class token and patches plus positions, normed: hidden state 0 */
static struct mm_var *embed_patches(struct mm_ctx *c, const struct mm_clip_tower *t,
                                    const struct mm_var *pixels)
{
    const int64_t B = pixels->t.shape[0], first[3] = { B, 1, t->c.width };
    struct mm_var *zero = mm_var_new(c, 3, first);
    struct mm_var *x[2];

    assert(pixels->t.ndim == 4 && pixels->t.shape[2] == t->c.image &&
           pixels->t.shape[3] == t->c.image);
    if (!zero)
        return NULL;
    memset(zero->t.data, 0, mm_tensor_bytes(&zero->t));
    x[0] = mm_add(c, zero, t->cls);
    x[1] = mm_linear(c, mm_patches(c, pixels, (int)t->c.patch), t->patch, NULL);
    mm_trace_stage(c, x[1], "clip.patch_embed");
    struct mm_var *h = mm_add(c, mm_concat(c, x, 2, 1), t->position);
    mm_trace_stage(c, h, "clip.embeddings");
    h = mm_layer_norm(c, h, t->pre_w, t->pre_b, t->c.eps);
    mm_trace_stage(c, h, "clip.pre_ln");
    return h;
}

/* Row-normalised copy, for the trace alone. */
static void trace_normed(struct mm_ctx *c, const struct mm_var *x, const char *name)
{
    if (c->trace && x)
        mm_trace_stage(c, mm_l2_normalize(c, x, 0.0f), "%s", name);
}

/* post_layernorm of the class token, then the projection */
static void pool(struct mm_ctx *c, const struct mm_clip_tower *t, const struct mm_var *x,
                 struct mm_clip_out *out)
{
    const int64_t flat[2] = { x->t.shape[0], t->c.width };

    if (c->trace && t->original) {
        struct mm_var *tokens = mm_slice(c, x, 1, 1, x->t.shape[1]);

        mm_trace_stage(c, tokens, "clip.tokens");
        mm_trace_stage(c, mm_layer_norm(c, tokens, t->post_w, t->post_b, t->c.eps),
                       "clip.tokens_post_ln");
    }
    if (!t->post_w)
        return;
    out->pooled = mm_layer_norm(c, mm_reshape(c, mm_slice(c, x, 1, 0, 1), 2, flat), t->post_w,
                                t->post_b, t->c.eps);
    mm_trace_stage(c, out->pooled, "clip.pooled");
    if (t->proj)
        out->embed = mm_linear(c, out->pooled, t->proj, NULL);
    mm_trace_stage(c, out->embed, "clip.embed");
    trace_normed(c, out->embed, "clip.embed.norm");
}

struct mm_var *mm_clip_embed(struct mm_ctx *c, const struct mm_clip_vision *m,
                             const struct mm_var *x)
{
    const struct mm_clip_tower *t = &m->t;

    return mm_linear(c, mm_layer_norm(c, x, t->post_w, t->post_b, t->c.eps), t->proj, NULL);
}

/* A hidden state that outlives the layers' scope. */
static struct mm_var *keep(struct mm_ctx *c, struct mm_var *room, struct mm_var *x)
{
    if (c->tape || !x)
        return x;
    memcpy(room->t.data, x->t.data, mm_tensor_bytes(&x->t));
    return room;
}

void mm_clip_see(struct mm_ctx *c, const struct mm_clip_vision *m, const struct mm_var *pixels,
                 const struct mm_clip_select *s, struct mm_clip_out *out)
{
    const struct mm_clip_tower *t = &m->t;
    const struct mm_encoder_spec spec = { .heads = t->c.heads, .eps = t->c.eps, .act = t->c.act,
                                          .trace = "clip" };
    const int64_t grid = t->c.image / t->c.patch;
    const int64_t shape[3] = { pixels->t.shape[0], 1 + grid * grid, t->c.width };
    struct mm_var *kept[MM_CLIP_MAX_SELECT], *last = NULL;
    int64_t blocks = s->pooled ? t->c.layers : 0;

    *out = (struct mm_clip_out){ 0 };
    for (int i = 0; i < s->n; i++) {
        blocks = blocks_of(t, s->layer[i]) > blocks ? blocks_of(t, s->layer[i]) : blocks;
        if (!(kept[i] = mm_var_new(c, 3, shape)))
            return;
    }
    if (!(last = mm_var_new(c, 3, shape)))
        return;
    const struct mm_scope scope = mm_scope_open(c);
    struct mm_var *x = embed_patches(c, t, pixels);
    mm_times_lap_linear(c, MM_ENCODER_EMBED, (size_t)(shape[0] * grid * grid),
                        (const struct mm_var *[]){ t->patch }, 1);
    for (int64_t b = 0; x; b++) {
        x = mm_scope_close(c, scope, x);
        for (int i = 0; i < s->n; i++)
            if (blocks_of(t, s->layer[i]) == b)
                kept[i] = keep(c, kept[i], x);
        if (b == blocks)
            break;
        x = run_block(c, t, b, x, &spec);
    }
    last = keep(c, last, x);
    mm_scope_close(c, scope, NULL);
    if (!x)
        return;
    struct mm_var *full = s->n == 1 ? kept[0] : mm_concat(c, kept, s->n, 2);
    struct mm_var *patches = mm_slice(c, full, 1, 1, 1 + grid * grid);
    mm_trace_stage(c, full, "clip.select.full");
    mm_trace_stage(c, patches, "clip.select");
    out->features = s->cls ? full : patches;
    if (s->pooled)
        pool(c, t, last, out);
    mm_times_lap(c, MM_ENCODER_SELECT, 0, 0);
}

/* --- text --------------------------------------------------------------------------- */

/* The row that stands for a text: the first end token; in the oldest
 * configurations (eos_token_id 2) and OpenAI's code, the highest id. */
static int64_t end_row(const struct mm_clip_config *c, const int32_t *ids, int64_t T)
{
    int64_t best = 0;

    if (c->eos != 2) {
        for (int64_t t = 0; t < T; t++)
            if (ids[t] == c->eos)
                return t;
        return 0;
    }
    for (int64_t t = 1; t < T; t++)
        if (ids[t] > ids[best])
            best = t;
    return best;
}

int mm_clip_ids_ok(const struct mm_clip_text *m, const int32_t *ids, size_t n, int64_t T,
                   struct mm_err *e)
{
    const struct mm_clip_config *c = &m->t.c;

    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= c->vocab)
            return mm_err_set(e, MM_EDATA, "token id %d is outside the vocabulary of %lld",
                              (int)ids[i], (long long)c->vocab);
    if (T > c->positions)
        return mm_err_set(e, MM_EDATA, "text of %lld tokens: the tower has %lld positions",
                          (long long)T, (long long)c->positions);
    return 0;
}

static struct mm_var *embed_tokens(struct mm_ctx *c, const struct mm_clip_tower *t,
                                   const int32_t *ids, int64_t B, int64_t T)
{
    const int64_t shape[3] = { B, T, t->c.width };

    struct mm_var *x = mm_reshape(c, mm_embedding(c, t->token, ids, (size_t)(B * T)), 3, shape);
    x = mm_add(c, x, mm_slice(c, t->position, 0, 0, T));
    mm_trace_stage(c, x, "text.embeddings");
    return x;
}

void mm_clip_read(struct mm_ctx *c, const struct mm_clip_text *m, const int32_t *ids, int64_t B,
                  int64_t T, struct mm_clip_out *out)
{
    const struct mm_clip_tower *t = &m->t;
    const struct mm_encoder_spec spec = { .heads = t->c.heads, .eps = t->c.eps, .act = t->c.act,
                                          .causal = true, .trace = "text" };
    const struct mm_scope scope = mm_scope_open(c);
    const bool ok = mm_clip_ids_ok(m, ids, (size_t)(B * T), T, &c->err) == 0;
    struct mm_var *x = ok ? embed_tokens(c, t, ids, B, T) : NULL;
    const int64_t row[2] = { 1, t->c.width };

    *out = (struct mm_clip_out){ 0 };
    mm_times_lap(c, MM_ENCODER_EMBED, 0, 0);
    for (int64_t b = 0; x && b < t->c.layers; b++)
        x = mm_scope_close(c, scope, run_block(c, t, b, x, &spec));
    x = mm_layer_norm(c, x, t->post_w, t->post_b, t->c.eps);
    mm_trace_stage(c, x, "text.final_ln");
    struct mm_var **rows = x ? mm_arena_alloc(c->arena, (size_t)B * sizeof(*rows)) : NULL;
    if (!rows)
        return;
    for (int64_t b = 0; b < B; b++) {
        const int64_t end = end_row(&t->c, ids + b * T, T);

        rows[b] = mm_reshape(c, mm_slice(c, mm_slice(c, x, 0, b, b + 1), 1, end, end + 1), 2, row);
    }
    out->pooled = mm_concat(c, rows, (int)B, 0);
    mm_trace_stage(c, out->pooled, "text.pooled");
    if (t->proj)
        out->embed = mm_linear(c, out->pooled, t->proj, NULL);
    mm_trace_stage(c, out->embed, "text.embed");
    trace_normed(c, out->embed, "text.embed.norm");
    mm_times_lap(c, MM_ENCODER_SELECT, 0, 0);
}
