/* fuzz_spm: tokenizer.model and GGUF vocabularies, opened and then used.
 *
 * covers: lib/text/spm_proto.c
 * covers: lib/text/spm_norm.c
 * covers: lib/text/spm_bpe.c
 * covers: lib/text/spm_unigram.c
 * covers: lib/text/gguf_vocab.c
 * seeds: tests/golden/tokenizer/sp_*[a-z0-9]/model
 * seeds: tests/golden/tokenizer/gguf_*[a-z0-9]/model
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opened by its path in /proc, so that every byte goes the usual way. */
static struct mm_tok *open_bytes(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("fuzz", 0);
    struct mm_tok *t = NULL;
    struct mm_err e = { 0 };
    char path[64];

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const int rc = mm_tok_open(&t, path, &e);
    if (rc < 0 && (e.code != rc || t || !e.msg[0]))
        abort();
    close(fd);
    return t;
}

/* Whatever ids a text gets must decode to UTF-8, whole and one by one. */
static void use(const struct mm_tok *t, const char *s, size_t n, unsigned flags)
{
    struct mm_ids ids = { 0 };
    struct mm_buf whole = { 0 }, parts = { 0 };
    struct mm_tok_stream *stream = NULL;
    struct mm_err e = { 0 };

    if (mm_tok_encode(t, &ids, s, n, flags, &e) == 0) {
        if (mm_tok_decode(t, &whole, ids.v, ids.n, flags & MM_TOK_PARSE, &e) < 0 ||
            mm_utf8_valid(whole.p ? whole.p : "", whole.n) != whole.n ||
            mm_tok_stream_new(&stream, t, flags & MM_TOK_PARSE, &e) < 0)
            abort();
        for (size_t i = 0; i < ids.n; i++)
            if (mm_tok_stream_put(stream, &parts, ids.v[i], &e) < 0 || !mm_tok_piece(t, ids.v[i]))
                abort();
        if (mm_tok_stream_end(stream, &parts, &e) < 0 ||
            mm_utf8_valid(parts.p ? parts.p : "", parts.n) != parts.n)
            abort();
    }
    mm_tok_stream_free(stream);
    mm_buf_free(&whole);
    mm_buf_free(&parts);
    mm_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "  Hello  world\xE2\x96\x81 \xEF\xAC\x81 \xEF\xBC\xA1\xEF\xBC\xA2 <s>x</s><unk> zz====tion "
        "New York <image>\n\xF0\x9F\xA6\x99\xE6\x97\xA5 \xCC\x81 abc the iled  \t";
    struct mm_tok *const t = open_bytes(data, size);
    struct mm_buf own = { 0 };

    if (!t)
        return 0;
    for (unsigned flags = 0; flags < 4; flags++)
        use(t, text, sizeof(text), flags); /* the NUL too */
    for (size_t i = 0; i < mm_tok_size(t) && own.n < 4000; i += 1 + i / 64) {
        const char *const piece = mm_tok_piece(t, (int32_t)i);
        if (piece && mm_utf8_valid(piece, strlen(piece)) == strlen(piece))
            mm_buf_str(&own, piece);
    }
    use(t, own.p ? own.p : "", own.n, MM_TOK_SPECIAL);
    mm_buf_free(&own);
    mm_tok_free(t);
    return 0;
}
