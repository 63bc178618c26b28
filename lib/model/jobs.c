/* jobs.c: see jobs.h. */
#include "model/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

struct mm_shared_item {
    struct mm_item item;
    size_t users;
    size_t asking; /* of them, those that still need its parts */
};

struct mm_jobs {
    struct mm_jobs_spec o;
    struct mm_items items;
    struct mm_buf spelling;         /* of the state */
    struct mm_shared_item *at;      /* item whose prompts are being given out */
    bool *used;                     /* [prompts] lines that were about some item */
    json_t *first;                  /* source to 1 + its first line of prompts */
    size_t *same;                   /* [prompts] 1 + the next line of the same source; 0: none */
    size_t *lines;                  /* [nlines] those about the item at hand, in order */
    size_t nlines, lines_cap;
    size_t line;                    /* next of them; without records next of all */
    size_t nitems, njobs;
    bool done;
};

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "prompts: out of memory");
}

/* --- the prompts file ---------------------------------------------------------------- */

int mm_jobs_read(json_t **prompts, const char *path, struct mm_err *e)
{
    char *text;
    size_t n;
    int rc = mm_io_slurp(path, (size_t)1 << 30, &text, &n, e);

    if (rc < 0)
        return rc;
    *prompts = json_array();
    if (!*prompts)
        rc = no_memory(e);
    for (size_t at = 0, line = 1; at < n && rc == 0; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        const size_t len = end ? (size_t)(end - text) - at : n - at;
        json_t *j = NULL;
        if (strspn(text + at, " \t\r") < len) {
            rc = mm_json_load(&j, text + at, len, path, e);
            if (rc == 0 && !json_is_string(json_object_get(j, "prompt")))
                rc = mm_err_set(e, MM_EDATA, "%s: line %zu: no string \"prompt\"", path, line);
            else if (rc == 0 && json_array_append(*prompts, j) < 0)
                rc = no_memory(e);
        }
        json_decref(j);
        at += len + 1;
    }
    free(text);
    if (rc < 0)
        json_decref(*prompts);
    return rc;
}

/* --- texts ------------------------------------------------------------------------------ */

/* The text as it is given to the tokenizer: a user turn of the template, if any. */
static int wrap(const struct mm_jobs_spec *o, struct mm_buf *out, const char *s, size_t n,
                struct mm_err *e)
{
    const struct mm_turn turn[2] = {
        { MM_ROLE_SYSTEM, o->system, o->system ? strlen(o->system) : 0 },
        { MM_ROLE_USER, s, n }
    };
    struct mm_pieces pieces = { 0 };
    int rc = 0;

    if (!o->wrap) {
        mm_buf_add(out, s, n);
    } else {
        const size_t from = o->system ? 0 : 1;
        rc = mm_template_render(o->wrap, &pieces, turn + from, 2 - from, true, e);
        for (size_t i = 0; i < pieces.n && rc == 0; i++)
            mm_buf_add(out, pieces.v[i].s, pieces.v[i].n);
        mm_pieces_free(&pieces);
    }
    return out->failed ? no_memory(e) : rc;
}

/* What of s[n] comes after the state: all, unless it spells the state out first. */
static size_t behind(const struct mm_buf *spelling, const char *s, size_t n)
{
    const size_t k = spelling->n;

    return k && k <= n && memcmp(s, spelling->p, k) == 0 ? k : 0;
}

bool mm_jobs_want_records(const struct mm_jobs_spec *spec)
{
    struct mm_buf spelling = { 0 };
    bool want = false;

    if (spec->state)
        mm_parts_spell(&spelling, spec->state);
    if (spec->text) {
        const size_t skip = behind(&spelling, spec->text, spec->n);
        want = mm_has_marker(spec->text + skip, spec->n - skip);
    }
    for (size_t i = 0; i < json_array_size(spec->prompts); i++) {
        const json_t *p = json_object_get(json_array_get(spec->prompts, i), "prompt");
        const size_t skip = behind(&spelling, json_string_value(p), json_string_length(p));
        want |= mm_has_marker(json_string_value(p) + skip, json_string_length(p) - skip);
    }
    mm_buf_free(&spelling);
    return want || (!spec->text && !spec->prompts && !spec->state);
}

/* --- jobs ------------------------------------------------------------------------------- */

static void release(struct mm_shared_item *s)
{
    if (s && --s->users == 0) {
        mm_item_free(&s->item);
        free(s);
    }
}

/* One less that needs the item's parts. */
static void asked(struct mm_shared_item *s)
{
    if (s && --s->asking == 0)
        mm_parts_free(&s->item.parts);
}

void mm_job_asked(struct mm_job *j)
{
    mm_parts_free(&j->parts);
    mm_prompt_free(&j->prompt);
    if (!j->asked)
        asked(j->shared);
    j->asked = true;
}

void mm_job_free(struct mm_job *j)
{
    mm_job_asked(j);
    release(j->shared);
    *j = (struct mm_job){ 0 };
}

/* The lines of --prompts by their source. */
static int index_prompts(struct mm_jobs *js, struct mm_err *e)
{
    const size_t n = json_array_size(js->o.prompts);

    js->used = calloc(n + 1, sizeof(*js->used));
    js->same = calloc(n + 1, sizeof(*js->same));
    js->first = json_object();
    if (!js->used || !js->same || !js->first)
        return no_memory(e);
    for (size_t i = n; i-- > 0;) {
        const json_t *line = json_array_get(js->o.prompts, i);
        const char *source = json_string_value(json_object_get(line, "source"));

        if (!source)
            continue;
        js->same[i] = (size_t)json_integer_value(json_object_get(js->first, source));
        if (json_object_set_new(js->first, source, json_integer((json_int_t)i + 1)) < 0)
            return no_memory(e);
    }
    return 0;
}

int mm_jobs_new(struct mm_jobs **out, const struct mm_jobs_spec *spec, struct mm_err *e)
{
    struct mm_jobs *js = calloc(1, sizeof(*js));

    if (!js)
        return no_memory(e);
    js->o = *spec;
    if (index_prompts(js, e) < 0) {
        mm_jobs_free(js);
        return e->code;
    }
    js->items.in = spec->in;
    if (spec->in)
        mm_input_renumber(spec->in);
    js->items.dim = mm_llama_config(spec->llm->m)->dim;
    js->items.vocab = mm_llama_config(spec->llm->m)->vocab;
    if (spec->state)
        mm_parts_spell(&js->spelling, spec->state);
    *out = js;
    return 0;
}

void mm_jobs_free(struct mm_jobs *js)
{
    if (!js)
        return;
    asked(js->at);
    release(js->at);
    mm_buf_free(&js->spelling);
    json_decref(js->first);
    free(js->same);
    free(js->lines);
    free(js->used);
    free(js);
}

static int order(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return (x > y) - (x < y);
}

static int add_line(struct mm_jobs *js, size_t line, struct mm_err *e)
{
    if (!mm_grow(&js->lines, &js->lines_cap, js->nlines + 1, sizeof(*js->lines)))
        return no_memory(e);
    js->lines[js->nlines++] = line;
    return 0;
}

/* The lines of --prompts about the item: by its sources, which differ, or by place. */
static int find_lines(struct mm_jobs *js, const struct mm_item *it, struct mm_err *e)
{
    const json_t *own = json_array_get(js->o.prompts, js->nitems);
    int rc = 0;

    js->line = js->nlines = 0;
    if (own && !json_is_string(json_object_get(own, "source")))
        rc = add_line(js, js->nitems, e);
    for (size_t i = 0; i < it->nsource; i++)
        for (size_t k = (size_t)json_integer_value(json_object_get(js->first, it->source[i]));
             rc == 0 && k > 0; k = js->same[k - 1])
            rc = add_line(js, k - 1, e);
    if (it->nsource > 1 || (own && js->nlines > 1))
        qsort(js->lines, js->nlines, sizeof(*js->lines), order);
    return rc;
}

/* The next item into js->at: 1, 0 or an error. */
static int next_item(struct mm_jobs *js, struct mm_err *e)
{
    struct mm_shared_item *s = calloc(1, sizeof(*s));
    int rc = 1;

    if (!s)
        return no_memory(e);
    asked(js->at);
    release(js->at);
    js->at = s;
    s->users = s->asking = 1;
    s->item.number = -1;
    if (js->o.in) {
        rc = mm_items_next(&js->items, &s->item, e);
        if (rc > 0 && js->o.prompts && find_lines(js, &s->item, e) < 0)
            rc = e->code;
    } else if (js->o.prompts) { /* an item per line */
        rc = js->line < json_array_size(js->o.prompts);
    } else {
        rc = js->nitems == 0;
    }
    js->nitems++;
    return rc;
}

static int build(struct mm_jobs *js, struct mm_job *j, const char *text, size_t n)
{
    struct mm_err *e = &j->fault;
    struct mm_parts media = { 0 };
    struct mm_buf full = { 0 };
    int rc = js->o.state ? mm_parts_borrow(&j->parts, js->o.state, e) : 0;

    if (rc == 0)
        rc = mm_parts_borrow(&media, &j->item->parts, e);
    if (rc == 0 && text)
        rc = wrap(&js->o, &full, text, n, e);
    if (rc == 0 && text) {
        const size_t skip = behind(&js->spelling, full.p ? full.p : "", full.n);
        if (full.n > skip || !js->o.state || media.n)
            rc = mm_parts_fill(&j->parts, MM_PART_TEXT, full.p ? full.p + skip : "",
                               full.n - skip, &media, e);
    } else if (rc == 0) {
        rc = mm_parts_move(&j->parts, &media, e);
    }
    if (rc == 0 && j->parts.n == 0)
        rc = mm_err_set(e, MM_EDATA, "the item has no text, embeds or tokens record");
    if (rc == 0)
        rc = mm_prompt_build(&j->prompt, &js->o.llm->prompt, &j->parts, e);
    mm_parts_free(&media);
    mm_buf_free(&full);
    return rc;
}

/* The next line of --prompts about the item at hand; false: none left. */
static bool next_line(struct mm_jobs *js, size_t *line)
{
    if (js->line >= (js->o.in ? js->nlines : json_array_size(js->o.prompts)))
        return false;
    *line = js->o.in ? js->lines[js->line] : js->line;
    js->line++;
    js->used[*line] = true;
    return true;
}

/* At the end of the items: was every line of --prompts about one? */
static int all_used(const struct mm_jobs *js, struct mm_err *e)
{
    for (size_t i = 0; i < json_array_size(js->o.prompts); i++)
        if (!js->used[i]) {
            const char *source = json_string_value(
                json_object_get(json_array_get(js->o.prompts, i), "source"));
            return mm_err_set(e, MM_EDATA, "prompt %zu of --prompts is about no item%s%s", i + 1,
                              source ? ": no source is " : "", source ? source : "");
        }
    return 0;
}

int mm_jobs_next(struct mm_jobs *js, struct mm_job *j, struct mm_err *e)
{
    const char *text = js->o.text;
    size_t n = js->o.n;
    size_t line = 0;
    bool found = js->o.prompts && js->o.in && js->at && next_line(js, &line);
    int rc = 0;

    *j = (struct mm_job){ 0 };
    if (!found) {
        rc = next_item(js, e);
        if (rc <= 0)
            return rc < 0 ? rc : all_used(js, e);
        found = js->o.prompts && next_line(js, &line);
    }
    j->number = js->njobs++;
    j->shared = js->at;
    j->item = &js->at->item;
    js->at->users++;
    js->at->asking++;
    if (j->item->fault.code) {
        j->fault = j->item->fault;
        return 1;
    }
    if (js->o.prompts && !found) {
        mm_err_set(&j->fault, MM_EDATA, "no line of --prompts is about this item");
        return 1;
    }
    if (found) {
        const json_t *l = json_array_get(js->o.prompts, line);
        const char *source = json_string_value(json_object_get(l, "source"));
        text = json_string_value(json_object_get(l, "prompt"));
        n = json_string_length(json_object_get(l, "prompt"));
        if (!js->o.in && source)
            rc = mm_item_source(j->item, source, e);
    }
    if (rc < 0 || build(js, j, text, n) == MM_ENOMEM)
        return rc < 0 ? rc : no_memory(e);
    return 1;
}
