/* test_attention.c: attention and its gradient with every kernel table. */
#include "kern_test.h"

#include "kernel/attention.h"

/* Scores are sums of dim terms below about 4 in size; an error e of a score is a
 * relative error e of a probability.  exp adds 4 eps, sums of nk terms nk eps. */
static double tolerance(const struct mm_attn *a, double largest)
{
    return (4 * (double)a->dim + (double)a->nk + 16) * FLT_EPSILON * largest;
}

struct data {
    float *q, *k, *v, *bias, *alibi;
    void *kp, *vp;     /* k and v as panels of a->kv */
    size_t nq, nk, nb; /* elements */
};

static float *floats(size_t n, struct mm_rng *r)
{
    float *x = malloc(n * sizeof(*x) + 4);
    assert_non_null(x);
    kt_fill(x, n, r, false);
    return x;
}

static void put(void *to, size_t i, float x, enum mm_dtype kv)
{
    if (kv == MM_F16)
        ((uint16_t *)to)[i] = mm_f32_to_f16(x);
    else
        ((float *)to)[i] = x;
}

/* k and v once more as panels; what is beyond the last key is large. */
static void panels_new(struct data *d, struct mm_attn *a)
{
    const size_t cap = (a->nk + MM_NR) / MM_NR * MM_NR, panels = (a->dim + MM_NR - 1) / MM_NR;

    a->layout = MM_ATTN_PANELS;
    a->k_head = cap * a->dim;
    a->v_head = cap * panels * MM_NR;
    a->v_panel = cap * MM_NR;
    d->kp = malloc(a->kv_heads * a->k_head * 4);
    d->vp = malloc(a->kv_heads * a->v_head * 4);
    for (size_t i = 0; i < a->kv_heads * a->k_head; i++)
        put(d->kp, i, 30000, a->kv);
    for (size_t i = 0; i < a->kv_heads * a->v_head; i++)
        put(d->vp, i, 30000, a->kv);
    for (size_t h = 0; h < a->kv_heads; h++)
        for (size_t j = 0; j < a->nk; j++)
            for (size_t e = 0; e < a->dim; e++) {
                const size_t from = j * a->k_row + h * a->dim + e;
                put(d->kp, h * a->k_head + (j / MM_NR * a->dim + e) * MM_NR + j % MM_NR, d->k[from],
                    a->kv);
                put(d->vp, h * a->v_head + e / MM_NR * a->v_panel + j * MM_NR + e % MM_NR,
                    d->v[from], a->kv);
            }
}

/* Rows have a gap after the last head; k and v are rounded to f16. */
static void data_new(struct data *d, struct mm_attn *a, struct mm_rng *r)
{
    a->q_head = a->k_head = a->v_head = a->o_head = a->dim;
    a->q_row = a->o_row = a->heads * a->dim + 3;
    a->k_row = a->v_row = a->kv_heads * a->dim + 5;
    d->nq = a->nq * a->q_row;
    d->nk = a->nk * a->k_row;
    d->nb = a->heads * a->nq * a->nk;
    d->q = floats(d->nq, r);
    d->k = floats(d->nk, r);
    d->v = floats(d->nk, r);
    d->bias = floats(d->nb, r);
    d->alibi = floats(a->heads, r);
    d->kp = d->vp = NULL;
    for (size_t i = 0; i < d->nk; i++) {
        d->k[i] = mm_f16_to_f32(mm_f32_to_f16(d->k[i]));
        d->v[i] = mm_f16_to_f32(mm_f32_to_f16(d->v[i]));
    }
    for (size_t i = 0; i < d->nb; i += 5)
        d->bias[i] = -INFINITY;
    for (size_t i = 0; i < a->heads; i++)
        d->alibi[i] *= 0.05F;
}

static void data_free(struct data *d)
{
    free(d->q);
    free(d->k);
    free(d->v);
    free(d->bias);
    free(d->alibi);
    free(d->kp);
    free(d->vp);
}

/* Probabilities of query i of head h in double; returns log-sum-exp. */
static double probabilities(double *p, const double *q, const double *k, const struct mm_attn *a,
                            size_t i, size_t h)
{
    const size_t kh = h / (a->heads / a->kv_heads);
    const ptrdiff_t last = (ptrdiff_t)i + (ptrdiff_t)a->nk - (ptrdiff_t)a->nq;
    double top = -INFINITY, l = 0;

    for (size_t j = 0; j < a->nk; j++) {
        double s = 0;
        for (size_t e = 0; e < a->dim; e++)
            s += q[i * a->q_row + h * a->dim + e] * k[j * a->k_row + kh * a->dim + e];
        s *= (double)a->scale;
        if (a->alibi)
            s += (double)a->alibi[h] * (double)((ptrdiff_t)j - last);
        if (a->bias)
            s += (double)a->bias[h * a->bias_head + i * a->nk + j];
        if (a->causal && (ptrdiff_t)j > last)
            s = -INFINITY;
        if (a->window && (ptrdiff_t)j <= last - (ptrdiff_t)a->window)
            s = -INFINITY;
        p[j] = s;
        top = fmax(top, s);
    }
    for (size_t j = 0; j < a->nk; j++)
        l += p[j] = isinf(top) ? 0 : exp(p[j] - top);
    for (size_t j = 0; j < a->nk; j++)
        p[j] /= l > 0 ? l : 1;
    return l > 0 ? top + log(l) : -INFINITY;
}

static void reference(double *o, double *lse, const double *q, const double *k, const double *v,
                      const struct mm_attn *a)
{
    double *p = malloc((a->nk + 1) * sizeof(*p));

    for (size_t h = 0; h < a->heads; h++)
        for (size_t i = 0; i < a->nq; i++) {
            lse[h * a->nq + i] = probabilities(p, q, k, a, i, h);
            for (size_t e = 0; e < a->dim; e++) {
                double s = 0;
                for (size_t j = 0; j < a->nk; j++)
                    s += p[j] * v[j * a->v_row + h / (a->heads / a->kv_heads) * a->dim + e];
                o[i * a->o_row + h * a->dim + e] = s;
            }
        }
    free(p);
}

static double *doubles(const float *x, size_t n)
{
    double *d = malloc((n + 1) * sizeof(*d));
    for (size_t i = 0; i < n; i++)
        d[i] = (double)x[i];
    return d;
}

static void check(struct mm_attn a, bool alibi, bool bias, struct mm_pool *pool, struct mm_rng *r)
{
    struct data d;

    a.scale = 1 / sqrtf((float)a.dim);
    data_new(&d, &a, r);
    a.alibi = alibi ? d.alibi : NULL;
    a.bias = bias ? d.bias : NULL;
    a.bias_head = bias && a.heads > 1 ? a.nq * a.nk : 0;
    const size_t no = a.nq * a.o_row, nl = a.heads * a.nq;
    double *q = doubles(d.q, d.nq), *k = doubles(d.k, d.nk), *v = doubles(d.v, d.nk);
    double *want = calloc(no, sizeof(*want)), *wl = malloc(nl * sizeof(*wl));
    float *o = malloc(no * 4), *lse = malloc(nl * 4), *o1 = malloc(no * 4);
    if (a.layout == MM_ATTN_PANELS)
        panels_new(&d, &a);
    const void *key = d.kp ? d.kp : d.k, *value = d.vp ? d.vp : d.v;

    memset(o, 0, no * 4);
    memset(o1, 0, no * 4);
    reference(want, wl, q, k, v, &a);
    assert_int_equal(mm_attention(o, lse, d.q, key, value, &a, pool), 0);
    assert_int_equal(mm_attention(o1, NULL, d.q, key, value, &a, NULL), 0);
    assert_memory_equal(o, o1, no * 4);
    for (size_t i = 0; i < no; i++) /* |v| stays below 5 */
        KT_CHECK(kt_close(o[i], want[i], tolerance(&a, 5)), "nq %zu nk %zu dim %zu: %g, want %g",
                 a.nq, a.nk, a.dim, (double)o[i], want[i]);
    for (size_t i = 0; i < nl; i++)
        assert_true(kt_close(lse[i], wl[i], tolerance(&a, 4) + 4e-7 * fabs(wl[i])));
    free(q);
    free(k);
    free(v);
    free(want);
    free(wl);
    free(o);
    free(o1);
    free(lse);
    data_free(&d);
}

static const struct mm_attn cases[] = {
    { .nq = 1, .nk = 1, .heads = 1, .kv_heads = 1, .dim = 4 },
    { .nq = 1, .nk = 70, .heads = 8, .kv_heads = 2, .dim = 64 },
    { .nq = 1, .nk = 1300, .heads = 4, .kv_heads = 2, .dim = 33, .causal = true },
    { .nq = 3, .nk = 1100, .heads = 2, .kv_heads = 1, .dim = 16, .causal = true, .window = 700 },
    { .nq = 100, .nk = 100, .heads = 3, .kv_heads = 3, .dim = 40, .causal = true },
    { .nq = 70, .nk = 133, .heads = 4, .kv_heads = 1, .dim = 32, .causal = true, .window = 20 },
    { .nq = 300, .nk = 530, .heads = 2, .kv_heads = 1, .dim = 48, .causal = true },
    { .nq = 50, .nk = 33, .heads = 2, .kv_heads = 2, .dim = 80 },
    { .nq = 40, .nk = 10, .heads = 2, .kv_heads = 2, .dim = 8, .causal = true }, /* rows see none */
    { .nq = 5, .nk = 0, .heads = 2, .kv_heads = 2, .dim = 8 },
};
enum { CASES = sizeof(cases) / sizeof(*cases) };

static void test_forward(void **state)
{
    struct mm_pool *p = mm_pool_new(3);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 1);
    for (size_t i = 0; i < CASES; i++)
        for (int f = 0; f < 12; f++) {
            struct mm_attn a = cases[i];
            a.layout = f / 4 ? MM_ATTN_PANELS : MM_ATTN_ROWS;
            a.kv = f / 4 == 2 ? MM_F16 : MM_F32;
            check(a, f & 1, f & 2, p, &r);
        }
    mm_pool_free(p);
}

/* A query alone gives the bytes it gives among others, from every layout. */
static void check_alone(struct mm_attn a, struct mm_pool *p, struct mm_rng *r)
{
    const size_t L = a.nq;
    struct data d;

    a.nk = L;
    a.scale = 0.2F;
    a.causal = true;
    data_new(&d, &a, r);
    if (a.layout == MM_ATTN_PANELS)
        panels_new(&d, &a);
    const void *key = d.kp ? d.kp : d.k, *value = d.vp ? d.vp : d.v;
    float *o = calloc(L * a.o_row, 4), *some = calloc(3 * a.o_row, 4);
    assert_int_equal(mm_attention(o, NULL, d.q, key, value, &a, p), 0);
    for (size_t i = 0; i + 3 <= L; i += 37) {
        struct mm_attn b = a;
        b.nq = i % 2 ? 1 : 3;
        b.nk = i + b.nq;
        assert_int_equal(mm_attention(some, NULL, d.q + i * a.q_row, key, value, &b, p), 0);
        for (size_t t = 0; t < b.nq; t++)
            assert_memory_equal(some + t * a.o_row, o + (i + t) * a.o_row, a.heads * a.dim * 4);
    }
    free(o);
    free(some);
    data_free(&d);
}

static void test_alone(void **state)
{
    struct mm_pool *p = mm_pool_new(2);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 3);
    for (int f = 0; f < 6; f++)
        check_alone((struct mm_attn){ .nq = 700,
                                      .heads = 4,
                                      .kv_heads = f % 2 ? 1 : 2,
                                      .dim = 24,
                                      .window = f % 2 ? 300 : 0,
                                      .layout = f / 2 ? MM_ATTN_PANELS : MM_ATTN_ROWS,
                                      .kv = f / 2 == 2 ? MM_F16 : MM_F32 },
                    p, &r);
    mm_pool_free(p);
}

/* Several sequences at once give the bytes of each alone. */
static void test_many(void **state)
{
    struct mm_pool *p = mm_pool_new(3);
    struct mm_attn_item items[CASES];
    struct data d[CASES];
    float *alone[CASES];
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 4);
    for (size_t i = 0; i < CASES; i++) {
        struct mm_attn a = cases[i];
        a.layout = i % 3 ? MM_ATTN_PANELS : MM_ATTN_ROWS;
        a.kv = i % 3 == 2 ? MM_F16 : MM_F32;
        a.scale = 0.3F;
        data_new(&d[i], &a, &r);
        if (i % 3)
            panels_new(&d[i], &a);
        const size_t no = a.nq * a.o_row, nl = a.heads * a.nq;
        alone[i] = calloc(no + nl, 4);
        items[i] = (struct mm_attn_item){ .a = a, .o = calloc(no + nl, 4), .q = d[i].q };
        items[i].lse = items[i].o + no;
        items[i].k = d[i].kp ? d[i].kp : d[i].k;
        items[i].v = d[i].vp ? d[i].vp : d[i].v;
        assert_int_equal(mm_attention(alone[i], alone[i] + no, d[i].q, items[i].k, items[i].v, &a,
                                      NULL),
                         0);
    }
    assert_int_equal(mm_attention_many(items, CASES, p), 0);
    assert_int_equal(mm_attention_many(items, 0, p), 0);
    for (size_t i = 0; i < CASES; i++) {
        const struct mm_attn *a = &items[i].a;
        assert_memory_equal(items[i].o, alone[i], (a->nq * a->o_row + a->heads * a->nq) * 4);
        free(items[i].o);
        free(alone[i]);
        data_free(&d[i]);
    }
    mm_pool_free(p);
}

/* d/dt of <dO, attention> along random directions, by central differences in
 * double, is what the gradients say. */
static double directional(const struct mm_attn *a, const double *x[3], double *const dir[3],
                          const size_t n[3], const float *dO, double t)
{
    double *y[3], sum = 0;
    const size_t no = a->nq * a->o_row;
    double *o = calloc(no, sizeof(*o)), *lse = malloc(a->heads * a->nq * sizeof(*lse));

    for (int i = 0; i < 3; i++) {
        y[i] = malloc((n[i] + 1) * sizeof(double));
        for (size_t j = 0; j < n[i]; j++)
            y[i][j] = x[i][j] + t * dir[i][j];
    }
    reference(o, lse, y[0], y[1], y[2], a);
    for (size_t i = 0; i < no; i++)
        sum += o[i] * (double)dO[i];
    for (int i = 0; i < 3; i++)
        free(y[i]);
    free(o);
    free(lse);
    return sum;
}

static void check_grad(struct mm_attn a, bool alibi, struct mm_pool *pool, struct mm_rng *r)
{
    struct data d;
    float *g[3], *g1[3];
    double *dir[3];

    a.kv = MM_F32;
    a.scale = 1 / sqrtf((float)a.dim);
    data_new(&d, &a, r);
    a.alibi = alibi ? d.alibi : NULL;
    const size_t n[3] = { d.nq, d.nk, d.nk }, no = a.nq * a.o_row;
    const float *const in[3] = { d.q, d.k, d.v };
    const double *x[3];
    float *o = calloc(no, 4), *lse = malloc(a.heads * a.nq * 4), *dO = floats(no, r);

    for (size_t i = 0; i < no; i++) /* gaps between rows are no outputs */
        dO[i] = i % a.o_row < a.heads * a.dim ? dO[i] : 0;
    assert_int_equal(mm_attention(o, lse, d.q, d.k, d.v, &a, pool), 0);
    for (int i = 0; i < 3; i++) {
        g[i] = calloc(n[i] + 1, 4);
        g1[i] = calloc(n[i] + 1, 4);
        x[i] = doubles(in[i], n[i]);
        dir[i] = calloc(n[i] + 1, sizeof(double));
    }
    struct mm_attn_grad_item it[3] = { [1] = { a, g[0], g[1], g[2], dO, d.q, d.k, d.v, o, lse } };
    it[0] = it[2] = it[1];
    it[0].a.nq = it[0].a.nk = it[2].a.nk = 0; /* beside empty ones */
    it[0].dq = it[0].dk = it[0].dv = it[2].dk = it[2].dv = NULL;
    it[2].a.nq = 0;
    it[2].dq = NULL;
    assert_int_equal(mm_attention_grad_many(it, 3, pool), 0);
    it[1].dq = g1[0], it[1].dk = g1[1], it[1].dv = g1[2];
    assert_int_equal(mm_attention_grad_many(it + 1, 1, NULL), 0);
    for (int i = 0; i < 3; i++) { /* along one input at a time */
        double got = 0, abs = 0;
        assert_memory_equal(g[i], g1[i], n[i] * 4);
        for (size_t j = 0; j < n[i]; j++) {
            dir[i][j] = mm_rng_normal(r);
            got += (double)g[i][j] * dir[i][j];
            abs += fabs((double)g[i][j] * dir[i][j]);
        }
        const double h = 1e-4;
        const double want =
            (directional(&a, x, dir, n, dO, h) - directional(&a, x, dir, n, dO, -h)) / (2 * h);
        KT_CHECK(fabs(got - want) <= 1e-5 * abs + 1e-6, "input %d, nq %zu nk %zu: %g, want %g", i,
                 a.nq, a.nk, got, want);
        memset(dir[i], 0, n[i] * sizeof(double));
    }
    for (int i = 0; i < 3; i++) {
        free(g[i]);
        free(g1[i]);
        free(dir[i]);
        free((void *)x[i]);
    }
    free(o);
    free(lse);
    free(dO);
    data_free(&d);
}

static void test_grad(void **state)
{
    struct mm_pool *p = mm_pool_new(3);
    struct mm_rng r;

    (void)state;
    mm_rng_seed(&r, 2);
    for (size_t i = 0; i < CASES; i++)
        if (cases[i].nk && cases[i].nk < 1000)
            for (int alibi = 0; alibi < 2; alibi++)
                check_grad(cases[i], alibi, p, &r);
    mm_pool_free(p);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_grad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return kt_run_tables(run);
}
