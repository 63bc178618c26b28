/* kernel_table.h: the entries of the kernel table.  Included by kernel.h.
 *
 * Products of matrices run on panels, one layout for every ISA:
 *   A, f32   [k][mr]            mr <= MM_MR rows of activations, interleaved
 *   B, f32   [k][MM_NR]         MM_NR rows of weights, interleaved, zero padded
 *   A, int8  struct mm_q8_rows  as above, by groups of four k, one scale per 32
 *   B, int8  struct mm_q8_panel codes of quantised weights, scale per sub-block
 * Attention has keys as B panels [dim][MM_NR] and values as [keys][MM_NR].
 * Weights come from packed panels (packed.h).  The sum of an element of C runs
 * over k in the same order for any mr.
 */
#ifndef MM_KERNEL_KERNEL_TABLE_H
#define MM_KERNEL_KERNEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

enum {
    MM_MR = 12,                     /* most rows of an f32 A panel */
    MM_MR_FEW = 8,                  /* most rows of mul_packed */
    MM_MR8 = 6,                     /* most rows of an int8 A panel */
    MM_NR = 32,                     /* columns of every B panel */
    MM_QBLOCK = 32,                 /* activations that share a scale */
    MM_ATTN_CHUNK = 256,            /* keys of one pass of attention */
    MM_ATTN_LD = MM_ATTN_CHUNK + 16 /* from one row of its scores to the next */
};

/* mr rows of activations as signed bytes, interleaved: x[i] ~ d[i / 32] * q[i].
 * The sums over sub-blocks meet the zero points and minima of the weights.  Those of 16 do as
 * integers, 256 fix[0] + fix[1], times a step per 256. */
struct mm_q8_rows {
    int8_t *q;            /* [n / 4][mr][4], n rounded up to a multiple of 32, zero padded */
    float *d;             /* [n / 32][mr] */
    int32_t *neg32;       /* [n / 32][mr] minus the sum of q over 32 */
    int32_t *neg16;       /* [n / 16][mr] */
    float *sum32, *sum16; /* the same shapes: d times the sum of q */
    int8_t *fix[2];       /* [n / 64][mr][4], n a multiple of 256; NULL: no minima are added */
    float *step;          /* [n / 256][mr] */
};

/* How a quantised type is cut for int8: w = d * (code - zero) + m.  zero is a
 * power of two, or 0; types with a minimum have none. */
struct mm_q8_kind {
    unsigned char sub; /* elements of a scale: 16 or 32 */
    unsigned char zero;
    bool min;
    unsigned char bits; /* of a code */
    bool pairs;         /* scales and minima are integers, as below */
};
struct mm_q8_kind mm_q8_kind(enum mm_dtype d);

/* MM_NR rows of weights as unsigned codes.
 *
 * Of pairs, w = d * scale * (code - zero) - m * min, and sums of two sub-blocks are made as
 * integers: of 16 bits in each, and below 2^22 times the scales.  An element of C
 * is
 *   c - m * (sum of min times the sums of activations over 256) * step, where these are whole,
 *     + d * (scale n + scale' n') * (d of the activations) for each 32,
 * from left to right, with the float products rounded but the last, which is an fma. */
struct mm_q8_panel {
    uint8_t *q; /* [k / 4][MM_NR][4] */
    /* [k / sub][MM_NR], a half times a scale of 8 bits: 19 bits of fraction at most.  Pairs:
     * [k / 256][MM_NR], a half. */
    float *d;
    float *m;       /* the same shape, types with a minimum only */
    int32_t *scale; /* pairs only: [k / 16][MM_NR], 16 bits with a sign, under zeros */
    uint8_t *min;   /* pairs with a minimum only: [k / 64][MM_NR][4] */
    struct mm_q8_kind kind;
};

typedef void mm_widen_fn(float *y, const void *w, size_t n);
typedef void mm_unpack_fn(const struct mm_q8_panel *b, const void *packed, size_t k);
typedef void mm_map_fn(float *y, const float *x, size_t n);
typedef void mm_zip_fn(float *y, const float *a, const float *b, size_t n);
typedef void mm_norm_back_fn(float *dx, float *dw, float *db, const float *dy, const float *x,
                             const float *w, float eps, size_t n, bool add);
typedef void mm_attn_scores_fn(float *s, const float *a, size_t ak, const void *panels, size_t dim,
                               size_t n, int mr);
typedef void mm_attn_values_fn(float *o, const float *p, const void *v, size_t v_panel, size_t keys,
                               size_t n, int mr);
typedef void mm_mul_q8_fn(float *c, size_t ldc, const struct mm_q8_rows *a,
                          const struct mm_q8_panel *b, size_t k, int mr);
typedef void mm_mul_packed_fn(float *c, size_t ldc, const struct mm_q8_rows *a, const void *packed,
                              size_t k, int mr);
typedef void mm_mul_half_fn(float *c, size_t ldc, const float *a, const void *packed, size_t k,
                            int mr);

struct mm_kern {
    /* Vectors of n floats; y may be x, a or b. */
    float (*dot)(const float *a, const float *b, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);  /* y += a x */
    void (*scale)(float *y, float a, const float *x, size_t n); /* y = a x */
    mm_zip_fn *add;                                             /* y = a + b */
    mm_zip_fn *mul;                                             /* y = a b */
    mm_zip_fn *silu_mul; /* y = silu(a) b: SwiGLU (Shazeer 2020) */
    mm_map_fn *silu;     /* x sigmoid(x) */
    mm_map_fn *gelu;     /* x Phi(x), by erf (Hendrycks, Gimpel 2016) */
    mm_map_fn *gelu_tanh;
    mm_map_fn *quick_gelu;                  /* x sigmoid(1.702 x): CLIP */
    float (*max)(const float *x, size_t n); /* -INFINITY if n = 0; NaN is ignored */
    /* y = exp(x - m), returns the sum of y */
    float (*exp_sum)(float *y, const float *x, float m, size_t n);
    float (*exp2_sum)(float *y, const float *x, float m, size_t n); /* 2^(x - m) */
    /* y = x / sqrt(mean x^2 + eps) * w;  w may be NULL (all ones) */
    void (*rmsnorm)(float *y, const float *x, const float *w, float eps, size_t n);
    /* y = (x - mean) / sqrt(var + eps) * w + b; w, b may be NULL */
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, float eps,
                      size_t n);
    /* Backward.  y = the slope of an activation at x. */
    mm_map_fn *silu_slope;
    mm_map_fn *quick_gelu_slope;
    mm_map_fn *gelu_slope;
    /* dx = the gradient through rmsnorm, layernorm, from dy; dw, db += their own.  w, dw,
     * db may be NULL; dx is written, or, if add, added to; it may be dy. */
    mm_norm_back_fn *rmsnorm_back; /* db is not used */
    mm_norm_back_fn *layernorm_back;
    void (*to_f16)(uint16_t *y, const float *x, size_t n);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n);
    void (*from_f16)(float *y, const uint16_t *x, size_t n);

    /* Rows of weights, by dtype: F32, F16, BF16 and the quantised types (others
     * are NULL); n is a multiple of the block. */
    mm_widen_fn *widen[MM_NDTYPE];

    /* Quantised types only: k columns (whole blocks) of a packed panel. */
    mm_unpack_fn *unpack[MM_NDTYPE];
    /* The same as weights: w[k][MM_NR] of the codes, scales and minima of b. */
    void (*codes_f32)(float *w, const struct mm_q8_panel *b, size_t k);
    /* x[n] becomes row r of the mr rows a. */
    void (*quant_q8)(const struct mm_q8_rows *a, const float *x, size_t n, int mr, int r);
    /* fix and step of mr rows, n a multiple of 256, from sum16. */
    void (*fix_sums)(const struct mm_q8_rows *a, size_t n, int mr);

    /* Panels of 32-bit words (a float, or four codes).  pack_a: mr rows of n to
     * [n][mr].  pack_b: nr rows of n to [n][MM_NR], missing rows zero.  ld: words
     * from one row to the next. */
    void (*pack_a)(void *a, const void *x, size_t ld, size_t n, int mr);
    void (*pack_b)(void *b, const void *w, size_t ld, size_t n, int nr);
    /* The same for rows of n words or halves stride bytes apart, at any address. */
    void (*pack_words)(void *to, const void *w, size_t stride, size_t n, int nr);
    void (*pack_halves)(void *to, const void *w, size_t stride, size_t n, int nr);
    void (*turn_q3_k)(void *words); /* mm_panel_turn() of base/panel.h */
    /* c[mr][MM_NR] += A B over k: mul_f32 adds its sum, mul_q8 starts from c. */
    void (*mul_f32)(float *c, size_t ldc, const float *a, const float *b, size_t k, int mr);
    mm_mul_q8_fn *mul_q8[2][2]; /* [sub == 16][minimum] */
    /* For 1, 2, 4 or 8 rows, quantised types, or NULL: c += A B straight from packed
     * B, the same sums as unpack and mul_q8. */
    mm_mul_packed_fn *mul_packed[MM_NDTYPE];
    /* c += A B from packed B of F16 or BF16, or NULL: as widened and by mul_f32. */
    mm_mul_half_fn *mul_half[MM_NDTYPE];

    /* Attention, panels of [0] f32, [1] f16.  attn_scores: s[mr][MM_ATTN_LD] = A B,
     * A [dim][mr] with rows ak apart, n panels of keys one after another.  attn_values:
     * o[mr][n MM_NR] = P V, P [mr][MM_ATTN_LD], n panels of values v_panel apart.
     * A sum runs in the order of dim, or of keys, and is the same for every mr. */
    mm_attn_scores_fn *attn_scores[2];
    mm_attn_values_fn *attn_values[2];

    bool int8; /* do products of bytes pay here? */
};

#endif
