/* picture.c: objects onto the canvas. */
#include "synth/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct mm_painter {
    int side;
    bool plain;
    struct mm_sprites *sprites;
    struct mm_fonts *fonts;
    struct mm_cover cover;
    float *canvas, *scratch, *rgb; /* [side][side][3] each */
};

int mm_painter_new(struct mm_painter **p, int side, bool plain, struct mm_sprites *sprites,
                   struct mm_fonts *fonts, struct mm_err *e)
{
    const size_t n = 3 * (size_t)side * (size_t)side;
    struct mm_painter *k = *p = calloc(1, sizeof(*k));
    int rc;

    if (k == NULL)
        return mm_err_set(e, MM_ENOMEM, "drawing: out of memory");
    k->side = side;
    k->plain = plain;
    k->sprites = sprites;
    k->fonts = fonts;
    k->canvas = malloc(3 * n * sizeof(*k->canvas));
    rc = mm_cover_new(&k->cover, side, e);
    if (rc == 0 && k->canvas == NULL)
        rc = mm_err_set(e, MM_ENOMEM, "drawing: out of memory");
    if (rc < 0) {
        mm_painter_free(k);
        *p = NULL;
        return rc;
    }
    k->scratch = k->canvas + n;
    k->rgb = k->scratch + n;
    return 0;
}

void mm_painter_free(struct mm_painter *p)
{
    if (p == NULL)
        return;
    mm_cover_free(&p->cover);
    free(p->canvas);
    free(p);
}

/* One colour, a little lighter to one side. */
static void fill(struct mm_painter *p, const struct mm_object *o)
{
    const struct mm_cover *c = &p->cover;
    const float turn = (float)(o->paint & 1023) * 6.2831853f / 1024;
    const float strength = (float)(o->paint >> 10 & 255) / 255 * 0.16f;
    const float dx = cosf(turn) * strength / (o->r * (float)p->side);
    const float dy = sinf(turn) * strength / (o->r * (float)p->side);

    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            const float a = c->a[y * c->w + x];
            float *px = p->canvas + 3 * ((size_t)(c->y + y) * (size_t)p->side + (size_t)(c->x + x));
            const float light = 1 + dx * ((float)(c->x + x) - o->x * (float)p->side)
                                + dy * ((float)(c->y + y) - o->y * (float)p->side);

            for (int k = 0; k < 3; k++)
                px[k] += (o->rgb[k] * light - px[k]) * a;
        }
}

static void paste(struct mm_painter *p)
{
    const struct mm_cover *c = &p->cover;

    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            const size_t i = (size_t)y * (size_t)c->w + (size_t)x;
            float *px = p->canvas + 3 * ((size_t)(c->y + y) * (size_t)p->side + (size_t)(c->x + x));

            for (size_t k = 0; k < 3; k++)
                px[k] = p->rgb[3 * i + k] + px[k] * (1 - c->a[i]);
        }
}

static int draw(struct mm_painter *p, const struct mm_scene *s, int k, struct mm_err *e)
{
    const struct mm_object *o = &s->obj[k];
    const float side = (float)p->side;
    const struct mm_pose pose = { o->x * side, o->y * side, o->r * side, o->angle };
    struct mm_outline line;

    if (s->tier == MM_THINGS) {
        const int rc = mm_sprites_cover(&p->cover, p->rgb, p->sprites, o->look, &pose, p->side, e);

        if (rc == 0)
            paste(p);
        return rc;
    }
    if (s->tier == MM_WORDS) {
        mm_fonts_cover(&p->cover, p->fonts, s->word, o->look, &pose, p->side);
    } else {
        mm_outline_shape(&line, o->what, &pose);
        mm_cover_outline(&p->cover, &line, p->side);
    }
    fill(p, o);
    return 0;
}

static void label(unsigned char *labels, const struct mm_painter *p, int k)
{
    const struct mm_cover *c = &p->cover;

    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++)
            if (c->a[y * c->w + x] >= 0.5f)
                labels[(c->y + y) * p->side + c->x + x] = (unsigned char)(k + 1);
}

static void measure(struct mm_extent *ext, const unsigned char *labels, int side, int n)
{
    int hi[MM_SCENE_MAX][2];

    for (int k = 0; k < n; k++) {
        ext[k] = (struct mm_extent){ .x = side, .y = side };
        hi[k][0] = hi[k][1] = -1;
    }
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const int k = labels[y * side + x] - 1;

            if (k < 0)
                continue;
            ext[k].area++;
            ext[k].x = x < ext[k].x ? x : ext[k].x;
            ext[k].y = y < ext[k].y ? y : ext[k].y;
            hi[k][0] = x > hi[k][0] ? x : hi[k][0];
            hi[k][1] = y;
        }
    for (int k = 0; k < n; k++) {
        if (ext[k].area == 0) { /* thinner than half a pixel */
            ext[k] = (struct mm_extent){ 0 };
            continue;
        }
        ext[k].w = hi[k][0] + 1 - ext[k].x;
        ext[k].h = hi[k][1] + 1 - ext[k].y;
    }
}

int mm_painter_draw(unsigned char *px, unsigned char *labels, struct mm_extent *ext,
                    struct mm_painter *p, const struct mm_scene *s, struct mm_err *e)
{
    struct mm_finish f;

    mm_finish_of(&f, s, p->plain);
    mm_finish_ground(p->canvas, p->side, &f, s->paint + 1);
    if (labels != NULL)
        memset(labels, 0, (size_t)p->side * (size_t)p->side);
    for (int i = 0; i < s->n; i++) {
        const int rc = draw(p, s, s->depth[i], e);

        if (rc < 0)
            return rc;
        if (labels != NULL)
            label(labels, p, s->depth[i]);
    }
    if (labels != NULL)
        measure(ext, labels, p->side, s->n);
    mm_finish_spoil(px, p->canvas, p->scratch, p->side, &f, s->paint + 2 + (uint64_t)s->frame);
    return 0;
}
