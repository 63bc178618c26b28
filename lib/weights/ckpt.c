/* ckpt.c: opening a checkpoint, telling its container, and its accessors. */
#include "weights/ckpt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/rng.h"
#include "weights/ckpt_impl.h"
#include "weights/layout.h"
#include "weights/npy.h"
#include "weights/safetensors.h"
#include "weights/torch.h"
#include "weights/torch_legacy.h"
#include "weights/torch_tar.h"
#include "weights/zip.h"

#define MAX_PIPE ((size_t)16 << 30) /* largest checkpoint read from a pipe */

static bool begins(const unsigned char *data, size_t size, const char *s)
{
    const size_t n = strlen(s);
    return size >= n && memcmp(data, s, n) == 0;
}

/* What is certainly no checkpoint, said in words. */
static const char *known_stranger(const unsigned char *data, size_t size)
{
    if (begins(data, size, "version https://git-lfs"))
        return "a Git LFS pointer, not the weights: fetch them with git lfs pull";
    if (begins(data, size, "\x1f\x8b"))
        return "gzip data: decompress it first";
    if (begins(data, size, "<!DOCTYPE") || begins(data, size, "<!doctype") ||
        begins(data, size, "<html") || begins(data, size, "<HTML"))
        return "an HTML page, not weights: a failed download";
    if (begins(data, size, "PYTORCH1"))
        return "a PyTorch preview container, which is not supported";
    if (begins(data, size, "FUGG"))
        return "a big-endian GGUF, which is not supported";
    if (begins(data, size, "\x89HDF\r\n"))
        return "an HDF5 file, which is not supported";
    if (size == 0)
        return "empty file";
    return NULL;
}

static int add_gguf(struct mm_ckpt *ck, const unsigned char *data, size_t size, const char *file,
                    struct mm_err *e)
{
    struct mm_gguf *g;
    const int rc = mm_gguf_open(&g, &ck->en, data, size, file, e);

    if (rc < 0)
        return rc;
    if (ck->gguf)
        mm_gguf_close(g);
    else
        ck->gguf = g;
    return 0;
}

static int add_safetensors(struct mm_ckpt *ck, const unsigned char *data, size_t size,
                           const char *file, struct mm_err *e)
{
    json_t *meta;
    const int rc = mm_safetensors_read(&ck->en, &meta, data, size, file, e);

    if (rc < 0)
        return rc;
    if (ck->meta)
        json_decref(meta);
    else
        ck->meta = meta;
    return 0;
}

static int add_zip(struct mm_ckpt *ck, const unsigned char *data, size_t size, const char *file,
                   struct mm_err *e)
{
    struct mm_zip *z;
    int rc = mm_zip_open(&z, data, size, e);

    if (rc < 0)
        return rc;
    rc = mm_npz_is(z) ? mm_npz_read(&ck->en, z, file, e) : mm_torch_read(&ck->en, z, file, e);
    mm_zip_close(z);
    return rc;
}

int mm_ckpt_add_bytes(struct mm_ckpt *ck, const unsigned char *data, size_t size,
                      const char *file, struct mm_err *e)
{
    const char *const what = known_stranger(data, size);

    if (what)
        return mm_err_set(e, MM_EDATA, "%s", what);
    if (begins(data, size, "PK\x03\x04") || begins(data, size, "PK\x05\x06"))
        return add_zip(ck, data, size, file, e);
    if (begins(data, size, "GGUF"))
        return add_gguf(ck, data, size, file, e);
    if (begins(data, size, "\x93NUMPY"))
        return mm_npy_read(&ck->en, "", data, size, file, e);
    if (mm_torch_legacy_is(data, size))
        return mm_torch_legacy_read(&ck->en, data, size, file, e);
    if (mm_torch_tar_is(data, size))
        return mm_torch_tar_read(&ck->en, data, size, file, e);
    /* No magic: what has a plausible header length is safetensors; the reader
     * says what is wrong with it. */
    if (size >= 8 && (mm_get_u64(data) <= 100000000u || (size > 8 && data[8] == '{')))
        return add_safetensors(ck, data, size, file, e);
    return mm_err_set(e, MM_EDATA, "not a weights file of any known kind");
}

/* Map one file and append its tensors. */
static int add_one(struct mm_ckpt *ck, const char *path, struct mm_err *e)
{
    if (!mm_grow(&ck->maps, &ck->maps_cap, ck->nmaps + 1, sizeof *ck->maps))
        return mm_err_set(e, MM_ENOMEM, "out of memory");

    struct mm_map *const m = &ck->maps[ck->nmaps];
    int rc = mm_map_open(m, path, MAX_PIPE, e);
    if (rc < 0)
        return rc;
    ck->nmaps++;
    const char *const file = mm_entries_file(&ck->en, path, m->size);
    if (!file)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    rc = mm_ckpt_add_bytes(ck, m->data, m->size, file, e);
    return rc < 0 ? mm_err_prefix(e, "%s", path) : 0;
}

/* A GGUF of several parts, X-00001-of-0000N.gguf: append the others. */
static int add_splits(struct mm_ckpt *ck, const char *path, struct mm_err *e)
{
    const int64_t count = mm_gguf_get_int(ck->gguf, "split.count", 0);
    const int64_t no = mm_gguf_get_int(ck->gguf, "split.no", 0);
    const size_t n = strlen(path), tail = strlen("-00001-of-00002.gguf");
    int rc = 0;

    if (count <= 1)
        return 0;
    if (no != 0) {
        mm_entries_warn(&ck->en, "%s: part %lld of %lld: the first part opens all", path,
                        (long long)no + 1, (long long)count);
        return 0;
    }
    if (count > 99999 || n < tail || strncmp(path + n - tail, "-00001-of-", 10) != 0)
        return mm_err_set(e, MM_EDATA, "%s: first of %lld parts, but not named "
                          "NAME-00001-of-0000N.gguf", path, (long long)count);
    for (int64_t i = 2; i <= count && rc == 0; i++) {
        struct mm_buf name = { 0 };
        mm_buf_add(&name, path, n - tail);
        mm_buf_printf(&name, "-%05d-of-%05d.gguf", (int)i, (int)count);
        rc = name.failed ? mm_err_set(e, MM_ENOMEM, "out of memory")
                         : add_one(ck, name.p, e);
        mm_buf_free(&name);
    }
    const int64_t want = mm_gguf_get_int(ck->gguf, "split.tensors.count", -1);
    if (rc == 0 && want >= 0 && (uint64_t)want != ck->en.n)
        return mm_err_set(e, MM_EDATA, "%s: %zu tensors in %lld parts, split.tensors.count is "
                          "%lld", path, ck->en.n, (long long)count, (long long)want);
    return rc;
}

int mm_ckpt_add_file(struct mm_ckpt *ck, const char *path, struct mm_err *e)
{
    const bool first = !ck->gguf;
    const int rc = add_one(ck, path, e);

    return rc == 0 && first && ck->gguf ? add_splits(ck, path, e) : rc;
}

/* config.json: of the directory, or beside a file that is no GGUF. */
static int read_config(struct mm_ckpt *ck, struct mm_err *e)
{
    if (ck->gguf)
        return 0;
    const int rc = mm_ckpt_json(&ck->config, ck, "config.json", e);
    if (rc == 0 && ck->config && !json_is_object(ck->config))
        return mm_err_set(e, MM_EDATA, "%s/config.json: no JSON object", ck->dir);
    return rc;
}

static struct mm_ckpt *ckpt_new(const char *path, struct mm_err *e)
{
    struct mm_ckpt *const ck = calloc(1, sizeof *ck);

    if (!ck || !(ck->path = strdup(path)) || mm_entries_init(&ck->en, e) < 0) {
        mm_err_set(e, MM_ENOMEM, "out of memory");
        mm_ckpt_close(ck);
        return NULL;
    }
    return ck;
}

/* The directory part of path, "." if it has none. */
static char *dir_of(const char *path)
{
    const char *const slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static bool ends(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

static int open_path(struct mm_ckpt *ck, const char *path, struct mm_err *e)
{
    struct stat st;
    int rc;

    if (stat(path, &st) < 0)
        return mm_err_set(e, errno == ENOENT || errno == ENOTDIR ? MM_ENOENT : MM_EIO, "%s:",
                          path);
    ck->dir = S_ISDIR(st.st_mode) ? strdup(path) : dir_of(path);
    if (!ck->dir)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (S_ISDIR(st.st_mode))
        rc = mm_layout_dir(ck, e);
    else if (ends(path, ".index.json"))
        rc = mm_layout_index(ck, path, e);
    else
        rc = mm_ckpt_add_file(ck, path, e);
    if (rc < 0)
        return rc;
    if (ck->gguf && !(ck->meta = mm_gguf_json(ck->gguf)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return read_config(ck, e);
}

int mm_ckpt_open(struct mm_ckpt **ck, const char *path, struct mm_err *e)
{
    *ck = NULL;
    struct mm_ckpt *const c = ckpt_new(path, e);
    if (!c)
        return MM_ENOMEM;
    const int rc = open_path(c, path, e);
    if (rc < 0)
        mm_ckpt_close(c);
    else
        *ck = c;
    return rc;
}

int mm_ckpt_open_mem(struct mm_ckpt **ck, const void *data, size_t size, const char *what,
                     struct mm_err *e)
{
    *ck = NULL;
    struct mm_ckpt *const c = ckpt_new(what, e);
    if (!c)
        return MM_ENOMEM;
    const char *const file = mm_entries_file(&c->en, what, size);
    int rc = file ? mm_ckpt_add_bytes(c, data, size, file, e)
                  : mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc < 0)
        mm_err_prefix(e, "%s", what);
    if (rc == 0 && c->gguf && !(c->meta = mm_gguf_json(c->gguf)))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc < 0)
        mm_ckpt_close(c);
    else
        *ck = c;
    return rc;
}

void mm_ckpt_close(struct mm_ckpt *ck)
{
    if (!ck)
        return;
    for (size_t i = 0; i < ck->nparts; i++)
        mm_ckpt_close(ck->part[i]);
    free(ck->part);
    mm_entries_free(&ck->en);
    mm_gguf_close(ck->gguf);
    for (size_t i = 0; i < ck->nmaps; i++)
        mm_map_close(&ck->maps[i]);
    free(ck->maps);
    json_decref(ck->config);
    json_decref(ck->meta);
    free(ck->path);
    free(ck->dir);
    free(ck);
}

const char *mm_ckpt_path(const struct mm_ckpt *ck)
{
    return ck->path;
}

const char *mm_ckpt_dir(const struct mm_ckpt *ck)
{
    return ck->dir;
}

size_t mm_ckpt_count(const struct mm_ckpt *ck)
{
    return ck->en.n;
}

const struct mm_ckpt_entry *mm_ckpt_at(const struct mm_ckpt *ck, size_t i)
{
    return &ck->en.v[i];
}

void mm_ckpt_release(const struct mm_ckpt *ck, const struct mm_tensor *t)
{
    for (size_t i = 0; i < ck->nmaps; i++)
        if (mm_map_release(&ck->maps[i], t->data, mm_tensor_bytes(t)))
            return;
    for (size_t i = 0; i < ck->nparts; i++)
        mm_ckpt_release(ck->part[i], t);
}

const struct mm_ckpt_entry *mm_ckpt_lookup(const struct mm_ckpt *ck, const char *name)
{
    return mm_entries_find(&ck->en, name);
}

const json_t *mm_ckpt_config(const struct mm_ckpt *ck)
{
    return ck->config;
}

int mm_ckpt_json(json_t **out, const struct mm_ckpt *ck, const char *file, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    struct stat st;
    int rc = 0;

    *out = NULL;
    if (!ck->dir)
        return 0;
    mm_buf_printf(&path, "%s/%s", ck->dir, file);
    if (path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (stat(path.p, &st) == 0)
        rc = mm_json_file(out, path.p, e);
    mm_buf_free(&path);
    return rc;
}

const json_t *mm_ckpt_meta(const struct mm_ckpt *ck)
{
    return ck->meta;
}

bool mm_ckpt_is_gguf(const struct mm_ckpt *ck)
{
    return ck->gguf != NULL;
}

const struct mm_gguf *mm_ckpt_gguf(const struct mm_ckpt *ck)
{
    return ck->gguf;
}

const char *mm_ckpt_warning(const struct mm_ckpt *ck, size_t i)
{
    return i < ck->en.nwarn ? ck->en.warn[i] : NULL;
}

/* Up to 256 bytes from the middle of a tensor: one page of each is touched. */
static uint64_t sample(uint64_t h, const struct mm_tensor *t)
{
    const size_t bytes = mm_tensor_bytes(t), n = bytes < 256 ? bytes : 256;

    return mm_hash64_add(h, (const char *)t->data + (bytes - n) / 2, n);
}

uint64_t mm_ckpt_fingerprint(const struct mm_ckpt *ck)
{
    uint64_t h[2] = { 0, 0 };

    for (size_t i = 0; i < ck->en.n; i++) {
        const struct mm_ckpt_entry *const x = &ck->en.v[i];
        const char *const dtype = mm_dtype_name(x->t.dtype);
        h[1] = mm_hash64(x->name, strlen(x->name) + 1);
        h[1] = mm_hash64_add(h[1], dtype, strlen(dtype));
        for (int d = 0; d < x->t.ndim; d++) {
            char size[24];
            const int n = snprintf(size, sizeof size, ",%lld", (long long)x->t.shape[d]);
            h[1] = mm_hash64_add(h[1], size, (size_t)n);
        }
        h[1] = sample(h[1], &x->t);
        h[0] = mm_hash64(h, sizeof h);
    }
    return h[0];
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Adds where the models lie that come with this program: PREFIX/share/mm/models of one in
 * PREFIX/bin, TOP/lib/models/small of one in TOP/build/CONFIG/bin. */
static void own_models(struct mm_buf *b)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe));

    n = n > 0 && (size_t)n < sizeof(exe) ? n : 0;
    for (int up = 0; up < 4 && n > 0; up++) {
        while (n > 0 && exe[--n] != '/') /* cut the last part of the path */
            ;
        if (up == 1)
            mm_buf_printf(b, ":%.*s/share/mm/models", (int)n, exe);
    }
    if (n > 0)
        mm_buf_printf(b, ":%.*s/lib/models/small", (int)n, exe);
}

/* The colon list of directories to search. */
static void search_path(struct mm_buf *b)
{
    const char *const models = getenv("MM_MODELS");
    const char *const data = getenv("XDG_DATA_HOME"), *const home = getenv("HOME");

    if (models && *models)
        mm_buf_str(b, models);
    else if (data && *data)
        mm_buf_printf(b, "%s/mm/models", data);
    else if (home && *home)
        mm_buf_printf(b, "%s/.local/share/mm/models", home);
    own_models(b);
}

int mm_ckpt_find(char **path, const char *name, struct mm_err *e)
{
    struct mm_buf list = { 0 }, at = { 0 };
    int rc = 0;

    *path = NULL;
    if (!*name)
        return mm_err_set(e, MM_ENOENT, "model '': the name is empty");
    if (exists(name) || strchr(name, '/')) {
        if (!exists(name))
            return mm_err_set(e, MM_ENOENT, "%s:", name);
        *path = strdup(name);
        return *path ? 0 : mm_err_set(e, MM_ENOMEM, "out of memory");
    }

    search_path(&list);
    for (const char *p = list.failed ? "" : list.p; *p && !*path;) {
        const size_t n = strcspn(p, ":");
        if (n) {
            mm_buf_reset(&at);
            mm_buf_add(&at, p, n);
            mm_buf_printf(&at, "/%s", name);
            if (!at.failed && exists(at.p)) {
                *path = at.p;
                at = (struct mm_buf){ 0 };
            }
        }
        p += n + (p[n] == ':');
    }
    if (list.failed || at.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (!*path)
        rc = mm_err_set(e, MM_ENOENT, "model '%s': not here, nor in %s", name,
                        list.p[0] == ':' ? list.p + 1 : list.p);
    mm_buf_free(&list);
    mm_buf_free(&at);
    return rc;
}

int mm_ckpt_find_named(char **path, const char *dir, const char *name, struct mm_err *e)
{
    const char *const last = strrchr(name, '/');
    struct mm_err again = { 0 };
    struct mm_buf at = { 0 };

    *path = NULL;
    mm_buf_printf(&at, "%s/%s", dir, name);
    if (at.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (name[0] != '/' && exists(at.p)) {
        *path = at.p;
        return 0;
    }
    mm_buf_free(&at);
    if (mm_ckpt_find(path, name, e) == 0 || e->code != MM_ENOENT)
        return e->code;
    if (last && mm_ckpt_find(path, last + 1, &again) == 0)
        mm_err_clear(e);
    return e->code;
}
