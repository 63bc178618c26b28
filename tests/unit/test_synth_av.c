/* test_synth_av.c: clips move as they say, MP4 files play, sounds are what they are
 * called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "media/audio.h"
#include "media/image.h"
#include "synth/movie.h"
#include "synth/refer.h"
#include "synth/scene.h"
#include "synth/sound.h"
#include "synth/voice.h"

static void test_clips(void **state)
{
    const struct mm_scene_opts o = { .seed = 2, .tiers = 1u << MM_CLIPS, .hidden = 0.25 };
    struct mm_scene_maker *m;
    struct mm_scene s, first, last;
    int seen = 0;

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 300; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        mm_scene_at(&first, &s, 0);
        mm_scene_at(&last, &s, MM_CLIP_FRAMES - 1);
        for (int k = 0; k < s.n; k++) {
            const struct mm_object *a = &first.obj[k], *b = &last.obj[k];
            const enum mm_motion motion = s.obj[k].motion;

            seen |= 1 << motion;
            assert_int_equal(b->x < a->x - 0.1f, motion == MM_LEFT);
            assert_int_equal(b->x > a->x + 0.1f, motion == MM_RIGHT);
            assert_int_equal(b->y < a->y - 0.1f, motion == MM_UP);
            assert_int_equal(b->y > a->y + 0.1f, motion == MM_DOWN);
            assert_int_equal(b->r > a->r * 1.5f, motion == MM_GROW);
            assert_int_equal(b->r * 1.5f < a->r, motion == MM_SHRINK);
            assert_int_equal(b->angle > a->angle + 2, motion == MM_TURN);
            assert_false(motion == MM_TURN && (s.obj[k].what == MM_CIRCLE || s.obj[k].what == MM_RING));
            for (int f = 0; f < MM_CLIP_FRAMES; f++) {
                struct mm_scene now;
                const struct mm_object *p = &now.obj[k];

                mm_scene_at(&now, &s, f);
                assert_true(p->x > p->r && p->x < 1 - p->r && p->y > p->r && p->y < 1 - p->r);
                for (int j = 0; j < k; j++)
                    assert_true(hypotf(p->x - now.obj[j].x, p->y - now.obj[j].y) > p->r + now.obj[j].r);
            }
        }
    }
    assert_int_equal(seen, (1 << MM_NMOTIONS) - 1);
    mm_scene_maker_free(m);
}

/* Decodes a file and gives the mean brightness of each frame; returns how many. */
static int play_movie(double *mean, int most, const struct mm_buf *b)
{
    char path[] = "/tmp/test_synth.XXXXXX";
    AVFormatContext *f = NULL;
    AVCodecContext *dec = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_MPEG4));
    AVFrame *frame = av_frame_alloc();
    AVPacket *packet = av_packet_alloc();
    const int fd = mkstemp(path);
    int n = 0;

    assert_true(fd >= 0 && write(fd, b->p, b->n) == (ssize_t)b->n && close(fd) == 0);
    assert_int_equal(avformat_open_input(&f, path, NULL, NULL), 0);
    assert_int_equal(avformat_find_stream_info(f, NULL) < 0, 0);
    assert_int_equal(f->nb_streams, 1);
    assert_int_equal(avcodec_parameters_to_context(dec, f->streams[0]->codecpar), 0);
    assert_int_equal(avcodec_open2(dec, NULL, NULL), 0);
    for (bool more = true; more;) {
        more = av_read_frame(f, packet) >= 0;
        assert_int_equal(avcodec_send_packet(dec, more ? packet : NULL), 0);
        av_packet_unref(packet);
        while (avcodec_receive_frame(dec, frame) == 0) {
            double sum = 0;

            for (int y = 0; y < frame->height; y++)
                for (int x = 0; x < frame->width; x++)
                    sum += frame->data[0][y * frame->linesize[0] + x];
            if (n < most)
                mean[n] = sum / (frame->width * frame->height);
            n++;
        }
    }
    avformat_close_input(&f);
    avcodec_free_context(&dec);
    av_frame_free(&frame);
    av_packet_free(&packet);
    assert_int_equal(remove(path), 0);
    return n;
}

static void test_movie(void **state)
{
    double mean[4];

    static unsigned char px[4 * 32 * 32 * 3];
    struct mm_buf a = { 0 }, b = { 0 };
    struct mm_image im;

    (void)state;
    for (size_t i = 0; i < sizeof(px); i++)
        px[i] = (unsigned char)(i / 3072 * 60 + i / 96 % 32); /* a ramp, frames grow brighter */
    assert_int_equal(mm_movie_mp4(&a, px, 4, 32, 32, 8, NULL), 0);
    assert_int_equal(mm_movie_mp4(&b, px, 4, 32, 32, 8, NULL), 0);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    assert_memory_equal(a.p + 4, "ftyp", 4);
    assert_int_equal(play_movie(mean, 4, &a), 4);
    for (int i = 0; i < 4; i++) /* luma 16..235 of a grey */
        assert_true(fabs(mean[i] - (16 + (60 * i + 15.5) * 219 / 255)) < 2);
    /* libav sees more than one picture in it */
    assert_int_equal(mm_image_decode(&im, a.p, a.n, "it", 0, NULL), MM_EMISSING);
    mm_buf_free(&a);
    mm_buf_free(&b);
}

/* How often the sign changes in n samples. */
static int crossings(const float *x, int n)
{
    int k = 0;

    for (int i = 1; i < n; i++)
        k += (x[i] >= 0) != (x[i - 1] >= 0);
    return k;
}

static void test_sounds(void **state)
{
    const struct mm_scene_opts o = { .seed = 2, .tiers = 1u << MM_SOUNDS };
    static float x[MM_SOUND_SAMPLES];
    struct mm_scene_maker *m;
    struct mm_scene s;
    int seen = 0;

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 300; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        mm_sound_play(x, &s, true);
        for (int k = 0; k < s.n; k++) {
            const struct mm_object *p = &s.obj[k];
            const int at = (int)(p->y * MM_SOUND_SAMPLES);
            float peak = 0;

            seen |= 1 << p->what;
            for (int j = 0; j < 2400; j++)
                peak = fmaxf(peak, fabsf(x[at + j]));
            assert_true(peak > 0.05f && peak <= 1);
            if (at >= 100 && k == 0)
                assert_int_equal(crossings(x, at), 0);
            /* crossings of 0.15 s: twice the pitch; a chirp rises or falls */
            if (p->what == MM_TONE)
                assert_int_equal(crossings(x + at, 2400) > 2 * 0.15 * 500, p->size);
            if (p->what == MM_CHIRP)
                assert_int_equal(crossings(x + at, 1200) > crossings(x + at + 1200, 1200), p->colour);
            if (k > 0)
                assert_int_equal(p->y - s.obj[k - 1].y < 0.15f, s.fast);
        }
    }
    assert_int_equal(seen, (1 << MM_NSOUNDS) - 1);
    mm_scene_maker_free(m);
}

/* What is asked of the order of sounds, and the answers. */
static void test_order(void **state)
{
    const struct mm_scene_opts o = { .seed = 2, .tiers = 1u << MM_SOUNDS };
    struct mm_scene_maker *m;
    struct mm_scene s;

    (void)state;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        for (int side = 0; side < MM_NSIDES; side++) {
            const bool before = strcmp(mm_side_phrase(side, s.tier), "before") == 0;
            const bool first = strcmp(mm_outermost_name(side, s.tier), "first sound") == 0;
            const int k = mm_outermost(&s, side);

            assert_true(k == -1 || k == (first ? 0 : s.n - 1));
            for (int a = 0; a < s.n; a++)
                for (int b = 0; b < s.n; b++)
                    if (mm_lies(&s, a, b, side))
                        assert_int_equal(a < b, before);
        }
        assert_int_equal(mm_outermost(&s, MM_SIDE_LEFT), s.n > 1 ? 0 : -1);
        assert_int_equal(mm_lies(&s, 0, s.n - 1, MM_SIDE_LEFT), s.n > 1);
    }
    mm_scene_maker_free(m);
}

/* A tone of 400 Hz at 22,050 samples a second is 400 Hz, times how fast it is played. */
static void test_voices(void **state)
{
    static float tone[30000], x[MM_SOUND_SAMPLES];
    const struct mm_audio a = { 22050, 1, 30000, tone };
    char dir[] = "/tmp/test_synth.XXXXXX", path[300];
    struct mm_scene_opts o = { .tiers = 1u << MM_CRIES };
    struct mm_scene_maker *m;
    struct mm_sprites *sp;
    struct mm_voices *v;
    struct mm_scene s;
    unsigned char *wav;
    size_t n;
    FILE *f;

    (void)state;
    for (int i = 0; i < 30000; i++)
        tone[i] = 0.3f * sinf((float)i * 6.2831853f * 400 / 22050);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(mm_audio_wav(&wav, &n, &a, MM_WAV_S16, NULL), 0);
    snprintf(path, sizeof(path), "%s/a.wav", dir);
    assert_non_null(f = fopen(path, "wb"));
    assert_int_equal(fwrite(wav, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(wav);
    snprintf(path, sizeof(path), "%s/sprites.tsv", dir);
    assert_non_null(f = fopen(path, "w"));
    fputs("a.png\tox\toxen\tann\ta.wav\nb.png\tant\tants\tann\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(mm_sprites_open(&sp, dir, NULL, NULL), 0);
    assert_int_equal(mm_sprites_sounds(sp), 1);
    assert_int_equal(mm_voices_open(&v, dir, sp, NULL), 0);
    o.sprites = sp;
    assert_int_equal(mm_scene_maker_new(&m, &o, NULL), 0);
    for (uint64_t i = 0; i < 40; i++) {
        int at;

        assert_int_equal(mm_scene_make(&s, m, i, NULL), 0);
        assert_string_equal(mm_scene_noun(&s, 0, sp), "ox");
        assert_int_equal(mm_voices_play(x, v, &s, NULL), 0);
        at = (int)(s.obj[0].y * MM_SOUND_SAMPLES);
        assert_int_equal(crossings(x, at), 0);
        assert_true(fabs(crossings(x + at, 8000) - 2 * 400 * 0.5 * (double)s.obj[0].r) < 8);
    }
    mm_scene_maker_free(m);
    mm_voices_close(v);
    mm_sprites_close(sp);
    assert_int_equal(remove(path), 0);
    snprintf(path, sizeof(path), "%s/a.wav", dir);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clips),
        cmocka_unit_test(test_movie),
        cmocka_unit_test(test_sounds),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_voices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
