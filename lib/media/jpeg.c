/* jpeg.c: JPEG through libjpeg-turbo with its default (accurate integer) DCT
 * and smooth chroma, as Pillow uses it.  Four components are CMYK or YCCK and
 * stored inverted (Adobe).
 */
#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "media/codec.h"

/* A progressive file of a few KB can ask for thousands of passes over a huge picture. */
enum { max_scans = 500 };

enum { ROWS = 4 }; /* that a sink gets together */

struct reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const struct mm_codec_src *src;
    struct mm_image *im;
    unsigned char *rows; /* [ROWS] of a picture that goes to a sink */
    struct mm_err *e;
};

static void on_exit_error(j_common_ptr c)
{
    struct reader *r = c->client_data;
    char msg[JMSG_LENGTH_MAX];

    c->err->format_message(c, msg);
    mm_err_set(r->e, c->err->msg_code == JERR_OUT_OF_MEMORY ? MM_ENOMEM : MM_EDATA,
               "%s: JPEG, byte %zu: %s", r->src->what,
               r->src->n - (r->c.src ? r->c.src->bytes_in_buffer : 0), msg);
    longjmp(r->escape, 1);
}

static void on_message(j_common_ptr c)
{
    (void)c;
}

/* libjpeg completes a damaged picture with grey and only warns; we refuse it.
 * Its other warnings (stray bytes between markers, odd versions) lose nothing.
 */
static void on_emit(j_common_ptr c, int level)
{
    if (level >= 0)
        return;
    switch (c->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
        on_exit_error(c);
        break;
    default:
        break;
    }
}

static void on_progress(j_common_ptr c)
{
    struct reader *r = c->client_data;

    if (r->c.input_scan_number <= max_scans)
        return;
    mm_err_set(r->e, MM_EDATA, "%s: JPEG: more than %d scans", r->src->what, max_scans);
    longjmp(r->escape, 1);
}

static int orientation_of(const struct jpeg_decompress_struct *c)
{
    for (jpeg_saved_marker_ptr m = c->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return mm_exif_orientation(m->data, m->data_length);
    return 1;
}

static enum mm_image_mode set_output(struct jpeg_decompress_struct *c)
{
    switch (c->num_components) {
    case 1:
        c->out_color_space = JCS_GRAYSCALE;
        return MM_IMG_L;
    case 4:
        c->out_color_space = JCS_CMYK;
        return MM_IMG_CMYK;
    default:
        c->out_color_space = JCS_RGB;
        return MM_IMG_RGB;
    }
}

/* A few rows at a time to the sink; r->rows is freed by the caller. */
static void read_rows(struct reader *r)
{
    struct jpeg_decompress_struct *c = &r->c;
    const size_t row = (size_t)r->im->w * 3;

    while (c->output_scanline < c->output_height) {
        size_t n = 0;
        while (n < ROWS && c->output_scanline < c->output_height) {
            JSAMPROW p = r->rows + n * row;
            n += jpeg_read_scanlines(c, &p, 1);
        }
        r->src->sink->rows(r->src->sink->arg, r->rows, n);
    }
}

static void read_pixels(struct reader *r)
{
    struct jpeg_decompress_struct *c = &r->c;
    const size_t row = (size_t)r->im->w * (size_t)mm_image_channels(r->im->mode);

    while (c->output_scanline < c->output_height) {
        JSAMPROW p = r->im->px + (size_t)c->output_scanline * row;
        jpeg_read_scanlines(c, &p, 1);
        for (size_t i = 0; r->im->mode == MM_IMG_CMYK && i < row; i++)
            p[i] = (JSAMPLE)(255 - p[i]);
    }
}

/* *rows: the sink takes the picture, which then needs no memory of its own. */
static int start(struct reader *r, enum mm_image_mode mode, bool *rows)
{
    const int w = (int)r->c.image_width, h = (int)r->c.image_height;
    const struct mm_codec_sink *sink = r->src->sink;
    struct mm_image head = { .mode = mode, .w = w, .h = h, .orientation = orientation_of(&r->c) };
    int rc;

    *rows = false;
    if (sink && mode == MM_IMG_RGB &&
        ((rc = mm_codec_size_ok(w, h, r->src, r->e)) < 0 ||
         (rc = sink->start(sink->arg, &head, rows, r->e)) < 0))
        return mm_err_prefix(r->e, "%s", r->src->what);
    if (!*rows) {
        if ((rc = mm_codec_new(r->im, mode, w, h, r->src, r->e)) < 0)
            return rc;
        r->im->orientation = head.orientation;
        return 0;
    }
    *r->im = head;
    r->rows = malloc(ROWS * (size_t)w * 3);
    return r->rows ? 0 : mm_err_set(r->e, MM_ENOMEM, "%s: out of memory", r->src->what);
}

/* Everything that may longjmp; locals here die with it. */
static int read_jpeg(struct reader *r)
{
    struct jpeg_decompress_struct *c = &r->c;
    bool rows;
    int rc;

    jpeg_create_decompress(c);
    c->progress = &r->progress;
    r->progress.progress_monitor = on_progress;
    jpeg_mem_src(c, r->src->data, (unsigned long)r->src->n);
    jpeg_save_markers(c, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(c, TRUE);
    if (c->num_components == 2 || c->num_components > 4)
        return mm_err_set(r->e, MM_EDATA, "%s: JPEG of %d components, want 1, 3 or 4",
                          r->src->what, c->num_components);
    if ((rc = start(r, set_output(c), &rows)) < 0)
        return rc;
    jpeg_start_decompress(c);
    if (rows)
        read_rows(r);
    else
        read_pixels(r);
    jpeg_finish_decompress(c);
    return 0;
}

int mm_codec_jpeg(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    struct reader r = { .src = s, .im = im, .e = e };
    int rc;

    r.c.err = jpeg_std_error(&r.err);
    r.c.client_data = &r;
    r.err.error_exit = on_exit_error;
    r.err.emit_message = on_emit;
    r.err.output_message = on_message;
    rc = setjmp(r.escape) ? r.e->code : read_jpeg(&r);
    jpeg_destroy_decompress(&r.c);
    free(r.rows);
    return rc;
}
