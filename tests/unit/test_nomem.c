/* test_nomem.c: no allocation failure crashes, leaks, hangs or goes unreported. */
#include "nomem.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/pool.h"
#include "media/audio.h"
#include "media/preconf.h"
#include "model/generate.h"
#include "model/items.h"
#include "model/llm.h"
#include "model/mmproj.h"
#include "model/projector.h"
#include "model/state.h"
#include "model/vision.h"
#include "nn/gbnf.h"
#include "nn/jsonschema.h"
#include "stream/cmdio.h"
#include "stream/trace.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/tokexport.h"
#include "weights/adapt.h"
#include "weights/convert.h"
#include "weights/write.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static char tmp[] = "/tmp/test_nomem.XXXXXX";

/* The path of a golden file; good until the call after the next three. */
static const char *golden(const char *rel)
{
    static char buf[4][600];
    static unsigned turn;
    const char *dir = getenv("MM_GOLDEN");
    char *p = buf[turn++ % 4];

    snprintf(p, sizeof(buf[0]), "%s/%s", dir ? dir : "tests/golden", rel);
    return p;
}

static const char *scratch(const char *name)
{
    static char buf[4][600];
    static unsigned turn;
    char *p = buf[turn++ % 4];

    snprintf(p, sizeof(buf[0]), "%s/%s", tmp, name);
    return p;
}

/* Every operation that gets no code of its own from what it calls. */
static int nomem_err(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* --- checkpoints ------------------------------------------------------------- */

static void mix_ckpt(uint64_t *sum, const struct mm_ckpt *ck)
{
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(ck, i);

        nomem_mix(sum, en->name, strlen(en->name));
        nomem_mix(sum, en->t.shape, (size_t)en->t.ndim * sizeof(*en->t.shape));
        nomem_mix(sum, en->t.data, mm_tensor_bytes(&en->t));
    }
}

static int op_ckpt(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_ckpt *ck = NULL;
    int rc = mm_ckpt_open(&ck, arg, e);

    if (rc < 0)
        return rc;
    mix_ckpt(sum, ck);
    mm_ckpt_close(ck);
    return 0;
}

static void ckpt(void **state)
{
    static const char *const file[] = {
        "weights/containers/files/handmade.safetensors", "weights/containers/files/sharded",
        "weights/containers/files/sharded-bin", "weights/containers/files/plain-zip.pt",
        "weights/containers/files/deflated.pt", "weights/containers/files/views.pt",
        "weights/containers/files/nested.ckpt", "weights/containers/files/half-legacy.pth",
        "weights/containers/files/views-legacy.pt", "weights/containers/files/pre-0.2.tar.pt",
        "weights/containers/files/ordered-metadata.pth", "weights/gguf-container/files/v2.gguf",
        "weights/gguf-container/files/v3.gguf",
        "weights/gguf-container/files/split-00001-of-00002.gguf",
        "weights/npy/files/f4.npy", "weights/npy/files/fortran3.npy",
        "weights/npy/files/big_f8_fortran.npy", "weights/npy/files/stored.npz",
        "weights/npy/files/deflated.npz", "clip/openai-pt/model/ViT-tiny.pt",
        "llava/v15_orig/model", "llava/v15_hf/model", "clip/open-clip/model/open_clip_pytorch_model.bin"
    };

    (void)state;
    for (size_t i = 0; i < COUNT(file); i++) {
        char path[600];

        snprintf(path, sizeof(path), "%s", golden(file[i]));
        nomem_run(file[i], op_ckpt, path, 200);
    }
}

/* A name looked for where models are. */
static int op_find(void *arg, struct mm_err *e, uint64_t *sum)
{
    char *path = NULL;
    const int rc = mm_ckpt_find(&path, arg, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, path, strlen(path));
    free(path);
    return 0;
}

static void find(void **state)
{
    char name[] = "gqa";

    (void)state;
    setenv("MM_MODELS", golden("llama"), 1);
    nomem_run("find", op_find, name, 200);
    unsetenv("MM_MODELS");
}

/* --- adapters ---------------------------------------------------------------- */

struct adapter {
    char base[600], lora[600];
    enum mm_adapt_store store;
};

static int op_lora(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct adapter *a = arg;
    const struct mm_adapt_spec spec = { .path = a->base, .lora = a->lora, .store = a->store };
    struct mm_ckpt *ck = NULL;
    const int rc = mm_adapt_open(&ck, &spec, e);

    if (rc < 0)
        return rc;
    mix_ckpt(sum, ck);
    mm_ckpt_close(ck);
    return 0;
}

static void lora(void **state)
{
    static const char *const name[] = { "lora", "lora-bin", "lora-pattern", "lora-resized" };

    (void)state;
    for (size_t i = 0; i < COUNT(name); i++) {
        struct adapter a = { .store = i % 2 ? MM_ADAPT_STORED : MM_ADAPT_F32 };
        char rel[100];

        snprintf(rel, sizeof(rel), "llama/%s/model", name[i]);
        snprintf(a.base, sizeof(a.base), "%s", golden(rel));
        snprintf(rel, sizeof(rel), "llama/%s/adapter", name[i]);
        snprintf(a.lora, sizeof(a.lora), "%s", golden(rel));
        nomem_run(name[i], op_lora, &a, 200);
    }
}

/* --- writers ----------------------------------------------------------------- */

static int mix_file(uint64_t *sum, const char *path)
{
    unsigned char buf[4096];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f)
        return -1;
    while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
        nomem_mix(sum, buf, n);
    fclose(f);
    unlink(path);
    return 0;
}

static float numbers[64 * 40];

static const struct mm_named named[] = {
    { "a.weight", { .dtype = MM_F32, .ndim = 2, .shape = { 40, 64 }, .data = numbers } },
    { "b", { .dtype = MM_F32, .ndim = 1, .shape = { 50 }, .data = numbers } },
    { "c", { .dtype = MM_I32, .ndim = 1, .shape = { 5 }, .data = numbers } }
};

static int op_write(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char *const name[] = { "w.safetensors", "w.npz", "w.npy" };
    const int kind = *(const int *)arg;
    const char *path = scratch(name[kind]);
    const int rc = kind == 0 ? mm_write_safetensors(path, named, COUNT(named), NULL, e)
                   : kind == 1 ? mm_write_npz(path, named, COUNT(named), e)
                               : mm_write_npy(path, &named[0].t, e);

    if (rc < 0)
        return access(path, F_OK) == 0 ? MM_EBUG : rc;
    return mix_file(sum, path);
}

static void writers(void **state)
{
    static const char *const name[] = { "write safetensors", "write npz", "write npy" };

    (void)state;
    for (int i = 0; i < 3; i++)
        nomem_run(name[i], op_write, &i, 200);
}

static int convert_all(struct mm_convert *c, struct mm_ggufw *w, const char *path,
                       struct mm_err *e)
{
    int rc = mm_convert_begin(c, w, path, e);

    for (size_t i = 0; rc == 0 && i < mm_convert_count(c); i++)
        rc = mm_convert_tensor(c, i, w, NULL, e);
    return rc < 0 ? rc : mm_ggufw_commit(w, e);
}

static int op_quantise(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const struct mm_convert_spec spec = { MM_CONVERT_MATRIX, 4 };
    const char *path = scratch("q.gguf");
    struct mm_convert *c = mm_convert_new(*(const enum mm_dtype *)arg);
    struct mm_ggufw *w = mm_ggufw_new();
    int rc = c && w ? 0 : nomem_err(e);

    for (size_t i = 0; rc == 0 && i < 2; i++)
        rc = mm_convert_add(c, named[i].name, &named[i].t,
                            i == 0 ? &spec : &(struct mm_convert_spec){ 0 }, e);
    if (rc == 0) {
        static const char *const dir[] = { "llama/vicuna/model", "llava/v15_orig/model" };

        mm_ggufw_u32(w, "general.file_type", mm_convert_file_type(c));
        rc = mm_tokexport_gguf(w, golden(dir[*(const enum mm_dtype *)arg == MM_Q8_0]),
                               &(struct mm_tokexport_spec){ 0, -1, -1 }, e);
    }
    if (rc == 0)
        rc = convert_all(c, w, path, e);
    mm_ggufw_free(w);
    mm_convert_free(c);
    if (rc < 0)
        return access(path, F_OK) == 0 ? MM_EBUG : rc;
    return mix_file(sum, path);
}

static void quantise(void **state)
{
    enum mm_dtype type[] = { MM_F16, MM_Q8_0 };

    (void)state;
    for (size_t i = 0; i < COUNT(type); i++)
        nomem_run(i ? "quantise q8_0" : "quantise f16", op_quantise, &type[i], 300);
}

/* --- streams ----------------------------------------------------------------- */

static int put_all(struct mm_writer *w, struct mm_err *e)
{
    static char text[] = "a text of some length, a text of some length, a text of some length";
    struct mm_rec rec;
    struct mm_rec copy;
    int rc;

    mm_rec_init(&rec, MM_REC_TEXT);
    rec.data = text;
    rec.size = sizeof(text) - 1;
    rc = mm_rec_set(&rec, "name", "a \xFF name");
    for (int i = 0; rc == 0 && i < 10; i++) {
        char key[20];

        snprintf(key, sizeof(key), "x-%d", i);
        rc = mm_rec_setf(&rec, key, "%0200d", i);
    }
    if (rc == 0)
        rc = mm_rec_copy(&copy, &rec);
    if (rc == 0) {
        rc = mm_writer_put(w, &copy, e);
        free(copy.data);
        mm_rec_free(&copy);
    } else {
        rc = mm_err_set(e, rc, "record");
    }
    mm_rec_free(&rec);
    if (rc == 0)
        rc = mm_writer_tensor(w, &named[0].t, "features", "big", 7, e);
    if (rc == 0)
        rc = mm_writer_error(w, 3, "somewhere", "a reason", e);
    return rc < 0 ? rc : mm_writer_end(w, e);
}

static int op_stream_write(void *arg, struct mm_err *e, uint64_t *sum)
{
    const char *path = scratch("s.mmt");
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct mm_writer *w = NULL;
    int rc = mm_writer_open(&w, fd, *(const int *)arg, e);

    if (rc == 0)
        rc = put_all(w, e);
    mm_writer_close(w);
    close(fd);
    return rc < 0 ? rc : mix_file(sum, path);
}

static int op_stream_read(void *arg, struct mm_err *e, uint64_t *sum)
{
    char *const paths[] = { arg, arg };
    struct mm_input *in = NULL;
    struct mm_rec rec;
    int rc = mm_input_open(&in, paths, 2, 0, e);

    if (rc < 0)
        return rc;
    mm_input_renumber(in);
    while ((rc = mm_input_get(in, &rec, e)) > 0) {
        nomem_mix(sum, rec.data, rec.size);
        rc = mm_rec_set(&rec, "name", "another");
        if (rc < 0) {
            (void)mm_err_set(e, rc, "record");
            break;
        }
        for (size_t i = 0; i < rec.nattr; i++)
            nomem_mix(sum, rec.attr[i].value, strlen(rec.attr[i].value));
    }
    mm_input_close(in);
    return rc;
}

static int op_items(void *arg, struct mm_err *e, uint64_t *sum)
{
    char *const paths[] = { arg };
    struct mm_items it = { .dim = 64, .vocab = 100 };
    struct mm_item item = { 0 };
    int rc = mm_input_open(&it.in, paths, 1, 0, e);

    while (rc >= 0 && (rc = mm_items_next(&it, &item, e)) > 0) {
        if (item.fault.code == MM_ENOMEM)
            rc = nomem_err(e);
        nomem_mix(sum, &item.number, sizeof(item.number));
        nomem_mix(sum, &item.nother, sizeof(item.nother));
        mm_item_free(&item);
    }
    mm_item_free(&item);
    mm_input_close(it.in);
    return rc;
}

static int op_trace(void *arg, struct mm_err *e, uint64_t *sum)
{
    const char *path = scratch("t.mmt");
    struct mm_trace *tr = NULL;
    int rc = mm_trace_open(&tr, path, e);

    (void)arg;
    if (rc < 0)
        return rc;
    mm_trace_put(tr, 1, &named[0].t, "stage.%d", 5);
    mm_trace_put(tr, -1, &named[2].t, "stage.%d", 6);
    rc = mm_trace_close(tr, e);
    return rc < 0 ? rc : mix_file(sum, path);
}

static int op_files(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_files f = { 0 };
    const int rc = mm_files_from(&f, arg, '\n', e);

    if (rc == 0)
        nomem_mix(sum, f.path[f.n - 1], strlen(f.path[f.n - 1]));
    mm_files_free(&f);
    return rc;
}

static void streams(void **state)
{
    int level = 0;
    char path[600];
    struct mm_err e = { 0 };
    struct mm_writer *w = NULL;

    (void)state;
    nomem_run("stream write", op_stream_write, &level, 200);
    level = 6;
    nomem_run("stream write compressed", op_stream_write, &level, 200);
    for (level = 0; level < 2; level++) {
        snprintf(path, sizeof(path), "%s", scratch("in.mmt"));
        const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(mm_writer_open(&w, fd, level, &e), 0);
        assert_int_equal(put_all(w, &e), 0);
        mm_writer_close(w);
        close(fd);
        nomem_run("stream read", op_stream_read, path, 200);
        nomem_run("items", op_items, path, 200);
    }
    nomem_run("trace", op_trace, NULL, 200);
    snprintf(path, sizeof(path), "%s", golden("README.md"));
    nomem_run("files from", op_files, path, 200);
}

/* --- tokenizers -------------------------------------------------------------- */

static int use_tok(const struct mm_tok *t, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "Hello  world, it's 12345 \xC3\xA9t\xC3\xA9 \xF0\x9F\x98\x80 "
                               "<s> \xE4\xB8\xAD\xE6\x96\x87!\n";
    struct mm_ids ids = { 0 };
    struct mm_buf out = { 0 };
    struct mm_tok_stream *s = NULL;
    int rc = mm_tok_encode(t, &ids, text, sizeof(text) - 1, MM_TOK_PARSE | MM_TOK_SPECIAL, e);

    if (rc == 0)
        rc = mm_tok_decode(t, &out, ids.v, ids.n, true, e);
    if (rc == 0)
        rc = mm_tok_stream_new(&s, t, true, e);
    for (size_t i = 0; rc == 0 && i < ids.n; i++)
        rc = mm_tok_stream_put(s, &out, ids.v[i], e);
    if (rc == 0)
        rc = mm_tok_stream_end(s, &out, e);
    mm_tok_stream_free(s);
    for (size_t i = 0; rc == 0 && i < ids.n; i++)
        if (mm_tok_bytes(t, &out, ids.v[i]) < 0)
            rc = nomem_err(e);
    if (rc == 0 && out.failed)
        rc = nomem_err(e);
    nomem_mix(sum, ids.v, ids.n * sizeof(*ids.v));
    nomem_mix(sum, out.p, out.n);
    mm_ids_free(&ids);
    mm_buf_free(&out);
    return rc;
}

static int op_tok(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_tok *t = NULL;
    int32_t id = 0;
    int rc = mm_tok_open(&t, arg, e);

    if (rc == 0)
        rc = mm_tok_add(t, "<one_more>", MM_TOK_ADD_SPECIAL, &id, e);
    if (rc == 0)
        rc = use_tok(t, e, sum);
    mm_tok_free(t);
    nomem_mix(sum, &id, sizeof(id));
    return rc;
}

static void tokenizers(void **state)
{
    static const struct {
        const char *path;
        size_t most;
    } c[] = {
        { "llava/v15_orig/model", 50 },
        { "llava/v15_orig/model/tokenizer.model", 50 },
        { "tokenizer/sp_unigram_bytes/model/tokenizer.model", 50 },
        { "tokenizer/sp_casefold/model/tokenizer.model", 50 },
        { "llava/v15_hf/model", 50 },
        { "tokenizer/json_llama3/model", 50 },
        { "tokenizer/json_llama_metaspace/model", 50 },
        { "tokenizer/json_neox/model", 50 },
        { "tokenizer/json_roberta/model", 50 },
        { "clip/text-eos/model", 50 },
        { "tokenizer/opt/model", 50 },
        { "tokenizer/clip_openclip/model/bpe_simple_vocab_16e6.txt.gz", 5 },
        { "tokenizer/bert_uncased/model/vocab.txt", 15 },
        { "tokenizer/gguf_gpt2/model/vocab.gguf", 50 },
        { "tokenizer/gguf_llama3/model/vocab.gguf", 50 },
        { "tokenizer/gguf_llama_noprefix/model/vocab.gguf", 50 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(c); i++) {
        char path[600];

        snprintf(path, sizeof(path), "%s", golden(c[i].path));
        nomem_run(c[i].path, op_tok, path, c[i].most);
    }
}

/* Each kind of normaliser, pre-tokenizer, decoder, post-processor. */
static void tokenizer_parts(void **state)
{
    static const char *const file[] = {
        "json_added_tokens/model/lower_normalized.json", "json_added_tokens/model/overlap.json",
        "json_decoders/model/bpe_suffix.json", "json_decoders/model/bytefallback_fuse_strip.json",
        "json_decoders/model/ctc.json", "json_decoders/model/metaspace_always.json",
        "json_decoders/model/wordpiece_cleanup.json", "json_normalizers/model/bert.json",
        "json_normalizers/model/nfkd.json", "json_normalizers/model/nmt.json",
        "json_normalizers/model/replace_regex.json", "json_normalizers/model/sequence2.json",
        "json_normalizers/model/strip_accents.json", "json_normalizers/model/strip_left.json",
        "json_postprocessors/model/template_many.json", "json_postprocessors/model/sequence.json",
        "json_pretokenizers/model/bert.json", "json_pretokenizers/model/digits.json",
        "json_pretokenizers/model/metaspace_first_split.json",
        "json_pretokenizers/model/split_llama3.json", "json_pretokenizers/model/seq_plain.json",
        "json_pretokenizers/model/unicode_scripts.json"
    };

    (void)state;
    for (size_t i = 0; i < COUNT(file); i++) {
        char rel[200];
        char path[600];

        snprintf(rel, sizeof(rel), "tokenizer/%s", file[i]);
        snprintf(path, sizeof(path), "%s", golden(rel));
        nomem_run(file[i], op_tok, path, 25);
    }
}

static int op_template(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const struct mm_turn turn[] = {
        { MM_ROLE_SYSTEM, "Be brief.", 9 }, { MM_ROLE_USER, "Hello", 5 },
        { MM_ROLE_ASSISTANT, "Hi", 2 },     { MM_ROLE_USER, "<image>\nWhat?", 13 }
    };
    struct mm_pieces p = { 0 };
    const int rc = mm_template_render(mm_template_named(arg), &p, turn, COUNT(turn), true, e);

    for (size_t i = 0; rc == 0 && i < p.n; i++)
        nomem_mix(sum, p.v[i].s, p.v[i].n);
    mm_pieces_free(&p);
    return rc;
}

static void templates(void **state)
{
    char name[30];

    (void)state;
    for (const char *const *n = mm_template_names(); *n; n++) {
        snprintf(name, sizeof(name), "%s", *n);
        nomem_run(name, op_template, name, 100);
    }
}

/* --- pictures and sound ------------------------------------------------------ */

static int op_image(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_image im = { 0 };
    unsigned char *png = NULL;
    size_t n = 0;
    int rc = mm_image_load(&im, arg, e);

    if (rc == 0)
        rc = mm_image_upright(&im, e);
    if (rc == 0)
        rc = mm_image_rgb(&im, e);
    if (rc == 0)
        rc = mm_image_png(&png, &n, &im, e);
    if (rc == 0)
        nomem_mix(sum, png, n);
    free(png);
    mm_image_free(&im);
    return rc;
}

struct picture {
    struct mm_image im;
    struct mm_preprocess pre;
};

static int op_preprocess(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct picture *p = arg;
    struct mm_pixels px = { 0 };
    const int rc = mm_preprocess_run(&px, &p->im, &p->pre, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, px.px, (size_t)px.tiles * 3 * (size_t)px.size_h * (size_t)px.size_w *
                              sizeof(*px.px));
    mm_pixels_free(&px);
    return 0;
}

static void pictures(void **state)
{
    static const char *const file[] = {
        "image/decode-png/grey1-interlaced.png", "image/decode-png/grey-alpha16.png",
        "image/clip-42/palette.png", "image/clip-42/alpha.png", "image/decode-jpeg/s420.jpg",
        "image/decode-jpeg/cmyk.jpg", "image/decode-exif/j6.jpg", "image/decode-exif/o5.png",
        "image/decode-webp/lossy-alpha.webp", "image/decode-webp/lossless.webp"
    };
    static const enum mm_aspect aspect[] = { MM_ASPECT_CROP, MM_ASPECT_PAD, MM_ASPECT_ANYRES,
                                             MM_ASPECT_SQUEEZE };
    struct mm_err e = { 0 };
    char path[600];

    (void)state;
    for (size_t i = 0; i < COUNT(file); i++) {
        snprintf(path, sizeof(path), "%s", golden(file[i]));
        nomem_run(file[i], op_image, path, 100);
    }
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < COUNT(aspect); i++) {
            struct picture p = { 0 };

            assert_int_equal(mm_image_load(&p.im, golden(file[3 + f]), &e), 0);
            mm_preprocess_clip(&p.pre, 42);
            p.pre.aspect = aspect[i];
            p.pre.npin = 2;
            p.pre.pin[0][0] = p.pre.pin[1][1] = 42;
            p.pre.pin[0][1] = p.pre.pin[1][0] = 84;
            nomem_run("preprocess", op_preprocess, &p, 100);
            mm_image_free(&p.im);
        }
}

static int op_audio(void *arg, struct mm_err *e, uint64_t *sum)
{
    static float x[2000] = { 0.5f, -0.5f, 0.25f };
    const struct mm_audio a = { .rate = 8000, .channels = 2, .frames = 1000, .x = x };
    struct mm_audio back = { 0 };
    unsigned char *wav = NULL;
    size_t n = 0;
    int rc = mm_audio_wav(&wav, &n, &a, MM_WAV_F32, e);

    (void)arg;
    if (rc == 0)
        rc = mm_audio_decode(&back, wav, n, "wav", 0, e);
    if (rc == 0)
        nomem_mix(sum, back.x, back.frames * 2 * sizeof(*back.x));
    free(wav);
    mm_audio_free(&back);
    return rc;
}

static void audio(void **state)
{
    (void)state;
    nomem_run("audio", op_audio, NULL, 100);
}

/* --- models ------------------------------------------------------------------ */

static int op_clip(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_ckpt *const ck = arg;
    struct mm_clip_vision *m = NULL;
    const struct mm_clip_select select = { .layer = { -2, 1 }, .n = 2, .pooled = true };
    struct mm_clip_out out = { 0 };
    struct mm_ctx c = { 0 };
    int rc = mm_clip_vision_open(&m, ck, NULL, e);

    if (rc < 0)
        return rc;
    const int64_t side = mm_clip_vision_config(m)->image;
    float *px = __real_calloc((size_t)(3 * side * side), sizeof(*px));
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 4, .shape = { 1, 3, side, side },
                                 .data = px };
    rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        const struct mm_var *x = mm_var_of(&c, &t);

        if (x)
            mm_clip_see(&c, m, x, &select, &out);
        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, out.features->t.data, mm_tensor_bytes(&out.features->t));
    }
    mm_ctx_free(&c);
    free(px);
    mm_clip_vision_free(m);
    return rc;
}

static int op_clip_text(void *arg, struct mm_err *e, uint64_t *sum)
{
    struct mm_ckpt *const ck = arg;
    static const int32_t ids[] = { 1, 2, 3, 4, 5, 6 };
    struct mm_clip_text *m = NULL;
    struct mm_clip_out out = { 0 };
    struct mm_ctx c = { 0 };
    int rc = mm_clip_text_open(&m, ck, e);

    if (rc == 0)
        rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        mm_clip_read(&c, m, ids, 2, 3, &out);
        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, out.pooled->t.data, mm_tensor_bytes(&out.pooled->t));
    }
    mm_ctx_free(&c);
    mm_clip_text_free(m);
    return rc;
}

static int op_projector(void *arg, struct mm_err *e, uint64_t *sum)
{
    static float rows[5 * 4096];
    struct mm_projector *p = NULL;
    struct mm_ctx c = { 0 };
    int rc = mm_projector_open(&p, arg, e);

    if (rc < 0)
        return rc;
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 2, .shape = { 5, mm_projector_in(p) },
                                 .data = rows };
    rc = mm_ctx_init(&c, NULL, MM_ARITH_EXACT, e);
    if (rc == 0) {
        const struct mm_var *x = mm_var_of(&c, &t);
        const struct mm_var *y = x ? mm_project(&c, p, x) : NULL;

        rc = c.err.code;
        if (rc < 0)
            *e = c.err;
        else
            nomem_mix(sum, y->t.data, mm_tensor_bytes(&y->t));
    }
    mm_ctx_free(&c);
    mm_projector_free(p);
    return rc;
}

/* Vision tower, its preprocessing, and both as a GGUF. */
static int op_vision(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct mm_vision_opts o = { 0 };
    const char *path = scratch("v.gguf");
    struct mm_ckpt *const ck = arg;
    struct mm_vision v = { 0 };
    struct mm_convert *c = NULL;
    struct mm_ggufw *w = NULL;
    int rc = mm_vision_open(&v, ck, &o, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, &v.fingerprint, sizeof(v.fingerprint));
    if (!mm_ckpt_is_gguf(ck)) {
        c = mm_convert_new(MM_F16);
        w = mm_ggufw_new();
        rc = c && w ? mm_mmproj_plan(c, w, &v, ck, "name", e) : nomem_err(e);
        if (rc == 0)
            rc = convert_all(c, w, path, e);
        mm_ggufw_free(w);
        mm_convert_free(c);
        if (rc == 0)
            rc = mix_file(sum, path);
    }
    mm_vision_close(&v);
    return rc;
}

static void with_ckpt(const char *rel, const char *name, nomem_op *op, size_t most)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck = NULL;
    char text[200];

    if (mm_ckpt_open(&ck, golden(rel), &e) < 0)
        fail_msg("%s", e.msg);
    snprintf(text, sizeof(text), "%s %s", name, rel);
    nomem_run(text, op, ck, most);
    mm_ckpt_close(ck);
}

static void clip(void **state)
{
    (void)state;
    with_ckpt("clip/laion-hf/model", "vision", op_clip, 100);
    with_ckpt("clip/mmproj-f16/model", "vision", op_clip, 100);
    with_ckpt("clip/text-eos/model", "text", op_clip_text, 100);
    with_ckpt("clip/open-clip/model/open_clip_model.safetensors", "text", op_clip_text, 100);
    with_ckpt("clip/mmproj-new/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_hf/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_orig/model", "projector", op_projector, 100);
    with_ckpt("llava/v15_hf/model", "vision", op_vision, 100);
    with_ckpt("llava/v16_vicuna/model", "vision", op_vision, 100);
    with_ckpt("clip/mmproj-new/model", "vision", op_vision, 100);
}

/* --- generation -------------------------------------------------------------- */

struct world {
    struct mm_llm llm;
    struct mm_ctx ctx;
    struct mm_gram *gram;
    struct mm_gvocab *vocab;
    size_t beams;
    enum mm_dtype kv;
    double temperature;
};

static int op_llm(void *arg, struct mm_err *e, uint64_t *sum)
{
    const struct mm_adapt_spec spec = { .path = arg };
    struct mm_llm l = { 0 };
    const int rc = mm_llm_open(&l, &spec, e);

    if (rc < 0)
        return rc;
    nomem_mix(sum, l.eos, l.neos * sizeof(*l.eos));
    nomem_mix(sum, &l.fingerprint, sizeof(l.fingerprint));
    mm_llm_close(&l);
    return 0;
}

static int emit(void *arg, size_t which, const char *s, size_t n)
{
    nomem_mix(arg, &which, sizeof(which));
    nomem_mix(arg, s, n);
    return 0;
}

static int answer(struct mm_gen *g, const struct mm_prompt *p, const struct world *w,
                  struct mm_err *e, uint64_t *sum)
{
    const struct mm_prompt *both[] = { p, p };
    const struct mm_beam_spec beam = { .beams = w->beams, .max_new = 3, .length_penalty = 1,
                                       .eos = w->llm.eos, .neos = w->llm.neos };
    struct mm_answer a[4] = { { 0 } };
    size_t n = 2;
    uint64_t emitted = 0;
    const int rc = w->beams ? mm_gen_beam(g, p, &beam, a, &n, e)
                            : mm_gen_run(g, both, 2, 0, a, emit, &emitted, e);

    for (size_t i = 0; i < COUNT(a); i++) {
        nomem_mix(sum, a[i].ids, a[i].n * sizeof(*a[i].ids));
        nomem_mix(sum, a[i].logprobs, a[i].n * sizeof(*a[i].logprobs));
        nomem_mix(sum, a[i].text.p, a[i].text.n);
        mm_answer_free(&a[i]);
    }
    nomem_mix(sum, &emitted, sizeof(emitted));
    return rc;
}

static struct mm_gen_spec gen_spec(const struct world *w)
{
    static const char *const stop[] = { "never seen" };
    struct mm_gen_spec s = { .sample = mm_sample_defaults, .max_new = 3, .context = 40,
                             .stop = stop, .nstop = 1, .logprobs = true, .keep_logits = true,
                             .gram = w->gram, .gvocab = w->vocab, .kv = w->kv };

    s.sample.eos = w->llm.eos;
    s.sample.neos = w->llm.neos;
    s.sample.temperature = w->temperature;
    s.sample.top_k = 20;
    s.sample.typical_p = 0.9;
    s.sample.repeat_penalty = 1.1;
    s.sample.no_repeat_ngram = 2;
    return s;
}

static int op_generate(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "Hello world, here I am";
    struct world *w = arg;
    const struct mm_gen_spec spec = gen_spec(w);
    struct mm_parts parts = { 0 };
    struct mm_prompt p = { 0 };
    struct mm_gen *g = NULL;
    int rc = mm_parts_text(&parts, MM_PART_TEXT, text, sizeof(text) - 1, e);

    if (rc == 0)
        rc = mm_prompt_build(&p, &w->llm.prompt, &parts, e);
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum); /* from the past */
    mm_gen_free(g);
    mm_prompt_free(&p);
    mm_parts_free(&parts);
    w->ctx.err = (struct mm_err){ 0 };
    return rc;
}

static int op_state(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "Hello world, here I am";
    struct world *w = arg;
    const struct mm_gen_spec spec = gen_spec(w);
    char path[600];
    struct mm_parts parts = { 0 };
    struct mm_parts back = { 0 };
    struct mm_prompt p = { 0 };
    struct mm_gen *g = NULL;
    int rc = mm_parts_text(&parts, MM_PART_TEXT, text, sizeof(text) - 1, e);

    snprintf(path, sizeof(path), "%s", scratch("state.mmt"));
    if (rc == 0)
        rc = mm_prompt_build(&p, &w->llm.prompt, &parts, e);
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = mm_gen_prefill(g, &p, e);
    if (rc == 0)
        rc = mm_state_save(path, g, &parts, 77, e);
    mm_gen_free(g);
    g = NULL;
    if (rc == 0)
        rc = mm_gen_new(&g, w->llm.m, w->llm.tok, &w->ctx, &spec, e);
    if (rc == 0)
        rc = mm_state_load(path, g, w->kv, &back, 77, e);
    if (rc == 0)
        rc = answer(g, &p, w, e, sum);
    mm_gen_free(g);
    mm_prompt_free(&p);
    mm_parts_free(&parts);
    mm_parts_free(&back);
    unlink(path);
    w->ctx.err = (struct mm_err){ 0 };
    return rc;
}

static void generation(void **state)
{
    static const char gbnf[] = "root ::= [a-z ]* word\nword ::= \"x\" | [^a] word | [0-9]{2,4}";
    const char *const dir = "llava/v15_hf/model";
    char path[600];
    const struct mm_adapt_spec spec = { .path = path };
    struct mm_err e = { 0 };
    struct world w = { .kv = MM_F32 };

    (void)state;
    snprintf(path, sizeof(path), "%s", golden("weights/gguf-llama-kmix/model"));
    nomem_run("llm gguf", op_llm, path, 100);
    snprintf(path, sizeof(path), "%s", golden(dir));
    nomem_run("llm hf", op_llm, path, 100);
    if (mm_llm_open(&w.llm, &spec, &e) < 0 || mm_ctx_init(&w.ctx, NULL, MM_ARITH_EXACT, &e) < 0)
        fail_msg("%s", e.msg);
    nomem_run("greedy", op_generate, &w, 60);
    nomem_run("state", op_state, &w, 60);
    w.beams = 3;
    nomem_run("beams", op_generate, &w, 60);
    w.beams = 0;
    if (mm_gbnf_parse(&w.gram, gbnf, sizeof(gbnf) - 1, &e) < 0 ||
        mm_gvocab_new(&w.vocab, w.llm.tok, &e) < 0)
        fail_msg("%s", e.msg);
    w.kv = MM_F16;
    w.temperature = 0.8;
    nomem_run("grammar", op_generate, &w, 80);
    mm_gram_free(w.gram);
    mm_gvocab_free(w.vocab);
    mm_ctx_free(&w.ctx);
    mm_llm_close(&w.llm);
}

/* --- grammars, tables, threads ----------------------------------------------- */

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"array\","
    "\"items\":{\"$ref\":\"#/$defs/x\"},\"maxItems\":3},\"c\":{\"enum\":[\"u\",2,null]}},"
    "\"required\":[\"a\",\"c\"],\"$defs\":{\"x\":{\"anyOf\":[{\"type\":\"string\",\"maxLength\":4},"
    "{\"const\":true}]}}}";

static int op_schema(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "{\"a\": 12, \"c\": \"u\"}";
    json_t *j = NULL;
    struct mm_buf b = { 0 };
    struct mm_gram *g = NULL;
    struct mm_gstate *s = NULL;
    int rc = mm_json_load(&j, schema, sizeof(schema) - 1, "schema", e);

    (void)arg;
    if (rc == 0)
        rc = mm_jsonschema_gbnf(&b, j, e);
    if (rc == 0)
        rc = mm_gbnf_parse(&g, b.p, b.n, e);
    if (rc == 0)
        rc = mm_gstate_new(&s, g, e);
    if (rc == 0)
        rc = mm_gstate_advance(s, text, sizeof(text) - 1, e);
    if (rc == 0 && !mm_gstate_complete(s))
        rc = MM_EBUG;
    nomem_mix(sum, b.p, b.n);
    mm_gstate_free(s);
    mm_gram_free(g);
    mm_buf_free(&b);
    json_decref(j);
    return rc;
}

static int op_csv(void *arg, struct mm_err *e, uint64_t *sum)
{
    static const char text[] = "x,\"y\",z\n1,2.5,3\n4,5,6\n7,8,9\n";
    struct mm_csv c = { 0 };
    struct mm_buf b = { 0 };
    int rc = mm_csv_parse(&c, text, sizeof(text) - 1, "table", e);

    (void)arg;
    if (rc == 0)
        rc = mm_csv_write(&b, &c.t, c.header, e);
    nomem_mix(sum, b.p, b.n);
    mm_buf_free(&b);
    mm_csv_free(&c);
    return rc;
}

static void tile(void *arg, size_t t, int thread)
{
    (void)thread;
    ((int *)arg)[t] = (int)t;
}

static int op_pool(void *arg, struct mm_err *e, uint64_t *sum)
{
    int done[40] = { 0 };
    struct mm_pool *p = mm_pool_new(3);

    (void)arg;
    if (!p)
        return nomem_err(e);
    mm_pool_run(p, COUNT(done), tile, done);
    mm_pool_free(p);
    nomem_mix(sum, done, sizeof(done));
    return 0;
}

static void base(void **state)
{
    (void)state;
    nomem_run("schema", op_schema, NULL, 600);
    nomem_run("csv", op_csv, NULL, 600);
    nomem_run("pool", op_pool, NULL, 600);
}

/* ----------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++)
        numbers[i] = (float)(i % 37) / 8 - 2;
    return mkdtemp(tmp) ? 0 : -1;
}

/* Nothing may be left: outputs appear complete or not at all. */
static int teardown(void **state)
{
    (void)state;
    unlink(scratch("in.mmt"));
    unlink(scratch("s.mmt"));
    return rmdir(tmp);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, nomem_verdict)
    const struct CMUnitTest t[] = {
        T(base),    T(ckpt),       T(find),            T(lora),      T(writers),
        T(quantise), T(streams),   T(tokenizers),      T(tokenizer_parts), T(templates),
        T(pictures), T(audio),     T(clip),            T(generation)
    };

    return cmocka_run_group_tests(t, setup, teardown);
}
