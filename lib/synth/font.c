/* font.c: outlines and colour strikes of fonts, through FreeType. */
#include "synth/font.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H

enum { LETTERS = 52, CURVE = 4 /* straight pieces of a curve */ };

struct contour {
    int first, n; /* points */
};

struct glyph {
    float (*xy)[2]; /* in heights of a capital, y down, from the baseline */
    size_t n, cap;
    struct contour *contour;
    size_t contours, contour_cap;
    float advance;
};

struct font {
    struct glyph glyph[LETTERS]; /* a-z A-Z */
};

struct mm_fonts {
    struct font *v;
    int n;
};

/* What FreeType's callbacks see. */
struct pen {
    struct glyph *g;
    float scale;
    bool failed;
};

static void line_to(struct pen *p, float x, float y)
{
    struct glyph *g = p->g;

    if (!mm_grow(&g->xy, &g->cap, g->n + 1, sizeof(*g->xy))) {
        p->failed = true;
        return;
    }
    g->xy[g->n][0] = x;
    g->xy[g->n][1] = y;
    g->n++;
    g->contour[g->contours - 1].n++;
}

static int on_move(const FT_Vector *to, void *arg)
{
    struct pen *p = arg;
    struct glyph *g = p->g;

    if (!mm_grow(&g->contour, &g->contour_cap, g->contours + 1, sizeof(*g->contour))) {
        p->failed = true;
        return 1;
    }
    g->contour[g->contours++] = (struct contour){ .first = (int)g->n };
    line_to(p, (float)to->x * p->scale, -(float)to->y * p->scale);
    return p->failed;
}

static int on_line(const FT_Vector *to, void *arg)
{
    struct pen *p = arg;

    line_to(p, (float)to->x * p->scale, -(float)to->y * p->scale);
    return p->failed;
}

static int on_cubic(const FT_Vector *a, const FT_Vector *b, const FT_Vector *to, void *arg)
{
    struct pen *p = arg;
    const float s = p->scale;
    const float x = p->g->xy[p->g->n - 1][0], y = p->g->xy[p->g->n - 1][1];

    for (int i = 1; i <= CURVE; i++) {
        const float t = (float)i / CURVE, u = 1 - t;
        const float w[4] = { u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t };

        line_to(p, w[0] * x + s * (w[1] * (float)a->x + w[2] * (float)b->x + w[3] * (float)to->x),
                w[0] * y - s * (w[1] * (float)a->y + w[2] * (float)b->y + w[3] * (float)to->y));
    }
    return p->failed;
}

static int on_conic(const FT_Vector *a, const FT_Vector *to, void *arg)
{
    struct pen *p = arg;
    const float s = p->scale;
    const float x = p->g->xy[p->g->n - 1][0], y = p->g->xy[p->g->n - 1][1];

    for (int i = 1; i <= CURVE; i++) {
        const float t = (float)i / CURVE, u = 1 - t;

        line_to(p, u * u * x + s * (2 * u * t * (float)a->x + t * t * (float)to->x),
                u * u * y - s * (2 * u * t * (float)a->y + t * t * (float)to->y));
    }
    return p->failed;
}

static int read_glyph(struct glyph *g, FT_Face face, char ch, float scale)
{
    static const FT_Outline_Funcs pen_moves = { on_move, on_line, on_conic, on_cubic, 0, 0 };
    struct pen p = { .g = g, .scale = scale };

    if (FT_Get_Char_Index(face, (FT_ULong)ch) == 0
        || FT_Load_Char(face, (FT_ULong)ch, FT_LOAD_NO_SCALE) != 0
        || face->glyph->format != FT_GLYPH_FORMAT_OUTLINE)
        return MM_EDATA;
    g->advance = (float)face->glyph->metrics.horiAdvance * scale;
    if (FT_Outline_Decompose(&face->glyph->outline, &pen_moves, &p) != 0)
        return p.failed ? MM_ENOMEM : MM_EDATA;
    return 0;
}

static char letter(int i)
{
    return (char)(i < 26 ? 'a' + i : 'A' + i - 26);
}

static float lowest(const struct glyph *g)
{
    float y = 0;

    for (size_t i = 0; i < g->n; i++)
        y = fminf(y, g->xy[i][1]);
    return y;
}

/* What FreeType says of a file: it is not there, or it is no font. */
static int open_face(FT_Face *face, FT_Library lib, const char *file, struct mm_err *e)
{
    const FT_Error why = FT_New_Face(lib, file, 0, face);

    if (why == 0)
        return 0;
    *face = NULL;
    if (why == FT_Err_Cannot_Open_Resource)
        return mm_err_set(e, MM_ENOENT, "%s:", file);
    return mm_err_set(e, MM_EDATA, "%s: cannot be read as a font", file);
}

static int read_font(struct font *f, FT_Library lib, const char *file, struct mm_err *e)
{
    FT_Face face;
    struct glyph cap = { 0 };
    float high = 0;
    int rc = open_face(&face, lib, file, e);

    if (rc < 0)
        return rc;
    rc = read_glyph(&cap, face, 'H', 1);
    if (rc == 0)
        high = -lowest(&cap);
    for (int i = 0; rc == 0 && high > 0 && i < LETTERS; i++)
        rc = read_glyph(&f->glyph[i], face, letter(i), 1 / high);
    free(cap.xy);
    free(cap.contour);
    FT_Done_Face(face);
    if (rc == MM_ENOMEM)
        return mm_err_set(e, rc, "%s: out of memory", file);
    return rc == 0 && high > 0 ? 0 : mm_err_set(e, MM_EDATA, "%s: lacks outlines of letters", file);
}

int mm_fonts_open(struct mm_fonts **f, const struct mm_strings *files, struct mm_err *e)
{
    struct mm_fonts *k = *f = calloc(1, sizeof(*k));
    FT_Library lib = NULL;
    int rc = 0;

    if (k != NULL)
        k->v = calloc(files->n + 1, sizeof(*k->v));
    if (k == NULL || k->v == NULL || FT_Init_FreeType(&lib) != 0)
        rc = mm_err_set(e, MM_ENOMEM, "fonts: out of memory");
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        k->n++;
        rc = read_font(&k->v[i], lib, files->v[i], e);
    }
    if (lib != NULL)
        FT_Done_FreeType(lib);
    if (rc < 0) {
        mm_fonts_close(k);
        *f = NULL;
    }
    return rc;
}

void mm_fonts_close(struct mm_fonts *f)
{
    if (f == NULL)
        return;
    for (int i = 0; i < f->n; i++)
        for (int k = 0; k < LETTERS; k++) {
            free(f->v[i].glyph[k].xy);
            free(f->v[i].glyph[k].contour);
        }
    free(f->v);
    free(f);
}

int mm_fonts_count(const struct mm_fonts *f)
{
    return f->n;
}

enum { CONTOUR_MAX = 128 /* a letter's contour has far fewer points */ };

/* A word laid out on the baseline from 0: scaled, moved and turned into place. */
struct placed {
    const struct font *font;
    int base;           /* the character of glyph 0 */
    float scale, shift; /* of heights of a capital to pixels; half the width */
    float cosine, sine, x, y;
};

static const struct glyph *glyph_of(const struct placed *p, char ch)
{
    return &p->font->glyph[ch - p->base];
}

static struct placed place(const struct mm_fonts *f, const char *word, int look,
                           const struct mm_pose *pose)
{
    const float most = 2 * pose->r * (float)strlen(word);
    struct placed p = { .font = &f->v[look / 2], .base = 'a' - (look % 2 != 0 ? 26 : 0),
                        .scale = 2 * pose->r, .cosine = cosf(pose->angle),
                        .sine = sinf(pose->angle), .x = pose->x, .y = pose->y };
    float wide = 0;

    for (const char *s = word; *s != '\0'; s++)
        wide += glyph_of(&p, *s)->advance;
    if (wide * p.scale > most)
        p.scale = most / wide;
    p.shift = 0.5f * wide * p.scale;
    return p;
}

/* Contour i of g, drawn from pen on, in pixels; returns its points, 0 if they are too many. */
static int put_contour(float (*xy)[2], const struct glyph *g, size_t i, float pen,
                       const struct placed *p)
{
    const struct contour *k = &g->contour[i];

    if (k->n > CONTOUR_MAX)
        return 0;
    for (int j = 0; j < k->n; j++) {
        const float u = p->scale * (g->xy[k->first + j][0] + pen) - p->shift;
        const float v = p->scale * (g->xy[k->first + j][1] + 0.5f);

        xy[j][0] = p->x + p->cosine * u - p->sine * v;
        xy[j][1] = p->y + p->sine * u + p->cosine * v;
    }
    return k->n;
}

static void put_glyph(struct mm_cover *c, const struct glyph *g, float pen, const struct placed *p)
{
    float xy[CONTOUR_MAX][2];

    for (size_t i = 0; i < g->contours; i++) {
        const int n = put_contour(xy, g, i, pen, p);

        if (n > 0)
            mm_cover_contour(c, (const float (*)[2])xy, n);
    }
}

void mm_fonts_cover(struct mm_cover *c, const struct mm_fonts *f, const char *word, int look,
                    const struct mm_pose *pose, int side)
{
    const struct placed p = place(f, word, look, pose);
    const float high = 1.2f * p.scale + fabsf(p.sine) * p.shift;
    float pen = 0;

    mm_cover_start(c, side, pose->x - p.shift - p.scale, pose->y - high,
                   pose->x + p.shift + p.scale, pose->y + high);
    for (const char *s = word; *s != '\0'; s++) {
        put_glyph(c, glyph_of(&p, *s), pen, &p);
        pen += glyph_of(&p, *s)->advance;
    }
    mm_cover_end(c);
}

static void measure_glyph(float *box, const struct glyph *g, float pen, const struct placed *p)
{
    float xy[CONTOUR_MAX][2];

    box[0] = box[1] = INFINITY;
    box[2] = box[3] = -INFINITY;
    for (size_t i = 0; i < g->contours; i++)
        for (int j = 0, n = put_contour(xy, g, i, pen, p); j < n; j++)
            for (int k = 0; k < 2; k++) {
                box[k] = fminf(box[k], xy[j][k]);
                box[2 + k] = fmaxf(box[2 + k], xy[j][k]);
            }
}

void mm_fonts_boxes(float (*box)[4], const struct mm_fonts *f, const char *word, int look,
                    const struct mm_pose *pose)
{
    const struct placed p = place(f, word, look, pose);
    float pen = 0;

    for (size_t i = 0; word[i] != '\0'; i++) {
        measure_glyph(box[i], glyph_of(&p, word[i]), pen, &p);
        pen += glyph_of(&p, word[i])->advance;
    }
}

struct mm_strikes {
    FT_Library lib;
    FT_Face face;
};

int mm_strikes_open(struct mm_strikes **s, const char *file, struct mm_err *e)
{
    struct mm_strikes *k = *s = calloc(1, sizeof(*k));
    int rc = 0;

    if (k == NULL || FT_Init_FreeType(&k->lib) != 0)
        rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", file);
    else
        rc = open_face(&k->face, k->lib, file, e);
    if (rc == 0 && (k->face->num_fixed_sizes < 1 || FT_Select_Size(k->face, 0) != 0))
        rc = mm_err_set(e, MM_EDATA, "%s: holds no pictures", file);
    if (rc < 0) {
        mm_strikes_close(k);
        *s = NULL;
    }
    return rc;
}

void mm_strikes_close(struct mm_strikes *s)
{
    if (s == NULL)
        return;
    if (s->face != NULL)
        FT_Done_Face(s->face);
    if (s->lib != NULL)
        FT_Done_FreeType(s->lib);
    free(s);
}

/* FreeType gives BGRA, multiplied by alpha. */
static void straighten(unsigned char *to, const unsigned char *from)
{
    const int a = from[3];

    for (int k = 0; k < 3; k++)
        to[k] = (unsigned char)(a > 0 ? (from[2 - k] * 255 + a / 2) / a : 0);
    to[3] = (unsigned char)a;
}

int mm_strikes_get(struct mm_image *im, struct mm_strikes *s, uint32_t ch, struct mm_err *e)
{
    const FT_Bitmap *b;
    int rc;

    if (FT_Get_Char_Index(s->face, ch) == 0 || FT_Load_Char(s->face, ch, FT_LOAD_COLOR) != 0)
        return mm_err_set(e, MM_ENOKEY, "U+%04X: not in the font", (unsigned)ch);
    b = &s->face->glyph->bitmap;
    if (b->pixel_mode != FT_PIXEL_MODE_BGRA)
        return mm_err_set(e, MM_ENOKEY, "U+%04X: has no colour picture", (unsigned)ch);
    rc = mm_image_new(im, MM_IMG_RGBA, (int)b->width, (int)b->rows, 0, e);
    for (unsigned y = 0; rc == 0 && y < b->rows; y++)
        for (unsigned x = 0; x < b->width; x++)
            straighten(im->px + 4 * ((size_t)y * b->width + x),
                       b->buffer + (ptrdiff_t)y * b->pitch + 4 * (ptrdiff_t)x);
    return rc;
}
