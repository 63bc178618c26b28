/* sound.c: oscillators and noise under envelopes. */
#include "synth/sound.h"

#include <math.h>
#include <string.h>

static const float tau = 6.2831853f;

static float between(struct mm_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * (float)mm_rng_uniform(r);
}

/* One sound: n samples from x on. */
struct voice {
    float *x;
    int n;
    float hz;    /* its pitch, where it begins */
    float end;   /* chirps: where it ends, in multiples of hz */
    float loud;
};

/* Rises in 8 ms, falls in 30 ms. */
static float edge(int i, int n)
{
    const float in = (float)i / 128, out = (float)(n - i) / 480;

    return fminf(fminf(in, out), 1);
}

/* Three harmonics; the pitch glides to end * hz. */
static void add_tone(const struct voice *v, float hz, float loud)
{
    float phase = 0;

    for (int i = 0; i < v->n; i++) {
        const float at = (float)i / (float)v->n;

        phase += hz * (1 + (v->end - 1) * at) / MM_SOUND_RATE;
        phase -= floorf(phase);
        v->x[i] += loud * edge(i, v->n)
                   * (sinf(tau * phase) + 0.3f * sinf(2 * tau * phase) + 0.1f * sinf(3 * tau * phase));
    }
}

/* Noise below the pitch (low) or above it (high). */
static void add_noise(const struct voice *v, bool high, struct mm_rng *r)
{
    const float keep = expf(-tau * v->hz / MM_SOUND_RATE);
    float low = 0;

    for (int i = 0; i < v->n; i++) {
        const float white = between(r, -1, 1);

        low = keep * low + (1 - keep) * white;
        v->x[i] += v->loud * edge(i, v->n) * (high ? white - low : 3 * low);
    }
}

/* A membrane: a tone that falls and dies away, after a click. */
static void add_drum(const struct voice *v, struct mm_rng *r)
{
    float phase = 0;

    for (int i = 0; i < v->n; i++) {
        const float t = (float)i / MM_SOUND_RATE;

        phase += v->hz * (1 + 1.5f * expf(-40 * t)) / MM_SOUND_RATE;
        v->x[i] += v->loud * edge(i, v->n)
                   * (1.6f * expf(-18 * t) * sinf(tau * phase) + 0.4f * expf(-150 * t) * between(r, -1, 1));
    }
}

static void play(float *x, int room, const struct mm_object *o)
{
    static const float low[MM_NSOUNDS] = { 220, 196, 300, 500, 60 };
    static const float high[MM_NSOUNDS] = { 880, 784, 1200, 3000, 200 };
    struct mm_rng r;
    struct voice v = { .x = x, .end = 1 };

    mm_rng_seed(&r, o->paint);
    v.n = (int)between(&r, 2400, 3000);
    v.n = v.n < room ? v.n : room;
    v.hz = (o->size != 0 ? high : low)[o->what] * between(&r, 0.9f, 1.12f);
    v.loud = between(&r, 0.2f, 0.4f);
    switch (o->what) {
    case MM_TONE:
        add_tone(&v, v.hz, v.loud);
        break;
    case MM_CHORD: /* a major triad */
        for (int i = 0; i < 3; i++)
            add_tone(&v, v.hz * (1 + 0.25f * (float)i), 0.5f * v.loud);
        break;
    case MM_CHIRP:
        v.end = o->colour == 0 ? 2.5f : 0.4f;
        add_tone(&v, v.hz, v.loud);
        break;
    case MM_NOISE:
        add_noise(&v, o->size != 0, &r);
        break;
    default:
        add_drum(&v, &r);
    }
}

int mm_sound_channels(enum mm_tier tier)
{
    return tier == MM_NOTES ? 2 : 1;
}

void mm_sound_hiss(float *x, const struct mm_scene *s)
{
    struct mm_rng r;
    float hiss;

    mm_rng_seed(&r, s->paint);
    hiss = mm_rng_below(&r, 2) == 0 ? 0 : between(&r, 0.001f, 0.02f);
    for (int i = 0; i < mm_sound_channels(s->tier) * MM_SOUND_SAMPLES; i++)
        x[i] = fminf(fmaxf(x[i] + hiss * between(&r, -1, 1), -1), 1);
}

void mm_sound_play(float *x, const struct mm_scene *s, bool plain)
{
    memset(x, 0, MM_SOUND_SAMPLES * sizeof(*x));
    for (int k = 0; k < s->n; k++) {
        const int at = (int)(s->obj[k].y * MM_SOUND_SAMPLES);

        play(x + at, MM_SOUND_SAMPLES - at, &s->obj[k]);
    }
    if (!plain)
        mm_sound_hiss(x, s);
}
