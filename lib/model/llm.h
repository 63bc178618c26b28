/* llm.h: a language model with what belongs to it: checkpoint and adapters,
 * tokenizer, how pictures are marked, what ends an answer.
 */
#ifndef MM_MODEL_LLM_H
#define MM_MODEL_LLM_H

#include "model/llama.h"
#include "model/llava.h"
#include "model/prompt.h"
#include "nn/grammar.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "weights/adapt.h"

enum { MM_LLM_EOS = 64, MM_LLM_NEVER = 8 };

struct mm_llm {
    struct mm_ckpt *ck;
    struct mm_llama *m;
    struct mm_tok *tok;              /* NULL: the model has none */
    struct mm_llava_config llava;
    struct mm_prompt_spec prompt;
    int32_t eos[MM_LLM_EOS];         /* what ends an answer */
    size_t neos;
    int32_t never[MM_LLM_NEVER];     /* placeholders that are no text */
    size_t nnever;
    size_t limit;                    /* ids from here on are padding of the head; 0: none */
    uint64_t fingerprint;
};

/* mm_llm_open: the names in spec are looked up as mm_ckpt_find does; weights are
 * packed when a second pass begins.  MM_ENOENT, MM_EDATA, MM_EMISSING as of its parts. */
MM_MUST_CHECK int mm_llm_open(struct mm_llm *l, const struct mm_adapt_spec *spec,
                              struct mm_err *e);
void mm_llm_close(struct mm_llm *l); /* takes a zeroed one */

/* mm_llm_template: by name, or what the checkpoint names (name NULL): its
 * chat_template, else for LLaVA by the name of its directory as the original does;
 * "auto": that, or llava_hf.
 * Its stop texts that are tokens here are added to eos.
 * MM_EUSAGE for an unknown name, MM_EMISSING (names --template). */
MM_MUST_CHECK int mm_llm_template(const struct mm_template **t, struct mm_llm *l,
                                  const char *name, struct mm_err *e);

/* mm_llm_grammar: a grammar (GBNF) or, with schema, a JSON Schema from the file at
 * path, and the vocabulary it holds.  MM_EMISSING without a tokenizer. */
MM_MUST_CHECK int mm_llm_grammar(struct mm_gram **g, struct mm_gvocab **v, const struct mm_llm *l,
                                 const char *path, bool schema, struct mm_err *e);

#endif
