/* test_write.c: writer and reader give back the same tensors; Meta's shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "golden.h"
#include "weights/gguf_write.h"
#include "weights/write.h"

static char dir[100];

static const char *in_dir(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int make_dir(void **state)
{
    const char *const tmp = getenv("TMPDIR");

    (void)state;
    snprintf(dir, sizeof dir, "%s/mm-write-XXXXXX", tmp ? tmp : P_tmpdir);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const files[] = { "a.safetensors", "b.safetensors", "a.npy", "a.npz",
                                         "a.gguf", "consolidated.00.pth", "consolidated.01.pth" };

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_dir(files[i]));
    return rmdir(dir);
}

/* The tensors of a checkpoint as a writer's list, in reverse. */
static struct mm_named *list_of(const struct mm_ckpt *ck)
{
    const size_t n = mm_ckpt_count(ck);
    struct mm_named *const v = calloc(n, sizeof *v);

    for (size_t i = 0; i < n; i++)
        v[n - 1 - i] = (struct mm_named){ mm_ckpt_at(ck, i)->name, mm_ckpt_at(ck, i)->t };
    return v;
}

static struct mm_ckpt *reopen(const char *name)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    if (mm_ckpt_open(&ck, in_dir(name), &e) < 0)
        fail_msg("%s", e.msg);
    return ck;
}

static void assert_same(const struct mm_tensor *a, const struct mm_tensor *b)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_true(mm_shape_eq(a, b));
    if (mm_tensor_bytes(a))
        assert_memory_equal(a->data, b->data, mm_tensor_bytes(a));
}

static void assert_same_file(const char *name, const struct mm_ckpt *want)
{
    struct mm_ckpt *const got = reopen(name);

    assert_int_equal(mm_ckpt_count(got), mm_ckpt_count(want));
    for (size_t i = 0; i < mm_ckpt_count(want); i++)
        assert_same(golden_tensor(got, mm_ckpt_at(want, i)->name), &mm_ckpt_at(want, i)->t);
    mm_ckpt_close(got);
}

static void test_safetensors(void **state)
{
    struct mm_ckpt *const ck = golden_open("weights/containers/files/t.safetensors");
    struct mm_named *const v = list_of(ck);
    struct mm_err e = { 0 };
    char *a, *b;
    size_t na, nb;

    (void)state;
    json_t *const meta = json_pack("{s:s,s:s}", "note", "\xc3\xbc", "format", "pt");
    assert_int_equal(mm_write_safetensors(in_dir("a.safetensors"), v, mm_ckpt_count(ck), meta, &e),
                     0);
    assert_same_file("a.safetensors", ck);
    struct mm_ckpt *const got = reopen("a.safetensors");
    assert_true(json_equal((json_t *)mm_ckpt_meta(got), meta));
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) /* the reference writer's order */
        assert_string_equal(mm_ckpt_at(got, i)->name, mm_ckpt_at(ck, i)->name);
    /* the same bytes whatever the order; data at a multiple of 64 */
    struct mm_named *const w = list_of(got);
    assert_int_equal(mm_write_safetensors(in_dir("b.safetensors"), w, mm_ckpt_count(ck), meta, &e),
                     0);
    assert_int_equal(mm_io_slurp(in_dir("a.safetensors"), 1 << 20, &a, &na, &e), 0);
    assert_int_equal(mm_io_slurp(in_dir("b.safetensors"), 1 << 20, &b, &nb, &e), 0);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    assert_int_equal((8 + mm_get_u64((unsigned char *)a)) % 64, 0);
    free(a);
    free(b);
    free(w);
    json_decref(meta);
    /* a tied tensor: stored once, found under both names */
    json_t *const tied = json_pack("{s:s,s:s}", "lm_head.weight", "f32", "format", "pt");
    assert_int_equal(mm_write_safetensors(in_dir("b.safetensors"), v, mm_ckpt_count(ck), tied, &e),
                     0);
    struct mm_ckpt *const both = reopen("b.safetensors");
    assert_int_equal(mm_ckpt_count(both), mm_ckpt_count(ck) + 1);
    assert_true(golden_tensor(both, "lm_head.weight")->data == golden_tensor(both, "f32")->data);
    mm_ckpt_close(both);
    json_decref(tied);
    free(v);
    mm_ckpt_close(got);
    mm_ckpt_close(ck);
}

static void test_refused(void **state)
{
    float x[32] = { 0 };
    const struct mm_tensor f = { .dtype = MM_F32, .ndim = 1, .shape = { 2 }, .data = x };
    const struct mm_tensor q = { .dtype = MM_Q8_0, .ndim = 1, .shape = { 32 }, .data = x };
    const struct mm_named twice[] = { { "a", f }, { "b", f }, { "a", f } };
    const struct mm_named bad[] = { { "a\xff", f } }, quant[] = { { "q", q } };
    const struct mm_named meta[] = { { "__metadata__", f } };
    const char *const path = in_dir("a.safetensors");

    (void)state;
    const struct { const struct mm_named *v; size_t n; const char *says; } t[] = {
        { twice, 3, "'a' is given twice" }, { bad, 1, "UTF-8" }, { quant, 1, "q8_0" },
        { meta, 1, "__metadata__" },
    };
    unlink(path);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct mm_err e = { 0 };
        assert_int_equal(mm_write_safetensors(path, t[i].v, t[i].n, NULL, &e), MM_EDATA);
        assert_non_null(strstr(e.msg, t[i].says));
        assert_int_not_equal(access(path, F_OK), 0);
    }
    struct mm_err e = { 0 };
    assert_int_equal(mm_write_npz(in_dir("a.npz"), twice, 3, &e), MM_EDATA);
    mm_err_clear(&e);
    assert_int_equal(mm_write_npy(in_dir("a.npy"), &q, &e), MM_EDATA);
}

/* bf16 becomes f32, all else stays. */
static void assert_widened(const struct mm_tensor *got, const struct mm_tensor *want)
{
    if (want->dtype != MM_BF16) {
        assert_same(got, want);
        return;
    }
    float *const f = malloc(mm_tensor_count(want) * sizeof *f);
    mm_tensor_to_f32(f, want);
    assert_int_equal(got->dtype, MM_F32);
    assert_true(mm_shape_eq(got, want));
    assert_memory_equal(got->data, f, mm_tensor_bytes(got));
    free(f);
}

static void test_npy(void **state)
{
    struct mm_ckpt *const ck = golden_open("weights/containers/files/t.safetensors");
    struct mm_named *const v = list_of(ck);
    struct mm_err e = { 0 };

    (void)state;
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        assert_int_equal(mm_write_npy(in_dir("a.npy"), &v[i].t, &e), 0);
        struct mm_ckpt *const got = reopen("a.npy");
        assert_widened(golden_tensor(got, ""), &v[i].t);
        mm_ckpt_close(got);
    }
    assert_int_equal(mm_write_npz(in_dir("a.npz"), v, mm_ckpt_count(ck), &e), 0);
    struct mm_ckpt *const got = reopen("a.npz");
    assert_int_equal(mm_ckpt_count(got), mm_ckpt_count(ck));
    assert_null(mm_ckpt_warning(got, 0)); /* checksums are right */
    for (size_t i = 0; i < mm_ckpt_count(ck); i++)
        assert_widened(golden_tensor(got, v[i].name), &v[i].t);
    free(v);
    mm_ckpt_close(got);
    mm_ckpt_close(ck);
}

static void test_gguf(void **state)
{
    struct mm_ckpt *const ck = golden_open("weights/gguf-container/files/v3.gguf");
    const struct mm_gguf *const g = mm_ckpt_gguf(ck);
    struct mm_ggufw *const w = mm_ggufw_new();
    struct mm_err e = { 0 };

    (void)state;
    for (size_t i = 0; i < mm_gguf_count(g); i++)
        mm_ggufw_kv(w, mm_gguf_at(g, i));
    mm_ggufw_u8(w, "w.u8", 255);
    mm_ggufw_i32(w, "w.i32", -5);
    mm_ggufw_u64(w, "w.u64", UINT64_C(1) << 40);
    mm_ggufw_bool(w, "w.bool", true);
    mm_ggufw_str(w, "w.str", "a\0b", 3);
    mm_ggufw_u8s(w, "w.u8s", (const unsigned char *)"\1\2", 2);
    mm_ggufw_u32s(w, "w.u32s", (const uint32_t[]){ 7, 8 }, 2);
    mm_ggufw_i32s(w, "w.i32s", (const int32_t[]){ -7, 8 }, 2);
    mm_ggufw_f32s(w, "w.f32s", (const float[]){ 0.5F, -2 }, 2);
    mm_ggufw_strs(w, "w.strs", 2);
    mm_ggufw_item(w, "x", 1);
    mm_ggufw_item(w, "", 0);
    const struct mm_tensor empty = { .dtype = MM_F32, .ndim = 2, .shape = { 0, 4 } };
    for (size_t i = 0; i < mm_ckpt_count(ck); i++)
        mm_ggufw_tensor(w, mm_ckpt_at(ck, i)->name, &mm_ckpt_at(ck, i)->t);
    mm_ggufw_tensor(w, "empty", &empty);
    assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), 0);
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) { /* in two pieces */
        const struct mm_tensor *const t = &mm_ckpt_at(ck, i)->t;
        const size_t n = mm_tensor_bytes(t), half = n / 2;
        assert_int_equal(mm_ggufw_data(w, t->data, half, &e), 0);
        assert_int_equal(mm_ggufw_data(w, (char *)t->data + half, n - half, &e), 0);
    }
    assert_int_equal(mm_ggufw_commit(w, &e), 0);
    mm_ggufw_free(w);

    struct mm_ckpt *const got = reopen("a.gguf");
    const struct mm_gguf *const h = mm_ckpt_gguf(got);
    assert_int_equal(mm_ckpt_count(got), mm_ckpt_count(ck) + 1);
    for (size_t i = 0; i < mm_ckpt_count(ck); i++)
        assert_same(golden_tensor(got, mm_ckpt_at(ck, i)->name), &mm_ckpt_at(ck, i)->t);
    for (size_t i = 0; i < mm_gguf_count(g); i++) {
        const struct mm_gguf_kv *const a = mm_gguf_at(g, i), *const b = mm_gguf_find(h, a->key);
        assert_int_equal(a->bytes, b->bytes);
        assert_int_equal(a->type, b->type);
    }
    assert_int_equal(mm_gguf_get_int(h, "w.i32", 0), -5);
    assert_true(mm_gguf_get_int(h, "w.u64", 0) == INT64_C(1) << 40);
    assert_true(mm_gguf_num(mm_gguf_find(h, "w.f32s"), 1) == -2);
    assert_int_equal(mm_gguf_find(h, "w.strs")->count, 2);
    mm_ckpt_close(got);
    mm_ckpt_close(ck);
}

static void test_gguf_misuse(void **state)
{
    const struct mm_tensor t = { .dtype = MM_F32, .ndim = 1, .shape = { 2 } };
    const struct mm_tensor wide = { .dtype = MM_F32, .ndim = 5, .shape = { 1, 1, 1, 1, 1 } };
    const struct mm_tensor odd = { .dtype = MM_U16, .ndim = 1, .shape = { 2 } };
    const struct mm_tensor *const refused[] = { &wide, &odd };
    const float x[3] = { 0 };
    struct mm_err e = { 0 };
    struct mm_ggufw *w;

    (void)state;
    for (int i = 0; i < 2; i++) {
        w = mm_ggufw_new();
        mm_ggufw_tensor(w, "t", refused[i]);
        assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), MM_EBUG);
        mm_ggufw_free(w);
    }
    mm_err_clear(&e);
    w = mm_ggufw_new();
    mm_ggufw_u32(w, "k", 1);
    mm_ggufw_u32(w, "k", 2);
    assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), MM_EBUG);
    mm_ggufw_free(w);
    mm_err_clear(&e);
    unlink(in_dir("a.gguf"));
    w = mm_ggufw_new();
    mm_ggufw_tensor(w, "t", &t);
    assert_int_equal(mm_ggufw_begin(w, in_dir("a.gguf"), &e), 0);
    assert_int_equal(mm_ggufw_data(w, x, sizeof x, &e), MM_EBUG);
    assert_int_equal(mm_ggufw_commit(w, &e), MM_EBUG);
    mm_ggufw_free(w);
    assert_int_not_equal(access(in_dir("a.gguf"), F_OK), 0);
}

/* Two shards of a 4-wide model, by hand; joined as Meta's code cut them. */
static void test_shards(void **state)
{
    float norm[4] = { 1, 2, 3, 4 };
    float wq[2][2][4], wo[2][4][2], tok[2][3][2], out[2][2][4];
    struct mm_err e = { 0 };

    (void)state;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 8; i++) {
            (&wq[k][0][0])[i] = (float)(100 * k + i);
            (&out[k][0][0])[i] = (float)(100 * k + i);
            (&wo[k][0][0])[i] = (float)(100 * k + i);
        }
        for (int i = 0; i < 6; i++)
            (&tok[k][0][0])[i] = (float)(100 * k + i);
        const struct mm_named v[] = {
            { "norm.weight", { MM_F32, 1, { 4 }, norm } },
            { "layers.0.attention.wq.weight", { MM_F32, 2, { 2, 4 }, wq[k] } },
            { "layers.0.attention.wo.weight", { MM_F32, 2, { 4, 2 }, wo[k] } },
            { "tok_embeddings.weight", { MM_F32, 2, { 3, 2 }, tok[k] } },
            { "output.weight", { MM_F32, 2, { 2, 4 }, out[k] } },
        };
        assert_int_equal(mm_write_safetensors(
            in_dir(k ? "consolidated.01.pth" : "consolidated.00.pth"), v, 5, NULL, &e), 0);
    }
    unlink(in_dir("a.safetensors"));
    unlink(in_dir("b.safetensors"));
    struct mm_ckpt *ck;
    if (mm_ckpt_open(&ck, dir, &e) < 0)
        fail_msg("%s", e.msg);
    const struct mm_tensor *t = golden_tensor(ck, "layers.0.attention.wq.weight");
    assert_true(t->shape[0] == 4 && t->shape[1] == 4);
    assert_memory_equal(t->data, wq, sizeof wq);
    t = golden_tensor(ck, "layers.0.attention.wo.weight");
    assert_true(t->shape[0] == 4 && t->shape[1] == 4);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            assert_true(((float *)t->data)[4 * r + c] == wo[c / 2][r][c % 2]);
    t = golden_tensor(ck, "tok_embeddings.weight"); /* 2 * 2 = 4: cut along columns */
    assert_true(t->shape[0] == 3 && t->shape[1] == 4);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            assert_true(((float *)t->data)[4 * r + c] == tok[c / 2][r][c % 2]);
    t = golden_tensor(ck, "output.weight");
    assert_memory_equal(t->data, out, sizeof out);
    t = golden_tensor(ck, "norm.weight");
    assert_true(t->ndim == 1 && t->shape[0] == 4);
    mm_ckpt_close(ck);
    /* a shard that lacks a tensor */
    const struct mm_named v[] = { { "norm.weight", { MM_F32, 1, { 4 }, norm } } };
    assert_int_equal(mm_write_safetensors(in_dir("consolidated.01.pth"), v, 1, NULL, &e), 0);
    assert_int_equal(mm_ckpt_open(&ck, dir, &e), MM_EDATA);
    /* a single shard is borrowed */
    unlink(in_dir("consolidated.01.pth"));
    mm_err_clear(&e);
    assert_int_equal(mm_ckpt_open(&ck, dir, &e), 0);
    t = golden_tensor(ck, "output.weight");
    assert_true(t->shape[0] == 2);
    mm_ckpt_close(ck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_npy),         cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_gguf_misuse), cmocka_unit_test(test_shards),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
