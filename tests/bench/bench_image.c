/* bench_image.c: a 12-megapixel JPEG to pixels: decoding, and what comes after.
 *
 * The preparation for CLIP (crop) and LLaVA (pad) as a multiple of decoding,
 * and the vector passes of the resize beside the scalar ones.  Best of several.
 */
#include <stdio.h>

#include <jpeglib.h>
#include <stdlib.h>

#include "base/progress.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "media/preprocess.h"
#include "media/resize.h"

enum { W = 4000, H = 3000, ROUNDS = 5 };

static void check(int rc, const struct mm_err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_image: %s\n", e->msg);
    exit(70);
}

/* Smooth shapes and some noise: about the size a camera writes. */
static void draw(unsigned char *px)
{
    struct mm_rng r;

    mm_rng_seed(&r, 0);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++, px += 3) {
            const int noise = (int)(mm_rng_u64(&r) & 31);
            for (int c = 0; c < 3; c++)
                px[c] = (unsigned char)(((x / 7 + y / 5 * (c + 1)) & 127) + noise);
        }
}

static unsigned char *encode(unsigned long *n, unsigned char *px)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *out = NULL;

    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &out, n);
    c.image_width = W;
    c.image_height = H;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 85, TRUE);
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < H) {
        JSAMPROW row = px + (size_t)c.next_scanline * W * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return out;
}

static double prepare(const struct mm_image *im, enum mm_aspect aspect)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    struct mm_pixels out;
    const double start = mm_now();

    mm_preprocess_clip(&p, 336);
    p.aspect = aspect;
    check(mm_preprocess_run(&out, im, &p, &e), &e);
    mm_pixels_free(&out);
    return mm_now() - start;
}

static double resize(const struct mm_image *im, unsigned cpu)
{
    struct mm_err e = { 0 };
    struct mm_image out;
    const double start = mm_now();

    check(mm_resize_with(cpu, &out, im, 448, 336, MM_BICUBIC, &e), &e);
    mm_image_free(&out);
    return mm_now() - start;
}

static void least(double *best, double v)
{
    if (*best == 0 || v < *best)
        *best = v;
}

int main(void)
{
    unsigned char *px = malloc((size_t)W * H * 3);
    unsigned long n = 0;
    double decode = 0, crop = 0, pad = 0, scalar = 0, vector = 0;

    if (!px)
        return 70;
    draw(px);
    unsigned char *jpeg = encode(&n, px);
    for (int i = 0; i < ROUNDS; i++) {
        struct mm_err e = { 0 };
        struct mm_image im;
        const double start = mm_now();

        check(mm_image_decode(&im, jpeg, n, "picture", 0, &e), &e);
        least(&decode, mm_now() - start);
        least(&crop, prepare(&im, MM_ASPECT_CROP));
        least(&pad, prepare(&im, MM_ASPECT_PAD));
        least(&scalar, resize(&im, 0));
        least(&vector, resize(&im, mm_cpu_detect()));
        mm_image_free(&im);
    }
    printf("JPEG of %.1f MB, %d x %d: decode %.1f ms; crop to 336 %.2f x that, pad %.2f x\n",
           (double)n / 1e6, W, H, decode * 1e3, crop / decode, pad / decode);
    printf("resize to 448 x 336: scalar %.1f ms, this machine's %.1f ms, %.1f x as fast\n",
           scalar * 1e3, vector * 1e3, scalar / vector);
    free(px);
    free(jpeg);
    return 0;
}
