/* bench_image.c: a 12-megapixel JPEG to pixels: decoding, and what comes after.
 *
 * The preparation for CLIP (crop) and LLaVA (pad), decoding included, as a multiple
 * of what libjpeg takes to decode into memory, and the vector passes of the resize
 * beside the scalar ones.  Best of several.
 */
#include <stdio.h>

#include <jpeglib.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/progress.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "media/preprocess.h"
#include "media/resize.h"

enum { W = 4000, H = 3000, ROUNDS = 9 };

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

/* libjpeg alone, as it comes out of the box; into px whole or row over row. */
static double decode(const unsigned char *jpeg, unsigned long n, unsigned char *px, bool all)
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    const double start = mm_now();

    c.err = jpeg_std_error(&err);
    jpeg_create_decompress(&c);
    jpeg_mem_src(&c, jpeg, n);
    jpeg_read_header(&c, TRUE);
    jpeg_start_decompress(&c);
    while (c.output_scanline < c.output_height) {
        JSAMPROW row = px + (all ? (size_t)c.output_scanline * W * 3 : 0);
        jpeg_read_scanlines(&c, &row, 1);
    }
    jpeg_finish_decompress(&c);
    jpeg_destroy_decompress(&c);
    return mm_now() - start;
}

static double prepare(const unsigned char *jpeg, unsigned long n, enum mm_aspect aspect)
{
    struct mm_preprocess p;
    struct mm_err e = { 0 };
    struct mm_pixels out;
    const double start = mm_now();

    mm_preprocess_clip(&p, 336);
    p.aspect = aspect;
    check(mm_preprocess_decode(&out, jpeg, n, "picture", false, &p, &e), &e);
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
    struct mm_image im = { .mode = MM_IMG_RGB, .w = W, .h = H, .px = px };
    unsigned long n = 0;
    double whole = 0, rows = 0, crop = 0, pad = 0, scalar = 0, vector = 0;

    if (!px)
        return 70;
    draw(px);
    unsigned char *jpeg = encode(&n, px);
    for (int i = 0; i < ROUNDS; i++) {
        least(&whole, decode(jpeg, n, px, true));
        least(&rows, decode(jpeg, n, px, false));
        least(&crop, prepare(jpeg, n, MM_ASPECT_CROP));
        least(&pad, prepare(jpeg, n, MM_ASPECT_PAD));
        least(&scalar, resize(&im, 0));
        least(&vector, resize(&im, mm_cpu_detect()));
    }
    printf("JPEG of %.1f MB, %d x %d: libjpeg %.1f ms (%.1f ms row by row); decoded, resized and "
           "normalised to 336: crop %.1f ms, %.2f x libjpeg's time (%.2f x), pad %.1f ms, %.2f x "
           "(%.2f x)\n", (double)n / 1e6, W, H, whole * 1e3, rows * 1e3, crop * 1e3, crop / whole,
           crop / rows, pad * 1e3, pad / whole, pad / rows);
    printf("resize to 448 x 336: scalar %.1f ms, this machine's %.1f ms, %.1f x as fast\n",
           scalar * 1e3, vector * 1e3, scalar / vector);
    free(px);
    free(jpeg);
    return 0;
}
