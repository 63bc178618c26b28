/* chat.h: a conversation and its prompt: all turns rendered anew by a template,
 * pictures in the first user turn (llava.md 8).
 */
#ifndef MM_MODEL_CHAT_H
#define MM_MODEL_CHAT_H

#include "model/generate.h"
#include "model/prompt.h"
#include "text/template.h"

struct mm_chat {
    const struct mm_template *t;
    bool start_end;          /* pictures stand between <im_start> and <im_end> */
    struct mm_turn *turn;    /* texts are owned */
    size_t n, cap;
    struct mm_parts first;   /* what the first user turn became, with its pictures */
};

void mm_chat_free(struct mm_chat *c); /* takes a zeroed one */

/* mm_chat_say: one more turn; a copy of s[n] is kept.  The first user turn takes all
 * of media: where its text has markers, else in front of it.  media may be
 * NULL.  MM_EDATA as mm_parts_fill, MM_ENOMEM. */
MM_MUST_CHECK int mm_chat_say(struct mm_chat *c, enum mm_role role, const char *s, size_t n,
                              struct mm_parts *media, struct mm_err *e);

/* mm_chat_prompt: the parts of the conversation up to where an answer begins;
 * they borrow from c.  MM_ENOMEM, MM_EDATA. */
MM_MUST_CHECK int mm_chat_prompt(const struct mm_chat *c, struct mm_parts *parts,
                                 struct mm_err *e);

/* mm_chat_answer: the model's next turn, which becomes part of the conversation.
 * All turns are tokenized anew, but the engine computes only what it does not
 * remember.  number, emit and arg as of struct mm_request. */
MM_MUST_CHECK int mm_chat_answer(struct mm_chat *c, struct mm_gen *g,
                                 const struct mm_prompt_spec *spec, uint64_t number,
                                 struct mm_answer *a, mm_emit_fn *emit, void *arg,
                                 struct mm_err *e);

#endif
