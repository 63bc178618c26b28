/* mm-unpack: records to files.
 *
 *   tensors -> .npz .safetensors (all), .npy .csv (one), .png (u8 [h, w, c]), .wav
 *   texts -> .txt     json -> .json     everything -> a directory, a file each
 *
 * Nothing is written before the input has ended properly.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/csv.h"
#include "base/outfile.h"
#include "media/audio.h"
#include "media/image.h"
#include "stream/cmdio.h"
#include "weights/write.h"

static const char usage[] =
    "mm-unpack [-qv] -o output [--format word] [--max-record size] [file ...]";
static const char help[] =
    "Writes records as files.\n"
    "  -o OUTPUT          x.npz x.npy x.safetensors x.png x.wav x.txt x.json x.csv, or a\n"
    "                     directory (one that exists, or a name that ends in /)\n"
    "      --format WORD  npz npy safetensors png wav txt json csv dir: not by the name\n"
    "      --max-record SIZE  largest record accepted (1G)\n";

enum { OPT_FORMAT = MM_OPT_FIRST };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_MAX_RECORD_LONG,
    { "output", required_argument, NULL, 'o' },
    { "format", required_argument, NULL, OPT_FORMAT },
    { NULL, 0, NULL, 0 },
};

enum form { NPZ, NPY, SAFETENSORS, PNG, WAV, TXT, JSON, CSV, DIR, NONE };

static const char *const forms[] = { "npz", "npy",  "safetensors", "png", "wav",
                                     "txt", "json", "csv",         "dir", NULL };

struct opts {
    const char *output;
    int form; /* enum form */
    size_t max_record;
};

/* A record held until the input has ended. */
struct held {
    enum mm_rec_type type;
    struct mm_tensor t;
    char *data;      /* malloc'd */
    size_t size;
    char *name;      /* malloc'd, never empty */
    char *columns;   /* x-columns, malloc'd, or NULL */
    int rate;        /* 0: none */
    bool picture;    /* kind image */
};

struct unpacker {
    const struct opts *o;
    struct mm_cmd *cmd;
    struct held *v;
    size_t n, cap;
};

static void free_held(struct held *h)
{
    free(h->data);
    free(h->name);
    free(h->columns);
}

/* The name of a record: its own, or made of kind and item, or its number. */
static char *name_of(const struct mm_rec *rec, size_t number)
{
    const char *name = mm_rec_attr(rec, "name");
    const char *kind = mm_rec_attr(rec, "kind");
    const char *item = mm_rec_attr(rec, "item");
    struct mm_buf b = { 0 };

    if (name != NULL && name[0] != '\0')
        return strdup(name);
    if (kind != NULL && kind[0] != '\0')
        mm_buf_printf(&b, "%s.%s", kind, item != NULL ? item : "0");
    else
        mm_buf_printf(&b, "arr_%zu", number);
    if (b.failed)
        mm_buf_free(&b);
    return b.p;
}

static int hold(struct unpacker *u, const struct mm_rec *rec)
{
    const char *columns = mm_rec_attr(rec, "x-columns");
    struct held h = { .type = rec->type, .t = rec->t, .size = rec->size };

    h.name = name_of(rec, u->n);
    h.data = malloc(rec->size + 1);
    h.rate = (int)mm_rec_int(rec, "rate", 0);
    h.picture = mm_rec_is(rec, "image");
    if (columns != NULL)
        h.columns = strdup(columns);
    if (h.name == NULL || h.data == NULL || (columns != NULL && h.columns == NULL)
        || !mm_grow(&u->v, &u->cap, u->n + 1, sizeof(*u->v))) {
        free_held(&h);
        return mm_err_set(&u->cmd->err, MM_ENOMEM, "out of memory");
    }
    memcpy(h.data, rec->data, rec->size);
    h.data[rec->size] = '\0';
    h.t.data = h.data;
    u->v[u->n++] = h;
    return 0;
}

static int collect(struct unpacker *u, char *const *files, int n)
{
    struct mm_input *in = NULL;
    struct mm_rec rec;
    int rc = mm_input_open(&in, files, n, u->o->max_record, &u->cmd->err);

    while (rc == 0 && (rc = mm_input_get(in, &rec, &u->cmd->err)) > 0)
        rc = hold(u, &rec);
    mm_input_close(in);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Refuses two records of one type with one name. */
static int check_names(struct unpacker *u, enum mm_rec_type type)
{
    const char **names = malloc((u->n + 1) * sizeof(*names));
    size_t n = 0;
    int rc = 0;

    if (names == NULL)
        return mm_err_set(&u->cmd->err, MM_ENOMEM, "out of memory");
    for (size_t i = 0; i < u->n; i++)
        if (u->v[i].type == type)
            names[n++] = u->v[i].name;
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 1; i < n && rc == 0; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            rc = mm_err_set(&u->cmd->err, MM_EDATA, "%s: two records have the name '%s'",
                            u->o->output, names[i]);
    free(names);
    return rc;
}

static size_t count_type(const struct unpacker *u, enum mm_rec_type type)
{
    size_t n = 0;

    for (size_t i = 0; i < u->n; i++)
        n += u->v[i].type == type;
    return n;
}

static void warn_left_out(const struct unpacker *u, size_t written)
{
    if (written < u->n)
        mm_cmd_warn(u->cmd, "%s: %zu records of another type are left out", u->o->output,
                    u->n - written);
}

static int write_bytes(const char *path, const void *p, size_t n, struct mm_err *e)
{
    struct mm_outfile *f = NULL;
    int rc = mm_outfile_open(&f, path, e);

    if (rc < 0)
        return rc;
    mm_outfile_write(f, p, n);
    return mm_outfile_commit(f, e);
}

/* Drops leading axes of length 1 until at most n are left. */
static struct mm_tensor squeeze(struct mm_tensor t, int n)
{
    while (t.ndim > n && t.shape[0] == 1) {
        t.ndim--;
        memmove(t.shape, t.shape + 1, (size_t)t.ndim * sizeof(t.shape[0]));
    }
    return t;
}

static int shape_error(const struct held *h, const char *want, struct mm_err *e)
{
    char shape[200];

    return mm_err_set(e, MM_ESHAPE, "'%s': %s %s, want %s", h->name, mm_dtype_name(h->t.dtype),
                      mm_shape_str(shape, sizeof(shape), h->t.shape, h->t.ndim), want);
}

static int write_png(const char *path, const struct held *h, struct mm_err *e)
{
    static const enum mm_image_mode modes[] = { MM_IMG_L, MM_IMG_LA, MM_IMG_RGB, MM_IMG_RGBA };
    const struct mm_tensor t = squeeze(h->t, 3);
    const int64_t channels = t.ndim == 3 ? t.shape[2] : 1;
    struct mm_image im = { 0 };
    unsigned char *png = NULL;
    size_t n = 0;
    int rc;

    if (t.dtype != MM_U8 || t.ndim < 2 || t.ndim > 3 || channels < 1 || channels > 4
        || t.shape[0] < 1 || t.shape[1] < 1 || t.shape[0] > INT32_MAX || t.shape[1] > INT32_MAX)
        return shape_error(h, "u8 [height,width,1..4]", e);
    im.mode = modes[channels - 1];
    im.h = (int)t.shape[0];
    im.w = (int)t.shape[1];
    im.px = t.data;
    rc = mm_image_png(&png, &n, &im, e);
    if (rc == 0)
        rc = write_bytes(path, png, n, e);
    free(png);
    return rc;
}

static int write_wav(const char *path, const struct held *h, struct mm_err *e)
{
    const struct mm_tensor t = squeeze(h->t, 2);
    struct mm_audio a = { .rate = h->rate, .channels = 1 };
    unsigned char *wav = NULL;
    size_t n = 0;
    int rc;

    if (t.ndim < 1 || t.ndim > 2 || t.dtype == MM_C64
        || (t.ndim == 2 && (t.shape[0] < 1 || t.shape[0] > 1024)))
        return shape_error(h, "[channels,frames]", e);
    if (h->rate < 1)
        return mm_err_set(e, MM_EDATA, "'%s': no attribute rate", h->name);
    if (t.ndim == 2)
        a.channels = (int)t.shape[0];
    a.frames = (size_t)t.shape[t.ndim - 1];
    a.x = malloc(mm_tensor_count(&t) * sizeof(*a.x) + 1);
    if (a.x == NULL)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    mm_tensor_to_f32(a.x, &t);
    rc = mm_audio_wav(&wav, &n, &a, MM_WAV_F32, e);
    if (rc == 0)
        rc = write_bytes(path, wav, n, e);
    free(wav);
    free(a.x);
    return rc;
}

static int write_csv(const char *path, const struct held *h, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    int rc = mm_csv_write(&b, &h->t, h->columns, e);

    if (rc == 0)
        rc = write_bytes(path, b.p != NULL ? b.p : "", b.n, e);
    else
        mm_err_prefix(e, "'%s'", h->name);
    mm_buf_free(&b);
    return rc;
}

/* The one tensor of the input, in a form that holds no more. */
static int write_single(struct unpacker *u)
{
    const size_t n = count_type(u, MM_REC_TENSOR);
    const char *path = u->o->output;
    struct mm_err *e = &u->cmd->err;
    const struct held *h = u->v;

    if (n != 1)
        return mm_err_set(e, MM_EDATA, "%s: holds one tensor, the input has %zu", path, n);
    while (h->type != MM_REC_TENSOR)
        h++;
    warn_left_out(u, 1);
    switch (u->o->form) {
    case PNG:
        return write_png(path, h, e);
    case WAV:
        return write_wav(path, h, e);
    case CSV:
        return write_csv(path, h, e);
    default:
        return mm_write_npy(path, &h->t, e);
    }
}

static int write_many(struct unpacker *u)
{
    struct mm_named *v = malloc((u->n + 1) * sizeof(*v));
    size_t n = 0;
    int rc = check_names(u, MM_REC_TENSOR);

    if (v == NULL)
        rc = mm_err_set(&u->cmd->err, MM_ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < u->n; i++)
        if (u->v[i].type == MM_REC_TENSOR)
            v[n++] = (struct mm_named){ u->v[i].name, u->v[i].t };
    if (rc == 0) {
        warn_left_out(u, n);
        rc = u->o->form == NPZ ? mm_write_npz(u->o->output, v, n, &u->cmd->err)
                               : mm_write_safetensors(u->o->output, v, n, NULL, &u->cmd->err);
    }
    free(v);
    return rc;
}

/* Texts one after another (a line end put between two), or the one JSON value, or
 * an array of all. */
static int write_text(struct unpacker *u)
{
    const enum mm_rec_type type = u->o->form == TXT ? MM_REC_TEXT : MM_REC_JSON;
    const size_t n = count_type(u, type);
    const bool array = type == MM_REC_JSON && n != 1;
    struct mm_buf b = { 0 };
    size_t done = 0;
    int rc;

    if (n == 0)
        return mm_err_set(&u->cmd->err, MM_EDATA, "%s: the input has no record of type %s",
                          u->o->output, mm_rec_type_name(type));
    if (array)
        mm_buf_str(&b, "[\n");
    for (size_t i = 0; i < u->n; i++) {
        if (u->v[i].type != type)
            continue;
        mm_buf_add(&b, u->v[i].data, u->v[i].size);
        if (++done == n)
            break;
        if (array)
            mm_buf_str(&b, ",\n");
        else if (b.n > 0 && b.p[b.n - 1] != '\n')
            mm_buf_char(&b, '\n');
    }
    if (array)
        mm_buf_str(&b, "\n]\n");
    warn_left_out(u, n);
    rc = b.failed ? mm_err_set(&u->cmd->err, MM_ENOMEM, "out of memory")
                  : write_bytes(u->o->output, b.p != NULL ? b.p : "", b.n, &u->cmd->err);
    mm_buf_free(&b);
    return rc;
}

static const char *suffix_of(const struct held *h)
{
    const struct mm_tensor t = squeeze(h->t, 3);

    switch (h->type) {
    case MM_REC_TEXT:
        return ".txt";
    case MM_REC_JSON:
        return ".json";
    case MM_REC_BYTES:
        return ".bin";
    default:
        if (h->picture && t.dtype == MM_U8 && t.ndim == 3 && t.shape[2] <= 4)
            return ".png";
        return h->rate > 0 && t.ndim <= 2 ? ".wav" : ".npy";
    }
}

/* DIR/name.suffix; a name cannot leave the directory or hide in it. */
static char *file_name(const char *dir, const struct held *h)
{
    struct mm_buf b = { 0 };
    size_t start;

    mm_buf_str(&b, dir);
    if (b.n > 0 && b.p[b.n - 1] != '/')
        mm_buf_char(&b, '/');
    start = b.n;
    for (const char *s = h->name; *s != '\0' && b.n - start < 200; s++)
        mm_buf_char(&b, *s == '/' || (unsigned char)*s < 0x20 || *s == 0x7F ? '_' : *s);
    if (!b.failed && b.p[start] == '.')
        b.p[start] = '_';
    mm_buf_str(&b, suffix_of(h));
    if (b.failed)
        mm_buf_free(&b);
    return b.p;
}

static int write_one(const char *path, const struct held *h, struct mm_err *e)
{
    const char *suffix = suffix_of(h);

    if (strcmp(suffix, ".npy") == 0)
        return mm_write_npy(path, &h->t, e);
    if (strcmp(suffix, ".png") == 0)
        return write_png(path, h, e);
    if (strcmp(suffix, ".wav") == 0)
        return write_wav(path, h, e);
    return write_bytes(path, h->data, h->size, e);
}

static int write_files(struct unpacker *u, char **paths)
{
    const char *dir = u->o->output;
    struct mm_err *e = &u->cmd->err;
    int rc = 0;

    for (size_t i = 0; i < u->n; i++) {
        paths[i] = file_name(dir, &u->v[i]);
        if (paths[i] == NULL)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    qsort(paths, u->n, sizeof(*paths), compare_names);
    for (size_t i = 1; i < u->n; i++)
        if (strcmp(paths[i - 1], paths[i]) == 0)
            return mm_err_set(e, MM_EDATA, "%s: two records have this name", paths[i]);
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return mm_err_set(e, MM_EIO, "%s:", dir);
    for (size_t i = 0; rc == 0 && i < u->n; i++) {
        char *path = file_name(dir, &u->v[i]);

        rc = path != NULL ? write_one(path, &u->v[i], e)
                          : mm_err_set(e, MM_ENOMEM, "out of memory");
        free(path);
        for (size_t k = 0; rc < 0 && k < i; k++) { /* all or nothing */
            path = file_name(dir, &u->v[k]);
            if (path != NULL)
                unlink(path);
            free(path);
        }
    }
    return rc;
}

static int write_dir(struct unpacker *u)
{
    char **paths = calloc(u->n + 1, sizeof(*paths));
    int rc = paths != NULL ? write_files(u, paths)
                           : mm_err_set(&u->cmd->err, MM_ENOMEM, "out of memory");

    for (size_t i = 0; paths != NULL && i < u->n; i++)
        free(paths[i]);
    free(paths);
    return rc;
}

static int unpack(struct unpacker *u)
{
    switch (u->o->form) {
    case NPZ:
    case SAFETENSORS:
        return write_many(u);
    case TXT:
    case JSON:
        return write_text(u);
    case DIR:
        return write_dir(u);
    default:
        return write_single(u);
    }
}

static int form_of_output(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash != NULL ? slash : path, '.');
    struct stat st;
    int form = NPZ;

    if (path[0] != '\0' && (path[strlen(path) - 1] == '/'
                            || (stat(path, &st) == 0 && S_ISDIR(st.st_mode))))
        return DIR;
    if (dot == NULL)
        return strcmp(path, "-") != 0 ? DIR : NONE;
    while (form < DIR && strcasecmp(dot + 1, forms[form]) != 0)
        form++;
    return form < DIR ? form : NONE;
}

int main(int argc, char **argv)
{
    struct opts o = { .form = NONE };
    struct mm_cmd cmd;
    struct unpacker u = { .o = &o, .cmd = &cmd };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "o:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'o':
            o.output = optarg;
            break;
        case OPT_FORMAT:
            o.form = mm_opt_word(&cmd, "--format", optarg, forms);
            break;
        case MM_OPT_MAX_RECORD:
            o.max_record = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(&cmd, c, optarg);
        }
    if (o.output == NULL)
        mm_cmd_usage(&cmd, "-o is needed");
    if (o.form == NONE)
        o.form = form_of_output(o.output);
    if (o.form == NONE)
        mm_cmd_usage(&cmd, "-o: '%s' names no format; give --format", o.output);
    if (o.form == DIR && strcmp(o.output, "-") == 0)
        mm_cmd_usage(&cmd, "--format dir needs a directory");
    if (collect(&u, argv + optind, argc - optind) == 0)
        unpack(&u);
    for (size_t i = 0; i < u.n; i++)
        free_held(&u.v[i]);
    free(u.v);
    return mm_cmd_finish(&cmd);
}
