/* synth.c: scene, picture, questions and talk of one number. */
#include "synth/synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/audio.h"
#include "synth/deflate.h"
#include "synth/form.h"
#include "synth/movie.h"
#include "synth/sound.h"

enum { TALK = 78, DESCRIBE = 79 }; /* purposes of random numbers */

struct mm_synth_maker {
    const struct mm_synth_opts *o;
    struct mm_scene_maker *scenes;
    struct mm_painter *painter;
    struct mm_deflater *deflater;
};

int mm_synth_new(struct mm_synth_item **it, const struct mm_synth_opts *o, struct mm_err *e)
{
    const size_t n = (size_t)o->size * (size_t)o->size;
    const size_t frames = o->scene.tiers >> MM_CLIPS & 1 ? MM_CLIP_FRAMES : 1;
    struct mm_synth_item *k = *it = calloc(1, sizeof(*k));
    bool ok = k != NULL;

    if (ok && o->picture) {
        k->px = malloc(3 * n * frames);
        k->labels = malloc(n);
        ok = k->px != NULL && k->labels != NULL;
    }
    if (ok && o->picture && (o->scene.tiers & (1u << MM_SOUNDS | 1u << MM_CRIES | 1u << MM_NOTES))) {
        k->samples = malloc(2 * MM_SOUND_SAMPLES * sizeof(*k->samples));
        ok = k->samples != NULL;
    }
    if (ok)
        return 0;
    mm_synth_free(k);
    *it = NULL;
    return mm_err_set(e, MM_ENOMEM, "items: out of memory");
}

void mm_synth_free(struct mm_synth_item *it)
{
    if (it == NULL)
        return;
    free(it->px);
    free(it->labels);
    free(it->samples);
    mm_buf_free(&it->file);
    mm_buf_free(&it->description);
    mm_questions_free(&it->q);
    mm_buf_free(&it->talk);
    mm_buf_free(&it->doc);
    mm_buf_free(&it->aside);
    mm_buf_free(&it->third);
    free(it);
}

int mm_synth_maker_new(struct mm_synth_maker **m, const struct mm_synth_opts *o, struct mm_err *e)
{
    struct mm_synth_maker *k = *m = calloc(1, sizeof(*k));
    int rc = k != NULL ? 0 : mm_err_set(e, MM_ENOMEM, "items: out of memory");

    if (rc < 0)
        return rc;
    k->o = o;
    rc = mm_scene_maker_new(&k->scenes, &o->scene, e);
    if (rc == 0 && o->picture)
        rc = mm_painter_new(&k->painter, o->size, o->plain, o->sprites, o->fonts, e);
    if (rc == 0 && o->file)
        rc = mm_deflater_new(&k->deflater, e);
    if (rc < 0) {
        mm_synth_maker_free(k);
        *m = NULL;
    }
    return rc;
}

void mm_synth_maker_free(struct mm_synth_maker *m)
{
    if (m == NULL)
        return;
    mm_scene_maker_free(m->scenes);
    mm_painter_free(m->painter);
    mm_deflater_free(m->deflater);
    free(m);
}

struct mm_view mm_synth_view(const struct mm_synth_item *it, const struct mm_synth_opts *o)
{
    return (struct mm_view){ &it->s, o->sprites };
}

/* Room for one more turn; its question is to be appended to talk next. */
static struct mm_said *begin(struct mm_synth_item *it, enum mm_turn turn)
{
    struct mm_said *t = &it->said[it->nsaid++];

    t->turn = turn;
    t->ask = it->talk.n;
    return t;
}

static void answer(struct mm_synth_item *it, struct mm_said *t)
{
    mm_buf_char(&it->talk, '\0');
    t->answer = it->talk.n;
}

/* Questions, and for the caption, once more, asked for in whole sentences. */
static void sentences(struct mm_synth_item *it, const struct mm_view *v, struct mm_rng *r)
{
    static const char *const request[] = {
        " Answer in a sentence.", " Answer in a whole sentence.", " Use a whole sentence.",
    };
    struct mm_said *t;

    for (size_t i = 0; i < it->q.n && it->nsaid < MM_MAX_TURNS - 2; i++) {
        const struct mm_question *q = &it->q.v[i];

        if (mm_forms[q->form].says == NULL)
            continue;
        t = begin(it, MM_TURN_SENTENCE);
        mm_buf_printf(&it->talk, "%s%s", q->text, request[mm_rng_below(r, 3)]);
        answer(it, t);
        mm_form_sentence(&it->talk, &mm_forms[q->form], &q->ask, v);
        mm_buf_char(&it->talk, '\0');
    }
    t = begin(it, MM_TURN_SENTENCE);
    mm_turn_ask(&it->talk, MM_TURN_CAPTION, &it->s, r);
    mm_buf_str(&it->talk, request[mm_rng_below(r, 3)]);
    answer(it, t);
    mm_caption(&it->talk, v, 2);
    mm_buf_char(&it->talk, '\0');
}

/* Questions first, the first one with a single word as answer; then
 * reasons, the caption, the description, sentences. */
static void talk(struct mm_synth_item *it, const struct mm_synth_opts *o, struct mm_rng *r)
{
    const struct mm_view v = mm_synth_view(it, o);
    size_t first = 0;
    struct mm_said *t;

    it->nsaid = 0;
    mm_buf_reset(&it->talk);
    while (first + 1 < it->q.n && strchr(it->q.v[first].answer, ' ') != NULL)
        first++;
    for (size_t i = 0; o->turns >> MM_TURN_QA & 1 && i < it->q.n && i < MM_MAX_TURNS / 2; i++) {
        const struct mm_question *q = &it->q.v[i == 0 ? first : i == first ? 0 : i];

        t = begin(it, MM_TURN_QA);
        mm_buf_str(&it->talk, q->text);
        answer(it, t);
        mm_buf_str(&it->talk, q->answer);
        mm_buf_char(&it->talk, '\0');
    }
    for (size_t i = 0; o->turns >> MM_TURN_REASON & 1 && i < it->q.n; i++) {
        const struct mm_question *q = &it->q.v[i];
        struct mm_buf why = { 0 };

        if (it->nsaid < MM_MAX_TURNS - 2 && mm_reason(&why, &v, q)) {
            t = begin(it, MM_TURN_REASON);
            mm_buf_printf(&it->talk, "%s Tell me why.", q->text);
            answer(it, t);
            mm_buf_add(&it->talk, why.p, why.n + 1);
        }
        it->talk.failed |= why.failed;
        mm_buf_free(&why);
    }
    for (int turn = MM_TURN_CAPTION; turn <= MM_TURN_DETAIL; turn++) {
        if (!(o->turns >> turn & 1))
            continue;
        t = begin(it, (enum mm_turn)turn);
        mm_turn_ask(&it->talk, (enum mm_turn)turn, &it->s, r);
        answer(it, t);
        if (turn == MM_TURN_CAPTION)
            mm_caption(&it->talk, &v, 0);
        else
            mm_buf_str(&it->talk, it->description.p);
        mm_buf_char(&it->talk, '\0');
    }
    if (o->turns >> MM_TURN_SENTENCE & 1)
        sentences(it, &v, r);
}

const char *mm_synth_suffix(enum mm_tier tier)
{
    return tier == MM_CLIPS ? "mp4" : mm_tier_is_heard(tier) ? "wav" : "png";
}

const char *mm_synth_medium(enum mm_tier tier)
{
    return tier == MM_CLIPS ? "video" : mm_tier_is_heard(tier) ? "audio" : "image";
}

static int picture(struct mm_synth_item *it, struct mm_synth_maker *m, struct mm_err *e)
{
    const struct mm_synth_opts *o = m->o;
    int rc = mm_painter_draw(it->px, o->labels ? it->labels : NULL, it->ext, m->painter, &it->s, e);

    it->frames = 1;
    if (rc == 0 && o->file)
        rc = mm_deflater_png(&it->file, m->deflater, it->px, o->size, o->size, e);
    return rc;
}

/* The labels are of the scene as it is in the middle. */
static int clip(struct mm_synth_item *it, struct mm_synth_maker *m, struct mm_err *e)
{
    const struct mm_synth_opts *o = m->o;
    int rc = mm_painter_draw(it->px, it->labels, it->ext, m->painter, &it->s, e);

    it->frames = MM_CLIP_FRAMES;
    for (int i = 0; rc == 0 && i < it->frames; i++) {
        struct mm_scene s;

        mm_scene_at(&s, &it->s, i);
        rc = mm_painter_draw(it->px + 3 * (size_t)i * (size_t)o->size * (size_t)o->size, NULL, NULL,
                             m->painter, &s, e);
    }
    if (rc == 0 && o->file)
        rc = mm_movie_mp4(&it->file, it->px, it->frames, o->size, o->size, MM_CLIP_FPS, e);
    return rc;
}

static int sound(struct mm_synth_item *it, const struct mm_synth_opts *o, struct mm_err *e)
{
    const struct mm_audio a = { MM_SOUND_RATE, mm_sound_channels(it->s.tier), MM_SOUND_SAMPLES,
                                it->samples };
    unsigned char *wav = NULL;
    size_t n;
    int rc = 0;

    it->frames = 0;
    if (it->s.tier == MM_SOUNDS) {
        mm_sound_play(it->samples, &it->s, o->plain);
    } else {
        rc = it->s.tier == MM_NOTES ? mm_notes_play(it->samples, o->notes, &it->s, e)
                                    : mm_voices_play(it->samples, o->voices, &it->s, e);
        if (!o->plain)
            mm_sound_hiss(it->samples, &it->s);
    }
    if (rc == 0 && o->file)
        rc = mm_audio_wav(&wav, &n, &a, MM_WAV_S16, e);
    if (rc == 0 && o->file) {
        mm_buf_reset(&it->file);
        mm_buf_add(&it->file, wav, n);
    }
    free(wav);
    return it->file.failed ? mm_err_set(e, MM_ENOMEM, "items: out of memory") : rc;
}

int mm_synth_make(struct mm_synth_item *it, struct mm_synth_maker *m, uint64_t index, struct mm_err *e)
{
    const struct mm_synth_opts *o = m->o;
    const struct mm_view v = mm_synth_view(it, o);
    struct mm_rng r;
    int rc = mm_scene_make(&it->s, m->scenes, index, e);

    if (rc < 0)
        return rc;
    snprintf(it->id, sizeof(it->id), "%s-%s-%llu-%08llu", mm_tier_name(it->s.tier),
             mm_split_name(it->s.split), (unsigned long long)it->s.seed, (unsigned long long)index);
    mm_finish_of(&it->finish, &it->s, o->plain);
    if (o->picture)
        rc = mm_tier_is_heard(it->s.tier) ? sound(it, o, e)
             : it->s.tier == MM_CLIPS     ? clip(it, m, e)
                                          : picture(it, m, e);
    mm_questions_reset(&it->q);
    if (rc == 0 && o->questions > 0)
        rc = mm_questions_ask(&it->q, &v, o->balance, o->questions,
                              o->rounds, e);
    if (rc < 0)
        return rc;
    mm_buf_reset(&it->description);
    mm_rng_of(&r, it->s.paint, index, DESCRIBE);
    mm_describe(&it->description, &v, &it->finish, &r);
    if (!it->description.failed) {
        mm_rng_of(&r, it->s.paint, index, TALK);
        talk(it, o, &r);
    }
    if (it->description.failed || it->talk.failed)
        return mm_err_set(e, MM_ENOMEM, "items: out of memory");
    return 0;
}
