/* fuzz_image: any bytes through mm_image_decode and the conversions.
 *
 * covers: lib/media/exif.c lib/media/jpeg.c lib/media/libav.c lib/media/png.c
 * covers: lib/media/webp.c lib/media/whole.c
 * seeds: tests/golden/image/decode-png tests/golden/image/decode-jpeg
 * seeds: tests/golden/image/decode-webp tests/golden/image/decode-exif tests/fuzz/seeds/image
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/codec.h"
#include "media/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written as PNG and read again. */
static void round_trip(const struct mm_image *im)
{
    struct mm_err e = { 0 };
    struct mm_image back;
    unsigned char *png;
    size_t n;

    if (im->mode > MM_IMG_RGBA || im->w > 256 || im->h > 256 || mm_image_png(&png, &n, im, &e) != 0)
        return;
    if (mm_image_decode(&back, png, n, "again", 0, &e) != 0 || back.mode != im->mode ||
        memcmp(back.px, im->px,
               (size_t)im->w * (size_t)im->h * (size_t)mm_image_channels(im->mode)) != 0)
        abort();
    mm_image_free(&back);
    free(png);
}

/* Decoding and preparing in one gives the same pixels. */
static void in_one_step(const uint8_t *data, size_t size, const struct mm_preprocess *p,
                        const struct mm_pixels *want)
{
    struct mm_err e = { 0 };
    struct mm_pixels got;

    if (mm_preprocess_decode(&got, data, size, "fuzz", true, p, &e) != 0 ||
        got.size_h != want->size_h || got.size_w != want->size_w ||
        memcmp(got.px, want->px, (size_t)got.size_h * (size_t)got.size_w * 3 * sizeof(float)) != 0)
        abort();
    mm_pixels_free(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    struct mm_preprocess p;
    struct mm_pixels out;
    struct mm_image im;

    (void)mm_exif_orientation(data, size);
    if (mm_image_decode(&im, data, size, "fuzz", 1 << 20, &e) != 0) {
        if (e.code == 0 || e.msg[0] == '\0' || im.px)
            abort();
        return 0;
    }
    round_trip(&im);
    mm_preprocess_clip(&p, 8);
    if (mm_image_upright(&im, &e) == 0 && mm_preprocess_run(&out, &im, &p, &e) == 0) {
        in_one_step(data, size, &p, &out);
        mm_pixels_free(&out);
    }
    mm_image_free(&im);
    return 0;
}
