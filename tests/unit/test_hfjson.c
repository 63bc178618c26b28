/* test_hfjson.c: tokenizer.json and what is made of its parts (GPT-2, CLIP,
 * BERT, GGUF's gpt2 kind) against the golden vectors. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "text/hfjson.h"
#include "tokgolden.h"

/* A model directory with its *.gz unpacked, in a temporary place. */
struct unpacked {
    char dir[256];
};

static const char *tmp_dir(void)
{
    const char *dir = getenv("TMPDIR");

    return dir && *dir ? dir : P_tmpdir;
}

static void copy_file(const char *from, const char *to)
{
    gzFile in = gzopen(from, "rb"); /* reads plain files as they are */
    FILE *out = fopen(to, "wb");
    char buf[65536];
    int n;

    assert_non_null(in);
    assert_non_null(out);
    while ((n = gzread(in, buf, sizeof(buf))) > 0)
        assert_int_equal(fwrite(buf, 1, (size_t)n, out), n);
    gzclose(in);
    assert_int_equal(fclose(out), 0);
}

/* Files ending in `leave` (may be NULL) are not taken. */
static void unpack(struct unpacked *u, const char *name, const char *leave)
{
    char model[512], from[1024], to[768];
    DIR *d;

    snprintf(u->dir, sizeof(u->dir), "%s/mm-test-XXXXXX", tmp_dir());
    assert_non_null(mkdtemp(u->dir));
    d = opendir(tg_path(model, sizeof(model), name, "model"));
    assert_non_null(d);
    for (const struct dirent *de; (de = readdir(d));) {
        const size_t n = strlen(de->d_name);
        if (de->d_name[0] == '.' || !strchr(de->d_name, '.') ||
            (leave && strstr(de->d_name, leave)))
            continue;
        const bool gz = n > 3 && strcmp(de->d_name + n - 3, ".gz") == 0;
        snprintf(from, sizeof(from), "%s/%s", model, de->d_name);
        snprintf(to, sizeof(to), "%s/%.*s", u->dir, (int)(gz ? n - 3 : n), de->d_name);
        copy_file(from, to);
    }
    closedir(d);
}

static void unpack_free(struct unpacked *u)
{
    char path[768];
    DIR *d = opendir(u->dir);

    for (const struct dirent *de; d && (de = readdir(d));) {
        snprintf(path, sizeof(path), "%s/%s", u->dir, de->d_name);
        if (de->d_name[0] != '.')
            unlink(path);
    }
    closedir(d);
    rmdir(u->dir);
}

static struct mm_tok *open_path(const char *path)
{
    struct mm_tok *t = NULL;
    struct mm_err e = { 0 };

    if (mm_tok_open(&t, path, &e) < 0)
        fail_msg("%s", e.msg);
    return t;
}

/* Whole tokenizers: every text, ids, decoded text, streamed text. */
static void test_cases(void **state)
{
    static const char *const names[] = {
        "json_llama_prepend", "json_llama_metaspace", "json_gpt2", "json_neox", "json_llama3",
        "json_roberta", "opt", "gguf_gpt2", "gguf_llama3"
    };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct unpacked u;
        unpack(&u, names[i], NULL);
        struct mm_tok *t = open_path(u.dir);
        assert_true(mm_tok_default_parse(t));
        bad += tg_check_case(t, names[i], MM_TOK_PARSE);
        mm_tok_free(t);
        unpack_free(&u);
    }
    assert_int_equal(bad, 0);
}

static int check_words(const char *what, const char *id, const char *key, const json_t *want,
                       const struct mm_words *w)
{
    bool same = json_array_size(want) == w->n;

    for (size_t i = 0; i < w->n && same; i++) {
        const json_t *s = json_array_get(want, i);
        same = json_string_length(s) == w->v[i].n &&
            memcmp(json_string_value(s), w->text.p + w->v[i].at, w->v[i].n) == 0;
    }
    return same ? 0 : tg_differs(what, id, key, NULL, &w->text);
}

/* What each component makes of a text. */
static int check_parts(const struct mm_tok *t, const char *what, const char *id, const json_t *want,
                       const char *s, size_t n)
{
    struct mm_err e = { 0 };
    struct mm_buf b = { 0 };
    struct mm_words w = { 0 };
    int bad = 0, r = 0;

    if (json_object_get(want, "normalized")) {
        r = mm_hf_normalize(t, &b, s, n, &e);
        if (r < 0 || !tg_same_text(want, "normalized", b.p, b.n))
            bad += tg_differs(what, id, "normalized", NULL, &b);
    }
    if (json_object_get(want, "pieces")) {
        r = mm_hf_words(t, &w, s, n, &e);
        bad += r < 0 ? 1 : check_words(what, id, "pieces", json_object_get(want, "pieces"), &w);
    }
    if (json_object_get(want, "tokens")) {
        r = mm_hf_tokens(t, &w, s, n, &e);
        bad += r < 0 ? 1 : check_words(what, id, "tokens", json_object_get(want, "tokens"), &w);
    }
    mm_buf_free(&b);
    mm_words_free(&w);
    return bad;
}

/* Every text is paired with "second one". */
static int check_pair(const struct mm_tok *t, const char *what, const char *id, const json_t *want,
                      const char *s, size_t n)
{
    const struct mm_str a = { s, n }, b = { "second one", 10 };
    struct mm_err e = { 0 };
    struct mm_ids ids = { 0 };
    int bad = 0;

    if (!json_object_get(want, "pair"))
        return 0;
    if (mm_hf_pair(t, &ids, &a, &b, &e) < 0 || !tg_same_ids(want, "pair", &ids))
        bad = tg_differs(what, id, "pair", &ids, NULL);
    mm_ids_free(&ids);
    return bad;
}

static int check_lists(const struct mm_tok *t, const char *what, const json_t *lists,
                       const json_t *texts)
{
    int bad = json_array_size(lists) != json_array_size(texts);

    for (size_t i = 0; i < json_array_size(lists); i++) {
        const json_t *list = json_array_get(lists, i);
        struct mm_ids ids = { 0 };
        json_t *want = json_pack("{s:O}", "text", json_array_get(texts, i));
        for (size_t k = 0; k < json_array_size(list); k++)
            bad += mm_ids_add(&ids, (int32_t)json_integer_value(json_array_get(list, k))) < 0;
        bad += tg_check_decode(t, what, "decode", want, "text", &ids, false);
        json_decref(want);
        mm_ids_free(&ids);
    }
    return bad;
}

static int check_component(const char *name, const char *file, const json_t *texts,
                           const json_t *want, const json_t *config, size_t *checked)
{
    char path[512], what[300], part[256];
    const char *dot = strstr(file, ".json");
    int bad = 0;

    snprintf(part, sizeof(part), "%.*s", (int)(dot - file), file);
    snprintf(what, sizeof(what), "%.100s/%.100s", name, part);
    snprintf(path, sizeof(path), "model/%.200s", file);
    char full[1024];
    struct mm_tok *t = open_path(tg_path(full, sizeof(full), name, path));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *entry = json_array_get(texts, i);
        const char *id = json_string_value(json_object_get(entry, "id"));
        const json_t *all = json_object_get(json_object_get(want, "texts"), id);
        const json_t *expect = json_object_get(all, part);
        size_t n;
        if (!expect)
            continue;
        char *s = tg_text(entry, &n);
        ++*checked;
        bad += tg_check_text(t, what, id, expect, s, n, MM_TOK_PARSE);
        bad += check_parts(t, what, id, expect, s, n);
        bad += check_pair(t, what, id, expect, s, n);
        free(s);
    }
    const json_t *lists = json_object_get(json_object_get(config, "decode"), part);
    if (lists)
        bad += check_lists(t, what, lists, json_object_get(json_object_get(want, "decode"), part));
    mm_tok_free(t);
    return bad;
}

/* One component per file of model/. */
static void test_components(void **state)
{
    static const char *const names[] = { "json_normalizers", "json_pretokenizers",
                                         "json_postprocessors", "json_decoders",
                                         "json_added_tokens" };
    json_t *texts = tg_json("texts.json", NULL);
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *want = tg_json(names[i], "expected.json"), *c = tg_json(names[i], "case.json");
        const json_t *config = json_object_get(c, "config");
        char model[512];
        DIR *d = opendir(tg_path(model, sizeof(model), names[i], "model"));
        size_t files = 0;
        assert_non_null(d);
        for (const struct dirent *de; (de = readdir(d));) {
            size_t checked = 0;
            if (!strstr(de->d_name, ".json"))
                continue;
            files++;
            bad += check_component(names[i], de->d_name, texts, want, config, &checked);
            assert_true(checked > 100);
        }
        assert_true(files > 5);
        closedir(d);
        json_decref(want);
        json_decref(c);
    }
    json_decref(texts);
    assert_int_equal(bad, 0);
}

/* 77 ids, start and end added, cut, padded: what CLIP's text tower sees. */
static int check_row(const char *what, const char *id, const json_t *expect,
                     const struct mm_ids *all, int32_t end, int32_t pad)
{
    const json_t *want = json_object_get(expect, "row");
    int32_t row[77];

    if (!want)
        return 0;
    for (size_t i = 0; i < 77; i++)
        row[i] = i < all->n ? all->v[i] : pad;
    if (all->n > 77)
        row[76] = end;
    return tg_same_list(want, row, 77) ? 0 : tg_differs(what, id, "row", all, NULL);
}

static int check_rows(const struct mm_tok *t, const char *name, int32_t pad)
{
    json_t *texts = tg_json("texts.json", NULL), *want = tg_json(name, "expected.json");
    int bad = 0;

    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *entry = json_array_get(texts, i);
        const char *id = json_string_value(json_object_get(entry, "id"));
        const json_t *expect = json_object_get(json_object_get(want, "texts"), id);
        struct mm_ids ids = { 0 };
        size_t n;
        char *s = tg_text(entry, &n);
        if (json_is_object(expect) &&
            mm_tok_encode(t, &ids, s, n, MM_TOK_PARSE | MM_TOK_SPECIAL, NULL) == 0)
            bad += check_row(name, id, expect, &ids, mm_tok_eos(t), pad);
        mm_ids_free(&ids);
        free(s);
    }
    json_decref(texts);
    json_decref(want);
    return bad;
}

static void test_clip_hf(void **state)
{
    struct unpacked u;
    int bad;

    (void)state;
    unpack(&u, "clip_hf", NULL);
    struct mm_tok *t = open_path(u.dir);
    bad = tg_check_case(t, "clip_hf", MM_TOK_PARSE);
    bad += check_rows(t, "clip_hf", 49407);
    assert_int_equal(mm_tok_pad(t), 49407);
    mm_tok_free(t);
    unpack_free(&u);
    assert_int_equal(bad, 0);
}

static void test_clip_openclip(void **state)
{
    char path[512];
    struct mm_tok *t = open_path(
        tg_path(path, sizeof(path), "clip_openclip", "model/bpe_simple_vocab_16e6.txt.gz"));
    int bad = tg_check_case(t, "clip_openclip", MM_TOK_PARSE);

    (void)state;
    bad += check_rows(t, "clip_openclip", 0);
    mm_tok_free(t);
    assert_int_equal(bad, 0);
}

/* The first and the last 12 ids of a long text. */
static int check_ends(const struct mm_tok *t, const json_t *expect, const char *s, size_t n)
{
    struct mm_ids ids = { 0 };
    int bad = mm_tok_encode(t, &ids, s, n, MM_TOK_PARSE, NULL) < 0 || ids.n < 24 ||
        !tg_same_list(json_object_get(expect, "ids_head"), ids.v, 12) ||
        !tg_same_list(json_object_get(expect, "ids_tail"), ids.v + ids.n - 12, 12);

    if (bad)
        tg_differs("bert slow", "long", "ends", &ids, NULL);
    mm_ids_free(&ids);
    return bad;
}

/* As tokenizer.json the Rust tokenizer's ids, as vocab.txt the Python one's. */
static void test_bert(void **state)
{
    json_t *texts = tg_json("texts.json", NULL), *want = tg_json("bert_uncased", "expected.json");
    struct unpacked u;
    int bad;

    (void)state;
    unpack(&u, "bert_uncased", NULL);
    struct mm_tok *t = open_path(u.dir);
    bad = tg_check_case(t, "bert_uncased", MM_TOK_PARSE);
    mm_tok_free(t);
    unpack_free(&u);

    unpack(&u, "bert_uncased", "tokenizer.json");
    t = open_path(u.dir);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *entry = json_array_get(texts, i);
        const char *id = json_string_value(json_object_get(entry, "id"));
        const json_t *expect = json_object_get(json_object_get(want, "texts"), id);
        size_t n;
        char *s = tg_text(entry, &n);
        if (json_object_get(expect, "ids_slow"))
            bad += tg_check_ids(t, "bert slow", id, expect, "ids_slow", s, n, MM_TOK_PARSE);
        else if (json_object_get(expect, "ids_n")) /* holds texts that differ: no hash is given */
            bad += check_ends(t, expect, s, n);
        else
            bad += tg_check_text(t, "bert slow", id, expect, s, n, MM_TOK_PARSE);
        free(s);
    }
    mm_tok_free(t);
    unpack_free(&u);
    json_decref(texts);
    json_decref(want);
    assert_int_equal(bad, 0);
}

/* The texts of a case of the family `clip`: all ids, and cut to 24. */
static int check_clip_texts(const struct mm_tok *t, const json_t *tokens, const char *what)
{
    int bad = json_array_size(tokens) == 0;

    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *want = json_array_get(tokens, i);
        const json_t *text = json_object_get(want, "text");
        struct mm_ids ids = { 0 };
        bad += mm_tok_encode(t, &ids, json_string_value(text), json_string_length(text),
                             MM_TOK_PARSE | MM_TOK_SPECIAL, NULL) < 0;
        if (!tg_same_ids(want, "ids", &ids))
            bad += tg_differs(what, "-", "ids", &ids, NULL);
        if (ids.n > 24) {
            ids.n = 24;
            ids.v[23] = mm_tok_eos(t);
        }
        if (!tg_same_ids(want, "truncated", &ids))
            bad += tg_differs(what, "-", "truncated", &ids, NULL);
        mm_ids_free(&ids);
    }
    return bad;
}

/* tokenizer.json and vocab.json with merges.txt give the same. */
static void test_clip_family(void **state)
{
    static const char *const names[] = { "../clip/text-eos", "../clip/text-eos2" };
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        json_t *want = tg_json(names[i], "expected.json");
        const json_t *tokens = json_object_get(want, "tokens");
        char path[512];
        struct unpacked u;
        struct mm_tok *t = open_path(tg_path(path, sizeof(path), names[i], "model"));
        bad += check_clip_texts(t, tokens, names[i]);
        mm_tok_free(t);
        unpack(&u, names[i], "tokenizer.json");
        t = open_path(u.dir);
        bad += check_clip_texts(t, tokens, u.dir);
        mm_tok_free(t);
        unpack_free(&u);
        json_decref(want);
    }
    assert_int_equal(bad, 0);
}

/* Decoded as transformers does: no "</w>", no space at the end. */
static void test_clip_decode(void **state)
{
    static const char text[] = "a photo of a cat";
    char path[512];
    struct mm_tok *t = open_path(tg_path(path, sizeof(path), "../clip/zero-shot", "model"));
    struct mm_ids ids = { 0 };
    struct mm_buf out = { 0 };
    struct mm_err e = { 0 };

    (void)state;
    assert_int_equal(mm_tok_encode(t, &ids, text, sizeof(text) - 1, MM_TOK_SPECIAL, &e), 0);
    assert_int_equal(mm_tok_decode(t, &out, ids.v, ids.n, false, &e), 0);
    assert_string_equal(out.p, text);
    mm_buf_free(&out);
    mm_ids_free(&ids);
    mm_tok_free(t);
}

/* Open a tokenizer.json given as text. */
static int open_text(struct mm_tok **t, const char *text, struct mm_err *e)
{
    char path[256];
    FILE *f;
    int r, fd;

    snprintf(path, sizeof(path), "%s/mm-test-XXXXXX", tmp_dir());
    fd = mkstemp(path);
    assert_true(fd >= 0);
    f = fdopen(fd, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    r = mm_tok_open(t, path, e);
    unlink(path);
    return r;
}

#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}," \
    "\"merges\":[\"a b\"]}"

/* Each ends with its code, and names file and place. */
static void test_malformed(void **state)
{
    static const struct {
        const char *text, *names;
        int code;
    } cases[] = {
        { "{", "line 1", MM_EDATA },
        { "{}", "model", MM_EDATA },
        { "{\"model\":{\"type\":\"RNN\"}}", "RNN", MM_EMISSING },
        { "{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", "vocab", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "'a'", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "twice", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":99999999},\"merges\":[]}}", "'a'", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[7]}}", "merge", MM_EDATA },
        { "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"fuse_unk\":1}}", "fuse_unk", MM_EDATA },
        { "{\"model\":{\"vocab\":[[\"a\"]]}}", "entry 0", MM_EDATA },
        { "{\"model\":{\"vocab\":[[\"a\",0]],\"unk_id\":1}}", "unk_id", MM_EDATA },
        { "{" MODEL ",\"normalizer\":{\"type\":\"Rot13\"}}", "Rot13", MM_EMISSING },
        { "{" MODEL ",\"normalizer\":{}}", "normalizer", MM_EDATA },
        { "{" MODEL ",\"normalizer\":{\"type\":\"Sequence\"}}", "normalizers", MM_EDATA },
        { "{" MODEL ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},"
          "\"content\":\"\"}}", "pattern '('", MM_EDATA },
        { "{" MODEL ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}}",
          "base64", MM_EDATA },
        { "{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},"
          "\"behavior\":\"Eaten\"}}", "behavior", MM_EDATA },
        { "{" MODEL ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}",
          "replacement", MM_EDATA },
        { "{" MODEL ",\"pre_tokenizer\":{\"type\":\"Words\"}}", "Words", MM_EMISSING },
        { "{" MODEL ",\"decoder\":{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}}",
          "start", MM_EDATA },
        { "{" MODEL ",\"decoder\":{\"type\":\"Zip\"}}", "Zip", MM_EMISSING },
        { "{" MODEL ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",0],"
          "\"sep\":[\"x\",7]}}", "id of the vocabulary", MM_EDATA },
        { "{" MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{}],"
          "\"pair\":[]}}", "piece 0", MM_EDATA },
        { "{" MODEL ",\"post_processor\":{\"type\":\"Staples\"}}", "Staples", MM_EMISSING },
        { "{" MODEL ",\"added_tokens\":[{\"content\":\"x\"}]}", "'id'", MM_EDATA },
        { "{" MODEL ",\"added_tokens\":[{\"content\":\"x\",\"id\":1}]}", "'b'", MM_EDATA },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mm_tok *t = NULL;
        struct mm_err e = { 0 };
        const int r = open_text(&t, cases[i].text, &e);
        if (r != cases[i].code || !strstr(e.msg, cases[i].names) || !strstr(e.msg, "mm-test-"))
            fail_msg("%s: %d: %s", cases[i].text, r, e.msg);
    }
}

/* Sequences in Sequences: an error long before the stack ends. */
static void test_deep(void **state)
{
    struct mm_buf b = { 0 };
    struct mm_tok *t = NULL;
    struct mm_err e = { 0 };

    (void)state;
    mm_buf_str(&b, "{" MODEL ",\"decoder\":");
    for (int i = 0; i < 500; i++)
        mm_buf_str(&b, "{\"type\":\"Sequence\",\"decoders\":[");
    for (int i = 0; i < 500; i++)
        mm_buf_str(&b, "]}");
    mm_buf_str(&b, "}");
    assert_int_equal(open_text(&t, b.p, &e), MM_EDATA);
    mm_buf_free(&b);
}

/* A word level model without unknown token refuses words; unigram too. */
static void test_no_unknown(void **state)
{
    static const char *const models[] = {
        "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}",
        "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1.5]]}}",
        "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}",
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct mm_tok *t = NULL;
        struct mm_err e = { 0 };
        struct mm_ids ids = { 0 };
        assert_int_equal(open_text(&t, models[i], &e), 0);
        assert_int_equal(mm_tok_encode(t, &ids, "a", 1, 0, &e), 0);
        assert_int_equal(ids.n, 1);
        assert_int_equal(mm_tok_encode(t, &ids, "x", 1, 0, &e), MM_EDATA);
        mm_ids_free(&ids);
        mm_tok_free(t);
    }
}

static size_t count_special(const char *config)
{
    struct unpacked u;
    char path[768];
    struct mm_ids ids = { 0 };

    unpack(&u, "json_llama_metaspace", NULL);
    snprintf(path, sizeof(path), "%s/tokenizer_config.json", u.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(config, f);
    assert_int_equal(fclose(f), 0);
    struct mm_tok *t = open_path(u.dir);
    assert_int_equal(mm_tok_encode(t, &ids, "", 0, MM_TOK_SPECIAL, NULL), 0);
    const size_t n = ids.n;
    assert_int_equal(mm_tok_adds_bos(t), n > 0 && ids.v[0] == 1);
    mm_ids_free(&ids);
    mm_tok_free(t);
    unpack_free(&u);
    return n;
}

/* add_bos_token counts for the classes of transformers that read it. */
static void test_marks(void **state)
{
    (void)state;
    assert_int_equal(count_special("{}"), 1);
    assert_int_equal(count_special("{\"tokenizer_class\":\"PreTrainedTokenizerFast\","
                                   "\"add_bos_token\":false}"), 1);
    assert_int_equal(count_special("{\"tokenizer_class\":\"LlamaTokenizerFast\","
                                   "\"add_bos_token\":false}"), 0);
    assert_int_equal(count_special("{\"tokenizer_class\":\"LlamaTokenizer\",\"bos_token\":\"<s>\","
                                   "\"eos_token\":\"</s>\",\"add_eos_token\":true}"), 2);
}

/* A token added to an open tokenizer; text streamed after a prompt. */
static void test_add_and_stream(void **state)
{
    char path[512];
    struct mm_tok *t = open_path(tg_path(path, sizeof(path), "json_llama_metaspace", "model"));
    struct mm_tok_stream *s;
    struct mm_ids ids = { 0 };
    struct mm_buf out = { 0 };
    int32_t id;

    (void)state;
    assert_int_equal(mm_tok_add(t, "[IMG0]", MM_TOK_ADD_SPECIAL, &id, NULL), 0);
    assert_int_equal(mm_tok_encode(t, &ids, "a[IMG0]b", 8, MM_TOK_PARSE, NULL), 0);
    assert_int_equal(ids.v[1], id);
    ids.n = 0;
    assert_int_equal(mm_tok_encode(t, &ids, "Hello", 5, 0, NULL), 0);
    for (int after = 0; after < 2; after++) {
        mm_buf_reset(&out);
        assert_int_equal(mm_tok_stream_new(&s, t, after, NULL), 0);
        for (size_t i = 0; i < ids.n; i++)
            assert_int_equal(mm_tok_stream_put(s, &out, ids.v[i], NULL), 0);
        assert_int_equal(mm_tok_stream_end(s, &out, NULL), 0);
        assert_string_equal(out.p, after ? " Hello" : "Hello");
        mm_tok_stream_free(s);
    }
    mm_buf_reset(&out);
    assert_int_equal(mm_tok_bytes(t, &out, ids.v[0]), 0);
    assert_int_equal(out.p[0], ' ');
    mm_buf_free(&out);
    mm_ids_free(&ids);
    mm_tok_free(t);
}

/* Names that GGUF files give their way of cutting; text -> pieces. */
static void test_gguf_ways(void **state)
{
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        { "gpt-2", "It's 2024 x", "It|'s|\xc4\xa0" "2024|\xc4\xa0x" },
        { "llama-bpe", "It's 20245 X", "It|'s|\xc4\xa0|202|45|\xc4\xa0X" },
        { "qwen2", "ab 12", "ab|\xc4\xa0|1|2" },
        { "smollm", "ab 12", "ab|\xc4\xa0|1|2" },
        { "falcon", "a,b 1234", "a|,|b|\xc4\xa0|123|4" },
        { "deepseek-llm", "ab 1234", "ab|\xc4\xa0|1234" },
        { "deepseek-coder", "ab 12", "ab|\xc4\xa0|1|2" },
        { "deepseek-v3", "a1234", "a|123|4" },
        { "tekken", "fooBar 12", "foo|Bar|\xc4\xa0|1|2" },
        { "gpt-4o", "fooBar's 1234", "foo|Bar's|\xc4\xa0|123|4" },
        { "bloom", "ab, c1", "ab|,|\xc4\xa0" "c1" },
        { "viking", "ab 12", "ab|\xc4\xa0|1|2" },
        { NULL, "a b1234", "a|\xc4\xa0" "b|123|4" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mm_tok *t = calloc(1, sizeof(*t));
        struct mm_words w = { 0 };
        struct mm_buf out = { 0 };
        struct mm_err e = { 0 };
        if (mm_tok_gguf_bpe_open(t, NULL, 0, cases[i].pre, &e) < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(mm_hf_words(t, &w, cases[i].text, strlen(cases[i].text), &e), 0);
        for (size_t k = 0; k < w.n; k++) {
            if (k)
                mm_buf_char(&out, '|');
            mm_buf_add(&out, w.text.p + w.v[k].at, w.v[k].n);
        }
        assert_string_equal(out.p, cases[i].want);
        mm_buf_free(&out);
        mm_words_free(&w);
        mm_tok_free(t);
    }
    struct mm_tok *t = calloc(1, sizeof(*t));
    struct mm_err e = { 0 };
    assert_int_equal(mm_tok_gguf_bpe_open(t, NULL, 0, "gpt", &e), MM_EMISSING);
    assert_non_null(strstr(e.msg, "'gpt'"));
    mm_tok_free(t);
}

/* 100 KB of one thing: a tenth of a second, and some under the sanitizers. */
static void test_hostile_text(void **state)
{
    static const char *const names[] = { "json_llama_metaspace", "json_neox", "json_llama3" };
    static const char *const parts[] = { "a", " ", "\n", "1", "!", "e\xcc\x81", "'" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        struct mm_tok *t = open_path(tg_path(path, sizeof(path), names[i], "model"));
        for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
            struct mm_buf b = { 0 };
            struct mm_ids ids = { 0 };
            struct mm_err e = { 0 };
            const clock_t start = clock();
            while (b.n < 100000)
                mm_buf_str(&b, parts[k]);
            assert_int_equal(mm_tok_encode(t, &ids, b.p, b.n, MM_TOK_PARSE, &e), 0);
            assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
            mm_ids_free(&ids);
            mm_buf_free(&b);
        }
        mm_tok_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),    cmocka_unit_test(test_components),
        cmocka_unit_test(test_clip_hf),  cmocka_unit_test(test_clip_openclip),
        cmocka_unit_test(test_bert),     cmocka_unit_test(test_clip_family),
        cmocka_unit_test(test_clip_decode), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_deep),     cmocka_unit_test(test_no_unknown),
        cmocka_unit_test(test_gguf_ways), cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_marks),    cmocka_unit_test(test_add_and_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
