/* judge.c: see judge.h. */
#include "eval/judge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc.h"
#include "net/lines.h"

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

/* What the judge is asked and has said, by number of the question. */
struct review {
    const char *text;    /* what is asked */
    json_int_t asked;    /* checksum of that, and of who is asked */
    const char *content; /* what it said; NULL: nothing yet */
};

struct session {
    const struct mm_eval_judge *j;
    const struct mm_eval_pairs *r;
    struct review *v; /* [r->n] */
    json_t *number;   /* of a question's id */
    struct mm_arena *a;
    int fd;           /* of the file of reviews, -1: none */
};

static int prepare(struct session *s, const struct mm_eval_pairs *p, size_t i, struct mm_err *e)
{
    struct review *v = &s->v[i];
    struct mm_buf b = { 0 };
    const char *text[3];
    int rc = mm_eval_text(&text[0], s->a, s->r->ref[i], s->r->id[i], e);

    if (rc == 0)
        rc = mm_eval_text(&text[1], s->a, s->r->pred[i], s->r->id[i], e);
    if (rc == 0)
        rc = mm_eval_text(&text[2], s->a, p->pred[i], s->r->id[i], e);
    if (rc == 0)
        rc = message(&b, s->j, s->r->ref[i], text, s->r->id[i], e);
    if (rc == 0) {
        v->text = mm_arena_strdup(s->a, b.p, b.n);
        v->asked = mm_crc32(mm_crc32(0, s->j->remote.model, strlen(s->j->remote.model)), b.p, b.n);
        if (!v->text || json_object_set_new(s->number, s->r->id[i], json_integer((json_int_t)i)) < 0)
            rc = no_memory(e);
    }
    mm_buf_free(&b);
    return rc;
}

static json_t *line_of(const struct session *s, size_t i)
{
    return json_pack("{s:s, s:O*, s:s, s:I}", "question_id", s->r->id[i], "category",
                     json_object_get(s->r->ref[i], "category"), "content", s->v[i].content, "asked",
                     s->v[i].asked);
}

/* A review that the file has. */
static int seen(void *user, const json_t *o, const char *path, struct mm_err *e)
{
    struct session *s = user;
    const char *id = mm_eval_id(s->a, o, mm_eval_ids);
    const char *content = json_string_value(json_object_get(o, "content"));
    const json_t *at = id ? json_object_get(s->number, id) : NULL;
    struct review *v = at ? &s->v[json_integer_value(at)] : NULL;

    if (!v || !content || json_integer_value(json_object_get(o, "asked")) != v->asked)
        return mm_err_set(e, MM_EDATA, "%s: question '%s': its review is of something else that "
                          "was asked", path, id ? id : "?");
    v->content = mm_arena_strdup(s->a, content, strlen(content));
    return v->content ? 0 : no_memory(e);
}

static int keep(struct session *s, const struct mm_remote_reply *r, struct mm_err *e)
{
    s->v[r->id].content = mm_arena_strdup(s->a, r->text, strlen(r->text));
    if (!s->v[r->id].content)
        return no_memory(e);
    return s->fd >= 0 ? mm_lines_put(s->fd, line_of(s, r->id), s->j->reviews, e) : 0;
}

/* Every reply into its place.  One that cannot be used does not keep the others from being
 * had; an endpoint that refuses or is not there does. */
static int collect(struct session *s, struct mm_remote *c, struct mm_err *e)
{
    struct mm_remote_reply r = { 0 };
    int rc, bad = 0;

    while ((rc = mm_remote_wait(c, &r, e)) > 0) {
        if (r.code == 0)
            rc = keep(s, &r, e);
        else if (r.code != MM_EDATA)
            rc = mm_err_set(e, r.code, "judge: %s: %s", r.why, r.msg);
        else if (bad == 0)
            bad = mm_err_set(e, r.code, "judge: question '%s': %s: %s", s->r->id[r.id], r.why, r.msg);
        mm_remote_reply_free(&r);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? rc : bad;
}

static int ask(struct session *s, struct mm_err *e)
{
    struct mm_remote *c = NULL;
    int rc = mm_remote_open(&c, &s->j->remote, e);

    for (size_t i = 0; rc == 0 && i < s->r->n; i++) {
        const struct mm_remote_msg m[] = { { "system", system_text }, { "user", s->v[i].text } };

        if (!s->v[i].content)
            rc = mm_remote_add(c, i, m, 2, e);
    }
    if (rc == 0)
        rc = collect(s, c, e);
    mm_remote_free(c);
    return rc;
}

int mm_eval_review(json_t *reviews, const struct mm_eval_judge *j, struct mm_arena *a,
                   struct mm_err *e)
{
    struct mm_eval_pairs r, p;
    struct session s = { .j = j, .r = &r, .number = json_object(), .a = a, .fd = -1 };
    bool cut;
    int rc = mm_eval_pair(&r, a, j->questions, j->refs, mm_eval_ids, MM_EVAL_REFUSE, e);

    if (rc == 0)
        rc = mm_eval_pair(&p, a, j->questions, j->preds, mm_eval_ids, MM_EVAL_REFUSE, e);
    if (rc == 0 && (!s.number || !(s.v = mm_arena_zalloc(a, r.n * sizeof(*s.v)))))
        rc = no_memory(e);
    for (size_t i = 0; rc == 0 && i < r.n; i++)
        rc = prepare(&s, &p, i, e);
    if (rc == 0 && j->reviews)
        rc = mm_lines_open(&s.fd, j->reviews, seen, &s, &cut, e);
    if (rc == 0)
        rc = ask(&s, e);
    for (size_t i = 0; rc == 0 && i < r.n; i++)
        if (json_array_append_new(reviews, line_of(&s, i)) < 0)
            rc = no_memory(e);
    if (s.fd >= 0)
        close(s.fd);
    json_decref(s.number);
    return rc;
}
