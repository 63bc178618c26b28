/* torch_rng.c: the numbers torch's CPU generator draws from a seed. */
#include "base/torch_rng.h"

#include <math.h>

enum { N = 624, M = 397, FILL = 16 };

static const double two_pi = 6.283185307179586;

void mm_torch_rng_seed(struct mm_torch_rng *r, int64_t seed)
{
    r->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N; i++)
        r->state[i] = UINT32_C(1812433253) * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
    r->next = N;
    r->cached = false;
    r->normal = 0.0;
}

static void refill(uint32_t *s)
{
    for (int i = 0; i < N; i++) {
        const uint32_t y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7FFFFFFF);

        s[i] = s[(i + M) % N] ^ (y >> 1) ^ ((y & 1) != 0 ? 0x9908B0DF : 0);
    }
}

uint32_t mm_torch_rng_word(struct mm_torch_rng *r)
{
    uint32_t y;

    if (r->next == N) {
        refill(r->state);
        r->next = 0;
    }
    y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680;
    y ^= (y << 15) & 0xEFC60000;
    return y ^ (y >> 18);
}

static uint64_t word64(struct mm_torch_rng *r)
{
    const uint64_t high = mm_torch_rng_word(r);

    return high << 32 | mm_torch_rng_word(r);
}

static double uniform64(struct mm_torch_rng *r)
{
    return (double)(word64(r) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* The low bits of a word: as many as the type's significand holds. */
static float uniform(struct mm_torch_rng *r, int bits)
{
    return ldexpf((float)(mm_torch_rng_word(r) & ((UINT32_C(1) << bits) - 1)), -bits);
}

void mm_torch_rng_rand(struct mm_torch_rng *r, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform(r, 24);
}

void mm_torch_rng_rand_f64(struct mm_torch_rng *r, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform64(r);
}

/* One normal in double; the other of the pair waits for the next call. */
static double scalar_normal(struct mm_torch_rng *r)
{
    double u1, u2, radius;

    if (r->cached) {
        r->cached = false;
        return r->normal;
    }
    u1 = uniform64(r);
    u2 = uniform64(r);
    radius = sqrt(-2.0 * log1p(-u2));
    r->normal = radius * sin(two_pi * u1);
    r->cached = true;
    return radius * cos(two_pi * u1);
}

static void fill16(float *x)
{
    for (int j = 0; j < 8; j++) {
        const float radius = sqrtf(-2.0F * logf(1.0F - x[j]));
        const float theta = (float)two_pi * x[j + 8];

        x[j] = radius * cosf(theta);
        x[j + 8] = radius * sinf(theta);
    }
}

void mm_torch_rng_randn(struct mm_torch_rng *r, float *out, size_t n)
{
    size_t i;

    if (n < FILL) {
        for (i = 0; i < n; i++)
            out[i] = (float)scalar_normal(r);
        return;
    }
    mm_torch_rng_rand(r, out, n);
    for (i = 0; i + FILL <= n; i += FILL)
        fill16(out + i);
    if (i < n) { /* the last 16 are drawn again */
        mm_torch_rng_rand(r, out + n - FILL, FILL);
        fill16(out + n - FILL);
    }
}

static void fill16_f64(double *x)
{
    for (int j = 0; j < 8; j++) {
        const double radius = sqrt(-2.0 * log(1.0 - x[j]));
        const double theta = two_pi * x[j + 8];

        x[j] = radius * cos(theta);
        x[j + 8] = radius * sin(theta);
    }
}

void mm_torch_rng_randn_f64(struct mm_torch_rng *r, double *out, size_t n)
{
    size_t i;

    if (n < FILL) {
        for (i = 0; i < n; i++)
            out[i] = scalar_normal(r);
        return;
    }
    mm_torch_rng_rand_f64(r, out, n);
    for (i = 0; i + FILL <= n; i += FILL)
        fill16_f64(out + i);
    if (i < n) {
        mm_torch_rng_rand_f64(r, out + n - FILL, FILL);
        fill16_f64(out + n - FILL);
    }
}

static float half_round(enum mm_dtype type, float x)
{
    return type == MM_F16 ? mm_f16_to_f32(mm_f32_to_f16(x)) : mm_bf16_to_f32(mm_f32_to_bf16(x));
}

static void rand_half(struct mm_torch_rng *r, enum mm_dtype type, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform(r, type == MM_F16 ? 11 : 8);
}

/* Each intermediate value is rounded to the type, as torch's templates do. */
static void fill16_half(enum mm_dtype type, float *x)
{
    for (int j = 0; j < 8; j++) {
        const float u1 = half_round(type, 1.0F - x[j]);
        const float square = half_round(type, -2.0F * half_round(type, logf(u1)));
        const float radius = half_round(type, sqrtf(square));
        const float theta = half_round(type, (float)two_pi * x[j + 8]);

        x[j] = half_round(type, radius * half_round(type, cosf(theta)));
        x[j + 8] = half_round(type, radius * half_round(type, sinf(theta)));
    }
}

void mm_torch_rng_randn_half(struct mm_torch_rng *r, enum mm_dtype type, float *out, size_t n)
{
    size_t i;

    if (n < FILL) {
        for (i = 0; i < n; i++)
            out[i] = half_round(type, (float)scalar_normal(r));
        return;
    }
    rand_half(r, type, out, n);
    for (i = 0; i + FILL <= n; i += FILL)
        fill16_half(type, out + i);
    if (i < n) {
        rand_half(r, type, out + n - FILL, FILL);
        fill16_half(type, out + n - FILL);
    }
}

void mm_torch_rng_randint(struct mm_torch_rng *r, int64_t *out, size_t n, int64_t low,
                          int64_t high)
{
    const uint64_t range = (uint64_t)high - (uint64_t)low;

    for (size_t i = 0; i < n; i++) {
        const uint64_t w = range >> 32 != 0 ? word64(r) : mm_torch_rng_word(r);

        out[i] = (int64_t)((uint64_t)low + w % range);
    }
}

void mm_torch_rng_randperm(struct mm_torch_rng *r, int64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (int64_t)i;
    for (size_t i = 0; i + 1 < n; i++) {
        const size_t j = i + mm_torch_rng_word(r) % (n - i);
        const int64_t t = out[i];

        out[i] = out[j];
        out[j] = t;
    }
}
