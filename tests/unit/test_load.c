/* test_load.c: names, prefixes, shapes; all faults in one message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden.h"
#include "weights/load.h"

static struct mm_load *start(const struct mm_ckpt *ck)
{
    struct mm_err e = { 0 };
    struct mm_load *l;

    assert_int_equal(mm_load_new(&l, ck, &e), 0);
    return l;
}

static void test_shapes(void **state)
{
    static const struct { int64_t want[4]; int n; bool ok; int64_t got[4]; } t[] = {
        { { 7, 5 }, 2, true, { 7, 5 } },
        { { -1, 5 }, 2, true, { 7, 5 } },
        { { -1, -1 }, 2, true, { 7, 5 } },
        { { 7, 1, 5 }, 3, true, { 7, 1, 5 } },
        { { 1, 7, 5, 1 }, 4, true, { 1, 7, 5, 1 } },
        { { 7, -1, 1, 1 }, 4, true, { 7, 5, 1, 1 } },
        { { 5, 7 }, 2, false, { 0 } },
        { { 35 }, 1, false, { 0 } },
        { { 7 }, 1, false, { 0 } },
        { { 7, 5, 2 }, 3, false, { 0 } },
    };
    struct mm_ckpt *const ck = golden_open("weights/containers/files/t.safetensors");

    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct mm_load *const l = start(ck);
        struct mm_err e = { 0 };
        int64_t want[4];
        memcpy(want, t[i].want, sizeof want);
        const struct mm_tensor *const x = mm_load_get(l, want, t[i].n, "%sposed", "trans");
        if ((x != NULL) != t[i].ok)
            fail_msg("shape %zu: %s", i, x ? "accepted" : "refused");
        for (int d = 0; x && d < t[i].n; d++)
            assert_true(want[d] == t[i].got[d]);
        assert_int_equal(mm_load_done(l, &e), t[i].ok ? 0 : MM_EDATA);
        mm_load_free(l);
    }
    /* stored axes of length 1 */
    struct mm_load *const l = start(ck);
    int64_t six[] = { 6 }, i32[] = { -1 }, scalar[] = { 1 };
    assert_non_null(mm_load_get(l, six, 1, "size1_odd_stride"));
    assert_non_null(mm_load_get(l, scalar, 1, "scalar"));
    /* weights are reals */
    struct mm_err e = { 0 };
    assert_null(mm_load_get(l, i32, 1, "i32"));
    assert_int_equal(mm_load_done(l, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "'i32' is of type i32"));
    mm_load_free(l);
    mm_ckpt_close(ck);
}

static void test_faults(void **state)
{
    static const char *const prefixes[] = { "language_model.", "", NULL };
    struct mm_ckpt *const ck = golden_open("llama/lora/model");
    struct mm_load *const l = start(ck);
    struct mm_err e = { 0 };
    int64_t norm[] = { 48 }, head[] = { 100, 48 }, none[] = { 3, -1 };

    (void)state;
    mm_load_prefix(l, prefixes);
    assert_non_null(mm_load_get(l, norm, 1, "model.norm.weight"));
    assert_null(mm_load_opt(l, none, 2, "model.absent"));
    assert_null(mm_load_get(l, head, 2, "lm_head.weight"));
    assert_null(mm_load_get(l, none, 2, "model.layers.%d.missing", 7));
    mm_load_strict(l, "*norm.weight");
    mm_load_ignore(l, "model.layers.1.*");
    assert_int_equal(mm_load_done(l, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "4 tensors"));
    assert_non_null(strstr(e.msg, "'lm_head.weight' has shape [123,48], want [100,48]"));
    assert_non_null(strstr(e.msg, "missing 'model.layers.7.missing' [3,-1]"));
    assert_non_null(strstr(e.msg, "surplus 'model.layers.0.input_layernorm.weight' [48]"));
    assert_null(strstr(e.msg, "layers.1"));
    mm_load_free(l);
    mm_ckpt_close(ck);
}

static void test_buffers(void **state)
{
    struct mm_ckpt *const ck = golden_open("llama/vicuna/model"); /* has inv_freq buffers */
    struct mm_load *const l = start(ck);
    struct mm_err e = { 0 };

    (void)state;
    assert_non_null(mm_ckpt_lookup(ck, "model.layers.0.self_attn.rotary_emb.inv_freq"));
    mm_load_strict(l, "*inv_freq");
    assert_int_equal(mm_load_done(l, &e), 0);
    mm_load_free(l);
    mm_ckpt_close(ck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
