/* Contrastive training: golden run `contrastive`, from its start and from above the clamp. */
#include "traincase.h"

#include "stream/stream.h"

/* Pictures and tokens of the case as a stream in a temporary file. */
static void write_pairs(char *path, const struct mm_ckpt *in)
{
    static const char *const name[] = { "images", "tokens" }, *const kind[] = { "pixels", "tokens" };
    struct mm_writer *w;
    struct mm_err e = { 0 };
    const int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(mm_writer_open(&w, fd, 0, &e), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(mm_writer_tensor(w, &mm_ckpt_lookup(in, name[i])->t, kind[i], NULL, 0, &e),
                         0);
    assert_int_equal(mm_writer_end(w, &e), 0);
    mm_writer_close(w);
    close(fd);
}

struct clip_case {
    struct stages s;
    char path[40], model[1200];
    char *data[1];
    struct mm_job_spec spec;
};

static void clip_open(struct clip_case *l)
{
    stages_open(&l->s, "train/contrastive");
    struct mm_ckpt *in = golden_open(l->s.dir, "inputs.safetensors");

    strcpy(l->path, "/tmp/mm-train-XXXXXX");
    write_pairs(l->path, in);
    snprintf(l->model, sizeof(l->model), "%s/model", l->s.dir);
    l->spec = case_spec(&l->s);
    l->spec.optim.kind = MM_OPTIM_ADAMW;
    l->spec.schedule.kind = MM_SCHEDULE_CONSTANT;
    l->data[0] = l->path;
    l->spec.model = l->model;
    l->spec.data = l->data;
    l->spec.ndata = 1;
    l->spec.batch = (size_t)mm_ckpt_lookup(in, "tokens")->t.shape[1];
    mm_ckpt_close(in);
}

static void open_job(struct mm_job *j, const struct mm_job_spec *s)
{
    struct mm_err e = { 0 };

    if (mm_job_open(j, mm_objective_named("contrastive"), s, NULL, 0, 1, &e) < 0)
        fail_msg("%s", e.msg);
}

static float *scale_of(struct mm_job *j)
{
    for (size_t i = 0; i < j->set.n; i++)
        if (!strcmp(j->set.v[i].name, "logit_scale"))
            return mm_f32(j->set.v[i].var);
    fail_msg("no logit_scale");
    return NULL;
}

/* The weights (or, with grad, gradients) as export lays them out: fused, transposed. */
static void check_all(struct stages *s, struct mm_job *j, const char *what, bool grad,
                      struct mm_ckpt *before)
{
    char dir[] = "/tmp/mm-clip-XXXXXX", file[60];
    struct mm_job_spec *spec = (struct mm_job_spec *)j->spec;
    struct mm_err e = { 0 };

    assert_non_null(mkdtemp(dir));
    spec->out = dir;
    float **own = calloc(j->set.n + 1, sizeof(*own));
    for (size_t i = 0; grad && i < j->set.n; i++) {
        own[i] = j->set.v[i].var->t.data;
        j->set.v[i].var->t.data = j->set.grad + j->set.v[i].at;
    }
    if (j->objective->export(j, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t i = 0; grad && i < j->set.n; i++)
        j->set.v[i].var->t.data = own[i];
    free(own);
    snprintf(file, sizeof(file), "%s/model.safetensors", dir);
    struct mm_ckpt *ck = golden_open(dir, "model.safetensors");
    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_ckpt_entry *en = mm_ckpt_at(ck, i);
        const size_t n = mm_tensor_count(&en->t);
        float *x = malloc((n + 1) * sizeof(float));

        memcpy(x, en->t.data, n * sizeof(float));
        if (before)
            for (size_t k = 0; k < n; k++)
                x[k] -= ((const float *)mm_ckpt_lookup(before, en->name)->t.data)[k];
        case_stage(s, what, en->name, x, n);
        free(x);
    }
    mm_ckpt_close(ck);
    mm_export_remove(dir);
}

static void run(struct clip_case *l, float start, const char *prefix)
{
    struct mm_job j;
    float loss[16], scale[16];
    char name[60];

    open_job(&j, &l->spec);
    *scale_of(&j) = start; /* not the checkpoint's */
    while (j.update < j.steps) {
        struct mm_job_report r;
        struct mm_err e = { 0 };
        const size_t u = (size_t)j.update;

        if (mm_job_update(&j, &r, &e) < 0)
            fail_msg("%s", e.msg);
        loss[u] = (float)r.loss;
        scale[u] = *scale_of(&j);
        if (u == 0 && !*prefix)
            check_all(&l->s, &j, "first_grad", true, NULL);
    }
    snprintf(name, sizeof(name), "%sloss/updates", prefix);
    stages_check(&l->s, name, loss, (size_t)j.steps);
    snprintf(name, sizeof(name), "%slogit_scale/updates", prefix);
    stages_check(&l->s, name, scale, (size_t)j.steps);
    if (!*prefix) {
        struct mm_ckpt *before = golden_open(l->s.dir, "model/open_clip_model.safetensors");

        check_all(&l->s, &j, "end", false, NULL);
        check_all(&l->s, &j, "delta", false, before);
        mm_ckpt_close(before);
    }
    mm_job_close(&j);
}

static void test_contrastive(void **state)
{
    struct clip_case l = { 0 };

    (void)state;
    clip_open(&l);
    run(&l, (float)case_num(&l.s, "log_scale_start", 0), "");
    run(&l, (float)case_num(&l.s, "log_scale_start_clamped", 0), "clamped_");
    stages_done(&l.s, "*/*", NULL);
    print_message("contrastive: worst %.2f of the tolerance\n", l.s.worst);
    unlink(l.path);
    stages_close(&l.s);
}

/* Blocks computed again in backward change not one bit. */
static void test_recompute(void **state)
{
    struct clip_case l = { 0 };
    float *was = NULL;

    (void)state;
    clip_open(&l);
    for (int i = 0; i < 2; i++) {
        struct mm_job j;

        l.spec.recompute = i == 1;
        open_job(&j, &l.spec);
        while (j.update < j.steps) {
            struct mm_job_report r;
            struct mm_err e = { 0 };

            assert_int_equal(mm_job_update(&j, &r, &e), 0);
        }
        if (was)
            assert_memory_equal(was, j.set.m, j.set.total * sizeof(float));
        else
            was = memcpy(malloc(j.set.total * sizeof(float)), j.set.m,
                         j.set.total * sizeof(float));
        mm_job_close(&j);
    }
    free(was);
    unlink(l.path);
    stages_close(&l.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_contrastive),
                                        cmocka_unit_test(test_recompute) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
