/* gbnf.c: parser of GBNF.  Groups nest on a stack of its own, not on the C stack. */
#include "nn/gbnf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

enum { MAX_DEPTH = 1000, MAX_REPEAT = 10000, MAX_SEQUENCE = 100000, MAX_NAME = 200 };

/* One open rule or group: the alternative being read. */
struct level {
    int rule;
    uint32_t *sym;
    size_t n, cap;
    size_t last; /* where the last item begins; n: none */
};

struct parser {
    const char *s;
    size_t n, at;
    struct mm_gram *g;
    json_t *names;         /* name -> number of its rule */
    const char **owner;    /* [rule] name of the rule it stands in (keys of names) */
    size_t owner_cap;
    bool *defined;         /* [rule] */
    size_t defined_cap, nknown;
    struct level *level;
    size_t depth, level_cap;
    const char *name;      /* rule being read */
    struct mm_err *e;
};

static int fail(struct parser *p, const char *why)
{
    size_t line = 1;
    size_t col = 1;

    for (size_t i = 0; i < p->at && i < p->n; i++) {
        col++;
        if (p->s[i] == '\n') {
            line++;
            col = 1;
        }
    }
    return mm_err_set(p->e, MM_EDATA, "grammar: line %zu, column %zu: %s", line, col, why);
}

static int no_memory(struct parser *p)
{
    return mm_err_set(p->e, MM_ENOMEM, "grammar: out of memory");
}

static char peek(const struct parser *p)
{
    return p->at < p->n ? p->s[p->at] : '\0';
}

static void skip_space(struct parser *p, bool newlines)
{
    for (; p->at < p->n; p->at++) {
        const char c = p->s[p->at];
        if (c == '#')
            while (p->at + 1 < p->n && p->s[p->at + 1] != '\n')
                p->at++;
        else if (c != ' ' && c != '\t' && c != '\r' && !(newlines && c == '\n'))
            return;
    }
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

/* --- rules and sequences --------------------------------------------------------- */

static int new_rule(struct parser *p)
{
    const int rule = mm_gram_rule(p->g, p->e);

    if (rule < 0)
        return rule;
    if (!mm_grow(&p->owner, &p->owner_cap, (size_t)rule + 1, sizeof(*p->owner)) ||
        !mm_grow(&p->defined, &p->defined_cap, (size_t)rule + 1, sizeof(*p->defined)))
        return no_memory(p);
    while (p->nknown <= (size_t)rule) { /* classes make rules too */
        p->owner[p->nknown] = p->name;
        p->defined[p->nknown++] = true;
    }
    return rule;
}

/* The number of the rule with the name that stands here. */
static int named_rule(struct parser *p)
{
    char name[MAX_NAME + 1];
    size_t len = 0;

    for (; is_word(peek(p)); p->at++) {
        if (len == MAX_NAME)
            return fail(p, "name too long");
        name[len++] = peek(p);
    }
    name[len] = '\0';
    if (len == 0)
        return fail(p, "expected a name");
    const json_t *known = json_object_get(p->names, name);
    if (known)
        return (int)json_integer_value(known);
    const int rule = new_rule(p);
    if (rule < 0)
        return rule;
    if (json_object_set_new(p->names, name, json_integer(rule)) < 0)
        return no_memory(p);
    p->defined[rule] = false;
    p->owner[rule] = json_object_iter_key(json_object_iter_at(p->names, name));
    return rule;
}

static struct level *top(const struct parser *p)
{
    return &p->level[p->depth - 1];
}

static int append(struct parser *p, uint32_t sym)
{
    struct level *l = top(p);

    if (l->n >= MAX_SEQUENCE)
        return fail(p, "sequence too long");
    if (!mm_grow(&l->sym, &l->cap, l->n + 1, sizeof(*l->sym)))
        return no_memory(p);
    l->sym[l->n++] = sym;
    return 0;
}

static int open_level(struct parser *p, int rule)
{
    if (p->depth >= MAX_DEPTH)
        return fail(p, "groups nested too deeply");
    if (!mm_grow(&p->level, &p->level_cap, p->depth + 1, sizeof(*p->level)))
        return no_memory(p);
    p->level[p->depth++] = (struct level){ .rule = rule };
    return 0;
}

static int end_alternative(struct parser *p)
{
    struct level *l = top(p);
    const int rc = mm_gram_add(p->g, l->rule, l->sym, l->n, p->e);

    l->n = l->last = 0;
    return rc;
}

static int close_level(struct parser *p)
{
    const int rule = top(p)->rule;
    const int rc = end_alternative(p);

    free(top(p)->sym);
    p->depth--;
    return rc < 0 ? rc : rule;
}

/* --- characters ------------------------------------------------------------------ */

static int hex(struct parser *p, int digits, uint32_t *cp)
{
    *cp = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        const char c = peek(p);
        uint32_t d;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            d = (uint32_t)((c | 32) - 'a' + 10);
        else
            return fail(p, "expected a hexadecimal digit");
        *cp = *cp << 4 | d;
    }
    if (*cp > 0x10FFFF || (*cp >= 0xD800 && *cp <= 0xDFFF))
        return fail(p, "no such character");
    return 0;
}

/* One character, possibly escaped. */
static int character(struct parser *p, uint32_t *cp)
{
    if (peek(p) != '\\') {
        const size_t n = mm_utf8_get(p->s + p->at, p->n - p->at, cp);
        if (n == 0)
            return fail(p, p->at < p->n ? "not UTF-8" : "unexpected end");
        p->at += n;
        return 0;
    }
    p->at++;
    const char c = peek(p);
    p->at++;
    switch (c) {
    case 'n': *cp = '\n'; return 0;
    case 'r': *cp = '\r'; return 0;
    case 't': *cp = '\t'; return 0;
    case '\\': case '"': case '[': case ']': case '^': case '-':
        *cp = (unsigned char)c;
        return 0;
    case 'x': return hex(p, 2, cp);
    case 'u': return hex(p, 4, cp);
    case 'U': return hex(p, 8, cp);
    default:
        p->at--;
        return fail(p, "unknown escape");
    }
}

static int literal(struct parser *p)
{
    int rc = 0;

    top(p)->last = top(p)->n;
    p->at++;
    while (rc == 0 && peek(p) != '"') {
        uint32_t cp;
        char b[4];
        rc = character(p, &cp);
        const size_t n = rc == 0 ? mm_utf8_put(b, cp) : 0;
        for (size_t i = 0; i < n && rc == 0; i++) {
            uint32_t sym;
            rc = mm_gram_byte(&sym, p->g, (unsigned char)b[i], p->e);
            if (rc == 0)
                rc = append(p, sym);
        }
    }
    p->at++;
    return rc;
}

static int char_class(struct parser *p)
{
    struct mm_range *r = NULL;
    size_t n = 0;
    size_t cap = 0;
    uint32_t sym;
    int rc = 0;

    p->at++;
    const bool negated = peek(p) == '^';
    p->at += negated;
    while (rc == 0 && peek(p) != ']') {
        if (!mm_grow(&r, &cap, n + 1, sizeof(*r))) {
            rc = no_memory(p);
            break;
        }
        rc = character(p, &r[n].lo);
        r[n].hi = r[n].lo;
        if (rc == 0 && peek(p) == '-' && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            rc = character(p, &r[n].hi);
            if (rc == 0 && r[n].hi < r[n].lo)
                rc = fail(p, "range ends before it begins");
        }
        n++;
    }
    p->at++;
    top(p)->last = top(p)->n;
    if (rc == 0)
        rc = mm_gram_class(&sym, p->g, r, n, negated, p->e);
    free(r);
    return rc < 0 ? rc : append(p, sym);
}

/* --- repetition ------------------------------------------------------------------- */

static int number(struct parser *p, size_t *v)
{
    *v = 0;
    if (peek(p) < '0' || peek(p) > '9')
        return fail(p, "expected a number");
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        *v = *v * 10 + (size_t)(peek(p) - '0');
        if (*v > MAX_REPEAT)
            return fail(p, "repetition of more than 10000");
    }
    return 0;
}

/* The operator that stands here as bounds; hi is SIZE_MAX for no bound. */
static int bounds(struct parser *p, size_t *lo, size_t *hi)
{
    const char c = p->s[p->at++];
    int rc;

    *lo = c == '+';
    *hi = c == '?' ? 1 : SIZE_MAX;
    if (c != '{')
        return 0;
    skip_space(p, false);
    rc = number(p, lo);
    *hi = *lo;
    skip_space(p, false);
    if (rc == 0 && peek(p) == ',') {
        p->at++;
        skip_space(p, false);
        *hi = SIZE_MAX;
        if (peek(p) != '}')
            rc = number(p, hi);
        skip_space(p, false);
    }
    if (rc == 0 && peek(p) != '}')
        rc = fail(p, "expected '}'");
    p->at++;
    if (rc == 0 && *hi < *lo)
        rc = fail(p, "repetition ends before it begins");
    return rc;
}

/* A rule for "unit, then tail" or nothing; tail < 0: itself. */
static int optional(struct parser *p, uint32_t unit, bool has_tail, int tail)
{
    const int rule = new_rule(p);

    if (rule < 0)
        return rule;
    const uint32_t sym[2] = { unit, mm_gram_ref(tail < 0 ? rule : tail) };
    int rc = mm_gram_add(p->g, rule, sym, has_tail ? 2 : 1, p->e);
    if (rc == 0)
        rc = mm_gram_add(p->g, rule, NULL, 0, p->e);
    return rc < 0 ? rc : rule;
}

static int repeat(struct parser *p)
{
    struct level *l = top(p);
    size_t lo;
    size_t hi;
    uint32_t unit;

    if (l->last >= l->n)
        return fail(p, "nothing to repeat");
    int rc = bounds(p, &lo, &hi);
    if (rc < 0)
        return rc;
    unit = l->sym[l->last];
    if (l->n - l->last > 1) {
        const int rule = new_rule(p);
        if (rule < 0)
            return rule;
        rc = mm_gram_add(p->g, rule, l->sym + l->last, l->n - l->last, p->e);
        unit = mm_gram_ref(rule);
    }
    l->n = l->last;
    for (size_t i = 0; i < lo && rc == 0; i++)
        rc = append(p, unit);
    int tail = -1;
    if (hi == SIZE_MAX && rc == 0)
        tail = rc = optional(p, unit, true, -1);
    for (size_t i = lo; hi != SIZE_MAX && i < hi && rc >= 0; i++)
        tail = rc = optional(p, unit, i > lo, tail);
    if (rc >= 0 && tail >= 0)
        rc = append(p, mm_gram_ref(tail));
    return rc < 0 ? rc : 0;
}

/* --- the whole ---------------------------------------------------------------------- */

static int item(struct parser *p)
{
    const char c = peek(p);
    uint32_t sym;
    int rc;

    if (c == '"')
        return literal(p);
    if (c == '[')
        return char_class(p);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return repeat(p);
    if (c == '(') {
        p->at++;
        rc = new_rule(p);
        return rc < 0 ? rc : open_level(p, rc);
    }
    top(p)->last = top(p)->n;
    if (c == '.') {
        p->at++;
        rc = mm_gram_class(&sym, p->g, NULL, 0, true, p->e);
        return rc < 0 ? rc : append(p, sym);
    }
    rc = named_rule(p);
    return rc < 0 ? rc : append(p, mm_gram_ref(rc));
}

/* Does a line that begins with '|' follow?  Then it continues the rule. */
static bool continues(struct parser *p)
{
    const size_t here = p->at;

    skip_space(p, true);
    if (peek(p) == '|')
        return true;
    p->at = here;
    return false;
}

/* The alternatives of one rule, to the end of its line. */
static int alternatives(struct parser *p)
{
    int rc = 0;

    skip_space(p, true);
    while (rc >= 0) {
        skip_space(p, p->depth > 1);
        const char c = peek(p);
        if (c == '|') {
            rc = end_alternative(p);
            p->at++;
            skip_space(p, true);
        } else if (c == ')') {
            if (p->depth == 1)
                return fail(p, "')' without '('");
            p->at++;
            rc = close_level(p);
            top(p)->last = top(p)->n;
            if (rc >= 0)
                rc = append(p, mm_gram_ref(rc));
        } else if (p->at >= p->n || c == '\n') {
            if (p->depth > 1)
                return fail(p, "'(' without ')'");
            if (!continues(p))
                return close_level(p);
        } else {
            rc = item(p);
        }
    }
    return rc;
}

static int rule_definition(struct parser *p)
{
    int rule = named_rule(p);

    if (rule < 0)
        return rule;
    if (p->defined[rule])
        return fail(p, "rule defined twice");
    p->defined[rule] = true;
    p->name = p->owner[rule];
    skip_space(p, false);
    if (p->n - p->at < 3 || memcmp(p->s + p->at, "::=", 3) != 0)
        return fail(p, "expected '::='");
    p->at += 3;
    const int rc = open_level(p, rule);
    return rc < 0 ? rc : alternatives(p);
}

static int check_rules(struct parser *p)
{
    const json_t *root = json_object_get(p->names, "root");
    const char *name;
    json_t *v;
    int cycle;

    if (!root)
        return mm_err_set(p->e, MM_EDATA, "grammar: no rule 'root'");
    json_object_foreach(p->names, name, v)
        if (!p->defined[json_integer_value(v)])
            return mm_err_set(p->e, MM_EDATA, "grammar: rule '%s' is not defined", name);
    struct mm_err why = { 0 };
    int rc = mm_gram_done(p->g, (int)json_integer_value(root), &cycle, &why);
    if (cycle >= 0 && (size_t)cycle < p->nknown)
        return mm_err_set(p->e, MM_EDATA, "grammar: left recursion in rule '%s'",
                          p->owner[cycle]);
    return rc < 0 ? mm_err_set(p->e, rc, "%s", why.msg) : 0;
}

int mm_gbnf_parse(struct mm_gram **g, const char *s, size_t n, struct mm_err *e)
{
    struct parser p = { .s = s, .n = n, .e = e };
    int rc = mm_gram_new(&p.g, e);

    if (rc < 0)
        return rc;
    p.names = json_object();
    if (!p.names)
        rc = no_memory(&p);
    for (skip_space(&p, true); rc >= 0 && p.at < n; skip_space(&p, true))
        rc = rule_definition(&p);
    if (rc >= 0)
        rc = check_rules(&p);
    while (p.depth > 0)
        free(p.level[--p.depth].sym);
    free(p.level);
    free(p.owner);
    free(p.defined);
    json_decref(p.names);
    if (rc < 0)
        mm_gram_free(p.g);
    else
        *g = p.g;
    return rc < 0 ? rc : 0;
}
