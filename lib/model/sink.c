/* sink.c: see sink.h. */
#include "model/sink.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"

int64_t mm_sink_number(const struct mm_job *j)
{
    return j->item->number >= 0 ? j->item->number : (int64_t)j->number;
}

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "answer: out of memory");
}

/* --- JSON ---------------------------------------------------------------------------- */

static void head(struct mm_buf *b, const struct mm_job *j)
{
    mm_buf_str(b, "{\"source\": [");
    for (size_t i = 0; i < j->item->nsource; i++) {
        mm_buf_str(b, i ? ", " : "");
        mm_json_quote(b, j->item->source[i], strlen(j->item->source[i]));
    }
    mm_buf_printf(b, "], \"item\": %" PRId64, mm_sink_number(j));
}

static void integers(struct mm_buf *b, const char *key, const int32_t *v, size_t n)
{
    mm_buf_printf(b, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        mm_buf_printf(b, "%s%" PRId32, i ? ", " : "", v[i]);
    mm_buf_char(b, ']');
}

static void reals(struct mm_buf *b, const char *key, const float *v, size_t n)
{
    mm_buf_printf(b, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        mm_buf_printf(b, "%s%.9g", i ? ", " : "", (double)v[i]);
    mm_buf_char(b, ']');
}

static void answer_json(struct mm_sink *s, const struct mm_job *j, const struct mm_answer *a)
{
    struct mm_buf *b = &s->out;

    head(b, j);
    mm_buf_printf(b, ", \"prompt_tokens\": %zu", a->prompt);
    integers(b, "tokens", a->ids, a->n);
    mm_buf_str(b, ", \"text\": ");
    if (s->has_text)
        mm_json_quote(b, a->text.p ? a->text.p : "", a->text.n);
    else
        mm_buf_str(b, "null");
    reals(b, "logprobs", a->logprobs, a->n);
    mm_buf_printf(b, ", \"stop\": \"%s\", \"ms\": %.3f", mm_stop_name(a->stop), a->ms);
    if (s->beams)
        mm_buf_printf(b, ", \"score\": %.9g", a->score);
    mm_buf_str(b, "}\n");
}

/* --- records --------------------------------------------------------------------------- */

static int put(struct mm_sink *s, const struct mm_job *j, struct mm_rec *r, const char *kind,
               struct mm_err *e)
{
    int rc = mm_rec_set(r, "kind", kind);

    if (rc == 0)
        rc = mm_rec_setf(r, "item", "%" PRId64, mm_sink_number(j));
    if (rc == 0 && j->item->nsource)
        rc = mm_rec_set(r, "source", j->item->source[0]);
    if (rc == 0)
        rc = mm_rec_setf(r, "model", "%016" PRIx64, s->model);
    rc = rc < 0 ? no_memory(e) : mm_writer_put(s->records, r, e);
    mm_rec_free(r);
    return rc;
}

static int put_tensor(struct mm_sink *s, const struct mm_job *j, struct mm_tensor t,
                      const char *kind, struct mm_err *e)
{
    struct mm_rec r;

    mm_rec_init(&r, MM_REC_TENSOR);
    r.t = t;
    r.data = t.data;
    r.size = mm_tensor_bytes(&t);
    return put(s, j, &r, kind, e);
}

/* Logits of the steps; of an answer without a step, those after the prompt. */
static struct mm_tensor logits_of(const struct mm_sink *s, const struct mm_answer *a)
{
    return (struct mm_tensor){ .dtype = MM_F32, .ndim = 2, .data = a->logits,
                               .shape = { (int64_t)(a->n ? a->n : 1), s->vocab } };
}

static int put_others(struct mm_sink *s, const struct mm_job *j, struct mm_err *e)
{
    int rc = 0;

    for (size_t i = 0; i < j->item->nother && rc == 0; i++)
        rc = mm_writer_put(s->records, &j->item->other[i], e);
    return rc;
}

static int answer_records(struct mm_sink *s, const struct mm_job *j, struct mm_answer *a,
                          struct mm_err *e)
{
    const struct mm_tensor tokens = { .dtype = MM_I32, .ndim = 1, .shape = { (int64_t)a->n },
                                      .data = a->ids };
    struct mm_rec r;
    int rc = put_others(s, j, e);

    if (rc == 0 && s->has_text) {
        mm_rec_init(&r, MM_REC_TEXT);
        r.data = a->text.p;
        r.size = a->text.n;
        rc = put(s, j, &r, "text", e);
    }
    if (rc == 0)
        rc = put_tensor(s, j, tokens, "tokens", e);
    if (rc == 0 && s->logits && a->logits)
        rc = put_tensor(s, j, logits_of(s, a), "logits", e);
    return rc;
}

/* --- any form ---------------------------------------------------------------------------- */

int mm_sink_answer(struct mm_sink *s, const struct mm_job *j, struct mm_answer *a, bool shown,
                   struct mm_err *e)
{
    if (s->trace && a->logits) {
        const struct mm_tensor t = logits_of(s, a);
        mm_trace_put(s->trace, mm_sink_number(j), &t, "greedy.logits");
    }
    if (s->records)
        return answer_records(s, j, a, e);
    if (s->json) {
        answer_json(s, j, a);
        return s->out.failed ? no_memory(e) : 0;
    }
    for (size_t i = 0; i < a->n && !s->has_text; i++)
        mm_buf_printf(&s->out, "%s%" PRId32, i ? " " : "", a->ids[i]);
    if (s->has_text && !shown && a->printed.n)
        mm_buf_add(&s->out, a->printed.p, a->printed.n);
    mm_buf_char(&s->out, '\n');
    return s->out.failed ? no_memory(e) : 0;
}

int mm_sink_score(struct mm_sink *s, const struct mm_job *j, const char *text,
                  const struct mm_ids *ids, const float *logprobs, struct mm_err *e)
{
    struct mm_buf *b = &s->out;
    double sum = 0;

    for (size_t i = 0; i < ids->n; i++)
        sum += logprobs[i];
    if (!s->json) {
        mm_buf_printf(b, "%.6f\t%s\n", sum, text);
        return b->failed ? no_memory(e) : 0;
    }
    head(b, j);
    mm_buf_str(b, ", \"text\": ");
    mm_json_quote(b, text, strlen(text));
    integers(b, "ids", ids->v, ids->n);
    reals(b, "logprobs", logprobs, ids->n);
    mm_buf_printf(b, ", \"logprob\": %.9g}\n", sum);
    return b->failed ? no_memory(e) : 0;
}

int mm_sink_fault(struct mm_sink *s, const struct mm_job *j, struct mm_err *e)
{
    const char *source = j->item->nsource ? j->item->source[0] : NULL;
    int rc = 0;

    if (s->records) {
        bool told = false; /* it came as an error record, which is passed on */
        for (size_t i = 0; i < j->item->nother; i++)
            told |= mm_rec_is_error(&j->item->other[i]);
        rc = put_others(s, j, e);
        if (rc == 0 && !told)
            rc = mm_writer_error(s->records, mm_sink_number(j), source, j->fault.msg, e);
    } else if (s->json) {
        head(&s->out, j);
        mm_buf_str(&s->out, ", \"error\": ");
        mm_json_quote(&s->out, j->fault.msg, strlen(j->fault.msg));
        mm_buf_str(&s->out, "}\n");
    }
    return s->out.failed ? no_memory(e) : rc;
}
