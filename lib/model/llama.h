/* llama.h: the LLaMA family (LLaMA, Vicuna, Mistral, TinyLlama, SmolLM2): pre-norm
 * decoder with RMSNorm, RoPE, grouped-query attention and SwiGLU
 * (Touvron et al. 2023; llava.md 7).  One forward pass for inference (with a
 * KV cache) and training (with a tape).
 */
#ifndef MM_MODEL_LLAMA_H
#define MM_MODEL_LLAMA_H

#include "nn/param.h"
#include "weights/ckpt.h"

enum mm_rope_kind { MM_ROPE_PLAIN, MM_ROPE_LINEAR, MM_ROPE_DYNAMIC, MM_ROPE_LLAMA3, MM_ROPE_YARN };

struct mm_llama_config {
    int64_t dim, ffn, layers, heads, kv_heads, head_dim, vocab, context, window;
    float eps;
    double theta;
    bool tied, halves; /* halves: rotate-half pairs (HF); GGUF stores interleaved rows */
    enum mm_rope_kind rope;
    double rope_factor, rope_low, rope_high, rope_beta_fast, rope_beta_slow, rope_attn; /* rope_attn 0: by formula */
    int64_t rope_original;
    const float *rope_divisors; /* GGUF rope_freqs.weight [head_dim/2], or NULL */
    int32_t bos;                /* from the configuration, -1 if absent */
    int32_t eos[16];            /* generation_config.json, config.json or GGUF */
    int neos;
};

struct mm_llama;

/* mm_llama_open: take the language model's tensors (HF names with every prefix
 * LLaVA checkpoints use, Meta names, GGUF names) from ck, which must outlive
 * it.  MM_EDATA lists every missing, odd or surplus tensor; MM_EMISSING for
 * another architecture. */
MM_MUST_CHECK int mm_llama_open(struct mm_llama **m, const struct mm_ckpt *ck, struct mm_err *e);
void mm_llama_free(struct mm_llama *m); /* takes NULL */
const struct mm_llama_config *mm_llama_config(const struct mm_llama *m);
struct mm_params *mm_llama_params(struct mm_llama *m);

/* --- KV cache ---------------------------------------------------------------
 * One per sequence: keys after RoPE and values, [layer][kv_head][pos][head_dim],
 * f16 or f32.  Grows in steps; positions 0..n-1 are filled. */
struct mm_kv;
MM_MUST_CHECK int mm_kv_new(struct mm_kv **kv, const struct mm_llama *m, enum mm_dtype dtype,
                            struct mm_err *e);
void mm_kv_free(struct mm_kv *kv); /* takes NULL */
size_t mm_kv_len(const struct mm_kv *kv);
void mm_kv_truncate(struct mm_kv *kv, size_t n); /* n <= length */
MM_MUST_CHECK int mm_kv_copy(struct mm_kv *dst, const struct mm_kv *src, struct mm_err *e);
/* mm_kv_tensors: the filled part of layer l as [kv_heads][n][head_dim] copied
 * to / from k and v (dtype of the cache), for saved states. */
MM_MUST_CHECK int mm_kv_export(const struct mm_kv *kv, size_t layer, void *k, void *v);
MM_MUST_CHECK int mm_kv_import(struct mm_kv *kv, size_t n, size_t layer, const void *k,
                               const void *v, struct mm_err *e);
enum mm_dtype mm_kv_dtype(const struct mm_kv *kv);

/* --- forward ------------------------------------------------------------------ */

/* One sequence's share of a batch: its next n rows of input. */
struct mm_seq {
    struct mm_kv *kv; /* extended by n positions; NULL: none kept (training) */
    size_t n;
};

/* mm_llama_embed: rows of the embedding table. Ids outside the vocabulary: NULL
 * and ctx->err (MM_EDATA). */
struct mm_var *mm_llama_embed(struct mm_ctx *c, const struct mm_llama *m, const int32_t *ids,
                              size_t n);

/* mm_llama_hidden: x [sum of n, dim], the sequences' rows one after another ->
 * hidden states after the final norm, same shape.  Stages traced: embeddings,
 * layers.0.attn_norm, layers.0.q_rope, layers.0.k_rope, layers.0.attn,
 * layers.0.mlp_norm, layers.0.mlp, layers.N, norm. */
struct mm_var *mm_llama_hidden(struct mm_ctx *c, const struct mm_llama *m, struct mm_var *x,
                               const struct mm_seq *seqs, size_t nseq);

/* mm_llama_logits: h [n, dim] -> [n, vocab]. */
struct mm_var *mm_llama_logits(struct mm_ctx *c, const struct mm_llama *m, const struct mm_var *h);

#endif
