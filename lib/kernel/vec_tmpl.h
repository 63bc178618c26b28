/* vec_tmpl.h: the vector functions once for every ISA.  The including file
 * defines `vec` (a vector of VW floats) and v_* on it:
 *   v_set(f) v_load(p) v_loadn(p, n) v_store(p, v) v_storen(p, v, n)  n < VW, rest 0
 *   v_add v_sub v_mul v_div v_fma(a, b, c) v_max v_min                max(a, b): b if NaN
 *   v_sum(v) v_top(v)                                                 across lanes
 *   v_round(v) v_pow2(p, n)                                           p * 2^n, n integral
 *   v_keep(v, t, lo)                                                  0 where t < lo, else v
 */
#include <math.h>

/* Cody, Waite 1980; coefficients of Cephes' expf.  NaN passes the clamps.  Below
 * the smallest normal float it is 0: subnormal results cost a hundred cycles,
 * and a mask of -INFINITY would meet them all the time. */
static inline __attribute__((always_inline)) vec v_exp(vec t)
{
    const vec x = v_min(v_set(89.0f), v_max(v_set(-87.336544f), t));
    const vec n = v_round(v_mul(x, v_set(1.44269504f)));
    const vec r = v_fma(n, v_set(2.12194440e-4f), v_fma(n, v_set(-0.693359375f), x));
    vec p = v_set(1.9875691500e-4f);
    p = v_fma(p, r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    p = v_fma(p, v_mul(r, r), v_add(r, v_set(1)));
    return v_keep(v_pow2(p, n), t, -87.336544f);
}

/* Odd rational approximation on [-4, 4], as in Eigen's erf. */
static inline __attribute__((always_inline)) vec v_erf(vec x)
{
    x = v_min(v_set(4), v_max(v_set(-4), x));
    const vec z = v_mul(x, x);
    vec p = v_set(-2.72614225801306e-10f);
    p = v_fma(p, z, v_set(2.77068142495902e-08f));
    p = v_fma(p, z, v_set(-2.10102402082508e-06f));
    p = v_fma(p, z, v_set(-5.69250639462346e-05f));
    p = v_fma(p, z, v_set(-7.34990630326855e-04f));
    p = v_fma(p, z, v_set(-2.95459980854025e-03f));
    p = v_fma(p, z, v_set(-1.60960333262415e-02f));
    vec q = v_set(-1.45660718464996e-05f);
    q = v_fma(q, z, v_set(-2.13374055278905e-04f));
    q = v_fma(q, z, v_set(-1.68282697438203e-03f));
    q = v_fma(q, z, v_set(-7.37332916720468e-03f));
    q = v_fma(q, z, v_set(-1.42647390514189e-02f));
    return v_div(v_mul(x, p), q);
}

/* x / (1 + exp(-a x)) */
static inline __attribute__((always_inline)) vec v_swish(vec x, vec e)
{
    return v_div(x, v_add(v_set(1), v_exp(v_sub(v_set(0), e))));
}

#define ZIP(name, expr)                                                                            \
    static void name(float *y, const float *pa, const float *pb, size_t n)                         \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + VW <= n; i += VW) {                                                             \
            const vec a = v_load(pa + i), b = v_load(pb + i);                                      \
            v_store(y + i, expr);                                                                  \
        }                                                                                          \
        if (i < n) {                                                                               \
            const vec a = v_loadn(pa + i, n - i), b = v_loadn(pb + i, n - i);                      \
            v_storen(y + i, expr, n - i);                                                          \
        }                                                                                          \
    }

#define MAP(name, expr)                                                                            \
    static void name(float *y, const float *px, size_t n)                                          \
    {                                                                                              \
        size_t i = 0;                                                                              \
        for (; i + VW <= n; i += VW) {                                                             \
            const vec x = v_load(px + i);                                                          \
            v_store(y + i, expr);                                                                  \
        }                                                                                          \
        if (i < n) {                                                                               \
            const vec x = v_loadn(px + i, n - i);                                                  \
            v_storen(y + i, expr, n - i);                                                          \
        }                                                                                          \
    }

static inline __attribute__((always_inline)) vec gelu_tanh1(vec x)
{
    /* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) */
    const vec cube = v_mul(v_mul(v_mul(v_set(0.044715f), x), x), x);
    return v_swish(x, v_mul(v_set(2 * 0.79788456f), v_add(x, cube)));
}

static inline __attribute__((always_inline)) vec gelu1(vec x)
{
    const vec e = v_erf(v_mul(x, v_set(0.70710678f)));
    return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1), e));
}

ZIP(add, v_add(a, b))
ZIP(mul, v_mul(a, b))
ZIP(silu_mul, v_mul(v_swish(a, a), b))
MAP(silu, v_swish(x, x))
MAP(quick_gelu, v_swish(x, v_mul(v_set(1.702f), x)))
MAP(gelu, gelu1(x))
MAP(gelu_tanh, gelu_tanh1(x))

static float dot(const float *a, const float *b, size_t n)
{
    vec s[4] = { v_set(0), v_set(0), v_set(0), v_set(0) };
    size_t i = 0;

    for (; i + 4 * VW <= n; i += 4 * VW)
        for (size_t j = 0; j < 4; j++)
            s[j] = v_fma(v_load(a + i + j * VW), v_load(b + i + j * VW), s[j]);
    for (; i + VW <= n; i += VW)
        s[0] = v_fma(v_load(a + i), v_load(b + i), s[0]);
    if (i < n)
        s[0] = v_fma(v_loadn(a + i, n - i), v_loadn(b + i, n - i), s[0]);
    return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        v_store(y + i, v_fma(v_set(a), v_load(x + i), v_load(y + i)));
    if (i < n)
        v_storen(y + i, v_fma(v_set(a), v_loadn(x + i, n - i), v_loadn(y + i, n - i)), n - i);
}

static void scale(float *y, float a, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        v_store(y + i, v_mul(v_set(a), v_load(x + i)));
    if (i < n)
        v_storen(y + i, v_mul(v_set(a), v_loadn(x + i, n - i)), n - i);
}

static float max(const float *x, size_t n)
{
    vec m = v_set(-INFINITY);
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        m = v_max(v_load(x + i), m);
    float top = v_top(m);
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

static float exp_sum(float *y, const float *x, float m, size_t n)
{
    vec s = v_set(0);
    size_t i = 0;

    for (; i + VW <= n; i += VW) {
        const vec e = v_exp(v_sub(v_load(x + i), v_set(m)));
        v_store(y + i, e);
        s = v_add(s, e);
    }
    if (i < n) {
        v_storen(y + i, v_exp(v_sub(v_loadn(x + i, n - i), v_set(m))), n - i);
        s = v_add(s, v_loadn(y + i, n - i));
    }
    return v_sum(s);
}

/* y = (x - mean) r w + b */
static inline __attribute__((always_inline)) vec normed(vec x, float mean, float r, const float *w,
                                                        const float *b, size_t n)
{
    vec y = v_mul(v_sub(x, v_set(mean)), v_set(r));
    if (w)
        y = v_mul(y, n < VW ? v_loadn(w, n) : v_load(w));
    if (b)
        y = v_add(y, n < VW ? v_loadn(b, n) : v_load(b));
    return y;
}

static void norm(float *y, const float *x, float mean, float r, const float *w, const float *b,
                 size_t n)
{
    size_t i = 0;
    for (; i + VW <= n; i += VW)
        v_store(y + i, normed(v_load(x + i), mean, r, w ? w + i : w, b ? b + i : b, VW));
    if (i < n)
        v_storen(y + i, normed(v_loadn(x + i, n - i), mean, r, w ? w + i : w, b ? b + i : b, n - i),
                 n - i);
}

/* Sum of (x - mean)^2 */
static float square_sum(const float *x, float mean, size_t n)
{
    vec s[2] = { v_set(0), v_set(0) };
    size_t i = 0;

    for (; i + 2 * VW <= n; i += 2 * VW)
        for (size_t j = 0; j < 2; j++) {
            const vec d = v_sub(v_load(x + i + j * VW), v_set(mean));
            s[j] = v_fma(d, d, s[j]);
        }
    float sum = v_sum(v_add(s[0], s[1]));
    for (; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

static void rmsnorm(float *y, const float *x, const float *w, float eps, size_t n)
{
    const float r = 1 / sqrtf(square_sum(x, 0, n) / (float)n + eps);
    norm(y, x, 0, r, w, NULL, n);
}

static void layernorm(float *y, const float *x, const float *w, const float *b, float eps, size_t n)
{
    vec s = v_set(0);
    size_t i = 0;

    for (; i + VW <= n; i += VW)
        s = v_add(s, v_load(x + i));
    if (i < n)
        s = v_add(s, v_loadn(x + i, n - i));
    const float mean = v_sum(s) / (float)n;
    norm(y, x, mean, 1 / sqrtf(square_sum(x, mean, n) / (float)n + eps), w, b, n);
}

static void vec_init(struct mm_kern *k)
{
    k->dot = dot;
    k->axpy = axpy;
    k->scale = scale;
    k->add = add;
    k->mul = mul;
    k->silu = silu;
    k->silu_mul = silu_mul;
    k->gelu = gelu;
    k->gelu_tanh = gelu_tanh;
    k->quick_gelu = quick_gelu;
    k->max = max;
    k->exp_sum = exp_sum;
    k->rmsnorm = rmsnorm;
    k->layernorm = layernorm;
    k->to_f16 = to_f16;
    k->to_bf16 = to_bf16;
}
