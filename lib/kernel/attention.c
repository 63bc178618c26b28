/* attention.c: softmax(q k^T) v by chunks of keys.
 *
 * A tile is a number of query rows of one kv head.  For each chunk of keys and
 * twelve rows: scores [12][chunk] = q k^T + mask, p = 2^(scores - maximum),
 * o = p v; then maximum, sum and o are merged with those of the chunks before
 * (Milakov, Gimelshein 2018, alg. 3).  Scores are in units of log 2: q is
 * scaled by log2 e.  Few rows against many keys (decoding) are cut along the
 * keys too; who finishes the last part of a kv head merges them in order.
 */
#include "kernel/attention.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/attention_int.h"

enum {
    CHUNK = MM_ATTN_CHUNK,
    TILE = 384,       /* most query rows of a tile: a multiple of MM_MR */
    DIRECT = 24,      /* so few rows meet f16 panels as they lie; more, widened ones */
    MAX_PARTS = 1 << 14 /* rows of parts of one sequence: bounds their memory */
};
#define LOG2E 1.44269504f
#define LN2 0.69314718f

/* The share of one sequence in the work. */
struct unit {
    const struct mm_attn_item *it;
    size_t first;        /* number of its first tile */
    size_t tiles, rows;  /* of rows per kv head, rows of each */
    size_t parts;        /* of keys per tile, 0: a tile takes all keys */
    float *part;         /* [kv_heads][parts][rows][2 + pdim]: maximum, sum, o */
    atomic_size_t *left; /* [kv_heads] parts to be done */
};

struct job {
    const struct mm_kern *k;
    struct unit *units;
    size_t n;
    float *work; /* per thread */
    size_t work_floats;
};

/* Scratch of one thread, carved out of one block of floats. */
struct work {
    float *k;     /* [CHUNK / MM_NR][dim][MM_NR] */
    float *v;     /* [pdim / MM_NR][CHUNK][MM_NR] */
    float *s;     /* [MM_MR][MM_ATTN_LD] scores, then probabilities */
    float *qa;    /* [rows][dim], interleaved */
    float *state; /* [rows][2 + pdim]: maximum, sum, o of the chunks so far */
    float *o;     /* [MM_MR][pdim] of one chunk */
    float *tmp;   /* [MM_MR][dim] */
};

/* One chunk of keys j0..j0+keys as the products want it. */
struct chunk {
    size_t j0, keys;
    const void *k, *v;
    size_t v_panel;
    int f16;
};

/* Carves f into the arrays of *w; returns the number of floats.  f may be NULL. */
static size_t work_init(struct work *w, float *f, size_t dim, size_t pdim)
{
    const struct {
        float **array;
        size_t n;
    } parts[] = {
        { &w->k, CHUNK * dim },  { &w->v, CHUNK * pdim },
        { &w->s, MM_MR * MM_ATTN_LD }, { &w->o, MM_MR * pdim },
        { &w->qa, TILE * dim },  { &w->state, TILE * (2 + pdim) },
        { &w->tmp, MM_MR * dim },
    };
    size_t used = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); used += (parts[i++].n + 15) / 16 * 16)
        *parts[i].array = f ? f + used : NULL;
    return used;
}

struct mm_attn_span mm_attn_span(const struct mm_attn *a, size_t query)
{
    /* causal: j <= i + nk - nq; window: j > i + nk - nq - window */
    const size_t past = query + a->nk; /* i + nk, at least nq if any key is seen */
    const size_t end = past + 1 > a->nq ? past + 1 - a->nq : 0;
    struct mm_attn_span s = { 0, a->nk };

    if (a->causal && end < s.hi)
        s.hi = end;
    if (a->window && end > a->window)
        s.lo = end - a->window;
    if (s.lo > s.hi)
        s.lo = s.hi;
    return s;
}

void mm_attn_pack_rows(float *qa, const float *x, size_t row, size_t head, float scale, size_t kv,
                       size_t r0, size_t rows, const struct mm_attn *a, float *tmp)
{
    const struct mm_kern *k = mm_kern();

    for (size_t r = 0; r < rows; r += MM_MR) {
        const size_t mr = mm_attn_min(MM_MR, rows - r);
        for (size_t i = 0; i < mr; i++)
            k->scale(tmp + i * a->dim, scale, x + mm_attn_at(a, kv, r0 + r + i, row, head),
                     a->dim);
        k->pack_a(qa + r * a->dim, tmp, a->dim, a->dim, (int)mr);
    }
}

void mm_attn_rows_to_panels(float *panels, size_t ld, const float *x, size_t row, size_t keys,
                            size_t dim)
{
    for (size_t c = 0; c < dim; c += MM_NR, panels += ld * MM_NR)
        for (size_t j = 0; j < keys; j++) {
            float *to = panels + j * MM_NR;
            if (c + MM_NR <= dim) {
                memcpy(to, x + j * row + c, MM_NR * sizeof(*to));
                continue;
            }
            memcpy(to, x + j * row + c, (dim - c) * sizeof(*to));
            memset(to + dim - c, 0, (MM_NR - (dim - c)) * sizeof(*to));
        }
}

/* Row r of a kv head; keys j0..j0+n. */
static void mask_row(float *s, float unit, size_t kv, size_t r, size_t j0, size_t n,
                     const struct mm_attn *a)
{
    const size_t query = r / mm_attn_group(a), head = kv * mm_attn_group(a) + r % mm_attn_group(a);
    const struct mm_attn_span span = mm_attn_span(a, query);
    const size_t end = mm_attn_min(n, a->nk - j0);

    if (a->alibi) /* Press 2022 */
        for (size_t j = 0; j < end; j++)
            s[j] += unit * a->alibi[head] * ((float)(j0 + j + a->nq) - (float)(query + a->nk));
    if (a->bias)
        for (size_t j = 0; j < end; j++)
            s[j] += unit * a->bias[head * a->bias_head + query * a->nk + j0 + j];
    for (size_t j = 0; j < n && j0 + j < span.lo; j++)
        s[j] = -INFINITY;
    for (size_t j = span.hi > j0 ? span.hi - j0 : 0; j < n; j++)
        s[j] = -INFINITY;
}

void mm_attn_mask(float *s, size_t ld, float unit, size_t kv, size_t r0, size_t rows, size_t j0,
                  size_t n, const struct mm_attn *a)
{
    for (size_t r = 0; r < rows; r++)
        mask_row(s + r * ld, unit, kv, r0 + r, j0, n, a);
}

/* Rows of keys and values lie far apart, where the processor does not foresee
 * the next one: n of them from j on are fetched ahead, none from end on. */
static void prefetch_rows(const struct mm_attn_item *it, size_t kv, size_t j, size_t n, size_t end)
{
    const struct mm_attn *a = &it->a;

    if (a->layout != MM_ATTN_ROWS)
        return;
    for (end = mm_attn_min(end, j + n); j < end; j++)
        for (size_t i = 0; i < a->dim; i += 16) {
            __builtin_prefetch((const float *)it->k + j * a->k_row + kv * a->k_head + i, 0, 2);
            __builtin_prefetch((const float *)it->v + j * a->v_row + kv * a->v_head + i, 0, 2);
        }
}

/* Keys j0..j0+keys of a kv head; rows: how many query rows will meet them. */
static struct chunk load_chunk(const struct mm_kern *k, const struct mm_attn_item *it,
                               struct work *w, size_t kv, size_t j0, size_t keys, size_t rows)
{
    const struct mm_attn *a = &it->a;
    const size_t pdim = mm_attn_dim(a), esize = mm_dtype_block_bytes(a->kv);
    struct chunk c = { j0, keys, w->k, w->v, CHUNK * MM_NR, 0 };

    if (a->layout == MM_ATTN_PANELS) {
        const char *key = (const char *)it->k + (kv * a->k_head + j0 * a->dim) * esize;
        const char *value = (const char *)it->v + (kv * a->v_head + j0 * MM_NR) * esize;
        if (a->kv == MM_F32 || rows <= DIRECT)
            return (struct chunk){ j0, keys, key, value, a->v_panel, a->kv == MM_F16 };
        k->from_f16(w->k, (const void *)key, mm_attn_div_up(keys, MM_NR) * MM_NR * a->dim);
        for (size_t p = 0; p < pdim / MM_NR; p++)
            k->from_f16(w->v + p * c.v_panel, (const void *)(value + p * a->v_panel * esize),
                        keys * MM_NR);
        return c;
    }
    const float *key = (const float *)it->k + j0 * a->k_row + kv * a->k_head;
    for (size_t j = 0; j < keys; j += MM_NR)
        k->pack_b(w->k + j * a->dim, key + j * a->k_row, a->k_row, a->dim,
                  (int)mm_attn_min(MM_NR, keys - j));
    mm_attn_rows_to_panels(w->v, CHUNK, (const float *)it->v + j0 * a->v_row + kv * a->v_head,
                           a->v_row, keys, a->dim);
    return c;
}

/* state [2 + dim] (maximum, sum, o) with the same of the next keys. */
static void merge(const struct mm_kern *k, float *state, const float *o, float m, float l,
                  size_t dim)
{
    if (m == -INFINITY)
        return;
    if (m > state[0]) {
        const float fix = state[0] > -INFINITY ? exp2f(state[0] - m) : 0;
        state[0] = m;
        state[1] = fix * state[1] + l;
        k->scale(state + 2, fix, state + 2, dim);
        k->add(state + 2, state + 2, o, dim);
    } else {
        const float fix = exp2f(m - state[0]);
        state[1] += fix * l;
        k->axpy(state + 2, fix, o, dim);
    }
}

static void state_init(float *state, size_t rows, size_t step)
{
    memset(state, 0, rows * step * sizeof(*state));
    for (size_t r = 0; r < rows; r++)
        state[r * step] = -INFINITY;
}

/* mr rows from r0 of a kv head, packed in qa, meet a chunk. */
static void attend_rows(const struct mm_kern *k, const struct mm_attn *a, struct work *w,
                        float *state, const float *qa, const struct chunk *c, size_t kv, size_t r0,
                        size_t mr)
{
    const size_t pdim = mm_attn_dim(a), group = mm_attn_group(a);
    const size_t lo = mm_attn_span(a, r0 / group).lo, hi = mm_attn_span(a, (r0 + mr - 1) / group).hi;
    const size_t end = mm_attn_min(hi, c->j0 + c->keys);
    /* whole panels, from the chunk's start */
    const size_t p0 = lo > c->j0 ? (lo - c->j0) / MM_NR : 0, from = p0 * MM_NR;

    if (c->j0 + from >= end)
        return;
    const size_t keys = end - c->j0 - from, np = mm_attn_div_up(keys, MM_NR);
    const size_t esize = c->f16 ? 2 : 4;

    k->attn_scores[c->f16](w->s, qa, mr, (const char *)c->k + from * a->dim * esize, a->dim, np,
                           (int)mr);
    if (a->alibi || a->bias || mm_attn_span(a, (r0 + mr - 1) / group).lo > c->j0 + from ||
        mm_attn_span(a, r0 / group).hi < c->j0 + from + np * MM_NR)
        mm_attn_mask(w->s, MM_ATTN_LD, LOG2E, kv, r0, mr, c->j0 + from, np * MM_NR, a);
    float m[MM_MR], l[MM_MR] = { 0 };
    for (size_t r = 0; r < mr; r++) {
        float *s = w->s + r * MM_ATTN_LD;
        m[r] = k->max(s, np * MM_NR);
        if (m[r] == -INFINITY)
            memset(s, 0, np * MM_NR * sizeof(*s));
        else
            l[r] = k->exp2_sum(s, s, m[r], np * MM_NR);
    }
    k->attn_values[c->f16](w->o, w->s, (const char *)c->v + from * MM_NR * esize, c->v_panel, keys,
                           pdim / MM_NR, (int)mr);
    for (size_t r = 0; r < mr; r++)
        merge(k, state + r * (2 + pdim), w->o + r * pdim, m[r], l[r], a->dim);
}

/* Rows r0..r0+rows of a kv head against keys j0..j1; j0 begins a chunk. */
static void attend(const struct job *j, const struct mm_attn_item *it, struct work *w,
                   float *state, size_t kv, size_t r0, size_t rows, size_t j0, size_t j1)
{
    const struct mm_attn *a = &it->a;
    const size_t step = 2 + mm_attn_dim(a);

    prefetch_rows(it, kv, j0, CHUNK, j1);
    state_init(state, rows, step);
    mm_attn_pack_rows(w->qa, it->q, a->q_row, a->q_head, a->scale * LOG2E, kv, r0, rows, a, w->tmp);
    for (; j0 < j1; j0 += CHUNK) {
        const struct chunk c = load_chunk(j->k, it, w, kv, j0, mm_attn_min(CHUNK, j1 - j0), rows);
        const size_t ahead = mm_attn_div_up(CHUNK * MM_MR, rows);
        for (size_t r = 0, next = j0 + CHUNK; r < rows; r += MM_MR, next += ahead) {
            prefetch_rows(it, kv, next, ahead, j1);
            attend_rows(j->k, a, w, state + r * step, w->qa + r * a->dim, &c, kv, r0 + r,
                        mm_attn_min(MM_MR, rows - r));
        }
    }
}

/* Row r of a kv head is done: o = sum / l. */
static void finish_row(const struct mm_kern *k, const struct mm_attn_item *it, size_t kv, size_t r,
                       const float *state)
{
    const struct mm_attn *a = &it->a;
    const float m = state[0], l = state[1];

    k->scale(it->o + mm_attn_at(a, kv, r, a->o_row, a->o_head), l > 0 || isnan(l) ? 1 / l : 0,
             state + 2, a->dim);
    if (it->lse)
        it->lse[mm_attn_at(a, kv, r, 1, a->nq)] = m == -INFINITY ? -INFINITY : m * LN2 + logf(l);
}

/* One part of the keys of a kv head; whoever does the last one merges them. */
static void attend_part(const struct job *j, const struct unit *u, struct work *w, size_t kv,
                        size_t part, size_t j0, size_t j1)
{
    const struct mm_attn *a = &u->it->a;
    const size_t step = 2 + mm_attn_dim(a), rows = u->rows;
    float *first = u->part + kv * u->parts * rows * step;

    j0 += part * CHUNK;
    attend(j, u->it, w, first + part * rows * step, kv, 0, rows, j0, mm_attn_min(j1, j0 + CHUNK));
    if (atomic_fetch_sub(&u->left[kv], 1) != 1)
        return;
    for (size_t r = 0; r < rows; r++) {
        float *state = first + r * step;
        for (size_t i = 1; i < u->parts; i++) {
            const float *p = state + i * rows * step;
            merge(j->k, state, p + 2, p[0], p[1], a->dim);
        }
        finish_row(j->k, u->it, kv, r, state);
    }
}

static void attend_tile(void *arg, size_t tile, int thread)
{
    const struct job *j = arg;
    const struct unit *u = j->units;
    struct work w;

    while (u + 1 < j->units + j->n && tile >= u[1].first)
        u++;
    tile -= u->first;
    const struct mm_attn *a = &u->it->a;
    const size_t group = mm_attn_group(a), per = u->parts ? u->parts : u->tiles;
    const size_t kv = tile / per, step = 2 + mm_attn_dim(a);
    /* last tiles first: with a causal mask they are the longest */
    const size_t r0 = u->parts ? 0 : (u->tiles - 1 - tile % per) * u->rows;
    const size_t rows = mm_attn_min(u->rows, a->nq * group - r0);
    const size_t j0 = mm_attn_span(a, r0 / group).lo / CHUNK * CHUNK;
    const size_t j1 = mm_attn_span(a, (r0 + rows - 1) / group).hi;

    work_init(&w, j->work + (size_t)thread * j->work_floats, a->dim, mm_attn_dim(a));
    if (u->parts) {
        attend_part(j, u, &w, kv, tile % per, j0, j1);
        return;
    }
    attend(j, u->it, &w, w.state, kv, r0, rows, j0, j1);
    for (size_t r = 0; r < rows; r++)
        finish_row(j->k, u->it, kv, r0 + r, w.state + r * step);
}

/* How the rows and keys of one sequence are cut. */
static void unit_init(struct unit *u, const struct mm_attn_item *it, size_t first)
{
    const struct mm_attn *a = &it->a;
    const size_t rows = a->nq * mm_attn_group(a);

    assert(a->kv == MM_F32 || (a->kv == MM_F16 && a->layout == MM_ATTN_PANELS));
    *u = (struct unit){ .it = it, .first = first, .tiles = mm_attn_div_up(rows, TILE) };
    if (!rows)
        return;
    u->rows = mm_attn_div_up(mm_attn_div_up(rows, u->tiles), MM_MR) * MM_MR;
    u->tiles = mm_attn_div_up(rows, u->rows);
    if (u->tiles > 1)
        return;
    u->rows = rows;
    const size_t lo = mm_attn_span(a, 0).lo / CHUNK, hi = mm_attn_span(a, a->nq - 1).hi;
    u->parts = mm_attn_div_up(hi, CHUNK) - mm_attn_min(lo, mm_attn_div_up(hi, CHUNK));
    if (u->parts < 2 || u->parts * rows > MAX_PARTS / a->kv_heads)
        u->parts = 0;
}

/* Bytes of one block for everything: work, units, counters, parts. */
static bool job_bytes(size_t *bytes, struct job *j, size_t n, size_t threads, size_t left,
                      size_t part)
{
    size_t work, units, counters, parts;

    return mm_size_mul(j->work_floats * sizeof(float), threads, &work) &&
           mm_size_mul(n, sizeof(struct unit), &units) &&
           mm_size_mul(left, sizeof(atomic_size_t), &counters) &&
           mm_size_mul(part, sizeof(float), &parts) && mm_size_add(work, units, bytes) &&
           mm_size_add(*bytes, counters, bytes) && mm_size_add(*bytes, parts, bytes) &&
           mm_size_align(*bytes, 64, bytes);
}

/* Hands out counters and parts to the units that need them. */
static void share(struct job *j, atomic_size_t *left, float *part)
{
    for (struct unit *u = j->units; u < j->units + j->n; u++) {
        const struct mm_attn *a = &u->it->a;
        if (!u->parts)
            continue;
        u->left = left;
        u->part = part;
        for (size_t h = 0; h < a->kv_heads; h++)
            atomic_init(left++, u->parts);
        part += a->kv_heads * u->parts * u->rows * (2 + mm_attn_dim(a));
    }
}

int mm_attention_many(const struct mm_attn_item *items, size_t n, struct mm_pool *p)
{
    const size_t threads = (size_t)mm_pool_threads(p);
    struct job j = { .k = mm_kern(), .n = n };
    size_t tiles = 0, left = 0, part = 0, bytes;
    struct unit u;
    struct work layout;
    void *own = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct mm_attn *a = &items[i].a;
        const size_t floats = work_init(&layout, NULL, a->dim, mm_attn_dim(a));
        unit_init(&u, &items[i], 0);
        j.work_floats = floats > j.work_floats ? floats : j.work_floats;
        left += u.parts ? a->kv_heads : 0;
        part += u.parts * a->kv_heads * u.rows * (2 + mm_attn_dim(a));
    }
    part += part % 2; /* what follows is aligned */
    if (!n)
        return 0;
    if (!job_bytes(&bytes, &j, n, threads, left, part))
        return MM_ENOMEM;
    j.work = p ? mm_pool_scratch(p, bytes) : (own = aligned_alloc(64, bytes));
    if (!j.work)
        return MM_ENOMEM;
    float *parts = j.work + threads * j.work_floats;
    j.units = (struct unit *)(void *)(parts + part);
    for (size_t i = 0; i < n; i++) {
        unit_init(&j.units[i], &items[i], tiles);
        tiles += items[i].a.kv_heads * (j.units[i].parts ? j.units[i].parts : j.units[i].tiles);
    }
    share(&j, (atomic_size_t *)(void *)(j.units + n), parts);
    mm_pool_run(p, tiles, attend_tile, &j);
    free(own);
    return 0;
}

int mm_attention(float *o, float *lse, const float *q, const void *k, const void *v,
                 const struct mm_attn *a, struct mm_pool *p)
{
    const struct mm_attn_item it = { *a, o, lse, q, k, v };

    return mm_attention_many(&it, 1, p);
}
