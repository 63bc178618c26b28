/* trie.c: the edges of all nodes are in one hash, keyed by node and byte; the
 * root's are in a table. */
#include "text/trie.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct edge {
    uint32_t from; /* 0: free (the root has no edge here) */
    uint32_t to;
    uint32_t byte;
};

struct mm_trie {
    uint32_t root[256];
    int32_t *value; /* by node, -1: none */
    size_t n, cap;  /* nodes */
    struct edge *edge;
    size_t nedge, used;
};

struct mm_trie *mm_trie_new(void)
{
    struct mm_trie *t = calloc(1, sizeof(*t));

    if (t && !mm_grow(&t->value, &t->cap, 1, sizeof(*t->value))) {
        free(t);
        return NULL;
    }
    if (t)
        t->value[t->n++] = -1;
    return t;
}

void mm_trie_free(struct mm_trie *t)
{
    if (!t)
        return;
    free(t->value);
    free(t->edge);
    free(t);
}

static size_t slot_of(const struct mm_trie *t, uint32_t from, unsigned char c)
{
    const size_t mask = t->nedge - 1;
    const uint64_t key = ((uint64_t)from << 8 | c) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(key >> 32) & mask;

    while (t->edge[i].from && (t->edge[i].from != from || t->edge[i].byte != c))
        i = (i + 1) & mask;
    return i;
}

static bool grow_edges(struct mm_trie *t)
{
    struct edge *const old = t->edge;
    const size_t nold = t->nedge;

    t->nedge = nold ? 2 * nold : 256;
    t->edge = calloc(t->nedge, sizeof(*t->edge));
    if (!t->edge) {
        t->edge = old;
        t->nedge = nold;
        return false;
    }
    for (size_t i = 0; i < nold; i++)
        if (old[i].from)
            t->edge[slot_of(t, old[i].from, (unsigned char)old[i].byte)] = old[i];
    free(old);
    return true;
}

/* A new edge from node by c; 0 if out of memory. */
static uint32_t add_edge(struct mm_trie *t, uint32_t node, unsigned char c)
{
    if (t->n >= UINT32_MAX / 2 || !mm_grow(&t->value, &t->cap, t->n + 1, sizeof(*t->value)))
        return 0;
    if (node != 0 && 2 * (t->used + 1) > t->nedge && !grow_edges(t))
        return 0;
    const uint32_t to = (uint32_t)t->n;
    t->value[t->n++] = -1;
    if (node == 0) {
        t->root[c] = to;
    } else {
        t->edge[slot_of(t, node, c)] = (struct edge){ .from = node, .to = to, .byte = c };
        t->used++;
    }
    return to;
}

uint32_t mm_trie_step(const struct mm_trie *t, uint32_t node, unsigned char c)
{
    if (node == 0)
        return t->root[c];
    return t->nedge ? t->edge[slot_of(t, node, c)].to : 0;
}

int32_t mm_trie_value(const struct mm_trie *t, uint32_t node)
{
    return t->value[node];
}

int mm_trie_add(struct mm_trie *t, const char *s, size_t n, int32_t val)
{
    uint32_t node = 0;

    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        uint32_t next = mm_trie_step(t, node, c);
        if (!next && !(next = add_edge(t, node, c)))
            return MM_ENOMEM;
        node = next;
    }
    if (node && t->value[node] < 0)
        t->value[node] = val;
    return 0;
}

size_t mm_trie_longest(const struct mm_trie *t, const char *s, size_t n, int32_t *val)
{
    size_t best = 0;
    uint32_t node = 0;

    if (!t)
        return 0;
    for (size_t i = 0; i < n; i++) {
        node = mm_trie_step(t, node, (unsigned char)s[i]);
        if (!node)
            break;
        if (t->value[node] >= 0) {
            best = i + 1;
            *val = t->value[node];
        }
    }
    return best;
}
