/* layout.c: the files of a checkpoint directory, and shard indices. */
#include "weights/layout.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/json.h"
#include "weights/shards.h"

/* Tried in this order; an index before the single file it would contradict. */
static const char *const standard[] = {
    "model.safetensors.index.json", "model.safetensors",
    "pytorch_model.bin.index.json", "pytorch_model.bin",
    "open_clip_model.safetensors", "open_clip_pytorch_model.bin",
    "diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin", "consolidated.safetensors",
};

/* Parts of a checkpoint that are never the model itself. */
static const char *const accessory[] = {
    "mm_projector.bin", "non_lora_trainables.bin", "training_args.bin", "optimizer.pt",
    "optimizer.bin", "scheduler.pt", "scheduler.bin", "adapter_model.bin",
    "adapter_model.safetensors",
};

static const char *const suffixes[] = { ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz" };

static bool ends(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && strcmp(s + n - m, tail) == 0;
}

/* DIR/NAME in b (reset first); false when out of memory. */
static bool join(struct mm_buf *b, const char *dir, size_t n, const char *name)
{
    mm_buf_reset(b);
    mm_buf_add(b, dir, n);
    mm_buf_printf(b, "/%s", name);
    return !b->failed;
}

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* A shard's name must stay inside the directory of its index. */
static int check_shard_name(const char *name, struct mm_err *e)
{
    if (!*name || *name == '/')
        return mm_err_set(e, MM_EDATA, "file name '%.200s' is not relative", name);
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return mm_err_set(e, MM_EDATA, "file name '%.200s' leaves the directory", name);
    }
    return 0;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of a weight map, sorted; borrowed from it. */
static int shard_names(const char ***names, size_t *n, const json_t *map, struct mm_err *e)
{
    const char *key;
    json_t *v;
    size_t all = 0;

    *n = 0;
    *names = calloc(json_object_size(map) + 1, sizeof **names);
    if (!*names)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    json_object_foreach ((json_t *)map, key, v) {
        const char *const s = json_string_value(v);
        if (!s)
            return mm_err_set(e, MM_EDATA, "file of tensor '%.200s' is no string", key);
        const int rc = check_shard_name(s, e);
        if (rc < 0)
            return rc;
        (*names)[all++] = s;
    }
    qsort(*names, all, sizeof **names, by_string);
    for (size_t i = 0; i < all; i++)
        if (*n == 0 || strcmp((*names)[*n - 1], (*names)[i]) != 0)
            (*names)[(*n)++] = (*names)[i];
    return 0;
}

/* Every tensor of the map must be in the file the map gives. */
static int check_map(const struct mm_ckpt *ck, const json_t *map, size_t dir_len, struct mm_err *e)
{
    struct mm_buf list = { 0 };
    const char **missing = calloc(json_object_size(map) + 1, sizeof *missing), *key;
    size_t n = 0;
    json_t *v;
    int rc = 0;

    if (!missing)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    json_object_foreach ((json_t *)map, key, v) {
        const struct mm_ckpt_entry *const x = mm_entries_find(&ck->en, key);
        if (!x || strcmp(x->file + dir_len + 1, json_string_value(v)) != 0)
            missing[n++] = key;
    }
    qsort(missing, n, sizeof *missing, by_string);
    for (size_t i = 0; i < n; i++)
        mm_buf_printf(&list, "%s'%s'", i ? ", " : "", missing[i]);
    if (list.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else if (n)
        rc = mm_err_set(e, MM_EDATA, "%zu tensors are not in the files it names: %s", n, list.p);
    mm_buf_free(&list);
    free(missing);
    return rc;
}

static int read_shards(struct mm_ckpt *ck, const json_t *map, const char *index, size_t dir_len,
                       struct mm_err *e)
{
    const char **names = NULL;
    struct mm_buf path = { 0 };
    size_t n = 0;
    int rc = shard_names(&names, &n, map, e);

    if (rc < 0)
        mm_err_prefix(e, "%s", index);
    ck->en.keep_first = true;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!join(&path, index, dir_len, names[i]))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else if (!is_file(path.p))
            rc = mm_err_set(e, MM_EDATA, "%s: shard '%s' is missing", index, names[i]);
        else
            rc = mm_ckpt_add_file(ck, path.p, e);
    }
    if (rc == 0 && (rc = check_map(ck, map, dir_len, e)) < 0)
        mm_err_prefix(e, "%s", index);
    free(names);
    mm_buf_free(&path);
    return rc;
}

int mm_layout_index(struct mm_ckpt *ck, const char *index, struct mm_err *e)
{
    const char *const slash = strrchr(index, '/');
    json_t *root;
    int rc;

    if (!slash) { /* so that "DIR/SHARD" works everywhere */
        struct mm_buf b = { 0 };
        mm_buf_printf(&b, "./%s", index);
        rc = b.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") : mm_layout_index(ck, b.p, e);
        mm_buf_free(&b);
        return rc;
    }
    if ((rc = mm_json_file(&root, index, e)) < 0)
        return rc;
    const json_t *const map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        rc = mm_err_set(e, MM_EDATA, "%s: no \"weight_map\" object", index);
    else
        rc = read_shards(ck, map, index, (size_t)(slash - index), e);
    json_decref(root);
    return rc;
}

static bool is_accessory(const char *name)
{
    for (size_t i = 0; i < sizeof accessory / sizeof *accessory; i++)
        if (strcmp(name, accessory[i]) == 0)
            return true;
    return strncmp(name, "rng_state", 9) == 0;
}

static bool is_meta_shard(const char *name)
{
    return strncmp(name, "consolidated.", 13) == 0 && ends(name, ".pth");
}

/* Is name a part of a split GGUF other than the first? */
static bool is_later_part(const char *name)
{
    const size_t n = strlen(name), tail = strlen("-00001-of-00002.gguf");
    return n > tail && strncmp(name + n - tail + 6, "-of-", 4) == 0 && name[n - tail] == '-' &&
           strncmp(name + n - tail, "-00001", 6) != 0;
}

/* Sorted names of a directory's files that keep() likes; freed by names_free. */
struct names {
    char **v;
    size_t n, cap;
};

static void names_free(struct names *x)
{
    for (size_t i = 0; i < x->n; i++)
        free(x->v[i]);
    free(x->v);
}

static int list_dir(struct names *x, const char *dir, bool (*keep)(const char *), struct mm_err *e)
{
    DIR *const d = opendir(dir);
    const struct dirent *f;
    int rc = 0;

    if (!d)
        return mm_err_set(e, errno == ENOENT ? MM_ENOENT : MM_EIO, "%s:", dir);
    while (rc == 0 && (f = readdir(d))) {
        if (f->d_name[0] == '.' || !keep(f->d_name))
            continue;
        if (!mm_grow(&x->v, &x->cap, x->n + 1, sizeof *x->v) ||
            !(x->v[x->n] = strdup(f->d_name)))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else
            x->n++;
    }
    closedir(d);
    if (x->n)
        qsort(x->v, x->n, sizeof *x->v, by_string);
    return rc;
}

static bool is_gguf(const char *name)
{
    return ends(name, ".gguf") && !is_later_part(name);
}

static bool is_weights(const char *name)
{
    if (is_accessory(name))
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends(name, suffixes[i]))
            return true;
    return false;
}

/* The only file that keep() likes; MM_EDATA when there are several; 0 in
 * *found when there is none. */
static int add_only(struct mm_ckpt *ck, bool (*keep)(const char *), bool *found, struct mm_err *e)
{
    struct names x = { 0 };
    struct mm_buf path = { 0 };
    int rc = list_dir(&x, ck->dir, keep, e);

    *found = rc == 0 && x.n > 0;
    if (rc == 0 && x.n > 1)
        rc = mm_err_set(e, MM_EDATA, "%s: %zu weights files, name one: '%s', '%s'...", ck->dir,
                        x.n, x.v[0], x.v[1]);
    else if (*found)
        rc = join(&path, ck->dir, strlen(ck->dir), x.v[0])
                 ? mm_ckpt_add_file(ck, path.p, e)
                 : mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_buf_free(&path);
    names_free(&x);
    return rc;
}

static int add_meta_shards(struct mm_ckpt *ck, bool *found, struct mm_err *e)
{
    struct names x = { 0 };
    int rc = list_dir(&x, ck->dir, is_meta_shard, e);

    *found = rc == 0 && x.n > 0;
    if (*found)
        rc = mm_shards_join(ck, (const char *const *)x.v, x.n, e);
    names_free(&x);
    return rc;
}

/* One of the standard names, if it is there. */
static int add_standard(struct mm_ckpt *ck, bool *found, struct mm_err *e)
{
    struct mm_buf path = { 0 };
    int rc = 0;

    *found = false;
    for (size_t i = 0; i < sizeof standard / sizeof *standard && !*found && rc == 0; i++) {
        if (!join(&path, ck->dir, strlen(ck->dir), standard[i]))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else if (is_file(path.p)) {
            *found = true;
            rc = ends(standard[i], ".json") ? mm_layout_index(ck, path.p, e)
                                            : mm_ckpt_add_file(ck, path.p, e);
        }
    }
    mm_buf_free(&path);
    return rc;
}

/* LLaVA keeps the projector beside the language model, and what it trained
 * besides LoRA beside the adapter; what the model already has is not replaced. */
static int add_projector(struct mm_ckpt *ck, bool *found, struct mm_err *e)
{
    static const char *const names[] = { "mm_projector.bin", "non_lora_trainables.bin" };
    struct mm_buf path = { 0 };
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0 && (i == 0 || !*found); i++) {
        if (!join(&path, ck->dir, strlen(ck->dir), names[i]))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        else if (is_file(path.p)) {
            ck->en.keep_first = true;
            *found = true;
            rc = mm_ckpt_add_file(ck, path.p, e);
        }
    }
    if (rc == 0 && !*found && join(&path, ck->dir, strlen(ck->dir), "adapter_config.json") &&
        is_file(path.p))
        rc = mm_err_set(e, MM_EMISSING, "%s: an adapter; its base model is needed too (--base)",
                        ck->dir);
    mm_buf_free(&path);
    return rc;
}

int mm_layout_dir(struct mm_ckpt *ck, struct mm_err *e)
{
    bool found;
    int rc = add_standard(ck, &found, e);

    if (rc == 0 && !found)
        rc = add_meta_shards(ck, &found, e);
    if (rc == 0 && !found)
        rc = add_only(ck, is_gguf, &found, e);
    if (rc == 0 && !found)
        rc = add_only(ck, is_weights, &found, e);
    if (rc == 0)
        rc = add_projector(ck, &found, e);
    if (rc == 0 && !found)
        rc = mm_err_set(e, MM_ENOENT, "%s: no weights in this directory", ck->dir);
    return rc;
}
