/* Sound files: WAV round trips to the bit, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/io.h"
#include "media/audio.h"

static float x[2 * 5000];

static struct mm_audio sound(void)
{
    for (size_t i = 0; i < 10000; i++)
        x[i] = sinf((float)i * 0.01f) * (i < 5000 ? 0.5f : 0.25f);
    return (struct mm_audio){ .rate = 16000, .channels = 2, .frames = 5000, .x = x };
}

static void ok(int rc, const struct mm_err *e)
{
    if (rc)
        fail_msg("%s", e->msg);
}

static void test_float(void **state)
{
    const struct mm_audio a = sound();
    struct mm_audio b;
    struct mm_err e = { 0 };
    unsigned char *data, *again;
    size_t n, m;

    (void)state;
    ok(mm_audio_wav(&data, &n, &a, MM_WAV_F32, &e), &e);
    ok(mm_audio_decode(&b, data, n, "wav", 0, &e), &e);
    assert_int_equal(b.rate, 16000);
    assert_int_equal(b.channels, 2);
    assert_int_equal(b.frames, 5000);
    assert_memory_equal(b.x, x, sizeof(x));
    ok(mm_audio_wav(&again, &m, &b, MM_WAV_F32, &e), &e);
    assert_int_equal(m, n);
    assert_memory_equal(again, data, n);
    mm_audio_free(&b);
    free(data);
    free(again);
}

static void test_s16(void **state)
{
    static const float in[] = { 0, 1, -1, 2, -2, 0.5f, 1.5f / 32767, 2.5f / 32767, NAN };
    static const short want[] = { 0, 32767, -32767, 32767, -32768, 16384, 2, 2, 0 };
    struct mm_audio a = { .rate = 8000, .channels = 1, .frames = 9, .x = (float *)in }, b;
    struct mm_err e = { 0 };
    unsigned char *data;
    size_t n;

    (void)state;
    ok(mm_audio_wav(&data, &n, &a, MM_WAV_S16, &e), &e);
    assert_int_equal(n, 44 + 18);
    assert_memory_equal(data, "RIFF", 4);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal((short)mm_get_u16(data + 44 + 2 * i), want[i]);
    ok(mm_audio_decode(&b, data, n, "wav", 0, &e), &e);
    for (size_t i = 0; i < 9; i++)
        assert_true(b.x[i] == (float)want[i] / 32768);
    mm_audio_free(&b);
    free(data);
}

static void test_truncated(void **state)
{
    const struct mm_audio a = sound();
    struct mm_audio b;
    struct mm_err e = { 0 };
    unsigned char *data;
    size_t n;

    (void)state;
    ok(mm_audio_wav(&data, &n, &a, MM_WAV_S16, &e), &e);
    for (size_t cut = 0; cut < n; cut += cut < 60 ? 1 : 997) {
        unsigned char *part = malloc(cut ? cut : 1);
        memcpy(part, data, cut);
        mm_err_clear(&e);
        if (mm_audio_decode(&b, part, cut, "cut.wav", 0, &e) != MM_EDATA)
            fail_msg("%zu of %zu bytes were accepted", cut, n);
        assert_non_null(strstr(e.msg, "cut.wav: "));
        assert_null(b.x);
        free(part);
    }
    free(data);
}

static void test_refused(void **state)
{
    struct mm_audio a = sound(), b;
    struct mm_err e = { 0 };
    unsigned char *data;
    size_t n;

    (void)state;
    ok(mm_audio_wav(&data, &n, &a, MM_WAV_S16, &e), &e);
    assert_int_equal(mm_audio_decode(&b, data, n, "long.wav", 9999, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "long.wav: 5000 frames of 2 channels"));
    mm_err_clear(&e);
    free(data);
    assert_int_equal(mm_audio_decode(&b, "text", 4, "t.txt", 0, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_audio_decode(&b, "\xff\xfb\x90", 4, "a.mp3", 0, &e), MM_EMISSING);
    mm_err_clear(&e);
    assert_int_equal(mm_audio_load(&b, "/nonexistent.wav", &e), MM_ENOENT);
    mm_err_clear(&e);
    a.channels = 0;
    assert_int_equal(mm_audio_wav(&data, &n, &a, MM_WAV_S16, &e), MM_EDATA);
    mm_err_clear(&e);
    a.channels = 2;
    a.frames = (size_t)1 << 31;
    assert_int_equal(mm_audio_wav(&data, &n, &a, MM_WAV_F32, &e), MM_EDATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float),
        cmocka_unit_test(test_s16),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
