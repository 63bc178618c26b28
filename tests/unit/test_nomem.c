/* test_nomem.c: no allocation failure crashes, leaks, hangs or goes unreported: files,
 * streams, text, grammars.  test_nomem_model.c has pictures and models.
 */
#include "nomem.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/json.h"
#include "base/outfile.h"
#include "base/pool.h"
#include "model/items.h"
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
    for (size_t i = 0; i < COUNT(numbers); i++)
        numbers[i] = (float)(i % 37) / 8 - 2;
    return nomem_setup(state);
}

static int teardown(void **state)
{
    unlink(scratch("in.mmt"));
    unlink(scratch("s.mmt"));
    return nomem_teardown(state);
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, nomem_verdict)
    const struct CMUnitTest t[] = {
        T(base),     T(ckpt),    T(find),       T(lora),            T(writers),
        T(quantise), T(streams), T(tokenizers), T(tokenizer_parts), T(templates)
    };

    return cmocka_run_group_tests(t, setup, teardown);
}
