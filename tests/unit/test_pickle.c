/* test_pickle.c: the stack machine opcode by opcode, and the meaning of
 * PyTorch's globals, on pickles and archives built here byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/io.h"
#include "golden.h"
#include "weights/pickle.h"

#define BYTES(s) s, sizeof(s) - 1

/* A node as text, one level deep in containers. */
static void show(struct mm_buf *b, const struct mm_pickle *p, mm_pk_id id, int depth)
{
    static const char *const kinds[] = { "None", "bool", "int", "big", "float", "str", "bytes",
                                         "tuple", "list", "set", "dict", "global", "persid",
                                         "object" };
    const struct mm_pk_node *const x = mm_pickle_node(p, id);

    mm_buf_str(b, kinds[x->kind]);
    switch (x->kind) {
    case MM_PK_NONE: break;
    case MM_PK_BOOL:
    case MM_PK_INT:    mm_buf_printf(b, " %lld", (long long)x->u.i); break;
    case MM_PK_FLOAT:  mm_buf_printf(b, " %g", x->u.f); break;
    case MM_PK_BIGINT: mm_buf_printf(b, " %u", x->n); break;
    case MM_PK_STR:
    case MM_PK_BYTES:  mm_buf_printf(b, " %.*s", (int)x->n, x->u.s); break;
    case MM_PK_GLOBAL:
        mm_buf_char(b, ' ');
        mm_buf_add(b, mm_pickle_node(p, x->a)->u.s, mm_pickle_node(p, x->a)->n);
        mm_buf_char(b, '.');
        mm_buf_add(b, mm_pickle_node(p, x->b)->u.s, mm_pickle_node(p, x->b)->n);
        break;
    case MM_PK_PERSID: mm_buf_str(b, " of "); show(b, p, x->a, depth - 1); break;
    case MM_PK_OBJECT:
        mm_buf_str(b, " of ");
        show(b, p, x->a, depth - 1);
        mm_buf_str(b, " with ");
        show(b, p, x->c, depth - 1);
        break;
    default: break;
    }
    if (x->kind < MM_PK_TUPLE || x->kind == MM_PK_GLOBAL || x->kind == MM_PK_PERSID)
        return;
    mm_buf_char(b, '(');
    for (uint32_t i = 0; i < x->n && depth > 0; i++) {
        mm_buf_str(b, i ? ", " : "");
        show(b, p, x->u.item[i], depth - 1);
    }
    mm_buf_char(b, ')');
}

static void test_opcodes(void **state)
{
    static const struct { const char *pickle; size_t n; const char *want; } t[] = {
        { BYTES("\x80\2N."), "None" },
        { BYTES("\x88."), "bool 1" },
        { BYTES("\x89."), "bool 0" },
        { BYTES("K\xff."), "int 255" },
        { BYTES("M\1\2."), "int 513" },
        { BYTES("J\xfe\xff\xff\xff."), "int -2" },
        { BYTES("\x8a\0."), "int 0" },
        { BYTES("\x8a\1\x80."), "int -128" },
        { BYTES("\x8a\2\xff\0."), "int 255" },
        { BYTES("\x8a\x08\0\0\0\0\0\0\0\x80."), "int -9223372036854775808" },
        { BYTES("\x8b\3\0\0\0\1\0\0."), "int 1" },
        { BYTES("\x8a\x0a\1\1\1\1\1\1\1\1\1\1."), "big 10" },
        { BYTES("G\x3f\xf8\0\0\0\0\0\0."), "float 1.5" }, /* big-endian */
        { BYTES("X\2\0\0\0ab."), "str ab" },
        { BYTES("\x8c\1a."), "str a" },
        { BYTES("\x8d\1\0\0\0\0\0\0\0a."), "str a" },
        { BYTES("U\1a."), "str a" },
        { BYTES("T\1\0\0\0a."), "str a" },
        { BYTES("C\1a."), "bytes a" },
        { BYTES("B\1\0\0\0a."), "bytes a" },
        { BYTES("\x8e\1\0\0\0\0\0\0\0a."), "bytes a" },
        { BYTES("\x96\1\0\0\0\0\0\0\0a."), "bytes a" },
        { BYTES(")."), "tuple()" },
        { BYTES("K\1\x85."), "tuple(int 1)" },
        { BYTES("K\1K\2\x86."), "tuple(int 1, int 2)" },
        { BYTES("K\1K\2K\3\x87."), "tuple(int 1, int 2, int 3)" },
        { BYTES("(K\1K\2t."), "tuple(int 1, int 2)" },
        { BYTES("(t."), "tuple()" },
        { BYTES("(K\1l."), "list(int 1)" },
        { BYTES("]K\1a."), "list(int 1)" },
        { BYTES("](K\1K\2e."), "list(int 1, int 2)" },
        { BYTES("\x8f(K\1\x90."), "set(int 1)" },
        { BYTES("(K\1\x91."), "set(int 1)" },
        { BYTES("}K\1K\2s."), "dict(int 1, int 2)" },
        { BYTES("}(K\1K\2K\3K\4u."), "dict(int 1, int 2, int 3, int 4)" },
        { BYTES("K\1K\2" "0."), "int 1" },
        { BYTES("K\1(K\2K\3" "1."), "int 1" },
        { BYTES("K\1(" "0."), "int 1" }, /* POP takes a mark too */
        { BYTES("K\1" "2\x86."), "tuple(int 1, int 1)" },
        { BYTES("K\7q\5" "0h\5."), "int 7" },
        { BYTES("K\7r\xff\xff\xff\xff" "0j\xff\xff\xff\xff."), "int 7" },
        { BYTES("\x80\4\x95\1\0\0\0\0\0\0\0\x8c\1a\x94" "0h\0."), "str a" },
        { BYTES("cos\nsystem\n."), "global os.system" },
        { BYTES("\x8c\2os\x8c\6system\x93."), "global os.system" },
        { BYTES("cos\nsystem\nK\1\x85R."), "object of global os.system with None()" },
        { BYTES("cm\nC\n)\x81."), "object of global m.C with None()" },
        { BYTES("cm\nC\n)}\x92."), "object of global m.C with None()" },
        { BYTES("cm\nC\n)\x81K\1b."), "object of global m.C with int 1()" },
        { BYTES("cm\nC\n)RK\1K\2s."), "object of global m.C with None(int 1, int 2)" },
        { BYTES("}K\1b."), "dict()" }, /* attributes of a dict are forgotten */
        { BYTES("K\1Q."), "persid of int 1" },
        { BYTES("K\1.K\2."), "int 1" }, /* what follows is the next pickle */
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct mm_pickle *p;
        struct mm_err e = { 0 };
        struct mm_buf b = { 0 };
        size_t used;
        if (mm_pickle_run(&p, (const unsigned char *)t[i].pickle, t[i].n, &used, &e) < 0)
            fail_msg("%zu (%s): %s", i, t[i].want, e.msg);
        show(&b, p, mm_pickle_root(p), 2);
        assert_string_equal(b.p, t[i].want);
        assert_int_equal(used, i + 1 < sizeof t / sizeof *t ? t[i].n : 3);
        mm_buf_free(&b);
        mm_pickle_free(p);
    }
}

static void test_malformed(void **state)
{
    static const struct { const char *pickle; size_t n; const char *says; } t[] = {
        { BYTES(""), "without STOP" }, { BYTES("N"), "without STOP" }, { BYTES("."), "underflow" },
        { BYTES("\x80\1N."), "protocol" }, { BYTES("\xf0"), "0xf0: unknown" },
        { BYTES("I1\n."), "0x49" }, { BYTES("X\4\0\0\0ab."), "longer" },
        { BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "longer" }, { BYTES("K"), "truncated" },
        { BYTES("G\0\0"), "truncated" }, { BYTES("cos"), "truncated" },
        { BYTES("\x85."), "underflow" }, { BYTES("K\1\x86."), "underflow" },
        { BYTES("K\1(K\2\x86."), "underflow" }, /* not through the mark */
        { BYTES("t."), "no mark" }, { BYTES("0."), "no mark" }, { BYTES("h\1."), "never set" },
        { BYTES("q\1."), "underflow" }, { BYTES("K\1R."), "underflow" }, { BYTES("Q."), "underflow" },
        { BYTES("2."), "underflow" }, { BYTES("K\1b."), "underflow" },
        { BYTES("K\1K\2b."), "plain value" }, { BYTES("K\1K\2K\3s."), "holds none" },
        { BYTES("}K\1a."), "holds none" }, { BYTES("}(K\1u."), "without a value" },
        { BYTES("(u."), "underflow" }, { BYTES("K\1K\2\x93."), "no text" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct mm_pickle *p;
        struct mm_err e = { 0 };
        size_t used;
        assert_int_equal(
            mm_pickle_run(&p, (const unsigned char *)t[i].pickle, t[i].n, &used, &e), MM_EDATA);
        assert_null(p);
        if (!strstr(e.msg, t[i].says))
            fail_msg("%zu: '%s' does not say '%s'", i, e.msg, t[i].says);
    }
}

/* A million nested lists: no recursion, neither building nor freeing. */
static void test_deep(void **state)
{
    const size_t n = 1000000;
    unsigned char *const data = malloc(2 * n + 1);
    struct mm_pickle *p;
    struct mm_err e = { 0 };
    size_t used;

    (void)state;
    memset(data, ']', n);
    memset(data + n, 'a', n - 1);
    data[2 * n - 1] = '.';
    assert_int_equal(mm_pickle_run(&p, data, 2 * n, &used, &e), 0);
    assert_int_equal(mm_pickle_count(p), n + 1);
    mm_pickle_free(p);
    free(data);
}

/* ---- archives ---- */

enum { ZIP64 = 1, PADDED = 2, DEFERRED = 4 };

struct archive {
    struct mm_buf file, directory;
    unsigned flags, n;
};

static void put(struct mm_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mm_buf_char(b, (char)(i < 8 ? v >> 8 * i : 0));
}

/* A stored member, as PyTorch's writer lays it out when the flags say so. */
static void add_member(struct archive *a, const char *name, const void *data, size_t n)
{
    const uint32_t crc = mm_crc32(0, data, n);
    const bool big = a->flags & ZIP64;
    const size_t at = a->file.n, pad = a->flags & PADDED ? 11 : 0;
    const unsigned flag = a->flags & DEFERRED ? 0x0808 : 0;

    mm_buf_add(&a->file, "PK\3\4\0\0", 6);
    put(&a->file, flag, 2);
    put(&a->file, 0, 6);
    put(&a->file, flag ? 0 : crc, 4);
    put(&a->file, flag ? 0 : n, 4);
    put(&a->file, flag ? 0 : n, 4);
    put(&a->file, strlen(name), 2);
    put(&a->file, pad ? pad + 4 : 0, 2);
    mm_buf_str(&a->file, name);
    if (pad) {
        mm_buf_str(&a->file, "FB");
        put(&a->file, pad, 2);
        mm_buf_add(&a->file, "ZZZZZZZZZZZ", pad);
    }
    mm_buf_add(&a->file, data, n);
    mm_buf_add(&a->directory, "PK\1\2\0\0\0\0", 8);
    put(&a->directory, flag, 2);
    put(&a->directory, 0, 6);
    put(&a->directory, crc, 4);
    put(&a->directory, big ? UINT32_MAX : n, 4);
    put(&a->directory, big ? UINT32_MAX : n, 4);
    put(&a->directory, strlen(name), 2);
    put(&a->directory, big ? 28 : 0, 2);
    put(&a->directory, 0, 10);
    put(&a->directory, big ? UINT32_MAX : at, 4);
    mm_buf_str(&a->directory, name);
    if (big) {
        put(&a->directory, 1, 2);
        put(&a->directory, 24, 2);
        put(&a->directory, n, 8);
        put(&a->directory, n, 8);
        put(&a->directory, at, 8);
    }
    a->n++;
}

static void end_archive(struct archive *a)
{
    const size_t at = a->file.n, size = a->directory.n;

    mm_buf_add(&a->file, a->directory.p, size);
    if (a->flags & ZIP64) {
        const size_t end = a->file.n;
        mm_buf_str(&a->file, "PK\6\6");
        put(&a->file, 44, 8);
        put(&a->file, 0, 12);
        put(&a->file, a->n, 8);
        put(&a->file, a->n, 8);
        put(&a->file, size, 8);
        put(&a->file, at, 8);
        mm_buf_str(&a->file, "PK\6\7");
        put(&a->file, 0, 4);
        put(&a->file, end, 8);
        put(&a->file, 1, 4);
    }
    mm_buf_str(&a->file, "PK\5\6");
    put(&a->file, 0, 4);
    put(&a->file, a->flags & ZIP64 ? 0xffff : a->n, 2);
    put(&a->file, a->flags & ZIP64 ? 0xffff : a->n, 2);
    put(&a->file, a->flags & ZIP64 ? UINT32_MAX : size, 4);
    put(&a->file, a->flags & ZIP64 ? UINT32_MAX : at, 4);
    put(&a->file, 0, 2);
}

static void free_archive(struct archive *a)
{
    mm_buf_free(&a->file);
    mm_buf_free(&a->directory);
    *a = (struct archive){ 0 };
}

/* spec: weights.md 4.6, two views of one storage */
static const char fixture[] =
    "\x80\2ccollections\nOrderedDict\nq\0)Rq\1(X\1\0\0\0wq\2ctorch._utils\n_rebuild_tensor_v2\nq\3(("
    "X\7\0\0\0storageq\4ctorch\nFloatStorage\nq\5X\1\0\0\0" "0q\6X\3\0\0\0cpuq\7K\6tq\x08Q"
    "K\0K\2K\3\x86q\x09K\3K\1\x86q\x0a\x89h\0)Rq\x0btq\x0cRq\x0dX\2\0\0\0wtq\x0eh\3("
    "(h\4h\5h\6h\7K\6tq\x0fQK\0K\3K\2\x86q\x10K\1K\3\x86q\x11\x89h\0)Rq\x12tq\x13Rq\x14u.";
static const float six[6] = { 0, 1, 2, 3, 4, 5 };

static struct mm_ckpt *open_archive(const struct archive *a)
{
    struct mm_err e = { 0 };
    struct mm_ckpt *ck;

    if (mm_ckpt_open_mem(&ck, a->file.p, a->file.n, "archive", &e) < 0)
        fail_msg("%s", e.msg);
    return ck;
}

static void test_fixture(void **state)
{
    static const char *const prefixes[] = { "archive", "other name" };
    static const float transposed[6] = { 0, 3, 1, 4, 2, 5 };
    char name[60];

    (void)state;
    assert_int_equal(sizeof fixture - 1, 226);
    for (unsigned flags = 0; flags < 8; flags++)
        for (int k = 0; k < 2; k++) {
            struct archive a = { .flags = flags };
            snprintf(name, sizeof name, "%s/data.pkl", prefixes[k]);
            add_member(&a, name, fixture, sizeof fixture - 1);
            snprintf(name, sizeof name, "%s/data/0", prefixes[k]);
            add_member(&a, name, six, sizeof six);
            end_archive(&a);
            struct mm_ckpt *const ck = open_archive(&a);
            assert_int_equal(mm_ckpt_count(ck), 2);
            assert_null(mm_ckpt_warning(ck, 0));
            const struct mm_tensor *t = golden_tensor(ck, "w");
            assert_true(t->shape[0] == 2 && t->shape[1] == 3);
            assert_memory_equal(t->data, six, sizeof six);
            assert_true((char *)t->data >= a.file.p && (char *)t->data < a.file.p + a.file.n);
            t = golden_tensor(ck, "wt");
            assert_true(t->shape[0] == 3 && t->shape[1] == 2);
            assert_memory_equal(t->data, transposed, sizeof transposed);
            mm_ckpt_close(ck);
            free_archive(&a);
        }
}

/* Big-endian storages are swapped. */
static void test_big_endian(void **state)
{
    unsigned char big[sizeof six];
    struct archive a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof six; i++)
        big[i] = ((const unsigned char *)six)[i / 4 * 4 + 3 - i % 4];
    add_member(&a, "x/data.pkl", fixture, sizeof fixture - 1);
    add_member(&a, "x/byteorder", "big", 3);
    add_member(&a, "x/data/0", big, sizeof big);
    end_archive(&a);
    struct mm_ckpt *const ck = open_archive(&a);
    assert_memory_equal(golden_tensor(ck, "w")->data, six, sizeof six);
    mm_ckpt_close(ck);
    free_archive(&a);
}

/* ---- what the globals mean ---- */

#define STR(s) "X" s
#define STORAGE "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\6tQ"
#define TENSOR "ctorch._utils\n_rebuild_tensor_v2\n" STORAGE "K\0K\2\x85K\1\x85\x89NtR"

static void test_globals(void **state)
{
    static const struct { const char *pickle; size_t n; const char *names; } t[] = {
        { BYTES("\x80\2}X\1\0\0\0a" TENSOR "s."), "a" },
        { BYTES("\x80\2}X\1\0\0\0a}X\1\0\0\0b" TENSOR "ss."), "a.b" },
        { BYTES("\x80\2}K\7" TENSOR "s."), "7" },
        { BYTES("\x80\2}X\1\0\0\0a](" TENSOR "N" TENSOR "es."), "a.0 a.2" },
        { BYTES("\x80\2}X\1\0\0\0actorch._utils\n_rebuild_parameter\n" TENSOR "\x88N\x87Rs."), "a" },
        { BYTES("\x80\2}X\1\0\0\0actorch.nn.parameter\nParameter\n" TENSOR "\x85\x81s."), "a" },
        { BYTES("\x80\2}X\1\0\0\0actorch._tensor\n_rebuild_from_type_v2\n("
                "ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n" STORAGE
                "K\0K\2\x85K\1\x85\x89Nt}tRs."), "a" },
        { BYTES("\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v3\n"
                "((X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0" "0X\3\0\0\0cpuK\x18tQ"
                "K\0K\2\x85K\1\x85\x89Nctorch\nfloat64\ntRs."), "a" },
        { BYTES("\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor\n" STORAGE
                "K\0ctorch\nSize\nK\2\x85\x85RK\1\x85tRs."), "a" },
        { BYTES("\x80\2ccollections\nOrderedDict\n](X\1\0\0\0a" TENSOR "\x86X\1\0\0\0bN\x86" "e\x85R."),
          "a" },
        { BYTES("\x80\2cm\nNet\n)\x81}X\x08\0\0\0_modules}X\3\0\0\0lincm\nLinear\n)\x81}"
                "X\x0b\0\0\0_parameters}X\6\0\0\0weight" TENSOR "ssbssb."), "lin.weight" },
        { BYTES("\x80\2}(X\5\0\0\0modelcos\nsystem\n)RX\1\0\0\0w" TENSOR "u."), "w" },
        { BYTES("\x80\2}(X\5\0\0\0model}X\1\0\0\0w" TENSOR "sX\5\0\0\0epochK\3u."), "w" },
        { BYTES("\x80\2}(X\5\0\0\0model}X\1\0\0\0w" TENSOR "sX\3\0\0\0" "ema}X\1\0\0\0w" TENSOR
                "su."), "model.w ema.w" },
        { BYTES("\x80\2" TENSOR "."), "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct archive a = { 0 };
        struct mm_buf names = { 0 };
        add_member(&a, "x/data.pkl", t[i].pickle, t[i].n);
        add_member(&a, "x/data/0", six, sizeof six);
        end_archive(&a);
        struct mm_ckpt *const ck = open_archive(&a);
        mm_buf_str(&names, "");
        for (size_t k = 0; k < mm_ckpt_count(ck); k++)
            mm_buf_printf(&names, "%s%s", k ? " " : "", mm_ckpt_at(ck, k)->name);
        assert_string_equal(names.p, t[i].names);
        mm_buf_free(&names);
        mm_ckpt_close(ck);
        free_archive(&a);
    }
    assert_int_not_equal(access("MM_EXECUTED", F_OK), 0);
}

static void test_refused(void **state)
{
    static const struct { const char *pickle; size_t n; int code; const char *says; } t[] = {
        { BYTES("\x80\2}X\1\0\0\0actorch._utils\n_rebuild_qtensor\n" STORAGE "tRs."), MM_EMISSING,
          "'a': a quantised" },
        { BYTES("\x80\2}X\1\0\0\0a(X\7\0\0\0storagectorch\nQInt8Storage\nX\1\0\0\0" "0X\0\0\0\0K\6tQs."),
          MM_EMISSING, "QInt8Storage" },
        { BYTES("\x80\2}X\1\0\0\0a(X\7\0\0\0storagecm\nFloatStorage\nX\1\0\0\0" "0X\0\0\0\0K\6tQs."),
          MM_EDATA, "m.FloatStorage" },
        { BYTES("\x80\2}X\1\0\0\0a(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "1X\0\0\0\0K\6tQs."),
          MM_EDATA, "'1' is not in" },
        { BYTES("\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n" STORAGE "K\0K\2\x85tRs."),
          MM_EDATA, "from 3 arguments" },
        { BYTES("\x80\2}(X\1\0\0\0a" TENSOR "X\1\0\0\0a" TENSOR "u."), MM_EDATA, "'a' appears twice" },
        { BYTES("\x80\2}X\1\0\0\0aN}s."), MM_EDATA, "holds none" },
        { BYTES("\x80\2}X\1\0\0\0aNs."), MM_EDATA, "no tensors" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct archive a = { 0 };
        struct mm_err e = { 0 };
        struct mm_ckpt *ck;
        add_member(&a, "x/data.pkl", t[i].pickle, t[i].n);
        add_member(&a, "x/data/0", six, sizeof six);
        end_archive(&a);
        if (mm_ckpt_open_mem(&ck, a.file.p, a.file.n, "x.pt", &e) != t[i].code)
            fail_msg("%zu: code %d: %s", i, e.code, e.msg);
        if (!strstr(e.msg, t[i].says))
            fail_msg("%zu: '%s' does not say '%s'", i, e.msg, t[i].says);
        free_archive(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opcodes),    cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_deep),       cmocka_unit_test(test_fixture),
        cmocka_unit_test(test_big_endian), cmocka_unit_test(test_globals),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
