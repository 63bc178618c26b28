/* template.h: conversation templates by name: what a chat model was tuned on.
 *
 * vicuna_v1 (v1), llava_v1, llava_hf, llava_v0 (v0), llava_llama_2, mistral_instruct,
 * mpt, chatml, chatml_direct, llama3, plain.  The exact bytes are wire constants.
 */
#ifndef MM_TEXT_TEMPLATE_H
#define MM_TEXT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

struct mm_template; /* static tables, never freed */

/* mm_template_named: NULL if there is none; mm_template_names: NULL-terminated. */
const struct mm_template *mm_template_named(const char *name);
const char *const *mm_template_names(void);
const char *mm_template_name(const struct mm_template *t);

/* mm_template_recognise: the template that a checkpoint's chat_template (Jinja
 * text) stands for.  MM_EMISSING (names --template) when it is not known. */
MM_MUST_CHECK int mm_template_recognise(const struct mm_template **t, const char *jinja,
                                        struct mm_err *e);

enum mm_role { MM_ROLE_SYSTEM, MM_ROLE_USER, MM_ROLE_ASSISTANT };

/* Rendering is piecewise so that user text can be tokenized without parsing
 * special tokens: each piece is template text or user text. */
struct mm_piece {
    char *s;
    size_t n;
    bool user; /* text of a turn: specials are not parsed */
};
struct mm_pieces {
    struct mm_piece *v;
    size_t n, cap;
};
void mm_pieces_free(struct mm_pieces *p);

struct mm_turn {
    enum mm_role role;
    const char *text;
    size_t n;
};

/* mm_template_render: the turns (a system turn first replaces the template's
 * own system text; an empty one removes it) up to where an answer begins, if
 * `open`; BOS is the tokenizer's.  MM_ENOMEM, MM_EDATA (roles out of order). */
MM_MUST_CHECK int mm_template_render(const struct mm_template *t, struct mm_pieces *out,
                                     const struct mm_turn *turns, size_t n, bool open,
                                     struct mm_err *e);

/* Stop strings beside EOS, NULL-terminated. */
const char *const *mm_template_stops(const struct mm_template *t);

#endif
