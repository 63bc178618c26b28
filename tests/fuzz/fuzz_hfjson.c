/* fuzz_hfjson: a tokenizer.json, and a short text through what it describes.
 *
 * covers: lib/text/hfjson.c lib/text/hfparse.c lib/text/hfnorm.c lib/text/hfpre.c
 * covers: lib/text/hfmodel.c lib/text/hfpost.c lib/text/hfdec.c lib/text/words.c
 * covers: lib/text/regex.c lib/text/bpe.c lib/text/bytelevel.c
 * seeds: tests/golden/tokenizer/json_*[a-z]/model tests/golden/tokenizer/json_llama3/model
 * seeds: tests/golden/clip/text-eos/model/tokenizer.json tests/fuzz/seeds/hfjson
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/hfjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = " It's <s> caf\xc3\xa9 e\xcc\x81 \xe2\x96\x81x\r\n\n  123 \xe4\xb8\xad"
    "\xe6\x96\x87, \xef\xac\x81\xc4\xb0 <image></s>abcabc ##ing \xf0\x9f\xa6\x99 [SEP] the end. ";

static void decode(const struct mm_tok *t, const struct mm_ids *ids)
{
    struct mm_buf out = { 0 };
    struct mm_tok_stream *s;

    if (mm_tok_decode(t, &out, ids->v, ids->n, true, NULL) == 0 &&
        mm_utf8_valid(out.p ? out.p : "", out.n) != out.n)
        abort();
    mm_buf_reset(&out);
    if (mm_tok_stream_new(&s, t, false, NULL) == 0) {
        for (size_t i = 0; i < ids->n; i++)
            if (mm_tok_stream_put(s, &out, ids->v[i], NULL) < 0)
                break;
        if (mm_tok_stream_end(s, &out, NULL) == 0 &&
            mm_utf8_valid(out.p ? out.p : "", out.n) != out.n)
            abort();
        mm_tok_stream_free(s);
    }
    mm_buf_free(&out);
}

static void use(const struct mm_tok *t)
{
    const struct mm_hf *h = t->impl;
    const struct mm_str a = { text, 6 }, b = { text + 6, 3 };
    struct mm_ids ids = { 0 };
    struct mm_err e = { 0 };
    struct mm_words w = { 0 };

    for (unsigned flags = 0; flags < 4; flags++) {
        ids.n = 0;
        if (mm_tok_encode(t, &ids, text, sizeof(text) - 1, flags, &e) == 0)
            decode(t, &ids);
        else if (e.code == 0 || e.msg[0] == '\0')
            abort();
        mm_err_clear(&e);
    }
    struct mm_buf norm = { 0 };
    if (mm_hf_normalize(t, &norm, text, sizeof(text) - 1, &e) < 0)
        mm_err_clear(&e);
    mm_buf_free(&norm);
    if (mm_hf_words(t, &w, text, sizeof(text) - 1, &e) < 0)
        mm_err_clear(&e);
    if (mm_hf_tokens(t, &w, text, sizeof(text) - 1, &e) < 0)
        mm_err_clear(&e);
    ids.n = 0;
    if (h->post && mm_hf_pair(t, &ids, &a, &b, &e) < 0)
        mm_err_clear(&e);
    mm_words_free(&w);
    mm_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mm_err e = { 0 };
    json_t *root;

    if (mm_json_load(&root, (const char *)data, size, "fuzz", &e) < 0)
        return 0;
    struct mm_tok *t = calloc(1, sizeof(*t));
    t->bos = t->eos = t->unk = t->pad = -1;
    int r = mm_hf_open(t, root, NULL, &e);
    json_decref(root);
    if (r == 0)
        r = t->ops->ready(t, &e);
    if (r == 0)
        use(t);
    else if (e.code == 0 || e.msg[0] == '\0')
        abort();
    mm_tok_free(t);
    return 0;
}
