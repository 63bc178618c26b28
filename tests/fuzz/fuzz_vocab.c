/* fuzz_vocab: the older layouts: "g" vocab.json NUL merges.txt (GPT-2), "c" the
 * same as CLIP's, "b" vocab.txt, "o" a gzipped list of merges.
 *
 * covers: lib/text/hfconv.c lib/text/openclip.c
 * seeds: tests/fuzz/seeds/vocab
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "text/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int memfd_create(const char *name, unsigned flags);

static const char text[] = " It's caf\xc3\xa9 <|endoftext|> [MASK] l l z 12 &amp; <end_of_text>";

/* The bytes as a file without a name; its path. */
static int file(char path[32], const uint8_t *data, size_t size)
{
    const int fd = memfd_create("fuzz", 0);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void use(const struct mm_tok *t)
{
    struct mm_ids ids = { 0 };
    struct mm_buf out = { 0 };

    for (unsigned flags = 0; flags < 4; flags++)
        if (mm_tok_encode(t, &ids, text, sizeof(text) - 1, flags, NULL) == 0 &&
            mm_tok_decode(t, &out, ids.v, ids.n, flags & 1, NULL) < 0)
            abort();
    mm_ids_free(&ids);
    mm_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    char one[32], two[32];
    int r;

    if (size < 2)
        return 0;
    const uint8_t *cut = memchr(data, '\0', size);
    const size_t first = cut && data[0] != 'o' ? (size_t)(cut - data) : size;
    const int a = file(one, data + 1, first - 1);
    const int b = file(two, data + first + (first < size), first < size ? size - first - 1 : 0);
    struct mm_tok *t = calloc(1, sizeof(*t));
    t->bos = t->eos = t->unk = t->pad = -1;
    switch (data[0]) {
    case 'g': r = mm_tok_gpt2_open(t, one, two, NULL, &e); break;
    case 'c': r = mm_tok_clip_open(t, one, two, NULL, &e); break;
    case 'b': r = mm_tok_bert_open(t, one, NULL, &e); break;
    default: r = mm_tok_openclip_open(t, one, NULL, &e); break;
    }
    if (r == 0)
        r = t->ops->ready ? t->ops->ready(t, &e) : mm_tok_make_trie(t, &e);
    if (r == 0)
        use(t);
    else if (e.code == 0 || e.msg[0] == '\0')
        abort();
    mm_tok_free(t);
    close(a);
    close(b);
    return 0;
}
