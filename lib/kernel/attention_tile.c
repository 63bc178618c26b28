/* attention_tile.c: products of attention in plain C. */
#include "kernel/attention_tile.h"

/* Element i of a panel. */
static float panel_at(const void *b, size_t i, int f16)
{
    return f16 ? mm_f16_to_f32(((const uint16_t *)b)[i]) : ((const float *)b)[i];
}

static void scores(float *s, const float *a, size_t ak, const void *panels, size_t dim, size_t n,
                   int mr, int f16)
{
    const size_t rows = (size_t)mr;

    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n * MM_NR; j++) {
            float sum = 0;
            for (size_t i = 0; i < dim; i++)
                sum += a[i * ak + r] *
                       panel_at(panels, (j / MM_NR * dim + i) * MM_NR + j % MM_NR, f16);
            s[r * MM_ATTN_LD + j] = sum;
        }
}

static void values(float *o, const float *p, const void *v, size_t v_panel, size_t keys, size_t n,
                   int mr, int f16)
{
    for (size_t r = 0; r < (size_t)mr; r++)
        for (size_t j = 0; j < n * MM_NR; j++) {
            float sum = 0;
            for (size_t i = 0; i < keys; i++)
                sum += p[r * MM_ATTN_LD + i] *
                       panel_at(v, j / MM_NR * v_panel + i * MM_NR + j % MM_NR, f16);
            o[r * n * MM_NR + j] = sum;
        }
}

static void scores_f32(float *s, const float *a, size_t ak, const void *panels, size_t dim,
                       size_t n, int mr)
{
    scores(s, a, ak, panels, dim, n, mr, 0);
}

static void scores_f16(float *s, const float *a, size_t ak, const void *panels, size_t dim,
                       size_t n, int mr)
{
    scores(s, a, ak, panels, dim, n, mr, 1);
}

static void values_f32(float *o, const float *p, const void *v, size_t v_panel, size_t keys,
                       size_t n, int mr)
{
    values(o, p, v, v_panel, keys, n, mr, 0);
}

static void values_f16(float *o, const float *p, const void *v, size_t v_panel, size_t keys,
                       size_t n, int mr)
{
    values(o, p, v, v_panel, keys, n, mr, 1);
}

void mm_attention_tile_init_c(struct mm_kern *k)
{
    k->attn_scores[0] = scores_f32;
    k->attn_scores[1] = scores_f16;
    k->attn_values[0] = values_f32;
    k->attn_values[1] = values_f16;
}
