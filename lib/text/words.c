/* words.c: see words.h. */
#include "text/words.h"

#include <stdlib.h>
#include <string.h>

void mm_words_free(struct mm_words *w)
{
    mm_buf_free(&w->text);
    free(w->v);
    *w = (struct mm_words){ 0 };
}

void mm_words_reset(struct mm_words *w)
{
    mm_buf_reset(&w->text);
    w->n = 0;
}

static void append(struct mm_words *w, struct mm_word word)
{
    if (!mm_grow(&w->v, &w->cap, w->n + 1, sizeof(*w->v))) {
        w->failed = true;
        return;
    }
    w->v[w->n++] = word;
}

void mm_words_add(struct mm_words *w, size_t at, size_t n, bool first)
{
    if (n > 0)
        append(w, (struct mm_word){ .at = at, .n = n, .first = first });
}

void mm_words_push(struct mm_words *w, const char *s, size_t n)
{
    const size_t at = w->text.n;

    mm_buf_add(&w->text, s, n);
    append(w, (struct mm_word){ .at = at, .n = n, .first = at == 0 });
}

int mm_words_check(const struct mm_words *w, struct mm_err *e)
{
    if (w->failed || w->text.failed)
        return mm_err_set(e, MM_ENOMEM, "out of memory");
    return 0;
}

int mm_cutting_named(const char *name)
{
    static const char *const names[][2] = {
        { "Removed", "removed" },
        { "Isolated", "isolated" },
        { "MergedWithPrevious", "merged_with_previous" },
        { "MergedWithNext", "merged_with_next" },
        { "Contiguous", "contiguous" }
    };

    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i][0]) == 0 || strcmp(name, names[i][1]) == 0)
            return i;
    return -1;
}

void mm_split_start(struct mm_splitter *sp, struct mm_words *out, enum mm_cutting how, bool invert,
                    const struct mm_word *of)
{
    *sp = (struct mm_splitter){ .out = out, .how = how, .invert = invert, .of = *of };
}

static void flush(struct mm_splitter *sp)
{
    if (sp->waiting)
        mm_words_add(sp->out, sp->wait.at, sp->wait.n, sp->wait.first);
    sp->waiting = false;
}

/* Does a span join the one that waits? */
static bool joins(const struct mm_splitter *sp, bool match)
{
    if (!sp->waiting)
        return false;
    switch (sp->how) {
    case MM_CUT_MERGED_WITH_PREVIOUS: return match && !sp->match;
    case MM_CUT_MERGED_WITH_NEXT: return !match && sp->match;
    case MM_CUT_CONTIGUOUS: return match == sp->match;
    default: return false;
    }
}

static void span(struct mm_splitter *sp, size_t from, size_t to, bool match)
{
    match = match != sp->invert;
    if (from == to || (match && sp->how == MM_CUT_REMOVED))
        return;
    if (joins(sp, match)) {
        sp->wait.n += to - from;
    } else {
        flush(sp);
        sp->wait = (struct mm_word){
            .at = sp->of.at + from, .n = to - from, .first = sp->of.first && from == 0
        };
        sp->waiting = true;
    }
    sp->match = match;
}

void mm_split_match(struct mm_splitter *sp, size_t from, size_t to)
{
    span(sp, sp->end, from, false);
    span(sp, from, to, true);
    sp->end = to;
}

void mm_split_end(struct mm_splitter *sp)
{
    span(sp, sp->end, sp->of.n, false);
    flush(sp);
}
