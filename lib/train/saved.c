/* saved.c: see saved.h. */
#include "train/saved.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/buf.h"
#include "weights/write.h"

#define FORMAT "mm-train 1"
#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Temporaries of base/outfile.h, of files that may be large, in dir/sub. */
static int sweep(const char *dir, const char *sub, struct mm_err *e)
{
    static const char *const large[] = { "state.safetensors", "model.safetensors",
                                         "adapter_model.safetensors", "log.jsonl" };
    struct mm_buf path = { 0 };
    const struct dirent *d;
    DIR *at;

    mm_buf_printf(&path, "%s/%s", dir, sub);
    at = path.failed ? NULL : opendir(path.p);
    while (at && (d = readdir(at)))
        for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++) {
            const size_t n = strlen(large[i]);

            if (!strncmp(d->d_name, large[i], n) && d->d_name[n] == '.' &&
                strspn(d->d_name + n + 1, ALNUM) == 6 && strlen(d->d_name + n) == 7)
                (void)unlinkat(dirfd(at), d->d_name, 0);
        }
    if (at)
        closedir(at);
    const bool failed = path.failed;
    mm_buf_free(&path);
    return failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
}

int mm_saved_claim(int *fd, const char *dir, struct mm_err *e)
{
    int rc;

    if ((*fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return mm_err_set(e, MM_EIO, "%s:", dir);
    if (flock(*fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return mm_err_set(e, MM_EIO, "%s: another run is at it", dir);
    if ((rc = sweep(dir, "", e)) == 0 && (rc = sweep(dir, "start", e)) == 0)
        rc = sweep(dir, "adapter", e);
    return rc;
}

/* The arrays of a weight, each under its letter. */
struct kept {
    char letter;
    float *data;
};

static size_t arrays(struct kept *k, const struct mm_set *s, const struct mm_trained *t)
{
    size_t n = 0;

    k[n++] = (struct kept){ 'w', s->master ? s->master + t->at : mm_f32(t->var) };
    k[n++] = (struct kept){ 'm', s->m + t->at };
    k[n++] = (struct kept){ 'v', s->v2 + t->at };
    if (s->average)
        k[n++] = (struct kept){ 'a', s->average + t->at };
    return n;
}

static json_t *metadata(int64_t updates, const json_t *settings)
{
    json_t *meta = json_deep_copy(settings);
    char n[32];

    snprintf(n, sizeof(n), "%" PRId64, updates);
    if (!meta || json_object_set_new(meta, "format", json_string(FORMAT)) < 0 ||
        json_object_set_new(meta, "updates", json_string(n)) < 0) {
        json_decref(meta);
        return NULL;
    }
    return meta;
}

int mm_saved_write(const char *path, const struct mm_set *s, int64_t updates,
                  const json_t *settings, struct mm_err *e)
{
    struct mm_named *v = calloc(4 * s->n + 1, sizeof(*v));
    json_t *meta = metadata(updates, settings);
    struct mm_buf names = { 0 };
    size_t n = 0;
    int rc;

    /* names first: the buffer moves while it grows */
    for (size_t i = 0; i < s->n; i++)
        for (const char *c = "wmva"; *c; c++) {
            mm_buf_printf(&names, "%c/%s", *c, s->v[i].name);
            mm_buf_char(&names, '\0');
        }
    if (!v || !meta || names.failed) {
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        goto out;
    }
    const char *name = names.p;
    for (size_t i = 0; i < s->n; i++) {
        struct kept k[4];
        const size_t have = arrays(k, s, &s->v[i]);

        for (size_t j = 0; j < 4; j++, name += strlen(name) + 1)
            if (j < have) {
                v[n] = (struct mm_named){ name, s->v[i].var->t };
                v[n].t.dtype = MM_F32;
                v[n++].t.data = k[j].data;
            }
    }
    rc = mm_write_safetensors(path, v, n, meta, e);
out:
    mm_buf_free(&names);
    json_decref(meta);
    free(v);
    return rc;
}

/* Every setting as it was. */
static int compare(const char *path, const json_t *was, const json_t *is, struct mm_err *e)
{
    const char *format = json_string_value(json_object_get(was, "format"));
    const char *key;
    json_t *v;

    if (!format || strcmp(format, FORMAT))
        return mm_err_set(e, MM_EDATA, "%s: no checkpoint of mm-train", path);
    json_object_foreach((json_t *)is, key, v) {
        const json_t *old = json_object_get(was, key);

        if (old && !json_equal((json_t *)old, v)) /* what is not told is not compared */
            return mm_err_set(e, MM_EDATA, "%s: made with %s '%s', now it is '%s'", path, key,
                              json_string_value(old), json_string_value(v));
    }
    return 0;
}

static int load_one(const struct mm_ckpt *ck, struct mm_set *s, const struct mm_trained *t,
                    struct mm_err *e)
{
    struct kept k[4];
    const size_t n = arrays(k, s, t);

    for (size_t j = 0; j < n; j++) {
        char name[512];

        snprintf(name, sizeof(name), "%c/%s", k[j].letter, t->name);
        const struct mm_ckpt_entry *en = mm_ckpt_lookup(ck, name);
        if (!en || en->t.dtype != MM_F32 || !mm_shape_eq(&en->t, &t->var->t))
            return mm_err_set(e, MM_EDATA, "%s: tensor '%s' is missing or of another shape",
                              mm_ckpt_path(ck), name);
        memcpy(k[j].data, en->t.data, t->n * sizeof(float));
    }
    for (size_t i = 0; s->master && i < t->n; i++)
        mm_f32(t->var)[i] = mm_bf16_to_f32(mm_f32_to_bf16(s->master[t->at + i]));
    return 0;
}

int64_t mm_saved_read(const char *path, struct mm_set *s, const json_t *settings,
                      struct mm_err *e)
{
    struct mm_ckpt *ck = NULL;
    int64_t updates = 0;
    int rc;

    if (access(path, F_OK) < 0)
        return 0;
    if ((rc = mm_ckpt_open(&ck, path, e)) < 0)
        return rc;
    rc = compare(path, mm_ckpt_meta(ck), settings, e);
    for (size_t i = 0; rc == 0 && i < s->n; i++)
        rc = load_one(ck, s, &s->v[i], e);
    if (rc == 0) {
        const char *n = json_string_value(json_object_get(mm_ckpt_meta(ck), "updates"));

        updates = n ? strtoll(n, NULL, 10) : 0;
        if (updates < 0)
            rc = mm_err_set(e, MM_EDATA, "%s: %" PRId64 " updates", path, updates);
    }
    mm_ckpt_close(ck);
    return rc < 0 ? rc : updates;
}
