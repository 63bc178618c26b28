/* rope.h: rotary position embedding (Su et al. 2021) and its scalings.
 *
 * inv_freq[i] = theta^(-2i/d), i < d/2, then as each kind of rope_scaling has
 * it (llava.md 7.6).  The angle is the f32 product pos * inv_freq, as the
 * reference computes it.
 */
#ifndef MM_NN_ROPE_H
#define MM_NN_ROPE_H

#include <stddef.h>
#include <stdint.h>

enum mm_rope_kind { MM_ROPE_PLAIN, MM_ROPE_LINEAR, MM_ROPE_DYNAMIC, MM_ROPE_LLAMA3, MM_ROPE_YARN };

struct mm_rope_spec {
    enum mm_rope_kind kind;
    size_t dim;              /* rotated part of a head, even */
    double theta;
    double factor;
    double low, high;        /* llama3: low_freq_factor, high_freq_factor */
    double beta_fast, beta_slow, attention_factor; /* yarn; attention_factor 0: 0.1 ln(factor) + 1 */
    int64_t original;        /* context length the model was trained with */
    const float *divisors;   /* [dim/2] of a GGUF's rope_freqs.weight, or NULL */
};

/* mm_rope_frequencies: inv_freq[dim/2].  length: positions so far with the new
 * ones (dynamic only).  Returns what cos and sin are multiplied by (yarn; else 1). */
float mm_rope_frequencies(float *inv_freq, const struct mm_rope_spec *s, size_t length);

/* mm_rope_table: cos and sin [n][dim/2] of positions first .. first + n - 1. */
void mm_rope_table(float *cos, float *sin, const float *inv_freq, size_t dim, float mult,
                   size_t first, size_t n);

#endif
