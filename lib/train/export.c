/* export.c: see export.h. */
#include "train/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/outfile.h"
#include "kernel/kernel.h"

int mm_export_dir(const char *dir, struct mm_err *e)
{
    struct stat st;

    if (mkdir(dir, 0777) == 0 || (errno == EEXIST && stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
        return 0;
    return mm_err_set(e, MM_EIO, "%s:", dir);
}

/* --- files --------------------------------------------------------------------------- */

static const char *const files[] = {
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "generation_config.json", "preprocessor_config.json",
    "processor_config.json", "vocab.json", "merges.txt", "vocab.txt", "chat_template.json",
    "chat_template.jinja", "open_clip_config.json", NULL
};

static int write_bytes(const char *path, const void *p, size_t n, struct mm_err *e)
{
    struct mm_outfile *f;
    const int rc = mm_outfile_open(&f, path, e);

    if (rc < 0)
        return rc;
    mm_outfile_write(f, p, n);
    return mm_outfile_commit(f, e);
}

/* name of directory from to directory to; absent: nothing */
static int copy_file(const char *to, const char *from, const char *name, struct mm_err *e)
{
    struct mm_buf src = { 0 }, dst = { 0 };
    struct mm_map m = { 0 };
    struct stat a, b;
    int rc = 0;

    mm_buf_printf(&src, "%s/%s", from, name);
    mm_buf_printf(&dst, "%s/%s", to, name);
    if (src.failed || dst.failed) {
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    } else if (stat(src.p, &a) == 0 && S_ISREG(a.st_mode) &&
               !(stat(dst.p, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev)) {
        if ((rc = mm_map_open(&m, src.p, (size_t)1 << 30, e)) == 0)
            rc = write_bytes(dst.p, m.data, m.size, e);
        mm_map_close(&m);
    }
    mm_buf_free(&src);
    mm_buf_free(&dst);
    return rc;
}

int mm_export_files(const char *to, const char *from, struct mm_err *e)
{
    struct stat st;
    int rc = 0;

    if (stat(from, &st) < 0)
        return mm_err_set(e, MM_ENOENT, "%s:", from);
    if (!S_ISDIR(st.st_mode)) {
        const char *slash = strrchr(from, '/');
        char *dir = slash ? strndup(from, (size_t)(slash - from + 1)) : strdup(".");

        rc = dir ? copy_file(to, dir, slash ? slash + 1 : from, e)
                 : mm_err_set(e, MM_ENOMEM, "out of memory");
        free(dir);
        return rc;
    }
    for (size_t i = 0; rc == 0 && files[i]; i++)
        rc = copy_file(to, from, files[i], e);
    return rc;
}

static void remove_file(const char *dir, const char *name)
{
    struct mm_buf path = { 0 };

    mm_buf_printf(&path, "%s/%s", dir, name);
    if (!path.failed)
        (void)unlink(path.p);
    mm_buf_free(&path);
}

void mm_export_remove(const char *dir)
{
    remove_file(dir, "model.safetensors");
    remove_file(dir, "config.json");
    for (size_t i = 0; files[i]; i++)
        remove_file(dir, files[i]);
    (void)rmdir(dir);
}

int mm_export_config(const char *dir, const json_t *config, enum mm_dtype dtype,
                     struct mm_err *e)
{
    static const char *const name[] = { [MM_F32] = "float32", [MM_F16] = "float16",
                                        [MM_BF16] = "bfloat16" };
    json_t *j = json_deep_copy(config);
    struct mm_buf path = { 0 };
    char *text = NULL;
    int rc;

    if (j && dtype != MM_NDTYPE)
        json_object_set_new(j, "torch_dtype", json_string(name[dtype]));
    text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    mm_buf_printf(&path, "%s/config.json", dir);
    if (!text || path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    else
        rc = write_bytes(path.p, text, strlen(text), e);
    free(text);
    json_decref(j);
    mm_buf_free(&path);
    return rc;
}

/* --- weights ---------------------------------------------------------------------------- */

float *mm_export_data(const struct mm_set *s, const struct mm_trained *t)
{
    return s->average ? s->average + t->at : s->master ? s->master + t->at : mm_f32(t->var);
}

void *mm_export_as(const struct mm_tensor *t, enum mm_dtype dtype)
{
    const size_t n = mm_tensor_count(t);
    float *x = malloc((n + 1) * sizeof(*x));
    uint16_t *h;

    if (!x)
        return NULL;
    mm_tensor_to_f32(x, t);
    if (dtype == MM_F32)
        return x;
    if ((h = malloc((n + 1) * sizeof(*h)))) {
        if (dtype == MM_F16)
            mm_kern()->to_f16(h, x, n);
        else
            mm_kern()->to_bf16(h, x, n);
    }
    free(x);
    return h;
}

static const struct mm_trained *find(const struct mm_set *s, const char *name)
{
    for (size_t i = 0; s && i < s->n; i++)
        if (!strcmp(s->v[i].name, name))
            return &s->v[i];
    return NULL;
}

/* Rows of x [out, in] as columns: open_clip stores its projections [in, out]. */
static void transpose(float *y, const float *x, size_t out, size_t in)
{
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            y[i * out + o] = x[o * in + i];
}

/* The trained data of a stored tensor in f32 and its layout, malloc'd; *data NULL: it was not
 * trained.  open_clip's fused in_proj is trained in thirds, NAME.0, .1 and .2. */
static int trained(float **data, const struct mm_set *s, const struct mm_ckpt_entry *en,
                   struct mm_err *e)
{
    const size_t n = mm_tensor_count(&en->t), third = n / 3;
    const struct mm_trained *t = find(s, en->name);
    char name[512];

    *data = NULL;
    snprintf(name, sizeof(name), "%s.0", en->name);
    const struct mm_trained *part = t ? NULL : find(s, name);
    if (!t && !part)
        return 0;
    if (!(*data = malloc((n + 1) * sizeof(float))))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    const size_t len = strlen(en->name);
    const bool turned = len >= 4 && !strcmp(en->name + len - 4, "proj");
    if (t && (turned || !strcmp(en->name, "text_projection")))
        transpose(*data, mm_export_data(s, t), (size_t)t->var->t.shape[0],
                  (size_t)t->var->t.shape[1]);
    else if (t)
        memcpy(*data, mm_export_data(s, t), n * sizeof(float));
    for (int i = 0; !t && i < 3; i++) {
        snprintf(name, sizeof(name), "%s.%d", en->name, i);
        if (!(part = find(s, name)))
            return mm_err_set(e, MM_EDATA, "'%s' is trained only in part", en->name);
        memcpy(*data + (size_t)i * third, mm_export_data(s, part), third * sizeof(float));
    }
    return 0;
}

static bool is_float(enum mm_dtype d)
{
    return d == MM_F64 || d == MM_F32 || d == MM_F16 || d == MM_BF16;
}

/* What is written for entry en; *own is to be freed. */
static int one(struct mm_named *out, void **own, const struct mm_ckpt_entry *en,
               const struct mm_set *s, enum mm_dtype dtype, struct mm_err *e)
{
    const enum mm_dtype want = dtype != MM_NDTYPE && is_float(en->t.dtype) ? dtype : en->t.dtype;
    struct mm_tensor t = en->t;
    float *data;
    int rc = trained(&data, s, en, e);

    *own = NULL;
    *out = (struct mm_named){ en->name, en->t };
    if (data) {
        t.dtype = MM_F32;
        t.data = data;
    }
    if (rc == 0 && t.dtype != want) {
        if (!(*own = mm_export_as(&t, want)))
            rc = mm_err_set(e, MM_ENOMEM, "out of memory");
        free(data);
        out->t.dtype = want;
        out->t.data = *own;
    } else if (data) {
        *own = out->t.data = data;
    }
    return rc;
}

static int write_weights(const char *dir, const struct mm_ckpt *ck, const struct mm_set *s,
                         enum mm_dtype dtype, struct mm_err *e)
{
    const size_t n = mm_ckpt_count(ck);
    struct mm_named *v = calloc(n + 1, sizeof(*v));
    void **own = calloc(n + 1, sizeof(*own));
    json_t *meta = json_pack("{s:s}", "format", "pt");
    struct mm_buf path = { 0 };
    int rc = 0;

    mm_buf_printf(&path, "%s/model.safetensors", dir);
    if (!v || !own || !meta || path.failed)
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = one(&v[i], &own[i], mm_ckpt_at(ck, i), s, dtype, e);
    if (rc == 0)
        rc = mm_write_safetensors(path.p, v, n, meta, e);
    for (size_t i = 0; own && i < n; i++)
        free(own[i]);
    free(own);
    free(v);
    json_decref(meta);
    mm_buf_free(&path);
    return rc;
}

int mm_export_model(const char *dir, const struct mm_ckpt *ck, const struct mm_set *s,
                    enum mm_dtype dtype, const json_t *config, struct mm_err *e)
{
    int rc;

    if (mm_ckpt_is_gguf(ck))
        return mm_err_set(e, MM_EMISSING, "%s: a trained model is not written as GGUF: start "
                          "from safetensors, or train an adapter (--lora)", mm_ckpt_path(ck));
    config = config ? config : mm_ckpt_config(ck);
    if ((rc = mm_export_dir(dir, e)) < 0 || (mm_ckpt_dir(ck) &&
        (rc = mm_export_files(dir, mm_ckpt_dir(ck), e)) < 0))
        return rc;
    if (config && (rc = mm_export_config(dir, config, dtype, e)) < 0)
        return rc;
    return write_weights(dir, ck, s, dtype, e);
}
