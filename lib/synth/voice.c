/* voice.c: sound files, one channel at one rate, kept once read. */
#include "synth/voice.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "media/audio.h"
#include "synth/sound.h"

/* Longest part that is kept: slowed down it still fills the whole. */
enum { KEPT = 3 * MM_SOUND_RATE };

struct wave {
    float *x; /* NULL: not read yet */
    int n;
};

struct mm_voices {
    const char *dir;
    const struct mm_sprites *sprites;
    struct wave *wave; /* one for each look */
    pthread_mutex_t reading;
};

int mm_voices_open(struct mm_voices **v, const char *dir, const struct mm_sprites *s,
                   struct mm_err *e)
{
    struct mm_voices *k = *v = calloc(1, sizeof(*k));

    if (k != NULL)
        k->wave = calloc((size_t)mm_sprites_all(s) + 1, sizeof(*k->wave));
    if (k == NULL || k->wave == NULL) {
        free(k);
        *v = NULL;
        return mm_err_set(e, MM_ENOMEM, "%s: out of memory", dir);
    }
    k->dir = dir;
    k->sprites = s;
    pthread_mutex_init(&k->reading, NULL);
    return 0;
}

void mm_voices_close(struct mm_voices *v)
{
    if (v == NULL)
        return;
    for (int i = 0; i < mm_sprites_all(v->sprites); i++)
        free(v->wave[i].x);
    pthread_mutex_destroy(&v->reading);
    free(v->wave);
    free(v);
}

/* The mean of what a sample at the new rate covers; all channels together. */
static void to_rate(float *x, int n, const struct mm_audio *a)
{
    const double step = (double)a->rate / MM_SOUND_RATE;

    for (int i = 0; i < n; i++) {
        size_t from = (size_t)(i * step), to = (size_t)((i + 1) * step);
        double sum = 0;

        to = to > from ? to : from + 1;
        to = to < a->frames ? to : a->frames;
        for (int c = 0; c < a->channels; c++)
            for (size_t k = from; k < to; k++)
                sum += (double)a->x[(size_t)c * a->frames + k];
        x[i] = to > from ? (float)(sum / (double)((to - from) * (size_t)a->channels)) : 0;
    }
}

/* Where the loudest stretch of len samples begins. */
static int loudest(const float *x, int n, int len)
{
    double sum = 0, best = -1;
    int at = 0;

    for (int i = 0; i < n; i++) {
        sum += (double)(x[i] * x[i]);
        if (i >= len)
            sum -= (double)(x[i - len] * x[i - len]);
        if (i + 1 >= len && sum > best) {
            best = sum;
            at = i + 1 - len;
        }
    }
    return at;
}

/* At most KEPT samples of it, the peak at 0.5. */
static int read_wave(struct wave *w, const char *path, struct mm_err *e)
{
    struct mm_audio a = { 0 };
    float *x = NULL, peak = 0;
    int rc = mm_audio_load(&a, path, e), n = 0, at;

    if (rc == 0) {
        const double all = (double)a.frames * MM_SOUND_RATE / a.rate;

        n = all < 1e7 ? (int)all : 10000000;
        x = malloc(((size_t)n + 1) * sizeof(*x));
        if (x == NULL)
            rc = mm_err_set(e, MM_ENOMEM, "%s: out of memory", path);
    }
    if (rc == 0) {
        to_rate(x, n, &a);
        at = n > KEPT ? loudest(x, n, KEPT) : 0;
        n = n > KEPT ? KEPT : n;
        memmove(x, x + at, (size_t)n * sizeof(*x));
        for (int i = 0; i < n; i++)
            peak = fmaxf(peak, fabsf(x[i]));
        for (int i = 0; i < n; i++)
            x[i] *= 0.5f / fmaxf(peak, 1e-6f);
        if (peak < 1e-4f)
            rc = mm_err_set(e, MM_EDATA, "%s: silence", path);
    }
    mm_audio_free(&a);
    if (rc < 0) {
        free(x);
        return rc;
    }
    w->x = x;
    w->n = n;
    return 0;
}

static int get(const struct wave **w, struct mm_voices *v, int look, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    int rc = 0;

    pthread_mutex_lock(&v->reading);
    if (v->wave[look].x == NULL) {
        mm_buf_printf(&path, "%s/%s", v->dir, mm_sprites_sound(v->sprites, look));
        rc = path.failed ? mm_err_set(e, MM_ENOMEM, "%s: out of memory", v->dir)
                         : read_wave(&v->wave[look], path.p, e);
        mm_buf_free(&path);
    }
    pthread_mutex_unlock(&v->reading);
    *w = &v->wave[look];
    return rc;
}

int mm_voices_play(float *x, struct mm_voices *v, const struct mm_scene *s, struct mm_err *e)
{
    const struct mm_object *o = &s->obj[0];
    const struct wave *w;
    const int at = (int)(o->y * MM_SOUND_SAMPLES);
    const int rc = get(&w, v, o->look, e);

    memset(x, 0, MM_SOUND_SAMPLES * sizeof(*x));
    for (int i = 0; rc == 0 && at + i < MM_SOUND_SAMPLES; i++) {
        const float from = (float)i * o->r; /* r: how fast */
        const int k = (int)from;

        if (k + 1 >= w->n)
            break;
        x[at + i] = w->x[k] + (w->x[k + 1] - w->x[k]) * (from - (float)k);
    }
    return rc;
}
