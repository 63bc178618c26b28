/* bpetrain.c: see bpetrain.h.
 *
 * Each different piece is kept once, with its count, as a run of token ids.  Counts of
 * pairs are kept in a table and only changed where a merge changes a piece.
 */
#include "text/bpetrain.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "text/bytelevel.h"
#include "text/regex.h"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static const char *const llama_special[] = { "<unk>", "<s>", "</s>", "<pad>", "<image>", NULL };
static const char *const clip_special[] = { "<|startoftext|>", "<|endoftext|>", NULL };

struct piece {
    const char *s; /* in the text */
    size_t n;
    int64_t count;
    size_t at, len; /* in syms */
};

struct pair {
    uint64_t key; /* left << 32 | right; 0: free (0, 0 cannot be: see first) */
    int64_t count;
};

struct trainer {
    const struct mm_bpetrain_spec *s;
    struct piece *piece;   /* open table of pieces, then packed */
    size_t npieces, slots;
    uint32_t *syms;        /* tokens of all pieces */
    struct pair *pair;     /* open table */
    size_t npairs, pair_slots;
    struct mm_buf *token;  /* [ntokens] bytes of each, without the special ones */
    size_t ntokens, token_cap;
    uint64_t *merge;       /* [nmerges] */
    size_t nmerges, merge_cap;
    bool failed;
};

/* --- pieces ---------------------------------------------------------------------------- */

static bool grow_pieces(struct trainer *t)
{
    const size_t slots = t->slots ? 2 * t->slots : 4096;
    struct piece *v = calloc(slots, sizeof(*v));

    if (!v)
        return false;
    for (size_t i = 0; i < t->slots; i++) {
        if (!t->piece[i].count)
            continue;
        size_t k = mm_hash64(t->piece[i].s, t->piece[i].n) & (slots - 1);
        while (v[k].count)
            k = (k + 1) & (slots - 1);
        v[k] = t->piece[i];
    }
    free(t->piece);
    t->piece = v;
    t->slots = slots;
    return true;
}

static bool add_piece(struct trainer *t, const char *s, size_t n)
{
    if (2 * (t->npieces + 1) > t->slots && !grow_pieces(t))
        return false;
    size_t k = mm_hash64(s, n) & (t->slots - 1);
    while (t->piece[k].count && (t->piece[k].n != n || memcmp(t->piece[k].s, s, n)))
        k = (k + 1) & (t->slots - 1);
    if (!t->piece[k].count) {
        t->piece[k].s = s;
        t->piece[k].n = n;
        t->npieces++;
    }
    t->piece[k].count++;
    return true;
}

static int cut(struct trainer *t, const char *text, size_t n, struct mm_err *e)
{
    struct mm_regex *re = NULL;
    struct mm_regex_run *run = NULL;
    size_t from = 0, ms, me;
    int rc = mm_regex_new(&re, GPT2, strlen(GPT2), e);

    if (rc == 0)
        rc = mm_regex_start(&run, re, e);
    while (rc == 0 && from < n) {
        /* a line at a time: the pattern needs no more, and searches stay short */
        const char *nl = memchr(text + from, '\n', n - from);
        size_t end = nl ? (size_t)(nl - text) + 1 : n;

        while (end < n && (text[end] == '\n' || text[end] == ' '))
            end++;
        for (size_t at = from; (rc = mm_regex_find(run, text, end, at, &ms, &me, e)) > 0; at = me)
            if (!add_piece(t, text + ms, me - ms)) {
                rc = mm_err_set(e, MM_ENOMEM, "out of memory");
                break;
            }
        from = end;
    }
    mm_regex_end(run);
    mm_regex_free(re);
    return rc;
}

static int by_text(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    const size_t n = x->n < y->n ? x->n : y->n;
    const int d = memcmp(x->s, y->s, n);

    return d ? d : (x->n > y->n) - (x->n < y->n);
}

/* The table becomes a list, and each piece its bytes' tokens: byte b is token b here. */
static bool spell(struct trainer *t)
{
    size_t k = 0, total = 0;

    for (size_t i = 0; i < t->slots; i++)
        if (t->piece[i].count)
            t->piece[k++] = t->piece[i];
    if (k)
        qsort(t->piece, k, sizeof(*t->piece), by_text);
    for (size_t i = 0; i < k; i++)
        total += t->piece[i].n;
    if (!(t->syms = malloc((total + 1) * sizeof(*t->syms))))
        return false;
    total = 0;
    for (size_t i = 0; i < k; i++) {
        struct piece *p = &t->piece[i];

        p->at = total;
        p->len = p->n;
        for (size_t b = 0; b < p->n; b++)
            t->syms[total++] = (unsigned char)p->s[b];
    }
    return true;
}

/* --- pairs ------------------------------------------------------------------------------- */

/* Keys are kept one higher so that no pair is 0. */
static uint64_t key_of(uint32_t a, uint32_t b)
{
    return ((uint64_t)a << 32 | b) + 1;
}

static size_t slot_of(const struct pair *v, size_t slots, uint64_t key)
{
    size_t k = mm_hash64(&key, sizeof(key)) & (slots - 1);

    while (v[k].key && v[k].key != key)
        k = (k + 1) & (slots - 1);
    return k;
}

static void count_pair(struct trainer *t, uint32_t a, uint32_t b, int64_t count)
{
    const uint64_t key = key_of(a, b);

    if (2 * (t->npairs + 1) > t->pair_slots) {
        const size_t slots = t->pair_slots ? 2 * t->pair_slots : 4096;
        struct pair *v = calloc(slots, sizeof(*v));

        if (!v) {
            t->failed = true;
            return;
        }
        t->npairs = 0;
        for (size_t i = 0; i < t->pair_slots; i++)
            if (t->pair[i].count) {
                v[slot_of(v, slots, t->pair[i].key)] = t->pair[i];
                t->npairs++;
            }
        free(t->pair);
        t->pair = v;
        t->pair_slots = slots;
    }
    struct pair *p = &t->pair[slot_of(t->pair, t->pair_slots, key)];
    t->npairs += !p->key;
    p->key = key;
    p->count += count;
}

static void count_piece(struct trainer *t, const struct piece *p, int64_t times)
{
    for (size_t i = 0; i + 1 < p->len; i++)
        count_pair(t, t->syms[p->at + i], t->syms[p->at + i + 1], times * p->count);
}

/* The most frequent pair, of equal ones the lowest; NULL: none is frequent enough. */
static const struct pair *best_pair(const struct trainer *t)
{
    const struct pair *best = NULL;

    for (size_t i = 0; i < t->pair_slots; i++) {
        const struct pair *p = &t->pair[i];

        if (p->count >= (int64_t)t->s->least && p->count > 0 &&
            (!best || p->count > best->count || (p->count == best->count && p->key < best->key)))
            best = p;
    }
    return best;
}

/* a b becomes c in a piece that holds it. */
static void merge_piece(struct trainer *t, struct piece *p, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t *v = t->syms + p->at;
    size_t i = 0, k = 0;

    while (i + 1 < p->len && !(v[i] == a && v[i + 1] == b))
        i++;
    if (i + 1 >= p->len)
        return;
    count_piece(t, p, -1);
    for (k = i; i < p->len; k++) {
        const bool here = i + 1 < p->len && v[i] == a && v[i + 1] == b;

        v[k] = here ? c : v[i];
        i += here ? 2 : 1;
    }
    p->len = k;
    count_piece(t, p, 1);
}

static bool add_token(struct trainer *t, const char *a, size_t na, const char *b, size_t nb)
{
    if (!mm_grow(&t->token, &t->token_cap, t->ntokens + 1, sizeof(*t->token)))
        return false;
    struct mm_buf *x = &t->token[t->ntokens++];
    *x = (struct mm_buf){ 0 };
    mm_buf_add(x, a, na);
    mm_buf_add(x, b, nb);
    return !x->failed;
}

static bool merge_all(struct trainer *t, size_t most)
{
    for (size_t i = 0; i < t->npieces; i++)
        count_piece(t, &t->piece[i], 1);
    while (!t->failed && t->ntokens < most) {
        const struct pair *best = best_pair(t);

        if (!best)
            break;
        const uint64_t key = best->key - 1;
        const uint32_t a = (uint32_t)(key >> 32), b = (uint32_t)key, c = (uint32_t)t->ntokens;
        const struct mm_buf x = t->token[a], y = t->token[b];
        if (!mm_grow(&t->merge, &t->merge_cap, t->nmerges + 1, sizeof(*t->merge)) ||
            !add_token(t, x.p, x.n, y.p, y.n))
            return false;
        t->merge[t->nmerges++] = key;
        for (size_t i = 0; i < t->npieces; i++)
            merge_piece(t, &t->piece[i], a, b, c);
    }
    return !t->failed;
}

/* --- writing ------------------------------------------------------------------------------- */

static void quote_token(struct mm_buf *out, const struct trainer *t, size_t i)
{
    struct mm_buf b = { 0 };

    mm_bytelevel_encode(&b, t->token[i].p, t->token[i].n);
    mm_json_quote(out, b.p, b.n);
    out->failed |= b.failed;
    mm_buf_free(&b);
}

static void put_added(struct mm_buf *o, const char *const *special, size_t first)
{
    mm_buf_str(o, "  \"added_tokens\": [\n");
    for (size_t i = 0; special[i]; i++)
        mm_buf_printf(o, "    { \"id\": %zu, \"content\": \"%s\", \"single_word\": false, "
                      "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                      "\"special\": true }%s\n", first + i, special[i], special[i + 1] ? "," : "");
    mm_buf_str(o, "  ],\n");
}

/* What stands around a text. */
static void put_post(struct mm_buf *o, bool clip, const char *const *special, size_t first)
{
    const char *bos = special[clip ? 0 : 1], *eos = clip ? special[1] : NULL;
    const size_t ids[2] = { first + (clip ? 0 : 1), first + 1 };
    const char *const names[2] = { bos, eos };

    mm_buf_str(o, "  \"post_processor\": { \"type\": \"TemplateProcessing\",\n    \"single\": [ ");
    mm_buf_printf(o, "{ \"SpecialToken\": { \"id\": \"%s\", \"type_id\": 0 } }, "
                  "{ \"Sequence\": { \"id\": \"A\", \"type_id\": 0 } }", bos);
    if (eos)
        mm_buf_printf(o, ", { \"SpecialToken\": { \"id\": \"%s\", \"type_id\": 0 } }", eos);
    mm_buf_printf(o, " ],\n    \"pair\": [ { \"Sequence\": { \"id\": \"A\", \"type_id\": 0 } }, "
                  "{ \"Sequence\": { \"id\": \"B\", \"type_id\": 1 } } ],\n"
                  "    \"special_tokens\": { ");
    for (int i = 0; i < 2 && names[i]; i++)
        mm_buf_printf(o, "%s\"%s\": { \"id\": \"%s\", \"ids\": [ %zu ], \"tokens\": [ \"%s\" ] }",
                      i ? ", " : "", names[i], names[i], ids[i], names[i]);
    mm_buf_str(o, " } },\n");
}

static void put_model(struct mm_buf *o, const struct trainer *t, const char *const *special,
                      size_t first, size_t shift)
{
    mm_buf_str(o, "  \"model\": { \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null,\n"
               "    \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
               "    \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false,\n"
               "    \"vocab\": {\n");
    for (size_t i = 0; shift && special[i]; i++)
        mm_buf_printf(o, "      \"%s\": %zu,\n", special[i], first + i);
    for (size_t i = 0; i < t->ntokens; i++) {
        mm_buf_str(o, "      ");
        quote_token(o, t, i);
        mm_buf_printf(o, ": %zu%s\n", i + shift, i + 1 < t->ntokens || !shift ? "," : "");
    }
    for (size_t i = 0; !shift && special[i]; i++)
        mm_buf_printf(o, "      \"%s\": %zu%s\n", special[i], first + i,
                      special[i + 1] ? "," : "");
    mm_buf_str(o, "    },\n    \"merges\": [\n");
    for (size_t i = 0; i < t->nmerges; i++) {
        mm_buf_str(o, "      [ ");
        quote_token(o, t, t->merge[i] >> 32);
        mm_buf_str(o, ", ");
        quote_token(o, t, (uint32_t)t->merge[i]);
        mm_buf_printf(o, " ]%s\n", i + 1 < t->nmerges ? "," : "");
    }
    mm_buf_str(o, "    ] }\n}\n");
}

static void put_all(struct mm_buf *json, struct mm_buf *config, const struct trainer *t)
{
    const bool clip = t->s->style == MM_BPETRAIN_CLIP;
    const char *const *special = clip ? clip_special : llama_special;
    const size_t first = clip ? t->ntokens : 0, shift = clip ? 0 : 5;

    mm_buf_str(json, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(json, special, first);
    mm_buf_str(json, "  \"normalizer\": null,\n"
               "  \"pre_tokenizer\": { \"type\": \"ByteLevel\", \"add_prefix_space\": false, "
               "\"trim_offsets\": true, \"use_regex\": true },\n");
    put_post(json, clip, special, first);
    mm_buf_str(json, "  \"decoder\": { \"type\": \"ByteLevel\", \"add_prefix_space\": false, "
               "\"trim_offsets\": true, \"use_regex\": true },\n");
    put_model(json, t, special, first, shift);
    mm_buf_printf(config, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
                  "  \"bos_token\": \"%s\",\n  \"eos_token\": \"%s\",\n  \"unk_token\": \"%s\",\n"
                  "  \"pad_token\": \"%s\",\n  \"clean_up_tokenization_spaces\": false,\n"
                  "  \"model_input_names\": [\"input_ids\", \"attention_mask\"],\n"
                  "  \"model_max_length\": 1000000\n}\n", special[clip ? 0 : 1],
                  special[clip ? 1 : 2], special[clip ? 1 : 0], special[clip ? 1 : 3]);
}

static void trainer_free(struct trainer *t)
{
    for (size_t i = 0; i < t->ntokens; i++)
        mm_buf_free(&t->token[i]);
    free(t->token);
    free(t->piece);
    free(t->syms);
    free(t->pair);
    free(t->merge);
}

int mm_bpetrain(struct mm_buf *json, struct mm_buf *config, const char *text, size_t n,
                const struct mm_bpetrain_spec *s, struct mm_err *e)
{
    const size_t special = s->style == MM_BPETRAIN_CLIP ? 2 : 5;
    struct trainer t = { .s = s };
    bool ok = true;
    int rc = 0;

    if (s->vocab < 256 + special)
        return mm_err_set(e, MM_EDATA, "a vocabulary of %zu: the bytes and %zu special tokens "
                          "need %zu", s->vocab, special, 256 + special);
    if (mm_utf8_valid(text, n) != n)
        return mm_err_set(e, MM_EDATA, "the text is no UTF-8");
    for (int b = 0; ok && b < 256; b++)
        ok = add_token(&t, &(char){ (char)b }, 1, NULL, 0);
    if (ok && (rc = cut(&t, text, n, e)) == 0)
        ok = spell(&t) && merge_all(&t, s->vocab - special);
    if (ok && rc == 0)
        put_all(json, config, &t);
    if (rc == 0 && (!ok || json->failed || config->failed))
        rc = mm_err_set(e, MM_ENOMEM, "out of memory");
    trainer_free(&t);
    return rc;
}
