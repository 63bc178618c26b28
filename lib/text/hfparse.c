/* hfparse.c: see hfparse.h. */
#include "text/hfparse.h"

#include <string.h>

#include "base/utf8.h"

#define DEPTH_MAX 8 /* of Sequences in Sequences */

static int steps(const json_t *j, const char *member, mm_hf_step_fn *fn, void *arg, int depth,
                 struct mm_err *e)
{
    const char *type;

    if (!j || json_is_null(j))
        return 0;
    type = json_string_value(json_object_get(j, "type"));
    if (!type)
        return mm_err_set(e, MM_EDATA, "component without a type");
    if (strcmp(type, "Sequence") != 0) {
        const int r = fn(arg, type, j, e);
        return r < 0 ? mm_err_prefix(e, "%s", type) : 0;
    }
    const json_t *list = json_object_get(j, member);
    if (!json_is_array(list))
        return mm_err_set(e, MM_EDATA, "Sequence without a list '%s'", member);
    if (depth >= DEPTH_MAX)
        return mm_err_set(e, MM_EDATA, "Sequences nested more than %d deep", DEPTH_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const int r = steps(json_array_get(list, i), member, fn, arg, depth + 1, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int mm_hf_steps(const json_t *j, const char *member, mm_hf_step_fn *fn, void *arg, struct mm_err *e)
{
    return steps(j, member, fn, arg, 0, e);
}

int mm_hf_string(struct mm_str *s, const json_t *obj, const char *key, struct mm_err *e)
{
    const json_t *v = json_object_get(obj, key);

    if (!json_is_string(v))
        return mm_err_set(e, MM_EDATA, "'%s' is no string", key);
    s->s = json_string_value(v);
    s->n = json_string_length(v);
    return 0;
}

int mm_hf_char(uint32_t *c, const json_t *obj, const char *key, struct mm_err *e)
{
    struct mm_str s;
    const int r = mm_hf_string(&s, obj, key, e);

    if (r < 0)
        return r;
    if (s.n == 0 || mm_utf8_get(s.s, s.n, c) != s.n)
        return mm_err_set(e, MM_EDATA, "'%s' is not one character", key);
    return 0;
}

int mm_hf_bool(bool *b, const json_t *obj, const char *key, bool dflt, struct mm_err *e)
{
    const json_t *v = json_object_get(obj, key);

    *b = dflt;
    if (v && !json_is_null(v)) {
        if (!json_is_boolean(v))
            return mm_err_set(e, MM_EDATA, "'%s' is neither true nor false", key);
        *b = json_is_true(v);
    }
    return 0;
}

int mm_hf_size(size_t *v, const json_t *obj, const char *key, size_t max, struct mm_err *e)
{
    const json_t *j = json_object_get(obj, key);
    const json_int_t i = json_integer_value(j);

    if (!json_is_integer(j) || i < 0 || (unsigned long long)i > max)
        return mm_err_set(e, MM_EDATA, "'%s' is no integer of 0 to %zu", key, max);
    *v = (size_t)i;
    return 0;
}

int mm_hf_unknown(const char *what, const char *type, struct mm_err *e)
{
    return mm_err_set(e, MM_EMISSING, "%s '%s' is not supported", what, type);
}

int mm_hfpat_new(struct mm_hfpat *p, const json_t *obj, struct mm_err *e)
{
    const json_t *j = json_object_get(obj, "pattern");
    const json_t *re = json_object_get(j, "Regex");

    *p = (struct mm_hfpat){ 0 };
    if (json_is_string(re))
        return mm_regex_new(&p->re, json_string_value(re), json_string_length(re), e);
    if (!json_is_object(j))
        return mm_err_set(e, MM_EDATA, "'pattern' holds neither 'String' nor 'Regex'");
    return mm_hf_string(&p->text, j, "String", e);
}

void mm_hfpat_free(struct mm_hfpat *p)
{
    mm_regex_free(p->re);
}

int mm_hffind_start(struct mm_hffind *f, const struct mm_hfpat *p, struct mm_err *e)
{
    *f = (struct mm_hffind){ .pat = p };
    return p->re ? mm_regex_start(&f->run, p->re, e) : 0;
}

void mm_hffind_end(struct mm_hffind *f)
{
    mm_regex_end(f->run);
}

void mm_hffind_reset(struct mm_hffind *f)
{
    f->from = 0;
}

static const char *find_text(const char *s, size_t n, const struct mm_str *t)
{
    const char *const end = s + n;

    while (t->n > 0 && (size_t)(end - s) >= t->n) {
        s = memchr(s, t->s[0], (size_t)(end - s) - t->n + 1);
        if (!s || memcmp(s, t->s, t->n) == 0)
            return s;
        s++;
    }
    return NULL;
}

int mm_hffind_next(struct mm_hffind *f, const char *s, size_t n, size_t *ms, size_t *me,
                   struct mm_err *e)
{
    if (f->from > n)
        return 0;
    if (f->run) {
        const int r = mm_regex_find(f->run, s, n, f->from, ms, me, e);
        if (r <= 0)
            return r;
        f->from = *me;
        if (*me == *ms) /* an empty match: go on behind the next character */
            do
                f->from++;
            while (f->from < n && ((unsigned char)s[f->from] & 0xc0) == 0x80);
        return 1;
    }
    const char *hit = find_text(s + f->from, n - f->from, &f->pat->text);
    if (!hit)
        return 0;
    *ms = (size_t)(hit - s);
    *me = f->from = *ms + f->pat->text.n;
    return 1;
}
