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
#define CASED_LETTERS "[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷ" \
    "ᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎ" \
    "ↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]"

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
    { "qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan", { QWEN2 }, false },
    { "smollm starcoder refact command-r codeshell exaone minerva-7b", { "\\p{N}", GPT2 }, false },
    { "falcon", { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]" }, false },
    { "deepseek-llm",
      { "[\\r\\n]", "\\s?" CASED_LETTERS "+", "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", CJK,
        "\\p{N}+" }, false },
    { "deepseek-coder", { "[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, "\\p{N}" }, false },
    { "deepseek-v3",
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
        return mm_err_set(e, MM_EMISSING, "tokenizer.ggml.pre: pre-tokenizer '%s' is not known", pre);
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
