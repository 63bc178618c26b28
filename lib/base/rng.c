/* rng.c: xoshiro256** 1.0 (Blackman, Vigna 2018), seeded by splitmix64. */
#include "base/rng.h"

#include <math.h>

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void mm_rng_seed(struct mm_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = (seed += UINT64_C(0x9E3779B97F4A7C15));

        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t mm_rng_u64(struct mm_rng *r)
{
    uint64_t *s = r->s;
    const uint64_t result = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

double mm_rng_uniform(struct mm_rng *r)
{
    return (double)(mm_rng_u64(r) >> 11) * 0x1p-53;
}

uint64_t mm_rng_below(struct mm_rng *r, uint64_t n)
{
    const uint64_t low = -n % n; /* 2^64 mod n: values below it are too many */
    uint64_t x;

    do
        x = mm_rng_u64(r);
    while (x < low);
    return x % n;
}

double mm_rng_normal(struct mm_rng *r)
{
    const double u = 1.0 - mm_rng_uniform(r); /* (0,1] */
    const double v = mm_rng_uniform(r);

    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t mm_hash64(const void *p, unsigned long n)
{
    return mm_hash64_add(UINT64_C(0xCBF29CE484222325), p, n);
}

uint64_t mm_hash64_add(uint64_t h, const void *p, unsigned long n)
{
    const unsigned char *u = p;

    for (unsigned long i = 0; i < n; i++)
        h = (h ^ u[i]) * UINT64_C(0x100000001B3);
    return h;
}
