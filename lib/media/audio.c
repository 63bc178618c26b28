/* audio.c: sound files through libsndfile, from and to memory. */
#include "media/audio.h"

#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/size.h"

static const size_t default_max_samples = (size_t)1 << 28;
static const size_t max_file = (size_t)1 << 32;

void mm_audio_free(struct mm_audio *a)
{
    free(a->x);
    *a = (struct mm_audio){ 0 };
}

/* A file in memory; writing grows it. */
struct memory {
    unsigned char *p;
    size_t n, cap, at;
};

static sf_count_t on_length(void *user)
{
    return (sf_count_t)((const struct memory *)user)->n;
}

static sf_count_t on_seek(sf_count_t offset, int whence, void *user)
{
    struct memory *m = user;
    const sf_count_t base = whence == SEEK_SET ? 0 : (sf_count_t)(whence == SEEK_CUR ? m->at : m->n);

    if (offset < -base || offset > (sf_count_t)m->n - base)
        return -1;
    m->at = (size_t)(base + offset);
    return (sf_count_t)m->at;
}

static sf_count_t on_read(void *p, sf_count_t count, void *user)
{
    struct memory *m = user;
    const size_t left = m->n - m->at;
    const size_t n = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;

    if (n)
        memcpy(p, m->p + m->at, n);
    m->at += n;
    return (sf_count_t)n;
}

static sf_count_t on_write(const void *p, sf_count_t count, void *user)
{
    struct memory *m = user;
    size_t end;

    if (count < 0 || !mm_size_add(m->at, (size_t)count, &end))
        return 0;
    if (end > m->cap) {
        const size_t cap = end + end / 2 + 4096;
        unsigned char *q = realloc(m->p, cap);
        if (!q)
            return 0;
        m->p = q;
        m->cap = cap;
    }
    memcpy(m->p + m->at, p, (size_t)count);
    m->at = end;
    m->n = end > m->n ? end : m->n;
    return count;
}

static sf_count_t on_tell(void *user)
{
    return (sf_count_t)((const struct memory *)user)->at;
}

static SF_VIRTUAL_IO memory_io(void)
{
    return (SF_VIRTUAL_IO){ on_length, on_seek, on_read, on_write, on_tell };
}

/* Interleaved blocks into planar samples; the number of frames that came. */
static size_t read_planar(float *x, SNDFILE *f, size_t frames, int channels)
{
    enum { block = 4096 };
    float buf[block];
    const size_t ch = (size_t)channels, step = block / ch;
    size_t done = 0;

    while (done < frames) {
        const size_t want = frames - done < step ? frames - done : step;
        const sf_count_t got = sf_readf_float(f, buf, (sf_count_t)want);
        if (got <= 0)
            break;
        for (size_t i = 0; i < (size_t)got; i++)
            for (size_t c = 0; c < ch; c++)
                x[c * frames + done + i] = buf[i * ch + c];
        done += (size_t)got;
    }
    return done;
}

static int read_sound(struct mm_audio *a, SNDFILE *f, const SF_INFO *info, const char *what,
                      size_t limit, struct mm_err *e)
{
    size_t n;

    if (info->frames < 0 || info->channels < 1 || info->channels > 1024 || info->samplerate < 1 ||
        !mm_size_mul((size_t)info->frames, (size_t)info->channels, &n) || n > limit)
        return mm_err_set(e, MM_EDATA,
                          "%s: %lld frames of %d channels at %d Hz, want at most %zu samples", what,
                          (long long)info->frames, info->channels, info->samplerate, limit);
    *a = (struct mm_audio){ .rate = info->samplerate,
                            .channels = info->channels,
                            .frames = (size_t)info->frames,
                            .x = calloc(n ? n : 1, sizeof(float)) };
    if (!a->x)
        return mm_err_set(e, MM_ENOMEM, "%s: %zu samples: out of memory", what, n);
    const size_t got = read_planar(a->x, f, a->frames, a->channels);
    if (got != a->frames)
        return mm_err_set(e, MM_EDATA, "%s: truncated: %zu frames of %zu: %s", what, got, a->frames,
                          sf_error(f) ? sf_strerror(f) : "end of file");
    return 0;
}

/* libsndfile quietly shortens a WAV whose data chunk ends early. */
static int check_wav(const unsigned char *p, size_t n, const char *what, struct mm_err *e)
{
    size_t at = 12;
    bool sound = false;

    if (n < 12 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0)
        return 0;
    while (at + 8 <= n) {
        const size_t size = mm_get_u32(p + at + 4);
        /* 0 and -1 are what a recorder that could not seek back leaves */
        const bool open_end = size == 0 || size >= 0x7fffffff;
        sound = sound || memcmp(p + at, "data", 4) == 0;
        if (sound && open_end)
            return 0;
        if (size > n - at - 8)
            return mm_err_set(e, MM_EDATA, "%s: truncated: chunk at byte %zu has %zu of %zu bytes",
                              what, at, n - at - 8, size);
        at += 8 + size + (size & 1);
    }
    if (!sound)
        return mm_err_set(e, MM_EDATA, "%s: truncated: no data chunk in %zu bytes", what, n);
    return 0;
}

/* libsndfile hands these to a library that prints. */
static bool is_mpeg(const unsigned char *p, size_t n)
{
    return n >= 3 && (memcmp(p, "ID3", 3) == 0 || (p[0] == 0xff && (p[1] & 0xe0) == 0xe0));
}

int mm_audio_decode(struct mm_audio *a, const void *data, size_t n, const char *what,
                    size_t max_samples, struct mm_err *e)
{
    /* only read from, see on_read */
    struct memory m = { .p = (unsigned char *)(uintptr_t)data, .n = n };
    SF_VIRTUAL_IO io = memory_io();
    SF_INFO info = { 0 };
    int rc;

    *a = (struct mm_audio){ 0 };
    if (is_mpeg(data, n))
        return mm_err_set(e, MM_EMISSING, "%s: MPEG audio is not supported yet", what);
    if ((rc = check_wav(data, n, what, e)) != 0)
        return rc;
    SNDFILE *f = sf_open_virtual(&io, SFM_READ, &info, &m);
    if (!f)
        return mm_err_set(e, MM_EDATA, "%s: not a sound file: %s", what, sf_strerror(NULL));
    rc = read_sound(a, f, &info, what, max_samples ? max_samples : default_max_samples, e);
    sf_close(f);
    if (rc)
        mm_audio_free(a);
    return rc;
}

int mm_audio_load(struct mm_audio *a, const char *path, struct mm_err *e)
{
    struct mm_map map;
    int rc;

    *a = (struct mm_audio){ 0 };
    if ((rc = mm_map_open(&map, path, max_file, e)) != 0)
        return rc;
    rc = mm_audio_decode(a, map.data, map.size, path, 0, e);
    mm_map_close(&map);
    return rc;
}

static short to_s16(float x)
{
    const float v = rintf(x * 32767.0f);

    return (short)(v >= 32767.0f ? 32767 : v <= -32768.0f ? -32768 : v == v ? (int)v : 0);
}

/* Planar samples as interleaved blocks; false when the file does not take them. */
static bool write_planar(SNDFILE *f, const struct mm_audio *a, enum mm_wav format)
{
    enum { block = 4096 };
    union { float f[block]; short s[block]; } buf;
    const size_t ch = (size_t)a->channels, step = block / ch;

    for (size_t at = 0; at < a->frames; at += step) {
        const size_t n = a->frames - at < step ? a->frames - at : step;
        for (size_t i = 0; i < n * ch; i++) {
            const float x = a->x[i % ch * a->frames + at + i / ch];
            if (format == MM_WAV_S16)
                buf.s[i] = to_s16(x);
            else
                buf.f[i] = x;
        }
        const sf_count_t put = format == MM_WAV_S16 ? sf_writef_short(f, buf.s, (sf_count_t)n)
                                                    : sf_writef_float(f, buf.f, (sf_count_t)n);
        if (put != (sf_count_t)n)
            return false;
    }
    return true;
}

int mm_audio_wav(unsigned char **data, size_t *n, const struct mm_audio *a, enum mm_wav format,
                 struct mm_err *e)
{
    const size_t width = format == MM_WAV_S16 ? 2 : 4;
    SF_INFO info = { .samplerate = a->rate,
                     .channels = a->channels,
                     .format = SF_FORMAT_WAV |
                               (format == MM_WAV_S16 ? SF_FORMAT_PCM_16 : SF_FORMAT_FLOAT) };
    SF_VIRTUAL_IO io = memory_io();
    struct memory m = { 0 };
    size_t bytes;

    *data = NULL;
    *n = 0;
    if (a->channels < 1 || a->channels > 1024 || a->rate < 1 ||
        !mm_size_mul(a->frames, (size_t)a->channels * width, &bytes) || bytes > 0xfffff000u)
        return mm_err_set(e, MM_EDATA, "no WAV file holds %zu frames of %d channels at %d Hz",
                          a->frames, a->channels, a->rate);
    SNDFILE *f = sf_open_virtual(&io, SFM_WRITE, &info, &m);
    bool ok = f != NULL;
    if (f) {
        /* No PEAK chunk: it holds the time of writing. */
        sf_command(f, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
        ok = write_planar(f, a, format);
        ok = sf_close(f) == 0 && ok;
    }
    if (!ok) {
        free(m.p);
        return mm_err_set(e, MM_ENOMEM, "writing WAV: out of memory");
    }
    *data = m.p;
    *n = m.n;
    return 0;
}
