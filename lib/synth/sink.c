/* sink.c: items to streams, folders and archives. */
#include "synth/sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/outfile.h"
#include "stream/stream.h"
#include "synth/doc.h"
#include "synth/sound.h"

enum { LISTS = 3 };

/* A file that lists something of every item: a JSON array, or lines (no head). */
struct list {
    struct mm_outfile *f;
    bool any;
};

struct mm_sink {
    enum mm_sink_format format;
    const struct mm_synth_opts *o;
    char *dir;
    struct list list[LISTS];
    struct mm_writer *w;     /* records */
    struct mm_buf images;    /* COCO: entries of all pictures */
    struct mm_buf scratch;
};

static const struct {
    const char *file_name;    /* in a folder, where it is a single file */
    const char *lists[LISTS]; /* in a folder; NULL, NULL: a single file */
    const char *head[LISTS];
    bool picture, labels, file;
} formats[MM_NSINKS] = {
    [MM_TO_RECORDS] = { "records.mmt", { NULL }, { NULL }, true, true, false },
    [MM_TO_LLAVA] = { NULL, { "llava.json" }, { "[" }, true, false, true },
    [MM_TO_COCO] = { NULL, { "instances.json", "captions.json" },
                     { "{\"annotations\":[", "{\"annotations\":[" }, true, true, true },
    [MM_TO_REFCOCO] = { NULL, { "instances.json", "refs.json" },
                        { "{\"annotations\":[", "[" }, true, true, true },
    [MM_TO_REGIONS] = { NULL, { "region_descriptions.json" }, { "[" }, true, true, true },
    [MM_TO_VQA] = { NULL, { "questions.jsonl", "answers.jsonl", "scenes.jsonl" }, { "", "", "" },
                    true, true, true },
    [MM_TO_WEBDATASET] = { "webdataset.tar", { NULL }, { NULL }, true, true, true },
    [MM_TO_TEXT] = { "text.txt", { NULL }, { NULL }, false, false, false },
};

bool mm_sink_is_folder(enum mm_sink_format format)
{
    return formats[format].lists[0] != NULL;
}

void mm_sink_needs(enum mm_sink_format format, struct mm_synth_opts *o)
{
    o->picture = formats[format].picture;
    o->labels = formats[format].labels;
    o->file = formats[format].file;
}

int mm_sink_doc(struct mm_synth_item *it, enum mm_sink_format format, const struct mm_synth_opts *o,
                struct mm_err *e)
{
    mm_buf_reset(&it->doc);
    mm_buf_reset(&it->aside);
    mm_buf_reset(&it->third);
    switch (format) {
    case MM_TO_LLAVA:
        mm_doc_llava(&it->doc, it);
        break;
    case MM_TO_COCO:
    case MM_TO_REFCOCO:
        mm_doc_coco_instances(&it->doc, it, o);
        if (format == MM_TO_COCO)
            mm_doc_coco_captions(&it->aside, it, o);
        else
            mm_doc_refs(&it->aside, it, o);
        break;
    case MM_TO_REGIONS:
        mm_doc_regions(&it->doc, it, o);
        break;
    case MM_TO_VQA:
        mm_doc_vqa(&it->doc, &it->aside, it);
        mm_doc_scene(&it->third, it, o);
        break;
    case MM_TO_TEXT:
        mm_doc_text(&it->doc, it, o);
        break;
    default: {
        const struct mm_view v = mm_synth_view(it, o);

        mm_doc_scene(&it->doc, it, o);
        mm_caption(&it->aside, &v, 0);
    }
    }
    return it->doc.failed || it->aside.failed || it->third.failed
               ? mm_err_set(e, MM_ENOMEM, "items: out of memory")
               : 0;
}

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "writing items: out of memory");
}

static int make_dir(const char *path, struct mm_err *e)
{
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        return mm_err_set(e, MM_EIO, "%s:", path);
    return 0;
}

/* DIR/name, in scratch. */
static const char *inside(struct mm_sink *k, const char *name)
{
    mm_buf_reset(&k->scratch);
    mm_buf_printf(&k->scratch, "%s/%s", k->dir, name);
    return k->scratch.failed ? NULL : k->scratch.p;
}

/* Folders by the medium: images/, videos/, sounds/. */
static const char *folder(enum mm_tier tier)
{
    return tier == MM_CLIPS ? "videos" : mm_tier_is_heard(tier) ? "sounds" : "images";
}

/* Pictures are written over those that an old file lists; of a link, the file it names. */
static void remove_old(const char *path)
{
    char *real = path != NULL ? realpath(path, NULL) : NULL;

    if (real != NULL)
        unlink(real);
    free(real);
}

static int open_folder(struct mm_sink *k, struct mm_err *e)
{
    const char *path;
    int rc = make_dir(k->dir, e);

    for (int t = 0; rc == 0 && t < MM_NTIERS; t++) {
        if (!(k->o->scene.tiers >> t & 1))
            continue;
        path = inside(k, folder((enum mm_tier)t));
        rc = path != NULL ? make_dir(path, e) : no_memory(e);
    }
    for (int i = 0; rc == 0 && i < LISTS && formats[k->format].lists[i] != NULL; i++) {
        path = inside(k, formats[k->format].lists[i]);
        remove_old(path);
        rc = path != NULL ? mm_outfile_open(&k->list[i].f, path, e) : no_memory(e);
        if (rc == 0)
            mm_outfile_write(k->list[i].f, formats[k->format].head[i],
                             strlen(formats[k->format].head[i]));
    }
    return rc;
}

/* The path itself, or a file in the folder that it is or, with a slash at its end, is to be. */
static int open_file(struct mm_sink *k, const char *path, struct mm_err *e)
{
    const size_t n = strlen(path);
    const bool to_be = n > 0 && path[n - 1] == '/';
    struct stat st;
    int rc = 0;

    if (to_be || (stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
        rc = make_dir(path, e);
        path = inside(k, formats[k->format].file_name);
    }
    if (rc == 0)
        rc = path != NULL ? mm_outfile_open(&k->list[0].f, path, e) : no_memory(e);
    return rc;
}

int mm_sink_open(struct mm_sink **k, enum mm_sink_format format, const char *path,
                 const struct mm_synth_opts *o, struct mm_err *e)
{
    struct mm_sink *s = *k = calloc(1, sizeof(*s));
    int rc = 0;

    if (s == NULL)
        return no_memory(e);
    s->format = format;
    s->o = o;
    s->dir = strdup(path);
    if (s->dir == NULL)
        rc = no_memory(e);
    else if (mm_sink_is_folder(format))
        rc = open_folder(s, e);
    else
        rc = open_file(s, path, e);
    if (rc == 0 && format == MM_TO_RECORDS)
        rc = mm_writer_open(&s->w, mm_outfile_fd(s->list[0].f), 0, e);
    if (rc < 0) {
        mm_sink_abort(s);
        *k = NULL;
    }
    return rc;
}

static int put_record(struct mm_sink *k, struct mm_rec *rec, const struct mm_synth_item *it,
                      const char *kind, const char *name, struct mm_err *e)
{
    int rc = mm_rec_setf(rec, "item", "%" PRIu64, it->s.index);

    if (rc == 0)
        rc = mm_rec_set(rec, "kind", kind);
    if (rc == 0)
        rc = mm_rec_set(rec, "name", name);
    if (rc == 0)
        rc = mm_writer_put(k->w, rec, e);
    mm_rec_free(rec);
    return rc == MM_ENOMEM ? no_memory(e) : rc;
}

static int put_medium(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    const bool sound = mm_tier_is_heard(it->s.tier);
    const int side = k->o->size;
    struct mm_rec rec;
    int rc;

    mm_rec_init(&rec, MM_REC_TENSOR);
    if (sound)
        rec.t = (struct mm_tensor){ .dtype = MM_F32, .ndim = 2, .data = it->samples,
                                    .shape = { mm_sound_channels(it->s.tier), MM_SOUND_SAMPLES } };
    else if (it->s.tier == MM_CLIPS)
        rec.t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 4, .data = it->px,
                                    .shape = { it->frames, side, side, 3 } };
    else
        rec.t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 3, .data = it->px,
                                    .shape = { side, side, 3 } };
    rec.data = rec.t.data;
    rc = mm_rec_set(&rec, "modality", mm_synth_medium(it->s.tier));
    if (rc == 0 && sound)
        rc = mm_rec_setf(&rec, "rate", "%d", MM_SOUND_RATE);
    if (rc == 0 && it->s.tier == MM_CLIPS)
        rc = mm_rec_setf(&rec, "fps", "%d", MM_CLIP_FPS);
    return rc == 0 ? put_record(k, &rec, it, sound ? "samples" : "image", it->id, e) : no_memory(e);
}

static int put_mask(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    struct mm_rec rec;

    mm_rec_init(&rec, MM_REC_TENSOR);
    rec.t = (struct mm_tensor){ .dtype = MM_U8, .ndim = 2, .data = it->labels,
                                .shape = { k->o->size, k->o->size } };
    rec.data = it->labels;
    return put_record(k, &rec, it, "mask", "mask", e);
}

static int put_records(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    struct mm_rec rec;
    int rc = put_medium(k, it, e);

    if (rc == 0 && k->o->masks && !mm_tier_is_heard(it->s.tier))
        rc = put_mask(k, it, e);
    if (rc < 0)
        return rc;
    mm_rec_init(&rec, MM_REC_TEXT);
    rec.data = it->aside.p;
    rec.size = it->aside.n;
    rc = put_record(k, &rec, it, "text", "caption", e);
    if (rc < 0)
        return rc;
    mm_rec_init(&rec, MM_REC_JSON);
    rec.data = it->doc.p;
    rec.size = it->doc.n;
    return put_record(k, &rec, it, "scene", "scene", e);
}

/* The listing appears last and says which pictures there are; so these need no
 * temporary names. */
static int write_picture(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    bool ok;
    FILE *f;

    mm_buf_reset(&k->scratch);
    mm_buf_printf(&k->scratch, "%s/%s/%s.%s", k->dir, folder(it->s.tier), it->id,
                  mm_synth_suffix(it->s.tier));
    if (k->scratch.failed)
        return no_memory(e);
    f = fopen(k->scratch.p, "wb");
    if (f == NULL)
        return mm_err_set(e, MM_EIO, "%s:", k->scratch.p);
    ok = fwrite(it->file.p, 1, it->file.n, f) == it->file.n;
    if (fclose(f) != 0 || !ok) {
        const int rc = mm_err_set(e, MM_EIO, "%s:", k->scratch.p);

        unlink(k->scratch.p);
        return rc;
    }
    return 0;
}

static void add(struct mm_sink *k, int i, const struct mm_buf *b)
{
    const bool lines = formats[k->format].head[i] != NULL && formats[k->format].head[i][0] == '\0';
    struct list *l = &k->list[i];

    if (b->n == 0 || l->f == NULL)
        return;
    if (!lines)
        mm_outfile_write(l->f, l->any ? ",\n" : "\n", l->any ? 2 : 1);
    mm_outfile_write(l->f, b->p, b->n);
    if (lines)
        mm_outfile_write(l->f, "\n", 1);
    l->any = true;
}

static int put_files(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    const int rc = write_picture(k, it, e);

    if (rc < 0)
        return rc;
    add(k, 0, &it->doc);
    add(k, 1, &it->aside);
    add(k, 2, &it->third);
    if (k->format == MM_TO_COCO || k->format == MM_TO_REFCOCO) {
        if (k->images.n > 0)
            mm_buf_str(&k->images, ",\n");
        mm_doc_coco_image(&k->images, it, k->o->size);
    }
    return k->images.failed ? no_memory(e) : 0;
}

/* A POSIX ustar header; all fields that matter to no one are zero. */
static void put_member(struct mm_sink *k, const char *id, const char *suffix, const struct mm_buf *b)
{
    static const char zeros[512];
    char h[512] = { 0 };
    unsigned sum = 0;

    snprintf(h, 100, "%s.%s", id, suffix);
    memcpy(h + 100, "0000644", 7);
    memcpy(h + 108, "0000000", 7);
    memcpy(h + 116, "0000000", 7);
    snprintf(h + 124, 12, "%011zo", b->n);
    memcpy(h + 136, "00000000000", 11);
    memset(h + 148, ' ', 8);
    h[156] = '0';
    memcpy(h + 257, "ustar\0" "00", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    mm_outfile_write(k->list[0].f, h, sizeof(h));
    mm_outfile_write(k->list[0].f, b->p, b->n);
    mm_outfile_write(k->list[0].f, zeros, (512 - b->n % 512) % 512);
}

int mm_sink_put(struct mm_sink *k, const struct mm_synth_item *it, struct mm_err *e)
{
    if (k->format == MM_TO_RECORDS)
        return put_records(k, it, e);
    if (mm_sink_is_folder(k->format))
        return put_files(k, it, e);
    if (k->format == MM_TO_WEBDATASET) {
        put_member(k, it->id, mm_synth_suffix(it->s.tier), &it->file);
        put_member(k, it->id, "txt", &it->aside);
        put_member(k, it->id, "json", &it->doc);
    } else {
        mm_outfile_write(k->list[0].f, it->doc.p, it->doc.n);
    }
    return ferror(mm_outfile_fp(k->list[0].f)) ? mm_err_set(e, MM_EIO, "writing items:") : 0;
}

/* What follows the elements of list i. */
static int tail(struct mm_sink *k, int i, struct mm_err *e)
{
    struct mm_outfile *f = k->list[i].f;
    struct mm_buf rest = { 0 };

    if (formats[k->format].head[i][0] == '\0')
        return 0;
    if (formats[k->format].head[i][0] == '[') {
        mm_outfile_write(f, "\n]\n", 3);
        return 0;
    }
    mm_buf_str(&rest, "\n],\"images\":[\n");
    mm_buf_add(&rest, k->images.p, k->images.n);
    mm_buf_str(&rest, "\n],");
    if (i == 0) { /* captions have none: pycocotools would ask each of them for its own */
        mm_doc_coco_categories(&rest, k->o);
        mm_buf_char(&rest, ',');
    }
    mm_doc_coco_info(&rest, k->o);
    mm_buf_str(&rest, "}\n");
    mm_outfile_write(f, rest.p, rest.n);
    mm_buf_free(&rest);
    return rest.failed ? no_memory(e) : 0;
}

int mm_sink_commit(struct mm_sink *k, struct mm_err *e)
{
    static const char zeros[1024];
    int rc = 0;

    if (k->w != NULL)
        rc = mm_writer_end(k->w, e);
    mm_writer_close(k->w);
    k->w = NULL;
    if (k->format == MM_TO_WEBDATASET)
        mm_outfile_write(k->list[0].f, zeros, sizeof(zeros));
    for (int i = LISTS - 1; rc == 0 && i >= 0; i--) {
        if (k->list[i].f == NULL)
            continue;
        if (mm_sink_is_folder(k->format))
            rc = tail(k, i, e);
        if (rc == 0) {
            rc = mm_outfile_commit(k->list[i].f, e);
            k->list[i].f = NULL;
        }
    }
    mm_sink_abort(k);
    return rc;
}

void mm_sink_abort(struct mm_sink *k)
{
    if (k == NULL)
        return;
    mm_writer_close(k->w);
    for (int i = 0; i < LISTS; i++)
        mm_outfile_abort(k->list[i].f);
    mm_buf_free(&k->images);
    mm_buf_free(&k->scratch);
    free(k->dir);
    free(k);
}
