/* note.c: notes rendered by fluidsynth, one at a time, and kept.
 *
 * A chord is three of them, so a few hundred notes are all there is to render.  Each is
 * rendered by a synthesizer of its own (1 ms): a reset one remembers what it played before.
 */
#include "synth/note.h"

#include <fluidsynth.h>
#include <glib.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "synth/sound.h"

enum {
    BLOCK = 64,                       /* fluidsynth begins and ends notes between blocks */
    OVER = 3,                         /* it does not filter what it slows up: rendered at 48 kHz */
    KEPT = 6 * MM_SOUND_RATE / 10,    /* samples of a note, */
    HELD = OVER * MM_SOUND_RATE / 2,  /* until the key is let go, at 48 kHz */
    REACH = 48,                       /* of the filter, to each side, at 48 kHz */
    ALL = OVER * KEPT + BLOCK,        /* rendered, a multiple of BLOCK */
    VELOCITY = 100,
    CHORD = 3,
    RANGE = MM_KEYS + 7,              /* a note and the fifth above it */
    CUT = 480                         /* samples of falling off, where the note is cut */
};

/* Programs of General MIDI, from 0; the first key of what is low and of what is high, where the
 * instrument can be played: all low notes are below the high ones of any instrument (64, 69). */
static const struct {
    int program, key[2];
} instruments[MM_NINSTRUMENTS] = {
    [MM_PIANO] = { 0, { 40, 81 } },      [MM_XYLOPHONE] = { 13, { 57, 86 } },
    [MM_BELL] = { 14, { 58, 76 } },      [MM_ORGAN] = { 19, { 43, 76 } },
    [MM_ACCORDION] = { 21, { 53, 77 } }, [MM_GUITAR] = { 24, { 43, 70 } },
    [MM_VIOLIN] = { 40, { 55, 83 } },    [MM_CELLO] = { 42, { 38, 69 } },
    [MM_HARP] = { 46, { 43, 79 } },      [MM_CHOIR] = { 52, { 48, 72 } },
    [MM_TRUMPET] = { 56, { 54, 76 } },   [MM_SAXOPHONE] = { 66, { 46, 70 } },
    [MM_CLARINET] = { 71, { 50, 79 } },  [MM_FLUTE] = { 73, { 60, 86 } },
    [MM_BANJO] = { 105, { 48, 72 } },    [MM_TOM] = { 117, { 36, 69 } },
};

struct mm_notes {
    const char *path;
    fluid_settings_t *settings;
    fluid_synth_t *owner;        /* that loaded the font; has it when nothing is rendered */
    fluid_sfont_t *font;
    float filter[2 * REACH + 1];
    float *wave[MM_NINSTRUMENTS][2][RANGE]; /* [KEPT], NULL: not rendered yet */
    pthread_mutex_t rendering;
};

/* A low-pass at 7.2 kHz: sin(x) / x under a Blackman window, of sum 1. */
static void make_filter(float *filter)
{
    const double pi = 3.14159265358979, cut = 0.15; /* of 48 kHz */
    double sum = 0;

    for (int i = -REACH; i <= REACH; i++) {
        const double x = 2 * pi * cut * i, at = pi * i / (REACH + 1);
        const double v = (i != 0 ? sin(x) / x : 1) * (0.42 + 0.5 * cos(at) + 0.08 * cos(2 * at));

        filter[i + REACH] = (float)v;
        sum += v;
    }
    for (int i = 0; i <= 2 * REACH; i++)
        filter[i] /= (float)sum;
}

/* What fluidsynth cannot read, GLib complains of too, on behalf of a reader of other formats. */
static void say_nothing(const char *domain, GLogLevelFlags level, const char *text, void *arg)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)arg;
}

static bool load(struct mm_notes *n)
{
    for (int level = 0; level < LAST_LOG_LEVEL; level++)
        fluid_set_log_function(level, NULL, NULL);
    g_log_set_default_handler(say_nothing, NULL);
    n->settings = new_fluid_settings();
    if (n->settings == NULL)
        return false;
    fluid_settings_setnum(n->settings, "synth.sample-rate", OVER * MM_SOUND_RATE);
    fluid_settings_setint(n->settings, "synth.reverb.active", 0);
    fluid_settings_setint(n->settings, "synth.chorus.active", 0);
    fluid_settings_setint(n->settings, "synth.threadsafe-api", 0);
    fluid_settings_setint(n->settings, "synth.polyphony", 16);
    n->owner = new_fluid_synth(n->settings);
    if (n->owner == NULL || fluid_synth_sfload(n->owner, n->path, 0) == FLUID_FAILED)
        return false;
    n->font = fluid_synth_get_sfont(n->owner, 0);
    return n->font != NULL;
}

int mm_notes_open(struct mm_notes **n, const char *path, struct mm_err *e)
{
    FILE *f = fopen(path, "rb"); /* fluidsynth does not say why it cannot read a file */
    struct mm_notes *k;

    *n = NULL;
    if (f == NULL)
        return mm_err_set(e, MM_ENOENT, "%s:", path);
    fclose(f);
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    k->path = path;
    pthread_mutex_init(&k->rendering, NULL);
    make_filter(k->filter);
    if (!load(k)) {
        mm_notes_close(k);
        return mm_err_set(e, MM_EDATA, "%s: not a soundfont that fluidsynth can read", path);
    }
    *n = k;
    return 0;
}

void mm_notes_close(struct mm_notes *n)
{
    if (n == NULL)
        return;
    for (int i = 0; i < MM_NINSTRUMENTS; i++)
        for (int high = 0; high < 2; high++)
            for (int k = 0; k < RANGE; k++)
                free(n->wave[i][high][k]);
    if (n->owner != NULL)
        delete_fluid_synth(n->owner);
    if (n->settings != NULL)
        delete_fluid_settings(n->settings);
    pthread_mutex_destroy(&n->rendering);
    free(n);
}

/* Every third sample of both channels together, filtered; the peak at 0.35. */
static bool thin_out(float *x, const float *left, const float *right, const float *filter)
{
    float peak = 0;

    for (int i = 0; i < KEPT; i++) {
        float sum = 0;

        for (int j = -REACH; j <= REACH; j++)
            if (OVER * i + j >= 0 && OVER * i + j < ALL)
                sum += filter[j + REACH] * (left[OVER * i + j] + right[OVER * i + j]);
        x[i] = sum;
        peak = fmaxf(peak, fabsf(sum));
    }
    for (int i = 0; i < KEPT; i++)
        x[i] *= 0.35f / fmaxf(peak, 1e-6f);
    return peak > 1e-4f;
}

/* The key held, then let go: side [2][ALL]; false: there is no such program. */
static bool strike(float *side, fluid_synth_t *synth, int font, int program, int key)
{
    if (fluid_synth_program_select(synth, 0, font, 0, program) != FLUID_OK
        || fluid_synth_noteon(synth, 0, key, VELOCITY) != FLUID_OK)
        return false;
    fluid_synth_write_float(synth, HELD, side, 0, 1, side, ALL, 1);
    fluid_synth_noteoff(synth, 0, key);
    fluid_synth_write_float(synth, ALL - HELD, side, HELD, 1, side, ALL + HELD, 1);
    return true;
}

/* A font has one synthesizer at a time: its owner lends it. */
static int render(float *x, struct mm_notes *n, int instrument, int key, struct mm_err *e)
{
    const int program = instruments[instrument].program;
    fluid_synth_t *synth = new_fluid_synth(n->settings);
    float *side = malloc(2 * ALL * sizeof(*side));
    int rc = synth != NULL && side != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "%s: out of memory", n->path);

    if (rc == 0) {
        fluid_synth_remove_sfont(n->owner, n->font);
        if (!strike(side, synth, fluid_synth_add_sfont(synth, n->font), program, key))
            rc = mm_err_set(e, MM_EDATA, "%s: has no %s (program %d)", n->path,
                            mm_instrument_name(instrument), program);
        else if (!thin_out(x, side, side + ALL, n->filter))
            rc = mm_err_set(e, MM_EDATA, "%s: key %d of its %s (program %d) is silent", n->path, key,
                            mm_instrument_name(instrument), program);
        fluid_synth_remove_sfont(synth, n->font);
        fluid_synth_add_sfont(n->owner, n->font);
    }
    free(side);
    if (synth != NULL)
        delete_fluid_synth(synth);
    return rc;
}

static int get(const float **wave, struct mm_notes *n, int instrument, int high, int k,
               struct mm_err *e)
{
    float **kept = &n->wave[instrument][high][k];
    int rc = 0;

    pthread_mutex_lock(&n->rendering);
    if (*kept == NULL) {
        float *x = malloc(KEPT * sizeof(*x));

        rc = x == NULL ? mm_err_set(e, MM_ENOMEM, "%s: out of memory", n->path)
                       : render(x, n, instrument, instruments[instrument].key[high] + k, e);
        if (rc == 0)
            *kept = x;
        else
            free(x);
    }
    *wave = *kept;
    pthread_mutex_unlock(&n->rendering);
    return rc;
}

/* A note, or a major triad, from x on; the ear is told the side by how loud it is on each. */
static int play(float *x, int room, struct mm_notes *n, const struct mm_object *o, int len,
                struct mm_err *e)
{
    static const int above[CHORD] = { 0, 4, 7 };
    static const float gain[3] = { 0.97f, 0.71f, 0.26f }; /* of the left ear: left, center, right */
    const int notes = o->colour > 0 ? CHORD : 1;
    struct mm_rng r;
    float loud;
    int rc = 0;

    mm_rng_seed(&r, o->paint);
    loud = (0.7f + 0.5f * (float)mm_rng_uniform(&r)) / (o->colour > 0 ? 2 : 1);
    len = len < room ? len : room;
    for (int i = 0; rc == 0 && i < notes; i++) {
        const float *wave;

        rc = get(&wave, n, o->what, o->size, o->look + above[i], e);
        for (int j = 0; rc == 0 && j < len; j++) {
            const float v = loud * fminf(1, (float)(len - j) / CUT) * wave[j];

            x[j] += gain[o->col] * v;
            x[MM_SOUND_SAMPLES + j] += gain[2 - o->col] * v;
        }
    }
    return rc;
}

int mm_notes_play(float *x, struct mm_notes *n, const struct mm_scene *s, struct mm_err *e)
{
    const int len = s->fast ? KEPT / 2 : KEPT;
    int rc = 0;

    memset(x, 0, 2 * MM_SOUND_SAMPLES * sizeof(*x));
    for (int k = 0; rc == 0 && k < s->n; k++) {
        const int at = (int)(s->obj[k].y * MM_SOUND_SAMPLES);

        rc = play(x + at, MM_SOUND_SAMPLES - at, n, &s->obj[k], len, e);
    }
    return rc;
}
