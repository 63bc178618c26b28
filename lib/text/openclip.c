/* openclip.c: CLIP's tokenizer as open_clip and OpenAI publish it: a gzipped list
 * of merges from which the vocabulary follows (Radford 2021).
 *
 *   text -> mm_clean_clip -> words -> BPE with "</w>" at a word's end -> ids
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/io.h"
#include "text/bytelevel.h"
#include "text/fixtext.h"
#include "text/hfjson.h"
#include "text/hfparse.h"
#include "text/unicode.h"

#define MERGES (49152 - 256 - 2)
#define TEXT_MAX ((size_t)64 << 20)
#define WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+)"

static const char start_mark[] = "<start_of_text>", end_mark[] = "<end_of_text>";

struct openclip {
    struct mm_bpe *bpe;
    struct mm_regex *words;       /* plain words */
    struct mm_regex *with_marks;  /* the marks are words too */
    struct mm_hfdec *dec;
};

static void openclip_free(void *impl)
{
    struct openclip *o = impl;

    if (!o)
        return;
    mm_bpe_free(o->bpe);
    mm_regex_free(o->words);
    mm_regex_free(o->with_marks);
    mm_hfdec_free(o->dec);
    free(o);
}

static int add_word(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                    struct mm_buf *b, bool parse, struct mm_err *e)
{
    const struct openclip *o = t->impl;
    const bool start = n == sizeof(start_mark) - 1 && memcmp(s, start_mark, n) == 0;
    const bool end = n == sizeof(end_mark) - 1 && memcmp(s, end_mark, n) == 0;

    if (parse && (start || end))
        return mm_ids_add(ids, start ? t->bos : t->eos) < 0 ?
            mm_err_set(e, MM_ENOMEM, "out of memory") : 0;
    mm_buf_reset(b);
    mm_bytelevel_encode(b, s, n);
    if (b->failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return mm_bpe_word(o->bpe, ids, b->p, b->n, e);
}

static int openclip_encode(const struct mm_tok *t, struct mm_ids *ids, const char *s, size_t n,
                           bool parse, struct mm_err *e)
{
    const struct openclip *o = t->impl;
    struct mm_regex_run *run;
    struct mm_buf clean = { 0 }, b = { 0 };
    size_t from = 0, ms, me;
    int r = mm_regex_start(&run, parse ? o->with_marks : o->words, e);

    if (r < 0)
        return r;
    mm_clean_clip(&clean, s, n);
    if (clean.failed)
        r = mm_err_set(e, MM_ENOMEM, "out of memory");
    while (r == 0 && (r = mm_regex_find(run, clean.p, clean.n, from, &ms, &me, e)) > 0) {
        r = add_word(t, ids, clean.p + ms, me - ms, &b, parse, e);
        from = me;
    }
    mm_regex_end(run);
    mm_buf_free(&clean);
    mm_buf_free(&b);
    return r;
}

static int openclip_put(const struct mm_tok *t, struct mm_tok_state *st, struct mm_buf *raw,
                        int32_t id, struct mm_err *e)
{
    const struct openclip *o = t->impl;

    (void)st;
    return mm_hfdec_put(o->dec, raw, t->vocab.v[id].s, t->vocab.v[id].n, false, e);
}

static int openclip_bytes(const struct mm_tok *t, struct mm_buf *out, int32_t id)
{
    return openclip_put(t, NULL, out, id, NULL);
}

static const struct mm_tok_ops openclip_ops = {
    .encode = openclip_encode, .put = openclip_put, .bytes = openclip_bytes, .free = openclip_free
};

/* The 256 characters of bytes, printable ones first, then with "</w>". */
static int add_bytes(struct mm_tok *t, const char *suffix, struct mm_err *e)
{
    int r = 0;

    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < 256 && r == 0; i++) {
            const uint32_t c = mm_bytelevel_char((unsigned char)i);
            struct mm_buf b = { 0 };
            if ((c >= 0x100) != pass)
                continue;
            mm_uc_put(&b, c);
            mm_buf_str(&b, suffix);
            r = b.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") :
                mm_vocab_set(&t->vocab, (int32_t)t->vocab.n, b.p, b.n, MM_P_NORMAL, 0, e);
            mm_buf_free(&b);
        }
    return r;
}

/* The product of the merge "a b" is the next token. */
static int add_product(struct mm_tok *t, const char *s, size_t n, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    int r;

    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ')
            mm_buf_char(&b, s[i]);
    r = b.failed ? mm_err_set(e, MM_ENOMEM, "out of memory") :
        mm_vocab_set(&t->vocab, (int32_t)t->vocab.n, b.p, b.n, MM_P_NORMAL, 0, e);
    mm_buf_free(&b);
    return r;
}

/* Call fn for the lines that count: the first is a title. */
typedef int merge_fn(struct mm_tok *t, const char *s, size_t n, struct mm_err *e);

static int each_merge(struct mm_tok *t, const struct mm_buf *text, merge_fn *fn, struct mm_err *e)
{
    const char *p = text->p, *const end = text->p + text->n;
    int r = 0;

    for (size_t line = 0; p < end && line <= MERGES && r == 0; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const size_t len = (size_t)((nl ? nl : end) - p);
        if (line > 0 && len > 0)
            r = fn(t, p, len, e);
        if (r < 0)
            mm_err_prefix(e, "line %zu", line + 1);
        p += len + (nl != NULL);
    }
    return r;
}

static int add_merge(struct mm_tok *t, const char *s, size_t n, struct mm_err *e)
{
    const struct openclip *o = t->impl;

    return mm_bpe_merge_line(o->bpe, s, n, e);
}

static int add_mark(struct mm_tok *t, const char *s, int32_t *id, struct mm_err *e)
{
    const struct mm_added a = { .id = (int32_t)t->vocab.n, .special = true, .named = true };

    *id = a.id;
    return mm_tok_add_at(t, &a, s, strlen(s), e);
}

static int build(struct mm_tok *t, const struct mm_buf *text, struct mm_err *e)
{
    static const char plain[] = "(?i:" WORDS, marked[] = "(?i:<start_of_text>|<end_of_text>|" WORDS;
    struct openclip *o = t->impl;
    const struct mm_bpe_conf c = { .vocab = &t->vocab, .suffix = "</w>", .unk = -1 };
    json_t *dec = json_pack("{s:s,s:[{s:s},{s:s,s:{s:s},s:s}]}", "type", "Sequence", "decoders",
                            "type", "ByteLevel", "type", "Replace", "pattern", "String", "</w>",
                            "content", " ");
    int r = dec ? mm_hfdec_new(&o->dec, dec, e) : mm_err_set(e, MM_ENOMEM, "out of memory");

    json_decref(dec);
    if (r < 0 || (r = add_bytes(t, "", e)) < 0 || (r = add_bytes(t, "</w>", e)) < 0 ||
        (r = each_merge(t, text, add_product, e)) < 0 ||
        (r = add_mark(t, start_mark, &t->bos, e)) < 0 ||
        (r = add_mark(t, end_mark, &t->eos, e)) < 0 || (r = mm_bpe_new(&o->bpe, &c, e)) < 0 ||
        (r = each_merge(t, text, add_merge, e)) < 0 ||
        (r = mm_regex_new(&o->words, plain, sizeof(plain) - 1, e)) < 0)
        return r;
    return mm_regex_new(&o->with_marks, marked, sizeof(marked) - 1, e);
}

/* All of a gzip file, of at most TEXT_MAX bytes. */
static int gunzip(struct mm_buf *out, char *data, size_t n, struct mm_err *e)
{
    z_stream z = { .next_in = (unsigned char *)data, .avail_in = (unsigned)n };
    char chunk[65536];
    int rc = Z_OK;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    while (rc == Z_OK && out->n <= TEXT_MAX) {
        z.next_out = (unsigned char *)chunk;
        z.avail_out = sizeof(chunk);
        rc = inflate(&z, Z_NO_FLUSH);
        mm_buf_add(out, chunk, sizeof(chunk) - z.avail_out);
    }
    inflateEnd(&z);
    if (out->failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (rc == Z_OK)
        return mm_err_set(e, MM_EDATA, "more than %zu bytes of text", TEXT_MAX);
    return rc == Z_STREAM_END ? 0 : mm_err_set(e, MM_EDATA, "damaged or truncated gzip data");
}

int mm_tok_openclip_open(struct mm_tok *t, const char *path, const struct mm_conf *c,
                         struct mm_err *e)
{
    struct mm_buf text = { 0 };
    char *data;
    size_t n;
    int r = mm_io_slurp(path, TEXT_MAX, &data, &n, e);

    (void)c; /* this layout has no files beside */
    if (r < 0)
        return r;
    t->ops = &openclip_ops;
    t->impl = calloc(1, sizeof(struct openclip));
    r = t->impl ? gunzip(&text, data, n, e) : mm_err_set(e, MM_ENOMEM, "out of memory");
    free(data);
    if (r == 0)
        r = build(t, &text, e);
    mm_buf_free(&text);
    t->add_bos = t->add_eos = true;
    t->pad = 0;
    return r < 0 ? mm_err_prefix(e, "%s", path) : 0;
}
