/* The generation engine on small golden models: beams, scores, batches, the past. */
#include "stages.h"

#include "model/generate.h"
#include "model/textout.h"

struct world {
    struct mm_ckpt *ck, *in;
    struct mm_llama *m;
    struct mm_ctx ctx;
    char dir[1000];
};

static void world_open(struct world *w, const char *name)
{
    struct mm_err e = { 0 };
    char path[1200];

    snprintf(w->dir, sizeof(w->dir), "%s/%s", golden_dir(), name);
    snprintf(path, sizeof(path), "%s/model", w->dir);
    w->ck = golden_open(path, "");
    w->in = golden_open(w->dir, "inputs.safetensors");
    if (mm_llama_open(&w->m, w->ck, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(mm_ctx_init(&w->ctx, NULL, MM_ARITH_EXACT, &e), 0);
}

static void world_close(struct world *w)
{
    mm_ctx_free(&w->ctx);
    mm_llama_free(w->m);
    mm_ckpt_close(w->in);
    mm_ckpt_close(w->ck);
}

static json_t *json_of(const struct world *w, const char *file)
{
    struct mm_err e = { 0 };
    char path[1200];
    json_t *j = NULL;

    snprintf(path, sizeof(path), "%s/%s", w->dir, file);
    if (mm_json_file(&j, path, &e) < 0)
        fail_msg("%s", e.msg);
    return j;
}

/* Row r of an id tensor, the places where mask is 0 left out. */
static struct mm_prompt prompt_of(const struct world *w, const char *name, const char *mask,
                                  size_t r)
{
    const struct mm_ckpt_entry *ids = mm_ckpt_lookup(w->in, name);
    const struct mm_ckpt_entry *on = mask ? mm_ckpt_lookup(w->in, mask) : NULL;
    struct mm_prompt p = { 0 };

    assert_non_null(ids);
    const size_t n = (size_t)ids->t.shape[ids->t.ndim - 1];
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        int64_t use = 1;
        memcpy(&id, (const char *)ids->t.data + 8 * (r * n + i), 8);
        if (on)
            memcpy(&use, (const char *)on->t.data + 8 * (r * n + i), 8);
        if (use)
            assert_int_equal(mm_prompt_add(&p, (int32_t)id), 0);
    }
    return p;
}

static struct mm_gen *gen(struct world *w, const struct mm_gen_spec *o)
{
    struct mm_err e = { 0 };
    struct mm_gen *g = NULL;

    if (mm_gen_new(&g, w->m, NULL, &w->ctx, o, &e) < 0)
        fail_msg("%s", e.msg);
    return g;
}

static struct mm_gen_spec spec(size_t max_new)
{
    return (struct mm_gen_spec){ .sample = mm_sample_defaults, .max_new = max_new, .logprobs = true,
                                .kv = MM_F32 };
}

/* --- beams ---------------------------------------------------------------------- */

static void beam_run(struct world *w, const json_t *run, const json_t *want)
{
    struct mm_err e = { 0 };
    int32_t eos[4] = { 2 };
    size_t neos = 1;
    const json_t *j = json_object_get(run, "eos_token_id");
    const json_t *early = json_object_get(run, "early_stopping");
    const bool batch = json_object_get(run, "input") != NULL;

    for (size_t i = 0; json_is_array(j) && i < json_array_size(j); i++)
        eos[i] = (int32_t)json_integer_value(json_array_get(j, i));
    if (json_is_array(j))
        neos = json_array_size(j);
    else if (j)
        eos[0] = (int32_t)json_integer_value(j);
    struct mm_gen_spec o = spec((size_t)mm_json_int(run, "max_new_tokens", 0, &e));
    o.sample.eos = eos;
    o.sample.neos = neos;
    o.sample.repeat_penalty = mm_json_num(run, "repetition_penalty", 1, &e);
    o.sample.no_repeat_ngram = (size_t)mm_json_int(run, "no_repeat_ngram_size", 0, &e);
    o.sample.min_tokens = (size_t)mm_json_int(run, "min_new_tokens", 0, &e);
    const struct mm_beam_spec b = {
        .beams = (size_t)mm_json_int(run, "num_beams", 0, &e), .max_new = o.max_new,
        .length_penalty = mm_json_num(run, "length_penalty", 1, &e),
        .early = json_is_string(early) ? MM_EARLY_NEVER
                 : json_is_true(early) ? MM_EARLY_TRUE : MM_EARLY_FALSE,
        .eos = eos, .neos = neos,
    };
    struct mm_gen *g = gen(w, &o);
    for (size_t item = 0; item < (batch ? 2u : 1u); item++) {
        struct mm_prompt p = batch ? prompt_of(w, "batch_ids", "batch_mask", item)
                                   : prompt_of(w, "input_ids", NULL, 0);
        struct mm_answer a[8] = { { 0 } };
        size_t n;
        if (mm_gen_beam(g, &p, &b, a, &n, &e) < 0)
            fail_msg("%s", e.msg);
        assert_int_equal(n, b.beams);
        for (size_t i = 0; i < n; i++) {
            const size_t at = item * b.beams + i;
            const json_t *ids = json_array_get(json_object_get(want, "sequences"), at);
            const double score =
                json_number_value(json_array_get(json_object_get(want, "scores"), at));
            for (size_t k = 0; k < json_array_size(ids); k++) {
                const int64_t id = json_integer_value(json_array_get(ids, k));
                if (k < a[i].n ? a[i].ids[k] != id : id != 0)
                    fail_msg("%s: answer %zu differs at token %zu",
                             json_string_value(json_object_get(run, "name")), at, k);
            }
            if (!(fabs(a[i].score - score) <= 2e-5 * fabs(score) + 2e-5))
                fail_msg("%s: score %.7g, want %.7g",
                         json_string_value(json_object_get(run, "name")), a[i].score, score);
            mm_answer_free(&a[i]);
        }
        mm_prompt_free(&p);
    }
    mm_gen_free(g);
}

static void beams(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, "llama/beam");
    json_t *c = json_of(&w, "case.json");
    json_t *x = json_of(&w, "expected.json");
    const json_t *runs = json_object_get(json_object_get(c, "config"), "runs");
    const json_t *want = json_object_get(x, "runs");
    assert_int_equal(json_array_size(runs), json_array_size(want));
    assert_true(json_array_size(runs) > 0);
    for (size_t i = 0; i < json_array_size(runs); i++)
        beam_run(&w, json_array_get(runs, i), json_array_get(want, i));
    json_decref(c);
    json_decref(x);
    world_close(&w);
}

/* --- scores ----------------------------------------------------------------------- */

static void scores(void **state)
{
    struct world w;
    struct stages s;
    struct mm_err e = { 0 };
    const struct mm_gen_spec o = spec(1);

    (void)state;
    world_open(&w, "llama/score");
    stages_open(&s, "llama/score");
    struct mm_gen *g = gen(&w, &o);
    struct mm_prompt p = prompt_of(&w, "prompt", NULL, 0);
    assert_int_equal(mm_gen_prefill(g, &p, &e), 0);
    for (size_t i = 0; i < 4; i++) {
        char name[60];
        float lp[64];
        snprintf(name, sizeof(name), "continuation.%zu", i);
        struct mm_prompt c = prompt_of(&w, name, NULL, 0);
        assert_int_equal(mm_gen_continue(g, c.id, c.n, lp, &e), 0);
        snprintf(name, sizeof(name), "logprobs.%zu", i);
        stages_check(&s, name, lp, c.n);
        mm_prompt_free(&c);
    }
    stages_done(&s, "logprobs.*", NULL);
    assert_int_equal(mm_gen_stats(g)->computed, p.n); /* the prefix once */

    json_t *x = json_of(&w, "expected.json");
    double loss;
    size_t count;
    assert_int_equal(mm_gen_perplexity(g, p.id, p.n, &loss, &count, &e), 0);
    assert_int_equal(count, p.n - 1);
    assert_true(fabs(loss - mm_json_num(x, "prompt_loss", 0, &e)) < 1e-4);
    json_decref(x);
    mm_prompt_free(&p);
    mm_gen_free(g);
    stages_close(&s);
    world_close(&w);
}

/* --- batches and the past ------------------------------------------------------------ */

static void answer(struct mm_gen *g, const struct mm_prompt *p, struct mm_answer *a)
{
    struct mm_err e = { 0 };

    struct mm_request r = { .prompt = p, .answer = a };
    if (mm_gen_run(g, &r, 1, &e) < 0)
        fail_msg("%s", e.msg);
}

/* The same request by itself, in a new engine, has the same answer. */
static void as_alone(struct world *w, const struct mm_gen_spec *o, const struct mm_request *r)
{
    struct mm_err e = { 0 };
    struct mm_gen *g = gen(w, o);
    struct mm_answer alone = { 0 };
    struct mm_request q = { .prompt = r->prompt, .number = r->number, .answer = &alone };

    assert_true(r->done);
    assert_int_equal(r->fault.code, 0);
    if (mm_gen_run(g, &q, 1, &e) < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(alone.n, r->answer->n);
    assert_int_equal(alone.stop, r->answer->stop);
    assert_memory_equal(alone.ids, r->answer->ids, alone.n * sizeof(*alone.ids));
    assert_memory_equal(alone.logprobs, r->answer->logprobs, alone.n * sizeof(*alone.logprobs));
    mm_answer_free(&alone);
    mm_gen_free(g);
}

/* Items together give what each gives alone; what they share is computed once. */
static void batch(void **state)
{
    static const char *const cases[] = { "llama/gqa", "llama/mistral-window", "llama/rope-dynamic",
                                         "llama/rope-yarn" };
    struct mm_err e = { 0 };
    const struct mm_gen_spec o = spec(10);

    (void)state;
    for (size_t c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
        struct world w;
        world_open(&w, cases[c]);
        struct mm_gen *g = gen(&w, &o);
        struct mm_prompt p[3] = { { 0 } };
        struct mm_answer together[3] = { { 0 } };
        struct mm_request r[3];
        p[0] = prompt_of(&w, "input_ids", NULL, 0);
        for (size_t i = 1; i < 3; i++) { /* the same but for its end */
            assert_int_equal(mm_prompt_copy(&p[i], &p[0]), 0);
            p[i].n -= 3 * i;
            assert_int_equal(mm_prompt_add(&p[i], 7 + (int32_t)i), 0);
        }
        for (size_t i = 0; i < 3; i++)
            r[i] = (struct mm_request){ .prompt = &p[i], .number = i, .answer = &together[i] };
        if (mm_gen_run(g, r, 3, &e) < 0)
            fail_msg("%s", e.msg);
        if (c != 2)
            assert_int_equal(mm_gen_stats(g)->computed, p[0].n + 1 + 1);
        for (size_t i = 0; i < 3; i++) {
            as_alone(&w, &o, &r[i]);
            mm_answer_free(&together[i]);
            mm_prompt_free(&p[i]);
        }
        mm_gen_free(g);
        world_close(&w);
    }
}

/* Seven requests through two places, of two groups that share a prefix each, of
 * different lengths and drawn at random; one is empty, one too long. */
static void places(void **state)
{
    enum { N = 7, EMPTY = 2, LONG = 4 };
    struct world w;
    struct mm_err e = { 0 };
    struct mm_gen_spec o = spec(9);
    struct mm_prompt p[N] = { { 0 } };
    struct mm_answer a[N] = { { 0 } };
    struct mm_request r[N] = { { 0 } };
    struct mm_batch *b;
    size_t next = 0;
    size_t own = 0;

    (void)state;
    world_open(&w, "llama/gqa");
    struct mm_prompt base = prompt_of(&w, "input_ids", NULL, 0);
    o.context = base.n + 6; /* ends the answers of the longer ones */
    o.sample.temperature = 1;
    o.seed = 5;
    for (size_t i = 0; i < N; i++) {
        if (i != EMPTY)
            assert_int_equal(mm_prompt_copy(&p[i], &base), 0);
        if (i > EMPTY)
            p[i].id[1] = 3; /* the second group */
        for (size_t k = 0; i != EMPTY && k < (i == LONG ? 7 : i / 2 + 1); k++)
            assert_int_equal(mm_prompt_add(&p[i], (int32_t)(11 + i)), 0);
        r[i] = (struct mm_request){ .prompt = &p[i], .number = i, .answer = &a[i] };
        own += i == EMPTY || i == LONG ? 0 : i / 2 + 1;
    }
    struct mm_gen *g = gen(&w, &o);
    assert_int_equal(mm_batch_new(&b, g, 2, &e), 0);
    while (next < N || mm_batch_room(b) < 2) {
        while (next < N && mm_batch_room(b))
            assert_int_equal(mm_batch_add(b, &r[next++], &e), 0);
        assert_int_equal(mm_batch_step(b, &e), 0);
    }
    mm_batch_free(b);
    assert_int_equal(mm_gen_stats(g)->computed, base.n + (base.n - 1) + own);
    mm_gen_free(g);
    for (size_t i = 0; i < N; i++) {
        if (i == EMPTY || i == LONG) {
            assert_true(r[i].done);
            assert_int_equal(r[i].fault.code, MM_EDATA);
            assert_non_null(strstr(r[i].fault.msg, i == LONG ? "context" : "empty"));
        } else {
            as_alone(&w, &o, &r[i]);
        }
        mm_answer_free(&a[i]);
        mm_prompt_free(&p[i]);
    }
    mm_prompt_free(&base);
    world_close(&w);
}

/* Prompts longer than a pass: the first come is served first, whatever its place. */
static void turns(void **state)
{
    enum { N = 4 };
    static const size_t length[N] = { 600, 1100, 700, 5 };
    struct world w;
    struct mm_err e = { 0 };
    struct mm_gen_spec o = spec(1);
    struct mm_prompt p[N] = { { 0 } };
    struct mm_answer a[N] = { { 0 } };
    struct mm_request r[N] = { { 0 } };
    struct mm_batch *b;
    size_t next = 0;

    (void)state;
    world_open(&w, "llama/gqa");
    o.context = 2048;
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < length[i]; k++)
            assert_int_equal(mm_prompt_add(&p[i], (int32_t)((k + 1) * (i + 3) % 90)), 0);
        r[i] = (struct mm_request){ .prompt = &p[i], .number = i, .answer = &a[i] };
    }
    struct mm_gen *g = gen(&w, &o);
    assert_int_equal(mm_batch_new(&b, g, 2, &e), 0);
    while (next < N || mm_batch_room(b) < 2) {
        while (next < N && mm_batch_room(b))
            assert_int_equal(mm_batch_add(b, &r[next++], &e), 0);
        assert_int_equal(mm_batch_step(b, &e), 0);
        assert_true((r[0].done || !r[1].done) && (r[1].done || !r[2].done));
    }
    mm_batch_free(b);
    mm_gen_free(g);
    for (size_t i = 0; i < N; i++) {
        as_alone(&w, &o, &r[i]);
        mm_answer_free(&a[i]);
        mm_prompt_free(&p[i]);
    }
    world_close(&w);
}

/* A longer prompt after a shorter one: only the new part is computed; the answer
 * is that of a fresh engine.  Then back to a shorter one. */
static void past(void **state)
{
    struct world w;
    const struct mm_gen_spec o = spec(6);

    (void)state;
    world_open(&w, "llama/mha");
    struct mm_gen *g = gen(&w, &o);
    struct mm_prompt p = prompt_of(&w, "input_ids", NULL, 0);
    const size_t n = p.n;
    struct mm_answer a = { 0 };
    answer(g, &p, &a);
    assert_int_equal(a.computed, n);
    for (size_t i = 0; i < a.n; i++) /* the history of a chat */
        assert_int_equal(mm_prompt_add(&p, a.ids[i]), 0);
    assert_int_equal(mm_prompt_add(&p, 9), 0);
    for (int round = 0; round < 2; round++) {
        struct mm_answer again = { 0 };
        struct mm_answer fresh = { 0 };
        struct mm_gen *h = gen(&w, &o);
        answer(g, &p, &again);
        answer(h, &p, &fresh);
        assert_int_equal(again.computed, round == 0 ? 2 : 1); /* last answer token, new one */
        assert_int_equal(again.n, fresh.n);
        assert_memory_equal(again.ids, fresh.ids, fresh.n * sizeof(*fresh.ids));
        mm_answer_free(&again);
        mm_answer_free(&fresh);
        mm_gen_free(h);
        p.n = n - 2;
    }
    mm_answer_free(&a);
    mm_prompt_free(&p);
    mm_gen_free(g);
    world_close(&w);
}

static void limits(void **state)
{
    struct world w;
    struct mm_err e = { 0 };
    struct mm_gen_spec o = spec(100);

    (void)state;
    world_open(&w, "llama/mha");
    struct mm_prompt p = prompt_of(&w, "input_ids", NULL, 0);
    o.context = p.n + 4;
    struct mm_gen *g = gen(&w, &o);
    struct mm_answer a = { 0 };
    answer(g, &p, &a);
    assert_int_equal(a.stop, MM_STOP_CONTEXT);
    assert_int_equal(a.n, 4); /* prompt and answer fill it */
    mm_answer_free(&a);
    mm_gen_free(g);

    o.context = p.n - 1;
    g = gen(&w, &o);
    struct mm_request r = { .prompt = &p, .answer = &a };
    assert_int_equal(mm_gen_run(g, &r, 1, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "context"));
    mm_gen_free(g);
    mm_prompt_free(&p);
    world_close(&w);
}

/* --- text ------------------------------------------------------------------------------ */

static void stops(void **state)
{
    static const char *const stop[] = { "###", "STOP!" };
    static const struct {
        const char *in[6], *out;
        bool trim, stopped;
    } c[] = {
        { { "ab", "c#", "#d", "e" }, "abc##de", false, false },
        { { "ab", "c#", "#", "#de" }, "abc", false, true },
        { { "x ST", "O", "P!y" }, "x ", false, true },
        { { "  x y", "  ", "z ", "\n" }, "x y  z", true, false },
        { { " \n", " a b ", "###" }, "a b", true, true },
        { { "#", "#" }, "##", false, false },
        { { " " }, "", true, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
        struct mm_textout t = { .stop = stop, .nstop = 2, .trim = c[i].trim };
        bool hit = false;
        size_t n;
        for (size_t k = 0; k < 6 && c[i].in[k] && !hit; k++)
            hit = mm_textout_put(&t, c[i].in[k], strlen(c[i].in[k]));
        mm_textout_end(&t);
        assert_int_equal(hit, c[i].stopped);
        const char *s = mm_textout_take(&t, &n);
        assert_int_equal(n, strlen(c[i].out));
        assert_memory_equal(s, c[i].out, n);
        mm_textout_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beams),
        cmocka_unit_test(scores),
        cmocka_unit_test(batch),
        cmocka_unit_test(places),
        cmocka_unit_test(turns),
        cmocka_unit_test(past),
        cmocka_unit_test(limits),
        cmocka_unit_test(stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
