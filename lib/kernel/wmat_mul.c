/* wmat_mul.c: y = x W^T + b for any number of rows of activations.
 *
 * First the activations are interleaved in groups of a few rows (f32, or int8
 * with a scale per 32).  Then each tile takes panels of MM_NR rows of W: a chunk
 * of k at a time is unpacked into L1 and multiplied with every group (Goto, van
 * de Geijn 2008).  With many rows a few panels meet the groups' chunk of k before
 * the next, so that it comes to L2 once for all of them.  With one row all of this
 * keeps up with memory; with many, unpacking costs nothing.  Sums over k run in
 * order, chunk by chunk, whatever the number of rows.
 *
 * A few activations are far larger than the rest of their row, and the error of
 * int8 is nearly all in their blocks (Dettmers et al. 2022, LLM.int8(), sec. 3).
 * What rounding left of these blocks is multiplied too, at the end of its chunk.
 */
#include "kernel/wmat.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernel/wmat_int.h"

enum {
    ROWS = 768,             /* rows of a tile at most: a multiple of MM_MR and MM_MR8 */
    PANELS = 4,             /* panels that meet a chunk of so many rows while L2 holds it */
    K_INT8 = 512,           /* k of a chunk: 16 KiB of codes, L1 holds them with the rows */
    SUBS = K_INT8 / 16,     /*   at most */
    SOME_ROWS = 64,         /* up to here memory counts: */
    TILE_BYTES = 32 << 10,  /*   a tile has at least so many bytes of weights, */
    TILES = 16,             /* or that part of a thread's: long stretches of memory */
    SHARE_FLOATS = 16 << 10, /* fewer activations are prepared by the caller alone */
    BLOCKS = K_INT8 / MM_QBLOCK,
    OUTLIER = 10             /* times the root mean square of a row */
};

/* Where a chunk has an outlier in some row of a group: first blocks of units. */
struct outliers {
    uint8_t n, at[BLOCKS];
};

/* Scratch of one thread. */
struct work {
    _Alignas(64) _Atomic size_t next; /* of its tiles */
    _Alignas(64) union {
        struct mm_wmat_f32 f32;
        struct {
            uint8_t q[K_INT8 * MM_NR];
            float d[SUBS * MM_NR], m[SUBS * MM_NR];
            int32_t scale[SUBS * MM_NR];
            uint8_t min[SUBS * MM_NR];
            uint8_t packed[2 * K_INT8 * MM_NR];
        } int8;
    } u; /* packed and q lie in whole cache lines too */
    float c[PANELS][ROWS * MM_NR];
};

struct job {
    const struct mm_kern *k;
    float *const *y;
    const float *x;
    size_t rows, in, nb; /* nb: blocks of 32 a row */
    const struct mm_wmat *const *m;
    const float *const *b;
    int n;
    size_t groups, groups8; /* of f32 and of int8 activations to prepare */
    size_t mr8;             /* rows of a group of int8: at most; or, few: exactly */
    size_t parts8;          /* of each group, prepared by one thread */
    bool fix;               /* minima want sums as integers */
    bool few;               /* int8 in one group, filled up to 1, 2, 4 or 8 rows */
    size_t threads, tiles;
    size_t tile_rows; /* of every tile but the last: a multiple of MM_MR and MM_MR8 */
    const float *a;       /* chunks of k; in each [kc][mr] for each group of at most MM_MR rows */
    float *a_to;          /* a, to be written */
    struct mm_q8_rows a8; /* groups of at most mr8 rows */
    struct mm_q8_rows rest8; /* so much room again: what a8 leaves of outliers' blocks */
    struct outliers *out;    /* [groups8][chunks of K_INT8] */
    size_t unit;             /* blocks of 32 that are multiplied again together */
    struct work *work;
};

struct span {
    size_t r0, n;
};

/* Group g: the rows of each tile are shared out evenly in groups of at most most. */
static struct span group_rows(const struct job *j, size_t most, size_t g)
{
    const size_t full = j->tile_rows / most, first = g / full * j->tile_rows;
    const size_t n = mm_min_size(j->tile_rows, j->rows - first), groups = mm_div_up(n, most);
    const size_t r0 = g % full * n / groups, r1 = (g % full + 1) * n / groups;

    return (struct span){ first + r0, r1 - r0 };
}

static bool uses_int8(const struct job *j, const struct mm_wmat *m)
{
    return j->groups8 && mm_dtype_quantised(m->dtype);
}

/* A group of int8 activations from column k0 on. */
static struct mm_q8_rows rows8(const struct mm_q8_rows *a, size_t nb, struct span g, size_t k0)
{
    const size_t at = g.r0 * nb + k0 / MM_QBLOCK * g.n;

    return (struct mm_q8_rows){ a->q + at * MM_QBLOCK,
                                a->d + at,
                                a->neg32 + at,
                                a->neg16 + 2 * at,
                                a->sum32 + at,
                                a->sum16 + 2 * at,
                                { a->fix[0] ? a->fix[0] + 2 * at : NULL,
                                  a->fix[1] ? a->fix[1] + 2 * at : NULL },
                                a->step ? a->step + at / 8 : NULL };
}

static struct outliers *outliers(const struct job *j, size_t group, size_t k0)
{
    return &j->out[group * mm_div_up(j->in, K_INT8) + k0 / K_INT8];
}

/* The step above which a block has an outlier of row x. */
static float outlier_step(const struct job *j, const float *x)
{
    return OUTLIER / 127.F * sqrtf(j->k->dot(x, x, j->in) / (float)j->in);
}

/* rest = x less its block of int8, rounded as quant_q8 does. */
static void rounding(float *rest, const float *x, size_t n)
{
    float top = 0;

    for (size_t i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    const float d = top / 127, id = top < 1e-30f ? 0 : 1 / d;
    for (size_t i = 0; i < n; i++)
        rest[i] = x[i] - d * rintf(x[i] * id);
}

/* Row r of a block of rests: of block t of x, or zero.  Its sums join those of x itself, at
 * sum16, as minima are added once. */
static void put_rest(const struct job *j, const struct mm_q8_rows *to, float *sum16, size_t t,
                     const float *x, bool outlier, size_t mr, size_t r)
{
    const size_t n = mm_min_size(MM_QBLOCK, j->in - t * MM_QBLOCK);
    float rest[MM_QBLOCK] = { 0 };

    if (outlier)
        rounding(rest, x + t * MM_QBLOCK, n);
    j->k->quant_q8(to, rest, n, (int)mr, (int)r);
    for (size_t i = r; outlier && i < 2 * mr; i += mr)
        sum16[i] += to->sum16[i];
}

/* Blocks t .. t + unit, if a row has an outlier there, join the rests of their chunk. */
static void put_rests(const struct job *j, size_t group, struct span g, size_t t,
                      const float *const *x, const float *d, const float *step)
{
    struct outliers *o = outliers(j, group, t * MM_QBLOCK);
    const size_t at = t / BLOCKS * BLOCKS + o->n * j->unit;
    bool any = false;

    for (size_t i = 0; i < j->unit; i++)
        for (size_t r = 0; r < g.n; r++)
            any |= d[i * g.n + r] > step[r];
    if (!any)
        return;
    o->at[o->n++] = (uint8_t)(t % BLOCKS);
    for (size_t i = 0; i < j->unit; i++) {
        const struct mm_q8_rows to = rows8(&j->rest8, j->nb, g, (at + i) * MM_QBLOCK);
        float *sum16 = rows8(&j->a8, j->nb, g, (t + i) * MM_QBLOCK).sum16;
        for (size_t r = 0; r < g.n; r++)
            put_rest(j, &to, sum16, t + i, x[r], d[i * g.n + r] > step[r], g.n, r);
    }
}

/* Activations of a group of int8, and what they leave of outliers: part i of the chunks. */
static void prepare_int8(const struct job *j, size_t group, size_t part)
{
    const size_t chunks = mm_div_up(j->in, K_INT8), k1 = chunks * part / j->parts8 * K_INT8;
    const size_t k2 = mm_min_size(j->in, chunks * (part + 1) / j->parts8 * K_INT8);
    struct span g = group_rows(j, j->mr8, group);
    g.n = j->few ? j->mr8 : g.n;
    const struct mm_q8_rows a = rows8(&j->a8, j->nb, g, k1);
    const float *x[MM_MR_FEW];
    float step[MM_MR_FEW];

    for (size_t r = 0; r < g.n; r++) {
        x[r] = j->x + mm_min_size(g.r0 + r, j->rows - 1) * j->in;
        step[r] = outlier_step(j, x[r]);
        j->k->quant_q8(&a, x[r] + k1, k2 - k1, (int)g.n, (int)r);
    }
    for (size_t k0 = k1; k0 < k2; k0 += K_INT8)
        outliers(j, group, k0)->n = 0;
    for (size_t t = k1 / MM_QBLOCK; t * MM_QBLOCK < k2; t += j->unit)
        put_rests(j, group, g, t, x, a.d + (t - k1 / MM_QBLOCK) * g.n, step);
    if (j->fix)
        j->k->fix_sums(&a, k2 - k1, (int)g.n);
}

static void prepare_group(void *arg, size_t i, int thread)
{
    const struct job *j = arg;

    (void)thread;
    if (i < j->groups) {
        const struct span g = group_rows(j, MM_MR, i);
        for (size_t k0 = 0; k0 < j->in; k0 += MM_WMAT_K) {
            const size_t kc = mm_min_size(MM_WMAT_K, j->in - k0);
            j->k->pack_a(j->a_to + k0 * j->rows + g.r0 * kc, j->x + g.r0 * j->in + k0, j->in, kc,
                         (int)g.n);
        }
        return;
    }
    prepare_int8(j, (i - j->groups) / j->parts8, (i - j->groups) % j->parts8);
}

/* What a tile works on. */
struct tile {
    const struct mm_wmat *m;
    const float *b; /* bias, or NULL */
    float *y;       /* [rows][out] of the whole product */
    size_t first, rows;
    size_t p0, p1; /* panels of W */
};

/* The packed chunk that is next: the next panel's, or then the next chunk of the first, or
 * of the next tile.  Each of n groups of this one fetches its share as it is multiplied. */
struct next {
    const uint8_t *p;
    size_t bytes, share;
};

static struct next next_chunk(const struct tile *t, size_t panel, size_t k0, size_t kc, size_t n)
{
    const bool last = panel + 1 == t->p1, end = k0 + kc == t->m->in;
    const size_t next = last && !end ? t->p0 : panel + 1, k = !last ? k0 : end ? 0 : k0 + kc;
    const size_t bytes = mm_wmat_bytes(t->m, mm_min_size(kc, t->m->in - k)) * MM_NR;
    const uint8_t *w = t->m->data + MM_NR * (next * t->m->stride + mm_wmat_bytes(t->m, k));

    return (struct next){ w, t->m->packed ? bytes : 0, mm_div_up(bytes, 64 * n) * 64 };
}

static void fetch_next(const struct next *next, size_t i)
{
    const size_t end = mm_min_size(next->bytes, (i + 1) * next->share);

    for (size_t l = i * next->share; l < end; l += 64)
        __builtin_prefetch(next->p + l, 0, 2);
}

/* Rows r0 .. r0 + n of y, which are written once and far from each other: fetched
 * while their sums are made. */
static void fetch(const struct tile *t, size_t panel, struct span g)
{
    for (size_t r = g.r0; r < g.r0 + g.n; r++) {
        const float *y = t->y + r * t->m->out + panel * MM_NR;
        __builtin_prefetch(y, 1);
        __builtin_prefetch(y + MM_NR / 2, 1);
    }
}

/* y = c + b, or c; c is [rows][MM_NR] */
static void finish(const struct tile *t, size_t panel, struct span g, const struct mm_kern *k,
                   const float *c)
{
    const size_t n0 = panel * MM_NR, nr = mm_min_size(MM_NR, t->m->out - n0);

    for (size_t r = g.r0; r < g.r0 + g.n; r++) {
        float *y = t->y + r * t->m->out + n0;
        const float *sum = c + (r - t->first) * MM_NR;
        if (t->b)
            k->add(y, sum, t->b + n0, nr);
        else if (nr == MM_NR)
            memcpy(y, sum, MM_NR * sizeof(*y));
        else
            memcpy(y, sum, nr * sizeof(*y));
    }
}

/* Few rows: weights are used as they come. */
static bool is_few(const struct job *j, const struct mm_wmat *m)
{
    return uses_int8(j, m) ? j->few : j->rows <= MM_MR && j->k->mul_half[m->dtype];
}

/* The panel's blocks of 32 from block t on. */
static struct mm_q8_panel blocks_from(const struct mm_q8_panel *b, size_t t)
{
    const size_t s = t * MM_QBLOCK / b->kind.sub * MM_NR;
    const size_t d = b->kind.pairs ? t * MM_QBLOCK / MM_WMAT_K * MM_NR : s;

    return (struct mm_q8_panel){
        b->q + t * MM_QBLOCK * MM_NR, b->d + d, b->m + d, b->scale + s, NULL, b->kind
    };
}

/* c += rests of a group in the chunk at k0, from the chunk's panel b. */
static void mul_rests(const struct job *j, size_t group, struct span g, size_t k0,
                      const struct mm_q8_panel *b, float *c)
{
    const struct outliers *o = outliers(j, group, k0);

    for (size_t i = 0; i < o->n; i++) {
        const struct mm_q8_rows a = rows8(&j->rest8, j->nb, g, k0 + i * MM_QBLOCK);
        const struct mm_q8_panel block = blocks_from(b, o->at[i]);
        j->k->mul_q8[b->kind.sub == 16][b->kind.min](c, MM_NR, &a, &block, MM_QBLOCK, (int)g.n);
    }
}

static void mul_few8(const struct job *j, const struct mm_wmat *m, size_t k0, size_t kc,
                     const char *b, float *c)
{
    const struct span g = { 0, j->mr8 };
    const struct outliers *o = outliers(j, 0, k0);
    const struct mm_q8_rows a = rows8(&j->a8, j->nb, g, k0);
    const size_t n = j->unit * MM_QBLOCK;

    j->k->mul_packed[m->dtype](c, MM_NR, &a, b, kc, (int)g.n);
    for (size_t i = 0; i < o->n; i++) {
        const struct mm_q8_rows rest = rows8(&j->rest8, j->nb, g, k0 + i * n);
        j->k->mul_packed[m->dtype](c, MM_NR, &rest,
                                   b + mm_wmat_bytes(m, o->at[i] * MM_QBLOCK) * MM_NR, n,
                                   (int)g.n);
    }
}

static void chunk_few(const struct job *j, const struct tile *t, size_t panel, size_t k0, size_t kc,
                      struct work *w, float *c)
{
    const void *b = mm_wmat_chunk(t->m, panel, k0, kc, w->u.int8.packed);

    if (uses_int8(j, t->m)) {
        mul_few8(j, t->m, k0, kc, b, c);
    } else
        j->k->mul_half[t->m->dtype](c, MM_NR, j->a + k0 * j->rows, b, kc, (int)j->rows);
}

static void chunk_f32(const struct job *j, const struct tile *t, size_t panel, size_t k0, size_t kc,
                      struct work *w, float *c)
{
    const float *b = mm_wmat_panel_f32(t->m, panel, k0, kc, &w->u.f32);
    const size_t g0 = t->first / MM_MR, groups = mm_div_up(t->rows, MM_MR);
    const struct next next = next_chunk(t, panel, k0, kc, groups);

    for (size_t i = g0; i < g0 + groups; i++) {
        const struct span g = group_rows(j, MM_MR, i);
        fetch_next(&next, i - g0);
        if (k0 + kc == j->in)
            fetch(t, panel, g);
        j->k->mul_f32(c + (g.r0 - t->first) * MM_NR, MM_NR, j->a + k0 * j->rows + g.r0 * kc, b,
                      kc, (int)g.n);
        if (k0 + kc == j->in)
            finish(t, panel, g, j->k, c);
    }
}

static void chunk_int8(const struct job *j, const struct tile *t, size_t panel, size_t k0,
                       size_t kc, struct work *w, float *c)
{
    const struct mm_q8_panel b = { w->u.int8.q,     w->u.int8.d,   w->u.int8.m,
                                   w->u.int8.scale, w->u.int8.min, mm_q8_kind(t->m->dtype) };
    mm_mul_q8_fn *mul = j->k->mul_q8[b.kind.sub == 16][b.kind.min];
    const size_t g0 = t->first / j->mr8, groups = mm_div_up(t->rows, j->mr8);
    const struct next next = next_chunk(t, panel, k0, kc, groups);

    j->k->unpack[t->m->dtype](&b, mm_wmat_chunk(t->m, panel, k0, kc, w->u.int8.packed), kc);
    for (size_t i = 0, r0 = 0, r1; i < groups; i++, r0 = r1) {
        r1 = t->rows * (i + 1) / groups; /* group_rows(), of which each would divide again */
        const struct span g = { t->first + r0, r1 - r0 };
        const struct mm_q8_rows a = rows8(&j->a8, j->nb, g, k0);
        float *sum = c + r0 * MM_NR;
        fetch_next(&next, i);
        if (k0 + kc == j->in)
            fetch(t, panel, g);
        mul(sum, MM_NR, &a, &b, kc, (int)g.n);
        mul_rests(j, g0 + i, g, k0, &b, sum);
        if (k0 + kc == j->in)
            finish(t, panel, g, j->k, c);
    }
}

/* A tile of at most PANELS panels. */
static void mul_panels(const struct job *j, const struct tile *t, struct work *w)
{
    const bool int8 = uses_int8(j, t->m), few = is_few(j, t->m);
    const size_t step = int8 ? K_INT8 : MM_WMAT_K;

    for (size_t p = t->p0; p < t->p1; p++)
        memset(w->c[p - t->p0], 0, (few ? MM_MR : t->rows) * MM_NR * sizeof(float));
    for (size_t k0 = 0; k0 < j->in; k0 += step)
        for (size_t p = t->p0; p < t->p1; p++)
            (few    ? chunk_few
             : int8 ? chunk_int8
                    : chunk_f32)(j, t, p, k0, mm_min_size(step, j->in - k0), w, w->c[p - t->p0]);
    for (size_t p = t->p0; (few || !j->in) && p < t->p1; p++)
        finish(t, p, (struct span){ t->first, t->rows }, j->k, w->c[p - t->p0]);
}

/* Panels of a tile at most. */
static size_t tile_panels(const struct job *j, const struct mm_wmat *m)
{
    const size_t least = TILE_BYTES / (MM_NR * m->stride + 1);
    const size_t part = mm_div_up(m->out, MM_NR) / (TILES * j->threads);

    if (j->rows > SOME_ROWS)
        return PANELS;
    return least > part ? least : part > 1 ? part : 1;
}

static size_t tiles_across(const struct job *j, const struct mm_wmat *m)
{
    return mm_div_up(mm_div_up(m->out, MM_NR), tile_panels(j, m));
}

static size_t tiles_of(const struct job *j, const struct mm_wmat *m)
{
    return mm_div_up(j->rows, j->tile_rows) * tiles_across(j, m);
}

static void mul_tile(const struct job *j, size_t tile, struct work *w)
{
    int i = 0;

    for (; tile >= tiles_of(j, j->m[i]); i++)
        tile -= tiles_of(j, j->m[i]);
    const size_t panels = mm_div_up(j->m[i]->out, MM_NR), across = tiles_across(j, j->m[i]);
    const size_t column = tile % across, together = j->rows > SOME_ROWS ? PANELS : 1;
    const size_t p1 = (column + 1) * panels / across;
    struct tile t = { .m = j->m[i],
                      .b = j->b ? j->b[i] : NULL,
                      .y = j->y[i],
                      .first = tile / across * j->tile_rows,
                      .p1 = column * panels / across };
    t.rows = mm_min_size(j->tile_rows, j->rows - t.first);
    while (t.p1 < p1) {
        t.p0 = t.p1;
        t.p1 = mm_min_size(t.p0 + together, p1);
        mul_panels(j, &t, w);
    }
}

/* The tiles of a thread lie one behind the other: what is fetched ahead of one is the next. */
static size_t first_tile(const struct job *j, size_t thread)
{
    return thread * j->tiles / j->threads;
}

/* One tile: of the thread's own, or, when it has none left, of another's. */
static void mul_some_tile(void *arg, size_t call, int thread)
{
    const struct job *j = arg;

    (void)call;
    for (size_t i = 0; i < j->threads; i++) {
        const size_t whose = ((size_t)thread + i) % j->threads, end = first_tile(j, whose + 1);
        _Atomic size_t *next = &j->work[whose].next;
        size_t tile = atomic_load(next);
        if (tile < end && (tile = atomic_fetch_add(next, 1)) < end) {
            mul_tile(j, tile, &j->work[thread]);
            return;
        }
    }
}

/* Room for count things of size bytes, in whole cache lines, at the end of *total. */
static bool reserve(size_t *at, size_t *total, size_t count, size_t size)
{
    size_t bytes;
    *at = *total;
    return mm_size_mul(count, size, &bytes) && mm_size_align(bytes, 64, &bytes) &&
           mm_size_add(*total, bytes, total);
}

/* Room for blocks of int8 activations: where its parts will be. */
enum { PARTS = 9 };
static bool reserve_rows8(size_t at[PARTS], size_t *total, size_t blocks)
{
    static const size_t bytes[PARTS] = { MM_QBLOCK, 4, 4, 8, 4, 8, 2, 2, 1 };
    bool fits = true;

    for (int i = 0; i < PARTS; i++)
        fits = fits && reserve(&at[i], total, blocks, bytes[i]);
    return fits;
}

static struct mm_q8_rows rows8_at(char *mem, const size_t at[PARTS], bool fix)
{
    void *p[PARTS];

    for (int i = 0; i < PARTS; i++)
        p[i] = fix || i < 6 ? mem + at[i] : NULL;
    return (struct mm_q8_rows){ p[0], p[1], p[2], p[3], p[4], p[5], { p[6], p[7] }, p[8] };
}

/* Activations and scratch of a product in one block: the pool's, or *own. */
static bool allocate(struct job *j, struct mm_pool *p, void **own)
{
    const size_t rows8 = !j->groups8 ? 0 : j->few ? j->mr8 : j->rows;
    size_t a, a8[PARTS], rest8[PARTS], out, work, total = 0, blocks, chunks;

    if (!mm_size_mul(rows8, j->nb, &blocks) ||
        !mm_size_mul(j->groups8, mm_div_up(j->in, K_INT8), &chunks) ||
        !reserve(&work, &total, (size_t)mm_pool_threads(p), sizeof(struct work)) ||
        !reserve(&a, &total, j->groups ? j->rows : 0, j->in * sizeof(float)) ||
        !reserve_rows8(a8, &total, blocks) || !reserve_rows8(rest8, &total, blocks) ||
        !reserve(&out, &total, chunks, sizeof(*j->out)))
        return false;
    char *mem = p ? mm_pool_scratch(p, total) : (*own = aligned_alloc(64, total));
    if (!mem)
        return false;
    j->a8 = rows8_at(mem, a8, j->fix);
    j->rest8 = rows8_at(mem, rest8, false);
    j->out = (struct outliers *)(void *)(mem + out);
    j->work = (struct work *)(void *)(mem + work);
    if (j->groups)
        j->a = j->a_to = (float *)(void *)(mem + a);
    return true;
}

static void prepare(struct job *j, struct mm_pool *p)
{
    size_t floats;
    const bool few = mm_size_mul(j->rows, j->in, &floats) && floats < SHARE_FLOATS;

    /* few rows are one group: their columns are shared out */
    j->parts8 = few || !j->few ? 1 : mm_min_size(j->threads, mm_div_up(j->in, K_INT8));
    mm_pool_run(few ? NULL : p, j->groups + j->groups8 * j->parts8, prepare_group, j);
}

/* How int8 activations are grouped. */
static void choose_groups(struct job *j)
{
    j->few = j->rows <= MM_MR_FEW;
    for (int i = 0; i < j->n; i++)
        j->few =
            j->few && (!mm_dtype_quantised(j->m[i]->dtype) || j->k->mul_packed[j->m[i]->dtype]);
    j->mr8 = MM_MR8;
    j->unit = 1;
    for (int i = 0; j->few && i < j->n; i++)
        if (mm_dtype_quantised(j->m[i]->dtype) && mm_dtype_block(j->m[i]->dtype) > MM_QBLOCK)
            j->unit = mm_dtype_block(j->m[i]->dtype) / MM_QBLOCK;
    if (j->few)
        for (j->mr8 = 1; j->mr8 < j->rows; j->mr8 *= 2)
            continue;
}

int mm_wmat_mul_group(float *const *y, const float *x, size_t rows, const struct mm_wmat *const *m,
                      const float *const *b, int n, enum mm_arith arith, struct mm_pool *p)
{
    struct job j = { .k = mm_kern(), .y = y, .x = x, .rows = rows, .m = m, .b = b, .n = n, .a = x };
    const bool int8 = (arith & MM_ARITH_FAST) && j.k->int8;
    void *own = NULL;

    if (!rows || !n)
        return 0;
    j.in = m[0]->in;
    j.nb = mm_div_up(j.in, MM_QBLOCK);
    j.threads = (size_t)mm_pool_threads(p);
    j.tile_rows = mm_div_up(mm_div_up(rows, mm_div_up(rows, ROWS)), MM_MR) * MM_MR;
    choose_groups(&j);
    for (int i = 0; i < n; i++) {
        assert(m[i]->in == j.in);
        j.fix |= int8 && mm_q8_kind(m[i]->dtype).pairs && mm_q8_kind(m[i]->dtype).min;
        if (int8 && mm_dtype_quantised(m[i]->dtype))
            j.groups8 = mm_div_up(rows, j.mr8);
        else if (rows > 1) /* one row is its own group */
            j.groups = mm_div_up(rows, MM_MR);
    }
    for (int i = 0; i < n; i++)
        j.tiles += tiles_of(&j, m[i]);
    if (!allocate(&j, p, &own))
        return MM_ENOMEM;
    prepare(&j, p);
    for (size_t t = 0; t < j.threads; t++)
        atomic_init(&j.work[t].next, first_tile(&j, t));
    mm_pool_run(p, j.tiles, mul_some_tile, &j);
    free(own);
    return 0;
}

int mm_wmat_mul(float *y, const float *x, size_t rows, const struct mm_wmat *m, const float *b,
                enum mm_arith arith, struct mm_pool *p)
{
    return mm_wmat_mul_group(&y, x, rows, &m, &b, 1, arith, p);
}
