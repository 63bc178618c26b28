/* movie.c: MP4 into memory. */
#include "synth/movie.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

#include <string.h>

enum { IO_BUFFER = 16384 };

/* The file so far; the muxer goes back to fill in sizes. */
struct file {
    struct mm_buf *b;
    size_t at;
};

struct movie {
    struct file file;
    AVFormatContext *mux;
    AVIOContext *io;
    AVCodecContext *enc;
    AVStream *stream;
    AVFrame *frame;
    AVPacket *packet;
    struct SwsContext *sws;
};

static int on_write(void *opaque, uint8_t *p, int n)
{
    struct file *f = opaque;
    const size_t over = f->b->n - f->at < (size_t)n ? f->b->n - f->at : (size_t)n;

    if (over > 0)
        memcpy(f->b->p + f->at, p, over);
    mm_buf_add(f->b, p + over, (size_t)n - over);
    f->at += (size_t)n;
    return f->b->failed ? AVERROR(ENOMEM) : n;
}

static int64_t on_seek(void *opaque, int64_t offset, int whence)
{
    struct file *f = opaque;

    if (whence == AVSEEK_SIZE)
        return (int64_t)f->b->n;
    if (whence == SEEK_CUR)
        offset += (int64_t)f->at;
    if (whence == SEEK_END)
        offset += (int64_t)f->b->n;
    if (offset < 0 || offset > (int64_t)f->b->n)
        return AVERROR(EINVAL);
    f->at = (size_t)offset;
    return offset;
}

static int open_encoder(struct movie *m, const AVCodec *codec, int w, int h, int fps)
{
    m->enc = avcodec_alloc_context3(codec);
    if (m->enc == NULL)
        return AVERROR(ENOMEM);
    m->enc->width = w;
    m->enc->height = h;
    m->enc->time_base = (AVRational){ 1, fps };
    m->enc->pix_fmt = AV_PIX_FMT_YUV420P;
    m->enc->gop_size = 12;
    m->enc->thread_count = 1;
    m->enc->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_GLOBAL_HEADER;
    m->enc->global_quality = 2 * FF_QP2LAMBDA;
    return avcodec_open2(m->enc, codec, NULL);
}

static int open_file(struct movie *m, int fps)
{
    unsigned char *buffer = av_malloc(IO_BUFFER);
    int rc = avformat_alloc_output_context2(&m->mux, NULL, "mp4", NULL);

    if (rc >= 0 && buffer != NULL)
        m->io = avio_alloc_context(buffer, IO_BUFFER, 1, &m->file, NULL, on_write, on_seek);
    if (rc < 0 || m->io == NULL) {
        av_free(buffer);
        return rc < 0 ? rc : AVERROR(ENOMEM);
    }
    m->mux->pb = m->io;
    m->mux->flags |= AVFMT_FLAG_BITEXACT;
    m->stream = avformat_new_stream(m->mux, NULL);
    if (m->stream == NULL)
        return AVERROR(ENOMEM);
    m->stream->time_base = (AVRational){ 1, fps };
    rc = avcodec_parameters_from_context(m->stream->codecpar, m->enc);
    return rc < 0 ? rc : avformat_write_header(m->mux, NULL);
}

/* Sends a picture, or NULL for the end, and writes what comes out. */
static int encode(struct movie *m, const AVFrame *frame)
{
    int rc = avcodec_send_frame(m->enc, frame);

    while (rc >= 0 && (rc = avcodec_receive_packet(m->enc, m->packet)) >= 0) {
        av_packet_rescale_ts(m->packet, m->enc->time_base, m->stream->time_base);
        m->packet->duration = m->stream->time_base.den / m->enc->time_base.den;
        rc = av_interleaved_write_frame(m->mux, m->packet);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF ? 0 : rc;
}

static int write_frames(struct movie *m, const unsigned char *px, int frames, int w, int h)
{
    const int stride = 3 * w;
    int rc;

    m->frame = av_frame_alloc();
    m->packet = av_packet_alloc();
    m->sws = sws_getContext(w, h, AV_PIX_FMT_RGB24, w, h, AV_PIX_FMT_YUV420P,
                            SWS_BILINEAR | SWS_ACCURATE_RND | SWS_BITEXACT, NULL, NULL, NULL);
    if (m->frame == NULL || m->packet == NULL || m->sws == NULL)
        return AVERROR(ENOMEM);
    m->frame->format = AV_PIX_FMT_YUV420P;
    m->frame->width = w;
    m->frame->height = h;
    rc = av_frame_get_buffer(m->frame, 0);
    for (int i = 0; rc >= 0 && i < frames; i++) {
        rc = av_frame_make_writable(m->frame);
        if (rc < 0)
            break;
        sws_scale(m->sws, &px, &stride, 0, h, m->frame->data, m->frame->linesize);
        m->frame->pts = i;
        m->frame->quality = m->enc->global_quality;
        rc = encode(m, m->frame);
        px += (size_t)stride * (size_t)h;
    }
    if (rc >= 0)
        rc = encode(m, NULL);
    return rc < 0 ? rc : av_write_trailer(m->mux);
}

static void close_movie(struct movie *m)
{
    sws_freeContext(m->sws);
    av_frame_free(&m->frame);
    av_packet_free(&m->packet);
    avcodec_free_context(&m->enc);
    avformat_free_context(m->mux);
    if (m->io != NULL)
        av_freep(&m->io->buffer);
    avio_context_free(&m->io);
}

int mm_movie_mp4(struct mm_buf *out, const unsigned char *px, int frames, int w, int h, int fps,
                 struct mm_err *e)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MPEG4);
    struct movie m = { .file = { .b = out } };
    int rc;

    if (codec == NULL)
        return mm_err_set(e, MM_EMISSING, "MP4: libav has no MPEG-4 encoder");
    mm_buf_reset(out);
    rc = open_encoder(&m, codec, w, h, fps);
    if (rc >= 0)
        rc = open_file(&m, fps);
    if (rc >= 0)
        rc = write_frames(&m, px, frames, w, h);
    if (rc >= 0)
        avio_flush(m.io);
    close_movie(&m);
    if (rc == AVERROR(ENOMEM) || out->failed)
        return mm_err_set(e, MM_ENOMEM, "MP4: out of memory");
    return rc < 0 ? mm_err_set(e, MM_EBUG, "MP4: %s", av_err2str(rc)) : 0;
}
