/* peft.c: see peft.h. */
#include "weights/peft.h"

#include <stdio.h>
#include <string.h>

#include "weights/convert.h"

static const struct {
    const char *gguf, *hf;
    enum mm_peft_rows rows;
} linear[] = {
    { "attn_q", "self_attn.q_proj", MM_PEFT_QUERY_ROWS },
    { "attn_k", "self_attn.k_proj", MM_PEFT_KEY_ROWS },
    { "attn_v", "self_attn.v_proj", MM_PEFT_ANY_ROWS },
    { "attn_output", "self_attn.o_proj", MM_PEFT_ANY_ROWS },
    { "ffn_gate", "mlp.gate_proj", MM_PEFT_ANY_ROWS },
    { "ffn_up", "mlp.up_proj", MM_PEFT_ANY_ROWS },
    { "ffn_down", "mlp.down_proj", MM_PEFT_ANY_ROWS },
};
enum { NLINEAR = sizeof(linear) / sizeof(*linear) };

static const char *const ends[][2] = { { "token_embd", "model.embed_tokens" },
                                       { "output", "lm_head" } };
enum { NENDS = sizeof(ends) / sizeof(*ends) };

/* "PREFIXn.REST": n's value and REST; NULL: it is not. */
static const char *layer_of(int *layer, const char *s, const char *prefix)
{
    const size_t n = strlen(prefix);
    int used = 0;

    if (strncmp(s, prefix, n) || sscanf(s + n, "%6d%n", layer, &used) != 1 || *layer < 0 ||
        s[n + (size_t)used] != '.')
        return NULL;
    return s + n + used + 1;
}

bool mm_peft_from_gguf(struct mm_peft_module *m, const char *module)
{
    int layer;
    const char *rest = layer_of(&layer, module, "blk.");

    for (int i = 0; rest && i < NLINEAR; i++)
        if (!strcmp(rest, linear[i].gguf)) {
            snprintf(m->name, sizeof(m->name), "model.layers.%d.%s", layer, linear[i].hf);
            m->rows = linear[i].rows;
            return true;
        }
    for (int i = 0; i < NENDS; i++)
        if (!strcmp(module, ends[i][0])) {
            snprintf(m->name, sizeof(m->name), "%s", ends[i][1]);
            m->rows = MM_PEFT_ANY_ROWS;
            return true;
        }
    return false;
}

bool mm_peft_to_gguf(struct mm_peft_module *m, const char *module)
{
    static const char *const prefixes[] = { "model.layers.", "language_model.model.layers.",
                                            "model.language_model.layers." };
    static const char llava[] = "language_model.";
    const char *rest = NULL;
    int layer;

    for (size_t i = 0; !rest && i < sizeof(prefixes) / sizeof(*prefixes); i++)
        rest = layer_of(&layer, module, prefixes[i]);
    for (int i = 0; rest && i < NLINEAR; i++)
        if (!strcmp(rest, linear[i].hf)) {
            snprintf(m->name, sizeof(m->name), "blk.%d.%s", layer, linear[i].gguf);
            m->rows = linear[i].rows;
            return true;
        }
    if (!strncmp(module, llava, sizeof(llava) - 1))
        module += sizeof(llava) - 1;
    for (int i = 0; i < NENDS; i++)
        if (!strcmp(module, ends[i][1])) {
            snprintf(m->name, sizeof(m->name), "%s", ends[i][0]);
            m->rows = MM_PEFT_ANY_ROWS;
            return true;
        }
    return false;
}

void mm_peft_turn(float *restrict out, const float *restrict in, size_t rows, size_t cols,
                  size_t heads, enum mm_peft_way way)
{
    for (size_t r = 0; r < rows; r++) {
        const size_t hf = mm_convert_rope_row(r, rows / heads);
        const size_t to = way == MM_PEFT_TO_GGUF ? r : hf, from = way == MM_PEFT_TO_GGUF ? hf : r;

        memcpy(out + to * cols, in + from * cols, cols * sizeof(*out));
    }
}
