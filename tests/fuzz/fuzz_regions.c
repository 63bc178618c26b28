/* fuzz_regions: Visual Genome's region descriptions, an array or lines.
 *
 * covers: lib/train/regions.c
 * seeds: tests/golden/train/regions/regions.json tests/fuzz/seeds/regions
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "train/regions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int memfd_create(const char *name, unsigned flags);

static const struct mm_tok *tokenizer(void)
{
    static struct mm_tok *t;
    struct mm_err e = { 0 };

    if (!t && mm_tok_open(&t, "tests/golden/train/regions/model/tokenizer.json", &e) < 0)
        abort();
    return t;
}

/* What the header promises of a picture's regions. */
static void check(const struct mm_regions *r, size_t i)
{
    size_t n;
    const struct mm_region *v = mm_regions_of(r, i, &n);

    if (n == 0 || v[0].box != 0 || mm_regions_image(r, i)[0] == '\0')
        abort();
    for (size_t k = 0; k < n; k++) {
        if (!isfinite(v[k].x + v[k].y) || !(v[k].w > 0) || !(v[k].h > 0) || v[k].phrase < 0 ||
            (size_t)v[k].phrase >= mm_regions_texts(r)->n)
            abort();
        if (k > 0 && v[k].box != v[k - 1].box && v[k].box != v[k - 1].box + 1)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mm_texts texts = { .tok = tokenizer(), .context = 12, .vocab = 300 };
    struct mm_regions *r = NULL;
    struct mm_err e = { 0 };
    char path[32], *paths[] = { path };
    const int fd = memfd_create("fuzz", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (mm_regions_open(&r, paths, 1, &texts, &e) == 0) {
        if (mm_regions_count(r) == 0)
            abort();
        for (size_t i = 0; i < mm_regions_count(r); i++)
            check(r, i);
    } else if (e.code == 0 || e.msg[0] == '\0') {
        abort();
    }
    mm_regions_free(r);
    close(fd);
    return 0;
}
