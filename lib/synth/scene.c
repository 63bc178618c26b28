/* scene.c: drawing what a scene shows.
 *
 * How many objects there are, and whether something held out is wanted, depends on the
 * scene's number alone; then whole scenes are drawn until one is of the split and
 * its objects fit.  So rejection does not shift how often a number occurs.
 */
#include "synth/scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "synth/raster.h"
#include "synth/sprite.h"

enum {
    PLACES = 60,     /* tries to place one object */
    ATTEMPTS = 4000, /* tries to draw a scene */
    COARSE = 48      /* side of the picture on which hidden parts are measured */
};

static const float border = 0.03f; /* objects' centres keep off the borders of the thirds */
static const float apart = 0.06f;  /* in a row, so that reading order is plain */

struct mm_scene_maker {
    const struct mm_scene_opts *o;
    struct mm_cover cover[MM_SCENE_MAX];
};

/* What is settled before the first attempt. */
struct plan {
    int n;
    bool held;
    int theme; /* objects that share a colour or shape; 0: none */
    bool theme_colour;
};

static const struct {
    const char *name;
    int lo, hi, most;      /* objects where no option says, and at most */
    float r[MM_NSIZES][2]; /* half extents of small, large: from, to */
} tiers[MM_NTIERS] = {
    [MM_SHAPES] = { "shapes", 1, 6, 6, { { 0.10f, 0.12f }, { 0.175f, 0.21f } } },
    [MM_THINGS] = { "things", 1, 4, 6, { { 0.15f, 0.17f }, { 0.235f, 0.26f } } },
    [MM_WORDS] = { "words", 1, 1, 1, { { 0.08f, 0.17f }, { 0.08f, 0.17f } } },
    [MM_CLIPS] = { "clips", 1, 3, 4, { { 0.10f, 0.12f }, { 0.165f, 0.19f } } },
    [MM_SOUNDS] = { "sounds", 1, 4, 4, { { 0, 0 }, { 0, 0 } } },
    [MM_CRIES] = { "cries", 1, 1, 1, { { 0, 0 }, { 0, 0 } } },
    [MM_NOTES] = { "notes", 1, 3, 3, { { 0, 0 }, { 0, 0 } } },
};

const char *mm_tier_name(enum mm_tier tier)
{
    return tiers[tier].name;
}

const char *mm_motion_name(enum mm_motion motion)
{
    static const char *const names[MM_NMOTIONS] = { "still", "left",   "right", "up",
                                                    "down",  "growing", "shrinking", "turning" };

    return names[motion];
}

void mm_rng_of(struct mm_rng *r, uint64_t seed, uint64_t index, uint64_t purpose)
{
    const uint64_t key[3] = { seed, index, purpose };
    uint64_t h = UINT64_C(0x9E3779B97F4A7C15);

    for (int i = 0; i < 3; i++) {
        h = (h ^ key[i]) * UINT64_C(0xD6E8FEB86659FD93);
        h ^= h >> 32;
    }
    mm_rng_seed(r, h);
}

static int below(struct mm_rng *r, int n)
{
    return (int)mm_rng_below(r, (uint64_t)n);
}

static float between(struct mm_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * (float)mm_rng_uniform(r);
}

int mm_scene_maker_new(struct mm_scene_maker **m, const struct mm_scene_opts *o, struct mm_err *e)
{
    struct mm_scene_maker *k = *m = calloc(1, sizeof(*k));
    int rc = 0;

    if (k == NULL)
        return mm_err_set(e, MM_ENOMEM, "scenes: out of memory");
    k->o = o;
    for (int i = 0; rc == 0 && i < MM_SCENE_MAX; i++)
        rc = mm_cover_new(&k->cover[i], COARSE, e);
    if (rc < 0) {
        mm_scene_maker_free(k);
        *m = NULL;
    }
    return rc;
}

void mm_scene_maker_free(struct mm_scene_maker *m)
{
    for (int i = 0; m != NULL && i < MM_SCENE_MAX; i++)
        mm_cover_free(&m->cover[i]);
    free(m);
}

const char *mm_scene_noun(const struct mm_scene *s, int k, const struct mm_sprites *sprites)
{
    const int what = s->obj[k].what;

    return mm_tier_has_nouns(s->tier) ? mm_sprites_noun(sprites, what)
           : s->tier == MM_WORDS  ? s->word
           : s->tier == MM_SOUNDS ? mm_sound_name(what)
           : s->tier == MM_NOTES  ? mm_instrument_name(what)
                                  : mm_shape_name(what);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

uint64_t mm_scene_hash(const struct mm_scene *s, const struct mm_sprites *sprites)
{
    uint64_t code[MM_SCENE_MAX], h = mm_hash64(mm_tier_name(s->tier), 3);

    for (int k = 0; k < s->n; k++) {
        const struct mm_object *o = &s->obj[k];
        const char *noun = mm_scene_noun(s, k, sprites);
        const int when = s->tier == MM_SOUNDS  ? k
                         : s->tier == MM_NOTES ? k + 4 * (int)(10 * s->obj[0].y) + 40 * s->fast
                                               : 0;
        const signed char seen[] = { (signed char)o->colour, (signed char)o->size,
                                     (signed char)o->col, (signed char)o->row,
                                     (signed char)o->motion, (signed char)when };

        code[k] = mm_hash64_add(mm_hash64(noun, strlen(noun)), seen, sizeof(seen));
    }
    qsort(code, (size_t)s->n, sizeof(*code), by_value);
    for (int k = 0; k < s->n; k++)
        for (int i = 0; i < 8; i++) {
            const unsigned char byte = (unsigned char)(code[k] >> 8 * i);

            h = mm_hash64_add(h, &byte, 1);
        }
    return h;
}

/* The first `theme` objects share a colour or a shape. */
static void draw_shapes(struct mm_scene *s, const struct plan *p, struct mm_rng *r)
{
    const int shared = below(r, p->theme_colour ? MM_NCOLOURS : MM_NSHAPES);
    const int odd = below(r, s->n); /* where a held-out pair goes */

    for (int k = 0; k < s->n; k++) {
        struct mm_object *o = &s->obj[k];

        do {
            o->what = k < p->theme && !p->theme_colour ? shared : below(r, MM_NSHAPES);
            o->colour = k < p->theme && p->theme_colour ? shared : below(r, MM_NCOLOURS);
        } while (mm_shape_held(o->what, o->colour) != (p->held && k == odd));
        if (s->tier == MM_CLIPS) /* of what is round a turn is not to be seen */
            o->motion = (enum mm_motion)below(r, o->what == MM_CIRCLE || o->what == MM_RING
                                                     ? MM_TURN : MM_NMOTIONS);
    }
}

/* Does noun of object k make a held-out pair with one before it? */
static bool pairs(const struct mm_scene *s, int k, const struct mm_sprites *sp)
{
    for (int i = 0; i < k; i++)
        if (mm_pair_held(mm_scene_noun(s, i, sp), mm_scene_noun(s, k, sp)))
            return true;
    return false;
}

static bool draw_things(struct mm_scene *s, const struct mm_scene_opts *o, const struct plan *p,
                        struct mm_rng *r)
{
    const bool artist = o->held == MM_HELD_ARTIST;
    const int nouns = mm_sprites_count(o->sprites);

    for (int k = 0; k < s->n; k++) {
        struct mm_object *b = &s->obj[k];
        const bool want = p->held && k == 1;
        int tries = 0;

        do {
            b->what = k > 0 && k < p->theme ? s->obj[0].what : below(r, nouns);
            if (tries++ == ATTEMPTS)
                return false;
        } while (mm_sprites_looks(o->sprites, b->what, artist) == 0
                 || (p->held && k > 1 ? false : pairs(s, k, o->sprites) != want));
        b->look = mm_sprites_look(o->sprites, b->what, artist,
                                  below(r, mm_sprites_looks(o->sprites, b->what, artist)));
        b->colour = -1;
    }
    return true;
}

static void draw_words(struct mm_scene *s, const struct mm_scene_opts *o, const struct plan *p,
                       struct mm_rng *r)
{
    for (int k = 0; k < s->n; k++) {
        struct mm_object *b = &s->obj[k];
        char spelled[MM_WORD_LEN];

        b->what = p->held ? MM_NWORDS + below(r, MM_NWORDS_HELD) : below(r, MM_NWORDS);
        if (o->invented > 0 && mm_rng_uniform(r) < o->invented)
            b->what = mm_word_invent(r);
        snprintf(s->word, sizeof(s->word), "%s", mm_world_word(b->what, spelled));
        b->colour = below(r, MM_NCOLOURS);
        b->look = below(r, o->fonts) * 2 + below(r, 2); /* font, upper case */
    }
}

/* A fifth or so of a second apart, or twice that. */
static void draw_sounds(struct mm_scene *s, const struct plan *p, struct mm_rng *r)
{
    const int shared = below(r, MM_NSOUNDS);
    float step, first;

    s->fast = below(r, 2) == 0;
    step = s->fast ? 0.11f : 0.23f;
    first = between(r, 0, 0.98f - step * (float)s->n);
    for (int k = 0; k < s->n; k++) {
        struct mm_object *b = &s->obj[k];

        b->what = k < p->theme ? shared : below(r, MM_NSOUNDS);
        b->colour = b->what == MM_CHIRP ? below(r, 2) : -1;
        b->size = below(r, 2);
        b->x = 0.2f * (float)k + 0.1f;
        b->y = first + step * (float)k;
        b->col = (int)(10 * first);
        b->row = s->fast;
        b->seen = 1;
        b->paint = (uint32_t)mm_rng_u64(r);
        s->depth[k] = k;
    }
}

/* Three tenths of a second apart, or twice that. */
static bool draw_notes(struct mm_scene *s, const struct plan *p, struct mm_rng *r)
{
    const int shared = below(r, MM_NINSTRUMENTS);
    float step, first;

    s->fast = below(r, 2) == 0;
    step = s->fast ? 0.15f : 0.3f;
    first = between(r, 0, 0.98f - step * (float)s->n);
    for (int k = 0; k < s->n; k++) {
        struct mm_object *b = &s->obj[k];
        const bool want = p->held && k == 1;
        int tries = 0;

        do {
            b->what = k < p->theme ? shared : below(r, MM_NINSTRUMENTS);
            if (tries++ == ATTEMPTS)
                return false;
        } while (p->held && k > 1 ? false : pairs(s, k, NULL) != want);
        b->colour = mm_instrument_chords(b->what) ? below(r, 2) : -1;
        b->size = below(r, 2);
        b->look = below(r, MM_KEYS);
        b->x = step * (float)k + 0.1f;
        b->y = first + step * (float)k;
        b->col = below(r, 3);
        b->row = 1;
        b->seen = 1;
        b->paint = (uint32_t)mm_rng_u64(r);
        s->depth[k] = k;
    }
    return true;
}

/* A third slower to a half faster, in five steps. */
static void draw_cry(struct mm_scene *s, const struct mm_scene_opts *o, struct mm_rng *r)
{
    struct mm_object *b = &s->obj[0];

    do
        b->look = below(r, mm_sprites_all(o->sprites));
    while (mm_sprites_sound(o->sprites, b->look) == NULL);
    b->what = mm_sprites_noun_of(o->sprites, b->look);
    b->colour = -1;
    b->row = below(r, 5);
    b->r = (0.75f + 0.12f * (float)b->row) * between(r, 0.97f, 1.03f);
    b->y = between(r, 0, 0.4f);
    b->col = (int)(20 * b->y);
    b->seen = 1;
}

static int third(float x)
{
    return x < 1.0f / 3 ? 0 : x < 2.0f / 3 ? 1 : 2;
}

/* A place within a third, off its borders, at least room from those of the picture. */
static float within(struct mm_rng *r, int part, float room)
{
    const float lo = fmaxf((float)part / 3 + border, room);
    const float hi = fminf((float)(part + 1) / 3 - border, 1 - room);

    return between(r, lo, hi);
}

/* How far from the middle of its place an object gets; clips move. */
static float reach(const struct mm_scene *s, const struct mm_object *o)
{
    return s->tier == MM_CLIPS && o->motion != MM_STILL && o->motion != MM_TURN ? o->r + 0.1f
                                                                               : o->r;
}

/* May object k lie where it lies, with those before it? */
static bool fits(const struct mm_scene *s, int k, double hidden)
{
    const struct mm_object *o = &s->obj[k];

    for (int i = 0; i < k; i++) {
        const struct mm_object *p = &s->obj[i];
        const float d = hypotf(o->x - p->x, o->y - p->y), both = reach(s, o) + reach(s, p);
        const bool alike = o->colour >= 0 ? o->colour == p->colour : o->what == p->what;

        /* what looks alike must not flow together */
        if (d < (alike || hidden <= 0 || s->tier == MM_CLIPS ? both + 0.02f : 0.6f * both))
            return false;
        if (o->row == p->row && fabsf(o->x - p->x) < apart)
            return false;
    }
    return true;
}

static bool place(struct mm_scene *s, int k, double hidden, struct mm_rng *r)
{
    struct mm_object *o = &s->obj[k];
    const float room = reach(s, o) + 0.01f;

    for (int i = 0; i < PLACES; i++) {
        /* each third as often, whatever the size: else a size would tell of the place */
        o->col = below(r, 3);
        o->row = below(r, 3);
        o->x = within(r, o->col, room);
        o->y = within(r, o->row, room);
        if (fits(s, k, hidden))
            return true;
    }
    return false;
}

/* A word is as wide as its letters: as large as fits, less up to a quarter. */
static void place_word(struct mm_object *o, const char *word, struct mm_rng *r)
{
    const float letters = (float)strlen(word);
    float wide;

    o->r = fminf(0.15f, 0.47f / letters) * between(r, 0.8f, 1);
    wide = o->r * letters + 0.02f;
    o->x = between(r, wide, 1 - wide);
    o->y = between(r, 1.5f * o->r + 0.02f, 0.98f - 1.5f * o->r);
    o->angle = between(r, -0.08f, 0.08f);
    o->col = third(o->x);
    o->row = third(o->y);
}

static void give_colour(struct mm_object *o, struct mm_rng *r)
{
    for (int k = 0; k < 3 && o->colour >= 0; k++)
        o->rgb[k] = fminf(fmaxf((float)mm_colour_rgb(o->colour)[k] + between(r, -12, 12), 0), 255);
    o->paint = (uint32_t)mm_rng_u64(r);
}

static bool place_all(struct mm_scene *s, double hidden, struct mm_rng *r)
{
    /* many objects are mostly small: they have to fit */
    const float large = s->n <= 4 ? 0.5f : 0.4f;

    for (int k = 0; k < s->n; k++) {
        struct mm_object *o = &s->obj[k];

        if (s->tier == MM_WORDS) {
            place_word(o, s->word, r);
        } else {
            o->size = mm_rng_uniform(r) < large;
            o->r = between(r, tiers[s->tier].r[o->size][0], tiers[s->tier].r[o->size][1]);
            o->angle = between(r, -0.5f, 0.5f) * (s->tier == MM_THINGS ? 0.5f : 1);
            if (!place(s, k, hidden, r))
                return false;
        }
        give_colour(o, r);
    }
    return true;
}

static int by_reading(const void *a, const void *b)
{
    const struct mm_object *o = a, *p = b;

    return o->row != p->row ? o->row - p->row : (o->x > p->x) - (o->x < p->x);
}

static int cover(struct mm_cover *c, const struct mm_scene *s, int k, const struct mm_scene_opts *o,
                 struct mm_err *e)
{
    const struct mm_object *b = &s->obj[k];
    const struct mm_pose pose = { b->x * COARSE, b->y * COARSE, b->r * COARSE, b->angle };
    struct mm_outline line;

    if (s->tier == MM_THINGS)
        return mm_sprites_cover(c, NULL, (struct mm_sprites *)o->sprites, b->look, &pose, COARSE, e);
    mm_outline_shape(&line, b->what, &pose);
    mm_cover_outline(c, &line, COARSE);
    return 0;
}

static float at(const struct mm_cover *c, int x, int y)
{
    x -= c->x;
    y -= c->y;
    return x >= 0 && y >= 0 && x < c->w && y < c->h ? c->a[y * c->w + x] : 0;
}

/* The part of object k that those painted after it leave to be seen. */
static float seen(const struct mm_scene *s, const struct mm_cover *cover_of, int place_of)
{
    const struct mm_cover *c = &cover_of[s->depth[place_of]];
    float all = 0, open = 0;

    for (int y = c->y; y < c->y + c->h; y++)
        for (int x = c->x; x < c->x + c->w; x++) {
            float a = at(c, x, y);

            all += a;
            for (int i = place_of + 1; i < s->n; i++)
                a *= 1 - at(&cover_of[s->depth[i]], x, y);
            open += a;
        }
    return all > 0 ? open / all : 0;
}

/* 1 when no object is hidden more than it may be, 0 when one is, or an error. */
static int all_seen(struct mm_scene *s, struct mm_scene_maker *m, struct mm_err *e)
{
    bool touch = false;
    int rc = 0;

    for (int k = 0; k < s->n; k++) {
        s->obj[k].seen = 1;
        for (int i = 0; i < k; i++)
            touch |= hypotf(s->obj[k].x - s->obj[i].x, s->obj[k].y - s->obj[i].y)
                     < 1.1f * (s->obj[k].r + s->obj[i].r);
    }
    if (!touch || m->o->rough)
        return 1;
    for (int k = 0; rc == 0 && k < s->n; k++)
        rc = cover(&m->cover[k], s, k, m->o, e);
    for (int k = 0; rc == 0 && k < s->n; k++) {
        struct mm_object *o = &s->obj[s->depth[k]];

        o->seen = seen(s, m->cover, k);
        if (o->seen < 1 - (float)m->o->hidden)
            return 0;
    }
    return rc < 0 ? rc : 1;
}

static void shuffle_depth(struct mm_scene *s, struct mm_rng *r)
{
    for (int k = 0; k < s->n; k++) {
        const int j = below(r, k + 1);

        s->depth[k] = s->depth[j];
        s->depth[j] = k;
    }
}

/* One attempt: 1 a scene, 0 none, or an error. */
static int attempt(struct mm_scene *s, struct mm_scene_maker *m, const struct plan *p,
                   struct mm_rng *r, struct mm_err *e)
{
    memset(s->obj, 0, sizeof(s->obj));
    if (s->tier == MM_SOUNDS) {
        draw_sounds(s, p, r);
        return mm_split_of(mm_scene_hash(s, NULL)) == s->split;
    }
    if (s->tier == MM_NOTES)
        return draw_notes(s, p, r) && mm_split_of(mm_scene_hash(s, NULL)) == s->split;
    if (s->tier == MM_CRIES) {
        draw_cry(s, m->o, r);
        return mm_split_of(mm_scene_hash(s, m->o->sprites)) == s->split;
    }
    if (s->tier == MM_THINGS) {
        if (!draw_things(s, m->o, p, r))
            return 0;
    } else if (s->tier == MM_WORDS) {
        draw_words(s, m->o, p, r);
    } else {
        draw_shapes(s, p, r);
    }
    if (!place_all(s, m->o->hidden, r))
        return 0;
    qsort(s->obj, (size_t)s->n, sizeof(*s->obj), by_reading);
    /* a word that is held out is in test alone: with any color, at any place */
    if (!(s->tier == MM_WORDS && p->held) && mm_split_of(mm_scene_hash(s, m->o->sprites)) != s->split)
        return 0;
    shuffle_depth(s, r);
    return all_seen(s, m, e);
}

/* Means of the things' colours, which the background is to differ from. */
static int colour_things(struct mm_scene *s, const struct mm_scene_opts *o, struct mm_err *e)
{
    int rc = 0;

    for (int k = 0; rc == 0 && k < s->n && s->tier == MM_THINGS && !o->rough; k++)
        rc = mm_sprites_colour(s->obj[k].rgb, (struct mm_sprites *)o->sprites, s->obj[k].look, e);
    return rc;
}

static enum mm_tier pick_tier(unsigned set, struct mm_rng *r)
{
    int n = 0, pick;

    for (int t = 0; t < MM_NTIERS; t++)
        n += (int)(set >> t & 1);
    pick = below(r, n);
    for (int t = 0;; t++)
        if ((set >> t & 1) && pick-- == 0)
            return (enum mm_tier)t;
}

static void make_plan(struct plan *p, enum mm_tier tier, const struct mm_scene_opts *o,
                      struct mm_rng *r)
{
    const bool own = o->lo == 0 || o->hi > tiers[tier].most;
    const int lo = own ? tiers[tier].lo : o->lo, hi = own ? tiers[tier].hi : o->hi;
    const int fifth = below(r, 5);

    p->n = lo + below(r, hi - lo + 1);
    p->held = tier != MM_SOUNDS && tier != MM_CRIES
              && (o->held == MM_HELD_PAIRS || (o->held == MM_HELD_MIX && fifth == 0))
              && (tier != MM_THINGS || mm_sprites_pairs(o->sprites));
    if (p->held && (tier == MM_THINGS || tier == MM_NOTES) && p->n < 2)
        p->n = 2;
    p->theme_colour = below(r, 2) == 0;
    p->theme = below(r, 2) == 0 && p->n > 1 && !p->held ? 2 + below(r, p->n - 1) : 0;
}

void mm_scene_at(struct mm_scene *out, const struct mm_scene *s, int frame)
{
    const float t = ((float)frame + 0.5f) / MM_CLIP_FRAMES - 0.5f, way = 0.2f * t;

    *out = *s;
    out->frame = frame;
    for (int k = 0; k < s->n; k++) {
        struct mm_object *o = &out->obj[k];

        switch (o->motion) {
        case MM_LEFT: o->x -= way; break;
        case MM_RIGHT: o->x += way; break;
        case MM_UP: o->y -= way; break;
        case MM_DOWN: o->y += way; break;
        case MM_GROW: o->r *= 1 + 0.9f * t; break;
        case MM_SHRINK: o->r *= 1 - 0.9f * t; break;
        case MM_TURN: o->angle += 3 * t; break;
        default: break;
        }
    }
}

int mm_scene_make(struct mm_scene *s, struct mm_scene_maker *m, uint64_t index, struct mm_err *e)
{
    struct plan p;
    struct mm_rng r;

    memset(s, 0, sizeof(*s));
    s->seed = m->o->seed;
    s->index = index;
    s->split = m->o->split;
    mm_rng_of(&r, s->seed, index, (uint64_t)s->split);
    s->tier = pick_tier(m->o->tiers, &r);
    make_plan(&p, s->tier, m->o, &r);
    s->n = p.n;
    s->held = p.held;
    for (int i = 0; i < ATTEMPTS; i++) {
        const int rc = attempt(s, m, &p, &r, e);

        if (rc < 0)
            return rc;
        s->paint = mm_rng_u64(&r);
        if (rc > 0)
            return colour_things(s, m->o, e);
    }
    return mm_err_set(e, MM_EDATA, "scene %llu: %d objects do not fit", (unsigned long long)index,
                      p.n);
}
