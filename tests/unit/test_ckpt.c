/* test_ckpt.c: every container of the golden family `weights`, tensor bytes and
 * metadata against expected.json, and every malformed file against bad.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/json.h"
#include "golden.h"
#include "weights/gguf.h"

/* Two values of the expected files are u64 above INT64_MAX, which jansson cannot
 * hold: they are read as the i64 of the same bits. */
static json_t *golden_json(const char *rel)
{
    static const struct { const char *u64, *i64; } big[] = {
        { " 18446744073709551615", "                   -1" },
        { " 9223372036854775808", "-9223372036854775808" },
    };
    char path[500], *text;
    size_t n;
    struct mm_err e = { 0 };
    json_error_t je;

    if (mm_io_slurp(golden_path(path, sizeof path, rel), 1 << 24, &text, &n, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t i = 0; i < sizeof big / sizeof *big; i++)
        for (char *p = text; (p = strstr(p, big[i].u64)) != NULL;)
            memcpy(p, big[i].i64, strlen(big[i].i64));
    json_t *const j = json_loadb(text, n, JSON_ALLOW_NUL, &je);
    if (!j)
        fail_msg("%s: %s", path, je.text);
    free(text);
    return j;
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Compare dtype, shape (row-major) and bytes of an entry with what is expected. */
static void check_tensor(const struct mm_ckpt_entry *x, const char *file, const char *name,
                         const char *dtype, const json_t *dims, bool reversed, const json_t *want)
{
    const char *const hex = json_string_value(json_object_get(want, "hex"));
    const size_t n = json_array_size(dims);

    if (!x)
        fail_msg("%s: no tensor '%s'", file, name);
    if (mm_dtype_parse(dtype) != x->t.dtype)
        fail_msg("%s: '%s' is %s, want %s", file, name, mm_dtype_name(x->t.dtype), dtype);
    assert_int_equal(x->t.ndim, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(x->t.shape[reversed ? n - 1 - i : i],
                         json_integer_value(json_array_get(dims, i)));
    if (strlen(hex) != 2 * mm_tensor_bytes(&x->t))
        fail_msg("%s: '%s' has %zu bytes, want %zu", file, name, mm_tensor_bytes(&x->t),
                 strlen(hex) / 2);
    const unsigned char *const p = x->t.data;
    for (size_t i = 0; hex[2 * i]; i++)
        if (p[i] != (hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1])))
            fail_msg("%s: '%s' differs at byte %zu", file, name, i);
}

/* All files of a case: exactly the expected tensors. */
static void check_case(const char *family, void (*more)(const struct mm_ckpt *, const json_t *))
{
    char rel[300];
    size_t i;
    json_t *file;

    snprintf(rel, sizeof rel, "weights/%s/expected.json", family);
    json_t *const want = golden_json(rel);
    json_array_foreach (json_object_get(want, "files"), i, file) {
        const char *const name = json_string_value(json_object_get(file, "file"));
        json_t *const tensors = json_object_get(file, "tensors");
        const char *key;
        json_t *t;
        snprintf(rel, sizeof rel, "weights/%s/files/%s", family, name);
        struct mm_ckpt *const ck = golden_open(rel);
        json_object_foreach (tensors, key, t) {
            const json_t *const ne = json_object_get(t, "ne");
            const json_t *const type = json_object_get(t, ne ? "type" : "dtype");
            check_tensor(mm_ckpt_lookup(ck, key), name, key, json_string_value(type),
                         ne ? ne : json_object_get(t, "shape"), ne != NULL, t);
        }
        if (strcmp(name, "split-00001-of-00002.gguf") == 0)
            assert_int_equal(mm_ckpt_count(ck), 19); /* of both parts */
        else
            assert_int_equal(mm_ckpt_count(ck), json_object_size(tensors));
        if (more)
            more(ck, file);
        mm_ckpt_close(ck);
    }
    json_decref(want);
}

static void check_meta(const struct mm_ckpt *ck, const json_t *file)
{
    const json_t *const want = json_object_get(file, "metadata");

    if (want)
        assert_true(json_equal((json_t *)want, (json_t *)mm_ckpt_meta(ck)));
}

static void test_containers(void **state)
{
    (void)state;
    check_case("containers", check_meta);
}

static void test_npy(void **state)
{
    (void)state;
    check_case("npy", NULL);
}

static const char *const type_names[MM_GGUF_NTYPE] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};

static void check_value(const struct mm_gguf_kv *kv, size_t i, const json_t *want)
{
    if (kv->type == MM_GGUF_U64)
        assert_true(mm_get_u64(kv->data + 8 * i) == (uint64_t)json_integer_value(want));
    else if (json_is_real(want))
        assert_true(mm_gguf_num(kv, i) == json_real_value(want));
    else if (json_is_boolean(want))
        assert_int_equal(mm_gguf_int(kv, i), json_is_true(want));
    else
        assert_true(mm_gguf_int(kv, i) == json_integer_value(want));
}

static void check_kv(const struct mm_ckpt *ck, const struct mm_gguf_kv *kv, const json_t *want)
{
    const char *const type = json_string_value(json_array_get(want, 0));
    json_t *const value = json_array_get(want, 1);
    struct mm_gguf_str_iter it = mm_gguf_strs(kv);
    const char *s;
    size_t n;

    assert_string_equal(strncmp(type, "array ", 6) ? type : type + 6, type_names[kv->type]);
    assert_int_equal(kv->is_array, strncmp(type, "array ", 6) == 0);
    for (size_t i = 0; i < kv->count; i++) {
        const json_t *const v = kv->is_array ? json_array_get(value, i) : value;
        if (kv->type == MM_GGUF_STRING) {
            assert_true(mm_gguf_next_str(&it, &s, &n));
            assert_int_equal(n, json_string_length(v));
            assert_memory_equal(s, json_string_value(v), n);
        } else
            check_value(kv, i, v);
    }
    assert_false(mm_gguf_next_str(&it, &s, &n));
    if (kv->is_array)
        assert_int_equal(kv->count, json_array_size(value));
    if (kv->type != MM_GGUF_U64)
        assert_true(json_equal(json_object_get(mm_ckpt_meta(ck), kv->key), value));
}

static void check_gguf(const struct mm_ckpt *ck, const json_t *file)
{
    const struct mm_gguf *const g = mm_ckpt_gguf(ck);
    json_t *const want = json_object_get(file, "kv");
    const char *key;
    json_t *v;

    assert_true(mm_ckpt_is_gguf(ck));
    assert_int_equal(mm_gguf_version(g), json_integer_value(json_object_get(file, "version")));
    assert_int_equal(mm_gguf_alignment(g), json_integer_value(json_object_get(file, "alignment")));
    assert_int_equal(mm_gguf_count(g), json_object_size(want));
    for (size_t i = 0; i < mm_gguf_count(g); i++)
        assert_non_null(json_object_get(want, mm_gguf_at(g, i)->key));
    json_object_foreach (want, key, v) {
        const struct mm_gguf_kv *const kv = mm_gguf_find(g, key);
        if (!kv)
            fail_msg("no key '%s'", key);
        check_kv(ck, kv, v);
    }
    assert_null(mm_gguf_find(g, "no.such.key"));
    assert_int_equal(mm_gguf_get_int(g, "llama.block_count", -1),
                     json_object_get(want, "llama.block_count") ? 2 : -1);
    assert_true(mm_gguf_get_num(g, "t.filler", 2.5) == 2.5);
}

static void test_gguf(void **state)
{
    (void)state;
    check_case("gguf-container", check_gguf);
}

/* Open a malformed file, and the same bytes from memory. */
static void try_bad(const char *rel, const char *must, const char *note)
{
    char path[600];
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;
    const int rc = mm_ckpt_open(&ck, golden_path(path, sizeof path, rel), &e);

    if (rc == 0) {
        if (strcmp(must, "reject") == 0)
            fail_msg("%s was accepted", rel);
        if (note && (strstr(note, "w = [[") || strstr(note, "\"w\" is"))) {
            static const float w[] = { 0, 1, 2, 3, 4, 5 };
            const struct mm_tensor *const t = golden_tensor(ck, "w");
            assert_int_equal(mm_tensor_bytes(t), sizeof w);
            assert_memory_equal(t->data, w, sizeof w);
        }
        mm_ckpt_close(ck);
        return;
    }
    if (rc != MM_EDATA)
        fail_msg("%s: code %d", rel, rc);
    if (!strstr(e.msg, strrchr(rel, '/') + 1))
        fail_msg("%s: the message does not name it: %s", rel, e.msg);
}

static void test_malformed(void **state)
{
    json_t *const bad = golden_json("weights/malformed/bad.json");
    char rel[300];
    size_t i;
    json_t *x;

    (void)state;
    assert_int_equal(json_array_size(bad), 138);
    json_array_foreach (bad, i, x) {
        snprintf(rel, sizeof rel, "weights/malformed/%s",
                 json_string_value(json_object_get(x, "file")));
        try_bad(rel, json_string_value(json_object_get(x, "must")),
                json_string_value(json_object_get(x, "note")));
    }
    assert_int_not_equal(access("MM_EXECUTED", F_OK), 0);
    json_decref(bad);
}

/* Every proper prefix of a file must be refused, without reading beyond it. */
static void check_prefixes(const char *rel)
{
    char path[600];
    struct mm_map m;
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    assert_int_equal(mm_map_open(&m, golden_path(path, sizeof path, rel), 1 << 20, &e), 0);
    for (size_t n = 0; n < m.size; n++) {
        unsigned char *const copy = malloc(n + 1); /* exact, for the address sanitizer */
        struct mm_err e2 = { 0 };
        memcpy(copy, m.data, n);
        if (mm_ckpt_open_mem(&ck, copy, n, "prefix", &e2) == 0) {
            /* a GGUF or tar may end before its last padding */
            assert_true(mm_ckpt_count(ck) > 0 || mm_ckpt_is_gguf(ck));
            mm_ckpt_close(ck);
        } else
            assert_true(e2.code == MM_EDATA || e2.code == MM_EMISSING);
        free(copy);
    }
    mm_map_close(&m);
}

static void test_truncated(void **state)
{
    static const char *const files[] = {
        "weights/containers/files/handmade.safetensors", "weights/npy/files/version3.npy",
        "weights/npy/files/deflated.npz", "weights/containers/files/half-legacy.pth",
        "weights/containers/files/ordered-metadata.pth", "weights/gguf-container/files/v2.gguf",
    };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_prefixes(files[i]);
}

static void test_strangers(void **state)
{
    static const struct { const char *data, *says; } t[] = {
        { "version https://git-lfs.github.com/spec/v1\n", "Git LFS" },
        { "\x1f\x8b\x08", "gzip" }, { "<!DOCTYPE html><html>", "HTML" }, { "<html>", "HTML" },
        { "PYTORCH1", "PyTorch" }, { "FUGG", "big-endian" }, { "", "empty" },
        { "hello world, this is text", "not a weights file" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct mm_err e = { 0 };
        struct mm_ckpt *ck;
        assert_int_equal(mm_ckpt_open_mem(&ck, t[i].data, strlen(t[i].data), "x", &e), MM_EDATA);
        if (!strstr(e.msg, t[i].says))
            fail_msg("'%s' does not say '%s'", e.msg, t[i].says);
    }
}

static void test_directories(void **state)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;
    char path[500];
    json_t *j;

    (void)state;
    /* original LLaVA: the projector lies beside the language model */
    ck = golden_open("llava/v15_orig/model");
    golden_tensor(ck, "model.mm_projector.0.weight");
    golden_tensor(ck, "model.embed_tokens.weight");
    assert_non_null(mm_ckpt_config(ck));
    assert_int_equal(mm_ckpt_json(&j, ck, "tokenizer_config.json", &e), 0);
    assert_true(json_is_object(j));
    json_decref(j);
    assert_int_equal(mm_ckpt_json(&j, ck, "absent.json", &e), 0);
    assert_null(j);
    mm_ckpt_close(ck);
    /* the one file of a directory without configuration; TorchScript */
    ck = golden_open("clip/openai-pt/model");
    assert_non_null(mm_ckpt_lookup(ck, "visual.transformer.resblocks.0.attn.in_proj_weight"));
    mm_ckpt_close(ck);
    ck = golden_open("clip/mmproj-f16/model");
    assert_true(mm_ckpt_is_gguf(ck));
    mm_ckpt_close(ck);
    assert_int_equal(mm_ckpt_open(&ck, golden_path(path, sizeof path, "llama/lora/adapter"), &e),
                     MM_EMISSING);
    assert_non_null(strstr(e.msg, "--base"));
    mm_err_clear(&e);
    /* several: the user must choose */
    assert_int_equal(
        mm_ckpt_open(&ck, golden_path(path, sizeof path, "llava/v15_gguf/model"), &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_ckpt_open(&ck, golden_path(path, sizeof path, "weights"), &e), MM_ENOENT);
    mm_err_clear(&e);
    assert_int_equal(mm_ckpt_open(&ck, "no/such/file", &e), MM_ENOENT);
    mm_err_clear(&e);
    /* an index by name; the wrapper of a training checkpoint is reported */
    ck = golden_open("weights/containers/files/sharded/model.safetensors.index.json");
    assert_int_equal(mm_ckpt_count(ck), 15);
    assert_null(mm_ckpt_warning(ck, 0));
    mm_ckpt_close(ck);
    ck = golden_open("weights/containers/files/nested.ckpt");
    assert_non_null(strstr(mm_ckpt_warning(ck, 0), "state_dict"));
    mm_ckpt_close(ck);
}

static void test_fingerprint(void **state)
{
    struct mm_ckpt *const a = golden_open("llama/lora/model");
    struct mm_ckpt *const b = golden_open("llama/lora-bin/model");
    struct mm_ckpt *const a2 = golden_open("llama/lora/model/model.safetensors");

    (void)state;
    assert_true(mm_ckpt_fingerprint(a) == mm_ckpt_fingerprint(a2));
    assert_true(mm_ckpt_fingerprint(a) != mm_ckpt_fingerprint(b));
    assert_non_null(mm_ckpt_config(a2));
    mm_ckpt_close(a);
    mm_ckpt_close(b);
    mm_ckpt_close(a2);
}

static void test_find(void **state)
{
    struct mm_err e = { 0 };
    char path[500], *found;

    (void)state;
    setenv("MM_MODELS", "/nowhere", 1);
    assert_int_equal(mm_ckpt_find(&found, "mha", &e), MM_ENOENT);
    assert_non_null(strstr(e.msg, "/nowhere"));
    mm_err_clear(&e);
    setenv("MM_MODELS", golden_path(path, sizeof path, "llama"), 1);
    assert_int_equal(mm_ckpt_find(&found, "mha", &e), 0);
    assert_non_null(strstr(found, "llama/mha"));
    free(found);
    assert_int_equal(mm_ckpt_find(&found, "./mha", &e), MM_ENOENT);
    mm_err_clear(&e);
    assert_int_equal(mm_ckpt_find(&found, path, &e), 0);
    assert_string_equal(found, path);
    free(found);
    unsetenv("MM_MODELS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers), cmocka_unit_test(test_npy),
        cmocka_unit_test(test_gguf),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_directories), cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
