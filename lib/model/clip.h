/* clip.h: CLIP's two towers (Radford et al. 2021), in every published layout:
 * Hugging Face, OpenAI TorchScript, open_clip, LLaVA's GGUF "mmproj".
 *
 * A tower is opened by itself: LLaVA checkpoints hold only the vision tower.
 */
#ifndef MM_MODEL_CLIP_H
#define MM_MODEL_CLIP_H

#include "nn/encoder.h"
#include "nn/param.h"
#include "weights/ckpt.h"

struct mm_clip_config {
    int64_t width, ffn, layers, heads;
    float eps;
    enum mm_act act;
    int64_t projection;  /* width of the shared space, 0: the tower has no projection */
    /* vision */
    int64_t image, patch;/* side of picture and patch in pixels */
    int64_t feature;     /* GGUF: blocks to run for the feature, else 0 */
    /* text */
    int64_t positions, vocab;
    int32_t eos;         /* pooled row: first eos; 2 (old configurations): highest id */
};

struct mm_clip_vision;
struct mm_clip_text;

/* --- vision ------------------------------------------------------------------- */

/* mm_clip_vision_open: config is CLIP's config.json when the checkpoint's own is
 * another model's (LLaVA 1.6 stores the tower but not its sizes), or NULL.
 * Sizes that no configuration gives are taken from the shapes.  MM_EDATA lists
 * the faults; MM_EMISSING: no vision tower. */
MM_MUST_CHECK int mm_clip_vision_open(struct mm_clip_vision **m, const struct mm_ckpt *ck,
                                      const json_t *config, struct mm_err *e);
void mm_clip_vision_free(struct mm_clip_vision *m); /* takes NULL */
const struct mm_clip_config *mm_clip_vision_config(const struct mm_clip_vision *m);
struct mm_params *mm_clip_vision_params(struct mm_clip_vision *m);

#define MM_CLIP_MAX_SELECT 8

/* Hidden states to select: 0 is the output of pre_layrnorm, i that of block i;
 * negative counts from the last.  Several are joined on the channel axis. */
struct mm_clip_select {
    int layer[MM_CLIP_MAX_SELECT];
    int n;
    bool cls;     /* keep the class token's row */
    bool pooled;  /* also run all blocks for pooled (and embed) */
};

struct mm_clip_out {
    struct mm_var *features; /* [B, P (+1), D * n] */
    struct mm_var *pooled;   /* [B, D] post-normed class token, or NULL */
    struct mm_var *embed;    /* [B, projection], or NULL without a projection */
};

/* mm_clip_select_ok: is every layer within the tower?  Else MM_EDATA. */
MM_MUST_CHECK int mm_clip_select_ok(const struct mm_clip_vision *m, const struct mm_clip_select *s,
                                    struct mm_err *e);

/* mm_clip_see: pixels [B, 3, S, S] normalised.  Blocks past the last one that
 * is wanted are not run.  Traces clip.patch_embed, clip.embeddings,
 * clip.pre_ln, clip.layers.N(.attn), clip.select(.full), clip.tokens,
 * clip.tokens_post_ln, clip.pooled, clip.embed(.norm).  On failure out's members are NULL. */
void mm_clip_see(struct mm_ctx *c, const struct mm_clip_vision *m, const struct mm_var *pixels,
                 const struct mm_clip_select *s, struct mm_clip_out *out);

/* mm_clip_embed: rows x [..., D] of the last hidden state, or of one before it, through
 * post_layernorm and visual_projection -> [..., projection].  Only with a projection. */
struct mm_var *mm_clip_embed(struct mm_ctx *c, const struct mm_clip_vision *m,
                             const struct mm_var *x);

/* --- text ------------------------------------------------------------------------ */

MM_MUST_CHECK int mm_clip_text_open(struct mm_clip_text **m, const struct mm_ckpt *ck,
                                    struct mm_err *e);
void mm_clip_text_free(struct mm_clip_text *m); /* takes NULL */
const struct mm_clip_config *mm_clip_text_config(const struct mm_clip_text *m);
struct mm_params *mm_clip_text_params(struct mm_clip_text *m);

/* mm_clip_ids_ok: can mm_clip_read take these n ids, T a text?  MM_EDATA: an id outside the
 * vocabulary, a T of more than the tower's positions. */
MM_MUST_CHECK int mm_clip_ids_ok(const struct mm_clip_text *m, const int32_t *ids, size_t n,
                                 int64_t T, struct mm_err *e);

/* mm_clip_read: ids [B][T] (padded after the end token, T <= positions, each
 * below vocab: MM_EDATA in c->err otherwise) -> pooled and embed (NULL without a projection).
 * Traces text.embeddings, text.layers.N(.attn), text.final_ln, text.pooled,
 * text.embed(.norm). */
void mm_clip_read(struct mm_ctx *c, const struct mm_clip_text *m, const int32_t *ids, int64_t B,
                  int64_t T, struct mm_clip_out *out);

#endif
