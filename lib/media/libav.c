/* libav.c: pictures of every other kind (GIF, BMP, TIFF, AVIF, ...) through
 * libavformat and libavcodec: the first frame, from memory.
 *
 * Only demuxers named here are let in: a playlist or a script that is called a
 * picture must not make the library open other files.
 */
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "media/codec.h"

struct source {
    const struct mm_codec_src *src;
    size_t at;
};

/* Of an animation the first frame is the picture, however many follow.  Not
 * here: SVG (loads other files), JPEG XL (its decoder prints). */
static const char *const picture_formats[] = {
    "gif",        "apng",       "ico",          "bmp_pipe",      "tiff_pipe", "j2k_pipe",
    "pam_pipe",   "pbm_pipe",   "pgm_pipe",     "ppm_pipe",      "pfm_pipe",  "pcx_pipe",
    "qoi_pipe",   "sgi_pipe",   "sunrast_pipe", "psd_pipe",      "dds_pipe",  "exr_pipe",
    "dpx_pipe",   "xbm_pipe",   "xpm_pipe",     "xwd_pipe",      "jpegls_pipe"
};

/* More than one frame in one of these is a video. */
static const char *const video_formats[] = {
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "mpegvideo", "ogg", "flv",
    "asf", "ivf", "yuv4mpegpipe", "h264", "hevc", "m4v", "obu", "nut", "mjpeg", "mxf", "dv", "rm"
};

#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static bool among(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

static bool is_picture(const char *name)
{
    return among(name, picture_formats, LENGTH(picture_formats));
}

/* ISO base media brands of a still picture or a picture sequence (AVIF, HEIF). */
static bool is_picture_brand(const struct mm_codec_src *s)
{
    static const char *const brands[] = { "avif", "avis", "mif1", "msf1", "heic", "heix", "hevc" };
    char brand[5] = { 0 };

    if (s->n < 12 || memcmp(s->data + 4, "ftyp", 4) != 0)
        return false;
    memcpy(brand, s->data + 8, 4);
    return among(brand, brands, LENGTH(brands));
}

static int on_read(void *opaque, uint8_t *buf, int size)
{
    struct source *s = opaque;
    const size_t left = s->src->n - s->at;
    const size_t n = left < (size_t)size ? left : (size_t)size;

    if (n == 0)
        return AVERROR_EOF;
    memcpy(buf, s->src->data + s->at, n);
    s->at += n;
    return (int)n;
}

static int64_t on_seek(void *opaque, int64_t offset, int whence)
{
    struct source *s = opaque;
    const int64_t size = (int64_t)s->src->n;

    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
        return size;
    case SEEK_CUR:
        offset += (int64_t)s->at;
        break;
    case SEEK_END:
        offset += size;
        break;
    default:
        break;
    }
    if (offset < 0 || offset > size)
        return AVERROR(EINVAL);
    s->at = (size_t)offset;
    return offset;
}

static int fail(const struct mm_codec_src *s, const char *step, int av, struct mm_err *e)
{
    char msg[AV_ERROR_MAX_STRING_SIZE] = "";

    av_strerror(av, msg, sizeof(msg));
    return mm_err_set(e, av == AVERROR(ENOMEM) ? MM_ENOMEM : MM_EDATA, "%s: %s: %s", s->what, step,
                      msg);
}

/* The demuxer for these bytes, if it is one that may run. */
static const AVInputFormat *probe(const struct mm_codec_src *s)
{
    enum { probe_bytes = 1 << 16 };
    const size_t n = s->n < probe_bytes ? s->n : probe_bytes;
    unsigned char *buf = calloc(1, n + AVPROBE_PADDING_SIZE);
    const AVInputFormat *f = NULL;

    if (!buf)
        return NULL;
    memcpy(buf, s->data, n);
    const AVProbeData pd = { .filename = "", .buf = buf, .buf_size = (int)n };
    f = av_probe_input_format(&pd, 1);
    free(buf);
    if (f && (is_picture(f->name) || among(f->name, video_formats, LENGTH(video_formats))))
        return f;
    return NULL;
}

struct decoder {
    struct source io;
    AVIOContext *pb;
    AVFormatContext *fmt;
    AVCodecContext *codec;
    AVPacket *pkt;
    AVFrame *frame;
    int stream;
};

static void close_decoder(struct decoder *d)
{
    av_frame_free(&d->frame);
    av_packet_free(&d->pkt);
    avcodec_free_context(&d->codec);
    avformat_close_input(&d->fmt);
    if (d->pb)
        av_freep(&d->pb->buffer);
    avio_context_free(&d->pb);
}

static int open_container(struct decoder *d, const AVInputFormat *f, struct mm_err *e)
{
    enum { io_bytes = 1 << 15 };
    unsigned char *buf = av_malloc(io_bytes);
    const struct mm_codec_src *s = d->io.src;
    int av;

    d->pkt = av_packet_alloc();
    d->frame = av_frame_alloc();
    d->fmt = avformat_alloc_context();
    d->pb = buf ? avio_alloc_context(buf, io_bytes, 0, &d->io, on_read, NULL, on_seek) : NULL;
    if (!d->pb)
        av_free(buf);
    if (!d->pkt || !d->frame || !d->fmt || !d->pb)
        return fail(s, "opening", AVERROR(ENOMEM), e);
    d->fmt->pb = d->pb;
    d->fmt->protocol_whitelist = av_strdup("none");
    d->fmt->max_streams = 16;
    if ((av = avformat_open_input(&d->fmt, "", f, NULL)) < 0)
        return fail(s, f->name, av, e);
    /* Pictures announce their stream in the header; only videos are searched. */
    if (d->fmt->nb_streams == 0 && (av = avformat_find_stream_info(d->fmt, NULL)) < 0)
        return fail(s, f->name, av, e);
    d->stream = av_find_best_stream(d->fmt, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (d->stream < 0)
        return mm_err_set(e, MM_EDATA, "%s: %s holds no picture", s->what, f->name);
    return 0;
}

static int open_codec(struct decoder *d, struct mm_err *e)
{
    const AVCodecParameters *par = d->fmt->streams[d->stream]->codecpar;
    const struct mm_codec_src *s = d->io.src;
    const AVCodec *codec = avcodec_find_decoder(par->codec_id);
    int av;

    if (!codec)
        return mm_err_set(e, MM_EMISSING, "%s: no decoder for %s", s->what,
                          avcodec_get_name(par->codec_id));
    if ((d->codec = avcodec_alloc_context3(codec)) == NULL)
        return fail(s, "opening", AVERROR(ENOMEM), e);
    d->codec->thread_count = 1;
    d->codec->max_pixels = (int64_t)(s->max_pixels ? s->max_pixels : (size_t)1 << 28);
    d->codec->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER;
    if ((av = avcodec_parameters_to_context(d->codec, par)) < 0 ||
        (av = avcodec_open2(d->codec, codec, NULL)) < 0)
        return fail(s, codec->name, av, e);
    return 0;
}

/* Next packet of the picture's stream; an AVERROR at the end. */
static int next_packet(struct decoder *d)
{
    int av;

    while ((av = av_read_frame(d->fmt, d->pkt)) >= 0 && d->pkt->stream_index != d->stream)
        av_packet_unref(d->pkt);
    return av;
}

static int first_frame(struct decoder *d, struct mm_err *e)
{
    int av = AVERROR(EAGAIN);

    while (av == AVERROR(EAGAIN)) {
        const int got = next_packet(d);
        av = avcodec_send_packet(d->codec, got < 0 ? NULL : d->pkt);
        av_packet_unref(d->pkt);
        if (av < 0)
            break;
        av = avcodec_receive_frame(d->codec, d->frame);
    }
    if (av < 0)
        return fail(d->io.src, d->codec->codec->name, av == AVERROR_EOF ? AVERROR_INVALIDDATA : av,
                    e);
    if (d->frame->decode_error_flags || (d->frame->flags & AV_FRAME_FLAG_CORRUPT))
        return mm_err_set(e, MM_EDATA, "%s: %s: damaged or truncated", d->io.src->what,
                          d->codec->codec->name);
    return 0;
}

/* Our mode for a format of libav, and the format it is brought to. */
static enum mm_image_mode mode_of(enum AVPixelFormat from, enum AVPixelFormat *to)
{
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(from);

    switch (from) {
    case AV_PIX_FMT_PAL8:
        *to = from;
        return MM_IMG_P;
    case AV_PIX_FMT_GRAY8:
        *to = from;
        return MM_IMG_L;
    case AV_PIX_FMT_MONOBLACK:
    case AV_PIX_FMT_MONOWHITE:
        *to = AV_PIX_FMT_GRAY8;
        return MM_IMG_BIT;
    default:
        break;
    }
    if (desc && (desc->flags & AV_PIX_FMT_FLAG_ALPHA)) {
        *to = AV_PIX_FMT_RGBA;
        return MM_IMG_RGBA;
    }
    *to = AV_PIX_FMT_RGB24;
    return MM_IMG_RGB;
}

static void copy_palette(struct mm_image *im, const AVFrame *f)
{
    for (size_t i = 0; i < 256; i++) {
        const uint32_t argb = mm_get_u32(f->data[1] + 4 * i);
        im->palette[3 * i] = (unsigned char)(argb >> 16);
        im->palette[3 * i + 1] = (unsigned char)(argb >> 8);
        im->palette[3 * i + 2] = (unsigned char)argb;
    }
}

/* swscale may write past a row's end, so it gets padded rows of its own. */
static int convert(struct mm_image *im, const AVFrame *f, enum AVPixelFormat to)
{
    uint8_t *data[4] = { NULL };
    int stride[4], av;
    const size_t row = (size_t)im->w * (size_t)mm_image_channels(im->mode);
    struct SwsContext *sws = sws_getContext(f->width, f->height, f->format, f->width, f->height, to,
                                            SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT,
                                            NULL, NULL, NULL);

    if (!sws)
        return AVERROR(EINVAL);
    if ((av = av_image_alloc(data, stride, f->width, f->height, to, 64)) >= 0) {
        av = sws_scale(sws, (const uint8_t *const *)f->data, f->linesize, 0, f->height, data,
                       stride);
        for (int y = 0; av >= 0 && y < im->h; y++)
            memcpy(im->px + (size_t)y * row, data[0] + (ptrdiff_t)y * stride[0], row);
        av_freep(&data[0]);
    }
    sws_freeContext(sws);
    return av;
}

static int to_image(struct mm_image *im, struct decoder *d, struct mm_err *e)
{
    const AVFrame *f = d->frame;
    enum AVPixelFormat to;
    const enum mm_image_mode mode = mode_of(f->format, &to);
    int rc, av = 0;

    if ((rc = mm_codec_new(im, mode, f->width, f->height, d->io.src, e)) != 0)
        return rc;
    const size_t row = (size_t)im->w * (size_t)mm_image_channels(mode);
    if (to == (enum AVPixelFormat)f->format)
        for (int y = 0; y < im->h; y++)
            memcpy(im->px + (size_t)y * row, f->data[0] + (ptrdiff_t)y * f->linesize[0], row);
    else
        av = convert(im, f, to);
    if (im->palette)
        copy_palette(im, f);
    return av < 0 ? fail(d->io.src, "converting", av, e) : 0;
}

int mm_codec_libav(struct mm_image *im, const struct mm_codec_src *s, struct mm_err *e)
{
    struct decoder d = { .io = { .src = s } };
    const AVInputFormat *f;
    int rc;

    av_log_set_level(AV_LOG_QUIET);
    if ((f = probe(s)) == NULL)
        return mm_err_set(e, MM_EDATA, "%s: not a picture of a kind known here", s->what);
    if (!mm_codec_is_whole(s->data, s->n))
        return mm_err_set(e, MM_EDATA, "%s: %s: truncated", s->what, f->name);
    if ((rc = open_container(&d, f, e)) == 0 && (rc = open_codec(&d, e)) == 0 &&
        (rc = first_frame(&d, e)) == 0) {
        if (!is_picture(f->name) && !is_picture_brand(s) && next_packet(&d) >= 0)
            rc = mm_err_set(e, MM_EMISSING, "%s: video (%s) is not supported yet", s->what,
                            f->name);
        else
            rc = to_image(im, &d, e);
    }
    close_decoder(&d);
    return rc;
}
