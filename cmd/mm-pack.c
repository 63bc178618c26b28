/* mm-pack: files to records.
 *
 *   .npy .npz .safetensors .gguf .pt .pth .bin, index, directory -> a tensor each
 *   pictures -> u8 [height, width, channels]     .wav .flac ... -> f32 [channels, frames]
 *   .txt -> text     .json -> json     .csv -> i64 or f64 [rows, columns]
 *
 * Operand n is item n.  What a suffix does not tell, the first bytes do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cmd.h"
#include "base/csv.h"
#include "base/io.h"
#include "base/json.h"
#include "base/utf8.h"
#include "media/audio.h"
#include "media/image.h"
#include "stream/cmdio.h"
#include "weights/ckpt.h"

static const char usage[] =
    "mm-pack [-qv] [-k kind] [-n name] [--raw] [--zlib level] [--max-record size] file ...";
static const char help[] =
    "Makes records of arrays, checkpoints, pictures, sounds, texts, JSON and tables.\n"
    "  -k, --kind KIND    attribute kind (default: by the file)\n"
    "  -n, --name NAME    name of a single array (default: the file's stem)\n"
    "      --raw          block-quantised and 8-bit float tensors as bytes, not as f32\n"
    "      --zlib LEVEL   compress payloads, 1 to 9\n"
    "      --max-record SIZE  largest file that is read into memory (1G)\n";

enum { OPT_RAW = MM_OPT_FIRST, OPT_ZLIB };

static const struct option longopts[] = {
    MM_COMMON_LONG,
    MM_MAX_RECORD_LONG,
    { "kind", required_argument, NULL, 'k' },
    { "name", required_argument, NULL, 'n' },
    { "raw", no_argument, NULL, OPT_RAW },
    { "zlib", required_argument, NULL, OPT_ZLIB },
    { NULL, 0, NULL, 0 },
};

struct opts {
    const char *kind, *name;
    bool raw;
    int level;
    size_t max;
};

struct packer {
    const struct opts *o;
    struct mm_cmd *cmd;
    struct mm_writer *out;
    const char *path; /* the operand; "-" is standard input */
    const char *what; /* names it in messages */
    int64_t item;
};

enum form { FORM_CKPT, FORM_PICTURE, FORM_SOUND, FORM_TEXT, FORM_JSON, FORM_CSV, FORM_UNKNOWN };

static const struct {
    const char *suffix;
    enum form form;
} suffixes[] = {
    { ".npy", FORM_CKPT },     { ".npz", FORM_CKPT },     { ".safetensors", FORM_CKPT },
    { ".gguf", FORM_CKPT },    { ".pt", FORM_CKPT },      { ".pth", FORM_CKPT },
    { ".bin", FORM_CKPT },     { ".index.json", FORM_CKPT }, { ".png", FORM_PICTURE },
    { ".jpg", FORM_PICTURE },  { ".jpeg", FORM_PICTURE }, { ".webp", FORM_PICTURE },
    { ".bmp", FORM_PICTURE },  { ".gif", FORM_PICTURE },  { ".tif", FORM_PICTURE },
    { ".tiff", FORM_PICTURE }, { ".ppm", FORM_PICTURE },  { ".pgm", FORM_PICTURE },
    { ".wav", FORM_SOUND },    { ".flac", FORM_SOUND },   { ".ogg", FORM_SOUND },
    { ".aif", FORM_SOUND },    { ".aiff", FORM_SOUND },   { ".txt", FORM_TEXT },
    { ".json", FORM_JSON },    { ".csv", FORM_CSV },
};

static enum form form_of_name(const char *path)
{
    const size_t n = strlen(path);

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const size_t k = strlen(suffixes[i].suffix);

        if (n > k && strcasecmp(path + n - k, suffixes[i].suffix) == 0)
            return suffixes[i].form;
    }
    return FORM_UNKNOWN;
}

static bool starts(const char *p, size_t n, size_t at, const char *magic)
{
    const size_t k = strlen(magic);

    return n >= at + k && memcmp(p + at, magic, k) == 0;
}

static enum form form_of_bytes(const char *p, size_t n)
{
    json_t *j = NULL;

    if (starts(p, n, 0, "\x89PNG") || starts(p, n, 0, "\xFF\xD8\xFF") || starts(p, n, 0, "GIF8")
        || (starts(p, n, 0, "RIFF") && starts(p, n, 8, "WEBP")))
        return FORM_PICTURE;
    if ((starts(p, n, 0, "RIFF") && starts(p, n, 8, "WAVE")) || starts(p, n, 0, "fLaC")
        || starts(p, n, 0, "OggS"))
        return FORM_SOUND;
    if (mm_utf8_valid(p, n) != n || memchr(p, '\0', n) != NULL || starts(p, n, 0, "GGUF"))
        return FORM_CKPT;
    if (mm_json_load(&j, p, n, "", NULL) == 0) {
        const bool object = json_is_object(j) || json_is_array(j);

        json_decref(j);
        if (object)
            return FORM_JSON;
    }
    return FORM_TEXT;
}

static int no_memory(struct packer *p)
{
    return mm_err_set(&p->cmd->err, MM_ENOMEM, "%s: out of memory", p->what);
}

/* Sets what all records have and writes rec.  kind: the default; name NULL: the
 * operand's stem. */
static int put(struct packer *p, struct mm_rec *rec, const char *kind, const char *name)
{
    const bool file = strcmp(p->path, "-") != 0;
    char *own = NULL;
    int rc = mm_rec_setf(rec, "item", "%" PRId64, p->item);

    if (p->o->kind != NULL)
        kind = p->o->kind;
    if (name == NULL)
        name = p->o->name;
    if (name == NULL && file)
        name = own = mm_io_stem(p->path);
    if (rc == 0 && kind != NULL)
        rc = mm_rec_set(rec, "kind", kind);
    if (rc == 0 && name != NULL && name[0] != '\0')
        rc = mm_rec_set(rec, "name", name);
    if (rc == 0 && file)
        rc = mm_rec_set(rec, "source", p->path);
    if (rc < 0) {
        no_memory(p);
    } else {
        rc = mm_writer_put(p->out, rec, &p->cmd->err);
        if (rc < 0)
            mm_err_prefix(&p->cmd->err, "%s", p->what);
    }
    free(own);
    return rc;
}

/* A tensor of a type the stream does not have, as the bytes of its blocks. */
static int put_raw(struct packer *p, const struct mm_ckpt_entry *en, const char *name)
{
    char shape[200], type[60];
    struct mm_rec rec;
    int rc;

    mm_rec_init(&rec, MM_REC_BYTES);
    rec.data = en->t.data;
    rec.size = mm_tensor_bytes(&en->t);
    snprintf(type, sizeof(type), "application/x-%s", mm_dtype_name(en->t.dtype));
    rc = mm_rec_set(&rec, "content-type", type);
    if (rc == 0)
        rc = mm_rec_set(&rec, "x-dtype", mm_dtype_name(en->t.dtype));
    if (rc == 0)
        rc = mm_rec_set(&rec, "x-shape",
                        mm_shape_str(shape, sizeof(shape), en->t.shape, en->t.ndim));
    rc = rc == 0 ? put(p, &rec, NULL, name) : no_memory(p);
    mm_rec_free(&rec);
    return rc;
}

static int put_entry(struct packer *p, const struct mm_ckpt_entry *en, const char *name)
{
    struct mm_rec rec;
    float *wide = NULL;
    int rc;

    if (en->t.dtype >= MM_NSTREAM && p->o->raw)
        return put_raw(p, en, name);
    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = en->t;
    if (en->t.dtype >= MM_NSTREAM) {
        /* the count fits: the tensor lies in the file at an eighth of this at least */
        wide = malloc(mm_tensor_count(&en->t) * sizeof(*wide) + 1);
        if (wide == NULL)
            return no_memory(p);
        mm_tensor_to_f32(wide, &en->t);
        rec.t.dtype = MM_F32;
        rec.t.data = wide;
    }
    rec.data = rec.t.data;
    rc = put(p, &rec, NULL, name);
    mm_rec_free(&rec);
    free(wide);
    return rc;
}

static int put_ckpt(struct packer *p, const struct mm_ckpt *ck)
{
    const size_t n = mm_ckpt_count(ck);
    const char *warning;
    int rc = 0;

    if (p->o->name != NULL && n != 1)
        return mm_err_set(&p->cmd->err, MM_EUSAGE, "--name is for one array, %s holds %zu",
                          p->what, n);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(ck, i);

        rc = put_entry(p, en, en->name[0] != '\0' && p->o->name == NULL ? en->name : NULL);
    }
    for (size_t i = 0; rc == 0 && (warning = mm_ckpt_warning(ck, i)) != NULL; i++)
        mm_cmd_info(p->cmd, "%s: %s", p->what, warning);
    return rc;
}

static int pack_ckpt(struct packer *p)
{
    struct mm_ckpt *ck = NULL;
    char *path = NULL;
    int rc = mm_ckpt_find(&path, p->path, &p->cmd->err);

    if (rc == 0)
        rc = mm_ckpt_open(&ck, path, &p->cmd->err);
    if (rc == 0)
        rc = put_ckpt(p, ck);
    mm_ckpt_close(ck);
    free(path);
    return rc;
}

static int pack_ckpt_bytes(struct packer *p, const char *data, size_t n)
{
    struct mm_ckpt *ck = NULL;
    int rc = mm_ckpt_open_mem(&ck, data, n, p->what, &p->cmd->err);

    if (rc == 0)
        rc = put_ckpt(p, ck);
    mm_ckpt_close(ck);
    return rc;
}

static int pack_picture(struct packer *p, const char *data, size_t n)
{
    struct mm_image im = { 0 };
    struct mm_rec rec;
    int rc = mm_image_decode(&im, data, n, p->what, 0, &p->cmd->err);

    if (rc == 0 && im.mode != MM_IMG_L && im.mode != MM_IMG_LA && im.mode != MM_IMG_RGBA
        && im.mode != MM_IMG_RGB)
        rc = mm_image_rgb(&im, &p->cmd->err);
    mm_rec_init(&rec, MM_REC_TENSOR);
    if (rc == 0) {
        rec.t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 3, .data = im.px,
                                    .shape = { im.h, im.w, mm_image_channels(im.mode) } };
        rec.data = im.px;
        rc = mm_rec_set(&rec, "modality", "image");
        if (rc == 0)
            rc = mm_rec_setf(&rec, "width", "%d", im.w);
        if (rc == 0)
            rc = mm_rec_setf(&rec, "height", "%d", im.h);
        if (rc == 0 && im.orientation > 1)
            rc = mm_rec_setf(&rec, "x-orientation", "%d", im.orientation);
        rc = rc == 0 ? put(p, &rec, "image", NULL) : no_memory(p);
    }
    mm_rec_free(&rec);
    mm_image_free(&im);
    return rc;
}

static int pack_sound(struct packer *p, const char *data, size_t n)
{
    struct mm_audio a = { 0 };
    struct mm_rec rec;
    int rc = mm_audio_decode(&a, data, n, p->what, 0, &p->cmd->err);

    mm_rec_init(&rec, MM_REC_TENSOR);
    if (rc == 0) {
        rec.t = (struct mm_tensor){ .dtype = MM_F32, .ndim = 2, .data = a.x,
                                    .shape = { a.channels, (int64_t)a.frames } };
        rec.data = a.x;
        rc = mm_rec_set(&rec, "modality", "audio");
        if (rc == 0)
            rc = mm_rec_setf(&rec, "rate", "%d", a.rate);
        rc = rc == 0 ? put(p, &rec, "samples", NULL) : no_memory(p);
    }
    mm_rec_free(&rec);
    mm_audio_free(&a);
    return rc;
}

static int pack_text(struct packer *p, enum mm_rec_type type, const char *kind, char *data,
                     size_t n)
{
    const size_t good = mm_utf8_valid(data, n);
    struct mm_rec rec;
    int rc;

    if (good != n)
        return mm_err_set(&p->cmd->err, MM_EDATA, "%s: offset %zu: not UTF-8", p->what, good);
    mm_rec_init(&rec, type);
    rec.data = data;
    rec.size = n;
    rc = put(p, &rec, kind, NULL);
    mm_rec_free(&rec);
    return rc;
}

static int pack_json(struct packer *p, char *data, size_t n)
{
    json_t *j = NULL;
    const int rc = mm_json_load(&j, data, n, p->what, &p->cmd->err);

    json_decref(j);
    return rc == 0 ? pack_text(p, MM_REC_JSON, NULL, data, n) : rc;
}

static int pack_csv(struct packer *p, const char *data, size_t n)
{
    struct mm_csv table;
    struct mm_rec rec;
    int rc = mm_csv_parse(&table, data, n, p->what, &p->cmd->err);

    if (rc < 0)
        return rc;
    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = table.t;
    rec.data = table.t.data;
    if (table.header != NULL)
        rc = mm_rec_set(&rec, "x-columns", table.header);
    rc = rc == 0 ? put(p, &rec, NULL, NULL) : no_memory(p);
    mm_rec_free(&rec);
    mm_csv_free(&table);
    return rc;
}

static int pack_bytes(struct packer *p, enum form form, char *data, size_t n)
{
    if (form == FORM_UNKNOWN)
        form = form_of_bytes(data, n);
    switch (form) {
    case FORM_PICTURE:
        return pack_picture(p, data, n);
    case FORM_SOUND:
        return pack_sound(p, data, n);
    case FORM_TEXT:
        return pack_text(p, MM_REC_TEXT, "text", data, n);
    case FORM_JSON:
        return pack_json(p, data, n);
    case FORM_CSV:
        return pack_csv(p, data, n);
    default:
        return pack_ckpt_bytes(p, data, n);
    }
}

static int pack(struct packer *p)
{
    enum form form = strcmp(p->path, "-") != 0 ? form_of_name(p->path) : FORM_UNKNOWN;
    char *data = NULL;
    struct stat st;
    size_t n = 0;
    int rc;

    if (strcmp(p->path, "-") != 0 && form == FORM_UNKNOWN
        && (stat(p->path, &st) < 0 || S_ISDIR(st.st_mode)))
        form = FORM_CKPT; /* a folder, or the name of a model */
    if (form == FORM_CKPT)
        return pack_ckpt(p);
    rc = mm_io_slurp(p->path, p->o->max, &data, &n, &p->cmd->err);
    if (rc == 0)
        rc = pack_bytes(p, form, data, n);
    free(data);
    return rc;
}

static int pack_all(struct packer *p, char *const *files, int n)
{
    int rc = mm_output_open(&p->out, &p->cmd->err);

    if (rc == 0 && p->o->level > 0) {
        mm_writer_close(p->out);
        p->out = NULL;
        rc = mm_writer_open(&p->out, 1, p->o->level, &p->cmd->err);
    }
    for (int i = 0; rc == 0 && i < n; i++) {
        p->path = files[i];
        p->what = strcmp(files[i], "-") == 0 ? "standard input" : files[i];
        p->item = i;
        rc = pack(p);
    }
    if (rc == 0)
        rc = mm_writer_end(p->out, &p->cmd->err);
    mm_writer_close(p->out);
    return rc;
}

int main(int argc, char **argv)
{
    static char *const standard_input[] = { "-" };
    struct opts o = { .max = (size_t)1 << 30 };
    struct mm_cmd cmd;
    struct packer p = { .o = &o, .cmd = &cmd };
    int c;

    mm_cmd_init(&cmd, argv[0], usage, help);
    while ((c = getopt_long(argc, argv, "k:n:" MM_COMMON_OPTS, longopts, NULL)) != -1)
        switch (c) {
        case 'k':
            o.kind = optarg;
            break;
        case 'n':
            o.name = optarg;
            break;
        case OPT_RAW:
            o.raw = true;
            break;
        case OPT_ZLIB:
            o.level = (int)mm_opt_int(&cmd, "--zlib", optarg, 1, 9);
            break;
        case MM_OPT_MAX_RECORD:
            o.max = mm_opt_size(&cmd, "--max-record", optarg, SIZE_MAX / 2);
            break;
        default:
            mm_cmd_common(&cmd, c, optarg);
        }
    if (optind < argc)
        pack_all(&p, argv + optind, argc - optind);
    else
        pack_all(&p, standard_input, 1);
    return mm_cmd_finish(&cmd);
}
