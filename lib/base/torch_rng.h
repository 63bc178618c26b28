/* torch_rng.h: the numbers torch's CPU generator draws from a seed.
 *
 * MT19937 (Matsumoto, Nishimura 1998) and torch 2's ways from its words to
 * uniforms, normals, integers and permutations.  Uniforms and integers are
 * exact; normals agree to the last bits of log, sin and cos.
 */
#ifndef MM_BASE_TORCH_RNG_H
#define MM_BASE_TORCH_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

struct mm_torch_rng {
    uint32_t state[624];
    int next;      /* first unused word; 624: make new ones */
    bool cached;   /* the second value of a scalar Box-Muller is kept */
    double normal;
};

/* mm_torch_rng_seed: torch.manual_seed(seed): its low 32 bits count. */
void mm_torch_rng_seed(struct mm_torch_rng *r, int64_t seed);
uint32_t mm_torch_rng_word(struct mm_torch_rng *r);

/* Fills of out[n] as torch.rand, torch.randn of dtype float32 and float64. */
void mm_torch_rng_rand(struct mm_torch_rng *r, float *out, size_t n);
void mm_torch_rng_rand_f64(struct mm_torch_rng *r, double *out, size_t n);
void mm_torch_rng_randn(struct mm_torch_rng *r, float *out, size_t n);
void mm_torch_rng_randn_f64(struct mm_torch_rng *r, double *out, size_t n);

/* mm_torch_rng_randn_half: torch.randn of dtype float16 or bfloat16 (type MM_F16 or
 * MM_BF16), the values widened. */
void mm_torch_rng_randn_half(struct mm_torch_rng *r, enum mm_dtype type, float *out, size_t n);

/* mm_torch_rng_randint: torch.randint(low, high), low < high. */
void mm_torch_rng_randint(struct mm_torch_rng *r, int64_t *out, size_t n, int64_t low,
                          int64_t high);

/* mm_torch_rng_randperm: torch.randperm(n), n < 2^32 / 20. */
void mm_torch_rng_randperm(struct mm_torch_rng *r, int64_t *out, size_t n);

#endif
