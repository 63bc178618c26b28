/* chat.c: see chat.h. */
#include "model/chat.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void mm_chat_free(struct mm_chat *c)
{
    for (size_t i = 0; i < c->n; i++)
        free((char *)(uintptr_t)c->turn[i].text);
    free(c->turn);
    mm_parts_free(&c->first);
}

/* The first user turn: its text, pictures at its markers or before it. */
static int first_turn(struct mm_chat *c, const char *s, size_t n, struct mm_parts *media,
                      struct mm_err *e)
{
    struct mm_buf front = { 0 };
    int rc = 0;

    if (media->n && mm_has_marker(s, n))
        return mm_parts_fill(&c->first, MM_PART_USER, s, n, media, e);
    for (size_t i = 0; i < media->n; i++)
        if (media->v[i].marker)
            mm_buf_printf(&front, "%s%s%s\n", c->start_end ? "<im_start>" : "",
                          media->v[i].marker, c->start_end ? "<im_end>" : "");
    if (front.failed)
        rc = mm_err_set(e, MM_ENOMEM, "chat: out of memory");
    else if (media->n)
        rc = mm_parts_fill(&c->first, MM_PART_TEXT, front.p ? front.p : "", front.n, media, e);
    mm_buf_free(&front);
    return rc < 0 ? rc : mm_parts_text(&c->first, MM_PART_USER, s, n, e);
}

int mm_chat_say(struct mm_chat *c, enum mm_role role, const char *s, size_t n,
                struct mm_parts *media, struct mm_err *e)
{
    struct mm_parts none = { 0 };
    char *copy = malloc(n + 1);

    if (!copy || !mm_grow(&c->turn, &c->cap, c->n + 1, sizeof(*c->turn))) {
        free(copy);
        return mm_err_set(e, MM_ENOMEM, "chat: out of memory");
    }
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    c->turn[c->n++] = (struct mm_turn){ role, copy, n };
    if (role == MM_ROLE_USER && c->first.n == 0)
        return first_turn(c, s, n, media ? media : &none, e);
    return 0;
}

/* The turn whose text the first pictures belong to. */
static const struct mm_turn *first_user(const struct mm_chat *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->turn[i].role == MM_ROLE_USER)
            return &c->turn[i];
    return NULL;
}

int mm_chat_prompt(const struct mm_chat *c, struct mm_parts *parts, struct mm_err *e)
{
    struct mm_pieces pieces = { 0 };
    const struct mm_turn *first = first_user(c);
    int rc = mm_template_render(c->t, &pieces, c->turn, c->n, true, e);

    for (size_t i = 0; i < pieces.n && rc == 0; i++) {
        const struct mm_piece *p = &pieces.v[i];
        if (p->user && first && p->n == first->n && memcmp(p->s, first->text, p->n) == 0) {
            rc = mm_parts_borrow(parts, &c->first, e);
            first = NULL;
        } else {
            rc = mm_parts_text(parts, p->user ? MM_PART_USER : MM_PART_TEXT, p->s, p->n, e);
        }
    }
    mm_pieces_free(&pieces);
    return rc;
}

int mm_chat_answer(struct mm_chat *c, struct mm_gen *g, const struct mm_prompt_spec *spec,
                   uint64_t number, struct mm_answer *a, mm_emit_fn *emit, void *arg,
                   struct mm_err *e)
{
    struct mm_parts parts = { 0 };
    struct mm_prompt prompt = { 0 };
    struct mm_request r = { .prompt = &prompt, .number = number, .emit = emit, .arg = arg,
                            .answer = a };
    int rc = mm_chat_prompt(c, &parts, e);

    if (rc == 0)
        rc = mm_prompt_build(&prompt, spec, &parts, e);
    if (rc == 0)
        rc = mm_gen_run(g, &r, 1, e);
    if (rc == 0)
        rc = mm_chat_say(c, MM_ROLE_ASSISTANT, a->text.p ? a->text.p : "", a->text.n, NULL, e);
    mm_prompt_free(&prompt);
    mm_parts_free(&parts);
    return rc;
}
