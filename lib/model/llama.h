/* llama.h: the LLaMA family (LLaMA, Vicuna, Mistral, TinyLlama, SmolLM2): pre-norm
 * decoder with RMSNorm, RoPE, grouped-query attention and SwiGLU
 * (Touvron et al. 2023; llava.md 7).  One forward pass for inference (with a
 * KV cache) and training (with a tape).
 */
#ifndef MM_MODEL_LLAMA_H
#define MM_MODEL_LLAMA_H

#include "nn/param.h"
#include "nn/rope.h"
#include "nn/kv.h"
#include "weights/ckpt.h"

#define MM_MAX_EOS 16

struct mm_llama_config {
    int64_t dim, ffn, layers, heads, kv_heads, head_dim, vocab;
    int64_t context;  /* positions the checkpoint was made for */
    int64_t window;   /* sliding window, 0: none */
    float eps;
    bool tied;        /* the head is the embedding table */
    bool halves;      /* RoPE pairs (i, i + d/2) (HF); else (2i, 2i + 1) (GGUF, Meta) */
    struct mm_rope_spec rope;
    int32_t bos;      /* -1: not in the configuration */
    int32_t eos[MM_MAX_EOS]; /* generation_config.json, else config.json, or the GGUF's */
    int neos;
};

/* mm_llama_configure: the hyper-parameters of the language model in ck (HF
 * config.json or its text_config, Meta's params.json, GGUF keys), published
 * defaults where a key is absent.  MM_EMISSING: not of this family. */
MM_MUST_CHECK int mm_llama_configure(struct mm_llama_config *c, const struct mm_ckpt *ck,
                                     struct mm_err *e);

struct mm_llama;

/* mm_llama_open: take the language model's tensors (HF names with every prefix
 * LLaVA checkpoints use, Meta names, GGUF names) from ck, which must outlive
 * it.  MM_EDATA lists every missing, odd or surplus tensor; MM_EMISSING for
 * another architecture. */
MM_MUST_CHECK int mm_llama_open(struct mm_llama **m, const struct mm_ckpt *ck, struct mm_err *e);
void mm_llama_free(struct mm_llama *m); /* takes NULL */
const struct mm_llama_config *mm_llama_config(const struct mm_llama *m);
struct mm_params *mm_llama_params(struct mm_llama *m);

/* mm_llama_packing: seconds that packing its weights took up to now. */
double mm_llama_packing(const struct mm_llama *m);

/* mm_llama_kv: an empty cache for one sequence, f16 or f32. */
MM_MUST_CHECK int mm_llama_kv(struct mm_kv **kv, const struct mm_llama *m, enum mm_dtype dtype,
                              struct mm_err *e);

/* --- forward ------------------------------------------------------------------ */

/* One sequence's share of a batch: its next n rows of input. */
struct mm_seq {
    struct mm_kv *kv; /* extended by n positions; NULL: none kept (training), then for all */
    size_t n;
    size_t rope_len;  /* length that a dynamic RoPE counts with; 0: cached + n.  A
                         prompt computed in chunks gives its whole length. */
};

/* Stages of a pass as tensor/times.h counts them, norms, sums and RoPE with the products
 * beside them.  Choosing tokens is generation's. */
enum mm_llama_stage {
    MM_LLAMA_PACK, /* weights, once, in the second pass */
    MM_LLAMA_EMBED,
    MM_LLAMA_QKV,
    MM_LLAMA_ATTENTION,
    MM_LLAMA_O,
    MM_LLAMA_MLP,
    MM_LLAMA_HEAD,
    MM_LLAMA_SAMPLING,
    MM_LLAMA_STAGES
};
const char *mm_llama_stage_name(enum mm_llama_stage s); /* "embed", "qkv", ... */

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

/* mm_llama_loss: x as mm_llama_hidden takes it, without caches -> scale * sum of the
 * cross-entropies of target[sum of n], negative: no target (mm_head_loss of tensor/op.h).
 * What no target needs is not computed. */
struct mm_var *mm_llama_loss(struct mm_ctx *c, const struct mm_llama *m, struct mm_var *x,
                             const struct mm_seq *seqs, size_t nseq, const int32_t *target,
                             float scale);

#endif
