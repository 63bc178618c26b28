/* rng.h: random numbers from a documented generator.
 *
 * mm_rng: xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64.  The same
 * seed gives the same stream on every machine.
 */
#ifndef MM_BASE_RNG_H
#define MM_BASE_RNG_H

#include <stdint.h>

struct mm_rng {
    uint64_t s[4];
};

void mm_rng_seed(struct mm_rng *r, uint64_t seed);
uint64_t mm_rng_u64(struct mm_rng *r);
double mm_rng_uniform(struct mm_rng *r);               /* [0,1), 53 bits */
uint64_t mm_rng_below(struct mm_rng *r, uint64_t n);   /* 0..n-1, unbiased, n > 0 */
double mm_rng_normal(struct mm_rng *r);                /* N(0,1), Box-Muller, no cache */

/* mm_hash64: FNV-1a of bytes, for names and fingerprints (not against attack). */
uint64_t mm_hash64(const void *p, unsigned long n);
uint64_t mm_hash64_add(uint64_t h, const void *p, unsigned long n); /* h: of what comes before */

#endif
