/* ggufbpe.c: GGUF's "gpt2" kind of vocabulary: byte-level BPE whose way of
 * cutting words is known by a name only (tokenizer.ggml.pre).
 *
 * The patterns are those of the models' own tokenizer.json, under the names that
 * llama.cpp gives them (src/llama-vocab.cpp). */
#include <string.h>

#include "text/hfjson.h"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SHORTS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LLAMA3 SHORTS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL
#define QWEN2 SHORTS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TAIL
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(shorts) "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" shorts \
    "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" shorts
#define BLOOM " ?[^(\\s|.,!?…。，、।۔،)]+"
#define CJK "[一-龥ࠀ-一가-퟿]+"
/* DeepSeek's: letters with two cases, as of its own table. */
#define CASED_LETTERS "[" \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}" \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}" \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}" \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}" \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}" \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}" \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}" \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}" \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}" \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}" \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}" \
    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}" \
    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}" \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}" \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}" \
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}" \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}" \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}" "]"

struct way {
    const char *names; /* separated by spaces */
    const char *patterns[6];
    bool ignore_merges;
};

static const struct way ways[] = {
    { "default",
      { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" }, false },
    { "gpt-2 mpt olmo jais phi-2 trillion jina-es jina-de jina-v2-es jina-v2-de gigachat "
      "roberta-bpe granite-docling a.x-4.0 mellum",
      { GPT2 }, false },
    { "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", { LLAMA3 }, true },
    { "dbrx smaug-bpe glm4 chatglm-bpe", { LLAMA3 }, false },
    { "qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan kormo", { QWEN2 }, false },
    { "smollm starcoder refact command-r codeshell exaone minerva-7b", { "\\p{N}", GPT2 }, false },
    { "falcon", { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]" }, false },
    { "deepseek-llm",
      { "[\\r\\n]", "\\s?" CASED_LETTERS "+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CJK,
        "\\p{N}+" }, false },
    { "deepseek-coder", { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}" }, false },
    { "deepseek-v3 hunyuan-dense",
      { "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
        "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" }, false },
    { "bloom poro-chat gpt3-finnish", { BLOOM }, false },
    { "viking", { BLOOM, "\\p{N}" }, false },
    { "tekken", { CASED("") "|\\p{N}" TAIL_SLASH }, true },
    { "gpt-4o llama4", { CASED(SHORTS "?") "|\\p{N}{1,3}" TAIL_SLASH }, false },
};

static bool has_name(const char *names, const char *name)
{
    const size_t n = strlen(name);

    if (n == 0 || strchr(name, ' '))
        return false;
    for (const char *p = names; (p = strstr(p, name)) != NULL; p++)
        if ((p == names || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' '))
            return true;
    return false;
}

static const struct way *find_way(const char *pre)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (has_name(ways[i].names, pre))
            return &ways[i];
    return NULL;
}

static int make_model(struct mm_tok *t, const struct mm_str *merges, size_t n, bool ignore,
                      struct mm_err *e)
{
    struct mm_hf *h = t->impl;
    const struct mm_bpe_conf c = {
        .vocab = &t->vocab, .unk = t->unk, .ignore_merges = ignore, .skip_unknown = true
    };
    struct mm_bpe *b = NULL;
    int r = mm_bpe_new(&b, &c, e);

    for (size_t i = 0; i < n && r == 0; i++)
        r = mm_bpe_merge_line(b, merges[i].s, merges[i].n, e);
    if (r < 0) {
        mm_bpe_free(b);
        return mm_err_prefix(e, "tokenizer.ggml.merges");
    }
    return mm_hfmodel_bpe(&h->model, b, e);
}

int mm_tok_gguf_bpe_open(struct mm_tok *t, const struct mm_str *merges, size_t nmerges,
                         const char *pre, struct mm_err *e)
{
    const struct way *w = find_way(pre ? pre : "default");
    struct mm_hf *h = mm_hf_new(t);
    size_t n = 0;
    json_t *root;
    int r;

    if (!h)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    if (!w)
        return mm_err_set(e, MM_EMISSING, "tokenizer.ggml.pre: pre-tokenizer '%s' is not known",
                          pre);
    while (n < sizeof(w->patterns) / sizeof(w->patterns[0]) && w->patterns[n])
        n++;
    if ((r = make_model(t, merges, nmerges, w->ignore_merges, e)) < 0 ||
        (r = mm_hfpre_patterns(&h->pre, w->patterns, n, e)) < 0)
        return r;
    root = json_pack("{s:{s:s}}", "decoder", "type", "ByteLevel");
    r = root ? mm_hf_fill(t, root, e) : mm_err_set(e, MM_ENOMEM, "out of memory");
    json_decref(root);
    return r;
}
