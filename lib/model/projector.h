/* projector.h: LLaVA's connector: features of the vision tower to rows of the
 * language model's embedding space.
 *
 *   linear (v1):       y = W x + b
 *   mlpNx_gelu (v1.5): Linear, then N-1 times GELU (erf), Linear
 *
 * and the packing of v1.6's tiles (spatial_unpad with image_newline).
 */
#ifndef MM_MODEL_PROJECTOR_H
#define MM_MODEL_PROJECTOR_H

#include "model/llava.h"
#include "nn/param.h"

struct mm_projector;

/* mm_projector_open: from ck, or from mm_projector.bin beside it.  MM_EMISSING:
 * neither holds a projector; MM_EDATA lists the faults. */
MM_MUST_CHECK int mm_projector_open(struct mm_projector **p, const struct mm_ckpt *ck,
                                    struct mm_err *e);
void mm_projector_free(struct mm_projector *p); /* takes NULL */
int64_t mm_projector_in(const struct mm_projector *p);
int64_t mm_projector_out(const struct mm_projector *p);
struct mm_params *mm_projector_params(struct mm_projector *p);

const struct mm_var *mm_projector_newline(const struct mm_projector *p); /* [dim], or NULL */

/* mm_project: x [..., in] -> [..., out]; lapped as stage 0 (tensor/times.h).  Traces projector.0, projector.act, projector. */
struct mm_var *mm_project(struct mm_ctx *c, const struct mm_projector *p, const struct mm_var *x);

/* How the views of one picture lie. */
struct mm_views {
    int64_t views;            /* 1, or base view and grid_w * grid_h tiles */
    int64_t grid_w, grid_h;   /* tiles across and down, 0 for a single view */
    int64_t orig_w, orig_h;   /* pixels of the picture, for unpadding */
    bool anyres;              /* a lone view of an anyres picture gets a newline too */
    enum mm_merge merge;
    bool round7;
};

/* mm_pack_views: y [views, P, D] of one picture -> rows [n, D] that replace its
 * marker.  newline may be NULL with flat and spatial.  MM_EDATA in c->err when
 * the grid does not fit the views. */
struct mm_var *mm_pack_views(struct mm_ctx *c, const struct mm_var *y, const struct mm_views *v,
                             const struct mm_var *newline);

#endif
