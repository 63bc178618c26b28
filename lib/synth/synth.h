/* synth.h: one item of the world, ready to be written: picture, texts, labels.
 */
#ifndef MM_SYNTH_SYNTH_H
#define MM_SYNTH_SYNTH_H

#include "base/buf.h"
#include "synth/caption.h"
#include "synth/note.h"
#include "synth/picture.h"
#include "synth/question.h"
#include "synth/scene.h"
#include "synth/voice.h"

/* What a run makes; everything pointed to is borrowed. */
struct mm_synth_opts {
    struct mm_scene_opts scene;
    int size;           /* side of a picture */
    bool plain;         /* no textured grounds, blur, artefacts, noise */
    bool picture;       /* draw it at all */
    bool labels;        /* label map and boxes */
    bool file;          /* encode it: PNG, MP4 or WAV */
    bool masks;         /* records: the label map too */
    int questions;      /* forms that are tried for each scene */
    int rounds;         /* how many times over */
    unsigned turns;     /* bit set of 1 << enum mm_turn: what a talk is made of */
    const struct mm_balance *balance;
    struct mm_sprites *sprites;
    struct mm_fonts *fonts;
    struct mm_voices *voices;
    struct mm_notes *notes;
};

/* A turn of a talk, its texts in the item's buffer `talk`. */
struct mm_said {
    enum mm_turn turn;
    size_t ask, answer; /* offsets of NUL-terminated texts */
};

enum { MM_MAX_TURNS = 80 };

struct mm_synth_item {
    struct mm_scene s;
    struct mm_finish finish;
    char id[64];               /* "shapes-train-7-00000012" */
    int frames;                /* of px: 1, of clips MM_CLIP_FRAMES, of sounds 0 */
    unsigned char *px;         /* [frames][size][size][3] */
    float *samples;            /* sounds: [mm_sound_channels][MM_SOUND_SAMPLES] */
    unsigned char *labels;     /* [size][size], see mm_painter_draw; clips: of the middle */
    struct mm_extent ext[MM_SCENE_MAX];
    struct mm_buf file;        /* the picture, clip or sound as mm_synth_suffix says */
    struct mm_buf description;
    struct mm_questions q;
    struct mm_buf talk;
    struct mm_said said[MM_MAX_TURNS];
    int nsaid;
    struct mm_buf doc;         /* what the format makes of it, in the worker */
    struct mm_buf aside;
    struct mm_buf third;
};

/* mm_synth_new: buffers for items of a run; mm_synth_free takes NULL. */
MM_MUST_CHECK int mm_synth_new(struct mm_synth_item **it, const struct mm_synth_opts *o, struct mm_err *e);
void mm_synth_free(struct mm_synth_item *it);

struct mm_synth_maker;

/* mm_synth_maker_new: scratch for one thread. */
MM_MUST_CHECK int mm_synth_maker_new(struct mm_synth_maker **m, const struct mm_synth_opts *o,
                                    struct mm_err *e);
void mm_synth_maker_free(struct mm_synth_maker *m); /* takes NULL */

/* mm_synth_make: item number index, the same whatever was made before. */
MM_MUST_CHECK int mm_synth_make(struct mm_synth_item *it, struct mm_synth_maker *m, uint64_t index,
                               struct mm_err *e);

/* mm_synth_suffix: "png", "mp4", "wav"; mm_synth_medium: "image", "video", "audio". */
const char *mm_synth_suffix(enum mm_tier tier);
const char *mm_synth_medium(enum mm_tier tier);

/* mm_synth_view: the scene with the names of its things. */
struct mm_view mm_synth_view(const struct mm_synth_item *it, const struct mm_synth_opts *o);

#endif
