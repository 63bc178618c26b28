/* webp.c: WebP through libwebp with its default settings (smooth chroma); of an
 * animation the first frame on its canvas.
 */
#include <webp/decode.h>
#include <webp/demux.h>

#include <stdlib.h>
#include <string.h>

#include "media/codec.h"

static const char *status_text(VP8StatusCode st)
{
    switch (st) {
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "truncated";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "unsupported feature";
    case VP8_STATUS_OUT_OF_MEMORY:
        return "out of memory";
    default:
        return "malformed";
    }
}

static int fail(VP8StatusCode st, const struct mm_codec_src *s, struct mm_err *e)
{
    return mm_err_set(e, st == VP8_STATUS_OUT_OF_MEMORY ? MM_ENOMEM : MM_EDATA, "%s: WebP: %s",
                      s->what, status_text(st));
}

static int orientation_of(const struct mm_codec_src *s)
{
    const WebPData data = { s->data, s->n };
    WebPDemuxer *d = WebPDemux(&data);
    WebPChunkIterator it;
    int o = 1;

    if (d && WebPDemuxGetChunk(d, "EXIF", 1, &it)) {
        o = mm_exif_orientation(it.chunk.bytes, it.chunk.size);
        WebPDemuxReleaseChunkIterator(&it);
    }
    WebPDemuxDelete(d);
    return o;
}

static int still(struct mm_image *im, const struct mm_codec_src *s, WebPDecoderConfig *cfg,
                 struct mm_err *e)
{
    const bool alpha = cfg->input.has_alpha;
    const size_t row = (size_t)im->w * (alpha ? 4 : 3);

    cfg->output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    cfg->output.is_external_memory = 1;
    cfg->output.u.RGBA = (WebPRGBABuffer){ .rgba = im->px,
                                           .stride = (int)row,
                                           .size = row * (size_t)im->h };
    const VP8StatusCode st = WebPDecode(s->data, s->n, cfg);
    WebPFreeDecBuffer(&cfg->output);
    return st == VP8_STATUS_OK ? 0 : fail(st, s, e);
}

static int first_frame(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    const WebPData data = { s->data, s->n };
    WebPAnimDecoderOptions opt;
    WebPAnimDecoder *dec = NULL;
    uint8_t *frame;
    int when, rc = 0;

    if (WebPAnimDecoderOptionsInit(&opt)) {
        opt.color_mode = MODE_RGBA;
        dec = WebPAnimDecoderNew(&data, &opt);
    }
    if (!dec || !WebPAnimDecoderGetNext(dec, &frame, &when))
        rc = fail(VP8_STATUS_BITSTREAM_ERROR, s, e);
    else
        memcpy(im->px, frame, (size_t)im->w * (size_t)im->h * 4);
    WebPAnimDecoderDelete(dec);
    return rc;
}

int mm_codec_webp(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    WebPDecoderConfig cfg;
    VP8StatusCode st;
    int rc;

    if (!WebPInitDecoderConfig(&cfg))
        return mm_err_set(e, MM_EMISSING, "%s: WebP: another version of libwebp", s->what);
    if ((st = WebPGetFeatures(s->data, s->n, &cfg.input)) != VP8_STATUS_OK)
        return fail(st, s, e);
    const bool rgba = cfg.input.has_alpha || cfg.input.has_animation;
    if ((rc = mm_codec_new(im, rgba ? MM_IMG_RGBA : MM_IMG_RGB, cfg.input.width, cfg.input.height,
                           s, e)) != 0)
        return rc;
    im->orientation = orientation_of(s);
    return cfg.input.has_animation ? first_frame(im, s, e) : still(im, s, &cfg, e);
}
