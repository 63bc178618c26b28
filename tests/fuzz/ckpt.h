/* ckpt.h: what every fuzz target of a weights container does with its bytes. */
#ifndef MM_FUZZ_CKPT_H
#define MM_FUZZ_CKPT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "weights/ckpt.h"
#include "weights/gguf.h"

/* Read every byte that an entry promises. */
static inline unsigned touch(const struct mm_ckpt *ck)
{
    unsigned sum = 0;

    for (size_t i = 0; i < mm_ckpt_count(ck); i++) {
        const struct mm_ckpt_entry *const x = mm_ckpt_at(ck, i);
        const unsigned char *const p = x->t.data;
        const size_t n = mm_tensor_bytes(&x->t);
        if (mm_ckpt_lookup(ck, x->name) != x)
            abort();
        for (size_t k = 0; k < n; k++)
            sum += p[k];
    }
    for (size_t i = 0; mm_ckpt_warning(ck, i); i++)
        sum += (unsigned)strlen(mm_ckpt_warning(ck, i));
    return sum + (unsigned)mm_ckpt_fingerprint(ck);
}

/* Open size bytes in memory of exactly that size; *sum is used for nothing but
 * to keep the reads. */
static inline void fuzz_ckpt(const uint8_t *data, size_t size, void (*more)(const struct mm_ckpt *))
{
    static volatile unsigned sink;
    struct mm_err e = { 0 };
    struct mm_ckpt *ck = NULL;

    if (mm_ckpt_open_mem(&ck, data, size, "fuzz", &e) == 0) {
        sink += touch(ck);
        if (more)
            more(ck);
    } else if (e.code == 0 || strncmp(e.msg, "fuzz: ", 6) != 0 || ck)
        abort();
    mm_ckpt_close(ck);
}

#endif
