/* fuzz_preconf: JSON settings through every reader of preconf.h, and a small
 * picture through what they say.
 *
 * covers: lib/media/preconf.c
 * seeds: tests/fuzz/seeds/preconf tests/golden/image/clip-42/model tests/golden/image/imagenet/model
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "media/preconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int from_fn(struct mm_preprocess *, const json_t *, struct mm_err *);

static from_fn *const readers[] = { mm_preprocess_from_hf, mm_preprocess_from_open_clip,
                                    mm_preprocess_from_timm, mm_preprocess_from_llava,
                                    mm_preprocess_from_gguf };

static void run(const struct mm_preprocess *p)
{
    unsigned char px[3 * 5 * 4] = { 1, 2, 3 };
    const struct mm_image im = { .mode = MM_IMG_RGB, .w = 5, .h = 4, .px = px };
    struct mm_err e = { 0 };
    struct mm_pixels out;

    if (p->size > 64 || p->crop > 64 || p->aspect == MM_ASPECT_ANYRES)
        return; /* large, not wrong */
    if (mm_preprocess_run(&out, &im, p, &e) == 0)
        mm_pixels_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    json_t *config;

    if (mm_json_load(&config, (const char *)data, size, "fuzz", &e) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++) {
        struct mm_preprocess p;
        mm_err_clear(&e);
        mm_preprocess_clip(&p, 42);
        if (readers[i](&p, config, &e) == 0)
            run(&p);
        else if (e.code == 0 || e.msg[0] == '\0')
            abort();
    }
    json_decref(config);
    return 0;
}
