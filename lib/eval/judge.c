/* judge.c: see judge.h. */
#include "eval/judge.h"

#include <stdlib.h>
#include <string.h>

static const char system_text[] = "You judge answers to questions about pictures, fairly and "
                                  "precisely.";
static const char own_prompt[] =
    "Two assistants answered the question about the picture that the context describes. Rate "
    "how helpful, relevant, accurate and detailed each answer is from 1 to 10. The first line "
    "holds only the two numbers, of Assistant 1 and Assistant 2, with a space between them. "
    "Then explain, without regard to the order of the answers.";

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "out of memory");
}

/* What is known of the question's picture; nothing if there is none. */
static void add_context(struct mm_buf *b, const struct mm_eval_judge *j, const json_t *question)
{
    const char *image = json_string_value(json_object_get(question, "image"));
    size_t i, k;
    const json_t *c, *line;

    json_array_foreach(j->context, i, c) {
        const char *of = json_string_value(json_object_get(c, "image"));
        const json_t *caption = json_object_get(c, "caption");
        const json_t *all = json_object_get(c, "captions");

        if (!image || !of || strcmp(of, image) != 0)
            continue;
        if (json_is_string(caption))
            mm_buf_printf(b, "%s\n", json_string_value(caption));
        json_array_foreach(json_is_array(all) ? all : caption, k, line) if (json_is_string(line))
            mm_buf_printf(b, "%s\n", json_string_value(line));
    }
}

static int message(struct mm_buf *b, const struct mm_eval_judge *j, const json_t *question,
                   const char *text[3], const char *id, struct mm_err *e)
{
    const char *category = json_string_value(json_object_get(question, "category"));
    const json_t *rule = category ? json_object_get(j->rules, category) : NULL;
    const char *prompt = json_string_value(json_object_get(rule, "prompt"));

    if (j->rules && !prompt)
        return mm_err_set(e, MM_EDATA, "question '%s': no rule for category '%s'", id,
                          category ? category : "");
    mm_buf_str(b, "[Context]\n");
    add_context(b, j, question);
    mm_buf_printf(b, "\n[Question]\n%s\n\n", text[0]);
    for (int k = 1; k <= 2; k++)
        mm_buf_printf(b, "[Assistant %d]\n%s\n\n[End of Assistant %d]\n\n", k, text[k], k);
    mm_buf_printf(b, "[System]\n%s\n\n", prompt ? prompt : own_prompt);
    return b->failed ? no_memory(e) : 0;
}

static int ask(struct mm_remote *c, const struct mm_eval_judge *j, const struct mm_eval_pairs *r,
               const struct mm_eval_pairs *p, size_t i, struct mm_arena *a, struct mm_err *e)
{
    struct mm_buf b = { 0 };
    const char *text[3];
    int rc = mm_eval_text(&text[0], a, r->ref[i], r->id[i], e);

    if (rc == 0)
        rc = mm_eval_text(&text[1], a, r->pred[i], r->id[i], e);
    if (rc == 0)
        rc = mm_eval_text(&text[2], a, p->pred[i], r->id[i], e);
    if (rc == 0)
        rc = message(&b, j, r->ref[i], text, r->id[i], e);
    if (rc == 0) {
        const struct mm_remote_msg m[] = { { "system", system_text }, { "user", b.p } };

        rc = mm_remote_add(c, i, m, 2, e);
    }
    mm_buf_free(&b);
    return rc;
}

/* Every reply into its place; the first that did not come ends it. */
static int collect(struct mm_remote *c, const char **content, struct mm_arena *a, struct mm_err *e)
{
    struct mm_remote_reply r = { 0 };
    int rc;

    while ((rc = mm_remote_wait(c, &r, e)) > 0) {
        if (r.code < 0)
            rc = mm_err_set(e, r.code, "judge: %s: %s", r.why, r.msg);
        else if (!(content[r.id] = mm_arena_strdup(a, r.text, strlen(r.text))))
            rc = no_memory(e);
        mm_remote_reply_free(&r);
        if (rc < 0)
            break;
    }
    return rc;
}

int mm_eval_review(json_t *reviews, const struct mm_eval_judge *j, struct mm_arena *a,
                   struct mm_err *e)
{
    struct mm_eval_pairs r, p;
    struct mm_remote *c = NULL;
    const char **content = NULL;
    int rc = mm_eval_pair(&r, a, j->questions, j->refs, mm_eval_ids, MM_EVAL_REFUSE, e);

    if (rc == 0)
        rc = mm_eval_pair(&p, a, j->questions, j->preds, mm_eval_ids, MM_EVAL_REFUSE, e);
    if (rc == 0)
        rc = mm_remote_open(&c, &j->remote, e);
    if (rc == 0 && !(content = mm_arena_zalloc(a, r.n * sizeof(*content))))
        rc = no_memory(e);
    for (size_t i = 0; rc == 0 && i < r.n; i++)
        rc = ask(c, j, &r, &p, i, a, e);
    if (rc == 0)
        rc = collect(c, content, a, e);
    for (size_t i = 0; rc == 0 && i < r.n; i++)
        if (json_array_append_new(
                reviews, json_pack("{s:s, s:O*, s:s}", "question_id", r.id[i], "category",
                                   json_object_get(r.ref[i], "category"), "content",
                                   content[i] ? content[i] : "")) < 0)
            rc = no_memory(e);
    mm_remote_free(c);
    return rc;
}
