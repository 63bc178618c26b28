/* gguf_vocab.c: tokenizer.ggml.* of a GGUF file.
 *
 *   model "llama": tokens, scores, token_type -> SentencePiece BPE
 *   model "gpt2":  tokens, token_type, merges, pre -> byte-level BPE
 */
#include "text/gguf_vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/size.h"
#include "weights/gguf.h"

#define KEY "tokenizer.ggml."

static struct mm_str get_str(const struct mm_gguf *g, const char *key)
{
    const struct mm_gguf_kv *const kv = mm_gguf_find(g, key);
    struct mm_gguf_str_iter it;
    struct mm_str s = { 0 };

    if (!kv || kv->is_array)
        return s;
    it = mm_gguf_strs(kv);
    if (!mm_gguf_next_str(&it, &s.s, &s.n))
        s.s = NULL;
    return s;
}

static bool str_is(struct mm_str s, const char *want)
{
    return s.s && s.n == strlen(want) && memcmp(s.s, want, s.n) == 0;
}

/* An array of numbers beside the tokens, or NULL when it is absent. */
static int get_column(const struct mm_gguf_kv **kv, const struct mm_gguf *g, const char *key,
                      size_t count, struct mm_err *e)
{
    *kv = mm_gguf_find(g, key);
    if (*kv && (!(*kv)->is_array || (*kv)->type == MM_GGUF_STRING || (*kv)->count != count))
        return mm_err_set(e, MM_EDATA, "%s: %zu values for %zu tokens", key, (*kv)->count, count);
    return 0;
}

static int read_tokens(struct mm_tok *t, const struct mm_gguf *g, struct mm_err *e)
{
    const struct mm_gguf_kv *const tokens = mm_gguf_find(g, KEY "tokens");
    const struct mm_gguf_kv *scores, *types;
    struct mm_gguf_str_iter it;
    const char *s;
    size_t n;
    int rc;

    if (!tokens || !tokens->is_array || tokens->type != MM_GGUF_STRING || tokens->count == 0)
        return mm_err_set(e, MM_EDATA, KEY "tokens: no list of strings");
    if ((rc = get_column(&scores, g, KEY "scores", tokens->count, e)) < 0 ||
        (rc = get_column(&types, g, KEY "token_type", tokens->count, e)) < 0)
        return rc;
    it = mm_gguf_strs(tokens);
    for (size_t i = 0; mm_gguf_next_str(&it, &s, &n); i++) {
        const int64_t type = types ? mm_gguf_int(types, i) : MM_P_NORMAL;
        const float score = scores ? (float)mm_gguf_num(scores, i) : 0;
        if (type < MM_P_NORMAL || type > MM_P_BYTE)
            return mm_err_set(e, MM_EDATA, KEY "token_type: token %zu: %lld", i, (long long)type);
        if (score != score)
            return mm_err_set(e, MM_EDATA, KEY "scores: token %zu: not a number", i);
        if ((rc = mm_vocab_set(&t->vocab, (int32_t)i, s, n, (enum mm_ptype)type, score, e)) < 0)
            return rc;
    }
    return 0;
}

static int32_t get_mark(const struct mm_tok *t, const struct mm_gguf *g, const char *key,
                        int32_t dflt)
{
    const int64_t id = mm_gguf_get_int(g, key, dflt);

    return id >= 0 && (uint64_t)id < t->vocab.n ? (int32_t)id : -1;
}

static int read_marks(struct mm_tok *t, const struct mm_gguf *g, bool llama, struct mm_err *e)
{
    static const char *const ends[] = { KEY "eot_token_id", KEY "eom_token_id" };

    t->bos = get_mark(t, g, KEY "bos_token_id", llama ? 1 : -1);
    t->eos = get_mark(t, g, KEY "eos_token_id", llama ? 2 : -1);
    t->unk = get_mark(t, g, KEY "unknown_token_id", llama ? 0 : -1);
    t->pad = get_mark(t, g, KEY "padding_token_id", -1);
    t->add_bos = mm_gguf_get_int(g, KEY "add_bos_token", llama) != 0;
    t->add_eos = mm_gguf_get_int(g, KEY "add_eos_token", 0) != 0;
    for (size_t i = 0; i < 2; i++) {
        const int32_t id = get_mark(t, g, ends[i], -1);
        if (id >= 0 && mm_ids_add(&t->eog, id) < 0)
            return mm_err_set(e, MM_ENOMEM, "out of memory");
    }
    const struct mm_str chat = get_str(g, "tokenizer.chat_template");
    if (chat.s && !(t->chat_template = strndup(chat.s, chat.n)))
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

static int open_gpt2(struct mm_tok *t, const struct mm_gguf *g, struct mm_err *e)
{
    const struct mm_gguf_kv *const merges = mm_gguf_find(g, KEY "merges");
    const struct mm_str pre = get_str(g, KEY "pre");
    struct mm_gguf_str_iter it;
    size_t bytes, n = 0;
    int rc = 0;

    if (!merges || !merges->is_array || merges->type != MM_GGUF_STRING)
        return mm_err_set(e, MM_EDATA, KEY "merges: no list of strings");
    for (size_t i = 0; i < t->vocab.n && rc == 0; i++) {
        const struct mm_vpiece *const p = &t->vocab.v[i];
        const struct mm_added a = { .id = (int32_t)i, .special = p->type != MM_P_USER };
        if (p->type == MM_P_CONTROL || p->type == MM_P_USER || p->type == MM_P_UNKNOWN)
            rc = mm_tok_add_at(t, &a, p->s, p->n, e);
    }
    if (rc < 0)
        return rc;
    struct mm_str *const list =
        mm_size_mul(merges->count + 1, sizeof(*list), &bytes) ? malloc(bytes) : NULL;
    char *const name = pre.s ? strndup(pre.s, pre.n) : NULL;
    if (!list || (pre.s && !name))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    for (it = mm_gguf_strs(merges); rc == 0 && n < merges->count; n++)
        if (!mm_gguf_next_str(&it, &list[n].s, &list[n].n))
            break;
    if (rc == 0)
        rc = mm_tok_gguf_bpe_open(t, list, n, name, e);
    free(name);
    free(list);
    return rc;
}

static int read_gguf(struct mm_tok *t, const struct mm_gguf *g, struct mm_err *e)
{
    const struct mm_str model = get_str(g, KEY "model");
    const bool llama = str_is(model, "llama");
    int rc;

    if (!model.s || str_is(model, "none") || str_is(model, "no_vocab"))
        return mm_err_set(e, MM_ENOENT, "no tokenizer inside (" KEY "model)");
    if (!llama && !str_is(model, "gpt2"))
        return mm_err_set(e, MM_EMISSING, KEY "model: '%.*s' is not supported",
                          (int)(model.n < 40 ? model.n : 40), model.s);
    if ((rc = read_tokens(t, g, e)) < 0 || (rc = read_marks(t, g, llama, e)) < 0)
        return rc;
    if (!llama)
        return open_gpt2(t, g, e);
    return mm_tok_gguf_spm_open(t, mm_gguf_get_int(g, KEY "add_space_prefix", 1) != 0,
                                mm_gguf_get_int(g, KEY "remove_extra_whitespaces", 0) != 0, e);
}

int mm_gguf_vocab_open(struct mm_tok *t, const char *path, struct mm_err *e)
{
    struct mm_map map = { 0 };
    struct mm_entries en = { 0 };
    struct mm_gguf *g = NULL;
    int rc = mm_map_open(&map, path, SIZE_MAX, e);

    if (rc < 0)
        return rc;
    if ((rc = mm_entries_init(&en, e)) == 0 &&
        (rc = mm_gguf_open(&g, &en, map.data, map.size, path, e)) == 0 &&
        (rc = read_gguf(t, g, e)) < 0)
        mm_err_prefix(e, "%s", path);
    mm_gguf_close(g);
    mm_entries_free(&en);
    mm_map_close(&map);
    return rc;
}
