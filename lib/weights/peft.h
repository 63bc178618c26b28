/* peft.h: the linear layers of a GGUF of the LLaMA family as Hugging Face's model, and so
 * the peft package, calls them: an adapter of one fits the other.
 *
 *   blk.N.attn_q   model.layers.N.self_attn.q_proj   and so on
 *
 * In attn_q and attn_k the rows of W, and of an adapter's B, stand in GGUF's order of
 * RoPE pairs (convert.h).
 */
#ifndef MM_WEIGHTS_PEFT_H
#define MM_WEIGHTS_PEFT_H

#include <stdbool.h>
#include <stddef.h>

/* Whose heads the rows of a module are, as far as RoPE turns them. */
enum mm_peft_rows { MM_PEFT_ANY_ROWS, MM_PEFT_QUERY_ROWS, MM_PEFT_KEY_ROWS };

struct mm_peft_module {
    char name[128];
    enum mm_peft_rows rows;
};

/* mm_peft_from_gguf: Hugging Face's name of a GGUF's module (a tensor's name without
 * .weight); mm_peft_to_gguf: the other way, also from a LLaVA's language_model.model. .
 * false, and *m unchanged, for what is no linear layer of the language model. */
bool mm_peft_from_gguf(struct mm_peft_module *m, const char *module);
bool mm_peft_to_gguf(struct mm_peft_module *m, const char *module);

enum mm_peft_way { MM_PEFT_FROM_GGUF, MM_PEFT_TO_GGUF };

/* mm_peft_turn: the rows of in[rows, cols] in the other order; heads divides rows into
 * even parts.  out may not be in. */
void mm_peft_turn(float *restrict out, const float *restrict in, size_t rows, size_t cols,
                  size_t heads, enum mm_peft_way way);

#endif
