/* vec.c: vector functions in plain C: the reference of the variants. */
#include "kernel/vec.h"

#include <math.h>

static float dot(const float *a, const float *b, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += a[i] * b[i];
    return s;
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scale(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void mul(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void silu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1 + expf(-x[i]));
}

static void silu_mul(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] / (1 + expf(-a[i])) * b[i];
}

static void gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678f));
}

static void gelu_tanh(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float u = 0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        y[i] = 0.5f * x[i] * (1 + tanhf(u));
    }
}

static void quick_gelu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1 + expf(-1.702f * x[i]));
}

static float max(const float *x, size_t n)
{
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static float exp_sum(float *y, const float *x, float m, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += y[i] = expf(x[i] - m);
    return s;
}

static float exp2_sum(float *y, const float *x, float m, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++)
        s += y[i] = exp2f(x[i] - m);
    return s;
}

/* Zhang, Sennrich 2019, eq. 4 */
static void rmsnorm(float *y, const float *x, const float *w, float eps, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    const float r = 1 / sqrtf((float)(s / (double)n) + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * r * (w ? w[i] : 1);
}

/* Ba 2016, eq. 3: the mean, and *v the variance times n */
static double moments(const float *x, size_t n, double *v)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)x[i];
    const double mean = s / (double)n;
    *v = 0;
    for (size_t i = 0; i < n; i++)
        *v += ((double)x[i] - mean) * ((double)x[i] - mean);
    return mean;
}

/* Ba 2016, eq. 4 */
static void layernorm(float *y, const float *x, const float *w, const float *b, float eps, size_t n)
{
    double v;
    const double mean = moments(x, n, &v);
    const float r = 1 / sqrtf((float)(v / (double)n) + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - (float)mean) * r * (w ? w[i] : 1) + (b ? b[i] : 0);
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static void silu_slope(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = sigmoid(x[i]);
        y[i] = s * (1 + x[i] * (1 - s));
    }
}

static void quick_gelu_slope(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = sigmoid(1.702f * x[i]);
        y[i] = s * (1 + 1.702f * x[i] * (1 - s));
    }
}

/* Phi(x) + x phi(x) */
static void gelu_slope(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * (1 + erff(x[i] * 0.70710678f)) +
               x[i] * 0.39894228f * expf(-0.5f * x[i] * x[i]);
}

/* With xh = (x - mean) r and g = dy w:  dx = (g - G - xh mean(g xh)) r, where G is mean(g),
 * or 0 in RMSNorm, whose mean is 0 too. */
static void norm_back(float *dx, float *dw, float *db, const float *dy, const float *x,
                      const float *w, double mean, double r, size_t n, bool rms, bool add)
{
    double sg = 0, sgx = 0;

    for (size_t i = 0; i < n; i++) {
        const double g = (double)dy[i] * (w ? (double)w[i] : 1);
        sg += g;
        sgx += g * ((double)x[i] - mean) * r;
    }
    sg = rms ? 0 : sg / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)dy[i] * (w ? (double)w[i] : 1), xh = ((double)x[i] - mean) * r;
        if (dw)
            dw[i] += dy[i] * (float)xh;
        if (db)
            db[i] += dy[i];
        dx[i] = (add ? dx[i] : 0) + (float)((g - sg - xh * sgx / (double)n) * r);
    }
}

static void rmsnorm_back(float *dx, float *dw, float *db, const float *dy, const float *x,
                         const float *w, float eps, size_t n, bool add)
{
    double s = 0;

    (void)db;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    norm_back(dx, dw, NULL, dy, x, w, 0, 1 / sqrt(s / (double)n + (double)eps), n, true, add);
}

static void layernorm_back(float *dx, float *dw, float *db, const float *dy, const float *x,
                           const float *w, float eps, size_t n, bool add)
{
    double v;
    const double mean = moments(x, n, &v);

    norm_back(dx, dw, db, dy, x, w, mean, 1 / sqrt(v / (double)n + (double)eps), n, false, add);
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = mm_f32_to_f16(x[i]);
}

static void to_bf16(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = mm_f32_to_bf16(x[i]);
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = mm_f16_to_f32(x[i]);
}

void mm_vec_init_c(struct mm_kern *k)
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
    k->exp2_sum = exp2_sum;
    k->rmsnorm = rmsnorm;
    k->layernorm = layernorm;
    k->silu_slope = silu_slope;
    k->quick_gelu_slope = quick_gelu_slope;
    k->gelu_slope = gelu_slope;
    k->rmsnorm_back = rmsnorm_back;
    k->layernorm_back = layernorm_back;
    k->to_f16 = to_f16;
    k->to_bf16 = to_bf16;
    k->from_f16 = from_f16;
}
