/* scene.h: the description of one scene, from which the picture, the texts and the
 * labels are made.
 *
 * Scene i of a seed does not depend on any other: it can be made at once, by any
 * thread.  The splits are disjoint: what a scene shows (tier, and of each object
 * what, colour, size and place) is hashed, and the hash says which split it is of,
 * whatever the seed.
 */
#ifndef MM_SYNTH_SCENE_H
#define MM_SYNTH_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"
#include "synth/world.h"

enum mm_tier {
    MM_SHAPES, MM_THINGS, MM_WORDS, MM_CLIPS, MM_SOUNDS, MM_CRIES, MM_NOTES, MM_NTIERS
};

enum { MM_SCENE_MAX = 6 };

/* Of what is named by the sprites; heard; heard one after another. */
static inline bool mm_tier_has_nouns(enum mm_tier tier)
{
    return tier == MM_THINGS || tier == MM_CRIES;
}

static inline bool mm_tier_is_heard(enum mm_tier tier)
{
    return tier == MM_SOUNDS || tier == MM_CRIES || tier == MM_NOTES;
}

static inline bool mm_tier_is_sequence(enum mm_tier tier)
{
    return tier == MM_SOUNDS || tier == MM_NOTES;
}

/* What an object of a clip does. */
enum mm_motion {
    MM_STILL, MM_LEFT, MM_RIGHT, MM_UP, MM_DOWN, MM_GROW, MM_SHRINK, MM_TURN, MM_NMOTIONS
};

enum { MM_CLIP_FRAMES = 8, MM_CLIP_FPS = 8 };

/* What is said of an object, and where it lies, in units of the picture's side.  Sounds:
 * size is the pitch, colour how a chirp glides, x the place in the sequence (a fifth each),
 * y when it begins, in units of the whole. 
 * Notes: as sounds, but what is the instrument, colour whether it plays a chord (-1: it
 * never does), col the side it is heard on, look the semitones above its lowest or highest
 * note.  Cries: r is how fast, y when it begins. */
struct mm_object {
    int what;         /* shape, noun, word (see mm_world_word), sound or instrument */
    int colour;       /* -1: it has none (things, most sounds) */
    int size;         /* 0 small, 1 large */
    int col, row;     /* thirds of the picture its centre lies in */
    int look;         /* which picture of the noun, which font */
    enum mm_motion motion;
    float x, y, r;    /* centre, half extent (words: half the height of a capital) */
    float angle;      /* radians, clockwise */
    float seen;       /* 0..1: the part that nothing hides */
    float rgb[3];     /* 0..255; things: the mean */
    uint32_t paint;   /* seed of its shading */
};

/* Which held-out things a test scene may show; train and val never do. */
enum mm_held {
    MM_HELD_NONE,   /* a scene as in training */
    MM_HELD_MIX,    /* one scene in five has a held-out pair (words: a held-out word) */
    MM_HELD_PAIRS,  /* every scene has one */
    MM_HELD_ARTIST  /* things: only pictures by the held-back artist */
};

struct mm_scene {
    uint64_t seed, index;
    enum mm_split split;
    enum mm_tier tier;
    int n;                             /* objects */
    bool held;                         /* shows a held-out pair or word */
    bool fast;                         /* sounds, notes: the rhythm */
    char word[MM_WORD_LEN];            /* words: what is printed */
    int frame;                         /* clips: see mm_scene_at */
    struct mm_object obj[MM_SCENE_MAX]; /* in reading order: by row, from the left */
    int depth[MM_SCENE_MAX];           /* order of painting: depth[n - 1] is in front */
    uint64_t paint;                    /* seed of background, noise and texts */
};

/* The notes that an instrument starts from: so many semitones. */
enum { MM_KEYS = 5 };

struct mm_sprites;

/* What the scenes of a run have in common. */
struct mm_scene_opts {
    uint64_t seed;
    enum mm_split split;
    enum mm_held held;
    unsigned tiers;      /* bit set of 1 << enum mm_tier; each as often */
    int lo, hi;          /* objects in a picture; 0: as the tier has it */
    double hidden;       /* the most of an object that others hide, 0..0.25 */
    bool rough;          /* do not measure what is hidden: for statistics, draws nothing */
    int fonts;           /* how many there are to print words in */
    double invented;     /* words: share of those that are invented */
    const struct mm_sprites *sprites; /* things; NULL: none */
};

struct mm_scene_maker;

/* mm_scene_maker_new: scratch for one thread.  o is borrowed.  MM_ENOMEM. */
MM_MUST_CHECK int mm_scene_maker_new(struct mm_scene_maker **m, const struct mm_scene_opts *o,
                                     struct mm_err *e);
void mm_scene_maker_free(struct mm_scene_maker *m); /* takes NULL */

/* mm_scene_make: scene number index.  MM_EDATA when no scene satisfies the options (too
 * many objects for what may be hidden). */
MM_MUST_CHECK int mm_scene_make(struct mm_scene *s, struct mm_scene_maker *m, uint64_t index,
                                struct mm_err *e);

/* mm_scene_hash: of what the scene shows. */
uint64_t mm_scene_hash(const struct mm_scene *s, const struct mm_sprites *sprites);

/* mm_scene_noun: the name of object k's kind: "circle", "dog"; mm_scene_plural. */
const char *mm_scene_noun(const struct mm_scene *s, int k, const struct mm_sprites *sprites);

/* mm_scene_at: frame 0..MM_CLIP_FRAMES - 1 of a clip; s is its middle. */
void mm_scene_at(struct mm_scene *out, const struct mm_scene *s, int frame);

const char *mm_tier_name(enum mm_tier tier); /* "shapes" ... */
const char *mm_motion_name(enum mm_motion motion); /* "left" ... */

/* mm_rng_of: a generator for one purpose of one scene. */
void mm_rng_of(struct mm_rng *r, uint64_t seed, uint64_t index, uint64_t purpose);

#endif
