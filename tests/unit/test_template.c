/* test_template.c: conversation templates against the golden vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

static json_t *load(const char *file)
{
    const char *root = getenv("MM_GOLDEN");
    char path[512];

    snprintf(path, sizeof(path), "%s/llava/templates/%s", root ? root : "tests/golden", file);
    json_t *const j = json_load_file(path, 0, NULL);
    if (!j)
        fail_msg("%s: cannot be read", path);
    return j;
}

static char *render(const char *name, const struct mm_turn *turns, size_t n, bool open)
{
    struct mm_pieces p = { 0 };
    struct mm_buf b = { 0 };
    struct mm_err e = { 0 };
    const struct mm_template *const t = mm_template_named(name);

    assert_non_null(t);
    if (mm_template_render(t, &p, turns, n, open, &e) < 0)
        fail_msg("%s: %s", name, e.msg);
    for (size_t i = 0; i < p.n; i++)
        mm_buf_add(&b, p.v[i].s, p.v[i].n);
    mm_pieces_free(&p);
    mm_buf_char(&b, '\0');
    return b.p;
}

static size_t turns_of(struct mm_turn *turns, size_t max, const json_t *texts)
{
    const size_t n = json_array_size(texts);

    assert_true(n > 0 && n <= max);
    for (size_t i = 0; i < n; i++) {
        const char *const s = json_string_value(json_array_get(texts, i));
        turns[i] = (struct mm_turn){ i % 2 ? MM_ROLE_ASSISTANT : MM_ROLE_USER, s, strlen(s) };
    }
    return n;
}

static void test_golden(void **state)
{
    json_t *const c = load("case.json"), *const want = load("expected.json");
    const json_t *const inputs = json_object_get(json_object_get(c, "inputs"), "conversations");
    const char *name, *id;
    json_t *expect, *text;
    size_t count = 0;
    int bad = 0;

    (void)state;
    json_object_foreach(want, name, expect) {
        const char *const stop = json_string_value(json_object_get(expect, "stop"));
        const struct mm_template *const t = mm_template_named(name);
        if (!t) {
            bad += printf("%s: no such template\n", name) != 0;
            continue;
        }
        const char *const ours = mm_template_stops(t)[0];
        if (!ours != !stop || (stop && strcmp(stop, ours) != 0))
            bad += printf("%s: stop differs\n", name) != 0;
        json_object_foreach(json_object_get(expect, "prompts"), id, text) {
            struct mm_turn turns[8];
            const json_t *const texts = json_object_get(inputs, id);
            if (!texts)
                continue; /* demo: below */
            char *const got = render(name, turns, turns_of(turns, 8, texts), true);
            if (strcmp(got, json_string_value(text)) != 0)
                bad += printf("%s: %s: got '%s'\n", name, id, got) != 0;
            free(got);
            count++;
        }
    }
    assert_true(count >= 12 * 6);
    assert_int_equal(bad, 0);
    json_decref(c);
    json_decref(want);
}

static void test_system(void **state)
{
    const struct mm_turn ask = { MM_ROLE_USER, "q", 1 };
    const struct mm_turn empty[] = { { MM_ROLE_SYSTEM, "", 0 }, ask };
    const struct mm_turn own[] = { { MM_ROLE_SYSTEM, "S.", 2 }, ask };
    static const struct {
        const char *name, *empty, *own;
    } cases[] = {
        { "vicuna_v1", "USER: q ASSISTANT:", "S. USER: q ASSISTANT:" },
        { "llava_v0", "Human: q###Assistant:", "S.###Human: q###Assistant:" },
        { "llava_llama_2", "[INST] q [/INST]", "[INST] <<SYS>>\nS.\n<</SYS>>\n\nq [/INST]" },
        { "mpt", "<|im_start|>user\nq<|im_end|><|im_start|>assistant\n",
          "<|im_start|>system\nS.<|im_end|><|im_start|>user\nq<|im_end|><|im_start|>assistant\n" },
        { "chatml", "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
          "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
          "<|im_start|>assistant\n" },
        { "llama3",
          "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n",
          "<|start_header_id|>system<|end_header_id|>\n\nS.<|eot_id|>"
          "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
          "<|start_header_id|>assistant<|end_header_id|>\n\n" },
        { "zephyr", "<|user|>\nq</s>\n<|assistant|>\n",
          "<|system|>\nS.</s>\n<|user|>\nq</s>\n<|assistant|>\n" }
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *got = render(cases[i].name, empty, 2, true);
        assert_string_equal(got, cases[i].empty);
        free(got);
        got = render(cases[i].name, own, 2, true);
        assert_string_equal(got, cases[i].own);
        free(got);
    }
}

/* Text of turns is marked, so that it is not parsed for special tokens. */
static void test_pieces(void **state)
{
    const struct mm_turn turns[] = { { MM_ROLE_USER, "</s>", 4 },
                                     { MM_ROLE_ASSISTANT, "yes", 3 },
                                     { MM_ROLE_USER, "", 0 } };
    static const struct {
        const char *s;
        bool user;
    } want[] = { { "[INST] ", false }, { "</s>", true },
                 { " [/INST] ", false }, { "yes", true },
                 { " </s>[INST]  [/INST]", false } };
    struct mm_pieces p = { 0 };

    (void)state;
    assert_int_equal(
        mm_template_render(mm_template_named("mistral_instruct"), &p, turns, 3, true, NULL), 0);
    assert_int_equal(p.n, 5);
    for (size_t i = 0; i < p.n; i++) {
        assert_string_equal(p.v[i].s, want[i].s);
        assert_int_equal(p.v[i].n, strlen(want[i].s));
        assert_int_equal(p.v[i].user, want[i].user);
    }
    mm_pieces_free(&p);
}

static void test_order(void **state)
{
    const struct mm_turn ask = { MM_ROLE_USER, "q", 1 }, say = { MM_ROLE_ASSISTANT, "a", 1 };
    const struct mm_turn bad[][2] = { { say, ask }, { ask, ask }, { ask, say } };
    struct mm_pieces p = { 0 };

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            mm_template_render(mm_template_named("v1"), &p, bad[i], 2, true, NULL), MM_EDATA);
    assert_int_equal(p.n, 0);
    char *const closed = render("llava_v0", bad[2], 2, false);
    assert_non_null(strstr(closed, "###Human: q###Assistant: a###"));
    free(closed);
    assert_null(mm_template_named("none"));
    for (const char *const *n = mm_template_names(); *n; n++)
        assert_string_equal(mm_template_name(mm_template_named(*n)), *n);
}

static void test_recognise(void **state)
{
    static const struct {
        const char *jinja, *name;
    } cases[] = {
        { "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt "
          "%}{{ '<|im_start|>assistant\\n' }}{% endif %}",
          "chatml" },
        { "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' "
          "%}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by "
          "Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}",
          "smollm2" },
        { "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' "
          "%}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
          "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'}}",
          "qwen2" },
        { "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = "
          "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "
          "message['content'] | trim + '<|eot_id|>' %}",
          "llama3" },
        { "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' %}{{ bos_token + "
          "'[INST] ' + content.strip() + ' [/INST]' }}",
          "llama_2_chat" },
        { "{{ bos_token }}{% for message in messages %}{{ '[INST] ' + message['content'] + ' "
          "[/INST]' }}",
          "mistral_instruct" },
        { "{% for message in messages %}\\n{% if message['role'] == 'user' %}\\n{{ '<|user|>\\n' "
          "+ message['content'] + eos_token }}\\n{{ '<|assistant|>' }}",
          "zephyr" },
        { "{% for message in messages %}{{ message['role'].upper() + ': ' }}{% if "
          "message['role'] == 'user' %}{{ 'USER: ' }}{% endif %}{% endfor %}{{ 'ASSISTANT:' }}",
          "llava_hf" },
        { "{{ '<start_of_turn>user\\n' }}", NULL },
        { "", NULL }
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct mm_template *t = NULL;
        struct mm_err e = { 0 };
        const int rc = mm_template_recognise(&t, cases[i].jinja, &e);
        if (!cases[i].name) {
            assert_int_equal(rc, MM_EMISSING);
            assert_non_null(strstr(e.msg, "--template"));
        } else {
            assert_int_equal(rc, 0);
            assert_string_equal(mm_template_name(t), cases[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_system),
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_order),
        cmocka_unit_test(test_recognise)
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
