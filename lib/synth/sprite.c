/* sprite.c: pictures of things, read once, drawn at any size and turn.
 *
 * A picture is kept premultiplied at halving sizes; drawing takes the size of which a
 * pixel of the canvas covers one to two pixels, and interpolates.
 */
#include "synth/sprite.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/utf8.h"
#include "media/image.h"
#include "synth/world.h"

enum {
    LEVELS = 8,
    LARGEST = 128, /* longer side that is kept */
    LOCKS = 16     /* pictures that may be read at once */
};

struct level {
    int w, h;
    float *px; /* [h][w][4] premultiplied, colour 0..255, alpha 0..1 */
};

struct look {
    char *file, *artist, *sound; /* fields of the table, into its text */
    int noun;
    bool held;
    _Atomic bool ready;
    int levels;
    struct level level[LEVELS];
};

struct noun {
    const char *one, *many;
    int first, seen, held; /* its looks: from `first` on those seen, then those held back */
};

struct mm_sprites {
    char *dir, *text;
    struct look *look;
    size_t looks, look_cap;
    struct noun *noun;
    size_t nouns, noun_cap;
    bool pairs; /* two nouns are a held-out pair */
    pthread_mutex_t reading[LOCKS]; /* of looks by their number */
};

/* A line of the table, its fields cut apart in place. */
struct row {
    char *field[5]; /* file noun plural artist sound; missing: "" */
};

static void cut_row(struct row *r, char *line)
{
    for (int i = 0; i < 5; i++) {
        r->field[i] = line;
        line += strcspn(line, "\t");
        if (*line == '\t')
            *line++ = '\0';
    }
}

/* All but the sound must be there, and text. */
static int check_row(const struct row *r, const char *table, struct mm_err *e)
{
    for (int i = 0; i < 4; i++)
        if (r->field[i][0] == '\0')
            return mm_err_set(e, MM_EDATA, "%s: '%s': want file, noun, plural and artist", table,
                              r->field[0]);
    for (int i = 0; i < 5; i++)
        if (mm_utf8_valid(r->field[i], strlen(r->field[i])) < strlen(r->field[i]))
            return mm_err_set(e, MM_EDATA, "%s: '%s': not UTF-8", table, r->field[0]);
    return 0;
}

static int by_noun(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    const int c = strcmp(x->field[1], y->field[1]);

    return c != 0 ? c : strcmp(x->field[0], y->field[0]);
}

static bool same(const struct row *a, const struct row *b, int field)
{
    return strcmp(a->field[field], b->field[field]) == 0;
}

/* Looks of rows[n], all of one noun; those of the held-back artist last. */
static bool add_noun(struct mm_sprites *s, const struct row *rows, size_t n, const char *hold)
{
    struct noun *noun;
    bool others = false;

    if (!mm_grow(&s->noun, &s->noun_cap, s->nouns + 1, sizeof(*s->noun))
        || !mm_grow(&s->look, &s->look_cap, s->looks + n, sizeof(*s->look)))
        return false;
    noun = &s->noun[s->nouns];
    *noun = (struct noun){ .one = rows[0].field[1], .many = rows[0].field[2],
                           .first = (int)s->looks };
    for (size_t i = 0; i < n; i++)
        others |= hold != NULL && strcmp(rows[i].field[3], hold) != 0;
    for (int held = 0; held < 2; held++)
        for (size_t i = 0; i < n; i++) {
            const bool is_held = others && strcmp(rows[i].field[3], hold) == 0;

            if (is_held != (held == 1))
                continue;
            s->look[s->looks] = (struct look){ .file = rows[i].field[0], .artist = rows[i].field[3],
                                               .sound = rows[i].field[4], .noun = (int)s->nouns,
                                               .held = is_held };
            s->looks++;
            *(held ? &noun->held : &noun->seen) += 1;
        }
    s->nouns++;
    return true;
}

static void find_pairs(struct mm_sprites *s)
{
    for (size_t i = 0; i < s->nouns && !s->pairs; i++)
        for (size_t k = 0; k < i && !s->pairs; k++)
            s->pairs = mm_pair_held(s->noun[i].one, s->noun[k].one);
}

static int parse(struct mm_sprites *s, const char *table, const char *hold, struct mm_err *e)
{
    struct row *rows = NULL;
    size_t n = 0, cap = 0;
    bool ok = true, drew = hold == NULL;
    int rc = 0;

    for (char *line = s->text, *next; ok && rc == 0 && *line != '\0'; line = next) {
        next = line + strcspn(line, "\n");
        if (next > line && next[-1] == '\r')
            next[-1] = '\0';
        if (*next == '\n')
            *next++ = '\0';
        if (*line == '\0' || *line == '#')
            continue;
        ok = mm_grow(&rows, &cap, n + 1, sizeof(*rows));
        if (!ok)
            break;
        cut_row(&rows[n], line);
        rc = check_row(&rows[n], table, e);
        drew = drew || strcmp(rows[n].field[3], hold) == 0;
        n++;
    }
    if (ok && rc == 0 && n == 0)
        rc = mm_err_set(e, MM_EDATA, "%s: no pictures", table);
    if (ok && rc == 0 && !drew)
        rc = mm_err_set(e, MM_EDATA, "%s: no pictures by '%s'", table, hold);
    if (ok && rc == 0)
        qsort(rows, n, sizeof(*rows), by_noun);
    for (size_t i = 0, k; ok && rc == 0 && i < n; i = k) {
        for (k = i + 1; k < n && same(&rows[i], &rows[k], 1); k++)
            ;
        ok = add_noun(s, rows + i, k - i, hold);
    }
    find_pairs(s);
    free(rows);
    return ok ? rc : mm_err_set(e, MM_ENOMEM, "%s: out of memory", table);
}

int mm_sprites_open(struct mm_sprites **s, const char *dir, const char *hold, struct mm_err *e)
{
    struct mm_sprites *k = *s = calloc(1, sizeof(*k));
    struct mm_buf path = { 0 };
    size_t n;
    int rc;

    if (k == NULL)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir);
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&k->reading[i], NULL);
    k->dir = strdup(dir);
    mm_buf_printf(&path, "%s/sprites.tsv", dir);
    if (k->dir == NULL || path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir);
    else
        rc = mm_io_slurp(path.p, (size_t)1 << 26, &k->text, &n, e);
    if (rc == 0 && strlen(k->text) < n)
        rc = mm_err_set(e, MM_EDATA, "%s: not text", path.p);
    if (rc == 0)
        rc = parse(k, path.p, hold, e);
    mm_buf_free(&path);
    if (rc < 0) {
        mm_sprites_close(k);
        *s = NULL;
    }
    return rc;
}

void mm_sprites_close(struct mm_sprites *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->looks; i++)
        for (int k = 0; k < s->look[i].levels; k++)
            free(s->look[i].level[k].px);
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&s->reading[i]);
    free(s->look);
    free(s->noun);
    free(s->text);
    free(s->dir);
    free(s);
}

int mm_sprites_count(const struct mm_sprites *s)
{
    return (int)s->nouns;
}

const char *mm_sprites_noun(const struct mm_sprites *s, int noun)
{
    return s->noun[noun].one;
}

const char *mm_sprites_plural(const struct mm_sprites *s, int noun)
{
    return s->noun[noun].many;
}

int mm_sprites_looks(const struct mm_sprites *s, int noun, bool held)
{
    return held ? s->noun[noun].held : s->noun[noun].seen;
}

int mm_sprites_look(const struct mm_sprites *s, int noun, bool held, int i)
{
    return s->noun[noun].first + (held ? s->noun[noun].seen : 0) + i;
}

int mm_sprites_all(const struct mm_sprites *s)
{
    return (int)s->looks;
}

int mm_sprites_noun_of(const struct mm_sprites *s, int look)
{
    return s->look[look].noun;
}

bool mm_sprites_pairs(const struct mm_sprites *s)
{
    return s->pairs;
}

int mm_sprites_sounds(const struct mm_sprites *s)
{
    int n = 0;

    for (size_t i = 0; i < s->looks; i++)
        n += s->look[i].sound[0] != '\0';
    return n;
}

const char *mm_sprites_artist(const struct mm_sprites *s, int look)
{
    return s->look[look].artist;
}

const char *mm_sprites_sound(const struct mm_sprites *s, int look)
{
    return s->look[look].sound[0] != '\0' ? s->look[look].sound : NULL;
}

static bool new_level(struct look *k, int w, int h)
{
    struct level *l = &k->level[k->levels];

    l->w = w;
    l->h = h;
    l->px = malloc(4 * (size_t)w * (size_t)h * sizeof(*l->px));
    k->levels += l->px != NULL;
    return l->px != NULL;
}

/* The next level: means of two by two, the last row or column alone where odd. */
static bool halve(struct look *k)
{
    const struct level *a = &k->level[k->levels - 1];
    const int w = (a->w + 1) / 2, h = (a->h + 1) / 2;
    float *to;

    if (!new_level(k, w, h))
        return false;
    to = k->level[k->levels - 1].px;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 4; c++) {
                const int x1 = 2 * x + 1 < a->w ? 2 * x + 1 : 2 * x;
                const int y1 = 2 * y + 1 < a->h ? 2 * y + 1 : 2 * y;

                to[4 * (y * w + x) + c] = 0.25f * (a->px[4 * (2 * y * a->w + 2 * x) + c]
                                                   + a->px[4 * (2 * y * a->w + x1) + c]
                                                   + a->px[4 * (y1 * a->w + 2 * x) + c]
                                                   + a->px[4 * (y1 * a->w + x1) + c]);
            }
    return true;
}

/* The smallest rectangle outside of which nothing is to be seen. */
static void trim(const struct mm_image *im, int *box)
{
    box[0] = im->w;
    box[1] = im->h;
    box[2] = box[3] = 0;
    for (int y = 0; y < im->h; y++)
        for (int x = 0; x < im->w; x++)
            if (im->px[4 * ((size_t)y * (size_t)im->w + (size_t)x) + 3] > 16) {
                box[0] = x < box[0] ? x : box[0];
                box[1] = y < box[1] ? y : box[1];
                box[2] = x >= box[2] ? x + 1 : box[2];
                box[3] = y + 1;
            }
}

static int widen(struct mm_image *im, struct mm_err *e)
{
    struct mm_image wide = { 0 };
    const int rc = mm_image_new(&wide, MM_IMG_RGBA, im->w, im->h, 0, e);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < (size_t)im->w * (size_t)im->h; i++) {
        memset(wide.px + 4 * i, im->px[2 * i], 3);
        wide.px[4 * i + 3] = im->px[2 * i + 1];
    }
    mm_image_free(im);
    *im = wide;
    return 0;
}

/* To RGBA, trimmed, its longer side at most LARGEST. */
static int prepare(struct mm_image *im, const char *path, struct mm_err *e)
{
    struct mm_image small = { 0 };
    int box[4], side, rc = 0;

    if (im->mode == MM_IMG_LA)
        rc = widen(im, e);
    if (rc < 0)
        return rc;
    if (im->mode != MM_IMG_RGBA)
        return mm_err_set(e, MM_EDATA, "%s: want a picture with colours and alpha", path);
    trim(im, box);
    if (box[2] <= box[0])
        return mm_err_set(e, MM_EDATA, "%s: nothing is to be seen", path);
    rc = mm_image_crop(&small, im, box[0], box[1], box[2] - box[0], box[3] - box[1], e);
    if (rc < 0)
        return rc;
    mm_image_free(im);
    *im = small;
    side = im->w > im->h ? im->w : im->h;
    if (side > LARGEST) {
        const int w = im->w * LARGEST / side, h = im->h * LARGEST / side;

        rc = mm_image_resize(&small, im, w > 0 ? w : 1, h > 0 ? h : 1, MM_BOX, e);
        if (rc == 0) {
            mm_image_free(im);
            *im = small;
        }
    }
    return rc;
}

static int read_look(struct look *k, const char *path, struct mm_err *e)
{
    struct mm_image im = { 0 };
    int rc = mm_image_load(&im, path, e);
    bool ok = true;

    if (rc == 0)
        rc = prepare(&im, path, e);
    if (rc == 0 && (ok = new_level(k, im.w, im.h))) {
        float *to = k->level[0].px;

        for (size_t i = 0; i < (size_t)im.w * (size_t)im.h; i++) {
            const unsigned char *px = im.px + 4 * i;

            for (int c = 0; c < 3; c++)
                to[4 * i + (size_t)c] = (float)px[c] * (float)px[3] / 255;
            to[4 * i + 3] = (float)px[3] / 255;
        }
        while (ok && k->levels < LEVELS && k->level[k->levels - 1].w > 2
               && k->level[k->levels - 1].h > 2)
            ok = halve(k);
    }
    mm_image_free(&im);
    for (; (!ok || rc < 0) && k->levels > 0; k->levels--)
        free(k->level[k->levels - 1].px);
    return ok ? rc : mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
}

static int make_ready(struct mm_sprites *s, struct look *k, struct mm_err *e)
{
    pthread_mutex_t *lock = &s->reading[(k - s->look) % LOCKS];
    struct mm_buf path = { 0 };
    int rc = 0;

    pthread_mutex_lock(lock);
    if (!k->ready) {
        mm_buf_printf(&path, "%s/%s", s->dir, k->file);
        rc = path.failed ? mm_err_set(e, MM_ENOMEM, "%s: out of memory", k->file)
                         : read_look(k, path.p, e);
        mm_buf_free(&path);
        k->ready = rc == 0;
    }
    pthread_mutex_unlock(lock);
    return rc;
}

int mm_sprites_colour(float *rgb, struct mm_sprites *s, int look, struct mm_err *e)
{
    struct look *k = &s->look[look];
    const struct level *l;
    float alpha = 1e-6f;
    int rc = 0;

    if (!k->ready && (rc = make_ready(s, k, e)) < 0)
        return rc;
    l = &k->level[k->levels - 1];
    memset(rgb, 0, 3 * sizeof(*rgb));
    for (int i = 0; i < l->w * l->h; i++) {
        for (int c = 0; c < 3; c++)
            rgb[c] += l->px[4 * i + c];
        alpha += l->px[4 * i + 3];
    }
    for (int c = 0; c < 3; c++)
        rgb[c] /= alpha;
    return 0;
}

/* Between the four pixels around (x, y); outside the picture nothing is covered. */
static void sample(float *out, const struct level *l, float x, float y)
{
    const int i = (int)floorf(x), j = (int)floorf(y);
    const float u = x - (float)i, v = y - (float)j;

    memset(out, 0, 4 * sizeof(*out));
    for (int b = 0; b < 2; b++)
        for (int a = 0; a < 2; a++) {
            const float w = (a ? u : 1 - u) * (b ? v : 1 - v);
            const float *px;

            if (i + a < 0 || j + b < 0 || i + a >= l->w || j + b >= l->h)
                continue;
            px = l->px + 4 * ((j + b) * l->w + i + a);
            for (int c = 0; c < 4; c++)
                out[c] += w * px[c];
        }
}

int mm_sprites_cover(struct mm_cover *c, float *rgb, struct mm_sprites *s, int look,
                     const struct mm_pose *p, int side, struct mm_err *e)
{
    struct look *k = &s->look[look];
    const float cosine = cosf(p->angle), sine = sinf(p->angle);
    const struct level *l;
    float scale, w, h;
    int at = 0, rc = 0;

    if (!k->ready && (rc = make_ready(s, k, e)) < 0)
        return rc;
    l = &k->level[0];
    scale = (float)(l->w > l->h ? l->w : l->h) / (2 * p->r); /* its pixels in one of ours */
    while (scale > 1.5f && at + 1 < k->levels) {
        scale *= 0.5f;
        at++;
    }
    l = &k->level[at];
    w = 0.5f * (float)l->w / scale + 1;
    h = 0.5f * (float)l->h / scale + 1;
    mm_cover_box(c, side, p->x - fabsf(cosine) * w - fabsf(sine) * h,
                 p->y - fabsf(sine) * w - fabsf(cosine) * h,
                 p->x + fabsf(cosine) * w + fabsf(sine) * h,
                 p->y + fabsf(sine) * w + fabsf(cosine) * h);
    for (int i = 0; i < c->w * c->h; i++) {
        const float dx = (float)(c->x + i % c->w) + 0.5f - p->x;
        const float dy = (float)(c->y + i / c->w) + 0.5f - p->y;
        float px[4];

        sample(px, l, scale * (cosine * dx + sine * dy) + 0.5f * (float)l->w - 0.5f,
               scale * (cosine * dy - sine * dx) + 0.5f * (float)l->h - 0.5f);
        c->a[i] = px[3];
        if (rgb != NULL)
            memcpy(rgb + 3 * i, px, 3 * sizeof(*px));
    }
    return 0;
}
