/* grammar.c: the rules of a grammar, compiled to sets of bytes, and their check.
 *
 * Symbols of all alternatives lie in one array, each alternative closed by END:
 * a position in it is "what remains of this alternative".  The automaton that
 * walks it is in grammar_state.c.
 */
#include "nn/grammar_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

enum { MAX_RULES = 1 << 17, MAX_SYMBOLS = 1 << 20, MAX_RANGES = 1 << 12 };

int mm_gram_new(struct mm_gram **g, struct mm_err *e)
{
    *g = calloc(1, sizeof(**g));
    return *g ? 0 : mm_err_set(e, MM_ENOMEM, "grammar: out of memory");
}

void mm_gram_free(struct mm_gram *g)
{
    if (!g)
        return;
    free(g->sym);
    free(g->alt);
    free(g->rule);
    free(g->set);
    free(g);
}

static int too_large(struct mm_err *e)
{
    return mm_err_set(e, MM_EDATA, "grammar: too large (more than %d symbols or %d rules)",
                      (int)MAX_SYMBOLS, (int)MAX_RULES);
}

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "grammar: out of memory");
}

int mm_gram_rule(struct mm_gram *g, struct mm_err *e)
{
    if (g->nrule >= MAX_RULES)
        return too_large(e);
    if (!mm_grow(&g->rule, &g->rule_cap, g->nrule + 1, sizeof(*g->rule)))
        return no_memory(e);
    g->rule[g->nrule] = (struct mm_gram_rule){ NO_ALT, NO_ALT };
    return (int)g->nrule++;
}

int mm_gram_add(struct mm_gram *g, int rule, const uint32_t *sym, size_t n, struct mm_err *e)
{
    struct mm_gram_rule *r = &g->rule[rule];

    if (n >= MAX_SYMBOLS || g->nsym + n + 1 > MAX_SYMBOLS)
        return too_large(e);
    if (!mm_grow(&g->sym, &g->sym_cap, g->nsym + n + 1, sizeof(*g->sym)) ||
        !mm_grow(&g->alt, &g->alt_cap, g->nalt + 1, sizeof(*g->alt)))
        return no_memory(e);
    g->alt[g->nalt] = (struct mm_gram_alt){ (uint32_t)g->nsym, NO_ALT };
    if (n)
        memcpy(g->sym + g->nsym, sym, n * sizeof(*sym));
    g->sym[g->nsym + n] = SYM_END;
    g->nsym += n + 1;
    if (r->first == NO_ALT)
        r->first = (uint32_t)g->nalt;
    else
        g->alt[r->last].next = (uint32_t)g->nalt;
    r->last = (uint32_t)g->nalt++;
    return 0;
}

static int add_set(uint32_t *sym, struct mm_gram *g, const struct mm_byteset *s, struct mm_err *e)
{
    size_t i = g->nset > 64 ? g->nset - 64 : 0; /* repeats are mostly near */

    while (i < g->nset && memcmp(&g->set[i], s, sizeof(*s)) != 0)
        i++;
    if (i == g->nset) {
        if (!mm_grow(&g->set, &g->set_cap, g->nset + 1, sizeof(*g->set)))
            return no_memory(e);
        g->set[g->nset++] = *s;
    }
    *sym = SYM_SET | (uint32_t)i;
    return 0;
}

static void set_range(struct mm_byteset *s, unsigned lo, unsigned hi)
{
    for (unsigned b = lo; b <= hi; b++)
        s->bits[b / 64] |= (uint64_t)1 << (b % 64);
}

int mm_gram_byte(uint32_t *sym, struct mm_gram *g, unsigned char b, struct mm_err *e)
{
    struct mm_byteset s = { { 0 } };

    set_range(&s, b, b);
    return add_set(sym, g, &s, e);
}

uint32_t mm_gram_ref(int rule)
{
    return SYM_RULE | (uint32_t)rule;
}

/* --- classes ------------------------------------------------------------------- */

static int by_low(const void *pa, const void *pb)
{
    const struct mm_range *a = pa;
    const struct mm_range *b = pb;

    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

/* Sorted, disjoint, complemented if asked, without surrogates: out[2 * n + 2]. */
static size_t normalise(struct mm_range *out, struct mm_range *r, size_t n, bool negated)
{
    size_t m = 0;
    uint32_t next = 0; /* first code point not yet covered */

    qsort(r, n, sizeof(*r), by_low);
    for (size_t i = 0; i < n; i++) {
        const uint32_t hi = r[i].hi > 0x10FFFF ? 0x10FFFF : r[i].hi;
        const uint32_t lo = r[i].lo < next ? next : r[i].lo;
        if (lo > hi)
            continue;
        if (!negated)
            out[m++] = (struct mm_range){ lo, hi };
        else if (lo > next)
            out[m++] = (struct mm_range){ next, lo - 1 };
        next = hi + 1;
    }
    if (negated && next <= 0x10FFFF)
        out[m++] = (struct mm_range){ next, 0x10FFFF };
    return m;
}

/* One sequence of byte ranges (all code points lo..hi have the same length and
 * their bytes form a product of ranges) as an alternative of rule. */
static int add_product(struct mm_gram *g, int rule, uint32_t lo, uint32_t hi, struct mm_err *e)
{
    char a[4];
    char b[4];
    uint32_t sym[4];
    const size_t n = mm_utf8_put(a, lo);
    int rc = 0;

    mm_utf8_put(b, hi);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct mm_byteset s = { { 0 } };
        set_range(&s, (unsigned char)a[i], (unsigned char)b[i]);
        rc = add_set(&sym[i], g, &s, e);
    }
    return rc < 0 ? rc : mm_gram_add(g, rule, sym, n, e);
}

/* Cut lo..hi (above ASCII) where the length of the encoding changes, around the
 * surrogates, and where its bytes are no product of ranges. */
static int add_multibyte(struct mm_gram *g, int rule, uint32_t lo, uint32_t hi, struct mm_err *e)
{
    static const uint32_t cut[] = { 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF, 0x10FFFF };
    int rc = 0;

    while (lo <= hi && rc == 0) {
        uint32_t end = hi;
        for (size_t i = sizeof(cut) / sizeof(*cut); i-- > 0;)
            if (lo <= cut[i] && end > cut[i])
                end = cut[i];
        if (lo >= 0xD800 && lo <= 0xDFFF) { /* no characters */
            lo = end + 1;
            continue;
        }
        for (unsigned shift = 18; shift > 0; shift -= 6) {
            const uint32_t low = ((uint32_t)1 << shift) - 1;
            if ((lo & ~low) == (end & ~low))
                continue; /* same leading bytes */
            if (lo & low)
                end = lo | low;
            else if ((end & low) != low)
                end = (end & ~low) - 1;
        }
        rc = add_product(g, rule, lo, end, e);
        lo = end + 1;
    }
    return rc;
}

/* A class that reaches beyond ASCII is a rule of its own, one alternative per
 * sequence of byte ranges; one within ASCII is a plain set. */
static int add_class(uint32_t *sym, struct mm_gram *g, const struct mm_range *r, size_t n,
                     struct mm_err *e)
{
    struct mm_byteset ascii = { { 0 } };
    bool multibyte = false;

    for (size_t i = 0; i < n; i++) {
        if (r[i].lo < 0x80)
            set_range(&ascii, r[i].lo, r[i].hi < 0x80 ? r[i].hi : 0x7F);
        multibyte |= r[i].hi >= 0x80;
    }
    int rc = add_set(sym, g, &ascii, e);
    if (rc < 0 || !multibyte)
        return rc;
    const int rule = mm_gram_rule(g, e);
    if (rule < 0)
        return rule;
    if (ascii.bits[0] || ascii.bits[1])
        rc = mm_gram_add(g, rule, sym, 1, e);
    for (size_t i = 0; i < n && rc == 0; i++)
        if (r[i].hi >= 0x80)
            rc = add_multibyte(g, rule, r[i].lo < 0x80 ? 0x80 : r[i].lo, r[i].hi, e);
    *sym = mm_gram_ref(rule);
    return rc;
}

int mm_gram_class(uint32_t *sym, struct mm_gram *g, const struct mm_range *r, size_t n,
                  bool negated, struct mm_err *e)
{
    if (n > MAX_RANGES)
        return too_large(e);
    struct mm_range *copy = calloc(n + 1, sizeof(*copy));
    struct mm_range *norm = calloc(2 * n + 2, sizeof(*norm));
    int rc = copy && norm ? 0 : no_memory(e);

    if (rc == 0) {
        if (n)
            memcpy(copy, r, n * sizeof(*copy));
        rc = add_class(sym, g, norm, normalise(norm, copy, n, negated), e);
    }
    free(copy);
    free(norm);
    return rc;
}

/* --- check: no rule may reach itself before a byte is consumed ----------------- */

struct check {
    const struct mm_gram *g;
    bool *seen;           /* [nsym] position reached without consuming a byte */
    uint32_t *owner;      /* [nsym] rule of the position */
    bool *nullable;       /* [nrule] can produce the empty text */
    uint32_t *blocked;    /* [nrule] list of positions that wait for it to be nullable */
    uint32_t *next;       /* [nsym] links of those lists */
    uint32_t *todo;       /* [nsym] stack */
    size_t ntodo;
    uint32_t *degree;     /* [nrule] left calls of the rule by others, for the sort */
};

static void check_free(struct check *c)
{
    free(c->seen);
    free(c->owner);
    free(c->nullable);
    free(c->blocked);
    free(c->next);
    free(c->todo);
    free(c->degree);
}

static int check_alloc(struct check *c, const struct mm_gram *g, struct mm_err *e)
{
    const size_t n = g->nsym + 1;
    const size_t m = g->nrule + 1;

    *c = (struct check){
        .g = g,
        .seen = calloc(n, sizeof(*c->seen)), .owner = calloc(n, sizeof(*c->owner)),
        .nullable = calloc(m, sizeof(*c->nullable)), .blocked = calloc(m, sizeof(*c->blocked)),
        .next = calloc(n, sizeof(*c->next)), .todo = calloc(n + m, sizeof(*c->todo)),
        .degree = calloc(m, sizeof(*c->degree)),
    };
    if (!c->seen || !c->owner || !c->nullable || !c->blocked || !c->next || !c->todo || !c->degree)
        return no_memory(e);
    for (size_t r = 0; r < g->nrule; r++) {
        c->blocked[r] = NO_ALT;
        for (uint32_t a = g->rule[r].first; a != NO_ALT; a = g->alt[a].next)
            for (uint32_t p = g->alt[a].start;; p++) {
                c->owner[p] = (uint32_t)r;
                if (g->sym[p] == SYM_END)
                    break;
            }
    }
    return 0;
}

static void reach(struct check *c, uint32_t pos)
{
    if (!c->seen[pos]) {
        c->seen[pos] = true;
        c->todo[c->ntodo++] = pos;
    }
}

/* Every position reachable without consuming; linear in the grammar. */
static void reach_all(struct check *c)
{
    const struct mm_gram *g = c->g;

    for (size_t a = 0; a < g->nalt; a++)
        reach(c, g->alt[a].start);
    while (c->ntodo) {
        const uint32_t pos = c->todo[--c->ntodo];
        const uint32_t sym = g->sym[pos];
        if (sym == SYM_END) {
            const uint32_t r = c->owner[pos];
            c->nullable[r] = true;
            for (uint32_t p = c->blocked[r]; p != NO_ALT; p = c->next[p])
                reach(c, p + 1);
            c->blocked[r] = NO_ALT;
        } else if (SYM_KIND(sym) == SYM_RULE) {
            const uint32_t r = SYM_INDEX(sym);
            if (c->nullable[r]) {
                reach(c, pos + 1);
            } else {
                c->next[pos] = c->blocked[r];
                c->blocked[r] = pos;
            }
        }
    }
}

/* Does the call at p count for left recursion?  A rule that calls itself last
 * (a repetition of something that may be empty) puts nothing on the stack. */
static bool left_call(const struct check *c, uint32_t p)
{
    const struct mm_gram *g = c->g;

    return c->seen[p] && SYM_KIND(g->sym[p]) == SYM_RULE &&
           !(g->sym[p + 1] == SYM_END && SYM_INDEX(g->sym[p]) == c->owner[p]);
}

/* Sort the rules by their left calls (Kahn 1962): what remains hangs on a cycle.
 * A rule of the cycle, or -1. */
static int find_cycle(struct check *c)
{
    const struct mm_gram *g = c->g;
    size_t done = 0;

    for (uint32_t p = 0; p < g->nsym; p++)
        if (left_call(c, p))
            c->degree[SYM_INDEX(g->sym[p])]++;
    for (size_t r = 0; r < g->nrule; r++)
        if (c->degree[r] == 0)
            c->todo[c->ntodo++] = (uint32_t)r;
    while (c->ntodo) {
        const uint32_t r = c->todo[--c->ntodo];
        done++;
        for (uint32_t a = g->rule[r].first; a != NO_ALT; a = g->alt[a].next)
            for (uint32_t p = g->alt[a].start; g->sym[p] != SYM_END; p++)
                if (left_call(c, p) && --c->degree[SYM_INDEX(g->sym[p])] == 0)
                    c->todo[c->ntodo++] = SYM_INDEX(g->sym[p]);
    }
    if (done == g->nrule)
        return -1;
    uint32_t r = 0;
    for (uint32_t p = 0; p < g->nsym; p++) /* walk back along remaining calls */
        if (left_call(c, p) && c->degree[c->owner[p]]) {
            r = SYM_INDEX(g->sym[p]);
            c->blocked[r] = c->owner[p];
        }
    for (size_t i = 0; i < g->nrule; i++)
        r = c->blocked[r];
    return (int)r;
}

int mm_gram_done(struct mm_gram *g, int root, int *cycle, struct mm_err *e)
{
    struct check c;
    int rc = check_alloc(&c, g, e);

    *cycle = -1;
    if (rc == 0) {
        reach_all(&c);
        *cycle = find_cycle(&c);
    }
    check_free(&c);
    g->root = root;
    if (*cycle >= 0)
        return mm_err_set(e, MM_EDATA, "grammar: left recursion");
    return rc;
}
