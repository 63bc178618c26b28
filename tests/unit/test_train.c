/* The training core: optimisers and schedules against the reference, sums of
 * micro-batches, the order of samples, checkpoints; golden run lm_pretrain.
 */
#include "traincase.h"

#include "stream/stream.h"
#include "train/fold.h"
#include "train/saved.h"

/* --- optimiser ------------------------------------------------------------------------ */

struct run_spec {
    struct mm_set_update u;
    double lr, decay, clip;
    size_t accumulate;
    bool groups, bf16;
    bool scheduled;
    struct mm_schedule schedule;
};

static double num(const json_t *o, const char *key, double dflt)
{
    const json_t *v = json_object_get(o, key);

    return json_is_number(v) ? json_number_value(v) : dflt;
}

static struct mm_schedule schedule_of(const json_t *j)
{
    static const char *const names[] = { "cosine", "constant", "linear", "log_linear", "step" };
    struct mm_schedule s = { .warmup = (int64_t)num(j, "warmup", 0),
                             .total = (int64_t)num(j, "total", 0),
                             .at = (int64_t)num(j, "at", 0), .factor = num(j, "factor", 1) };
    const char *kind = json_string_value(json_object_get(j, "kind"));

    for (int i = 0; i < 5; i++)
        if (!strcmp(kind, names[i])) {
            s.kind = (enum mm_schedule_kind)i;
            return s;
        }
    fail_msg("schedule '%s'", kind);
    return s;
}

static struct run_spec run_of(const json_t *j)
{
    const char *kind = json_string_value(json_object_get(j, "kind"));
    const json_t *betas = json_object_get(j, "betas");
    const json_t *schedule = json_object_get(j, "schedule");
    struct run_spec r = { .lr = num(j, "lr", 0), .decay = num(j, "weight_decay", 0),
                          .clip = num(j, "clip", 0),
                          .accumulate = (size_t)num(j, "accumulate", 1),
                          .groups = json_is_true(json_object_get(j, "groups")),
                          .bf16 = json_is_true(json_object_get(j, "bf16")),
                          .scheduled = schedule != NULL };

    r.u.optim.kind = !strcmp(kind, "adamw") ? MM_OPTIM_ADAMW
                     : !strcmp(kind, "adam") ? MM_OPTIM_ADAM : MM_OPTIM_SGD;
    r.u.optim.beta1 = betas ? json_number_value(json_array_get(betas, 0)) : num(j, "momentum", 0);
    r.u.optim.beta2 = betas ? json_number_value(json_array_get(betas, 1)) : 0.5;
    r.u.optim.eps = num(j, "eps", 0);
    r.u.optim.nesterov = json_is_true(json_object_get(j, "nesterov"));
    r.u.agc = num(j, "agc", 0);
    r.u.ema = json_object_get(j, "ema") ? 0.9999 : 0;
    if (schedule)
        r.schedule = schedule_of(schedule);
    return r;
}

enum { UPDATES = 10, MOST = 16 };

struct weights {
    struct mm_var var[MOST];
    const struct mm_tensor *grad[MOST]; /* [20, ...] */
    char *data[MOST];
    size_t n;
};

/* Copies of param/ of the case. */
static void take_weights(struct weights *w, const struct mm_ckpt *in, struct mm_set *set,
                         const struct run_spec *r)
{
    struct mm_err e = { 0 };

    *w = (struct weights){ 0 };
    for (size_t i = 0; i < mm_ckpt_count(in); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(in, i);
        char name[200];

        if (strncmp(en->name, "param/", 6))
            continue;
        snprintf(name, sizeof(name), "grad/%s", en->name + 6);
        struct mm_var *v = &w->var[w->n];
        v->t = en->t;
        v->t.data = w->data[w->n] = malloc(mm_tensor_bytes(&en->t));
        memcpy(v->t.data, en->t.data, mm_tensor_bytes(&en->t));
        v->needs_grad = true;
        w->grad[w->n++] = &mm_ckpt_lookup(in, name)->t;
        const bool decays = !r->groups || (!strstr(name, "bias") && !strstr(name, "norm"));
        assert_int_equal(mm_set_var(set, v, en->name + 6, decays ? r->decay : 0, 1, &e), 0);
    }
    assert_int_equal(mm_set_ready(set, r->u.ema > 0, r->bf16, NULL, &e), 0);
}

/* The gradient of update t: the mean of `accumulate` rows. */
static void load_grad(struct mm_set *set, const struct weights *w, size_t t, size_t accumulate)
{
    mm_set_open_grad(set);
    mm_set_close_grad(set, NULL); /* nothing arrived in between */
    for (size_t i = 0; i < w->n; i++)
        for (size_t a = 0; a < accumulate; a++) {
            const float *g = (const float *)w->grad[i]->data +
                             (t * accumulate + a) * set->v[i].n;

            for (size_t k = 0; k < set->v[i].n; k++)
                set->grad[set->v[i].at + k] += g[k] / (float)accumulate;
        }
}

/* Row t of a series of the case. */
static void row_check(struct stages *s, float **series, const float *x, size_t t, size_t n,
                      const char *fmt, const char *run, const char *name)
{
    char full[300];

    if (t == 0)
        *series = malloc(UPDATES * n * sizeof(float));
    memcpy(*series + t * n, x, n * sizeof(float));
    if (t + 1 < UPDATES)
        return;
    snprintf(full, sizeof(full), fmt, run, name);
    stages_check(s, full, *series, UPDATES * n);
    free(*series);
}

static void one_run(struct stages *s, const struct mm_ckpt *in, const char *name,
                    const json_t *spec)
{
    struct run_spec r = run_of(spec);
    float *series[MOST], *extra[MOST], norms[UPDATES];
    struct mm_set set = { 0 };
    struct weights w;
    char full[200];

    take_weights(&w, in, &set, &r);
    for (size_t t = 0; t < UPDATES; t++) {
        load_grad(&set, &w, t, r.accumulate);
        norms[t] = (float)mm_set_norm(&set, NULL);
        r.u.t = (int64_t)t;
        r.u.lr = r.lr * (r.scheduled ? mm_schedule_at(&r.schedule, (int64_t)t) : 1);
        r.u.gscale = mm_optim_clip((double)norms[t], r.clip);
        mm_set_apply(&set, &r.u, NULL);
        for (size_t i = 0; i < w.n; i++) {
            const struct mm_trained *v = &set.v[i];
            const float *own = set.master ? set.master + v->at : mm_f32(v->var);

            row_check(s, &series[i], own, t, v->n, "%s/%s", name, v->name);
            if (r.u.ema > 0)
                row_check(s, &extra[i], set.average + v->at, t, v->n, "%s/ema/%s", name, v->name);
            if (r.bf16)
                row_check(s, &extra[i], mm_f32(v->var), t, v->n, "%s/bf16/%s", name, v->name);
        }
    }
    snprintf(full, sizeof(full), "%s/norms", name);
    stages_check(s, full, norms, UPDATES);
    for (size_t i = 0; i < w.n; i++)
        free(w.data[i]);
    mm_set_free(&set);
}

static void test_optimiser(void **state)
{
    struct stages s;
    const char *name;
    json_t *j;

    (void)state;
    stages_open(&s, "train/optimiser");
    struct mm_ckpt *in = golden_open(s.dir, "inputs.safetensors");
    const json_t *config = json_object_get(s.spec, "config");
    json_object_foreach(json_object_get(config, "runs"), name, j)
        one_run(&s, in, name, j);
    json_object_foreach(json_object_get(config, "schedules"), name, j) {
        const struct mm_schedule sch = schedule_of(j);
        char full[100];

        snprintf(full, sizeof(full), "schedule/%s", name);
        const size_t n = mm_tensor_count(&mm_ckpt_lookup(s.expected, full)->t);
        float *x = malloc(n * sizeof(float));
        for (size_t t = 0; t < n; t++)
            x[t] = (float)mm_schedule_at(&sch, (int64_t)t);
        stages_check(&s, full, x, n);
        free(x);
    }
    stages_done(&s, "*", NULL);
    print_message("optimiser: worst %.2f of the tolerance\n", s.worst);
    mm_ckpt_close(in);
    stages_close(&s);
}

/* --- sums of micro-batches ---------------------------------------------------------------- */

static double tree(const float *x, size_t n)
{
    const size_t half = n - n / 2;

    return n == 1 ? x[0] : (float)(tree(x, half) + tree(x + half, n - half));
}

static void test_fold(void **state)
{
    /* numbers whose sum depends on the order */
    static const float x[13] = { 1e8f, 1, -1e8f, 3, 7e7f, -2, 5, -7e7f, 11, 0.5f, 1e8f, -9, 2 };
    struct mm_err e = { 0 };

    (void)state;
    for (size_t n = 1; n <= 13; n++) {
        struct mm_fold *f;
        float g;

        assert_int_equal(mm_fold_new(&f, &g, 1, n, &e), 0);
        for (size_t i = 0; i < n; i++) {
            g = x[i];
            mm_fold_add(f, i, NULL);
        }
        assert_true(g == (float)tree(x, n));
        mm_fold_free(f);
    }
    /* two processes that take halves and add them get the same */
    assert_true((float)tree(x, 12) == (float)tree(x, 6) + (float)tree(x + 6, 6));
}

/* --- order ----------------------------------------------------------------------------------- */

static void test_order(void **state)
{
    enum { N = 23 };
    int32_t length[N];
    struct mm_err e = { 0 };
    struct mm_order *o;

    (void)state;
    for (int i = 0; i < N; i++)
        length[i] = (i * 7) % 11 + 1;
    for (int i = 0; i < N; i += 4)
        length[i] = -length[i];
    struct mm_order_spec s = { .n = N, .seed = 3, .shuffle = true, .group = 4, .length = length };
    assert_int_equal(mm_order_new(&o, &s, &e), 0);
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
        bool seen[N] = { false };
        size_t v[N];

        for (size_t i = 0; i < N; i++) {
            v[i] = mm_order_at(o, epoch * N + i);
            assert_false(seen[v[i]]);
            seen[v[i]] = true;
        }
        /* 17 with a picture and 6 without: four groups and one of one kind, sorted */
        for (size_t g = 0; g + 4 <= 20; g += 4)
            for (size_t i = g + 1; i < g + 4; i++) {
                assert_int_equal(length[v[i]] < 0, length[v[g]] < 0);
                assert_true(abs(length[v[i]]) <= abs(length[v[i - 1]]));
            }
    }
    const size_t at = mm_order_at(o, 2 * N + 5);
    (void)mm_order_at(o, 0);
    assert_int_equal(mm_order_at(o, 2 * N + 5), at); /* a function of the position alone */
    mm_order_free(o);
    s.shuffle = false;
    s.group = 0;
    assert_int_equal(mm_order_new(&o, &s, &e), 0);
    assert_int_equal(mm_order_at(o, N + 5), 5);
    mm_order_free(o);
}

/* --- lm_pretrain ------------------------------------------------------------------------------ */

/* Tokens of the case as a stream in a temporary file. */
static void write_tokens(char *path, const struct mm_tensor *t)
{
    struct mm_writer *w;
    struct mm_err e = { 0 };
    const int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(mm_writer_open(&w, fd, 0, &e), 0);
    assert_int_equal(mm_writer_tensor(w, t, "tokens", NULL, 0, &e), 0);
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);
    close(fd);
}

struct lm_case {
    struct stages s;
    char path[40], model[1200];
    char *data[1];
    struct mm_job_spec spec;
};

static void lm_case_open(struct lm_case *l)
{
    stages_open(&l->s, "train/lm_pretrain");
    struct mm_ckpt *in = golden_open(l->s.dir, "inputs.safetensors");
    const struct mm_tensor *t = &mm_ckpt_lookup(in, "tokens")->t;

    strcpy(l->path, "/tmp/mm-train-XXXXXX");
    write_tokens(l->path, t);
    snprintf(l->model, sizeof(l->model), "%s/model", l->s.dir);
    l->spec = case_spec(&l->s);
    l->data[0] = l->path;
    l->spec.model = l->model;
    l->spec.data = l->data;
    l->spec.ndata = 1;
    l->spec.batch = (size_t)t->shape[1];
    mm_ckpt_close(in);
}

static void lm_case_close(struct lm_case *l)
{
    unlink(l->path);
    stages_close(&l->s);
}

static void open_job(struct mm_job *j, const char *objective, const struct mm_job_spec *s,
                     struct mm_pool *p)
{
    struct mm_err e = { 0 };

    if (mm_job_open(j, mm_objective_named(objective), s, p, 0, 1, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_lm(void **state)
{
    struct lm_case l;
    struct case_run r;
    struct mm_job j;

    (void)state;
    lm_case_open(&l);
    open_job(&j, "lm", &l.spec, NULL);
    case_updates(&l.s, &j, &r, NULL);
    case_end(&l.s, &j, &r, NULL);
    stages_done(&l.s, "*", NULL);
    print_message("lm_pretrain: worst %.2f of the tolerance\n", l.s.worst);
    case_free(&r, &j);
    mm_job_close(&j);
    lm_case_close(&l);
}

/* The weights after n updates of a job. */
static void weights_after(float *w, struct mm_job *j, int64_t n)
{
    struct mm_job_report r;
    struct mm_err e = { 0 };

    while (j->update < n)
        assert_int_equal(mm_job_update(j, &r, &e), 0);
    for (size_t i = 0; i < j->set.n; i++)
        memcpy(w + j->set.v[i].at, mm_f32(j->set.v[i].var), j->set.v[i].n * sizeof(float));
}

/* Threads, recomputed layers and a checkpoint in between change not one bit. */
static void test_same_bytes(void **state)
{
    struct mm_pool *pool = mm_pool_new(3);
    struct mm_err e = { 0 };
    struct lm_case l;
    struct mm_job j;

    (void)state;
    lm_case_open(&l);
    l.spec.shuffle = true;
    l.spec.ema = 0.99;
    l.spec.batch /= 2;
    l.spec.accumulate = 2;
    open_job(&j, "lm", &l.spec, NULL);
    const size_t bytes = j.set.total * sizeof(float);
    float *plain = malloc(bytes), *other = malloc(bytes);
    weights_after(plain, &j, 10);
    mm_job_close(&j);

    open_job(&j, "lm", &l.spec, pool);
    weights_after(other, &j, 10);
    assert_memory_equal(plain, other, bytes);
    mm_job_close(&j);

    l.spec.recompute = true;
    open_job(&j, "lm", &l.spec, pool);
    weights_after(other, &j, 10);
    assert_memory_equal(plain, other, bytes);
    mm_job_close(&j);

    char path[60];
    snprintf(path, sizeof(path), "%s.state", l.path);
    open_job(&j, "lm", &l.spec, NULL);
    json_t *settings = mm_job_settings(&j);
    weights_after(other, &j, 6);
    assert_int_equal(mm_saved_write(path, &j.set, j.update, settings, &e), 0);
    mm_job_close(&j);
    open_job(&j, "lm", &l.spec, NULL);
    assert_int_equal(j.update = mm_saved_read(path, &j.set, settings, &e), 6);
    weights_after(other, &j, 10);
    assert_memory_equal(plain, other, bytes);
    json_object_set_new(settings, "seed", json_string("77"));
    assert_int_equal(mm_saved_read(path, &j.set, settings, &e), MM_EDATA);
    assert_non_null(strstr(e.msg, "seed '0', now it is '77'"));
    mm_job_close(&j);
    json_decref(settings);
    unlink(path);
    free(plain);
    free(other);
    mm_pool_free(pool);
    lm_case_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimiser), cmocka_unit_test(test_fold),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_lm),
        cmocka_unit_test(test_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
