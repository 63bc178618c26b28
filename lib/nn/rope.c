/* rope.c: inverse frequencies and cos/sin tables of rotary embeddings.
 *
 * The order of f32 roundings is the reference's (transformers): the power and
 * the quotient are rounded to f32 one after the other.
 */
#include "nn/rope.h"

#include <math.h>

/* c(r) of yarn: the pair whose wave turns r times within the original context */
static double yarn_dim(const struct mm_rope_spec *s, double turns)
{
    return (double)s->dim * log((double)s->original / (turns * 2.0 * M_PI)) / (2.0 * log(s->theta));
}

static float yarn(float *inv_freq, const struct mm_rope_spec *s)
{
    const double lo = fmax(floor(yarn_dim(s, s->beta_fast)), 0.0);
    double hi = fmin(ceil(yarn_dim(s, s->beta_slow)), (double)s->dim - 1.0);

    if (hi == lo)
        hi += 0.001;
    for (size_t i = 0; i < s->dim / 2; i++) {
        const double r = fmin(fmax(((double)i - lo) / (hi - lo), 0.0), 1.0);
        const float ramp = (float)r;
        const float interpolated = 1.0f / ((float)s->factor * (1.0f / inv_freq[i]));

        inv_freq[i] = interpolated * ramp + inv_freq[i] * (1.0f - ramp);
    }
    return (float)(s->attention_factor > 0 ? s->attention_factor : 0.1 * log(s->factor) + 1.0);
}

static void llama3(float *inv_freq, const struct mm_rope_spec *s)
{
    const double low_wave = (double)s->original / s->low;
    const double high_wave = (double)s->original / s->high;

    for (size_t i = 0; i < s->dim / 2; i++) {
        const double wave = 2.0 * M_PI / inv_freq[i];

        if (wave > low_wave) {
            inv_freq[i] = inv_freq[i] / (float)s->factor;
        } else if (wave >= high_wave) {
            const double smooth = ((double)s->original / wave - s->low) / (s->high - s->low);

            inv_freq[i] = (float)((1.0 - smooth) * inv_freq[i] / s->factor + smooth * inv_freq[i]);
        }
    }
}

float mm_rope_frequencies(float *inv_freq, const struct mm_rope_spec *s, size_t length)
{
    const double d = (double)s->dim;
    double theta = s->theta;
    float mult = 1.0f;

    if (s->kind == MM_ROPE_DYNAMIC && (double)length > (double)s->original)
        theta *= pow(s->factor * (double)length / (double)s->original - (s->factor - 1.0),
                     d / (d - 2.0));
    for (size_t i = 0; i < s->dim / 2; i++) {
        const float exponent = (float)(2 * i) / (float)s->dim;

        inv_freq[i] = 1.0f / (float)pow(theta, (double)exponent);
    }
    if (s->kind == MM_ROPE_LINEAR)
        for (size_t i = 0; i < s->dim / 2; i++)
            inv_freq[i] /= (float)s->factor;
    else if (s->kind == MM_ROPE_LLAMA3)
        llama3(inv_freq, s);
    else if (s->kind == MM_ROPE_YARN)
        mult = yarn(inv_freq, s);
    if (s->divisors)
        for (size_t i = 0; i < s->dim / 2; i++)
            inv_freq[i] /= s->divisors[i];
    return mult;
}

void mm_rope_table(float *cos_t, float *sin_t, const float *inv_freq, size_t dim, float mult,
                   size_t first, size_t n)
{
    const size_t half = dim / 2;

    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < half; i++) {
            const float angle = (float)(first + t) * inv_freq[i];

            cos_t[t * half + i] = (float)cos((double)angle) * mult;
            sin_t[t * half + i] = (float)sin((double)angle) * mult;
        }
}
