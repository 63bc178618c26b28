/* picture.h: the picture of a scene.
 *
 * Floats on a square canvas: background, objects from the back to the front, blur,
 * coding artefacts, noise, then bytes.
 */
#ifndef MM_SYNTH_PICTURE_H
#define MM_SYNTH_PICTURE_H

#include "base/err.h"
#include "synth/font.h"
#include "synth/raster.h"
#include "synth/scene.h"
#include "synth/sprite.h"

/* How a picture was spoilt, and what is behind the objects: for the description. */
enum mm_ground { MM_PLAIN, MM_GRADIENT, MM_STRIPED, MM_CHECKED, MM_CLOUDY, MM_DOTTED, MM_NGROUNDS };

struct mm_finish {
    enum mm_ground ground;
    float rgb[2][3];  /* its two colours */
    float angle, period; /* stripes, gradient; in units of the side */
    int blur;         /* passes of a 1-2-1 filter */
    int coding;       /* quality of the artefacts, 0 none, 1 coarse .. */
    float noise;      /* standard deviation, 0..255 */
};

/* mm_finish_of: what scene s gets; plain: no background texture, blur, artefacts, noise. */
void mm_finish_of(struct mm_finish *f, const struct mm_scene *s, int plain);
const char *mm_ground_name(enum mm_ground ground); /* "plain", "striped" ... */

/* mm_finish_ground: fill canvas [side][side][3]; mm_finish_spoil: blur, artefacts and
 * noise, to bytes px of the same shape.  scratch: as large as the canvas. */
void mm_finish_ground(float *canvas, int side, const struct mm_finish *f, uint64_t seed);
void mm_finish_spoil(unsigned char *px, float *canvas, float *scratch, int side,
                     const struct mm_finish *f, uint64_t seed);

struct mm_painter;

/* mm_painter_new: scratch for one thread and pictures of side x side.  sprites and fonts are
 * borrowed, NULL: no things, no words.  MM_ENOMEM. */
MM_MUST_CHECK int mm_painter_new(struct mm_painter **p, int side, bool plain,
                                 struct mm_sprites *sprites, struct mm_fonts *fonts,
                                 struct mm_err *e);
void mm_painter_free(struct mm_painter *p); /* takes NULL */

/* What is to be seen of an object, in pixels. */
struct mm_extent {
    int x, y, w, h; /* the smallest box of its visible pixels */
    int area;       /* how many they are */
};

/* mm_painter_draw: px [side][side][3].  labels, if not NULL: [side][side], 0 the
 * background, k + 1 the pixels of object k (covered by half and not hidden), and
 * ext[s->n] their boxes.  MM_ENOMEM, MM_EDATA (a sprite that cannot be read). */
MM_MUST_CHECK int mm_painter_draw(unsigned char *px, unsigned char *labels,
                                  struct mm_extent *ext, struct mm_painter *p,
                                  const struct mm_scene *s, struct mm_err *e);

#endif
