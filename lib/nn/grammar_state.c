/* grammar_state.c: the pushdown automaton of a grammar, and the token mask.
 *
 * A stack is a node: a position and the node below it, so stacks share tails.
 * Nodes are interned: equal stacks are the same number.  A state is a sorted
 * set of nodes whose position expects a byte; states are interned too and
 * remember where each byte leads.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "nn/grammar_impl.h"

enum {
    MAX_NODES = 1 << 21,   /* stacks remembered */
    MAX_STATES = 1 << 17,
    MAX_STACKS = 1 << 14,  /* of one state */
    FORGET_NODES = 1 << 17, /* more than that: start a new memory at the next token */
    FORGET_STATES = 1 << 12
};
enum { EMPTY = 0 };        /* node 0: nothing left to match */
enum { DEAD = -1, UNKNOWN = -2 };

struct node {
    uint32_t pos, below;
};

struct state {
    size_t off;            /* into member */
    uint32_t n;
    bool complete;
    int32_t *to;           /* [256] states, DEAD or UNKNOWN; NULL until asked */
};

struct table { /* open addressing; index + 1, 0 is free */
    uint32_t *slot;
    size_t size, used;
};

struct mm_gstate {
    const struct mm_gram *g;
    struct node *node;
    uint32_t *stamp;       /* [node] round in which the closure saw it */
    size_t nnode, node_cap, stamp_cap;
    struct table nodes, states;
    uint32_t round;
    uint32_t *member;      /* nodes of all states */
    size_t nmember, member_cap;
    struct state *state;
    size_t nstate, state_cap;
    uint32_t *todo, *found;
    size_t todo_cap, found_cap;
    size_t enough;         /* nodes: with more than these, forget */
    int32_t now;
};

/* --- interning -------------------------------------------------------------------- */

static int no_memory(struct mm_err *e)
{
    return mm_err_set(e, MM_ENOMEM, "grammar: out of memory");
}

static int too_ambiguous(struct mm_err *e)
{
    return mm_err_set(e, MM_EDATA, "grammar: too ambiguous (more than %d stacks in a state, "
                      "or %d remembered)", (int)MAX_STACKS, (int)MAX_NODES);
}

static uint64_t node_hash(const struct mm_gstate *s, uint32_t i)
{
    return mm_hash64(&s->node[i], sizeof(s->node[i]));
}

static uint64_t state_hash(const struct mm_gstate *s, uint32_t i)
{
    return mm_hash64(s->member + s->state[i].off, s->state[i].n * sizeof(*s->member)) ^
           s->state[i].complete;
}

typedef uint64_t hash_fn(const struct mm_gstate *s, uint32_t i);

static bool table_grow(struct mm_gstate *s, struct table *t, hash_fn *hash)
{
    const size_t size = t->size ? t->size * 2 : 256;
    uint32_t *slot = calloc(size, sizeof(*slot));

    if (!slot)
        return false;
    for (size_t i = 0; i < t->size; i++) {
        if (!t->slot[i])
            continue;
        size_t at = hash(s, t->slot[i] - 1) & (size - 1);
        while (slot[at])
            at = (at + 1) & (size - 1);
        slot[at] = t->slot[i];
    }
    free(t->slot);
    t->slot = slot;
    t->size = size;
    return true;
}

/* The number of the node, made if new; or a negative code. */
static int64_t intern_node(struct mm_gstate *s, uint32_t pos, uint32_t below, struct mm_err *e)
{
    if (s->nnode >= MAX_NODES)
        return too_ambiguous(e);
    if ((s->nodes.used + 1) * 2 > s->nodes.size && !table_grow(s, &s->nodes, node_hash))
        return no_memory(e);
    if (!mm_grow(&s->node, &s->node_cap, s->nnode + 1, sizeof(*s->node)) ||
        !mm_grow(&s->stamp, &s->stamp_cap, s->nnode + 1, sizeof(*s->stamp)))
        return no_memory(e);
    const uint32_t i = (uint32_t)s->nnode;
    s->node[i] = (struct node){ pos, below };
    size_t at = node_hash(s, i) & (s->nodes.size - 1);
    for (; s->nodes.slot[at]; at = (at + 1) & (s->nodes.size - 1)) {
        const struct node *n = &s->node[s->nodes.slot[at] - 1];
        if (n->pos == pos && n->below == below)
            return s->nodes.slot[at] - 1;
    }
    s->stamp[i] = 0;
    s->nodes.slot[at] = i + 1;
    s->nodes.used++;
    s->nnode++;
    return i;
}

static int by_number(const void *pa, const void *pb)
{
    const uint32_t a = *(const uint32_t *)pa;
    const uint32_t b = *(const uint32_t *)pb;

    return a < b ? -1 : a > b;
}

/* The number of the state with these n nodes; DEAD for an empty one. */
static int64_t intern_state(struct mm_gstate *s, uint32_t *v, size_t n, bool complete,
                            struct mm_err *e)
{
    if (n == 0 && !complete)
        return DEAD;
    if (n)
        qsort(v, n, sizeof(*v), by_number);
    if (s->nstate >= MAX_STATES)
        return too_ambiguous(e);
    if ((s->states.used + 1) * 2 > s->states.size && !table_grow(s, &s->states, state_hash))
        return no_memory(e);
    if (!mm_grow(&s->state, &s->state_cap, s->nstate + 1, sizeof(*s->state)) ||
        !mm_grow(&s->member, &s->member_cap, s->nmember + n + 1, sizeof(*s->member)))
        return no_memory(e);
    const uint32_t i = (uint32_t)s->nstate;
    s->state[i] = (struct state){ s->nmember, (uint32_t)n, complete, NULL };
    if (n)
        memcpy(s->member + s->nmember, v, n * sizeof(*v));
    size_t at = state_hash(s, i) & (s->states.size - 1);
    for (; s->states.slot[at]; at = (at + 1) & (s->states.size - 1)) {
        const struct state *t = &s->state[s->states.slot[at] - 1];
        if (t->n == n && t->complete == complete &&
            memcmp(s->member + t->off, s->member + s->nmember, n * sizeof(*v)) == 0)
            return s->states.slot[at] - 1;
    }
    s->states.slot[at] = i + 1;
    s->states.used++;
    s->nmember += n;
    s->nstate++;
    return i;
}

/* --- closure ---------------------------------------------------------------------- */

/* todo gets the node (pos, below) unless this round has had it. */
static int visit(struct mm_gstate *s, size_t *ntodo, uint32_t pos, uint32_t below,
                 struct mm_err *e)
{
    const int64_t i = intern_node(s, pos, below, e);

    if (i < 0)
        return (int)i;
    if (s->stamp[i] == s->round)
        return 0;
    s->stamp[i] = s->round;
    if (*ntodo >= MAX_STACKS * 4)
        return too_ambiguous(e);
    if (!mm_grow(&s->todo, &s->todo_cap, *ntodo + 1, sizeof(*s->todo)))
        return no_memory(e);
    s->todo[(*ntodo)++] = (uint32_t)i;
    return 0;
}

/* Enter rule r with `below` beneath: every alternative is a possible stack. */
static int enter(struct mm_gstate *s, size_t *ntodo, uint32_t r, uint32_t below,
                 struct mm_err *e)
{
    const struct mm_gram *g = s->g;
    int rc = 0;

    for (uint32_t a = g->rule[r].first; a != NO_ALT && rc == 0; a = g->alt[a].next)
        rc = visit(s, ntodo, g->alt[a].start, below, e);
    return rc;
}

/* Expand todo[n] until every stack expects a byte; the state they form. */
static int64_t closure(struct mm_gstate *s, size_t ntodo, bool complete, struct mm_err *e)
{
    const struct mm_gram *g = s->g;
    size_t nfound = 0;
    int rc = 0;

    while (ntodo && rc == 0) {
        const uint32_t i = s->todo[--ntodo];
        const struct node n = s->node[i];
        const uint32_t sym = g->sym[n.pos];
        if (sym == SYM_END) {
            if (n.below == EMPTY)
                complete = true;
            else
                rc = visit(s, &ntodo, s->node[n.below].pos, s->node[n.below].below, e);
        } else if (SYM_KIND(sym) == SYM_RULE) {
            int64_t below = n.below; /* a call at the end needs no return */
            if (g->sym[n.pos + 1] != SYM_END)
                below = intern_node(s, n.pos + 1, n.below, e);
            rc = below < 0 ? (int)below
                           : enter(s, &ntodo, SYM_INDEX(sym), (uint32_t)below, e);
        } else {
            if (nfound >= MAX_STACKS)
                return too_ambiguous(e) - 2;
            if (!mm_grow(&s->found, &s->found_cap, nfound + 1, sizeof(*s->found)))
                return no_memory(e) - 2;
            s->found[nfound++] = i;
        }
    }
    if (rc < 0)
        return rc - 2;
    const int64_t st = intern_state(s, s->found, nfound, complete, e);
    return st < DEAD ? st - 2 : st;
}

/* --- steps ------------------------------------------------------------------------ */

/* Where byte b leads from state `from`: a state, DEAD, or < UNKNOWN: code - 2. */
static int64_t step(struct mm_gstate *s, int32_t from, unsigned char b, struct mm_err *e)
{
    const struct mm_gram *g = s->g;
    size_t ntodo = 0;
    int rc = 0;

    if (!s->state[from].to) {
        int32_t *to = malloc(256 * sizeof(*to));
        if (!to)
            return no_memory(e) - 2;
        for (size_t i = 0; i < 256; i++)
            to[i] = UNKNOWN;
        s->state[from].to = to;
    }
    if (s->state[from].to[b] != UNKNOWN)
        return s->state[from].to[b];
    s->round++;
    for (uint32_t i = 0; i < s->state[from].n && rc == 0; i++) {
        const struct node n = s->node[s->member[s->state[from].off + i]];
        const struct mm_byteset *set = &g->set[SYM_INDEX(g->sym[n.pos])];
        if (set->bits[b / 64] >> (b % 64) & 1)
            rc = visit(s, &ntodo, n.pos + 1, n.below, e);
    }
    const int64_t to = rc < 0 ? rc - 2 : closure(s, ntodo, false, e);
    if (to >= DEAD)
        s->state[from].to[b] = (int32_t)to;
    return to;
}

static int64_t walk(struct mm_gstate *s, int32_t from, const unsigned char *p, size_t n,
                    struct mm_err *e)
{
    int64_t at = from;

    for (size_t i = 0; i < n && at >= 0; i++)
        at = step(s, (int32_t)at, p[i], e);
    return at;
}

static void clear_states(struct mm_gstate *s)
{
    for (size_t i = 0; i < s->nstate; i++)
        free(s->state[i].to);
    s->nstate = s->nmember = 0;
    s->states.used = 0;
    if (s->states.slot)
        memset(s->states.slot, 0, s->states.size * sizeof(*s->states.slot));
}

static void clear_nodes(struct mm_gstate *s)
{
    s->nnode = 1; /* EMPTY */
    s->nodes.used = 0;
    if (s->nodes.slot)
        memset(s->nodes.slot, 0, s->nodes.size * sizeof(*s->nodes.slot));
}

/* forget: begin a new memory that holds the present state alone.  Nodes below
 * have smaller numbers than those above, so one pass in order moves them. */
static int forget(struct mm_gstate *s, struct mm_err *e)
{
    const struct state st = s->state[s->now];
    const size_t nnode = s->nnode;
    const size_t n = st.n;
    const bool complete = st.complete;
    struct node *old = s->node;
    uint32_t *map = calloc(nnode + 1, sizeof(*map)); /* 1: needed, then new number */
    uint32_t *top = calloc(n + 1, sizeof(*top));
    int rc = map && top ? 0 : no_memory(e);

    if (rc == 0) {
        for (size_t i = 0; i < n; i++)
            map[top[i] = s->member[st.off + i]] = 1;
        for (size_t i = nnode; i-- > 1;)
            if (map[i])
                map[old[i].below] = 1;
        s->node = NULL;
        s->node_cap = 0;
        clear_nodes(s);
        clear_states(s);
        if (!mm_grow(&s->node, &s->node_cap, 1, sizeof(*s->node)))
            rc = no_memory(e);
        else
            s->node[EMPTY] = (struct node){ 0, EMPTY };
        map[EMPTY] = EMPTY;
        for (size_t i = 1; i < nnode && rc == 0; i++) {
            if (!map[i])
                continue;
            const int64_t m = intern_node(s, old[i].pos, map[old[i].below], e);
            if (m < 0)
                rc = (int)m;
            else
                map[i] = (uint32_t)m;
        }
        for (size_t i = 0; i < n; i++)
            top[i] = map[top[i]];
        if (rc == 0) {
            const int64_t now = intern_state(s, top, n, complete, e);
            rc = now < 0 ? (int)now : 0;
            s->now = now < 0 ? 0 : (int32_t)now;
            s->enough = FORGET_NODES + 2 * s->nnode; /* deep stacks stay */
        }
        free(old);
    }
    free(map);
    free(top);
    return rc;
}

int mm_gstate_new(struct mm_gstate **out, const struct mm_gram *g, struct mm_err *e)
{
    struct mm_gstate *s = calloc(1, sizeof(*s));
    size_t ntodo = 0;

    if (!s)
        return no_memory(e);
    s->g = g;
    s->enough = FORGET_NODES;
    int rc = 0;
    if (!mm_grow(&s->node, &s->node_cap, 1, sizeof(*s->node)) ||
        !mm_grow(&s->stamp, &s->stamp_cap, 1, sizeof(*s->stamp)))
        rc = no_memory(e);
    if (rc == 0) {
        clear_nodes(s);
        s->node[EMPTY] = (struct node){ 0, EMPTY };
        s->round = 1;
        rc = enter(s, &ntodo, (uint32_t)g->root, EMPTY, e);
    }
    const int64_t now = rc < 0 ? rc - 2 : closure(s, ntodo, false, e);
    if (now < 0) {
        mm_gstate_free(s);
        return now == DEAD ? mm_err_set(e, MM_EDATA, "grammar: matches nothing") : (int)now + 2;
    }
    s->now = (int32_t)now;
    *out = s;
    return 0;
}

void mm_gstate_free(struct mm_gstate *s)
{
    if (!s)
        return;
    clear_states(s);
    free(s->node);
    free(s->stamp);
    free(s->nodes.slot);
    free(s->states.slot);
    free(s->member);
    free(s->state);
    free(s->todo);
    free(s->found);
    free(s);
}

int mm_gstate_accepts(struct mm_gstate *s, const void *p, size_t n, struct mm_err *e)
{
    const int64_t at = walk(s, s->now, p, n, e);

    return at < DEAD ? (int)at + 2 : at >= 0;
}

int mm_gstate_advance(struct mm_gstate *s, const void *p, size_t n, struct mm_err *e)
{
    const int64_t at = walk(s, s->now, p, n, e);

    if (at < DEAD)
        return (int)at + 2;
    if (at == DEAD)
        return mm_err_set(e, MM_EDATA, "grammar: text does not match");
    s->now = (int32_t)at;
    return s->nnode > s->enough || s->nstate > FORGET_STATES ? forget(s, e) : 0;
}

bool mm_gstate_complete(const struct mm_gstate *s)
{
    return s->state[s->now].complete;
}

/* --- tokens ----------------------------------------------------------------------- */

struct word {
    const char *p;
    uint32_t n, common; /* bytes; those shared with the word before */
    int32_t id;
};

struct mm_gvocab {
    struct mm_buf bytes;
    struct word *word;     /* sorted by bytes, tokens without text left out */
    size_t nword;
    uint32_t *off;         /* [size + 1] bytes of token id */
    size_t size;
    size_t longest;
};

static int by_bytes(const void *pa, const void *pb)
{
    const struct word *a = pa;
    const struct word *b = pb;
    const int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

    if (d)
        return d;
    return a->n != b->n ? (a->n < b->n ? -1 : 1) : a->id < b->id ? -1 : a->id > b->id;
}

static void sort_words(struct mm_gvocab *v)
{
    for (size_t i = 0; i < v->size; i++) {
        const uint32_t n = v->off[i + 1] - v->off[i];
        const char *p = v->bytes.p + v->off[i];
        if (n && p[0] != '\0')
            v->word[v->nword++] = (struct word){ p, n, 0, (int32_t)i };
        if (n > v->longest)
            v->longest = n;
    }
    if (v->nword)
        qsort(v->word, v->nword, sizeof(*v->word), by_bytes);
    for (size_t i = 1; i < v->nword; i++) {
        const struct word *a = &v->word[i - 1];
        struct word *b = &v->word[i];
        while (b->common < a->n && b->common < b->n && a->p[b->common] == b->p[b->common])
            b->common++;
    }
}

int mm_gvocab_new(struct mm_gvocab **out, const struct mm_tok *t, struct mm_err *e)
{
    struct mm_gvocab *v = calloc(1, sizeof(*v));
    int rc = 0;

    if (!v)
        return no_memory(e);
    v->size = mm_tok_size(t);
    v->word = calloc(v->size + 1, sizeof(*v->word));
    v->off = calloc(v->size + 1, sizeof(*v->off));
    if (!v->word || !v->off)
        rc = no_memory(e);
    for (size_t i = 0; i < v->size && rc == 0; i++) {
        if (!mm_tok_is_special(t, (int32_t)i) && mm_tok_bytes(t, &v->bytes, (int32_t)i) < 0 &&
            v->bytes.failed)
            rc = no_memory(e);
        v->off[i + 1] = (uint32_t)v->bytes.n;
    }
    if (rc == 0 && v->bytes.n)
        sort_words(v);
    if (rc < 0)
        mm_gvocab_free(v);
    else
        *out = v;
    return rc;
}

void mm_gvocab_free(struct mm_gvocab *v)
{
    if (!v)
        return;
    mm_buf_free(&v->bytes);
    free(v->word);
    free(v->off);
    free(v);
}

const char *mm_gvocab_bytes(const struct mm_gvocab *v, int32_t id, size_t *n)
{
    *n = 0;
    if (id < 0 || (size_t)id >= v->size)
        return NULL;
    *n = v->off[id + 1] - v->off[id];
    return *n ? v->bytes.p + v->off[id] : NULL;
}

/* Mark ok[id] for every acceptable word: path[d] is the state after d bytes of
 * the word at hand, of which the first `common` are already walked. */
static int mark(struct mm_gstate *s, const struct mm_gvocab *v, bool *ok, size_t vocab,
                int64_t *path, struct mm_err *e)
{
    size_t depth = 0; /* path[0..depth] is valid; path[depth] may be DEAD */

    path[0] = s->now;
    for (size_t i = 0; i < v->nword; i++) {
        const struct word *w = &v->word[i];
        if (w->common < depth)
            depth = w->common;
        while (depth < w->n && path[depth] >= 0) {
            path[depth + 1] = step(s, (int32_t)path[depth], (unsigned char)w->p[depth], e);
            depth++;
        }
        if (path[depth] < DEAD)
            return (int)path[depth] + 2;
        if (path[depth] >= 0 && (size_t)w->id < vocab)
            ok[w->id] = true;
    }
    return 0;
}

int mm_gstate_mask(struct mm_gstate *s, const struct mm_gvocab *v, float *l, size_t vocab,
                   const int32_t *eos, size_t neos, struct mm_err *e)
{
    bool *ok = calloc(vocab + 1, sizeof(*ok));
    int64_t *path = calloc(v->longest + 1, sizeof(*path));
    int rc = ok && path ? mark(s, v, ok, vocab, path, e) : no_memory(e);

    for (size_t i = 0; i < neos && rc == 0; i++)
        if (eos[i] >= 0 && (size_t)eos[i] < vocab)
            ok[eos[i]] = mm_gstate_complete(s);
    for (size_t i = 0; i < vocab && rc == 0; i++)
        if (!ok[i])
            l[i] = -INFINITY;
    free(ok);
    free(path);
    return rc;
}
